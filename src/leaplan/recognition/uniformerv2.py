"""UniFormerV2 (Li et al., arXiv 2211.09552): a CLIP image network that learns to see motion.

Source of the arithmetic: OpenGVLab/UniFormerV2, slowfast/models/uniformerv2_model.py. Its weights load through
`checkpoints.py`, and outputs agree to rounding.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from leaplan.recognition.blocks import GlobalBlock, LocalBlock
from leaplan.recognition.seen import Seen


class Size(NamedTuple):
    """Sizes of a network by name.

    Attributes:
        width: C.
        depth: Layers.
        heads: Attention heads.
        patch: Side of a patch in pixels.
        blocks: Global blocks by kind; they look at the last so many layers.
    """

    width: int
    depth: int
    heads: int
    patch: int
    blocks: dict[str, int]


SIZES = {
    "tiny": Size(96, 4, 4, 8, {"kinetics": 2, "ssv2": 2}),  # ours, for small frames and little time
    "b16": Size(768, 12, 12, 16, {"kinetics": 4, "ssv2": 8}),
    "l14": Size(1024, 24, 16, 14, {"kinetics": 4, "ssv2": 16}),
}
RELATIONS = {"kinetics": 0, "ssv2": 2}  # local relation aggregators per layer, by kind


class UniFormerV2(nn.Module):
    """UniFormerV2 without its head.

    The Kinetics kind (scenes) is a CLIP network whose last layers are looked at by global blocks. The SSv2 kind
    (motion) also has two local relation aggregators in every layer and halves the number of frames in its stem.

    Shapes: N clips, F frames, T frames after the stem (F or F / 2), h x w patches, S = 1 + h w, C width.

    Args:
        width: C.
        depth: Layers.
        heads: Attention heads of a layer.
        patch: Side of a patch in pixels.
        resolution: Side of the frames that positions are learned for, or their height and width. Frames of another
            size are taken as well, with positions interpolated.
        return_layers: Layers that global blocks look at, from 0, ascending.
        relations: Local relation aggregators per layer: 0, 1 or 2.
        temporal_downsample: Whether the stem spans 3 frames and takes every second; frames must then be even.
        reduction: C divided by the width inside the aggregators.
        global_heads: Attention heads of global blocks; 0 for as many as `heads`.
        mlp_factor: Width of the MLPs of global blocks in units of C.
        mlp_dropout: Inside the MLPs of global blocks: one value, or one per block.
        drop_path: Probability to drop a residual path of a layer, rising linearly from 0 to this in the last.
        global_drop_path: The same for global blocks.
        fuse: Whether z mixes the query with the class tokens of the last layer. False for official checkpoints made
            with a frozen CLIP network, which return the query.
        checkpointing: The first so many layers compute attention and MLP again in the backward pass, to save memory.

    Attributes:
        width: C.
        grid: Rows and columns of patches that positions are learned for.

    Raises:
        ValueError: Sizes that do not fit together.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        patch: int,
        resolution: int | tuple[int, int],
        return_layers: Sequence[int],
        relations: int = 0,
        temporal_downsample: bool = False,
        reduction: float = 1.5,
        global_heads: int = 0,
        mlp_factor: float = 4.0,
        mlp_dropout: float | Sequence[float] = 0.5,
        drop_path: float = 0.0,
        global_drop_path: float = 0.0,
        fuse: bool = True,
        checkpointing: int = 0,
    ) -> None:
        super().__init__()
        self.width, self.patch, self.checkpointing = width, patch, checkpointing
        self.return_layers = _ascending(return_layers, depth)
        self.grid = _grid(resolution, patch)
        blocks = len(self.return_layers)
        dropouts = [mlp_dropout] * blocks if isinstance(mlp_dropout, int | float) else list(mlp_dropout)
        self.stem = Stem(width, patch, temporal_downsample)
        self.class_token = nn.Parameter(torch.empty(width))
        self.positions = nn.Parameter(torch.empty(1 + self.grid[0] * self.grid[1], width))
        self.stem_norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(
            LocalBlock(width, heads, relations, reduction, rate) for rate in _rising(drop_path, depth)
        )
        self.query = nn.Parameter(torch.zeros(1, 1, width))
        self.global_blocks = nn.ModuleList(
            GlobalBlock(width, global_heads or heads, mlp_factor, dropout, rate)
            for dropout, rate in zip(dropouts, _rising(global_drop_path, blocks), strict=True)
        )
        self.balance = nn.Parameter(torch.zeros(width)) if fuse else None
        for parameter in (self.class_token, self.positions):
            nn.init.normal_(parameter, std=width**-0.5)

    def forward(self, frames: Tensor) -> Seen:
        """Return z (N, C), the input of the head, and the tokens (N, T S, C) of the last layer.

        Args:
            frames: Normalised frames (N, 3, F, H, W), float; H and W multiples of the patch.

        Raises:
            ValueError: Frames of a size that cannot be cut into patches, or an odd number of them.
        """
        patches, grid = self.stem(frames)  # (N, T, hw, C)
        tokens = self.stem_norm(self._with_class_token(patches, grid))  # (N, T, S, C)
        query = self.query[0].expand(frames.shape[0], -1)  # (N, C)
        for index, layer in enumerate(self.layers):
            tokens = layer(tokens, recompute=index < self.checkpointing and torch.is_grad_enabled())
            if index in self.return_layers:
                query = self.global_blocks[self.return_layers.index(index)](query, tokens, grid)
        return Seen(self._fused(query, tokens), tokens.flatten(1, 2))

    def _with_class_token(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return tokens (N, T, S, C) of patches (N, T, hw, C), with positions."""
        positions = resized_positions(self.positions, self.grid, grid).to(patches.dtype)
        first = (self.class_token + positions[0]).to(patches.dtype).expand(*patches.shape[:2], 1, -1)
        return torch.cat([first, patches + positions[1:]], dim=2)

    def _fused(self, query: Tensor, tokens: Tensor) -> Tensor:
        if self.balance is None:
            return query
        return torch.lerp(query, tokens[:, :, 0].mean(1).to(query.dtype), self.balance.sigmoid().to(query.dtype))


class Stem(nn.Module):
    """Frames to patches: a convolution as large as its stride, computed as one matrix product.

    Args:
        width: C.
        patch: Side of a patch in pixels.
        temporal_downsample: Span 3 frames, centred on every second, instead of 1.
    """

    def __init__(self, width: int, patch: int, temporal_downsample: bool) -> None:
        super().__init__()
        self.patch, self.span = patch, 3 if temporal_downsample else 1
        holder = nn.Conv3d(3, width, (self.span, patch, patch), bias=False)  # for its initialisation
        self.weight = nn.Parameter(holder.weight.detach())

    def forward(self, frames: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return patches (N, T, hw, C) of frames (N, 3, F, H, W), and the grid (h, w)."""
        count, height, width = frames.shape[2:]
        if height % self.patch or width % self.patch:
            raise ValueError(f"frames of {height} x {width} pixels cannot be cut into patches of {self.patch}")
        if self.span == 3:
            if count % 2:
                raise ValueError(f"this network takes every second frame and needs an even number, not {count}")
            before = F.pad(frames[:, :, 1:-1:2], (0, 0, 0, 0, 1, 0))  # the frame before each even one
            frames = torch.stack([before, frames[:, :, 0::2], frames[:, :, 1::2]], dim=2)  # (N, 3, span, T, H, W)
        else:
            frames = frames.unsqueeze(2)
        cut = frames.unflatten(4, (-1, self.patch)).unflatten(6, (-1, self.patch))  # (N, 3, span, T, h, P, w, P)
        pixels = cut.permute(0, 3, 4, 6, 1, 2, 5, 7).flatten(4).flatten(2, 3)  # (N, T, hw, 3 span P P)
        return F.linear(pixels, self.weight.flatten(1)), (height // self.patch, width // self.patch)


class ClassHead(nn.Module):
    """The official head: LayerNorm, dropout, linear.

    Args:
        width: C.
        classes: Number of classes.
        dropout: Before the linear layer.
    """

    def __init__(self, width: int, classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, classes)
        nn.init.trunc_normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """Return logits (N, classes) from z (N, C)."""
        return self.linear(self.dropout(self.norm(pooled)))


def resized_positions(positions: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Return positions (1 + h w, C) for another grid, bicubic; the very same tensor where the grid is the same.

    Args:
        positions: Of the class token, then of an `old` grid row by row.
        old: Rows and columns of the grid they are for.
        new: Rows and columns wanted.
    """
    if old == new:
        return positions
    image = positions[1:].unflatten(0, old).permute(2, 0, 1)[None].float()  # (1, C, h, w)
    image = F.interpolate(image, new, mode="bicubic", align_corners=False, antialias=True)
    patches = image[0].permute(1, 2, 0).flatten(0, 1).to(positions.dtype)
    return torch.cat([positions[:1], patches])


def _grid(resolution: int | tuple[int, int], patch: int) -> tuple[int, int]:
    height, width = (resolution, resolution) if isinstance(resolution, int) else resolution
    if height % patch or width % patch:
        raise ValueError(f"a resolution of {height} x {width} pixels is not a multiple of the patch, {patch}")
    return height // patch, width // patch


def _ascending(layers: Sequence[int], depth: int) -> list[int]:
    if list(layers) != sorted({layer for layer in layers if 0 <= layer < depth}) or not layers:
        raise ValueError(f"global blocks look at layers {list(layers)}, which are not ascending in 0 to {depth - 1}")
    return list(layers)


def _rising(last: float, count: int) -> list[float]:
    return [last * index / max(1, count - 1) for index in range(count)]
