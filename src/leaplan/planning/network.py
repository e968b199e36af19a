"""The planner: from two observations to logits over plans (PlanLLM, Eq. 1, 4, 5, 9 and 11 to 14)."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from leaplan.planning.attentive import AttentiveReader, Lesson, PlannerOutput
from leaplan.planning.direct import DirectReaders
from leaplan.planning.language import LanguageParts
from leaplan.planning.recall import RecallReader, SingleSteps
from leaplan.planning.states import Observation


class TrainingWindows(Protocol):
    """What a planner measures before it learns. n windows."""

    start: Tensor  # (n, S, D)
    goal: Tensor  # (n, S, D)
    steps: Tensor  # (n, T)
    task: Tensor  # (n,)
    video: Tensor  # (n,)


class Mixture(NamedTuple):
    """Windows mixed in pairs: `share` (B,) of each, the rest of the window at `order` (B,)."""

    share: Tensor
    order: Tensor

    def of(self, seen: Tensor) -> Tensor:
        """Return mixed observations of `seen` (B, ...)."""
        share = self.share.view(-1, *[1] * (seen.ndim - 1))
        return share * seen + (1 - share) * seen[self.order]


class Planner(nn.Module):
    """Start and goal in, one distribution over step classes per position out (PlanLLM).

    Nothing but the two observations and the descriptions of *all* steps reaches the logits. The task is
    predicted from the observations; its prediction, never the truth, conditions the steps.

    The paper's system is one reader of the observations, `attend`. On a few hundred windows others learn what
    attention is too slow for: `direct_readers` adds MLPs that go straight from the observations to the plan.

    Shapes: B windows, S observed seconds per side, D feature width, N classes, M sentences per class.

    Args:
        horizon: T.
        classes: N.
        tasks: K; 0 where there are no tasks.
        seconds: S.
        feature_width: D.
        text_width: Width of the description embeddings.
        language: A language model to read and write with (Eq. 9, 10); None leaves it out.
        width: E, width of the model.
        heads: Attention heads; E must be a multiple.
        layers: Layers of the step decoder, the knowledge fusion and the step refiner each; 0 leaves the paper's
            reader out.
        interaction_layers: Layers of the interaction of start and goal.
        dropout: In all layers behind the projections.
        feature_dropout: On the observations.
        text_dropout: On the description embeddings.
        task_head: Predict the task and condition the steps on the prediction.
        step_queries: Options of `StepQueries`, the Q-Former (Eq. 5); None leaves it and L_MIM (Eq. 6 to 8) out.
        fuse: Let the step decoder ask the language model (Eq. 12).
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
        language: LanguageParts | None = None,
        width: int = 128,
        heads: int = 32,
        layers: int = 2,
        interaction_layers: int = 2,
        dropout: float = 0.2,
        feature_dropout: float = 0.4,
        text_dropout: float = 0.4,
        task_head: bool = True,
        step_queries: dict[str, Any] | None = None,
        fuse: bool = True,
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
                horizon,
                classes,
                tasks,
                seconds,
                feature_width,
                text_width,
                language,
                width,
                heads,
                layers,
                interaction_layers,
                (dropout, feature_dropout, text_dropout),
                step_queries,
                fuse,
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

    def forward(self, start: Tensor, goal: Tensor, descriptions: Tensor) -> PlannerOutput:
        """Return logits from `start` and `goal` (B, S, D) and `descriptions` y (N, M, text width)."""
        seen = self.observe(start, goal)  # (B, 2, S, D)
        outputs = []
        if self.attend is not None:
            outputs.append(self.attend(seen, descriptions))
        if self.direct is not None:
            outputs.append(PlannerOutput(*self.direct(seen)))
        return PlannerOutput(*(torch.cat(parts) for parts in zip(*outputs, strict=True)))

    def log_emissions(self, start: Tensor, goal: Tensor, descriptions: Tensor) -> tuple[Tensor, PlannerOutput]:
        """Return the log-probabilities (B, T, N) that plans are decoded from, and each reader's logits."""
        output: PlannerOutput = self(start, goal, descriptions)
        readers = output.steps.log_softmax(-1).mean(0)  # (B, T, N)
        if self.recall is not None:
            recalled = self.recall(self.observe(start, goal).flatten(2)).log_softmax(-1)
            readers = (1 - self.recall_share) * readers + self.recall_share * recalled
        return readers.log_softmax(-1), output

    def learn(self, start: Tensor, goal: Tensor, descriptions: Tensor, steps: Tensor) -> Lesson | None:
        """Return what the paper's reader makes of windows whose true `steps` (B, T) are known: training only."""
        return None if self.attend is None else self.attend.learn(self.observe(start, goal), descriptions, steps)

    def learn_directly(self, start: Tensor, goal: Tensor, mixture: Mixture | None) -> PlannerOutput | None:
        """Return what direct readers make of `start`, `goal` (B, S, D), mixed in pairs if asked for: training only."""
        if self.direct is None:
            return None
        if mixture is not None:
            start, goal = mixture.of(start), mixture.of(goal)
        return PlannerOutput(*self.direct(self.observe(start, goal)))

    def align(self, start: Tensor, goal: Tensor, descriptions: Tensor, steps: Tensor) -> Tensor:
        """Return L_VLC and L_VLM (2,), all that the first stage of training learns from."""
        assert self.attend is not None
        return self.attend.align(self.observe(start, goal), descriptions, steps)
