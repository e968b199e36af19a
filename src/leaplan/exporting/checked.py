"""What is checked of an exported folder before anything of it is used: every byte, and what its settings name."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leaplan.errors import CheckpointError, ProblemList

FILES_OF = {"model.descriptions.file": "descriptions.npy", "model.prompt": "prompt.txt"}
"""Settings that are files of the exported folder, where it has them."""
WEIGHTS_FILE, SUMS_FILE = "model.safetensors", "SHA256SUMS"
GET_AGAIN = "Get the folder again, or export it again:  leaplan export RUN --to FOLDER"
CLASSES = ("network", "backbone", "descriptions", "language", "encoder", "view", "source", "writing", "data")
"""Settings whose value is a class, which could also be told by its name alone."""


def is_export(folder: Path) -> bool:
    """Return whether `folder` holds an exported model."""
    return (folder / WEIGHTS_FILE).is_file() and (folder / SUMS_FILE).is_file()


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS of all files, as `sha256sum --check SHA256SUMS` reads it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS_FILE)
    lines = [f"{_hash(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / SUMS_FILE).write_text("".join(lines), encoding="utf-8")


def refuse_damage(folder: Path) -> None:
    """Check that every file of an exported folder is there, and is what was written.

    Raises:
        ProblemList: Names those that are not.
    """
    problems = []
    for line in (folder / SUMS_FILE).read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        if not path.resolve().is_file() or ".." in Path(name).parts or Path(name).is_absolute():
            problems.append(f"{name or line} is missing")
        elif _hash(path) != digest:
            problems.append(f"{name} is damaged: its content is not what {SUMS_FILE} says")
    if problems:
        raise ProblemList(f"the exported model in {folder}", problems, GET_AGAIN)


def refuse_strangers(settings: Any, where: str) -> None:
    """Check that settings name classes of leaplan only: they may come from anybody, and what they name is run.

    Raises:
        CheckpointError: They name another class, or take values from outside.
    """
    for key, value in _leaves(settings):
        names_class = key == "class_path" or key in CLASSES
        if names_class and value and not value.startswith("leaplan."):
            what = (
                f"{where} names {value}, which is no part of leaplan: an exported model must load wherever leaplan is"
            )
            raise CheckpointError(what, "Load the run itself, where your class is installed")
        if "${" in value:
            raise CheckpointError(f"{where} takes a value from outside: {value}", GET_AGAIN)


def _leaves(settings: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield all texts with the key that they stand under."""
    if isinstance(settings, dict):
        for name, value in settings.items():
            yield from _leaves(value, str(name))
    elif isinstance(settings, list):
        for value in settings:
            yield from _leaves(value, key)
    elif isinstance(settings, str):
        yield key, settings


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
