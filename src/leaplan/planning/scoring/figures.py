"""Predictions to figures: scores with intervals, and seeds summarised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leaplan.errors import DataError
from leaplan.planning.counting import count_plans
from leaplan.planning.legacy import legacy_scores
from leaplan.planning.metrics import plan_scores
from leaplan.planning.scoring.predictions import HINT, Predictions
from leaplan.training.resampling import Ratios, mean_and_deviation, with_intervals


@dataclass(frozen=True)
class Resampling:
    """How intervals and p-values are made.

    Args:
        unit: "video", "sample", or "" for videos where they are known.
        draws: Bootstrap draws.
        permutations: Random sign patterns of the paired test.
        seed: Of both.
    """

    unit: str = ""
    draws: int = 2000
    permutations: int = 10_000
    seed: int = 7

    def clusters(self, predictions: Predictions) -> tuple[str, ...]:
        """Return the cluster of each sample.

        Raises:
            DataError: Videos are asked for and the file does not tell them.
        """
        if self.unit == "video" and predictions.videos is None:
            raise DataError(f"{predictions.path} tells no videos to resample", "Use --resample sample")
        if self.unit_of(predictions) == "video" and predictions.videos is not None:
            return predictions.videos
        return predictions.sample_ids

    def unit_of(self, predictions: Predictions) -> str:
        """Return "video" or "sample"."""
        return self.unit or ("sample" if predictions.videos is None else "video")


def ratios(predictions: Predictions, decoding: str) -> Ratios:
    """Return what SR, mAcc, mIoU, edit score, and SR of seen and unseen plans are the ratios of."""
    counts = count_plans(predictions.plans[decoding], predictions.target)
    one = torch.ones_like(counts.exact)
    columns: dict[str, tuple[Tensor, Tensor]] = {
        "success_rate": (counts.exact, one),
        "mean_accuracy": (counts.right.sum(1), counts.steps),
        "mean_iou": (counts.intersection / counts.union.double(), one),
        "edit_score": ((counts.longest - counts.distance) / counts.longest.double(), one),
    }
    if predictions.seen is not None:
        seen = predictions.seen.long()
        columns["success_rate_seen"] = (counts.exact * seen, seen)
        columns["success_rate_unseen"] = (counts.exact * (1 - seen), 1 - seen)
    above, below = (torch.stack([pair[side].double() for pair in columns.values()], 1).numpy() for side in (0, 1))
    return Ratios(tuple(columns), above, below)


def score_file(predictions: Predictions, resampling: Resampling, legacy_batch: int | None = None) -> dict[str, Any]:
    """Return all figures of one file, fractions with 95 % intervals, and the legacy ones if a batch size is given.

    Raises:
        DataError: Legacy figures are asked for of plans of several lengths.
    """
    clusters = resampling.clusters(predictions)
    decodings = {name: _score(predictions, name, resampling, clusters) for name in predictions.plans}
    if legacy_batch is not None:
        for name, plan in predictions.plans.items():
            if predictions.named or plan.shape != predictions.target.shape or bool((plan < 0).any()):
                raise DataError(
                    f"{predictions.path}: legacy mIoUs are functions of step ids and need plans of one length", HINT
                )
            values = legacy_scores(plan, predictions.target, legacy_batch)
            decodings[name]["legacy"] = {
                "batch_size": legacy_batch,
                **{key: float(value) for key, value in values.items()},
            }
    return {
        "file": str(predictions.path),
        "samples": len(predictions.sample_ids),
        "videos": None if predictions.videos is None else len(set(predictions.videos)),
        "horizon": predictions.target.shape[1],
        "seen": None if predictions.seen is None else int(predictions.seen.sum()),
        "resampled": {"unit": resampling.unit_of(predictions), "clusters": len(set(clusters))},
        "candidates": _score_candidates(predictions, resampling, clusters),
        "decodings": decodings,
    }


def _score(predictions: Predictions, decoding: str, resampling: Resampling, clusters: Sequence[str]) -> dict[str, Any]:
    parts = ratios(predictions, decoding)
    exact = {key: float(value) for key, value in plan_scores(predictions.plans[decoding], predictions.target).items()}
    figures: dict[str, Any] = with_intervals(parts, clusters, resampling.draws, resampling.seed)
    for name in figures.keys() & exact.keys():
        figures[name]["value"] = exact[name]
    figures["macro_precision"] = {"value": exact["macro_precision"]}
    figures["step_accuracy"] = [exact[f"step_accuracy_{t}"] for t in range(1, 1 + predictions.target.shape[1])]
    return figures


def _score_candidates(
    predictions: Predictions, resampling: Resampling, clusters: Sequence[str], k: int = 5
) -> dict[str, Any] | None:
    """Acc@k, of logits or of lists of candidates; None where there are none."""
    if predictions.rank is None:
        return None
    k = min(k, predictions.candidates)
    inside = (predictions.rank < k).double().sum(1, keepdim=True).numpy()
    parts = Ratios(("accuracy_at_k",), inside, np.full_like(inside, predictions.target.shape[1]))
    return {"k": k, **with_intervals(parts, clusters, resampling.draws, resampling.seed)["accuracy_at_k"]}


def summarise_seeds(files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return mean and sample standard deviation over the files (results of `score_file`) of one model's seeds.

    Raises:
        DataError: There are fewer than two, or their samples or decodings differ.
    """
    if len(files) < 2:
        raise DataError(f"--seeds needs at least two files, but got {len(files)}")
    for file in files[1:]:
        for what in ("samples", "horizon"):
            if file[what] != files[0][what]:
                raise DataError(f"{file['file']} has {what} {file[what]}, but {files[0]['file']} {files[0][what]}")
        if file["decodings"].keys() != files[0]["decodings"].keys():
            raise DataError(f"{file['file']} has other decodings than {files[0]['file']}")
    summary: dict[str, Any] = {}
    for decoding, scores in files[0]["decodings"].items():
        names = [name for name, score in scores.items() if isinstance(score, dict) and "value" in score]
        summary[decoding] = {
            name: _over_seeds([file["decodings"][decoding].get(name) for file in files]) for name in names
        }
    return summary


def _over_seeds(scores: Sequence[Mapping[str, Any] | None]) -> dict[str, Any]:
    values = [None if score is None else score["value"] for score in scores]
    if any(value is None for value in values):
        return {"mean": None, "sd": None, "values": values}
    mean, deviation = mean_and_deviation([float(value) for value in values if value is not None])
    return {"mean": mean, "sd": deviation, "values": values}
