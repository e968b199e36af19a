"""Plots as plotly takes them: plain "data" and "layout". Colours of text and grid are the page's, light or dark.

Values are fractions from 0 to 1; axes show percent.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

COLOURS = ("#3d7cc9", "#dd7230", "#2f9e73", "#b0569f", "#b8951f", "#6c7f99", "#c94f5d", "#4aa3b5")
GREY = "#8a94a0"
LONGEST = 34  # letters of a class name on an axis

Figure = dict[str, Any]


class Interval(NamedTuple):
    """A figure, and the ends of its interval where it has one."""

    value: float
    low: float | None = None
    high: float | None = None


class Bin(NamedTuple):
    """A bar of a reliability diagram: how many plans, what they claimed on average, and how many came true."""

    plans: int
    claimed: float
    true: float


def colour(place: int) -> str:
    """Return the colour of the model at `place`."""
    return COLOURS[place % len(COLOURS)]


def lines(series: Mapping[str, Mapping[int, Interval]], x_title: str, y_title: str) -> Figure:
    """Return a line per model over whole numbers, with whiskers where there are intervals."""
    data = []
    for place, (label, points) in enumerate(series.items()):
        shown = sorted(points.items())
        trace: Figure = {
            "type": "scatter", "mode": "lines+markers", "name": label, "x": [x for x, _ in shown],
            "y": [each.value for _, each in shown], "line": {"color": colour(place)}, "marker": {"size": 8},
            "hovertemplate": f"%{{x}}: %{{y:.1%}}<extra>{_plain(label)}</extra>",
        }  # fmt: skip
        if all(each.low is not None and each.high is not None for _, each in shown):
            trace["error_y"] = {
                "type": "data", "symmetric": False, "thickness": 1.2, "width": 4,
                "array": [(each.high or 0) - each.value for _, each in shown],
                "arrayminus": [each.value - (each.low or 0) for _, each in shown],
            }  # fmt: skip
        data.append(trace)
    marks = sorted({x for points in series.values() for x in points})
    return {
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": x_title}, "tickvals": marks, "zeroline": False},
            "yaxis": {"title": {"text": y_title}, "tickformat": ".0%", "rangemode": "tozero"},
        },
    }


def bars(series: Mapping[str, Mapping[str, Interval]], y_title: str) -> Figure:
    """Return a bar per name and model."""
    data = []
    for place, (label, values) in enumerate(series.items()):
        trace: Figure = {
            "type": "bar", "name": label, "x": list(values), "y": [each.value for each in values.values()],
            "marker": {"color": colour(place)},
            "hovertemplate": f"%{{x}}: %{{y:.1%}}<extra>{_plain(label)}</extra>",
        }  # fmt: skip
        data.append(trace)
    layout = {"barmode": "group", "yaxis": {"title": {"text": y_title}, "tickformat": ".0%", "rangemode": "tozero"}}
    return {"data": data, "layout": layout}


def share_bars(shares: Mapping[str, tuple[int, int]]) -> Figure:
    """Return horizontal bars of shares: name to (how many of them, of how many)."""
    names = list(shares)[::-1]
    fractions = [shares[name][0] / shares[name][1] if shares[name][1] else 0.0 for name in names]
    told = [f"{shares[name][0]:,} of {shares[name][1]:,}" for name in names]
    trace = {
        "type": "bar", "orientation": "h", "x": fractions, "y": list(range(len(names))), "customdata": told,
        "marker": {"color": COLOURS[0]}, "hovertemplate": "%{x:.1%}: %{customdata}<extra></extra>",
    }  # fmt: skip
    return {
        "data": [trace],
        "layout": {
            "height": 90 + 20 * len(names),
            "margin": {"l": 50, "r": 34, "t": 10, "b": 40},
            "xaxis": {"range": [0, 1], "tickformat": ".0%"},
            "yaxis": _named_axis(names),
        },
    }


def matrix(names: Sequence[str], counts: Sequence[Sequence[float]], rows: str, columns: str) -> Figure:
    """Return a heat map of counts: rows are true classes, columns what was said."""
    told = [[_plain(f"{names[r]} → {names[c]}") for c in range(len(names))] for r in range(len(names))]
    trace = {
        "type": "heatmap", "z": [list(row) for row in counts], "x": list(range(len(names))),
        "y": list(range(len(names))), "customdata": told, "colorscale": "page", "xgap": 1, "ygap": 1,
        "hovertemplate": "%{customdata}: %{z:.3~g}<extra></extra>", "colorbar": {"thickness": 10, "len": 0.6},
    }  # fmt: skip
    vertical = {**_named_axis(names), "autorange": "reversed", "title": {"text": rows, "standoff": 14}}
    return {
        "data": [trace],
        "layout": {
            "height": 200 + 24 * len(names),
            "xaxis": {**_named_axis(names), "tickangle": -60, "title": {"text": columns, "standoff": 14}},
            "yaxis": vertical,
        },
    }


def reliability(series: Mapping[str, Sequence[Bin]]) -> Figure:
    """Return a reliability diagram: the share that came true over the probability that was claimed.

    The size of a mark tells how many plans it stands for; on the dashed line claims are right.
    """
    most = max((each.plans for bins in series.values() for each in bins), default=1)
    diagonal = {
        "type": "scatter", "mode": "lines", "x": [0, 1], "y": [0, 1], "showlegend": False, "hoverinfo": "skip",
        "line": {"dash": "dash", "color": GREY, "width": 1},
    }  # fmt: skip
    data: list[Figure] = [diagonal]
    for place, (label, bins) in enumerate(series.items()):
        data.append({
            "type": "scatter", "mode": "lines+markers", "name": label, "x": [each.claimed for each in bins],
            "y": [each.true for each in bins], "customdata": [each.plans for each in bins],
            "line": {"color": colour(place), "width": 1.5},
            "marker": {"size": [6 + 20 * (each.plans / most) ** 0.5 for each in bins], "opacity": 0.75},
            "hovertemplate": "claimed %{x:.1%}, came true %{y:.1%}, %{customdata} plans"
            f"<extra>{_plain(label)}</extra>",
        })  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "probability claimed"}, "range": [0, 1.02], "tickformat": ".0%"},
        "yaxis": {"title": {"text": "plans that came true"}, "range": [0, 1.02], "tickformat": ".0%"},
    }
    return {"data": data, "layout": layout}


def curves(runs: Sequence[tuple[str, int, Sequence[float | None], Sequence[float | None]]], fraction: bool) -> Figure:
    """Return learning curves: (name, place of its model, epochs, values) per run."""
    data = []
    for name, place, epochs, values in runs:
        known = [(x, y) for x, y in zip(epochs, values, strict=True) if x is not None and y is not None]
        data.append({
            "type": "scatter", "mode": "lines", "name": name, "x": [x for x, _ in known], "y": [y for _, y in known],
            "line": {"color": colour(place), "width": 1.6},
            "hovertemplate": f"epoch %{{x}}: %{{y:{'.1%' if fraction else '.4~g'}}}<extra>{_plain(name)}</extra>",
        })  # fmt: skip
    axis = {"tickformat": ".1~%"} if fraction else {}
    return {"data": data, "layout": {"xaxis": {"title": {"text": "epoch"}, "zeroline": False}, "yaxis": axis}}


def _named_axis(names: Sequence[str]) -> Figure:
    return {
        "tickvals": list(range(len(names))),
        "ticktext": [_plain(short(name)) for name in names],
        "automargin": True,
        "showgrid": False,
        "zeroline": False,
    }


def short(name: str, most: int = LONGEST) -> str:
    """Return a name of at most `most` letters."""
    return name if len(name) <= most else f"{name[: most - 1].rstrip()}…"


def _plain(text: str) -> str:
    """Return `text` as plotly shows it literally: it reads tags in labels, and %{...} in templates."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("%{", "% {")
