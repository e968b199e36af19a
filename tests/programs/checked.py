"""A second, concrete reading of programs: worlds in which every fact is either true or false.

`leaplan.programs.flow` reasons about what is known; here a program is simply done, from one complete world at a time.
"""

from collections.abc import Iterator
from itertools import product, takewhile

from hypothesis import strategies as st

from leaplan.programs.language import (
    Body,
    Condition,
    ForEach,
    If,
    Program,
    Repeat,
    SubAction,
    While,
)

OBJECTS = ("cup", "pan")
HANDS = ("left", "right")
SOMETHING = "something else"


class Failed(Exception):
    """A pre-condition does not hold, or a hand takes a second thing while it holds what the program has told of."""


class World:
    """What each hand holds (None, an object, or something else), and which objects are open."""

    def __init__(self, held: dict[str, str | None], opened: set[str], told: set[str]) -> None:
        self.held, self.opened, self.told = held, opened, told

    def has(self, condition: Condition) -> bool:
        name, arguments = condition.predicate, condition.arguments
        if name == "open":
            return (arguments[0] in self.opened) is condition.holds
        hands = HANDS if arguments[0] == "both" else arguments[:1]
        wanted = None if name == "free" else arguments[1]
        return all((self.held[hand] == wanted) is condition.holds for hand in hands)

    def make(self, conditions: tuple[Condition, ...]) -> None:
        for condition in sorted(conditions, key=lambda each: each.predicate != "holding" or each.holds):
            name, arguments = condition.predicate, condition.arguments
            if name == "open":
                (self.opened.add if condition.holds else self.opened.discard)(arguments[0])
                continue
            for hand in HANDS if arguments[0] == "both" else arguments[:1]:
                self.held[hand] = self._held(hand, name, arguments[-1], condition.holds)

    def _held(self, hand: str, name: str, thing: str, holds: bool) -> str | None:
        now = self.held[hand]
        if name == "free":
            return None if holds else now or SOMETHING
        if not holds:
            return None if now == thing else now
        if now in OBJECTS and now != thing and hand in self.told:
            raise Failed
        self.told.add(hand)
        return thing


def worlds(assumes: tuple[Condition, ...]):
    """Yield all complete worlds in which `assumes` hold."""
    told = {hand for each in assumes if each.predicate == "holding" and each.holds for hand in HANDS
            if each.arguments[0] in (hand, "both")}  # fmt: skip
    for left, right, *opened in product((None, *OBJECTS, SOMETHING), (None, *OBJECTS, SOMETHING), *[(False, True)] * 2):
        held = {"left": left, "right": right}
        world = World(held, {name for name, is_open in zip(OBJECTS, opened, strict=True) if is_open}, {*told})
        if all(world.has(condition) for condition in assumes):
            yield world


def do(body: Body, world: World) -> None:
    """Do `body` in `world`, or raise `Failed`."""
    for statement in body:
        match statement:
            case SubAction():
                if not all(world.has(condition) for condition in statement.before):
                    raise Failed
                world.make(statement.after)
            case If(condition, then, otherwise):
                do(then if world.has(condition) else otherwise, world)
            case _:
                for inner in _rounds(statement, world):
                    do(inner, world)


def _rounds(loop: Repeat | While | ForEach, world: World) -> Iterator[Body]:
    match loop:
        case Repeat(times, body):
            yield from [body] * times
        case While(condition, most, body):
            yield from takewhile(lambda _: world.has(condition), [body] * most)
        case ForEach(variable, objects, body):
            yield from (filled(body, variable, each) for each in objects)


def filled(body: Body, variable: str, name: str) -> Body:
    """Return `body` with `name` in place of `variable`."""

    def told(condition: Condition) -> Condition:
        arguments = tuple(name if each == variable else each for each in condition.arguments)
        return Condition(condition.predicate, arguments, condition.holds)

    done = []
    for statement in body:
        match statement:
            case SubAction(verb, first, second, hand, before, after):
                first, second = (name if each == variable else each for each in (first, second))
                done.append(SubAction(verb, first, second, hand, tuple(map(told, before)), tuple(map(told, after))))
            case Repeat(times, inner):
                done.append(Repeat(times, filled(inner, variable, name)))
            case While(condition, most, inner):
                done.append(While(told(condition), most, filled(inner, variable, name)))
            case If(condition, then, otherwise):
                done.append(If(told(condition), filled(then, variable, name), filled(otherwise, variable, name)))
            case ForEach(inner_variable, objects, inner):
                each = tuple(name if one == variable else one for one in objects)
                shadowed = inner_variable == variable
                done.append(ForEach(inner_variable, each, inner if shadowed else filled(inner, variable, name)))
    return tuple(done)


def can_fail(program: Program) -> bool:
    """Tell whether there is a world that fits the assumptions and in which the program cannot be done."""
    for world in worlds(program.assumes):
        try:
            do(program.body, world)
        except Failed:
            return True
    return False


_CONDITIONS = st.builds(
    Condition,
    st.just("holding"),
    st.tuples(st.sampled_from((*HANDS, "both")), st.sampled_from(OBJECTS)),
    st.booleans(),
) | st.one_of(
    st.builds(Condition, st.just("free"), st.tuples(st.sampled_from((*HANDS, "both"))), st.booleans()),
    st.builds(Condition, st.just("open"), st.tuples(st.sampled_from(OBJECTS)), st.booleans()),
)  # fmt: skip
_LISTS = st.lists(_CONDITIONS, max_size=2).map(tuple)
_FEWER = st.just(()) | _LISTS
_ACTIONS = st.builds(SubAction, st.just("inspect"), st.sampled_from(OBJECTS), before=_FEWER, after=_LISTS)


def _bodies(statements: st.SearchStrategy, most: int = 2) -> st.SearchStrategy:
    return st.lists(statements, min_size=1, max_size=most).map(tuple)


def _blocks(inner: st.SearchStrategy, conditions: st.SearchStrategy = _CONDITIONS) -> st.SearchStrategy:
    bodies = _bodies(inner)
    return st.one_of(
        st.builds(Repeat, st.integers(1, 3), bodies),
        st.builds(While, conditions, st.integers(1, 3), bodies),
        st.builds(If, conditions, bodies, st.just(()) | bodies),
        st.builds(ForEach, st.just("each"), _bodies(st.sampled_from(OBJECTS)), bodies),
    )


def _programs(bodies: st.SearchStrategy, lists: st.SearchStrategy = _LISTS) -> st.SearchStrategy:
    return st.builds(Program, st.just("try"), st.just(OBJECTS), assumes=lists, body=bodies)


#: Programs about two hands and two objects, without blocks and with blocks within blocks.
STRAIGHT = _programs(_bodies(_ACTIONS, 4))
ANY = _programs(_bodies(_ACTIONS | _blocks(_ACTIONS | _blocks(_ACTIONS)), 3))

_OPEN = st.builds(Condition, st.just("open"), st.tuples(st.sampled_from((*OBJECTS, "each"))), st.booleans())
_ONE = st.just(()) | st.tuples(_OPEN)
_LOOKS = st.builds(SubAction, st.just("inspect"), st.sampled_from((*OBJECTS, "each")), before=_ONE, after=_ONE)
#: Programs about what is open alone, without hands.
OPEN_AND_CLOSED = _programs(_bodies(_LOOKS | _blocks(_LOOKS | _blocks(_LOOKS, _OPEN), _OPEN), 3), _ONE)
