"""How benchmarks measure, and what they give: figures with all their repeats, and what bounds the whole."""

import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Literal

Better = Literal["higher", "lower", ""]
BUSY = 0.9  # share of the time from which on a part is said to bound the whole
PARTS = 5  # of a long measurement, each of which counts as a repeat


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, as often as it was.

    Args:
        name: No other figure of the subject has it.
        repeats: The same measured again and again, at least once.
        unit: Such as "clips/s"; "" of a count or a ratio.
        better: Whether "higher" or "lower" is better, "" where neither is.
        beside: Said beside it, such as the figure of other code.
    """

    name: str
    repeats: tuple[float, ...]
    unit: str
    better: Better = ""
    beside: str = ""

    @property
    def value(self) -> float:
        """The median."""
        return float(median(self.repeats))


@dataclass(frozen=True, slots=True)
class Measurement:
    """All that a subject gives.

    Args:
        title: What was measured under which conditions.
        figures: In the order in which they are printed.
        bounds: Sentences: which of decoding, network and host bounds the work.
        device: "cpu", or the name of the card.
        precision: Of the network.
    """

    title: str
    figures: list[Figure]
    bounds: list[str] = field(default_factory=list)
    device: str = "cpu"
    precision: str = "fp32"


def seconds_of(
    work: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, ...]:
    """Return the seconds of each of `repeats` calls of `work`, after one call that does not count."""
    work()
    seconds = []
    for _ in range(repeats):
        began = clock()
        work()
        seconds.append(clock() - began)
    return tuple(seconds)


def rates(seconds: Sequence[float], parts: int = PARTS) -> tuple[float, ...]:
    """Return items per second of consecutive parts of a measurement, given the seconds that each item took."""
    count = min(parts, len(seconds))
    edges = [len(seconds) * part // count for part in range(count + 1)]
    return tuple((stop - start) / sum(seconds[start:stop]) for start, stop in pairwise(edges))


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in MiB.

    On Linux as /proc tells it: what `getrusage` tells of a program is no less than the peak of the process that
    started it.
    """
    if sys.platform == "linux":
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
        return round(int(line.split()[1]) / 1024, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 if sys.platform != "darwin" else 1024**2), 1)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
