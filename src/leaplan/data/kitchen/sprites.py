"""What loose things look like: packages, foods in their states, tools, distractors. Lengths in pixels."""

from collections.abc import Callable

from leaplan.data.kitchen.canvas import Pen, shade
from leaplan.data.kitchen.layout import Color
from leaplan.data.kitchen.world import World

STEEL: Color = (198, 202, 208)
WOOD: Color = (150, 98, 56)

#: Package: half width, half height, body, cap, label.
_PACKAGES: dict[str, tuple[float, float, Color, Color, Color]] = {
    "oil bottle": (4.0, 9.0, (196, 180, 40), (60, 90, 40), (240, 236, 200)),
    "milk carton": (5.0, 9.0, (242, 244, 248), (40, 90, 190), (70, 130, 220)),
    "flour bag": (6.5, 8.0, (226, 208, 176), (206, 184, 148), (170, 60, 50)),
    "oats box": (6.0, 8.5, (190, 110, 50), (160, 90, 40), (244, 226, 170)),
    "honey jar": (5.0, 6.5, (212, 136, 26), (226, 196, 60), (250, 230, 150)),
    "sugar jar": (5.0, 6.5, (238, 232, 236), (214, 120, 160), (230, 190, 206)),
    "coffee jar": (5.0, 7.0, (84, 50, 30), (40, 30, 28), (200, 60, 40)),
    "salt shaker": (3.6, 6.0, (240, 240, 244), (120, 150, 180), (200, 214, 226)),
    "pepper shaker": (3.6, 6.0, (58, 54, 56), (170, 170, 176), (110, 104, 104)),
}


def draw_thing(pen: Pen, name: str, world: World) -> None:
    """Draw the loose thing `name` in the state that it has in `world`."""
    if name in _PACKAGES:
        _package(pen, name, world)
    elif name.startswith("egg"):
        _egg(pen)
    else:
        _THINGS[name](pen, name, world)


def _package(pen: Pen, name: str, world: World) -> None:
    half, high, body, cap, label = _PACKAGES[name]
    _shadow(pen, half, high)
    pen.box(-half, -high + 3, half, high, body)
    pen.box(-half, -1, half, high - 3, label)
    pen.line([(-half + 0.8, -high + 3.5), (-half + 0.8, high - 1)], 0.8, shade(body, 1.25))
    if world.has("open", name):
        pen.box(-half * 0.5, -high + 1, half * 0.5, -high + 3, shade(body, 0.6))
    else:
        pen.box(-half * 0.7, -high, half * 0.7, -high + 3.5, cap)


def _shadow(pen: Pen, half: float, high: float) -> None:
    if not pen.turn:
        pen.named("").oval(1.5, high - 1.0, half + 1.5, 3.0, (70, 62, 56))


def _tomato(pen: Pen, name: str, world: World) -> None:
    red, wet = (206, 44, 34), world.has("clean", name)
    if world.has("cut", name):
        for x, y in ((-6, 1), (-2, -2), (2, 1), (6, -1)):
            pen.disc(x, y, 3.4, red)
            pen.disc(x, y, 2.2, (240, 120, 96))
        return
    _shadow(pen, 5.0, 6.0)
    pen.disc(0, 0, 6.2, red)
    pen.disc(-2, -2, 1.6, (255, 190, 180) if wet else (230, 90, 76))
    pen.line([(-2, -4), (0, -5.5), (2, -4)], 1.2, (50, 120, 40))


def _cucumber(pen: Pen, name: str, world: World) -> None:
    if world.has("cut", name):
        for x in (-8, -4, 0, 4, 8):
            pen.oval(x, (x % 3) - 1, 2.6, 3.6, (40, 110, 44))
            pen.oval(x, (x % 3) - 1, 1.7, 2.7, (190, 222, 150))
        return
    pen.line([(-8, 1), (8, -1)], 6.0, (40, 110, 44))
    pen.line([(-7, -0.6), (7, -2.4)], 1.2, (190, 230, 190) if world.has("clean", name) else (70, 140, 70))


def _onion(pen: Pen, name: str, world: World) -> None:
    if world.has("cut", name):
        for x, y in ((-5, 1), (-1, -2), (3, 1), (6, -2)):
            pen.disc(x, y, 3.0, (206, 160, 200))
            pen.disc(x, y, 1.8, (246, 238, 244))
        return
    _shadow(pen, 5.0, 6.0)
    pen.oval(0, 0, 6.0, 5.4, (150, 70, 110))
    pen.line([(0, -5), (1, -8)], 1.4, (170, 130, 90))


def _banana(pen: Pen, name: str, world: World) -> None:
    pale = (246, 234, 190)
    if world.has("cut", name):
        for x in (-8, -4, 0, 4, 8):
            pen.disc(x, (x % 3) - 1, 2.6, (222, 200, 130))
            pen.disc(x, (x % 3) - 1, 1.9, pale)
        return
    color = pale if world.has("peeled", name) else (236, 206, 50)
    pen.line([(-8, -3), (-3, 2), (3, 2), (8, -3)], 4.6, color)
    if not world.has("peeled", name):
        pen.disc(8, -3.4, 1.2, (90, 70, 30))


def _lemon(pen: Pen, name: str, world: World) -> None:
    if world.has("cut", name):
        for x in (-4, 4):
            pen.disc(x, 0, 4.4, (232, 206, 40))
            pen.disc(x, 0, 3.2, (250, 244, 176))
        return
    pen.oval(0, 0, 6.4, 4.8, (236, 212, 44))
    pen.disc(6, 0, 1.4, (206, 180, 40))


def _egg(pen: Pen) -> None:
    _shadow(pen, 3.6, 5.0)
    pen.oval(0, 0, 3.8, 4.8, (222, 178, 138))
    pen.disc(-1, -1.6, 1.0, (246, 220, 196))


def _bread(pen: Pen, name: str, world: World) -> None:
    toasted = world.has("cooked", "bread")
    crust, crumb = ((120, 70, 30), (180, 120, 60)) if toasted else ((176, 118, 60), (236, 208, 158))
    pen.box(-8.5, -7.5, 8.5, 7.5, crust)
    pen.box(-7.2, -6.2, 7.2, 6.2, crumb)
    for thing in world.contents(name):
        _topping(pen.named(thing), thing, world)
    if world.has("cut", name):
        pen.line([(-9, -8), (9, 8)], 2.2, (90, 60, 36))


def _topping(pen: Pen, thing: str, world: World) -> None:
    if thing == "butter":
        pen.box(-5.5, -4.5, 5.5, 4.5, (250, 236, 140))
    elif thing == "cheese":
        pen.polygon([(-6.5, 0), (0, -6), (6.5, 0), (0, 6)], (244, 180, 40))
    elif thing == "tomato":
        for x, y in ((-3.5, -2.5), (3.5, -2), (0, 3)):
            pen.disc(x, y, 3.0, (206, 44, 34))
            pen.disc(x, y, 1.9, (240, 120, 96))
    elif thing == "top bread":
        _bread(pen.moved(0.8, -1.5), thing, world)


def _cheese(pen: Pen, _: str, __: World) -> None:
    pen.polygon([(-7, 4), (7, 4), (7, -1), (-3, -5)], (244, 180, 40))
    pen.polygon([(-7, 4), (7, 4), (7, 6), (-7, 6)], (214, 146, 26))
    pen.disc(2, 1, 1.3, (216, 150, 30))


def _butter(pen: Pen, _: str, __: World) -> None:
    pen.box(-8, -1, 8, 5.5, (214, 222, 230))
    pen.box(-6, -4, 6, 3.5, (250, 232, 130))


def _tea_bag(pen: Pen, name: str, world: World) -> None:
    if not world.contents("cup") and world.place(name) == "table":
        pen.named("").box(-7, 3, 7, 8, (60, 130, 70))
    pen.box(-3.5, -3, 3.5, 4, (224, 210, 180) if not world.has("in", "water", "cup") else (150, 96, 50))
    pen.line([(0, -3), (4, -6)], 0.6, (250, 250, 250))
    pen.box(3, -8, 6.5, -5, (60, 130, 70))


def _knife(pen: Pen, _: str, __: World) -> None:
    pen.polygon([(-2, -2), (10, 4), (9, 7.4), (0, 2)], STEEL)
    pen.line([(10, 6), (18, 11)], 3.2, (40, 36, 40))


def _spoon(pen: Pen, _: str, __: World) -> None:
    pen.line([(0, 0), (12, 13)], 1.8, shade(STEEL, 0.9))
    pen.oval(0, 0, 3.4, 3.0, STEEL)
    pen.oval(-0.4, -0.4, 1.8, 1.5, shade(STEEL, 0.7))


def _spatula(pen: Pen, _: str, __: World) -> None:
    pen.line([(3, 3), (15, 15)], 2.0, WOOD)
    pen.polygon([(-5, 0), (0, -5), (6, 1), (1, 6)], (54, 54, 58))


def _round(color: Color, leaf: Color) -> Callable[[Pen, str, World], None]:
    def draw(pen: Pen, _: str, __: World) -> None:
        _shadow(pen, 5.0, 6.0)
        pen.disc(0, 0, 6.0, color)
        pen.disc(-2, -2, 1.4, shade(color, 1.4))
        pen.line([(0, -5), (2, -8)], 1.2, leaf)

    return draw


def _flat(half: float, high: float, color: Color, stripe: Color) -> Callable[[Pen, str, World], None]:
    def draw(pen: Pen, _: str, __: World) -> None:
        pen.box(-half, -high, half, high, color)
        pen.box(-half + 1.5, -high + 1.5, half - 1.5, -high * 0.3, stripe)

    return draw


_THINGS: dict[str, Callable[[Pen, str, World], None]] = {
    "tomato": _tomato,
    "cucumber": _cucumber,
    "onion": _onion,
    "banana": _banana,
    "lemon": _lemon,
    "bread": _bread,
    "top bread": _bread,
    "cheese": _cheese,
    "butter": _butter,
    "tea bag": _tea_bag,
    "knife": _knife,
    "spoon": _spoon,
    "spatula": _spatula,
    "apple": _round((150, 190, 60), (90, 60, 40)),
    "orange": _round((236, 140, 30), (60, 120, 50)),
    "plant": _round((40, 110, 60), (80, 150, 70)),
    "towel": _flat(8.0, 6.0, (206, 90, 90), (240, 236, 230)),
    "phone": _flat(3.6, 7.0, (30, 32, 38), (80, 120, 170)),
    "notebook": _flat(6.5, 7.5, (70, 90, 150), (230, 230, 220)),
    "tin": _flat(4.6, 6.0, (180, 186, 190), (180, 40, 40)),
    "glass": _flat(4.0, 6.0, (190, 214, 222), (220, 236, 240)),
}
