"""From rows to records: segments are checked one by one, and all problems are collected before one speaks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType

from leaplan.data.files import Files
from leaplan.data.splits import deviation
from leaplan.errors import ProblemList
from leaplan.records import Annotations, Segment, Video, Vocabulary, WindowRef

TOLERANCE = 1.0  # seconds that a segment may end after its video; the official files need 0.02
Where = str | tuple[object, int]  # a place in words, or (file, line)


class Problems:
    """What is wrong with a dataset, one line each."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, where: Where, what: str) -> None:
        """Record that `what` is wrong at `where`."""
        place = where if isinstance(where, str) else f"{where[0]}, line {where[1]}"
        self.lines.append(f"{place}: {what}")

    def at(self, where: Where) -> "_Place":
        """Return a context that turns a missing field or a value of a wrong kind into a problem."""
        return _Place(self, where)


class _Place:
    def __init__(self, problems: Problems, where: Where) -> None:
        self._problems, self._where = problems, where

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, KeyError):
            self._problems.add(self._where, f"no field {error.args[0]!r}")
        elif isinstance(error, ValueError | TypeError | AttributeError | IndexError):
            self._problems.add(self._where, f"malformed ({error})")
        return isinstance(error, KeyError | ValueError | TypeError | AttributeError | IndexError)


@dataclass(slots=True)
class Draft:
    """A video while its rows are being read; fields as in `records.Video`."""

    task: int | None
    duration: float | None
    person: str
    segments: list[Segment]
    frame_rate: float | None = None


class Builder:
    """Collects the videos of a dataset and checks them.

    Args:
        dataset: Name as on the command line.
        protocol: Name of the split protocol.
        files: The dataset's files.
    """

    def __init__(self, dataset: str, protocol: str, files: Files) -> None:
        self.dataset, self.protocol, self.files = dataset, protocol, files
        self.problems = Problems()
        self.notes: list[str] = []
        self.drafts: dict[str, Draft] = {}
        self._ids: set[object] = set()

    def video(
        self,
        where: Where,
        name: str,
        task: int | None,
        duration: float | None = None,
        person: str = "",
        frame_rate: float | None = None,
    ) -> None:
        """Add the video `name`, once."""
        if name in self.drafts:
            self.problems.add(where, f"video {name} occurs twice")
            return
        if duration is not None and not (math.isfinite(duration) and duration > 0):
            self.problems.add(where, f"video {name} lasts {duration} s")
            duration = None
        self.drafts[name] = Draft(task, duration, person, [], frame_rate)

    def segment(
        self,
        where: Where,
        video: str,
        times: tuple[float, float],
        step: int,
        text: str = "",
        has_error: bool | None = None,
        key: str = "",
    ) -> None:
        """Add a segment to `video`; `key` is its id where the dataset has one."""
        draft = self.drafts[video]
        wrong = _wrong_times(times, draft.duration)
        if wrong:
            self.problems.add(where, wrong)
            return
        identity = key or (video, times, step)
        if identity in self._ids:
            self.problems.add(where, f"segment {key or 'of the same step and times'} occurs twice")
            return
        self._ids.add(identity)
        key = key or f"{video}:{len(draft.segments)}"
        draft.segments.append(Segment(key, *times, step, text, has_error))

    def sort(self) -> None:
        """Sort the segments of each video by start; ties keep the order of the files."""
        for draft in self.drafts.values():
            draft.segments.sort(key=lambda segment: segment.start)

    def note_order(self) -> None:
        """Note how many videos list their steps in another order than they begin."""
        count = sum(
            any(a.start > b.start for a, b in zip(draft.segments, draft.segments[1:], strict=False))
            for draft in self.drafts.values()
        )
        if count:
            self.notes.append(f"{count} videos list their steps in another order than they begin; the order is kept")

    def finish(
        self,
        vocabulary: Vocabulary,
        splits: Mapping[str, Sequence[str]],
        windows: Mapping[str, tuple[WindowRef, ...]] | None = None,
    ) -> Annotations:
        """Return the annotations, `splits` naming the videos of each split.

        Raises:
            ProblemList: Something was wrong; everything that was is listed.
        """
        split_of = self._split_of(splits)
        if not any(draft.segments for draft in self.drafts.values()):
            self.problems.add(str(self.files.folder), "no annotated segment")
        if self.problems.lines:
            raise ProblemList(
                f"{self.dataset} in {self.files.folder}, protocol '{self.protocol}'",
                self.problems.lines,
                "Mend these lines, or get the files again",
            )
        videos = tuple(
            Video(name, d.task, d.duration, split_of.get(name, ""), tuple(d.segments), d.person, d.frame_rate)
            for name, d in self.drafts.items()
        )
        annotations = Annotations(
            self.dataset, self.protocol, vocabulary, videos, windows, tuple(self.notes), self.files.sha256
        )
        differs = deviation(annotations)
        return replace(annotations, notes=(*self.notes, differs)) if differs else annotations

    def _split_of(self, splits: Mapping[str, Sequence[str]]) -> dict[str, str]:
        split_of: dict[str, str] = {}
        for split, names in splits.items():
            for name in names:
                if name not in self.drafts:
                    self.problems.add(f"split '{split}'", f"video {name} has no annotations")
                elif name in split_of:
                    where = "twice" if split_of[name] == split else f"also in '{split_of[name]}'"
                    self.problems.add(f"split '{split}'", f"video {name} is listed {where}")
                split_of[name] = split
        return split_of


def _wrong_times(times: tuple[float, float], duration: float | None) -> str:
    start, stop = times
    if not (math.isfinite(start) and math.isfinite(stop)):
        return f"times {start} to {stop} are not finite"
    if start < 0:
        return f"starts at {start} s, before the video"
    if start >= stop:
        return f"starts at {start} s, but stops at {stop} s"
    if duration is not None and stop > duration + TOLERANCE:
        return f"stops at {stop} s, but the video lasts {duration} s"
    return ""
