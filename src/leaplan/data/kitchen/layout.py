"""Where things stand and what the room looks like, in one video. Lengths are pixels of the frame."""

from dataclasses import dataclass
from random import Random

from leaplan.data.kitchen.objects import PACKAGES, TOOLS
from leaplan.data.kitchen.simulate import Episode

WIDTH, HEIGHT = 160, 120
Point = tuple[float, float]
Color = tuple[int, int, int]

#: Where packages, foods and distractors may stand, back rows first.
SLOTS: tuple[Point, ...] = (
    *((x, 18.0) for x in (52.0, 66.0, 80.0, 94.0)),
    *((x, 38.0) for x in (52.0, 66.0, 80.0, 94.0)),
    (12.0, 56.0), (46.0, 58.0), (103.0, 56.0), (10.0, 104.0), (98.0, 104.0), (62.0, 104.0), (150.0, 62.0),
)  # fmt: skip

#: Where the rest stands. A tool's place is that of its working end, a vessel's that of its middle.
PLACES: dict[str, Point] = {
    "stove": (132, 30),
    "knob": (116, 57),
    "pan": (132, 30),
    "tap": (22, 24),
    "handle": (36, 10),
    "board": (31, 80),
    "bowl": (78, 74),
    "cup": (78, 74),
    "plate": (118, 85),
    "kettle": (143, 76),
    "knife": (34, 102),
    "spoon": (126, 108),
    "spatula": (143, 101),
}

TABLES: tuple[Color, ...] = ((176, 132, 88), (206, 198, 184), (122, 92, 66), (150, 156, 158), (212, 178, 132),
                             (98, 108, 112), (188, 170, 160))  # fmt: skip
WALLS: tuple[Color, ...] = (
    (222, 226, 220),
    (176, 200, 204),
    (232, 214, 178),
    (160, 174, 160),
    (206, 190, 196),
)
BOARDS: tuple[Color, ...] = ((206, 164, 108), (168, 118, 72), (228, 222, 206), (120, 150, 120))
SLEEVES: tuple[Color, ...] = ((60, 80, 140), (150, 50, 50), (70, 110, 80), (50, 50, 56), (190, 180, 170),
                              (190, 150, 60), (110, 80, 130))  # fmt: skip
SKINS: tuple[Color, ...] = ((240, 200, 170), (224, 172, 136), (190, 134, 96), (142, 94, 64), (98, 64, 46))
BOWLS: tuple[Color, ...] = ((226, 228, 230), (92, 138, 186), (196, 92, 84), (104, 160, 120), (226, 190, 96))
PLATES: tuple[Color, ...] = ((238, 238, 236), (214, 226, 236), (236, 222, 200), (140, 160, 176))


@dataclass(frozen=True, slots=True)
class Looks:
    """Colours and light of one video.

    Args:
        light: Brightness, 1 is neutral.
        warmth: Above 0 is reddish light, below is bluish.
        slope: Fall-off of the light over the frame, to the right and down.
        sleeve_length: Share of the forearm that is covered.
    """

    table: Color
    wall: Color
    board: Color
    sleeve: Color
    skin: Color
    bowl: Color
    cup: Color
    plate: Color
    pan: Color
    kettle: Color
    light: float
    warmth: float
    slope: Point
    sleeve_length: float
    grain: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The scene of one video: looks, and the place of every object while nobody has moved it."""

    looks: Looks
    places: dict[str, Point]


def lay_out(episode: Episode) -> Layout:
    """Return the layout of `episode`. A person's kitchen changes little from video to video."""
    role = episode.role
    return Layout(
        _looks(role.person.random("looks"), role.random("looks")),
        _places(episode, role.person.random("places"), role.random("places")),
    )


def _looks(person: Random, video: Random) -> Looks:
    gray = person.randint(40, 84)
    silver = person.randint(120, 205)
    return Looks(
        table=_near(person.choice(TABLES), video, 8),
        wall=_near(person.choice(WALLS), video, 6),
        board=_near(person.choice(BOARDS), video, 8),
        sleeve=_near(video.choice(SLEEVES), video, 16),
        skin=_near(person.choice(SKINS), person, 10),
        bowl=_near(video.choice(BOWLS), video, 12),
        cup=_near(video.choice(BOWLS), video, 12),
        plate=_near(video.choice(PLATES), video, 8),
        pan=(gray, gray, gray + 4),
        kettle=(silver, silver, min(255, silver + 6)),
        light=video.uniform(0.78, 1.12),
        warmth=video.uniform(-0.08, 0.1),
        slope=(video.uniform(-0.16, 0.16), video.uniform(-0.14, 0.14)),
        sleeve_length=video.choice((0.25, 0.6, 0.85)),
        grain=video.randrange(1 << 30),
    )


def _near(color: Color, random: Random, spread: int) -> Color:
    red, green, blue = (min(255, max(0, part + random.randint(-spread, spread))) for part in color)
    return red, green, blue


def _places(episode: Episode, person: Random, video: Random) -> dict[str, Point]:
    places = {name: _shift(place, person, 1.5) for name, place in PLACES.items()}
    places["pan"] = places["stove"]
    free = [_shift(slot, person, 1.5) for slot in SLOTS]
    for name in _by_habit(episode, person, video):
        places[name] = _shift(free.pop(0), video, 1.5)
    for name in ("bowl", "cup", "plate", "kettle", *TOOLS):
        places[name] = _shift(places[name], video, 2.5)
    return places


def _by_habit(episode: Episode, person: Random, video: Random) -> list[str]:
    """Loose objects in the order in which they get slots: nearly the same in all videos of a person."""
    loose = [name for name in (*episode.objects, *episode.distractors) if name not in PLACES]
    order = [*PACKAGES, *sorted(set(loose) - set(PACKAGES))]
    rank = {name: person.random() for name in order}
    return sorted(loose, key=lambda name: (rank[name] + video.uniform(0.0, 0.25), name))


def _shift(place: Point, random: Random, most: float) -> Point:
    x, y = place
    return round(x + random.uniform(-most, most), 2), round(y + random.uniform(-most, most), 2)
