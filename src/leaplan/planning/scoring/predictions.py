"""A predictions file in memory, and how to say what is wrong with one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from leaplan.errors import DataError, ProblemList

HINT = "What a predictions file holds:  leaplan score --help"
LARGEST_ID = 2**31 - 1


@dataclass(frozen=True)
class Predictions:
    """A predictions file. M samples in the order of the file, T steps.

    Args:
        path: Where it was read from.
        sample_ids: M ids, all different.
        videos: The video of each sample, or None where the file does not tell.
        target: (M, T), the true steps.
        plans: Decoding to plans (M, L), padded with `PAD`.
        rank: (M, T), rank of the true step among the candidates, or None where there are none.
        candidates: How many ranks are known: N for logits, k for lists of k. 0 where there are none.
        seen: (M,) bool, whether the true plan occurs in training, or None.
        named: Steps are names in the file; their ids here mean nothing.
    """

    path: Path
    sample_ids: tuple[str, ...]
    videos: tuple[str, ...] | None
    target: Tensor
    plans: dict[str, Tensor]
    rank: Tensor | None = None
    candidates: int = 0
    seen: Tensor | None = None
    named: bool = False

    def at(self, rows: Sequence[int]) -> "Predictions":
        """Return the samples at `rows`, in that order."""
        return replace(
            self,
            sample_ids=tuple(self.sample_ids[row] for row in rows),
            videos=None if self.videos is None else tuple(self.videos[row] for row in rows),
            target=self.target[rows],
            plans={name: plans[rows] for name, plans in self.plans.items()},
            rank=None if self.rank is None else self.rank[rows],
            seen=None if self.seen is None else self.seen[rows],
        )

    def only(self, decoding: str) -> "Predictions":
        """Return them with one decoding; a file with one plan has only that.

        Raises:
            DataError: There is no such decoding among several.
        """
        if len(self.plans) > 1 and decoding not in self.plans:
            hint = f"Choose one of them:  --decode {next(iter(self.plans))}"
            raise DataError(f"{self.path} has no decoding '{decoding}', but {', '.join(self.plans)}", hint)
        return self if len(self.plans) == 1 else replace(self, plans={decoding: self.plans[decoding]})


def refuse(path: Path, problems: Sequence[str]) -> None:
    """Raise if there are problems: one as a sentence, several as a list."""
    if len(problems) == 1:
        raise DataError(f"{path}, {problems[0]}", HINT)
    if problems:
        raise ProblemList(str(path), problems, HINT)
