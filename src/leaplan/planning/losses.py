"""What a planner learns from (PlanLLM, Eq. 14 and 15, and the likelihood of whole plans).

Shapes: R readers, B windows, T steps, N step classes, K tasks.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from leaplan.planning.attentive import Lesson, PlannerOutput
from leaplan.planning.chain import crf_negative_log_likelihood
from leaplan.planning.network import Mixture


@dataclass(frozen=True, slots=True)
class PlannerLoss:
    """L = L_MIM + L_ASC + L_SD (Eq. 15), each with its weight, and the losses of the readers beside the paper's.

    Args:
        label_smoothing: Of the step and task cross-entropies.
        focal: γ of the focal step loss.
        step, task, plan: Weights of the losses of every reader: L_SD, `task_loss`, `plan_loss`.
        alignment, similarity, caption: Weights of the losses of the paper's reader alone: L_MIM, the cross-entropy of
            step queries against all descriptions, L_ASC.
    """

    label_smoothing: float
    focal: float
    step: float
    task: float
    plan: float
    alignment: float
    similarity: float
    caption: float

    def of_lesson(self, lesson: Lesson, steps: Tensor, task: Tensor, log_transitions: Tensor) -> Tensor:
        """Return the loss, a scalar, of the paper's reader; true `steps` (B, T) and `task` (B,), transitions (N, N)."""
        total = self.of_readers(lesson.output, steps, task, log_transitions).mean()  # Eq. 14
        if lesson.alignment is not None:
            total = total + self.alignment * lesson.alignment.sum()  # Eq. 8
        if lesson.similarity is not None:
            total = total + self.similarity * step_loss(lesson.similarity[None], steps).mean()
        if lesson.caption is not None:
            total = total + self.caption * lesson.caption.mean()  # Eq. 10
        return total

    def of_direct(
        self, output: PlannerOutput, mixture: Mixture | None, steps: Tensor, task: Tensor, log_transitions: Tensor
    ) -> Tensor:
        """Return the loss, a scalar, of direct readers, which may have seen windows mixed in pairs; as `of_lesson`."""
        loss = self.of_readers(output, steps, task, log_transitions)  # (R, B)
        if mixture is not None:
            other = self.of_readers(output, steps[mixture.order], task[mixture.order], log_transitions)
            loss = mixture.share * loss + (1 - mixture.share) * other
        return loss.mean(-1).sum()  # readers share nothing

    def of_readers(self, output: PlannerOutput, steps: Tensor, task: Tensor, log_transitions: Tensor) -> Tensor:
        """Return the loss of each reader and window (R, B); arguments as of `of_lesson`."""
        loss = self.step * step_loss(output.steps, steps, self.label_smoothing, self.focal)
        if output.task.shape[-1]:
            loss = loss + self.task * task_loss(output.task, task, self.label_smoothing)
        if self.plan:
            loss = loss + self.plan * plan_loss(output.steps, steps, log_transitions)
        return loss


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
