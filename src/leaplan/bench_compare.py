"""`leaplan bench --compare`: two runs of a benchmark, row by row."""

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from leaplan.bench import SCHEMA, SUBJECTS, add_headings, number
from leaplan.errors import DataError
from leaplan.measuring import Figure

STUDENT_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""97.5 % quantiles of Student's distribution with 1 to 10 degrees of freedom; the last serves for more, cautiously."""
MACHINE = ("processor", "cores", "device", "platform")
VERSIONS = ("python", "torch", "threads", "precision")
HINT = "Measure it again:  leaplan bench SUBJECT --json FILE"


@dataclass(frozen=True)
class Run:
    """A file of `leaplan bench SUBJECT --json FILE`.

    Args:
        path: Of it.
        subject, version: What was measured, and of which leaplan.
        settings: Options it was measured with.
        environment: Machine and versions.
        figures: By name.
    """

    path: Path
    subject: str
    version: str
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times a figure of another is.

    Args:
        ratio: After over before; None where one of them is not positive.
        low, high: 95 % interval; None where either was measured once only.
        verdict: "better", "worse", "within noise", "differs" where neither is better, or "" where nothing is known.
    """

    ratio: float | None
    low: float | None
    high: float | None
    verdict: str


def compare_files(before: Path, after: Path) -> int:
    """Print the rows of two runs side by side, and return 0.

    Raises:
        DataError: A file is missing, damaged, or of something else, or the subjects differ.
    """
    first, second = read(before), read(after)
    if first.subject != second.subject:
        raise DataError(
            f"{before} measured {first.subject}, but {after} measured {second.subject}",
            f"Measure the same twice:  leaplan bench {first.subject} --json {after}",
        )
    _print(first, second)
    return 0


# --- Reading


def read(path: Path) -> Run:
    """Return what `--json` wrote.

    Raises:
        DataError: There is no such file, it is damaged, or something else wrote it.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})", HINT) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON, or only a part of it: {error}", HINT) from error
    if not isinstance(content, dict) or "bench" not in content:
        raise DataError(f"{path} was not written by leaplan bench", HINT)
    if content["bench"] != SCHEMA:
        raise DataError(f"{path} has form {content['bench']!r} of leaplan bench, but this version reads {SCHEMA}", HINT)
    try:
        if content["subject"] not in SUBJECTS:
            raise ValueError(f"there is no subject {content['subject']!r}")
        figures = [_figure(row) for row in content["figures"]]
        named = {figure.name: figure for figure in figures}
        if len(named) < len(figures):
            raise ValueError("two figures have the same name")
        settings, environment = dict(content["settings"]), dict(content["environment"])
        return Run(path, content["subject"], str(content["leaplan"]), settings, environment, named)
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path} is damaged: {what}", HINT) from error


def _figure(row: Mapping[str, Any]) -> Figure:
    repeats = tuple(float(each) for each in row["repeats"])
    if not repeats or not all(map(math.isfinite, repeats)):
        raise ValueError(f"figure {row['name']!r} has no finite repeats")
    if row["better"] not in ("higher", "lower", None):
        raise ValueError(f"figure {row['name']!r} says that {row['better']!r} is better")
    return Figure(str(row["name"]), repeats, str(row["unit"]), row["better"] or "", str(row.get("beside", "")))


# --- Comparing


def ratio_of(before: Figure, after: Figure) -> Ratio:
    """Return how many times `before` the figure `after` is, by the geometric means of their repeats.

    The interval is Welch's on the logarithms: it holds what varies among the repeats of each run, and nothing that
    changes from one run to the next.
    """
    if min(*before.repeats, *after.repeats) <= 0:
        return Ratio(None, None, None, "" if before.repeats != after.repeats else "the same")
    logs = [[math.log(each) for each in figure.repeats] for figure in (before, after)]
    centre = statistics.fmean(logs[1]) - statistics.fmean(logs[0])
    ratio = math.exp(centre)
    if before.repeats == after.repeats:
        return Ratio(ratio, None, None, "the same")
    if min(map(len, logs)) < 2:
        return Ratio(ratio, None, None, "")
    margin = _margin(logs)
    low, high = math.exp(centre - margin), math.exp(centre + margin)
    return Ratio(ratio, low, high, _verdict(low, high, after.better))


def _margin(logs: Sequence[Sequence[float]]) -> float:
    """Return half the width of Welch's 95 % interval of a difference of means."""
    parts = [statistics.variance(each) / len(each) for each in logs]
    if sum(parts) == 0:
        return 0.0
    freedom = sum(parts) ** 2 / sum(part**2 / (len(each) - 1) for part, each in zip(parts, logs, strict=True))
    return STUDENT_95[min(int(freedom + 1e-9), len(STUDENT_95)) - 1] * math.sqrt(sum(parts))


def _verdict(low: float, high: float, better: str) -> str:
    if low <= 1 <= high:
        return "within noise"
    if not better:
        return "differs"
    return "better" if (low > 1) == (better == "higher") else "worse"


def warnings_of(first: Run, second: Run) -> Iterator[str]:
    """Yield what makes the ratios say less than they seem to."""

    def differing(keys: Sequence[str], one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
        told = [f"{key} {one.get(key)} and {other.get(key)}" for key in keys if one.get(key) != other.get(key)]
        return "; ".join(told)

    if machine := differing(MACHINE, first.environment, second.environment):
        yield f"the machines differ ({machine}): these ratios do not measure the code"
    if versions := differing(VERSIONS, first.environment, second.environment):
        yield f"versions or their use differ: {versions}"
    if first.version != second.version:
        yield f"leaplan {first.version} and {second.version}"
    keys = sorted({*first.settings, *second.settings} - {"repeats"})
    if settings := differing(keys, first.settings, second.settings):
        yield f"options differ: {settings}"
    units = [name for name in _common(first, second) if first.figures[name].unit != second.figures[name].unit]
    if units:
        yield f"units differ, left out: {', '.join(units)}"
    for run, other in ((first, second), (second, first)):
        if alone := [name for name in run.figures if name not in other.figures]:
            yield f"only in {run.path}: {', '.join(alone)}"


def _common(first: Run, second: Run) -> list[str]:
    return [name for name in first.figures if name in second.figures]


def _print(first: Run, second: Run) -> None:
    table = Table("what", box=None, pad_edge=False)
    for column in ("unit", "before", "after", "ratio", "95 %", ""):
        table.add_column(column, no_wrap=True)
    same = [name for name in _common(first, second) if first.figures[name].unit == second.figures[name].unit]
    pairs = [(first.figures[name], second.figures[name]) for name in same]
    for (before, after), what in zip(pairs, add_headings(table, (pair[0] for pair in pairs)), strict=False):
        found = ratio_of(before, after)
        ratio = "-" if found.ratio is None else f"{found.ratio:.3f}"
        interval = "-" if found.low is None else f"{found.low:.3f} to {found.high:.3f}"
        table.add_row(
            what, escape(after.unit), *map(number, (before.value, after.value)), ratio, interval, found.verdict
        )
    console = Console(soft_wrap=True)
    console.print(
        f"{first.subject}: before {first.path}, after {second.path}; ratios are after / before",
        markup=False,
        highlight=False,
    )
    console.print(table, highlight=False)
    console.print("Intervals hold what varies within each run; what changes from run to run they do not know.")
    for warning in warnings_of(first, second):
        console.print(f"beware: {warning}", markup=False, highlight=False)
