"""What was seen in a clip: Faster R-CNN detections, and the objects that VISOR's annotators outlined."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from leaplan.programs.detections import FPS, SIZE, Track, read_detections
from leaplan.programs.evidence import Clip, listed, side, span
from leaplan.programs.tables import columns_of, read_table
from leaplan.programs.visor import ENOUGH, UNKNOWN, Box, Named, Visor, overlap
from leaplan.programs.vocabulary import read_classes

MOST = 12  # kinds of objects told of one clip


def read_names(path: Path, nouns: Path | None = None) -> dict[int, str]:
    """Return the name of each class id in a file of noun classes.

    Args:
        path: EPIC-KITCHENS-55's `EPIC_noun_classes.csv` (noun_id, class_key), or one with `id` and `key`.
        nouns: `EPIC_100_noun_classes.csv`. Names become its keys, by themselves or through its lists of
            instances; those it does not know stay as they are.

    Raises:
        DataError: Unreadable, or columns are missing.
        ProblemList: Malformed rows.
    """
    columns = ("noun_id", "class_key") if "noun_id" in columns_of(path) else ("id", "key")
    names = dict(read_table(path, columns, lambda row: (int(row[columns[0]]), row[columns[1]])))
    if not nouns:
        return names
    keys = _keys(nouns)
    return {number: keys.get(name, name) for number, name in names.items()}


def _keys(nouns: Path) -> dict[str, str]:
    """Return EPIC-100's key of each noun and of each of its instances; keys come before instances."""
    classes = read_classes(nouns)
    rows = reversed(list(zip(classes.keys, classes.instances, strict=True)))
    return {each: key for key, instances in rows for each in instances} | {key: key for key in classes.keys}


@dataclass(frozen=True, slots=True)
class Detector:
    """How to read a detector's files.

    Args:
        names: Class id to name, after `offset` was taken off. Others are called "object 12": EPIC-55's ids mean
            nothing without its list of names, and a number still tells that two clips show the same thing.
        offset: Taken off class ids: 1 where 0 is the background, 0 where classes begin at 0.
        threshold: Least score of a detection.
        fps: Rate of the frames that were looked at, where the file does not tell. It is not the video's.
        size: Width and height of the picture in pixels, where the file does not tell.
    """

    names: Mapping[int, str]
    offset: int = 0
    threshold: float = 0.5
    fps: float = FPS
    size: tuple[int, int] = SIZE

    def name(self, number: int) -> str:
        """Return the name of a class id as it stands in a file."""
        return self.names.get(number - self.offset, f"object {number - self.offset}")


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of object in a clip: in how many frames, from when to when, how surely, and where (0 left, 1 right)."""

    number: int
    frames: int
    start: float
    stop: float
    score: float
    middle: float


def _kinds(seen: Track) -> list[_Kind]:
    numbers, kind = np.unique(seen.table[:, 0].astype(np.int64), return_inverse=True)
    count = np.bincount(kind, minlength=len(numbers))
    pairs = np.unique(np.stack([kind, seen.frame]), axis=1)  # a frame counts once for a kind
    frames = np.bincount(pairs[0], minlength=len(numbers))
    first = np.searchsorted(pairs[0], np.arange(len(numbers)))
    start, stop = pairs[1][first] / seen.fps, pairs[1][first + frames - 1] / seen.fps
    score = np.bincount(kind, seen.table[:, 5], len(numbers)) / count
    middle = np.bincount(kind, (seen.table[:, 1] + seen.table[:, 3]) / 2 / seen.size[0], len(numbers)) / count
    return [_Kind(*values) for values in zip(*(each.tolist() for each in (numbers, frames, start, stop, score, middle)),
                                             strict=True)]  # fmt: skip


class DetectedObjects:
    """Per kind of object: in how many frames it was detected, when, how surely, and where.

    Args:
        paths: Video to `.npz` file, see `detections`.
        detector: How to read them.
        most: How many kinds to tell at most.
        keep: How many videos to keep in memory.
    """

    name = "objects"

    def __init__(
        self, paths: Mapping[str, Path], detector: Detector | None = None, most: int = MOST, keep: int = 8
    ) -> None:
        self._paths, self.detector, self.most = dict(paths), detector or Detector({}), most
        self._read = lru_cache(keep)(self._load)

    def _load(self, video: str) -> Track | None:
        path = self._paths.get(video)
        return read_detections(path, self.detector.fps, self.detector.size) if path else None

    def describe(self, clip: Clip) -> str:
        """Return one line per kind, the most frequent first; "" if nothing was detected."""
        track = self._read(clip.video)
        if track is None:
            return ""
        seen = track.between(clip.start, clip.stop)
        sure = seen.table[:, 5] >= self.detector.threshold
        seen = Track(seen.frame[sure], seen.table[sure], seen.fps, seen.size)
        kinds = sorted(_kinds(seen), key=lambda each: (-each.frames, self.detector.name(each.number)))
        frames = max(1, track.frames_between(clip.start, clip.stop))
        lines = [
            f"{self.detector.name(each.number)}: {span(clip, each.start, each.stop)}, in {each.frames / frames:.0%} of "
            f"frames, {side(each.middle)}, score {each.score:.2f}"
            for each in kinds[: self.most]
        ]
        rest = len(kinds) - len(lines)
        return "\n".join([*lines, *([f"... and {rest} more kinds of objects"] if rest else [])])

    def name_at(self, video: str, seconds: float, box: Box) -> Named:
        """Return the named detection of the frame at `seconds` that best overlaps `box`; `UNKNOWN` if none does."""
        track = self._read(video)
        if track is None:
            return UNKNOWN
        frame = round(seconds * track.fps)
        table = track.table[slice(*np.searchsorted(track.frame, (frame, frame + 1)))]
        width, height = track.size
        best, found = ENOUGH, UNKNOWN
        for kind, left, top, right, bottom, _ in table[table[:, 5] >= self.detector.threshold].tolist():
            shared = overlap((left / width, top / height, right / width, bottom / height), box)
            name = self.detector.names.get(int(kind) - self.detector.offset, "")
            if shared >= best and name:
                best, found = shared, Named(name, name)
        return found


class OutlinedObjects:
    """Per object of VISOR: when it was outlined in annotated frames, and where. Hands are told elsewhere.

    Args:
        visor: The annotations.
        most: How many objects to tell at most.
    """

    name = "objects"

    def __init__(self, visor: Visor, most: int = MOST) -> None:
        self._visor, self.most = visor, most

    def describe(self, clip: Clip) -> str:
        """Return one line per object, the most frequent first; "" if no frame of the clip is annotated."""
        frames = self._visor.frames(clip)
        seen: dict[str, list[tuple[float, float | None]]] = {}
        for frame in frames:
            for each in frame.annotations:
                if not each.hands:
                    middle = (each.box[0] + each.box[2]) / 2 if each.box else None
                    seen.setdefault(each.name, []).append((frame.seconds, middle))
        lines = []
        for name, times in seen.items():
            count, middles = len({time for time, _ in times}), [middle for _, middle in times if middle is not None]
            where = f", {side(sum(middles) / len(middles))}" if middles else ""
            lines.append((-count, name, f"{name}: {span(clip, times[0][0], times[-1][0])}, "
                                        f"outlined in {count} of {len(frames)} annotated frames{where}"))  # fmt: skip
        return listed([line for _, _, line in sorted(lines)], self.most, "objects")
