"""What a planner sees of a video or of two images: rows of features, made as those were that it was trained on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Protocol, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from leaplan.data.sources import Features
from leaplan.errors import DataError
from leaplan.on_video.readable import clock
from leaplan.on_video.same_encoder import Eyes
from leaplan.video.extraction.windows import looked_at, prepared, rows_of
from leaplan.video.extraction.worker import encode
from leaplan.video.reader import VideoReader, open_video

RUN_FRAMES = 16  # decoded in one call
ENCODING = Lock()
TOLERANCE = 0.05  # seconds by which a goal may be beyond the end: people tell times in tenths

End = Literal["start", "goal"]


Picture = Path | Image.Image | NDArray[np.uint8]


class Rows(Protocol):
    """Rows of features that are made when they are asked for."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return those at `rows` (n,), float32 (n, D)."""


class VideoRows:
    """The rows of a video: of each that is asked for, its own frames are decoded, and no others.

    A row is what `leaplan extract-features` writes of that second.

    Args:
        video: An open reader.
        eyes: The encoder.
    """

    def __init__(self, video: VideoReader, eyes: Eyes) -> None:
        self.video, self.eyes, self.duration = video, eyes, video.duration

    def __len__(self) -> int:
        """Return one for each second that has begun."""
        return rows_of(self.duration)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return rows float32 (n, D) of the seconds `rows` (n,)."""
        once, places = np.unique(rows, return_inverse=True)
        encoder = self.eyes.encoder
        times = looked_at(len(self), encoder.frames, encoder.rate, self.duration)[once]  # (m, T)
        wanted, looks = np.unique(times, return_inverse=True)
        frames = torch.cat(
            [self._frames(part) for part in np.split(wanted, range(RUN_FRAMES, len(wanted), RUN_FRAMES))]
        )
        clips = frames[torch.from_numpy(looks.reshape(times.shape))]  # (m, T, 3, S, S)
        return _rows(clips, self.eyes)[places]

    def _frames(self, times: NDArray[np.float64]) -> Tensor:
        """Return the frames at `times` as the encoder takes them (n, 3, S, S)."""
        decoded = torch.from_numpy(self.video.frames_at(times.tolist()))
        return prepared(decoded, self.eyes.encoder.short_side, self.eyes.encoder.size)


class ImageRows:
    """A second in which nothing moves: an image instead of each of its frames.

    Args:
        image: uint8 (H, W, 3), RGB.
        eyes: The encoder.
    """

    def __init__(self, image: NDArray[np.uint8], eyes: Eyes) -> None:
        self.image, self.eyes = image, eyes

    def __len__(self) -> int:
        """Return 1: all seconds are the same."""
        return 1

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the same row as often as is asked for, float32 (n, D)."""
        encoder = self.eyes.encoder
        frame = prepared(torch.from_numpy(self.image)[None], encoder.short_side, encoder.size)  # (1, 3, S, S)
        return _rows(frame.expand(encoder.frames, -1, -1, -1)[None], self.eyes).repeat(len(rows), axis=0)


def _rows(clips: Tensor, eyes: Eyes) -> NDArray[np.float32]:
    """Return rows (n, D) of `clips` (n, T, 3, S, S): one call at a time has all cores, while others decode."""
    with ENCODING:
        return encode(eyes.encoder, clips, eyes.dtype).astype(np.float32)


# --- start and goal


class Moments:
    """Start and goal as two moments of a video. Nothing between them is decoded that `source` does not look at.

    Args:
        video: A file, or a folder or tar of pictures.
        start, goal: Seconds.
        frame_rate: Of pictures.
        timeout: Seconds that a run of frames may take.
    """

    def __init__(
        self, video: Path, start: float, goal: float, frame_rate: float | None = None, timeout: float = 60.0
    ) -> None:
        self.video, self.start, self.goal = video, start, goal
        self.frame_rate, self.timeout = frame_rate, timeout

    @property
    def names(self) -> tuple[str, str]:
        """What people call them."""
        return clock(self.start), clock(self.goal)

    def as_json(self) -> dict[str, Any]:
        """Return what is looked at."""
        return {"video": str(self.video), "start": {"seconds": self.start}, "goal": {"seconds": self.goal}}

    def see(self, eyes: Eyes, source: Features) -> tuple[Tensor, Tensor]:
        """Return start and goal (1, S, D), pooled as `source` pools what training sees.

        Raises:
            DataError: The goal is beyond the video, or it cannot be read.
        """

        def seen(end: End) -> Tensor:
            with self._opened(eyes.reader) as video:
                return _pooled(VideoRows(video, eyes), self.start if end == "start" else self.goal, source, end)

        with ThreadPoolExecutor(2) as both:  # neither waits until the other is decoded
            start, goal = both.map(seen, get_args(End))
        return start, goal

    def pictures(self, eyes: Eyes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the frames (H, W, 3) at start and goal.

        Raises:
            DataError: A time lies outside the video.
        """
        with self._opened(eyes.reader) as video:
            end = video.duration
            start, goal = (video.frames_at([min(time, end)])[0] for time in (self.start, self.goal))
        return start, goal

    @contextmanager
    def _opened(self, reader: str) -> Iterator[VideoReader]:
        with open_video(self.video, reader, frame_rate=self.frame_rate, timeout=self.timeout) as video:
            if self.goal > video.duration + TOLERANCE:
                what = f"the goal at {clock(self.goal)} is beyond {self.video}, which ends at {clock(video.duration)}"
                raise DataError(what, "Give a time within the video")
            yield video


class Images:
    """Start and goal as two images.

    Args:
        start, goal: Files, or pictures in memory: of Pillow, or uint8 (H, W, 3), RGB.
    """

    def __init__(self, start: Picture, goal: Picture) -> None:
        self.start, self.goal = start, goal

    @property
    def names(self) -> tuple[str, str]:
        """What people call them."""
        start, goal = (each.name if isinstance(each, Path) else "picture" for each in (self.start, self.goal))
        return start, goal

    def as_json(self) -> dict[str, Any]:
        """Return what is looked at; a picture in memory has no name."""
        told = {"start": self.start, "goal": self.goal}
        return {"video": None, **{k: {"image": str(v) if isinstance(v, Path) else None} for k, v in told.items()}}

    def see(self, eyes: Eyes, source: Features) -> tuple[Tensor, Tensor]:
        """Return start and goal (1, S, D); each image stands for all frames of its seconds.

        Raises:
            DataError: A file is no image.
        """
        start, goal = (ImageRows(picture, eyes) for picture in self.pictures(eyes))
        return _pooled(start, 0.0, source, "start"), _pooled(goal, 0.0, source, "goal")

    def pictures(self, eyes: Eyes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return both (H, W, 3)."""
        return read_image(self.start), read_image(self.goal)


class Observed:
    """Start and goal as features that somebody has observed already.

    Args:
        start, goal: (S, D), or (D,) where the run observes one vector of each; as `leaplan.data` gives them.
    """

    names = ("the start", "the goal")
    pictures = None

    def __init__(self, start: Tensor, goal: Tensor) -> None:
        self.start, self.goal = start, goal

    def as_json(self) -> dict[str, Any]:
        """Return what is looked at."""
        return {
            "video": None,
            "start": {"features": list(self.start.shape)},
            "goal": {"features": list(self.goal.shape)},
        }

    def see(self) -> tuple[Tensor, Tensor]:
        """Return both (1, S, D)."""
        start, goal = (each.float().reshape(1, -1, each.shape[-1]) for each in (self.start, self.goal))
        return start, goal


def _pooled(rows: Rows, time: float, source: Features, end: End) -> Tensor:
    """Return what `source` sees at `time` (1, S, D); of `rows` only those that it looks at are made."""
    seconds = source.start_seconds if end == "start" else source.goal_seconds
    return torch.from_numpy(source.around(cast(Any, rows), time, seconds))[None]


def read_image(path: Picture) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3), RGB, upright.

    Args:
        path: A file, or a picture in memory: of Pillow, or uint8 (H, W, 3).

    Raises:
        DataError: It cannot be read as one.
    """
    if isinstance(path, Image.Image):
        return np.array(path.convert("RGB"))
    if isinstance(path, np.ndarray):
        if path.dtype != np.uint8 or path.ndim != 3 or path.shape[2] != 3:
            what = f"an array of {path.dtype} {path.shape} is no picture"
            raise DataError(what, "Give uint8 (height, width, 3), RGB; or features as a tensor, (S, D)")
        return path
    try:
        with Image.open(path) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or "it is none that Pillow knows"
        raise DataError(f"{path} cannot be read as an image: {reason}", "Give a .jpg or .png file") from error
