"""What came out of an evaluation: plans gathered over processes, figures, the predictions file, the table."""

import json
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from leaplan.planning.asked_of_data import Window
from leaplan.planning.calibration import expected_calibration_error
from leaplan.planning.legacy import legacy_scores
from leaplan.planning.metrics import PAD, plan_scores, success_rate, target_rank
from leaplan.planning.plan_decoder import Answers
from leaplan.records import Vocabulary
from leaplan.training.persample import PerSampleMetric
from leaplan.writing import write_text

LEGACY_BATCH = 256
"""Batch size that the batch-dependent legacy mIoU is computed at; it is printed with the figure."""


class Plans(NamedTuple):
    """All windows of a split, in the order of their index. M windows, T steps, A alternatives."""

    index: Tensor  # (M,)
    steps: Tensor  # (M, T), the truth
    rank: Tensor  # (M, T), how many classes were thought likelier than the true one
    plans: dict[str, Tensor]  # decoding to (M, T)
    top: Tensor  # (M, T, 5), the likeliest classes
    log_probability: Tensor  # (M,), of the Viterbi plan under emissions and transitions
    words: Tensor  # (M, L), token ids of what a language model wrote, PAD behind them; L = 0 without one
    alternatives: Tensor  # (M, A, T), likely plans that differ; A = 0 where they were not asked for
    probability: Tensor  # (M, A), of the alternatives
    confidence: Tensor  # (M, 2), probability of the Viterbi plan as decoded and as calibrated; (M, 0) without A
    proven: Tensor  # (M,) bool, whether the trie's plan is proven to be the likeliest


class Outcome(PerSampleMetric):
    """Plans of a split, collected batch by batch and gathered over processes, each window once.

    Args:
        horizon: T.
        decodings: Names of the ways in which plans are read off the logits.
        top: How many of the likeliest classes are kept per step.
        words: L, how many tokens of what a language model writes are kept.
        alternatives: A, how many likely plans are kept with their probabilities.
    """

    def __init__(
        self,
        horizon: int,
        decodings: Sequence[str] = ("argmax", "viterbi"),
        top: int = 5,
        words: int = 0,
        alternatives: int = 0,
    ) -> None:
        self.decodings = tuple(decodings)
        self.shapes: dict[str, tuple[int, ...]] = {
            "steps": (horizon,),
            "rank": (horizon,),
            **{f"plan {name}": (horizon,) for name in self.decodings},
            "top": (horizon, top),
            "log_probability": (1,),
            "words": (words,),
            "alternatives": (alternatives, horizon),
            "probability": (alternatives,),
            "confidence": (2 if alternatives else 0,),
            "proven": (1,),
        }
        super().__init__(columns=sum(map(prod, self.shapes.values())), dtype=torch.float64)

    def update(self, index: Tensor, steps: Tensor, answers: Answers) -> None:
        """Add a batch: `index` (B,) of each window in its split, the true `steps` (B, T), and the answers."""
        likeliest = answers.log_emissions.topk(min(self.shapes["top"][1], answers.log_emissions.shape[-1])).indices
        found = {
            "steps": steps,
            "rank": target_rank(answers.log_emissions, steps),
            **{f"plan {name}": answers.plans[name] for name in self.decodings},
            "top": likeliest,
            "log_probability": answers.score[:, None],
            "words": answers.words,
            "alternatives": answers.alternatives,
            "probability": answers.probability,
            "confidence": answers.confidence,
            "proven": None if answers.proven is None else answers.proven[:, None],
        }
        columns = [_filled(found[name], len(steps), shape) for name, shape in self.shapes.items()]
        self.append(index, torch.cat([column.to(steps.device) for column in columns], dim=1))

    def plans(self) -> Plans:
        """Return the plans of all processes. All processes call it; `compute` would squeeze those of one window."""
        return self._read(self.gathered_rows())

    def compute(self) -> Plans:
        """Return the plans at hand; torchmetrics gathers those of all processes first."""
        return self._read(self.unique_rows())

    def _read(self, rows: Tensor) -> Plans:
        parts = rows[:, 1:].split([prod(shape) for shape in self.shapes.values()], dim=1)
        found = {
            name: part.unflatten(1, shape) if prod(shape) else part.new_zeros(len(part), *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }
        return Plans(
            rows[:, 0].long(),
            found["steps"].long(),
            found["rank"].long(),
            {name: found[f"plan {name}"].long() for name in self.decodings},
            found["top"].long(),
            found["log_probability"][:, 0],
            found["words"].long(),
            found["alternatives"].long(),
            found["probability"],
            found["confidence"],
            found["proven"][:, 0] == 1,
        )


def _filled(values: Tensor | None, rows: int, shape: tuple[int, ...]) -> Tensor:
    """Return `values` (B, ...) as numbers (B, product of `shape`), PAD where the last dimension is too short."""
    if values is None:
        return torch.full((rows, prod(shape)), PAD, dtype=torch.float64)
    values = values.double()
    return torch.nn.functional.pad(values, (0, shape[-1] - values.shape[-1]), value=PAD).flatten(1)


class Emissions(PerSampleMetric):
    """Log emissions (T, N) of all windows of a split, for what can only be computed when it is complete."""

    def __init__(self, horizon: int, classes: int) -> None:
        self.shape = (horizon, classes)
        super().__init__(columns=horizon * classes, dtype=torch.float64)

    def update(self, index: Tensor, log_emissions: Tensor) -> None:
        """Add those (B, T, N) of the windows at `index` (B,)."""
        self.append(index, log_emissions.flatten(1))

    def gathered(self) -> Tensor:
        """Return those of all processes (M, T, N). All processes call it."""
        return self.gathered_rows()[:, 1:].float().unflatten(1, self.shape)

    def compute(self) -> Tensor:
        """Return those at hand; torchmetrics gathers those of all processes first."""
        return self.unique_rows()[:, 1:].float().unflatten(1, self.shape)


def figures(outcome: Plans, seen: Tensor) -> dict[str, dict[str, Any]]:
    """Return every decoding's figures as fractions, the success rate of seen and unseen plans apart.

    Args:
        outcome: The plans of a whole split.
        seen: (M,) bool, whether the true plan occurs verbatim in training.
    """
    steps, seen = outcome.steps, seen[outcome.index]  # a limited evaluation has fewer windows than the split
    table: dict[str, dict[str, Any]] = {}
    for name, plans in outcome.plans.items():
        rank = outcome.rank if name == "argmax" else None
        scores = {key: float(value) for key, value in plan_scores(plans, steps, rank).items()}
        per_step = [scores.pop(f"step_accuracy_{t}") for t in range(1, 1 + steps.shape[1])]
        table[name] = {**scores, "step_accuracy": per_step}
        for part, rows in (("seen", seen), ("unseen", ~seen)):
            rate = float(success_rate(plans[rows], steps[rows])) if rows.any() else None
            table[name][f"success_rate_{part}"] = rate
    if "trie" in table:
        table["trie"]["proven"] = float(outcome.proven.double().mean())
    table["counts"] = {"windows": len(seen), "seen": int(seen.sum()), "unseen": int((~seen).sum())}
    if outcome.confidence.shape[1] and "viterbi" in outcome.plans:
        correct = (outcome.plans["viterbi"] == steps).all(1)
        confidence = outcome.confidence.round(decimals=6)  # as predictions tell it: other batch sizes agree on that
        as_decoded, calibrated = (expected_calibration_error(c, correct) for c in confidence.unbind(1))
        table["calibration"] = {"of": "viterbi", "ece_as_decoded": float(as_decoded), "ece": float(calibrated)}
    shown = "viterbi" if "viterbi" in outcome.plans else next(iter(outcome.plans))
    legacy = legacy_scores(outcome.plans[shown], steps, LEGACY_BATCH)
    table["legacy"] = {
        "of": shown,
        "batch_size": LEGACY_BATCH,
        **{name: float(value) for name, value in legacy.items()},
    }
    return table


def write_predictions(
    path: Path,
    outcome: Plans,
    windows: Sequence[Window],
    seen: Tensor,
    vocabulary: Vocabulary,
    read: Callable[[list[int]], str],
) -> None:
    """Write one line per window, as `leaplan score` reads them. `seen` (M,); `read` turns token ids into text."""
    lines = []
    for row, index in enumerate(outcome.index.tolist()):
        window = windows[index]
        line = {
            "sample_id": window.sample_id,
            "video": window.video,
            "task": vocabulary.tasks[window.task] if window.task >= 0 else None,
            "steps": list(window.steps),
            "step_names": [vocabulary.steps[step].name for step in window.steps],
            "plans": {name: [s for s in plans[row].tolist() if s >= 0] for name, plans in outcome.plans.items()},
            "top_5": [[s for s in step if s >= 0] for step in outcome.top[row].tolist()],
            "log_probability": round(float(outcome.log_probability[row]), 6),
            "seen_in_training": bool(seen[index]),
        }
        if outcome.confidence.shape[1]:
            line["probability"] = round(float(outcome.confidence[row, 1]), 6)
            line["alternatives"] = [
                {"plan": plan, "probability": round(probability, 6)}
                for plan, probability in zip(
                    outcome.alternatives[row].tolist(), outcome.probability[row].tolist(), strict=True
                )
            ]
        if outcome.words.shape[1]:
            line["sentence"] = read([token for token in outcome.words[row].tolist() if token >= 0])
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    write_text(path, "".join(lines))


def print_table(split: str, table: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the figures in percent."""
    counts = table["counts"]
    print(f"{split}: {counts['windows']} windows, {counts['unseen']} of them plans that training never showed")
    shown = Table("decoding", "SR", "mAcc", "mIoU", "edit", "SR seen", "SR unseen")
    names = (
        "success_rate",
        "mean_accuracy",
        "mean_iou",
        "edit_score",
        "success_rate_seen",
        "success_rate_unseen",
    )
    for decoding, values in table.items():
        if "success_rate" in values:
            percent = ["–" if values[n] is None else f"{100 * values[n]:.1f}" for n in names]
            shown.add_row(decoding, *percent)
    Console().print(shown)
    if "calibration" in table:
        c = table["calibration"]
        print(
            f"probabilities of the Viterbi plans: calibration error {100 * c['ece']:.1f}, "
            f"{100 * c['ece_as_decoded']:.1f} before a temperature was fitted on validation data"
        )
    if "sampled" in table:
        drawn = table["sampled"]
        print(
            f"{drawn['samples']} plans sampled per window: ModePrec {100 * drawn['mode_precision']:.1f}, "
            f"ModeRec {100 * drawn['mode_recall']:.1f}, KL {drawn['kl']:.2f}, NLL {drawn['nll']:.2f}"
        )
