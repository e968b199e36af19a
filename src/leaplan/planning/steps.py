"""Step decoder, knowledge fusion and step refiner (PlanLLM, Eq. 11, 12 and 13)."""

import torch
from torch import Tensor, nn

from leaplan.planning.attention import DecoderLayer


class StepDecoder(nn.Module):
    """T learned queries read what is seen (PlanLLM, Eq. 11).

    Shapes: B windows, T steps, C context tokens, E width.
    """

    def __init__(self, horizon: int, width: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.queries = nn.Parameter(0.02 * torch.randn(horizon, width))
        self.layers = nn.ModuleList(DecoderLayer(width, heads, dropout) for _ in range(layers))

    def forward(self, context: Tensor) -> Tensor:
        """Return step representations r^SD (B, T, E) from `context` (B, C, E): states and step queries."""
        steps = self.queries.expand(context.shape[0], -1, -1)  # (B, T, E)
        for layer in self.layers:
            steps = layer(steps, context)  # Eq. 11
        return steps


class KnowledgeFusion(nn.Module):
    """Step representations ask a language model what it makes of the same observations (PlanLLM, Eq. 12).

    Shapes: B windows, T steps, H width of the language model, E width.
    """

    def __init__(self, language_width: int, width: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.LayerNorm(language_width), nn.Linear(language_width, width))
        self.layers = nn.ModuleList(DecoderLayer(width, heads, dropout) for _ in range(layers))

    def forward(self, steps: Tensor, hidden: Tensor) -> Tensor:
        """Return fused steps r^KF (B, T, E) from `steps` r^SD (B, T, E) and `hidden` states h (B, T, H)."""
        knowledge = self.project(hidden)  # (B, T, E)
        for layer in self.layers:
            steps = layer(steps, knowledge)  # Eq. 12
        return steps


class StepRefiner(nn.Module):
    """Refine step representations with the descriptions of all steps (PlanLLM, Eq. 13).

    Shapes: B windows, T steps, M description sentences of all classes together, E width.
    """

    def __init__(self, width: int, heads: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, steps: Tensor, descriptions: Tensor) -> Tensor:
        """Return refined steps r^SR (B, T, E) from `steps` (B, T, E) and `descriptions` (M, E)."""
        for layer in self.layers:
            steps = layer(steps, descriptions)  # Eq. 13, one memory for the batch
        return self.norm(steps)
