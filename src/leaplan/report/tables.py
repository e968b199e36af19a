"""Tables of a study: figures of many runs as mean and deviation over seeds, in JSON and in Markdown.

Figures are fractions in JSON and percent in Markdown. A run is known by (variant, horizon, seed).
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from leaplan.report.study_file import Table

Key = tuple[str, int, int]
Results = Mapping[Key, Mapping[str, Any] | str]
"""What `results.json` says of a run's split, decoding by decoding, or in words why there is nothing."""

HEADINGS = {
    "success_rate": "SR",
    "mean_accuracy": "mAcc",
    "mean_iou": "mIoU",
    "success_rate_seen": "SR seen",
    "success_rate_unseen": "SR unseen",
}
LEGEND = (
    "SR: share of plans that are right in all steps, of all windows and of those whose plan training showed (seen) or "
    "did not (unseen); mAcc: share of right steps; mIoU: mean IoU of step sets."
)
NOTHING = "–"


def table_figures(table: Table, results: Results, horizons: Sequence[int], seeds: Sequence[int]) -> dict[str, Any]:
    """Return the figures of a table for JSON: rows, and for each horizon the mean, deviation and seeds of each figure.

    A table of horizons has a row for argmax beside the one of its decoding.
    """
    lines = [(label, variant, table.decoding[label]) for label, variant in table.rows.items()]
    if table.layout == "horizons" and lines[0][2] != "argmax":
        lines.insert(0, (lines[0][0], lines[0][1], "argmax"))
    rows, missing = [], dict[str, None]()  # what is missing, each once and in order
    for label, variant, decoding in lines:
        figures = {}
        for horizon in horizons:
            keys = [(variant, horizon, seed) for seed in seeds]
            found = {key[2]: _of_decoding(results.get(key, "not run"), decoding) for key in keys}
            missing |= {
                f"{variant} T={horizon} seed {s}: {why}": None for s, why in found.items() if isinstance(why, str)
            }
            figures[str(horizon)] = _over_seeds({s: f for s, f in found.items() if not isinstance(f, str)})
        checks = {heading: label in labels for heading, labels in table.columns.items()}
        rows.append({"row": label, "variant": variant, "decoding": decoding, "checks": checks, "horizons": figures})
    return {
        "title": table.title,
        "layout": table.layout,
        "seeds": list(seeds),
        "rows": rows,
        "missing": list(missing),
        "reference": table.reference,
        "comparisons": [],
    }


def decodings_of(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the decodings among the metrics of a split; counts and legacy figures stand beside them."""
    return {name: figures for name, figures in metrics.items() if "success_rate" in figures}


def _of_decoding(metrics: Mapping[str, Any] | str, decoding: str) -> Mapping[str, Any] | str:
    if isinstance(metrics, str):
        return metrics
    known = decodings_of(metrics)
    return known.get(decoding, f"no decoding '{decoding}' (there are {', '.join(known) or 'none'})")


def _over_seeds(runs: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Summarise each figure over the seeds that have it; {} without a run."""
    figures: dict[str, Any] = {name: _summary({s: run.get(name) for s, run in runs.items()}) for name in HEADINGS}
    steps = [run.get("step_accuracy", []) for run in runs.values()]
    columns = zip(*steps, strict=True) if steps and len(set(map(len, steps))) == 1 else ()
    figures["step_accuracy"] = [_summary(dict(zip(runs, column, strict=True))) for column in columns]
    return figures if runs else {}


def _summary(values: Mapping[int, float | None]) -> dict[str, Any]:
    """Mean, sample standard deviation (None for one seed) and number of seeds; None where there is no figure."""
    known = [float(value) for value in values.values() if value is not None]
    mean = statistics.fmean(known) if known else None
    deviation = statistics.stdev(known) if len(known) > 1 else None
    return {"mean": mean, "sd": deviation, "n": len(known), "values": {str(s): value for s, value in values.items()}}


def as_markdown(figures: Mapping[str, Any], split: str) -> str:
    """Return one table of `table_figures` as Markdown, with what is missing and the comparisons below."""
    seeds = figures["seeds"]
    over = f"mean ± sample sd over {len(seeds)} seeds ({', '.join(map(str, seeds))})" if len(seeds) > 1 else ""
    over = over or f"one seed ({seeds[0]})"
    decodings = list(dict.fromkeys(row["decoding"] for row in figures["rows"]))
    caption = f"Percent, {over}; {split} split; plans by {', '.join(decodings)}."
    draw = _variants if figures["layout"] == "variants" else _horizons
    parts = [f"## {figures['title']}", draw(figures, len(seeds)), caption]
    if figures["missing"]:
        parts.append("\n".join([f"{NOTHING} missing:", *(f"- {line}" for line in figures["missing"])]))
    if figures["comparisons"]:
        parts.append(_comparisons(figures))
    return "\n\n".join(parts) + "\n"


def _variants(figures: Mapping[str, Any], seeds: int) -> str:
    rows = figures["rows"]
    horizons = list(rows[0]["horizons"])
    mixed = len({row["decoding"] for row in rows}) > 1
    header = ["", *rows[0]["checks"], *(["plans by"] if mixed else [])]
    header += [f"T={horizon} {heading}" for horizon in horizons for heading in HEADINGS.values()]
    lines = []
    for row in rows:
        line = [row["row"], *("✓" if checked else "" for checked in row["checks"].values())]
        line += [row["decoding"]] if mixed else []
        line += [_cell(row["horizons"][horizon].get(name), seeds) for horizon in horizons for name in HEADINGS]
        lines.append(line)
    return grid(header, lines)


def _horizons(figures: Mapping[str, Any], seeds: int) -> str:
    """Rows are horizons; the accuracy of each step makes a ragged right edge."""
    *_, shown = figures["rows"]
    longest = max(map(int, shown["horizons"]))
    others = [name for name in HEADINGS if name != "success_rate"]
    header = ["T", *(f"SR {row['decoding']}" for row in figures["rows"]), *(HEADINGS[name] for name in others)]
    header += [f"step {step}" for step in range(1, longest + 1)]
    lines = []
    for horizon, values in shown["horizons"].items():
        line = [horizon, *(_cell(row["horizons"][horizon].get("success_rate"), seeds) for row in figures["rows"])]
        line += [_cell(values.get(name), seeds) for name in others]
        steps = values.get("step_accuracy", [])
        lines.append(line + [_cell(step, seeds) for step in steps] + [""] * (longest - len(steps)))
    return grid(header, lines)


def _comparisons(figures: Mapping[str, Any]) -> str:
    """Differences of the success rate, reference minus row."""
    found = {(c["row"], c["horizon"]): c for c in figures["comparisons"]}
    horizons = list(dict.fromkeys(horizon for _, horizon in found))
    rows = list(dict.fromkeys(row for row, _ in found))
    lines = [[row, *(_difference(found[row, horizon]) for horizon in horizons)] for row in rows]
    header = [f"{figures['reference']} minus", *(f"T={horizon} SR" for horizon in horizons)]
    sizes = {
        c["horizon"]: f"T={c['horizon']}: {c['samples']} windows of {c['clusters']} {c['unit']}s"
        for c in figures["comparisons"]
        if "reason" not in c
    }
    note = (
        "Points, mean over the common seeds, with a 95 % bootstrap interval that resamples whole videos and leaves the "
        f"seeds as they are{''.join(f'; {size}' for size in sizes.values())}."
    )
    reasons = [f"- {row} T={h}: {c['reason']}" for (row, h), c in found.items() if "reason" in c]
    return "\n\n".join(["Paired comparisons", grid(header, lines), "\n".join([note, *reasons])])


def _difference(comparison: Mapping[str, Any]) -> str:
    if "reason" in comparison:
        return NOTHING
    value, low, high = (100 * comparison[name] for name in ("value", "low", "high"))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def _cell(summary: Mapping[str, Any] | None, seeds: int) -> str:
    """Mean and deviation in percent; how many seeds where it is fewer than asked for."""
    if summary is None or summary["mean"] is None:
        return NOTHING
    text = f"{100 * summary['mean']:.1f}"
    if summary["sd"] is not None:
        text += f" ± {100 * summary['sd']:.1f}"
    return text if summary["n"] == seeds else f"{text} (n={summary['n']})"


def grid(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns also stand below one another as plain text; the first is a label."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in (header, *lines)]
    widths = [max(3, *(len(line[place]) for line in lines)) for place in range(len(header))]
    align: list[Callable[[str, int], str]] = [str.ljust, *[str.rjust] * (len(header) - 1)]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    drawn = [[put(cell, w) for put, cell, w in zip(align, line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in (drawn[0], ruler, *drawn[1:]))
