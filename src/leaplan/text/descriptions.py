"""What is known in words about each step class, as embeddings y (N, M, D) (PlanLLM, Eq. 2 and 3).

N step classes, M sentences per step, D width of the text encoder.
"""

import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Protocol

import numpy as np

from leaplan.errors import DataError
from leaplan.records import Step, Vocabulary
from leaplan.text.encoder import Embeddings, NgramEncoder, SentenceEncoder, encode_cached

CACHE = Path("~/.cache/leaplan/text").expanduser()

TAG = re.compile(r"(\w+) ?-(?=.*\b\1\b)")  # "add-add 1 egg", as CaptainCook4D has it
OPENING = re.compile(r"(?:(?:in|once|when|while)\b[^,]*, |then |slowly |gently |briefly |carefully )*")
CLAUSE = re.compile(r"(?:[^,;(.]|\.(?! \w|$))*")
PLACES = "up|on|off|out|down|in|over|aside|away|back"
VERB = re.compile(rf"(?:\S+(?: (?:and|or) \S+)?(?: (?:{PLACES})\b)?)?")  # "measure and add", "jack up"
NUMBER = re.compile(r"(?:(?:the|a|an|some|one|two|of|\d[\d/.]*) )*")
THING = re.compile(rf"(?:(?! ?\b(?:to|into|onto|from|with|for|at|by|until|under|around|inside|through|{PLACES})\b).)*")


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


class TemplatedSteps:
    """Each step is described by templates filled with its name, no language model needed (M = 6).

    Laid out and encoded as `DescribedSteps`: 3 sentences for before and 3 for after the step.

    Args:
        encoder: Frozen sentence encoder.
    """

    version = 1  # of the templates

    def __init__(self, encoder: SentenceEncoder | None = None) -> None:
        self.encoder = encoder or NgramEncoder()
        self.identity = f"templates {self.version} by {self.encoder.identity}"

    def embed(self, vocabulary: Vocabulary) -> Embeddings:
        """Return y (N, 6, D)."""
        sentences = [sentence for step in vocabulary.steps for sentence in templates(step.name)]
        embeddings = encode_cached(self.encoder, sentences, CACHE)
        return embeddings.reshape(len(vocabulary.steps), -1, embeddings.shape[-1])


def templates(label: str) -> list[str]:
    """Return 3 sentences for before and 3 for after a step, from a label such as "pour milk" or "Then jack up"."""
    label = _without(TAG, " ".join(label.lower().split()))
    act, rest = _split(CLAUSE, _without(OPENING, label))
    act = act.strip()
    verb, rest = _split(VERB, act)
    thing, where = _split(THING, _without(NUMBER, rest.strip()))
    verb = f"{verb} {where.strip()}".strip()
    before = (label, f"it is time to {act}", f"{f'the {thing}' if thing else 'everything'}, ready to {verb}")
    after = (label, f"there is no more need to {act}", f"{f'no {thing}' if thing else 'nothing'} left to {verb}")
    return [f"before {sentence}" for sentence in before] + [f"after {sentence}" for sentence in after]


def _split(pattern: re.Pattern[str], text: str) -> tuple[str, str]:
    """Return what `pattern` matches at the beginning of `text`, and what follows."""
    found = pattern.match(text)
    end = found.end() if found else 0
    return text[:end], text[end:]


def _without(pattern: re.Pattern[str], text: str) -> str:
    return _split(pattern, text)[1]


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
                "Describe the rest:  leaplan describe-steps --help  (or use leaplan.text.descriptions.NamedSteps)",
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
        key: Name of the array inside an `.npz`, of shape (N, M, D) or (N, D). Of several names, the array with a row
            for each step of the vocabulary is taken, so that one setting serves training and another dataset's test.
        encoder: Frozen sentence encoder, for what a language model writes.
    """

    def __init__(self, file: str, key: str | list[str] = "", encoder: SentenceEncoder | None = None) -> None:
        self.encoder = encoder
        self.file, self.keys = Path(file).expanduser(), [key] if isinstance(key, str) else list(key)
        self.identity = f"{self.file.name}:{'|'.join(self.keys)}"

    def embed(self, vocabulary: Vocabulary) -> Embeddings:
        """Return y (N, M, D).

        Raises:
            DataError: Missing, of another number of steps, or not finite.
        """
        arrays = {key: self._read(key) for key in self.keys}
        fitting = [array for array in arrays.values() if array.ndim == 3 and len(array) == len(vocabulary.steps)]
        if len(fitting) != 1 or not np.isfinite(fitting[0]).all():
            shapes = ", ".join(f"array '{key}' has shape {array.shape}" for key, array in arrays.items())
            raise DataError(
                f"{self.file}: {shapes}, but the vocabulary has {len(vocabulary.steps)} steps: one array (N, M, D) "
                "with finite values is needed",
                "Encode the descriptions of this vocabulary again",
            )
        return fitting[0]

    def _read(self, key: str) -> Embeddings:
        try:
            loaded = np.load(self.file, allow_pickle=False)
            array = np.asarray(loaded[key] if key else loaded, dtype=np.float32)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.file} has no array '{key}' that can be read ({error})",
                "Set --model.descriptions.file and --model.descriptions.key",
            ) from error
        return array[:, None] if array.ndim == 2 else array


def content_hash(embeddings: Embeddings) -> str:
    """Return the SHA-256 of shape and values of embeddings (N, M, D), as checkpoints name them."""
    header = str(embeddings.shape).encode()
    return hashlib.sha256(header + np.ascontiguousarray(embeddings).tobytes()).hexdigest()


def _find(step: Step, vocabulary: Vocabulary, table: dict[tuple[str, str], list[str]]) -> list[str] | None:
    if step.task is not None:
        return table.get((_plain(vocabulary.tasks[step.task]), _plain(step.name)))
    return next((found for (_, name), found in table.items() if name == _plain(step.name)), None)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
