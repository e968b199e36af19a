"""UniFormerV2 by size and kind, from uint8 frames to what is seen."""

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from leaplan.errors import ConfigError
from leaplan.recognition.checkpoints import Weights, load_weights
from leaplan.recognition.seen import Seen
from leaplan.recognition.uniformerv2 import RELATIONS, SIZES, UniFormerV2

MEAN, DEVIATION = 0.45, 0.225  # of values in 0..1, the same for all channels; not CLIP's
DROP_PATH = {"kinetics": (0.0, 0.0), "ssv2": (0.2, 0.4)}  # official recipes: in layers, in global blocks


class UniFormerV2Encoder(nn.Module):
    """UniFormerV2 for clips of RGB frames, as they come from a video.

    Two kinds: "kinetics" for what a scene shows, "ssv2" for motion, which has two local relation aggregators in every
    layer and halves the frames in its stem. Three sizes: "b16" and "l14" as published, and "tiny", which learns from
    scratch on frames of 64 to 100 pixels within minutes on a CPU.

    Args:
        size: "tiny", "b16" or "l14".
        kind: "kinetics" or "ssv2".
        frames: Frames per clip; even for "ssv2". Any other number works too: no weight depends on it.
        resolution: Side of the frames, or height and width, that positions are learned for. Other sizes that are
            multiples of the patch are taken as well, with positions interpolated.
        weights: File of weights to begin with: an official or mmaction2 checkpoint, CLIP's weights (OpenAI, timm,
            transformers), or a file written by `leaplan convert-weights`. "" begins at random.
        channel_order: What `weights` were trained on, "rgb" or "bgr". "" takes what is known: official SSv2 weights
            were trained on BGR, all others on RGB. The first layer is turned round when they are loaded, so the
            network takes RGB always, and so does every checkpoint saved from it.
        drop_path: Probability to skip a residual path in the last layer, rising from 0 in the first. None: as in the
            official recipe of the kind (0, or 0.2 for "ssv2"); 0 for "tiny".
        global_drop_path: The same for global blocks (0, or 0.4 for "ssv2").
        mlp_dropout: Inside the MLPs of global blocks.
        checkpointing: The first so many layers save memory in the backward pass, for a third more computation.
        patch, width, depth, heads, blocks: Instead of those of `size`; 0 for those of `size`. `blocks` global blocks
            look at the last layers.
        fuse: False for official checkpoints made with a frozen CLIP network.

    Attributes:
        width: C.
        loaded: What was read from `weights`, without the tensors; None without.

    Raises:
        ConfigError: Sizes that do not fit together.
        CheckpointError: `weights` cannot be read or do not fit.
    """

    def __init__(
        self,
        size: Literal["tiny", "b16", "l14"] = "b16",
        kind: Literal["kinetics", "ssv2"] = "ssv2",
        frames: int = 8,
        resolution: int | tuple[int, int] = 224,
        weights: str = "",
        channel_order: Literal["", "rgb", "bgr"] = "",
        drop_path: float | None = None,
        global_drop_path: float | None = None,
        mlp_dropout: float = 0.5,
        checkpointing: int = 0,
        patch: int = 0,
        width: int = 0,
        depth: int = 0,
        heads: int = 0,
        blocks: int = 0,
        fuse: bool = True,
    ) -> None:
        super().__init__()
        _refuse_unknown(size, kind, frames, channel_order)
        named, layers = SIZES[size], depth or SIZES[size].depth
        blocks = min(blocks or named.blocks[kind], layers)
        usual, usual_global = (0.0, 0.0) if size == "tiny" else DROP_PATH[kind]
        try:
            self.network = UniFormerV2(
                width=width or named.width,
                depth=layers,
                heads=heads or named.heads,
                patch=patch or named.patch,
                resolution=resolution,
                return_layers=range(layers - blocks, layers),
                relations=RELATIONS[kind],
                temporal_downsample=kind == "ssv2",
                mlp_dropout=mlp_dropout,
                drop_path=usual if drop_path is None else drop_path,
                global_drop_path=usual_global if global_drop_path is None else global_drop_path,
                fuse=fuse,
                checkpointing=checkpointing,
            )
        except ValueError as error:
            raise ConfigError(f"UniFormerV2 of size {size}: {error}") from error
        self.width = self.network.width
        self.loaded: Weights | None = None
        if weights:
            read = load_weights(self.network, Path(weights).expanduser(), channel_order=channel_order)
            self.loaded = read.without_tensors()

    def forward(self, clips: Tensor) -> Seen:
        """Return what is seen, pooled (N, C) and tokens (N, T S, C), in clips (N, 3, F, H, W) of RGB in 0..255."""
        return self.network(normalised(clips, self.network.stem.weight.dtype))

    @torch.no_grad()
    def fit(self, clips: Tensor) -> None:
        """Let a network without weights begin where patches differ, not with what all clips have in common.

        In films of one scene most of a patch is always the same. The mean of each place over `clips` is taken out of
        its position, and the stem is scaled so that what remains has deviation 1 (data-dependent initialisation,
        Krähenbühl et al., arXiv 1511.06856). Networks that begin with weights are left alone.

        Args:
            clips: Some training clips (N, 3, F, H, W), uint8, of the resolution that positions are for.
        """
        network = self.network
        if self.loaded is not None:
            return
        parts = [network.stem(normalised(part))[0].flatten(0, 1) for part in clips.split(16)]
        patches = torch.cat(parts)  # (N T, hw, C)
        if len(network.positions) != 1 + patches.shape[1]:
            return
        mean = patches.mean(0)  # (hw, C)
        scale = (patches - mean).std((0, 1)).clamp(min=1e-6)  # (C,)
        network.stem.weight.div_(scale.view(-1, 1, 1, 1, 1))
        network.positions[1:] -= mean / scale


def normalised(clips: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return (x / 255 - 0.45) / 0.225 of `clips` (N, 3, F, H, W) in 0..255, uint8 or float."""
    return clips.to(dtype).mul(1 / (255 * DEVIATION)).sub_(MEAN / DEVIATION)


def _refuse_unknown(size: str, kind: str, frames: int, channel_order: str) -> None:
    for name, value, known in (
        ("size", size, tuple(SIZES)),
        ("kind", kind, tuple(RELATIONS)),
        ("channel_order", channel_order, ("", "rgb", "bgr")),
    ):
        if value not in known:
            raise ConfigError(f"{name} '{value}' is not one of {', '.join(filter(None, known))}")
    if kind == "ssv2" and frames % 2:
        raise ConfigError(f"the ssv2 kind takes every second frame: {frames} frames are odd", "Give an even number")
