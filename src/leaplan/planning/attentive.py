"""The paper's planner: states, step queries, language model, step decoder, fusion, refiner, classifier.

PlanLLM, Eq. 1, 4, 5, 9 and 11 to 14. Shapes: B windows, S observed seconds per side, D feature width, T steps,
N step classes, M sentences per class, K tasks, E model width, Q width of the step queries, H width of the language
model.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from leaplan.planning.alignment import Alignment
from leaplan.planning.language import LanguageParts, PlanLanguage
from leaplan.planning.qformer import StepQueries
from leaplan.planning.states import StateEncoder
from leaplan.planning.steps import KnowledgeFusion, StepDecoder, StepRefiner


class PlannerOutput(NamedTuple):
    """What each reader makes of a batch. R readers."""

    steps: Tensor  # (R, B, T, N) logits
    task: Tensor  # (R, B, K) logits; K = 0 where no task is predicted


class Lesson(NamedTuple):
    """What training learns from, of windows whose true steps are known."""

    output: PlannerOutput
    alignment: Tensor | None  # (2,) L_VLC and L_VLM
    similarity: Tensor | None  # (B, T, N) logits of the step queries against all descriptions
    caption: Tensor | None  # (B,) L_ASC


class AttentiveReader(nn.Module):
    """States, step queries, language model, step decoder, knowledge fusion, step refiner, classifier.

    Args: as of `Planner`; `dropouts` are those of the layers, the observations and the descriptions.
    """

    def __init__(
        self,
        horizon: int,
        classes: int,
        tasks: int,
        seconds: int,
        feature_width: int,
        text_width: int,
        language: LanguageParts | None,
        width: int,
        heads: int,
        layers: int,
        interaction_layers: int,
        dropouts: tuple[float, float, float],
        step_queries: dict[str, Any] | None,
        fuse: bool,
    ) -> None:
        super().__init__()
        dropout, feature_dropout, text_dropout = dropouts
        self.states = StateEncoder(feature_width, seconds, width, heads, interaction_layers, dropout, feature_dropout)
        self.task = TaskHead(width, tasks, dropout) if tasks else None
        self.text = nn.Sequential(nn.Dropout(text_dropout), nn.Linear(text_width, width, bias=False))
        self.decoder = StepDecoder(horizon, width, heads, layers, dropout)
        self.refiner = StepRefiner(width, heads, layers, dropout)
        self.classify = nn.Linear(width, classes)

        self.queries: StepQueries | None = None
        query_width = 0
        if step_queries is not None:
            self.queries = StepQueries(horizon, width, text_width, **step_queries)
            query_width = self.queries.width
            self.alignment = Alignment(query_width, text_width)
            self.show_queries = nn.Sequential(nn.LayerNorm(query_width), nn.Linear(query_width, width))
        self.language = PlanLanguage(language, horizon, width, query_width) if language is not None else None
        self.fusion: KnowledgeFusion | None = None
        if self.language is not None and fuse:
            self.fusion = KnowledgeFusion(self.language.model.width, width, heads, layers, dropout)

    def forward(self, seen: Tensor, descriptions: Tensor) -> PlannerOutput:
        """Return the logits of one reader from observations (B, 2, S, D) and y (N, M, text width)."""
        states, queries = self.perceive(seen)
        hidden = self.language(states, queries) if self.language is not None and self.fusion is not None else None
        return self._decide(states, queries, hidden, descriptions)

    def perceive(self, seen: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return states x^v (B, 2 S, E) and step queries x^q (B, T, Q), which no text has touched."""
        states = self.states(seen)  # Eq. 1, 4
        return states, None if self.queries is None else self.queries(states)  # Eq. 5

    def _decide(
        self, states: Tensor, queries: Tensor | None, hidden: Tensor | None, descriptions: Tensor
    ) -> PlannerOutput:
        """Return logits from what was perceived and h (B, T, H), what the language model made of it."""
        context = [states] if queries is None else [states, self.show_queries(queries)]
        task = states.new_zeros(states.shape[0], 0)
        if self.task is not None:
            task, token = self.task(states)  # (B, K), (B, 1, E)
            context.append(token)
        steps = self.decoder(torch.cat(context, dim=1))  # Eq. 11: (B, T, E)
        if self.fusion is not None and hidden is not None:
            steps = self.fusion(steps, hidden)  # Eq. 12
        steps = self.refiner(steps, self.text(descriptions).flatten(0, 1))  # Eq. 13
        return PlannerOutput(self.classify(steps)[None], task[None])  # Eq. 14

    def learn(self, seen: Tensor, descriptions: Tensor, steps: Tensor) -> Lesson:
        """Return logits as `forward` does, and the losses that need the true `steps` (B, T): training only."""
        states, queries = self.perceive(seen)
        alignment, similarity, hidden, caption = None, None, None, None
        if queries is not None:
            alignment = self._align(states, queries, descriptions, steps)
            similarity = self.alignment.classify(queries, descriptions)
        if self.language is not None:
            hidden, caption = self.language.learn(states, queries, steps)  # Eq. 9, 10
        return Lesson(self._decide(states, queries, hidden, descriptions), alignment, similarity, caption)

    def align(self, seen: Tensor, descriptions: Tensor, steps: Tensor) -> Tensor:
        """Return L_VLC and L_VLM (2,) of windows whose true `steps` (B, T) are known (Eq. 6 to 8)."""
        states, queries = self.perceive(seen)
        assert queries is not None
        return self._align(states, queries, descriptions, steps)

    def _align(self, states: Tensor, queries: Tensor, descriptions: Tensor, steps: Tensor) -> Tensor:
        text = descriptions.mean(dim=1)[steps]  # (B, T, text width), of the true steps: these losses only
        return torch.stack(self.alignment(self.queries, states, queries, text, steps))


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
