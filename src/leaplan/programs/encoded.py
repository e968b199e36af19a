"""The label arrays of programs. Their classes are told in `encode.py`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Bits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Labels of one program, or of N with a leading dimension N. K slots, P conditions.

    Args:
        verb, first, second, hand: Classes, each (K,).
        before, after: 0 or 1, each (K, P).
        mask: Which slots hold a sub-action (K,).
        length: How many do: a number, or (N,).
        dropped: How many conditions of these slots are outside the vocabulary and left out: a number, or (N,).
        others: How many arguments A and B are outside the vocabulary and became "other": a number, or (N,).
        truncated: There were more sub-actions than slots: a truth value, or (N,).
    """

    verb: Integers
    first: Integers
    second: Integers
    hand: Integers
    before: Bits
    after: Bits
    mask: NDArray[np.bool_]
    length: Integers
    dropped: Integers
    others: Integers
    truncated: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EncodedPrograms:
    """Labels of N programs, small: each set of conditions that occurs is kept once.

    Args:
        verb, first, second, hand: Classes, each (N, K).
        before, after: Rows of `patterns`, each (N, K).
        patterns: 0 or 1, (U, P); row 0 is all 0.
        length, dropped, others, truncated: As in `Encoded`, each (N,). A length of 0 says that there is no program.
    """

    verb: NDArray[np.int16]
    first: NDArray[np.int16]
    second: NDArray[np.int16]
    hand: NDArray[np.int8]
    before: NDArray[np.int32]
    after: NDArray[np.int32]
    patterns: Bits
    length: Integers
    dropped: Integers
    others: Integers
    truncated: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return N."""
        return len(self.length)

    def __getitem__(self, index: int | slice | Sequence[int] | Integers) -> Encoded:
        """Return the labels of one program, or those of several with a leading dimension."""
        at = np.asarray(index) if isinstance(index, Sequence) else index
        length = self.length[at]
        slots = np.arange(self.verb.shape[1])
        return Encoded(
            verb=self.verb[at].astype(np.int64),
            first=self.first[at].astype(np.int64),
            second=self.second[at].astype(np.int64),
            hand=self.hand[at].astype(np.int64),
            before=self.patterns[self.before[at]],
            after=self.patterns[self.after[at]],
            mask=slots < np.expand_dims(length, -1),
            length=length,
            dropped=self.dropped[at],
            others=self.others[at],
            truncated=self.truncated[at],
        )

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(getattr(self, name).nbytes for name in self.__slots__)
