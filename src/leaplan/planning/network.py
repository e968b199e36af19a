"""The closed-set planner: from two observations to logits over plans (PlanLLM without its LLM)."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from leaplan.planning.direct import DirectReaders
from leaplan.planning.recall import RecallReader, SingleSteps
from leaplan.planning.states import Observation, StateEncoder
from leaplan.planning.steps import StepDecoder, StepRefiner


class PlannerOutput(NamedTuple):
    """What each reader makes of a batch. R readers, B windows, T steps, N step classes, K tasks."""

    steps: Tensor  # (R, B, T, N) logits
    task: Tensor  # (R, B, K) logits; K = 0 where no task is predicted


class TrainingWindows(Protocol):
    """What a planner measures before it learns. n windows."""

    start: Tensor  # (n, S, D)
    goal: Tensor  # (n, S, D)
    steps: Tensor  # (n, T)
    task: Tensor  # (n,)
    video: Tensor  # (n,)


class Planner(nn.Module):
    """Start and goal in, one distribution over step classes per position out (PlanLLM, Eq. 1, 4, 11, 13, 14).

    Nothing but the two observations and the descriptions of *all* steps reaches the logits. The task is
    predicted from the observations; its prediction, never the truth, conditions the steps.

    The paper's decoder is one reader of the observations. On a few hundred windows others learn what attention is
    too slow for: `direct_readers` adds MLPs that go straight from the observations to the plan.

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
        layers: Layers of the step decoder and of the step refiner each; 0 leaves the decoder out.
        interaction_layers: Layers of the interaction of start and goal.
        dropout: In all layers behind the projections.
        feature_dropout: On the observations.
        text_dropout: On the description embeddings.
        task_head: Predict the task and condition the steps on the prediction.
        unit_features: Scale each feature vector to length one.
        suppress_places: Strength with which differences between videos of one task are shrunk; see `Observation`.
        direct_readers: Number of MLP readers.
        direct_width: Their hidden width.
        recall_share: Weight, 0 to 1, of a kernel regression on the stored training windows in the log-probabilities
            that plans are decoded from; see `RecallReader`. It is solved in closed form before training.
        recall_options: Options of `RecallReader`.
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
        text_dropout: float = 0.4,
        task_head: bool = True,
        unit_features: bool = False,
        suppress_places: float = 0.0,
        direct_readers: int = 0,
        direct_width: int = 384,
        recall_share: float = 0.0,
        recall_options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not layers and not direct_readers:
            raise ValueError("a planner needs a decoder (layers > 0) or direct readers")
        tasks = tasks if task_head and tasks > 1 else 0
        self.observe = Observation(feature_width, unit_features, suppress_places)
        self.attend = (
            AttentiveReader(
                StateEncoder(feature_width, seconds, width, heads, interaction_layers, dropout, feature_dropout),
                TaskHead(width, tasks, dropout) if tasks else None,
                nn.Sequential(nn.Dropout(text_dropout), nn.Linear(text_width, width, bias=False)),
                StepDecoder(horizon, width, heads, layers, dropout),
                StepRefiner(width, heads, layers, dropout),
                nn.Linear(width, classes),
            )
            if layers
            else None
        )
        observed = 2 * seconds * feature_width
        self.direct = (
            DirectReaders(observed, horizon, classes, tasks, direct_readers, direct_width) if direct_readers else None
        )

        self.recall_share = recall_share
        self.recall = RecallReader(horizon, classes, **(recall_options or {})) if recall_share else None

    def fit(self, training: TrainingWindows, singles: Callable[[], SingleSteps | None]) -> None:
        """Measure what is measured and solve what is solved on the training windows before learning begins.

        Args:
            training: The training windows.
            singles: Gives the single steps of the training videos; called only where they are used.
        """
        self.observe.fit(training.start, training.goal, training.video, training.task)
        if self.recall is not None:
            seen = self.observe(training.start, training.goal).flatten(2)  # (n, 2, S D)
            steps = singles() if self.recall.boundary_weight else None
            single_seen = None if steps is None else self.observe(steps.start, steps.goal).flatten(2)
            self.recall.fit(seen, training.steps, steps, single_seen)

    @property
    def learns_from(self) -> list[str]:
        """What of the training videos reaches the weights, for the protocol of a result."""
        singles = self.recall is not None and self.recall.boundary_weight > 0
        return ["windows of the horizon", *(["single steps of the same videos"] if singles else [])]

    def log_emissions(self, start: Tensor, goal: Tensor, descriptions: Tensor) -> tuple[Tensor, PlannerOutput]:
        """Return the log-probabilities (B, T, N) that plans are decoded from, and each reader's logits."""
        output: PlannerOutput = self(start, goal, descriptions)
        readers = output.steps.log_softmax(-1).mean(0)  # (B, T, N)
        if self.recall is not None:
            recalled = self.recall(self.observe(start, goal).flatten(2)).log_softmax(-1)
            readers = (1 - self.recall_share) * readers + self.recall_share * recalled
        return readers.log_softmax(-1), output

    def forward(self, start: Tensor, goal: Tensor, descriptions: Tensor) -> PlannerOutput:
        """Return logits from `start` and `goal` (B, S, D) and `descriptions` y (N, M, text width)."""
        seen = self.observe(start, goal)  # (B, 2, S, D)
        outputs = []
        if self.attend is not None:
            outputs.append(self.attend(seen, descriptions))
        if self.direct is not None:
            outputs.append(PlannerOutput(*self.direct(seen)))
        return PlannerOutput(*(torch.cat(parts) for parts in zip(*outputs, strict=True)))


class AttentiveReader(nn.Module):
    """The paper's planner: states, step decoder, step refiner, classifier."""

    def __init__(
        self,
        states: StateEncoder,
        task: "TaskHead | None",
        text: nn.Module,
        decoder: StepDecoder,
        refiner: StepRefiner,
        classify: nn.Linear,
    ) -> None:
        super().__init__()
        self.states, self.task, self.text = states, task, text
        self.decoder, self.refiner, self.classify = decoder, refiner, classify

    def forward(self, seen: Tensor, descriptions: Tensor) -> PlannerOutput:
        """Return the logits of one reader from observations (B, 2, S, D) and y (N, M, text width)."""
        states = self.states(seen)  # Eq. 1, 4: (B, 2 S, E)
        task = states.new_zeros(len(states), 0)
        if self.task is not None:
            task, token = self.task(states)  # (B, K), (B, 1, E)
            states = torch.cat([states, token], dim=1)  # (B, 2 S + 1, E)
        memory = self.text(descriptions).flatten(0, 1)  # (N M, E)
        steps = self.refiner(self.decoder(states), memory)  # Eq. 11, 13: (B, T, E)
        return PlannerOutput(self.classify(steps)[None], task[None])  # Eq. 14


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
