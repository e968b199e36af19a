"""How far an extraction is and when it will end: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from leaplan.video.extraction.outcomes import Outcome

SECONDS = 30.0  # between two plain lines


class Progress:
    """Tells how many videos are done, on the error stream; the time left is estimated from the bytes of their files.

    Args:
        quiet: Tell nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet, self.videos, self.size = quiet, 0, 0
        self.done, self.bytes_done, self.broken, self.seconds = 0, 0, 0, 0.0
        self._bar: Any = None
        self._started = self._told = time.monotonic()

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            self._bar, self._task = _bar()
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def expect(self, videos: int, size: int) -> None:
        """Say that `videos` more are to be extracted, of `size` bytes in all."""
        self.videos, self.size = self.videos + videos, self.size + size
        if self._bar is not None:
            self._bar.update(self._task, total=self.size, note=self._note())

    def add(self, outcome: Outcome) -> None:
        """Count a video. A broken one is told at once."""
        self.done += 1
        self.bytes_done += outcome.size
        self.seconds += outcome.seconds
        self.broken += bool(outcome.reason)
        if self.quiet:
            return
        now = time.monotonic()
        if outcome.reason:
            self._print(f"broken: {outcome.reason}")
        if self._bar is not None:
            self._bar.update(self._task, completed=self.bytes_done, note=self._note())
        elif now - self._told > SECONDS:
            self._told = now
            self._print(f"{self._note()}{self._left(now)}")

    def _print(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def _note(self) -> str:
        broken = f", {self.broken} broken" if self.broken else ""
        return f"{self.done:,} of {self.videos:,} videos, {self.seconds / 3600:.2f} h of video{broken}"

    def _left(self, now: float) -> str:
        if not self.bytes_done or self.done == self.videos:
            return ""
        return f", about {spoken((now - self._started) * (self.size / self.bytes_done - 1))} left"


def spoken(seconds: float) -> str:
    """Return a duration as people say it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _bar() -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("extracting"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
    bars = Bars(*columns, console=Console(stderr=True), speed_estimate_period=600.0)
    return bars, bars.add_task("extracting", total=None, note="")
