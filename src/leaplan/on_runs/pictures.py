"""Frames of videos as small pictures that a page carries in itself."""

import base64
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from leaplan.errors import DataError
from leaplan.on_runs.dataset import AtHand
from leaplan.video.reader import open_video

WIDTH, HEIGHT = 240, 180  # pixels at most
QUALITY = 70


def pictures_of(samples: Iterable[tuple[str, str]], at_hand: AtHand) -> tuple[dict[str, list[str]], list[str]]:
    """Return sample id to WebP data URIs, one for each moment of the sample, and what could not be read, for people.

    Args:
        samples: (sample id, video id) of those that get pictures; others in the dataset do not.
        at_hand: Tells videos and times.
    """
    of_video: dict[str, list[str]] = defaultdict(list)
    for sample, video in samples:
        if video in at_hand.videos and sample in at_hand.times:
            of_video[video].append(sample)
    found: dict[str, list[str]] = {}
    broken = []
    for video, names in of_video.items():
        times = {name: at_hand.times[name].seen for name in names}
        try:
            found |= _of_video(video, times, at_hand)
        except DataError as error:
            broken.append(error.what.splitlines()[0])
    return found, broken


def _of_video(video: str, times: Mapping[str, tuple[float, ...]], at_hand: AtHand) -> dict[str, list[str]]:
    with open_video(at_hand.videos[video], frame_rate=at_hand.frame_rate.get(video)) as opened:
        return {
            name: [data_uri(frame) for frame in opened.frames_at([min(t, opened.duration) for t in moments])]
            for name, moments in times.items()
        }


def data_uri(frame: NDArray[np.uint8]) -> str:
    """Return a frame (H, W, 3) as a small WebP picture in a data URI."""
    image = Image.fromarray(frame)
    image.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
