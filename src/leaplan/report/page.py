"""The page itself: content, styles, scripts and the plotting library in one HTML file."""

import base64
import gzip
import json
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import leaplan
from leaplan.programs.render import STYLE
from leaplan.report.content import Cell, Group

ASSETS = files("leaplan.report") / "assets"
SCRIPTS = ("page.js", "plots.js", "ribbons.js", "programs.js", "transitions.js", "samples.js")


def render(title: str, groups: Sequence[Group]) -> str:
    """Return the page as HTML. All texts are escaped; figures and samples are JSON in one script tag.

    Args:
        title: What runs it shows.
        groups: Its parts.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    plots = {id(plot): plot for group in groups for section in group.sections for plot in section.plots}
    places = {key: place for place, key in enumerate(plots)}
    content = {"groups": [group.data for group in groups], "plots": [plot.figures for plot in plots.values()]}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    programs = STYLE.removeprefix("<style>").partition("</style>")[0]
    return environment.from_string(_asset("page.html.jinja")).render(
        title=title,
        groups=groups,
        cell=lambda value: value if isinstance(value, Cell) else Cell(value),
        breakable=breakable,
        place=lambda plot: places[id(plot)],
        version=leaplan.__version__,
        made=datetime.now().strftime("%d %B %Y, %H:%M"),
        styles=Markup(programs + _asset("page.css")),
        scripts=Markup("\n".join(map(_asset, SCRIPTS))),
        content=Markup(script_json(content)),
        plotly=Markup(plotly_source() if plots else ""),
    )


def breakable(text: str) -> str:
    """Return `text` with places where a name such as "plan_captaincook4d-t3" may go on in the next line."""
    return re.sub(r"(?<=\w)([-_/])(?=\w)", "\\1\u200b", text)


def script_json(content: Any) -> str:
    """Return JSON that cannot end the script tag it stands in."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@cache
def plotly_source() -> str:
    """Return plotly's script, compressed, in base64: the page unpacks it when the first plot comes into view."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode("utf-8"), 9, mtime=0)).decode("ascii")


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
