"""Annotations x view x source to loaders: the base class of all datasets."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self, cast

import torch
from lightning.pytorch.core.datamodule import LightningDataModule
from torch.utils.data import DataLoader

from leaplan.data.clips import ClipSource, ClipSplit, ProgramFile, program_classes, unique_windows
from leaplan.data.files import dataset_folder
from leaplan.data.loading import Batch, BatchLoader, RankSampler, SingleSteps, WindowTensors
from leaplan.data.sources import NothingSeen, Observed, Source
from leaplan.data.splits import carve_validation
from leaplan.data.views import ActionClips, AnticipationClips, PlanningWindows
from leaplan.errors import ConfigError, DataError
from leaplan.programs.targets import Targets
from leaplan.records import Annotations, PlanningProblem, RecognitionProblem, Vocabulary

SPLITS = ("train", "val", "test")
View = PlanningWindows | ActionClips | AnticipationClips


class VideoDataModule(LightningDataModule):
    """Loaders of planning windows, or of clips to be recognised or anticipated, for one dataset.

    A subclass turns raw files into `Annotations` in `read` and does nothing else. `Niv("data").setup().annotations`
    needs no more than the annotation files; for tensors say a source as well.

    Args:
        root: Folder that holds the dataset's folder, or that folder itself.
        view: Which samples are cut from the annotations; None takes windows of three steps to plan.
        source: Where a sample's tensors come from; None leaves it at the annotations.
        protocol: Name of the split protocol; "" takes the dataset's first.
        batch_size: Samples per batch and process.
        validation: Share of the training *videos* set aside for validation where the protocol has none. 0, for clips,
            trains on all of them, with settings that were chosen before; nothing is then chosen in the run.
        seed: Of the validation part; the order of training batches follows the run's own seed.
        programs: Action programs that supervise clips; None without.
        workers: Processes that load batches of clips; 0 loads them in this one.
    """

    dataset: ClassVar[str]
    default_protocol: ClassVar[str] = ""
    folders: ClassVar[tuple[str, ...]] = ()
    """Names that the dataset's folder may have inside `root`."""

    def __init__(
        self,
        root: str | Path,
        view: View | None = None,
        source: Source | ClipSource | None = None,
        protocol: str = "",
        batch_size: int = 32,
        validation: float = 0.1,
        seed: int = 7,
        programs: ProgramFile | None = None,
        workers: int = 0,
    ) -> None:
        super().__init__()
        self.root = Path(root).expanduser()
        self.protocol = protocol or self.default_protocol
        self.view: View = view or PlanningWindows()
        self.source: Source | ClipSource = source or NothingSeen()
        self.batch_size = batch_size
        self.validation = validation
        self.seed = seed
        self.programs, self.workers = programs, workers
        self.targets: Targets | None = None
        self._tensors: dict[str, WindowTensors] = {}
        self._clips: dict[str, ClipSplit] = {}
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

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The splits there are: all three, or no "val" where nothing is set aside.

        Raises:
            ConfigError: A planner is to go without.
        """
        given = self.annotations
        held = given.windows or {video.split for video in given.videos}
        if self.validation or "val" in held:
            return SPLITS
        if isinstance(self.view, PlanningWindows):
            raise ConfigError(
                "a planner cannot do without validation data: its probabilities are calibrated there",
                "Set --data.validation 0.1",
            )
        return tuple(split for split in SPLITS if split != "val")

    def setup(self, stage: str | None = None) -> Self:  # type: ignore[override]  # a notebook wants the data module back
        """Cut the samples of all splits; features are gathered into memory, frames are decoded later.

        Returns:
            This data module. Without a source its annotations are read and checked, and nothing is cut.

        Raises:
            DataError: Files are missing or malformed, or a split has no sample.
            ConfigError: Fewer than 0 workers.
        """
        if self._tensors or self._clips:
            return self
        if self.workers < 0:
            raise ConfigError(f"'workers' is {self.workers}, below 0", "Set --data.workers; 0 reads in the run itself")
        if isinstance(self.source, NothingSeen):
            self.annotations  # noqa: B018, they are read once
        elif isinstance(self.view, PlanningWindows):
            self._tensors = self._cut_windows()
        else:
            self._clips = self._cut_clips(self.view)
        return self

    def _cut_windows(self) -> dict[str, WindowTensors]:
        """Return the windows of all splits."""
        observed = self.observe(self.annotations, self.splits)
        seen = {window.steps for window in observed["train"][0]}
        return {split: WindowTensors(*observed[split], seen) for split in self.splits}

    def _cut_clips(self, view: ActionClips | AnticipationClips) -> dict[str, ClipSplit]:
        """Return the clips of all splits, those of training drawn at random."""
        source = self.source
        if not hasattr(source, "clips"):
            raise ConfigError(
                f"{type(source).__name__} shows planning windows only, no clips",
                "Use leaplan.data.frames.Frames, or features, as --data.source",
            )
        given = self.annotations
        self.targets = None if self.programs is None else self.programs.read(given, self.folder)
        clips = {split: view(given, split) for split in self.splits}
        self._refuse_empty({split: len(found) for split, found in clips.items()}, "clip")
        return {
            split: ClipSplit(found, source.clips(found, self.folder, split == "train"), given.vocabulary, self.targets)
            for split, found in clips.items()
        }

    def observe(self, annotations: Annotations, splits: Sequence[str]) -> dict[str, Observed]:
        """Return the windows of `splits` and what is seen of them.

        Raises:
            DataError: A split has no window.
        """
        view, source = self._planning()
        windows = {split: view(annotations, split) for split in splits}
        self._refuse_short(annotations, view.horizon)
        sample = f"window of {view.horizon} steps"
        self._refuse_empty({split: len(found) for split, found in windows.items()}, sample)
        observed = {split: source.observe(windows[split], self.folder) for split in splits}
        self._refuse_empty({split: len(kept) for split, (kept, _, _) in observed.items()}, sample)
        self._dropped = {split: len(windows[split]) - len(kept) for split, (kept, _, _) in observed.items()}
        return observed

    def _planning(self) -> tuple[PlanningWindows, Source]:
        """Return view and source, which must be those of planning windows."""
        if not isinstance(self.view, PlanningWindows) or not hasattr(self.source, "observe"):
            raise ConfigError(
                f"{type(self.view).__name__} of {type(self.source).__name__} give no windows to plan",
                "Plan from leaplan.data.views.PlanningWindows and features",
            )
        return self.view, cast(Source, self.source)

    def _refuse_short(self, annotations: Annotations, horizon: int) -> None:
        longest = max((len(video.segments) for video in annotations.videos), default=0)
        if longest < horizon:
            raise DataError(
                f"no video of {self.dataset} has {horizon} steps to plan; the longest has {longest}",
                f"Set --horizon to at most {longest}",
            )

    def _refuse_empty(self, counts: dict[str, int], sample: str) -> None:
        for split, count in counts.items():
            if count == 0:
                raise DataError(
                    f"split '{split}' of {self.dataset}, protocol '{self.protocol}', has no {sample}",
                    f"See what is there:  leaplan check-data {self.dataset} --root {self.root}",
                )

    def windows(self, split: str) -> WindowTensors:
        """Return the preloaded windows of `split`, after `setup`."""
        return self._tensors[split]

    def clips(self, split: str) -> ClipSplit:
        """Return the clips of `split`, after `setup`."""
        return self._clips[split]

    def window_bank(self, split: str) -> tuple[ClipSplit, torch.Tensor, Path | None]:
        """Return every window of the clips of `split` once, as a clip of its own.

        Also where each clip's windows are among them (M, W), and the folder that may keep what is seen in them for
        later runs: whatever decides their frames decides its name. None without a cache.
        """
        source = cast(ClipSource, self.source)
        windows, at = unique_windows(self._clips[split].clips)
        seen = source.clips(windows, self.folder, False)
        cache = getattr(seen, "cache", None)
        return ClipSplit(windows, seen, self.annotations.vocabulary), at, cache and cache.folder

    @property
    def problem(self) -> PlanningProblem | RecognitionProblem:
        """What a planner, or a recogniser, must know of this dataset to be built."""
        if not isinstance(self.view, PlanningWindows):
            return self._recognition_problem(self.view)
        _, seconds, width = self._tensors["train"].start.shape
        return PlanningProblem(self.view.horizon, self.annotations.vocabulary, seconds, width)

    def _recognition_problem(self, view: ActionClips | AnticipationClips) -> RecognitionProblem:
        shape = self._clips["train"][0]["clips"].shape  # (1, V, W, 3, T, H, W') or (1, V, W, S, D)
        rows, width = (shape[4], 0) if len(shape) == 7 else (shape[3], shape[4])
        programs = None if self.targets is None else program_classes(self.targets.encoder)
        return RecognitionProblem(self.annotations.vocabulary, view.windows, rows, width, programs, view.gap)

    def subsets(self, split: str) -> dict[str, dict[str, torch.Tensor]]:
        """Return which clips of `split` are of rare classes, and of persons unknown to training: masks (M,).

        An action is rare if its verb or its noun is (EPIC-KITCHENS' official rule).
        """
        given, clips = self.annotations, self._clips[split]
        persons = {video.id: video.person for video in given.videos}
        unseen = torch.tensor([persons[clip.video] in given.unseen_persons for clip in clips.clips])
        verb = torch.isin(clips.verb, torch.tensor(sorted(given.tail_verbs), dtype=torch.int64))
        noun = torch.isin(clips.noun, torch.tensor(sorted(given.tail_nouns), dtype=torch.int64))
        found = {}
        if unseen.any():
            found["unseen"] = {"verb": unseen, "noun": unseen, "action": unseen}
        if verb.any() or noun.any():
            found["tail"] = {"verb": verb, "noun": noun, "action": verb | noun}
        return found

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
        """Return every step of the training videos with its neighbours; None where windows are split, not videos.

        Raises:
            ConfigError: View and source are not those of planning windows.
        """
        if self.annotations.windows is not None:
            return None
        windows, start, goal = self._planning()[1].observe(PlanningWindows(1)(self.annotations, "train"), self.folder)
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
            "protocol": self.protocol,
            "sha256": self.annotations.sha256,
            "samples": {split: len(samples) for split, samples in (self._tensors or self._clips).items()},
            "videos": {split: len(self.annotations.of_split(split)) for split in self.splits},
            "notes": [*self.annotations.notes, *self.left_out(), *(self.targets.notes if self.targets else ())],
        }

    def left_out(self) -> list[str]:
        """Return a note on the windows that were cut but could not be observed, if there are any."""
        dropped = ", ".join(f"{split} {count}" for split, count in self._dropped.items() if count)
        return [f"windows that end beyond their feature arrays are left out: {dropped}"] if dropped else []

    def train_dataloader(self) -> DataLoader[Batch]:
        """Shuffled anew each epoch, by the run's seed and the epoch's number alone."""
        return self._loader("train", shuffle_seed=torch.initial_seed())

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Each validation window once; no loader where nothing is set aside."""
        return self._loader("val") if "val" in self.splits else []

    def test_dataloader(self) -> DataLoader[Batch]:
        """Each test window once."""
        return self._loader("test")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Each test window once."""
        return self._loader("test")

    def _loader(self, split: str, shuffle_seed: int | None = None) -> DataLoader[Batch]:
        samples = self._tensors[split] if self._tensors else self._clips[split]
        trainer = self.trainer
        rank, processes = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        workers = self.workers if self._clips else 0
        return BatchLoader(
            samples,
            batch_size=self.batch_size,
            sampler=RankSampler(len(samples), rank, processes, shuffle_seed, numbered=bool(self._clips)),
            num_workers=workers,
            persistent_workers=workers > 0,
            generator=torch.Generator(),  # an iterator's own seed must not move the run's random numbers
        )
