"""What came out of an evaluation: plans gathered over processes, figures, the predictions file, the table."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from leaplan.planning.legacy import legacy_scores
from leaplan.planning.metrics import PAD, plan_scores, success_rate, target_rank
from leaplan.planning.persample import PerSampleMetric
from leaplan.records import Vocabulary
from leaplan.writing import write_text

LEGACY_BATCH = 256
"""Batch size that the batch-dependent legacy mIoU is computed at; it is printed with the figure."""


class Window(Protocol):
    """What the predictions file tells of a window."""

    sample_id: str
    video: str
    steps: tuple[int, ...]
    task: int


class Plans(NamedTuple):
    """All windows of a split, in the order of their index. M windows, T steps."""

    index: Tensor  # (M,)
    steps: Tensor  # (M, T), the truth
    rank: Tensor  # (M, T), how many classes were thought likelier than the true one
    plans: dict[str, Tensor]  # decoding to (M, T)
    top: Tensor  # (M, T, 5), the likeliest classes
    log_probability: Tensor  # (M,), of the Viterbi plan under emissions and transitions


class Outcome(PerSampleMetric):
    """Plans of a split, collected batch by batch and gathered over processes, each window once.

    Args:
        horizon: T.
        decodings: Names of the ways in which plans are read off the logits.
        top: How many of the likeliest classes are kept per step.
    """

    def __init__(self, horizon: int, decodings: Sequence[str] = ("argmax", "viterbi"), top: int = 5) -> None:
        self.horizon, self.decodings, self.top = horizon, tuple(decodings), top
        super().__init__(columns=horizon * (2 + len(self.decodings) + top) + 1, dtype=torch.float64)

    def update(
        self, index: Tensor, steps: Tensor, plans: Mapping[str, Tensor], log_emissions: Tensor, score: Tensor
    ) -> None:
        """Add a batch.

        Args:
            index: (B,), position of each window in its split.
            steps: (B, T), the truth.
            plans: Decoding to plans (B, T).
            log_emissions: (B, T, N).
            score: (B,), log-probability of the Viterbi plan.
        """
        count = min(self.top, log_emissions.shape[-1])
        likeliest = log_emissions.topk(count).indices
        likeliest = torch.nn.functional.pad(likeliest, (0, self.top - count), value=PAD)  # (B, T, top)
        rank = target_rank(log_emissions, steps)
        columns = [
            steps,
            rank,
            *(plans[name] for name in self.decodings),
            likeliest.flatten(1),
            score[:, None],
        ]
        self.append(index, torch.cat([column.double() for column in columns], dim=1))

    def plans(self) -> Plans:
        """Return the plans of all processes. All processes call it; `compute` would squeeze those of one window."""
        return self._read(self.gathered_rows())

    def compute(self) -> Plans:
        """Return the plans at hand; torchmetrics gathers those of all processes first."""
        return self._read(self.unique_rows())

    def _read(self, rows: Tensor) -> Plans:
        widths = [1, *[self.horizon] * (2 + len(self.decodings)), self.horizon * self.top, 1]
        index, steps, rank, *plans, top, score = rows.split(widths, dim=1)
        return Plans(
            index[:, 0].long(),
            steps.long(),
            rank.long(),
            {name: plan.long() for name, plan in zip(self.decodings, plans, strict=True)},
            top.long().unflatten(1, (self.horizon, self.top)),
            score[:, 0],
        )


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
    table["counts"] = {"windows": len(seen), "seen": int(seen.sum()), "unseen": int((~seen).sum())}
    legacy = legacy_scores(outcome.plans["viterbi"], steps, LEGACY_BATCH)
    table["legacy"] = {
        "of": "viterbi",
        "batch_size": LEGACY_BATCH,
        **{name: float(value) for name, value in legacy.items()},
    }
    return table


def write_predictions(
    path: Path, outcome: Plans, windows: Sequence[Window], seen: Tensor, vocabulary: Vocabulary
) -> None:
    """Write one line per window, as `leaplan score` reads them."""
    lines = []
    for row, index in enumerate(outcome.index.tolist()):
        window = windows[index]
        line = {
            "sample_id": window.sample_id,
            "video": window.video,
            "task": vocabulary.tasks[window.task] if window.task >= 0 else None,
            "steps": list(window.steps),
            "step_names": [vocabulary.steps[step].name for step in window.steps],
            "plans": {name: plans[row].tolist() for name, plans in outcome.plans.items()},
            "top_5": [[s for s in step if s >= 0] for step in outcome.top[row].tolist()],
            "log_probability": round(float(outcome.log_probability[row]), 6),
            "seen_in_training": bool(seen[index]),
        }
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
    if "sampled" in table:
        drawn = table["sampled"]
        print(
            f"{drawn['samples']} plans sampled per window: ModePrec {100 * drawn['mode_precision']:.1f}, "
            f"ModeRec {100 * drawn['mode_recall']:.1f}, KL {drawn['kl']:.2f}, NLL {drawn['nll']:.2f}"
        )
