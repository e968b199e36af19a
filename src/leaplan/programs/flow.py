"""Whether a program can be done as written: each pre-condition is assumed or established earlier, no hand takes two.

Facts are followed in three values (`facts.py`). After `if` that is known on which both ways agree. The body of a loop
is gone through as it is first entered, and again from what the rounds have in common, until that changes no more, so
that a pre-condition must hold in every round. `while c` knows c when its body begins; after it, that is known on which
all ways out agree: never entered and not c, or after any round.
"""

from dataclasses import dataclass

from leaplan.programs.facts import NOBODY, Facts, Names, Taken
from leaplan.programs.fault import Fault
from leaplan.programs.language import (
    HAND,
    NONE,
    A,
    B,
    Body,
    Condition,
    ForEach,
    If,
    Language,
    Program,
    Repeat,
    Statement,
    SubAction,
    Verb,
    While,
)

VISITS = 20_000  # of sub-actions; loops within loops within loops are gone through again and again


def faults_of_flow(program: Program, language: Language, refused: set[str]) -> list[Fault]:
    """Return the pre-conditions that are not met and the hands that are full.

    Args:
        program: Not nested without limit.
        language: For advice: which verb usually establishes a condition.
        refused: Places of conditions to be left out.
    """
    flow = _Flow(language, refused)
    assumed = flow.kept(program.assumes, "assume")
    facts = Facts.supposed(assumed)
    try:
        flow.body(program.body, "body", facts, NOBODY)
    except _TooLarge:
        flow.faults["body", "too large"] = Fault("too large", "loops within loops too large to be checked", "body")
    return list(flow.faults.values())


class _TooLarge(Exception):
    """More than `VISITS`."""


@dataclass(frozen=True, slots=True)
class _Past:
    """A sub-action that has been done."""

    where: str
    action: SubAction
    names: Names


class _Flow:
    """The second pass. `facts` are changed in place; blocks return those that hold after them."""

    def __init__(self, language: Language, refused: set[str]) -> None:
        self.language = language
        self.refused = refused
        self.faults: dict[tuple[str, str], Fault] = {}
        self.past: list[_Past] = []
        self.again = False  # in a round that is not the first
        self.visits = 0

    def body(self, body: Body, where: str, facts: Facts, names: Names) -> Facts:
        for index, statement in enumerate(body):
            place = f"{where}[{index}]"
            if isinstance(statement, SubAction):
                self.sub_action(statement, place, facts, names)
            else:
                facts = self.block(statement, place, facts, names)
        return facts

    def kept(self, conditions: tuple[Condition, ...], where: str) -> tuple[Condition, ...]:
        """Return `conditions` without those that the first pass has refused."""
        if not self.refused:
            return conditions
        return tuple(each for index, each in enumerate(conditions) if f"{where}[{index}]" not in self.refused)

    # Blocks.

    def block(self, statement: Statement, where: str, facts: Facts, names: Names) -> Facts:
        self.visits += 1
        if self.visits > VISITS:
            raise _TooLarge
        match statement:
            case If():
                return self.branches(statement, where, facts, names)
            case Repeat(times, body):
                first = self.body(body, f"{where}.body", facts.copy(), names)
                return first if times < 2 or first == facts else self.rounds(None, body, where, first, names)
            case While():
                return self.loop(statement, where, facts, names)
            case ForEach(variable, objects, body):
                for each in objects:
                    facts = self.body(body, f"{where}.body", facts, {**names, variable: names.get(each, each)})
        return facts

    def branches(self, statement: If, where: str, facts: Facts, names: Names) -> Facts:
        condition = None if f"{where}.if" in self.refused else statement.condition
        truth = facts.truth(condition, names) if condition else None
        mark = len(self.past)
        ways = []
        if truth is not False:
            way = facts.copy()
            if condition:
                way.suppose(condition, names)
            ways.append(self.body(statement.then, f"{where}.then", way, names))
        then = self.past[mark:]
        del self.past[mark:]
        if truth is not True:
            way = facts.copy()
            if condition:
                way.suppose_not(condition, names)
            ways.append(self.body(statement.otherwise, f"{where}.else", way, names))
        self.past[mark:mark] = then
        return ways[0] if len(ways) == 1 else ways[0].joined(ways[1])

    def loop(self, loop: While, where: str, facts: Facts, names: Names) -> Facts:
        condition = None if f"{where}.while" in self.refused else loop.condition
        truth = facts.truth(condition, names) if condition else None
        if truth is False:
            return facts
        entry = facts.copy()
        if condition:
            entry.suppose(condition, names)
        after = self.body(loop.body, f"{where}.body", entry, names)
        if loop.most > 1 and not (condition and after.truth(condition, names) is False):
            after = after.joined(self.rounds(condition, loop.body, where, after, names))
        if truth is True:
            return after
        if condition:
            facts.suppose_not(condition, names)
        return facts.joined(after)

    def rounds(self, condition: Condition | None, body: Body, where: str, facts: Facts, names: Names) -> Facts:
        """Return what holds after any round but the first, which ended with `facts`."""
        outer, self.again = self.again, True
        entry = facts.copy()
        while True:
            start = entry.copy()
            if condition:
                start.suppose(condition, names)
            after = self.body(body, f"{where}.body", start, names)
            common = entry.joined(after)
            if common == entry or (condition and after.truth(condition, names) is False):
                break
            entry = common
        self.again = outer
        return after

    # Sub-actions.

    def sub_action(self, action: SubAction, where: str, facts: Facts, names: Names) -> None:
        self.visits += 1
        if self.visits > VISITS:
            raise _TooLarge
        for index, condition in enumerate(action.before):
            truth = facts.truth(condition, names)
            if truth is not True:
                place = f"{where}.pre[{index}]"
                if place not in self.refused:
                    self.unmet(action, condition, truth, place, names)
                    facts.suppose(condition, names)  # or it would be told again
        after = self.kept(action.after, f"{where}.post") if self.refused else action.after
        for taken in facts.change(after, names):
            self.full(action, where, taken, names)
        self.past.append(_Past(where, action, names))

    def note(self, fault: Fault) -> None:
        self.faults.setdefault((fault.where, fault.kind), fault)

    def full(self, action: SubAction, where: str, taken: Taken, names: Names) -> None:
        hand, others = taken.hand, taken.others
        holds = "holds" if taken.certain else "may hold"
        round_ = " when the loop goes round again" if self.again else ""
        message = (
            f"{_call(action, names)} takes {taken.thing}, but the {hand} hand {holds} {' or '.join(others)}{round_}: "
            f"it holds one thing at most, release({others[0]}) {hand} first"
        )
        self.note(Fault("full hand", message, where))

    def unmet(self, action: SubAction, condition: Condition, truth: bool | None, where: str, names: Names) -> None:
        needed = _filled(condition, names)
        reason = self.why_false(needed) if truth is False else self.why_unknown(needed)
        round_ = " when the loop goes round again" if self.again else ""
        message = f"{_call(action, names)} needs {needed}{round_}, {reason}"
        self.note(Fault("unmet pre-condition", message, where))

    def why_false(self, needed: Condition) -> str:
        """Say what has made `needed` false."""
        for past in reversed(self.past):
            after = Facts()
            after.change(past.action.after, past.names)
            if after.truth(needed) is False:
                return f"which {_call(past.action, past.names)} at {past.where} has made false"
        return "which does not hold here"

    def why_unknown(self, needed: Condition) -> str:
        """Say which earlier sub-action establishes `needed` on some ways only, should have done so, or is missing."""
        for past in reversed(self.past):
            if needed in (_filled(each, past.names) for each in past.action.after):
                return f"which {_call(past.action, past.names)} at {past.where} does not establish on every way here"
        advice = [found for name, verb in self.language.verbs.items() if (found := _usual(name, verb, needed))]
        for past in reversed(self.past):
            if any(_is_call(past, found) for found in advice):
                return f"which {_call(past.action, past.names)} at {past.where} has to establish as a post-condition"
        if advice:
            return f"which nothing before it establishes: put {_call(advice[0], NOBODY)} before it, or assume it"
        return "which nothing before it establishes: make it a post-condition of an earlier sub-action, or assume it"


def _filled(condition: Condition, names: Names) -> Condition:
    if not names:
        return condition
    arguments = tuple(names.get(name, name) for name in condition.arguments)
    return Condition(condition.predicate, arguments, condition.holds)


def _call(action: SubAction, names: Names) -> str:
    """Return the sub-action as messages name it: "grasp(cup) right"."""
    arguments = [names.get(name, name) for name in (action.first, action.second)]
    while arguments and arguments[-1] == NONE:
        arguments.pop()
    return f"{action.verb}({', '.join(arguments)}){'' if action.hand == NONE else f' {action.hand}'}"


def _usual(name: str, verb: Verb, needed: Condition) -> SubAction | None:
    """Return the sub-action of `verb` that usually establishes `needed`; "..." stands for what does not matter."""
    for pattern in verb.after:
        if pattern.predicate != needed.predicate or pattern.holds != needed.holds:
            continue
        if len(pattern.arguments) != len(needed.arguments):
            continue
        values = {A: "..." if verb.first else NONE, B: "..." if verb.second else NONE, HAND: NONE}
        for role, value in zip(pattern.arguments, needed.arguments, strict=True):
            values[role] = value
        return SubAction(name, values[A], values[B], values[HAND])
    return None


def _is_call(past: _Past, wanted: SubAction) -> bool:
    action, names = past.action, past.names
    if action.verb != wanted.verb or (wanted.hand != NONE and action.hand not in (wanted.hand, "both")):
        return False
    given = (names.get(action.first, action.first), names.get(action.second, action.second))
    return all(want in ("...", NONE, have) for want, have in zip((wanted.first, wanted.second), given, strict=True))
