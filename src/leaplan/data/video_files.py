"""Where the videos of a dataset lie, and the few of them that are open."""

import os
import re
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from leaplan.errors import DataError
from leaplan.video.reader import VideoReader, open_video

SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".gif")
INSIDE = ("", "videos", "rgb_frames")  # folders of a person's folder, as EPIC-KITCHENS is downloaded
RESOLUTION = re.compile(r"_\d{3,4}p$")  # as CaptainCook4D's files are called


def index_videos(folder: Path, videos: Iterable[str]) -> dict[str, Path]:
    """Return video id to file or folder.

    A video is `<id>.mp4` (.mkv, .webm, .avi, .mov, .gif), a folder `<id>` of frames, or `<id>.tar` of frames,
    preferred in this order; `<id>_360p.mp4` will do as well. It lies in `folder`, or in a folder of one person
    inside it, or in that one's `videos` or `rgb_frames`.

    Raises:
        DataError: The folder does not exist.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} does not exist",
            "Put the videos there, or a folder of frames per video, or name another with --data.source.folder",
        )
    wanted = set(videos)
    found = _videos_in(folder, wanted)
    for person in sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in wanted):
        for inside in INSIDE:
            if (person / inside).is_dir():
                found = {**_videos_in(person / inside, wanted), **found}
    return found


def _videos_in(folder: Path, wanted: set[str]) -> dict[str, Path]:
    found: dict[str, tuple[tuple[int, str], Path]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122 (a folder may hold a million frames)
            kind = _kind(suffix.lower())
            name = entry.name if entry.name in wanted and entry.is_dir() else stem
            name = name if name in wanted or kind is None else RESOLUTION.sub("", name)
            rank = (1 if name == entry.name else kind or 0, entry.name)
            if name in wanted and (kind is not None or name == entry.name):
                found[name] = min(found.get(name, (rank, Path(entry.path))), (rank, Path(entry.path)))
    return {name: path for name, (_, path) in found.items()}


def _kind(suffix: str) -> int | None:
    """Return how much a kind of file is preferred, None if it is no video."""
    return 0 if suffix in SUFFIXES else 2 if suffix == ".tar" else None


class OpenVideos:
    """The readers used last, so that clips that follow each other do not open their video again.

    Each process has its own: after a fork, the parent's are left alone.

    Args:
        reader: As `open_video`.
        timeout: Seconds that a decoder may take.
        limit: Readers kept open.
    """

    def __init__(self, reader: str = "auto", timeout: float = 30.0, limit: int = 4) -> None:
        self.reader, self.timeout, self.limit = reader, timeout, limit
        self._open: OrderedDict[tuple[Path, float | None, float | None], VideoReader] = OrderedDict()
        self._process = os.getpid()
        self._left_alone: list[object] = []  # closing a decoder whose threads stayed with the parent may hang

    def get(self, path: Path, frame_rate: float | None, latest: float | None) -> VideoReader:
        """Return a reader of `path` that shows nothing from `latest` on.

        Raises:
            VideoError: The video cannot be read.
        """
        if self._process != os.getpid():
            self._left_alone.append(self._open)
            self._open, self._process = OrderedDict(), os.getpid()
        key = (path, frame_rate, latest)
        if key not in self._open:
            while len(self._open) >= self.limit:
                self._open.popitem(last=False)[1].close()
            self._open[key] = open_video(path, self.reader, frame_rate=frame_rate, latest=latest, timeout=self.timeout)
        self._open.move_to_end(key)
        return self._open[key]

    def drop(self, path: Path) -> None:
        """Close the readers of `path`: after an error their state is unknown."""
        for key in [key for key in self._open if key[0] == path]:
            self._open.pop(key).close()

    def close(self) -> None:
        """Close all readers of this process."""
        while self._process == os.getpid() and self._open:
            self._open.popitem()[1].close()

    def __getstate__(self) -> dict[str, object]:
        return {"reader": self.reader, "timeout": self.timeout, "limit": self.limit}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(**state)  # type: ignore[misc]
