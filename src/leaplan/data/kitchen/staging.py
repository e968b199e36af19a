"""Where everything is at any time: the hands' smooth paths, what they carry, and the moving camera."""

from bisect import bisect_right
from dataclasses import dataclass
from math import cos, pi, sin

from leaplan.data.kitchen.layout import PLACES, Layout, Point
from leaplan.data.kitchen.objects import HANDS, PACKAGES, TOOLS
from leaplan.data.kitchen.simulate import Episode, Event
from leaplan.data.kitchen.world import SubAction, World

REST: dict[str, Point] = {"left": (44.0, 118.0), "right": (112.0, 120.0)}
RETREAT = 0.6  # seconds that a hand takes to withdraw after a step

#: From the middle of a thing (a tool's working end) to where it is gripped.
GRIPS: dict[str, Point] = {
    "knife": (15.0, 9.0),
    "spoon": (11.0, 12.0),
    "spatula": (13.0, 13.0),
    "pan": (19.0, 17.0),
    "bowl": (11.0, 10.0),
    "kettle": (4.0, 6.0),
    "bread": (0.0, 6.0),
}
CARTON_GRIP: Point = (0.0, 3.0)
FOOD_GRIP: Point = (0.0, 2.0)


@dataclass(frozen=True, slots=True)
class Pose:
    """A hand at one moment: where it grips (pixels), what it holds, and how far it tilts it, 0 to 1."""

    at: Point
    holds: str | None
    tilt: float
    busy: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """The scene at one moment.

    Args:
        state: How many sub-actions are finished; equal states look equal but for hands and effects.
        world: Facts after them.
        places: Place of every object that is not held.
        hands: Hand to its pose.
        action: The sub-action under way, or None.
        phase: How much of it is done, 0 to 1.
        camera: How far the camera has moved, pixels.
    """

    state: int
    world: World
    places: dict[str, Point]
    hands: dict[str, Pose]
    action: SubAction | None
    phase: float
    camera: Point


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A straight part of a hand's path."""

    start: float
    stop: float
    origin: Point
    target: Point


class Stage:
    """An episode in its layout, ready to be asked for any moment."""

    def __init__(self, episode: Episode, layout: Layout) -> None:
        self.episode = episode
        self.layout = layout
        self.events = episode.events
        self._stops = [event.stop for event in self.events]
        self._worlds, self._places = self._replay()
        self._paths = {hand: self._path(hand) for hand in HANDS}
        self._sway = [episode.role.random(f"camera/{axis}") for axis in "xy"]
        self._knots = [[random.uniform(-3.5, 3.5) for _ in range(64)] for random in self._sway]

    def at(self, time: float) -> Moment:
        """Return the scene `time` seconds after the start."""
        state = bisect_right(self._stops, time)
        event = self.events[state] if state < len(self.events) and self.events[state].start <= time else None
        world = self._worlds[state]
        phase = (time - event.start) / (event.stop - event.start) if event else 0.0
        hands = {hand: self._pose(hand, time, world, event, phase) for hand in HANDS}
        return Moment(
            state,
            world,
            self._places[state],
            hands,
            event.action if event else None,
            phase,
            self.camera(time),
        )

    def camera(self, time: float) -> Point:
        """Return the camera's offset in pixels: a slow wander and a tremble."""
        knot, share = divmod(time / 0.9, 1.0)
        x, y = (
            knots[int(knot) % 64] + (knots[int(knot + 1) % 64] - knots[int(knot) % 64]) * _smooth(share)
            for knots in self._knots
        )
        return x + 0.4 * sin(time * 23.0), y + 0.4 * sin(time * 19.0 + 1.0)

    def _replay(self) -> tuple[list[World], list[dict[str, Point]]]:
        """Worlds and places before the first sub-action and after each."""
        world, places = World(self.episode.facts), dict(self.layout.places)
        worlds, every = [world.copy()], [dict(places)]
        random = self.episode.role.random("put down")
        for event in self.events:
            world.apply(event.action)
            if event.action.verb == "release":
                spot = self._spot(event.action, worlds[-1], places)
                places[event.action.first] = spot[0] + random.uniform(-1, 1), spot[1] + random.uniform(-1, 1)
            worlds.append(world.copy())
            every.append(dict(places))
        return worlds, every

    def _spot(self, action: SubAction, world: World, places: dict[str, Point]) -> Point:
        """Where `release(thing, place)` lays the thing down."""
        thing, place = action.first, action.second
        if place in ("table", "stove"):
            return self.layout.places[thing]
        if place == "board":
            x, y = places["board"]
            lying = sum(world.place(other) == "board" for other in places)
            return x + (-11.0, 9.0, -1.0)[lying % 3], y + (-1.0, 2.0, -7.0)[lying % 3]
        return _place_of(place, world, places)

    def _path(self, hand: str) -> list[_Stretch]:
        """Stretches of the path of `hand`, in order; between them the hand rests where it is."""
        path, now, state = [], REST[hand], 0
        for performance in self.episode.performances:
            for event in performance.events:
                if event.action.hand == hand:
                    target = self._target(event.action, state, now)
                    path.append(_Stretch(event.start, event.stop, now, target))
                    now = target
                state += 1
            if now != REST[hand]:
                home = _blend(now, REST[hand], 0.75)
                path.append(_Stretch(performance.stop, performance.stop + RETREAT, now, home))
                now = home
        return _without_overlap(path)

    def _target(self, action: SubAction, state: int, now: Point) -> Point:
        world, places = self._worlds[state], self._places[state]
        if action.verb == "reach":
            return _add(_fixture(action, world, places), grip(action.first))
        if action.verb != "move":
            return now
        following = next((e.action for e in self.events[state + 1 :] if e.action.hand == action.hand), action)
        if following.verb == "release":
            return _add(self._spot(following, world, places), grip(action.first))
        return _add(_working_point(following, action, world, places), grip(action.first))

    def _pose(self, hand: str, time: float, world: World, event: Event | None, phase: float) -> Pose:
        at = _along(self._paths[hand], time, REST[hand])
        busy = event is not None and event.action.hand == hand
        tilt = 0.0
        if busy and event is not None:
            dx, dy = _gesture(event.action.verb, phase, time)
            at = at[0] + dx, at[1] + dy
            tilt = _tilt(event.action, phase)
        sway = sin(time * 2.1 + (hand == "left")) * 0.7
        return Pose((at[0] + sway, at[1] + 0.6 * sway), world.held(hand), tilt, busy)


def grip(thing: str) -> Point:
    """Return the offset from the middle of `thing` to the hand that grips it, pixels."""
    if thing in PLACES and thing not in GRIPS:
        return 0.0, 0.0
    return GRIPS.get(thing, CARTON_GRIP if thing in PACKAGES else FOOD_GRIP)


def _fixture(action: SubAction, world: World, places: dict[str, Point]) -> Point:
    special = {"stove": "knob", "tap": "handle"}.get(action.first)
    return places[special] if special else _place_of(action.first, world, places)


def _place_of(thing: str, world: World, places: dict[str, Point]) -> Point:
    """Where `thing` is: things in or on others are where those are."""
    place = world.place(thing)
    if place in (None, "table", "board", "stove"):
        return places.get(thing, places["board"])
    return _place_of(str(place), world, places)


def _working_point(doing: SubAction, move: SubAction, world: World, places: dict[str, Point]) -> Point:
    """Where the middle of the moved thing must be for what is done next."""
    x, y = _place_of(move.second, world, places) if move.second != "tap" else places["tap"]
    if doing.verb == "pour":
        side = 1.0 if doing.hand == "right" else -1.0
        reach = {"pan": 15.0, "bowl": 15.0, "kettle": 13.0}.get(doing.first, 9.0)
        return x + side * reach, y - reach
    if doing.verb in ("shake", "crack", "squeeze"):
        return x, y - 9.0
    if move.first in TOOLS:
        return x, y
    return x, y - 1.0


def _gesture(verb: str, phase: float, time: float) -> Point:
    """How a hand moves about its place while it does `verb`."""
    strength = min(1.0, 6.0 * phase, 6.0 * (1.0 - phase))
    turn = 2.0 * pi * time
    x, y = {
        "cut": (2.0 * sin(1.2 * turn), 3.0 * abs(sin(2.2 * turn))),
        "stir": (6.0 * cos(1.7 * turn), 4.5 * sin(1.7 * turn)),
        "shake": (1.0 * sin(3.0 * turn), 3.5 * sin(3.7 * turn)),
        "wash": (2.5 * cos(2.0 * turn), 2.0 * sin(2.0 * turn)),
        "spread": (6.0 * sin(1.5 * turn), 2.0 * cos(1.5 * turn)),
        "flip": (-4.0 * sin(pi * phase), -9.0 * sin(pi * phase)),
        "crack": (0.0, 3.0 * sin(4.0 * pi * phase)),
        "squeeze": (0.0, 1.0 * sin(3.0 * turn)),
        "peel": (4.0 * sin(pi * phase), -7.0 * sin(pi * phase)),
        "open": (1.5 * sin(3.0 * turn), 0.0),
        "turn_on": (2.0 * phase, 0.0),
        "turn_off": (-2.0 * phase, 0.0),
    }.get(verb, (0.0, 0.0))
    return x * strength, y * strength


def _tilt(action: SubAction, phase: float) -> float:
    if action.verb not in ("pour", "shake"):
        return 0.0
    return min(1.0, 5.0 * phase, 5.0 * (1.0 - phase))


def _without_overlap(path: list[_Stretch]) -> list[_Stretch]:
    """Let a retreat be cut short by the next sub-action, which then starts where the hand has come to."""
    cut: list[_Stretch] = []
    for stretch in path:
        if cut and cut[-1].stop > stretch.start:
            last = cut[-1]
            reached = _along([last], stretch.start, last.origin)
            cut[-1] = _Stretch(last.start, stretch.start, last.origin, reached)
            target = reached if stretch.target == stretch.origin else stretch.target
            stretch = _Stretch(stretch.start, stretch.stop, reached, target)
        cut.append(stretch)
    return cut


def _along(path: list[_Stretch], time: float, rest: Point) -> Point:
    index = bisect_right([stretch.start for stretch in path], time) - 1
    if index < 0:
        return rest
    stretch = path[index]
    if time >= stretch.stop:
        return stretch.target
    return _blend(stretch.origin, stretch.target, _smooth((time - stretch.start) / (stretch.stop - stretch.start)))


def _smooth(share: float) -> float:
    """Minimum-jerk progress."""
    return share * share * share * (10.0 - 15.0 * share + 6.0 * share * share)


def _blend(origin: Point, target: Point, share: float) -> Point:
    return origin[0] + (target[0] - origin[0]) * share, origin[1] + (target[1] - origin[1]) * share


def _add(point: Point, offset: Point) -> Point:
    return point[0] + offset[0], point[1] + offset[1]
