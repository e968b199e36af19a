"""What `leaplan check-data` found, for people (a page on the terminal) and for machines (JSON)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from leaplan.data.protocols import HORIZONS, Counts

Level = Literal["error", "absent", "note"]
STYLE = {
    "error": "bold red",
    "absent": "yellow",
    "note": "blue",
    "as published": "green",
    "deviates": "bold red",
    "broken": "bold red",
    "not there": "dim",
    "no reference": "dim",
}
Row = tuple[str | Text, ...]
SHOWN = 5  # details printed of a finding; JSON has all


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a user should know.

    Args:
        level: "error" (exit code 1), "absent" (not there, and not asked for), or "note".
        where: Protocol or file.
        what: What was found and what was expected.
        mend: The command or action that mends it.
        details: One line per place, where there are several.
    """

    level: Level
    where: str
    what: str
    mend: str = ""
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProtocolCheck:
    """A protocol: `status` is "as published", "no reference", "deviates", "broken" or "not there"."""

    name: str
    status: str
    splits: Mapping[str, Counts] = field(default_factory=dict)
    expected: Mapping[str, Counts] = field(default_factory=dict)
    unused_videos: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class FeatureCheck:
    """A folder or an archive of features.

    Args:
        path: Where it lies.
        kind: "one array per video" or "one row per segment".
        videos, of: Videos with features, and annotated ones.
        width: Columns of an array, D.
        windows: Windows that can be observed, for each split; archives only.
    """

    path: str
    kind: str
    videos: int
    of: int
    width: int
    windows: Mapping[str, Counts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found in one dataset."""

    dataset: str
    folder: Path
    contents: Mapping[str, int]
    protocols: Sequence[ProtocolCheck]
    features: Sequence[FeatureCheck]
    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not any(finding.level == "error" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Return the report as it is written to a file."""
        head = {"schema": 1, "ok": self.ok, "horizons": list(HORIZONS)}
        return {**head, **asdict(self), "folder": str(self.folder)}


def show(report: Report, console: Console) -> None:
    """Print the page: contents, protocols, features, findings, verdict."""
    console.print(Text.assemble((report.dataset, "bold"), f"  {report.folder}"), soft_wrap=True)
    if report.contents:
        console.print(", ".join(f"{count:,} {what}" for what, count in report.contents.items()), style="dim")
    console.print()
    console.print(_protocols(report.protocols))
    if report.features:
        console.print(_features(report.features))
    for finding in sorted(report.findings, key=lambda f: ("error", "absent", "note").index(f.level)):
        console.print(_finding(finding))
    console.print(_verdict(report))


def _table(*left: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for title in left:
        table.add_column(title, no_wrap=True)
    return table


def _protocols(protocols: Sequence[ProtocolCheck]) -> Table:
    table = _table("protocol", "split")
    for title in ("videos", "segments", *(f"T={horizon}" for horizon in HORIZONS)):
        table.add_column(title, justify="right")
    for protocol in protocols:
        splits = list(dict.fromkeys([*protocol.splits, *protocol.expected])) if protocol.splits else []
        rows: list[Row] = [
            (split, *_cells(protocol.splits.get(split), protocol.expected.get(split))) for split in splits
        ]
        if protocol.unused_videos:
            rows.append(("unused", Text(f"{protocol.unused_videos:,}", "dim")))
        names = [Text(protocol.name, "bold"), Text(protocol.status, STYLE.get(protocol.status, ""))]
        _block(table, names, rows)
    return table


def _features(features: Sequence[FeatureCheck]) -> Table:
    table = _table("features", "split")
    for horizon in HORIZONS:
        table.add_column(f"T={horizon}", justify="right")
    for entry in features:
        names = [
            Text(entry.path, "bold"),
            Text(f"{entry.videos:,} of {entry.of:,} videos, width {entry.width:,}"),
            Text(entry.kind, "dim"),
        ]
        rows: list[Row] = [(split, *(_cell(count, None) for count in c.windows)) for split, c in entry.windows.items()]
        _block(table, names, rows)
    return table


def _block(table: Table, names: Sequence[Text], rows: Sequence[Row]) -> None:
    """Add `rows` with `names` going down in the first column, and a blank line."""
    for name, row in zip_longest(names, rows):
        table.add_row(name, *(row or ()))
    table.add_row()


def _cells(found: Counts | None, expected: Counts | None) -> list[Text]:
    unknown = (None,) * (2 + len(HORIZONS))
    numbers = (counts.numbers if counts else unknown for counts in (found, expected))
    return [_cell(value, wanted) for value, wanted in zip(*numbers, strict=True)]


def _cell(found: int | None, expected: int | None) -> Text:
    if expected is not None and found != expected:
        return Text(f"{found or 0:,}", "bold red")
    return Text("-" if found is None else f"{found:,}", "dim" if found is None else "")


def _finding(finding: Finding) -> Padding:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=6, no_wrap=True)
    grid.add_column(overflow="fold")
    lines = Text(f"{finding.where}: {finding.what}" if finding.where else finding.what)
    for detail in finding.details[:SHOWN]:
        lines.append(f"\n- {detail}")
    if len(finding.details) > SHOWN:
        lines.append(f"\n... and {len(finding.details) - SHOWN} more")
    if finding.mend:
        lines.append(f"\n{finding.mend}", "cyan")
    grid.add_row(Text(finding.level, STYLE[finding.level]), lines)
    return Padding(grid, (0, 0, 1, 0))


def _verdict(report: Report) -> Text:
    errors = sum(finding.level == "error" for finding in report.findings)
    if errors:
        return Text(f"{errors} {'thing is' if errors == 1 else 'things are'} wrong", "bold red")
    read = sum(protocol.status not in ("not there", "broken") for protocol in report.protocols)
    return Text(f"All is well: {read} of {len(report.protocols)} protocols can be used", "bold green")
