"""The hand-object detections of one video: a pickled list of protobuf messages, one per frame, decoded on demand."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import hypot
from pathlib import Path

import numpy as np
import numpy.typing as npt

from leaplan.epic_release import frame_rate
from leaplan.errors import DataError
from leaplan.programs.pickled_bytes import PickleError, read_bytes
from leaplan.programs.protobuf import Detections, Hand, ProtobufError, Thing, decode, frame_of
from leaplan.reading import AGAIN, content_of


@dataclass(frozen=True, slots=True)
class Frames:
    """The messages of a video, sorted by frame.

    Args:
        path: Where they come from, for errors.
        frame: Frame numbers, int64 (N,).
        bounds: Where each message begins in `content`, and where the last one ends; int64 (N + 1,).
        content: All messages, one after another.
    """

    path: Path
    frame: npt.NDArray[np.int64]
    bounds: npt.NDArray[np.int64]
    content: bytes

    def between(self, start: float, stop: float, rate: float, step: int = 1) -> list[tuple[float, Detections]]:
        """Return (seconds, detections) of every `step`-th frame from `start` to `stop`, which are seconds.

        Raises:
            DataError: A message is damaged.
        """
        first = np.searchsorted(self.frame, start * rate - 1e-6)
        last = np.searchsorted(self.frame, stop * rate + 1e-6)
        return [(float(self.frame[row]) / rate, self._decode(row)) for row in range(int(first), int(last), step)]

    def _decode(self, row: int) -> Detections:
        try:
            return decode(self.content[self.bounds[row] : self.bounds[row + 1]])
        except ProtobufError as error:
            raise DataError(
                f"{self.path}: detections of frame {self.frame[row]} are damaged ({error})", AGAIN
            ) from error


def read_frames(path: Path) -> Frames:
    """Return the messages of a video's `.pkl`. It is read as data: nothing in it is imported or run.

    Raises:
        DataError: Unreadable, no list of byte strings, or a message without a frame number that can be read.
    """
    try:
        messages = read_bytes(content_of(path))
    except PickleError as error:
        raise DataError(f"{path} is no pickled list of byte strings ({error})", AGAIN) from error
    numbers = np.empty(len(messages), np.int64)
    for position, message in enumerate(messages):
        try:
            numbers[position] = frame_of(message)
        except ProtobufError as error:
            raise DataError(f"{path}: entry {position} is no detection message ({error})", AGAIN) from error
    order = np.argsort(numbers, kind="stable")
    sizes = np.array([len(messages[row]) for row in order], np.int64)
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    return Frames(path, numbers[order], bounds, b"".join(messages[row] for row in order))


def nearest_thing(hand: Hand, things: list[Thing]) -> Thing | None:
    """Return what `hand` touches: the thing whose centre is nearest to the hand's centre plus its offset."""
    if hand.box is None or hand.offset is None:
        return None
    x, y = hand.box.center
    x, y = x + hand.offset[0], y + hand.offset[1]
    centers = [(hypot(each.box.center[0] - x, each.box.center[1] - y), each) for each in things if each.box]
    return min(centers, key=lambda pair: pair[0], default=(0.0, None))[1]


class HandObjects:
    """The files of many videos, each read once and kept while it is in use; single frames are decoded when asked for.

    Args:
        paths: Video to file.
        per_second: How many frames of a second to look at, at most; the files have 50 or 60.
        keep: How many videos to keep in memory, tens of megabytes each.
    """

    def __init__(self, paths: Mapping[str, Path], per_second: float = 10.0, keep: int = 4) -> None:
        self._paths, self.per_second = dict(paths), per_second
        self._read = lru_cache(keep)(self._load)

    def _load(self, video: str) -> Frames | None:
        path = self._paths.get(video)
        return read_frames(path) if path else None

    def step(self, video: str) -> int:
        """Return how many frames lie between two that are looked at."""
        return max(1, round(frame_rate(video) / self.per_second))

    def between(self, video: str, start: float, stop: float) -> list[tuple[float, Detections]]:
        """Return (seconds, detections) of the frames that are looked at; none for a video without a file."""
        frames = self._read(video)
        return [] if frames is None else frames.between(start, stop, frame_rate(video), self.step(video))
