"""From two observations to plans, in all the ways that were asked for.

Shapes: B windows, S observed seconds, D feature width, T steps, N step classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from leaplan.planning.alternatives import diverse, k_best
from leaplan.planning.chain import crf_negative_log_likelihood
from leaplan.planning.decoding import argmax_plan, viterbi
from leaplan.planning.freeform import FreeForm
from leaplan.planning.network import Planner

CLOSED_SET = ("argmax", "viterbi")
"""Decodings that need the classes of training."""
NATS_PER_STEP = 0.5  # how much less likely an alternative may be for each step in which it differs from the others


class Answers(NamedTuple):
    """What is made of a batch."""

    log_emissions: Tensor  # (B, T, N), log-probability of each step
    plans: dict[str, Tensor]  # decoding to (B, T)
    score: Tensor  # (B,), of the Viterbi plan
    words: Tensor | None = None  # (B, at most L), token ids that a language model wrote
    alternatives: Tensor | None = None  # (B, A, T), likely plans that differ
    probability: Tensor | None = None  # (B, A), of the alternatives
    confidence: Tensor | None = None  # (B, 2), probability of the Viterbi plan as decoded and as calibrated
    plain: Tensor | None = None  # (B, T, N), log emissions before sharpening
    proven: Tensor | None = None  # (B,), whether the trie's plan is proven to be the likeliest


class PlanDecoder:
    """Reads plans off a planner, in the ways asked for. Nothing but the two observations goes in.

    Args:
        network: The planner.
        descriptions: y (N, M, text width) of the classes of training.
        log_transitions: (N, N) of the training videos.
        sharpen: Exponent of the step probabilities before they meet the transitions.
        freeform: Plans over a label set, which may be another than that of training.
        decodings: Names of the ways in which plans are read.
        alternatives: A, how many likely plans to return with their probabilities; 0 leaves them out.
        exponent: Of the step probabilities when plans are given probabilities: fitted on validation data.
    """

    def __init__(
        self,
        network: Planner,
        descriptions: Tensor,
        log_transitions: Tensor,
        sharpen: float,
        freeform: FreeForm,
        decodings: Sequence[str],
        alternatives: int = 0,
        exponent: float | None = None,
    ) -> None:
        self.network, self.descriptions, self.log_transitions = network, descriptions, log_transitions
        self.sharpen, self.freeform, self.decodings = sharpen, freeform, tuple(decodings)
        self.alternatives, self.exponent = alternatives, exponent or sharpen

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def __call__(self, start: Tensor, goal: Tensor) -> Answers:
        """Return plans for observations (B, S, D) of start and goal."""
        unknown = start.new_zeros(len(start), self.freeform.horizon, len(self.freeform.labels))
        answers = Answers(unknown, {}, start.new_zeros(len(start)))
        if set(self.decodings) & set(CLOSED_SET):
            answers = self._closed_set(start, goal)
        if set(self.decodings) - set(CLOSED_SET):
            answers = self._in_words(start, goal, answers)
        return answers._replace(plans={name: answers.plans[name] for name in self.decodings})

    def _closed_set(self, start: Tensor, goal: Tensor) -> Answers:
        plain, _ = self.network.log_emissions(start, goal, self.descriptions)  # (B, T, N)
        sharp = (self.sharpen * plain).log_softmax(-1)
        best, score = viterbi(sharp, self.log_transitions)
        answers = Answers(sharp, {"argmax": argmax_plan(sharp), "viterbi": best}, score, plain=plain)
        return self._with_probabilities(answers) if self.alternatives else answers

    def _with_probabilities(self, answers: Answers) -> Answers:
        assert answers.plain is not None
        best, transitions = answers.plans["viterbi"], self.log_transitions
        calibrated = (self.exponent * answers.plain).log_softmax(-1)
        steps, classes = calibrated.shape[1:]
        many, log_probability = k_best(calibrated, transitions, min(6 * self.alternatives, classes**steps))
        count = min(self.alternatives, many.shape[1])
        plans, log_probability = diverse(many, log_probability, count, NATS_PER_STEP)
        both = answers.log_emissions, calibrated
        unlikelihood = torch.stack([crf_negative_log_likelihood(e, transitions, best) for e in both], dim=1)
        confidence = (-unlikelihood).exp().clamp(max=1)  # (B, 2)
        return answers._replace(alternatives=plans, probability=log_probability.exp(), confidence=confidence)

    def _in_words(self, start: Tensor, goal: Tensor, answers: Answers) -> Answers:
        """Add the plans that need no classifier. Where there is none, likeness gives the log-probabilities."""
        reader = self.network.attend
        assert reader is not None
        states, queries = reader.perceive(self.network.observe(start, goal))
        log_emissions, plans, words = answers.log_emissions, answers.plans, None
        if "retrieve" in self.decodings and queries is not None:
            likeness = self.freeform.retrieve(reader, queries)  # (B, T, N)
            log_emissions = log_emissions if plans else likeness
            plans = {**plans, "retrieve": argmax_plan(likeness)}
        if "generate" in self.decodings:
            written, words = self.freeform.generate(reader, states, queries)
            plans = {**plans, "generate": written}
        proven = None
        if "trie" in self.decodings:
            found = self.freeform.trie(reader, states, queries)
            plans, proven = {**plans, "trie": found.plans[:, 0]}, found.certain
        return answers._replace(log_emissions=log_emissions, plans=plans, words=words, proven=proven)
