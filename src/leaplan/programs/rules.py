"""Programs without a language model: a clip's verb class picks a template, its nouns, narration and contacts fill it.

The same clip gives the same program. A clip that no template can be filled for is told why, never given an
empty program.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from leaplan.programs.check import check
from leaplan.programs.completion import Contradiction, complete, renamed
from leaplan.programs.evidence import Clip, Contact
from leaplan.programs.language import LEAP, OTHER, Body, Condition, ForEach, If, Program, Statement, SubAction, While
from leaplan.programs.parse import parse
from leaplan.programs.roles import Roles, read_roles
from leaplan.programs.templates import TEMPLATES
from leaplan.programs.templates.nouns import FIXED, STORAGE, SURFACES
from leaplan.programs.templates.template import ROLES, Template, get, opened
from leaplan.programs.vocabulary import EpicVocabulary

_KEPT = 1 << 16  # programs and faults that a `Rules` remembers
_MIRRORED = {"left": "right", "right": "left"}
_MORE = ("ALSO", "MORE", "STILL")  # stand for further things in "for each"
_VARIABLE = "item"
_PLACING = ("put", "insert")
_INTO = re.compile(r"\b(in|into|inside|on|onto)\b")


class Unsupported(ValueError):
    """A clip that the rules have no program for; the message says why."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Rules:
    """Makes programs for clips of EPIC-KITCHENS.

    Args:
        vocabulary: Verbs and nouns, and the language that programs are checked against.
        templates: Library H; the first of a verb's templates that fits is taken.
    """

    def __init__(self, vocabulary: EpicVocabulary, templates: Sequence[Template] = TEMPLATES) -> None:
        self.vocabulary = vocabulary
        self._nouns = frozenset(vocabulary.language.objects)
        self._templates: dict[str, list[_Parsed]] = {}
        for template in templates:
            parsed = _Parsed(template)
            for verb in template.verbs:
                self._templates.setdefault(verb, []).append(parsed)
        self._heard = {
            verb: frozenset(word for each in parsed for word in each.template.words)
            for verb, parsed in self._templates.items()
        }
        self._filled = lru_cache(_KEPT)(self._fill)
        self._key_of = lru_cache(_KEPT)(vocabulary.noun_of)
        self._is_verb = lru_cache(_KEPT)(lambda word: vocabulary.verb_of(word) is not None)

    @property
    def verbs(self) -> tuple[str, ...]:
        """The verb classes that have a template."""
        return tuple(self._templates)

    def program_for(self, clip: Clip, contacts: Sequence[Contact] = ()) -> Program:
        """Return the checked program of `clip`.

        Raises:
            Unsupported: The clip lacks a verb or noun, or no template can be filled with what it has.
        """
        verb, noun = self._classes(clip)
        roles = read_roles(clip.narration, verb, noun, clip.nouns, self._key_of, self._heard[verb], self._is_verb)
        if verb in _PLACING and noun in FIXED and not roles.to and _INTO.search(clip.narration):
            roles = replace(roles, thing=OTHER, to=noun)  # "put in cupboard": what, is not told
        made = self._filled(verb, roles, main_hand(contacts, clip, noun))
        if isinstance(made, str):
            raise Unsupported(made)
        return made

    def _classes(self, clip: Clip) -> tuple[str, str]:
        verb = clip.verb or self.vocabulary.verb_of(clip.narration) or ""
        if not verb:
            told = f'; the narration "{clip.narration[:60]}" begins with no known verb' if clip.narration else ""
            raise Unsupported(f"no verb class{told}")
        if verb not in self._templates:
            raise Unsupported(f'no template for the verb "{verb}"')
        noun = clip.noun or next(iter(clip.nouns), "")
        if not noun:
            raise Unsupported(f'no noun: nothing to "{verb}"')
        if noun not in self._nouns:
            raise Unsupported(f'the noun "{noun}" is no object of the language "{self.vocabulary.language.name}"')
        return verb, noun

    def _fill(self, verb: str, roles: Roles, hand: str) -> Program | str:
        """Return the program, or why there is none."""
        for parsed in self._templates[verb]:
            names = parsed.names_for(roles)
            if names is None:
                continue
            program = parsed.program(verb, roles, names, hand)
            faults = check(program, self.vocabulary.language)
            return program if not faults else f"the program breaks a rule: {faults[0]}"
        return f'no template of "{verb}" fits "{roles.thing}"'


def main_hand(contacts: Iterable[Contact], clip: Clip, noun: str) -> str:
    """Return the hand that works in `clip`: that touches `noun` longest, else anything longest, else the right."""
    own = {"left": 0.0, "right": 0.0}
    total = dict(own)
    for contact in contacts:
        if contact.hand in total:
            seconds = max(0.0, min(contact.stop, clip.stop) - max(contact.start, clip.start))
            total[contact.hand] += seconds
            own[contact.hand] += seconds * (contact.object == noun)
    times = own if any(own.values()) else total
    return "left" if times["left"] > times["right"] else "right"


class _Parsed:
    """A template read once, its programs with role names kept until nouns take their place."""

    def __init__(self, template: Template) -> None:
        self.template = template
        self.body = _parsed(template.text)
        whole = complete(Program("template", body=self.body))
        named, self.assumes = whole.declared, whole.assumes
        self.roles = tuple(role for role in ROLES if role == "THING" or role in named or role in template.needs)
        self.literals = frozenset(named) - set(ROLES)
        self._generic: dict[tuple[frozenset[str], frozenset[str], int], Program | None] = {}

    def names_for(self, roles: Roles) -> dict[str, str] | None:
        """Return the noun of each role that the template names, or None where it does not fit."""
        template = self.template
        if template.nouns and roles.thing not in template.nouns:
            return None
        if template.words and roles.words.isdisjoint(template.words):
            return None
        narrated = {"THING": roles.thing, "ALSO": next(iter(roles.also), ""), "TO": roles.to, "FROM": roles.source,
                    "TOOL": roles.tool}  # fmt: skip
        if not all(narrated[role] for role in template.needs):
            return None
        defaults = {"TO": template.to, "FROM": template.source}
        names = {role: narrated[role] or defaults.get(role, "") for role in self.roles}
        if names.get("TOOL") == "":
            taken = {roles.thing, *names.values(), *self.literals}
            names["TOOL"] = next((tool for tool in template.tools if tool not in taken), "")
        values = set(names.values())
        clash = len(values) < len(names) or not values.isdisjoint(self.literals)
        return None if clash or "" in values else names

    def program(self, verb: str, roles: Roles, names: dict[str, str], hand: str) -> Program:
        """Return the program of `verb` with `names` for roles; each of several things in turn where that goes."""
        doors = (role for role in self.template.opens if names[role] in STORAGE)
        opens = frozenset(role for role in doors if role not in roles.on)  # what is on a cupboard is not in it
        on = frozenset(role for role in ("TO", "FROM") if role in roles.on or names.get(role) in SURFACES)
        more = () if "ALSO" in self.roles else self._others(roles, names)
        generic = self._completed(opens, on, len(more))
        if generic is None:
            more = ()
            generic = self._completed(opens, on, 0)
            assert generic is not None, self.template.text
        also = (names["ALSO"],) if "ALSO" in self.roles else more
        filled = {**names, **dict(zip(_MORE, more, strict=False))}
        return _instance(generic, verb, (names["THING"], *also), filled, hand)

    def _others(self, roles: Roles, names: Mapping[str, str]) -> tuple[str, ...]:
        taken = {*names.values(), *self.literals}
        return tuple(each for each in roles.also if each not in taken)[: len(_MORE)]

    def _completed(self, opens: frozenset[str], on: frozenset[str], more: int) -> Program | None:
        """Return the program in terms of roles, None if it cannot be done several times over."""
        key = (opens, on, more)
        if key not in self._generic:
            self._generic[key] = self._complete(opens, on, more)
        return self._generic[key]

    def _taken(self, body: Body) -> Body:
        """Return `body` with THING taken first where it is in the hand already: no hand holds several things."""
        held = {each.arguments for each in self.assumes if each.predicate == "holding"}
        hands = [hand for hand in ("left", "right") if (hand, "THING") in held]
        return (*_parsed(" ".join(get("THING", hand) for hand in hands)), *body)

    def _complete(self, opens: frozenset[str], on: frozenset[str], more: int) -> Program | None:
        first = _parsed("".join(opened(role) for role in sorted(opens)))
        body = _with_surfaces(self.body, on)
        if not more:
            return complete(Program("template", ("THING",), body=(*first, *body)))
        things = ("THING", *_MORE[:more])
        for end in ("", "release(THING) right;", "release(THING) left;", "release(THING) both;"):
            inner = renamed((*self._taken(body), *_parsed(end)), {"THING": _VARIABLE})
            try:
                program = complete(Program("template", things, body=(*first, ForEach(_VARIABLE, things, inner))))
            except Contradiction:
                continue
            if not check(program, LEAP):
                return program
        return None


def _parsed(text: str) -> Body:
    return parse(f"program template() {{ {text} }}").body


def _with_surfaces(body: Body, on: frozenset[str]) -> Body:
    """Return `body` with `on` for `in` where the place is one of the roles in `on`."""
    if not on:
        return body

    def lying(condition: Condition) -> Condition:
        if condition.predicate == "in" and condition.arguments[1] in on:
            return replace(condition, predicate="on")
        return condition

    return _mapped(body, lying)


def _mapped(body: Body, change: Callable[[Condition], Condition]) -> Body:
    def mapped(statement: Statement) -> Statement:
        match statement:
            case SubAction(before=before, after=after):
                return replace(statement, before=tuple(map(change, before)), after=tuple(map(change, after)))
            case If(condition, then, otherwise):
                return If(change(condition), _mapped(then, change), _mapped(otherwise, change))
            case While(condition, most, body):
                return While(change(condition), most, _mapped(body, change))
            case _:
                return replace(statement, body=_mapped(statement.body, change))

    return tuple(map(mapped, body))


def _instance(generic: Program, verb: str, arguments: tuple[str, ...], names: Mapping[str, str], hand: str) -> Program:
    words = {**names, **_MIRRORED} if hand == "left" else names
    objects = tuple(each for name in generic.objects if (each := words.get(name, name)) not in arguments)
    assumes = tuple(
        Condition(each.predicate, tuple(words.get(name, name) for name in each.arguments), each.holds)
        for each in generic.assumes
    )
    return Program(verb, arguments, objects, assumes, renamed(generic.body, words))
