"""Clips from videos: where their files are, and how their frames are looked at."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from leaplan.data.clips import SeenClips
from leaplan.data.frame_clips import FrameClips, Look
from leaplan.data.video_files import index_videos
from leaplan.data.views import Clip
from leaplan.errors import ConfigError, ProblemList
from leaplan.records import Annotations
from leaplan.video.transforms import Size


class Frames:
    """Decoded frames of clips.

    Args:
        folder: Folder of the videos, relative to the dataset's folder: `<id>.mp4` (or .mkv, .webm, .avi, .mov,
            .gif), folders `<id>` of frames or `<id>.tar`, also in folders of persons, as EPIC-KITCHENS has them.
        frames: T frames that a window is seen through.
        size: S, height and width of a frame; or (height, width), to which frames are then resized without crops.
        sampling: Of clips to be recognised: "sparse" spreads T frames over the segment (UniFormerV2), "dense" takes
            them `stride` apart. Windows of anticipation end with their last frame and spread over their length.
        stride: Frames from one to the next with dense sampling.
        crops: Of each frame in evaluation, along its long side (UniFormerV2: 1 or 3).
        clips: Temporal views of each window in evaluation.
        crop_scale: Smallest and largest share of a frame that training crops (UniFormerV2: 0.08 and 1).
        augment: timm's RandAugment in training, such as "rand-m7-n4-mstd0.5-inc1"; "" for none.
        flip: Mirror half of the training clips. Off: mirrored hands are not the hands that programs name.
        reader: "auto", "pyav", "decord" or "torchcodec".
        frame_rate: Of frame folders where the annotations tell none; frames per second.
        missing: What to do about videos without a file: "error", or "skip" them.
        timeout: Seconds after which a decoder counts as hanging.
        cache: Folder that keeps decoded frames for later epochs and runs, relative to the dataset's; "" for none.
            Evaluation then sees the same frames as without. Training keeps 2 T frames of each window at 8/7 of
            the size, and takes the nearest of them to each frame that it would take without a cache; with dense
            sampling they are the middle ones, and starts are drawn among them.

    Raises:
        ConfigError: Settings that cannot be, all of them at once.
    """

    width = 0

    def __init__(
        self,
        folder: str = "videos",
        frames: int = 8,
        size: Size = 224,
        sampling: Literal["sparse", "dense"] = "sparse",
        stride: int = 4,
        crops: int = 1,
        clips: int = 1,
        crop_scale: tuple[float, float] = (0.5, 1.0),
        augment: str = "",
        flip: bool = False,
        reader: str = "auto",
        frame_rate: float | None = None,
        missing: Literal["error", "skip"] = "error",
        timeout: float = 30.0,
        cache: str = "",
    ) -> None:
        size = size if isinstance(size, int) else (size[0], size[1])
        low, high = crop_scale
        self.look = Look(
            frames, size, sampling, stride, crops, clips, (low, high), augment, flip, reader, frame_rate, timeout
        )
        self.folder, self.missing, self.cache = folder, missing, cache
        self._files: dict[str, Path] = {}
        self._refuse_wrong_settings()

    def _refuse_wrong_settings(self) -> None:
        look = self.look
        wrong = [name for name in ("frames", "stride", "crops", "clips", "timeout") if getattr(look, name) <= 0]
        wrong += ["size"] if min(look.pixels) < 1 else []
        wrong += ["sampling"] if look.sampling not in ("sparse", "dense") else []
        wrong += ["crop_scale"] if not 0 < look.crop_scale[0] <= look.crop_scale[1] <= 1 else []
        wrong += ["augment"] if look.augment and not look.augment.startswith("rand-") else []
        wrong += ["frame_rate"] if look.frame_rate is not None and look.frame_rate <= 0 else []
        if wrong:
            told = ", ".join(f"{name} {getattr(look, name)!r}" for name in wrong)
            raise ConfigError(f"frames cannot be looked at with {told}", "Mend the settings under --data.source")

    @property
    def rows(self) -> int:
        """T."""
        return self.look.frames

    def restrict(self, annotations: Annotations, folder: Path) -> Annotations:
        """Keep the videos that have a file.

        Raises:
            DataError: The folder is missing, or videos of a split have no file and `missing` is "error".
        """
        self._files = index_videos(folder / self.folder, [video.id for video in annotations.videos])
        absent = [video.id for video in annotations.videos if video.split and video.id not in self._files]
        if absent and self.missing == "error":
            raise ProblemList(
                f"{folder / self.folder} lacks videos",
                [f"no file for video {video}" for video in absent],
                "Put them there, or leave them out:  --data.source.missing skip",
            )
        if not absent:
            return annotations
        windows = annotations.windows and {
            split: tuple(window for window in listed if window.video in self._files)
            for split, listed in annotations.windows.items()
        }
        videos = tuple(video for video in annotations.videos if video.id in self._files)
        note = f"{len(absent)} videos without a file are left out"
        return replace(annotations, videos=videos, windows=windows, notes=(*annotations.notes, note))

    def clips(self, clips: Sequence[Clip], folder: Path, training: bool) -> SeenClips:
        """Return what frames show of `clips`, after `restrict`; training draws by the run's own seed."""
        cache = folder / Path(self.cache).expanduser() if self.cache else None
        return FrameClips(clips, self._files, self.look, training, torch.initial_seed(), cache)

    def describe(self) -> dict[str, object]:
        """Return what a reader of the results must know."""
        look = self.look
        dense = {"stride": look.stride} if look.sampling == "dense" else {}
        return {
            "name": self.folder,
            "frames": look.frames,
            "size": look.size if isinstance(look.size, int) else list(look.size),
            "sampling": look.sampling,
            **dense,
            "test_clips": look.clips,
            "test_crops": look.views_per_frame,
            "crop_scale": list(look.crop_scale),
            "augment": look.augment,
            "flip": look.flip,
            "cached": bool(self.cache),
        }
