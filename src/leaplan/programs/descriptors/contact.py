"""What the hands touched in a clip: detected (EPIC's hand-object boxes) or annotated (VISOR)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from leaplan.programs.evidence import Clip, Contact, listed, span
from leaplan.programs.hand_objects import HandObjects, nearest_thing
from leaplan.programs.protobuf import LEFT, PORTABLE_OBJECT, STATIONARY_OBJECT, Detections, Hand, Thing
from leaplan.programs.visor import NOTHING, UNKNOWN, Box, Named, Visor

MOST = 16  # contacts told of one clip
GAP = 0.25  # seconds: a contact that is lost for less goes on
SPARSE = 2.0  # seconds: annotated frames that agree are joined across at most this
BRIEF = 0.1  # seconds: shorter contacts are noise of the detector
HANDS = ("left", "right")


class Namer(Protocol):
    """Anything that knows what a box shows: `Visor` and `DetectedObjects`."""

    def name_at(self, video: str, seconds: float, box: Box) -> Named:
        """Return what is in `box` (left, top, right, bottom, 0 to 1); `UNKNOWN` if it is not known."""
        ...


@dataclass(slots=True)
class _Run:
    """A contact in the making: what the thing was called in its frames, and in how many it was fixed."""

    start: float
    stop: float
    names: list[Named]
    fixed: int
    frames: int


class DetectedContacts:
    """Spans in which each hand touches something, from hand-object detections.

    Args:
        frames: The detections.
        namers: Asked in turn what the touched box shows; the first to know is believed.
        hand, thing: Least scores of hands and of objects. The official files keep far less sure ones.
        most: How many contacts to tell at most.
    """

    name = "contact"

    def __init__(
        self,
        frames: HandObjects,
        namers: Iterable[Namer] = (),
        hand: float = 0.5,
        thing: float = 0.5,
        most: int = MOST,
    ) -> None:
        self._frames, self._namers = frames, tuple(namers)
        self.hand, self.thing, self.most = hand, thing, most

    def describe(self, clip: Clip) -> str:
        """Return one line per contact, and one per hand that touches nothing; "" if no frame was looked at."""
        frames = self._frames.between(clip.video, clip.start, clip.stop)
        if not frames:
            return ""
        contacts = self._contacts(clip, frames)
        seen = {side for _, found in frames for side in self._hands(found)}
        idle = [side for side in HANDS if side in seen and all(each.hand != side for each in contacts)]
        lines = [contact_line(clip, each) for each in contacts] + [f"{each} hand: touches nothing" for each in idle]
        return listed(lines, self.most, "contacts") if lines else "no hand in sight"

    def contacts(self, clip: Clip) -> tuple[Contact, ...]:
        """Return the contacts of `clip`, sorted by start and hand."""
        return self._contacts(clip, self._frames.between(clip.video, clip.start, clip.stop))

    def _contacts(self, clip: Clip, frames: Sequence[tuple[float, Detections]]) -> tuple[Contact, ...]:
        runs: dict[str, list[_Run]] = {side: [] for side in HANDS}
        for seconds, found in frames:
            things = [each for each in found.things if each.score >= self.thing]
            for side, hand in self._hands(found).items():
                if hand.state in (PORTABLE_OBJECT, STATIONARY_OBJECT):
                    _extend(runs[side], seconds, self._name(clip.video, seconds, hand, things), hand.state)
        between = frames[1][0] - frames[0][0] if len(frames) > 1 else 0.0
        return tuple(sorted(
            (each for side in HANDS for run in runs[side] if (each := _contact(clip, side, run, between))),
            key=lambda each: (each.start, each.hand),
        ))  # fmt: skip

    def _hands(self, found: Detections) -> dict[str, Hand]:
        """Return the surest left and the surest right hand of a frame."""
        hands: dict[str, Hand] = {}
        for hand in found.hands:
            side = "left" if hand.side == LEFT else "right"
            if hand.score >= self.hand and (side not in hands or hand.score > hands[side].score):
                hands[side] = hand
        return hands

    def _name(self, video: str, seconds: float, hand: Hand, things: list[Thing]) -> Named:
        thing = nearest_thing(hand, things)
        if thing is None or thing.box is None:
            return UNKNOWN
        box = thing.box.left, thing.box.top, thing.box.right, thing.box.bottom
        return next((name for namer in self._namers if (name := namer.name_at(video, seconds, box)).words), UNKNOWN)


def _extend(runs: list[_Run], seconds: float, name: Named, state: int) -> None:
    """Add a frame in which a hand touches something to the last run, or begin another."""
    if not runs or seconds - runs[-1].stop > GAP:
        runs.append(_Run(seconds, seconds, [], 0, 0))
    run = runs[-1]
    run.stop = seconds
    run.names += [name] if name.words else []
    run.fixed += state == STATIONARY_OBJECT
    run.frames += 1


def _contact(clip: Clip, hand: str, run: _Run, between: float) -> Contact | None:
    """Return the contact of a run, each frame standing for the time to the next; None if it is too brief."""
    stop = min(run.stop + between, clip.stop)
    if stop - run.start < min(BRIEF, clip.duration / 2):
        return None
    name = Counter(run.names).most_common(1)[0][0] if run.names else UNKNOWN
    return _named(hand, name, run.start, stop, 2 * run.fixed > run.frames)


def _named(hand: str, name: Named, start: float, stop: float, fixed: bool = False) -> Contact:
    other = bool(name.noun) and name.noun != name.words
    return Contact(hand, name.noun or name.words, start, stop, fixed, name.words if other else "")


class AnnotatedContacts:
    """What VISOR's annotators saw each hand touch. Videos without contact fields have nothing to tell.

    Args:
        visor: The annotations.
        most: How many contacts to tell at most.
    """

    name = "contact"

    def __init__(self, visor: Visor, most: int = MOST) -> None:
        self._visor, self.most = visor, most

    def describe(self, clip: Clip) -> str:
        """Return one line per contact and per time that a hand touches nothing; "" if nothing was annotated."""
        readings = self._readings(clip)
        return listed([contact_line(clip, each, idle) for each, idle in readings], self.most, "contacts")

    def contacts(self, clip: Clip) -> tuple[Contact, ...]:
        """Return the contacts of `clip`, sorted by start and hand."""
        return tuple(each for each, idle in self._readings(clip) if not idle)

    def _readings(self, clip: Clip) -> list[tuple[Contact, bool]]:
        """Return contacts, and with True the times at which a hand touches nothing."""
        last: dict[str, tuple[Contact, bool]] = {}
        done: list[tuple[Contact, bool]] = []
        for start, stop, frame in self._visor.readings(clip):
            for each in frame.annotations:
                name, idle = frame.touched(each), each.contact == NOTHING
                if name is None and not idle:
                    continue
                for hand in each.hands:
                    new = _named(hand, name or UNKNOWN, start, stop), idle
                    if hand in last and _goes_on(last[hand], new):
                        last[hand] = replace(last[hand][0], stop=stop), idle
                    else:
                        done += [last[hand]] if hand in last else []
                        last[hand] = new
        return sorted([*done, *last.values()], key=lambda pair: (pair[0].start, pair[0].hand))


def _goes_on(old: tuple[Contact, bool], new: tuple[Contact, bool]) -> bool:
    same = (old[0].object, old[0].words, old[1]) == (new[0].object, new[0].words, new[1])
    return same and new[0].start - old[0].stop <= SPARSE


def contact_line(clip: Clip, contact: Contact, idle: bool = False) -> str:
    """Return "0.4-1.2 s: right hand holds knife"."""
    when = f"{span(clip, contact.start, contact.stop)}: {contact.hand} hand"
    if idle:
        return f"{when} touches nothing"
    name = contact.words or contact.object
    return f"{when} touches {name or 'something fixed'}" if contact.fixed else f"{when} holds {name or 'something'}"
