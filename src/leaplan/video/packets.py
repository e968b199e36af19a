"""The packets of a video stream: which frame is shown when, known before anything is decoded.

Times here are ticks, integers in the time base of the stream, as packets carry them.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

MOST_REORDERED = 17  # H.264 and HEVC hold back at most 16 frames


class NoTimes(Exception):
    """A packet does not say when its frame is shown."""


class PacketQueue:
    """Packets in decoding order, read just far enough ahead to know the frame shown at a time.

    A decoder wants packets in decoding order, people see frames in order of presentation. Packets are read, not
    decoded, until none that follows can be shown at or before the wanted time: then the frame shown is known, and
    only packets up to its own have to be decoded.

    Args:
        container: `av.container.InputContainer`, just opened.
        stream: Its video stream.
        step: Ticks that a frame is shown where its packet does not tell.
    """

    def __init__(self, container: Any, stream: Any, step: int) -> None:
        self._container, self._stream, self._step = container, stream, step
        self._start()

    def seek(self, tick: int) -> None:
        """Go on at a key frame near `tick`, mostly at or before it. The decoders of the container are flushed."""
        self._container.seek(tick, stream=self._stream, backward=True)
        self._start()

    def _start(self) -> None:
        self._packets: Iterator[Any] = self._container.demux(self._stream)
        self._waiting: deque[Any] = deque()
        self._ahead: list[int] = []  # presentation ticks of frames that are shown later than the last time asked for
        self._shown: int | None = None
        self._decoded: int | None = None  # decoding tick of the last packet read
        self._ends = 0
        self.complete = 0
        """All frames shown up to this tick have been read, also where the stream is cut off."""
        self.key: int | None = None
        """Presentation tick of the key frame that the queue begins with; frames before it cannot be decoded."""
        self.key_decoded: int | None = None
        """Decoding tick of that key frame."""
        self.key_hidden = False
        """An edit list says that the key frame is decoded but not shown."""
        self.fed: int | None = None
        """Decoding tick of the last packet that was given away."""
        self.end: int | None = None
        """Where the last frame of the stream ends; None until the stream was read to its end."""

    def first_shown(self) -> int | None:
        """Return the presentation tick of the first frame of a stream that has just been opened; None without any."""
        while not self._ahead and self._read():
            pass
        while self._ahead and not self._all_known(min(self._ahead)) and self._read():
            pass
        return min(self._ahead, default=None)

    def shown_at(self, tick: int) -> int | None:
        """Return the presentation tick of the frame shown at `tick`; None if that is before the queue begins.

        Ticks are asked for in ascending order.
        """
        while not self._all_known(tick) and self._read():
            pass
        passed = [pts for pts in self._ahead if pts <= tick]
        if passed:
            self._shown = max(passed)
            self._ahead = [pts for pts in self._ahead if pts > tick]
        return self._shown

    def until(self, shown: int) -> Iterator[Any]:
        """Give away the packets up to that of the frame presented at `shown`, none if that one is gone."""
        if any(packet.pts == shown for packet in self._waiting):
            packet = None
            while packet is None or packet.pts != shown:
                packet = self._give()
                yield packet

    def rest(self) -> Iterator[Any]:
        """Give away packets up to the end of the stream."""
        while self._waiting or self._read():
            if self._waiting:
                yield self._give()

    def _give(self) -> Any:
        packet = self._waiting.popleft()
        self.fed = packet.pts if packet.dts is None else packet.dts
        return packet

    def _all_known(self, tick: int) -> bool:
        """No packet still unread can be shown at or before `tick`."""
        if self.end is not None:
            return True
        if self._decoded is not None:
            return self._decoded > tick
        return sum(pts > tick for pts in self._ahead) >= MOST_REORDERED

    def _read(self) -> bool:
        """Read one packet; False at the end of the stream."""
        packet = next(self._packets, None)
        if packet is None or packet.size == 0:
            self.end = self._ends
            return False
        if self.key is None and not packet.is_keyframe:
            return True  # what it builds upon was not read
        if packet.pts is None:
            raise NoTimes
        if self.key is None:
            self.key, self.key_decoded, self.key_hidden = packet.pts, packet.dts, packet.is_discard
        self._decoded = packet.dts if packet.dts is None or packet.dts <= packet.pts else None
        self.complete = packet.pts if self._decoded is None else self._decoded
        self._waiting.append(packet)
        if packet.pts >= self.key and not packet.is_discard:
            self._ahead.append(packet.pts)
            self._ends = max(self._ends, packet.pts + (packet.duration or self._step))
        return True
