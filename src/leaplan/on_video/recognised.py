"""What a recogniser says of windows of a video: asked of a run, as JSON, and printed along time.

Shapes: N windows, V views of each, K slots of a program.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape as in_html
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

import leaplan
from leaplan.data.frame_clips import FrameClips
from leaplan.data.views import Clip
from leaplan.data.views import Window as Seen
from leaplan.on_video.action_score import ActionScore, best_score
from leaplan.on_video.readable import clock, percent
from leaplan.programs.encode import Encoder
from leaplan.programs.encoded import Encoded
from leaplan.programs.language import NONE, OTHER, Condition, Program, SubAction
from leaplan.programs.render import to_text
from leaplan.recognition.metrics import Labels, Scores
from leaplan.recognition.outcome import Recognised as Gathered
from leaplan.recognition.outcome import averaged, likeliest_of, pairs_of
from leaplan.recognition.program_head import ProgramLogits, lengths
from leaplan.records import Vocabulary
from leaplan.training.results import read_results

if TYPE_CHECKING:
    from leaplan.on_video.opened_run import OpenedRun

SCHEMA = 1

Likely = Mapping[str, Sequence[tuple[str, float]]]
"""Score ("verb", "noun", "action", "action_head", "fused") to the likeliest classes with their probabilities."""


@dataclass(frozen=True)
class Window:
    """A part of a video and what is recognised in it.

    Args:
        start, stop: Seconds.
        named_by: Which of `likely` names the action.
        likely: Classes of each score.
        program: How it is done; None where the run predicts no programs.
    """

    start: float
    stop: float
    named_by: str
    likely: Likely
    program: Program | None

    @property
    def action(self) -> tuple[str, float]:
        """The likeliest action and its probability."""
        return self.likely[self.named_by][0]

    @property
    def calls(self) -> str:
        """Its sub-actions without conditions, such as "reach(cup), grasp(cup)"; "" without a program."""
        return "" if self.program is None else ", ".join(map(_call, _sub_actions(self.program)))

    def as_json(self) -> dict[str, Any]:
        """Return all of it."""
        likely = {head: [[name, p] for name, p in classes] for head, classes in self.likely.items()}
        text = None if self.program is None else to_text(self.program)
        return {"start": round(self.start, 3), "stop": round(self.stop, 3), "likely": likely, "program": text}


@dataclass(frozen=True, repr=False)
class Recognised:
    """The windows of a video, in order of time. A notebook shows them as a table.

    Args:
        run: Name of the run.
        video: The file.
        score: What names actions.
        windows: At least one.
    """

    run: str
    video: Path
    score: ActionScore
    windows: tuple[Window, ...]

    def __repr__(self) -> str:
        told = ", ".join(f"{clock(each.start)} {each.action[0]}" for each in self.timeline)
        return f"<{len(self.windows)} windows of {self.video.name}: {told}>"

    def _repr_html_(self) -> str:
        rows = (
            (f"{clock(part.start)} - {clock(part.stop)}", part.action[0], percent(part.action[1]), part.calls)
            for part in self.timeline
        )
        head = "".join(f"<th>{name}</th>" for name in ("time", "action", "probability", "program"))
        body = ("".join(f"<td style='text-align: left'>{in_html(cell)}</td>" for cell in row) for row in rows)
        told = f"<caption style='caption-side: bottom'>{in_html(str(self.score))}</caption>"
        return f"<table>{told}<tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in body)}</table>"

    @property
    def timeline(self) -> list[Window]:
        """The windows without overlap, neighbours with the same likeliest action as one.

        Each window stands for the time that is nearest to its middle; of several, the surest one is told with its
        program. The programs of others may differ in a slot or two.
        """
        middles = [(window.start + window.stop) / 2 for window in self.windows]
        borders = [(a + b) / 2 for a, b in pairwise(middles)]
        starts, stops = [self.windows[0].start, *borders], [*borders, self.windows[-1].stop]
        parts = [replace(w, start=a, stop=b) for w, a, b in zip(self.windows, starts, stops, strict=True)]
        merged = []
        for _, group in groupby(parts, key=lambda window: window.action[0]):
            same = list(group)
            surest = max(same, key=lambda window: window.action[1])
            merged.append(replace(surest, start=same[0].start, stop=same[-1].stop))
        return merged

    def as_json(self) -> dict[str, Any]:
        """Return all of it; numbers are rounded as in a run's predictions."""
        return {
            "schema": SCHEMA,
            "leaplan": leaplan.__version__,
            "run": self.run,
            "video": str(self.video),
            "action_score": self.score.as_json(),
            "windows": [window.as_json() for window in self.windows],
            "timeline": [
                {
                    "start": round(part.start, 3),
                    "stop": round(part.stop, 3),
                    "action": part.action[0],
                    "probability": part.action[1],
                    "program": None if part.program is None else to_text(part.program),
                }
                for part in self.timeline
            ],
        }


def recognise(
    run: "OpenedRun",
    video: Path,
    windows: Sequence[tuple[float, float]],
    frame_rate: float | None,
    top: int,
    timeout: float,
    batch: int,
) -> Recognised:
    """Return what a run recognises in windows of a video, each looked at as evaluation looks at a segment.

    Args:
        run: Of a recogniser on frames.
        video: A file, or a folder or tar of pictures.
        windows: Start and stop of each, seconds.
        frame_rate: Of pictures; None for a file, which knows its own.
        top: How many classes are told of each head.
        timeout: Seconds that a decoder may take.
        batch: Windows looked at in one go.
    """
    look = replace(run.data.source.look, timeout=timeout)
    names = [f"{video.name}:{start:.3f}-{stop:.3f}" for start, stop in windows]
    clips = [
        Clip(name, "video", 0, frame_rate, (Seen(start, stop),))
        for name, (start, stop) in zip(names, windows, strict=True)
    ]
    seen = FrameClips(clips, {"video": video}, look, training=False)
    words, encoder = run.module.problem.vocabulary, _encoder(run)
    pairs = pairs_of(words)
    score = best_score(read_results(run.folder), _heads(run, pairs))
    found = []
    for places in torch.arange(len(clips)).split(batch):
        shown = torch.stack([seen[place]["clips"] for place in places.tolist()])  # (B, V, 1, 3, T, H, W)
        scores, programs = _ask(run, shown)
        for row, likely in enumerate(_named(scores, words, pairs, top)):
            named = likely[score.head][0][0]
            program = None if programs is None else _program(encoder, programs, row, named, words)
            found.append(Window(*windows[int(places[row])], score.head, likely, program))
    return Recognised(run.folder.name, video, score, tuple(found))


def _ask(run: "OpenedRun", shown: Tensor) -> tuple[Scores, ProgramLogits | None]:
    """Return log-probabilities, averaged over views, and the programs of the middle view, of (B, V, 1, 3, T, H, W)."""
    views = shown.shape[1]
    mask = torch.ones(len(shown) * views, 1, dtype=torch.bool, device=run.device)
    network = run.module.network  # not the module: it may look at each clip of its dataset only once
    with torch.inference_mode(), run.asking():
        answer = network(shown.flatten(0, 1).to(run.device), mask)
    scores = Scores(*(None if x is None else averaged(x.unflatten(0, (-1, views))).cpu() for x in answer[:3]))
    if answer.program is None:
        return scores, None
    middle = (x.unflatten(0, (-1, views))[:, views // 2, 0].float().cpu() for x in answer.program)
    return scores, ProgramLogits(*middle)  # (B, K, ...)


def _heads(run: "OpenedRun", pairs: Tensor | None) -> list[str]:
    """Return the scores of actions that a run has."""
    classes = run.module.network.classes
    there = {"action": None not in (classes.verb, classes.noun), "action_head": classes.action is not None}
    there["fused"] = all(there.values()) and pairs is not None
    return [head for head, has in there.items() if has]


def _named(scores: Scores, words: Vocabulary, pairs: Tensor | None, top: int) -> Iterator[Likely]:
    """Yield the likeliest classes of each window, as a run's predictions tell them."""
    count = next(len(each) for each in scores if each is not None)
    unknown = torch.full((count,), -1)
    gathered = Gathered(torch.arange(count), Labels(unknown, unknown, unknown), scores)
    names = {"step": [step.name for step in words.steps], "verb": words.verbs, "noun": words.nouns}
    for heads in likeliest_of(gathered, names, top, pairs):
        yield {head: [(name, p) for name, p in classes] for head, classes in heads.items()}


# --- programs


def _encoder(run: "OpenedRun") -> Encoder | None:
    """Return what the program head's classes mean."""
    targets = run.data.targets
    return None if targets is None else targets.encoder


def _program(
    encoder: Encoder | None, logits: ProgramLogits, row: int, action: str, words: Vocabulary
) -> Program | None:
    """Return the program of an action that a window shows: the likeliest class of each slot up to the first "stop".

    A condition is told where its probability is above one half, and it speaks of an object.
    """
    if encoder is None:
        return None
    verb, first, second = (each[row].argmax(-1) for each in logits[:3])  # (K,)
    length = int(lengths(verb))
    slots = np.arange(encoder.slots)
    none = np.zeros(encoder.slots, np.int64)
    before, after = ((each[row] > 0).numpy().astype(np.uint8) for each in logits[3:])
    numbers, nothing = np.asarray(length), np.asarray(0)
    encoded = Encoded(
        verb=verb.numpy(),
        first=first.numpy(),
        second=second.numpy(),
        hand=none,
        before=before,
        after=after,
        mask=slots < length,
        length=numbers,
        dropped=nothing,
        others=nothing,
        truncated=np.asarray(False),
    )
    body = tuple(_plain(action) for action in encoder.decode(encoded))
    name, arguments = _title(action, words)
    used = dict.fromkeys(name for action in body for name in (action.first, action.second))
    objects = tuple(each for each in used if each not in (NONE, OTHER, *arguments))
    return Program(name, arguments, objects, (), body)


def _plain(action: SubAction) -> SubAction:
    """Return a sub-action without conditions of what is not there."""
    return replace(action, before=_of_things(action.before), after=_of_things(action.after))


def _of_things(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    return tuple(each for each in conditions if NONE not in each.arguments)


def _title(action: str, words: Vocabulary) -> tuple[str, tuple[str, ...]]:
    """Return verb and arguments that head the program of an action."""
    for step in words.steps:
        if step.name == action and step.verb is not None and step.noun is not None:
            return words.verbs[step.verb], (words.nouns[step.noun],)
    for verb in words.verbs:
        noun = action.removeprefix(f"{verb} ")
        if noun != action and noun in words.nouns:
            return verb, (noun,)
    return action, ()


def _sub_actions(program: Program) -> list[SubAction]:
    return [each for each in program.body if isinstance(each, SubAction)]


def _call(action: SubAction) -> str:
    objects = [each for each in (action.first, action.second) if each != NONE]
    return f"{action.verb}({', '.join(objects)})"


# --- the screen


def print_timeline(recognised: Recognised) -> None:
    """Print when which action is seen, what else it could be, and its program."""
    console = Console(highlight=False)
    grid = Table.grid(padding=(0, 3, 0, 0))
    for part in recognised.timeline:
        name, probability = part.action
        others = part.likely[part.named_by][1:3]
        second = ", ".join(f"{escape(other)} {percent(p)}" for other, p in others)
        told = f"[bold]{escape(name)}[/bold] {percent(probability)}{f'  [dim]or {second}[/dim]' if second else ''}"
        if part.program is not None:
            told += f"\n[cyan]{escape(part.calls) or 'no sub-action'}[/cyan]"
        grid.add_row(f"{clock(part.start)} - {clock(part.stop)}", told)
    console.print(grid)
    count = len(recognised.windows)
    windows = "1 window" if count == 1 else f"{count} windows"
    told = f"{windows} of {escape(recognised.video.name)}, {recognised.run}; {recognised.score}"
    console.print(f"[dim]{told}[/dim]", soft_wrap=True)
