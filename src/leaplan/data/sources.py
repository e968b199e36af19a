"""Where a window's observation comes from: features per second of video, or features per segment.

A source first restricts the annotations to what it has, then observes windows. Only the start of the
first segment and the stop of the last one are looked up; nothing between them is ever read into a sample.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leaplan.data.arrays import index_arrays, read_archive, read_array
from leaplan.data.feature_clips import FeatureClips, clips_from_arrays
from leaplan.data.views import Clip, PlanningWindow
from leaplan.errors import ConfigError, DataError, ProblemList
from leaplan.records import Annotations, Step

Pool = Literal["mean", "keep", "concatenate"]
Rounding = Literal["round", "floor"]
Observed = tuple[list[PlanningWindow], Tensor, Tensor]


class Source(Protocol):
    """A source of observations."""

    def restrict(self, annotations: Annotations, folder: Path) -> Annotations:
        """Return `annotations` without the videos and segments that have no features."""

    def observe(self, windows: Sequence[PlanningWindow], folder: Path) -> Observed:
        """Return the windows that can be observed, their start (M, S, D) and their goal (M, S, D)."""

    def describe(self) -> dict[str, object]:
        """Return what a reader of the results must know: name, observed seconds, pooling."""


class NothingSeen:
    """No tensors: annotations alone."""

    def restrict(self, annotations: Annotations, folder: Path) -> Annotations:
        """Return all `annotations`."""
        return annotations

    def observe(self, windows: Sequence[PlanningWindow], folder: Path) -> Observed:
        """Refuse: there is nothing to observe.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError("the data have no source of features or frames", "Say one, such as leaplan.data.Features()")

    def describe(self) -> dict[str, object]:
        """Return that there is nothing."""
        return {"name": "none"}


class Features:
    """One array [seconds, D] per video; row r covers second r.

    Args:
        folder: Folder with one `.npy`, `.npz`, `.pt` or `.safetensors` file per video, named by the
            video's id or ending in "_<id>"; relative to the dataset's folder.
        key: Name of the array inside an archive; None takes the only one.
        start_seconds, goal_seconds: Seconds observed, relative to the start and to the goal.
        pool: "mean" over these seconds (S = 1), "keep" them in order (S = their number), or
            "concatenate" them into one wide vector (S = 1).
        rounding: How a time becomes a row: CrossTask's release rounds, NIV's truncates.
        missing: What to do about videos without a file: "error", or "skip" them.
        clip_rows: S rows that a clip is seen through, spread evenly over it.
    """

    def __init__(
        self,
        folder: str = "features",
        key: str | None = None,
        start_seconds: tuple[int, ...] = (-1, 0, 1),
        goal_seconds: tuple[int, ...] = (-1, 0, 1),
        pool: Pool = "mean",
        rounding: Rounding = "round",
        missing: Literal["error", "skip"] = "error",
        clip_rows: int = 8,
    ) -> None:
        self.folder, self.key, self.clip_rows = folder, key, clip_rows
        self.start_seconds, self.goal_seconds = tuple(start_seconds), tuple(goal_seconds)
        self.pool, self.rounding, self.missing = pool, rounding, missing
        self._files: dict[str, Path] = {}  # video to file: `restrict` comes first and fills it
        self._widths: dict[str, int] = {}

    def restrict(self, annotations: Annotations, folder: Path) -> Annotations:
        """Keep the videos that have a feature file.

        Raises:
            DataError: The folder is missing, or videos of a split have no file and `missing` is "error".
        """
        self._files = index_arrays(folder / self.folder, [video.id for video in annotations.videos])
        absent = [video.id for video in annotations.videos if video.split and video.id not in self._files]
        command = f"leaplan check-data {annotations.dataset} --root {folder} --features {self.folder}"
        if absent and self.missing == "error":
            raise ProblemList(
                f"{folder / self.folder} lacks features",
                [f"no file for video {video}" for video in absent],
                f"See what is there:  {command}   or leave them out:  --data.source.missing skip",
            )
        if not absent:
            return annotations
        videos = tuple(video for video in annotations.videos if video.id in self._files)
        windows = annotations.windows and {
            split: tuple(window for window in listed if window.video in self._files)
            for split, listed in annotations.windows.items()
        }
        note = f"{len(absent)} videos without features are left out"
        return replace(annotations, videos=videos, windows=windows, notes=(*annotations.notes, note))

    def observe(self, windows: Sequence[PlanningWindow], folder: Path) -> Observed:
        """Observe the seconds around start and goal; a window that begins or ends outside is dropped.

        Each file is read once and only the observed rows are kept, so that memory holds the windows alone.

        Raises:
            ProblemList: Arrays cannot be read, or are of several widths.
            DataError: No window lies within its array.
        """
        seen: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        problems = []
        for video, positions in _by_video(windows).items():
            try:
                array = read_array(self._files[video], self.key, ndim=2)
            except DataError as error:
                problems.append(error.what)
                continue
            self._widths[video] = array.shape[1]
            for position in positions:
                window = windows[position]
                if self._second(window.start_time) >= 0 and self._second(window.goal_time) < len(array):
                    seen[position] = (
                        self.around(array, window.start_time, self.start_seconds),
                        self.around(array, window.goal_time, self.goal_seconds),
                    )
        self._refuse(problems + self._odd_widths(), folder)
        if windows and not seen:
            raise DataError(
                f"all {len(windows)} windows end beyond their feature arrays in {folder / self.folder}: "
                "the arrays must have one row per second",
                "Extract the features at 1 row per second",
            )
        order = sorted(seen)
        start, goal = [seen[i][0] for i in order], [seen[i][1] for i in order]
        return [windows[i] for i in order], _stack(start), _stack(goal)

    def around(self, array: NDArray[np.float32], time: float, seconds: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the rows of `array` (S', D) that lie `seconds` from `time`, the nearest ones at its ends, pooled."""
        rows = np.clip(self._second(time) + np.asarray(seconds), 0, len(array) - 1)
        return _pooled(array[rows], self.pool)

    def clips(self, clips: Sequence[Clip], folder: Path, training: bool) -> FeatureClips:
        """Return `clip_rows` rows of each window of `clips`; a row that shows anything after `latest` is never used.

        Raises:
            ProblemList: Arrays cannot be read, or are of several widths.
        """
        arrays: dict[str, NDArray[np.float32]] = {}
        problems = []
        for video in dict.fromkeys(clip.video for clip in clips):
            try:
                arrays[video] = read_array(self._files[video], self.key, ndim=2).astype(np.float32)
                self._widths[video] = arrays[video].shape[1]
            except DataError as error:
                problems.append(error.what)
        self._refuse(problems + self._odd_widths(), folder)
        return clips_from_arrays(clips, arrays, self.clip_rows)

    def _odd_widths(self) -> list[str]:
        widths = list(self._widths.values())
        common = max(set(widths), key=widths.count, default=0)
        return [
            f"{self._files[video]} has {width} columns, but most files have {common}"
            for video, width in self._widths.items()
            if width != common
        ]

    def _refuse(self, problems: Sequence[str], folder: Path) -> None:
        if problems:
            raise ProblemList(
                f"features in {folder / self.folder}",
                problems,
                "Extract these videos again, or remove their files and set --data.source.missing skip",
            )

    def _second(self, time: float) -> int:
        return math.floor(time) if self.rounding == "floor" else round(time)

    def describe(self) -> dict[str, object]:
        """Return what a reader of the results must know: name, observed seconds, pooling."""
        return _description(self.folder, self.start_seconds, self.goal_seconds, self.pool)


class SegmentFeatures:
    """One archive with features of every annotated segment: `feats` [segments, R, D] or [segments, D].

    Rows belong to a segment by `video_id` and `start`. With R rows the first half are seconds around the
    segment's start and the second half seconds around its stop; with one row both observations are it.

    Args:
        file: `.npz` with `feats`, `video_id`, `step_id`, `start`, relative to the dataset's folder.
        start_seconds, goal_seconds: Seconds observed, relative to start and goal, within the half window.
        pool: As in `Features`.
    """

    def __init__(
        self,
        file: str,
        start_seconds: tuple[int, ...] = (-1, 0, 1),
        goal_seconds: tuple[int, ...] = (-1, 0, 1),
        pool: Pool = "mean",
    ) -> None:
        self.file, self.pool = file, pool
        self.start_seconds, self.goal_seconds = tuple(start_seconds), tuple(goal_seconds)
        self._features: NDArray[np.float32] = np.zeros((0, 1, 1), np.float32)  # `restrict` comes first and reads them
        self._row: dict[str, int] = {}  # segment to its row

    def restrict(self, annotations: Annotations, folder: Path) -> Annotations:
        """Keep the segments that the archive has, and the step classes that remain, in vocabulary order.

        Raises:
            DataError: The archive is malformed or of another dataset, or the protocol lists windows.
        """
        if annotations.windows is not None:
            raise DataError(
                f"protocol '{annotations.protocol}' lists windows by position: features per segment do not fit",
                "Use features per second, leaplan.data.sources.Features, or another --data.protocol",
            )
        archive = read_archive(folder / self.file, ("feats", "video_id", "step_id", "start"))
        _refuse_malformed(folder / self.file, archive)
        features = archive["feats"].astype(np.float32)
        self._features = features[:, None] if features.ndim == 2 else features
        rows = {
            (str(video), str(step), round(float(start), 2)): row
            for row, (video, step, start) in enumerate(
                zip(archive["video_id"], archive["step_id"], archive["start"], strict=True)
            )
        }
        keys = [step.key for step in annotations.vocabulary.steps]
        videos = []
        for video in annotations.videos:
            found = []
            for segment in video.segments:
                row = rows.get((video.id, keys[segment.step], round(segment.start, 2)))
                if row is not None:
                    self._row[segment.id] = row
                    found.append(segment)
            if found:
                videos.append(replace(video, segments=tuple(found)))
        if not videos:
            raise DataError(
                f"{folder / self.file} has no segment of {annotations.dataset}",
                "Check that the file belongs to this dataset",
            )
        total = sum(len(video.segments) for video in annotations.videos)
        note = (
            f"{total - len(self._row)} of {total} segments, in whole or in part of "
            f"{len(annotations.videos)} videos, have no features and are left out; {len(videos)} videos remain"
        )
        notes = (*annotations.notes, note) if len(self._row) < total else annotations.notes
        return _compact(replace(annotations, videos=tuple(videos), notes=notes))

    def observe(self, windows: Sequence[PlanningWindow], folder: Path) -> Observed:
        """Look up the first and the last segment of every window.

        Raises:
            DataError: Seconds are asked for that the archive does not hold.
        """
        first = np.array([self._row[window.segments[0]] for window in windows])
        last = np.array([self._row[window.segments[-1]] for window in windows])
        rows = self._features.shape[1]
        start = self._features[first][:, _half(rows, self.start_seconds, 0)]  # (M, S, D)
        goal = self._features[last][:, _half(rows, self.goal_seconds, 1)]
        return (
            list(windows),
            _stack([_pooled(x, self.pool) for x in start]),
            _stack([_pooled(x, self.pool) for x in goal]),
        )

    def clips(self, clips: Sequence[Clip], folder: Path, training: bool) -> FeatureClips:
        """Return the seconds observed around the start and the stop of each clip's own segment, in order.

        Raises:
            DataError: As `observe`; or the clips are to be anticipated, from what the archive does not hold.
        """
        if any(clip.latest is not None for clip in clips):
            raise DataError(
                f"{self.file} has features of the segments themselves: what comes before them cannot be told from it",
                "Anticipate from features per second, leaplan.data.sources.Features, or from frames",
            )
        at = np.array([self._row[clip.sample_id] for clip in clips])
        rows = self._features.shape[1]
        columns = [*_half(rows, self.start_seconds, 0), *(_half(rows, self.goal_seconds, 1) if rows > 1 else [])]
        seen = torch.from_numpy(self._features[at][:, None, columns])  # (M, 1, S, D)
        return FeatureClips(seen, torch.ones(len(clips), 1, dtype=torch.bool))

    def describe(self) -> dict[str, object]:
        """Return the observation as it stands in results."""
        if self._features.shape[1] == 1:  # no seconds to choose from
            return {"name": self.file, "start_seconds": None, "goal_seconds": None, "pool": "segment"}
        return _description(self.file, self.start_seconds, self.goal_seconds, self.pool)


def _refuse_malformed(path: Path, archive: Mapping[str, NDArray[np.generic]]) -> None:
    """Check that `feats` can be features of as many segments as the other arrays list."""
    features = archive["feats"]
    numbers = features.dtype.kind == "f" and bool(np.isfinite(features).all())
    rows = features.shape[1] if features.ndim == 3 else 1
    if features.ndim not in (2, 3) or features.size == 0 or not numbers or (rows > 1 and rows % 2):
        raise DataError(
            f"{path}: feats has shape {features.shape} and type {features.dtype}; it must be [segments, rows, D] "
            "with an even number of rows, or [segments, D], with finite values",
            "Get the file again, or extract the features again",
        )
    lengths = {name: array.shape for name, array in archive.items() if name != "feats"}
    if any(shape != features.shape[:1] for shape in lengths.values()):
        raise DataError(
            f"{path}: feats has {len(features)} segments, but the shapes of the other arrays are {lengths}",
            "Get the file again, or extract the features again",
        )
    if archive["start"].dtype.kind not in "fiu":
        raise DataError(f"{path}: start has type {archive['start'].dtype}, not seconds", "Get the file again")


def _by_video(windows: Sequence[PlanningWindow]) -> dict[str, list[int]]:
    """Return video to the positions of its windows."""
    positions: dict[str, list[int]] = {}
    for position, window in enumerate(windows):
        positions.setdefault(window.video, []).append(position)
    return positions


def _half(rows: int, seconds: tuple[int, ...], half: int) -> list[int]:
    """Return the columns of `seconds` in a window of `rows` seconds around start (half 0) and stop (1)."""
    if rows == 1:
        return [0]
    middle = rows // 4
    if any(not -middle <= second < rows // 2 - middle for second in seconds):
        raise DataError(
            f"seconds {list(seconds)} are asked for, but the file holds {-middle} to {rows // 2 - middle - 1}",
            "Set --data.source.start_seconds and --data.source.goal_seconds within that range",
        )
    return [half * (rows // 2) + middle + second for second in seconds]


def _pooled(rows: NDArray[np.float32], pool: Pool) -> NDArray[np.float32]:
    """Reduce the observed rows (S, D) as `pool` says."""
    if pool == "mean":
        return rows.mean(axis=0, keepdims=True, dtype=np.float32)
    return rows.reshape(1, -1) if pool == "concatenate" else rows


def _stack(rows: Sequence[NDArray[np.float32]]) -> Tensor:
    return torch.from_numpy(np.stack(rows).astype(np.float32)) if rows else torch.zeros(0, 1, 1)


def _compact(annotations: Annotations) -> Annotations:
    """Drop step classes without a segment; the others keep their order."""
    used = sorted({segment.step for video in annotations.videos for segment in video.segments})
    new = {old: position for position, old in enumerate(used)}
    steps: tuple[Step, ...] = tuple(annotations.vocabulary.steps[old] for old in used)
    videos = tuple(
        replace(video, segments=tuple(replace(s, step=new[s.step]) for s in video.segments))
        for video in annotations.videos
    )
    return replace(annotations, videos=videos, vocabulary=replace(annotations.vocabulary, steps=steps))


def _description(name: str, start: tuple[int, ...], goal: tuple[int, ...], pool: Pool) -> dict[str, object]:
    return {"name": name, "start_seconds": list(start), "goal_seconds": list(goal), "pool": pool}
