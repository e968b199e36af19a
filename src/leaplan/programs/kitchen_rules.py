"""Rules for the synthetic kitchen, whose true programs are known: narration and contacts in, program out.

Nothing here looks at a true program. Contacts tell which hand works, which package or egg was taken, whether a cap
was opened and whether the food was carried to the board first; the narration tells the rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leaplan.programs.check import check
from leaplan.programs.completion import assumptions, named
from leaplan.programs.evidence import Clip, Contact
from leaplan.programs.kitchen_conditions import with_conditions
from leaplan.programs.language import NONE, Language, Program, SubAction
from leaplan.programs.rules import Unsupported, main_hand

#: What stuff is poured from where no contact tells it.
_SOURCES = {
    "oil": "oil bottle", "milk": "milk carton", "flour": "flour bag", "oats": "oats box", "honey": "honey jar",
    "sugar": "sugar jar", "coffee": "coffee jar", "salt": "salt shaker", "pepper": "pepper shaker", "water": "kettle",
    "mixture": "bowl", "soup": "pan", "food": "pan",
}  # fmt: skip
_HOMES = {"pan": "stove"}
_UNWATCHED = 0.42  # seconds before the first contact that a reach alone does not explain


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the contacts of a clip tell.

    Args:
        hand, other: The working hand and the helping one.
        things: What the working hand touched, in order.
        helped: What the helping hand touched, in order.
        waited: Seconds from the start of the clip to the first contact.
    """

    hand: str
    other: str
    things: tuple[str, ...]
    helped: tuple[str, ...]
    waited: float


class KitchenRules:
    """Makes programs for clips of the synthetic kitchen.

    Args:
        language: See `vocabulary.kitchen_language`.
    """

    def __init__(self, language: Language) -> None:
        self.language = language

    def program_for(self, clip: Clip, contacts: Sequence[Contact] = ()) -> Program:
        """Return the program of `clip`.

        Raises:
            Unsupported: The verb is none of the kitchen's, or the narration lacks what the verb needs.
        """
        routine = _ROUTINES.get(clip.verb)
        if routine is None:
            raise Unsupported(f'no rule for the verb "{clip.verb}"')
        if not clip.noun:
            raise Unsupported(f'no noun: nothing to "{clip.verb}"')
        seen = _seen(clip, contacts)
        writer = _Writer(seen)
        routine(writer, clip.noun, _target(clip.narration))
        body = with_conditions(writer.actions, clip.verb, clip.noun)
        objects = tuple(dict.fromkeys(name for name in named(body) if name != clip.noun))
        known = (clip.noun,) if clip.noun in self.language.objects or not self.language.objects else ()
        program = Program(clip.verb, known, objects, assumptions(body), body)
        faults = check(program, self.language)
        if faults:
            raise Unsupported(f"the program breaks a rule: {faults[0]}")
        return program


def _seen(clip: Clip, contacts: Sequence[Contact]) -> _Seen:
    within = [each for each in contacts if each.start >= clip.start - 0.005 and each.stop <= clip.stop + 0.005]
    hand = _working_hand(clip, within)
    other = "left" if hand == "right" else "right"
    things, helped = (tuple(each.object for each in within if each.hand == side) for side in (hand, other))
    first = min((each.start for each in within), default=clip.start)
    return _Seen(hand, other, things, helped, first - clip.start)


def _working_hand(clip: Clip, contacts: Sequence[Contact]) -> str:
    """The hand with the tool, or else the one in touch longest; peeling is the exception: one hand only holds."""
    knives = [each.hand for each in contacts if each.object == "knife"]
    if knives:
        return knives[0]
    if clip.verb == "peel":
        strokes = sorted(contacts, key=lambda each: each.stop - each.start)
        return strokes[0].hand if strokes else "right"
    return main_hand(contacts, clip, clip.noun)


def _target(narration: str) -> str:
    """Return what follows the last preposition of `narration`, or ""."""
    words = narration.split()
    marks = [place for place, word in enumerate(words) if word in ("in", "into", "on", "to", "over")]
    target = " ".join(words[marks[-1] + 1 :]) if marks else ""
    return "plate" if target == "food" else target


class _Writer:
    """Writes sub-actions down, by the working hand unless told otherwise."""

    def __init__(self, seen: _Seen) -> None:
        self.seen = seen
        self.actions: list[SubAction] = []

    def do(self, verb: str, first: str, second: str = NONE, hand: str = "") -> None:
        self.actions.append(SubAction(verb, first, second, hand or self.seen.hand))

    def take(self, thing: str, hand: str = "") -> None:
        self.do("reach", thing, hand=hand)
        self.do("grasp", thing, hand=hand)

    def put(self, thing: str, place: str, hand: str = "") -> None:
        self.do("move", thing, place, hand)
        self.do("release", thing, place, hand)

    def touched(self, guess: str) -> str:
        """Return what the working hand touched, `guess` where no contact tells."""
        return next(iter(self.seen.things), guess)


def _need(target: str, verb: str) -> str:
    if not target:
        raise Unsupported(f'the narration does not tell where to "{verb}"')
    return target


def _wash(write: _Writer, noun: str, _: str) -> None:
    write.take(noun)
    _at_tap(write, "wash", noun)
    write.put(noun, "board")


def _at_tap(write: _Writer, verb: str, thing: str) -> None:
    other = write.seen.other
    write.do("move", thing, "tap")
    write.do("reach", "tap", hand=other)
    write.do("turn_on", "tap", hand=other)
    write.do(verb, thing, "tap")
    write.do("turn_off", "tap", hand=other)


def _cut(write: _Writer, noun: str, _: str) -> None:
    thing = "bread" if noun == "sandwich" else noun
    if thing in write.seen.helped:
        write.take(thing, write.seen.other)
        write.put(thing, "board", write.seen.other)
    write.take("knife")
    write.do("move", "knife", thing)
    write.do("cut", thing, "knife")
    write.put("knife", "table")


def _peel(write: _Writer, noun: str, _: str) -> None:
    other = write.seen.other
    write.take(noun, other)
    write.do("move", noun, "board", other)
    write.do("reach", noun)
    write.do("peel", noun)
    write.do("release", noun, "board", other)


def _put(write: _Writer, noun: str, target: str) -> None:
    if noun == "food":
        _pour(write, noun, target)
        return
    thing = write.touched("bread" if noun == "sandwich" else noun)
    write.take(thing)
    write.put(thing, _need(target, "put"))


def _close(write: _Writer, _: str, __: str) -> None:
    thing = write.touched("top bread")
    write.take(thing)
    write.put(thing, "bread")


def _take_out(write: _Writer, noun: str, _: str) -> None:
    write.take(noun)
    write.put(noun, "table")


def _spread(write: _Writer, noun: str, target: str) -> None:
    write.take("knife")
    write.do("move", "knife", noun)
    write.do("move", "knife", _need(target, "spread"))
    write.do("spread", noun, target)
    write.put("knife", "table")


def _crack(write: _Writer, _: str, target: str) -> None:
    egg = write.touched("egg 1")
    write.take(egg)
    write.do("move", egg, _need(target, "crack"))
    write.do("crack", egg, target)


def _pour(write: _Writer, noun: str, target: str) -> None:
    source = write.touched(_SOURCES.get(noun, noun))
    if source == "pan" and write.seen.waited > _UNWATCHED:
        write.do("wait", "pan", hand=NONE)
    write.take(source)
    if source in write.seen.helped:
        write.do("reach", source, hand=write.seen.other)
        write.do("open", source, hand=write.seen.other)
    write.do("move", source, _need(target, "pour"))
    write.do("shake" if source.endswith("shaker") else "pour", source, target)
    write.put(source, _HOMES.get(source, "table"))


def _stir(write: _Writer, noun: str, _: str) -> None:
    write.take("spoon")
    write.do("move", "spoon", noun)
    write.do("reach", noun, hand=write.seen.other)
    write.do("stir", noun, "spoon")
    write.put("spoon", "table")


def _flip(write: _Writer, _: str, __: str) -> None:
    write.take("spatula")
    write.do("move", "spatula", "pan")
    write.do("flip", "pan", "spatula")
    write.put("spatula", "table")


def _squeeze(write: _Writer, noun: str, target: str) -> None:
    write.take(noun)
    write.do("move", noun, _need(target, "squeeze"))
    write.do("squeeze", noun, target)
    write.put(noun, "board")


def _turn_on(write: _Writer, noun: str, _: str) -> None:
    write.do("reach", noun)
    write.do("turn_on", noun)
    if noun == "kettle":
        write.do("wait", noun, hand=NONE)


def _turn_off(write: _Writer, noun: str, _: str) -> None:
    write.do("reach", noun)
    write.do("turn_off", noun)


def _fill(write: _Writer, noun: str, _: str) -> None:
    write.take(noun)
    _at_tap(write, "fill", noun)
    write.put(noun, "table")


_ROUTINES: dict[str, Callable[[_Writer, str, str], None]] = {
    "wash": _wash, "peel": _peel, "cut": _cut, "put": _put, "spread": _spread, "close": _close, "crack": _crack,
    "pour": _pour, "add": _pour, "stir": _stir, "flip": _flip, "turn on": _turn_on, "turn off": _turn_off,
    "fill": _fill, "take out": _take_out, "squeeze": _squeeze,
}  # fmt: skip
