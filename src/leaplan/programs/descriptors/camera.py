"""How the head moved in a clip: camera poses of EPIC Fields, whose length unit differs from video to video.

Lengths are told in multiples of the video's median scene depth, turns in degrees.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from leaplan.epic_release import frame_rate
from leaplan.errors import DataError, ProblemList
from leaplan.programs.evidence import Clip
from leaplan.reading import AGAIN, document_of

Array = npt.NDArray[np.float64]
PER_SECOND = 5.0  # poses of a second that are looked at: more would add up the jitter of single poses
NEAR = 0.25  # scene depths within which two poses are at the same place
FACING = 45.0  # degrees within which they face the same way
SHARE = 0.1  # least share of a clip's time that a place is told for

_NUMBER = re.compile(r"(\d+)\.\w+$")


@dataclass(frozen=True, slots=True)
class Path3D:
    """The camera's way through a video, at most `PER_SECOND` poses a second, sorted by time.

    Args:
        seconds: (N,).
        center: Camera centres in scene depths, (N, 3).
        facing: Unit vectors along the optical axis, (N, 3).
        place: Which place each pose is at, in the order of first visits, int64 (N,).
        frames: Numbers of all frames that were registered, sorted.
        spacing: Usual number of frames from one registered frame to the next.
        rate: Frames per second.
    """

    seconds: Array
    center: Array
    facing: Array
    place: npt.NDArray[np.int64]
    frames: npt.NDArray[np.int64]
    spacing: float
    rate: float

    def registered(self, start: float, stop: float) -> float:
        """Return which share of the frames from `start` to `stop` have a pose, 0 to 1."""
        first, last = np.searchsorted(self.frames, [start * self.rate, stop * self.rate])
        expected = max(1.0, (stop - start) * self.rate / self.spacing)
        return min(1.0, float(last - first) / expected)


def read_path(path: Path, video: str) -> Path3D:
    """Return the camera's way from EPIC Fields' JSON of `video`, plain or gzipped.

    Raises:
        DataError: Unreadable, or it has no poses.
        ProblemList: Malformed poses.
    """
    document = document_of(path)
    images = document.get("images")
    if not isinstance(images, dict) or not images:
        raise DataError(f"{path} has no camera poses (`images`)", "Give EPIC Fields' JSON of the video, not a line's")
    numbers, poses = _poses(path, images)
    order = np.argsort(numbers, kind="stable")
    numbers, poses = numbers[order], poses[order]
    rotation, shift = _rotations(poses[:, :4]), poses[:, 4:]
    rate = frame_rate(video)
    every = _spaced(numbers / rate)
    center = -np.einsum("nji,nj->ni", rotation, shift)  # -R^T t
    scale = _depth(document.get("points"), rotation[every], shift[every]) or _extent(center)
    center, facing = center[every] / scale, rotation[every, 2]  # the third row of R is R^T z
    spacing = float(np.median(np.diff(numbers))) if len(numbers) > 1 else 1.0
    places = _places(center, facing)
    return Path3D(numbers[every] / rate, center, facing, places, numbers, max(spacing, 1.0), rate)


def _poses(path: Path, images: Mapping[str, Any]) -> tuple[npt.NDArray[np.int64], Array]:
    """Return frame numbers (N,), and qw, qx, qy, qz, tx, ty, tz of each (N, 7)."""
    numbers, poses, problems = [], [], []
    for name, values in images.items():
        found = _NUMBER.search(name)
        try:
            pose = np.array(values, np.float64)
        except (ValueError, TypeError):
            pose = np.zeros(0)
        if not found:
            problems.append(f"image {name!r}: no frame number in its name")
        elif pose.shape != (7,) or not np.isfinite(pose).all() or not pose[:4].any():
            problems.append(f"image {name!r}: not qw, qx, qy, qz, tx, ty, tz")
        else:
            numbers.append(int(found.group(1)))
            poses.append(pose)
    if problems:
        raise ProblemList(str(path), problems, AGAIN)
    return np.array(numbers, np.int64), np.array(poses)


def _rotations(quaternions: Array) -> Array:
    """Return the matrices (N, 3, 3), world to camera, of quaternions w, x, y, z (N, 4)."""
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.moveaxis(np.array(rows), 2, 0)


def _spaced(seconds: Array) -> npt.NDArray[np.int64]:
    """Return which poses to look at: the first of each fifth of a second."""
    return np.unique(np.floor(seconds * PER_SECOND + 1e-9), return_index=True)[1]


def _depth(points: object, rotation: Array, shift: Array, most: int = 1000) -> float:
    """Return the median depth of scene points before the camera; 0 if there are none. Some are enough."""
    if not isinstance(points, list) or not points:
        return 0.0
    try:
        scene = np.array([point[:3] for point in points[:: max(1, len(points) // most)]], np.float64)
    except (ValueError, TypeError):
        return 0.0
    if scene.ndim != 2 or scene.shape[1] != 3:
        return 0.0
    some = slice(None, None, max(1, len(rotation) // 100))
    depths = rotation[some, 2] @ scene.T + shift[some, 2:]
    depths = depths[depths > 0]
    return float(np.median(depths)) if depths.size else 0.0


def _extent(center: Array) -> float:
    """Return how far the camera usually is from its usual place, 1 if it never moves: a scale without points."""
    return float(np.median(np.linalg.norm(center - np.median(center, axis=0), axis=1))) or 1.0


def _places(center: Array, facing: Array) -> npt.NDArray[np.int64]:
    """Return the place of each pose: the nearest of the earlier ones that it is near to, or a new one."""
    places = np.zeros(len(center), np.int64)
    known = np.zeros(len(center), np.int64)  # rows that places are named after
    count, turn = 0, float(np.cos(np.radians(FACING)))
    for row in range(len(center)):
        rows = known[:count]
        distance = np.linalg.norm(center[rows] - center[row], axis=1)
        distance[facing[rows] @ facing[row] < turn] = np.inf
        best = int(np.argmin(distance)) if count else 0
        if not count or distance[best] > NEAR:
            best, known[count] = count, row
            count += 1
        places[row] = best
    return places


class Camera:
    """Path length, turns, and where the camera dwells.

    Args:
        paths: Video to EPIC Fields' JSON.
        keep: How many videos to keep in memory.
    """

    name = "camera"

    def __init__(self, paths: Mapping[str, Path], keep: int = 8) -> None:
        self._paths = dict(paths)
        self._read = lru_cache(keep)(self._load)

    def _load(self, video: str) -> Path3D | None:
        path = self._paths.get(video)
        return read_path(path, video) if path else None

    def describe(self, clip: Clip) -> str:
        """Return up to four lines; "" for a video without poses."""
        track = self._read(clip.video)
        if track is None:
            return ""
        rows = slice(*np.searchsorted(track.seconds, [clip.start, clip.stop]))
        share = track.registered(clip.start, clip.stop)
        if not len(track.seconds[rows]):
            return "position not known: none of its frames could be registered"
        lines = [_moved(track.center[rows]), _turned(track.facing[rows]), *_dwelt(clip, track, rows)]
        known = [] if share >= 0.9 else [f"position known in {share:.0%} of the frames only"]
        return "\n".join([*known, *(line for line in lines if line)])


def _moved(center: Array) -> str:
    length = float(np.linalg.norm(np.diff(center, axis=0), axis=1).sum())
    apart = float(np.linalg.norm(center[-1] - center[0]))
    return f"path {length:.1f} times the usual scene depth, {apart:.1f} from start to end" if len(center) > 1 else ""


def _turned(facing: Array) -> str:
    if len(facing) < 2:
        return ""
    steps = _angle((facing[1:] * facing[:-1]).sum(1))
    return f"turns {steps.sum():.0f} degrees in all, {_angle(facing[0] @ facing[-1]):.0f} from start to end"


def _angle(cosine: Any) -> Any:
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def _dwelt(clip: Clip, track: Path3D, rows: slice) -> list[str]:
    """Return one line per time of the last visit, the longest first: the share of the clip at such places."""
    here, counts = np.unique(track.place[rows], return_counts=True)
    before = track.place[: rows.start]
    shares: dict[str, float] = {}
    for place, share in zip(here.tolist(), (counts / counts.sum()).tolist(), strict=True):
        visits = np.flatnonzero(before == place)
        where = _visited(clip.start - float(track.seconds[visits[-1]]) if len(visits) else None)
        shares[where] = shares.get(where, 0.0) + share
    told = sorted(shares.items(), key=lambda pair: (-round(pair[1], 6), pair[0]))
    return [f"{share:.0%} of the time {where}" for where, share in told if share >= SHARE]


def _visited(ago: float | None) -> str:
    if ago is None:
        return "at a place and facing a way that are new"
    return "where it was just before" if ago < 1.0 else f"where it was {ago:.0f} s before"
