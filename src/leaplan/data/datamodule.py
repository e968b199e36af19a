"""Annotations x view x source to loaders: the base class of all datasets."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader

from leaplan.data.files import dataset_folder
from leaplan.data.loading import Batch, RankSampler, SingleSteps, WindowTensors
from leaplan.data.sources import Observed, Source
from leaplan.data.splits import carve_validation
from leaplan.data.views import PlanningWindows
from leaplan.errors import DataError
from leaplan.records import Annotations, PlanningProblem, Vocabulary

SPLITS = ("train", "val", "test")


class VideoDataModule(LightningDataModule):
    """Loaders of planning windows for one dataset.

    A subclass turns raw files into `Annotations` in `read` and does nothing else.

    Args:
        root: Folder that holds the dataset's folder, or that folder itself.
        view: Which samples are cut from the annotations.
        source: Where a sample's tensors come from.
        protocol: Name of the split protocol; "" takes the dataset's first.
        batch_size: Samples per batch and process.
        validation: Share of the training *videos* set aside for validation where the protocol has none.
        seed: Of the validation part; the order of training batches follows the run's own seed.
    """

    dataset: ClassVar[str]
    default_protocol: ClassVar[str] = ""
    folders: ClassVar[tuple[str, ...]] = ()
    """Names that the dataset's folder may have inside `root`."""

    def __init__(
        self,
        root: str,
        view: PlanningWindows,
        source: Source,
        protocol: str = "",
        batch_size: int = 32,
        validation: float = 0.1,
        seed: int = 7,
    ) -> None:
        super().__init__()
        self.root = Path(root).expanduser()
        self.protocol = protocol or self.default_protocol
        self.view = view
        self.source = source
        self.batch_size = batch_size
        self.validation = validation
        self.seed = seed
        self._tensors: dict[str, WindowTensors] = {}
        self._dropped: dict[str, int] = {}

    @abstractmethod
    def read(self) -> Annotations:
        """Return the annotations under the official splits, checked.

        Raises:
            DataError: A file is missing or malformed; all problems of a file are collected first.
        """

    @property
    def folder(self) -> Path:
        """The dataset's own folder, which a source's paths are relative to."""
        return dataset_folder(self.root, self.folders)

    @cached_property
    def official(self) -> Annotations:
        """The annotations under the official splits, as far as they have features."""
        return self.source.restrict(self.read(), self.folder)

    @cached_property
    def annotations(self) -> Annotations:
        """The annotations as trained on: with features, and with a validation part."""
        return carve_validation(self.official, self.validation, self.seed)

    def setup(self, stage: str | None = None) -> None:
        """Cut the windows of all splits and gather their features into memory."""
        if self._tensors:
            return
        observed = self.observe(self.annotations, SPLITS)
        seen = {window.steps for window in observed["train"][0]}
        self._tensors = {split: WindowTensors(*observed[split], seen) for split in SPLITS}

    def observe(self, annotations: Annotations, splits: Sequence[str]) -> dict[str, Observed]:
        """Return the windows of `splits` and what is seen of them.

        Raises:
            DataError: A split has no window.
        """
        windows = {split: self.view(annotations, split) for split in splits}
        self._refuse_empty(annotations, {split: len(found) for split, found in windows.items()})
        observed = {split: self.source.observe(windows[split], self.folder) for split in splits}
        self._refuse_empty(annotations, {split: len(kept) for split, (kept, _, _) in observed.items()})
        self._dropped = {split: len(windows[split]) - len(kept) for split, (kept, _, _) in observed.items()}
        return observed

    def _refuse_empty(self, annotations: Annotations, counts: dict[str, int]) -> None:
        longest = max((len(video.segments) for video in annotations.videos), default=0)
        if longest < self.view.horizon:
            raise DataError(
                f"no video of {self.dataset} has {self.view.horizon} steps to plan; the longest has {longest}",
                f"Set --horizon to at most {longest}",
            )
        for split, count in counts.items():
            if count == 0:
                raise DataError(
                    f"split '{split}' of {self.dataset}, protocol '{self.protocol}', has no window of "
                    f"{self.view.horizon} steps",
                    f"See what is there:  leaplan check-data {self.dataset} --root {self.root}",
                )

    def windows(self, split: str) -> WindowTensors:
        """Return the preloaded windows of `split`, after `setup`."""
        return self._tensors[split]

    @property
    def problem(self) -> PlanningProblem:
        """What a planner must know of this dataset to be built."""
        _, seconds, width = self._tensors["train"].start.shape
        return PlanningProblem(self.view.horizon, self.annotations.vocabulary, seconds, width)

    @property
    def target_vocabulary(self) -> Vocabulary:
        """The classes that the test windows' step ids refer to: those of `problem`, unless data are crossed."""
        return self.annotations.vocabulary

    def training_sequences(self) -> list[tuple[int, ...]]:
        """Return the step ids of whole training videos, that transitions are counted in."""
        if self.annotations.windows is not None:  # whole videos would show the windows held out for testing
            return [window.steps for window in self._tensors["train"].windows]
        return [tuple(s.step for s in video.segments) for video in self.annotations.of_split("train")]

    def single_steps(self) -> SingleSteps | None:
        """Return every step of the training videos with its neighbours; None where windows are split, not videos."""
        if self.annotations.windows is not None:
            return None
        windows, start, goal = self.source.observe(PlanningWindows(1)(self.annotations, "train"), self.folder)
        end = len(self.annotations.vocabulary.steps)
        neighbours: dict[str, tuple[int, int, int]] = {}
        for video in self.annotations.of_split("train"):
            steps = [end, *(segment.step for segment in video.segments), end]
            for segment, around in zip(video.segments, zip(steps, steps[1:], steps[2:], strict=False), strict=False):
                neighbours[segment.id] = around
        around = torch.tensor([neighbours[window.segments[0]] for window in windows], dtype=torch.int64)  # (m, 3)
        return SingleSteps(start, goal, *around.unbind(1))

    def facts(self) -> dict[str, object]:
        """Return what `results.json` says about the data."""
        return {
            "dataset": self.dataset,
            "split": self.protocol,
            "sha256": self.annotations.sha256,
            "samples": {split: len(tensors) for split, tensors in self._tensors.items()},
            "videos": {split: len(self.annotations.of_split(split)) for split in SPLITS},
            "notes": [*self.annotations.notes, *self.left_out()],
        }

    def left_out(self) -> list[str]:
        """Return a note on the windows that were cut but could not be observed, if there are any."""
        dropped = ", ".join(f"{split} {count}" for split, count in self._dropped.items() if count)
        return [f"windows that end beyond their feature arrays are left out: {dropped}"] if dropped else []

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled anew each epoch, by the run's seed and the epoch's number alone."""
        return self._loader("train", shuffle_seed=torch.initial_seed())

    def val_dataloader(self) -> DataLoader[Batch]:
        """Each validation window once."""
        return self._loader("val")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Each test window once."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Each test window once."""
        return self._loader("test")

    def _loader(self, split: str, shuffle_seed: int | None = None) -> DataLoader[Batch]:
        tensors = self._tensors[split]
        trainer = self.trainer
        rank, processes = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        sampler = RankSampler(len(tensors), rank, processes, shuffle_seed)
        return DataLoader(
            tensors,
            batch_size=self.batch_size,
            sampler=sampler,
            collate_fn=_as_gathered,
            generator=torch.Generator(),  # an iterator's own seed must not move the run's random numbers
        )


def _as_gathered(batch: Batch) -> Batch:
    """Return the batch that `WindowTensors` gathered; there is nothing left to collate."""
    return batch
