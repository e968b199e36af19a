"""What a clip's nouns are to its verb, read from the narration: "put knife in drawer" puts THING knife TO drawer."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from leaplan.programs.templates.nouns import SURFACES, TOOLS


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TO = _words("in into inside to onto on over under against around at through between above")
_FROM = _words("from off outof")
_TOOL = _words("with using by")
_MORE = _words("and & , plus")
_ON = _words("on onto over off")  # what is on a thing, not in it
_MARKS = _TO | _FROM | _TOOL | _MORE
_SILENT = _words("the a an my some it its another other this that down up away back out")
#: With these verbs, whatever follows "with" is put to work, tool or not.
_ANY_TOOL = _words("wrap fill season apply")
_WITH_MORE = _words("mix add")  # what follows "with" is treated like the thing itself
_FOR_CUT_FOOD = _words("bowl pan pot plate sink bin board:chopping container")
_WORD = re.compile(r"[a-z0-9:'-]+|[&,]")


@dataclass(frozen=True, slots=True)
class Roles:
    """Noun keys by role; "" or () where nothing is said.

    Args:
        thing: What the verb is done to.
        also: Further things that it is done to.
        to, source, tool: Where to, where from, with what.
        on: The roles "TO" and "FROM" where things lie on, not in them.
        words: Those words of the narration that templates ask for.
    """

    thing: str
    also: tuple[str, ...] = ()
    to: str = ""
    source: str = ""
    tool: str = ""
    on: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()


def read_roles(
    narration: str,
    verb: str,
    thing: str,
    nouns: Sequence[str],
    key_of: Callable[[str], str | None],
    heard: frozenset[str] = frozenset(),
    is_verb: Callable[[str], bool] = lambda word: False,
) -> Roles:
    """Return the roles of the nouns of `narration`.

    Args:
        narration: Free text, perhaps empty.
        verb, thing: The clip's verb and noun key.
        nouns: All noun keys of the clip in the order of the narration, for phrases that `key_of` does not know.
        key_of: Noun key of a phrase, or None.
        heard: Words to keep in `Roles.words`.
        is_verb: Tells words such as "put"; after an "and" they begin what is another action.
    """
    words = _WORD.findall(narration.lower().replace("out of", "outof").replace("on top of", "on"))
    reader = _Reader(verb, thing, [noun for noun in nouns if noun != thing], key_of, is_verb)
    reader.read(words)
    on = frozenset(role for role, mark in reader.marks.items() if _lies_on(mark, reader.found.get(role, "")))
    found = reader.found
    return Roles(thing, tuple(reader.also), found.get("TO", ""), found.get("FROM", ""), found.get("TOOL", ""), on,
                 heard.intersection(words))  # fmt: skip


def _lies_on(mark: str, key: str) -> bool:
    return mark in _ON or key in SURFACES


class _Reader:
    def __init__(
        self,
        verb: str,
        thing: str,
        others: list[str],
        key_of: Callable[[str], str | None],
        is_verb: Callable[[str], bool],
    ) -> None:
        self.verb, self.thing, self.others, self.key_of, self.is_verb = verb, thing, others, key_of, is_verb
        self.found: dict[str, str] = {}
        self.marks: dict[str, str] = {}
        self.also: list[str] = []

    def read(self, words: list[str]) -> None:
        """Give each phrase that follows a preposition, or an "and" among direct objects, its role."""
        phrases = [(mark, self.key_of(text) if text else None, text) for mark, text in self.phrases(words)]
        told = {key for _, key, _ in phrases}
        left = iter([noun for noun in self.others if noun not in told])
        direct = True
        for mark, key, text in phrases:
            key = next(left, None) if key is None and text else key
            if mark and key:
                direct = self.phrase(mark, key, direct)

    def phrases(self, words: list[str]) -> Iterator[tuple[str, str]]:
        """Yield each phrase with the word that leads to it, up to where another action begins ("and wash spoon")."""
        mark, phrase = "", list[str]()
        for word in [*words, ","]:
            if word not in _MARKS:
                phrase.append(word)
                continue
            starts = mark in _MORE or mark == "to"
            if starts and len(phrase) > 1 and self.is_verb(phrase[0]) and self.key_of(phrase[0]) is None:
                return
            yield mark, " ".join(each for each in phrase if each not in _SILENT) if mark else ""
            mark, phrase = word, []

    def phrase(self, mark: str, key: str, direct: bool) -> bool:
        """Take in a phrase; tell whether what follows "and" would still be a direct object."""
        if key == self.thing or key in self.found.values():
            return direct
        if mark in _MORE:
            if direct and key not in self.also:
                self.also.append(key)
            return direct
        role = "TO" if mark in _TO else "FROM" if mark in _FROM else "TOOL"
        if role == "TOOL" and (key not in TOOLS and self.verb not in _ANY_TOOL):
            self.also += [key] if key != "hand" and self.verb in _WITH_MORE else []
        elif role not in self.found and not self.says_nothing(role, mark, key):
            self.found[role], self.marks[role] = key, mark
        return False

    def says_nothing(self, role: str, mark: str, key: str) -> bool:
        """Tell whether the phrase is none of a thing: work "with hands", or a shape that food is cut "into"."""
        shape = self.verb == "cut" and mark == "into" and key not in _FOR_CUT_FOOD
        return shape or (role == "TOOL" and key == "hand")
