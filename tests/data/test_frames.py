"""Clips from videos: the same whatever order and process, exact about which frames, honest about broken files."""

import os
import pickle
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from leaplan.data import video_files
from leaplan.data.frames import Frames
from leaplan.data.views import ActionClips, AnticipationClips, Clip, Window
from leaplan.errors import ConfigError, DataError
from leaplan.records import Segment, Video
from leaplan.video.reader import VideoError
from tests.data.made import annotations
from tests.video.made_videos import make_video, number_in

RATE, FRAMES = 25, 150  # of each film: 6 seconds
SIZE = (120, 160)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """A folder with videos/a.mp4 and videos/b.mp4, whose frames show their numbers."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "videos").mkdir()
    make_video(folder / "videos" / "a.mp4", frames=FRAMES, rate=RATE, options={"g": "12"})
    shutil.copy(folder / "videos" / "a.mp4", folder / "videos" / "b.mp4")
    return folder


def film(name: str, *times: tuple[float, float], split: str = "train") -> Video:
    segments = tuple(Segment(f"{name}:{i}", start, stop, 0) for i, (start, stop) in enumerate(times))
    return Video(name, None, None, split, segments, frame_rate=float(RATE))


def two_films():
    return annotations(film("a", (0.0, 1.0), (1.2, 3.4), (4.0, 5.9)), film("b", (0.5, 4.5), (2.0, 5.0)))


def seen(folder: Path, training: bool = False, given=None, view=None, **settings):
    source = Frames(**{"frames": 4, "size": SIZE, **settings})
    kept = source.restrict(given or two_films(), folder)
    return source.clips((view or ActionClips())(kept, "train"), folder, training)


def numbers(clips: torch.Tensor) -> list[list[int]]:
    """Return the numbers that the frames (W, 3, T, H, W') show."""
    return [[number_in(frame.permute(1, 2, 0).numpy()) for frame in window.unbind(1)] for window in clips]


def same(a: dict, b: dict) -> bool:
    return (a["index"], a["broken"]) == (b["index"], b["broken"]) and torch.equal(a["clips"], b["clips"])


def test_a_clip_shows_the_frames_of_the_official_rule(films):
    clips = seen(films)
    assert len(clips) == 5
    sample = clips[1]
    assert sample["clips"].shape == (1, 1, 3, 4, *SIZE)
    assert sample["clips"].dtype == torch.uint8
    assert sample["window_mask"].tolist() == [True]
    seg = (int(3.4 * 25) - 30 - 1) / 4
    assert numbers(sample["clips"][0]) == [[30 + int(np.round(seg * i)) + int(seg / 2) for i in range(4)]]


def test_temporal_views_and_crops_are_all_shown(films):
    sample = seen(films, size=48, crops=3, clips=2)[1]
    assert sample["clips"].shape == (6, 1, 3, 4, 48, 48)
    one = seen(films, size=48, crops=1, clips=2)[1]["clips"]
    assert torch.equal(sample["clips"][[1, 4]], one)


def test_dense_sampling_keeps_its_stride(films):
    assert numbers(seen(films, sampling="dense", stride=3)[4]["clips"][0]) == [[50 + 32 + 3 * i for i in range(4)]]


def test_windows_before_a_segment_show_what_the_view_says_and_nothing_later(films):
    view = AnticipationClips(gap=1.0, context=3, window_frames=40)
    clips = seen(films, view=view)
    last = clips[2]  # starts at 4.0 s: frames up to 74
    assert last["window_mask"].tolist() == [False, True, True]
    assert numbers(last["clips"][0, 1:]) == [[4, 14, 24, 34], [44, 54, 64, 74]]
    assert not last["clips"][0, 0].any()
    assert clips[0]["window_mask"].tolist() == [False, False, False]


def test_training_before_a_segment_never_sees_later_frames(films):
    clips = seen(films, True, view=AnticipationClips(context=2, window_frames=40), crop_scale=(1.0, 1.0))
    drawn = [numbers(clips[epoch, 2]["clips"][0]) for epoch in range(12)]
    assert max(n for windows in drawn for n in windows[1]) <= 74
    assert min(n for windows in drawn for n in windows[1]) >= 35
    assert len({tuple(windows[1]) for windows in drawn}) > 6


def test_replacing_all_that_may_not_be_seen_changes_nothing(films, tmp_path):
    frames = [Image.fromarray(np.full((24, 32, 3), n, np.uint8)) for n in range(120)]
    for name, later in (("real", 0), ("other", 100)):
        folder = tmp_path / name / "videos" / "a"
        folder.mkdir(parents=True)
        for n, frame in enumerate(frames, 1):
            begins = n / 30  # the rule: frame n is shown from n / F on
            changed = Image.fromarray(np.full((24, 32, 3), 255, np.uint8)) if later and begins >= 2.51 - 1.0 else frame
            changed.save(folder / f"frame_{n:010d}.png")
    given = annotations(replace(film("a", (2.51, 3.0)), frame_rate=30.0))
    pictures = []
    for name in ("real", "other"):
        clips = seen(tmp_path / name, True, given, AnticipationClips(context=2, window_frames=16), size=(24, 32))
        pictures.append(torch.stack([clips[epoch, 0]["clips"] for epoch in range(8)]))
    assert torch.equal(*pictures)
    assert pictures[0].max() < 255


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("window", [Window(0.0, 2.04, 30, 50), Window(1.0, 2.2)])
def test_a_view_that_asks_for_the_future_is_never_served_nor_skipped(films, training, window):
    def cheat(*_):
        return [Clip("cheat", "a", 0, 25.0, (window,), latest=2.0), Clip("other", "a", 0, 25.0, (Window(0, 1),))]

    with pytest.raises(ValueError, match=r"clip cheat would see frame 5\d, but nothing from 2\.0 s"):
        seen(films, training, view=cheat)[0]


def test_samples_do_not_depend_on_order_or_on_what_was_drawn_before(films):
    torch.manual_seed(5)
    first, second = seen(films, True), seen(films, True)
    forward = {i: first[2, i] for i in range(5)}
    torch.rand(100)
    assert all(same(second[2, i], forward[i]) for i in (3, 0, 4, 2, 1))
    assert same(first[0], first[0, 0])
    assert not same(first[3, 1], forward[1])


def test_another_seed_of_the_run_draws_other_crops(films):
    torch.manual_seed(5)
    first = seen(films, True)[0]
    torch.manual_seed(6)
    assert not same(first, seen(films, True)[0])


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_draw_what_this_process_draws(films, workers):
    torch.manual_seed(5)
    clips = seen(films, True)
    alone = [clips[1, i] for i in range(5)]
    loader = DataLoader(clips, batch_size=None, sampler=[(1, i) for i in range(5)], num_workers=workers)
    assert all(same(a, b) for a, b in zip(loader, alone, strict=True))


def test_a_split_can_be_sent_to_a_process_that_is_started_anew(films):
    clips = seen(films)
    first = clips[0]
    assert same(pickle.loads(pickle.dumps(clips))[0], first)


def test_clips_that_follow_each_other_open_their_video_once(films, monkeypatch):
    opened = []
    real = video_files.open_video
    monkeypatch.setattr(
        video_files, "open_video", lambda path, *a, **k: opened.append(path.name) or real(path, *a, **k)
    )
    clips = seen(films)
    for i in range(5):
        clips[i]
    assert opened == ["a.mp4", "b.mp4"]


def test_no_more_than_a_few_videos_stay_open(films, monkeypatch):
    for name in "cdefg":
        shutil.copy(films / "videos" / "a.mp4", films / "videos" / f"{name}.mp4")
    clips = seen(films, given=annotations(*(film(n, (0.0, 1.0)) for n in "abcdefg")))
    for i in range(7):
        clips[i]
    assert len(clips.videos._open) == clips.videos.limit


@pytest.fixture
def with_broken(films, tmp_path) -> Path:
    """The films, of which b is empty and c is cut off."""
    (tmp_path / "videos").mkdir()
    content = (films / "videos" / "a.mp4").read_bytes()
    (tmp_path / "videos" / "a.mp4").write_bytes(content)
    (tmp_path / "videos" / "b.mp4").write_bytes(b"")
    (tmp_path / "videos" / "c.mp4").write_bytes(content[: len(content) // 3])
    return tmp_path


def broken_films():
    return annotations(film("b", (0.5, 4.5)), film("c", (0.0, 5.0)), film("a", (0.0, 1.0), (1.0, 3.0)))


def test_in_training_a_clip_of_a_broken_video_is_replaced_by_one_that_works_and_reported(with_broken):
    clips = seen(with_broken, True, broken_films())
    samples = [clips[0], clips[1]]
    assert {sample["index"] for sample in samples} <= {2, 3}
    assert [video for sample in samples for video, _ in sample["broken"]] == ["b", "c"]  # each for itself, once
    assert "empty" in samples[0]["broken"][0][1]
    assert "c.mp4" in samples[1]["broken"][0][1]
    assert same(samples[0], clips[0])
    assert clips[3]["broken"] == []


def test_a_broken_video_of_many_clips_is_replaced_by_many_others(with_broken):
    many = film("b", *[(i / 10, 4.5) for i in range(40)])
    good = film("a", *[(i / 10, 4.5) for i in range(40)])
    clips = seen(with_broken, True, annotations(many, good), frames=1, size=8)
    samples = [clips[3, i] for i in range(40)]
    assert sum(len(sample["broken"]) for sample in samples) == 40
    shown = [sample["index"] for sample in samples]
    assert min(shown) >= 40
    assert len(set(shown)) > 20
    assert [clips[4, i]["index"] for i in range(40)] != shown


def test_a_replaced_clip_is_the_same_whatever_a_process_knows_of_broken_videos(with_broken):
    torch.manual_seed(5)
    fresh = seen(with_broken, True, broken_films())[1, 0]
    torch.manual_seed(5)
    knowing = seen(with_broken, True, broken_films())
    for i in range(4):
        knowing[0, i]
    assert same(knowing[1, 0], fresh)


def test_in_evaluation_a_broken_video_is_an_error_that_names_clip_and_file(with_broken):
    clips = seen(with_broken, False, broken_films())
    with pytest.raises(VideoError, match=r"clip b:0: .*b\.mp4"):
        clips[0]
    assert clips[2]["index"] == 2


def test_where_no_video_works_training_stops(with_broken):
    clips = seen(with_broken, True, annotations(film("b", (0.5, 4.5)), film("c", (0.0, 5.0))))
    with pytest.raises(VideoError, match="none of 2 videos"):
        clips[0]


def test_a_segment_beyond_its_video_is_an_error_in_evaluation_and_skipped_in_training(films):
    given = annotations(film("a", (5.0, 6.6)), film("b", (0.0, 1.0)))
    with pytest.raises(DataError, match=r"clip a:0: .*6\.600 s, but video a ends at 6\.0"):
        seen(films, False, given)[0]
    sample = seen(films, True, given)[0]
    assert sample["index"] == 1
    assert sample["broken"][0][0] == "a"


def test_a_segment_that_ends_a_little_late_is_seen_up_to_the_end(films):
    sample = seen(films, given=annotations(film("a", (5.0, 6.4))))[0]
    assert numbers(sample["clips"][0]) == numbers(seen(films, given=annotations(film("a", (5.0, 6.0))))[0]["clips"][0])


def test_a_clip_without_a_frame_rate_is_counted_in_the_files_own(films):
    given = annotations(replace(film("a", (1.2, 3.4)), frame_rate=None))
    assert torch.equal(seen(films, given=given)[0]["clips"], seen(films)[1]["clips"])


def test_videos_are_found_as_files_folders_and_tars_and_with_persons(tmp_path):
    for name in ("a.MP4", "b.webm", "P01/c.mkv", "P01/videos/d.MP4", "P02/rgb_frames/e.tar", "f_360p.mp4", "x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("g", "P02/rgb_frames/h", "a"):
        (tmp_path / name).mkdir(parents=True)
    found = video_files.index_videos(tmp_path, "abcdefghx")
    assert {name: str(path.relative_to(tmp_path)) for name, path in found.items()} == {
        "a": "a.MP4",
        "b": "b.webm",
        "c": "P01/c.mkv",
        "d": "P01/videos/d.MP4",
        "e": "P02/rgb_frames/e.tar",
        "f": "f_360p.mp4",
        "g": "g",
        "h": "P02/rgb_frames/h",
    }


def test_missing_videos_are_an_error_or_left_out_as_asked(films):
    given = annotations(film("a", (0.0, 1.0)), film("absent", (0.0, 1.0)))
    with pytest.raises(DataError, match="no file for video absent"):
        Frames().restrict(given, films)
    kept = Frames(missing="skip").restrict(given, films)
    assert [video.id for video in kept.videos] == ["a"]
    assert "1 videos without a file" in kept.notes[-1]
    with pytest.raises(DataError, match="does not exist"):
        Frames(folder="nowhere").restrict(given, films)


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"size": (0, 3)}, {"crop_scale": (0.5, 1.2)}, {"sampling": "all"}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Frames(**wrong)


def test_results_tell_how_frames_were_seen():
    told = Frames(frames=16, sampling="dense", stride=3, size=(48, 64)).describe()
    assert (told["frames"], told["stride"], told["size"], told["flip"]) == (16, 3, [48, 64], False)
    assert Frames(frames=16).rows == 16
    assert Frames.width == 0


def test_a_number_outside_the_split_is_an_index_error(films):
    with pytest.raises(IndexError):
        seen(films)[5]


def test_a_window_that_may_not_be_seen_needs_no_video():
    clip = Clip("s", "gone", 0, 25.0, (None, None), latest=-0.5)
    source = Frames(frames=2, size=8)
    source._files = {"gone": Path("gone.mp4")}
    sample = source.clips([clip], Path(), False)[0]
    assert sample["clips"].shape == (1, 2, 3, 2, 8, 8)
    assert not sample["window_mask"].any()


def test_a_frame_wanted_twice_is_decoded_once(films, monkeypatch):
    clips = seen(films, given=annotations(film("a", (0.0, 0.08))))
    asked = []
    reader = clips.videos.get(clips.files["a"], 25.0, None)
    real = reader.frames_at
    monkeypatch.setattr(reader, "frames_at", lambda times: asked.extend(times) or real(times))
    assert numbers(clips[0]["clips"][0]) == [[0, 0, 0, 1]]
    assert asked == [0.02, 0.06]


def test_a_video_that_does_not_answer_is_waited_for_once(films, tmp_path):
    (tmp_path / "videos").mkdir()
    shutil.copy(films / "videos" / "a.mp4", tmp_path / "videos" / "a.mp4")
    os.mkfifo(tmp_path / "videos" / "b.mp4")
    given = annotations(film("b", (0.0, 1.0), (1.0, 2.0)), film("a", (0.0, 1.0)))
    clips = seen(tmp_path, True, given, timeout=0.3)
    began = time.monotonic()
    samples = [clips[0], clips[1], clips[0]]
    assert 0.2 < time.monotonic() - began < 1.2
    assert [sample["index"] for sample in samples] == [2, 2, 2]
    assert "timed out" in samples[2]["broken"][0][1]
