"""Crops and resizes: the same for all frames, from a given generator only, uint8 throughout."""

import random

import numpy as np
import pytest
import torch
from torch.nn import functional

from leaplan.video.transforms import random_crop, resize, short_side, uniform_crops

OFFICIAL = "rand-m7-n4-mstd0.5-inc1"


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int = 3, height: int = 60, width: int = 90) -> torch.Tensor:
    return torch.randint(0, 256, (count, height, width, 3), generator=seeded(0)).to(torch.uint8)


def coordinates(height: int, width: int) -> torch.Tensor:
    """A frame (1, H, W, 3) whose red is its column and whose green is its row."""
    columns = torch.arange(width).expand(height, width)
    rows = torch.arange(height)[:, None].expand(height, width)
    return torch.stack([columns, rows, rows * 0], dim=-1)[None].to(torch.uint8)


def test_shapes_and_type():
    assert random_crop(noise(), 32, seeded(0)).shape == (1, 3, 3, 32, 32)
    assert random_crop(noise(), (24, 40), seeded(0)).shape == (1, 3, 3, 24, 40)
    assert uniform_crops(noise(), 32, 3).shape == (3, 3, 3, 32, 32)
    assert uniform_crops(noise(), (24, 40), 3).shape == (1, 3, 3, 24, 40)
    assert random_crop(noise(), 32, seeded(0), augment=OFFICIAL).dtype == torch.uint8


@pytest.mark.parametrize("augment", ["", OFFICIAL])
def test_all_frames_of_a_clip_are_cut_and_coloured_alike(augment):
    frames = noise(1).repeat(5, 1, 1, 1)
    for seed in range(12):
        clip = random_crop(frames, 32, seeded(seed), augment=augment, flip=True)
        assert (clip == clip[:, :, :1]).all()


@pytest.mark.parametrize("augment", ["", OFFICIAL])
def test_choices_come_from_the_generator_alone(augment):
    clips = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        random.seed(global_seed)
        np.random.seed(global_seed)
        before = (random.getstate(), torch.get_rng_state(), np.random.get_state()[1].tolist())
        clips.append(random_crop(noise(), 32, seeded(7), augment=augment, flip=True))
        assert random.getstate() == before[0]
        assert torch.equal(torch.get_rng_state(), before[1])
        assert np.random.get_state()[1].tolist() == before[2]
    assert torch.equal(*clips)
    assert not torch.equal(clips[0], random_crop(noise(), 32, seeded(8), augment=augment, flip=True))


def test_nothing_is_mirrored_unless_asked_for():
    frame = coordinates(60, 90)
    clips = [random_crop(frame, 32, seeded(seed))[0, 0, 0].int() for seed in range(40)]
    assert all((clip.diff(dim=1) >= 0).all() for clip in clips)
    asked = [random_crop(frame, 32, seeded(seed), flip=True)[0, 0, 0].int() for seed in range(40)]
    mirrored = sum(bool((clip.diff(dim=1) <= 0).all()) for clip in asked)
    assert 8 < mirrored < 32


def test_random_crops_have_the_shares_and_ratios_asked_for_and_reach_all_edges():
    height, width = 100, 150
    frame = coordinates(height, width)
    boxes = []
    for seed in range(300):
        clip = random_crop(frame, 200, seeded(seed), scale=(0.3, 0.6))[0, :, 0].int()  # enlarged: edges stay
        left, right, top, bottom = clip[0].min(), clip[0].max(), clip[1].min(), clip[1].max()
        boxes.append([int(left), int(right) + 1, int(top), int(bottom) + 1])
    box = np.array(boxes)
    wide, high = box[:, 1] - box[:, 0], box[:, 3] - box[:, 2]
    share = wide * high / (height * width)
    assert 0.28 < share.min() < 0.33
    assert 0.57 < share.max() < 0.62
    assert 0.7 < (wide / high).min() < 0.8
    assert 1.25 < (wide / high).max() < 1.4
    assert box[:, 0].min() <= 1
    assert box[:, 1].max() >= width - 1
    assert box[:, 2].min() <= 1
    assert box[:, 3].max() >= height - 1


def test_a_crop_that_never_fits_becomes_the_largest_central_one():
    frame = coordinates(10, 200)
    clip = random_crop(frame, 64, seeded(0), scale=(1.0, 1.0))[0, :, 0].int()
    assert clip[0].min() >= 92
    assert clip[0].max() <= 107
    assert clip[1].min() == 0
    assert clip[1].max() == 9


def test_a_whole_frame_is_resized_to_a_size_that_is_not_square():
    frame = coordinates(60, 90)
    clip = random_crop(frame, (30, 45), seeded(0), scale=(1.0, 1.0))
    assert torch.equal(clip, uniform_crops(frame, (30, 45)))
    assert int(clip[0, 0].max()) >= 88


def test_three_crops_are_both_ends_and_the_middle():
    wide = uniform_crops(coordinates(40, 101), 40, 3)[:, :, 0].int()  # (3, 3, 40, 40), short side is 40 already
    assert [int(crop[0, 0, 0]) for crop in wide] == [0, 31, 61]  # 61 / 2 rounds up, as officially
    high = uniform_crops(coordinates(100, 40), 40, 3)[:, :, 0].int()
    assert [int(crop[1, 0, 0]) for crop in high] == [0, 30, 60]
    assert torch.equal(uniform_crops(coordinates(40, 101), 40)[0, :, 0].int(), wide[1])


def test_the_short_side_becomes_the_size():
    assert short_side(320, 568, 224) == (224, 397)
    assert short_side(568, 320, 224) == (397, 224)
    assert short_side(50, 50, 224) == (224, 224)


@pytest.mark.parametrize("size", [(40, 60), (31, 77), (120, 200)])
def test_resizing_is_bilinear_with_unaligned_corners(size):
    frames = noise()
    expected = functional.interpolate(
        frames.permute(0, 3, 1, 2).float(), size=size, mode="bilinear", align_corners=False
    )
    assert (resize(frames, size).permute(0, 3, 1, 2).float() - expected).abs().max() <= 1.01


def test_frames_that_shrink_much_are_averaged():
    stripes = torch.zeros(1, 96, 96, 3, dtype=torch.uint8)
    stripes[:, :, ::3] = 240
    assert resize(stripes, (12, 12))[0, 2:-2, 2:-2].float().sub(80).abs().max() < 12


def test_resizing_to_its_own_size_changes_nothing():
    assert torch.equal(resize(noise(), (60, 90)), noise())
