"""Feature arrays on disk, read without ever unpickling."""

import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leaplan.errors import DataError

SUFFIXES = (".npy", ".npz", ".pt", ".safetensors")
AGAIN = "Get the file again, or extract it again"
NUMBERS = "fiub"  # kinds of NumPy types that become float32 without loss of meaning


def index_arrays(folder: Path, videos: Iterable[str]) -> dict[str, Path]:
    """Return video id to file. A file belongs to the video that its name is, or ends in "_" with.

    Raises:
        DataError: The folder does not exist.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} does not exist",
            "Put one array per video there, a row per second, or name another folder with --data.source.folder",
        )
    wanted = set(videos)
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES):
        parts = path.stem.split("_")
        names = (  # longest first: ids may contain "_" themselves
            "_".join(parts[position:]) for position in range(len(parts))
        )
        video = next((name for name in names if name in wanted), None)
        if video is not None and (video not in found or path.stem == video):
            found[video] = path
    return found


def read_array(path: Path, key: str | None = None, ndim: int = 2) -> NDArray[np.float32]:
    """Return the array in `path` as float32, (rows, D) where `ndim` is 2.

    Raises:
        DataError: Unreadable, pickled, not numbers, of another rank than `ndim`, empty, or not finite.
    """
    try:
        array = _load(path, key)
    except Exception as error:  # a damaged file makes its parser raise anything
        raise DataError(f"{path} cannot be read as an array ({_reason(error)})", AGAIN) from error
    if array.dtype.kind not in NUMBERS:
        raise DataError(f"{path} holds an array of type {array.dtype}, not of real numbers", AGAIN)
    if array.ndim != ndim or array.size == 0:
        raise DataError(f"{path} holds an array of shape {array.shape}, not {ndim}-dimensional", AGAIN)
    with np.errstate(over="ignore"):  # beyond float32 is infinity, and told as such
        values: NDArray[np.float32] = array.astype(np.float32)
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise DataError(f"{path} holds NaN or infinity, first in row {row}", AGAIN)
    return values


def read_archive(path: Path, keys: Sequence[str]) -> dict[str, NDArray[np.generic]]:
    """Return the arrays `keys` of the `.npz` archive `path`.

    Raises:
        DataError: Missing, not an archive, or without one of the keys.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise DataError(f"{path} holds a single array, not an archive", AGAIN)
        with loaded as archive:
            absent = [key for key in keys if key not in archive]
            if absent:
                raise DataError(f"{path} has no array {absent}; it has {sorted(archive)}", AGAIN)
            return {key: archive[key] for key in keys}
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", "Set --root to the folder that holds the data") from error
    except DataError:
        raise
    except Exception as error:  # a damaged file makes its parser raise anything
        raise DataError(f"{path} is not a readable .npz archive ({_reason(error)})", AGAIN) from error


def _load(path: Path, key: str | None) -> NDArray[np.generic]:
    if path.suffix == ".pt":
        import torch

        return _from_tensors(torch.load(path, map_location="cpu", weights_only=True), key)
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return _from_tensors(load_file(path), key)
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        return loaded[_name(loaded.files, key)]


def _from_tensors(loaded: object, key: str | None) -> NDArray[np.generic]:
    """Return a tensor, or the one named `key` of a dictionary of tensors, of whatever type, as an array."""
    import torch

    if isinstance(loaded, dict):
        tensors = {str(name): value for name, value in loaded.items() if isinstance(value, torch.Tensor)}
        loaded = tensors[_name(tensors, key)]
    if not isinstance(loaded, torch.Tensor):
        raise TypeError(f"it holds a {type(loaded).__name__}, not a tensor or a dictionary of tensors")
    return np.asarray(loaded.detach().to_dense().float())


def _name(names: Iterable[str], key: str | None) -> str:
    """Return `key`, or the only one of `names`."""
    found = sorted(names)
    if key is None and len(found) == 1:
        return found[0]
    if key is None or key not in found:
        raise ValueError(f"no array {key!r} among {found}" if key else f"which array is meant among {found}?")
    return key


def _reason(error: Exception) -> str:
    """Return the first line of an error; torch's advice to unpickle regardless is not passed on."""
    if isinstance(error, pickle.UnpicklingError):
        return "it holds pickled objects, which are never loaded"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
