"""VISOR's sparse annotations of a video: what is where, and what each hand touches."""

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from leaplan.epic_release import frame_rate
from leaplan.errors import ProblemList
from leaplan.programs.evidence import Clip
from leaplan.reading import AGAIN, document_of

SIZE = (1920, 1080)
NOTHING, UNNAMED, UNSURE = "hand-not-in-contact", "none-of-the-above", "inconclusive"
HAND_CLASSES = range(300, 305)  # hand:left, hand:right, foot, glove:left, glove:right
NEAR = 0.5  # seconds: how far an annotated frame speaks for its surroundings

_NUMBER = re.compile(r"(\d+)\.\w+$")
Box = tuple[float, float, float, float]  # left, top, right, bottom, 0 to 1


class Named(NamedTuple):
    """What something is called: its noun's class key, "" if not known, and the source's own words."""

    noun: str
    words: str


UNKNOWN = Named("", "")


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotated object of a frame.

    Args:
        id: Unique in the frame.
        name: As annotated, such as "left hand" or "chopping board".
        box: Bounding box of all polygons; None where there is no polygon.
        contact: For hands: id of what is touched, or one of `NOTHING`, `UNNAMED`, `UNSURE`; None if not annotated.
        hands: For hands and gloves: which ones, "left" or "right" or both.
        noun: Class key, "" where it is not known.
    """

    id: str
    name: str
    box: Box | None
    contact: str | None
    hands: tuple[str, ...]
    noun: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """An annotated frame; `seconds` follow from its official number."""

    number: int
    seconds: float
    annotations: tuple[Annotation, ...]

    def touched(self, hand: Annotation) -> Named | None:
        """Return what `hand` touches: `UNKNOWN` if it is not annotated, None if nothing or not known."""
        if hand.contact in (None, NOTHING, UNSURE):
            return None
        return next((Named(each.noun, each.name) for each in self.annotations if each.id == hand.contact), UNKNOWN)


def read_visor(path: Path, nouns: Sequence[str] = (), size: tuple[int, int] = SIZE) -> tuple[Frame, ...]:
    """Return the annotated frames of a video, sorted by number. Files without contact fields are fine.

    Args:
        path: VISOR's `<video>.json`, plain or gzipped.
        nouns: Keys of EPIC-100's noun classes, which are VISOR's classes as well.
        size: Width and height that polygons refer to.

    Raises:
        DataError: Unreadable, or not JSON.
        ProblemList: Frames or annotations that lack a field or are malformed.
    """
    entries = document_of(path).get("video_annotations")
    if not isinstance(entries, list):
        raise ProblemList(str(path), ["no list `video_annotations`"], "Give a VISOR annotation file")
    frames, problems = [], []
    for position, entry in enumerate(entries):
        try:
            frames.append(_frame(entry, nouns, size))
        except KeyError as error:
            problems.append(f"frame {position} of the file: no field {error.args[0]!r}")
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            problems.append(f"frame {position} of the file: malformed ({error})")
    if problems:
        raise ProblemList(str(path), problems, AGAIN)
    return tuple(sorted(frames, key=lambda frame: frame.number))


def _frame(entry: Mapping[str, Any], nouns: Sequence[str], size: tuple[int, int]) -> Frame:
    image = entry["image"]
    found = _NUMBER.search(image["name"])
    if not found:
        raise ValueError(f"no frame number in {image['name']!r}")
    number = int(found.group(1))
    annotations = tuple(_annotation(each, nouns, size) for each in entry["annotations"])
    return Frame(number, number / frame_rate(image["video"]), annotations)


def _annotation(value: Mapping[str, Any], nouns: Sequence[str], size: tuple[int, int]) -> Annotation:
    kind, name, contact = int(value["class_id"]), str(value["name"]), value.get("in_contact_object")
    return Annotation(
        str(value["id"]),
        " ".join(name.split()),
        _box(value.get("segments") or (), size),
        None if contact is None else str(contact),
        _hands(name, kind, str(value.get("on_which_hand", ""))),
        nouns[kind] if 0 <= kind < len(nouns) else "",
    )


def _hands(name: str, kind: int, worn: str) -> tuple[str, ...]:
    """Return which hands an annotation is, or is worn on."""
    told = worn if worn else name if kind in HAND_CLASSES else ""
    if "both" in told:
        return "left", "right"
    return tuple(hand for hand in ("left", "right") if hand in told)


def _box(polygons: Any, size: tuple[int, int]) -> Box | None:
    points = [(float(x), float(y)) for polygon in polygons for x, y in polygon]
    if not points:
        return None
    xs, ys = zip(*points, strict=True)
    box = min(xs) / size[0], min(ys) / size[1], max(xs) / size[0], max(ys) / size[1]
    if not all(map(math.isfinite, box)):
        raise ValueError("a polygon that is not finite")
    return box


class Visor:
    """The VISOR files of many videos, each read once and kept while it is in use.

    Args:
        paths: Video to file.
        nouns: Keys of EPIC-100's noun classes, if they are at hand.
        keep: How many videos to keep in memory.
    """

    def __init__(self, paths: Mapping[str, Path], nouns: Sequence[str] = (), keep: int = 8) -> None:
        self._paths, self._nouns = dict(paths), tuple(nouns)
        self._read = lru_cache(keep)(self._load)

    def _load(self, video: str) -> tuple[tuple[Frame, ...], tuple[float, ...]]:
        path = self._paths.get(video)
        frames = read_visor(path, self._nouns) if path else ()
        return frames, tuple(frame.seconds for frame in frames)

    def frames(self, clip: Clip) -> tuple[Frame, ...]:
        """Return the annotated frames of `clip`."""
        frames, seconds = self._read(clip.video)
        return frames[bisect_left(seconds, clip.start) : bisect_right(seconds, clip.stop)]

    def readings(self, clip: Clip) -> Iterator[tuple[float, float, Frame]]:
        """Yield (start, stop, frame): the times that each frame speaks for, up to halfway to the next one."""
        frames, seconds = self._read(clip.video)
        first, last = bisect_left(seconds, clip.start - NEAR), bisect_right(seconds, clip.stop + NEAR)
        for position in range(first, last):
            time = seconds[position]
            before = (time - seconds[position - 1]) / 2 if position else NEAR
            after = (seconds[position + 1] - time) / 2 if position + 1 < len(seconds) else NEAR
            start, stop = max(clip.start, time - min(before, NEAR)), min(clip.stop, time + min(after, NEAR))
            if start < stop:
                yield start, stop, frames[position]

    def name_at(self, video: str, seconds: float, box: Box) -> Named:
        """Return what is annotated nearest to `seconds` and best overlaps `box`; `UNKNOWN` if nothing does."""
        frames, times = self._read(video)
        near = bisect_left(times, seconds)
        candidates = [each for each in frames[max(0, near - 1) : near + 1] if abs(each.seconds - seconds) <= NEAR]
        if not candidates:
            return UNKNOWN
        frame = min(candidates, key=lambda each: abs(each.seconds - seconds))
        things = [
            (overlap(each.box, box), Named(each.noun, each.name))
            for each in frame.annotations
            if each.box and not each.hands
        ]
        best, name = max(things, default=(0.0, UNKNOWN))
        return name if best >= ENOUGH else UNKNOWN


ENOUGH = 0.3  # intersection over union from which on two boxes show the same thing


def overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes, 0 to 1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - both)
