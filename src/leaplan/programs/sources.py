"""Reading what other people's tools wrote: text and tables, plain or gzipped, with errors that name file and line."""

import csv
import gzip
import io
import json
import math
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Generic, TypeVar

from leaplan.errors import DataError, ProblemList

AGAIN = "Get the file again"
Item = TypeVar("Item")
Row = dict[str, str]


def content_of(path: Path) -> bytes:
    """Return the bytes of `path`, unzipped if its name ends with `.gz`.

    Raises:
        DataError: Unreadable, or a damaged `.gz`.
    """
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error})", AGAIN) from error


def text_of(path: Path) -> str:
    """Return the text of `path`, UTF-8 with or without a byte order mark.

    Raises:
        DataError: Unreadable, or not UTF-8.
    """
    try:
        return content_of(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start})", AGAIN) from error


def document_of(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`.

    Raises:
        DataError: Unreadable, not JSON, or not an object.
    """
    try:
        document = json.loads(text_of(path))
    except json.JSONDecodeError as error:
        place = f"{path}, line {error.lineno}, column {error.colno}"
        raise DataError(f"{place}: not JSON ({error.msg})", AGAIN) from error
    except RecursionError:
        raise DataError(f"{path}: JSON nested too deeply", AGAIN) from None
    if not isinstance(document, dict):
        raise DataError(f"{path} holds {type(document).__name__}, not a JSON object", AGAIN)
    return document


def header_of(path: Path) -> list[str]:
    """Return the column names in the first line of a `.csv`; none if it is empty."""
    return next(csv.reader(io.StringIO(text_of(path), newline="")), [])


def read_rows(path: Path, columns: Sequence[str], make: Callable[[Row], Item | None]) -> list[Item]:
    """Return what `make` makes of each row of a `.csv` with a header; rows that it returns None for are left out.

    Args:
        columns: Must be in the header.
        make: Raises ValueError for what is wrong with a row.

    Raises:
        DataError: Unreadable, empty, or a column is missing.
        ProblemList: Rows that are malformed, all of them, each with its line.
    """
    reader = csv.reader(io.StringIO(text_of(path), newline=""))
    header = next(reader, [])
    absent = [column for column in columns if column not in header]
    if absent:
        found = ",".join(header) or "the file is empty"
        raise DataError(f"{path}, line 1: no column {', '.join(map(repr, absent))}; header: {found}", AGAIN)
    made: list[Item] = []
    problems: list[str] = []
    for line, row in _lines(path, reader, problems):
        try:
            if len(row) != len(header):
                raise ValueError(f"{len(row)} columns, expected {len(header)}")
            item = make(dict(zip(header, row, strict=True)))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
            continue
        if item is not None:
            made.append(item)
    if problems:
        raise ProblemList(str(path), problems, "Mend these lines, or get the file again")
    return made


def _lines(path: Path, reader: Any, problems: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank with its line; a file that csv gives up on ends with a problem."""
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        problems.append(f"line {reader.line_num}: {error}")


def seconds_of(timestamp: str) -> float:
    """Return the seconds of "HH:mm:ss.SS", in float64 and in this order, as the official frames were made.

    Raises:
        ValueError: Not of this form.
    """
    parts = timestamp.split(":")
    try:
        hours, minutes, seconds = parts
        value = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        raise ValueError(f'"{timestamp}" is no time HH:mm:ss.SS') from None
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f'"{timestamp}" is no time HH:mm:ss.SS')
    return value


def ordered(start: float, stop: float) -> tuple[float, float]:
    """Return (start, stop).

    Raises:
        ValueError: `stop` does not come after `start`.
    """
    if not start < stop:
        raise ValueError(f"starts at {start:g} s, but stops at {stop:g} s")
    return start, stop


def frame_rate(video: str) -> int:
    """Return the rate of EPIC's official frames: 50 in the videos added in 2020 (PXX_1YY), else 60."""
    return 50 if len(video.partition("_")[2]) == 3 else 60


class Timeline(Generic[Item]):
    """Things with a start and a stop, looked up by time with a binary search.

    Args:
        items: (start, stop, thing) in any order; those of the same start keep theirs.
    """

    def __init__(self, items: Iterable[tuple[float, float, Item]]) -> None:
        self._items = sorted(items, key=lambda item: item[:2])
        self._starts = [item[0] for item in self._items]
        self._reach = list(accumulate((item[1] for item in self._items), max))  # how far all up to here go on

    def __len__(self) -> int:
        return len(self._items)

    def overlapping(self, start: float, stop: float) -> list[tuple[float, float, Item]]:
        """Return what overlaps (start, stop) for longer than an instant, sorted by start."""
        last = bisect_left(self._starts, stop)
        first = bisect_left(self._reach, start, 0, last)
        return [item for item in self._items[first:last] if item[1] > start]
