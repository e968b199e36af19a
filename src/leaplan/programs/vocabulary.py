"""EPIC-KITCHENS' verb and noun classes as words of programs, read from the official class files.

Each class has a key, such as "board:chopping", and a list of `instances`: all that narrators have said for it, the
head first and its modifiers after it, such as "board:cutting". Open text is mapped to keys through these lists.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from leaplan.errors import DataError, ProblemList
from leaplan.programs.language import LEAP, OTHER, Language
from leaplan.programs.phrases import ARTICLES, singular, verb_forms, words_of
from leaplan.reading import text_of

HAND = "hand"
INSTANCES = 200_000  # characters of a list of instances; the longest official one has 3,327
_GET_AGAIN = "Get the file again from the annotations of EPIC-KITCHENS-100 (EPIC_100_verb_classes.csv, ..._noun_...)"
_ITEM = r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+\""""
_LIST = re.compile(rf"\s*+\[\s*+(?:(?:{_ITEM})\s*+(?:,\s*+(?:{_ITEM})\s*+)*+,?\s*+)?\]\s*+")
_ITEMS = re.compile(_ITEM)


@dataclass(frozen=True, slots=True)
class ClassFile:
    """A file of classes. A class id is its position.

    Args:
        keys: Such as "take" or "board:chopping", each once.
        instances: Per class, what narrators have said for it.
        categories: Per class, such as "retrieve" or "cookware".
    """

    keys: tuple[str, ...]
    instances: tuple[tuple[str, ...], ...]
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EpicVocabulary:
    """The verb classes and noun classes, and the language of programs about them.

    Args:
        verbs, nouns: As their files list them.
        language: LEAP's verbs and predicates; its objects are the noun keys and "hand".
    """

    verbs: ClassFile
    nouns: ClassFile
    language: Language
    _nouns: Mapping[tuple[str, ...], str] = field(repr=False, compare=False)
    _verbs: Mapping[tuple[str, ...], str] = field(repr=False, compare=False)

    def noun_of(self, text: str) -> str | None:
        """Return the noun key of a phrase such as "the cutting boards", "board:cutting" or "slice of bread".

        Case, articles, plurals and the order of words do not matter. A phrase that no class lists is looked up
        without its first words ("dirty frying pan", "frying pan", "pan"), and then by what follows "of".

        Returns:
            The key, or None where no class fits.
        """
        words = [singular(word) for word in words_of(text) if word not in ARTICLES]
        whole = self._nouns.get(_bag([word for word in words if word != "of"]))
        if whole is not None or not words:
            return whole
        parts = " ".join(words).split(" of ")
        for part in parts:
            found = self._by_head(part.split())
            if found is not None:
                return found
        return None

    def _by_head(self, words: list[str]) -> str | None:
        found = (self._nouns.get(_bag(words[start:])) for start in range(len(words)))
        return next((key for key in found if key is not None), None)

    def object_of(self, text: str) -> str:
        """Return the object that a phrase names in programs: a noun key, "other" where no class fits."""
        return self.noun_of(text) or OTHER

    def verb_of(self, text: str) -> str | None:
        """Return the verb key of a narration or a verb: "pick up the cup", "picks cup up", "pick-up".

        The first word that is a known verb counts, with the particle that comes next or the first of the further
        ones that makes a listed verb with it ("put the pan down", "turn the tap on").

        Returns:
            The key, or None where no word is a known verb.
        """
        words = words_of(text)
        for place, word in enumerate(words):
            for form in verb_forms(word):
                for particle in words[place + 1 :]:
                    if (form, particle) in self._verbs:
                        return self._verbs[form, particle]
                if (form,) in self._verbs:
                    return self._verbs[form,]
        return None

    def noun_category(self, key: str) -> str:
        """Return the category of a noun key, such as "cookware"; "" for a key that is none."""
        return _category(self.nouns, key)

    def verb_category(self, key: str) -> str:
        """Return the category of a verb key, such as "retrieve"; "" for a key that is none."""
        return _category(self.verbs, key)


def _category(classes: ClassFile, key: str) -> str:
    return classes.categories[classes.keys.index(key)] if key in classes.keys else ""


def epic_language(verb_classes: Path, noun_classes: Path) -> EpicVocabulary:
    """Return the vocabulary of EPIC-KITCHENS-100's class files, plain or gzipped.

    Raises:
        DataError: A file is missing, unreadable or has other columns.
        ProblemList: Rows are malformed.
    """
    verbs, nouns = read_classes(verb_classes), read_classes(noun_classes)
    objects = tuple(dict.fromkeys((*nouns.keys, HAND)))
    language = replace(LEAP, name="epic", objects=objects)
    return EpicVocabulary(
        verbs,
        nouns,
        language,
        _index(nouns, lambda text: _bag([singular(word) for word in words_of(text)])),
        _index(verbs, lambda text: tuple(words_of(text))),
    )


def _bag(words: list[str]) -> tuple[str, ...]:
    return tuple(sorted(words))


def _index(classes: ClassFile, words_of_instance: Callable[[str], tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Return words to key: keys come before instances, and among instances the first class that lists them."""
    index = {words_of_instance(key): key for key in reversed(classes.keys)}
    for key, instances in zip(classes.keys, classes.instances, strict=True):
        for instance in instances:
            index.setdefault(words_of_instance(instance), key)
    index.pop((), None)
    return index


def read_classes(path: Path) -> ClassFile:
    """Return the classes of a file with the columns id, key, instances, category, plain or gzipped.

    Raises:
        DataError: The file is missing, unreadable or has other columns.
        ProblemList: Rows are malformed.
    """
    reader = csv.reader(io.StringIO(text_of(path), newline=""), strict=True)
    problems: list[str] = []
    rows: list[tuple[str, tuple[str, ...], str]] = []
    try:
        header = next(reader, [])
        if header != ["id", "key", "instances", "category"]:
            found = ",".join(header)[:80]
            raise DataError(f"{path}, line 1: expected id,key,instances,category, found {found!r}", _GET_AGAIN)
        for values in reader:
            if values:
                rows.append(_row(values, len(rows), f"line {reader.line_num}", problems))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}", _GET_AGAIN) from error
    doubled = [key for key, count in Counter(key for key, _, _ in rows).items() if count > 1]
    problems += [f'the key "{key}" stands for several classes' for key in doubled if key]
    if not rows:
        problems.append("no classes")
    if problems:
        raise ProblemList(str(path), problems, _GET_AGAIN)
    keys, instances, categories = zip(*rows, strict=True)
    return ClassFile(keys, instances, categories)


def _row(values: list[str], expected: int, line: str, problems: list[str]) -> tuple[str, tuple[str, ...], str]:
    if len(values) != 4:
        problems.append(f"{line}: {len(values)} columns, expected 4")
        return "", (), ""
    number, key, instances, category = values
    if number != str(expected):
        problems.append(f"{line}: id {number[:20]!r}, expected {expected}")
    if not key or key != key.strip():
        problems.append(f"{line}: key {key[:40]!r} is empty or has white space to spare")
    try:
        return key, list_of(instances), category
    except ValueError as error:
        problems.append(f"{line}: {error}")
        return key, (), category


def list_of(text: str) -> tuple[str, ...]:
    """Return the strings of a list as Python writes it, such as "['tap', 'tap:water']". It is read, not evaluated.

    Raises:
        ValueError: `text` is anything else, or longer than any such list.
    """
    if len(text) > INSTANCES:
        raise ValueError(f"a list of {len(text):,} characters; at most {INSTANCES:,} are allowed")
    if not _LIST.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no list of strings such as ['tap', 'tap:water']")
    return tuple(re.sub(r"\\(.)", r"\1", item[1:-1]) for item in _ITEMS.findall(text))
