"""Frozen sentence encoders, with a cache on disk (PlanLLM, Eq. 3: y_i = E_l(d_i))."""

import hashlib
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from leaplan.errors import UserError
from leaplan.writing import write_whole

Embeddings = NDArray[np.float32]


class SentenceEncoder(Protocol):
    """Sentences to vectors. `identity` names the encoder and all that changes its output."""

    identity: str

    def encode(self, sentences: Sequence[str]) -> Embeddings:
        """Return embeddings (n, D) of n sentences."""


class NgramEncoder:
    """Signed hashing of words and character n-grams: deterministic, offline, no training.

    Sentences that share words or word stems are close; that is all it knows of meaning.

    Args:
        width: D, number of hash buckets.
        characters: Lengths of the character n-grams.
    """

    def __init__(self, width: int = 512, characters: tuple[int, ...] = (3, 4, 5)) -> None:
        self.width, self.characters = width, tuple(characters)
        self.identity = f"ngram-{width}-{'-'.join(map(str, self.characters))}"

    def encode(self, sentences: Sequence[str]) -> Embeddings:
        """Return unit vectors (n, D); an empty sentence gives zeros."""
        rows = np.zeros((len(sentences), self.width), np.float32)
        for row, sentence in zip(rows, sentences, strict=True):
            for gram, weight in self._grams(sentence):
                code = zlib.crc32(gram.encode())
                row[code % self.width] += weight if code & 0x8000_0000 else -weight
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / np.maximum(norms, 1e-12)

    def _grams(self, sentence: str) -> Iterator[tuple[str, float]]:
        for word in re.findall(r"[a-z0-9]+", sentence.lower()):
            yield word, 1.0
            padded = f"<{word}>"
            grams = [padded[i : i + n] for n in self.characters for i in range(len(padded) - n + 1)]
            for gram in grams:
                yield gram, 1.0 / len(grams) ** 0.5


class ClipTextEncoder:
    """The text tower of a CLIP model from `transformers`.

    Args:
        model: Hub id or folder, such as "openai/clip-vit-large-patch14-336".
        batch_size: Sentences per forward pass.
        normalise: Scale embeddings to length one (SCHEMA's feature files are not normalised).
    """

    def __init__(self, model: str, batch_size: int = 64, normalise: bool = False) -> None:
        self.model, self.batch_size, self.normalise = model, batch_size, normalise
        self.identity = f"clip-{model}-{'unit' if normalise else 'raw'}"

    def encode(self, sentences: Sequence[str]) -> Embeddings:
        """Return projected text embeddings (n, D).

        Raises:
            UserError: The model is neither a folder nor to be had from the hub.
        """
        import torch
        from transformers import AutoTokenizer, CLIPTextModelWithProjection

        try:
            tokenizer = AutoTokenizer.from_pretrained(self.model)
            tower = CLIPTextModelWithProjection.from_pretrained(self.model).eval()
        except (OSError, ValueError) as error:
            raise UserError(
                f"text encoder '{self.model}' is neither a folder nor reachable on the hub",
                "Give the folder of a downloaded CLIP model, or use the offline encoder "
                "leaplan.text.encoder.NgramEncoder",
            ) from error
        rows = []
        with torch.inference_mode():
            for first in range(0, len(sentences), self.batch_size):
                batch = list(sentences[first : first + self.batch_size])
                tokens = tokenizer(batch, padding=True, truncation=True, return_tensors="pt")
                rows.append(tower(**tokens).text_embeds.float())
        embeddings = torch.cat(rows)
        if self.normalise:
            embeddings = torch.nn.functional.normalize(embeddings, dim=-1)
        return np.asarray(embeddings, dtype=np.float32)


def encode_cached(encoder: SentenceEncoder, sentences: Sequence[str], cache: Path | None) -> Embeddings:
    """Return `encoder.encode(sentences)` (n, D), kept in `cache` under a hash of encoder and sentences."""
    if cache is None:
        return encoder.encode(sentences)
    digest = hashlib.sha256("\x00".join([encoder.identity, *sentences]).encode()).hexdigest()[:32]
    path = cache / f"{digest}.npy"
    return _read_or_make(path, lambda: encoder.encode(sentences))


def _read_or_make(path: Path, make: Callable[[], Embeddings]) -> Embeddings:
    try:
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
    except (OSError, ValueError, EOFError):
        embeddings = make()
    with suppress(OSError):  # a cache that cannot be written costs time, not the run
        write_whole(path, lambda partial: _save(partial, embeddings))
    return embeddings


def _save(path: Path, embeddings: Embeddings) -> None:
    with path.open("wb") as file:  # by name, NumPy would append .npy
        np.save(file, embeddings)
