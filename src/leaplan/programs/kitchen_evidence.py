"""The synthetic kitchen's evidence as clips and descriptors: the same five sections as for EPIC-KITCHENS.

The true programs that the files hold are never part of a description.
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from math import hypot
from pathlib import Path
from typing import Any

from leaplan.errors import DataError, ProblemList
from leaplan.programs.descriptors.audio import sounds_text
from leaplan.programs.descriptors.contact import contact_line
from leaplan.programs.descriptors.narration import Narration
from leaplan.programs.evidence import Clip, Contact, Descriptor, listed, side, span
from leaplan.programs.timeline import Timeline, ordered
from leaplan.reading import AGAIN, document_of

MOST = 24  # objects told of one clip
HANDS = ("left hand", "right hand")


def read_clips(folder: Path) -> tuple[Clip, ...]:
    """Return the clips of all videos in `folder/evidence/`, sorted by video and time.

    Raises:
        DataError: No such folder, or a file is unreadable.
        ProblemList: Segments without a narration or sub-actions, or with reversed times.
    """
    paths = evidence_files(folder)
    if not paths:
        raise DataError(f"{folder} has no evidence/<video>.json", "Give the folder of a synthetic kitchen")
    return tuple(clip for _, path in sorted(paths.items()) for clip in clips_of(path))


def evidence_files(folder: Path) -> dict[str, Path]:
    """Return video to file for all files of evidence in `folder`."""
    return {path.stem: path for path in sorted((folder / "evidence").glob("*.json"))}


def clips_of(path: Path) -> list[Clip]:
    """Return the clips of one video: a clip lasts from its first sub-action to its last.

    Raises:
        ProblemList: Segments are malformed; all are told.
    """
    document = document_of(path)
    clips, problems = [], []
    for position, program in enumerate(document.get("programs", ())):
        try:
            clips.append(_clip(document, program))
        except KeyError as error:
            problems.append(f"segment {position}: no field {error.args[0]!r}")
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            problems.append(f"segment {position}: malformed ({error})")
    if problems:
        raise ProblemList(str(path), problems, AGAIN)
    return clips


def _clip(document: Mapping[str, Any], program: Mapping[str, Any]) -> Clip:
    segment, parts = program["segment"], program["sub_actions"]
    start, stop = ordered(float(parts[0]["start"]), float(parts[-1]["stop"]))
    said = next((each for each in document["narrations"] if each["segment"] == segment), None)
    if said is None:
        raise ValueError(f"{segment} has no narration")
    return Clip(segment, document["video"], start, stop, said["text"], said["verb"], said["noun"], (said["noun"],))


def descriptors_of(folder: Path, neighbours: int = 1) -> list[Descriptor]:
    """Return the five descriptors of the kitchen in `folder`; `neighbours` as for `Narration`."""
    videos = _Videos(folder)
    return [
        Narration(read_clips(folder) if neighbours else (), neighbours),
        KitchenAudio(videos),
        KitchenObjects(videos),
        KitchenContacts(videos),
        KitchenCamera(videos),
    ]


class _Video:
    """One file, its spans ready to be looked up by time."""

    def __init__(self, path: Path) -> None:
        document = document_of(path)
        try:
            self.size = int(document["frame"]["width"]), int(document["frame"]["height"])
            self.sounds = Timeline((each["start"], each["stop"], each["class"]) for each in document["sounds"])
            self.contacts = Timeline(
                (each["start"], each["stop"], Contact(each["hand"], each["object"], each["start"], each["stop"]))
                for each in document["contacts"]
            )
            self.camera = [(each["time"], each["x"], each["y"]) for each in document["camera"]]
            self.boxes = [(each["time"], each["boxes"]) for each in document["boxes"]]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is no evidence of the synthetic kitchen ({error!r})", AGAIN) from error


class _Videos:
    """All files, each read once and kept while it is in use."""

    def __init__(self, folder: Path, keep: int = 8) -> None:
        self._paths = evidence_files(folder)
        self.of = lru_cache(keep)(self._load)

    def _load(self, video: str) -> _Video | None:
        path = self._paths.get(video)
        return _Video(path) if path else None


class KitchenAudio:
    """Sound events that overlap a clip."""

    name = "audio"

    def __init__(self, videos: _Videos) -> None:
        self._videos = videos

    def describe(self, clip: Clip) -> str:
        """Return one line per event; "" if there is none."""
        video = self._videos.of(clip.video)
        return sounds_text(clip, video.sounds.overlapping(clip.start, clip.stop)) if video else ""


class KitchenObjects:
    """Boxes that were seen in a clip, the most frequent first. Hands are told elsewhere."""

    name = "objects"

    def __init__(self, videos: _Videos) -> None:
        self._videos = videos

    def describe(self, clip: Clip) -> str:
        """Return one line per object; "" if no frame of the clip has boxes."""
        video = self._videos.of(clip.video)
        frames = [each for each in video.boxes if clip.start <= each[0] <= clip.stop] if video else []
        if not video or not frames:
            return ""
        seen: dict[str, list[tuple[float, float]]] = {}
        for time, boxes in frames:
            for name, box in boxes.items():
                if name not in HANDS:
                    seen.setdefault(name, []).append((time, (box[0] + box[2]) / 2 / video.size[0]))
        lines = sorted(
            (-len(places), name, self._line(clip, name, places, len(frames))) for name, places in seen.items()
        )
        return listed([line for _, _, line in lines], MOST, "objects")

    @staticmethod
    def _line(clip: Clip, name: str, places: list[tuple[float, float]], frames: int) -> str:
        middle = sum(place for _, place in places) / len(places)
        when = span(clip, places[0][0], places[-1][0])
        return f"{name}: {when}, in {len(places) / frames:.0%} of frames, {side(middle)}"


class KitchenContacts:
    """What each hand touches."""

    name = "contact"

    def __init__(self, videos: _Videos) -> None:
        self._videos = videos

    def describe(self, clip: Clip) -> str:
        """Return one line per contact; "" if there is none."""
        return "\n".join(contact_line(clip, contact) for contact in self.contacts(clip))

    def contacts(self, clip: Clip) -> tuple[Contact, ...]:
        """Return the contacts of `clip`, cut to it, sorted by start and hand."""
        video = self._videos.of(clip.video)
        found = video.contacts.overlapping(clip.start, clip.stop) if video else []
        cut = [
            Contact(each.hand, each.object, max(start, clip.start), min(stop, clip.stop)) for start, stop, each in found
        ]
        return tuple(sorted(cut, key=lambda each: (each.start, each.hand)))


class KitchenCamera:
    """How far the picture moves."""

    name = "camera"

    def __init__(self, videos: _Videos) -> None:
        self._videos = videos

    def describe(self, clip: Clip) -> str:
        """Return a line; "" with fewer than two known places."""
        video = self._videos.of(clip.video)
        way = [(x, y) for time, x, y in video.camera if clip.start <= time <= clip.stop] if video else []
        if not video or len(way) < 2:
            return ""
        length = sum(hypot(x - u, y - v) for (x, y), (u, v) in pairwise(way))
        apart = hypot(way[-1][0] - way[0][0], way[-1][1] - way[0][1])
        return f"path {length / video.size[0]:.2f} picture widths, {apart / video.size[0]:.2f} from start to end"
