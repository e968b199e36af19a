"""Finding and opening a dataset's files, and remembering what was read."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from leaplan.errors import DataError
from leaplan.reading import content_of, document_in, lines_in, lines_of_width, table_in, text_in

NEIGHBOURS = ("splits", "schema_text")  # folders beside or inside the dataset's folder


class Files:
    """The folder of one dataset and the places around it where its files may lie.

    Every file that is read is remembered by its content, so that `sha256` tells what a run was fed.
    A file and its gzipped copy have the same content.

    Args:
        root: The folder that holds the dataset's folder, or the dataset's folder itself.
        names: Names that the dataset's folder may have, ours first.
        inside: Folders that the dataset's authors use inside it.

    Raises:
        DataError: `root` is not a folder.
    """

    def __init__(self, root: Path, names: Sequence[str], inside: Sequence[str] = ()) -> None:
        if not root.is_dir():
            raise DataError(f"{root} is not a folder", "Give the folder that holds the data with --root")
        self.root = root
        self.folder = dataset_folder(root, names)
        self.places = self._places(inside)
        self._digests: dict[str, str] = {}

    def _places(self, inside: Sequence[str]) -> tuple[Path, ...]:
        inner = [self.folder, *(self.folder / name for name in inside)]
        parent = self.folder.parent if self.folder.name not in ("", "..") else self.folder.resolve().parent
        around = [place / name for name in NEIGHBOURS for place in (self.folder, parent)]
        return tuple(place for place in [*inner, *around] if place.is_dir())

    def find(self, *names: str) -> Path | None:
        """Return the first of `names` that is there, plain or with `.gz`; None if none is."""
        paths = (place / name for name in names for place in self.places)
        candidates = (path.with_name(path.name + end) for path in paths for end in ("", ".gz"))
        return next((path for path in candidates if path.is_file()), None)

    def find_folder(self, *names: str) -> Path | None:
        """Return the first folder of `names` that is there."""
        candidates = (place / name for name in names for place in self.places)
        return next((path for path in candidates if path.is_dir()), None)

    def need(self, *names: str, what: str) -> Path:
        """Return the first of `names` that is there.

        Raises:
            MissingFileError: None of them is; the message names all and `what` they hold.
        """
        path = self.find(*names)
        if path is None:
            raise MissingFileError(self.folder, names, what)
        return path

    @property
    def sha256(self) -> str:
        """Content hash of all files read so far, independent of order, place and compression."""
        lines = (f"{name} {digest}\n" for name, digest in sorted(self._digests.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def bytes(self, path: Path) -> bytes:
        """Return the content of `path`, unzipped.

        Raises:
            DataError: Unreadable, or a damaged `.gz`.
        """
        content = content_of(path)
        name = f"{path.parent.name}/{path.name.removesuffix('.gz')}"
        self._digests[name] = hashlib.sha256(content).hexdigest()
        return content

    def text(self, path: Path) -> str:
        """Return the text of `path` (UTF-8, with or without a byte order mark).

        Raises:
            DataError: Unreadable, or not UTF-8.
        """
        return text_in(path, self.bytes(path))

    def json(self, path: Path, kind: type[dict[Any, Any]] | type[list[Any]] = dict) -> Any:
        """Return the document in `path`, which must be a `kind`.

        Raises:
            DataError: Not JSON, or not a `kind`.
        """
        return document_in(path, self.text(path), kind)

    def table(self, path: Path, columns: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield (line, values of `columns`) for each row of a `.csv` with a header.

        Raises:
            DataError: A column is missing, or a row has more or fewer values than the header.
        """
        return table_in(path, self.text(path), columns)

    def bare_table(self, path: Path, columns: int) -> Iterator[tuple[int, list[str]]]:
        """Yield (line, values) for each row of a `.csv` without a header.

        Raises:
            DataError: A row has not `columns` values.
        """
        return lines_of_width(path, lines_in(path, self.text(path)), columns)


class MissingFileError(DataError):
    """A file that a protocol needs is not there."""

    def __init__(self, folder: Path, names: Sequence[str], what: str) -> None:
        super().__init__(
            f"{folder} has no {' or '.join(names)} ({what})",
            "Put the file there, plain or gzipped; split lists may also lie in splits/ beside the folder",
        )


def dataset_folder(root: Path, names: Sequence[str]) -> Path:
    """Return the folder of a dataset: `root / name` if one is there, else `root` itself."""
    return next((root / name for name in names if (root / name).is_dir()), root)
