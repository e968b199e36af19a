"""Samples of a split collected batch by batch, and gathered over processes: each counts once, to the last bit.

What reads finished files does not load torchmetrics, which takes seconds: see `metrics` and `outcome`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from leaplan.recognition.metrics import HEADS, PAD, Labels, Ranks, Scores, ranks_of, scores_of_ranks
from leaplan.recognition.outcome import Recognised, averaged
from leaplan.training.persample import PerSampleMetric

MOST_SAMPLES = 2**24
"""Up to here float32 holds the index of a sample exactly."""


class RecognitionOutcome(PerSampleMetric):
    """Labels and log-probabilities of a split, collected batch by batch and gathered over processes, each sample once.

    Args:
        verbs, nouns, actions: Classes of each head, 0 where there is none.
        kwargs: Of `torchmetrics.Metric`.
    """

    def __init__(self, verbs: int, nouns: int, actions: int, **kwargs: Any) -> None:
        self.sizes = (verbs, nouns, actions)
        super().__init__(columns=len(Labels._fields) + sum(self.sizes), dtype=torch.float32, **kwargs)

    def update(self, index: Tensor, labels: Labels, scores: Scores) -> None:
        """Add a batch.

        Args:
            index: (B,) position of each sample in the split.
            labels: True classes (B,).
            scores: Logits (B, C) of one view, or (B, views, C), whose probabilities are averaged.

        Raises:
            ValueError: The shapes do not fit, or an index is above what float32 can tell apart.
        """
        if len(index) and int(index.max()) >= MOST_SAMPLES:
            raise ValueError(f"index {int(index.max())} is not below {MOST_SAMPLES}")
        present = [each for each in scores if each is not None]
        if tuple(0 if each is None else each.shape[-1] for each in scores) != self.sizes:
            shapes = [None if each is None else tuple(each.shape) for each in scores]
            raise ValueError(f"the scores have shapes {shapes}, but {self.sizes} classes are expected")
        columns = [torch.stack(tuple(labels), dim=1).float(), *map(averaged, present)]
        self.append(index, torch.cat(columns, dim=1))

    def gathered(self) -> Recognised:
        """Return the samples of all processes. All processes call it."""
        return self._read(self.gathered_rows())

    def compute(self) -> Recognised:
        """Return the samples at hand; torchmetrics gathers those of all processes first."""
        return self._read(self.unique_rows())

    def _read(self, rows: Tensor) -> Recognised:
        index, step, verb, noun, *heads = rows.split([1, 1, 1, 1, *self.sizes], dim=1)
        labels = Labels(*(each[:, 0].long() for each in (step, verb, noun)))
        return Recognised(index[:, 0].long(), labels, Scores(*(each if each.shape[1] else None for each in heads)))


class RecognitionMetrics(PerSampleMetric):
    """The scores of `recognition_scores` over a split, to the last bit the same on any number of processes.

    Samples are known by their index in the split: one that comes twice (a sampler that pads) counts once.

    Args:
        top: The k of accuracies.
        action_pairs: (A, 2) verb and noun of each action, for the fused score.
        kwargs: Of `torchmetrics.Metric`.
    """

    higher_is_better = True

    def __init__(self, top: Sequence[int] = (1, 5), action_pairs: Tensor | None = None, **kwargs: Any) -> None:
        self.top, self.action_pairs = tuple(top), action_pairs
        super().__init__(columns=len(Labels._fields) + len(HEADS), dtype=torch.int64, **kwargs)

    def update(self, index: Tensor, scores: Scores, labels: Labels) -> None:
        """Add a batch: `index` (B,) of each sample in the split, scores (B, ...) and labels (B,)."""
        pairs = None if self.action_pairs is None else self.action_pairs.to(index.device)
        ranks = ranks_of(scores, labels, pairs)
        columns = [*labels, *(torch.full_like(index, PAD) if rank is None else rank for rank in ranks)]
        self.append(index, torch.stack(columns, dim=1))

    def compute(self) -> Mapping[str, Tensor]:
        """Return the scores of all samples of all processes."""
        columns = self.unique_rows()[:, 1:].unbind(1)
        ranks = (rank if len(rank) and bool((rank >= 0).all()) else None for rank in columns[3:])
        return scores_of_ranks(Ranks(*ranks), Labels(*columns[:3]), self.top)
