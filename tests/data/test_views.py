"""Annotations to samples: every T consecutive segments, with ids that last."""

from pathlib import Path

import pytest

from leaplan.data.captaincook4d import read_captaincook4d
from leaplan.data.coin import read_coin
from leaplan.data.crosstask import read_crosstask
from leaplan.data.epic_kitchens import read_epic_kitchens
from leaplan.data.niv import read_niv
from leaplan.data.synthetic import read_synthetic
from leaplan.data.views import ActionClips, AnticipationClips, PlanningWindows
from leaplan.errors import DataError
from leaplan.records import Annotations
from tests.data.made import annotations, three_splits, video

SPLITS = ("train", "val", "test", "")
READERS = {
    "crosstask": lambda root: read_crosstask(root, "pdpp"),
    "coin": read_coin,
    "niv": read_niv,
    "epic": read_epic_kitchens,
    "captaincook4d": read_captaincook4d,
}


def brute_force(given: Annotations, split: str, horizon: int) -> list[tuple]:
    """Try every video, every first segment and every length."""
    found = []
    for v in given.videos:
        for first in range(len(v.segments)):
            run = v.segments[first : first + horizon]
            if v.split == split and len(run) == horizon:
                steps = tuple(s.step for s in run)
                ids = tuple(s.id for s in run)
                task = -1 if v.task is None else v.task
                found.append((f"{v.id}:{first}+{horizon}", v.id, ids, run[0].start, run[-1].stop, steps, task))
    return found


def as_tuples(given: Annotations, split: str, horizon: int) -> list[tuple]:
    return [
        (w.sample_id, w.video, w.segments, w.start_time, w.goal_time, w.steps, w.task)
        for w in PlanningWindows(horizon)(given, split)
    ]


@pytest.mark.parametrize("horizon", range(1, 9))
def test_windows_are_every_run_of_consecutive_segments(horizon):
    given = three_splits()
    for split in SPLITS:
        assert as_tuples(given, split, horizon) == brute_force(given, split, horizon)


@pytest.mark.parametrize("horizon", range(2, 9))
@pytest.mark.parametrize("dataset", READERS)
def test_any_dataset_can_be_planned_at_any_horizon(dataset, horizon, request):
    given = READERS[dataset](request.getfixturevalue(dataset))
    for split in SPLITS:
        assert as_tuples(given, split, horizon) == brute_force(given, split, horizon)


@pytest.mark.parametrize("dataset", ["crosstask", "niv", "epic_kitchens", "captaincook4d", "coin"])
def test_any_real_dataset_can_be_planned_at_any_horizon(dataset, read_real):
    protocols = {"coin": "pdpp", "epic_kitchens": "official", "niv": "schema", "crosstask": "base"}
    given = read_real(dataset, protocols.get(dataset, "recordings"))
    for horizon in range(2, 9):
        assert as_tuples(given, "test", horizon) == brute_force(given, "test", horizon)


@pytest.mark.slow
def test_the_synthetic_kitchen_can_be_planned_at_any_horizon(tmp_path: Path):
    given = read_synthetic(tmp_path, videos=8)
    for horizon in range(2, 9):
        for split in SPLITS:
            assert as_tuples(given, split, horizon) == brute_force(given, split, horizon)


def test_sample_ids_are_unique_and_do_not_depend_on_other_videos():
    given = three_splits()
    ids = [w[0] for horizon in range(1, 7) for split in SPLITS for w in as_tuples(given, split, horizon)]
    assert len(ids) == len(set(ids))
    alone = annotations(*given.videos[3:])
    assert as_tuples(alone, "test", 3) == as_tuples(given, "test", 3)


def test_a_video_without_a_task_gives_minus_one():
    given = annotations(video("a", [0, 1, 2], task=None))
    assert [w.task for w in PlanningWindows(3)(given, "train")] == [-1]


@pytest.mark.parametrize("horizon", [0, -1, 33])
def test_a_horizon_that_is_no_plan_is_refused(horizon):
    with pytest.raises(DataError, match=f"horizon is {horizon}"):
        PlanningWindows(horizon)


@pytest.mark.filterwarnings("ignore:.*also training videos")
def test_listed_windows_are_those_of_the_list_and_have_one_horizon(niv):
    given = read_niv(niv, "p3iv")
    assert [w[:2] for w in as_tuples(given, "train", 3)] == [("tire_01:0+3", "tire_01")]
    assert as_tuples(given, "test", 3) == []
    with pytest.raises(DataError, match="lists windows of 3 steps, but the horizon is 4"):
        PlanningWindows(4)(given, "train")


def test_action_clips_are_the_segments():
    given = three_splits()
    clips = ActionClips()(given, "train")
    expected = [(s.id, v.id, s.start, s.stop, s.step) for v in given.videos[:2] for s in v.segments]
    assert [(c.sample_id, c.video, c.windows[0].start, c.windows[0].stop, c.step) for c in clips] == expected
    assert all(c.windows[0].segment == c.sample_id and c.latest is None for c in clips)


def test_no_frame_of_an_anticipation_window_begins_later_than_the_gap_allows(epic):
    given = read_epic_kitchens(epic)
    for split in ("train", "test"):
        starts = {s.id: s.start for v in given.of_split(split) for s in v.segments}
        for clip in AnticipationClips(gap=1.0)(given, split):
            assert clip.latest == starts[clip.sample_id] - 1.0
            for window in filter(None, clip.windows):
                assert window.last / clip.frame_rate < clip.latest
                assert 0 <= window.first <= window.last


def frames_by_the_rule(start: float, rate: int) -> list[tuple[int, int]]:
    """LEAP's three windows of 256 frames by EPIC's rule for frame numbers, newest first, uncut."""
    last = int((start - 1.0) * rate)
    return [(last - 256 * q - 255, last - 256 * q) for q in range(3)]


def test_windows_of_all_epic_validation_segments_follow_the_frame_rule(read_real):
    given = read_real("epic_kitchens")
    segments = {s.id: s for v in given.of_split("test") for s in v.segments}
    clips = AnticipationClips()(given, "test")
    assert len(clips) == 9668
    whole = blind = stricter = 0
    for clip in clips:
        start, rate = segments[clip.sample_id].start, int(clip.frame_rate)
        blind += clip.windows[-1] is None
        seen = [w for w in clip.windows[::-1] if w is not None]
        for (first, last), window in zip(frames_by_the_rule(start, rate), seen, strict=False):
            shift = last - window.last  # 1 where the frame of the rule begins exactly a second before the action
            assert shift in (0, 1)
            assert window.first == max(0, first - shift)
            if shift and window is seen[0]:
                assert abs(last / rate - (start - 1.0)) < 1e-6
        stricter += bool(seen) and frames_by_the_rule(start, rate)[0][1] != seen[0].last
        whole += len(seen) == 3 and seen[-1].last - seen[-1].first == 255
    assert blind == 28  # segments that start within the first second
    assert round(whole / len(clips), 2) == 0.94
    assert 0 < stricter < 0.3 * len(clips)


def test_aligned_windows_end_on_a_grid_and_never_later():
    given = three_splits()
    free, grid = AnticipationClips(0.5, 2, 8, 4.0), AnticipationClips(0.5, 2, 8, 4.0, align=2.0)
    for one, other in zip(free(given, "train"), grid(given, "train"), strict=True):
        for window, aligned in zip(one.windows, other.windows, strict=True):
            if aligned is not None:
                assert aligned.last <= window.last
                assert (aligned.last + 1) % 8 == 0


def test_a_window_carries_the_program_of_the_segment_that_fills_it_most():
    given = annotations(video("v", [0, 1, 2]))  # from 1 to 3, 3.5 to 5.5, 6 to 8 seconds
    clip = AnticipationClips(gap=0.5, context=3, window_frames=8, frame_rate=4.0)(given, "train")[2]
    assert [None if w is None else (w.start, w.stop, w.segment) for w in clip.windows] == [
        (0.0, 1.5, "v:0"),
        (1.5, 3.5, "v:0"),
        (3.5, 5.5, "v:1"),
    ]


@pytest.mark.parametrize("wrong", [{"gap": -1.0}, {"context": 0}, {"window_frames": 0}, {"align": -0.1}])
def test_settings_that_give_no_windows_are_refused(wrong):
    with pytest.raises(DataError, match=r"--data\.view"):
        AnticipationClips(**wrong)
