"""Stand-ins for vision where a dataset has no features: noisy embeddings of what the true steps are said to do.

They make the software run from end to end on annotations and texts alone. Whoever reads a figure must know
that the observations were computed from the answer's first and last step, so every description says it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from leaplan.data.arrays import read_archive
from leaplan.data.sources import Observed
from leaplan.data.views import PlanningWindow
from leaplan.errors import ConfigError, DataError
from leaplan.records import Annotations

NAME = "surrogate of step descriptions"
WARNING = "observations are surrogates computed from the true first and last step: figures say nothing about vision"


class SurrogateFeatures:
    """A window starts like the texts before its first step, and ends like those after its last step (S = 1).

    The mean of the "before" sentences' embeddings of the first step, and that of the "after" sentences' of
    the last step, are scaled to length one, and noise is added. A segment looks the same wherever and whenever
    it is observed: its noise follows from its id and the seed.

    Args:
        file: `.npz` with the sentences' embeddings; beside the dataset's folder or inside it.
        key: Name of its array [steps, sentences, D], a row per step in vocabulary order (SCHEMA's arrays are in that
            of `niv_action_idx.json` and `crosstask_idices.json`, as ours); the first half of the sentences tells of
            the moment before the step, the second of that after it.
        noise: Length of the noise, where the signal's is 1 (root mean square over samples). With SCHEMA's arrays, 3
            leaves about 7 of 10 observations nearest to their own step, and 0 all of them.
        width: None leaves the D of the file; else embeddings are first projected to this width, at random but
            alike for all files of one D.
        seed: Of noise and projection.

    Raises:
        ConfigError: `noise` is negative, or `width` not positive.
    """

    def __init__(self, file: str, key: str, noise: float = 3.0, width: int | None = None, seed: int = 7) -> None:
        if not 0 <= noise < float("inf"):
            raise ConfigError(f"noise is {noise}, but must be 0 or more", "Set --data.source.noise 3.0")
        if width is not None and width < 1:
            raise ConfigError(f"width is {width}, but must be 1 or more", "Leave out --data.source.width")
        self.file, self.key, self.noise, self.width, self.seed = file, key, noise, width, seed
        self._sides = np.zeros((0, 2, 1), np.float32)

    def restrict(self, annotations: Annotations, folder: Path) -> Annotations:
        """Read the embeddings and keep all videos, with a note on what is observed.

        Raises:
            DataError: The file or its array is missing or malformed, or has not one row per step.
        """
        path = _find(folder, self.file)
        sentences = read_archive(path, (self.key,))[self.key]
        steps = len(annotations.vocabulary.steps)
        if sentences.ndim != 3 or len(sentences) != steps or sentences.shape[1] % 2 or not sentences.size:
            raise DataError(
                f"{path}, array '{self.key}', has shape {sentences.shape}, but {annotations.dataset} has {steps} "
                "steps: [steps, sentences, D] is needed, half of the sentences before the step, half after it",
                "Set --data.source.key to the array of this dataset's step descriptions",
            )
        if sentences.dtype.kind != "f" or not np.isfinite(sentences).all():
            raise DataError(f"{path}, array '{self.key}', is not of finite numbers", "Get the file again")
        self._sides = self._both_sides(sentences.astype(np.float32))
        return replace(annotations, notes=(*annotations.notes, WARNING))

    def observe(self, windows: Sequence[PlanningWindow], folder: Path) -> Observed:
        """Return all windows, with starts and goals (M, 1, D)."""
        if not windows:
            return [], torch.zeros(0, 1, 1), torch.zeros(0, 1, 1)
        start = [self._look(window.segments[0], window.steps[0], 0) for window in windows]
        goal = [self._look(window.segments[-1], window.steps[-1], 1) for window in windows]
        return list(windows), *(torch.from_numpy(np.stack(side)[:, None]) for side in (start, goal))

    def describe(self) -> dict[str, object]:
        """Return the observation as it stands in results."""
        return {
            "name": NAME,
            "file": self.file,
            "key": self.key,
            "noise": self.noise,
            "width": self.width,
            "noise_seed": self.seed,
            "start_seconds": None,
            "goal_seconds": None,
            "pool": "mean of sentences",
        }

    def _both_sides(self, sentences: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return unit vectors (N, 2, D): what is before each step, and what is after it."""
        count, _, width = sentences.shape
        sides = sentences.reshape(count, 2, -1, width).mean(axis=2)  # (N, 2, D)
        if self.width is not None:
            random = np.random.default_rng([self.seed, width, self.width])
            sides = sides @ random.standard_normal((width, self.width)).astype(np.float32)
        lengths = np.linalg.norm(sides, axis=-1, keepdims=True)
        unit: NDArray[np.float32] = sides / np.maximum(lengths, 1e-12)
        return unit

    def _look(self, segment: str, step: int, side: int) -> NDArray[np.float32]:
        """Return the noisy observation (D,) of one side of a segment."""
        signal: NDArray[np.float32] = self._sides[step, side]
        if not self.noise:
            return signal
        digest = hashlib.sha256(f"{self.seed}:{side}:{segment}".encode()).digest()
        random = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:8], "big")))
        return signal + self.noise / len(signal) ** 0.5 * random.standard_normal(len(signal), np.float32)


def _find(folder: Path, file: str) -> Path:
    """Return `file` inside the dataset's folder or beside it."""
    places = (folder / file, folder.absolute().parent / file)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise DataError(
            f"{file} is neither in {folder} nor beside it",
            "Put the file there, or name another with --data.source.file",
        )
    return path
