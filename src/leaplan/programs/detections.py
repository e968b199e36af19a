"""Faster R-CNN detections of one video, as RULSTM published them: boxes by frame, looked up with a binary search.

Our file is an `.npz` with `detections` float (M, 6): class id, x1, y1, x2, y2 in pixels, score; and `frame` int (M,).
Optional are `fps`, the rate of the frames, and `size`, the picture's width and height.
"""

import io
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from leaplan.errors import DataError
from leaplan.programs.pickled_bytes import Call, Name, PickleError, read
from leaplan.reading import AGAIN, content_of
from leaplan.writing import write_whole

FPS = 30.0  # of the frames that RULSTM worked on
SIZE = (1920, 1080)
HINT = "Give an .npz with `detections` (M, 6) and `frame` (M,); docs/programs.md tells how to convert others"


@dataclass(frozen=True, slots=True)
class Track:
    """All detections of a video, sorted by frame.

    Args:
        frame: Frame numbers, int64 (M,); frame n is at n / fps seconds.
        table: Class id, x1, y1, x2, y2, score; float32 (M, 6).
        fps: Frames per second.
        size: Width and height of the picture in pixels.
    """

    frame: npt.NDArray[np.int64]
    table: npt.NDArray[np.float32]
    fps: float
    size: tuple[int, int]

    def between(self, start: float, stop: float) -> "Track":
        """Return the detections from `start` to `stop`, both in seconds and included."""
        rows = slice(*np.searchsorted(self.frame, self._frames(start, stop) + np.array([0, 1])))
        return Track(self.frame[rows], self.table[rows], self.fps, self.size)

    def frames_between(self, start: float, stop: float) -> int:
        """Return how many frames from `start` to `stop` the detector saw, those without any detection included."""
        if not len(self.frame):
            return 0
        first, last = self._frames(start, stop)
        return max(0, int(min(last, self.frame[-1]) - max(first, self.frame[0]) + 1))

    def _frames(self, start: float, stop: float) -> npt.NDArray[np.int64]:
        return np.array([math.ceil(start * self.fps - 1e-6), math.floor(stop * self.fps + 1e-6)], np.int64)


def read_detections(path: Path, fps: float = FPS, size: tuple[int, int] = SIZE) -> Track:
    """Return the detections in an `.npz`; the file's own `fps` and `size` are preferred to the arguments.

    Raises:
        DataError: Unreadable, an array is missing or of a wrong shape, or it would need unpickling.
    """
    try:
        with np.load(io.BytesIO(content_of(path)), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("detections", "frame", "fps", "size") if name in archive}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise DataError(f"{path} cannot be read as .npz without unpickling ({error})", HINT) from error
    missing = [name for name in ("detections", "frame") if name not in arrays]
    if missing:
        raise DataError(f"{path} has no array {missing[0]!r}", HINT)
    table, frame = arrays["detections"], arrays["frame"]
    _check(path, table, frame)
    order = np.argsort(frame, kind="stable")
    rate = float(arrays["fps"]) if "fps" in arrays else fps
    width, height = (int(each) for each in arrays["size"]) if "size" in arrays else size
    if not (math.isfinite(rate) and rate > 0 and width > 0 and height > 0):
        raise DataError(f"{path}: {rate} frames per second of {width}x{height}", HINT)
    return Track(frame[order].astype(np.int64), table[order].astype(np.float32), rate, (width, height))


def _check(path: Path, table: npt.NDArray[Any], frame: npt.NDArray[Any]) -> None:
    if table.ndim != 2 or table.shape[1] != 6 or table.dtype.kind not in "fiu":
        raise DataError(f"{path}: `detections` is {table.dtype} {table.shape}, not numbers (M, 6)", HINT)
    if frame.shape != table.shape[:1] or frame.dtype.kind not in "iu":
        raise DataError(f"{path}: `frame` is {frame.dtype} {frame.shape}, not whole numbers ({len(table)},)", HINT)
    if not np.isfinite(table).all():
        raise DataError(f"{path}: `detections` holds values that are not finite", AGAIN)


def convert_detections(npy: Path, npz: Path, fps: float | None = None, size: tuple[int, int] | None = None) -> int:
    """Write RULSTM's object array `npy` as a pickle-free `npz`, frames numbered from 1; return how many boxes.

    The array is read as data: no code in it is imported or run.

    Raises:
        DataError: Unreadable, or anything but an object array of number arrays (m, 6).
    """
    try:
        frames = _object_array(content_of(npy))
    except (PickleError, ValueError) as error:
        raise DataError(f"{npy} is no object array of detections ({error})", AGAIN) from error
    wrong = [number for number, each in enumerate(frames, 1) if each.size and (each.ndim != 2 or each.shape[1] != 6)]
    if wrong:
        raise DataError(f"{npy}: frame {wrong[0]} has shape {frames[wrong[0] - 1].shape}, not (m, 6)", AGAIN)
    numbers = [np.full(each.size // 6, number, np.int32) for number, each in enumerate(frames, 1)]
    arrays: dict[str, Any] = {
        "detections": np.concatenate([np.zeros((0, 6), np.float32), *(each.reshape(-1, 6) for each in frames)]),
        "frame": np.concatenate([np.zeros(0, np.int32), *numbers]),
    }
    arrays |= {} if fps is None else {"fps": np.float64(fps)}
    arrays |= {} if size is None else {"size": np.array(size, np.int32)}
    arrays["detections"] = arrays["detections"].astype(np.float32)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_whole(npz, lambda partial: partial.write_bytes(content.getvalue()))
    return len(arrays["frame"])


def _object_array(content: bytes) -> list[npt.NDArray[Any]]:
    """Return the arrays in a `.npy` of objects."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the .npy format")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = header(file)
    if dtype != np.dtype(object):
        raise ValueError(f"it holds {dtype}, not objects")
    _, kind, entries = _parts(read(content[file.tell() :]))
    if kind not in ("O", "O4", "O8") or not isinstance(entries, list):
        raise ValueError("its entries are no list of objects")
    return [_array(each) for each in entries]


def _array(value: object) -> npt.NDArray[Any]:
    """Return the number array that a pickle describes."""
    shape, kind, content = _parts(value)
    if isinstance(content, str):  # Python 2 text
        content = content.encode("latin-1")
    if kind not in ("f2", "f4", "f8", "i4", "i8") or not isinstance(content, bytes):
        raise ValueError(f"an array of {kind}, not of numbers")
    return np.frombuffer(content, np.dtype(f"<{kind}")).reshape(shape).astype(np.float32)


def _parts(value: object) -> tuple[tuple[int, ...], str, Any]:
    """Return shape, kind such as "f4", and content of a pickled array."""
    if not (isinstance(value, Call) and value.name in _MAKE and value.arguments[:1] == (Name("numpy ndarray"),)):
        raise ValueError("an entry is no array")
    match value.state:
        case (
            _,
            tuple() as shape,
            Call("numpy dtype", (str() | bytes() as kind, *_), tuple() as state),
            fortran,
            content,
        ):
            kind = kind.decode("latin-1") if isinstance(kind, bytes) else kind
            order = state[1] if len(state) > 1 else "<"
            if fortran and len(shape) > 1:
                raise ValueError("an array in Fortran order")
            if order in (">", b">") or not all(isinstance(side, int) and side >= 0 for side in shape):
                raise ValueError("an array of another byte order or shape")
            return shape, kind.lstrip("<|"), content
    raise ValueError("an array without its state")


_MAKE = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
