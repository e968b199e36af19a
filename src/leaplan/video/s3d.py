"""S3D-G as trained on HowTo100M with MIL-NCE: 512 numbers that say what happens in three seconds of video.

Network of arXiv 1912.06430 (architecture arXiv 1712.04851), as the published port `antoine77340/S3D_HowTo100M` computes
it; names of modules are the names in its weights file. Maps lie channels-last, (N, T, H, W, C): a spatial convolution
is then a 2-D one over N T pictures, a temporal one a 2-D one over pictures of T x HW, a pointwise one a matrix
product, and none of them moves data. On a CPU this takes half the time of 3-D convolutions.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from leaplan.video.s3d_text import SentenceEmbedding
from leaplan.video.weights import load_exactly, read_weights

WIDTH = 512
"""Of a video embedding and of a sentence embedding."""


class S3DOutput(NamedTuple):
    """What the network says of N clips.

    Attributes:
        video_embedding: Place in the space shared with sentences; similarity is the dot product. (N, 512)
        mixed_5c: Mean of the last map, meant for classifiers. (N, 1024)
    """

    video_embedding: Tensor
    mixed_5c: Tensor


class S3D(nn.Module):
    """The video branch, and, where asked for, the sentence branch.

    Args:
        text: Have `text_module`, the sentence branch, too.
    """

    def __init__(self, text: bool = False) -> None:
        super().__init__()
        self.conv1 = Stem(24, 64)
        self.maxpool_2a = PadPool((1, 3), (1, 2))
        self.conv_2b = PointConv(64, 64)
        self.conv_2c = SeparableConv(64, 192)
        self.gating = SelfGating(192)
        self.maxpool_3a = PadPool((1, 3), (1, 2))
        self.mixed_3b = Inception(192, 64, (96, 128), (16, 32), 32)
        self.mixed_3c = Inception(256, 128, (128, 192), (32, 96), 64)
        self.maxpool_4a = PadPool((3, 3), (2, 2))
        self.mixed_4b = Inception(480, 192, (96, 208), (16, 48), 64)
        self.mixed_4c = Inception(512, 160, (112, 224), (24, 64), 64)
        self.mixed_4d = Inception(512, 128, (128, 256), (24, 64), 64)
        self.mixed_4e = Inception(512, 112, (144, 288), (32, 64), 64)
        self.mixed_4f = Inception(528, 256, (160, 320), (32, 128), 128)
        self.maxpool_5a = PadPool((2, 2), (2, 2))
        self.mixed_5b = Inception(832, 256, (160, 320), (32, 128), 128)
        self.mixed_5c = Inception(832, 384, (192, 384), (48, 128), 128)
        self.fc = nn.Linear(1024, WIDTH)
        self.text_module = SentenceEmbedding(WIDTH) if text else None

    def forward(self, clips: Tensor) -> S3DOutput:
        """Return embeddings (N, 512) and pooled maps (N, 1024) of `clips`, RGB in 0..1, float (N, 3, T, H, W).

        T, H and W are even; trained with 32 x 200 x 200 to 16 x 224 x 224 at 3.2 seconds a clip.

        Raises:
            ValueError: Clips of another shape or type.
        """
        return self._rest(self.conv_2c(self._first(space_to_depth(clips))))

    def early(self, cells: Tensor) -> Tensor:
        """Return maps (N, T/2, H/4, W/4, 192) of `cells` (N, T/2, H/2, W/2, 24); see `space_to_depth`.

        The map of step t looks at the cells of t and t + 1 alone, zeros after the last: clips that overlap share them.
        """
        return self.conv_2c.over_pictures(self._first(cells))

    def late(self, maps: Tensor) -> S3DOutput:
        """Return embeddings (N, 512) and pooled maps (N, 1024) of what `early` gives."""
        return self._rest(self.conv_2c.over_time(maps))

    def _first(self, cells: Tensor) -> Tensor:
        return self.conv_2b(self.maxpool_2a(self.conv1(cells)))  # (N, T/2, H/4, W/4, 64)

    def _rest(self, maps: Tensor) -> S3DOutput:
        """Go on from maps (N, T/2, H/4, W/4, 192)."""
        maps = self.maxpool_3a(self.gating(maps))
        maps = self.mixed_3c(self.mixed_3b(maps))  # (N, T/2, H/8, W/8, 480)
        maps = self.maxpool_4a(maps)
        maps = self.mixed_4f(self.mixed_4e(self.mixed_4d(self.mixed_4c(self.mixed_4b(maps)))))
        maps = self.maxpool_5a(maps)  # (N, T/8, H/32, W/32, 832), rounded up
        pooled = self.mixed_5c(self.mixed_5b(maps)).mean((1, 2, 3))  # (N, 1024)
        return S3DOutput(self.fc(pooled), pooled)


def load_s3d(path: Path, text: bool = False) -> S3D:
    """Return the network with the weights in `path`, in evaluation mode.

    Args:
        path: The official `s3d_howto100m.pth`, or a .safetensors file with the same names.
        text: Have the sentence branch, which then must be in the file; without it, the file's is left out.

    Raises:
        CheckpointError: Missing, damaged, or not an exact fit: tells what is missing, too many, or of another shape.
    """
    state = read_weights(path)
    if not text:
        state = {name: tensor for name, tensor in state.items() if not name.startswith("text_module.")}
    network = S3D(text)
    load_exactly(network, state, path)
    return network.eval()


def space_to_depth(clips: Tensor) -> Tensor:
    """Return cells of 2 x 2 x 2 pixels as channels, (N, T/2, H/2, W/2, 24), of `clips` (N, 3, T, H, W).

    Channel ((dt 2 + dh) 2 + dw) 3 + c is colour c of the pixel at (dt, dh, dw) in its cell.

    Raises:
        ValueError: Clips of another shape or type, or odd in an axis.
    """
    if clips.ndim != 5 or clips.shape[1] != 3 or not clips.is_floating_point():
        raise ValueError(f"clips are {clips.dtype} {tuple(clips.shape)}, but float (N, 3, T, H, W) in 0..1 is expected")
    if any(side % 2 for side in clips.shape[2:]):
        raise ValueError(f"clips of T, H, W = {tuple(clips.shape[2:])}: each must be even")
    cells = clips.unflatten(4, (-1, 2)).unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # (N, 3, T/2, 2, H/2, 2, W/2, 2)
    return cells.permute(0, 2, 4, 6, 3, 5, 7, 1).flatten(4)


class Stem(nn.Module):
    """Convolution of 2 x 4 x 4 cells, BatchNorm, ReLU. (N, T, H, W, C) to (N, T, H, W, C')."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(width, out, (2, 4, 4), padding=(1, 2, 2), bias=False)
        self.bn1 = nn.BatchNorm3d(out)

    def forward(self, cells: Tensor) -> Tensor:
        """Return maps (N, T, H, W, C').

        Padding (1, 2, 2) gives one place too many on each axis; the first is dropped, in training only after
        BatchNorm has seen it.
        """
        if self.training:
            whole = functional.pad(cells, (0, 0, 2, 2, 2, 2, 1, 1))
            return _norm_relu(self._convolve(whole, self.conv1.weight, None), self.bn1)[:, 1:, 1:, 1:]
        weight, bias = _folded(self.conv1.weight, self.bn1)
        return functional.relu_(self._convolve(functional.pad(cells, (0, 0, 1, 2, 1, 2, 0, 1)), weight, bias))

    @staticmethod
    def _convolve(cells: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve (N, T + 1, H + 3, W + 3, C) by pairs of neighbours in time: (N, T, H, W, C')."""
        pairs = torch.cat([cells[:, :-1], cells[:, 1:]], dim=-1)  # (N, T, H + 3, W + 3, 2 C)
        return _over_pictures(pairs, weight.transpose(1, 2).flatten(1, 2), bias, padding=0)


class PointConv(nn.Module):
    """A linear map of each place, BatchNorm, ReLU. (..., C) to (..., C')."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(width, out, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(out)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, T, H, W, C') of `maps` (N, T, H, W, C)."""
        if self.training:
            return _norm_relu(functional.linear(maps, self.conv1.weight.flatten(1)), self.bn1)
        weight, bias = _folded(self.conv1.weight, self.bn1)
        return functional.relu_(functional.linear(maps, weight.flatten(1), bias))


class SeparableConv(nn.Module):
    """Convolution of 3 x 3 places, then of 3 moments, each with BatchNorm and ReLU. (..., C) to (..., C')."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(width, out, (1, 3, 3), padding=(0, 1, 1), bias=False)
        self.bn1 = nn.BatchNorm3d(out)
        self.conv2 = nn.Conv3d(out, out, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.bn2 = nn.BatchNorm3d(out)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, T, H, W, C') of `maps` (N, T, H, W, C)."""
        return self.over_time(self.over_pictures(maps))

    def over_pictures(self, maps: Tensor) -> Tensor:
        """Do the first half: 3 x 3 places of each picture."""
        if self.training:
            return _norm_relu(_over_pictures(maps, self.conv1.weight.squeeze(2), None), self.bn1)
        weight, bias = _folded(self.conv1.weight, self.bn1)
        return functional.relu_(_over_pictures(maps, weight.squeeze(2), bias))

    def over_time(self, maps: Tensor) -> Tensor:
        """Do the second half: 3 pictures at each place."""
        if self.training:
            return _norm_relu(_over_time(maps, self.conv2.weight, None), self.bn2)
        weight, bias = _folded(self.conv2.weight, self.bn2)
        return functional.relu_(_over_time(maps, weight, bias))


class SelfGating(nn.Module):
    """Scale each channel by what the whole clip says of it. (N, T, H, W, C) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, width)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, T, H, W, C) times gates (N, C)."""
        gates = torch.sigmoid(self.fc(maps.mean((1, 2, 3))))  # (N, C)
        return maps * gates[:, None, None, None]


class PadPool(nn.Module):
    """Largest of neighbours, padded with zeros at the end: TensorFlow's SAME on even sizes. (N, T, H, W, C).

    Args:
        kernel: In time, and in both directions of space.
        stride: Likewise; n places become n / stride, rounded up.
    """

    def __init__(self, kernel: tuple[int, int], stride: tuple[int, int]) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, T', H', W', C) of `maps`, none of them negative.

        A zero among them changes nothing; it is only needed where an odd size would lose its last window.
        """
        time, space = (kernel - stride for kernel, stride in zip(self.kernel, self.stride, strict=True))
        after = [time * (maps.shape[1] % 2), space * (maps.shape[2] % 2), space * (maps.shape[3] % 2)]
        if any(after):
            maps = functional.pad(maps, (0, 0, 0, after[2], 0, after[1], 0, after[0]))
        return max_pool(maps, self.kernel, self.stride)


class Inception(nn.Module):
    """Four views of one map, each gated, side by side. (N, T, H, W, C) to (N, T, H, W, sum of widths).

    Args:
        width: C.
        point: Width of the branch of single places.
        narrow, wide: Widths inside and at the end of the two branches of 3 x 3 x 3 places.
        pooled: Width of the branch of the largest of 3 x 3 x 3 places.
    """

    def __init__(self, width: int, point: int, narrow: tuple[int, int], wide: tuple[int, int], pooled: int) -> None:
        super().__init__()
        self.conv_b0 = PointConv(width, point)
        self.conv_b1_a = PointConv(width, narrow[0])
        self.conv_b1_b = SeparableConv(*narrow)
        self.conv_b2_a = PointConv(width, wide[0])
        self.conv_b2_b = SeparableConv(*wide)
        self.conv_b3_b = PointConv(width, pooled)
        self.gating_b0 = SelfGating(point)
        self.gating_b1 = SelfGating(narrow[1])
        self.gating_b2 = SelfGating(wide[1])
        self.gating_b3 = SelfGating(pooled)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, T, H, W, C') of `maps` (N, T, H, W, C)."""
        branches = [
            self.gating_b0(self.conv_b0(maps)),
            self.gating_b1(self.conv_b1_b(self.conv_b1_a(maps))),
            self.gating_b2(self.conv_b2_b(self.conv_b2_a(maps))),
            self.gating_b3(self.conv_b3_b(max_pool(maps, (3, 3), (1, 1), padding=1))),
        ]
        return torch.cat(branches, dim=-1)


def max_pool(maps: Tensor, kernel: tuple[int, int], stride: tuple[int, int], padding: int = 0) -> Tensor:
    """Return the largest of neighbours in space, then in time; sizes are rounded up. (N, T, H, W, C).

    Args:
        maps: (N, T, H, W, C).
        kernel, stride: In time, and in both directions of space.
        padding: Places of -inf on all sides, in time and space.
    """
    count, times = maps.shape[:2]
    pictures = maps.flatten(0, 1).permute(0, 3, 1, 2)  # (N T, C, H, W), channels last
    pictures = functional.max_pool2d(pictures, kernel[1], stride[1], padding, ceil_mode=True)
    maps = pictures.permute(0, 2, 3, 1).unflatten(0, (count, times))
    if kernel[0] == 1:
        return maps
    high, wide = maps.shape[2:4]
    strips = maps.flatten(2, 3).permute(0, 3, 1, 2)  # (N, C, T, H W), channels last
    strips = functional.max_pool2d(strips, (kernel[0], 1), (stride[0], 1), (padding, 0), ceil_mode=True)
    return strips.permute(0, 2, 3, 1).unflatten(2, (high, wide))


def _over_pictures(maps: Tensor, weight: Tensor, bias: Tensor | None, padding: int = 1) -> Tensor:
    """Convolve each picture of (N, T, H, W, C) with `weight` (C', C, h, w)."""
    pictures = maps.flatten(0, 1).permute(0, 3, 1, 2)  # (N T, C, H, W), channels last
    pictures = functional.conv2d(pictures, weight, bias, padding=padding)
    return pictures.permute(0, 2, 3, 1).unflatten(0, maps.shape[:2])


def _over_time(maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve each place of (N, T, H, W, C) with `weight` (C', C, 3, 1, 1)."""
    strips = maps.flatten(2, 3).permute(0, 3, 1, 2)  # (N, C, T, H W), channels last
    strips = functional.conv2d(strips, weight.squeeze(4), bias, padding=(1, 0))
    return strips.permute(0, 2, 3, 1).unflatten(2, maps.shape[2:4])


def _folded(weight: Tensor, norm: nn.BatchNorm3d) -> tuple[Tensor, Tensor]:
    """Return the weight and bias of a convolution that does what `weight` and then `norm` do in evaluation."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return weight * scale.view(-1, 1, 1, 1, 1), norm.bias - norm.running_mean * scale


def _norm_relu(maps: Tensor, norm: nn.BatchNorm3d) -> Tensor:
    """Return the ReLU of normalised maps (N, T, H, W, C)."""
    return functional.relu_(norm(maps.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1))
