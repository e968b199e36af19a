"""Feature arrays on disk, read without ever unpickling."""

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leaplan.errors import DataError

SUFFIXES = (".npy", ".npz", ".pt", ".safetensors")
AGAIN = "Get the file again, or extract it again"


def index_arrays(folder: Path, videos: Iterable[str]) -> dict[str, Path]:
    """Return video id to file. A file belongs to the video that its name is, or ends in "_" with.

    Raises:
        DataError: The folder does not exist.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist", "Set --root to the folder that holds the data")
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
    """Return the array in `path` as float32.

    Raises:
        DataError: Unreadable, pickled, of another rank than `ndim`, empty, or not finite.
    """
    try:
        array = _load(path, key)
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path} cannot be read as an array ({_first_line(error)})", AGAIN) from error
    if array.ndim != ndim or array.size == 0:
        raise DataError(f"{path} holds an array of shape {array.shape}, not {ndim}-dimensional", AGAIN)
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
        with np.load(path, allow_pickle=False) as archive:
            absent = [key for key in keys if key not in archive]
            if absent:
                raise DataError(f"{path} has no array {absent}; it has {sorted(archive)}", AGAIN)
            return {key: archive[key] for key in keys}
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", "Set --root to the folder that holds the data") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a readable .npz archive ({_first_line(error)})", AGAIN) from error


def _load(path: Path, key: str | None) -> NDArray[np.generic]:
    if path.suffix == ".pt":
        return _load_torch(path, key)
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return _pick(load_file(path), key)
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        return _pick({name: loaded[name] for name in loaded.files if key in (None, name)}, key)


def _load_torch(path: Path, key: str | None) -> NDArray[np.generic]:
    import torch

    loaded = torch.load(path, map_location="cpu", weights_only=True)
    tensors = {"": loaded} if isinstance(loaded, torch.Tensor) else loaded
    return np.asarray(_pick(tensors, key))


def _pick(arrays: dict[str, NDArray[np.generic]], key: str | None) -> NDArray[np.generic]:
    if key is None and len(arrays) == 1:
        return next(iter(arrays.values()))
    if key is None or key not in arrays:
        raise KeyError(f"array {key!r} among {sorted(arrays)}")
    return arrays[key]


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
