"""What a planner asks of the data module that it is trained with. `cli.py` has it compared with what that answers."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from leaplan.errors import ConfigError
from leaplan.planning.network import TrainingWindows
from leaplan.planning.recall import SingleSteps
from leaplan.records import PlanningProblem, RecognitionProblem, Vocabulary


class Window(Protocol):
    """What the predictions file tells of a window."""

    @property
    def sample_id(self) -> str:
        """Stable across runs."""

    @property
    def video(self) -> str:
        """Its id."""

    @property
    def steps(self) -> tuple[int, ...]:
        """The true steps."""

    @property
    def task(self) -> int:
        """Its id, or -1."""


class SplitWindows(TrainingWindows, Protocol):
    """All M windows of a split, in memory."""

    seen_in_training: Tensor  # (M,) bool, whether the true plan occurs verbatim in training

    @property
    def windows(self) -> Sequence[Window]:
        """Each of them in words."""

    def __len__(self) -> int: ...


class Source(Protocol):
    """Where observations come from."""

    def describe(self) -> dict[str, object]:
        """Return what a reader of the results must know: name, observed seconds, pooling."""


class PlanningData(Protocol):
    """A data module of planning windows."""

    batch_size: int

    @property
    def source(self) -> Source:
        """Where observations come from."""

    @property
    def problem(self) -> PlanningProblem | RecognitionProblem:
        """What a network must know to be built."""

    @property
    def target_vocabulary(self) -> Vocabulary:
        """The classes that the test windows' step ids refer to."""

    def windows(self, split: str) -> SplitWindows:
        """Return the windows of `split`."""

    def training_sequences(self) -> Sequence[Sequence[int]]:
        """Return the step ids of whole training videos, that transitions are counted in."""

    def single_steps(self) -> SingleSteps | None:
        """Return every step of the training videos with its neighbours; None where windows are split, not videos."""

    def facts(self) -> dict[str, object]:
        """Return what `results.json` says about the data."""


def planning_problem(data: PlanningData) -> PlanningProblem:
    """Return the problem of `data`.

    Raises:
        ConfigError: It is one of recognition.
    """
    problem = data.problem
    if not isinstance(problem, PlanningProblem):
        raise ConfigError(
            "a planner plans windows, but the data are clips to be recognised",
            "Set --data.view leaplan.data.views.PlanningWindows",
        )
    return problem
