"""How many clips have a valid program, and why the others have none: as JSON, as a table, as a picture."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leaplan.programs.rows import STATES, Reason, Row
from leaplan.writing import write_json, write_text, write_whole

VERBS_SHOWN = 30  # most frequent verb classes in the picture; all are in the tables
MESSAGES = 20  # of each kind in the JSON report
GOOD, POOR, LINE = "#3b6ea5", "#d9dde3", "#b03a2e"


@dataclass(slots=True)
class Share:
    """Clips, and how many of them have a valid program."""

    rows: int = 0
    valid: int = 0

    @property
    def share(self) -> float | None:
        """Fraction from 0 to 1; None where there are no clips."""
        return self.valid / self.rows if self.rows else None

    def add(self, valid: bool) -> None:
        """Count one clip."""
        self.rows += 1
        self.valid += valid

    def as_json(self) -> dict[str, Any]:
        """Return the counts and the share."""
        return {"rows": self.rows, "valid": self.valid, "share": self.share}


@dataclass(slots=True)
class Tally:
    """Why clips have no valid program: a kind of fault, the clips that have it, one of them, and what was said."""

    rows: int = 0
    faults: int = 0
    example: str = ""
    messages: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """Return the counts and the example."""
        messages = dict(self.frequent_messages(MESSAGES))
        return {"rows": self.rows, "faults": self.faults, "example": self.example, "messages": messages}

    def frequent_messages(self, most: int) -> list[tuple[str, int]]:
        """Return the `most` frequent messages with the number of rows that have each."""
        return sorted(self.messages.items(), key=lambda item: (-item[1], item[0]))[:most]


@dataclass(slots=True)
class Coverage:
    """Counts over the rows of a programs file.

    Args:
        all, narrated: All rows; those with a narration.
        splits, verbs: By split and by verb class, in the order of their first row.
        states: Rows by state.
        backends: Valid rows by what made their program.
        reasons: By fault kind, over rows without a valid program. A row with two kinds counts in both.
    """

    all: Share = field(default_factory=Share)
    narrated: Share = field(default_factory=Share)
    splits: dict[str, Share] = field(default_factory=dict)
    verbs: dict[str, Share] = field(default_factory=dict)
    states: Counter[str] = field(default_factory=Counter)
    backends: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, Tally] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Count `row`."""
        valid = row.state == "ok"
        self.all.add(valid)
        if row.narration:
            self.narrated.add(valid)
        self.splits.setdefault(row.split, Share()).add(valid)
        self.verbs.setdefault(row.verb, Share()).add(valid)
        self.states[row.state] += 1
        if valid:
            self.backends[row.provenance.backend] += 1
        else:
            self._explain(row)

    def _explain(self, row: Row) -> None:
        unknown = Reason("not asked yet" if row.state == "pending" else "not told", "")
        kinds: dict[str, list[str]] = {}
        for fault in row.faults or (unknown,):
            kinds.setdefault(fault.kind, []).append(fault.message)
        for kind, messages in kinds.items():
            tally = self.reasons.setdefault(kind, Tally(example=row.clip))
            tally.rows += 1
            tally.faults += len(messages)
            tally.messages.update(dict.fromkeys(messages, 1))

    @property
    def frequent_verbs(self) -> list[tuple[str, Share]]:
        """Verb classes by falling number of rows."""
        return sorted(self.verbs.items(), key=lambda item: (-item[1].rows, item[0]))

    @property
    def frequent_reasons(self) -> list[tuple[str, Tally]]:
        """Reasons by falling number of rows."""
        return sorted(self.reasons.items(), key=lambda item: (-item[1].rows, item[0]))

    def as_json(self) -> dict[str, Any]:
        """Return everything, ready for `json.dumps`. Shares are fractions."""
        return {
            "schema": 1,
            "all": self.all.as_json(),
            "narrated": self.narrated.as_json(),
            "states": {state: self.states[state] for state in STATES},
            "backends": dict(sorted(self.backends.items())),
            "splits": {name: share.as_json() for name, share in self.splits.items()},
            "verbs": {name: share.as_json() for name, share in self.frequent_verbs},
            "reasons": {kind: reason.as_json() for kind, reason in self.frequent_reasons},
        }


def measure(rows: Iterable[Row]) -> Coverage:
    """Return the coverage of `rows`."""
    coverage = Coverage()
    for row in rows:
        coverage.add(row)
    return coverage


def write_coverage(folder: Path, coverage: Coverage) -> None:
    """Write `coverage.json`, `coverage.md` and `coverage.png` into `folder`."""
    write_json(folder / "coverage.json", coverage.as_json())
    write_text(folder / "coverage.md", to_markdown(coverage))
    write_whole(folder / "coverage.png", lambda path: draw(coverage, path))


def to_markdown(coverage: Coverage) -> str:
    """Return the report as a page of tables."""
    parts: list[tuple[str, Mapping[str, Share] | Sequence[tuple[str, Share]]]] = [
        ("clips", [("all", coverage.all), ("with a narration", coverage.narrated), *coverage.splits.items()]),
        ("verb class", coverage.frequent_verbs),
    ]
    lines = ["# Coverage", "", "Clips that have a program without faults."]
    for head, shares in parts:
        lines += ["", f"| {head} | clips | valid | % |", "|---|---:|---:|---:|"]
        pairs = shares.items() if isinstance(shares, Mapping) else shares
        lines += [f"| {_cell(name) or '–'} | {s.rows:,} | {s.valid:,} | {percent(s)} |" for name, s in pairs]
    states = ", ".join(f"{coverage.states[state]:,} {state}" for state in STATES if coverage.states[state])
    lines += ["", f"States: {states or 'none'}."]
    if coverage.reasons:
        lines += ["", "| why there is none | clips | faults | such as clip | most often |", "|---|---:|---:|---|---|"]
        for kind, tally in coverage.frequent_reasons:
            said = "; ".join(
                f"{_cell(message)} ({count:,})" for message, count in tally.frequent_messages(3) if message
            )
            lines.append(f"| {_cell(kind)} | {tally.rows:,} | {tally.faults:,} | {_cell(tally.example)} | {said} |")
        lines += ["", "A clip with faults of two kinds counts in both."]
    return "\n".join([*lines, ""])


def percent(share: Share) -> str:
    """Return the share in percent with one decimal, never 100.0 where one clip lacks."""
    if share.share is None:
        return "–"
    rounded = round(100 * share.share, 1)
    return f"{min(rounded, 99.9) if share.valid < share.rows else rounded:.1f}"


def _cell(text: str) -> str:
    short = text if len(text) <= 160 else f"{text[:157]}..."
    return " ".join(short.split()).replace("|", "\\|").replace("<", "&lt;")


# The picture.


def draw(coverage: Coverage, path: Path) -> None:
    """Draw shares by split and by verb class, and the reasons for the rest, to `path` as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    groups = [("all clips", coverage.all), ("with a narration", coverage.narrated)]
    groups += [(f"split {name}" if name else "no split", share) for name, share in coverage.splits.items()]
    verbs = coverage.frequent_verbs[:VERBS_SHOWN]
    reasons = coverage.frequent_reasons[:10]
    heights = [len(groups) + 2.2, len(verbs) + 2.2, *([len(reasons) + 2.2] if reasons else [])]
    figure = Figure(figsize=(9, 0.24 * sum(heights) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _draw_shares(axes[0], groups, coverage, "Clips with a valid program")
    hidden = len(coverage.verbs) - len(verbs)
    title = f"By verb class, the {len(verbs)} most frequent of {len(coverage.verbs)}" if hidden else "By verb class"
    _draw_shares(axes[1], verbs, coverage, title)
    if reasons:
        _draw_reasons(axes[2], reasons)
    figure.savefig(path, format="png", dpi=140, metadata={"Software": None})


def _draw_shares(axes: Any, shares: Sequence[tuple[str, Share]], coverage: Coverage, title: str) -> None:
    names = [name or "no verb" for name, _ in shares]
    values = [100 * (share.share or 0.0) for _, share in shares]
    positions = range(len(shares))
    axes.barh(positions, [100] * len(shares), color=POOR, height=0.7)
    axes.barh(positions, values, color=GOOD, height=0.7)
    for position, (_, share) in enumerate(shares):
        axes.text(101, position, f"{percent(share)} %  of {share.rows:,}", va="center", fontsize=8)
    if coverage.all.share is not None:
        axes.axvline(100 * coverage.all.share, color=LINE, linewidth=1, linestyle="--")
    _finish(axes, names, title, 100, "percent of clips; dashed: all clips")


def _draw_reasons(axes: Any, reasons: Sequence[tuple[str, Tally]]) -> None:
    most = max(reason.rows for _, reason in reasons)
    axes.barh(range(len(reasons)), [reason.rows for _, reason in reasons], color=LINE, height=0.7)
    for position, (_, reason) in enumerate(reasons):
        axes.text(reason.rows + most / 100, position, f"{reason.rows:,}", va="center", fontsize=8)
    _finish(axes, [kind for kind, _ in reasons], "Why the others have none", most, "clips")


def _finish(axes: Any, names: Sequence[str], title: str, most: float, label: str) -> None:
    axes.set_yticks(range(len(names)), [name if len(name) <= 32 else f"{name[:30]}…" for name in names], fontsize=8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, most * 1.18)
    if most == 100:
        axes.set_xticks(range(0, 101, 20))
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(label, fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
