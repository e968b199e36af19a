"""Plans compared step by step: the integers that all planning scores are made of.

Plans are int64 tensors (B, L) of step ids. A plan shorter than L ends in `PAD`.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

PAD = -1


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
    intersection, union = _set_sizes(pred, target)
    return PlanCounts(
        exact=(pred == target).all(1).long(),
        right=right[:, :horizon].long(),
        valid=valid[:, :horizon].long(),
        intersection=intersection,
        union=union,
        distance=_levenshtein(pred, target, *lengths),
        longest=torch.maximum(*lengths),
    )


def _set_sizes(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Sizes (B,) of the intersection and the union of the step sets of two (B, L) plans."""
    first_pred, first_target = _first_occurrence(pred), _first_occurrence(target)
    shared = (pred[:, :, None] == target[:, None, :]).any(2) & first_pred
    intersection = shared.sum(1)
    return intersection, first_pred.sum(1) + first_target.sum(1) - intersection


def _first_occurrence(plan: Tensor) -> Tensor:
    """(B, L) True where a step occurs for the first time in its plan."""
    same = plan[:, :, None] == plan[:, None, :]
    return (plan >= 0) & ~same.tril(diagonal=-1).any(2)


def _levenshtein(pred: Tensor, target: Tensor, pred_length: Tensor, target_length: Tensor) -> Tensor:
    """Edit distance (B,), one row of the table per predicted step for all samples at once.

    Within a row, D[j] = min_{k <= j} (best[k] + j - k): a running minimum in place of a recursion.
    """
    batch, width = target.shape
    columns = torch.arange(width + 1, device=target.device)
    table = [columns.expand(batch, -1)]
    for row in range(pred.shape[1]):
        above = table[-1]
        substitute = above[:, :-1] + (pred[:, row, None] != target)
        best = torch.cat([above[:, :1] + 1, torch.minimum(substitute, above[:, 1:] + 1)], dim=1)
        table.append((best - columns).cummin(1).values + columns)
    samples = torch.arange(batch, device=target.device)
    return torch.stack(table, 1)[samples, pred_length, target_length]
