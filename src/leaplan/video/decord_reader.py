"""Frames by time with decord. Not exact on every file: see `DecordFrames`. Only on request."""

import importlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leaplan.errors import ConfigError
from leaplan.video.reader import SAME_TIME, VideoError, refuse_beyond


class DecordFrames:
    """Frames of a video file as decord decodes them, on one thread.

    decord numbers frames by their packets. It shows wrong frames of files with an edit list (a cut by
    `ffmpeg -ss X -c copy`), with open groups of pictures and of some HEVC files, and cannot open AV1.

    Args:
        path: A video file.
        latest: Nothing shown at or after this time, in seconds, is returned. decord may decode it nevertheless.

    Raises:
        ConfigError: decord is not installed.
        VideoError: The file cannot be opened.
    """

    def __init__(self, path: Path, latest: float | None = None) -> None:
        try:
            decord = importlib.import_module("decord")
        except ImportError as error:
            raise ConfigError("decord is not installed", hint="Use PyAV:  reader: pyav") from error
        self._path, self._latest = path, latest
        self._errors = (RuntimeError, decord.DECORDError)
        try:
            self._video = decord.VideoReader(str(path), num_threads=1)
            shown = self._video.get_frame_timestamp(range(len(self._video)))  # (n, 2) seconds, start and stop
            self.frame_rate = float(self._video.get_avg_fps())
        except self._errors as error:
            raise VideoError(f"{path} cannot be opened by decord", hint="Try:  reader: pyav") from error
        self._starts = np.asarray(shown[:, 0] - shown[0, 0], dtype=np.float64)  # (n,)
        self._end = max(float(shown[-1, 1] - shown[0, 0]), float(self._starts[-1]) + 1 / self.frame_rate)

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last one."""
        return self._end

    def read(self, times: Sequence[float]) -> NDArray[np.uint8]:
        """Return the frames (n, H, W, 3) at `times`, in RGB.

        Raises:
            DataError: A time is beyond the end.
            VideoError: decord cannot decode a frame.
        """
        refuse_beyond(self._path, max(times), self._end)
        numbers = [self._number_at(time) for time in times]
        wanted, places = np.unique(numbers, return_inverse=True)
        try:
            frames: NDArray[np.uint8] = self._video.get_batch(wanted.tolist()).asnumpy()[places]
        except self._errors as error:
            raise VideoError(f"{self._path}: decord cannot decode it near {min(times):.2f} s") from error
        return frames

    def close(self) -> None:
        """Let go of the file."""
        del self._video

    def _number_at(self, time: float) -> int:
        """Return the number of the frame shown at `time`, one that is presented before `latest`."""
        rounding = float(np.spacing(np.float32(time)))  # decord tells times in float32
        number = int(np.searchsorted(self._starts, time + float(SAME_TIME) + rounding, side="right")) - 1
        if self._latest is not None:
            number = min(number, int(np.searchsorted(self._starts, self._latest, side="left")) - 1)
        return max(0, number)
