"""Runs that recognise or anticipate: what their page shows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leaplan import compare
from leaplan.on_runs.dataset import AtHand
from leaplan.on_runs.folders import Model, RunFolder, at, mapping
from leaplan.recognition.intervals import Resampling
from leaplan.report import counting, figures
from leaplan.report.content import Cell, Plot, Section, Table, figure_cell
from leaplan.report.figures import Interval

CONFUSED = 18
LISTED = 15
SHOWN_ALSO = {"edit_score": "edit", "before_f1": "pre F1", "after_f1": "post F1"}
HEADINGS = compare.SHOWN | SHOWN_ALSO
SUBSETS = {"recognition": "all", "unseen": "unseen persons", "tail": "tail classes"}
HEADS = ("verb", "noun", "action_head", "action")

Records = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Recognisers:
    """A model that recognises or anticipates, with all its seeds that left predictions."""

    label: str
    seeds: tuple[tuple[RunFolder, Records], ...]


def read_recognisers(models: Sequence[Model], records: Mapping[str, Records]) -> list[Recognisers]:
    """Return the models that left predictions; `records` holds those of each run folder by sample id."""
    found = []
    for model in models:
        seeds = tuple((run, records[str(run.folder)]) for run in model.runs if records.get(str(run.folder)))
        if seeds:
            found.append(Recognisers(model.label, seeds))
    return found


# --- results


def results(models: Sequence[Model], resampling: Resampling) -> Section:
    """Return the tables of figures, of differences between models, and of rare classes.

    Raises:
        DataError: Scores are damaged, or those of the models do not fit together.
    """
    scored = {
        model.label: [compare.read_run(run.folder, run.split) for run in model.runs if run.predictions(".npz")]
        for model in models
    }
    scored = {label: runs for label, runs in scored.items() if runs}
    tables = []
    if scored:
        report = compare.compare(scored, list(HEADINGS), resampling, strict=False)
        tables = [_figures(report, scored)]
        tables += [_differences(report)] if report["differences"] else []
    return Section("results", "Results", tables, _subsets(models))


def _figures(report: Mapping[str, Any], scored: Mapping[str, Sequence[compare.Run]]) -> Table:
    shown = [name for name in HEADINGS if any(name in m["figures"] for m in report["models"].values())]
    rows: list[list[Cell | str]] = []
    for label, model in report["models"].items():
        cells = [
            figure_cell(None if figure is None else {**figure, "value": figure["mean"]})
            for figure in map(model["figures"].get, shown)
        ]
        count = len(scored[label])
        rows.append([Cell(label, f"{count} seeds" if count > 1 else "one seed"), *cells])
    left_out = f"; {report['left_out']:,} clips that not all runs have are left out" if report["left_out"] else ""
    caption = (
        f"Percent, of {report['clips']:,} clips of {report['videos']:,} videos{left_out}. In brackets the 95 % "
        f"interval of {report['bootstrap']} draws of whole videos; ± the sample deviation over seeds. An action's "
        "score is the product of verb and noun, as EPIC-KITCHENS counts. Obj, S-Verb, F1, edit are of programs, from "
        "results.json, which tells no clips and so no interval."
    )
    return Table("Figures", ["model", *(HEADINGS[name] for name in shown)], rows, caption)


def _differences(report: Mapping[str, Any]) -> Table:
    shown = [name for name in HEADINGS if any(name in change for change in report["differences"].values())]
    rows: list[list[Cell | str]] = [
        [label, *(figure_cell(change.get(name), "+") for name in shown)]
        for label, change in report["differences"].items()
    ]
    caption = "Points, of the same clips, averaged over seeds; in brackets the 95 % interval of whole videos."
    return Table(f"Minus {report['reference']}", ["model", *(HEADINGS[name] for name in shown)], rows, caption)


def _subsets(models: Sequence[Model]) -> list[Plot]:
    """Return bars of all clips, of unseen persons and of rare classes, where results.json tells these."""
    series: dict[str, dict[str, Interval]] = {}
    for model in models:
        for section, title in SUBSETS.items():
            for kind in ("verb", "noun", "action"):
                told = [at(run.figures, section, f"{kind}_top1") for run in model.runs]
                values = [float(value) for value in told if isinstance(value, int | float)]
                if values and len(values) == len(told):
                    bar = Interval(sum(values) / len(values))
                    series.setdefault(model.label, {})[f"{kind}, {title}"] = bar
    if not any(name.endswith(("persons", "classes")) for values in series.values() for name in values):
        return []
    caption = "Top-1 accuracy of all clips, of persons whom training did not show, of rare classes; mean over seeds."
    return [Plot("Rare classes and unseen persons", {"": figures.bars(series, "top-1 accuracy")}, caption)]


# --- confusions


def confused(recognisers: Sequence[Recognisers]) -> Section:
    """Return which verbs and nouns are taken for which."""
    matrices, rows = {}, []
    for model in recognisers:
        for kind in ("verb", "noun"):
            counts: Counter[tuple[str, str]] = Counter()
            for _, records in model.seeds:
                counts.update(counting.confusions(filter(None, (_pair(each, kind) for each in records.values()))))
            mean = {pair: count / len(model.seeds) for pair, count in counts.items()}
            if not mean:
                continue
            classes = counting.most_confused(mean, CONFUSED)
            square = counting.square(mean, classes)
            matrices[f"{model.label}: {kind}s"] = figures.matrix(classes, square, f"true {kind}", f"said {kind}")
            for (true, said), count in counting.ranked(mean)[:LISTED]:
                rows.append([model.label, kind, true, said, f"{count:.3g}"])
    how = "Counts of clips whose likeliest class is not the true one, mean over seeds."
    header = ["model", "of", "true", "said", "count"]
    return Section(
        "confusions",
        "Confusions",
        [Table(f"The {LISTED} most frequent confusions", header, rows, how, folded=True)],
        [Plot("Classes taken for others", matrices, f"{how} The {CONFUSED} classes confused most.", "model")],
    )


def _pair(record: Mapping[str, Any], kind: str) -> tuple[str, str] | None:
    said = _top(record).get(kind)
    true = mapping(record.get("truth")).get(kind)
    return (str(true), str(said[0][0])) if said and true is not None else None


def _top(record: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(next((value for name, value in record.items() if name.startswith("top_")), None))


# --- samples


def samples(recognisers: Sequence[Recognisers], at_hand: AtHand, most: int) -> dict[str, Any]:
    """Return clips and what is said of them as the page's browser takes them, at most `most` of all seeds together.

    Where there are more, the surest mistakes of the first model are kept, and evenly spaced others.
    """
    seeds = [(model.label, run, records) for model in recognisers for run, records in model.seeds]
    first = seeds[0][2]
    ids = _kept(first, max(1, most // len(seeds)))
    words: dict[str, int] = {}
    times = [at_hand.times.get(name) for name in ids]
    truth = [{kind: _word(words, name) for kind, name in mapping(first[each].get("truth")).items()} for each in ids]
    return {
        "kind": "clips",
        "anticipates": recognisers[0].seeds[0][0].task == "anticipation",
        "total": len(first),
        "ids": ids,
        "videos": [first[name].get("video") for name in ids],
        "truth": truth,
        "times": [None if each is None else [round(each.start, 2), round(each.stop, 2)] for each in times],
        "runs": [
            {"model": label, "run": run.name, "top": [_columns(records.get(name, {}), words) for name in ids]}
            for label, run, records in seeds
        ],
        "names": list(words),
    }


def _columns(record: Mapping[str, Any], words: dict[str, int]) -> dict[str, list[list[float]]]:
    return {
        head: [[_word(words, name), round(share, 4)] for name, share in best]
        for head, best in _top(record).items()
        if head in HEADS
    }


def _word(words: dict[str, int], name: object) -> int:
    return words.setdefault(str(name), len(words))


def _kept(records: Records, most: int) -> list[str]:
    ids = list(records)
    if len(ids) <= most:
        return ids
    sure = surest_mistakes(records)[: most // 4]
    rest = [name for name in ids if name not in set(sure)]
    count = most - len(sure)
    chosen = {*sure, *(rest[row * len(rest) // count] for row in range(count))}
    return [name for name in ids if name in chosen]


def surest_mistakes(records: Records) -> list[str]:
    """Return the clips whose likeliest action is wrong, the surest first; of runs without actions, verbs."""
    wrong = {}
    for name, record in records.items():
        head, said, true = _answer(record)
        if head and said[0] != true:
            wrong[name] = float(said[1])
    return sorted(wrong, key=lambda name: -wrong[name])


def _answer(record: Mapping[str, Any]) -> tuple[str, Sequence[Any], str]:
    """Return what a record says is done: the head that tells it, [name, probability], and the true name."""
    top, truth = _top(record), mapping(record.get("truth"))
    both = f"{truth.get('verb')} {truth.get('noun')}"
    for head, true in (("action_head", truth.get("step")), ("action", both), ("verb", truth.get("verb"))):
        if top.get(head):
            return head, top[head][0], str(true)
    return "", ("", 0.0), ""


def programs_file(models: Sequence[Model], at_hand: AtHand) -> Path | None:
    """Return the file of programs that the runs learnt from, if it is at hand."""
    for model in models:
        for run in model.runs:
            told = at(run.config, "data", "init_args", "programs", "file")
            if isinstance(told, str):
                path = Path(told).expanduser()
                beside = [path, run.folder.resolve().parent.parent / path, (at_hand.folder or Path()) / path]
                return next((each for each in beside if each.is_file()), None)
    return None
