"""What is neither thing nor hand: water from the tap, steam, and what falls while it is poured."""

from math import sin

from leaplan.data.kitchen.canvas import Canvas, mix
from leaplan.data.kitchen.layout import Color, Point
from leaplan.data.kitchen.objects import PACKAGES
from leaplan.data.kitchen.staging import Moment

STREAMS: dict[str, Color] = {
    "oil": (214, 190, 60), "milk": (250, 250, 246), "flour": (246, 238, 220), "oats": (210, 176, 116),
    "honey": (214, 140, 30), "sugar": (255, 250, 252), "coffee": (76, 44, 24), "water": (170, 206, 230),
    "salt": (255, 255, 255), "pepper": (50, 44, 42),
}  # fmt: skip


def draw_effects(canvas: Canvas, moment: Moment, index: int) -> None:
    """Draw the effects of `moment`, frame number `index`; they flicker from frame to frame."""
    world, places = moment.world, moment.places
    if world.has("active", "tap"):
        tap = canvas.pen(places["tap"])
        tap.line([(0, -4), (0.5 * (index % 2), 8)], 2.4, (190, 222, 240))
        tap.oval(0, 9, 5 + index % 3, 2.5, (206, 230, 242))
    if world.has("active", "stove") and world.contents("pan") and world.place("pan") == "stove":
        _draw_steam(canvas, places["pan"], index)
    if world.has("active", "kettle") or (world.has("hot", "kettle") and world.place("kettle") == "table"):
        x, y = places["kettle"]
        _draw_steam(canvas, (x - 10, y - 6), index)
    _draw_stream(canvas, moment, index)


def _draw_steam(canvas: Canvas, place: Point, index: int) -> None:
    pen = canvas.pen(place)
    for number in range(4):
        rise = (index * 1.6 + number * 7) % 28
        x = 7 * sin(number * 2.2) + 2 * sin(0.4 * index + number)
        pen.line(
            [(x, -rise), (x + 1.5, -rise - 3), (x, -rise - 6)],
            1.6,
            mix((240, 240, 244), (150, 150, 156), rise / 40),
        )


def _draw_stream(canvas: Canvas, moment: Moment, index: int) -> None:
    """What falls while something is poured, shaken, cracked or squeezed."""
    action = moment.action
    if action is None or action.verb not in ("pour", "shake", "crack", "squeeze") or not 0.15 < moment.phase < 0.9:
        return
    hand = moment.hands[action.hand]
    vessel = "bread" if action.second == "bread" else action.second
    x, y = moment.places.get(vessel, hand.at)
    stuff = PACKAGES.get(action.first, "water" if action.first == "kettle" else "egg")
    color = STREAMS.get(stuff, (246, 206, 110))
    pen = canvas.pen((x, y))
    if action.verb == "shake":
        for number in range(5):
            pen.disc(-4 + 2 * number, -7 + (index * 3 + number * 5) % 9, 0.8, color)
    else:
        pen.line([(1.0, -8.0), (0.5 * (index % 2), 3.0)], 2.2 if action.verb == "pour" else 1.4, color)
        pen.oval(0, 3, 3.0 + index % 2, 2.0, color)
