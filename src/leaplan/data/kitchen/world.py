"""The world as a set of facts, such as `in(tomato, bowl)`, and a sub-action that changes it."""

from collections.abc import Iterable
from dataclasses import dataclass

#: The closed set of predicates, with their number of arguments.
PREDICATES = {
    "free": 1,  # free(hand)
    "near": 2,  # near(hand, object): where the hand went last
    "holding": 2,  # holding(hand, object)
    "on": 2,
    "in": 2,
    "open": 1,
    "clean": 1,
    "peeled": 1,
    "cut": 1,
    "mixed": 1,
    "hot": 1,
    "cooked": 1,
    "full": 1,
    "active": 1,  # switched on, or running
}

NONE = "none"
Fact = tuple[str, ...]  # ("in", "tomato", "bowl")


class ImpossibleError(Exception):
    """A condition before a sub-action does not hold."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A fact that holds, or (`holds=False`) does not."""

    fact: Fact
    holds: bool = True

    def __str__(self) -> str:
        """Return the readable form: "in(tomato, bowl)" or "not in(tomato, bowl)"."""
        return f"{'' if self.holds else 'not '}{self.fact[0]}({', '.join(self.fact[1:])})"


@dataclass(frozen=True, slots=True)
class SubAction:
    """`verb(first, second)` by `hand` ("left", "right" or "none"), with its conditions."""

    verb: str
    first: str
    second: str
    hand: str
    before: tuple[Condition, ...]
    after: tuple[Condition, ...]


class World:
    """The facts that hold now. Order of insertion is kept, so that nothing depends on hashing."""

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self.facts: dict[Fact, None] = dict.fromkeys(facts)

    def copy(self) -> "World":
        """Return an independent world with the same facts."""
        return World(self.facts)

    def has(self, *fact: str) -> bool:
        """Tell whether a fact holds, such as `has("in", "tomato", "bowl")`."""
        return fact in self.facts

    def contents(self, vessel: str) -> list[str]:
        """Return what is in or on `vessel`, oldest first."""
        return [fact[1] for fact in self.facts if fact[0] in ("in", "on") and fact[2] == vessel]

    def place(self, thing: str) -> str | None:
        """Return what `thing` is on or in, or None where it is held."""
        return next((fact[2] for fact in self.facts if fact[0] in ("in", "on") and fact[1] == thing), None)

    def held(self, hand: str) -> str | None:
        """Return what `hand` holds, or None."""
        return next((fact[2] for fact in self.facts if fact[:2] == ("holding", hand)), None)

    def apply(self, action: SubAction) -> None:
        """Make the conditions after `action` true.

        Raises:
            ImpossibleError: A condition before it does not hold.
        """
        for condition in action.before:
            if self.has(*condition.fact) != condition.holds:
                raise ImpossibleError(f"{action.verb}({action.first}, {action.second}) needs {condition}")
        for condition in action.after:
            if condition.holds:
                self.facts[condition.fact] = None
            else:
                self.facts.pop(condition.fact, None)
