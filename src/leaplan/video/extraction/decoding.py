"""Videos decoded ahead of the network: threads that fill a queue of clips, each at work on a video of its own."""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from leaplan.video.extraction.manifest import VideoFile
from leaplan.video.extraction.windows import clips_of
from leaplan.video.reader import open_video

if TYPE_CHECKING:
    from leaplan.video.seconds import SecondsEncoder

AHEAD = 3  # batches that a thread may be ahead of the network
LOOK = 0.2  # seconds after which a thread that waits looks whether it is still wanted


@dataclass(frozen=True, slots=True)
class Clips:
    """A batch of clips of a video, uint8 (n, T, 3, S, S)."""

    video: VideoFile
    clips: Tensor


@dataclass(frozen=True, slots=True)
class Ended:
    """A video has no more clips.

    Args:
        video: Which.
        seconds: It lasts.
        error: Why it ended early, None if it did not.
    """

    video: VideoFile
    seconds: float = 0.0
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How videos are read.

    Args:
        reader: See `open_video`.
        timeout: Seconds that a run of frames may take.
        batch: Rows of a batch.
        threads: Videos that are decoded at the same time.
    """

    reader: str = "auto"
    timeout: float = 120.0
    batch: int = 4
    threads: int = 1


class Decoders:
    """Threads that decode videos, as a context; iterate over it for `Clips` and `Ended`, in order for each video.

    Args:
        videos: To decode.
        encoder: Says what a clip is.
        reading: How.
        wanted: Asked just before a video is opened; it is passed over if the answer is False.
    """

    def __init__(
        self,
        videos: Sequence[VideoFile],
        encoder: "SecondsEncoder",
        reading: Reading,
        wanted: Callable[[VideoFile], bool] = lambda _: True,
    ) -> None:
        self._videos, self._lock = iter(videos), threading.Lock()
        self._encoder, self._reading, self._wanted = encoder, reading, wanted
        self._queue: queue.Queue[Clips | Ended | None] = queue.Queue(AHEAD * reading.threads)
        self._unwanted = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(reading.threads)]
        self._busy = [0.0] * reading.threads

    @property
    def busy(self) -> float:
        """Seconds that a thread was at work, not waiting for the network; the mean over the threads."""
        return sum(self._busy) / len(self._busy)

    def __enter__(self) -> "Decoders":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._unwanted.set()
        for thread in self._threads:
            thread.join(5.0)  # a hanging file system must not keep us; the threads do not outlive the process

    def __iter__(self) -> Iterator[Clips | Ended]:
        running = len(self._threads)
        while running:
            try:
                message = self._queue.get(timeout=LOOK)  # not for ever: a signal is to be heard meanwhile
            except queue.Empty:
                continue
            if message is None:
                running -= 1
            else:
                yield message

    def _run(self) -> None:
        number = self._threads.index(threading.current_thread())
        while not self._unwanted.is_set() and (video := self._next()) is not None:
            for message in self._messages(video, number):
                if not self._put(message):
                    return
        self._put(None)

    def _next(self) -> VideoFile | None:
        with self._lock:
            return next(self._videos, None)

    def _put(self, message: Clips | Ended | None) -> bool:
        """Hand a message on; False if nobody wants it any more."""
        while not self._unwanted.is_set():
            try:
                self._queue.put(message, timeout=LOOK)
            except queue.Full:
                continue
            return True
        return False

    def _messages(self, video: VideoFile, number: int) -> Iterator[Clips | Ended]:
        """Yield the clips of a video and then its end, and count the time that they take to make."""
        source = self._decoded(video)
        while True:
            began = time.perf_counter()
            message = next(source, None)
            self._busy[number] += time.perf_counter() - began
            if message is None:
                return
            yield message

    def _decoded(self, video: VideoFile) -> Iterator[Clips | Ended]:
        reading = self._reading
        try:
            if not self._wanted(video):
                yield Ended(video)
                return
            with open_video(video.path, reading.reader, frame_rate=video.frame_rate, timeout=reading.timeout) as frames:
                for clips in clips_of(frames, self._encoder, reading.batch):
                    yield Clips(video, clips)
                yield Ended(video, frames.duration)
        except Exception as error:  # whatever a file does to a decoder, it is told in the thread that counts
            yield Ended(video, error=error)
