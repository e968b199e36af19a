"""What cannot be read is named; what can be read before the damage is read; nothing is made up."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leaplan.errors import DataError
from leaplan.video import reader as reader_module
from leaplan.video.reader import VideoError, open_video
from tests.video.made_videos import make_audio_only, make_video, number_in

H264 = {"g": "30", "bf": "2", "threads": "1"}
VP9 = {"g": "30", "deadline": "realtime", "cpu-used": "8"}
AV1 = {"g": "30", "preset": "8", "svtav1-params": "lp=1"}


def numbers_read(path, frames=150, step=1):
    """Return by frame number what is shown in the middle of it, or the message of the error."""
    shown = {}
    with open_video(path) as video:
        for number in range(0, frames, step):
            try:
                shown[number] = number_in(video.frames_at([(number + 0.5) / 25])[0])
            except DataError as error:
                shown[number] = str(error)
    return shown


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(VideoError, match=r"gone\.mp4 cannot be read: No such file"):
        open_video(tmp_path / "gone.mp4")


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match=r"empty\.mp4 is empty \(0 bytes\)"):
        open_video(tmp_path / "empty.mp4")


@pytest.mark.parametrize("reader", ["auto", "decord", "torchcodec"])
def test_a_text_file_is_no_video(tmp_path, reader):
    pytest.importorskip(reader if reader != "auto" else "av")
    (tmp_path / "notes.mp4").write_text("404 Not Found\n" * 100)
    with pytest.raises(VideoError, match=r"notes\.mp4 cannot be"):
        open_video(tmp_path / "notes.mp4", reader)


@pytest.mark.parametrize("name", ["sound.mp4", "sound.m4a"])
def test_a_file_with_sound_only_is_told(tmp_path, name):
    with pytest.raises(VideoError, match="has no video stream, only audio"):
        open_video(make_audio_only(tmp_path / name))


def test_a_file_without_permission_is_told(tmp_path, monkeypatch):
    path = tmp_path / "secret.mp4"
    path.write_bytes(b"x")
    path.chmod(0)
    if os.access(path, os.R_OK):  # the administrator may read everything
        monkeypatch.setattr(reader_module.os, "access", lambda *_: False)
    with pytest.raises(VideoError, match="may not be read: no permission"):
        open_video(path)


def test_a_pipe_that_nobody_writes_is_timed_out(tmp_path):
    """In a process of its own, which must end although the call still hangs."""
    os.mkfifo(tmp_path / "pipe.mp4")
    program = (
        "import sys, pathlib\nfrom leaplan.video.reader import open_video, VideoError\n"
        "try:\n    open_video(pathlib.Path(sys.argv[1]), timeout=2)\nexcept VideoError as error:\n    print(error)"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "pipe.mp4")], capture_output=True, text=True, timeout=60
    )
    assert "pipe.mp4 timed out after 2 s" in done.stdout, done.stderr
    assert done.returncode == 0
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(("name", "at_least"), [("cut.mp4", 60), ("cut.mkv", 70), ("cut.webm", 70)])
def test_a_cut_off_file_shows_its_early_frames_and_tells_of_the_others(tmp_path, name, at_least):
    arguments = {"codec": "libvpx-vp9", "options": VP9} if name.endswith("webm") else {"options": H264}
    path = make_video(tmp_path / name, faststart=name.endswith("mp4"), audio=name.endswith("mkv"), **arguments)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(0.6 * len(whole))])
    shown = numbers_read(path)
    right = [number for number, value in shown.items() if value == number]
    assert right == list(range(len(right)))
    assert len(right) >= at_least
    assert all("header promises" in value or "incomplete" in value for value in list(shown.values())[len(right) :])


def test_a_cut_off_file_that_lost_its_index_is_named(tmp_path):
    path = make_video(tmp_path / "cut.mp4", frames=30, options=H264)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(VideoError, match=r"cut\.mp4 cannot be read as a video"):
        open_video(path)


@pytest.mark.parametrize("seed", range(3))
def test_frames_from_damaged_packets_are_errors(tmp_path, seed):
    path = make_video(tmp_path / "damaged.mp4", options=H264, faststart=True)
    broken = bytearray(path.read_bytes())
    middle = len(broken) // 2
    broken[middle : middle + 600] = random.Random(seed).randbytes(600)
    path.write_bytes(broken)
    shown = numbers_read(path, step=2)
    assert {value for number, value in shown.items() if isinstance(value, int) and value != number} == set()
    errors = {number: value for number, value in shown.items() if isinstance(value, str)}
    assert 0 < len(errors) <= 30  # one or two groups of pictures
    assert all("cannot be decoded" in value for value in errors.values())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "codec", "options"), [("v.webm", "libvpx-vp9", VP9), ("v.mp4", "libsvtav1", AV1)], ids=["vp9", "av1"]
)
def test_overwritten_bytes_are_told_and_show_no_wrong_frame(tmp_path, name, codec, options, seed):
    path = make_video(tmp_path / name, codec=codec, options=options)
    whole, numbers = bytearray(path.read_bytes()), random.Random(seed)
    place = numbers.randrange(len(whole) // 4, 3 * len(whole) // 4)
    whole[place : place + 64] = numbers.randbytes(64)
    path.write_bytes(whole)
    shown = numbers_read(path, step=3)
    assert not {number: said for number, said in shown.items() if said != number and isinstance(said, int)}
    assert any("cannot be decoded" in str(said) for said in shown.values())


def test_names_in_a_file_that_are_no_text_do_not_keep_its_frames_from_being_read(tmp_path):
    path = make_video(tmp_path / "v.mp4", frames=10, options=H264)
    whole = path.read_bytes()
    assert b"VideoHandler" in whole
    path.write_bytes(whole.replace(b"VideoHandler", b"Vid\xd5oHandler"))
    assert numbers_read(path, frames=10) == {number: number for number in range(10)}


def test_h264_in_avi_is_refused_because_its_times_are_guesses(tmp_path):
    path = make_video(tmp_path / "old.avi", options=H264, frames=40)
    with pytest.raises(VideoError, match=r"does not say when its frames are shown[\s\S]*ffmpeg"):
        open_video(path)


def test_a_raw_stream_without_times_is_refused(tmp_path):
    path = make_video(tmp_path / "raw.h264", options=H264, frames=40)
    with pytest.raises(VideoError, match=r"does not say when its frames are shown[\s\S]*genpts"):
        open_video(path)


def test_a_broken_file_leaves_no_open_files_behind(tmp_path):
    (tmp_path / "notes.mp4").write_text("not a video")
    sound = make_audio_only(tmp_path / "sound.mp4")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        for path in (tmp_path / "notes.mp4", sound):
            with pytest.raises(VideoError):
                open_video(path)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
