"""What a page is made of: tables, plots and samples, free of how they look. Figures are percent only as text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NOTHING = "–"


@dataclass(frozen=True)
class Cell:
    """A cell of a table: what is read first, and in small letters what qualifies it; a `figure` is not wrapped."""

    text: str
    small: str = ""
    figure: bool = False


@dataclass(frozen=True)
class Table:
    """A table. The first column names the row.

    Args:
        title: Its heading; "" where the section's says it.
        header: One text per column.
        rows: Of cells; a text is a cell without small letters.
        caption: What it shows, and under which protocol.
        folded: Shown when asked for, below the plots of its section.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell | str]]
    caption: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Plot:
    """A plot, or several of one kind to choose from.

    Args:
        title: Its heading.
        figures: Name to a figure as plotly takes it: "data" and "layout".
        caption: What it shows, and under which protocol.
        choose: What one chooses where there are several figures, such as "model".
    """

    title: str
    figures: Mapping[str, Mapping[str, Any]]
    caption: str
    choose: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a group: a heading, and what stands below it.

    Args:
        key: Names it in links, such as "results".
        title: Its heading.
        tables, plots: In order.
        widgets: Interactive parts that the page's script draws: "samples", "transitions", "programs".
    """

    key: str
    title: str
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    widgets: Sequence[str] = ()


@dataclass(frozen=True)
class Group:
    """Everything of runs that were asked the same.

    Args:
        title: Such as "Planning 3 steps of captaincook4d".
        protocol: How its figures were measured: name to value, for people.
        sections: In order.
        missing: What is not shown, why, and which command makes it.
        data: What the interactive parts draw, ready for JSON.
        notes: What a reader of the figures must know.
    """

    title: str
    protocol: Mapping[str, str]
    sections: Sequence[Section]
    missing: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


def percent(value: float | None, sign: str = "") -> str:
    """Return a fraction in percent with one decimal, "–" for none."""
    return NOTHING if value is None else f"{100 * value:{sign}.1f}".replace("-", "\u2212")


def figure_cell(figure: Mapping[str, Any] | None, sign: str = "") -> Cell:
    """Return the cell of a figure: its value; the interval, the deviation over seeds and the p-value that it has."""
    if figure is None or figure.get("value") is None:
        return Cell(NOTHING, figure=True)
    small = []
    if figure.get("low") is not None:
        small.append(f"[{percent(figure['low'], sign)}, {percent(figure['high'], sign)}]")
    if figure.get("sd") is not None:
        small.append(f"± {percent(figure['sd'])}")
    if figure.get("p_value") is not None:
        small.append(f"p = {figure['p_value']:.4f}")
    if figure.get("verdict"):
        small.append(str(figure["verdict"]))
    return Cell(percent(figure["value"], sign), "\n".join(small), True)
