"""The closed-set planner: from two observations to logits over plans (PlanLLM without its LLM)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from leaplan.planning.states import StateEncoder
from leaplan.planning.steps import StepDecoder, StepRefiner


class PlannerOutput(NamedTuple):
    """Logits of a batch. B windows, T steps, N step classes, K tasks."""

    steps: Tensor  # (B, T, N)
    task: Tensor | None  # (B, K)


class Planner(nn.Module):
    """Start and goal in, one distribution over step classes per position out (PlanLLM, Eq. 1, 4, 11, 13, 14).

    Nothing but the two observations and the descriptions of *all* steps reaches the logits; the task is
    predicted from the observations and its prediction, never the truth, conditions the steps.

    Shapes: B windows, S observed seconds per side, D feature width, N classes, M sentences per class.

    Args:
        horizon: T.
        classes: N.
        tasks: K; 0 where there are no tasks.
        seconds: S.
        feature_width: D.
        text_width: Width of the description embeddings.
        width: E, width of the model.
        heads: Attention heads; E must be a multiple.
        layers: Layers of the step decoder and of the step refiner each.
        interaction_layers: Layers of the interaction of start and goal.
        dropout: In all layers behind the projections.
        feature_dropout: On the standardised features.
        feature_noise: Standard deviation of noise on the standardised features, in training.
        text_dropout: On the description embeddings.
        task_head: Predict the task and condition the steps on the prediction.
        direct_width: Hidden width of an MLP from the observations straight to the step logits, added to
            them; 0 leaves it out. On a few hundred windows it learns what attention is too slow for.
        direct_dropout: In that MLP.
    """

    def __init__(
        self,
        horizon: int,
        classes: int,
        tasks: int,
        seconds: int,
        feature_width: int,
        text_width: int,
        width: int = 128,
        heads: int = 32,
        layers: int = 2,
        interaction_layers: int = 2,
        dropout: float = 0.2,
        feature_dropout: float = 0.4,
        feature_noise: float = 0.0,
        text_dropout: float = 0.4,
        task_head: bool = True,
        direct_width: int = 0,
        direct_dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.horizon, self.classes = horizon, classes
        self.states = StateEncoder(
            feature_width, seconds, width, heads, interaction_layers, dropout, feature_dropout, feature_noise
        )
        self.text = nn.Sequential(nn.Dropout(text_dropout), nn.Linear(text_width, width, bias=False))
        self.decoder = StepDecoder(horizon, width, heads, layers, dropout)
        self.refiner = StepRefiner(width, heads, layers, dropout)
        self.classify = nn.Linear(width, classes)
        self.task = TaskHead(width, tasks, dropout) if task_head and tasks > 1 else None
        observed = 2 * seconds * feature_width
        self.direct = DirectPath(observed, horizon, classes, direct_width, direct_dropout) if direct_width else None

    def forward(self, start: Tensor, goal: Tensor, descriptions: Tensor) -> PlannerOutput:
        """Return logits from `start` and `goal` (B, S, D) and `descriptions` y (N, M, text width)."""
        seen = self.states.standardise(start, goal)  # (B, 2, S, D)
        states = self.states(seen)  # Eq. 1, 4: (B, 2 S, E)
        task = None
        if self.task is not None:
            task, known = self.task(states)  # (B, K), (B, 1, E)
            states = torch.cat([states, known], dim=1)  # (B, 2 S + 1, E)
        memory = self.text(descriptions).flatten(0, 1)  # (N M, E)
        steps = self.refiner(self.decoder(states), memory)  # Eq. 11, 13: (B, T, E)
        logits = self.classify(steps)  # Eq. 14: (B, T, N)
        if self.direct is not None:
            logits = logits + self.direct(seen)
        return PlannerOutput(logits, task)


class TaskHead(nn.Module):
    """Predict the task of a window, and turn the prediction into a token that the step decoder reads."""

    def __init__(self, width: int, tasks: int, dropout: float) -> None:
        super().__init__()
        self.predict = nn.Sequential(
            nn.Linear(2 * width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, tasks)
        )
        self.embed = nn.Linear(tasks, width, bias=False)

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Return task logits (B, K) and the token (B, 1, E) of the predicted distribution."""
        start, goal = states.unflatten(1, (2, -1)).mean(dim=2).unbind(dim=1)  # 2 x (B, E)
        logits = self.predict(torch.cat([start, goal], dim=-1))
        return logits, self.embed(logits.detach().softmax(dim=-1))[:, None]


class DirectPath(nn.Module):
    """An MLP from both observations to the logits of all positions."""

    def __init__(self, observed: int, horizon: int, classes: int, width: int, dropout: float) -> None:
        super().__init__()
        self.shape = (horizon, classes)
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(observed, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, horizon * classes),
        )

    def forward(self, seen: Tensor) -> Tensor:
        """Return logits (B, T, N) from standardised observations (B, 2, S, D)."""
        return self.layers(seen).unflatten(-1, self.shape)
