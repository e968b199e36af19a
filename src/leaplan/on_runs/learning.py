"""What is told of any run: learning curves, what it cost, where it ran, figures without predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

from leaplan.on_runs.folders import Model, RunFolder, mapping
from leaplan.report import figures
from leaplan.report.content import Cell, Plot, Section, Table, percent

FIRST = ("val/viterbi/success_rate", "val/action_top1", "val/action_mt5r", "train/loss")
NO_FRACTIONS = ("loss", "train/", "step", "broken", "lr")


def curves(models: Sequence[Model]) -> Section:
    """Return a learning curve for each column of metrics.csv, to choose from."""
    runs = [(run, place) for place, model in enumerate(models) for run in model.runs if run.epochs]
    columns = dict.fromkeys(name for run, _ in runs for name in run.epochs if name not in ("epoch", "step"))
    ordered = [name for name in FIRST if name in columns] + [name for name in columns if name not in FIRST]
    found = {}
    for column in ordered:
        traces = [(run.name, place, _epoch(run), run.epochs[column]) for run, place in runs if column in run.epochs]
        fraction = not any(word in column for word in NO_FRACTIONS) and _within_one(traces)
        found[column] = figures.curves(traces, fraction)
    if not found:
        return Section("learning", "Learning")
    caption = (
        "By epoch, as metrics.csv of each run tells it; runs of one model share a colour. Columns of val are measured "
        "on the validation split, on which checkpoints are chosen."
    )
    return Section("learning", "Learning", plots=[Plot("Learning curves", found, caption, "figure")])


def _epoch(run: RunFolder) -> Sequence[float | None]:
    longest = max(map(len, run.epochs.values()), default=0)
    return run.epochs.get("epoch") or [float(number) for number in range(longest)]


def _within_one(traces: Sequence[tuple[str, int, Any, Sequence[float | None]]]) -> bool:
    return all(0 <= value <= 1 for *_, values in traces for value in values if value is not None)


def circumstances(models: Sequence[Model]) -> Section:
    """Return what each run cost, and where it ran."""
    header = ["run", "parameters", "trained for", "peak memory", "device", "versions", "commit"]
    rows = []
    for run in (run for model in models for run in model.runs):
        cost, where = mapping(run.results.get("cost")), mapping(run.results.get("environment"))
        size = mapping(cost.get("parameters"))
        total = Cell(_whole(size.get("total")), f"{_whole(size.get('trainable'))} trainable")
        versions = [f"{name} {where[name]}" for name in ("python", "torch", "lightning") if where.get(name)]
        memory = f"{cost['peak_memory_mb']:,.0f} MiB" if isinstance(cost.get("peak_memory_mb"), int | float) else "–"
        rows.append([
            run.name, total if size else "–", _duration(cost.get("seconds")), memory,
            Cell(str(where.get("device", "–")), str(where.get("platform", ""))),
            Cell(f"leaplan {run.results.get('leaplan', '–')}", "\n".join(versions)), str(where.get("git") or "–"),
        ])  # fmt: skip
    caption = "As results.json tells: time is that of training on the device named; memory is that of the process."
    return Section("circumstances", "Environment and cost", [Table("", header, rows, caption)])


def told_figures(models: Sequence[Model]) -> Section:
    """Return the figures that results.json tells, for runs that left no predictions: without intervals."""
    rows = []
    for run in (run for model in models for run in model.runs):
        for section, values in run.figures.items():
            for name, value in mapping(values).items():
                if isinstance(value, float):
                    rows.append([run.name, section, name.replace("_", " "), percent(value)])
    caption = "Percent, from results.json. There are no predictions, so no intervals and no samples."
    tables = [Table("Figures", ["run", "of", "figure", "value"], rows, caption)] if rows else []
    return Section("results", "Results", tables)


def _duration(seconds: Any) -> str:
    if not isinstance(seconds, int | float):
        return "–"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _whole(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "–"


def in_words(value: Any) -> str:
    """Return a value of a protocol as people read it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {in_words(each)}" for name, each in value.items() if each != "")
    if isinstance(value, list | tuple):
        return " and ".join(map(in_words, value)) if all(isinstance(v, str) for v in value) else str(list(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
