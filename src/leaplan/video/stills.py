"""Frames that were written as pictures: a folder of them, or a tar of them, each numbered by the end of its name."""

import io
import os
import re
import tarfile
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leaplan.errors import ConfigError, DataError
from leaplan.video.reader import VideoError, refuse_beyond

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

Frame = NDArray[np.uint8]


class StillFrames:
    """Pictures by time, by the rule of EPIC-KITCHENS: at time t the one with number max(1, int(t * frame_rate)).

    A number that does not exist is replaced by a neighbour (the one before, else the one after); one without
    neighbours is an error.

    Args:
        path: Of the folder or tar, for messages.
        pictures: Their bytes by number.
        frame_rate: Pictures per second.
        latest: Seconds. Picture n is shown from n / frame_rate on; none shown at or after this time is read.
    """

    def __init__(self, path: Path, pictures: "Pictures", frame_rate: float, latest: float | None = None) -> None:
        self._path, self._pictures, self._latest = path, pictures, latest
        self._numbers = pictures.numbers
        self.frame_rate = frame_rate

    @property
    def duration(self) -> float:
        """Seconds from 0 to the end of the picture with the highest number."""
        return float(self._numbers[-1] + 1) / self.frame_rate

    def read(self, times: Sequence[float]) -> Frame:
        """Return the pictures (n, H, W, 3) at `times`, in RGB.

        Raises:
            DataError: A time without a picture, or beyond the end.
            VideoError: A picture is damaged, or of another size than the others.
        """
        refuse_beyond(self._path, max(times), self.duration)  # at a low rate a neighbour may be seconds away
        places = [self._place_of(self._number_at(time)) for time in times]
        decoded = {place: self._decode(place) for place in sorted(set(places))}
        sizes = {frame.shape[1::-1]: place for place, frame in decoded.items()}
        if len(sizes) > 1:
            found = ", ".join(f"{self._name(place)} is {w} x {h}" for (w, h), place in sizes.items())
            raise VideoError(f"{self._path} has pictures of several sizes: {found}")
        return np.stack([decoded[place] for place in places])

    def close(self) -> None:
        """Let go of the file."""
        self._pictures.close()

    def _number_at(self, time: float) -> int:
        number = max(1, int(time * self.frame_rate))
        while number > 1 and self._hidden(number):  # t * F was rounded up
            number -= 1
        return number

    def _hidden(self, number: int) -> bool:
        return self._latest is not None and number > 1 and number / self.frame_rate >= self._latest

    def _place_of(self, number: int) -> int:
        """Return the place of a picture among all, by its number or that of a neighbour."""
        for candidate in (number, number - 1, number + 1):
            place = int(np.searchsorted(self._numbers, candidate))
            if place < len(self._numbers) and self._numbers[place] == candidate and not self._hidden(candidate):
                return place
        first, last = self._numbers[0], self._numbers[-1]
        message = f"{self._path} has no picture with number {number} (time {number / self.frame_rate:.2f} s)"
        raise DataError(f"{message}; it has {len(self._numbers)} pictures, from number {first} to {last}")

    def _name(self, place: int) -> str:
        return self._pictures.name(place)

    def _decode(self, place: int) -> Frame:
        """Return a picture (H, W, 3), whatever its colours were stored as."""
        try:
            with Image.open(io.BytesIO(self._pictures.bytes_of(place))) as image:
                return np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise VideoError(f"{self._path}: {self._name(place)} cannot be decoded: {error}") from error


class Pictures(Protocol):
    """Numbered pictures, in ascending order of their numbers."""

    numbers: NDArray[np.int64]

    def name(self, place: int) -> str:
        """Return the name of the picture at `place`."""

    def bytes_of(self, place: int) -> bytes:
        """Return the file of the picture at `place`."""

    def close(self) -> None:
        """Let go of the file."""


class Folder:
    """The pictures of a folder.

    Raises:
        VideoError: It has none, or two with one number.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.numbers, self._names = _folder_index(path, path.stat().st_mtime_ns)

    def name(self, place: int) -> str:
        """Return the name of the picture at `place`."""
        return self._names[place]

    def bytes_of(self, place: int) -> bytes:
        """Return the file of the picture at `place`."""
        return (self._path / self._names[place]).read_bytes()

    def close(self) -> None:
        """Nothing is held open."""
        pass


class Tar:
    """The pictures of an uncompressed tar, each read from its place in the file.

    Raises:
        VideoError: It is no such tar, has no pictures, or two with one number.
    """

    def __init__(self, path: Path) -> None:
        status = path.stat()
        self._index = _tar_index(path, status.st_mtime_ns, status.st_size)
        self.numbers = self._index.numbers
        self._file = os.open(path, os.O_RDONLY)

    def name(self, place: int) -> str:
        """Return the name of the picture at `place`."""
        return self._index.names[place]

    def bytes_of(self, place: int) -> bytes:
        """Return the file of the picture at `place`."""
        return os.pread(self._file, int(self._index.sizes[place]), int(self._index.offsets[place]))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


class TarIndex(NamedTuple):
    """Where the pictures of a tar are, in ascending order of their numbers."""

    numbers: NDArray[np.int64]
    names: list[str]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]


def open_stills(path: Path, frame_rate: float | None, latest: float | None = None) -> StillFrames:
    """Open a folder or tar of pictures.

    Raises:
        ConfigError: No frame rate, or one that is not positive.
        VideoError: No numbered pictures, or no readable tar.
    """
    if frame_rate is None or not frame_rate > 0:
        hint = "EPIC-KITCHENS: 60 for PXX_YY, 50 for PXX_1YY."
        raise ConfigError(f"{path} holds pictures: their frame rate must be given, but it is {frame_rate}", hint)
    return StillFrames(path, Folder(path) if path.is_dir() else Tar(path), frame_rate, latest)


@lru_cache(maxsize=64)
def _folder_index(path: Path, modified: int) -> tuple[NDArray[np.int64], list[str]]:
    """List a folder once per state of it."""
    with os.scandir(path) as entries:
        numbered = _numbered((entry.name for entry in entries if entry.is_file()), path)
    return np.array(list(numbered), dtype=np.int64), list(numbered.values())


@lru_cache(maxsize=64)
def _tar_index(path: Path, modified: int, size: int) -> TarIndex:
    """Walk the headers of a tar once per state of it; its pictures are not read."""
    try:
        with tarfile.open(path, "r:") as archive:
            members = {member.name: member for member in archive if member.isreg() and not member.sparse}
    except (tarfile.TarError, OSError, EOFError) as error:
        hint = f"If it is compressed, unpack it:  tar -xf {path}"
        raise VideoError(f"{path} cannot be read as an uncompressed tar: {error}", hint) from error
    numbered = _numbered(members, path)
    offsets = np.array([members[name].offset_data for name in numbered.values()], dtype=np.int64)
    sizes = np.array([members[name].size for name in numbered.values()], dtype=np.int64)
    return TarIndex(np.array(list(numbered), dtype=np.int64), list(numbered.values()), offsets, sizes)


def _numbered(names: Iterable[str], path: Path) -> dict[int, str]:
    """Return names of pictures by the number at their end, ascending; other files are left out.

    Raises:
        VideoError: There are none, or two have one number.
    """
    found: dict[int, str] = {}
    for name in names:
        number = _number_of(name)
        if number is None:
            continue
        if number in found:
            raise VideoError(f"{path} has two pictures with number {number}: {found[number]} and {name}")
        found[number] = name
    if not found:
        raise VideoError(f"{path} has no pictures whose names end in a number, such as frame_0000000001.jpg")
    return dict(sorted(found.items()))


def _number_of(name: str) -> int | None:
    file = PurePosixPath(name)
    digits = re.search(r"(\d+)$", file.stem)
    if digits is None or file.suffix.lower() not in PICTURES or file.name.startswith("."):
        return None
    return int(digits[1])
