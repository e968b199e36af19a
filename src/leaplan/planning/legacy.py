"""The three other numbers that papers print as "mIoU". For comparison with old tables only.

They depend on the batch size, the order of the samples, or the numbering of the classes, so none of them can
be compared between papers. Print the batch size beside them. Ours is `metrics.mean_iou`.

Plans are (B, T) of one length. A batch size cuts them, in order, into batches; results of batches are averaged
with the sizes of the batches as weights. All values are fractions from 0 to 1.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from leaplan.planning.metrics import PlanMetrics

EPSILON = 1e-6


def mean_iou_batch(pred: Tensor, target: Tensor, batch_size: int) -> Tensor:
    """One step set per *batch* ("MIoU1" of PDPP and KEPP): a scalar of plans (B, T); grows to 1 with the batch."""
    batches = _batches(pred, target, batch_size)
    return torch.stack([_set_iou(p, g) * len(p) for p, g in batches]).sum() / len(pred)


def _set_iou(pred: Tensor, target: Tensor) -> Tensor:
    predicted, true = pred.unique(), target.unique()
    shared = torch.isin(predicted, true).sum()
    return shared.double() / (len(predicted) + len(true) - shared)


def mean_iou_cumulative(pred: Tensor, target: Tensor, batch_size: int) -> Tensor:
    """Sets that are never cleared within a batch (SCHEMA and PlanLLM `accuracy`). Plans (B, T) in, a scalar out.

    Sample b is scored with the union of the steps of samples 1 to b of its batch.
    """
    classes = 1 + int(max(pred.max(), target.max()))
    ious = []
    for p, g in _batches(pred, target, batch_size):
        predicted, true = _running_union(p, classes), _running_union(g, classes)
        ious.append((predicted & true).sum(1).double() / (predicted | true).sum(1))
    return torch.cat(ious).mean()


def _running_union(plans: Tensor, classes: int) -> Tensor:
    """(B, N) True where a class occurs in this plan or an earlier one."""
    present = torch.zeros(len(plans), classes, dtype=torch.int64, device=plans.device)
    return present.scatter_(1, plans, 1).cumsum(0) > 0


def mean_iou_bitwise(pred: Tensor, target: Tensor) -> Tensor:
    """Bitwise and/or of class *ids* (P3IV, SCHEMA, PlanLLM `acc_iou`): renumbering the classes changes it.

    Mean over plans (B, T) of (sum_t (pred & target) + e) / (sum_t (pred | target) + e), e = 1e-6. This is the mIoU
    in the published Viterbi rows of SCHEMA and PlanLLM.
    """
    both, either = (pred & target).sum(1), (pred | target).sum(1)
    return ((both.double() + EPSILON) / (either + EPSILON)).mean()


def mean_iou_bitwise_aggregate(pred: Tensor, target: Tensor) -> Tensor:
    """As `mean_iou_bitwise`, with both sums over all samples and steps, a scalar."""
    both, either = (pred & target).sum(), (pred | target).sum()
    return (both.double() + EPSILON) / (either + EPSILON)


def legacy_scores(pred: Tensor, target: Tensor, batch_size: int) -> dict[str, Tensor]:
    """Return the four legacy numbers of plans (B, T) in the given order.

    Raises:
        ValueError: A plan is padded or of another length, there is none, or the batch size is not positive.
    """
    if pred.shape != target.shape or pred.numel() == 0 or bool((pred < 0).any()) or bool((target < 0).any()):
        raise ValueError(
            f"legacy mIoUs need at least one plan and no padding, "
            f"but pred is {tuple(pred.shape)} and target {tuple(target.shape)}"
        )
    return {
        "mean_iou_batch": mean_iou_batch(pred, target, batch_size),
        "mean_iou_cumulative": mean_iou_cumulative(pred, target, batch_size),
        "mean_iou_bitwise": mean_iou_bitwise(pred, target),
        "mean_iou_bitwise_aggregate": mean_iou_bitwise_aggregate(pred, target),
    }


def _batches(pred: Tensor, target: Tensor, batch_size: int) -> list[tuple[Tensor, Tensor]]:
    if batch_size < 1:
        raise ValueError(f"batch size is {batch_size}, but must be at least 1")
    return list(zip(pred.split(batch_size), target.split(batch_size), strict=True))


class LegacyPlanMetrics(PlanMetrics):
    """The legacy numbers over a split, in the order of the split and cut into batches of `batch_size`.

    The published code scores whatever batch its loader gives; a fixed order and size make it repeatable.
    """

    def __init__(self, horizon: int, batch_size: int, **kwargs: Any) -> None:
        super().__init__(horizon, **kwargs)
        self.batch_size = batch_size

    def compute(self) -> Mapping[str, Tensor]:
        """Return `legacy_scores` of all samples of all processes."""
        table = self._read(self.unique_rows())
        return legacy_scores(table.pred, table.target, self.batch_size)

    def compute_where(self, chosen: Tensor) -> Mapping[str, Tensor]:
        """Return `legacy_scores` of the samples i with `chosen[i]`, a boolean (M,). All processes call it."""
        table = self.table().where(chosen)
        return legacy_scores(table.pred, table.target, self.batch_size)
