"""What a recogniser learns from: L_AP = L_T + L_PC + L_CE (LEAP, arXiv 2312.00055; readings where it is silent).

Every loss is a sum and the number of things that it is a sum over, because the mean over all processes is not the
mean of their means: clips without a label or program count nowhere, and their number differs from process to process.

Shapes: N clips, W windows, K slots, P conditions; V = number of windows with a program.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from leaplan.recognition.chain import ChainConsistency
from leaplan.recognition.network import Recognition
from leaplan.recognition.program_head import ProgramLogits

IGNORED = -100
LOSSES = ("verb", "noun", "action", "program", "conditions", "chain")


class Average(NamedTuple):
    """A mean that is not divided yet."""

    sum: Tensor  # ()
    count: Tensor  # ()

    @property
    def value(self) -> Tensor:
        """The mean, a scalar; 0 over nothing."""
        return self.sum / self.count.clamp(min=1)


class Loss(NamedTuple):
    """What is minimised, and what it is made of."""

    total: Tensor  # ()
    parts: dict[str, Tensor]  # unweighted, detached; averaged over processes they are the global means


class RecogniserLoss(nn.Module):
    """All losses of a batch, by name: verb, noun, action (L_CE), program (L_T), conditions (L_PC), chain.

    Args:
        label_smoothing: Of L_CE.
        weights: By name, of the total: 1 where not told (LEAP adds unweighted). The official SlowFast of
            EPIC-KITCHENS takes 0.5 for verb and noun each. "chain" is left out unless `chain` is given.
        positive_weight: (2, P), see `positive_weights`.
        chain: Measures chain consistency; None leaves it out.
    """

    positive_weight: Tensor | None

    def __init__(
        self,
        label_smoothing: float = 0.0,
        weights: Mapping[str, float] | None = None,
        positive_weight: Tensor | None = None,
        chain: ChainConsistency | None = None,
    ) -> None:
        super().__init__()
        unknown = set(weights or {}) - set(LOSSES)
        if unknown:
            raise ValueError(f"no loss is called {', '.join(sorted(unknown))}; there are {', '.join(LOSSES)}")
        self.label_smoothing, self.weights, self.chain = label_smoothing, dict(weights or {}), chain
        self.register_buffer("positive_weight", positive_weight, persistent=False)

    def forward(self, seen: Recognition, batch: Mapping[str, Any]) -> dict[str, Average]:
        """Return the losses of what was `seen`; the same names for every batch.

        Args:
            seen: Logits of N clips.
            batch: Labels "verb", "noun", "step" (N,), -1 where there is none; "window_mask" (N, W); where programs
                were given "program": "verb", "first", "second", "mask" (N, W, K), "before", "after" (N, W, K, P) and
                "valid" (N, W).
        """
        labelled = (("verb", seen.verb, "verb"), ("noun", seen.noun, "noun"), ("action", seen.action, "step"))
        averages = {
            name: class_loss(logits, batch[label], self.label_smoothing)
            for name, logits, label in labelled
            if logits is not None
        }
        if seen.program is not None:
            averages |= self._of_programs(seen.program, batch)
        return averages

    def _of_programs(self, logits: ProgramLogits, batch: Mapping[str, Any]) -> dict[str, Average]:
        visible, program = batch["window_mask"], batch.get("program")
        if program is None:
            averages = {"program": nothing(logits), "conditions": nothing(logits)}
        else:
            valid = program["valid"] & program["mask"].any(-1) & visible
            averages = {
                "program": program_loss(logits, program, valid),
                "conditions": condition_loss(logits, program, valid, self.positive_weight),
            }
        if self.chain is not None:
            averages["chain"] = chain_loss(self.chain, logits, visible)
        return averages

    def combine(
        self, averages: Mapping[str, Average], counts: Mapping[str, Tensor] | None = None, processes: int = 1
    ) -> Loss:
        """Return `combine` with the weights of this loss."""
        return combine(averages, self.weights, counts, processes)


def class_loss(logits: Tensor, target: Tensor, label_smoothing: float = 0.0) -> Average:
    """Return L_CE of one kind of class: cross-entropy of logits (N, classes) where `target` (N,) is not -1."""
    labelled = target >= 0
    target = torch.where(labelled, target, IGNORED)
    each = F.cross_entropy(
        logits.float(), target, ignore_index=IGNORED, label_smoothing=label_smoothing, reduction="sum"
    )
    return Average(each, labelled.sum())


def program_loss(logits: ProgramLogits, program: Mapping[str, Tensor], valid: Tensor) -> Average:
    """Return L_T: cross-entropies of verb, A and B, each the mean over a program's slots, added.

    The slots are those with a sub-action; the verb also learns to stop in the one behind them, if there is one.

    Args:
        logits: Of W windows.
        program: Classes "verb", "first", "second" and "mask", each (N, W, K).
        valid: (N, W), which windows have a program.
    """
    mask = program["mask"] & valid[..., None]  # (N, W, K)
    each = _mean_cross_entropy(logits.verb, program["verb"], _with_stop(mask))
    each = each + _mean_cross_entropy(logits.first, program["first"], mask)
    each = each + _mean_cross_entropy(logits.second, program["second"], mask)
    return Average(each.sum(), valid.sum())


def condition_loss(
    logits: ProgramLogits, program: Mapping[str, Tensor], valid: Tensor, positive_weight: Tensor | None = None
) -> Average:
    """Return L_PC: binary cross-entropies of pre- and post-conditions, each the mean over a program's slots, added.

    Args:
        logits: Of W windows.
        program: "before", "after" (N, W, K, P) of 0 and 1, and "mask" (N, W, K).
        valid: (N, W), which windows have a program.
        positive_weight: (2, P) of pre- and post-conditions that hold; see `positive_weights`.
    """
    mask = program["mask"] & valid[..., None]  # (N, W, K)
    weights = (None, None) if positive_weight is None else positive_weight
    sums = []
    for predicted, name, weight in zip((logits.before, logits.after), ("before", "after"), weights, strict=True):
        each = F.binary_cross_entropy_with_logits(
            predicted.float(), program[name].float(), pos_weight=weight, reduction="none"
        )  # (N, W, K, P)
        sums.append(_mean_over(each.sum(-1) / max(1, each.shape[-1]), mask).sum())
    return Average(sums[0] + sums[1], valid.sum())


def chain_loss(chain: ChainConsistency, logits: ProgramLogits, visible: Tensor) -> Average:
    """Return how far predicted programs contradict themselves, over the windows in `visible` (N, W); no labels."""
    return Average(torch.where(visible, chain(logits), 0.0).sum(), visible.sum())


def count_conditions(program: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return in how many slots conditions hold (2, P), before and after, and the number of slots ().

    Args:
        program: "before", "after" (..., K, P) of 0 and 1, and "mask" (..., K). Counts of several batches add up.
    """
    mask = program["mask"]
    return torch.stack([program[name][mask].sum(0) for name in ("before", "after")]), mask.sum()


def positive_weights(held: Tensor, slots: Tensor, most: float = 20.0) -> Tensor:
    """Return weights (2, P) of conditions that hold: how many times more often they do not, from 1 to `most`.

    Args:
        held, slots: Of the training programs, see `count_conditions`.
        most: The cap. Without it a condition that holds once in the training set would drown all others.
    """
    return ((slots - held) / held.clamp(min=1)).clamp(1.0, most).float()


def nothing(logits: ProgramLogits) -> Average:
    """Return a loss over nothing that still reaches every part of `logits`: DDP waits for all gradients."""
    empty = torch.stack([each.flatten()[:0].float().sum() for each in logits])
    return Average(empty.sum(), torch.zeros((), dtype=torch.int64, device=empty.device))


def combine(
    averages: Mapping[str, Average],
    weights: Mapping[str, float] | None = None,
    counts: Mapping[str, Tensor] | None = None,
    processes: int = 1,
) -> Loss:
    """Return the weighted sum of `averages`, a loss that any number of processes agrees on.

    DDP averages gradients over processes. Each process therefore scales its sum by processes / global count, and the
    average is the gradient of the global mean, however unevenly labels and programs are spread.

    Args:
        averages: By name, such as "verb", of this process.
        weights: By name; 1 where not told.
        counts: The counts summed over all processes; those of this one if not given.
        processes: Their number.
    """
    parts = {}
    for name, average in averages.items():
        count = average.count if counts is None else counts[name]
        parts[name] = processes * average.sum / count.clamp(min=1)
    weighted = [part * (weights or {}).get(name, 1.0) for name, part in parts.items()]
    return Loss(torch.stack(weighted).sum(), {name: part.detach() for name, part in parts.items()})


def _with_stop(mask: Tensor) -> Tensor:
    """Return `mask` (..., K) with the first slot behind the sub-actions of each program, where there is a program."""
    length = mask.sum(-1, keepdim=True)
    slots = torch.arange(mask.shape[-1], device=mask.device)
    return (slots <= length) & (length > 0)


def _mean_cross_entropy(logits: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean (N, W) over the slots in `mask` of cross-entropies of logits (N, W, K, classes)."""
    chosen = torch.where(mask, target, IGNORED)
    each = F.cross_entropy(logits.float().movedim(-1, 1), chosen, ignore_index=IGNORED, reduction="none")
    return _mean_over(each, mask)


def _mean_over(each: Tensor, mask: Tensor) -> Tensor:
    """Return the mean (N, W) of `each` (N, W, K) over the slots in `mask`; 0 over none."""
    return torch.where(mask, each, 0.0).sum(-1) / mask.sum(-1).clamp(min=1)
