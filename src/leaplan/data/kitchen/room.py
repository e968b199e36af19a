"""The room: table, wall, stove, sink and board, which never move."""

from random import Random

from leaplan.data.kitchen.canvas import Canvas, Pen, shade
from leaplan.data.kitchen.layout import Color, Layout


def draw_room(canvas: Canvas, layout: Layout) -> None:
    """Draw what never moves: table, wall, stove, sink, board."""
    looks = layout.looks
    room = canvas.pen((0.0, 0.0))
    room.box(-12, -12, 172, 132, looks.table)
    grain = Random(looks.grain)
    for _ in range(46):
        x, y = grain.uniform(-12, 172), grain.uniform(8, 132)
        room.line(
            [(x, y), (x + grain.uniform(10, 40), y + grain.uniform(-1, 1))],
            0.6,
            shade(looks.table, grain.uniform(0.88, 1.1)),
        )
    room.box(-12, -12, 172, 6, looks.wall)
    for x in range(-12, 172, 14):
        room.line([(x, -12), (x, 6)], 0.6, shade(looks.wall, 0.85))
    room.line([(-12, 6), (172, 6)], 1.4, shade(looks.wall, 0.6))
    _draw_stove(canvas.pen(layout.places["stove"]))
    _draw_sink(canvas.pen(layout.places["tap"], "tap"), canvas.pen(layout.places["handle"]))
    board = canvas.pen(layout.places["board"], "board")
    board.named("").box(-23, -14, 26, 18, shade(looks.table, 0.6))
    board.box(-24, -16, 24, 16, looks.board)
    board.line([(-20, 12), (20, 12)], 0.8, shade(looks.board, 0.8))
    board.disc(20, -12, 1.8, shade(looks.board, 0.6))


def _draw_stove(pen: Pen) -> None:
    pen.box(-22, -22, 26, 32, (26, 27, 31))
    pen.box(-20, -20, 24, 20, (38, 39, 44))
    pen.disc(0, 0, 19.5, (66, 66, 72))
    pen.disc(0, 0, 17.5, (46, 46, 52))


def _draw_sink(pen: Pen, handle: Pen) -> None:
    steel: Color = (168, 174, 180)
    pen.box(-20, -12, 20, 20, shade(steel, 1.15))
    pen.box(-17, -9, 17, 17, shade(steel, 0.8))
    pen.disc(0, 8, 2.2, (70, 74, 80))
    pen.line([(0, -17), (0, -4)], 4.0, shade(steel, 1.35))
    handle.line([(-4, 0), (3, -2)], 3.0, shade(steel, 1.35))
