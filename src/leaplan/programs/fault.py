"""What can be wrong with a program that can be read."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal[
    "unknown verb",
    "unknown predicate",
    "unknown hand",
    "unknown object",  # declared, but no object of the language
    "undeclared object",
    "bad name",  # one that cannot be an object's or a loop variable's
    "arity",  # too many or too few arguments
    "wrong kind",  # an object in place of a hand, or the other way round
    "missing hand",
    "empty body",
    "unbounded loop",  # or one whose bound is out of range
    "too deep",
    "too large",
    "contradiction",
    "unmet pre-condition",
    "full hand",
]

#: All kinds of faults, those of words first, those of meaning last.
KINDS: tuple[str, ...] = get_args(Kind)

_STEP = re.compile(r"[a-z]+|\d+")
_KEYS = (
    "program", "arguments", "objects", "assume", "do", "a", "b", "hand", "pre", "post",
    "repeat", "while", "if", "each", "most", "in", "then", "else", "body",
)  # fmt: skip
_RANKS = {key: rank for rank, key in enumerate(_KEYS)}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a program.

    Args:
        kind: One of `KINDS` where the checker has found it.
        message: What is wrong and how to mend it, for people and for the language model that wrote the program.
        where: The place, named as in the JSON form: "body[2].then[0].pre[1]".
    """

    kind: str
    message: str
    where: str

    def __str__(self) -> str:
        """Return place, kind and message on one line."""
        return f"{self.where}: {self.kind}: {self.message}"


def in_order(faults: list[Fault]) -> list[Fault]:
    """Return `faults` as their places follow one another in the program."""
    if len(faults) < 2:
        return faults
    return sorted(faults, key=lambda fault: _place(fault.where))


def _place(where: str) -> list[int]:
    return [_RANKS.get(step, 0) if step.isalpha() else int(step) for step in _STEP.findall(where)]
