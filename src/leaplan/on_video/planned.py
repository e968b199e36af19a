"""A plan of one window: asked of a run, printed, and as JSON."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

import leaplan
from leaplan.errors import ConfigError
from leaplan.on_video.readable import percent

if TYPE_CHECKING:
    from PIL.Image import Image

    from leaplan.on_video.opened_run import OpenedRun
    from leaplan.planning.plan_decoder import Answers

SCHEMA = 1
BEST = ("viterbi", "trie", "retrieve", "generate", "argmax")
"""Decodings, the one shown first."""
LIKELY = 5  # classes told for each step, as in predictions


class Looked(NamedTuple):
    """What a plan was made of.

    Args:
        names: Start and goal as people call them.
        told: "video", "start" and "goal" as JSON.
        encoder: Name of what made features of them.
        pictures: Gives the frames (H, W, 3) at start and goal; None where there are features only.
    """

    names: tuple[str, str]
    told: Mapping[str, Any]
    encoder: str
    pictures: Callable[[], tuple[NDArray[np.uint8], NDArray[np.uint8]]] | None = None


@dataclass(frozen=True, repr=False)
class Planned:
    """What a run says of one window. T steps, A alternatives. A notebook shows it as a picture.

    Args:
        run: Its name.
        looked: What it was made of.
        labels: Names of the step classes.
        decoding: That `steps` come from.
        steps: T ids of the plan.
        probability: Of the plan, as calibrated on validation data; None of a plan in words alone.
        plans: Decoding to T ids.
        alternatives: Likely plans that differ, with probabilities, the likeliest first; it may be among them.
        likely: Of each step on its own, the likeliest classes with probabilities.
        sentence: What a language model wrote.
    """

    run: str
    looked: Looked
    labels: tuple[str, ...]
    decoding: str
    steps: tuple[int, ...]
    probability: float | None
    plans: Mapping[str, tuple[int, ...]]
    alternatives: tuple[tuple[tuple[int, ...], float], ...]
    likely: tuple[tuple[tuple[int, float], ...], ...]
    sentence: str | None

    def named(self, steps: tuple[int, ...]) -> list[str]:
        """Return the names of steps."""
        return [self.labels[step] if step >= 0 else "?" for step in steps]

    def __repr__(self) -> str:
        start, goal = self.looked.names
        sure = "" if self.probability is None else f" ({percent(self.probability)})"
        return f"<plan from {start} to {goal}: {' > '.join(self.named(self.steps))}{sure}>"

    def picture(self) -> "Image":
        """Return start, steps and goal as one picture.

        Raises:
            ConfigError: It was planned from features: there are no frames to show.
        """
        if self.looked.pictures is None:
            raise ConfigError("a plan from features has no picture: nothing was seen", "Plan from a video or images")
        from leaplan.on_video.picture_strip import draw_strip

        return draw_strip(*self.looked.pictures(), self)

    def _repr_jpeg_(self) -> bytes | None:
        if self.looked.pictures is None:
            return None
        buffer = io.BytesIO()
        self.picture().save(buffer, format="JPEG", quality=90)
        return buffer.getvalue()

    @property
    def others(self) -> list[tuple[tuple[int, ...], float]]:
        """The alternatives that are not the plan itself, the likeliest first."""
        return sorted((each for each in self.alternatives if each[0] != self.steps), key=lambda each: -each[1])

    def as_json(self) -> dict[str, Any]:
        """Return all of it; numbers are rounded as in a run's predictions."""
        return {
            "schema": SCHEMA,
            "leaplan": leaplan.__version__,
            "run": self.run,
            **self.looked.told,
            "encoder": self.looked.encoder,
            "horizon": len(self.steps),
            "decoding": self.decoding,
            "steps": list(self.steps),
            "step_names": self.named(self.steps),
            "probability": self.probability,
            "plans": {name: list(steps) for name, steps in self.plans.items()},
            "alternatives": [
                {"plan": list(steps), "step_names": self.named(steps), "probability": probability}
                for steps, probability in self.alternatives
            ],
            "likely_steps": [
                [{"step": step, "name": self.labels[step], "probability": p} for step, p in each]
                for each in self.likely
            ],
            "sentence": self.sentence,
        }


def ask(run: "OpenedRun", start: Tensor, goal: Tensor, top: int, looked: Looked) -> Planned:
    """Return the plan for one observation of start and goal (1, S, D), exactly as `leaplan predict` makes it.

    Args:
        run: Of a planner.
        start, goal: As `observing.Moments` and `observing.Images` see them.
        top: A.
        looked: Goes into the answer.
    """
    module = run.module
    with torch.inference_mode(), run.asking():
        module.begin_split()  # prepares the decoder that `predict` uses
        module.decoder.alternatives = top if module.decoder.alternatives else 0
        answers: Answers = module.decoder(start.to(run.device), goal.to(run.device))
    decoding = next(name for name in BEST if name in answers.plans)
    plans = {name: _ids(plan[0]) for name, plan in answers.plans.items()}
    told = answers.confidence if decoding == "viterbi" else None
    return Planned(
        run=run.folder.name,
        looked=looked,
        labels=tuple(step.name for step in module.target.steps),
        decoding=decoding,
        steps=plans[decoding],
        probability=None if told is None else _rounded(told[0, 1]),
        plans=plans,
        alternatives=_alternatives(answers),
        likely=_likely(answers, module.decoder.exponent),
        sentence=None if answers.words is None else _read(module, answers.words[0]),
    )


def _read(module: Any, words: Tensor) -> str:
    """Return as text what a language model wrote, token ids (L,)."""
    return str(module.network.attend.language.model.text([token for token in words.tolist() if token >= 0]))


def _alternatives(answers: "Answers") -> tuple[tuple[tuple[int, ...], float], ...]:
    if answers.alternatives is None or answers.probability is None:
        return ()
    return tuple(
        (_ids(steps), _rounded(probability))
        for steps, probability in zip(answers.alternatives[0], answers.probability[0], strict=True)
    )


def _likely(answers: "Answers", exponent: float) -> tuple[tuple[tuple[int, float], ...], ...]:
    """Return for each step the likeliest classes, with the probabilities before steps are seen together."""
    if answers.plain is None:
        return ()
    each = (exponent * answers.plain[0]).softmax(-1)  # (T, N)
    best = each.topk(min(LIKELY, each.shape[-1]))
    return tuple(
        tuple((int(step), _rounded(p)) for step, p in zip(steps, values, strict=True))
        for steps, values in zip(best.indices, best.values, strict=True)
    )


def _ids(steps: Tensor) -> tuple[int, ...]:
    return tuple(int(step) for step in steps.tolist())


def _rounded(value: Tensor) -> float:
    return round(float(value), 6)


# --- the screen


def print_plan(planned: Planned, seconds: float) -> None:
    """Print a plan, and how long it took to look and to plan."""
    console = Console(highlight=False)
    start, goal = map(escape, planned.looked.names)
    video = planned.looked.told["video"]
    of = f" of {escape(Path(video).name)}" if video else ""
    sure = "" if planned.probability is None else f", probability {percent(planned.probability)}"
    console.print(f"[bold]{len(planned.steps)} steps[/bold] from {start} to {goal}{of}{sure}")
    for number, name in enumerate(planned.named(planned.steps), start=1):
        console.print(f"  [bold cyan]{number}[/bold cyan]  {escape(name)}")
    if planned.others:
        table = Table("or", *(f"step {t + 1}" for t in range(len(planned.steps))), box=None, header_style="dim")
        for steps, probability in planned.others:
            table.add_row(percent(probability), *_marked(planned, steps))
        console.print(table)
    elsewhere = {name: steps for name, steps in planned.plans.items() if steps != planned.steps}
    for name, steps in elsewhere.items():
        console.print(f"[dim]{name}: {escape(' > '.join(planned.named(steps)))}[/dim]")
    if planned.sentence:
        console.print(f"[dim]written: {escape(planned.sentence)}[/dim]")
    console.print(f"[dim]{planned.looked.encoder}, {planned.run}: seen and planned in {seconds:.1f} s[/dim]")


def _marked(planned: Planned, steps: tuple[int, ...]) -> list[str]:
    """Return the names of an alternative's steps; those that are also in the plan are dim."""
    return [
        f"[dim]{escape(name)}[/dim]" if step == own else escape(name)
        for step, own, name in zip(steps, planned.steps, planned.named(steps), strict=True)
    ]
