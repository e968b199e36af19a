"""Rows of features in time: how many a video has, what each looks at, and the clips of them, streamed.

    row s looks at T frames, 1 / rate seconds apart, centred on s + 0.5 seconds

Memory does not grow with the video: frames come in short runs, are cut to what the network takes at once, and are
dropped when no later row looks at them.
"""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leaplan.video.reader import VideoReader
from leaplan.video.transforms import resize, short_side

if TYPE_CHECKING:
    from leaplan.video.seconds import SecondsEncoder

SHORTEST = 0.1  # seconds that the last row must have of the video
RULE = "row s is centred on s + 0.5 s; border frames are repeated; a last row under 0.1 s is left out"
WHOLE_BYTES = 64 * 2**20  # of a batch of clips whose frames are left as large as they are
RUN_FRAMES, RUN_BYTES, RUN_SECONDS = 64, 48 * 2**20, 8.0  # of frames decoded in one call
SURELY = 0.05  # share of a frame by which two times must be apart in frame numbers to show two frames


def rows_of(duration: float) -> int:
    """Return how many rows a video of `duration` seconds has: one for each second that has begun.

    A last row with less than `SHORTEST` seconds of video is left out; a video always has one row.
    """
    whole = math.floor(duration)
    return max(1, whole + (duration - whole >= SHORTEST - 1e-6))


def looked_at(rows: int, frames: int, rate: float, duration: float) -> NDArray[np.float64]:
    """Return when each row looks, (rows, frames) seconds: s + 0.5 + (j - (frames - 1) / 2) / rate.

    Times before the video become 0 and times after it `duration`, where its first and its last frame stand. Equal
    times of neighbouring rows are equal numbers: they are computed as fractions.
    """
    step = Fraction(rate).limit_denominator(1000)  # p / q frames per second; the unit is 1 / (2 p) s
    second, apart = 2 * step.numerator, step.denominator
    centres = second * np.arange(rows, dtype=np.int64)[:, None] + step.numerator  # (rows, 1)
    offsets = apart * (2 * np.arange(frames, dtype=np.int64) - (frames - 1))  # (frames,)
    return np.clip((centres + offsets) / second, 0.0, duration)


def clips_of(video: VideoReader, encoder: "SecondsEncoder", batch: int) -> Iterator[Tensor]:
    """Yield the clips of all rows in order, uint8 (n, T, 3, S, S), n = `batch` but for the last.

    Where frames are left as they are, fewer of them make a batch, so that memory does not grow with their size.

    Args:
        video: An open reader, read once from beginning to end.
        encoder: Says T, the rate, the short side to which frames are resized, and the side S of the central square.
        batch: Rows.

    Raises:
        DataError: The video cannot be read to its end.
    """
    duration = video.duration
    times = looked_at(rows_of(duration), encoder.frames, encoder.rate, duration)
    wanted, places = np.unique(times, return_inverse=True)
    looks: Any = places.reshape(times.shape).tolist()  # (rows, T), into `wanted`
    kept: dict[int, Tensor] = {}  # by place in `wanted`: (3, S, S)
    arriving = _frames(video, wanted, encoder)
    clips: list[Tensor] = []
    for row in looks:
        while row[-1] not in kept:
            place, frame = next(arriving)
            kept[place] = frame
        for place in [place for place in kept if place < row[0]]:
            del kept[place]
        clips.append(torch.stack([kept[place] for place in row]))  # (T, 3, S, S)
        if len(clips) == batch or (encoder.size == 0 and (len(clips) + 1) * clips[0].nbytes > WHOLE_BYTES):
            yield torch.stack(clips)
            clips = []
    if clips:
        yield torch.stack(clips)


def _frames(video: VideoReader, times: NDArray[np.float64], encoder: "SecondsEncoder") -> Iterator[tuple[int, Tensor]]:
    """Yield (place, frame (3, S, S)) at all of the ascending `times`."""
    begin, most = 0, 1  # the first run tells how large a frame is
    last = round(video.duration * video.frame_rate) - 1
    numbers = np.minimum(times * video.frame_rate, last)
    while begin < len(times):
        end = _run_end(times, numbers, begin, most)
        frames = video.frames_at(times[begin:end].tolist())  # (n, H, W, 3)
        most = int(min(RUN_FRAMES, max(1, RUN_BYTES // frames[0].nbytes)))
        for place, frame in enumerate(prepared(torch.from_numpy(frames), encoder.short_side, encoder.size), begin):
            yield place, frame.clone()  # else it would keep its whole run in memory
        begin = end


def _run_end(times: NDArray[np.float64], numbers: NDArray[np.float64], begin: int, most: int) -> int:
    """Return where a run from `begin` ends: after about `most` times, between two frames.

    A reader that is asked again for the frame it gave last must go back to a key frame; a run that ends where the
    next time shows another frame spares that. A guess at frame numbers, from the average rate, is enough.
    """
    end = begin + 1
    while end < len(times) and end - begin < 2 * most:
        full = end - begin >= most or times[end] - times[begin] > RUN_SECONDS
        if full and math.floor(numbers[end] - SURELY) > math.floor(numbers[end - 1] + SURELY):
            break
        end += 1
    return end


def prepared(frames: Tensor, side: int, size: int) -> Tensor:
    """Return `frames` (n, H, W, 3) uint8 with their short side `side`, cut to the central square, (n, 3, S, S).

    With `size` 0 they are left as they are, (n, 3, H, W).
    """
    if size == 0:
        return frames.permute(0, 3, 1, 2)
    frames = resize(frames, short_side(frames.shape[1], frames.shape[2], side))
    top, left = (math.ceil((length - size) / 2) for length in frames.shape[1:3])
    return frames[:, top : top + size, left : left + size].permute(0, 3, 1, 2)
