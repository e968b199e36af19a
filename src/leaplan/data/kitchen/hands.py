"""Arms and hands."""

from math import atan2, degrees

from leaplan.data.kitchen.canvas import Canvas, Pen, shade
from leaplan.data.kitchen.layout import Layout, Looks, Point
from leaplan.data.kitchen.staging import Pose

SHOULDERS: dict[str, Point] = {"left": (40.0, 168.0), "right": (124.0, 168.0)}
WRIST = 15.0  # pixels from the grip


def draw_hand(canvas: Canvas, pose: Pose, hand: str, layout: Layout) -> None:
    """Draw the arm from the shoulder of `hand` to the hand that grips at `pose.at`."""
    (x, y), (far_x, far_y) = pose.at, SHOULDERS[hand]
    turn = degrees(atan2(x - far_x, far_y - y))  # 0 is an arm that comes straight from below
    length = ((far_x - x) ** 2 + (far_y - y) ** 2) ** 0.5
    pen = canvas.pen((x, y), f"{hand} hand", turn)
    _draw_arm(pen.named(""), length, layout.looks)
    _draw_fingers(pen, pose.holds is not None or pose.busy, 1.0 if hand == "left" else -1.0, layout.looks)


def _draw_arm(pen: Pen, length: float, looks: Looks) -> None:
    pen.line([(0, WRIST), (0, length)], 9.5, shade(looks.skin, 0.78))
    pen.line([(0, WRIST), (0, length)], 8.5, looks.skin)
    cuff = WRIST + (1 - looks.sleeve_length) * 45
    if cuff < length:
        pen.line([(0, cuff), (0, length)], 13.0, shade(looks.sleeve, 0.8))
        pen.line([(0.5, cuff), (0.5, length)], 11.0, looks.sleeve)


def _draw_fingers(pen: Pen, closed: bool, side: float, looks: Looks) -> None:
    """Four fingers, palm and thumb; `side` is 1 where the thumb points to the right."""
    dark = shade(looks.skin, 0.78)
    tip, spread = (1.5, 0.7) if closed else (-3.0, 1.05)
    for number in range(4):
        base = -4.2 + 2.8 * number
        finger = [(base, 8.0), (base * spread, tip + abs(number - 1.5))]
        pen.line(finger, 3.0, dark)
        pen.line(finger, 2.2, looks.skin)
    pen.oval(0, 10.5, 6.4, 6.2, dark)
    pen.oval(0, 10.5, 5.8, 5.6, looks.skin)
    pen.line([(side * 5, 11), (side * (4.0 if closed else 8.0), 3.5)], 3.0, looks.skin)
