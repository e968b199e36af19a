"""The groups of a page: runs that were asked the same stand in one, with everything that is known of them."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from leaplan.errors import DataError
from leaplan.on_runs import clips, learning, plans
from leaplan.on_runs.dataset import AtHand, open_dataset
from leaplan.on_runs.folders import PROGRAMS, Model, RunFolder, mapping
from leaplan.on_runs.pictures import pictures_of
from leaplan.planning.scoring.figures import Resampling as PlanResampling
from leaplan.programs.coverage import measure
from leaplan.programs.rows import read_rows
from leaplan.recognition.intervals import Resampling as ClipResampling
from leaplan.report import counting, program_view
from leaplan.report.content import Group, Section

Say = Callable[[str], None]
ASKED = {
    "dataset": "data",
    "protocol": "split protocol",
    "split": "evaluated split",
    "horizon": "steps to plan",
    "observes": "sees",
    "gap_seconds": "seconds before the action that nothing is seen of",
    "task_given": "task is told",
}
TITLES = {"planning": "Planning", "recognition": "Recognition", "anticipation": "Anticipation"}


@dataclass(frozen=True)
class Limits:
    """How much goes into a page.

    Args:
        samples: Plans or clips of all runs of a group together.
        pictures: Samples with frames, per group.
        draws: Of the bootstrap.
    """

    samples: int = 5000
    pictures: int = 60
    draws: int = 2000


def group_of(models: Sequence[Model], root: str, limits: Limits, say: Say) -> tuple[Group, list[plans.Planners]]:
    """Return the group of models that share a setting, and its planners, for plots over several groups.

    Args:
        models: Of one setting; see `folders.by_setting`.
        root: Folder of the dataset, "" where training found it.
        limits: How much goes into the page.
        say: Told what takes time.

    Raises:
        UserError: A file is damaged, or runs do not fit together.
    """
    first = models[0].runs[0]
    say(f"{first.task}: {', '.join(model.label for model in models)}")
    at_hand = open_dataset(first, root)
    records = {str(run.folder): read_lines(run) for model in models for run in model.runs}
    planners: list[plans.Planners] = []
    if first.task == "planning":
        planners, sections, data = _of_plans(models, records, at_hand, limits)
    else:
        sections, data = _of_clips(models, records, at_hand, limits)
    missing = [*_missing(models), *filter(None, [at_hand.missing, *data.pop("broken", [])])]
    sections += [learning.curves(models), learning.circumstances(models)]
    group = Group(
        title=_title(first),
        protocol=_protocol(models),
        sections=[each for each in sections if each.tables or each.plots or each.widgets],
        missing=missing,
        data=data,
        notes=[str(note) for note in mapping(first.results.get("data")).get("notes", [])],
    )
    return group, planners


def with_horizons(groups: Sequence[Group], planners: Sequence[Sequence[plans.Planners]], draws: int) -> list[Group]:
    """Return the groups, those that plan with a plot of figures by horizon if there are several."""
    plot = plans.by_horizon(planners, PlanResampling(draws=draws))
    if plot is None:
        return list(groups)
    found = []
    for group, own in zip(groups, planners, strict=True):
        sections = [
            replace(each, plots=[plot, *each.plots]) if own and each.key == "curves" else each
            for each in group.sections
        ]
        found.append(replace(group, sections=sections))
    return found


def programs_group(path: Path, limits: Limits, say: Say) -> Group:
    """Return the group of a folder or file of programs: coverage, and programs to look at.

    Raises:
        DataError: The file is damaged.
    """
    file = path if path.is_file() else next(path / name for name in PROGRAMS if (path / name).is_file())
    say(f"programs: {file}")
    rows = read_rows(file)
    if not rows:
        raise DataError(f"{file} holds no rows", "Make it:  leaplan generate-programs --out FOLDER")
    step = -(-len(rows) // limits.samples)
    shown = rows[::step]
    names = [row.clip for row in shown]
    data = {
        "kind": "programs",
        "total": len(rows),
        "ids": names,
        "videos": [row.video for row in shown],
        "labels": [" ".join(filter(None, (row.verb, row.noun))) for row in shown],
        "narrations": [row.narration for row in shown],
        "states": [row.state for row in shown],
        "faults": [[fault.message or fault.kind for fault in row.faults[:3]] for row in shown],
        "times": [[round(row.start, 2), round(row.stop, 2)] for row in shown],
        **program_view.programs_of(shown, names),
    }
    coverage = program_view.coverage_section(measure(rows), file.name)
    sections = [coverage, Section("samples", "Programs", widgets=["samples"])]
    language = rows[0].provenance.vocabulary or "not told"
    told = {"file": str(file), "clips": f"{len(rows):,}", "language": language}
    title = "Programs" if path.name == "programs" else f"Programs, {path.name}"
    return Group(f"{title}, language {language}", told, sections, data=data)


def read_lines(run: RunFolder) -> dict[str, Mapping[str, Any]]:
    """Return the objects of a run's predictions by sample id, {} without predictions.

    Raises:
        DataError: The file is damaged.
    """
    path = run.predictions()
    if path is None:
        return {}
    found: dict[str, Mapping[str, Any]] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if line.strip():
            try:
                content = json.loads(line, parse_constant=_refuse, parse_float=_finite)
                _check(content)
                found[str(content["sample_id"])] = content
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                what = f"{path}, line {number}: this is no prediction ({error!r})"
                raise DataError(what, f"Make it again:  {run.command}") from error
    if not found:
        raise DataError(f"{path} holds no predictions", f"Make it again:  {run.command}")
    return found


def _check(content: Mapping[str, Any]) -> None:
    """Raise what Python does of a plan's or a name's probability that is no number."""
    for plan in content.get("alternatives", ()):
        len(plan["plan"]), plan["probability"] + 0.0
    for name, best in content.items():
        if name.startswith("top_") and isinstance(best, Mapping):  # of a clip, by kind of class
            [share + 0.0 for likely in best.values() for _, share in likely]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        _refuse(number)
    return value


def _of_plans(
    models: Sequence[Model], records: Mapping[str, dict[str, Mapping[str, Any]]], at_hand: AtHand, limits: Limits
) -> tuple[list[plans.Planners], list[Section], dict[str, Any]]:
    planners = plans.read_planners(models, records)
    if not planners:
        return [], [learning.told_figures(models)], {}
    resampling = PlanResampling(draws=limits.draws)
    names = plans.class_names(planners, at_hand)
    data = plans.samples(planners, at_hand, names, limits.samples)
    first = planners[0].seeds[0]
    pictures = _pictures(plans.surest_mistakes(first), data, at_hand, limits.pictures)
    data |= pictures | _transitions(first, data, at_hand)
    sections = [
        plans.results(planners, resampling),
        plans.curves(planners, resampling),
        Section("samples", "Plans", widgets=["samples"]),
        plans.confused(planners, names),
        Section("transitions", "Transitions", widgets=["transitions"]),
    ]
    return planners, sections, data


def _of_clips(
    models: Sequence[Model], records: Mapping[str, dict[str, Mapping[str, Any]]], at_hand: AtHand, limits: Limits
) -> tuple[list[Section], dict[str, Any]]:
    recognisers = clips.read_recognisers(models, records)
    if not recognisers:
        return [learning.told_figures(models)], {}
    data = clips.samples(recognisers, at_hand, limits.samples)
    first = recognisers[0].seeds[0][1]
    data |= _pictures(clips.surest_mistakes(first), data, at_hand, limits.pictures)
    sections = [
        clips.results(models, ClipResampling(draws=limits.draws)),
        Section("samples", "Clips", widgets=["samples"]),
        clips.confused(recognisers),
    ]
    file = clips.programs_file(models, at_hand)
    if file is not None:
        rows = read_rows(file)
        data |= program_view.programs_of(rows, data["ids"])
        data["programs_from"] = file.name
        sections.append(program_view.coverage_section(measure(rows), file.name))
    return sections, data


def _pictures(mistakes: Sequence[str], data: Mapping[str, Any], at_hand: AtHand, most: int) -> dict[str, Any]:
    """Return pictures of the surest mistakes, and of others, evenly spaced, one half each."""
    video = dict(zip(data["ids"], data["videos"], strict=True))
    wrong = [name for name in mistakes if name in video][: most - most // 2]
    others = [name for name in data["ids"] if name not in set(wrong)]
    count = min(len(others), most - len(wrong))
    chosen = [*wrong, *(others[row * len(others) // count] for row in range(count))]
    found, broken = pictures_of([(name, video[name]) for name in chosen], at_hand)
    return {"pictures": found, "broken": broken}


def _transitions(first: plans.Planned, data: Mapping[str, Any], at_hand: AtHand) -> dict[str, Any]:
    """Return which step follows which, of the training videos, or else of the true plans of the predictions."""
    tasks: list[str] = data["tasks"]
    if at_hand.orders and at_hand.vocabulary is not None:
        known = {name: place for place, name in enumerate(tasks)}
        names = at_hand.vocabulary.tasks
        orders = [(known.get(names[task] if task >= 0 else "", -1), steps) for task, steps in at_hand.orders]
        if any(task >= 0 for task, _ in orders):
            return {"transitions": counting.transitions(orders), "transitions_of": "the training videos"}
    numbers = {name: place for place, name in enumerate(tasks)}
    plans_of = [
        (numbers.get(str(first.records[name].get("task") or ""), -1), target.tolist())
        for name, target in zip(first.read.sample_ids, first.read.target, strict=True)
    ]
    told = "the true plans of the evaluated windows, which overlap, as the training videos are not at hand"
    return {"transitions": counting.transitions(plans_of), "transitions_of": told}


# --- what is told of a group


def _title(run: RunFolder) -> str:
    what = TITLES[run.task]
    horizon = run.setting.get("horizon")
    if run.task == "planning" and isinstance(horizon, int):
        what = f"Planning {horizon} step{'s' if horizon != 1 else ''}"
    return f"{what}, {run.setting['dataset'] or 'unknown data'}, {run.split}"


def _protocol(models: Sequence[Model]) -> dict[str, str]:
    setting, run = models[0].runs[0].setting, models[0].runs[0]
    told = {title: setting.get(name) for name, title in ASKED.items()}
    told["samples"] = mapping(mapping(run.results.get("data")).get("samples")).get(run.split)
    told["videos"] = mapping(mapping(run.results.get("data")).get("videos")).get(run.split)
    found = {name: learning.in_words(value) for name, value in told.items() if value not in (None, "")}
    for name, title in (("selected_on", "checkpoint chosen by"), ("classes", "classes"), ("features", "features")):
        values = dict.fromkeys(learning.in_words(m.protocol.get(name)) for each in models for m in each.runs)
        found |= {title: "; ".join(filter(None, values))} if any(values) else {}
    return found


def _missing(models: Sequence[Model]) -> list[str]:
    found = []
    for run in (run for model in models for run in model.runs):
        lacks = [] if run.figures else [f"figures of the split {run.split}"]
        lacks += [] if run.predictions() else ["predictions"]
        lacks += ["scores"] if run.task != "planning" and not run.predictions(".npz") else []
        lacks += [] if run.epochs else ["learning curves (metrics.csv)"]
        if any("learning" not in each for each in lacks):
            found.append(f"{run.name} has no {', '.join(lacks)}. Make them:  {run.command}")
        elif lacks:
            found.append(f"{run.name} has no {lacks[0]}: training writes them")
    return found
