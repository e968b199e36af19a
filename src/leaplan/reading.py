"""Files that others wrote, plain or gzipped: bytes, text, JSON, tables; errors name file and line."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from leaplan.errors import DataError

AGAIN = "Get the file again"
Line = tuple[int, list[str]]  # number of a line of a `.csv`, and what is in its columns


def content_of(path: Path) -> bytes:
    """Return the bytes of `path`, unzipped if its name ends with `.gz`.

    Raises:
        DataError: Missing, unreadable, or a damaged `.gz`.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", AGAIN) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error})", AGAIN) from error


def text_of(path: Path) -> str:
    """Return the text of `path`, UTF-8 with or without a byte order mark.

    Raises:
        DataError: Unreadable, or not UTF-8.
    """
    return text_in(path, content_of(path))


def text_in(path: Path, content: bytes) -> str:
    """Return the `content` of `path` as text. Raises as `text_of`."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start})", AGAIN) from error


def document_of(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`.

    Raises:
        DataError: Unreadable, not JSON, or not an object.
    """
    document: dict[str, Any] = document_in(path, text_of(path))
    return document


def document_in(path: Path, text: str, kind: type[dict[Any, Any]] | type[list[Any]] = dict) -> Any:
    """Return the JSON `text` of `path`, which must be a `kind`.

    Raises:
        DataError: Not JSON, or not a `kind`.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"{path}, line {error.lineno}, column {error.colno}"
        raise DataError(f"{place}: not JSON ({error.msg})", AGAIN) from error
    except RecursionError:
        raise DataError(f"{path}: JSON nested too deeply", AGAIN) from None
    if not isinstance(document, kind):
        names = {"dict": "an object", "list": "a list"}
        found = type(document).__name__
        what = f"{path} holds {names.get(found, found)}, not {names[kind.__name__]}"
        raise DataError(what, "Check that this is the file its name says")
    return document


def lines_in(path: Path, text: str) -> Iterator[Line]:
    """Yield (line, values) of the `text` of a `.csv`; blank lines are left out.

    Raises:
        DataError: It is no table.
    """
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for values in reader:
            if values:
                yield reader.line_num, values
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: no table ({error})", AGAIN) from error


def header_of(path: Path, lines: Iterator[Line], columns: Sequence[str] = ()) -> list[str]:
    """Take the header off the `lines` of `path`, and return it.

    Raises:
        DataError: One of `columns` is not in it.
    """
    _, header = next(lines, (1, []))
    absent = [column for column in columns if column not in header]
    if absent:
        found = ",".join(header) or "the file is empty"
        raise DataError(f"{path}, line 1: no column {', '.join(map(repr, absent))}; header: {found}", AGAIN)
    return header


def table_of(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield (line, values of `columns`) of each row of `path`, a `.csv` with a header.

    Raises:
        DataError: Unreadable, a column is missing, or a row has more or fewer values than the header.
    """
    return table_in(path, text_of(path), columns)


def table_in(path: Path, text: str, columns: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield (line, values of `columns`) of each row of the `text` of `path`. Raises as `table_of`."""
    lines = lines_in(path, text)
    header = header_of(path, lines, columns)
    pick = itemgetter(*(header.index(column) for column in columns))
    for line, values in lines_of_width(path, lines, len(header)):
        yield line, pick(values) if len(columns) > 1 else (pick(values),)


def lines_of_width(path: Path, lines: Iterator[Line], width: int) -> Iterator[Line]:
    """Yield the `lines` of `path`.

    Raises:
        DataError: One of them has not `width` values.
    """
    for line, values in lines:
        if len(values) != width:
            raise DataError(f"{path}, line {line}: {len(values)} columns, expected {width}", AGAIN)
        yield line, values
