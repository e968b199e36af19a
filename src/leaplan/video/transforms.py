"""Frames as decoded to what a network takes: crops, resizes and colours, the same for all frames of a clip.

Everything is uint8 in and out: (N, H, W, 3) in, (V, 3, N, S, S') out, V crops. Normalisation is the network's.
Frames are never mirrored unless asked for: left and right hands are different arguments of an action program.
"""

import math
import random

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Size = int | tuple[int, int]  # S for a square, or (height, width)
SMOOTH_BEYOND = 2.0  # frames that shrink more than this are averaged, which keeps fine texture from flickering


def random_crop(
    frames: Tensor,
    size: Size,
    generator: torch.Generator,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    flip: bool = False,
    augment: str = "",
) -> Tensor:
    """Return a random part of `frames`, resized, (1, 3, N, S, S') uint8 (RandomResizedCrop, as UniFormerV2 trains).

    Args:
        frames: (N, H, W, 3) uint8.
        size: S, or (S, S').
        generator: All choices are drawn from it.
        scale: Smallest and largest share of the frame's area; for a size (S, S'), (1, 1) takes the whole frame.
        ratio: Smallest and largest width / height of the part, before it is resized to S' / S: for a square S, the
            official ratio.
        flip: Mirror half of the clips.
        augment: timm's RandAugment, such as "rand-m7-n4-mstd0.5-inc1"; "" for none. It is applied after the crop,
            where UniFormerV2 does so before: its cost then does not depend on the size of the video.
    """
    target = (size, size) if isinstance(size, int) else size
    whole = not isinstance(size, int) and min(scale) == 1
    high, wide = frames.shape[1:3]
    box = (0, 0, high, wide) if whole else _box(high, wide, target[1] / target[0], scale, ratio, generator)
    top, left, height, width = box
    clip = resize(frames[:, top : top + height, left : left + width], target)  # (N, S, S', 3)
    if augment:
        clip = _rand_augment(clip, augment, generator)
    if flip and torch.rand((), generator=generator) < 0.5:
        clip = clip.flip(2)
    return _as_clips([clip])


def uniform_crops(frames: Tensor, size: Size, crops: int = 1) -> Tensor:
    """Return `crops` squares (crops, 3, N, S, S) uint8 along the long side of `frames`, whose short side becomes S.

    One crop is the centre; several go from the left, or top, end to the other, as UniFormerV2 is tested. For a
    size (S, S') the whole frame is resized to it, (1, 3, N, S, S').

    Args:
        frames: (N, H, W, 3) uint8.
        size: S, or (S, S').
        crops: 1 or more.
    """
    if not isinstance(size, int):
        return _as_clips([resize(frames, size)])
    frames = resize(frames, short_side(frames.shape[1], frames.shape[2], size))
    room = torch.tensor([frames.shape[1] - size, frames.shape[2] - size])
    places = [0.5] if crops == 1 else [place / (crops - 1) for place in range(crops)]
    corners = [torch.ceil(room * place).int().tolist() for place in places]
    return _as_clips([frames[:, top : top + size, left : left + size] for top, left in corners])


def short_side(height: int, width: int, size: int) -> tuple[int, int]:
    """Return (height, width) with the shorter of them `size` and the longer rounded down."""
    if width <= height:
        return math.floor(height / width * size), size
    return size, math.floor(width / height * size)


def resize(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Return uint8 `frames` (N, H, W, 3) at `size` (height, width), bilinear with unaligned corners.

    As the official recipes, it takes four neighbours of each point; only where frames shrink more than twice,
    pixels are averaged, which those recipes leave to a resized copy of the data.
    """
    if frames.shape[1:3] == size:
        return frames
    planes = frames.permute(0, 3, 1, 2)  # (N, 3, H, W), channels last in memory
    shrinks = max(frames.shape[1] / size[0], frames.shape[2] / size[1])
    resized = functional.interpolate(
        planes, size=size, mode="bilinear", align_corners=False, antialias=shrinks > SMOOTH_BEYOND
    )
    return resized.permute(0, 2, 3, 1)


def _as_clips(crops: list[Tensor]) -> Tensor:
    """Return crops of frames, each (N, S, S', 3), as (V, 3, N, S, S')."""
    return torch.stack([crop.permute(3, 0, 1, 2) for crop in crops])


def _box(
    high: int,
    wide: int,
    aspect: float,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    generator: torch.Generator,
) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of a random part; after ten that do not fit, the largest central one."""
    draws = torch.rand(10, 4, generator=generator, dtype=torch.float64).tolist()
    for area_share, aspect_share, top_share, left_share in draws:
        area = high * wide * (scale[0] + area_share * (scale[1] - scale[0]))
        form = aspect * math.exp(math.log(ratio[0]) + aspect_share * (math.log(ratio[1]) - math.log(ratio[0])))
        height, width = round(math.sqrt(area / form)), round(math.sqrt(area * form))
        if 0 < height <= high and 0 < width <= wide:
            return int(top_share * (high - height + 1)), int(left_share * (wide - width + 1)), height, width
    return _central(high, wide, aspect * ratio[0], aspect * ratio[1])


def _central(high: int, wide: int, narrowest: float, widest: float) -> tuple[int, int, int, int]:
    """Return the largest central part whose width / height is between `narrowest` and `widest`."""
    form = min(max(wide / high, narrowest), widest)
    height, width = min(high, round(wide / form)), min(wide, round(high * form))
    return (high - height) // 2, (wide - width) // 2, height, width


def _rand_augment(frames: Tensor, augment: str, generator: torch.Generator) -> Tensor:
    """Return `frames` (N, S, S', 3) after timm's RandAugment, whose draws are the same for each of them.

    timm draws from the random numbers of Python and NumPy: they are seeded before each frame and given back after.
    """
    from PIL import Image
    from timm.data.auto_augment import rand_augment_transform

    options = {"translate_const": int(min(frames.shape[1:3]) * 0.45), "interpolation": Image.Resampling.BICUBIC}
    change = rand_augment_transform(augment, options)
    seed = int(torch.randint(2**31, (), generator=generator))
    python, numpy = random.getstate(), np.random.get_state()
    try:
        changed = []
        for frame in frames.numpy():
            random.seed(seed)
            np.random.seed(seed)
            changed.append(np.asarray(change(Image.fromarray(frame))))
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
    return torch.from_numpy(np.stack(changed))
