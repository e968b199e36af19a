"""The words of a language as they are looked up, and the limits that both forms of a program keep to."""

import difflib
from collections.abc import Iterable
from functools import lru_cache

from leaplan.programs.language import Language
from leaplan.programs.lex import shorten

DEPTH = 16  # blocks within one another, the program's own not counted
STATEMENTS = 512  # in a whole program, those of blocks included
TEXT = 64 * 1024  # characters of a program as text
ANSWER = 256 * 1024  # characters of a text that holds a program as JSON
NAME = 100  # characters of a name
ITEMS = 128  # names or conditions in one list
FAULTS = 50  # looked for in one program
TIMES = 100  # most times of `repeat` and `while`, the least being 1


@lru_cache(4096)  # the same few names stand in a program again and again
def tidy(name: str) -> str:
    """Return `name` with each run of white space as one space, none at the ends.

    Raises:
        ValueError: It is empty, too long, or holds a character that cannot be seen.
    """
    if len(name) > NAME:
        raise ValueError(f"a name of {len(name)} characters; at most {NAME} are allowed")
    words = name if name.isalnum() else " ".join(name.split())
    if not words:
        raise ValueError("an empty name")
    if not words.isprintable():
        letter = next(letter for letter in words if not letter.isprintable())
        raise ValueError(f"a name with the invisible character U+{ord(letter):04X}")
    return words


class Words:
    """The verbs and predicates of a language by all their names.

    Case does not matter, and neither does which of space, "_" and "-" stands between words.
    """

    def __init__(self, language: Language) -> None:
        self.language = language
        verbs = {**language.synonyms, **{verb: verb for verb in language.verbs}}
        predicates = {name: (of, False) for name, of in language.opposites.items()}
        predicates |= {predicate: (predicate, True) for predicate in language.predicates}
        self._verbs = {_folded(name): verb for name, verb in verbs.items()} | verbs
        self._predicates = {_folded(name): meant for name, meant in predicates.items()} | predicates

    def verb(self, name: str) -> str | None:
        """Return the verb that `name` names, None if there is none."""
        return self._verbs.get(name) or self._verbs.get(_folded(name))

    def predicate(self, name: str) -> tuple[str, bool] | None:
        """Return the predicate that `name` names and whether it holds (False for "closed"), None if there is none."""
        return self._predicates.get(name) or self._predicates.get(_folded(name))

    def unknown_verb(self, name: str) -> str:
        """Return the message for a verb that is none."""
        return unknown("verb", name, self.language.verbs, self.language.synonyms)

    def unknown_predicate(self, name: str) -> str:
        """Return the message for a predicate that is none."""
        return unknown("predicate", name, [*self.language.predicates, *self.language.opposites])


def _folded(name: str) -> str:
    return name.lower().replace("_", " ").replace("-", " ")


def unknown(what: str, name: str, known: Iterable[str], hidden: Iterable[str] = ()) -> str:
    """Return the message for a word that is not `known`, with the nearest one, which may also be a `hidden` one."""
    known = list(known)
    near = difflib.get_close_matches(name[:NAME].lower(), [*known, *hidden], n=1, cutoff=0.5)
    guess = f'; did you mean "{near[0]}"?' if near else "."
    return f'unknown {what} "{shorten(name)}"{guess} Expected one of {", ".join(known)}'
