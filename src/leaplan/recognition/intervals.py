"""What a figure would have been on other videos: bootstrap intervals that resample whole videos, in NumPy.

Accuracy is a mean over samples. Class-mean recall is one too, in which a sample weighs one over the number of samples
of its class: the weights stay those of the whole split when videos are drawn, so that a class that a draw misses
moves the figure no more than its samples do.
Shapes: N samples, C videos, K figures, R draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Resampling:
    """How intervals are made.

    Args:
        draws: R, bootstrap draws.
        seed: Of the draws.
    """

    draws: int = 2000
    seed: int = 7


class Share(NamedTuple):
    """A figure as a weighted mean: sum(hit * weight) / sum(weight)."""

    hit: Array  # (N,), 0 or 1, or a mean of several
    weight: Array  # (N,), 0 for samples that do not count

    @property
    def value(self) -> float | None:
        """The figure, None of no samples."""
        total = self.weight.sum()
        return float((self.hit * self.weight).sum() / total) if total > 0 else None


def accuracy_share(rank: Tensor, k: int, rows: Tensor | None = None) -> Share:
    """Return top-k accuracy of ranks (N,) over the samples in `rows` (N,) bool, over all if None."""
    weight = np.ones(len(rank)) if rows is None else rows.double().numpy()
    return Share((rank < k).double().numpy(), weight)


def recall_share(rank: Tensor, classes: Tensor, k: int, rows: Tensor | None = None) -> Share:
    """Return class-mean top-k recall of ranks (N,) with true `classes` (N,), over the samples in `rows` (N,) bool."""
    inside = np.ones(len(rank), dtype=bool) if rows is None else rows.numpy()
    weight = np.zeros(len(rank))
    _, group, sizes = np.unique(classes.numpy()[inside], return_inverse=True, return_counts=True)
    weight[inside] = 1 / sizes[group.reshape(-1)]
    return Share((rank < k).double().numpy(), weight)


def with_intervals(
    shares: Mapping[str, Share], clusters: Sequence[str], resampling: Resampling
) -> dict[str, dict[str, Any]]:
    """Return "value", and "low" and "high" end of the 95 % interval, of each figure; None of no samples.

    Args:
        shares: K figures of the same N samples.
        clusters: Video of each sample.
        resampling: How intervals are made.
    """
    above = _sums([share.hit * share.weight for share in shares.values()], clusters)
    below = _sums([share.weight for share in shares.values()], clusters)
    ends = _interval(_bootstrap(above, below, resampling))
    value = _ratio(above.sum(0), below.sum(0))
    names = ("value", "low", "high")
    columns = np.vstack([value, ends]).T
    return {
        name: {each: None if np.isnan(x) else float(x) for each, x in zip(names, row, strict=True)}
        for name, row in zip(shares, columns, strict=True)
    }


def differences(
    first: Mapping[str, Share], second: Mapping[str, Share], clusters: Sequence[str], resampling: Resampling
) -> dict[str, dict[str, Any]]:
    """Return second minus first of the figures that both have, of the same samples, as `with_intervals` does."""
    change = {
        name: Share(second[name].hit - share.hit, share.weight) for name, share in first.items() if name in second
    }
    return with_intervals(change, clusters, resampling) if change else {}


def _sums(columns: Sequence[Array], clusters: Sequence[str]) -> Array:
    """Sum K columns (N,) over the samples of each cluster: (C, K)."""
    names, group = np.unique(np.asarray(clusters), return_inverse=True)
    return np.stack([np.bincount(group.reshape(-1), column, len(names)) for column in columns], axis=1)


def _bootstrap(numerators: Array, denominators: Array, resampling: Resampling) -> Array:
    """Draw ratios of sums (R, K) from clusters (C, K) with replacement; NaN for an empty denominator."""
    generator = np.random.default_rng(resampling.seed)
    count = len(numerators)
    ratios = []
    for first in range(0, resampling.draws, 256):
        size = min(256, resampling.draws - first)
        weights = generator.multinomial(count, np.full(count, 1 / count), size=size)
        ratios.append(_ratio(weights @ numerators, weights @ denominators))
    return np.concatenate(ratios)


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full_like(below, np.nan), where=below > 0)


def _interval(ratios: Array) -> Array:
    """Return the 2.5 and 97.5 percentiles (2, K) of ratios (R, K); NaN where a column has no number."""
    empty = np.isnan(ratios).all(0)
    ends = np.nanpercentile(np.where(empty, 0.0, ratios), [2.5, 97.5], axis=0)
    return np.where(empty, np.nan, ends)
