"""Clips seen through precomputed features: rows of arrays instead of frames, all of a split in one tensor."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leaplan.data.clips import Key, Sample
from leaplan.data.views import Clip, Window


class FeatureClips:
    """What features show of the clips of a split.

    Args:
        features: (M, W, S, D).
        window_mask: (M, W), False where nothing may be seen.
    """

    def __init__(self, features: Tensor, window_mask: Tensor) -> None:
        self.features, self.window_mask = features, window_mask

    def __getitem__(self, key: Key) -> Sample:
        index = key[1] if isinstance(key, tuple) else key
        return {
            "index": index,
            "clips": self.features[index][None],  # (1, W, S, D), one view
            "window_mask": self.window_mask[index],
            "broken": [],
        }


def rows_of_window(window: Window, rows: int, length: int, latest: float | None) -> NDArray[np.int64]:
    """Return row numbers (rows,) spread evenly over a window; row r shows second r to r + 1.

    Args:
        window: In seconds.
        rows: S.
        length: Rows of the array.
        latest: No row that ends after it is used; None sets no bound. If none is left, the result is empty.
    """
    last = length - 1 if latest is None else min(length - 1, math.floor(latest + 1e-9) - 1)
    if last < 0:
        return np.zeros(0, np.int64)
    middle = window.start + (np.arange(rows) + 0.5) / rows * (window.stop - window.start)
    return np.clip(np.floor(middle).astype(np.int64), 0, last)


def clips_from_arrays(clips: Sequence[Clip], arrays: dict[str, NDArray[np.float32]], rows: int) -> FeatureClips:
    """Return what arrays of one row per second show of `clips`.

    Args:
        clips: M clips.
        arrays: Per video (seconds, D).
        rows: S rows per window.
    """
    width = next(iter(arrays.values())).shape[1]
    count = len(clips[0].windows)
    features = np.zeros((len(clips), count, rows, width), np.float32)
    mask = np.zeros((len(clips), count), np.bool_)
    for place, clip in enumerate(clips):
        array = arrays[clip.video]
        for w, window in enumerate(clip.windows):
            at = np.zeros(0, np.int64) if window is None else rows_of_window(window, rows, len(array), clip.latest)
            if len(at):
                features[place, w], mask[place, w] = array[at], True
    return FeatureClips(torch.from_numpy(features), torch.from_numpy(mask))
