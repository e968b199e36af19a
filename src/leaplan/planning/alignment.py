"""Bring what is seen and what the true steps mean together (PlanLLM, Eq. 6 to 8).

Shapes: b windows of this process, G windows of all processes, T steps, P width of the common space.
"""

import math
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from leaplan.planning.qformer import StepQueries

LARGEST_SCALE = 100.0  # of similarities: a temperature of 0.01


def sequence_matches(plans: Tensor, all_plans: Tensor) -> Tensor:
    """Return which windows have the same steps in the same order (b, G), from `plans` (b, T) and (G, T).

    Such windows are positives of one another: most training windows share their plan with another one.
    """
    return (plans[:, None] == all_plans).all(-1)


def vlc_loss(similarity_vt: Tensor, similarity_tv: Tensor, positive: Tensor) -> Tensor:
    """Return L_VLC, a scalar: vision finds its text among all, and text its vision (Eq. 6).

    The printed ratio of sums is read per window and in both directions (InfoNCE); the target of a window is
    spread evenly over its positives.

    Args:
        similarity_vt: Scaled similarities (b, G) of local vision and all texts.
        similarity_tv: Scaled similarities (b, G) of local texts and all vision.
        positive: (b, G), at least one in each row.
    """
    target = positive.to(similarity_vt.dtype)
    target = target / target.sum(1, keepdim=True)
    return (cross_entropy(similarity_vt, target) + cross_entropy(similarity_tv, target)) / 2


def hard_negatives(similarity: Tensor, positive: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return for each row the most similar column that is not positive (b,), and whether there is one (b,).

    Args:
        similarity: (b, G).
        positive: (b, G).
        noise: (b, G); Gumbel noise turns the maximum into a draw from the softmax over the negatives.
    """
    scores = similarity.detach() if noise is None else similarity.detach() + noise
    return scores.masked_fill(positive, -torch.inf).argmax(1), ~positive.all(1)


def vlm_loss(logits: Tensor, exists: Tensor) -> Tensor:
    """Return L_VLM, a scalar: tell true pairs of vision and text from false ones (Eq. 7).

    The printed sum runs over all B² pairs; here over three per window, as the released code has it.

    Args:
        logits: Match logits (3, b) of a window's own pair, of its text with wrong vision, of its vision with
            wrong text.
        exists: (b,), whether the window has a negative. One that has none counts as 0: positives alone would
            teach the answer yes. It lacks one only if all G windows share one plan, so the mean over b needs
            no other divisor.
    """
    target = torch.zeros_like(logits)
    target[0] = 1
    each = binary_cross_entropy_with_logits(logits, target, reduction="none")  # (3, b)
    return each.where(exists, 0).mean()


class Alignment(nn.Module):
    """Contrast and match the step queries with the descriptions of the true steps: L_MIM = L_VLC + L_VLM (Eq. 8).

    In training with several processes, the windows of each are compared with those of all. Losses and gradients
    then average over processes to those of one process that has all windows, provided that each has equally many.
    In evaluation, where batches may be uneven, each process keeps to its own.

    Args:
        query_width: D_q, width of the step queries.
        text_width: Width of the description embeddings.
        width: P.
        temperature: Initial; learned. Similarities are divided by it.
        sample_negatives: While training, draw negatives in proportion to the softmax of their similarity;
            otherwise, and in evaluation, take the most similar.
    """

    def __init__(
        self,
        query_width: int,
        text_width: int,
        width: int = 256,
        temperature: float = 0.07,
        sample_negatives: bool = True,
    ) -> None:
        super().__init__()
        self.project_vision = nn.Linear(query_width, width, bias=False)
        self.project_text = nn.Linear(text_width, width, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        self.sample_negatives = sample_negatives

    def forward(
        self, step_queries: StepQueries, states: Tensor, queries: Tensor, text: Tensor, plans: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (L_VLC, L_VLM), two scalars.

        Args:
            step_queries: What made `queries`, and matches states with text.
            states: (b, C, E).
            queries: x^q (b, T, D_q).
            text: Embeddings of the descriptions of the true steps (b, T, text_width).
            plans: True steps (b, T).
        """
        with torch.no_grad():  # outside the graph, so that the limit can be left again
            self.log_scale.clamp_(max=math.log(LARGEST_SCALE))
        vision = self.vision(queries)  # (b, T, P)
        ours = (vision, text, states, plans)
        all_vision, all_text, all_states, all_plans = map(gather, ours) if self.training else ours  # (G, ...)
        positive = sequence_matches(plans, all_plans)  # (b, G)
        vision_to_text = self.similarity(vision, self.text(all_text))  # (b, G)
        text_to_vision = self.similarity(self.text(text), all_vision)  # (b, G)
        contrast = vlc_loss(vision_to_text, text_to_vision, positive)  # Eq. 6

        wrong_vision, exists = hard_negatives(text_to_vision, positive, self._noise(positive))
        wrong_text, _ = hard_negatives(vision_to_text, positive, self._noise(positive))
        logits = step_queries.match(
            torch.cat([states, all_states[wrong_vision], states]),
            torch.cat([text, text, all_text[wrong_text]]),
        )  # (3 b,)
        return contrast, vlm_loss(logits.view(3, -1), exists)  # Eq. 7

    def vision(self, queries: Tensor) -> Tensor:
        """Return unit vectors (..., P) of step queries (..., D_q)."""
        return normalize(self.project_vision(queries), dim=-1)

    def text(self, y: Tensor) -> Tensor:
        """Return unit vectors (..., P) of description embeddings (..., text_width)."""
        return normalize(self.project_text(y), dim=-1)

    def similarity(self, one: Tensor, other: Tensor) -> Tensor:
        """Return scaled similarities (b, G) of unit vectors (b, T, P) and (G, T, P).

        Step t is compared with step t, and the T cosines are averaged: our reading of s in Eq. 6.
        """
        return self.log_scale.exp() / one.shape[1] * one.flatten(1) @ other.flatten(1).T

    def classify(self, queries: Tensor, y: Tensor) -> Tensor:
        """Return logits (B, T, N) of any N labels for step queries (B, T, D_q), from M sentences on each label.

        A label is embedded as the true steps were in training: its sentences `y` (N, M, text_width) are averaged.
        """
        return self.log_scale.exp() * self.vision(queries) @ self.text(y.mean(1)).T

    def _noise(self, positive: Tensor) -> Tensor | None:
        if not (self.training and self.sample_negatives):
            return None
        return -torch.empty(positive.shape, device=positive.device).exponential_().log()  # Gumbel


def gather(rows: Tensor) -> Tensor:
    """Return the rows (G, ...) of all processes, in their order, from those of each (b, ...). Differentiable."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows
    return _Gather.apply(rows)


class _Gather(torch.autograd.Function):
    """Gather rows; the gradient of a row is the sum of what all processes did with it."""

    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        context.count = len(rows)
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(gradient)
        return gradient.split(context.count)[dist.get_rank()]
