"""A plan as one picture: where it starts, its steps in words, and where it leads."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from leaplan.errors import ConfigError
from leaplan.on_video.readable import percent
from leaplan.writing import write_whole

if TYPE_CHECKING:
    from leaplan.on_video.planned import Planned

HEIGHT, WIDEST = 420, 760  # of a frame, pixels
MARGIN, GAP, CAPTION, CORNER = 36, 40, 46, 14
NARROWEST, BROADEST = 250, 460  # of the column of steps
TEXT, SMALL, LINE = 25, 20, 31  # sizes of letters, and from one line to the next
DISC, BETWEEN = 19, 18  # radius of a number's disc; pixels from one step to the next
MOST_LINES = 4  # of a step
PAPER, INK, GREY, PALE, ACCENT = "#ffffff", "#1d2733", "#68737f", "#c9d3dc", "#14507a"
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Step(NamedTuple):
    """A step in the column: its lines, and how high it is, pixels."""

    lines: list[str]
    height: int


def refuse_ending(path: Path) -> None:
    """Check that a file's name says which kind of picture it is.

    Raises:
        ConfigError: Its ending is that of no picture.
    """
    if path.suffix.lower() not in ENDINGS:
        hint = f"End it in {' or '.join(ENDINGS)}"
        raise ConfigError(f"{path} is no picture: its name ends in {path.suffix!r}", hint)


def write_picture(path: Path, picture: Image.Image) -> None:
    """Write a picture in the format that its name tells. Raises as `refuse_ending`."""
    refuse_ending(path)
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(path.suffix.lower(), "PNG")
    write_whole(path, lambda partial: picture.save(partial, format=kind))


def draw_strip(start: NDArray[np.uint8], goal: NDArray[np.uint8], planned: "Planned") -> Image.Image:
    """Return the picture: frames (H, W, 3) of start and goal, the steps between them."""
    frames = [_framed(picture) for picture in (start, goal)]
    font, small = (ImageFont.load_default(size) for size in (TEXT, SMALL))
    steps = [_step(name, font) for name in planned.named(planned.steps)]
    high = sum(step.height for step in steps) + BETWEEN * (len(steps) - 1)
    column = round(min(BROADEST, max(NARROWEST, 3 * DISC + max(font.getlength(x) for s in steps for x in s.lines))))
    height = max(HEIGHT, high)
    width = 2 * MARGIN + frames[0].width + column + frames[1].width + 4 * GAP
    strip = Image.new("RGB", (width, height + CAPTION + 2 * MARGIN), PAPER)
    draw = ImageDraw.Draw(strip)
    left, middle = MARGIN, MARGIN + frames[0].width + 2 * GAP
    right = middle + column + 2 * GAP
    centre = MARGIN + height // 2
    for x, frame, word, name in zip(
        (left, right), frames, ("start", "goal"), planned.looked.names, strict=True
    ):  # captions stand below
        top = centre - frame.height // 2
        strip.paste(frame, (x, top), _rounded_mask(frame.size))
        _caption(draw, x, top + frame.height + 14, frame.width, f"{word}  {name}", small)
    _arrow(draw, left + frames[0].width + GAP // 2, centre)
    _arrow(draw, middle + column + GAP // 2, centre)
    _column(draw, middle, centre - high // 2, steps, font)
    if planned.probability is not None:
        told = f"probability {percent(planned.probability)}"
        below = max(centre + HEIGHT // 2, centre + high // 2) + 14
        _caption(draw, middle, below, column, told, small)
    return strip


def _framed(picture: NDArray[np.uint8]) -> Image.Image:
    """Return a picture at the strip's height; one that would be too wide is less high."""
    image = Image.fromarray(picture)
    scale = min(HEIGHT / image.height, WIDEST / image.width)
    size = max(1, round(scale * image.width)), max(1, round(scale * image.height))
    return image.resize(size, Image.Resampling.LANCZOS if scale < 2 else Image.Resampling.BICUBIC)


def _rounded_mask(size: tuple[int, int]) -> Image.Image:
    """Return what lets a picture through but for its corners, which are smooth."""
    fine = Image.new("L", (4 * size[0], 4 * size[1]), 0)
    ImageDraw.Draw(fine).rounded_rectangle((0, 0, 4 * size[0] - 1, 4 * size[1] - 1), 4 * CORNER, fill=255)
    return fine.resize(size, Image.Resampling.LANCZOS)


def _step(name: str, font: Font) -> Step:
    lines = _wrapped(name, font, BROADEST - 3 * DISC)
    return Step(lines, max(2 * DISC, LINE * len(lines)))


def _wrapped(text: str, font: Font, width: float) -> list[str]:
    """Return `text` in at most `MOST_LINES` lines that are no wider than `width`; what is too long ends in "…"."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"{lines[MOST_LINES - 1]}…"]
    return [_cut(line, font, width) for line in lines]


def _cut(text: str, font: Font, width: float) -> str:
    """Return `text`, or as much of it as is no wider than `width`, and "…"."""
    while len(text) > 1 and font.getlength(text) > width:
        text = f"{text.removesuffix('…')[:-1]}…"
    return text


def _column(draw: ImageDraw.ImageDraw, left: int, top: int, steps: list[Step], font: Font) -> None:
    """Draw numbered steps, joined by a line."""
    x, heights = left + DISC, [step.height for step in steps]
    tops = [top + sum(heights[:n]) + n * BETWEEN for n in range(len(steps))]
    middles = [y + step.height // 2 for y, step in zip(tops, steps, strict=True)]
    draw.line([(x, middles[0]), (x, middles[-1])], fill=PALE, width=4)
    number = ImageFont.load_default(SMALL)
    for place, (step, y) in enumerate(zip(steps, middles, strict=True), start=1):
        _disc(draw, x, y)
        draw.text((x, y), str(place), font=number, fill=PAPER, anchor="mm")
        first = y - LINE * (len(step.lines) - 1) / 2
        for row, line in enumerate(step.lines):
            draw.text((left + 3 * DISC, first + LINE * row), line, font=font, fill=INK, anchor="lm")


def _disc(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    """Draw a disc with a smooth edge."""
    size = 2 * DISC + 1
    fine = Image.new("L", (4 * size, 4 * size), 0)
    ImageDraw.Draw(fine).ellipse((0, 0, 4 * size - 1, 4 * size - 1), fill=255)
    draw.bitmap((x - DISC, y - DISC), fine.resize((size, size), Image.Resampling.LANCZOS), fill=ACCENT)


def _arrow(draw: ImageDraw.ImageDraw, left: int, y: int) -> None:
    """Draw an arrow to the right, `GAP` long."""
    tip = left + GAP
    draw.line([(left, y), (tip - 10, y)], fill=GREY, width=4)
    draw.polygon([(tip, y), (tip - 14, y - 9), (tip - 14, y + 9)], fill=GREY)


def _caption(draw: ImageDraw.ImageDraw, left: int, top: int, width: int, text: str, font: Font) -> None:
    draw.text((left + width // 2, top), _cut(text, font, width), font=font, fill=GREY, anchor="ma")
