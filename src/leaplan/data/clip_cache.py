"""Decoded frames of clips on disk: written once, read by every process and every later run.

A cache is a folder of memory-mapped arrays whose name is a hash of everything that decides its content: clips,
sizes, sampling, and the names, sizes and times of the video files. Whatever of these changes, another folder is
used; old ones may be deleted at any time. A row is flagged only after it is written, so that a run may be killed
anywhere; a row whose checksum is wrong counts as missing.
"""

import hashlib
import json
import os
import shutil
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from leaplan.errors import DataError
from leaplan.writing import alone, write_json

VERSION = 1
HEAD = 5  # of a row of the index: frames, height, width, spans, checksum


class CachedClip(NamedTuple):
    """n frames of a clip, and the windows that they were chosen from."""

    numbers: NDArray[np.int64]  # (n,) ascending frame numbers
    spans: NDArray[np.int64]  # (windows, 2) first and last frame number of each window that may be seen
    frames: NDArray[np.uint8]  # (n, H, W, 3)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What fits into a cache.

    Args:
        clips: M.
        windows: W of each clip.
        frames: n of each clip, at most.
        pixels: H x W of a frame, at most. Clips of larger frames are not kept.
    """

    clips: int
    windows: int
    frames: int
    pixels: int

    @property
    def shapes(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Shapes and types of the arrays; what is never written takes no space on disk."""
        return {
            "frames": ((self.clips, self.frames * self.pixels * 3), np.uint8),
            "index": ((self.clips, HEAD + 2 * self.windows + self.frames), np.int64),
            "done": ((self.clips,), np.uint8),
        }


class ClipCache:
    """Frames of the clips of a split.

    Args:
        folder: Folder of all caches, made where it is missing.
        content: Everything that decides what is cached, as JSON can hold it.
        capacity: What fits.

    Raises:
        DataError: The folder cannot be written.
    """

    def __init__(self, folder: Path, content: object, capacity: Capacity) -> None:
        text = json.dumps([VERSION, content], sort_keys=True, default=str)
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()
        self.capacity = capacity
        self.folder = folder / f"clips-{self.sha256[:20]}"
        self._arrays: dict[str, Any] = {}
        self._files: dict[str, int] = {}
        self._process = 0
        self._full = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with alone(folder / ".lock"):
                self._make_unless_whole()
        except OSError as error:
            raise DataError(
                f"the cache {folder} cannot be written ({error})", "Name another folder with --data.source.cache"
            ) from error

    def get(self, clip: int) -> CachedClip | None:
        """Return what is kept of clip number `clip`; None if nothing is, or if it is damaged."""
        arrays = self._opened()
        if not arrays["done"][clip]:
            return None
        row = np.array(arrays["index"][clip])
        count, height, width, spans, checksum = row[:HEAD].tolist()
        if not (0 < count <= self.capacity.frames and 0 < height * width <= self.capacity.pixels):
            return None
        pixels = arrays["frames"][clip, : count * height * width * 3]
        if not 0 < spans <= self.capacity.windows or _checksum(row, pixels) != checksum:
            return None
        return CachedClip(
            row[HEAD + 2 * self.capacity.windows :][:count],
            row[HEAD:][: 2 * spans].reshape(spans, 2),
            pixels.reshape(count, height, width, 3),
        )

    def put(self, clip: int, cached: CachedClip) -> None:
        """Keep the frames of clip number `clip`, if they fit. On a full disk a warning is given, once."""
        count, height, width, _ = cached.frames.shape
        if self._full or count > self.capacity.frames or height * width > self.capacity.pixels:
            return
        arrays = self._opened()
        pixels = np.ascontiguousarray(cached.frames).reshape(-1)
        row = np.zeros(self.capacity.shapes["index"][0][1], np.int64)
        row[HEAD : HEAD + cached.spans.size] = cached.spans.reshape(-1)
        row[HEAD + 2 * self.capacity.windows :][:count] = cached.numbers
        row[:HEAD] = count, height, width, len(cached.spans), 0
        row[HEAD - 1] = _checksum(row, pixels)
        try:
            for name, part in (("frames", pixels), ("index", row), ("done", np.ones(1, np.uint8))):
                array = arrays[name]
                _write_at(self._files[name], part, array.offset + clip * array.strides[0])
        except OSError as error:
            self._full = True
            warnings.warn(f"the cache {self.folder} takes no more clips: {error}", stacklevel=2)

    def count(self) -> int:
        """Return how many clips are kept."""
        return int(np.count_nonzero(self._opened()["done"]))

    def close(self) -> None:
        """Close the files; the next `get` opens them again."""
        for file in self._files.values():
            os.close(file)
        self._files, self._arrays, self._process = {}, {}, 0

    def _opened(self) -> dict[str, Any]:
        """Return the arrays, opened once in each process."""
        if self._process != os.getpid():
            self._arrays = {name: open_memmap(self._path(name), "r") for name in self.capacity.shapes}
            self._files = {name: os.open(self._path(name), os.O_WRONLY) for name in self.capacity.shapes}
            self._process = os.getpid()
        return self._arrays

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def _make_unless_whole(self) -> None:
        if self._is_whole():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        for name, (shape, kind) in self.capacity.shapes.items():
            open_memmap(self._path(name), "w+", kind, shape)
        write_json(self.folder / "content.json", {"sha256": self.sha256, "version": VERSION})

    def _is_whole(self) -> bool:
        """Whether all arrays are there, with the right shapes and lengths."""
        try:
            told = json.loads((self.folder / "content.json").read_text(encoding="utf-8"))
            found = {name: open_memmap(self._path(name), "r") for name in self.capacity.shapes}
        except (OSError, ValueError):
            return False
        right = all((found[n].shape, found[n].dtype) == (s, np.dtype(k)) for n, (s, k) in self.capacity.shapes.items())
        return right and told == {"sha256": self.sha256, "version": VERSION}

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_arrays": {}, "_files": {}, "_process": 0}


def facts_of_files(files: Sequence[Path]) -> list[list[object]]:
    """Return name, size and time of change of each file or folder: what tells that a video was replaced."""
    return [[path.name, found.st_size, found.st_mtime_ns] for path in files for found in (path.stat(),)]


def _checksum(row: NDArray[np.int64], pixels: NDArray[np.uint8]) -> int:
    head = np.delete(row, HEAD - 1)
    return zlib.crc32(pixels.data, zlib.crc32(head.tobytes()))


def _write_at(file: int, part: NDArray[Any], offset: int) -> None:
    left = part.data.cast("B")
    while left:
        written = os.pwrite(file, left, offset)
        left, offset = left[written:], offset + written
