"""What a figure would have been on other videos: bootstrap intervals that resample whole videos.

Accuracy is a mean over samples. Class-mean recall is one too, in which a sample weighs one over the number of samples
of its class: the weights stay those of the whole split when videos are drawn, so that a class that a draw misses
moves the figure no more than its samples do.
Shapes: N samples, K figures, R draws.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from leaplan.training.resampling import Array, Ratios
from leaplan.training.resampling import with_intervals as of_ratios


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
    above = np.stack([share.hit * share.weight for share in shares.values()], axis=1)  # (N, K)
    below = np.stack([share.weight for share in shares.values()], axis=1)
    return of_ratios(Ratios(tuple(shares), above, below), clusters, resampling.draws, resampling.seed)


def differences(
    first: Mapping[str, Share], second: Mapping[str, Share], clusters: Sequence[str], resampling: Resampling
) -> dict[str, dict[str, Any]]:
    """Return second minus first of the figures that both have, of the same samples, as `with_intervals` does."""
    change = {
        name: Share(second[name].hit - share.hit, share.weight) for name, share in first.items() if name in second
    }
    return with_intervals(change, clusters, resampling) if change else {}
