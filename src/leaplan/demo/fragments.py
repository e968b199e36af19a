"""What the demo's page shows of a plan and of recognised actions, as HTML without scripts."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from leaplan.on_video.readable import clock, percent
from leaplan.programs.render import STYLE as PROGRAM_STYLE
from leaplan.programs.render import to_html

if TYPE_CHECKING:
    from leaplan.on_video.planned import Planned
    from leaplan.on_video.recognised import Recognised, Window

COLOURS = 12  # of the ribbon; actions beyond share them
SHOWN = 3  # classes of a step
STYLE = """
.plan ol { list-style: none; margin: 0; padding: 0; }
.plan li { display: grid; grid-template-columns: 34px 1fr; gap: 12px; padding: 8px 0; }
.plan .number { width: 30px; height: 30px; border-radius: 50%; background: #14507a; color: #fff; text-align: center;
  line-height: 30px; font-weight: 600; }
.plan .name { font-size: 18px; font-weight: 600; line-height: 30px; }
.plan .likely { display: grid; grid-template-columns: minmax(9em, 15em) 1fr 3.5em; gap: 2px 10px; align-items: center;
  font-size: 13px; opacity: 0.85; }
.plan .bar { height: 7px; border-radius: 4px; background: #2f86c1; min-width: 2px; }
.plan .sure { font-size: 15px; margin: 0 0 8px; }
.plan .more { font-size: 14px; margin: 14px 0 4px; font-weight: 600; }
.plan table { border-collapse: collapse; font-size: 14px; width: 100%; }
.plan table, .plan tr, .plan td { border: 0 !important; }
.plan td { padding: 4px 12px 4px 0 !important; vertical-align: top; }
.plan tr { border-bottom: 1px solid rgba(128, 128, 128, 0.25) !important; }
.plan td.same { opacity: 0.5; }
.plan td:first-child { white-space: nowrap; }
.plan .words { font-family: ui-monospace, monospace; font-size: 13px; overflow-wrap: anywhere; }
.plan .small, .along .small { font-size: 13px; opacity: 0.7; }
.along .ribbon { display: flex; height: 34px; border-radius: 6px; overflow: hidden; margin: 4px 0; }
.along .ribbon span { display: block; border-right: 1px solid rgba(255, 255, 255, 0.7); }
.along .done { height: 22px; background: rgba(128, 128, 128, 0.12); }
.along .done span { font-size: 11px; line-height: 22px; padding: 0 4px; overflow: hidden; white-space: nowrap;
  text-overflow: ellipsis; border: 0; }
.along .done .step { background: rgba(128, 128, 128, 0.35); border-right: 1px solid rgba(255, 255, 255, 0.7); }
.along .ends { display: flex; justify-content: space-between; font-size: 12px; opacity: 0.7; margin-bottom: 12px; }
.along details { border-top: 1px solid rgba(128, 128, 128, 0.25); padding: 7px 0; }
.along summary { cursor: pointer; display: grid; grid-template-columns: 14px 8.5em 1fr; gap: 10px;
  align-items: center; }
.answer { min-height: 64px; }
.picture img { width: 100%; height: 100%; object-fit: contain; }
.along .dot { width: 14px; height: 14px; border-radius: 4px; }
.along .calls { font-size: 13px; opacity: 0.7; }
.along .program { padding: 6px 0 6px 24px; }
@media (max-width: 600px) {
  .plan .likely { grid-template-columns: 8.5em 1fr 3.2em; }
  .along summary { grid-template-columns: 14px 1fr; }
  .along summary span:last-child { grid-column: 2; }
  .along .done span { font-size: 0; }
}
.dark .leap-program .leap-object { color: #7fc4f5; }
.dark .leap-program .leap-hand { color: #aaa; }
.dark .leap-before, .dark .leap-assumed, .dark .leap-tested { background: #3a3f47; }
.dark .leap-after { background: #27452c; }
"""


def plan_html(planned: "Planned", done: Sequence[str]) -> str:
    """Return a plan, how sure it is, what else it could be, and what was done where that is known."""
    sure = "" if planned.probability is None else f", probability {percent(planned.probability)}"
    steps = "".join(_step(planned, place) for place in range(len(planned.steps)))
    return (
        f'<div class="plan"><p class="sure">{len(planned.steps)} steps from {planned.looked.names[0]} to '
        f"{planned.looked.names[1]}{sure}</p><ol>{steps}</ol>{_others(planned)}{_written(planned)}{_truth(done)}</div>"
    )


def _step(planned: "Planned", place: int) -> str:
    name = escape(planned.named(planned.steps)[place])
    likely = planned.likely[place][:SHOWN] if planned.likely else ()
    bars = "".join(
        f'<span>{escape(planned.labels[step])}</span><span class="bar" style="width: {100 * p:.1f}%"></span>'
        f"<span>{percent(p)}</span>"
        for step, p in likely
    )
    told = f'<div class="likely" title="this step on its own, before steps are seen together">{bars}</div>'
    return f'<li><span class="number">{place + 1}</span><div><div class="name">{name}</div>{told}</div></li>'


def _others(planned: "Planned") -> str:
    rows = "".join(
        f"<tr><td>{percent(p)}</td>"
        + "".join(
            f'<td class="same">{escape(name)}</td>' if step == own else f"<td>{escape(name)}</td>"
            for step, own, name in zip(steps, planned.steps, planned.named(steps), strict=True)
        )
        + "</tr>"
        for steps, p in planned.others
    )
    return f'<div class="more">or</div><table>{rows}</table>' if rows else ""


def _written(planned: "Planned") -> str:
    if not planned.sentence:
        return ""
    return f'<div class="more">the language model wrote</div><div class="words">{escape(planned.sentence)}</div>'


def _truth(done: Sequence[str]) -> str:
    if not done:
        return ""
    return f'<div class="more">what was done</div><div>{escape(", then ".join(done))}</div>'


def along_html(recognised: "Recognised", done: Sequence[tuple[float, float, str]]) -> str:
    """Return what is done in a film, as a ribbon along time, and each action with its program.

    Args:
        recognised: What a run says.
        done: Start and stop in seconds of what was done, and its name, where that is known.
    """
    parts = recognised.timeline
    names = list(dict.fromkeys(part.action[0] for part in parts))
    colour = {name: f"hsl({360 * (n * 5 % COLOURS) / COLOURS:.0f} 55% 52%)" for n, name in enumerate(names)}
    first, last = parts[0].start, parts[-1].stop
    ribbon = "".join(
        f'<span style="width: {100 * (part.stop - part.start) / (last - first):.2f}%; background: '
        f'{colour[part.action[0]]}; opacity: {0.45 + 0.55 * part.action[1]:.2f}" title="{clock(part.start)} to '
        f'{clock(part.stop)}: {escape(part.action[0], quote=True)}, {percent(part.action[1])}"></span>'
        for part in parts
    )
    lines = "".join(_part(part, colour[part.action[0]]) for part in parts)
    told = (
        f"{len(recognised.windows)} windows; the paler, the less sure; open a line for its program with conditions; "
        f"{recognised.score}"
    )
    return (
        f'{PROGRAM_STYLE}<div class="along"><div class="ribbon">{ribbon}</div>{_done(done, first, last)}'
        f'<div class="ends"><span>{clock(first)}</span><span>{clock(last)}</span></div>{lines}'
        f'<p class="small">{told}</p></div>'
    )


def _done(done: Sequence[tuple[float, float, str]], first: float, last: float) -> str:
    """Return what was done, as a ribbon of its own; between two steps it is empty."""
    pieces, at = [], first
    for start, stop, name in done:
        for width, kind, text in ((start - at, "", ""), (stop - start, "step", escape(name, quote=True))):
            share = f"{100 * max(0.0, width) / (last - first):.2f}%"
            padding = "" if kind else " padding: 0;"
            pieces.append(
                f'<span class="{kind}" style="flex: none; width: {share};{padding}" title="{text}">{text}</span>'
            )
        at = stop
    told = '<div class="small">what was done</div>'
    return f'{told}<div class="ribbon done">{"".join(pieces)}</div>' if pieces else ""


def _part(part: "Window", colour: str) -> str:
    """Return an action, which opens to its program."""
    name, probability = part.action
    shown = "this run predicts no programs" if part.program is None else to_html(part.program, styled=False)
    return (
        f'<details><summary><span class="dot" style="background: {colour}"></span><span>{clock(part.start)} to '
        f"{clock(part.stop)}</span><span><b>{escape(name)}</b> {percent(probability)}<br>"
        f'<span class="calls">{escape(part.calls)}</span></span></summary><div class="program">{shown}</div></details>'
    )
