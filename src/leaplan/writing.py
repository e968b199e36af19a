"""Files written whole or not at all: a reader, or a process killed half-way, never leaves half of one."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it to `path`. Folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content`."""
    write_whole(path, lambda partial: partial.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, newlines as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` indented; NaN and infinity are refused."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def alone(path: Path, part: int = 0, wait: bool = True) -> Iterator[bool]:
    """Let one process at a time work on `part` of what the file `path` guards.

    A process that dies lets go. Threads of one process do not exclude each other.

    Args:
        path: The lock file, made where it is missing and never removed.
        part: Which part, from 0.
        wait: Until the others are done; without, yield False while another process works on it.
    """
    with path.open("a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, part)
        except BlockingIOError:
            yield False
            return
        yield True
