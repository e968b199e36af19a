"""Plans read straight off the two observations: what a few hundred windows can teach, beside attention."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu


class DirectReaders(nn.Module):
    """Several small MLPs from both observations to plan and task, run as one batched product.

    They share their training batches and differ in their start and in what dropout hides from them; each has its
    own loss, and their log-probabilities are averaged.

    Shapes: R readers, B windows, T steps, N classes, K tasks.

    Args:
        observed: Numbers observed of a window, 2 S D.
        horizon, classes, tasks: T, N, K; K may be 0.
        readers: R.
        width: Hidden width.
        input_dropout, hidden_dropout: What is hidden from each reader in training.
    """

    def __init__(
        self,
        observed: int,
        horizon: int,
        classes: int,
        tasks: int,
        readers: int,
        width: int,
        input_dropout: float = 0.3,
        hidden_dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.horizon, self.classes, self.tasks = horizon, classes, tasks
        self.input_dropout, self.hidden_dropout = input_dropout, hidden_dropout
        self.hidden_weight = nn.Parameter(_uniform(readers, observed, width))
        self.hidden_bias = nn.Parameter(torch.zeros(readers, 1, width))
        self.output_weight = nn.Parameter(_uniform(readers, width, horizon * classes + tasks))
        self.output_bias = nn.Parameter(torch.zeros(readers, 1, horizon * classes + tasks))

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return step logits (R, B, T, N) and task logits (R, B, K) from observations (B, 2, S, D)."""
        flat = seen.flatten(1).expand(len(self.hidden_weight), -1, -1)  # (R, B, 2 S D)
        flat = dropout(flat, self.input_dropout, self.training)
        hidden = gelu(torch.baddbmm(self.hidden_bias, flat, self.hidden_weight))
        hidden = dropout(hidden, self.hidden_dropout, self.training)
        output = torch.baddbmm(self.output_bias, hidden, self.output_weight)
        steps, task = output.split([self.horizon * self.classes, self.tasks], dim=-1)
        return steps.unflatten(-1, (self.horizon, self.classes)), task


def _uniform(readers: int, inputs: int, outputs: int) -> Tensor:
    return (2 * torch.rand(readers, inputs, outputs) - 1) / math.sqrt(inputs)
