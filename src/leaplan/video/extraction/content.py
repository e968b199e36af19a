"""What a video file holds, told by a hash that does not read all of it."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from leaplan.errors import DataError

WHOLE = 2**20  # bytes; smaller files are read whole
SAMPLES, SAMPLE_BYTES = 16, 2**14


@dataclass(frozen=True, slots=True)
class Stamp:
    """Size in bytes and time of the last change: equal ones spare the reading of a file.

    Args:
        size: Of a folder of pictures, that of all of them.
        changed: Nanoseconds.
    """

    size: int
    changed: int


def stamp(path: Path) -> Stamp:
    """Return the stamp of a file, or of a folder of pictures.

    Raises:
        DataError: It cannot be looked at.
    """
    try:
        if path.is_dir():
            parts = [file.stat() for file in _files(path)]
            return Stamp(sum(part.st_size for part in parts), max((part.st_mtime_ns for part in parts), default=0))
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    return Stamp(status.st_size, status.st_mtime_ns)


def content_hash(path: Path) -> str:
    """Return a SHA-256 over the size and 16 samples of 16 KiB, spread from the first byte to the last.

    A file below 1 MiB is read whole. Of a folder, the names and sizes of its files count, and samples of 16 files.

    Raises:
        DataError: It cannot be read.
    """
    digest = hashlib.sha256()
    try:
        if path.is_dir():
            files = _files(path)
            for file in files:
                digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
            for place in range(0, len(files), max(1, len(files) // SAMPLES)):
                digest.update(_start(files[place]))
        elif path.is_file():
            size = path.stat().st_size
            digest.update(f"{size}\0".encode())
            for part in _samples(path, size):
                digest.update(part)
        else:
            raise DataError(f"{path} is neither a file nor a folder")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(SAMPLE_BYTES)


def _samples(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        if size <= WHOLE:
            yield file.read()
            return
        for sample in range(SAMPLES):
            file.seek((size - SAMPLE_BYTES) * sample // (SAMPLES - 1), os.SEEK_SET)
            yield file.read(SAMPLE_BYTES)
