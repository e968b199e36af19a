"""Train on one dataset, test on another: does a planner plan with labels that it never saw?"""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Protocol

from leaplan.data.datamodule import SPLITS, VideoDataModule
from leaplan.data.loading import WindowTensors
from leaplan.data.views import PlanningWindows
from leaplan.errors import DataError
from leaplan.records import Annotations, Vocabulary


class Part(Protocol):
    """A dataset that lacks only what both datasets share."""

    def __call__(self, *, root: str, view: PlanningWindows, batch_size: int) -> VideoDataModule:
        """Return its data module."""


class CrossDataset(VideoDataModule):
    """Windows for training and validation of one dataset, test windows of another.

    The test windows' step and task ids refer to `target_vocabulary`; all else, `problem` too, is of the training
    dataset. Of the other one only the test split is used, whatever its settings say of validation.

    Args:
        root: Folder that holds both datasets' folders.
        view: Which samples are cut from the annotations of both.
        train: Dataset of the training and validation windows, without `root`, `view` and `batch_size`.
        test: Dataset of the test windows, likewise.
        batch_size: Samples per batch and process.
    """

    dataset = "cross"

    def __init__(self, root: str, view: PlanningWindows, train: Part, test: Part, batch_size: int = 32) -> None:
        self.train_part = train(root=root, view=view, batch_size=batch_size)
        self.test_part = test(root=root, view=view, batch_size=batch_size)
        super().__init__(root, view, self.train_part.source, self.train_part.protocol, batch_size)

    def prepare_data(self) -> None:
        """Make what either dataset makes."""
        self.train_part.prepare_data()
        self.test_part.prepare_data()

    @property
    def folder(self) -> Path:
        """The training dataset's folder."""
        return self.train_part.folder

    def read(self) -> Annotations:
        """Return the training dataset's annotations."""
        return self.train_part.read()

    @cached_property
    def annotations(self) -> Annotations:
        """The training dataset's annotations as trained on."""
        return self.train_part.annotations

    @property
    def target_vocabulary(self) -> Vocabulary:
        """The test dataset's classes."""
        return self.test_part.official.vocabulary

    def _cut_windows(self) -> dict[str, WindowTensors]:
        """Return the windows of both datasets.

        Raises:
            DataError: A split has no window, or the datasets' observations differ in size.
        """
        observed = {
            **self.train_part.observe(self.annotations, ("train", "val")),
            **self.test_part.observe(self.test_part.official, ("test",)),
        }
        self._refuse_other_sizes(*(tuple(observed[split][1].shape[1:]) for split in ("train", "test")))
        trained = {window.steps for window in observed["train"][0]}
        texts = {_texts(steps, self.annotations.vocabulary) for steps in trained}
        tested = {window.steps for window in observed["test"][0]}
        known = {steps for steps in tested if _texts(steps, self.target_vocabulary) in texts}
        return {split: WindowTensors(*observed[split], known if split == "test" else trained) for split in SPLITS}

    def _refuse_other_sizes(self, train: tuple[int, ...], test: tuple[int, ...]) -> None:
        if train != test:
            names = self.train_part.dataset, self.test_part.dataset
            raise DataError(
                f"an observation of {names[0]} has {train[0]} x {train[1]} numbers (seconds x features), but one of "
                f"{names[1]} has {test[0]} x {test[1]}",
                "Observe both with features of one kind: see --data.train.source and --data.test.source",
            )

    def facts(self) -> dict[str, object]:
        """Return what `results.json` says about the data of both datasets."""
        parts = (self.train_part, self.annotations), (self.test_part, self.test_part.official)
        hashes = " ".join(annotations.sha256 for _, annotations in parts)
        return {
            "dataset": " -> ".join(part.dataset for part, _ in parts),
            "protocol": " -> ".join(part.protocol for part, _ in parts),
            "sha256": hashlib.sha256(hashes.encode()).hexdigest(),
            "samples": {split: len(tensors) for split, tensors in self._tensors.items()},
            "videos": {split: len(self._given(split).of_split(split)) for split in SPLITS},
            "features": {
                side: part.source.describe() for side, (part, _) in zip(("train", "test"), parts, strict=True)
            },
            "notes": [
                *(f"{part.dataset}: {note}" for part, given in parts for note in (*given.notes, *part.left_out())),
                *self._in_common(),
            ],
        }

    def _given(self, split: str) -> Annotations:
        return self.test_part.official if split == "test" else self.annotations

    def _in_common(self) -> list[str]:
        """Return notes on labels and videos that both datasets have."""
        known = {_plain(step.name) for step in self.annotations.vocabulary.steps}
        asked = [_plain(step.name) for step in self.target_vocabulary.steps]
        notes = [f"{sum(name in known for name in asked)} of {len(asked)} step labels to test occur in training"]
        seen, tested = (
            {video.id for split in splits for video in self._given(split).of_split(split)}
            for splits in (("train", "val"), ("test",))
        )
        if seen & tested:
            notes.append(f"{len(seen & tested)} of {len(tested)} test videos bear the name of a training video")
        return notes


def _texts(steps: tuple[int, ...], vocabulary: Vocabulary) -> tuple[str, ...]:
    """Return a plan as its labels, to be compared with plans of another dataset."""
    return tuple(_plain(vocabulary.steps[step].name) for step in steps)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
