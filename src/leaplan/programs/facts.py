"""What is known to hold at a point of a program, in three values: true, false, unknown.

Two rules about hands are built in: a hand holds one thing at most, and it is free exactly if it holds nothing. So
`holding(right, cup)` makes `free(right)` and `holding(right, pan)` false, and letting go of the only thing makes
the hand free, whether a program says so or not. "both" as the first argument speaks of either hand.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from leaplan.programs.language import Condition

Fact = tuple[str, tuple[str, ...]]  # ("in", ("tomato", "bowl"))
Held = dict[str, tuple[str, ...]]
Names = Mapping[str, str]  # loop variables and what they stand for

HOLDING, FREE = "holding", "free"
NOBODY: Names = {}


def facts_of(condition: Condition, names: Names = NOBODY) -> tuple[Fact, ...]:
    """Return the facts that `condition` speaks of: two for "both" hands, else one."""
    arguments = condition.arguments
    if names:
        arguments = tuple([names.get(name, name) for name in arguments])
    if arguments and arguments[0] == "both":
        return tuple((condition.predicate, (hand, *arguments[1:])) for hand in ("left", "right"))
    return ((condition.predicate, arguments),)


@dataclass(frozen=True, slots=True)
class Taken:
    """A hand takes a second thing.

    Args:
        hand, thing: Which hand, and what it takes.
        others: What it holds already.
        certain: It does so on every way to this point.
    """

    hand: str
    thing: str
    others: tuple[str, ...]
    certain: bool


class Facts:
    """Known facts. What is not among them is unknown.

    Args:
        known: Fact to whether it holds.
        held: Hand to what it is known to hold: one thing, or more after a fault.
        maybe: Hand to what it holds on some ways to this point.
    """

    __slots__ = ("held", "known", "maybe")

    def __init__(
        self, known: dict[Fact, bool] | None = None, held: Held | None = None, maybe: Held | None = None
    ) -> None:
        self.known: dict[Fact, bool] = {} if known is None else known
        self.held: Held = {} if held is None else held
        self.maybe: Held = {} if maybe is None else maybe

    @classmethod
    def supposed(cls, conditions: Iterable[Condition]) -> "Facts":
        """Return what is known where nothing but `conditions` is."""
        facts = cls()
        for condition in conditions:
            facts.suppose(condition)
        return facts

    def copy(self) -> "Facts":
        """Return an independent copy."""
        return Facts(self.known.copy(), self.held.copy(), self.maybe.copy())

    def __eq__(self, other: object) -> bool:
        """Tell whether exactly the same is known."""
        if not isinstance(other, Facts):
            return NotImplemented
        return self.known == other.known and self.held == other.held and self.maybe == other.maybe

    __hash__ = None  # type: ignore[assignment]

    def value(self, fact: Fact) -> bool | None:
        """Return whether `fact` holds; None where it is unknown."""
        value = self.known.get(fact)
        if value is None and fact[0] == HOLDING and len(fact[1]) == 2:
            hand = fact[1][0]
            if hand in self.held or self.known.get((FREE, (hand,))):
                return False
        return value

    def truth(self, condition: Condition, names: Names = NOBODY) -> bool | None:
        """Return whether `condition` holds, its negation counted in; None where that is unknown."""
        unknown = False
        for fact in facts_of(condition, names):
            value = self.value(fact)
            if value is None:
                unknown = True
            elif value is not condition.holds:
                return False
        return None if unknown else True

    def suppose(self, condition: Condition, names: Names = NOBODY) -> None:
        """Take `condition` for true."""
        for fact in facts_of(condition, names):
            self._set(fact, condition.holds)

    def suppose_not(self, condition: Condition, names: Names = NOBODY) -> None:
        """Take `condition` for false. Of "both" hands nothing follows: it may be the one or the other."""
        facts = facts_of(condition, names)
        if len(facts) == 1:
            self._set(facts[0], not condition.holds)

    def change(self, after: Iterable[Condition], names: Names = NOBODY) -> list[Taken]:
        """Take in what has changed, and return the hands that have taken a second thing."""
        rest: list[Condition] = []
        for condition in after:
            if condition.predicate == HOLDING and not condition.holds and len(condition.arguments) == 2:
                self._released(condition, names)  # first, so that one thing may be exchanged for another
            else:
                rest.append(condition)
        full: list[Taken] = []
        for condition in rest:
            if condition.predicate == HOLDING and len(condition.arguments) == 2:
                full += self._taken(condition, names)
            self.suppose(condition, names)
        return full

    def _taken(self, condition: Condition, names: Names) -> Iterator[Taken]:
        for _, (hand, thing) in facts_of(condition, names):
            held = self.held.get(hand, ())
            others = tuple(other for other in self.maybe.get(hand, ()) if other != thing)
            if held and thing not in held:
                yield Taken(hand, thing, held, True)
            elif others:
                yield Taken(hand, thing, others, False)

    def _released(self, condition: Condition, names: Names) -> None:
        for fact in facts_of(condition, names):
            hand = fact[1][0]
            if hand not in self.held and self.value(fact) is None:
                self.known.pop((FREE, (hand,)), None)  # what it held may have been this
            self._set(fact, False)

    def _set(self, fact: Fact, holds: bool) -> None:
        self.known[fact] = holds
        predicate, arguments = fact
        if predicate == HOLDING and len(arguments) == 2:
            hand, thing = arguments
            if holds:
                self._take(hand, thing)
            else:
                self._let_go(hand, thing)
        elif predicate == FREE and holds and len(arguments) == 1:
            self.maybe.pop(arguments[0], None)
            for thing in self.held.pop(arguments[0], ()):
                self.known[HOLDING, (arguments[0], thing)] = False

    def _take(self, hand: str, thing: str) -> None:
        others = self.held.get(hand, ())
        if thing not in others:
            self.held[hand] = (*others, thing)
        self.maybe.pop(hand, None)
        self.known[FREE, (hand,)] = False

    def _let_go(self, hand: str, thing: str) -> None:
        if thing in self.held.get(hand, ()):
            _without(self.held, hand, thing)
            if hand not in self.held:
                self.known[FREE, (hand,)] = True
        elif thing in self.maybe.get(hand, ()):
            _without(self.maybe, hand, thing)

    def joined(self, other: "Facts") -> "Facts":
        """Return what is known where it may be as here or as in `other`: that on which both agree."""
        known = {fact: value for fact, value in self.known.items() if other.value(fact) is value}
        for fact, value in other.known.items():
            if fact not in self.known and self.value(fact) is value:
                known[fact] = value
        held = {hand: things for hand, things in self.held.items() if other.held.get(hand) == things}
        maybe = {
            hand: tuple(sorted({*_told(self, hand), *_told(other, hand)}))
            for hand in (*self.held, *self.maybe, *other.held, *other.maybe)
            if hand not in held
        }
        return Facts(known, held, maybe)


def _told(facts: Facts, hand: str) -> tuple[str, ...]:
    return facts.held.get(hand) or facts.maybe.get(hand, ())


def _without(held: Held, hand: str, thing: str) -> None:
    left = tuple(other for other in held.pop(hand) if other != thing)
    if left:
        held[hand] = left
