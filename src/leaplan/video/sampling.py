"""Which frames of a segment, or of the time before one, are looked at: frame numbers first, then times.

Frame number k covers [k / F, (k + 1) / F) seconds on a grid of F frames per second. A number becomes a time in
the middle of its frame, so that readers of files, which go by presentation time, and of frame folders, which go
by EPIC-KITCHENS' rule int(t F), both show frame k.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
EARLIER = 2e-6  # seconds; readers take a frame that begins up to a microsecond after the time asked for


def sparse(frames: int, count: int, generator: torch.Generator | None = None, view: int = 0, views: int = 1) -> Numbers:
    """Return `count` offsets (count,) spread over `frames` frames (UniFormerV2, official sparse sampling).

    With seg = max(0, (frames - 1) / count), training draws offset i from round(seg i) to round(seg (i + 1)),
    both included; view v of V takes round(seg i) + int(seg / (V + 1) (v + 1)). Halves round to even.

    Args:
        frames: Of the segment, 1 or more.
        count: T.
        generator: Of training's random numbers; None gives the fixed view.
        view, views: v and V of evaluation; one view looks at the middle of each of the T parts.
    """
    segment = max(0.0, (frames - 1) / count)
    edges = np.round(segment * np.arange(count + 1)).astype(np.int64)  # (T + 1,)
    if generator is None:
        offsets = edges[:-1] + int(segment / (views + 1) * (view + 1))
    else:
        offsets = edges[:-1] + _integers(edges[1:] - edges[:-1] + 1, generator)
    return np.clip(offsets, 0, frames - 1)


def dense(
    frames: int, count: int, stride: int, generator: torch.Generator | None = None, view: int = 0, views: int = 1
) -> Numbers:
    """Return `count` offsets (count,), `stride` apart; where `frames` are too few, the last one is repeated.

    Training starts anywhere that fits. One view of evaluation is centred; V views are spread from the first
    frame to the last.
    """
    room = max(0, frames - ((count - 1) * stride + 1))
    if generator is not None:
        start = int(_integers(np.array([room + 1]), generator)[0])
    else:
        start = room // 2 if views == 1 else room * view // (views - 1)
    return np.minimum(start + stride * np.arange(count, dtype=np.int64), frames - 1)


def window_numbers(
    last: int,
    count: int,
    window_frames: int,
    generator: torch.Generator | None = None,
    view: int = 0,
    views: int = 1,
    first: int = 0,
) -> Numbers:
    """Return `count` frame numbers (count,) of the window of `window_frames` frames that ends with frame `last`.

    They are s = window_frames // count apart and end with `last`: last - s (count - 1 - i). Training moves each
    of them back by 0 to s - 1 frames, view v of V moves all back by s v // V; none ever moves forward.

    Args:
        last: The latest frame that may be seen.
        count: T.
        window_frames: 256 in LEAP.
        generator, view, views: As in `sparse`.
        first: Earlier frames are replaced by it; 0 is the beginning of the video.
    """
    stride = max(1, window_frames // count)
    numbers = last - stride * np.arange(count - 1, -1, -1, dtype=np.int64)
    if generator is None:
        numbers = numbers - stride * view // views
    else:
        numbers = numbers - _integers(np.full(count, stride), generator)
    return np.maximum(numbers, first)


class Windows(NamedTuple):
    """The frames of W windows before a segment, the oldest first."""

    numbers: Numbers  # (W, T)
    mask: NDArray[np.bool_]  # (W,) False: the window lies wholly before the video


def anticipation_windows(
    start: float,
    frame_rate: float,
    count: int,
    gap: float = 1.0,
    context: int = 3,
    window_frames: int = 256,
    align: float = 0.0,
) -> Windows:
    """Return the frames that may be seen before a segment (LEAP: three windows of 256 frames, `gap` before it).

    Window q before the last one spans frames last - 256 (q + 1) + 1 to last - 256 q, where `last` is
    `last_frame_before(start - gap, frame_rate, align)`. Frames before the video are replaced by its first one.

    Args:
        start: Of the segment, seconds.
        frame_rate: F.
        count: T frames of each window, as `window_numbers` of evaluation.
        gap: Seconds before the segment that nothing is seen of.
        context: W.
        window_frames: Frames that a window spans.
        align: Seconds; see `last_frame_before`.
    """
    lasts = last_frame_before(start - gap, frame_rate, align) - window_frames * np.arange(context - 1, -1, -1)  # (W,)
    numbers = np.stack([window_numbers(int(last), count, window_frames) for last in lasts])
    return Windows(numbers, lasts >= 0)


def last_frame_before(latest: float, frame_rate: float, align: float = 0.0) -> int:
    """Return the number of the last frame that begins before `latest` seconds; negative if none does.

    It is EPIC-KITCHENS' int(latest F), computed in float64, except where that frame begins exactly at `latest`,
    to 1e-9 of a frame: nothing shown at `latest` or later may be seen, so it is then the frame before.

    Args:
        latest: Seconds.
        frame_rate: F.
        align: Seconds between the places where windows may end; the result is moved down to the next of them, so
            that neighbouring segments share their windows. 0 leaves it.
    """
    last = math.ceil(latest * frame_rate - 1e-9) - 1
    if not align:
        return last
    grid = align * frame_rate
    return int(math.floor((last + 1) / grid + 1e-9) * grid + 1e-9) - 1


def segment_frames(start: float, stop: float, frame_rate: float) -> tuple[int, int]:
    """Return the numbers of the first and the last frame of a segment: int(start F) and int(stop F) - 1.

    A segment shorter than a frame has the one that it begins in.
    """
    first = int(start * frame_rate)
    return first, max(first, int(stop * frame_rate) - 1)


def frame_times(
    numbers: Sequence[int] | Numbers, frame_rate: float, latest: float | None = None
) -> NDArray[np.float64]:
    """Return when to look for frames `numbers` (n,): in their middles, (k + 0.5) / F seconds.

    Frame k may begin before `latest` and end after it. It is then looked for just before `latest`: what a file
    shows there began earlier, also where its own frames lie off the grid of F, and int(t F) is still k.
    """
    times = (np.asarray(numbers, np.float64) + 0.5) / frame_rate
    return times if latest is None else np.maximum(0.0, np.minimum(times, latest - EARLIER))


def _integers(below: Numbers, generator: torch.Generator) -> Numbers:
    """Return random integers (n,), the i-th of them from 0 to below[i] - 1."""
    drawn = torch.rand(len(below), generator=generator, dtype=torch.float64).numpy()
    return np.minimum((drawn * below).astype(np.int64), below - 1)
