"""Prompts for programs, made of the texts in `prompts/`.

What never changes comes first, then the examples, then the clip: a provider that keeps prefixes of prompts can use
them again. Values are filled in once, so that no narration can act as a placeholder.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from string import Template

from leaplan.programs.exemplars import Exemplar
from leaplan.programs.json_form import dumps
from leaplan.programs.language import HANDS, OTHER, Language, Verb
from leaplan.programs.render import condition_text
from leaplan.programs.rows import Reason
from leaplan.programs.words import TIMES

FAULTS = 20  # told in a repair turn
ANSWER = 12_000  # characters of a faulty answer that a repair turn shows
Message = dict[str, str]  # "role" and "content"


class Prompts:
    """Messages for clips whose programs are in `language`."""

    def __init__(self, language: Language) -> None:
        self.system = system_text(language)
        self._written: dict[int, tuple[Exemplar, str]] = {}  # by identity: the same exemplars are shown again and again

    def messages(self, evidence: str, examples: Sequence[Exemplar] = ()) -> list[Message]:
        """Return the messages that ask for the program of the clip that `evidence` tells of."""
        shown = "".join(self._shown(number, example) for number, example in enumerate(examples, start=1))
        question = _text("clip").substitute(examples=shown, evidence=evidence.strip())
        return [{"role": "system", "content": self.system}, {"role": "user", "content": question}]

    def _shown(self, number: int, example: Exemplar) -> str:
        if id(example) not in self._written:
            self._written[id(example)] = example, dumps(example.program)
        program = self._written[id(example)][1]
        return _text("example").substitute(number=number, evidence=example.evidence.strip(), program=program)


def system_text(language: Language) -> str:
    """Return what every request begins with: the task, the JSON form, the rules, and the words of `language`."""
    objects = ", ".join(language.objects) or "any; choose short names"
    if language.objects:
        objects = f"Only these; {OTHER} for what is not among them:\n{objects}"
    return (
        _text("system")
        .substitute(
            times=TIMES,
            verbs="\n".join(_verb_line(name, verb) for name, verb in language.verbs.items()),
            predicates="\n".join(_predicate_lines(language)),
            objects=objects,
        )
        .strip()
    )


def repair_messages(answer: str, faults: Sequence[Reason]) -> list[Message]:
    """Return the turn that sends all `faults` of `answer` back."""
    lines = [f"- {fault.where}: {fault.message}" if fault.where else f"- {fault.message}" for fault in faults[:FAULTS]]
    if len(faults) > FAULTS:
        lines.append(f"- and {len(faults) - FAULTS} more of these kinds")
    cut = answer if len(answer) <= ANSWER else f"{answer[:ANSWER]} ..."
    return [
        {"role": "assistant", "content": cut or "(nothing)"},
        {"role": "user", "content": _text("repair").substitute(faults="\n".join(lines))},
    ]


@cache
def _text(name: str) -> Template:
    return Template((resources.files("leaplan.programs") / "prompts" / f"{name}.txt").read_text(encoding="utf-8"))


def _verb_line(name: str, verb: Verb) -> str:
    second = {True: ", B", False: "", None: "[, B]"}[verb.second]
    first = {True: "A", False: "", None: "[A]"}[verb.first]
    hand = {True: " by a hand", False: " without a hand", None: ""}[verb.hand]
    parts = [f"- {name}({first}{second}){hand}: {verb.meaning or name}"]
    for word, conditions in (("before", verb.before), ("after", verb.after)):
        if conditions:
            parts.append(f"usually {word}: {', '.join(map(condition_text, conditions))}")
    return "; ".join(parts)


def _predicate_lines(language: Language) -> Iterable[str]:
    for name, kinds in language.predicates.items():
        yield f"- {name}({', '.join(kinds)})"
    for name, opposite in language.opposites.items():
        yield f"- {name}(...) is the same as not {opposite}(...)"
    yield f"A hand is {HANDS[0]} or {HANDS[1]}."
