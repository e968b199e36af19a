"""Exemplars: evidence and program of clips that we wrote by hand, and which of them to show for a new clip.

They lie in `library/`, grouped by verb, as program text; the comment lines before a program are its evidence. A
folder of your own with files like these can be loaded in its place.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from math import log, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from leaplan.errors import DataError, ProblemList
from leaplan.programs.evidence import Clip
from leaplan.programs.language import LEAP, Language, Program
from leaplan.programs.parse import ProgramError, parse

_WORD = re.compile(r"[a-z][a-z:]*[a-z]")
_SAME_VERB, _SAME_NOUN, _SAME_CATEGORY = 2.0, 1.0, 0.4  # how much each is worth; the text adds 0 to 1
_DIVERSITY = 0.3  # share of the choice that goes to being unlike what is already chosen
_KEPT = 4096  # pairs of verb and noun that a `Library` remembers

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Exemplar:
    """What was known of a clip and how its action is done.

    Args:
        evidence: Lines such as "narration: ..." and "sounds: ...".
        program: Its verb and first argument are the verb class and noun class of the clip.
        source: File and line, for messages.
    """

    evidence: str
    program: Program
    source: str = ""

    @property
    def verb(self) -> str:
        """Key of the verb class."""
        return self.program.verb

    @property
    def noun(self) -> str:
        """Key of the noun class, "" if there is none."""
        return next(iter(self.program.arguments), "")


class Library:
    """Exemplars that can be asked for the ones nearest to a clip.

    Args:
        exemplars: At least one.
        categories: Category of each noun key, such as "cutlery"; nouns without one are alike to none.
    """

    def __init__(self, exemplars: Sequence[Exemplar], categories: Mapping[str, str] | None = None) -> None:
        self.exemplars = tuple(exemplars)
        self._categories = dict(categories or {})
        texts = [_terms(exemplar.evidence) for exemplar in self.exemplars]
        self._weights = _inverse_frequencies(texts)
        self._columns = {term: column for column, term in enumerate(self._weights)}
        self._matrix = np.stack([self._vector(text) for text in texts])  # (exemplars, terms), rows of length 1
        self._alike = self._matrix @ self._matrix.T + np.array(
            [[one.verb == two.verb and one.noun == two.noun for two in self.exemplars] for one in self.exemplars]
        )
        self._by_class = lru_cache(_KEPT)(self._class_scores)

    @classmethod
    def load(
        cls, folder: Path | None = None, language: Language = LEAP, categories: Mapping[str, str] | None = None
    ) -> "Library":
        """Return the exemplars that come with leaplan, or those of all `*.txt` files in `folder`.

        Raises:
            DataError: The folder has no exemplars.
            ProblemList: Some cannot be read; tells of all.
        """
        return cls(read_exemplars(folder, language), categories)

    def __len__(self) -> int:
        """Return the number of exemplars."""
        return len(self.exemplars)

    def retrieve(self, clip: Clip, evidence: str = "", k: int = 4) -> tuple[Exemplar, ...]:
        """Return the `k` exemplars (or all, if fewer) to show for `clip`, the best first.

        The same verb and noun count most, then the same verb, the same noun, a noun of the same category, and the
        words of `evidence` (or of the narration, if that is empty). Of equally good ones, those unlike the ones
        already chosen come first (maximal marginal relevance).
        """
        relevance = self._by_class(clip.verb, clip.noun) + self._matrix @ self._vector(
            _terms(evidence or clip.narration)
        )
        chosen: list[int] = []
        nearest = np.zeros(len(self.exemplars))
        for _ in range(min(k, len(self.exemplars))):
            gain = (1 - _DIVERSITY) * relevance - _DIVERSITY * nearest
            gain[chosen] = -np.inf
            chosen.append(int(gain.argmax()))
            nearest = np.maximum(nearest, self._alike[chosen[-1]])
        return tuple(self.exemplars[index] for index in chosen)

    def _class_scores(self, verb: str, noun: str) -> Vector:
        category = self._categories.get(noun)
        scores = [
            _SAME_VERB * (exemplar.verb == verb)
            + (
                _SAME_NOUN
                if exemplar.noun == noun
                else _SAME_CATEGORY * (category is not None and self._categories.get(exemplar.noun) == category)
            )
            for exemplar in self.exemplars
        ]
        return np.array(scores)

    def _vector(self, terms: Counter[str]) -> Vector:
        vector = np.zeros(len(self._columns))
        for term, count in terms.items():
            column = self._columns.get(term)
            if column is not None:
                vector[column] = (1 + log(count)) * self._weights[term]
        length = sqrt(float(vector @ vector))
        return vector / length if length else vector


def _terms(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text.lower()))


def _inverse_frequencies(texts: Sequence[Counter[str]]) -> dict[str, float]:
    """Return the weight of each term, smoothed: the rarer, the heavier."""
    holding = Counter(term for text in texts for term in text)
    return {term: log((1 + len(texts)) / (1 + count)) + 1 for term, count in sorted(holding.items())}


def read_exemplars(folder: Path | None = None, language: Language = LEAP) -> tuple[Exemplar, ...]:
    """Return the exemplars of all `*.txt` files in `folder` (ours, if None), sorted by file.

    Raises:
        DataError: The folder has no exemplars.
        ProblemList: Some cannot be read; tells of all.
    """
    root = resources.files("leaplan.programs") / "library" if folder is None else folder
    files = sorted((each for each in root.iterdir() if each.name.endswith(".txt")), key=lambda each: each.name)
    found, problems = list[Exemplar](), list[str]()
    for file in files:
        for line, evidence, text in _blocks(file.read_text(encoding="utf-8")):
            source = f"{file.name}:{line}"
            try:
                found.append(Exemplar(evidence, parse(text, language), source))
            except ProgramError as error:
                problems.append(f"{source}: {error}")
    if problems:
        raise ProblemList(f"exemplars in {root}", problems, "Mend the text; the grammar is in docs/programs.md")
    if not found:
        raise DataError(
            f"{root} has no exemplars", "Put programs into *.txt files there, evidence in # lines before each"
        )
    return tuple(found)


def _blocks(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line number, evidence and program text of each exemplar: comment lines, then lines up to a "}"."""
    evidence, program, begin = list[str](), list[str](), 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not program and line.startswith("#"):
            evidence.append(line.removeprefix("#").strip())
        elif program or line.strip():
            begin = number if not program else begin
            program.append(line)
        if line.rstrip() == "}":
            yield begin, "\n".join(evidence), "\n".join(program)
            evidence, program = [], []
    if program:
        yield begin, "\n".join(evidence), "\n".join(program)
