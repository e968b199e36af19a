"""What `leaplan.load` returns: a trained planner or recogniser that is asked from Python. The verbs ask it as well."""

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaplan.data.sources import Features
from leaplan.errors import ConfigError
from leaplan.on_video.ends import ends_of
from leaplan.on_video.observing import Observed
from leaplan.on_video.opened_run import OpenedRun, Task
from leaplan.on_video.planned import Looked, Planned, ask
from leaplan.on_video.readable import as_seconds
from leaplan.on_video.recognised import Recognised, recognise
from leaplan.on_video.same_encoder import Eyes, Given, eyes_like
from leaplan.on_video.windows import refuse_lengths, windows_of, within
from leaplan.records import PlanningProblem, RecognitionProblem
from leaplan.training.results import read_results
from leaplan.video.reader import open_video

if TYPE_CHECKING:
    from torch import Tensor, nn

    from leaplan.on_video import ends

TRAIN = "Train one on frames, such as:  leaplan fit --config configs/experiment/leap_recognise_kitchen.yaml"


class Model:
    """A trained planner or recogniser.

    Args:
        run: The opened run.
        given: What is said of the encoder that makes features of pictures.

    Attributes:
        run: As given; its `data` is the data module.
    """

    def __init__(self, run: OpenedRun, given: Given | None = None) -> None:
        self.run, self._given = run, given or Given()

    def __repr__(self) -> str:
        steps = len(self.problem.vocabulary.steps)
        horizon = f", horizon {self.problem.horizon}" if isinstance(self.problem, PlanningProblem) else ""
        return f"<leaplan model {self.name}: {self.task} of {steps} step classes{horizon}>"

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.run.folder.name

    @property
    def task(self) -> Task:
        """ "planning" or "recognition"."""
        return self.run.task

    @property
    def problem(self) -> PlanningProblem | RecognitionProblem:
        """Classes and sizes."""
        return self.run.module.problem

    @property
    def network(self) -> "nn.Module":
        """The network, in evaluation: a `planning.network.Planner` or a `recognition.network.Recogniser`."""
        return self.run.module.network

    @property
    def results(self) -> dict[str, Any]:
        """The content of results.json: figures with the protocol that they were measured under."""
        return read_results(self.run.folder)

    # --- planning -----------------------------------------------------------------------------------

    def plan(
        self,
        start: "ends.Given",
        goal: "ends.Given",
        video: str | Path | None = None,
        *,
        steps: int | None = None,
        top: int = 5,
        frame_rate: float | None = None,
        timeout: float = 60.0,
    ) -> Planned:
        """Return the steps that lead from `start` to `goal`, as `leaplan predict` plans them.

            model.plan("0:12", 31.5, "video.mp4")       two times of a video: seconds, "m:ss" or "h:mm:ss"
            model.plan("now.jpg", "wanted.jpg")         two images: files, of Pillow, or uint8 (H, W, 3)
            model.plan(start, goal)                     two tensors of features, each (S, D)

        Args:
            start, goal: Where it begins, and what is to be reached.
            video: A file, or a folder or tar of pictures. Only the seconds around start and goal are looked at.
            steps: How many; must be the run's horizon, which None takes.
            top: Likely plans told with their probabilities.
            frame_rate: Of a folder or tar of pictures, frames per second.
            timeout: Seconds that the decoding of a run of frames may take.

        Raises:
            ConfigError: The run does not plan, or plans another number of steps; start and goal are none; the encoder
                is not that of the run's features.
            DataError: The video or an image cannot be read, or does not reach the goal.
        """
        self._refuse_other("planning")
        refuse_horizon(self.run, steps)
        given = ends_of(start, goal, video, frame_rate, timeout)
        pictures: Callable[[], Any] | None = None
        if isinstance(given, Observed):
            seen, made_by = given.see(), "features"
        else:
            refuse_source(self.run.data)
            seen, made_by, pictures = (
                given.see(self.eyes, self.run.data.source),
                self.eyes.encoder.name,
                partial(given.pictures, self.eyes),
            )
        self._refuse_sizes(made_by, seen)
        return ask(self.run, *seen, top, Looked(given.names, given.as_json(), made_by, pictures))

    @cached_property
    def eyes(self) -> Eyes:
        """The encoder that made the features that a planner was trained on. Raises as `same_encoder.eyes_like`."""
        data = self.run.data
        own = data.dataset == "synthetic" and data.source.folder == "features"  # the kitchen comes with features
        return eyes_like(data.folder / data.source.folder, self._given, "color_layout" if own else "")

    def _refuse_sizes(self, made_by: str, seen: "tuple[Tensor, Tensor]") -> None:
        assert isinstance(self.problem, PlanningProblem)
        expected = self.problem.seconds, self.problem.width
        for end in seen:
            if tuple(end.shape[1:]) != expected:
                found, wanted = (" x ".join(map(str, sizes)) for sizes in (end.shape[1:], expected))
                what = f"{made_by} gives {found} numbers (seconds x features) where {self.name} was trained on {wanted}"
                raise ConfigError(what, "Give the encoder of the run, or features of that shape")

    # --- recognition --------------------------------------------------------------------------------

    def recognise(
        self,
        video: str | Path,
        *,
        start: float | str = 0.0,
        stop: float | str | None = None,
        every: float = 1.0,
        window: float = 2.0,
        top: int = 3,
        batch: int = 8,
        frame_rate: float | None = None,
        timeout: float = 60.0,
    ) -> Recognised:
        """Return the actions of a video along time, and the program of each.

        A window is looked at as evaluation looks at an annotated segment. With `window` no shorter than what is
        between `start` and `stop`, that is looked at as one segment. Actions are named by the score of
        the run that is best on validation, which `.score` tells; `window.likely` has the others as well.

        Args:
            video: A file, or a folder or tar of pictures.
            start, stop: What is looked at of it: seconds, "m:ss" or "h:mm:ss"; None is the end.
            every: Seconds from one window to the next.
            window: Seconds that a window lasts.
            top: Likely classes told with their probabilities.
            batch: Windows looked at in one go.
            frame_rate: Of a folder or tar of pictures, frames per second.
            timeout: Seconds that the decoding of a window may take.

        Raises:
            ConfigError: The run recognises no frames, or the times are none.
            DataError: The video cannot be read, or ends before.
        """
        self._refuse_other("recognition")
        refuse_features(self.run.data)
        refuse_lengths(every, window)
        path, look = Path(video).expanduser(), self.run.data.source.look
        first, last = as_seconds(start, "start"), None if stop is None else as_seconds(stop, "stop")
        rate = frame_rate or look.frame_rate
        with open_video(path, look.reader, frame_rate=rate, timeout=timeout) as opened:
            span = within(path, first, last, opened.duration)
        return recognise(self.run, path, windows_of(*span, every, window), rate, top, timeout, batch)

    def _refuse_other(self, task: Task) -> None:
        if task != self.task:
            ways = {
                "planning": "model.plan(start, goal), or leaplan plan",
                "recognition": "model.recognise(video), or leaplan recognise",
            }
            what = f"{self.name} was trained for {self.task}, but a run of {task} is needed"
            raise ConfigError(what, f"Ask it with {ways[self.task]}")


# --- whether run and question fit


def refuse_source(data: Any) -> None:
    """Check that what a planner sees can be made of pictures.

    Raises:
        ConfigError: It cannot; says what the features are.
    """
    if not isinstance(data.source, Features):
        what = f"the run plans from {type(data.source).__name__}, which no video can be turned into"
        hint = "Plan with a run that was trained on features per second (leaplan.data.sources.Features)"
        raise ConfigError(what, f"{hint}, or give start and goal as features")


def refuse_horizon(run: OpenedRun, steps: int | None) -> None:
    """Check that a run plans as many steps as are asked for; None is content with any number.

    Raises:
        ConfigError: It plans another number.
    """
    horizon = run.module.problem.horizon
    if steps is not None and steps != horizon:
        what = f"{steps} steps are asked for, but {run.folder.name} plans {horizon} steps"
        raise ConfigError(what, f"Say --steps {horizon}, or train another:  leaplan fit --horizon {steps} ...")


def refuse_features(data: Any) -> None:
    """Check that a run looks at frames of what it recognises.

    Raises:
        ConfigError: It anticipates, or looks at features.
    """
    if data.view.windows != 1 or data.view.gap is not None:
        raise ConfigError("the run anticipates: it looks before an action, not at it", TRAIN)
    if not hasattr(data.source, "look"):
        raise ConfigError(f"the run recognises from {type(data.source).__name__}, not from frames", TRAIN)
