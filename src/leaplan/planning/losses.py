"""What a planner learns from (PlanLLM, Eq. 14, and the likelihood of whole plans).

Shapes: R readers, B windows, T steps, N step classes, K tasks. Losses come for each reader and window (R, B);
`PlanningModule` takes the mean over windows and adds the readers, which share nothing.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from leaplan.planning.chain import crf_negative_log_likelihood


def step_loss(logits: Tensor, steps: Tensor, label_smoothing: float = 0.0, focal: float = 0.0) -> Tensor:
    """Return L_SD (R, B): cross-entropy of logits (R, B, T, N) and true steps (B, T), mean over T (Eq. 14).

    Args:
        logits, steps: As above.
        label_smoothing: Share of the target that is spread over all classes.
        focal: γ; each step is weighted by (1 - p)^γ, p the probability of its true class, not differentiated.
    """
    readers = len(logits)
    flat, target = logits.flatten(0, 2), steps.expand(readers, -1, -1).flatten()  # (R B T, N), (R B T)
    each = cross_entropy(flat, target, label_smoothing=label_smoothing, reduction="none")
    if focal:
        certainty = torch.exp(-cross_entropy(flat.detach(), target, reduction="none"))
        each = (1 - certainty) ** focal * each
    return each.view(readers, *steps.shape).mean(-1)


def task_loss(logits: Tensor, task: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the cross-entropy (R, B) of task logits (R, B, K) and true tasks (B,)."""
    readers = len(logits)
    each = cross_entropy(
        logits.flatten(0, 1),
        task.expand(readers, -1).flatten(),
        ignore_index=-1,
        label_smoothing=label_smoothing,
        reduction="none",
    )
    return each.view(readers, -1)


def plan_loss(logits: Tensor, steps: Tensor, log_transitions: Tensor) -> Tensor:
    """Return the negative log-likelihood (R, B) per step of true plans (B, T) under a chain.

    This is Viterbi decoding made differentiable: logits (R, B, T, N) are trained together with the transitions
    (N, N) that the decoder uses.
    """
    readers = len(logits)
    each = crf_negative_log_likelihood(logits.flatten(0, 1), log_transitions, steps.repeat(readers, 1))
    return each.view(readers, -1) / steps.shape[1]
