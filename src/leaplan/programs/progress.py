"""Progress of a long job: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any, Self

SECONDS = 10.0  # between two plain lines


class Progress:
    """Tells how far a job is, on the error stream.

    Args:
        what: What is counted, such as "clips".
        total: How many there are.
        quiet: Tell nothing.
    """

    def __init__(self, what: str, total: int, quiet: bool = False) -> None:
        self.what, self.total, self.quiet = what, total, quiet
        self.done = 0
        self._bar: Any = None
        self._started = self._told = time.monotonic()

    def __enter__(self) -> Self:
        if not self.quiet and self.total and sys.stderr.isatty():
            self._bar, self._task = _bar(self.what, self.total)
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)
            self._bar.stop()
        elif not self.quiet and self._told > self._started:
            self._say(time.monotonic())

    def advance(self, note: str = "") -> None:
        """Count one more; `note` stands behind the numbers, such as the price so far."""
        self.done += 1
        if self.quiet:
            return
        now = time.monotonic()
        if self._bar is not None:
            if now - self._told > 0.1 or self.done == self.total:
                self._told = now
                self._bar.update(self._task, completed=self.done, note=note)
        elif now - self._told > SECONDS:
            self._told = now
            self._say(now, note)

    def _say(self, now: float, note: str = "") -> None:
        rate = self.done / max(now - self._started, 1e-9)
        left = f", {(self.total - self.done) / rate:.0f} s left" if rate and self.done < self.total else ""
        told = f"; {note}" if note else ""
        line = (
            f"{self.what}: {self.done:,} of {self.total:,} ({100 * self.done / self.total:.0f} %), {rate:,.0f} a second"
        )
        print(f"{line}{left}{told}", file=sys.stderr, flush=True)


def _bar(what: str, total: int) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    bars = Bars(*columns, console=Console(stderr=True))
    return bars, bars.add_task(what, total=total, note="")
