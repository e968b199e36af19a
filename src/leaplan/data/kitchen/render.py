"""Frames of an episode: the settled scene, then steam and streams, what is carried, hands, light, noise."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import sin
from random import Random

import numpy as np
from numpy.typing import NDArray

from leaplan.data.kitchen.canvas import Box, Canvas, Pen
from leaplan.data.kitchen.effects import draw_effects
from leaplan.data.kitchen.hands import draw_hand
from leaplan.data.kitchen.layout import HEIGHT, WIDTH, Layout, Point
from leaplan.data.kitchen.objects import PACKAGES, VESSELS
from leaplan.data.kitchen.room import draw_room
from leaplan.data.kitchen.simulate import FRAME_RATE, Episode
from leaplan.data.kitchen.sprites import draw_thing
from leaplan.data.kitchen.staging import Moment, Pose, Stage, grip
from leaplan.data.kitchen.vessels import draw_vessel

Frame = NDArray[np.uint8]  # (HEIGHT, WIDTH, 3), RGB
NOISE = 4.0  # standard deviation, of 255


@dataclass(frozen=True, slots=True)
class Shot:
    """A frame and what is on it: `drawn` are boxes before the camera moved by `camera` pixels."""

    time: float
    frame: Frame
    drawn: dict[str, Box]
    camera: Point

    @property
    def boxes(self) -> dict[str, Box]:
        """Boxes (left, top, right, bottom) in pixels of the frame, cut at its edge, sorted by name.

        What is out of sight has none. Hands are "left hand" and "right hand".
        """
        seen = {name: _in_frame(box, self.camera) for name, box in sorted(self.drawn.items())}
        return {name: box for name, box in seen.items() if box[2] - box[0] > 1 and box[3] - box[1] > 1}


class Renderer:
    """Draws any moment of a stage.

    Args:
        stage: The episode in its layout.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.layout: Layout = stage.layout
        self._settled_state = -1
        self._settled = Canvas()

    def shots(self) -> Iterator[Shot]:
        """Yield all frames in order, each with the boxes of what is drawn on it."""
        episode: Episode = self.stage.episode
        light = Light(self.layout, episode.role.random("light"))
        for index in range(episode.frames):
            moment = self.stage.at(index / FRAME_RATE)
            canvas = self.draw(moment, index)
            picture = light.on(np.asarray(canvas.frame(moment.camera)), index)
            yield Shot(index / FRAME_RATE, picture, canvas.boxes, moment.camera)

    def draw(self, moment: Moment, index: int) -> Canvas:
        """Return the whole scene of `moment`, frame number `index`, before light and noise."""
        canvas = self._scene(moment).copy()
        draw_effects(canvas, moment, index)
        for hand in sorted(moment.hands, key=lambda name: moment.hands[name].busy):
            pose = moment.hands[hand]
            if pose.holds:
                self._draw_held(canvas, pose, hand, moment)
            draw_hand(canvas, pose, hand, self.layout)
        return canvas

    def _scene(self, moment: Moment) -> Canvas:
        if moment.state != self._settled_state:
            self._settled = self._background.copy()
            self._settle(self._settled, moment)
            self._settled_state = moment.state
        return self._settled

    @cached_property
    def _background(self) -> Canvas:
        canvas = Canvas()
        draw_room(canvas, self.layout)
        return canvas

    def _settle(self, canvas: Canvas, moment: Moment) -> None:
        """Draw everything that stands still and is not in or on something else, the farthest first."""
        world, places = moment.world, moment.places
        if world.has("active", "stove"):
            canvas.pen(places["stove"]).disc(0, 0, 19.5, (236, 84, 30))
        knob = (210, 40, 30) if world.has("active", "stove") else (30, 30, 34)
        canvas.pen(places["knob"], "stove").disc(0, 0, 3.6, knob)
        episode = self.stage.episode
        standing = [name for name in episode.objects if world.place(name) in ("table", "board", "stove")]
        for name in sorted([*standing, *episode.distractors], key=lambda name: (places[name][1], name)):
            self._draw_object(canvas.pen(places[name], name), name, moment)

    def _draw_object(self, pen: Pen, name: str, moment: Moment) -> None:
        if name in VESSELS:
            draw_vessel(pen, name, self.layout.looks, moment.world)
        else:
            draw_thing(pen, name, moment.world)

    def _draw_held(self, canvas: Canvas, pose: Pose, hand: str, moment: Moment) -> None:
        name = str(pose.holds)
        dx, dy = grip(name)
        turn = pose.tilt * (-115.0 if hand == "right" else 115.0) if name in PACKAGES else 0.0
        if name == "kettle":
            turn = pose.tilt * -35.0
        self._draw_object(canvas.pen((pose.at[0] - dx, pose.at[1] - dy), name, turn), name, moment)


class Light:
    """Lamp and sensor: brightness that drifts, a colour cast, a fall-off, noise.

    Args:
        layout: Has the lamp of the video.
        random: Of the drift and the noise.
    """

    def __init__(self, layout: Layout, random: Random) -> None:
        looks = layout.looks
        across, down = np.linspace(-1, 1, WIDTH), np.linspace(-1, 1, HEIGHT)
        field = looks.light * (1 + looks.slope[0] * across[None, :] + looks.slope[1] * down[:, None])
        cast = np.array([1 + looks.warmth, 1.0, 1 - looks.warmth])
        self._field = (field[:, :, None] * cast).astype(np.float32)
        self._noise = _noise(looks.grain)
        self._phase, self._depth = random.uniform(0, 6), random.uniform(0.02, 0.09)
        self._random = random

    def on(self, picture: Frame, index: int) -> Frame:
        """Return `picture` under the light of frame `index`."""
        drift = 1 + self._depth * sin(0.05 * index + self._phase) + self._random.uniform(-0.01, 0.01)
        lit = picture * (self._field * np.float32(drift))
        y, x = self._random.randrange(40), self._random.randrange(40)
        lit += self._noise[y : y + HEIGHT, x : x + WIDTH]
        frame: Frame = np.clip(lit, 0, 255, out=lit).astype(np.uint8)
        return frame


def _noise(seed: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).standard_normal((HEIGHT + 40, WIDTH + 40, 1), dtype=np.float32)
    return noise * np.float32(NOISE)


def _in_frame(box: Box, camera: Point) -> Box:
    left, top, right, bottom = box
    x, y = camera
    return (
        round(max(0.0, left - x), 1),
        round(max(0.0, top - y), 1),
        round(min(float(WIDTH), right - x), 1),
        round(min(float(HEIGHT), bottom - y), 1),
    )
