"""The verb `compare`: models that recognise, anticipate or plan, each trained with several seeds, on the same data."""

import argparse
import glob
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

import leaplan
from leaplan import compare_plans
from leaplan.errors import ConfigError, DataError
from leaplan.recognition.intervals import (
    Resampling,
    Share,
    accuracy_share,
    differences,
    recall_share,
    with_intervals,
)
from leaplan.recognition.metrics import Labels, Ranks, classes_of, ranks_of
from leaplan.recognition.outcome import SavedScores, official_ranks, read_scores
from leaplan.training.resampling import add_options, write_report
from leaplan.training.results import read_results

SHOWN = {
    "verb_top1": "verb top-1",
    "noun_top1": "noun top-1",
    "action_top1": "action top-1",
    "action_top5": "action top-5",
    "action_mt5r": "action mean top-5 recall",
    "s_verb": "S-Verb",
    "object_a": "Obj(A)",
    "object_b": "Obj(B)",
    "set_f1": "set F1",
}
"""Figures that are shown, where the runs have them, and their headings."""
PROGRAMS = ("s_verb", "object_a", "object_b", "set_f1", "edit_score", "before_f1", "after_f1")
"""Figures that are read from results.json, which tells no clips."""
PATTERN = re.compile(r"(?:(?P<section>action_head|fused)\.)?(?P<kind>verb|noun|action)_(?:top(?P<k>[1-9]\d*)|mt5r)")
FIGURES = "verb_top1, noun_mt5r, action_top5, action_head.action_top1, fused.action_mt5r, " + ", ".join(PROGRAMS)
EXAMPLES = f"""examples:
  leaplan compare plain=runs/plain-7,runs/plain-8,runs/plain-9 programs='runs/programs-*'
  leaplan compare without=runs/a with=runs/b --figure action_top1 --figure fused.action_top1 --json comparison.json
  leaplan compare closed='runs/plan-*' planllm='runs/planllm-*' --figure viterbi.success_rate

A label stands for one model, what follows for the runs of its seeds. Read are predictions/test.npz and results.json of
each, of planners predictions/test.jsonl. An interval resamples whole videos and leaves the seeds as they are; the
standard error over seeds is beside it. Two files of plans, whoever made them, are compared by `leaplan score`.
figures: {FIGURES}
figures of plans: {compare_plans.FIGURES}"""
HINT = "Evaluate it:  leaplan test --config RUN/config.yaml"


@dataclass(frozen=True)
class Run:
    """One seed of a model.

    Args:
        folder: Of the run.
        saved: Scores of each clip, the truth, and the videos.
        metrics: The split's section of results.json.
    """

    folder: Path
    saved: SavedScores
    metrics: Mapping[str, Any]


def main(argv: list[str]) -> int:
    """Compare the runs that `argv` names, print tables, and return 0.

    Raises:
        UserError: Wrong use, a run without scores, or runs of other clips or with another truth.
    """
    options = _parser().parse_args(argv)
    models = dict(map(labelled_folders, options.models))
    if len(models) < len(options.models):
        raise ConfigError("two models have the same label", "Such as  leaplan compare a=runs/x b=runs/y")
    report = compare_runs(models, options.figure, options.split, Resampling(options.bootstrap, options.seed))
    write_report(options.json, report)
    _print(report)
    return 0


def compare_runs(
    models: Mapping[str, Sequence[str | Path]],
    figures: Sequence[str] | None = None,
    split: str = "test",
    resampling: Resampling = Resampling(),  # noqa: B008, it is frozen
) -> dict[str, Any]:
    """Return figures of models that recognise, anticipate or plan, and how far each is from the first.

    Args:
        models: Label to run folders, one for each seed.
        figures: Their names, see `leaplan compare --help`; None takes the usual ones that the runs have.
        split: Which predictions are read.
        resampling: How intervals are made.

    Returns:
        Fractions from 0 to 1: "models", label to "figures", name to mean, sd over seeds, low and high (95 % over
        videos); "differences", label to name to value, low, high and verdict; "clips", or "windows" of plans, and
        "videos", how many.

    Raises:
        ConfigError: There is no such figure.
        DataError: A run has no scores, lacks a figure, is of other samples, or plans where another recognises.
    """
    folders = {label: list(map(Path, runs)) for label, runs in models.items()}
    if plans := compare_plans.files_of_plans(folders, split):
        return _compare_plans(folders, compare_plans.read_plans(plans, figures), resampling)
    wanted = list(SHOWN) if figures is None else list(dict.fromkeys(figures))
    for name in wanted:
        if name not in PROGRAMS and not PATTERN.fullmatch(name):
            raise ConfigError(f"'{name}' is no figure", f"Such as {FIGURES}")
    runs = {label: [read_run(folder, split) for folder in seeds] for label, seeds in folders.items()}
    return compare(runs, wanted, resampling, strict=figures is not None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "leaplan compare",
        description="Compare models that recognise, anticipate or plan, over seeds, on the same samples.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("models", nargs="+", metavar="LABEL=RUN[,RUN...]", help="the first one is compared against")
    parser.add_argument("--figure", action="append", metavar="NAME", help="instead of the usual ones; may be repeated")
    parser.add_argument("--split", default="test", help="which predictions are read (default test)")
    add_options(parser)
    return parser


# --- runs -------------------------------------------------------------------------------------------


def labelled_folders(text: str) -> tuple[str, list[Path]]:
    """Return label and run folders of "label=runs/a,runs/b-*".

    Raises:
        ConfigError: It is not of this form, or a pattern fits no folder.
    """
    label, _, runs = text.partition("=")
    if not label or not runs:
        raise ConfigError(f"'{text}' is no LABEL=RUN,RUN", "Such as  leaplan compare plain=runs/x programs=runs/y")
    folders: list[Path] = []
    for pattern in filter(None, runs.split(",")):
        names = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207, may be absolute
        if not names:
            raise ConfigError(f"no folder is called {pattern}", "Check the runs of label '" + label + "'")
        folders += map(Path, names)
    return label, list(dict.fromkeys(folders))


def read_run(folder: Path, split: str) -> Run:
    """Return a run that recognises or anticipates.

    Raises:
        DataError: It has no scores of `split`, or they are damaged.
    """
    path = folder / "predictions" / f"{split}.npz"
    if not path.is_file():
        what = "is not a folder" if not folder.is_dir() else f"has no predictions/{split}.npz"
        raise DataError(f"{folder} {what}", HINT)
    return Run(folder, read_scores(path), _metrics(folder, split))


def _metrics(folder: Path, split: str) -> Mapping[str, Any]:
    """Return the split's section of results.json, {} without one."""
    metrics = read_results(folder).get("metrics")
    found = metrics.get(split) if isinstance(metrics, dict) else None
    return found if isinstance(found, dict) else {}


def aligned(models: Mapping[str, Sequence[Run]]) -> tuple[dict[str, list[Run]], int]:
    """Cut all runs to their common clips, in one order. Also return how many clips some run has and others have not.

    Raises:
        DataError: There is no common clip, or the truth of one differs.
    """
    runs = [run for seeds in models.values() for run in seeds]
    everything = set().union(*(run.saved.sample_ids for run in runs))
    common = sorted(set.intersection(*(set(run.saved.sample_ids) for run in runs)))
    if not common:
        raise DataError(f"{runs[0].folder} and the other runs have no clip in common", "Compare runs of one data set")
    cut = {label: [_cut(run, common) for run in seeds] for label, seeds in models.items()}
    first, *others = [run for seeds in cut.values() for run in seeds]
    for other in others:
        same = torch.stack([a == b for a, b in zip(first.saved.labels, other.saved.labels, strict=True)]).all(0)
        if not bool(same.all()):
            name = common[int((~same).nonzero()[0])]
            raise DataError(f"the true classes of clip '{name}' differ in {first.folder} and {other.folder}", HINT)
    return cut, len(everything) - len(common)


def _cut(run: Run, ids: Sequence[str]) -> Run:
    saved = run.saved
    place = {name: row for row, name in enumerate(saved.sample_ids)}
    rows = torch.tensor([place[name] for name in ids], dtype=torch.int64)
    videos = tuple(saved.videos[row] for row in rows.tolist())
    labels = Labels(*(label[rows] for label in saved.labels))
    cut = SavedScores(saved.path, tuple(ids), videos, None, labels, saved.scores.at(rows), saved.action_pairs)
    return Run(run.folder, cut, run.metrics)


# --- figures ----------------------------------------------------------------------------------------


def compare(
    models: Mapping[str, Sequence[Run]], wanted: Sequence[str], resampling: Resampling, strict: bool = True
) -> dict[str, Any]:
    """Return figures of each model over its seeds, and how far each is from the first model.

    Args:
        models: Label to runs.
        wanted: Names of figures.
        resampling: How intervals are made.
        strict: A figure that a run lacks is an error; else it is left out for this model.

    Raises:
        DataError: Runs do not fit together, or lack a figure.
    """
    models, left_out = aligned(models)
    first = next(iter(models.values()))[0].saved
    shares = {label: [_shares(run.saved, wanted) for run in runs] for label, runs in models.items()}
    of_runs = {label: _values(runs, shares[label], wanted) for label, runs in models.items()}
    if strict:
        _refuse_missing(of_runs, wanted)
    folders = {label: [run.folder for run in runs] for label, runs in models.items()}
    return {"clips": len(first.videos), "left_out": left_out} | _report(
        folders, shares, of_runs, first.videos, resampling
    )


def _compare_plans(
    folders: Mapping[str, Sequence[Path]], plans: compare_plans.PlannedWindows, resampling: Resampling
) -> dict[str, Any]:
    """Return the same of planning runs, of "windows"."""
    of_runs = {
        label: {name: [seed[name].value for seed in seeds] for name in _averaged(seeds)}
        for label, seeds in plans.shares.items()
    }
    return {"windows": len(plans.videos), "left_out": plans.left_out} | _report(
        folders, plans.shares, of_runs, plans.videos, resampling
    )


def _report(
    folders: Mapping[str, Sequence[Path]],
    shares: Mapping[str, Sequence[Mapping[str, Share]]],
    of_runs: Mapping[str, Mapping[str, Any]],
    videos: Sequence[str],
    resampling: Resampling,
) -> dict[str, Any]:
    """Return figures and differences, from each model's shares of the same samples, an entry per seed."""
    averaged = {label: _averaged(seeds) for label, seeds in shares.items()}
    reference, *others = folders
    report: dict[str, Any] = {
        "schema": 1,
        "leaplan": leaplan.__version__,
        "videos": len(set(videos)),
        "bootstrap": resampling.draws,
        "seed": resampling.seed,
        "models": {
            label: {
                "runs": list(map(str, runs)),
                "figures": _summaries(of_runs[label], averaged[label], videos, resampling),
            }
            for label, runs in folders.items()
        },
        "reference": reference,
        "differences": {},
    }
    for label in others:
        change = differences(averaged[reference], averaged[label], videos, resampling)
        report["differences"][label] = {
            name: _difference(of_runs[reference][name], values, change.get(name))
            for name, values in of_runs[label].items()
            if name in of_runs[reference]
        }
    return report


def _shares(saved: SavedScores, wanted: Sequence[str]) -> dict[str, Share]:
    """Return the figures of one run that are told of single clips."""
    ranks = ranks_of(saved.scores, saved.labels, saved.action_pairs)
    found = {}
    for name in wanted:
        match = PATTERN.fullmatch(name)
        rank = None if match is None else _rank(ranks, match["section"], match["kind"])
        if match is None or rank is None:
            continue
        if match["k"]:
            found[name] = accuracy_share(rank, int(match["k"]))
        else:
            found[name] = recall_share(rank, classes_of(match["section"] or match["kind"], saved.labels), 5)
    return found


def _rank(ranks: Ranks, section: str | None, kind: str) -> Tensor | None:
    if section is None:
        return official_ranks(ranks).get(kind)
    return getattr(ranks, section) if kind == "action" else None


def _averaged(seeds: Sequence[Mapping[str, Share]]) -> dict[str, Share]:
    """Return the figures that all seeds have, each clip's share of seeds that got it right."""
    common = [name for name in seeds[0] if all(name in shares for shares in seeds)]
    return {
        name: Share(np.mean([shares[name].hit for shares in seeds], axis=0), seeds[0][name].weight) for name in common
    }


def _values(runs: Sequence[Run], seeds: Sequence[Mapping[str, Share]], wanted: Sequence[str]) -> dict[str, list[float]]:
    """Return one value per run of each figure that all runs have."""
    found = {}
    for name in wanted:
        shares = [shares[name].value if name in shares else None for shares in seeds]
        values = [_told(run.metrics, name) for run in runs] if name in PROGRAMS else shares
        if all(value is not None for value in values):
            found[name] = [value for value in values if value is not None]
    return found


def _told(metrics: Mapping[str, Any], name: str) -> float | None:
    """Return a figure from whichever section of the results has it."""
    for section in (metrics, *metrics.values()):
        figure = section.get(name) if isinstance(section, Mapping) else None
        if isinstance(figure, (int, float)) and math.isfinite(figure):
            return float(figure)
    return None


def _refuse_missing(values: Mapping[str, Mapping[str, Any]], wanted: Sequence[str]) -> None:
    for label, found in values.items():
        absent = [name for name in wanted if name not in found]
        if absent:
            hint = f"It has {', '.join(found) or 'none'}"
            raise DataError(f"a run of '{label}' lacks {', '.join(absent)}", hint)


def _summaries(
    of_runs: Mapping[str, Sequence[float]], of_clips: Mapping[str, Share], videos: Sequence[str], resampling: Resampling
) -> dict[str, dict[str, Any]]:
    """Return mean, sample sd (None of one seed), values, and interval over videos of each figure."""
    intervals = with_intervals(of_clips, videos, resampling) if of_clips else {}
    found = {}
    for name, values in of_runs.items():
        deviation = statistics.stdev(values) if len(values) > 1 else None
        low, high = (intervals[name]["low"], intervals[name]["high"]) if name in intervals else (None, None)
        found[name] = {
            "mean": statistics.fmean(values), "sd": deviation, "low": low, "high": high, "values": list(values)
        }  # fmt: skip
    return found


def _difference(
    first: Sequence[float], second: Sequence[float], interval: Mapping[str, float | None] | None
) -> dict[str, Any]:
    """Return second minus first: value, interval over videos where clips are told, standard error over seeds."""
    found: dict[str, Any] = {"value": statistics.fmean(second) - statistics.fmean(first)}
    error = None
    if min(len(first), len(second)) > 1:
        error = sum(statistics.variance(each) / len(each) for each in (first, second)) ** 0.5
    low, high = (None, None) if interval is None else (interval["low"], interval["high"])
    found |= {"low": low, "high": high, "standard_error_over_seeds": error}
    return {**found, "verdict": _verdict(found)}


def _verdict(difference: Mapping[str, Any]) -> str:
    """Say what a difference is worth."""
    value, low, high = (difference[name] for name in ("value", "low", "high"))
    error = difference["standard_error_over_seeds"]
    within_seeds = error is not None and abs(value) < 2 * error
    if low is None or high is None:
        if error is None:
            return "no interval: results.json tells no clips, and there is one seed"
        return "no difference beyond the seeds" if within_seeds else _direction(value)
    if low <= 0 <= high:
        return "no difference beyond the interval"
    return f"{_direction(value)}, but within two standard errors over seeds" if within_seeds else _direction(value)


def _direction(value: float) -> str:
    return "higher" if value > 0 else "lower"


# --- the screen -------------------------------------------------------------------------------------


def _print(report: Mapping[str, Any]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    what = "windows" if "windows" in report else "clips"
    left_out = f"; {report['left_out']:,} {what} that not all runs have are left out" if report["left_out"] else ""
    console.print(f"{report[what]:,} {what} of {report['videos']:,} videos{left_out}")
    console.print(_table(report["models"]))
    for label, change in report["differences"].items():
        title = f"{escape(label)} minus {escape(report['reference'])}; points, 95 % interval over videos"
        table = Table("", "difference", "interval", "se over seeds", "", title=title, title_justify="left")
        for name, each in change.items():
            ends = "–" if each["low"] is None else f"\\[{100 * each['low']:+.1f}, {100 * each['high']:+.1f}]"
            error = each["standard_error_over_seeds"]
            shown = "–" if error is None else f"{100 * error:.1f}"
            table.add_row(_heading(name), f"{100 * each['value']:+.1f}", ends, shown, each["verdict"])
        console.print(table)


def _table(models: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return a row per figure and a column per model."""
    title = "mean ± sample sd over seeds, 95 % interval over videos"
    seeds = [f"{escape(label)}, seeds: {len(model['runs'])}" for label, model in models.items()]
    table = Table("%", *seeds, title=title, title_justify="left")
    for name in dict.fromkeys(name for model in models.values() for name in model["figures"]):
        cells = [_cell(model["figures"][name]) if name in model["figures"] else "–" for model in models.values()]
        table.add_row(_heading(name), *cells)
    return table


def _heading(name: str) -> str:
    return SHOWN.get(name) or compare_plans.heading(name)


def _cell(summary: Mapping[str, Any]) -> str:
    text = f"{100 * summary['mean']:.1f}"
    if summary["sd"] is not None:
        text += f" ± {100 * summary['sd']:.1f}"
    if summary["low"] is not None:
        text += f"  \\[{100 * summary['low']:.1f}, {100 * summary['high']:.1f}]"
    return text
