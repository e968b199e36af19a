"""A canvas to draw on in frame pixels, drawn twice as large so that edges are smooth when reduced.

Whatever is drawn under a name widens that name's box: object boxes are those of the drawn pixels.
"""

from collections.abc import Sequence
from math import cos, radians, sin

from PIL import Image, ImageDraw

from leaplan.data.kitchen.layout import HEIGHT, WIDTH, Color, Point

SCALE = 2
ROUNDED = 6  # drawn pixels; lines wider than this get round ends
MARGIN = 12  # pixels around the frame, for the camera to move in

Box = tuple[float, float, float, float]  # left, top, right, bottom


class Canvas:
    """An image and the boxes of what has been drawn on it."""

    def __init__(self, image: Image.Image | None = None, boxes: dict[str, Box] | None = None) -> None:
        size = ((WIDTH + 2 * MARGIN) * SCALE, (HEIGHT + 2 * MARGIN) * SCALE)
        self.image = image or Image.new("RGB", size)
        self.boxes: dict[str, Box] = boxes or {}
        self.draw = ImageDraw.Draw(self.image)

    def copy(self) -> "Canvas":
        """Return an independent canvas with the same picture and boxes."""
        return Canvas(self.image.copy(), dict(self.boxes))

    def pen(self, at: Point, name: str = "", turn: float = 0.0) -> "Pen":
        """Return a pen for the object `name`, its origin `at`, turned clockwise by `turn` degrees."""
        return Pen(self, at, name, turn)

    def frame(self, camera: Point) -> Image.Image:
        """Return the frame (WIDTH, HEIGHT) that a camera moved by `camera` pixels sees."""
        left = round((MARGIN + camera[0]) * SCALE)
        top = round((MARGIN + camera[1]) * SCALE)
        seen = self.image.crop((left, top, left + WIDTH * SCALE, top + HEIGHT * SCALE))
        return seen.reduce(SCALE)

    def widen(self, name: str, box: Box) -> None:
        """Let the box of `name` contain `box`."""
        old = self.boxes.get(name, box)
        self.boxes[name] = (
            min(old[0], box[0]),
            min(old[1], box[1]),
            max(old[2], box[2]),
            max(old[3], box[3]),
        )


class Pen:
    """Draws shapes around an origin, in pixels; x to the right, y down."""

    def __init__(self, canvas: Canvas, at: Point, name: str, turn: float) -> None:
        self.canvas = canvas
        self.at = at
        self.name = name
        self.turn = turn
        self._cos, self._sin = (cos(radians(turn)), sin(radians(turn))) if turn else (1.0, 0.0)

    def named(self, name: str) -> "Pen":
        """Return the same pen, drawing the object `name`."""
        return Pen(self.canvas, self.at, name, self.turn)

    def moved(self, x: float, y: float, turn: float = 0.0) -> "Pen":
        """Return a pen whose origin is (x, y) of this one's, turned further by `turn` degrees."""
        return Pen(self.canvas, self.place(x, y), self.name, self.turn + turn)

    def place(self, x: float, y: float) -> Point:
        """Return (x, y) of this pen in frame pixels."""
        return self.at[0] + x * self._cos - y * self._sin, self.at[1] + x * self._sin + y * self._cos

    def disc(self, x: float, y: float, radius: float, color: Color) -> None:
        """Draw a disc."""
        self._ellipse(self.place(x, y), radius, radius, color)

    def oval(self, x: float, y: float, across: float, down: float, color: Color) -> None:
        """Draw an upright oval with half axes `across` and `down`."""
        if self.turn:
            corners = [(x + across * c, y + down * s) for c, s in _CIRCLE]
            self.polygon(corners, color)
        else:
            self._ellipse(self.place(x, y), across, down, color)

    def box(self, left: float, top: float, right: float, bottom: float, color: Color) -> None:
        """Draw a filled rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], color)

    def polygon(self, corners: Sequence[Point], color: Color) -> None:
        """Draw a filled polygon."""
        points = [self.place(*corner) for corner in corners]
        self.canvas.draw.polygon([_pixel(point) for point in points], fill=color)
        self._note(points, 0.0)

    def line(self, corners: Sequence[Point], width: float, color: Color) -> None:
        """Draw a line; a wide one has round ends."""
        points = [self.place(*corner) for corner in corners]
        thick = max(1, round(width * SCALE))
        self.canvas.draw.line([_pixel(point) for point in points], fill=color, width=thick, joint="curve")
        if thick > ROUNDED:
            for end in (points[0], points[-1]):
                self._fill_ellipse(end, width / 2, width / 2, color)
        self._note(points, width / 2)

    def _fill_ellipse(self, at: Point, across: float, down: float, color: Color) -> None:
        x, y = _pixel(at)
        half, high = across * SCALE, down * SCALE
        self.canvas.draw.ellipse((x - half, y - high, x + half, y + high), fill=color)

    def _ellipse(self, at: Point, across: float, down: float, color: Color) -> None:
        self._fill_ellipse(at, across, down, color)
        if self.name:
            self.canvas.widen(self.name, (at[0] - across, at[1] - down, at[0] + across, at[1] + down))

    def _note(self, points: Sequence[Point], more: float) -> None:
        if self.name:
            xs, ys = [x for x, _ in points], [y for _, y in points]
            self.canvas.widen(self.name, (min(xs) - more, min(ys) - more, max(xs) + more, max(ys) + more))


def shade(color: Color, factor: float) -> Color:
    """Return `color` darker (factor below 1) or lighter."""
    red, green, blue = (max(0, min(255, round(part * factor))) for part in color)
    return red, green, blue


def mix(first: Color, second: Color, share: float) -> Color:
    """Return `first` with `share` (0 to 1) of `second` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


_CIRCLE = [(cos(radians(angle)), sin(radians(angle))) for angle in range(0, 360, 24)]


def _pixel(point: Point) -> Point:
    return (point[0] + MARGIN) * SCALE, (point[1] + MARGIN) * SCALE
