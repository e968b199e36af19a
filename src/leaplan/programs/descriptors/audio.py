"""What was heard in a clip: the sound events of EPIC-SOUNDS."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from leaplan.epic_release import seconds_of_timestamp
from leaplan.programs.evidence import Clip, listed, span
from leaplan.programs.tables import Cells, read_table
from leaplan.programs.timeline import Timeline, ordered

COLUMNS = ("video_id", "start_timestamp", "stop_timestamp")
MOST = 12  # events told of one clip


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound event; `label` is its class, with the annotator's own words in brackets where they differ."""

    video: str
    start: float
    stop: float
    label: str


def read_sounds(path: Path) -> list[Sound]:
    """Return the events of an EPIC-SOUNDS file; those without a class and a description are left out.

    Raises:
        DataError: Unreadable, or a column is missing.
        ProblemList: Malformed rows and reversed times, each with its line.
    """
    return read_table(path, COLUMNS, _sound)


def _sound(row: Cells) -> Sound | None:
    times = ordered(*(seconds_of_timestamp(row[name]) for name in ("start_timestamp", "stop_timestamp")))
    kind, words = row.get("class", "").strip(), row.get("description", "").strip()
    label = f"{kind} ({words})" if kind and words and words != kind else kind or words
    return Sound(row["video_id"], *times, label) if label else None


class Audio:
    """The sound events that overlap a clip, sorted by start.

    Args:
        sounds: Of all videos.
        most: How many events to tell at most.
    """

    name = "audio"

    def __init__(self, sounds: Iterable[Sound], most: int = MOST) -> None:
        self.most = most
        videos: dict[str, list[tuple[float, float, str]]] = {}
        for sound in sounds:
            videos.setdefault(sound.video, []).append((sound.start, sound.stop, sound.label))
        self._videos = {video: Timeline(events) for video, events in videos.items()}

    @classmethod
    def from_files(cls, paths: Iterable[Path], most: int = MOST) -> "Audio":
        """Return the descriptor of several EPIC-SOUNDS files, plain or gzipped."""
        return cls((sound for path in paths for sound in read_sounds(path)), most)

    @property
    def count(self) -> int:
        """How many events there are."""
        return sum(map(len, self._videos.values()))

    def describe(self, clip: Clip) -> str:
        """Return one line per event; "" if nothing was annotated."""
        events = self._videos.get(clip.video)
        return sounds_text(clip, events.overlapping(clip.start, clip.stop), self.most) if events else ""


def sounds_text(clip: Clip, events: Sequence[tuple[float, float, str]], most: int = MOST) -> str:
    """Return one line per (start, stop, label) of `clip`."""
    return listed([f"{span(clip, start, stop)}: {label}" for start, stop, label in events], most, "sounds")
