"""What is observed of a window: the rows around its start and its goal, as the protocol says, and nothing else."""

import re
from dataclasses import replace

import numpy as np
import pytest

from leaplan.data.sources import Features, SegmentFeatures
from leaplan.data.views import PlanningWindows
from leaplan.errors import DataError, ProblemList
from leaplan.records import WindowRef
from tests.data.made import WIDTH, annotations, moved, three_splits, video, write_features, write_segments

# --- features per second -------------------------------------------------------------------------------------


def protocol_rows(array: np.ndarray, time: float, rounding: str, window: int = 2) -> np.ndarray:
    """Rows [t - M//2, t + M//2] of second t, clipped to the array, as the reference loaders read them."""
    second = int(time) if rounding == "floor" else int(np.round(time))
    return array[np.clip(np.arange(second - window // 2, second + window // 2 + 1), 0, len(array) - 1)]


@pytest.mark.parametrize("rounding", ["round", "floor"])
@pytest.mark.parametrize("pool", ["mean", "keep", "concatenate"])
def test_an_observation_is_what_the_protocol_reads(pool, rounding, tmp_path):
    given = three_splits()
    arrays = write_features(tmp_path / "features", given)
    source = Features(pool=pool, rounding=rounding)
    given = source.restrict(given, tmp_path)
    for split in ("train", "val", "test"):
        windows = PlanningWindows(3)(given, split)
        kept, start, goal = source.observe(windows, tmp_path)
        assert kept == windows
        for row, window in enumerate(windows):
            for observed, time in ((start, window.start_time), (goal, window.goal_time)):
                rows = protocol_rows(arrays[window.video], time, rounding)
                expected = {"mean": rows.mean(0, keepdims=True), "keep": rows, "concatenate": rows.reshape(1, -1)}
                np.testing.assert_allclose(observed[row].numpy(), expected[pool], rtol=0, atol=1e-6)


def test_half_seconds_are_rounded_or_truncated(tmp_path):
    given = annotations(video("a", [0, 1]), video("b", [0, 1], "test"))  # starts 1 and 3.5, stops 3 and 5.5
    arrays = write_features(tmp_path / "features", given)
    for rounding, second in (("round", 6), ("floor", 5)):
        source = Features(goal_seconds=(0,), rounding=rounding)
        source.restrict(given, tmp_path)
        _, _, goal = source.observe(PlanningWindows(2)(given, "train"), tmp_path)
        np.testing.assert_array_equal(goal[0, 0].numpy(), arrays["a"][second])


def test_seconds_keep_their_order_and_are_clipped_at_both_ends(tmp_path):
    given = annotations(video("a", [0, 1]))
    arrays = write_features(tmp_path / "features", given, seconds=7)
    source = Features(start_seconds=(-3, -1, 0), goal_seconds=(2, 0, 1), pool="keep", rounding="floor")
    source.restrict(given, tmp_path)
    _, start, goal = source.observe(PlanningWindows(2)(given, "train"), tmp_path)  # starts at 1, ends at 5.5
    np.testing.assert_array_equal(start[0].numpy(), arrays["a"][[0, 0, 1]])
    np.testing.assert_array_equal(goal[0].numpy(), arrays["a"][[6, 5, 6]])


@pytest.mark.parametrize("seconds", range(4, 15))
def test_a_window_that_ends_beyond_the_array_is_dropped(seconds, tmp_path):
    given = annotations(video("a", [0, 1, 2, 3]), video("b", [1, 2]))
    write_features(tmp_path / "features", given, seconds=seconds)
    np.save(tmp_path / "features" / "b.npy", np.ones((30, WIDTH), np.float32))
    source = Features(rounding="floor")
    source.restrict(given, tmp_path)
    windows = PlanningWindows(2)(given, "train")
    kept, start, goal = source.observe(windows, tmp_path)
    assert kept == [w for w in windows if w.video == "b" or int(w.goal_time) < seconds]
    assert len(kept) == len(start) == len(goal)


def test_no_window_at_all_is_told(tmp_path):
    given = annotations(video("a", [0, 1]))
    write_features(tmp_path / "features", given, seconds=2)
    source = Features()
    source.restrict(given, tmp_path)
    with pytest.raises(DataError, match="all 1 windows end beyond their feature arrays"):
        source.observe(PlanningWindows(2)(given, "train"), tmp_path)


def test_videos_without_a_file_are_named_or_left_out_with_a_note(tmp_path):
    given = three_splits()
    write_features(tmp_path / "features", given)
    (tmp_path / "features" / "t_2.npy").unlink()
    with pytest.raises(ProblemList, match="no file for video t_2"):
        Features().restrict(given, tmp_path)
    left = Features(missing="skip").restrict(given, tmp_path)
    assert [v.id for v in left.videos] == ["t_1", "v", "x"]
    assert left.notes == ("1 videos without features are left out",)
    assert left.vocabulary == given.vocabulary


def test_listed_windows_of_a_missing_video_are_left_out(tmp_path):
    windows = {
        "train": (WindowRef("t_1", 1, 3), WindowRef("t_2", 0, 3)),
        "test": (WindowRef("t_2", 1, 3), WindowRef("x", 2, 3)),
    }
    given = replace(three_splits(), windows=windows)
    write_features(tmp_path / "features", given)
    (tmp_path / "features" / "t_2.npy").unlink()
    source = Features(missing="skip")
    left = source.restrict(given, tmp_path)
    assert left.windows == {"train": (WindowRef("t_1", 1, 3),), "test": (WindowRef("x", 2, 3),)}
    kept, _, _ = source.observe(PlanningWindows(3)(left, "test"), tmp_path)
    assert [window.sample_id for window in kept] == ["x:2+3"]


def test_videos_of_no_split_need_no_file(tmp_path):
    given = annotations(video("a", [0, 1, 2]), video("unused", [0, 1], ""))
    write_features(tmp_path / "features", given)
    (tmp_path / "features" / "unused.npy").unlink()
    assert Features().restrict(given, tmp_path) == given


def test_files_of_another_width_are_named_together(tmp_path):
    given = three_splits()
    arrays = write_features(tmp_path / "features", given)
    given = replace(given, videos=(*given.videos, video("z", [0, 1, 2], "test")))
    for name, width in (("t_2", 4), ("x", 5)):
        np.save(tmp_path / "features" / f"{name}.npy", arrays[name][:, :width])
    np.save(tmp_path / "features" / "z.npy", arrays["v"])
    source = Features()
    source.restrict(given, tmp_path)
    with pytest.raises(ProblemList) as refusal:
        source.observe([w for s in ("train", "val", "test") for w in PlanningWindows(3)(given, s)], tmp_path)
    folder = tmp_path / "features"
    assert refusal.value.problems == (
        f"{folder}/t_2.npy has 4 columns, but most files have 6",
        f"{folder}/x.npy has 5 columns, but most files have 6",
    )


def test_all_files_with_bad_numbers_are_named_together(tmp_path):
    given = three_splits()
    arrays = write_features(tmp_path / "features", given)
    for name in ("t_1", "t_2"):
        arrays[name][4, 0] = np.nan
        np.save(tmp_path / "features" / f"{name}.npy", arrays[name])
    source = Features()
    source.restrict(given, tmp_path)
    with pytest.raises(ProblemList) as refusal:
        source.observe(PlanningWindows(3)(given, "train"), tmp_path)
    assert len(refusal.value.problems) == 2


# --- features per segment ------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["mean", "keep", "concatenate"])
def test_segment_features_are_the_rows_around_start_and_stop(pool, tmp_path):
    given = three_splits()
    features = write_segments(tmp_path / "a.npz", given, rows=10)
    ids = [s.id for v in given.videos for s in v.segments]
    source = SegmentFeatures("a.npz", start_seconds=(-1, 0, 2), goal_seconds=(-2, 1, 0), pool=pool)
    windows = PlanningWindows(3)(source.restrict(given, tmp_path), "test")
    _, start, goal = source.observe(windows, tmp_path)
    for row, window in enumerate(windows):
        first, last = ids.index(window.segments[0]), ids.index(window.segments[-1])
        # ten rows: seconds -2 to 2 around the start, then -2 to 2 around the stop
        for observed, rows in ((start, features[first, [1, 2, 4]]), (goal, features[last, [5, 8, 7]])):
            expected = {"mean": rows.mean(0, keepdims=True), "keep": rows, "concatenate": rows.reshape(1, -1)}
            np.testing.assert_allclose(observed[row].numpy(), expected[pool], rtol=0, atol=1e-6)


def test_one_row_per_segment_is_both_observations_and_results_say_so(tmp_path):
    given = three_splits()
    features = write_segments(tmp_path / "a.npz", given, rows=0)
    ids = [s.id for v in given.videos for s in v.segments]
    source = SegmentFeatures("a.npz")
    windows = PlanningWindows(3)(source.restrict(given, tmp_path), "train")
    _, start, goal = source.observe(windows, tmp_path)
    assert start.shape == goal.shape == (len(windows), 1, WIDTH)
    for row, window in enumerate(windows):
        np.testing.assert_array_equal(start[row, 0].numpy(), features[ids.index(window.segments[0])])
        np.testing.assert_array_equal(goal[row, 0].numpy(), features[ids.index(window.segments[-1])])
    assert source.describe() == {"name": "a.npz", "start_seconds": None, "goal_seconds": None, "pool": "segment"}


@pytest.mark.parametrize("seconds", [(-3,), (3,), (0, 7)])
def test_seconds_that_the_archive_does_not_hold_are_told(seconds, tmp_path):
    given = three_splits()
    write_segments(tmp_path / "a.npz", given, rows=10)
    for name in ("start_seconds", "goal_seconds"):
        source = SegmentFeatures("a.npz", **{name: seconds})
        windows = PlanningWindows(3)(source.restrict(given, tmp_path), "train")
        with pytest.raises(DataError, match="the file holds -2 to 2"):
            source.observe(windows, tmp_path)


def test_segments_without_features_are_left_out_and_classes_that_remain_are_renumbered(tmp_path):
    given = three_splits()  # 19 segments; classes 0 to 4 of 9 occur
    write_segments(tmp_path / "a.npz", given, leave_out=("t_1:0", "t_2:1", "v:2", "x:4", "x:5", "t_1:3"))
    left = SegmentFeatures("a.npz").restrict(given, tmp_path)
    assert [step.name for step in left.vocabulary.steps] == ["step 1", "step 2", "step 3", "step 4"]
    names = {v.id: [left.vocabulary.steps[s.step].name for s in v.segments] for v in left.videos}
    assert names["t_1"] == ["step 1", "step 2", "step 1"]
    assert names["x"] == ["step 4", "step 3", "step 2", "step 1"]
    assert any(note.startswith("6 of 19 segments") for note in left.notes)


def test_a_complete_archive_leaves_no_note(tmp_path):
    given = three_splits()
    write_segments(tmp_path / "a.npz", given)
    assert SegmentFeatures("a.npz").restrict(given, tmp_path).notes == ()


def test_an_archive_of_another_dataset_is_told(tmp_path):
    given = three_splits()
    write_segments(tmp_path / "a.npz", given)
    for other in ("t_1", "t_2", "v", "x"):
        given = moved(given, other, 0.5)
    with pytest.raises(DataError, match="has no segment of made"):
        SegmentFeatures("a.npz").restrict(given, tmp_path)


def test_listed_windows_do_not_fit_features_per_segment(tmp_path):
    given = replace(three_splits(), windows={"train": (), "test": ()})
    write_segments(tmp_path / "a.npz", given)
    with pytest.raises(DataError, match="lists windows by position"):
        SegmentFeatures("a.npz").restrict(given, tmp_path)


def spoilt(name, change):
    def make(arrays):
        arrays[name] = change(arrays[name])

    return make


ARCHIVES = {
    "another number of segments": (spoilt("feats", lambda a: a[:-1]), "feats has 18 segments, but"),
    "another number of videos": (spoilt("video_id", lambda a: a[:-1]), "feats has 19 segments, but"),
    "an odd number of rows": (spoilt("feats", lambda a: a[:, :9]), "an even number of rows"),
    "four dimensions": (spoilt("feats", lambda a: a[..., None]), "feats has shape (19, 10, 6, 1)"),
    "no features": (spoilt("feats", lambda a: a[:, :, :0]), "feats has shape (19, 10, 0)"),
    "words": (spoilt("feats", lambda a: a.astype(str)), "type <U32"),
    "NaN": (spoilt("feats", lambda a: np.where(a > 1, np.nan, a)), "finite values"),
    "starts in words": (spoilt("start", lambda a: np.array(["x"] * len(a))), "start has type <U1"),
}


@pytest.mark.parametrize("mistake", ARCHIVES)
def test_a_malformed_archive_of_segments_is_told(mistake, tmp_path):
    spoil, words = ARCHIVES[mistake]
    given = three_splits()
    write_segments(tmp_path / "a.npz", given)
    with np.load(tmp_path / "a.npz") as archive:
        arrays = dict(archive)
    spoil(arrays)
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=re.escape(words)):
        SegmentFeatures("a.npz").restrict(given, tmp_path)
