"""Models, each trained with several seeds, on the same windows: figures with intervals, and paired differences."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from leaplan.errors import DataError
from leaplan.planning.scoring.comparison import difference
from leaplan.planning.scoring.figures import Resampling, ratios
from leaplan.planning.scoring.predictions import HINT, Predictions
from leaplan.training.resampling import Ratios, with_intervals


def seed_figures(
    files: Sequence[Predictions], decoding: str, resampling: Resampling
) -> dict[str, dict[str, float | None]]:
    """Return value, and low and high end of the 95 % interval, of each figure of one model.

    A window's share is averaged over seeds; then clusters, whole videos, are drawn with replacement. The seeds stay.

    Args:
        files: One per seed; their common windows count.
        decoding: Whose plans.
        resampling: How the interval is made.

    Raises:
        DataError: There are no files or no common windows, or a file has another truth or not the decoding.
    """
    first = _common(files)
    parts = _averaged(files, decoding, first)
    return with_intervals(parts, resampling.clusters(first), resampling.draws, resampling.seed)


def seed_differences(
    first: Sequence[Predictions], second: Sequence[Predictions], decodings: tuple[str, str], resampling: Resampling
) -> dict[str, Any]:
    """Return second minus first on their common windows: "samples", "unit", "clusters", and "figures".

    Each figure has its value, the ends of its 95 % interval, and the p-value of the sign flip of clusters. All are of
    windows averaged over seeds: they say what other videos would change, not what other seeds would.

    Args:
        first, second: One file per seed of either model.
        decodings: Of the first and of the second.
        resampling: How intervals and p-values are made.

    Raises:
        DataError: As `seed_figures`.
    """
    base = _common((*first, *second))
    parts = [_averaged(files, name, base) for files, name in zip((first, second), decodings, strict=True)]
    clusters = resampling.clusters(base)
    figures = difference(parts[0], parts[1], resampling, clusters, whole=len(first) == len(second) == 1)
    return {
        "samples": len(base.sample_ids),
        "unit": resampling.unit_of(base),
        "clusters": len(set(clusters)),
        "figures": figures,
    }


def success_difference(
    ours: Sequence[Predictions], theirs: Sequence[Predictions], decodings: tuple[str, str], resampling: Resampling
) -> dict[str, Any]:
    """Return by how much our success rate is above theirs: value, low and high end of the 95 % interval.

    Args:
        ours, theirs: One file per seed; their common windows are compared.
        decodings: Of ours and of theirs.
        resampling: How the interval is made.

    Raises:
        DataError: As `seed_figures`.
    """
    first = _common((*ours, *theirs)) if ours and theirs else _common(())
    parts = [_averaged(files, name, first) for files, name in zip((ours, theirs), decodings, strict=True)]
    clusters = resampling.clusters(first)
    change = Ratios(parts[0].names, parts[0].numerators - parts[1].numerators, parts[0].denominators)
    return {
        **with_intervals(change, clusters, resampling.draws, resampling.seed)["success_rate"],
        "samples": len(first.sample_ids),
        "unit": resampling.unit_of(first),
        "clusters": len(set(clusters)),
    }


def _common(files: Sequence[Predictions]) -> Predictions:
    """Return the first file, cut to the windows that all have."""
    if not files:
        raise DataError("there are no predictions to compare", HINT)
    common = sorted(set.intersection(*(set(file.sample_ids) for file in files)))
    if not common:
        raise DataError(f"{files[0].path} and the others have no sample_id in common", HINT)
    return _at(files[0], common)


def _averaged(files: Sequence[Predictions], decoding: str, first: Predictions) -> Ratios:
    """Return the ratios of the windows of `first`, numerators averaged over seeds."""
    each = []
    for file in files:
        if decoding not in file.plans:
            raise DataError(f"{file.path} has no plans of decoding '{decoding}'", HINT)
        file = _at(file, first.sample_ids)
        if not np.array_equal(file.target, first.target):
            raise DataError(f"{file.path} has other true steps than {first.path}", HINT)
        each.append(ratios(file, decoding))
    names = [name for name in each[0].names if all(name in parts.names for parts in each)]
    kept = [[parts.names.index(name) for name in names] for parts in each]
    above = np.mean([parts.numerators[:, at] for parts, at in zip(each, kept, strict=True)], axis=0)
    return Ratios(tuple(names), above, each[0].denominators[:, kept[0]])


def _at(file: Predictions, samples: Sequence[str]) -> Predictions:
    place = {sample: row for row, sample in enumerate(file.sample_ids)}
    return file.at([place[sample] for sample in samples])
