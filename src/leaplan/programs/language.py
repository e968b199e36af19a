"""LEAP's action programs as frozen values, and the closed sets of words that they are written in.

A program tells how one action is done: sub-actions `verb(A, B)` in order, each with what must hold before
and what holds after it, under control flow. LEAP (arXiv 2312.00055) leaves vocabulary and syntax open; ours is
documented in docs/programs.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

NONE = "none"
OTHER = "other"  # what is in no object vocabulary
HANDS = ("left", "right", "both")
A, B, HAND = "A", "B", "hand"  # stand for a sub-action's own arguments in the usual conditions of a verb


@dataclass(frozen=True, slots=True)
class Condition:
    """A fact such as `in(tomato, bowl)` that holds or, with `holds=False`, does not."""

    predicate: str
    arguments: tuple[str, ...]
    holds: bool = True

    @property
    def negated(self) -> "Condition":
        """The opposite condition."""
        return replace(self, holds=not self.holds)

    def __str__(self) -> str:
        """Return the readable form, names as they are: "not in(tomato, bowl)"."""
        return f"{'' if self.holds else 'not '}{self.predicate}({', '.join(self.arguments)})"


@dataclass(frozen=True, slots=True)
class SubAction:
    """One step of a program that is not divided further.

    Args:
        verb: One of the language's sub-action verbs.
        first: A, the object acted on, or the tool for `use`; "none" if there is none.
        second: B, the second object, target or surface; "none" if there is none.
        hand: "left", "right", "both", or "none" where it does not matter or is not known.
        before: Pre-conditions.
        after: Post-conditions: what has changed, nothing else.
    """

    verb: str
    first: str = NONE
    second: str = NONE
    hand: str = NONE
    before: tuple[Condition, ...] = ()
    after: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Repeat:
    """Do `body` a fixed number of `times`."""

    times: int
    body: "Body"


@dataclass(frozen=True, slots=True)
class While:
    """Do `body` as long as `condition` holds, but at `most` so many times."""

    condition: Condition
    most: int
    body: "Body"


@dataclass(frozen=True, slots=True)
class If:
    """Do `then` where `condition` holds, else `otherwise` (which may be empty)."""

    condition: Condition
    then: "Body"
    otherwise: "Body" = ()


@dataclass(frozen=True, slots=True)
class ForEach:
    """Do `body` once per object, with `variable` standing for it."""

    variable: str
    objects: tuple[str, ...]
    body: "Body"


Statement = SubAction | Repeat | While | If | ForEach
Body = tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """How one action is done.

    Args:
        verb: What is done, such as "open": the action's name, not a sub-action.
        arguments: What it is done to, such as ("door",); declared objects as well.
        objects: Further objects that the body may name.
        assumes: What is taken to hold before the program begins.
        body: Statements in order.
    """

    verb: str
    arguments: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    assumes: tuple[Condition, ...] = ()
    body: Body = ()

    @property
    def declared(self) -> tuple[str, ...]:
        """All objects that may be named, each once, arguments first."""
        return tuple(dict.fromkeys((*self.arguments, *self.objects)))


def sub_actions(body: Body) -> Iterator[SubAction]:
    """Yield the sub-actions of `body` as written: those in loops once, of both branches of an `if`."""
    for statement in body:
        match statement:
            case SubAction():
                yield statement
            case If():
                yield from sub_actions(statement.then)
                yield from sub_actions(statement.otherwise)
            case _:
                yield from sub_actions(statement.body)


@dataclass(frozen=True, slots=True)
class Verb:
    """A sub-action verb.

    Args:
        first, second: Whether A and B must be given (True), must not (False), or may be (None).
        hand: Whether a hand does it, likewise.
        before, after: Its usual conditions, with "A", "B" and "hand" in place of arguments. They are what rules
            write and what a prompt shows; a program's own conditions may differ.
        meaning: A phrase for prompts and documentation.
    """

    first: bool | None = True
    second: bool | None = None
    hand: bool | None = None
    before: tuple[Condition, ...] = ()
    after: tuple[Condition, ...] = ()
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Language:
    """The closed sets of words of a set of programs.

    Args:
        name: Such as "leap" or "kitchen"; stands in files next to the programs.
        verbs: Sub-action verbs.
        predicates: Name to the kind of each argument, "hand" or "object".
        objects: All object names, without "none" and "other"; empty if any name may be declared.
        synonyms: Other names of verbs, such as Gilbreth's "transport loaded" for "move".
        opposites: Names for negated predicates: "closed" for `not open`.
    """

    name: str
    verbs: Mapping[str, Verb]
    predicates: Mapping[str, tuple[str, ...]]
    objects: tuple[str, ...] = ()
    synonyms: Mapping[str, str] = field(default_factory=dict)
    opposites: Mapping[str, str] = field(default_factory=dict)


def _is(predicate: str, *arguments: str) -> Condition:
    return Condition(predicate, arguments)


def _not(predicate: str, *arguments: str) -> Condition:
    return Condition(predicate, arguments, False)


_HOLDS = (_is("holding", HAND, A),)
_NEAR = (_is("near", HAND, A),)

#: Therblig-like verbs (after Gilbreth), closed under what hands do to objects.
VERBS: dict[str, Verb] = {
    "reach": Verb(True, False, True, (_is("free", HAND),), _NEAR, "move an empty hand to A"),
    "grasp": Verb(
        True, None, True, (_is("free", HAND), *_NEAR),
        (*_HOLDS, _is("in_contact", HAND, A), _not("free", HAND)), "take hold of A (from B)",
    ),
    "move": Verb(True, None, True, _HOLDS, (_is("near", HAND, B),), "carry or push A, to B if given"),
    "hold": Verb(True, None, True, _HOLDS, _HOLDS, "keep A where it is, against or over B"),
    "use": Verb(True, None, True, _HOLDS, (), "work with the tool A on B"),
    "position": Verb(True, None, True, _HOLDS, (_is("near", HAND, B),), "turn or line up A, with B if given"),
    "assemble": Verb(True, True, True, _HOLDS, (), "put A together with B"),
    "disassemble": Verb(True, True, True, _HOLDS, (), "take A apart from B"),
    "release": Verb(
        True, None, True, _HOLDS,
        (_not("holding", HAND, A), _not("in_contact", HAND, A), _is("free", HAND)), "let go of A (on or in B)",
    ),
    "inspect": Verb(True, None, None, (_is("visible", A),), (), "look closely at A"),
    "search": Verb(True, None, None, (), (_is("visible", A),), "look for A (in B)"),
}  # fmt: skip

PREDICATES: dict[str, tuple[str, ...]] = {
    "in_contact": ("hand", "object"),
    "holding": ("hand", "object"),
    "near": ("hand", "object"),
    "free": ("hand",),
    "on": ("object", "object"),
    "in": ("object", "object"),
    "open": ("object",),
    "visible": ("object",),
    "clean": ("object",),
    "cut": ("object",),
    "mixed": ("object",),
    "hot": ("object",),
    "full": ("object",),
}

#: The other classical therbligs, by the verb that stands for them here.
SYNONYMS = {
    "transport empty": "reach",
    "transport loaded": "move",
    "release load": "release",
    "pre-position": "position",
    "find": "search",
    "select": "grasp",
    "rest": "hold",
}

#: The language of LEAP's programs, its objects open: see `vocabulary.py` for EPIC-KITCHENS' nouns.
LEAP = Language("leap", VERBS, PREDICATES, (), SYNONYMS, {"closed": "open"})


def usual_conditions(
    verb: Verb, first: str, second: str, hand: str
) -> tuple[tuple[Condition, ...], tuple[Condition, ...]]:
    """Return the usual conditions before and after `verb(first, second)` by `hand`.

    Those that speak of an argument that is "none" are left out; "both" hands have each condition for either.
    """
    hands = ("left", "right") if hand == "both" else (hand,)
    return tuple(
        tuple(dict.fromkeys(
            each for one in hands for condition in conditions
            if NONE not in (each := _filled(condition, {A: first, B: second, HAND: one})).arguments
        ))
        for conditions in (verb.before, verb.after)
    )  # type: ignore[return-value]  # fmt: skip


def _filled(condition: Condition, values: Mapping[str, str]) -> Condition:
    return replace(condition, arguments=tuple(values.get(name, name) for name in condition.arguments))
