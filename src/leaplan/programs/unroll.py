"""A program to the plain sequence of its sub-actions, always the same for the same program.

What holds is followed from the program's assumptions through the post-conditions. A condition of `if` or `while` is
read as false only where it is known not to hold: `if` takes its first block, and `while` goes round, in all other
cases, the latter at most as often as it says. The conditions of a sub-action are a set, so they come out sorted, each
once. Sub-actions are made one by one and no more than asked for: 100 repetitions of 100 repetitions cost nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from operator import lt

from leaplan.programs.facts import NOBODY, Facts, Names
from leaplan.programs.language import (
    Body,
    Condition,
    ForEach,
    If,
    Program,
    Repeat,
    Statement,
    SubAction,
    While,
)

STATEMENTS = 20_000  # looked at for one program; a hostile one could loop over nothing for ever


@dataclass(frozen=True, slots=True)
class Unrolled:
    """The sub-actions of a program.

    Args:
        sub_actions: In order, loop variables replaced, conditions sorted and each once.
        truncated: There are more than asked for.
    """

    sub_actions: tuple[SubAction, ...]
    truncated: bool


def unroll(program: Program, most: int = 16) -> Unrolled:
    """Return the first sub-actions of `program`, at `most` so many.

    Raises:
        ValueError: `most` is negative.
    """
    if most < 0:
        raise ValueError(f"at most {most} sub-actions: that is less than none")
    walk = _Walk(Facts.supposed(program.assumes), _asks(program.body))
    done = tuple(islice(walk.body(program.body, NOBODY), most + 1))
    return Unrolled(done[:most], len(done) > most or walk.exhausted)


def ordered(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    """Return `conditions` sorted by predicate, arguments and truth, each once."""
    if len(conditions) < 2:
        return conditions
    keys = [(each.predicate, each.arguments, each.holds) for each in conditions]
    if all(map(lt, keys, keys[1:])):
        return conditions
    found = dict(zip(keys, conditions, strict=True))
    return tuple([found[key] for key in sorted(found)])


def _asks(body: Body) -> bool:
    """Return whether a condition is to be read in `body`."""
    return any(
        isinstance(statement, If | While) or (not isinstance(statement, SubAction) and _asks(statement.body))
        for statement in body
    )


class _Walk:
    """Goes through a program as it would be done, and yields what is done."""

    def __init__(self, facts: Facts, asks: bool) -> None:
        self.facts = facts
        self.asks = asks  # or nobody wants to know the facts
        self.done = 0  # sub-actions
        self.left = STATEMENTS

    @property
    def exhausted(self) -> bool:
        return self.left <= 0

    def body(self, body: Body, names: Names) -> Iterator[SubAction]:
        for statement in body:
            self.left -= 1
            if self.exhausted:
                return
            if isinstance(statement, SubAction):
                self.done += 1
                yield _plain(statement, names)
                if self.asks:
                    self.facts.change(statement.after, names)
            else:
                yield from self.block(statement, names)

    def block(self, statement: Statement, names: Names) -> Iterator[SubAction]:
        match statement:
            case If(condition, then, otherwise):
                yield from self.body(then if self._reads_true(condition, names) else otherwise, names)
            case Repeat(times, body):
                yield from self.rounds(None, times, body, names)
            case While(condition, most, body):
                yield from self.rounds(condition, most, body, names)
            case ForEach(variable, objects, body):
                for each in objects:
                    if self.exhausted:
                        return
                    yield from self.body(body, {**names, variable: names.get(each, each)})

    def rounds(self, condition: Condition | None, most: int, body: Body, names: Names) -> Iterator[SubAction]:
        for _ in range(most):
            if condition is not None and not self._reads_true(condition, names):
                return
            before = self.done
            yield from self.body(body, names)
            if self.done == before:  # nothing was done, so nothing has changed: all further rounds are the same
                return

    def _reads_true(self, condition: Condition, names: Names) -> bool:
        if self.facts.truth(condition, names) is False:
            return False
        self.facts.suppose(condition, names)
        return True


def _plain(action: SubAction, names: Names) -> SubAction:
    before, after = action.before, action.after
    if not names:
        sorted_before, sorted_after = ordered(before), ordered(after)
        if sorted_before is before and sorted_after is after:
            return action
        return SubAction(action.verb, action.first, action.second, action.hand, sorted_before, sorted_after)
    return SubAction(
        action.verb,
        names.get(action.first, action.first),
        names.get(action.second, action.second),
        action.hand,
        ordered(tuple([_filled(each, names) for each in before])),
        ordered(tuple([_filled(each, names) for each in after])),
    )


def _filled(condition: Condition, names: Names) -> Condition:
    arguments = tuple([names.get(name, name) for name in condition.arguments])
    return Condition(condition.predicate, arguments, condition.holds)
