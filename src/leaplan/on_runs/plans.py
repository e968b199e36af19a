"""Runs that plan: what their page shows."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from leaplan.errors import DataError
from leaplan.on_runs.dataset import AtHand
from leaplan.on_runs.folders import Model, RunFolder
from leaplan.planning.calibration import expected_calibration_error, reliability
from leaplan.planning.counting import count_plans
from leaplan.planning.score import SHOWN, read_predictions
from leaplan.planning.scoring.figures import Resampling
from leaplan.planning.scoring.over_seeds import seed_differences, seed_figures
from leaplan.planning.scoring.predictions import Predictions
from leaplan.report import counting, figures
from leaplan.report.content import Cell, Plot, Section, Table, figure_cell, percent
from leaplan.report.figures import Bin, Interval
from leaplan.training.resampling import Ratios, mean_and_deviation, with_intervals

CONFUSED = 16  # classes in a matrix of confusions
LISTED = 15  # confusions in the table
BINS = 10


@dataclass(frozen=True)
class Planned:
    """One seed's plans.

    Args:
        run: Its folder.
        read: What `leaplan score` reads of its predictions.
        records: The file's objects by sample id.
    """

    run: RunFolder
    read: Predictions
    records: Mapping[str, Mapping[str, Any]]

    @property
    def shown(self) -> str:
        """The decoding that is shown first, and that probabilities are told of."""
        return "viterbi" if "viterbi" in self.read.plans else next(iter(self.read.plans))


@dataclass(frozen=True)
class Planners:
    """A model that plans, with all its seeds that left predictions."""

    label: str
    seeds: tuple[Planned, ...]

    @property
    def files(self) -> list[Predictions]:
        """What the seeds predicted."""
        return [seed.read for seed in self.seeds]

    @property
    def decodings(self) -> list[str]:
        """Those that all seeds have."""
        return [name for name in self.files[0].plans if all(name in file.plans for file in self.files)]

    @property
    def shown(self) -> str:
        """The decoding that is shown first."""
        return "viterbi" if "viterbi" in self.decodings else self.decodings[0]


def read_planners(models: Sequence[Model], records: Mapping[str, Mapping[str, Any]]) -> list[Planners]:
    """Return the models that left predictions.

    Args:
        models: Runs of planners.
        records: Run folder to the objects of its predictions by sample id.

    Raises:
        DataError: A file is damaged, or seeds of a model have no decoding in common.
    """
    names: dict[str, int] = {}
    found = []
    for model in models:
        seeds = []
        for run in model.runs:
            path = run.predictions()
            if path is not None:
                seeds.append(Planned(run, read_predictions(path, names), records[str(run.folder)]))
        if seeds:
            planners = Planners(model.label, tuple(seeds))
            if not planners.decodings:
                raise DataError(
                    f"the seeds of {model.label} have no decoding in common", "Give each a label of its own"
                )
            found.append(planners)
    return found


# --- results


def results(planners: Sequence[Planners], resampling: Resampling) -> Section:
    """Return the tables of figures, and of differences between models."""
    rows: list[list[Cell | str]] = []
    for model in planners:
        for decoding in model.decodings:
            scores = seed_figures(model.files, decoding, resampling)
            cells = [figure_cell(_with_deviation(model, decoding, name, scores.get(name))) for name in SHOWN]
            rows.append([Cell(model.label, _seeds(model)), decoding, *cells])
    first = planners[0].files[0]
    unit = resampling.unit_of(first)
    caption = (
        f"Percent. In brackets the 95 % interval of {resampling.draws} draws of whole {unit}s; ± the sample deviation "
        "over seeds where there are several. SR: plans right in every step; mAcc: right steps; mIoU: mean IoU of step "
        "sets; edit: mean edit score; seen and unseen: windows whose true plan training showed, or did not."
    )
    tables = [Table("Figures", ["model", "plans by", *SHOWN.values()], rows, caption)]
    if len(planners) > 1:
        tables.append(_paired(planners, resampling))
    return Section("results", "Results", tables)


def _seeds(model: Planners) -> str:
    told = ", ".join(str(seed.run.seed) for seed in model.seeds if seed.run.seed is not None)
    return f"{len(model.seeds)} seeds ({told})" if len(model.seeds) > 1 else f"seed {told}" if told else ""


def _with_deviation(
    model: Planners, decoding: str, name: str, figure: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    if figure is None or len(model.seeds) < 2:
        return figure
    values = [seed_figures([file], decoding, Resampling(draws=1)).get(name, {}).get("value") for file in model.files]
    known = [value for value in values if value is not None]
    return {**figure, "sd": mean_and_deviation(known)[1]} if len(known) > 1 else figure


def _paired(planners: Sequence[Planners], resampling: Resampling) -> Table:
    """Return by how much each model differs from the first, each with the decoding that is shown of it."""
    first, *others = planners
    unit = resampling.unit_of(first.files[0])
    rows: list[list[Cell | str]] = []
    told = ""
    for other in others:
        for decoding in dict.fromkeys([other.shown, *(name for name in other.decodings if name in first.decodings)]):
            ours = decoding if decoding in first.decodings else first.shown
            try:
                change = seed_differences(first.files, other.files, (ours, decoding), resampling)
            except DataError as error:
                rows.append([Cell(other.label, error.what), decoding, *[""] * len(SHOWN)])
                continue
            told = f"{change['samples']:,} common windows of {change['clusters']:,} {change['unit']}s"
            label = decoding if ours == decoding else f"{decoding} minus {ours}"
            cells = [figure_cell(change["figures"].get(name), "+") for name in SHOWN]
            rows.append([other.label, label, *cells])
    caption = (
        f"Points, {told}; averaged over seeds before {resampling.draws} draws of whole {unit}s (95 % interval) and "
        f"two-sided sign flips of {unit}s (p). They say what other {unit}s would change, not what other seeds would."
    )
    return Table(f"Minus {first.label}, on the same windows", ["model", "plans by", *SHOWN.values()], rows, caption)


# --- curves


def curves(planners: Sequence[Planners], resampling: Resampling) -> Section:
    """Return accuracy by position, and reliability where plans have probabilities."""
    by_position = {_named(model): position_accuracy(model, resampling) for model in planners}
    plots = [
        Plot(
            "Right steps by position in the plan",
            {"": figures.lines(by_position, "position", "right steps")},
            "Share of windows whose step at this position is right, mean over seeds; whiskers are 95 % intervals of "
            "whole videos. The first step is next to what is seen of the start, the last one to the goal.",
        )
    ]
    diagrams = {model.label: _bins(model) for model in planners if _claims(model)}
    if diagrams:
        errors = "; ".join(f"{model.label}: {_calibration(model)}" for model in planners if _claims(model))
        plots.append(
            Plot(
                "Do probabilities come true?",
                {"": figures.reliability(diagrams)},
                f"Probability that the model gives its own Viterbi plan, in {BINS} bins of equal width, against the "
                "share of those plans that are right in every step; all seeds together, larger marks are more plans. "
                f"Expected calibration error over 15 bins, mean over seeds: {errors}.",
            )
        )
    return Section("curves", "Curves", plots=plots)


def _named(model: Planners) -> str:
    return f"{model.label} ({model.shown})"


def position_accuracy(model: Planners, resampling: Resampling) -> dict[int, Interval]:
    """Return the share of right steps at each position from 1 on, averaged over seeds, with intervals over videos."""
    first = model.files[0]
    shared = set.intersection(*(set(file.sample_ids) for file in model.files))
    common = [name for name in first.sample_ids if name in shared]
    right = []
    for file in model.files:
        place = {name: row for row, name in enumerate(file.sample_ids)}
        cut = file.at([place[name] for name in common])
        right.append(count_plans(cut.plans[model.shown], cut.target).right.double())
    above = torch.stack(right).mean(0).numpy()  # (M, T)
    place = {name: row for row, name in enumerate(first.sample_ids)}
    cut = first.at([place[name] for name in common])
    positions = [str(t) for t in range(1, above.shape[1] + 1)]
    parts = Ratios(tuple(positions), above, (cut.target >= 0).double().numpy())
    found = with_intervals(parts, resampling.clusters(cut), resampling.draws, resampling.seed)
    return {int(t): Interval(each["value"], each["low"], each["high"]) for t, each in found.items()}


def _claims(model: Planners) -> bool:
    return all("probability" in record for seed in model.seeds for record in seed.records.values())


def claims_of(seed: Planned) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the probability (M,) that each plan was given, and whether it came true (M,)."""
    claimed = torch.tensor([float(seed.records[name]["probability"]) for name in seed.read.sample_ids])
    right = count_plans(seed.read.plans[seed.shown], seed.read.target).exact.bool()
    return claimed.double().clamp(0, 1), right


def _bins(model: Planners) -> list[Bin]:
    claimed, right = (torch.cat(each) for each in zip(*map(claims_of, model.seeds), strict=True))
    table = reliability(claimed, right, BINS)
    rows = zip(table.count.tolist(), table.confidence.tolist(), table.accuracy.tolist(), strict=True)
    return [Bin(*row) for row in rows if row[0]]


def _calibration(model: Planners) -> str:
    return percent(statistics.fmean(float(expected_calibration_error(*claims_of(seed))) for seed in model.seeds))


def by_horizon(groups: Sequence[Sequence[Planners]], resampling: Resampling) -> Plot | None:
    """Return the success rate over the horizon, of models that differ in nothing else; None of one horizon."""
    found: dict[str, dict[int, Interval]] = {}
    for planners in groups:
        for model in planners:
            horizon = model.files[0].target.shape[1]
            figure = seed_figures(model.files, model.shown, resampling)["success_rate"]
            value = figure["value"]
            if value is not None:
                name = f"{_without_horizon(model.label, horizon)} ({model.shown})"
                found.setdefault(name, {})[horizon] = Interval(value, figure["low"], figure["high"])
    if not any(len(points) > 1 for points in found.values()):
        return None
    return Plot(
        "Success rate by horizon",
        {"": figures.lines(found, "steps to plan", "plans right in every step")},
        "Success rate of the runs on this page, by the number of steps that they plan, mean over seeds; whiskers are "
        "95 % intervals of whole videos. Each horizon has windows of its own: longer ones are fewer.",
    )


def _without_horizon(label: str, horizon: int) -> str:
    return label.replace(f"-t{horizon}", "").replace(f"_t{horizon}", "")


# --- confusions


def confused(planners: Sequence[Planners], names: Sequence[str]) -> Section:
    """Return which steps are taken for which."""
    matrices, rows = {}, []
    for model in planners:
        counts: Counter[tuple[int, int]] = Counter()
        for seed in model.seeds:
            plan, target = seed.read.plans[model.shown], seed.read.target
            width = min(plan.shape[1], target.shape[1])
            pairs = zip(target[:, :width].flatten().tolist(), plan[:, :width].flatten().tolist(), strict=True)
            counts.update(counting.confusions((true, said) for true, said in pairs if true >= 0 and said >= 0))
        mean = {pair: count / len(model.seeds) for pair, count in counts.items()}
        classes = counting.most_confused(mean, CONFUSED)
        named = [names[each] for each in classes]
        matrices[model.label] = figures.matrix(named, counting.square(mean, classes), "true step", "planned step")
        for (true, said), count in counting.ranked(mean)[:LISTED]:
            rows.append([model.label, names[true], names[said], f"{count:.3g}"])
    title, header = f"The {LISTED} most frequent confusions", ["model", "true step", "planned step", "count"]
    how = "Counts at the same position of a plan, mean over seeds; right steps are left out."
    return Section(
        "confusions",
        "Confusions",
        [Table(title, header, rows, how, folded=True)],
        [Plot("Steps taken for others", matrices, f"{how} The {CONFUSED} classes that are confused most.", "model")],
    )


# --- samples


def samples(planners: Sequence[Planners], at_hand: AtHand, names: Sequence[str], most: int) -> dict[str, Any]:
    """Return windows and plans as the page's browser takes them, at most `most` plans of all seeds together.

    Where there are more, the surest mistakes of the first model are kept, and evenly spaced others.
    """
    first = planners[0].seeds[0]
    seeds = [(model, seed) for model in planners for seed in model.seeds]
    ids = _kept(first, max(1, most // len(seeds)))
    tasks = list(dict.fromkeys(str(first.records[name].get("task") or "") for name in ids))
    place = {name: row for row, name in enumerate(first.read.sample_ids)}
    times = [at_hand.times.get(name) for name in ids]
    seen = first.read.seen
    return {
        "kind": "planning",
        "names": names,
        "tasks": tasks,
        "total": len(first.read.sample_ids),
        "ids": ids,
        "videos": [first.records[name].get("video") for name in ids],
        "task": [tasks.index(str(first.records[name].get("task") or "")) for name in ids],
        "truth": [first.read.target[place[name]].tolist() for name in ids],
        "seen": None if seen is None else [int(seen[place[name]]) for name in ids],
        "times": [None if each is None else [round(each.start, 2), round(each.stop, 2)] for each in times],
        "runs": [_run(model, seed, ids) for model, seed in seeds],
    }


def _kept(seed: Planned, most: int) -> list[str]:
    ids = list(seed.read.sample_ids)
    if len(ids) <= most:
        return ids
    sure = surest_mistakes(seed)[: most // 4]
    rest = [name for name in ids if name not in set(sure)]
    count = most - len(sure)
    chosen = {*sure, *(rest[row * len(rest) // count] for row in range(count))}
    return [name for name in ids if name in chosen]


def surest_mistakes(seed: Planned) -> list[str]:
    """Return the windows whose plan is wrong, those of the highest probability first."""
    right = count_plans(seed.read.plans[seed.shown], seed.read.target).exact.tolist()
    wrong = [name for name, exact in zip(seed.read.sample_ids, right, strict=True) if not exact]
    return sorted(wrong, key=lambda name: -float(seed.records[name].get("probability") or 0.0))


def _run(model: Planners, seed: Planned, ids: Sequence[str]) -> dict[str, Any]:
    place = {name: row for row, name in enumerate(seed.read.sample_ids)}
    there = [place.get(name) for name in ids]
    records = [seed.records.get(name, {}) for name in ids]
    plans = {
        decoding: [None if row is None else [s for s in plan[row].tolist() if s >= 0] for row in there]
        for decoding, plan in seed.read.plans.items()
    }
    rank = seed.read.rank
    return {
        "model": model.label,
        "run": seed.run.name,
        "shown": seed.shown,
        "plans": plans,
        "probability": [record.get("probability") for record in records],
        "alternatives": [
            [[each["plan"], each["probability"]] for each in record.get("alternatives", ())] for record in records
        ],
        "sentence": [record.get("sentence") for record in records],
        "rank": None if rank is None else [None if row is None else rank[row].tolist() for row in there],
        "ranks_known": seed.read.candidates,
    }


def class_names(planners: Sequence[Planners], at_hand: AtHand) -> list[str]:
    """Return the name of each step id: of the dataset where it is at hand, else as predictions tell, else numbered."""
    highest = max(
        int(each.max()) for model in planners for file in model.files for each in (file.target, *file.plans.values())
    )
    names = [f"step {number}" for number in range(highest + 1)]
    for model in planners:
        for seed in model.seeds:
            for row, sample in enumerate(seed.read.sample_ids):
                told = seed.records[sample].get("step_names") or ()
                for step, name in zip(seed.read.target[row].tolist(), told, strict=False):
                    names[step] = str(name)
    if at_hand.vocabulary is not None and len(at_hand.vocabulary.steps) > highest:
        return [step.name for step in at_hand.vocabulary.steps]
    return names
