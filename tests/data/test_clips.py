"""Clips of a split: what is seen of them, their labels, and that what comes later is out of sight."""

import numpy as np
import pytest
import torch

from leaplan.data.clips import ClipSplit, unique_windows
from leaplan.data.feature_clips import clips_from_arrays, rows_of_window
from leaplan.data.views import ActionClips, AnticipationClips, Window
from leaplan.records import Step, Vocabulary
from tests.data.made import WIDTH, annotations, three_splits, video


def arrays_of(given, seconds=30, seed=0):
    rng = np.random.default_rng(seed)
    return {v.id: rng.normal(size=(seconds, WIDTH)).astype(np.float32) for v in given.videos}


def test_rows_are_spread_evenly_over_a_window():
    assert rows_of_window(Window(2.0, 10.0), 4, 30, None).tolist() == [3, 5, 7, 9]
    assert rows_of_window(Window(2.5, 3.5), 3, 30, None).tolist() == [2, 3, 3]
    assert rows_of_window(Window(28.0, 34.0), 3, 30, None).tolist() == [29, 29, 29]


def test_no_row_that_ends_after_the_latest_second_is_used():
    for latest in np.arange(0.0, 12.0, 0.1):
        rows = rows_of_window(Window(0.0, 10.0), 6, 30, float(latest))
        assert all(row + 1 <= latest + 1e-9 for row in rows)
    assert len(rows_of_window(Window(0.0, 0.9), 6, 30, 0.9)) == 0


def test_features_after_the_gap_change_nothing():
    given = annotations(*(video(f"v{i}", [0, 1, 2, 3]) for i in range(3)))
    clips = AnticipationClips(gap=1.0, context=3, window_frames=20, frame_rate=10.0)(given, "train")
    arrays = arrays_of(given)
    clean = clips_from_arrays(clips, arrays, rows=4)
    for place, clip in enumerate(clips):
        changed = {name: array.copy() for name, array in arrays.items()}
        changed[clip.video][int(np.floor(clip.latest)) :] += 100.0
        seen = clips_from_arrays([clip], changed, rows=4)
        assert torch.equal(seen.features[0], clean.features[place])
        assert torch.equal(seen.window_mask[0], clean.window_mask[place])


def test_labels_are_those_of_the_step_and_minus_one_where_there_are_none():
    given = three_splits()
    clips = ActionClips()(given, "train")
    steps = tuple(Step(s.key, s.name, None, i % 3, None) for i, s in enumerate(given.vocabulary.steps))
    vocabulary = Vocabulary(steps, (), ("a", "b", "c"))
    split = ClipSplit(clips, clips_from_arrays(clips, arrays_of(given), 2), vocabulary)
    batch = split.__getitems__([(5, 3), (5, 0)])
    assert batch["index"].tolist() == [3, 0]
    assert batch["sample_id"] == [clips[3].sample_id, clips[0].sample_id]
    assert batch["verb"].tolist() == [clips[3].step % 3, clips[0].step % 3]
    assert batch["noun"].tolist() == [-1, -1]
    assert batch["clips"].shape == (2, 1, 1, 2, WIDTH)  # (B, V, W, S, D)
    assert "program" not in batch


def test_a_window_that_segments_share_is_there_once_and_ends_before_all_of_them():
    given = annotations(video("v", [0, 1, 2, 3]))
    view = AnticipationClips(gap=0.5, context=2, window_frames=8, frame_rate=4.0, align=2.0)
    clips = view(given, "train")
    unique, at = unique_windows(clips)
    assert (
        len({clip.sample_id for clip in unique}) == len(unique) < sum(w is not None for c in clips for w in c.windows)
    )
    for row, clip in enumerate(clips):
        for column, window in enumerate(clip.windows):
            if window is None:
                assert at[row, column] == -1
                continue
            shared = unique[int(at[row, column])]
            assert shared.windows[0] == window
            assert shared.latest <= clip.latest


@pytest.mark.parametrize("replaced", [0, 2])
def test_a_replaced_clip_brings_its_own_labels(replaced):
    given = three_splits()
    clips = ActionClips()(given, "train")
    seen = clips_from_arrays(clips, arrays_of(given), 2)

    class Broken:
        def __getitem__(self, key):
            return {**seen[replaced], "broken": [("t_1", "it is cut off")]} if key == 1 else seen[key]

    batch = ClipSplit(clips, Broken(), given.vocabulary).__getitems__([1, 4])
    assert batch["sample_id"] == [clips[replaced].sample_id, clips[4].sample_id]
    assert batch["step"].tolist() == [clips[replaced].step, clips[4].step]
    assert batch["broken"] == [("t_1", "it is cut off")]
