"""UniFormerV2 as what turns frames into one row of numbers per second (see `video.seconds.SecondsEncoder`)."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from leaplan.errors import ConfigError
from leaplan.recognition.encoder import UniFormerV2Encoder
from leaplan.video.seconds import DTYPES, Precision
from leaplan.video.weights import content_hash


class UniFormerV2Seconds:
    """UniFormerV2: a row is z, the input of its head, of the frames around the middle of a second.

    Args:
        weights: As `UniFormerV2Encoder` takes them. "" with `allow_random`.
        model: Size, "b16", "l14" or "tiny".
        kind: "kinetics" or "ssv2".
        frames, rate: T and frames per second among them; 8 at 4 see two seconds.
        size, short_side: S, the side of the central square, and the shorter side before the cut.
        device: Where it runs.
        precision: Autocast to "bf16" or "fp16"; "fp32" leaves it as the caller has it.
        allow_random: Without weights, take random ones, always the same: to measure speed, or to test.

    Raises:
        ConfigError: Sizes that do not fit, or no weights.
        CheckpointError: Weights that cannot be read or do not fit.
    """

    name = "uniformerv2"

    def __init__(
        self,
        weights: str | Path = "",
        model: Literal["tiny", "b16", "l14"] = "b16",
        kind: Literal["kinetics", "ssv2"] = "kinetics",
        frames: int = 8,
        rate: float = 4.0,
        size: int = 224,
        short_side: int = 256,
        device: str | torch.device = "cpu",
        precision: Precision = "fp32",
        allow_random: bool = False,
    ) -> None:
        if not weights and not allow_random:
            raise ConfigError("UniFormerV2 needs weights, but none are given", "Give a file:  --weights FILE")
        if frames < 1 or not rate > 0 or not 0 < size <= short_side or precision not in DTYPES:
            told = f"{frames} frames at {rate:g} per second, a square of {size} of {short_side} pixels, {precision}"
            raise ConfigError(f"UniFormerV2 cannot look at {told}")
        self.frames, self.rate, self.size, self.short_side = frames, rate, size, short_side
        self.model, self.kind = model, kind
        self.device, self.precision = torch.device(device), precision
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = UniFormerV2Encoder(model, kind, frames, size, str(weights))
        self.sha256, self.width = content_hash(network), network.width
        self.network = network.eval().requires_grad_(False).to(self.device)

    @torch.inference_mode()
    def encode(self, clips: Tensor) -> Tensor:
        """Return z float32 (N, D) of `clips` uint8 (N, T, 3, S, S)."""
        frames = clips.transpose(1, 2).to(self.device)  # (N, 3, T, S, S)
        with torch.autocast(self.device.type, DTYPES[self.precision], enabled=self.precision != "fp32"):
            pooled: Tensor = self.network(frames).pooled
        return pooled.float()

    def settings(self) -> dict[str, object]:
        """Return what decides the numbers."""
        named = ("name", "width", "frames", "rate", "size", "short_side", "model", "kind", "precision")
        return {**{name: getattr(self, name) for name in named}, "weights_sha256": self.sha256}
