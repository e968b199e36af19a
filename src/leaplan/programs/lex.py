"""Program text to tokens that know their place, and the error for programs that cannot be read."""

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

SHOWN = 12  # faults that one message tells of
BARE = re.compile(r"\w+(?:[-:/]+\w+)*")

_TOKEN = re.compile(
    r"\s*+(?:\#[^\n]*+\s*+)*+"  # white space and comments
    r"(?:(?P<condition>\[\s*(?:pre|post)\s*:)"
    r"|(?P<mark>[(){}\[\],;])"
    rf"|(?P<word>{BARE.pattern})"
    r'|(?P<quoted>"(?:[^"\\\n]|\\.)*+")'
    r"|(?P<bad>.)"
    r"|(?P<end>\Z))",
    re.DOTALL,
)


class ProgramError(ValueError):
    """A program, as text or as JSON, that cannot be read.

    The message says what is wrong, what was expected and, for an unknown word, which known one is near. It is
    meant for people and for the language model that wrote the program.

    Args:
        message: What is wrong, without the place.
        line, column: Where in the text, counted from 1; 0 where the program was given as JSON.
        excerpt: The line of text and a caret below the place, or "".
        path: Where in the JSON form, such as "body[2].most", or "".
        others: Further faults of the same program.
    """

    def __init__(
        self,
        message: str,
        line: int = 0,
        column: int = 0,
        excerpt: str = "",
        path: str = "",
        others: Sequence["ProgramError"] = (),
    ) -> None:
        self.message, self.line, self.column = message, line, column
        self.excerpt, self.path, self.others = excerpt, path, tuple(others)
        super().__init__(message)

    def __str__(self) -> str:
        """Return all faults, each with its place and excerpt."""
        texts = [self._own(), *(fault._own() for fault in self.others[: SHOWN - 1])]
        hidden = 1 + len(self.others) - len(texts)
        return "\n".join([*texts, f"... and {hidden} more faults"] if hidden else texts)

    def _own(self) -> str:
        place = f"line {self.line}, column {self.column}" if self.line else ""
        text = ": ".join(part for part in (self.path, place, self.message) if part)
        return f"{text}\n{self.excerpt}" if self.excerpt else text


def together(faults: Sequence[ProgramError]) -> ProgramError:
    """Return one error that tells of all `faults`, at least one, in their order."""
    first = faults[0]
    return ProgramError(first.message, first.line, first.column, first.excerpt, first.path, faults[1:])


def fault_at(text: str, offset: int, message: str, path: str = "") -> ProgramError:
    """Return the error for a fault of `text` at `offset`, with line, column and excerpt."""
    line = text.count("\n", 0, offset) + 1
    start = text.rfind("\n", 0, offset) + 1
    return ProgramError(message, line, offset - start + 1, _excerpt(text, start, offset), path)


def _excerpt(text: str, start: int, offset: int) -> str:
    end = text.find("\n", offset)
    end = len(text) if end < 0 else end
    left, right = max(start, offset - 48), min(end, offset + 32)
    shown = "".join(letter if letter.isprintable() else " " for letter in text[left:right])
    before = "..." if left > start else ""
    return f"  {before}{shown}{'...' if right < end else ''}\n  {' ' * (len(before) + offset - left)}^"


class Token(NamedTuple):
    """A piece of text.

    Args:
        kind: "word", "quoted", "pre", "post", "bad", "end", or the mark itself, such as "(".
        value: The text; without quotes and escapes for "quoted"; what is wrong for "bad".
        offset: Where it begins in the text.
    """

    kind: str
    value: str
    offset: int

    def __str__(self) -> str:
        """Return how messages name the token."""
        match self.kind:
            case "end":
                return "the end of the text"
            case "word" | "quoted":
                return f'"{shorten(self.value)}"'
            case _:
                return f'"{self.value}"'


def shorten(value: str) -> str:
    """Return `value` so that a message can hold it: printable and at most 40 characters."""
    shown = "".join(letter if letter.isprintable() else " " for letter in value[:40])
    return f"{shown}..." if len(value) > 40 else shown


def tokens_of(text: str) -> list[Token]:
    """Return the tokens of `text`, the last of kind "end". What is no token becomes one of kind "bad"."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "end"
        value, offset = match[kind], match.start(kind)
        if kind == "mark":
            tokens.append(Token(value, value, offset))
        elif kind == "word" or kind == "end":
            tokens.append(Token(kind, value, offset))
        elif kind == "condition":
            tokens.append(Token("pre" if "pre" in value else "post", value, offset))
        elif kind == "quoted":
            tokens.append(_quoted(value, offset))
        elif kind == "bad":
            tokens.append(Token("bad", _bad(value), offset))
    return tokens


def _quoted(value: str, offset: int) -> Token:
    try:
        return Token("quoted", json.loads(value), offset)
    except ValueError:
        return Token("bad", "a quoted name with a control character or an escape that JSON does not know", offset)


def _bad(letter: str) -> str:
    if letter == '"':
        return "a quoted name that is not closed on its line"
    shown = f'"{letter}"' if letter.isprintable() else f"U+{ord(letter):04X}"
    return f"the character {shown}, which can stand in a quoted name only"
