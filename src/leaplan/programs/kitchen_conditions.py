"""What sub-actions of the synthetic kitchen need and change, as far as one clip alone tells."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from leaplan.programs.language import Condition, SubAction

Conditions = tuple[list[Condition], list[Condition]]

_STUFF = {
    "oil bottle": "oil", "milk carton": "milk", "flour bag": "flour", "oats box": "oats", "honey jar": "honey",
    "sugar jar": "sugar", "coffee jar": "coffee", "salt shaker": "salt", "pepper shaker": "pepper", "kettle": "water",
}  # fmt: skip
_CAPPED = ("oil bottle", "milk carton", "honey jar", "coffee jar", "sugar jar")
_CUT_ON_BOARD = ("tomato", "cucumber", "banana", "onion", "lemon")


def with_conditions(actions: Iterable[SubAction], verb: str, noun: str) -> tuple[SubAction, ...]:
    """Return `actions` of a clip of `verb` and `noun` with their conditions before and after."""
    writer = _Writer(verb, noun)
    return tuple(writer.written(action) for action in actions)


class _Writer:
    """Knows where the hands are and where things lie, at first by what is usual for the clip's verb."""

    def __init__(self, verb: str, noun: str) -> None:
        self.verb, self.noun = verb, noun
        self.near: dict[str, str] = {}
        self.places: dict[str, str] = {}

    def written(self, action: SubAction) -> SubAction:
        before, after = _RULES[action.verb](self, action)
        return replace(action, before=tuple(before), after=tuple(after))

    def goes(self, hand: str, target: str) -> list[Condition]:
        left = self.near.get(hand, target)
        self.near[hand] = target
        return [_is("near", hand, target), *([_not("near", hand, left)] if left != target else [])]

    def place(self, thing: str) -> str:
        if thing in self.places:
            return self.places[thing]
        if self.verb == "take out":
            return "cup"
        if thing == "pan":
            return "stove"
        if self.noun == "sandwich" and thing == "bread":
            return "plate"
        return "board" if thing in _CUT_ON_BOARD and self.verb in ("put", "squeeze") else "table"


def _is(*fact: str) -> Condition:
    return Condition(fact[0], fact[1:])


def _not(*fact: str) -> Condition:
    return Condition(fact[0], fact[1:], False)


def _other(hand: str) -> str:
    return "left" if hand == "right" else "right"


def _lies(thing: str, place: str) -> tuple[str, str, str]:
    return ("in" if place in ("bowl", "pan", "cup") else "on"), thing, place


def _reach(writer: _Writer, action: SubAction) -> Conditions:
    return [_is("free", action.hand)], writer.goes(action.hand, action.first)


def _grasp(writer: _Writer, action: SubAction) -> Conditions:
    hand, thing = action.hand, action.first
    leaves = _not(*_lies(thing, writer.place(thing)))
    before = [_is("free", hand), _is("near", hand, thing)]
    return before, [_is("holding", hand, thing), _not("free", hand), leaves]


def _move(writer: _Writer, action: SubAction) -> Conditions:
    return [_is("holding", action.hand, action.first)], writer.goes(action.hand, action.second)


def _release(writer: _Writer, action: SubAction) -> Conditions:
    hand, thing, place = action.hand, action.first, action.second
    writer.places[thing] = place
    lies = _is(*_lies(thing, place))
    before = [_is("holding", hand, thing), _is("near", hand, place)]
    return before, [_not("holding", hand, thing), _is("free", hand), lies]


def _pour(_: _Writer, action: SubAction) -> Conditions:
    hand, source, target = action.hand, action.first, action.second
    before = [_is("holding", hand, source), _is("near", hand, target)]
    if source not in _STUFF:
        return before, []
    before += [_is("full", source), *([_is("open", source)] if source in _CAPPED else [])]
    return before, [_is("on" if target in ("plate", "bread") else "in", _STUFF[source], target)]


def _shake(_: _Writer, action: SubAction) -> Conditions:
    hand, source, target = action.hand, action.first, action.second
    before = [_is("holding", hand, source), _is("near", hand, target), _is("full", source)]
    return before, [_is("in", _STUFF.get(source, source), target)]


def _cut(_: _Writer, action: SubAction) -> Conditions:
    hand, thing, knife = action.hand, action.first, action.second
    return [_is("holding", hand, knife), _is("near", hand, thing), _not("cut", thing)], [_is("cut", thing)]


def _peel(_: _Writer, action: SubAction) -> Conditions:
    hand, thing = action.hand, action.first
    before = [_is("free", hand), _is("near", hand, thing), _is("holding", _other(hand), thing)]
    return [*before, _not("peeled", thing)], [_is("peeled", thing)]


def _spread(_: _Writer, action: SubAction) -> Conditions:
    stuff, target = action.first, action.second
    before = [_is("holding", action.hand, "knife"), _is("near", action.hand, target), _not("on", stuff, target)]
    return before, [_is("on", stuff, target)]


def _crack(_: _Writer, action: SubAction) -> Conditions:
    hand, egg, target = action.hand, action.first, action.second
    before = [_is("holding", hand, egg), _is("near", hand, target), _not("open", egg)]
    return before, [_is("open", egg), _not("holding", hand, egg), _is("free", hand), _is("in", egg, target)]


def _squeeze(_: _Writer, action: SubAction) -> Conditions:
    hand, fruit, target = action.hand, action.first, action.second
    before = [_is("holding", hand, fruit), _is("near", hand, target), _is("cut", fruit)]
    return before, [_is("in", f"{fruit} juice", target)]


def _wash(_: _Writer, action: SubAction) -> Conditions:
    return _under(action), [_is("clean", action.first)]


def _fill(_: _Writer, action: SubAction) -> Conditions:
    return [*_under(action), _not("full", action.first)], [_is("full", action.first)]


def _under(action: SubAction) -> list[Condition]:
    hand, tap = action.hand, action.second
    return [_is("holding", hand, action.first), _is("near", hand, tap), _is("active", tap)]


def _stir(_: _Writer, action: SubAction) -> Conditions:
    vessel, spoon = action.first, action.second
    return [_is("holding", action.hand, spoon), _is("near", action.hand, vessel)], [_is("mixed", vessel)]


def _flip(_: _Writer, action: SubAction) -> Conditions:
    pan, spatula = action.first, action.second
    before = [_is("holding", action.hand, spatula), _is("near", action.hand, pan), _is("active", "stove")]
    return before, [_is("hot", pan)]


def _wait(_: _Writer, action: SubAction) -> Conditions:
    vessel = action.first
    if vessel == "kettle":
        return [_is("active", vessel), _is("full", vessel)], [_is("hot", vessel), _not("active", vessel)]
    return [_is("active", "stove")], [_is("hot", vessel)]


def _turn_on(_: _Writer, action: SubAction) -> Conditions:
    return [*_at(action), _not("active", action.first)], [_is("active", action.first)]


def _turn_off(_: _Writer, action: SubAction) -> Conditions:
    return [*_at(action), _is("active", action.first)], [_not("active", action.first)]


def _at(action: SubAction) -> list[Condition]:
    return [_is("free", action.hand), _is("near", action.hand, action.first)]


def _open(_: _Writer, action: SubAction) -> Conditions:
    before = [*_at(action), _is("holding", _other(action.hand), action.first)]
    return [*before, _not("open", action.first)], [_is("open", action.first)]


_RULES: dict[str, Callable[[_Writer, SubAction], Conditions]] = {
    "reach": _reach, "grasp": _grasp, "move": _move, "release": _release, "pour": _pour, "shake": _shake, "cut": _cut,
    "peel": _peel, "spread": _spread, "crack": _crack, "squeeze": _squeeze, "wash": _wash, "fill": _fill, "stir": _stir,
    "flip": _flip, "wait": _wait, "turn_on": _turn_on, "turn_off": _turn_off, "open": _open,
}  # fmt: skip
