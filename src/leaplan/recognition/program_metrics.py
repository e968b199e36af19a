"""How good predicted programs are: LEAP's S-Verb, Obj(A) and Obj(B), and scores that forgive a shift.

LEAP (arXiv 2312.00055) names three accuracies; they are read as slot accuracies over the slots that the true program
fills. One sub-action too many at the front makes all of them wrong, so set F1 and the edit score of the triples
(verb, A, B) stand beside them. All scores are fractions from 0 to 1, NaN where no clip has a program.

Shapes: N clips, W windows, K slots, Cv verbs, Co objects, P conditions; V windows that have a program.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from leaplan.recognition.program_head import ProgramLogits, lengths
from leaplan.training.persample import PerSampleMetric
from leaplan.training.sequences import PAD, edit_distance, set_sizes


class ProgramCounts(NamedTuple):
    """What is counted of every window that has a program; all scores are made of these integers."""

    slots: Tensor  # (V,) sub-actions of the true program
    verb: Tensor  # (V,) slots with the right verb
    first: Tensor  # (V,) with the right A
    second: Tensor  # (V,) with the right B
    common: Tensor  # (V,) triples in both sets
    sizes: Tensor  # (V,) sizes of both sets added
    distance: Tensor  # (V,) Levenshtein distance of the sequences of triples
    longest: Tensor  # (V,) length of the longer one
    before_common: Tensor  # (V,) pre-conditions both predicted and true, over the slots of the true program
    before_sizes: Tensor  # (V,) numbers of predicted and of true ones added
    after_common: Tensor  # (V,) post-conditions, likewise
    after_sizes: Tensor  # (V,)


def count_programs(logits: ProgramLogits, program: Mapping[str, Tensor], valid: Tensor) -> ProgramCounts:
    """Compare predicted programs with true ones in the V windows where `valid` (N, W).

    A predicted program is the most probable class of each slot, and ends before its first "stop". A condition is
    predicted where its probability is above one half.

    Args:
        logits: Of W windows.
        program: Classes "verb", "first", "second" and "mask" (N, W, K); "before" and "after" (N, W, K, P).
        valid: Which windows have a program.
    """
    mask = program["mask"][valid]  # (V, K)
    truth = [program[name][valid] for name in ("verb", "first", "second")]  # 3 x (V, K)
    guess = [each[valid].argmax(-1) for each in logits[:3]]  # 3 x (V, K)
    right = [((ours == theirs) & mask).sum(1) for ours, theirs in zip(guess, truth, strict=True)]
    slots = torch.arange(mask.shape[1], device=mask.device)
    said = slots < lengths(guess[0])[:, None]
    objects = logits.first.shape[-1]
    ours, theirs = _triples(guess, said, objects), _triples(truth, mask, objects)  # (V, K)
    common, union = set_sizes(ours, theirs)
    before = _agreement(logits.before[valid] > 0, program["before"][valid] > 0.5, mask)
    after = _agreement(logits.after[valid] > 0, program["after"][valid] > 0.5, mask)
    longest = torch.maximum(said.sum(1), mask.sum(1))
    sets = (common, common + union)
    distance = edit_distance(ours, theirs)
    return ProgramCounts(mask.sum(1), *right, *sets, distance, longest, *before, *after)  # type: ignore[call-arg]


def program_scores(logits: ProgramLogits, program: Mapping[str, Tensor], valid: Tensor) -> dict[str, Tensor]:
    """Return all scores of predicted programs; arguments as of `count_programs`, scalars as of `scores_of`."""
    return scores_of(count_programs(logits, program, valid))


def scores_of(counts: ProgramCounts) -> dict[str, Tensor]:
    """Return the scores of V windows as float64 scalars.

    - "s_verb", "object_a", "object_b": share of all true sub-actions whose slot has the right verb, A, B.
    - "set_f1": mean over windows of the F1 of the sets of triples.
    - "edit_score": mean over windows of 1 - Levenshtein distance / length of the longer sequence of triples.
    - "before_f1", "after_f1": F1 of the conditions of all slots of all windows; NaN where there are none.
    """
    slots = counts.slots.sum()
    return {
        "s_verb": counts.verb.sum().double() / slots,
        "object_a": counts.first.sum().double() / slots,
        "object_b": counts.second.sum().double() / slots,
        "set_f1": (2 * counts.common.double() / counts.sizes).mean(),
        "edit_score": (1 - counts.distance.double() / counts.longest).mean(),
        "before_f1": 2 * counts.before_common.sum().double() / counts.before_sizes.sum(),
        "after_f1": 2 * counts.after_common.sum().double() / counts.after_sizes.sum(),
    }


class ProgramMetrics(PerSampleMetric):
    """The scores of `scores_of` over a split, to the last bit the same on any number of processes.

    Every window that has a program is a sample of its own, known by the index of its clip: a clip that comes twice
    (a sampler that pads) counts once.

    Args:
        windows: W.
        kwargs: Of `torchmetrics.Metric`.
    """

    higher_is_better = True

    def __init__(self, windows: int = 1, **kwargs: Any) -> None:
        self.windows = windows
        super().__init__(columns=len(ProgramCounts._fields), dtype=torch.int64, **kwargs)

    def update(self, index: Tensor, logits: ProgramLogits, program: Mapping[str, Tensor], valid: Tensor) -> None:
        """Add the windows of a batch where `valid` (N, W).

        Args:
            index: (N,) int64, position of each clip in the split.
            logits, program, valid: As of `count_programs`.

        Raises:
            ValueError: The shapes do not fit.
        """
        if valid.shape != (len(index), self.windows):
            raise ValueError(f"valid is {tuple(valid.shape)}, but ({len(index)}, {self.windows}) is expected")
        window = torch.arange(self.windows, device=index.device)
        number = (index[:, None] * self.windows + window)[valid]  # (V,)
        self.append(number, torch.stack(count_programs(logits, program, valid), dim=1))

    def compute(self) -> dict[str, Tensor]:
        """Return the scores of all windows of all processes."""
        return scores_of(ProgramCounts(*self.unique_rows()[:, 1:].unbind(1)))


def _triples(classes: list[Tensor], mask: Tensor, objects: int) -> Tensor:
    """Return one number (V, K) per triple of classes 3 x (V, K), `PAD` outside of `mask`."""
    verb, first, second = classes
    return torch.where(mask, (verb * objects + first) * objects + second, PAD)


def _agreement(ours: Tensor, theirs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return (V,) how many of two (V, K, P) hold in both, and how many hold in each added, over slots in `mask`."""
    ours, theirs = ours & mask[..., None], theirs & mask[..., None]
    return (ours & theirs).sum((1, 2)), ours.sum((1, 2)) + theirs.sum((1, 2))
