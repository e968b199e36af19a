"""Tables that other people's tools wrote, row by row: all that is wrong with one is told at once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from leaplan.errors import ProblemList
from leaplan.reading import header_of, lines_in, text_of

Item = TypeVar("Item")
Cells = dict[str, str]  # column to what a row has there


def columns_of(path: Path) -> list[str]:
    """Return the column names in the first line of a `.csv`; none if it is empty."""
    return header_of(path, lines_in(path, text_of(path)))


def read_table(path: Path, columns: Sequence[str], make: Callable[[Cells], Item | None]) -> list[Item]:
    """Return what `make` makes of each row of a `.csv` with a header; rows that it returns None for are left out.

    Args:
        path: The file, plain or gzipped.
        columns: Must be in the header.
        make: Raises ValueError for what is wrong with a row.

    Raises:
        DataError: Unreadable, empty, or a column is missing.
        ProblemList: Rows that are malformed, all of them, each with its line.
    """
    lines = lines_in(path, text_of(path))
    header = header_of(path, lines, columns)
    made: list[Item] = []
    problems: list[str] = []
    for line, values in lines:
        try:
            if len(values) != len(header):
                raise ValueError(f"{len(values)} columns, expected {len(header)}")
            item = make(dict(zip(header, values, strict=True)))
        except ValueError as error:
            problems.append(f"line {line}: {error}")
            continue
        if item is not None:
            made.append(item)
    if problems:
        raise ProblemList(str(path), problems, "Mend these lines, or get the file again")
    return made
