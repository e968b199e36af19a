"""The sentence branch of S3D on HowTo100M: words to a place in the space that it shares with video."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from leaplan.errors import DataError

TABLE = 66250
"""Rows of the official table of words: one more than its dictionary may hold."""
LONGEST = 16
"""Words of a sentence that are looked at."""


class SentenceEmbedding(nn.Module):
    """Mean-less bag of words: the largest of each number over the words of a sentence (arXiv 1912.06430).

    Args:
        width: Of an embedding.
        rows: Of the table of words; row 0 stands for no word.
    """

    def __init__(self, width: int = 512, rows: int = TABLE) -> None:
        super().__init__()
        self.word_embd = nn.Embedding(rows, 300)
        self.fc1 = nn.Linear(300, 2048)
        self.fc2 = nn.Linear(2048, width)

    def forward(self, words: Tensor) -> Tensor:
        """Return embeddings (N, D), not normalised, of `words` int64 (N, 16), whose padding takes part."""
        seen = functional.relu(self.fc1(self.word_embd(words)))  # (N, 16, 2048)
        return self.fc2(seen.amax(dim=1))


class Dictionary:
    """Words to numbers from 1 on; 0 is no word.

    Args:
        words: The words; the last of equal ones counts.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.number = {word: place for place, word in enumerate(words, start=1)}
        self.rows = len(words) + 1  # that a table needs

    @classmethod
    def read(cls, path: Path) -> "Dictionary":
        """Read `s3d_dict.npy`, an array of words, without unpickling.

        Raises:
            DataError: Missing, damaged, pickled, or not a list of words.
        """
        try:
            words = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise _unreadable(path, error) from error
        if not isinstance(words, np.ndarray) or words.ndim != 1 or words.dtype.kind != "U":
            what = f"{words.dtype} {words.shape}" if isinstance(words, np.ndarray) else "an archive"
            raise DataError(f"{path} holds {what}, but one row of words is expected", "Give the official s3d_dict.npy")
        return cls(words.tolist())

    def __call__(self, sentences: Sequence[str]) -> Tensor:
        """Return the first 16 known words of each sentence, int64 (n, 16), zeros after them."""
        rows = torch.zeros(len(sentences), LONGEST, dtype=torch.int64)
        for row, sentence in zip(rows, sentences, strict=True):
            words = re.findall(r"[\w']+", sentence.lower())
            known = [self.number[word] for word in words if word in self.number][:LONGEST]
            row[: len(known)] = torch.tensor(known, dtype=torch.int64)
        return rows


def _unreadable(path: Path, error: Exception) -> DataError:
    if not path.is_file():
        return DataError(f"{path} does not exist", "Give the dictionary beside s3d_howto100m.pth: s3d_dict.npy")
    if "pickle" in str(error) and not isinstance(error, EOFError):
        return DataError(
            f"{path} holds pickled objects, which are never unpickled: a pickle can run any program",
            "Give a copy that holds its words as text (dtype U)",
        )
    return DataError(f"{path} cannot be read: {error}", "Download it again")
