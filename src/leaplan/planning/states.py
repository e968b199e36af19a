"""What is seen: the start and the goal observation, and nothing between (PlanLLM, Eq. 1 and 4)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class Observation(nn.Module):
    """Bring start and goal features to one scale, and suppress how the place looks.

    Features of one video share a kitchen, a camera and a light. With few videos a planner learns these instead
    of the steps, so the directions in which videos of one task differ on average are shrunk: by
    1 / sqrt(1 + suppress * w) along an eigenvector of their covariance with eigenvalue w.

    Shapes: n training windows, B windows, S seconds, D feature width.

    Args:
        width: D.
        unit: Scale each feature vector to length one first.
        suppress: Strength; 0 leaves all directions as they are.
    """

    mean: Tensor
    scale: Tensor
    turn: Tensor

    def __init__(self, width: int, unit: bool = True, suppress: float = 0.0) -> None:
        super().__init__()
        self.unit, self.suppress = unit, suppress
        self.register_buffer("mean", torch.zeros(2, 1, width))
        self.register_buffer("scale", torch.ones(2, 1, width))
        self.register_buffer("turn", torch.eye(width).repeat(2, 1, 1) if suppress else torch.ones(2, 1, 1))

    def fit(self, start: Tensor, goal: Tensor, video: Tensor, task: Tensor) -> None:
        """Measure scale and place on training windows: start and goal (n, S, D), video and task (n,) of each."""
        seen = self._raw(start, goal)  # (n, 2, S, D)
        self.mean.copy_(seen.mean((0, 2))[:, None])
        self.scale.copy_(seen.std((0, 2), unbiased=False).clamp_min(1e-6)[:, None])
        if self.suppress:
            seen = (seen - self.mean) / self.scale
            for side in range(2):
                self.turn[side] = self._shrink_places(seen[:, side].mean(1), video, task)

    def _shrink_places(self, seen: Tensor, video: Tensor, task: Tensor) -> Tensor:
        """Return the symmetric matrix (D, D) that shrinks the differences between videos of one task."""
        videos, members = video.unique(return_inverse=True)
        means = torch.stack([seen[members == i].mean(0) for i in range(len(videos))])  # (V, D)
        tasks = torch.stack([task[members == i][0] for i in range(len(videos))])  # (V,)
        for each in tasks.unique():
            means[tasks == each] -= means[tasks == each].mean(0)
        covariance = (means.T @ means).double()
        power = 0.3 * len(covariance) / covariance.trace().clamp_min(1e-12)
        values, vectors = torch.linalg.eigh(covariance * power)
        shrunk = vectors / torch.sqrt(1 + self.suppress * values.clamp_min(0))
        turn = (shrunk @ vectors.T).float()
        return turn / (seen @ turn).std().clamp_min(1e-6)

    def _raw(self, start: Tensor, goal: Tensor) -> Tensor:
        seen = torch.stack([start, goal], dim=1)  # (B, 2, S, D)
        return normalize(seen, dim=-1) if self.unit else seen

    def forward(self, start: Tensor, goal: Tensor) -> Tensor:
        """Return observations (B, 2, S, D) of `start` and `goal` (B, S, D)."""
        seen = (self._raw(start, goal) - self.mean) / self.scale
        if not self.suppress:
            return seen
        sides = seen.transpose(0, 1).flatten(1, 2)  # (2, B S, D)
        return (sides @ self.turn).unflatten(1, (seen.shape[0], -1)).transpose(0, 1)  # (B, 2, S, D)


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
        feature_dropout: On the observations.
    """

    def __init__(
        self,
        feature_width: int,
        seconds: int,
        width: int,
        heads: int,
        layers: int = 2,
        dropout: float = 0.2,
        feature_dropout: float = 0.4,
    ) -> None:
        super().__init__()
        self.drop = nn.Dropout(feature_dropout)
        self.project = nn.Linear(feature_width, width)
        self.place = nn.Parameter(0.02 * torch.randn(2, seconds, width))  # start or goal, which second
        layer = nn.TransformerEncoderLayer(
            width, heads, width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.interact = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False) if layers else nn.Identity()

    def forward(self, seen: Tensor) -> Tensor:
        """Return states (B, 2 S, E), start first, from observations (B, 2, S, D)."""
        states = self.project(self.drop(seen)) + self.place  # Eq. 1: (B, 2, S, E)
        return self.interact(states.flatten(1, 2))  # Eq. 4: (B, 2 S, E)
