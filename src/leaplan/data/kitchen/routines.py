"""How a cook does things: a step is a routine of primitive sub-actions, with both hands."""

from collections.abc import Callable

from leaplan.data.kitchen.objects import CAPPED, HANDS
from leaplan.data.kitchen.primitives import sub_action
from leaplan.data.kitchen.world import NONE, SubAction, World

Routine = Callable[..., None]


class Cook:
    """Does sub-actions in a world, one after the other, and remembers them.

    Args:
        world: Changed by every sub-action.
        hand: The stronger hand, "left" or "right".
    """

    def __init__(self, world: World, hand: str) -> None:
        self.world = world
        self.hand = hand
        self.other = HANDS[hand == HANDS[0]]
        self.done: list[SubAction] = []

    def do(self, verb: str, first: str, second: str = NONE, hand: str | None = None) -> None:
        """Do one sub-action, by the stronger hand unless told otherwise.

        Raises:
            ImpossibleError: Its conditions do not hold.
        """
        action = sub_action(self.world, verb, first, second, self.hand if hand is None else hand)
        self.world.apply(action)
        self.done.append(action)

    def reach(self, thing: str, hand: str | None = None) -> None:
        """Reach for `thing`."""
        self.do("reach", thing, hand=hand)

    def take(self, thing: str, hand: str | None = None) -> None:
        """Reach for `thing` and grasp it."""
        self.reach(thing, hand)
        self.do("grasp", thing, hand=hand)

    def put(self, thing: str, place: str = "table", hand: str | None = None) -> None:
        """Move the held `thing` to `place` and let it go."""
        self.do("move", thing, place, hand)
        self.do("release", thing, place, hand)

    def run_tap(self, verb: str, thing: str) -> None:
        """Do `verb` with the held `thing` under the tap, which the weaker hand turns on and off."""
        self.do("move", thing, "tap")
        self.reach("tap", self.other)
        self.do("turn_on", "tap", hand=self.other)
        self.do(verb, thing, "tap")
        self.do("turn_off", "tap", hand=self.other)


def wash(cook: Cook, thing: str) -> None:
    """Wash `thing` and lay it on the board."""
    cook.take(thing)
    cook.run_tap("wash", thing)
    cook.put(thing, "board")


def cut(cook: Cook, thing: str) -> None:
    """Cut `thing` where it will be cut: on the board, a sandwich on its plate."""
    if cook.world.place(thing) == "table":
        cook.take(thing, cook.other)
        cook.put(thing, "board", cook.other)
    cook.take("knife")
    cook.do("move", "knife", thing)
    cook.do("cut", thing, "knife")
    cook.put("knife")


def peel(cook: Cook, thing: str) -> None:
    """Peel `thing` in the air and lay it on the board."""
    cook.take(thing, cook.other)
    cook.do("move", thing, "board", cook.other)
    cook.reach(thing)
    cook.do("peel", thing)
    cook.do("release", thing, "board", cook.other)


def put(cook: Cook, thing: str, place: str) -> None:
    """Carry `thing` to `place` by hand."""
    cook.take(thing)
    cook.put(thing, place)


def pour(cook: Cook, source: str, target: str) -> None:
    """Pour from a package or a vessel; a cap is opened the first time."""
    home = cook.world.place(source) or "table"
    if source == "pan":
        _wait_until_cooked(cook)
    cook.take(source)
    if source in CAPPED and not cook.world.has("open", source):
        cook.reach(source, cook.other)
        cook.do("open", source, hand=cook.other)
    cook.do("move", source, target)
    cook.do("pour", source, target)
    cook.put(source, home)


def _wait_until_cooked(cook: Cook) -> None:
    raw = [thing for thing in cook.world.contents("pan") if not cook.world.has("cooked", thing)]
    if raw:
        cook.do("wait", "pan", hand=NONE)


def shake(cook: Cook, shaker: str, target: str) -> None:
    """Shake salt or pepper over `target`."""
    cook.take(shaker)
    cook.do("move", shaker, target)
    cook.do("shake", shaker, target)
    cook.put(shaker)


def crack(cook: Cook, target: str) -> None:
    """Crack the next whole egg into `target`."""
    egg = next((f"egg {n}" for n in (1, 2, 3) if cook.world.place(f"egg {n}") == "table"), "egg 3")
    cook.take(egg)
    cook.do("move", egg, target)
    cook.do("crack", egg, target)


def stir(cook: Cook, vessel: str) -> None:
    """Stir what is in `vessel` while the weaker hand steadies it."""
    cook.take("spoon")
    cook.do("move", "spoon", vessel)
    cook.reach(vessel, cook.other)
    cook.do("stir", vessel, "spoon")
    cook.put("spoon")


def flip(cook: Cook) -> None:
    """Turn the food in the pan over."""
    cook.take("spatula")
    cook.do("move", "spatula", "pan")
    cook.do("flip", "pan", "spatula")
    cook.put("spatula")


def spread(cook: Cook, stuff: str, target: str) -> None:
    """Spread `stuff` on `target` with the knife."""
    cook.take("knife")
    cook.do("move", "knife", stuff)
    cook.do("move", "knife", target)
    cook.do("spread", stuff, target)
    cook.put("knife")


def squeeze(cook: Cook, fruit: str, target: str) -> None:
    """Squeeze a cut fruit over `target` and lay it back on the board."""
    cook.take(fruit)
    cook.do("move", fruit, target)
    cook.do("squeeze", fruit, target)
    cook.put(fruit, "board")


def turn_on(cook: Cook, thing: str) -> None:
    """Turn on the stove or the kettle; the kettle is waited for."""
    cook.reach(thing)
    cook.do("turn_on", thing)
    if thing == "kettle":
        cook.do("wait", thing, hand=NONE)


def turn_off(cook: Cook, thing: str) -> None:
    """Turn off `thing`."""
    cook.reach(thing)
    cook.do("turn_off", thing)


def fill(cook: Cook, vessel: str) -> None:
    """Fill `vessel` at the tap and put it back."""
    cook.take(vessel)
    cook.run_tap("fill", vessel)
    cook.put(vessel)
