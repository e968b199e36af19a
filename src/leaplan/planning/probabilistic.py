"""How well plans sampled from a model cover what people did: ModePrec, ModeRec, KL and NLL (P3IV's protocol).

The references of a sample are all test windows, with multiplicity, whose first and last steps are those of its
target, the sample itself included. Shapes: B samples, S draws, T steps, N step classes, M test windows.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from leaplan.training.persample import PerSampleMetric

SHARPNESS = 10.0  # frequencies are turned into distributions by softmax(10 * frequency)


class SampledPlanScores(NamedTuple):
    """Scores of every sample, (B,) float64."""

    mode_precision: Tensor  # share of draws that equal some reference
    mode_recall: Tensor  # share of references, with multiplicity, that occur among the draws
    kl: Tensor  # KL divergence from the references' step distribution to the draws', nats per step
    nll: Tensor  # cross entropy of the same, nats per step


def sampled_plan_scores(samples: Tensor, target: Tensor, references: Tensor, classes: int) -> SampledPlanScores:
    """Score draws `samples` (B, S, T) for targets (B, T) against `references` (M, T), all windows of the split.

    Raises:
        ValueError: The shapes do not fit, or a target has no reference (it must be one itself).
    """
    batch, draws, horizon = samples.shape
    if target.shape != (batch, horizon) or references.ndim != 2 or references.shape[1] != horizon or draws < 1:
        raise ValueError(
            f"samples are (B, S, T), target (B, T) and references (M, T), but got {tuple(samples.shape)}, "
            f"{tuple(target.shape)} and {tuple(references.shape)}"
        )
    group, member = _groups(target, references, classes)
    precision, recall = _modes(samples, target, references, member.eq(group[:, None]).sum(1), classes)
    true = _step_frequencies(references, member, int(group.max()) + 1 if batch else 0, classes)[group]
    row = torch.arange(batch, device=samples.device).repeat_interleave(draws)
    drawn = _step_frequencies(samples.reshape(-1, horizon), row, batch, classes)
    log_true, log_drawn = ((SHARPNESS * share).log_softmax(-1) for share in (true, drawn))
    cross_entropy = -(log_true.exp() * log_drawn).sum((1, 2)) / horizon
    entropy = -(log_true.exp() * log_true).sum((1, 2)) / horizon
    return SampledPlanScores(precision, recall, cross_entropy - entropy, cross_entropy)


def _groups(target: Tensor, references: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Number the end points of the targets: group (B,) of each target, and (M,) of each reference or -1."""
    ends, group = (target[:, 0] * classes + target[:, -1]).unique(return_inverse=True)
    own = references[:, 0] * classes + references[:, -1]
    if not len(ends):
        return group, torch.full_like(own, -1)
    place = torch.searchsorted(ends, own).clamp(max=len(ends) - 1)
    member = torch.where(ends[place] == own, place, -1)
    return group, member


def _modes(
    samples: Tensor, target: Tensor, references: Tensor, available: Tensor, classes: int
) -> tuple[Tensor, Tensor]:
    """ModePrec and ModeRec (B,); `available` (B,) is the number of references of each target."""
    if bool((available == 0).any()):
        missing = target[available == 0][0].tolist()
        raise ValueError(f"target {missing} is not among the references, which must be all windows of the split")
    batch, draws, horizon = samples.shape
    plans = _plan_ids(torch.cat([references, samples.reshape(-1, horizon)]), classes)
    reference_plans, drawn = plans[: len(references)], plans[len(references) :].reshape(batch, draws)
    distinct, multiplicity = reference_plans.unique(return_counts=True)
    place = torch.searchsorted(distinct, drawn).clamp(max=len(distinct) - 1)
    same_ends = (samples[:, :, 0] == target[:, None, 0]) & (samples[:, :, -1] == target[:, None, -1])
    hit = same_ends & (distinct[place] == drawn)  # a reference with these ends is one of this target
    found = torch.where(hit, place, -1).sort(1).values
    first = torch.ones_like(hit)
    first[:, 1:] = found[:, 1:] != found[:, :-1]
    recalled = torch.where(first & (found >= 0), multiplicity[found.clamp(min=0)], 0).sum(1)
    return hit.sum(1).double() / draws, recalled.double() / available


def _plan_ids(plans: Tensor, classes: int) -> Tensor:
    """Give equal plans (R, T) equal numbers (R,), and others others, for any N and T."""
    ids = plans[:, 0]
    for step in range(1, plans.shape[1]):
        ids = (ids * classes + plans[:, step]).unique(return_inverse=True)[1]
    return ids


def _step_frequencies(plans: Tensor, row: Tensor, rows: int, classes: int) -> Tensor:
    """Share (R, T, N) of the plans (P, T) of each row, named by `row` (P,) or -1, with class c at step t."""
    plans, row = plans[row >= 0], row[row >= 0]
    horizon = plans.shape[1]
    cell = (row[:, None] * horizon + torch.arange(horizon, device=plans.device)) * classes + plans
    counts = torch.bincount(cell.flatten(), minlength=rows * horizon * classes)
    counts = counts.reshape(rows, horizon, classes).double()
    return counts / counts.sum(-1, keepdim=True).clamp(min=1)


class SampledPlanMetrics(PerSampleMetric):
    """The means of `sampled_plan_scores` over a split, each sample once, on any number of processes.

    With draws that are a function of the sample (`chain.uniforms_of_samples`) they do not depend on batches.

    Args:
        references: (M, T), the targets of all windows of the split.
        classes: N.
        kwargs: Of `torchmetrics.Metric`.
    """

    def __init__(self, references: Tensor, classes: int, **kwargs: Any) -> None:
        super().__init__(columns=len(SampledPlanScores._fields), dtype=torch.float64, **kwargs)
        self.references, self.classes = references, classes

    def update(self, index: Tensor, samples: Tensor, target: Tensor) -> None:
        """Add draws `samples` (B, S, T) for the targets (B, T) at positions `index` (B,) of the split."""
        references = self.references.to(samples.device)
        self.append(index, torch.stack(sampled_plan_scores(samples, target, references, self.classes), dim=1))

    def compute(self) -> Mapping[str, Tensor]:
        """Return mode_precision, mode_recall, kl and nll over all samples of all processes."""
        means = self.unique_rows()[:, 1:].mean(0)
        return dict(zip(SampledPlanScores._fields, means, strict=True))
