"""Clips seen through their decoded frames: which frames, from a video or from the cache, cropped and stacked."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from leaplan.data.clip_cache import CachedClip, Capacity, ClipCache, facts_of_files
from leaplan.data.clips import Key, Sample
from leaplan.data.video_files import OpenVideos
from leaplan.data.views import Clip, Window
from leaplan.errors import DataError
from leaplan.video.reader import BEYOND, VideoError, VideoReader
from leaplan.video.sampling import Numbers, dense, frame_times, segment_frames, sparse, window_numbers
from leaplan.video.transforms import Size, random_crop, resize, short_side, uniform_crops

TRIES = 20  # broken videos in a row, after which training stops
CANDIDATES = 2  # frames cached for each frame that training looks at
LEAVE_OUT = "To do without, delete the file and add  --data.source.missing skip"
MARGIN = 8 / 7  # short side of frames cached for training, of the size of the crops: 256 for 224


@dataclass(frozen=True, slots=True)
class Look:
    """How frames are chosen and cut; the fields are those of `leaplan.data.frames.Frames`."""

    frames: int
    size: Size
    sampling: Literal["sparse", "dense"]
    stride: int
    crops: int
    clips: int
    crop_scale: tuple[float, float]
    augment: str
    flip: bool
    reader: str
    frame_rate: float | None
    timeout: float

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width of what the network sees."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def views_per_frame(self) -> int:
        """Crops of a frame in evaluation."""
        return self.crops if isinstance(self.size, int) else 1


class FrameClips(Dataset[Sample]):
    """What frames show of the clips of a split.

    An item is a dictionary: `index`, the position of the clip shown; `clips` (V, W, 3, T, H, W') uint8 RGB, where V
    is 1 in training and temporal views times crops in evaluation; `window_mask` (W,), False where nothing may be
    seen; `broken`, empty, or (video, reason) of the clip that this one is shown in place of.

    All random choices of a training clip come from (seed, epoch, position): workers, processes and a resumed run
    draw the same. In training a clip that cannot be read is replaced by any other that can, in evaluation it is an
    error. Only a video that does not open, or does not answer in time, is not tried again: one damaged in places
    must not be skipped by one process and used by another.

    Args:
        clips: M clips.
        files: Video to file or folder.
        look: How frames are chosen and cut.
        training: Draw frames and crops at random.
        seed: Of the random choices.
        cache: Folder of the cache of decoded frames, None without.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        files: Mapping[str, Path],
        look: Look,
        training: bool,
        seed: int = 0,
        cache: Path | None = None,
    ) -> None:
        self.listed, self.files, self.look, self.training, self.seed = list(clips), dict(files), look, training, seed
        self.window_frames = max((_length(w) for clip in clips for w in clip.windows if w is not None), default=0)
        self.videos = OpenVideos(look.reader, look.timeout)
        self.cache = None if cache is None else self._open_cache(cache)
        self._broken: dict[str, str] = {}  # videos that cannot be opened, and why, as far as this process knows

    def __len__(self) -> int:
        return len(self.listed)

    def __getitem__(self, key: Key) -> Sample:
        """Return the clip at `key`, a position or (epoch, position).

        Raises:
            VideoError: In evaluation, the video is broken; in training, so are 20 others, or all.
            DataError: In evaluation, the segment ends beyond the video.
            ValueError: A view asks for what may not be seen. This is a mistake in the view, and never skipped.
        """
        epoch, wanted = key if isinstance(key, tuple) else (0, key)
        if not 0 <= wanted < len(self):
            raise IndexError(f"clip {wanted} of {len(self)}")
        reasons: dict[str, str] = {}  # by video, in the order in which they were tried
        for index in self._tried(epoch, wanted):
            video = self.listed[index].video
            try:
                return {**self._sample(epoch, index), "broken": list(reasons.items())[:1]}
            except DataError as error:
                if not self.training:
                    raise _of_clip(self.listed[index], error) from error
                reasons.setdefault(video, error.what)
            if len(reasons) == TRIES:
                break
        raise VideoError(
            f"none of {len(reasons)} videos tried can be decoded; the first: {next(iter(reasons.values()))}",
            f"Get the videos again.\n  {LEAVE_OUT}",
        )

    def _tried(self, epoch: int, wanted: int) -> Iterator[int]:
        """Return the positions of the clip wanted and, in training, of those tried in its place.

        They are drawn, so that no single clip stands for all those of a broken video.
        """
        yield wanted
        if self.training:
            yield from torch.randperm(len(self), generator=_generator(self.seed, epoch, wanted, 1)).tolist()

    def _sample(self, epoch: int, index: int) -> Sample:
        clip, look = self.listed[index], self.look
        mask = torch.tensor([window is not None for window in clip.windows])
        views = 1 if self.training else look.clips * look.views_per_frame
        clips = torch.zeros(views, len(clip.windows), 3, look.frames, *look.pixels, dtype=torch.uint8)
        if mask.any():
            clips[:, mask] = self._see(index, _generator(self.seed, epoch, index) if self.training else None)
        return {"index": index, "clips": clips, "window_mask": mask}

    def _see(self, index: int, generator: torch.Generator | None) -> Tensor:
        """Return the windows of a clip that may be seen, (V, Wv, 3, T, H, W')."""
        shown, numbers = self._shown(index, generator)  # numbers (K, Wv, T) of K temporal views
        used, places = np.unique(_nearest(shown.numbers, numbers), return_inverse=True)
        frames = torch.from_numpy(shown.frames[used])  # (n, H, W, 3), each frame once
        cut = self._cut(frames, generator)  # (C, 3, n, H, W')
        views = cut[:, :, torch.from_numpy(places.reshape(numbers.shape))]  # (C, 3, K, Wv, T, H, W')
        return views.permute(2, 0, 3, 1, 4, 5, 6).flatten(0, 1)

    def _shown(self, index: int, generator: torch.Generator | None) -> tuple[CachedClip, Numbers]:
        """Return frames of a clip, and the numbers of those wanted of them."""
        kept = None if self.cache is None else self.cache.get(index)
        if kept is not None:
            return kept, self._numbers(kept.spans, generator)
        video = self.listed[index].video
        if video in self._broken:
            raise VideoError(self._broken[video])
        try:
            return self._decode(index, generator)
        except VideoError as error:
            self.videos.drop(self.files[video])
            if isinstance(error.__cause__, TimeoutError):
                self._broken[video] = error.what  # nobody waits twice
            raise

    def _decode(self, index: int, generator: torch.Generator | None) -> tuple[CachedClip, Numbers]:
        clip = self.listed[index]
        reader = self._reader(clip)
        rate = clip.frame_rate or reader.frame_rate
        spans = _spans(clip, reader, rate)
        if self.cache is None:
            numbers = self._numbers(spans, generator)
            return _decoded(reader, numbers, spans, rate, clip.latest), numbers
        shown = self._to_keep(_decoded(reader, self._candidates(spans), spans, rate, clip.latest))
        self.cache.put(index, shown)
        return shown, self._numbers(shown.spans, generator)

    def _reader(self, clip: Clip) -> VideoReader:
        try:
            return self.videos.get(self.files[clip.video], clip.frame_rate or self.look.frame_rate, clip.latest)
        except VideoError as error:
            self._broken[clip.video] = error.what
            raise

    def _numbers(self, spans: NDArray[np.int64], generator: torch.Generator | None) -> Numbers:
        """Return the frame numbers wanted (K, Wv, T) of K temporal views."""
        views = 1 if generator is not None else self.look.clips
        return np.stack(
            [[self._of_span(span, self.look.frames, generator, v, views) for span in spans] for v in range(views)]
        )

    def _of_span(
        self, span: NDArray[np.int64], count: int, generator: torch.Generator | None, view: int = 0, views: int = 1
    ) -> Numbers:
        first, last = span.tolist()
        if self.window_frames:
            return window_numbers(last, count, self.window_frames, generator, view, views, first)
        if self.look.sampling == "dense":
            return first + dense(last - first + 1, count, self.look.stride, generator, view, views)
        return first + sparse(last - first + 1, count, generator, view, views)

    def _cut(self, frames: Tensor, generator: torch.Generator | None) -> Tensor:
        look = self.look
        if generator is None:
            return uniform_crops(frames, look.size, look.crops)
        return random_crop(frames, look.size, generator, scale=look.crop_scale, flip=look.flip, augment=look.augment)

    def _candidates(self, spans: NDArray[np.int64]) -> Numbers:
        """Return the frame numbers to keep, of which every later view of the clip takes the nearest."""
        if not self.training:
            return self._numbers(spans, None)
        return np.stack([self._of_span(span, CANDIDATES * self.look.frames, None) for span in spans])

    def _to_keep(self, shown: CachedClip) -> CachedClip:
        """Return frames as the cache keeps them: no larger than is needed."""
        spans = shown.spans
        if self.training and not self.window_frames and self.look.sampling == "dense":
            spans = np.array([[shown.numbers[0], shown.numbers[-1]]])  # starts are drawn from what is kept
        height, width = shown.frames.shape[1:3]
        smaller = self._kept_size(height, width)
        if smaller[0] * smaller[1] >= height * width:
            return shown._replace(spans=spans)
        return CachedClip(shown.numbers, spans, resize(torch.from_numpy(shown.frames), smaller).numpy())

    def _kept_size(self, height: int, width: int) -> tuple[int, int]:
        high, wide = self.look.pixels
        if self.training:
            share = MARGIN * max(high / height, wide / width)
            return round(share * height), round(share * width)
        return short_side(height, width, self.look.size) if isinstance(self.look.size, int) else (high, wide)

    def _open_cache(self, folder: Path) -> ClipCache:
        look = self.look
        windows = len(self.listed[0].windows)
        frames = windows * look.frames * (CANDIDATES if self.training else look.clips)
        share = MARGIN if self.training else 1.0
        pixels = math.ceil(2 * share**2 * look.pixels[0] * look.pixels[1])  # up to twice as wide as high
        used = sorted({self.files[clip.video] for clip in self.listed})
        content = {
            "training": self.training,
            "look": [look.frames, look.size, look.sampling, look.stride, look.clips, look.reader, look.frame_rate],
            "window_frames": self.window_frames,
            "files": facts_of_files(used),
            "clips": [[c.sample_id, c.video, c.frame_rate, c.latest, *map(_facts, c.windows)] for c in self.listed],
        }
        return ClipCache(folder, content, Capacity(len(self.listed), windows, frames, pixels))


def _facts(window: Window | None) -> list[float | None] | None:
    return None if window is None else [window.start, window.stop, window.first, window.last]


def _length(window: Window) -> int:
    """Return how many frames a window spans, 0 where the view did not fix them."""
    return 0 if window.first is None or window.last is None else window.last - window.first + 1


def _of_clip(clip: Clip, error: DataError) -> DataError:
    """Return the error as one of a clip that is evaluated, which nothing may stand for."""
    hint = f"{error.hint or 'Get the video again.'}\n  {LEAVE_OUT}" if isinstance(error, VideoError) else error.hint
    return type(error)(f"clip {clip.sample_id}: {error.what}", hint)


def _generator(seed: int, epoch: int, index: int, *purpose: int) -> torch.Generator:
    """Return the random numbers of one clip in one epoch."""
    mixed = np.random.SeedSequence([seed, epoch, index, *purpose]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed[0]) & (2**63 - 1))


def _spans(clip: Clip, reader: VideoReader, rate: float) -> NDArray[np.int64]:
    """Return the first and last frame number of each window that may be seen, (Wv, 2)."""
    spans = []
    for window in clip.windows:
        if window is None:
            continue
        if window.stop > reader.duration + BEYOND:
            raise DataError(
                f"the segment lasts until {window.stop:.3f} s, but video {clip.video} ends at {reader.duration:.3f} s",
                "Check that annotations and videos belong together",
            )
        if window.first is not None and window.last is not None:
            span = (window.first, window.last)
        else:
            span = segment_frames(window.start, min(window.stop, reader.duration), rate)
        if clip.latest is not None and span[1] / rate >= clip.latest:
            raise ValueError(
                f"clip {clip.sample_id} would see frame {span[1]}, but nothing from {clip.latest} s on may be"
            )
        spans.append(span)
    return np.array(spans, np.int64)


def _decoded(
    reader: VideoReader, numbers: Numbers, spans: NDArray[np.int64], rate: float, latest: float | None
) -> CachedClip:
    """Return frames `numbers`, each once and in order."""
    once = np.unique(numbers)
    return CachedClip(once, spans, reader.frames_at(frame_times(once, rate, latest).tolist()))


def _nearest(available: Numbers, wanted: Numbers) -> NDArray[np.int64]:
    """Return for each of `wanted` the position of the nearest of `available` (ascending); ties take the earlier."""
    after = np.clip(np.searchsorted(available, wanted), 0, len(available) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(wanted - available[before] <= available[after] - wanted, before, after)
