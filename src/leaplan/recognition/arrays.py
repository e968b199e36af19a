"""Arrays of scores and classes that a `.npz` holds, checked before they are used. N samples, C classes, A actions."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leaplan.errors import DataError
from leaplan.recognition.metrics import Scores

AGAIN = "Evaluate the run again, or see the formats:  leaplan score --protocol epic-recognition --help"


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return all arrays of a .npz file; pickled objects are refused.

    Raises:
        DataError: The file is missing or damaged, or holds pickled objects.
    """
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            raise DataError(f"{path} holds one bare array, not named ones", "Write it with numpy.savez")
        with content as file:
            return {name: np.atleast_1d(file[name]) for name in file.files}
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", "Check the path") from error
    except DataError:
        raise
    except Exception as error:  # a damaged file makes its parser raise anything
        reason = str(error).partition(". ")[0]  # without NumPy's advice to unpickle
        raise DataError(
            f"{path} cannot be read ({reason})", "Write it again with numpy.savez, without objects"
        ) from error


def as_text(path: Path, name: str, array: NDArray[Any]) -> tuple[str, ...]:
    """Return (N,) texts of a file.

    Raises:
        DataError: It is something else.
    """
    if array.ndim != 1 or array.dtype.kind != "U":
        raise DataError(f"{path}: {name} is {array.shape} {array.dtype}, but (N,) text is expected", AGAIN)
    return tuple(array.tolist())


def as_scores(path: Path, name: str, array: NDArray[Any], width: int = 0) -> Tensor:
    """Return scores (N, C) of a file, float32 as they are and any other numbers as float64; C is `width`, if given.

    Raises:
        DataError: It is something else.
    """
    fits = array.ndim == 2 and array.shape[1] == (width or max(1, array.shape[1]))
    if not fits or array.dtype.kind not in "fiu":
        expected = f"(N, {width or 'classes'})"
        raise DataError(f"{path}: {name} is {array.shape} {array.dtype}, but {expected} numbers are expected", AGAIN)
    return torch.from_numpy(array.astype(np.float32 if array.dtype == np.float32 else np.float64, copy=False))


def as_pairs(path: Path, array: NDArray[Any], scores: Scores) -> Tensor:
    """Return verb and noun (A, 2) of the actions of a file, whose heads have such classes.

    Raises:
        DataError: It is something else.
    """
    actions = len(array) if scores.action is None else scores.action.shape[1]
    if array.shape != (actions, 2) or array.dtype.kind not in "iu":
        what = f"action_pairs is {array.shape} {array.dtype}"
        raise DataError(f"{path}: {what}, but ({actions}, 2) whole numbers are expected", AGAIN)
    for name, column, head in zip(("verb", "noun"), array.T, scores[:2], strict=True):
        _refuse_outside(path, f"action_pairs names a {name}", column, 0, head)
    return torch.from_numpy(array.astype(np.int64))


def as_labels(path: Path, name: str, array: NDArray[Any], head: Tensor | None) -> Tensor:
    """Return true classes (N,) of a file, -1 where there is none; those of the scores (N, C) of a head.

    Raises:
        DataError: It is something else.
    """
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(f"{path}: {name} is {array.shape} {array.dtype}, but (N,) whole numbers are expected", AGAIN)
    _refuse_outside(path, f"{name} names a class", array, -1, head)
    return torch.from_numpy(array.astype(np.int64))


def _refuse_outside(path: Path, what: str, classes: NDArray[Any], lowest: int, head: Tensor | None) -> None:
    count = 2**31 if head is None else head.shape[1]
    wrong = classes[(classes < lowest) | (classes >= count)]
    if len(wrong):
        raise DataError(f"{path}: {what} {wrong[0]}, but classes are 0 to {count - 1}", AGAIN)
