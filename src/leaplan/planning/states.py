"""What is seen: the start and the goal observation, and nothing between (PlanLLM, Eq. 1 and 4)."""

import torch
from torch import Tensor, nn


class StateEncoder(nn.Module):
    """Project the observations of start and goal and let them see one another (PlanLLM, Eq. 1 and 4).

    Shapes: B windows, S observed seconds on each side, D feature width, E model width.

    Args:
        feature_width: D.
        seconds: S; one vector per side in the paper.
        width: E.
        heads: Heads of the interaction.
        layers: Layers of the interaction; 0 leaves Eq. 4 out.
        dropout: In the interaction.
        feature_dropout: On the standardised features.
        feature_noise: Standard deviation of Gaussian noise on the standardised features, in training.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        feature_width: int,
        seconds: int,
        width: int,
        heads: int,
        layers: int = 2,
        dropout: float = 0.2,
        feature_dropout: float = 0.4,
        feature_noise: float = 0.0,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(2, feature_width))
        self.register_buffer("deviation", torch.ones(2, feature_width))
        self.feature_noise = feature_noise
        self.drop = nn.Dropout(feature_dropout)
        self.project = nn.Linear(feature_width, width)
        self.place = nn.Parameter(0.02 * torch.randn(2, seconds, width))  # start or goal, which second
        layer = nn.TransformerEncoderLayer(
            width, heads, width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.interact = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False) if layers else nn.Identity()

    def set_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Standardise with `mean` and `deviation` (2, D) of the training windows' start and goal."""
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)

    def standardise(self, start: Tensor, goal: Tensor) -> Tensor:
        """Return observations (B, 2, S, D), standardised, noisy and dropped out in training."""
        seen = torch.stack([start, goal], dim=1)  # (B, 2, S, D)
        seen = (seen - self.mean[:, None]) / self.deviation[:, None]
        if self.training and self.feature_noise:
            seen = seen + self.feature_noise * torch.randn_like(seen)
        return self.drop(seen)

    def forward(self, seen: Tensor) -> Tensor:
        """Return states (B, 2 S, E), start first, from standardised observations (B, 2, S, D)."""
        states = self.project(seen) + self.place  # Eq. 1: (B, 2, S, E)
        return self.interact(states.flatten(1, 2))  # Eq. 4: (B, 2 S, E)
