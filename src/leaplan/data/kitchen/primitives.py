"""Primitive sub-actions (after Gilbreth's therbligs), and the facts that each needs and makes.

A world is a set of facts such as `in(tomato, bowl)`. A sub-action `verb(first, second)`, done by one
hand, may happen only where its conditions before hold; afterwards its conditions after hold, and
nothing else has changed. Replaying the conditions after is therefore the whole simulation.
"""

from collections.abc import Callable

from leaplan.data.kitchen.objects import CAPPED, HANDS, PACKAGES
from leaplan.data.kitchen.world import NONE, Condition, ImpossibleError, SubAction, World


def sub_action(world: World, verb: str, first: str, second: str = NONE, hand: str = NONE) -> SubAction:
    """Return `verb(first, second)` by `hand` with the conditions that it has in `world`.

    Raises:
        ImpossibleError: There is nothing to pour, flip or cook.
    """
    before, after = VERBS[verb](world, hand, first, second)
    told = tuple(condition for condition in after if condition.holds or world.has(*condition.fact))
    return SubAction(verb, first, second, hand, tuple(before), told)


Conditions = tuple[list[Condition], list[Condition]]


def _is(*fact: str) -> Condition:
    return Condition(fact)


def _not(*fact: str) -> Condition:
    return Condition(fact, holds=False)


def _goes_to(world: World, hand: str, target: str) -> list[Condition]:
    left = [fact for fact in world.facts if fact[:2] == ("near", hand) and fact[2] != target]
    return [_is("near", hand, target), *(_not(*fact) for fact in left)]


def _reach(world: World, hand: str, thing: str, _: str) -> Conditions:
    return [_is("free", hand)], _goes_to(world, hand, thing)


def _grasp(world: World, hand: str, thing: str, _: str) -> Conditions:
    place = world.place(thing)
    leaves = [_not(fact, thing, place) for fact in ("in", "on")] if place else []
    return (
        [_is("free", hand), _is("near", hand, thing)],
        [_is("holding", hand, thing), _not("free", hand), *leaves],
    )


def _move(world: World, hand: str, thing: str, target: str) -> Conditions:
    return [_is("holding", hand, thing)], _goes_to(world, hand, target)


def _release(_: World, hand: str, thing: str, place: str) -> Conditions:
    lies = "in" if place in ("bowl", "pan", "cup") else "on"
    return (
        [_is("holding", hand, thing), _is("near", hand, place)],
        [_not("holding", hand, thing), _is("free", hand), _is(lies, thing, place)],
    )


def _pour(world: World, hand: str, source: str, target: str) -> Conditions:
    before = [_is("holding", hand, source), _is("near", hand, target)]
    if source in PACKAGES or source == "kettle":
        before += [_is("full", source), *([_is("open", source)] if source in CAPPED else [])]
        stuff = [PACKAGES.get(source, "water")]
        if source == "kettle" and world.has("in", "tea bag", target):
            stuff.append("tea")
        return before, [*(_is(_lies(target), each, target) for each in stuff), _not("mixed", target)]
    contents = world.contents(source)
    if not contents:
        raise ImpossibleError(f"{source} is empty")
    mixed = _is("mixed", target) if world.has("mixed", source) else _not("mixed", target)
    leave = [_not("in", thing, source) for thing in contents]
    arrive = [_is(_lies(target), thing, target) for thing in contents]
    return [*before, _is("in", contents[0], source)], [*leave, *arrive, _not("mixed", source), mixed]


def _lies(target: str) -> str:
    return "on" if target in ("plate", "bread") else "in"


def _shake(_: World, hand: str, shaker: str, target: str) -> Conditions:
    return (
        [_is("holding", hand, shaker), _is("near", hand, target), _is("full", shaker)],
        [_is("in", PACKAGES[shaker], target), _not("mixed", target)],
    )


def _cut(_: World, hand: str, thing: str, knife: str) -> Conditions:
    before = [_is("holding", hand, knife), _is("near", hand, thing), _not("cut", thing)]
    return before, [_is("cut", thing)]


def _peel(_: World, hand: str, thing: str, __: str) -> Conditions:
    before = [_is("free", hand), _is("near", hand, thing), _is("holding", _other(hand), thing)]
    return [*before, _not("peeled", thing)], [_is("peeled", thing)]


def _spread(_: World, hand: str, stuff: str, target: str) -> Conditions:
    before = [_is("holding", hand, "knife"), _is("near", hand, target), _not("on", stuff, target)]
    return before, [_is("on", stuff, target)]


def _crack(_: World, hand: str, egg: str, target: str) -> Conditions:
    return (
        [_is("holding", hand, egg), _is("near", hand, target), _not("open", egg)],
        [
            _is("open", egg),
            _not("holding", hand, egg),
            _is("free", hand),
            _is("in", egg, target),
            _not("mixed", target),
        ],
    )


def _squeeze(_: World, hand: str, fruit: str, target: str) -> Conditions:
    before = [_is("holding", hand, fruit), _is("near", hand, target), _is("cut", fruit)]
    return before, [_is("in", f"{fruit} juice", target), _not("mixed", target)]


def _wash(_: World, hand: str, thing: str, tap: str) -> Conditions:
    return [_is("holding", hand, thing), _is("near", hand, tap), _is("active", tap)], [_is("clean", thing)]


def _fill(_: World, hand: str, vessel: str, tap: str) -> Conditions:
    before = [_is("holding", hand, vessel), _is("near", hand, tap), _is("active", tap)]
    return [*before, _not("full", vessel)], [_is("full", vessel), _not("hot", vessel)]


def _stir(world: World, hand: str, vessel: str, spoon: str) -> Conditions:
    contents = _food_in(world, vessel)
    cooks = world.has("active", "stove") and vessel == "pan"
    before = [_is("holding", hand, spoon), _is("near", hand, vessel), _is("in", contents[0], vessel)]
    return before, [_is("mixed", vessel), *(_is("cooked", thing) for thing in contents if cooks)]


def _flip(world: World, hand: str, pan: str, spatula: str) -> Conditions:
    contents = _food_in(world, pan)
    before = [_is("holding", hand, spatula), _is("near", hand, pan), _is("active", "stove")]
    return [*before, _is("in", contents[0], pan)], [
        _is("hot", pan),
        *(_is("cooked", thing) for thing in contents),
    ]


def _wait(world: World, _: str, vessel: str, __: str) -> Conditions:
    if vessel == "kettle":
        before = [_is("active", "kettle"), _is("full", "kettle")]
        return before, [_is("hot", "kettle"), _not("active", "kettle")]
    cooked = [_is("cooked", thing) for thing in _food_in(world, vessel)]
    return [_is("active", "stove")], [_is("hot", vessel), *cooked]


def _food_in(world: World, vessel: str) -> list[str]:
    contents = world.contents(vessel)
    if not contents:
        raise ImpossibleError(f"{vessel} is empty")
    return contents


def _turn_on(_: World, hand: str, thing: str, __: str) -> Conditions:
    before = [_is("free", hand), _is("near", hand, thing), _not("active", thing)]
    return before, [_is("active", thing)]


def _turn_off(_: World, hand: str, thing: str, __: str) -> Conditions:
    before = [_is("free", hand), _is("near", hand, thing), _is("active", thing)]
    return before, [_not("active", thing)]


def _open(_: World, hand: str, thing: str, __: str) -> Conditions:
    before = [_is("free", hand), _is("near", hand, thing), _is("holding", _other(hand), thing)]
    return [*before, _not("open", thing)], [_is("open", thing)]


def _other(hand: str) -> str:
    return HANDS[hand == HANDS[0]]


#: The closed set of sub-action verbs: each tells its conditions before and after.
VERBS: dict[str, Callable[[World, str, str, str], Conditions]] = {
    "reach": _reach,
    "grasp": _grasp,
    "move": _move,
    "release": _release,
    "pour": _pour,
    "shake": _shake,
    "cut": _cut,
    "peel": _peel,
    "spread": _spread,
    "crack": _crack,
    "squeeze": _squeeze,
    "wash": _wash,
    "fill": _fill,
    "stir": _stir,
    "flip": _flip,
    "wait": _wait,
    "turn_on": _turn_on,
    "turn_off": _turn_off,
    "open": _open,
}
