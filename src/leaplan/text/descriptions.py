"""What is known in words about each step class, as embeddings y (N, M, D) (PlanLLM, Eq. 2 and 3).

N step classes, M sentences per step, D width of the text encoder.
"""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Protocol

import numpy as np

from leaplan.errors import DataError
from leaplan.records import Step, Vocabulary
from leaplan.text.encoder import Embeddings, NgramEncoder, SentenceEncoder, encode_cached

CACHE = Path("~/.cache/leaplan/text").expanduser()


class StepDescriptions(Protocol):
    """Embeddings of all steps of a vocabulary."""

    identity: str

    def embed(self, vocabulary: Vocabulary) -> Embeddings:
        """Return y (N, M, D)."""


class NamedSteps:
    """Each step is described by its own name (M = 1).

    Args:
        encoder: Frozen sentence encoder.
    """

    def __init__(self, encoder: SentenceEncoder | None = None) -> None:
        self.encoder = encoder or NgramEncoder()
        self.identity = f"names by {self.encoder.identity}"

    def embed(self, vocabulary: Vocabulary) -> Embeddings:
        """Return y (N, 1, D)."""
        names = [step.name for step in vocabulary.steps]
        return encode_cached(self.encoder, names, CACHE)[:, None]


class DescribedSteps:
    """Each step is described by the state before and after it, in SCHEMA's JSON layout.

    The file maps task name to step name to {"description": str, "before": [3 sentences], "after": [3]}.
    Sentences are encoded with the literal word "before" or "after" in front, as SCHEMA does.

    Args:
        file: `.json` or `.json.gz`.
        encoder: Frozen sentence encoder.
    """

    def __init__(self, file: str, encoder: SentenceEncoder | None = None) -> None:
        self.file = Path(file).expanduser()
        self.encoder = encoder or NgramEncoder()
        self.identity = f"{self.file.name} by {self.encoder.identity}"

    def embed(self, vocabulary: Vocabulary) -> Embeddings:
        """Return y (N, 6, D).

        Raises:
            DataError: The file is missing or malformed, or lacks a step.
        """
        table = self._read()
        absent = [step for step in vocabulary.steps if _find(step, vocabulary, table) is None]
        if absent:
            raise DataError(
                f"{self.file} has no description of {len(absent)} of {len(vocabulary.steps)} steps, "
                f"such as '{absent[0].name}'",
                "Describe all steps of the vocabulary, or use leaplan.text.descriptions.NamedSteps",
            )
        sentences = [s for step in vocabulary.steps for s in _find(step, vocabulary, table) or ()]
        embeddings = encode_cached(self.encoder, sentences, CACHE)
        return embeddings.reshape(len(vocabulary.steps), -1, embeddings.shape[-1])

    def _read(self) -> dict[tuple[str, str], list[str]]:
        try:
            raw = self.file.read_bytes()
            content = json.loads(gzip.decompress(raw) if self.file.suffix == ".gz" else raw)
            return {
                (_plain(task), _plain(name)): [f"before {s}" for s in entry["before"][:3]]
                + [f"after {s}" for s in entry["after"][:3]]
                for task, steps in content.items()
                for name, entry in steps.items()
            }
        except FileNotFoundError as error:
            raise DataError(f"{self.file} does not exist", "Set --model.descriptions.file") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{self.file} is not a table of step descriptions ({type(error).__name__}: {error})",
                'Expected {task: {step: {"description", "before": [3], "after": [3]}}}',
            ) from error


class PrecomputedSteps:
    """Embeddings from an array file, one row per step in vocabulary order.

    Args:
        file: `.npy` or `.npz`.
        key: Name of the array inside an `.npz`, of shape (N, M, D) or (N, D).
    """

    def __init__(self, file: str, key: str = "") -> None:
        self.file, self.key = Path(file).expanduser(), key
        self.identity = f"{self.file.name}:{key}"

    def embed(self, vocabulary: Vocabulary) -> Embeddings:
        """Return y (N, M, D).

        Raises:
            DataError: Missing, of another number of steps, or not finite.
        """
        try:
            loaded = np.load(self.file, allow_pickle=False)
            array = np.asarray(loaded[self.key] if self.key else loaded, dtype=np.float32)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.file} has no array '{self.key}' that can be read ({error})",
                "Set --model.descriptions.file and --model.descriptions.key",
            ) from error
        array = array[:, None] if array.ndim == 2 else array
        if array.ndim != 3 or len(array) != len(vocabulary.steps) or not np.isfinite(array).all():
            raise DataError(
                f"{self.file}, array '{self.key}', has shape {array.shape}, but the vocabulary has "
                f"{len(vocabulary.steps)} steps: (N, M, D) with finite values is needed",
                "Encode the descriptions of this vocabulary again",
            )
        return array


def content_hash(embeddings: Embeddings) -> str:
    """Return the SHA-256 of the embeddings' shape and values, as checkpoints name them."""
    header = str(embeddings.shape).encode()
    return hashlib.sha256(header + np.ascontiguousarray(embeddings).tobytes()).hexdigest()


def _find(step: Step, vocabulary: Vocabulary, table: dict[tuple[str, str], list[str]]) -> list[str] | None:
    if step.task is not None:
        return table.get((_plain(vocabulary.tasks[step.task]), _plain(step.name)))
    return next((found for (_, name), found in table.items() if name == _plain(step.name)), None)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
