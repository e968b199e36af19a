"""What a figure would have been on other videos: bootstrap intervals and paired tests, in NumPy.

A figure is a ratio of sums over samples. The windows of one video overlap and are not independent, so whole videos
are drawn (clusters); where videos are not known, every sample is a cluster of its own.
Shapes: M samples, C clusters, K figures, R draws.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from leaplan.errors import DataError
from leaplan.options import at_least_one, whole
from leaplan.writing import write_json

Array = NDArray[np.float64]
EXACT_CLUSTERS = 13  # up to 2^13 sign patterns are enumerated instead of drawn


class Ratios(NamedTuple):
    """Figures as ratios of sums over samples: K names, (M, K) numerators and denominators."""

    names: tuple[str, ...]
    numerators: Array
    denominators: Array


def with_intervals(ratios: Ratios, clusters: Sequence[str], draws: int, seed: int) -> dict[str, dict[str, Any]]:
    """Return "value", and "low" and "high" end of the 95 % interval, of every ratio; None where no sample counts.

    Args:
        ratios: K figures of the same M samples.
        clusters: Of each sample.
        draws: R.
        seed: The same seed and the same number of clusters draw the same clusters.
    """
    above, below = cluster_sums(ratios.numerators, clusters), cluster_sums(ratios.denominators, clusters)
    columns = np.vstack([_ratio(above.sum(0), below.sum(0)), interval(bootstrap(above, below, draws, seed))])
    return {
        name: {
            end: None if np.isnan(number) else float(number)
            for end, number in zip(("value", "low", "high"), column, strict=True)
        }
        for name, column in zip(ratios.names, columns.T, strict=True)
    }


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
        seed: See `with_intervals`.
    """
    generator = np.random.default_rng(seed)
    count = len(numerators)
    ratios = []
    for first in range(0, draws, 256):
        weights = generator.multinomial(count, np.full(count, 1 / count), size=min(256, draws - first))
        ratios.append(_ratio(weights @ numerators, weights @ denominators))
    return np.concatenate(ratios)


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full_like(below, np.nan), where=below > 0)


def interval(ratios: Array) -> Array:
    """Return the 95 % percentile interval (2, K) of bootstrapped ratios (R, K); NaN where a column has no number."""
    empty = np.isnan(ratios).all(0)
    ends = np.nanpercentile(np.where(empty, 0.0, ratios), [2.5, 97.5], axis=0)
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


# --- the command line -------------------------------------------------------------------------------


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every verb that prints intervals: --json, --bootstrap and --seed."""
    parser.add_argument("--json", type=Path, metavar="OUT", help="write everything there as well")
    parser.add_argument("--bootstrap", type=at_least_one, default=2000, metavar="N", help="draws (default 2000)")
    parser.add_argument("--seed", type=whole, default=7, help="of the draws (default 7)")


def write_report(path: Path | None, report: Mapping[str, Any]) -> None:
    """Write what `--json` asks for, if it does.

    Raises:
        DataError: The file cannot be written.
    """
    try:
        if path is not None:
            write_json(path, report)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror or error})", "Give another --json") from error


def in_percent(figure: Mapping[str, Any], sign: str = "", separator: str = "\n") -> str:
    """Return value and interval as a table shows them, "–" of no samples; with the sign "+", of a difference."""
    if figure["value"] is None:
        return "–"
    value, low, high = (f"{100 * figure[name]:{sign}.1f}" for name in ("value", "low", "high"))
    return f"{value}{separator}\\[{low}, {high}]"
