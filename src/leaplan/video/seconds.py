"""What turns frames into one row of numbers per second: S3D, any image encoder of timm, or colours alone.

encoder = S3DSeconds(Path("s3d_howto100m.pth"))
rows = encoder.encode(clips)  # uint8 (N, 32, 3, 224, 224) to float32 (N, 512)
"""

import math
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from leaplan.errors import ConfigError
from leaplan.video.color_layout import ColorLayout
from leaplan.video.s3d import S3D, WIDTH, load_s3d, space_to_depth
from leaplan.video.timm_models import data_config, timm_encoder
from leaplan.video.weights import content_hash

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class SecondsEncoder(Protocol):
    """Clips to rows; row s looks at `frames` frames, 1 / `rate` seconds apart, centred on s + 0.5 seconds.

    Attributes:
        name: Recorded with the features.
        width: D.
        frames: T.
        rate: Frames per second among them.
        size: S, side of the central square that is cut out; 0 leaves frames as they are: S x S is then H x W.
        short_side: To which the shorter side is resized before; 0 with `size` 0.
    """

    name: str
    width: int
    frames: int
    rate: float
    size: int
    short_side: int

    def encode(self, clips: Tensor) -> Tensor:
        """Return rows float32 (N, D), on the encoder's device, of `clips` uint8 (N, T, 3, S, S), RGB."""

    def settings(self) -> dict[str, object]:
        """Return, as JSON, all that decides the numbers, the content hash of the weights included."""


class S3DSeconds:
    """S3D as trained on HowTo100M: a row is the video embedding of 3.2 seconds (see `s3d`).

    Args:
        weights: `s3d_howto100m.pth`, or a .safetensors file with the same names. "" with `allow_random`.
        frames, rate: T, even, and frames per second; 16 at 5 is the sister training code's choice.
        size, short_side: S, even, and the shorter side before the cut.
        device: Where it runs.
        precision: Autocast to "bf16" or "fp16"; "fp32" leaves it as the caller has it.
        allow_random: Without weights, take random ones, always the same: to measure speed, or to test.

    Raises:
        ConfigError: Sizes that do not fit, or no weights.
        CheckpointError: Weights that cannot be read or do not fit.
    """

    name = "s3d"
    width = WIDTH

    def __init__(
        self,
        weights: str | Path = "",
        frames: int = 32,
        rate: float = 10.0,
        size: int = 224,
        short_side: int = 256,
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
        allow_random: bool = False,
    ) -> None:
        _refuse(frames, rate, size, short_side, precision)
        if frames % 2 or size % 2:
            raise ConfigError(f"S3D looks at {frames} frames of {size} x {size} pixels, but both must be even")
        self.frames, self.rate, self.size, self.short_side = frames, rate, size, short_side
        self.device, self.precision = torch.device(device), precision
        network = load_s3d(Path(weights).expanduser()) if weights else _random_s3d(allow_random)
        self.sha256 = content_hash(network)
        self.network = network.requires_grad_(False).to(self.device)

    @torch.inference_mode()
    def encode(self, clips: Tensor) -> Tensor:
        """Return video embeddings float32 (N, 512) of `clips` uint8 (N, T, 3, S, S).

        On a CPU clip by clip: memory does not grow with N. Of a clip that goes on a second after the one before, what
        both show is not looked at again by the first layers, which saves a fifth of the time.
        """
        _refuse_clips(clips, self)
        if self.device.type != "cpu":
            with _mixed(self.device, self.precision):
                return self.network(clips.to(self.device).transpose(1, 2).float() / 255).video_embedding.float()
        rows, early = [], None
        for number, clip in enumerate(clips.split(1)):
            with _mixed(self.device, self.precision):
                early = self._early(clip, clips[number - 1 : number], early)
                rows.append(self.network.late(early).video_embedding.float())
        return torch.cat(rows)

    def _early(self, clip: Tensor, before: Tensor, early: Tensor | None) -> Tensor:
        """Return what `S3D.early` gives of `clip` (1, T, 3, S, S), knowing what it gave of the clip `before` it."""
        moved = round(self.rate)  # frames in a second
        same = self.frames - moved
        shared = early is not None and moved == self.rate and moved % 2 == 0 and same > 2
        if early is None or not shared or not torch.equal(clip[:, :same], before[:, moved:]):
            return self.network.early(self._cells(clip))
        known = early[:, moved // 2 : -1]  # the last step saw nothing after it
        return torch.cat([known, self.network.early(self._cells(clip[:, 2 * known.shape[1] :]))], dim=1)

    def _cells(self, clips: Tensor) -> Tensor:
        """Return cells of `clips` (N, T, 3, S, S)."""
        return space_to_depth(clips.to(self.device).transpose(1, 2).float() / 255)

    def settings(self) -> dict[str, object]:
        """Return what decides the numbers."""
        output = {"output": "video_embedding", "weights_sha256": self.sha256}
        return {**_common(self), **output, "precision": self.precision}


class TimmSeconds:
    """Any image encoder of timm: a row is the mean of its pooled outputs over the frames of a second.

    The model's own data config says which size, mean and deviation it takes. Frames are resized as all extraction
    resizes; the interpolation that the model was trained with is in `interpolation`.

    Args:
        model: Name in timm with its tag, such as "vit_pe_core_base_patch16_224.fb".
        weights: A local .safetensors file; all of the encoder must be in it.
        pretrained: Download weights instead.
        frames: T, spread over the second.
        device: Where it runs.
        precision: Autocast to "bf16" or "fp16"; "fp32" leaves it as the caller has it.
        allow_random: Without weights, take random ones, always the same: to measure speed, or to test.

    Raises:
        ConfigError: An unknown model, one without pooled output, no weights.
        CheckpointError: Weights that cannot be had or do not fit.
    """

    def __init__(
        self,
        model: str,
        weights: str | Path = "",
        pretrained: bool = False,
        frames: int = 1,
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
        allow_random: bool = False,
    ) -> None:
        _refuse(frames, frames, 1, 1, precision)
        network = timm_encoder(model, weights, pretrained, allow_random)
        config = data_config(network)
        channels, height, width = config["input_size"]
        if channels != 3 or height != width:
            raise ConfigError(f"{model} takes images of {config['input_size']}, but 3 x S x S is expected")
        self.name, self.frames, self.rate = model, frames, float(frames)
        self.size, self.short_side = height, math.floor(height / config["crop_pct"])
        self.interpolation: str = config["interpolation"]
        self.device, self.precision = torch.device(device), precision
        self.sha256 = content_hash(network)
        self.network = network.requires_grad_(False).to(self.device)
        self.mean, self.deviation = (tuple(config[name]) for name in ("mean", "std"))
        self.width = self._width(model)

    def _width(self, model: str) -> int:
        """Return D, found by looking at nothing."""
        seen = self._pooled(torch.zeros(1, 3, self.size, self.size, dtype=torch.uint8, device=self.device))
        if seen.ndim != 2:
            raise ConfigError(f"{model} gives {tuple(seen.shape[1:])} for an image, not one row", "Take another model")
        return seen.shape[1]

    @torch.inference_mode()
    def encode(self, clips: Tensor) -> Tensor:
        """Return mean pooled outputs float32 (N, D) of `clips` uint8 (N, T, 3, S, S)."""
        _refuse_clips(clips, self)
        rows = self._pooled(clips.flatten(0, 1).to(self.device))  # (N T, D)
        return rows.unflatten(0, (len(clips), self.frames)).mean(1)

    @torch.inference_mode()
    def _pooled(self, images: Tensor) -> Tensor:
        mean, deviation = (images.new_tensor(each, dtype=torch.float32) for each in (self.mean, self.deviation))
        values = (images.float() / 255 - mean[:, None, None]) / deviation[:, None, None]
        with _mixed(self.device, self.precision):
            return self.network(values).float()

    def settings(self) -> dict[str, object]:
        """Return what decides the numbers."""
        colours = {"mean": list(self.mean), "deviation": list(self.deviation)}
        return {**_common(self), **colours, "weights_sha256": self.sha256, "precision": self.precision}


class ColorSeconds:
    """Where in the frame which colours are, and which way edges run there (see `color_layout`); no weights needed.

    With its defaults, rows of the synthetic kitchen's films are those that it stores, means over all frames of a
    second; only the last row differs, of a film that ends within a second: the last frame then counts more.

    Args:
        frames, rate: T and frames per second; the kitchen's films have 10.
        size, short_side: 0 takes whole frames as they are.

    Raises:
        ConfigError: Sizes that do not fit.
    """

    name = "color_layout"

    def __init__(self, frames: int = 10, rate: float = 10.0, size: int = 0, short_side: int = 0) -> None:
        if size or short_side:
            _refuse(frames, rate, size, short_side, "fp32")
        self.frames, self.rate, self.size, self.short_side = frames, rate, size, short_side
        self.layout = ColorLayout()
        self.width = self.layout.width

    def encode(self, clips: Tensor) -> Tensor:
        """Return mean descriptors float32 (N, D), on the CPU, of `clips` uint8 (N, T, 3, H, W)."""
        _refuse_clips(clips, self)
        frames = np.ascontiguousarray(clips.cpu().permute(0, 1, 3, 4, 2).numpy())  # (N, T, H, W, 3)
        rows = [self.layout(clip).mean(axis=0, dtype=np.float32) for clip in frames]
        return torch.from_numpy(np.stack(rows))

    def settings(self) -> dict[str, object]:
        """Return what decides the numbers."""
        grids = {"color_grid": list(self.layout.color_grid), "edge_grid": list(self.layout.edge_grid)}
        return {**_common(self), **grids}


def _mixed(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    return nullcontext() if precision == "fp32" else torch.autocast(device.type, DTYPES[precision])


def _common(encoder: SecondsEncoder) -> dict[str, object]:
    return {name: getattr(encoder, name) for name in ("name", "width", "frames", "rate", "size", "short_side")}


def _random_s3d(allowed: bool) -> S3D:
    if not allowed:
        raise ConfigError("S3D needs weights, but none are given", "Give the file s3d_howto100m.pth")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return S3D().eval()


def _refuse(frames: int, rate: float, size: int, short_side: int, precision: str) -> None:
    """Check what all encoders take."""
    if frames < 1 or not rate > 0:
        raise ConfigError(f"{frames} frames at {rate:g} per second: both must be positive")
    if not 0 < size <= short_side:
        raise ConfigError(f"a square of {size} pixels cannot be cut out of frames with a short side of {short_side}")
    if precision not in DTYPES:
        raise ConfigError(f"precision {precision!r} is not one of {', '.join(DTYPES)}")


def _refuse_clips(clips: Tensor, encoder: SecondsEncoder) -> None:
    """Check that `clips` are what `encoder` takes."""
    side = encoder.size
    square = clips.ndim == 5 and (not side or clips.shape[3:] == (side, side))
    if clips.dtype != torch.uint8 or not square or clips.shape[1:3] != (encoder.frames, 3):
        wanted = f"(N, {encoder.frames}, 3, {side or 'H'}, {side or 'W'})"
        raise ValueError(f"clips are {clips.dtype} {tuple(clips.shape)}, but uint8 {wanted} is expected")
