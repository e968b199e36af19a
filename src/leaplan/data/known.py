"""What an exported model knows of the dataset that it was trained on: its classes and sizes, and no sample of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from leaplan.data.clips import ClipSource, program_classes
from leaplan.data.datamodule import VideoDataModule, View
from leaplan.data.sources import Source
from leaplan.errors import CheckpointError, DataError
from leaplan.programs.encode import Encoder
from leaplan.programs.targets import Targets
from leaplan.records import Annotations, PlanningProblem, RecognitionProblem, Step, Vocabulary
from leaplan.writing import write_json

PROBLEM_FILE = "problem.json"
SCHEMA = 1


class KnownProblem(VideoDataModule):
    """The problem that a model was trained for, in the place of the dataset.

    Args:
        root: Folder of the exported model, which holds `problem.json`.
        view, source: As in training; they tell how a video is looked at.
        batch_size: Not used.
    """

    dataset = "known"

    def __init__(
        self, root: str | Path, view: View | None = None, source: Source | ClipSource | None = None, batch_size: int = 1
    ) -> None:
        super().__init__(root, view, source, batch_size=batch_size)
        self._problem: PlanningProblem | RecognitionProblem | None = None

    @property
    def folder(self) -> Path:
        """The folder of the exported model."""
        return self.root

    def read(self) -> Annotations:
        """Refuse.

        Raises:
            DataError: Always: there are no annotations.
        """
        raise DataError(f"{self.root} is an exported model, which has no data", "Use the run that it was made of")

    def setup(self, stage: str | None = None) -> Self:  # type: ignore[override]
        """Read the problem.

        Raises:
            CheckpointError: `problem.json` is missing or damaged.
        """
        path = self.root / PROBLEM_FILE
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            self._problem, self._target, encoder = problem_from_json(told)
        except (OSError, ValueError, KeyError, TypeError) as error:
            what = f"{path} does not tell what the model was trained for ({type(error).__name__}: {error})"
            raise CheckpointError(what, "Export the run again:  leaplan export RUN --to FOLDER") from error
        if encoder is not None:
            self.targets = Targets(encoder, encoder.encode_all([]), {}, ())
        return self

    @property
    def problem(self) -> PlanningProblem | RecognitionProblem:
        """What the model was built for."""
        assert self._problem is not None
        return self._problem

    @property
    def target_vocabulary(self) -> Vocabulary:
        """The classes that plans are made of."""
        return self._target

    def training_sequences(self) -> list[tuple[int, ...]]:
        """Return nothing: transitions are among the model's weights."""
        return []

    def windows(self, split: str) -> Any:
        """Return None: there are no windows."""
        return None

    def clips(self, split: str) -> Any:
        """Return no clips."""
        return []


def write_problem(path: Path, data: VideoDataModule) -> None:
    """Write what a model must know of its data to be built again."""
    encoder = None if data.targets is None else data.targets.encoder
    write_json(path, problem_as_json(data.problem, data.target_vocabulary, encoder))


def problem_as_json(
    problem: PlanningProblem | RecognitionProblem, target: Vocabulary, encoder: Encoder | None
) -> dict[str, Any]:
    """Return a problem as JSON.

    Args:
        problem: Classes and sizes.
        target: The classes that plans are made of, where they are not those of training.
        encoder: What program labels mean; None without programs.
    """
    if isinstance(problem, PlanningProblem):
        sizes: dict[str, Any] = {"horizon": problem.horizon, "seconds": problem.seconds, "width": problem.width}
    else:
        sizes = {"windows": problem.windows, "rows": problem.rows, "width": problem.width, "gap": problem.gap}
    return {
        "schema": SCHEMA,
        "task": "planning" if isinstance(problem, PlanningProblem) else "recognition",
        **sizes,
        "vocabulary": asdict(problem.vocabulary),
        "target": None if target == problem.vocabulary else asdict(target),
        "programs": None if encoder is None else encoder.to_dict(),
    }


def problem_from_json(
    told: Mapping[str, Any],
) -> tuple[PlanningProblem | RecognitionProblem, Vocabulary, Encoder | None]:
    """Return problem, target classes and encoder of programs, as `problem_as_json` wrote them.

    Raises:
        KeyError, TypeError, ValueError: It was not written by that.
    """
    if told["schema"] != SCHEMA:
        raise ValueError(f"schema {told['schema']}, this leaplan reads {SCHEMA}")
    vocabulary = _vocabulary(told["vocabulary"])
    target = vocabulary if told["target"] is None else _vocabulary(told["target"])
    if told["task"] == "planning":
        return PlanningProblem(told["horizon"], vocabulary, told["seconds"], told["width"]), target, None
    encoder = None if told["programs"] is None else Encoder.from_dict(told["programs"], PROBLEM_FILE)
    programs = None if encoder is None else program_classes(encoder)
    sizes = told["windows"], told["rows"], told["width"]
    return RecognitionProblem(vocabulary, *sizes, programs, told["gap"]), target, encoder


def _vocabulary(told: Mapping[str, Any]) -> Vocabulary:
    steps = tuple(Step(**step) for step in told["steps"])
    return Vocabulary(steps, *(tuple(told[name]) for name in ("tasks", "verbs", "nouns")))
