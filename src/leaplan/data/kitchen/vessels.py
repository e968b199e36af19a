"""What vessels and their contents look like: a bowl fills, an egg sets, a mixture becomes even."""

from functools import reduce
from math import cos, sin

from leaplan.data.kitchen.canvas import Pen, mix, shade
from leaplan.data.kitchen.layout import Color, Looks
from leaplan.data.kitchen.objects import noun
from leaplan.data.kitchen.sprites import draw_thing
from leaplan.data.kitchen.world import World

#: Stuff that spreads and gives a vessel its colour, and how strongly it does.
_LIQUIDS: dict[str, tuple[Color, float]] = {
    "water": ((150, 186, 206), 0.5),
    "oil": ((214, 190, 60), 0.5),
    "milk": ((246, 244, 238), 0.8),
    "honey": ((214, 140, 30), 0.8),
    "lemon juice": ((240, 226, 120), 0.6),
}

#: What colours a mixed or hot vessel besides.
_DYES: dict[str, tuple[Color, float]] = {
    "egg": ((244, 196, 60), 0.7),
    "flour": ((240, 228, 200), 0.6),
    "coffee": ((76, 44, 24), 0.85),
    "tea": ((172, 96, 36), 0.75),
    "tomato": ((214, 76, 40), 0.55),
    "oats": ((214, 184, 130), 0.4),
    "sugar": ((250, 244, 240), 0.15),
}

#: Stuff that lies in grains: colour, grain size, grains.
_GRAINS: dict[str, tuple[Color, float, int]] = {
    "salt": ((255, 255, 255), 0.7, 12),
    "pepper": ((44, 38, 36), 0.7, 14),
    "sugar": ((255, 246, 250), 0.9, 16),
    "coffee": ((70, 40, 22), 1.1, 14),
    "oats": ((206, 170, 110), 1.3, 26),
    "flour": ((246, 240, 226), 2.4, 12),
}

_PIECES: dict[str, tuple[Color, Color]] = {
    "tomato": ((206, 44, 34), (240, 120, 96)),
    "cucumber": ((40, 110, 44), (190, 222, 150)),
    "onion": ((206, 160, 200), (246, 238, 244)),
    "banana": ((222, 200, 130), (246, 234, 190)),
}
_TOASTED: Color = (150, 88, 34)
_SECTORS = {
    "tomato": 0.0,
    "cucumber": 2.4,
    "onion": 4.2,
    "banana": 1.2,
    "egg": 5.2,
    "flour": 3.4,
    "oats": 0.7,
}


def draw_vessel(pen: Pen, name: str, looks: Looks, world: World) -> None:
    """Draw the vessel `name` with everything in it."""
    {"bowl": _bowl, "cup": _cup, "plate": _plate, "pan": _pan, "kettle": _kettle}[name](pen, looks, world)


def _bowl(pen: Pen, looks: Looks, world: World) -> None:
    pen.named("").oval(2.5, 4, 17.5, 15.5, (72, 64, 58))
    pen.disc(0, 0, 17, looks.bowl)
    pen.disc(0, 0, 14.6, shade(looks.bowl, 0.72))
    pen.disc(0, 1, 12.5, shade(looks.bowl, 0.84))
    _contents(pen, "bowl", 13.5, world)


def _cup(pen: Pen, looks: Looks, world: World) -> None:
    pen.named("").oval(2, 3, 12, 10.5, (72, 64, 58))
    pen.line([(9, -3), (15, -2), (15, 4), (9, 5)], 2.6, shade(looks.cup, 0.9))
    pen.disc(0, 0, 11, looks.cup)
    pen.disc(0, 0, 9, shade(looks.cup, 0.7))
    _contents(pen, "cup", 8.6, world)


def _plate(pen: Pen, looks: Looks, world: World) -> None:
    pen.named("").oval(1.5, 2.5, 18, 17, (72, 64, 58))
    pen.disc(0, 0, 17.5, looks.plate)
    pen.disc(0, 0, 12.5, shade(looks.plate, 0.92))
    if world.has("on", "bread", "plate"):
        draw_thing(pen.named("bread"), "bread", world)
    rest = [thing for thing in world.contents("plate") if thing != "bread"]
    if rest:
        beside = pen.moved(0, 2) if world.has("on", "bread", "plate") else pen
        _cooked_food(beside, "plate", rest, world)


def _pan(pen: Pen, looks: Looks, world: World) -> None:
    pen.line([(11, 10), (27, 25)], 4.2, shade(looks.pan, 0.55))
    pen.disc(0, 0, 17, shade(looks.pan, 1.25))
    pen.disc(0, 0, 15, looks.pan)
    _contents(pen, "pan", 14.0, world)


def _kettle(pen: Pen, looks: Looks, world: World) -> None:
    pen.named("").oval(2, 4, 12, 10.5, (72, 64, 58))
    pen.polygon([(-9, -6), (-15, -9), (-13, -3), (-8, 1)], shade(looks.kettle, 0.85))
    pen.disc(0, 0, 11, looks.kettle)
    pen.disc(0, 0, 7, shade(looks.kettle, 0.8))
    pen.line([(-3, -1), (8, 8)], 3.4, (44, 44, 50))
    if world.has("full", "kettle"):
        pen.line([(-8, 5), (-3, 9)], 2.2, (70, 140, 220))
    if world.has("active", "kettle"):
        pen.disc(9, 9, 2.4, (255, 70, 40))


def _contents(pen: Pen, vessel: str, radius: float, world: World) -> None:
    things = world.contents(vessel)
    mixed = world.has("mixed", vessel)
    batter = mixed and not world.has("in", "water", vessel) and any(noun(thing) == "egg" for thing in things)
    if vessel == "pan" and batter:
        _cooked_food(pen, vessel, things, world)
        return
    _liquid(pen, things, radius, mixed)
    for thing in things:
        kind, part = noun(thing), pen.named(thing)
        if kind == "egg" and not mixed:
            _egg(part, thing, world, radius)
        elif kind in _PIECES:
            _pieces(part, kind, radius, mixed, world)
        elif kind in _GRAINS and not (mixed and kind in _DYES and kind != "oats"):
            _grains(part, kind, radius, mixed)
        elif kind in ("bread", "tea bag"):
            draw_thing(part, thing, world)


def _liquid(pen: Pen, things: list[str], radius: float, mixed: bool) -> None:
    kinds = [noun(thing) for thing in things]
    wet = [kind for kind in kinds if kind in _LIQUIDS or (mixed and kind in ("egg", "flour"))]
    if not wet:
        return
    shares = [_LIQUIDS[kind] for kind in kinds if kind in _LIQUIDS]
    if mixed or "water" in kinds:
        shares += [_DYES[kind] for kind in kinds if kind in _DYES]
    color = reduce(lambda so_far, dye: mix(so_far, dye[0], dye[1]), shares[1:], shares[0][0])
    level = radius * min(1.0, (0.55 if wet == ["oil"] else 0.7) + 0.08 * len(wet))
    pen.disc(0, 0, level, color)
    pen.oval(-level * 0.35, -level * 0.4, level * 0.3, level * 0.16, mix(color, (255, 255, 255), 0.45))


def _egg(pen: Pen, egg: str, world: World, radius: float) -> None:
    angle = _SECTORS["egg"] + 2.1 * int(egg[-1])
    x, y = 0.42 * radius * cos(angle), 0.42 * radius * sin(angle)
    in_pan = world.has("in", egg, "pan")
    white = (250, 248, 240) if in_pan and world.has("active", "stove") else (226, 222, 190)
    pen.oval(x, y, radius * 0.46, radius * 0.4, white)
    pen.disc(x, y, radius * 0.22, (250, 176, 30))


def _pieces(pen: Pen, kind: str, radius: float, mixed: bool, world: World) -> None:
    rim, flesh = _PIECES[kind]
    if world.has("cooked", kind):
        rim, flesh = shade(rim, 0.75), mix(flesh, _TOASTED, 0.4)
    for x, y in _spots(kind, 7, radius, mixed):
        pen.disc(x, y, 2.7, rim)
        pen.disc(x, y, 1.7, flesh)


def _grains(pen: Pen, kind: str, radius: float, mixed: bool) -> None:
    color, size, count = _GRAINS[kind]
    for x, y in _spots(kind, count, radius, mixed or kind in ("salt", "pepper")):
        pen.disc(x, y, size, color)


def _spots(kind: str, count: int, radius: float, everywhere: bool) -> list[tuple[float, float]]:
    """Places of pieces: heaped in a sector of the vessel, or all over it once it is mixed."""
    middle = _SECTORS.get(kind, 0.0)
    spots = []
    for number in range(count):
        far = ((number * 0.7549 + middle * 0.37) % 1.0) ** 0.5
        if everywhere:
            angle = 2.4 * number + middle
            spots.append((0.86 * radius * far * cos(angle), 0.86 * radius * far * sin(angle)))
        else:
            x, y = 0.45 * radius * cos(middle), 0.45 * radius * sin(middle)
            angle = 2.4 * number
            spots.append((x + 0.42 * radius * far * cos(angle), y + 0.42 * radius * far * sin(angle)))
    return spots


def _cooked_food(pen: Pen, vessel: str, things: list[str], world: World) -> None:
    """Fried food: a pancake, an omelette, fried eggs; brown once it is cooked."""
    kinds = [noun(thing) for thing in things]
    if world.has("mixed", vessel):
        raw = (238, 222, 180) if "flour" in kinds else (248, 214, 96)
        done = (204, 138, 62) if "flour" in kinds else (226, 164, 48)
        cooked = any(world.has("cooked", thing) for thing in things)
        pen = pen.named(things[0])
        pen.disc(0, 0, 11.5, shade(done, 0.8) if cooked else shade(raw, 0.9))
        pen.disc(0, 0, 10.3, done if cooked else raw)
    else:
        for egg in (thing for thing in things if noun(thing) == "egg"):
            x = -4.5 if egg == "egg 1" else 4.5
            pen.named(egg).oval(x, 0, 6.0, 5.4, (252, 250, 244))
            pen.named(egg).disc(x, 0, 2.8, (244, 160, 26))
    if "honey" in kinds and vessel == "plate":
        for y in (-5, 0, 5):
            pen.named("honey").line([(-7, y), (0, y + 2), (7, y - 1)], 1.8, (200, 116, 10))
