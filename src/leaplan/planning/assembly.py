"""What a planner is put together from: problem, texts, language model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from leaplan.planning.captions import PlanCaptions, label_texts
from leaplan.planning.freeform import FreeForm, Writing
from leaplan.planning.language import LanguageParts, plan_lines, read_prompt
from leaplan.records import PlanningProblem, Vocabulary
from leaplan.text.causal import LanguageSource
from leaplan.text.descriptions import StepDescriptions, content_hash
from leaplan.text.encoder import Embeddings, NgramEncoder


def language_parts(
    source: LanguageSource | None,
    prompt: str,
    problem: PlanningProblem,
    sequences: Sequence[Sequence[int]],
    folder: Path | None,
) -> LanguageParts | None:
    """Return language model, caption format and prompt for a problem; None without a source.

    Args:
        source: Where the model comes from.
        prompt: File or name of the prompt.
        problem: Horizon and vocabulary.
        sequences: Step ids of whole *training* videos, whose plans a small model learns to write.
        folder: Run folder, where a small model is kept; None keeps it nowhere.
    """
    if source is None:
        return None
    text, labels = read_prompt(prompt), label_texts(problem.vocabulary)
    model = source.build(
        lambda: plan_lines(text, sequences, labels, problem.horizon),
        None if folder is None else folder / "language_model",
    )
    return LanguageParts(model, PlanCaptions(labels, model.tokens, model.end, model.text), text)


def free_form(descriptions: StepDescriptions, vocabulary: Vocabulary, horizon: int, writing: Writing) -> FreeForm:
    """Return what reads plans over the labels of `vocabulary`, whichever the planner was trained with."""
    y = torch.from_numpy(descriptions.embed(vocabulary))
    encoder = getattr(descriptions, "encoder", None) or NgramEncoder()
    return FreeForm(label_texts(vocabulary), y, encoder, horizon, writing)


def identity(problem: PlanningProblem, y: Embeddings, language: LanguageParts | None) -> dict[str, Any]:
    """Return what a checkpoint must have been trained for; `y` (N, M, D) are the descriptions."""
    vocabulary = problem.vocabulary
    return {
        "horizon": problem.horizon,
        "seconds": problem.seconds,
        "feature width": problem.width,
        "steps": [step.name for step in vocabulary.steps],
        "tasks": list(vocabulary.tasks),
        "descriptions": content_hash(y),
        **({"language model": language.model.identity} if language else {}),
    }
