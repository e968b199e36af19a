"""Calls that may hang, given a deadline."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work()` returns, or raise what it raises, waiting no longer than `seconds`.

    The work runs in a daemon thread. One that hangs (a FIFO that nobody writes, a file system that does not answer)
    cannot be stopped from outside: it is left behind, and must not be used any more.

    Raises:
        TimeoutError: The work was not done in time.
    """
    call = _Call(work)
    thread = threading.Thread(target=call.run, name="leaplan-deadline", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"timed out after {seconds:g} s")
    return call.outcome()


class _Call(Generic[T]):
    """A call in another thread: its result or its error."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._results: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # whatever it is, it is raised again where the call was made
            self._error = error

    def outcome(self) -> T:
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback refers to this call: without the circle, all is freed at once
        return self._results[0]
