"""Two predictions files compared sample by sample."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from leaplan.errors import DataError
from leaplan.planning.scoring.figures import Resampling, ratios
from leaplan.planning.scoring.predictions import HINT, Predictions
from leaplan.training.resampling import Ratios, cluster_sums, mcnemar_p_value, sign_flip_p_value, with_intervals


def compare(first: Predictions, second: Predictions, resampling: Resampling) -> dict[str, Any]:
    """Return second minus first on their common samples, with intervals and paired p-values.

    The interval resamples clusters; the p-value flips the sign of each cluster's difference. Where samples are the
    clusters, the success rate also gets the exact McNemar test.

    Raises:
        DataError: There is no common sample or decoding, or the true steps of a sample differ.
    """
    first, second = _aligned(first, second)
    clusters = resampling.clusters(first)
    pairs = _common_decodings(first, second)
    return {
        "files": [str(first.path), str(second.path)],
        "difference": "second minus first",
        "samples": len(first.sample_ids),
        "resampled": {"unit": resampling.unit_of(first), "clusters": len(set(clusters))},
        "decodings": {
            name: difference(ratios(first, a), ratios(second, b), resampling, clusters)
            for name, (a, b) in pairs.items()
        },
    }


def difference(
    first: Ratios, second: Ratios, resampling: Resampling, clusters: Sequence[str], whole: bool = True
) -> dict[str, Any]:
    """Return second minus first of each figure: value, interval, and p-value of the sign flip of clusters.

    Args:
        first, second: Of the same samples, success rate first.
        resampling: How intervals and p-values are made.
        clusters: Of each sample.
        whole: Samples are right or wrong, so that McNemar's test can count them; False of means over seeds.
    """
    change = Ratios(first.names, second.numerators - first.numerators, first.denominators)
    figures = with_intervals(change, clusters, resampling.draws, resampling.seed)
    sums = cluster_sums(change.numerators, clusters)
    p_values, exact = sign_flip_p_value(sums, resampling.permutations, resampling.seed)
    for name, p_value in zip(first.names, p_values, strict=True):
        figures[name] |= {"p_value": float(p_value), "test": f"sign flip, {'exact' if exact else 'random'}"}
    if whole and len(sums) == len(change.numerators):
        success = change.numerators[:, 0]
        worse, better = int((success < 0).sum()), int((success > 0).sum())
        figures["success_rate"]["mcnemar"] = {
            "only_first": worse,
            "only_second": better,
            "p_value": mcnemar_p_value(worse, better),
        }
    return figures


def _aligned(first: Predictions, second: Predictions) -> tuple[Predictions, Predictions]:
    """Cut both to their common samples, in one order.

    Videos, and which plans are in training, need be told by one of the files only; where both do, the first counts.
    """
    place = {sample: row for row, sample in enumerate(second.sample_ids)}
    rows = [row for row, sample in enumerate(first.sample_ids) if sample in place]
    if not rows:
        raise DataError(f"{first.path} and {second.path} have no sample_id in common", HINT)
    a, b = first.at(rows), second.at([place[first.sample_ids[row]] for row in rows])
    if a.named != b.named:
        raise DataError(f"one of {first.path} and {second.path} names its steps, the other numbers them", HINT)
    same = a.target.shape == b.target.shape and (a.target == b.target).all(1)
    if not isinstance(same, Tensor) or not bool(same.all()):
        row = int((~same).nonzero()[0]) if isinstance(same, Tensor) else 0
        raise DataError(
            f"the true steps of sample '{a.sample_ids[row]}' are {a.target[row].tolist()} in {first.path}, "
            f"but {b.target[row].tolist()} in {second.path}",
            HINT,
        )
    videos, seen = a.videos or b.videos, b.seen if a.seen is None else a.seen
    return replace(a, videos=videos, seen=seen), replace(b, videos=videos, seen=seen)


def _common_decodings(first: Predictions, second: Predictions) -> dict[str, tuple[str, str]]:
    """Return which decodings are compared: those of the same name, or each with the only plan of the other file."""
    common = {name: (name, name) for name in first.plans if name in second.plans}
    if not common and min(len(first.plans), len(second.plans)) == 1:
        common = {f"{a} / {b}": (a, b) for a in first.plans for b in second.plans}
    if not common:
        a, b = next(iter(first.plans)), next(iter(second.plans))
        raise DataError(
            f"{first.path} has the decodings {', '.join(first.plans)}, {second.path} {', '.join(second.plans)}: "
            "none in common",
            f"Choose one of each, such as  --decode {a},{b}",
        )
    return common
