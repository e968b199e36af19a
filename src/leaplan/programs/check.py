"""What is wrong with a program: all of it at once, in the order of the program.

Two passes. The first looks at words: verbs, predicates, names, arguments, bounds, sizes. The second, in `flow.py`,
follows what holds from statement to statement. What the first has refused is left out in the second, so that one
mistake is told once.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache

from leaplan.programs.facts import HOLDING, Facts
from leaplan.programs.fault import KINDS, Fault, Kind, in_order
from leaplan.programs.flow import faults_of_flow
from leaplan.programs.language import (
    HANDS,
    LEAP,
    NONE,
    OTHER,
    Body,
    Condition,
    ForEach,
    If,
    Language,
    Program,
    Repeat,
    Statement,
    SubAction,
    While,
)
from leaplan.programs.words import DEPTH, ITEMS, STATEMENTS, TIMES, tidy, unknown

__all__ = ["KINDS", "Fault", "Kind", "check"]

_GIVEN = {NONE, *HANDS}
HAND_OBJECT = "hand"  # may be named without being declared: everybody has one


def check(program: Program, language: Language = LEAP) -> list[Fault]:
    """Return all faults of `program`; none if it is one of `language` and can be done as written."""
    words = _Words(program, language)
    words.program(program)
    if not words.oversized:
        words.faults += faults_of_flow(program, language, words.refused)
    return in_order(words.faults)


@lru_cache(16)
def _set_of(objects: tuple[str, ...]) -> frozenset[str]:
    return frozenset(objects)


class _Words:
    """The first pass. `refused` are the places of conditions that say nothing that can be followed."""

    def __init__(self, program: Program, language: Language) -> None:
        self.language = language
        self.faults: list[Fault] = []
        self.refused: set[str] = set()
        self.oversized = False
        self.statements = 0
        self.objects = _set_of(language.objects)
        self.names = set(program.declared) - _GIVEN
        if not self.objects or HAND_OBJECT in self.objects:
            self.names.add(HAND_OBJECT)

    def fault(self, kind: Kind, message: str, where: str) -> None:
        self.faults.append(Fault(kind, message, where))

    def program(self, program: Program) -> None:
        self.name(program.verb, "program")
        self.declared(program.arguments, "arguments")
        self.declared(program.objects, "objects")
        self.conditions(program.assumes, "assume")
        if not program.body:
            self.fault("empty body", "the program does nothing", "body")
        self.body(program.body, "body", 0)

    # Names.

    def declared(self, names: tuple[str, ...], where: str) -> None:
        self.length(names, where)
        for index, name in enumerate(names):
            place = f"{where}[{index}]"
            if name in _GIVEN:
                self.fault("bad name", f'"{name}" cannot be the name of an object', place)
            elif self.name(name, place) and self.objects and name not in self.objects and name != OTHER:
                near = get_close_matches(name.lower(), self.language.objects, n=1, cutoff=0.6)
                guess = f'; did you mean "{near[0]}"?' if near else "."
                what = f'"{name}" is no object of the language "{self.language.name}"{guess}'
                self.fault("unknown object", f'{what} Anything else is called "{OTHER}"', place)

    def name(self, name: str, where: str) -> bool:
        try:
            if tidy(name) == name:
                return True
            self.fault("bad name", f'"{name}" has white space to spare', where)
        except ValueError as error:
            self.fault("bad name", str(error), where)
        return False

    def length(self, items: tuple[object, ...], where: str) -> None:
        if len(items) > ITEMS:
            self.fault("too large", f"a list of {len(items):,}; at most {ITEMS} are allowed", where)

    def variable(self, name: str, where: str) -> None:
        if name in _GIVEN or name == HAND_OBJECT:
            self.fault("bad name", f'"{name}" cannot be the name of a loop variable', where)
        elif name in self.names:
            self.fault("bad name", f'the loop variable "{name}" is the name of something else here', where)
        else:
            self.name(name, where)

    def object(self, name: str, where: str, what: str) -> bool:
        """Note what is wrong with `name` in the place of an object; return whether it is one."""
        if name in self.names:
            return True
        if name in HANDS:
            hand = f'; as an object it is called "{HAND_OBJECT}"' if HAND_OBJECT in self.names else ""
            self.fault("wrong kind", f'{what} is an object, but "{name}" is a hand{hand}', where)
        elif name == NONE:
            self.fault("wrong kind", f'{what} is an object, but "{NONE}" is given', where)
        else:
            self.fault("undeclared object", f'"{name}" is not among the arguments and objects of the program', where)
        return False

    # Statements.

    def body(self, body: Body, where: str, depth: int) -> None:
        if depth > DEPTH:
            self.oversized = True
            self.fault("too deep", f"blocks within blocks deeper than {DEPTH}", where)
            return
        for index, statement in enumerate(body):
            self.statements += 1
            if self.statements > STATEMENTS:
                if not self.oversized:
                    self.fault("too large", f"more than {STATEMENTS} statements", f"{where}[{index}]")
                self.oversized = True
                return
            if isinstance(statement, SubAction):
                self.sub_action(statement, f"{where}[{index}]")
            else:
                self.block(statement, f"{where}[{index}]", depth + 1)

    def block(self, statement: Statement, where: str, depth: int) -> None:
        match statement:
            case If(condition, then, otherwise):
                self.conditions((condition,), f"{where}.if")
                if not then and not otherwise:
                    self.fault("empty body", "nothing is done in either case", f"{where}.then")
                self.body(then, f"{where}.then", depth)
                self.body(otherwise, f"{where}.else", depth)
                return
            case While(condition, most, _):
                self.conditions((condition,), f"{where}.while")
                self.bound(most, f"{where}.most")
            case Repeat(times, _):
                self.bound(times, f"{where}.repeat")
            case ForEach():
                self.for_each(statement, where, depth)
                return
        self.loop_body(statement.body, where, depth)  # type: ignore[union-attr]

    def for_each(self, loop: ForEach, where: str, depth: int) -> None:
        self.variable(loop.variable, f"{where}.each")
        if not loop.objects:
            self.fault("empty body", "there is nothing to go through", f"{where}.in")
        self.length(loop.objects, f"{where}.in")
        for index, name in enumerate(loop.objects):
            self.object(name, f"{where}.in[{index}]", "what is gone through")
        outer = self.names
        self.names = outer | {loop.variable}
        self.loop_body(loop.body, where, depth)
        self.names = outer

    def loop_body(self, body: Body, where: str, depth: int) -> None:
        if not body:
            self.fault("empty body", "the loop does nothing", f"{where}.body")
        self.body(body, f"{where}.body", depth)

    def bound(self, times: int, where: str) -> None:
        if not 1 <= times <= TIMES:
            self.fault("unbounded loop", f"{times} times; a loop goes round 1 to {TIMES} times", where)

    def sub_action(self, action: SubAction, where: str) -> None:
        verb = self.language.verbs.get(action.verb)
        if verb is None:
            self.fault("unknown verb", unknown("verb", action.verb, self.language.verbs, self.language.synonyms),
                       f"{where}.do")  # fmt: skip
        self.argument(action, action.first, verb.first if verb else None, "A", f"{where}.a")
        self.argument(action, action.second, verb.second if verb else None, "B", f"{where}.b")
        self.hand(action, verb.hand if verb else None, f"{where}.hand")
        if action.before:
            self.conditions(action.before, f"{where}.pre")
        if action.after:
            self.conditions(action.after, f"{where}.post")

    def argument(self, action: SubAction, name: str, needed: bool | None, what: str, where: str) -> None:
        if name == NONE:
            if needed:
                self.fault("arity", f'"{action.verb}" needs {what}', where)
        elif needed is False:
            self.fault("arity", f'"{action.verb}" has no {what}, but "{name}" is given', where)
        elif name not in self.names:
            self.object(name, where, what)

    def hand(self, action: SubAction, needed: bool | None, where: str) -> None:
        if action.hand == NONE:
            if needed:
                self.fault("missing hand", f'"{action.verb}" needs a hand: {", ".join(HANDS)}', where)
        elif action.hand not in HANDS:
            self.fault("unknown hand", f'"{action.hand}" is no hand; expected one of {", ".join(HANDS)}', where)
        elif needed is False:
            self.fault("unknown hand", f'no hand does "{action.verb}", but "{action.hand}" is given', where)

    # Conditions.

    def conditions(self, conditions: tuple[Condition, ...], where: str) -> None:
        """Look at a list of conditions, or at the one of a loop or an `if`, whose place has no number."""
        self.length(conditions, where)
        single = where.endswith((".if", ".while"))
        for index, condition in enumerate(conditions):
            kinds = self.language.predicates.get(condition.predicate)
            if kinds is None or not self.fits(condition, kinds):
                self.condition(condition, kinds, where if single else f"{where}[{index}]")
        if len(conditions) > 1:
            for index, kind, message in _clashes(conditions):
                place = f"{where}[{index}]"
                if place not in self.refused:
                    self.refused.add(place)
                    self.fault(kind, message, place)

    def fits(self, condition: Condition, kinds: tuple[str, ...]) -> bool:
        """Return whether all arguments are as the predicate wants them."""
        arguments = condition.arguments
        if len(arguments) != len(kinds):
            return False
        for argument, kind in zip(arguments, kinds, strict=True):
            if argument not in (HANDS if kind == "hand" else self.names):
                return False
        return True

    def condition(self, condition: Condition, kinds: tuple[str, ...] | None, where: str) -> None:
        """Note what is wrong with a condition that does not fit."""
        if kinds is None:
            self.refused.add(where)
            known = [*self.language.predicates, *self.language.opposites]
            self.fault("unknown predicate", unknown("predicate", condition.predicate, known), where)
            return
        if len(condition.arguments) != len(kinds):
            self.refused.add(where)
            form = f"{condition.predicate}({', '.join(kinds)})"
            self.fault("arity", f"{condition} has {len(condition.arguments)} arguments; expected {form}", where)
            return
        for argument, kind in zip(condition.arguments, kinds, strict=True):
            if kind != "hand":
                self.object(argument, where, f'an argument of "{condition.predicate}"')
            elif argument not in HANDS:
                self.refused.add(where)
                self.fault("wrong kind", f'{condition} has "{argument}" in the place of a hand (left, right)', where)


def _clashes(conditions: tuple[Condition, ...]) -> Iterator[tuple[int, Kind, str]]:
    """Yield (index, kind, message) of the conditions that cannot hold together with those before them."""
    facts = Facts()
    for index, condition in enumerate(conditions):
        if facts.truth(condition) is False:
            against = _against(conditions[:index], condition)
            if condition.predicate == against.predicate == HOLDING and condition.holds and against.holds:
                yield index, "full hand", f"{condition} and {against}: a hand holds one thing at most"
            else:
                yield index, "contradiction", f"{condition} and {against} cannot both hold"
        else:
            facts.suppose(condition)


def _against(others: tuple[Condition, ...], condition: Condition) -> Condition:
    """Return which of `others` speaks against `condition`: the last that does so on its own."""
    for other in reversed(others):
        if Facts.supposed([other]).truth(condition) is False:
            return other
    return others[-1]
