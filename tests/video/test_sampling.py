"""Which frames are looked at: the official rules, and never one that begins when nothing may be seen any more."""

import csv
import gzip

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from leaplan.video.sampling import (
    anticipation_windows,
    dense,
    frame_times,
    last_frame_before,
    segment_frames,
    sparse,
    window_numbers,
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def official_parts(frames: int, count: int) -> list[tuple[int, int]]:
    """First and last offset of each part that the official rule draws from, written from its description."""
    seg = max(0.0, float(frames - 1) / count)
    return [(int(np.round(seg * i)), int(np.round(seg * (i + 1)))) for i in range(count)]


@given(st.integers(1, 700), st.integers(1, 40), st.integers(1, 5))
def test_views_of_sparse_sampling_follow_the_official_rule(frames, count, views):
    seg = max(0.0, float(frames - 1) / count)
    for view in range(views):
        official = [int(np.round(seg * i)) + int(seg / (views + 1) * (view + 1)) for i in range(count)]
        assert sparse(frames, count, view=view, views=views).tolist() == [min(i, frames - 1) for i in official]


def test_halves_round_to_even_as_in_the_official_code():
    assert sparse(6, 10).tolist() == [0, 0, 1, 2, 2, 2, 3, 4, 4, 4]  # parts of half a frame: 0.5 -> 0, 1.5 -> 2


def test_training_draws_every_frame_of_a_part_and_no_other():
    frames, count = 38, 4
    drawn = np.stack([sparse(frames, count, seeded(seed)) for seed in range(600)])  # (600, 4)
    for column, (first, last) in zip(drawn.T, official_parts(frames, count), strict=True):
        assert set(column.tolist()) == set(range(first, last + 1))


@given(st.integers(1, 400), st.integers(1, 33), st.integers(0, 1000))
def test_training_stays_within_the_official_parts(frames, count, seed):
    drawn = sparse(frames, count, seeded(seed))
    for offset, (first, last) in zip(drawn.tolist(), official_parts(frames, count), strict=True):
        assert min(first, frames - 1) <= offset <= min(last, frames - 1)


def test_dense_sampling_is_centred_and_its_views_reach_both_ends():
    assert dense(21, 3, 5).tolist() == [5, 10, 15]
    assert [dense(21, 3, 5, view=v, views=3).tolist() for v in range(3)] == [[0, 5, 10], [5, 10, 15], [10, 15, 20]]


@given(st.integers(1, 200), st.integers(1, 20), st.integers(1, 9), st.integers(0, 99))
def test_dense_sampling_keeps_its_stride_and_repeats_the_last_frame_of_short_segments(frames, count, stride, seed):
    for offsets in (dense(frames, count, stride), dense(frames, count, stride, seeded(seed))):
        assert offsets.tolist() == [min(offsets[0] + stride * i, frames - 1) for i in range(count)]
        if frames > (count - 1) * stride:
            assert offsets[-1] == offsets[0] + stride * (count - 1)


def test_dense_training_starts_wherever_it_fits():
    assert {int(dense(21, 3, 5, seeded(s))[0]) for s in range(200)} == set(range(11))


def test_windows_are_those_of_the_paper():
    numbers, mask = anticipation_windows(start=31.025, frame_rate=60.0, count=16)
    last = int((31.025 - 1.0) * 60)  # 1801
    assert mask.tolist() == [True, True, True]
    assert numbers[2].tolist() == [last - 16 * (15 - i) for i in range(16)]
    assert numbers[1, -1] == last - 256
    assert numbers[0, 0] == last - 512 - 240


def test_frames_before_the_video_become_its_first_and_windows_before_it_are_masked():
    numbers, mask = anticipation_windows(start=6.0, frame_rate=60.0, count=4)  # last frame 299
    assert mask.tolist() == [False, True, True]
    assert numbers[1].tolist() == [0, 0, 0, 43]
    assert numbers[2].tolist() == [107, 171, 235, 299]


@pytest.mark.parametrize("start", [0.0, 0.5, 1.0])
def test_nothing_may_be_seen_where_the_gap_reaches_the_beginning(start):
    assert not anticipation_windows(start, 60.0, 8).mask.any()


@given(st.floats(0, 4000), st.sampled_from([10.0, 25.0, 30.0, 50.0, 60.0, 59.94005994]))
def test_the_last_frame_is_that_of_the_frame_rule_unless_it_begins_exactly_then(start, rate):
    seconds = start - 1.0
    last = last_frame_before(seconds, rate)
    if seconds > 0:
        whole = abs(seconds * rate - round(seconds * rate)) < 1e-8
        assert last == int(seconds * rate) or (whole and last == round(seconds * rate) - 1)
    assert last < seconds * rate <= last + 1 + 2e-9


@given(
    st.floats(0, 4000),
    st.sampled_from([10.0, 25.0, 30.0, 50.0, 60.0, 59.94005994]),
    st.integers(1, 300),
    st.sampled_from([0.0, 1.0, 0.37]),
    st.integers(0, 50),
)
def test_no_time_is_asked_for_and_no_frame_begins_when_nothing_may_be_seen(start, rate, count, align, seed):
    latest = start - 1.0
    numbers, mask = anticipation_windows(start, rate, count, align=align)
    seen = numbers[mask]
    if mask.any():
        drawn = window_numbers(last_frame_before(latest, rate, align), count, 256, seeded(seed))
        seen = np.concatenate([seen, drawn[None]])
    times = frame_times(seen.ravel(), rate, latest)
    assert (times < latest).all()
    assert (seen / rate < latest).all()
    assert (times + 1e-6 < latest).all() or latest < 2e-6  # readers take frames that begin a microsecond later


@given(st.integers(0, 200_000), st.sampled_from([10.0, 30.0, 50.0, 60.0]), st.floats(0.001, 1.0))
def test_a_time_hits_its_frame_by_presentation_and_by_the_frame_rule(number, rate, share):
    for latest in (None, (number + share) / rate):
        time = frame_times([number], rate, latest)[0]
        assert int(time * rate) == number
        assert number / rate <= time + 1e-6 < (number + 1) / rate


@given(st.floats(1.2, 3000), st.sampled_from([30.0, 50.0, 60.0]), st.sampled_from([0.5, 1.0, 2.0]))
def test_aligned_windows_end_on_the_grid_and_never_later(start, rate, align):
    last = last_frame_before(start - 1.0, rate, align)
    plain = last_frame_before(start - 1.0, rate)
    assert (last + 1) % (align * rate) == 0
    assert plain - align * rate < last <= plain


def test_training_moves_frames_of_a_window_back_by_less_than_a_stride():
    drawn = np.stack([window_numbers(999, 16, 256, seeded(s)) for s in range(300)])
    moved = window_numbers(999, 16, 256) - drawn
    assert moved.min() == 0
    assert moved.max() == 15
    assert drawn.min() >= 999 - 255


def test_views_of_a_window_move_back_evenly():
    views = [window_numbers(999, 16, 256, view=v, views=4) for v in range(4)]
    assert [int(view[-1]) for view in views] == [999, 995, 991, 987]


@pytest.mark.parametrize(
    ("start", "stop", "expected"), [(1.0, 2.0, (60, 119)), (1.0, 1.001, (60, 60)), (0.0, 0.02, (0, 0))]
)
def test_a_segment_has_the_frames_from_its_start_to_before_its_stop(start, stop, expected):
    assert segment_frames(start, stop, 60.0) == expected


def test_equal_generators_draw_equal_frames():
    for draw in (lambda g: sparse(99, 8, g), lambda g: dense(99, 8, 2, g), lambda g: window_numbers(500, 8, 256, g)):
        assert draw(seeded(3)).tolist() == draw(seeded(3)).tolist()
        assert any(draw(seeded(3)).tolist() != draw(seeded(s)).tolist() for s in (4, 5))


def test_windows_of_all_real_validation_segments_end_where_the_frame_rule_says(shared):
    files = sorted((shared / "data" / "epic100").glob("EPIC_100_validation.csv*"))
    if not files:
        pytest.skip("no annotations of EPIC-KITCHENS-100")
    opener = gzip.open if files[0].suffix == ".gz" else open
    with opener(files[0], "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    exact = 0
    for row in rows:
        hours, minutes, seconds = row["start_timestamp"].split(":")
        start = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        assert int(start * 60) == int(row["start_frame"]) or int(row["start_frame"]) == 1
        numbers, mask = anticipation_windows(start, 60.0, 16)
        rule = int((start - 1.0) * 60)
        if not mask.any():
            assert start - 1.0 <= 0
            continue
        on_frame = abs((start - 1.0) * 60 - round((start - 1.0) * 60)) < 1e-6
        exact += on_frame
        assert numbers[-1, -1] == rule or (on_frame and numbers[-1, -1] in (rule - 1, round((start - 1.0) * 60) - 1))
        assert (frame_times(numbers[mask].ravel(), 60.0, start - 1.0) < start - 1.0).all()
    assert len(rows) == 9668
    assert 0 < exact < len(rows)
