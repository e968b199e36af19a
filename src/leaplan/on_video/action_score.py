"""Which of a recogniser's scores names an action: the one that named most clips of validation right.

Never the test split decides. Checkpoints are another matter: training keeps the one whose official product is best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaplan.on_video.readable import percent

SECTIONS = {"fused": "fused", "action_head": "action_head", "action": "recognition"}
"""Scores and where results.json has their figures; of equally good ones, the first is taken."""
NAMES = {
    "fused": "the product of verb and noun fused with the action head",
    "action_head": "the action head",
    "action": "the official product of verb and noun",
}


@dataclass(frozen=True)
class ActionScore:
    """The score that names actions.

    Args:
        head: "action", the official product of verb and noun; "action_head"; or "fused", their geometric mean.
        validation: Each score that the run has, to the share of validation clips that it named right, from 0 to 1;
            {} where there was no validation.
    """

    head: str
    validation: Mapping[str, float]

    def __str__(self) -> str:
        told = f"actions are named by {NAMES[self.head]}"
        if not self.validation:
            return f"{told}; no figures of validation say whether another score is better"
        others = ", ".join(f"{NAMES[head]} {percent(p)}" for head, p in self.validation.items() if head != self.head)
        best = f", the best on validation: {percent(self.validation[self.head])} right"
        return f"{told}{best} ({others})" if others else told

    def as_json(self) -> dict[str, Any]:
        """Return all of it."""
        return {"head": self.head, "validation_top1": dict(self.validation)}


def best_score(results: Mapping[str, Any], heads: Sequence[str]) -> ActionScore:
    """Return the score with the highest top-1 accuracy of actions on validation.

    Without validation it is the official one: the product, or the action head where there are no verbs and nouns.

    Args:
        results: Content of results.json.
        heads: Of `SECTIONS`, those that the run has, at least one.
    """
    table = results.get("metrics", {}).get("val", {})
    figures = {head: table.get(section, {}).get("action_top1") for head, section in SECTIONS.items() if head in heads}
    validation = {head: float(value) for head, value in figures.items() if value is not None}
    official = "action" if "action" in heads else heads[0]
    return ActionScore(max(validation, key=validation.__getitem__, default=official), validation)
