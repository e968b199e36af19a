"""Short programs to whole ones: usual conditions are added, what is needed beforehand is assumed, names declared.

Whoever writes a template or an exemplar writes `grasp(cup) right;` and the effects that are the action's own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from leaplan.programs.language import (
    LEAP,
    NONE,
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
    usual_conditions,
)

Fact = tuple[str, tuple[str, ...]]
State = dict[Fact, bool | None]  # None: it depends on the way taken


class Contradiction(ValueError):
    """A condition that the program itself has made false, or true on one way only."""


def complete(program: Program, language: Language = LEAP) -> Program:
    """Return `program` with usual conditions, all names declared, and exactly the assumptions that it needs.

    Conditions that stand in `program` are kept and come last; its own assumptions come first.

    Raises:
        Contradiction: A pre-condition cannot hold, whatever is assumed.
    """
    body = with_usual_conditions(program.body, language)
    declared = dict.fromkeys(program.declared)
    extra = tuple(dict.fromkeys(name for name in named(body) if name not in declared))
    objects = (*program.objects, *extra)
    return replace(program, body=body, objects=objects, assumes=assumptions(body, program.assumes))


def with_usual_conditions(body: Body, language: Language = LEAP) -> Body:
    """Return `body` with the usual conditions of each sub-action's verb before its own."""
    return tuple(_with_usual(statement, language) for statement in body)


def _with_usual(statement: Statement, language: Language) -> Statement:
    match statement:
        case SubAction():
            verb = language.verbs[statement.verb]
            before, after = usual_conditions(verb, statement.first, statement.second, statement.hand)
            return replace(statement, before=_joined(before, statement.before), after=_joined(after, statement.after))
        case If():
            then = with_usual_conditions(statement.then, language)
            return If(statement.condition, then, with_usual_conditions(statement.otherwise, language))
        case _:
            return replace(statement, body=with_usual_conditions(statement.body, language))


def _joined(usual: tuple[Condition, ...], own: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Return both, without the usual ones that the sub-action's own ones speak against."""
    against = {condition.negated for condition in own}
    return tuple(dict.fromkeys((*(condition for condition in usual if condition not in against), *own)))


def named(body: Body, variables: frozenset[str] = frozenset()) -> Iterable[str]:
    """Yield the objects that `body` names, perhaps several times; hands, "none" and loop variables are none."""
    for statement in body:
        yield from _named_by(statement, variables)


def _named_by(statement: Statement, variables: frozenset[str]) -> Iterable[str]:
    hidden = variables | {NONE, "left", "right"}
    match statement:
        case SubAction():
            names = [statement.first, statement.second]
            names += [name for condition in (*statement.before, *statement.after) for name in condition.arguments]
            yield from (name for name in names if name not in hidden)
        case If():
            yield from (name for name in statement.condition.arguments if name not in hidden)
            yield from named(statement.then, variables)
            yield from named(statement.otherwise, variables)
        case ForEach():
            yield from statement.objects
            yield from named(statement.body, variables | {statement.variable})
        case While():
            yield from (name for name in statement.condition.arguments if name not in hidden)
            yield from named(statement.body, variables)
        case _:
            yield from named(statement.body, variables)


def assumptions(body: Body, given: Iterable[Condition] = ()) -> tuple[Condition, ...]:
    """Return `given` and what else must hold before `body`, in the order in which it is needed.

    Raises:
        Contradiction: A pre-condition cannot hold, whatever is assumed.
    """
    walk = _Walk({_fact(condition): condition.holds for condition in given})
    walk.body(body, {})
    return tuple(Condition(*fact, holds=holds) for fact, holds in walk.assumed.items())


class _Walk:
    """Goes through a program once, or twice through what is repeated, and notes what was needed and unknown."""

    def __init__(self, assumed: dict[Fact, bool]) -> None:
        self.assumed = assumed

    def body(self, body: Body, state: State) -> None:
        """Bring `state` from before `body` to after it."""
        for statement in body:
            self.statement(statement, state)

    def statement(self, statement: Statement, state: State) -> None:
        match statement:
            case SubAction():
                self.sub_action(statement, state)
            case Repeat():
                for _ in range(min(statement.times, 2)):
                    self.body(statement.body, state)
            case While():
                self.loop(statement, state)
            case If():
                otherwise = dict(state)
                self.branch(statement.condition, statement.then, state)
                self.branch(statement.condition.negated, statement.otherwise, otherwise)
                self.merge(state, otherwise)
            case ForEach():
                for each in statement.objects:
                    self.body(renamed(statement.body, {statement.variable: each}), state)

    def sub_action(self, action: SubAction, state: State) -> None:
        for condition in action.before:
            fact = _fact(condition)
            known = state[fact] if fact in state else self.assumed.get(fact)
            if known is None and fact not in state:
                self.assumed[fact] = condition.holds
            elif known is not condition.holds:
                raise Contradiction(f"{action.verb}({action.first}, {action.second}) needs {condition}")
        state.update((_fact(condition), condition.holds) for condition in action.after)

    def loop(self, loop: While, state: State) -> None:
        never = dict(state)
        for _ in range(min(loop.most, 2)):
            self.branch(loop.condition, loop.body, state)
        never[_fact(loop.condition)] = not loop.condition.holds
        self.merge(state, never)

    def branch(self, condition: Condition, body: Body, state: State) -> None:
        state[_fact(condition)] = condition.holds
        self.body(body, state)

    def merge(self, state: State, other: State) -> None:
        for fact in {**state, **other}:
            ways = [way.get(fact, self.assumed.get(fact)) for way in (state, other)]
            state[fact] = ways[0] if ways[0] is ways[1] else None


def _fact(condition: Condition) -> Fact:
    return condition.predicate, condition.arguments


def renamed(body: Body, names: Mapping[str, str]) -> Body:
    """Return `body` with objects, hands and loop variables renamed."""
    return tuple(_renamed(statement, names) for statement in body)


def _renamed(statement: Statement, names: Mapping[str, str]) -> Statement:
    get = names.get
    match statement:
        case SubAction(verb, first, second, hand, before, after):
            return SubAction(
                verb,
                get(first, first),
                get(second, second),
                get(hand, hand),
                tuple([_renamed_condition(condition, names) for condition in before]),
                tuple([_renamed_condition(condition, names) for condition in after]),
            )
        case If(condition, then, otherwise):
            return If(_renamed_condition(condition, names), renamed(then, names), renamed(otherwise, names))
        case While(condition, most, body):
            return While(_renamed_condition(condition, names), most, renamed(body, names))
        case ForEach(variable, objects, body):
            return ForEach(get(variable, variable), tuple(get(each, each) for each in objects), renamed(body, names))
        case Repeat(times, body):
            return Repeat(times, renamed(body, names))


def _renamed_condition(condition: Condition, names: Mapping[str, str]) -> Condition:
    arguments = tuple([names.get(name, name) for name in condition.arguments])
    return Condition(condition.predicate, arguments, condition.holds)
