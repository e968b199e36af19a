"""Two models, each trained with several seeds, compared on the same windows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from leaplan.errors import DataError
from leaplan.planning.scoring.figures import Resampling, ratios
from leaplan.planning.scoring.predictions import HINT, Predictions
from leaplan.training.resampling import Ratios, with_intervals


def success_difference(
    ours: Sequence[Predictions], theirs: Sequence[Predictions], decodings: tuple[str, str], resampling: Resampling
) -> dict[str, Any]:
    """Return by how much our success rate is above theirs: value, low and high end of the 95 % interval.

    A window's difference is averaged over seeds; then clusters, whole videos, are drawn with replacement.

    Args:
        ours, theirs: One file per seed; their common windows are compared.
        decodings: Of ours and of theirs.
        resampling: How the interval is made.

    Raises:
        DataError: There are no files or no common windows, or a file has another truth or not the decoding.
    """
    if not ours or not theirs:
        raise DataError("there are no predictions to compare", HINT)
    common = sorted(set.intersection(*(set(file.sample_ids) for file in (*ours, *theirs))))
    if not common:
        raise DataError(f"{ours[0].path} and the others have no sample_id in common", HINT)
    first = _at(ours[0], common)
    change = _right(ours, decodings[0], first) - _right(theirs, decodings[1], first)
    clusters = resampling.clusters(first)
    parts = Ratios(("success_rate",), change, np.ones_like(change))
    return {
        **with_intervals(parts, clusters, resampling.draws, resampling.seed)["success_rate"],
        "samples": len(common),
        "unit": resampling.unit_of(first),
        "clusters": len(set(clusters)),
    }


def _right(files: Sequence[Predictions], decoding: str, first: Predictions) -> np.ndarray[Any, Any]:
    """Share of the seeds (M, 1) whose plan is right in all steps, for the windows of `first`."""
    right = []
    for file in files:
        if decoding not in file.plans:
            raise DataError(f"{file.path} has no plans of decoding '{decoding}'", HINT)
        file = _at(file, first.sample_ids)
        if not np.array_equal(file.target, first.target):
            raise DataError(f"{file.path} has other true steps than {first.path}", HINT)
        right.append(ratios(file, decoding).numerators[:, :1])  # the first ratio is the success rate
    return np.mean(right, axis=0)


def _at(file: Predictions, samples: Sequence[str]) -> Predictions:
    place = {sample: row for row, sample in enumerate(file.sample_ids)}
    return file.at([place[sample] for sample in samples])
