"""Frames by time with torchcodec, an optional extra. Only on request."""

import importlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leaplan.errors import ConfigError
from leaplan.video.reader import SAME_TIME, VideoError, refuse_beyond

HINT = (
    "Install the pair that fits:  pip install 'leaplan[torchcodec]'  and FFmpeg's libraries:  apt-get install ffmpeg  "
    "or use PyAV:  reader: pyav"
)


class TorchCodecFrames:
    """Frames of a video file as torchcodec decodes them, on one thread, after a scan of the file for exact seeking.

    torchcodec 0.17 with FFmpeg 5.1 shows wrong frames of MPEG transport streams, of MPEG-4 in AVI with B-frames and of
    H.264 that is refreshed bit by bit.

    Args:
        path: A video file.
        latest: Nothing shown at or after this time, in seconds, is returned. torchcodec may decode it nevertheless.

    Raises:
        ConfigError: torchcodec is not installed, or does not fit this torch or FFmpeg.
        VideoError: The file cannot be opened.
    """

    def __init__(self, path: Path, latest: float | None = None) -> None:
        try:
            decoders = importlib.import_module("torchcodec.decoders")
        except (ImportError, RuntimeError, OSError) as error:
            raise ConfigError(f"torchcodec cannot be imported: {str(error).splitlines()[0]}", hint=HINT) from error
        self._path, self._latest = path, latest
        try:
            self._video = decoders.VideoDecoder(
                str(path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact"
            )
            without_durations = self._video.get_frame_at(0).duration_seconds == 0
        except (RuntimeError, ValueError, IndexError) as error:
            first = str(error).splitlines()[0]
            if "libtorchcodec" in first:  # it looks for FFmpeg only now
                raise ConfigError(f"torchcodec finds no FFmpeg that it can use: {first}", hint=HINT) from error
            raise VideoError(f"{path} cannot be opened by torchcodec: {first}") from error
        about = self._video.metadata
        self._begin, self._stop = float(about.begin_stream_seconds), float(about.end_stream_seconds)
        self.frame_rate = float(about.average_fps_from_header or about.average_fps)
        # Older FFmpegs know no durations in some MP4 files; the stream then "stops" where its last frame begins.
        self._played_until = self._stop
        self._stop += 1 / self.frame_rate if without_durations else 0.0

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last one."""
        return self._stop - self._begin

    def read(self, times: Sequence[float]) -> NDArray[np.uint8]:
        """Return the frames (n, H, W, 3) at `times`, in RGB.

        Raises:
            DataError: A time is beyond the end.
            VideoError: torchcodec cannot decode a frame.
        """
        refuse_beyond(self._path, max(times), self.duration)
        try:
            return self._frames_at(np.array([self._clock(time) for time in times]))
        except (RuntimeError, ValueError, IndexError) as error:
            reason = str(error).splitlines()[0]
            raise VideoError(f"{self._path}: torchcodec cannot decode it near {min(times):.2f} s: {reason}") from error

    def close(self) -> None:
        """Let go of the file."""
        del self._video

    def _clock(self, time: float) -> float:
        """Return `time` on the clock of the file, within its frames and before `latest`."""
        seconds = max(0.0, time + float(SAME_TIME))
        if self._latest is not None:
            seconds = min(seconds, np.nextafter(self._latest, 0.0))
        return float(min(self._begin + seconds, np.nextafter(self._stop, self._begin)))

    def _frames_at(self, clock: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return the frames (n, H, W, 3) at `clock` (n,), the last one where the file tells no duration of it."""
        early = clock < self._played_until
        if early.all():
            return self._played_at(clock)
        last = self._video.get_frame_at(len(self._video) - 1).data.numpy()  # (H, W, 3)
        frames: NDArray[np.uint8] = np.repeat(last[None], len(clock), axis=0)  # (n, H, W, 3)
        if early.any():
            frames[early] = self._played_at(clock[early])
        return frames

    def _played_at(self, clock: NDArray[np.float64]) -> NDArray[np.uint8]:
        batch = self._video.get_frames_played_at(clock.tolist())
        if self._latest is not None and float(batch.pts_seconds.max()) - self._begin >= self._latest:
            raise VideoError(f"{self._path}: torchcodec returned a frame from after {self._latest:g} s")
        frames: NDArray[np.uint8] = batch.data.numpy()  # (n, H, W, 3)
        return frames
