"""What a recogniser asks of the data module it is trained with. `cli.py` has it compared with what that answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from leaplan.errors import ConfigError
from leaplan.records import Annotations, PlanningProblem, RecognitionProblem


class NamedClip(Protocol):
    """What the files of predictions tell of a clip."""

    @property
    def sample_id(self) -> str:
        """Stable across runs."""

    @property
    def video(self) -> str:
        """Its id."""


class SplitClips(Protocol):
    """All M clips of a split."""

    seen: Any  # what the source sees of each, in its place what a frozen network has seen there

    @property
    def clips(self) -> Sequence[NamedClip]:
        """Each of them in words."""

    def __len__(self) -> int: ...

    def labels(self, at: Tensor) -> Mapping[str, Any]:
        """Return the labels of the clips at positions `at` (B,)."""


class Source(Protocol):
    """Where frames or features come from."""

    def describe(self) -> dict[str, object]:
        """Return what a reader of the results must know."""


class Programs(Protocol):
    """A file of programs that supervise."""

    @property
    def file(self) -> str:
        """Its name."""


class RecognitionData(Protocol):
    """A data module of clips."""

    @property
    def source(self) -> Source:
        """Where frames or features come from."""

    @property
    def view(self) -> object:
        """How clips are cut; one of those that are anticipated has `window_frames`."""

    @property
    def programs(self) -> Programs | None:
        """The programs that supervise, None without."""

    @property
    def annotations(self) -> Annotations:
        """What the clips were cut from."""

    @property
    def problem(self) -> PlanningProblem | RecognitionProblem:
        """What a network must know to be built."""

    @property
    def splits(self) -> Sequence[str]:
        """The splits that there are: without "val" where nothing is set aside."""

    def clips(self, split: str) -> SplitClips:
        """Return the clips of `split`."""

    def window_bank(self, split: str) -> tuple[SplitClips, Tensor, Path | None]:
        """Return every window of `split` once, where each clip's are (M, W), and a folder for what is seen in them."""

    def subsets(self, split: str) -> Mapping[str, Mapping[str, Tensor]]:
        """Return which clips of `split` figures are told apart for: masks (M,)."""

    def facts(self) -> dict[str, object]:
        """Return what `results.json` says about the data."""


def recognition_problem(data: RecognitionData) -> RecognitionProblem:
    """Return the problem of `data`.

    Raises:
        ConfigError: It is one of planning.
    """
    problem = data.problem
    if not isinstance(problem, RecognitionProblem):
        raise ConfigError(
            "a recogniser looks at clips, but the data are windows to be planned",
            "Set --data.view leaplan.data.views.ActionClips or AnticipationClips",
        )
    return problem
