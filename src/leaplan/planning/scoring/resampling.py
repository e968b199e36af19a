"""What a score would have been on other videos: bootstrap intervals and paired tests, in NumPy.

A score is a ratio of sums over samples. The windows of one video overlap and are not independent, so whole videos
are drawn (clusters); where videos are not known, every sample is a cluster of its own.
Shapes: M samples, C clusters, K scores, R draws.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EXACT_CLUSTERS = 13  # up to 2^13 sign patterns are enumerated instead of drawn


def cluster_sums(values: Array, clusters: Sequence[str]) -> Array:
    """Sum `values` (M, K) over the samples of each cluster: (C, K), clusters in the order of their names."""
    names, group = np.unique(np.asarray(clusters), return_inverse=True)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, group.reshape(-1), values)
    return sums


def bootstrap(numerators: Array, denominators: Array, draws: int, seed: int) -> Array:
    """Draw the ratios of sums (R, K) `draws` times from clusters with replacement; NaN for an empty denominator.

    Args:
        numerators, denominators: Sums of each cluster (C, K).
        draws: R.
        seed: The same seed and the same number of clusters draw the same clusters.
    """
    generator = np.random.default_rng(seed)
    count = len(numerators)
    ratios = []
    for first in range(0, draws, 256):
        weights = generator.multinomial(count, np.full(count, 1 / count), size=min(256, draws - first))
        below = weights @ denominators
        ratios.append(np.divide(weights @ numerators, below, out=np.full_like(below, np.nan), where=below > 0))
    return np.concatenate(ratios)


def interval(ratios: Array, level: float = 0.95) -> Array:
    """Return the percentile interval (2, K) of bootstrapped ratios (R, K); NaN where a column has no number."""
    tail = 50 * (1 - level)
    empty = np.isnan(ratios).all(0)
    ends = np.nanpercentile(np.where(empty, 0.0, ratios), [tail, 100 - tail], axis=0)
    return np.where(empty, np.nan, ends)


def sign_flip_p_value(differences: Array, draws: int, seed: int) -> tuple[Array, bool]:
    """Two-sided p-values (K,) of sums of cluster differences (C, K), if either sign were equally likely.

    All sign patterns are counted for few clusters; else `draws` random ones, and the p-value is
    (1 + number at least as extreme) / (1 + draws). The second value tells whether it is exact.
    """
    count = len(differences)
    extreme = np.abs(differences.sum(0)) - 1e-9
    if count <= EXACT_CLUSTERS:
        patterns = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        return (np.abs((2.0 * patterns - 1) @ differences) >= extreme).mean(0), True
    generator = np.random.default_rng(seed)
    hits = np.zeros(differences.shape[1])
    for first in range(0, draws, 256):
        signs = 2.0 * generator.integers(0, 2, size=(min(256, draws - first), count)) - 1
        hits += (np.abs(signs @ differences) >= extreme).sum(0)
    return (1 + hits) / (1 + draws), False


def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar p-value of the numbers of samples that only one of two models got right."""
    total = only_first + only_second
    term, tail = 1, 0  # binomial coefficients of `total`, one from the other
    for k in range(min(only_first, only_second) + 1):
        tail += term
        term = term * (total - k) // (k + 1)
    return float(min(1.0, 2 * tail / 2**total)) if total else 1.0


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the sample standard deviation (n - 1) of a score over seeds."""
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
