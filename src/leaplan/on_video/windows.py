"""Which windows of a video are looked at, one after another."""

from pathlib import Path

from leaplan.errors import ConfigError, DataError
from leaplan.on_video.readable import clock

SHORTEST = 0.05  # seconds; of a window, and of a rest of the video that is looked at


def windows_of(start: float, stop: float, every: float, length: float) -> list[tuple[float, float]]:
    """Return the windows (start, stop) in seconds: `length` long, one every `every` seconds, the last ending at `stop`.

    One window, shorter than `length`, is all there is where it does not fit.
    """
    if length >= stop - start:
        return [(start, stop)]
    count = int((stop - start - length) / every + 1e-9) + 1
    windows = [(start + number * every, start + number * every + length) for number in range(count)]
    if stop - windows[-1][1] > SHORTEST:
        windows.append((stop - length, stop))
    return windows


def within(path: Path, start: float, stop: float | None, end: float) -> tuple[float, float]:
    """Return what is looked at of a video that ends at `end`, seconds.

    Raises:
        DataError: It is not within the video.
    """
    if stop is not None and stop > end + SHORTEST:
        raise DataError(f"stop {clock(stop)} is beyond {path}, which ends at {clock(end)}", "Leave it out")
    stop = end if stop is None else min(stop, end)
    if stop - start < SHORTEST:
        what = f"nothing is left of {path} between {clock(start)} and {clock(stop)}"
        raise DataError(what, "Give a start before the stop, both within the video")
    return start, stop


def refuse_lengths(every: float, window: float) -> None:
    """Check that windows last, and follow one another.

    Raises:
        ConfigError: One of the two is too short, or no number.
    """
    for name, value in (("every", every), ("window", window)):
        if not SHORTEST <= value < float("inf"):
            raise ConfigError(f"{name} {value:g}: it must be {SHORTEST:g} seconds at least", "Leave it out")
