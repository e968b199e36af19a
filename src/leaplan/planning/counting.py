"""Plans compared step by step: the integers that all planning scores are made of.

Plans are int64 tensors (B, L) of step ids. A plan shorter than L ends in `PAD`.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from leaplan.training.sequences import PAD as PAD
from leaplan.training.sequences import edit_distance, set_sizes


class PlanCounts(NamedTuple):
    """What is counted of every plan; all scores are sums of these, divided."""

    exact: Tensor  # (B,) 1 where the plan equals the target
    right: Tensor  # (B, T) 1 where the step equals the target's
    valid: Tensor  # (B, T) 1 where the target has a step
    intersection: Tensor  # (B,) size of the intersection of both step sets
    union: Tensor  # (B,) size of their union
    distance: Tensor  # (B,) Levenshtein distance
    longest: Tensor  # (B,) length of the longer of the two

    @property
    def steps(self) -> Tensor:
        """(B,) number of target steps."""
        return self.valid.sum(1)


def count_plans(pred: Tensor, target: Tensor) -> PlanCounts:
    """Compare plans `pred` (B, L) with `target` (B, T), both padded with `PAD` at the end where shorter.

    Raises:
        ValueError: The shapes do not fit.
    """
    if pred.ndim != 2 or target.ndim != 2 or len(pred) != len(target):
        raise ValueError(f"plans are (B, L) and (B, T), but got {tuple(pred.shape)} and {tuple(target.shape)}")
    horizon = target.shape[1]
    width = max(pred.shape[1], horizon)
    pred, target = (F.pad(plan, (0, width - plan.shape[1]), value=PAD) for plan in (pred, target))
    valid = target >= 0
    right = (pred == target) & valid
    lengths = (pred >= 0).sum(1), valid.sum(1)
    intersection, union = set_sizes(pred, target)
    return PlanCounts(
        exact=(pred == target).all(1).long(),
        right=right[:, :horizon].long(),
        valid=valid[:, :horizon].long(),
        intersection=intersection,
        union=union,
        distance=edit_distance(pred, target),
        longest=torch.maximum(*lengths),
    )
