"""The JSON object in what a language model answered, found in time linear in the answer's length."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from leaplan.programs.lex import ProgramError, fault_at, shorten
from leaplan.programs.words import ANSWER, DEPTH

OBJECTS = 100  # looked at in one answer
NESTING = 4 * DEPTH + 8  # braces and brackets within one another; a program needs two for each block
ADVICE = "Answer with the whole JSON object of the program and nothing else"

_MARK = re.compile(r'"(?:[^"\\]++|\\.)*+"|[{}\[\]"]', re.DOTALL)
_FENCE = re.compile(r"```[a-zA-Z]*\s*?\n")


def object_in(text: str, key: str) -> dict[str, Any]:
    """Return the first JSON object of `text` with the key `key`: bare, in a Markdown fence, or amid prose.

    Where no object has the key, the first object of all is returned, for its faults to be told.

    Raises:
        ProgramError: There is no object that is closed and valid JSON.
    """
    if len(text) > ANSWER:
        raise ProgramError(f"the answer has {len(text):,} characters; at most {ANSWER:,} are allowed. {ADVICE}")
    fence = _FENCE.search(text)
    starts = [fence.end(), 0] if fence else [0]
    fallback: dict[str, Any] | None = None
    fault: _Fault | None = None
    for found in (found for start in starts for found in islice(_objects(text, start), OBJECTS)):
        if isinstance(found, _Fault):
            fault = fault or found
        elif key in found:
            return found
        elif fallback is None:
            fallback = found
    if fallback is not None:
        return fallback
    if fault is not None:
        raise fault_at(text, fault.offset, f"{fault.message}. {ADVICE}")
    raise ProgramError(f"the answer holds no JSON object. {ADVICE}")


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong at `offset`; its line and column are looked up only if it is told."""

    offset: int
    message: str


def _objects(text: str, start: int) -> Iterator[dict[str, Any] | _Fault]:
    """Yield the objects from `start` on that are not inside others, or what is wrong with each."""
    while (start := text.find("{", start)) >= 0:
        stop = _end(text, start)
        if isinstance(stop, _Fault):
            yield stop
            return
        try:
            yield json.loads(
                text[start:stop], object_pairs_hook=_without_doubles, parse_constant=_refuse, parse_int=_whole
            )
        except json.JSONDecodeError as error:
            yield _Fault(start + error.pos, f"not valid JSON: {error.msg}")
        except ValueError as error:
            yield _Fault(start, f"not valid JSON: {error}")
        start = stop


def _end(text: str, start: int) -> int | _Fault:
    """Return where the object that begins at `start` ends, or why it does not."""
    depth = 0
    for match in _MARK.finditer(text, start):
        mark = match.group()
        if mark in "{[":
            depth += 1
            if depth > NESTING:
                return _Fault(match.start(), f"JSON nested deeper than {NESTING}")
        elif mark in "}]":
            depth -= 1
            if not depth:
                return match.end()
    return _Fault(start, "this JSON object is not closed: the answer was cut, or a quote or brace is missing")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f'the key "{shorten(key)}" stands twice in one object')
        values[key] = value
    return values


def _whole(digits: str) -> int:
    if len(digits) > 18:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number")
