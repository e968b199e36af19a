"""Clips of a split as batches: what is seen, what it is called, and the program that supervises it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from leaplan.data.views import Clip, Window
from leaplan.programs.encode import Encoder
from leaplan.programs.targets import Targets, read_targets
from leaplan.records import Annotations, ProgramClasses, Vocabulary

Key = int | tuple[int, int]  # position in the split, or (epoch, position)
Sample = dict[str, Any]


class SeenClips(Protocol):
    """What a source sees of the clips of a split. Each sample has `clips` (V, W, ...), `window_mask` (W,), `broken`."""

    def __getitem__(self, key: Key) -> Sample:
        """Return what is seen of one clip."""


class ClipSource(Protocol):
    """A source of clips."""

    def restrict(self, annotations: Annotations, folder: Path) -> Annotations:
        """Return `annotations` without the videos and segments that cannot be seen."""

    def clips(self, clips: Sequence[Clip], folder: Path, training: bool) -> SeenClips:
        """Return what is seen of `clips`; drawn at random in training."""

    def describe(self) -> dict[str, object]:
        """Return what a reader of the results must know."""


@dataclass(frozen=True, slots=True)
class ProgramFile:
    """A file of action programs that supervise training.

    Args:
        file: `programs.jsonl` or `programs.parquet` of `leaplan generate-programs`.
        slots: K, sub-actions kept per program.
        min_count: Conditions that occur less often in the programs of training clips are left out.
    """

    file: str
    slots: int = 8
    min_count: int = 1

    def read(self, annotations: Annotations, folder: Path) -> Targets:
        """Return the programs as labels. Raises as `read_targets`."""
        ids = {split: {s.id for v in annotations.of_split(split) for s in v.segments} for split in _splits(annotations)}
        known = {segment.id for video in annotations.videos for segment in video.segments}
        path = Path(self.file).expanduser()
        return read_targets(path, ids.get("train", set()), known, folder, self.slots, self.min_count)


def _splits(annotations: Annotations) -> set[str]:
    return {video.split for video in annotations.videos}


def program_classes(encoder: Encoder) -> ProgramClasses:
    """Return what the labels of `encoder` mean."""
    objects = ("none", "other", *encoder.objects)
    return ProgramClasses(encoder.slots, ("stop", *encoder.verbs), objects, encoder.conditions)


class ClipSplit(Dataset[Sample]):
    """The clips of a split.

    Args:
        clips: M clips.
        seen: What the source sees of them.
        vocabulary: Tells the verb and noun of each step.
        targets: Programs of clips, None without programs.
    """

    def __init__(
        self, clips: Sequence[Clip], seen: SeenClips, vocabulary: Vocabulary, targets: Targets | None = None
    ) -> None:
        self.clips, self.seen, self.targets = list(clips), seen, targets
        steps = [clip.step for clip in clips]
        self.step = torch.tensor(steps, dtype=torch.int64)  # (M,)
        self.verb = torch.tensor([_or(vocabulary.steps[step].verb) for step in steps], dtype=torch.int64)
        self.noun = torch.tensor([_or(vocabulary.steps[step].noun) for step in steps], dtype=torch.int64)
        self.rows = None if targets is None else _rows(self.clips, targets.row_of)  # (M, W), -1 without a program

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: Key) -> Sample:
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[Key]) -> Sample:
        """Return a batch. The data loader calls this with all keys of the batch at once."""
        samples = [self.seen[key] for key in keys]
        at = torch.tensor([sample["index"] for sample in samples], dtype=torch.int64)  # a broken clip is replaced
        batch = {
            "index": at,
            "sample_id": [self.clips[i].sample_id for i in at.tolist()],
            "clips": torch.stack([sample["clips"] for sample in samples]),  # (B, V, W, ...)
            "window_mask": torch.stack([sample["window_mask"] for sample in samples]),  # (B, W)
            "broken": [each for sample in samples for each in sample["broken"]],
            **self.labels(at),
        }
        return batch

    def labels(self, at: Tensor) -> Sample:
        """Return the labels of the clips at positions `at` (B,)."""
        labels: Sample = {"step": self.step[at], "verb": self.verb[at], "noun": self.noun[at]}
        if self.targets is not None and self.rows is not None:
            labels["program"] = program_labels(self.targets, self.rows[at])
        return labels


def unique_windows(clips: Sequence[Clip]) -> tuple[list[Clip], Tensor]:
    """Return every window of `clips` once, as a clip of its own, and where each clip's windows are among them (M, W).

    Nothing may be decoded for a window that any of its clips may not see. -1 stands for no
    window.
    """
    places: dict[WindowKey, int] = {}
    unique: list[Clip] = []
    earliest = _earliest(clips)
    at = torch.full((len(clips), len(clips[0].windows)), -1, dtype=torch.int64)
    for row, clip in enumerate(clips):
        for column, window in enumerate(clip.windows):
            if window is None:
                continue
            key = _key(clip, window)
            if key not in places:
                places[key] = len(unique)
                name = f"{clip.video}:{window.start:.3f}-{window.stop:.3f}"
                unique.append(replace(clip, sample_id=name, windows=(window,), latest=earliest[key]))
            at[row, column] = places[key]
    return unique, at


WindowKey = tuple[str, int | None, int | None, float, float]


def _key(clip: Clip, window: Window) -> WindowKey:
    return clip.video, window.first, window.last, window.start, window.stop


def _earliest(clips: Sequence[Clip]) -> dict[WindowKey, float | None]:
    """Return for each window the earliest bound among the clips that share it."""
    bounds: dict[WindowKey, float | None] = {}
    for clip in clips:
        for window in filter(None, clip.windows):
            known = bounds.get(_key(clip, window))
            bounds[_key(clip, window)] = (
                clip.latest if known is None or clip.latest is None else min(known, clip.latest)
            )
    return bounds


def program_labels(targets: Targets, rows: Tensor) -> dict[str, Tensor]:
    """Return the labels of the programs at `rows` (B, W): verb, first, second, mask (B, W, K), before, after
    (B, W, K, P), valid (B, W); zeros and invalid where the row is -1."""
    valid = rows >= 0
    found = targets.encoded[rows.clamp(min=0).flatten().numpy()]
    arrays = {name: getattr(found, name) for name in ("verb", "first", "second", "before", "after", "mask")}
    program = {name: torch.from_numpy(array).unflatten(0, rows.shape) for name, array in arrays.items()}
    for name in ("before", "after"):
        program[name] = program[name].float()
    program = {name: tensor * valid[..., *[None] * (tensor.ndim - 2)] for name, tensor in program.items()}
    return {**program, "valid": valid & program["mask"].any(-1)}


def _rows(clips: Sequence[Clip], row_of: Mapping[str, int]) -> Tensor:
    return torch.tensor(
        [[-1 if w is None else row_of.get(w.segment, -1) for w in clip.windows] for clip in clips], dtype=torch.int64
    )


def _or(value: int | None) -> int:
    return -1 if value is None else value
