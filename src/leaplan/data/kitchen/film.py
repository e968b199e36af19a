"""Frames to an MP4 file: H.264, 4:2:0, one key frame every two seconds."""

from collections.abc import Iterable
from pathlib import Path

import av

from leaplan.data.kitchen.layout import HEIGHT, WIDTH
from leaplan.data.kitchen.render import Frame
from leaplan.data.kitchen.simulate import FRAME_RATE


def write_film(frames: Iterable[Frame], path: Path) -> None:
    """Write `frames`, uint8 (HEIGHT, WIDTH, 3) in RGB, to `path` at FRAME_RATE frames per second.

    Raises:
        OSError: The file cannot be written.
    """
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"preset": "superfast", "crf": "27", "g": str(2 * FRAME_RATE), "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
