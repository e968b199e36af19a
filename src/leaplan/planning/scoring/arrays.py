"""Predictions from `.npz`: plain arrays, never pickled objects."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from leaplan.errors import DataError
from leaplan.planning.metrics import PAD, target_rank
from leaplan.planning.scoring.predictions import HINT, LARGEST_ID, Predictions, refuse

Arrays = Mapping[str, NDArray[Any]]
KINDS = {
    "target": (2, "iu", "integers"),
    "pred": (2, "iu", "integers"),
    "logits": (3, "f", "floats"),
    "seen_in_training": (1, "b", "booleans"),
}


def read_arrays(path: Path) -> Predictions:
    """Read `target` (B, T), `pred` (B, L) or `logits` (B, T, N), and `sample_id`, `video`, `seen_in_training` (B,).

    Raises:
        DataError: The file is damaged, or one array does not fit.
        ProblemList: Several arrays do not fit.
    """
    arrays = _load_arrays(path)
    refuse(path, _array_problems(arrays))
    refuse(path, _value_problems(arrays))
    target = torch.from_numpy(arrays["target"].astype(np.int64))
    logits = torch.from_numpy(arrays["logits"].astype(np.float64)) if "logits" in arrays else None
    plans = {"plan": torch.from_numpy(arrays["pred"].astype(np.int64))} if "pred" in arrays else {}
    if logits is not None:
        plans["argmax"] = logits.argmax(-1)
    ids = [str(value) for value in arrays.get("sample_id", np.arange(len(target)))]
    videos = tuple(str(value) for value in arrays["video"]) if "video" in arrays else None
    seen = torch.from_numpy(arrays["seen_in_training"]) if "seen_in_training" in arrays else None
    rank = None if logits is None else target_rank(logits, target)
    return Predictions(path, tuple(ids), videos, target, plans, rank, 0 if logits is None else logits.shape[2], seen)


def _load_arrays(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # a damaged file makes its parser raise anything
        reason = "holds pickled objects, which are not read: store plain arrays" if "pickle" in str(error) else ""
        raise DataError(f"{path} {reason or f'is not a .npz of plain arrays ({error})'}", HINT) from error


def _array_problems(arrays: Arrays) -> list[str]:
    there = f"(arrays: {', '.join(arrays) or 'none'})"
    if "target" not in arrays or not {"pred", "logits"} & set(arrays):
        return [f"no array {'pred or logits' if 'target' in arrays else 'target'} {there}"]
    problems = []
    for name, (axes, kinds, wanted) in KINDS.items():
        array = arrays.get(name)
        if array is not None and (array.ndim != axes or array.dtype.kind not in kinds):
            problems.append(f"array '{name}' is {array.dtype} {array.shape}, but must be {wanted} with {axes} axes")
    rows = len(arrays["target"]) if arrays["target"].ndim else 0
    for name in ("pred", "logits", "sample_id", "video", "seen_in_training"):
        if name in arrays and arrays[name].shape[:1] != (rows,):
            problems.append(f"array '{name}' is {arrays[name].shape}, but 'target' has {rows} rows")
    if not rows or 0 in arrays["target"].shape:
        problems.append(f"array 'target' is {arrays['target'].shape}: no predictions")
    return problems


def _value_problems(arrays: Arrays) -> list[str]:
    problems, target, logits = [], arrays["target"], arrays.get("logits")
    if target.min() < 0 or target.max() > LARGEST_ID:
        problems.append(f"array 'target' holds the id {_outlier(target, 0)}, but ids go from 0 to {LARGEST_ID}")
    if "pred" in arrays and arrays["pred"].size and (arrays["pred"].min() < PAD or arrays["pred"].max() > LARGEST_ID):
        problems.append(f"array 'pred' holds {_outlier(arrays['pred'], PAD)}, but ids go from 0; {PAD} pads")
    if logits is not None and logits.shape[1] != target.shape[1]:
        problems.append(f"array 'logits' has {logits.shape[1]} steps, but 'target' has {target.shape[1]}")
    if logits is not None and np.isnan(logits).any():
        problems.append(f"array 'logits' is NaN in row {int(np.argwhere(np.isnan(logits))[0, 0])}")
    if logits is not None and target.max() >= logits.shape[2]:
        problems.append(f"array 'target' holds the id {target.max()}, but 'logits' has {logits.shape[2]} classes")
    if "sample_id" in arrays:
        values, counts = np.unique(arrays["sample_id"], return_counts=True)
        problems += [
            f"sample_id '{value}' is there {count} times"
            for value, count in zip(values, counts, strict=True)
            if count > 1
        ]
    return problems


def _outlier(ids: NDArray[Any], lowest: int) -> int:
    low, high = int(ids.min()), int(ids.max())
    return low if low < lowest else high
