"""`leaplan bench --compare`: two measurements of one benchmark, as ratios.

Each side is one file of `leaplan bench SUBJECT --json FILE`, or several of repeated runs: then medians are compared,
and their spread tells what is noise.
"""

import glob
import json
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from leaplan.errors import DataError
from leaplan.measured import SCHEMA

LESS = re.compile(r"(_s|seconds|_ms|_mb)$")
MORE = re.compile(r"(per_second|per_s|per_hour|ratio|mfu|busy)$")
USUAL = 0.10
"""Differences below this share are usual between two runs of the same code on a shared machine."""
MACHINE = ("processor", "cores", "platform", "gpu")


class Side(NamedTuple):
    """One or several runs of a benchmark."""

    pattern: str
    runs: list[Mapping[str, Any]]
    figures: list[dict[str, float]]  # of each run

    def values(self, name: str) -> list[float]:
        """Return a figure of all runs that have it."""
        return [figures[name] for figures in self.figures if name in figures]


class Row(NamedTuple):
    """A figure on both sides."""

    name: str
    before: list[float]
    after: list[float]
    verdict: str

    @property
    def ratio(self) -> float | None:
        """After by before, of medians; None by zero."""
        before = statistics.median(self.before)
        return statistics.median(self.after) / before if before else None


def compare(before: str, after: str) -> int:
    """Print the figures of two sides, each a file or a pattern of files, and return the exit code.

    Raises:
        DataError: A file is missing, damaged, of another benchmark, or measured with other settings.
    """
    sides = [_side(before), _side(after)]
    _refuse_others([run for side in sides for run in side.runs])
    console = Console(soft_wrap=True)
    console.print(_table(sides, rows_of(*sides)))
    for warning in warnings_of(*sides):
        console.print(f"note: {warning}", markup=False, highlight=False)
    return 0


def rows_of(before: Side, after: Side) -> list[Row]:
    """Return all figures that both sides have and that are better or worse, not just different."""
    names = dict.fromkeys(name for figures in before.figures for name in figures)
    rows = []
    for name in names:
        old, new = before.values(name), after.values(name)
        if new and (LESS.search(name) or MORE.search(name)):
            rows.append(Row(name, old, new, _verdict(name, old, new)))
    return rows


def _verdict(name: str, before: Sequence[float], after: Sequence[float]) -> str:
    repeated = min(len(before), len(after)) > 1
    if max(before) >= min(after) and max(after) >= min(before) and repeated:
        return "within the spread"
    old, new = statistics.median(before), statistics.median(after)
    if old == new or (not repeated and old > 0 and abs(new / old - 1) <= USUAL):
        return "no difference" if old == new else "within what is usual"
    return "better" if (new > old) == bool(MORE.search(name)) else "worse"


def warnings_of(before: Side, after: Side) -> list[str]:
    """Return what makes the ratios doubtful."""
    told = []
    machines = [run["machine"] for side in (before, after) for run in side.runs]
    differing = [name for name in MACHINE if len({str(each.get(name)) for each in machines}) > 1]
    if differing:
        told.append(f"measured on different machines ({', '.join(differing)}): ratios do not tell of the code alone")
    names = [name for name in machines[0] if name not in MACHINE]
    libraries = [name for name in names if len({each.get(name) for each in machines}) > 1]
    if libraries:
        told.append(f"measured with different versions of {', '.join(libraries)}")
    if min(len(before.runs), len(after.runs)) == 1:
        told.append(
            f"single runs of the same code often differ by {USUAL:.0%}; give several files a side to see the spread:  "
            "leaplan bench --compare 'before*.json' 'after*.json'"
        )
    work = [name for name in dict.fromkeys(before.figures[0]) if not (LESS.search(name) or MORE.search(name))]
    changed = [name for name in work if set(before.values(name)) != set(after.values(name))]
    if changed:
        told.append(f"what was measured differs: {', '.join(changed[:5])}{' ...' if len(changed) > 5 else ''}")
    only = {name for figures in (*before.figures, *after.figures) for name in figures}
    only = {name for name in only if not (before.values(name) and after.values(name))}
    if only:
        told.append(f"on one side only: {', '.join(sorted(only)[:5])}{' ...' if len(only) > 5 else ''}")
    return told


def _side(pattern: str) -> Side:
    paths = sorted(glob.glob(str(Path(pattern).expanduser()))) or [pattern]  # noqa: PTH207 (it may be absolute)
    runs = [_read(Path(path)) for path in paths]
    return Side(pattern, runs, [dict(flattened(run["figures"])) for run in runs])


def _read(path: Path) -> Mapping[str, Any]:
    again = "Measure again:  leaplan bench SUBJECT --json FILE"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no file {path}", again) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}", again) from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or not _whole(content):
        raise DataError(f"{path} does not hold figures of leaplan bench (schema {SCHEMA})", again)
    return {**content, "path": str(path)}


def _whole(content: Mapping[str, Any]) -> bool:
    return isinstance(content.get("bench"), str) and all(
        isinstance(content.get(part), dict) for part in ("settings", "figures", "machine")
    )


def _refuse_others(runs: Sequence[Mapping[str, Any]]) -> None:
    """Refuse runs that did not measure the same."""
    first = runs[0]
    for run in runs[1:]:
        if run["bench"] != first["bench"]:
            raise DataError(
                f"{run['path']} measures '{run['bench']}', but {first['path']} measures '{first['bench']}'",
                "Compare two files of one subject",
            )
        known = {**first["settings"], **run["settings"]}
        other = [name for name in known if run["settings"].get(name) != first["settings"].get(name)]
        if other:
            values = ((each, first["settings"].get(each), run["settings"].get(each)) for each in other)
            told = ", ".join(f"{name} {here} and {there}" for name, here, there in values)
            raise DataError(f"{first['path']} and {run['path']} were measured with {told}", "Use the same options")


def flattened(figures: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Return all numbers of nested figures by their path. Items of a list go by the words in them, else their place."""
    if isinstance(figures, Mapping):
        for key, value in figures.items():
            yield from flattened(value, f"{name}.{key}" if name else str(key))
    elif isinstance(figures, list):
        labels = [_label(item) for item in figures]
        for place, (item, label) in enumerate(zip(figures, labels, strict=True)):
            yield from flattened(item, f"{name}[{label if label and labels.count(label) == 1 else place}]")
    elif isinstance(figures, int | float) and not isinstance(figures, bool):
        yield name, float(figures)


def _label(item: Any) -> str:
    if not isinstance(item, Mapping):
        return ""
    return ", ".join(value for value in item.values() if isinstance(value, str) and value)


def _table(sides: Sequence[Side], rows: Sequence[Row]) -> Table:
    table = Table("figure", *(escape(side.pattern) for side in sides), "ratio", "")
    table.title = f"leaplan bench {sides[0].runs[0]['bench']}"
    for row in rows:
        ratio = "-" if row.ratio is None else f"{row.ratio:.3g}"
        table.add_row(escape(row.name), escape(_cell(row.before)), escape(_cell(row.after)), ratio, row.verdict)
    return table


def _cell(values: Sequence[float]) -> str:
    middle = f"{statistics.median(values):.4g}"
    return middle if len(values) == 1 else f"{middle}  [{min(values):.4g}, {max(values):.4g}]"
