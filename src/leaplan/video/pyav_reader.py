"""Exact frames by time with PyAV: from the key frame before the wanted time, forward by presentation time."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import islice, pairwise
from math import ceil, floor
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from leaplan.video.packets import MOST_REORDERED, NoTimes, PacketQueue
from leaplan.video.reader import SAME_TIME, VideoError, refuse_beyond

Frame = NDArray[np.uint8]

_TRIES = 3  # key frames to start from before a frame that does not come out is called damaged
_FIRST_STEP_BACK = 0.5  # seconds


class PyAVFrames:
    """Frames of a video file, exact also with edit lists, open GOPs, reordering and variable frame rates.

    Presentation times are those of the packets, which are read before they are decoded. Only packets up to that of
    the last wanted frame are decoded, each once per call; where the next wanted frame lies behind another key frame,
    what is between is skipped. Without `latest`, the last run may go on by the few frames that the codec reorders,
    so that the next call can continue where this one ended.

    Args:
        path: A video file.
        latest: Nothing shown at or after this time, in seconds, is decoded, except what earlier frames build upon.
        threads: Threads of the decoder.

    Raises:
        VideoError: The file cannot be opened or has no video stream.
    """

    def __init__(self, path: Path, latest: float | None = None, threads: int = 1) -> None:
        self._path, self._latest, self._threads = path, latest, threads
        self._convert = VideoReformatter()
        self._learned = 0  # ticks: the longest way that a seek turned out not to shorten
        self._open()
        try:
            with _Explained(path):
                if self._container.format.name == "avi":
                    self._check_avi()
                first = self._queue.first_shown()
            if first is None:
                raise VideoError(f"{path} has no video frames")
        except BaseException:
            self._container.close()
            raise
        self._first = first  # tick of time 0
        self._ready = True  # the decoder can go on with the packets of the queue
        self._passed = first - 1  # tick of the last frame that came out of the decoder

    def _open(self) -> None:
        with _Explained(self._path):
            self._container = av.open(str(self._path), metadata_errors="replace")
        try:
            self._stream = _video_stream(self._container, self._path)
        except VideoError:
            self._container.close()
            raise
        self._decoder = _decoder_of(self._stream)
        self._decoder.thread_type = "AUTO" if self._threads > 1 else "NONE"
        self._decoder.thread_count = self._threads
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.frame_rate = float(rate)
        self._base: Fraction = self._stream.time_base  # seconds of a tick
        self._queue = PacketQueue(self._container, self._stream, step=round(1 / rate / self._base))

    def _check_avi(self) -> None:
        """An AVI file keeps no presentation times: FFmpeg finds them for MPEG-4, but not for reordered H.264."""
        packets = islice(self._container.demux(self._stream), 32)
        delays = {packet.pts - packet.dts for packet in packets if packet.pts is not None and packet.dts is not None}
        if self._decoder.has_b_frames and len(delays) == 1:
            hint = "Encode it again:  ffmpeg -i OLD.avi NEW.mp4"
            raise VideoError(f"{self._path} does not say when its frames are shown", hint)
        self._container.close()
        self._open()

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last one.

        Raises:
            VideoError: The file has no video that can be decoded.
        """
        promised = self._promised_end() if "mp4" in self._container.format.name else None
        with _Explained(self._path):
            if promised is None:
                return self._seconds(self._find_end())
            return self._seconds(max(promised, self._find_end()) if self._ends_unevenly() else promised)

    def read(self, times: Sequence[float]) -> Frame:
        """Return the frames (n, H, W, 3) shown at `times`, in RGB.

        Raises:
            VideoError: A frame is damaged or missing.
            DataError: A time is beyond the end.
        """
        ticks = [self._tick(time) for time in times]
        frames: dict[int, Frame] = {}
        remaining = sorted(set(ticks))
        with _Explained(self._path):
            while remaining:
                frames |= self._serve(remaining)
                remaining = [tick for tick in remaining if tick not in frames]
        return _stacked([frames[tick] for tick in ticks], self._path)

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def _tick(self, time: float) -> int:
        """Return the last tick that counts as shown at `time`, in seconds."""
        tick = floor((Fraction(time) + SAME_TIME) / self._base)
        if self._latest is not None:
            tick = min(tick, ceil(Fraction(self._latest) / self._base) - 1)
        return self._first + max(0, tick)

    def _seconds(self, tick: int) -> float:
        return float((tick - self._first) * self._base)

    def _serve(self, ticks: list[int]) -> dict[int, Frame]:
        """Return the frames of the first of `ticks`: those before the next useful seek."""
        if self._ready and ticks[0] > self._passed and not self._seek_is_nearer(ticks[0]):
            try:
                return self._decode(ticks)
            except _Missing:
                pass  # it came out before, or needs an earlier key frame
        start, no_start = ticks[0], False
        for _ in range(_TRIES):
            self._go_before(self._first if no_start else start, ticks[0])
            try:
                return self._decode(ticks)
            except _Missing as error:
                missing = error
            if self._queue.key is None or self._queue.key <= self._first:
                break
            start, no_start = self._queue.key - 1, isinstance(missing, _NoStart)
        raise VideoError(f"{self._path}: the frame at {self._seconds(ticks[0]):.2f} s cannot be decoded ({missing})")

    def _decode(self, ticks: list[int]) -> dict[int, Frame]:
        """Decode forward from where the queue is, and return frames by tick."""
        self._ready = False  # until this ends well
        shown: dict[int, int] = {}  # by tick: presentation tick of its frame
        frames: dict[int, Frame] = {}  # by presentation tick
        for tick in ticks:
            if shown and self._seek_is_nearer(tick):
                break
            shown[tick] = self._frame_shown_at(tick)
            wanted = set(shown.values())
            self._feed(self._queue.until(shown[tick]), wanted, frames)
        self._finish(wanted, frames, go_on=self._latest is None and len(shown) == len(ticks))
        return {tick: frames[presented] for tick, presented in shown.items()}

    def _finish(self, wanted: set[int], frames: dict[int, Frame], go_on: bool) -> None:
        """Get the wanted frames that the decoder still holds back."""
        if go_on:
            rest = self._queue.rest()
            while not wanted <= frames.keys() and (packet := next(rest, None)) is not None:
                self._feed([packet], wanted, frames)
        self._ready = go_on and wanted <= frames.keys()
        if not self._ready:
            self._keep(self._decoder.decode(None), wanted, frames)
        if not wanted <= frames.keys():
            raise _Missing("it does not come out of the decoder")

    def _feed(self, packets: Iterable[Any], wanted: set[int], frames: dict[int, Frame]) -> None:
        """Decode packets and keep the wanted frames."""
        for packet in packets:
            leading = packet.pts < self._queue.key  # builds upon frames before the key frame, which were not read
            if packet.is_corrupt and not leading:
                raise _Missing("its data are incomplete")
            try:
                self._keep(self._decoder.decode(packet), wanted, frames)
            except av.FFmpegError as error:
                if not leading:
                    raise _Missing(_said(error)) from error

    def _keep(self, decoded: Iterable[Any], wanted: set[int], frames: dict[int, Frame]) -> None:
        key = self._first if self._queue.key is None else self._queue.key
        for frame in decoded:
            if frame.pts is None or frame.pts < key:
                continue
            if frame.is_corrupt:
                raise _Missing("the decoder calls it corrupt")
            if self._passed < key < frame.pts and not self._queue.key_hidden:
                raise _NoStart("the key frame before it does not come out of the decoder")
            if frame.pts < self._passed:
                raise _Missing("frames come out of the decoder in another order than their times say")
            self._passed = frame.pts
            if frame.pts in wanted:
                frames[frame.pts] = np.asarray(self._convert.reformat(frame, format="rgb24", threads=1).to_ndarray())

    def _frame_shown_at(self, tick: int) -> int:
        """Return the presentation tick of the frame shown at `tick`."""
        presented = self._queue.shown_at(tick)
        if presented is None:
            raise _Missing("no key frame before it")
        if self._queue.end is not None:
            self._check_end(tick, self._queue.end)
        return presented

    def _check_end(self, tick: int, end: int) -> None:
        """The last frame stands for times up to `BEYOND` after the end, unless the file ends before its header says."""
        if tick <= self._queue.complete:
            return
        promised = self._promised_end()
        tolerance = round(max(0.1, 2 / self.frame_rate) / self._base)
        if promised is not None and end + tolerance < promised:
            message = f"ends at {self._seconds(end):.2f} s, but its header promises {self._seconds(promised):.2f} s"
            raise VideoError(f"{self._path} {message}: it is cut off or damaged")
        refuse_beyond(self._path, self._seconds(tick), self._seconds(end))

    def _promised_end(self) -> int | None:
        """Return where the last frame ends as the header says, in ticks; None where it does not say."""
        if self._stream.duration is not None:
            return int((self._stream.start_time or 0) + self._stream.duration)
        tag = self._stream.metadata.get("DURATION", "").split(":")
        if len(tag) == 3:
            hours, minutes, seconds = tag
            return round((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) / self._base)
        return None

    def _ends_unevenly(self) -> bool:
        """An MP4 header adds up times between decodings: where frames are reordered, uneven ones may end later."""
        index = self._stream.index_entries
        times = [index[place].timestamp for place in range(max(0, len(index) - MOST_REORDERED - 2), len(index))]
        gaps = {after - before for before, after in pairwise(times)}
        return bool(self._decoder.has_b_frames) and len(gaps) > 0 and max(gaps) - min(gaps) > 1

    def _find_end(self) -> int:
        """Return where the last frame ends, in ticks, from the packets at the end of the file."""
        promised = self._promised_end()
        if promised is None:
            promised = self._first + round((self._container.duration or 0) / av.time_base / self._base)
        self._go_before(promised, promised)
        self._queue.shown_at(2**62)
        assert self._queue.end is not None
        return self._queue.end

    # --- Where to go on

    def _seek_is_nearer(self, tick: int) -> bool:
        """A key frame lies between what is decoded and `tick`, as far as the container's index tells."""
        fed = self._queue.key_decoded if self._queue.fed is None else self._queue.fed
        if fed is None:
            return False
        index = self._stream.index_entries
        held_back = (self._queue.key or 0) - (self._queue.key_decoded or 0)
        entry = index.search_timestamp(tick - max(0, held_back))
        if entry >= 0 and index[entry].timestamp > fed:
            return True
        return len(index) != self._stream.frames and tick - fed > self._learned

    def _go_before(self, start: int, tick: int) -> None:
        """Put the queue on a key frame at or before tick `start`, however coarse the container's seeking is.

        If the way to `tick` is no shorter from there than from where the queue was, that is remembered.
        """
        fed = self._queue.fed
        position, step = start, round(_FIRST_STEP_BACK / self._base)
        while not self._try_seek(position) or self._queue.key is None or self._queue.key > start:
            if position <= self._first:
                self._container.close()
                self._open()
                self._queue.shown_at(start)
                break
            position, step = position - step, 2 * step
        if fed is not None and self._queue.key is not None and self._queue.key <= fed <= tick:
            self._learned = max(self._learned, tick - fed)
        self._ready, self._passed = True, (self._first if self._queue.key is None else self._queue.key) - 1

    def _try_seek(self, position: int) -> bool:
        try:
            self._queue.seek(position)
            self._decoder.flush_buffers()
        except (av.FFmpegError, OSError):
            return False
        self._queue.shown_at(position)
        return True


class _Missing(Exception):
    """A wanted frame does not come out when decoding starts where it did."""


class _NoStart(_Missing):
    """What the file calls a key frame is not one: pictures are refreshed bit by bit, over many frames."""


class _Explained:
    """A context that turns what FFmpeg raises into a `VideoError` about a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, NoTimes):
            hint = "Write them:  ffmpeg -fflags +genpts -i OLD -c copy NEW.mkv"
            raise VideoError(f"{self._path} does not say when its frames are shown", hint) from error
        if isinstance(error, av.FFmpegError | OSError):
            raise VideoError(f"{self._path} cannot be read as a video: {_said(error)}") from error


def _said(error: BaseException) -> str:
    """Return what FFmpeg said, without the path that it repeats."""
    return str(getattr(error, "strerror", None) or error)


def _video_stream(container: Any, path: Path) -> Any:
    """Return the first stream of moving pictures; the cover of a song is none."""
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams}) or ["no"]
        raise VideoError(f"{path} has no video stream, only {' and '.join(kinds)} streams")
    stream = streams[0]
    if stream.codec_context is None:
        raise VideoError(f"{path} needs a video decoder that this FFmpeg does not have")
    if not (stream.average_rate or stream.guessed_rate):
        raise VideoError(f"{path} does not tell its frame rate")
    return stream


def _decoder_of(stream: Any) -> Any:
    """Return what decodes `stream`: for VP9 libvpx, as FFmpeg's own shows damage as if it were film."""
    if stream.codec_context.name == "vp9":
        with suppress(av.FFmpegError, ValueError):
            return av.CodecContext.create("libvpx-vp9", "r")
    return stream.codec_context


def _stacked(frames: list[Frame], path: Path) -> Frame:
    sizes = sorted({frame.shape[1::-1] for frame in frames})
    if len(sizes) > 1:
        found = " and ".join(f"{width} x {height}" for width, height in sizes)
        raise VideoError(f"{path} changes its size: frames of {found} pixels")
    return np.stack(frames)
