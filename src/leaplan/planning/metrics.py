"""How good plans are: success rate, accuracy, set IoU and the rest, for a batch and for a whole split.

Every score exists twice: as a function of `(pred, target)`, and in `PlanMetrics`, which collects a split over
batches and processes. Both count per sample in integers and divide once in float64, so a score is the same
number, to the last bit, for any batch size, order, device and number of processes. All scores are fractions
from 0 to 1. `mean_iou` is the mean over samples of the IoU of step sets; the three other "mIoU" of published
tables are in `legacy`.

Plans are int64 tensors (B, L) of step ids. A plan shorter than L ends in `PAD`. Predictions may be shorter or
longer than the target: success needs equal length, accuracy counts missing steps as wrong.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from leaplan.planning.counting import PAD as PAD
from leaplan.planning.counting import PlanCounts, count_plans
from leaplan.training.persample import PerSampleMetric


def success_rate(pred: Tensor, target: Tensor) -> Tensor:
    """SR: share of plans (B, L) that equal their target (B, T) in every step and in length."""
    return _success_rate(count_plans(pred, target))


def mean_accuracy(pred: Tensor, target: Tensor) -> Tensor:
    """mAcc: share of all target steps (B, T) that are predicted at their position (a micro average)."""
    return _mean_accuracy(count_plans(pred, target))


def mean_iou(pred: Tensor, target: Tensor) -> Tensor:
    """mIoU: mean over samples of |P & G| / |P | G|, with P and G the step sets of plans (B, L) and (B, T)."""
    return _mean_iou(count_plans(pred, target))


def edit_score(pred: Tensor, target: Tensor) -> Tensor:
    """Mean over plans (B, L) and targets (B, T) of 1 - Levenshtein / length of the longer plan."""
    return _edit_score(count_plans(pred, target))


def step_accuracy(pred: Tensor, target: Tensor) -> Tensor:
    """Accuracy (T,) of each position: share of samples whose step is right there."""
    return _step_accuracy(count_plans(pred, target))


def accuracy_at_k(logits: Tensor, target: Tensor, k: int = 5) -> Tensor:
    """Acc@k: share of target steps (B, T) among the k largest of `logits` (B, T, N); k is clipped to N."""
    return _accuracy_at_k(target_rank(logits, target), target >= 0, k)


def macro_precision(pred: Tensor, target: Tensor) -> Tensor:
    """Mean over the classes in `pred` (B, L) and `target` (B, T) of #(pred = c and target = c) / #(pred = c).

    A class that is never predicted gives 0; positions beyond the target's length do not count. P3IV calls this
    number "mean category accuracy".
    """
    width = min(pred.shape[1], target.shape[1])
    pred, target = pred[:, :width].reshape(-1), target[:, :width].reshape(-1)
    pred, target = pred[target >= 0], target[target >= 0]
    classes = 1 + max((int(ids.max()) for ids in (pred, target) if len(ids)), default=0)
    predicted = torch.bincount(pred[pred >= 0], minlength=classes)
    right = torch.bincount(pred[pred == target], minlength=classes)
    present = (predicted > 0) | (torch.bincount(target, minlength=classes) > 0)
    ratios = right[present].double() / predicted[present].clamp(min=1)
    return ratios.sort().values.mean()  # sorted, so that the numbering of the classes cannot matter


def target_rank(logits: Tensor, target: Tensor) -> Tensor:
    """Rank (B, T) of the target class among `logits` (B, T, N), 0 for the best.

    The order is by descending logit, then by ascending id.
    A padded target and a target whose logit is NaN get rank N, beyond every k.
    """
    classes = logits.shape[-1]
    ids = torch.arange(classes, device=logits.device)
    own_id = target.clamp(min=0)[..., None]
    own = logits.gather(-1, own_id)
    ahead = (logits > own) | ((logits == own) & (ids < own_id))
    known = (target >= 0) & ~own[..., 0].isnan()
    return torch.where(known, ahead.sum(-1), classes)


def plan_scores(
    pred: Tensor, target: Tensor, rank: Tensor | None = None, top: Sequence[int] = (5,)
) -> dict[str, Tensor]:
    """Return all scores of plans `pred` (B, L) against `target` (B, T) as float64 scalars; NaN if B is 0.

    Args:
        pred, target: Plans.
        rank: Ranks (B, T) of the targets (see `target_rank`), for Acc@k.
        top: The k of Acc@k.
    """
    counts = count_plans(pred, target)
    scores = {
        "success_rate": _success_rate(counts),
        "mean_accuracy": _mean_accuracy(counts),
        "mean_iou": _mean_iou(counts),
        "edit_score": _edit_score(counts),
        "macro_precision": macro_precision(pred, target),
    }
    scores |= {f"step_accuracy_{t}": value for t, value in enumerate(_step_accuracy(counts), start=1)}
    if rank is not None:
        scores |= {f"accuracy_at_{k}": _accuracy_at_k(rank, target >= 0, k) for k in top}
    return scores


def _success_rate(counts: PlanCounts) -> Tensor:
    return counts.exact.sum().double() / len(counts.exact)


def _mean_accuracy(counts: PlanCounts) -> Tensor:
    return counts.right.sum().double() / counts.valid.sum()


def _mean_iou(counts: PlanCounts) -> Tensor:
    return _mean_of_ratios(counts.intersection, counts.union)


def _edit_score(counts: PlanCounts) -> Tensor:
    return _mean_of_ratios(counts.longest - counts.distance, counts.longest)


def _step_accuracy(counts: PlanCounts) -> Tensor:
    return counts.right.sum(0).double() / counts.valid.sum(0)


def _accuracy_at_k(rank: Tensor, valid: Tensor, k: int) -> Tensor:
    if k < 1:
        raise ValueError(f"accuracy at k needs k >= 1, but k is {k}")
    return ((rank < k) & valid).sum().double() / valid.sum()


def _mean_of_ratios(numerators: Tensor, denominators: Tensor) -> Tensor:
    """Mean of integer ratios (B,), summed per denominator first, so that their order cannot matter."""
    largest = int(denominators.max()) if len(denominators) else 0
    values = torch.arange(1, 1 + largest, device=denominators.device)
    sums = torch.where(denominators[:, None] == values, numerators[:, None], 0).sum(0)
    return (sums.double() / values).sum() / len(numerators)


class PlanTable(NamedTuple):
    """The plans of a split, once per sample, in the order of their index. On the CPU."""

    index: Tensor  # (M,) position in the split
    pred: Tensor  # (M, L)
    target: Tensor  # (M, T)
    rank: Tensor | None  # (M, T) rank of the targets' logits, None where no logits were given

    def where(self, chosen: Tensor) -> "PlanTable":
        """Return the samples i with `chosen[i]`, a boolean (M,) over the split."""
        keep = chosen.cpu()[self.index]
        return PlanTable(*(None if column is None else column[keep] for column in self))  # type: ignore[arg-type]

    def scores(self, top: Sequence[int] = (5,)) -> dict[str, Tensor]:
        """Return `plan_scores` of the table."""
        return plan_scores(self.pred, self.target, self.rank, top)


class PlanMetrics(PerSampleMetric):
    """All scores of `plan_scores` over a split, exact on any number of processes.

    Samples are known by their index in the split: one that comes twice (a sampler that pads) counts once.

    Args:
        horizon: T, number of steps of a target.
        top: The k of Acc@k, which needs `logits` in every update.
        longest: L, the length of the longest prediction; the horizon if not given.
        kwargs: Of `torchmetrics.Metric`.

    Example:
        >>> metric = PlanMetrics(horizon=3)
        >>> metric.update(index, viterbi(emissions, transitions)[0], steps)
        >>> metric.compute()["success_rate"], metric.compute_where(seen_in_training)["success_rate"]
    """

    higher_is_better = True

    def __init__(self, horizon: int, top: Sequence[int] = (5,), longest: int | None = None, **kwargs: Any) -> None:
        self.horizon, self.top = horizon, tuple(top)
        self.longest = horizon if longest is None else longest
        super().__init__(columns=2 * horizon + self.longest, dtype=torch.int64, **kwargs)

    def update(self, index: Tensor, pred: Tensor, target: Tensor, logits: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            index: (B,) int64, position of each sample in the split.
            pred: (B, <= L) step ids.
            target: (B, T) step ids.
            logits: (B, T, N), for Acc@k.

        Raises:
            ValueError: The shapes do not fit.
        """
        if target.shape[1:] != (self.horizon,) or pred.ndim != 2 or pred.shape[1] > self.longest:
            raise ValueError(
                f"pred is {tuple(pred.shape)} and target {tuple(target.shape)}, "
                f"but a plan has at most {self.longest} and a target {self.horizon} steps"
            )
        rank = torch.full_like(target, PAD) if logits is None else target_rank(logits, target)
        padded = F.pad(pred, (0, self.longest - pred.shape[1]), value=PAD)
        self.append(index, torch.cat([target, rank, padded], dim=1))

    def compute(self) -> Mapping[str, Tensor]:
        """Return the scores of all samples of all processes."""
        return self._read(self.unique_rows()).scores(self.top)

    def compute_where(self, chosen: Tensor) -> Mapping[str, Tensor]:
        """Return the scores of the samples i with `chosen[i]`. All processes call it."""
        return self.table().where(chosen).scores(self.top)

    def table(self) -> PlanTable:
        """Return the plans of all processes. All processes call it."""
        return self._read(self.gathered_rows())

    def _read(self, rows: Tensor) -> PlanTable:
        index, target, rank, pred = rows.split([1, self.horizon, self.horizon, self.longest], dim=1)
        known = len(rows) > 0 and bool((rank != PAD).any())
        return PlanTable(index[:, 0], pred, target, rank if known else None)
