"""P3IV's window lists, which split windows instead of videos, checked against the annotations.

An entry is [..., video, [step ids], [[start, stop], ...], [first, stop]]: positions in annotation order
(not sorted by time), times cut to whole seconds. The lists exist for a horizon of three. P3IV numbers the
steps of NIV differently from everyone else, so step ids are compared through a mapping that is learnt
from the list itself: one step class, one id.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from leaplan.data.building import Builder
from leaplan.records import Segment, WindowRef

Windows = dict[str, tuple[WindowRef, ...]]


def read_windows(builder: Builder, path: Path, video_of: Callable[[str], str]) -> Windows:
    """Return the windows of each split; what does not fit the annotations becomes a problem.

    Args:
        builder: Holds the videos with all their segments.
        path: The list, {"train": [entry, ...], "test": [entry, ...]}.
        video_of: From a video's name in the list to its id.
    """
    ids: dict[int, int] = {}
    windows: Windows = {}
    for split, entries in builder.files.json(path).items():
        references = []
        for position, entry in enumerate(entries):
            where = f"{path}, {split} window {position}"
            with builder.problems.at(where):
                *_, name, steps, times, (first, stop) = entry
                video = video_of(name)
                found = builder.drafts[video].segments[first:stop] if video in builder.drafts else []
                wrong = _wrong(found, steps, times, stop - first) or _renumbered(ids, found, steps)
                if wrong:
                    builder.problems.add(where, f"{wrong}; video {video}, segments {first} to {stop - 1}")
                references.append(WindowRef(video, first, stop - first))
        windows[split] = tuple(references)
    return windows


def videos_of(windows: Windows) -> dict[str, list[str]]:
    """Return the videos of each split; one with any training window counts as a training video."""
    videos: dict[str, list[str]] = {}
    seen: set[str] = set()
    for split in sorted(windows, key=lambda name: name != "train"):
        names = dict.fromkeys(ref.video for ref in windows[split] if ref.video not in seen)
        videos[split] = list(names)
        seen.update(names)
    return videos


def warn_of_overlap(builder: Builder, windows: Windows) -> None:
    """Warn, and note, that test videos are also training videos."""
    train, test = ({ref.video for ref in windows.get(split, ())} for split in ("train", "test"))
    if not train & test:
        return
    builder.notes.append(
        f"{len(train & test):,} of {len(test):,} test videos are also training videos: "
        f"'{builder.protocol}' splits windows, not videos, and rewards remembering"
    )
    warnings.warn(f"{builder.dataset}: {builder.notes[-1]}", stacklevel=3)


def _wrong(found: Sequence[Segment], steps: list[int], times: list[list[float]], horizon: int) -> str:
    if not len(found) == len(steps) == len(times) == horizon:
        return f"{len(steps)} steps are listed, {len(found)} annotated"
    if any([int(s.start), int(s.stop)] != list(span) for s, span in zip(found, times, strict=True)):
        return f"times {times} are not those annotated"
    return ""


def _renumbered(ids: dict[int, int], found: Sequence[Segment], steps: list[int]) -> str:
    for segment, listed in zip(found, steps, strict=True):
        if ids.setdefault(segment.step, listed) != listed:
            return f"step id {listed} stands for a step that is {ids[segment.step]} elsewhere"
    return ""
