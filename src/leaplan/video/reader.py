"""Frames of a video by time: of a file, a folder of pictures, or a tar of pictures; exact, with a deadline.

    with open_video(path, latest=segment.start - 1.0) as video:
        frames = video.frames_at([3.02, 3.05, 3.08])  # (3, H, W, 3) uint8 RGB

Time 0 is when the first frame is shown. The frame shown at t is the last one that is presented at or before t.
"""

import math
import os
import stat
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from leaplan.errors import ConfigError, DataError
from leaplan.video.deadline import within
from leaplan.video.memory import video_closed

READERS = ("auto", "pyav", "decord", "torchcodec")
SAME_TIME = Fraction(1, 1_000_000)
"""Seconds by which a frame may come after the time asked for, against rounding."""
BEYOND = 0.5
"""Seconds after the end for which the last frame stands."""

T = TypeVar("T")


class VideoError(DataError):
    """A video that cannot be read: missing, empty, damaged, without pictures, or not answering in time."""


class VideoReader(Protocol):
    """Frames by time. Open it where it is used: a reader does not survive a fork."""

    @property
    def frame_rate(self) -> float:
        """Average frames per second."""

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last one."""

    @property
    def latest(self) -> float | None:
        """Nothing shown at or after this time, in seconds, is ever returned."""

    def frames_at(self, times: Sequence[float]) -> NDArray[np.uint8]:
        """Return the frames (n, H, W, 3) shown at `times` in seconds, RGB, in any order, repeats allowed.

        Times before the first frame give the first one, times up to 0.5 s after the end the last one; of pictures,
        times up to one picture after the end.

        Raises:
            DataError: A time beyond the video, or at or after `latest`.
            VideoError: A frame that is missing or damaged; no answer within the deadline.
        """

    def close(self) -> None:
        """Close the files; a closed reader cannot be used."""

    def __enter__(self) -> "VideoReader": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_video(
    path: Path,
    reader: str = "auto",
    *,
    frame_rate: float | None = None,
    latest: float | None = None,
    timeout: float = 30.0,
) -> VideoReader:
    """Open a video file, a folder of frames, or a tar of frames.

    Args:
        path: A video file; or a folder or `.tar` of pictures whose names end in the frame number.
        reader: "auto" takes PyAV, which is exact and, for a few frames per open, faster than decord. "decord" is taken
            on request only: it shows wrong frames of files with edit lists, open GOPs, HEVC, MPEG-4 or a late start.
            "torchcodec" is an optional extra. Pictures are read by Pillow whatever is given.
        frame_rate: Frames per second of pictures, required for them. Frame n is shown from n / frame_rate on
            (EPIC-KITCHENS: frame max(1, int(t * frame_rate)) at time t). Video files know their own.
        latest: Seconds; asking for a time at or after it is an error, and nothing shown from then on is returned.
            PyAV does not decode it either, unless an earlier frame builds upon it.
        timeout: Seconds that opening, and each call, may take.

    Raises:
        VideoError: The video cannot be opened, or not in time.
        ConfigError: An unknown or absent reader, or pictures without a frame rate.
    """
    path = Path(path)
    if reader not in READERS:
        raise ConfigError(f"there is no video reader {reader!r}", hint=f"Readers: {', '.join(READERS)}.")
    if latest is not None and not latest > 0:
        raise DataError(f"nothing of {path} may be seen before {latest:g} s: a video begins at 0")
    frames = _in_time(path, timeout, lambda: _open_frames(path, reader, frame_rate, latest))
    return GuardedReader(path, frames, latest, timeout)


class Frames(Protocol):
    """What a reader of one kind does; `GuardedReader` checks times, the process and the deadline around it."""

    frame_rate: float

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last one."""

    def read(self, times: Sequence[float]) -> NDArray[np.uint8]:
        """Return frames (n, H, W, 3), n > 0; times are finite and earlier than `latest`."""

    def close(self) -> None:
        """Let go of the file."""


class GuardedReader:
    """A `VideoReader` that keeps what all kinds have in common: latest time, deadline, one process.

    Args:
        path: For messages.
        frames: The reader of one kind.
        latest: Seconds, or None.
        timeout: Seconds per call.
    """

    def __init__(self, path: Path, frames: Frames, latest: float | None, timeout: float) -> None:
        self.frame_rate = frames.frame_rate
        self.latest = latest
        self._path, self._frames, self._timeout = path, frames, timeout
        self._process = os.getpid()
        self._unusable = ""

    @property
    def duration(self) -> float:
        """Seconds, as of the reader of its kind. Raises as `frames_at`."""
        return self._ask(lambda: self._frames.duration)

    def frames_at(self, times: Sequence[float]) -> NDArray[np.uint8]:
        """Return frames (n, H, W, 3), RGB, shown at `times`.

        Raises:
            VideoError: The file cannot be decoded, in time, or by this process.
            DataError: A time is not finite, or not to be seen.
        """
        wanted = [float(time) for time in times]
        if not wanted:
            raise ValueError("frames_at needs at least one time")
        for time in wanted:
            self._check_time(time)
        return self._ask(lambda: self._frames.read(wanted))

    def close(self) -> None:
        """Let go of the file, unless another thread or process is at work in it."""
        if not self._unusable and self._process == os.getpid():  # else a thread or the parent is at work in it
            self._frames.close()
            video_closed()
        self._unusable = self._unusable or "is closed"

    def __enter__(self) -> "GuardedReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_time(self, time: float) -> None:
        if not math.isfinite(time):
            raise DataError(f"asked for the frame at {time} s of {self._path}")
        if self.latest is not None and time >= self.latest:
            message = f"asked for the frame at {time:g} s of {self._path}, but nothing from {self.latest:g} s on"
            raise DataError(f"{message} may be seen")

    def _ask(self, work: Callable[[], T]) -> T:
        if self._process != os.getpid():
            message = f"{self._path} was opened in process {self._process} and is used in its fork {os.getpid()}"
            raise VideoError(message, hint="Open videos in the worker that reads them.")
        if self._unusable:
            raise VideoError(f"{self._path} {self._unusable}")
        try:
            return _in_time(self._path, self._timeout, work)
        except _NotInTime:
            self._unusable = "did not answer before, and is not asked again"
            raise
        except KeyboardInterrupt:
            self._unusable = "was interrupted, and cannot be used any more"
            raise


def refuse_beyond(path: Path, time: float, end: float) -> None:
    """Check that a frame stands at `time` of a video that ends at `end`, both in seconds.

    Raises:
        DataError: It is beyond the video by more than `BEYOND`.
    """
    if time > end + BEYOND:
        message = f"asked for the frame at {time:.2f} s of {path}, which is beyond the video"
        raise DataError(f"{message}: it ends at {end:.2f} s")


class _NotInTime(VideoError):
    """The deadline has passed; a thread may still be at work."""


def _in_time(path: Path, timeout: float, work: Callable[[], T]) -> T:
    try:
        return within(timeout, work)
    except TimeoutError as error:
        raise _NotInTime(
            f"{path} timed out after {timeout:g} s", hint="Is its disk slow, or the file a pipe?"
        ) from error


def _open_frames(path: Path, reader: str, frame_rate: float | None, latest: float | None) -> Frames:
    """Open `path` with the reader of its kind; heavy libraries are imported only when they are used."""
    if _is_pictures(path):
        from leaplan.video.stills import open_stills

        return open_stills(path, frame_rate, latest)
    if reader == "decord":
        from leaplan.video.decord_reader import DecordFrames

        return DecordFrames(path, latest)
    if reader == "torchcodec":
        from leaplan.video.torchcodec_reader import TorchCodecFrames

        return TorchCodecFrames(path, latest)
    from leaplan.video.pyav_reader import PyAVFrames

    return PyAVFrames(path, latest)


def _is_pictures(path: Path) -> bool:
    """Say whether `path` is a folder or tar of pictures; what is no readable file at all is an error."""
    try:
        status = path.stat()
    except OSError as error:
        raise VideoError(f"{path} cannot be read: {error.strerror}") from error
    if not os.access(path, os.R_OK):
        raise VideoError(f"{path} may not be read: no permission", hint=f"Look at:  ls -l {path}")
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes)", hint="Download or copy it again.")
    return stat.S_ISDIR(status.st_mode) or path.suffix == ".tar"
