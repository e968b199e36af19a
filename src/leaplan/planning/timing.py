"""How benchmarks measure."""

import time
from collections.abc import Callable

import numpy as np


def median_seconds(work: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the median seconds of `work` over `repeats` calls, after one call that does not count."""
    work()
    seconds = []
    for _ in range(repeats):
        began = clock()
        work()
        seconds.append(clock() - began)
    return float(np.median(seconds))
