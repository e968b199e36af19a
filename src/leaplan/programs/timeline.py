"""Things with a start and a stop, looked up by time."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Generic, TypeVar

Item = TypeVar("Item")


def ordered(start: float, stop: float) -> tuple[float, float]:
    """Return (start, stop).

    Raises:
        ValueError: `stop` does not come after `start`.
    """
    if not start < stop:
        raise ValueError(f"starts at {start:g} s, but stops at {stop:g} s")
    return start, stop


class Timeline(Generic[Item]):
    """Things with a start and a stop, looked up by time with a binary search.

    Args:
        items: (start, stop, thing) in any order; those of the same start keep theirs.
    """

    def __init__(self, items: Iterable[tuple[float, float, Item]]) -> None:
        self._items = sorted(items, key=lambda item: item[:2])
        self._starts = [item[0] for item in self._items]
        self._reach = list(accumulate((item[1] for item in self._items), max))  # how far all up to here go on

    def __len__(self) -> int:
        return len(self._items)

    def overlapping(self, start: float, stop: float) -> list[tuple[float, float, Item]]:
        """Return what overlaps (start, stop) for longer than an instant, sorted by start."""
        last = bisect_left(self._starts, stop)
        first = bisect_left(self._reach, start, 0, last)
        return [item for item in self._items[first:last] if item[1] > start]
