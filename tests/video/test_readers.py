"""Every frame is the one that is shown at the time asked for, whatever the codec, the container and the order."""

import os
import random
import resource
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from leaplan.errors import ConfigError, DataError
from leaplan.video.pyav_reader import PyAVFrames
from leaplan.video.reader import GuardedReader, VideoError, open_video
from tests.video.made_videos import (
    cut_without_decoding,
    make_video,
    number_in,
    picture,
    sequential_truth,
    shown_at,
)

B_FRAMES = {"g": "30", "bf": "3", "threads": "1"}
OPEN_GOP = {"threads": "1", "x264-params": "open-gop=1:keyint=30:min-keyint=30:bframes=4:b-adapt=0:scenecut=0"}
HEVC = {"x265-params": "keyint=30:bframes=4:log-level=none:pools=none:frame-threads=1"}
VP9 = {"g": "30", "auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime", "cpu-used": "8"}
AV1 = {"g": "30", "preset": "8", "crf": "20", "svtav1-params": "lp=1"}


def irregular(number):
    """Presentation ticks of 1/12800 s, 21 to 104 ms apart."""
    return number * 512 + 120 * (number % 3) + 700 * (number // 7)


KINDS = {
    "h264 with B-frames, mp4": ("plain.mp4", {"options": B_FRAMES}),
    "h264, one key frame, mp4": ("long.mp4", {"options": {"g": "250", "bf": "2", "threads": "1"}}),
    "h264, open GOP, mp4": ("open.mp4", {"options": OPEN_GOP}),
    "h264, open GOP, mkv": ("open.mkv", {"options": OPEN_GOP}),
    "h264, late start, ts": ("late.ts", {"options": B_FRAMES}),
    "h264, refreshed bit by bit": (
        "refresh.mp4",
        {"options": {"threads": "1", "x264-params": "intra-refresh=1:keyint=40"}},
    ),
    "hevc, mp4": ("hevc.mp4", {"codec": "libx265", "options": HEVC}),
    "hevc, mkv": ("hevc.mkv", {"codec": "libx265", "options": HEVC}),
    "vp9, webm": ("vp9.webm", {"codec": "libvpx-vp9", "options": VP9}),
    "av1, mp4": ("av1.mp4", {"codec": "libsvtav1", "options": AV1}),
    "variable frame rate, mp4": ("vfr.mp4", {"options": B_FRAMES, "ticks": irregular}),
    "variable frame rate, mkv": ("vfr.mkv", {"options": B_FRAMES, "ticks": irregular}),
    "mpeg-4, mp4": ("mpeg4.mp4", {"codec": "mpeg4", "options": {"g": "30", "bf": "2"}}),
    "mpeg-4, avi": ("mpeg4.avi", {"codec": "mpeg4", "options": {"g": "30", "bf": "2"}}),
}
CUTS = {"h264, edit list": ("h264 with B-frames, mp4", 40), "hevc, edit list": ("hevc, mp4", 40)}
CUTS["h264, open GOP, edit list"] = ("h264, open GOP, mp4", 47)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Return a function from the name of a kind to its file, with its times and numbers; each is made once."""
    folder, made = tmp_path_factory.mktemp("videos"), {}

    def video(kind):
        if kind not in made:
            if kind in CUTS:
                source, start = CUTS[kind]
                path = cut_without_decoding(video(source)[0], folder / f"cut-{KINDS[source][0]}", start)
            else:
                name, arguments = KINDS[kind]
                path = make_video(folder / name, frames=120, **arguments)
            made[kind] = (path, *sequential_truth(path))
        return made[kind]

    return video


@pytest.fixture(scope="module")
def plain(videos):
    return videos("h264 with B-frames, mp4")


def random_times(last, count=40, seed=1):
    numbers = random.Random(seed)
    return [numbers.uniform(0.0, last + 0.03) for _ in range(count)]


@pytest.mark.parametrize("kind", [*KINDS, *CUTS])
def test_no_frame_is_wrong(videos, kind):
    path, times, numbers = videos(kind)
    begins = CUTS[kind][1] if kind in CUTS else 0
    assert numbers == list(range(begins, begins + len(numbers)))  # the truth itself
    wanted = random_times(times[-1])
    right = [shown_at(times, numbers, wanted_time) for wanted_time in wanted]
    with open_video(path) as video:
        assert [number_in(video.frames_at([each])[0]) for each in wanted] == right
        assert [number_in(frame) for frame in video.frames_at(wanted)] == right
        assert video.duration == pytest.approx(times[-1] + 0.04, abs=0.021 if "variable" not in kind else 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["decord", "torchcodec"])
def test_how_often_readers_that_auto_never_takes_are_wrong(videos, plain, reader, capfd):
    try:
        open_video(plain[0], reader).close()
    except ConfigError as error:
        pytest.skip(error.what)
    lines = []
    for kind in [*KINDS, *CUTS]:
        path, times, numbers = videos(kind)
        wanted = random_times(times[-1], 10)
        try:
            with open_video(path, reader) as video:
                shown = [number_in(video.frames_at([each])[0]) for each in wanted]
        except DataError as error:
            lines.append(f"{kind}: {error.what.split('/')[-1]}")
            continue
        wrong = sum(a != shown_at(times, numbers, each) for a, each in zip(shown, wanted, strict=True))
        lines.append(f"{kind}: {wrong} of 10 frames wrong")
    capfd.readouterr()  # decord's own complaints
    with capfd.disabled():
        print(f"\n{reader}, when forced:", *lines, sep="\n  ")
    assert "h264 with B-frames, mp4: 0 of 10 frames wrong" in lines


@pytest.mark.parametrize("reader", ["decord", "torchcodec"])
def test_other_readers_agree_on_plain_files_where_they_are_installed(plain, reader):
    path, times, numbers = plain
    try:
        video = open_video(path, reader)
    except ConfigError as error:
        pytest.skip(error.what)
    with video:
        wanted = random_times(times[-1], count=8)
        assert [number_in(frame) for frame in video.frames_at(wanted)] == [shown_at(times, numbers, t) for t in wanted]
        assert (video.frame_rate, video.duration) == (25.0, pytest.approx(times[-1] + 0.04))
        assert [number_in(frame) for frame in video.frames_at([times[-1] + 0.03, 0.0])] == [numbers[-1], numbers[0]]
        with pytest.raises(DataError, match="beyond the video"):
            video.frames_at([times[-1] + 0.6])
    with open_video(path, reader, latest=1.0) as video:
        assert number_in(video.frames_at([np.nextafter(1.0, 0.0)])[0]) == 24


def test_frames_come_in_the_order_asked_for_and_may_repeat(plain):
    path, _, _ = plain
    with open_video(path) as video:
        frames = video.frames_at([3.02, 0.0, 3.02, -5.0, 1.5, 1.499])
        assert frames.shape == (6, 120, 160, 3)
        assert frames.dtype == np.uint8
        assert [number_in(frame) for frame in frames] == [75, 0, 75, 0, 37, 37]


def test_a_frame_is_shown_from_its_time_on(plain):
    path, _, _ = plain
    with open_video(path) as video:
        assert [number_in(f) for f in video.frames_at([0.99, 1.0 - 2e-6, 1.0 - 1e-7, 1.0, 1.0399])] == [
            24,
            24,
            25,
            25,
            25,
        ]


def test_the_last_frame_stands_for_half_a_second_after_the_end(plain):
    path, times, numbers = plain
    end = times[-1] + 0.04
    with open_video(path) as video:
        assert number_in(video.frames_at([end + 0.49])[0]) == numbers[-1]
        with pytest.raises(DataError, match=r"beyond the video: it ends at 4\.80 s"):
            video.frames_at([end + 0.51])
        assert number_in(video.frames_at([0.5])[0]) == 12  # still usable


def test_a_video_that_slows_down_at_its_end_lasts_until_its_last_frame_was_shown(tmp_path):
    """An MP4 header adds up durations in the order of decoding, which is too short for reordered frames."""
    path = make_video(tmp_path / "slow.mp4", options=B_FRAMES, ticks=lambda n: n * 512 + 2000 * max(0, n - 140))
    last = sequential_truth(path)[0][-1]
    with open_video(path) as video:
        assert last < video.duration == pytest.approx(last + 2512 / 12800)
        assert [number_in(frame) for frame in video.frames_at([0.0, video.duration])] == [0, 149]


def test_reading_on_needs_no_second_decoding(videos, monkeypatch):
    path, _, _ = videos("h264, one key frame, mp4")
    frames = PyAVFrames(path)
    decoded = count_packets(frames, monkeypatch)
    for start in range(0, 112, 16):
        shown = frames.read([(start + k + 0.5) / 25 for k in range(16)])
        assert [number_in(frame) for frame in shown] == list(range(start, start + 16))
    frames.close()
    assert len(decoded) <= 112 + 3


@pytest.mark.parametrize("latest", [None, 4.5])
def test_only_groups_with_wanted_frames_are_decoded_once_and_up_to_the_last_one(plain, monkeypatch, latest):
    path, _, _ = plain  # key frames at 0, 30, 60, 90
    frames = PyAVFrames(path, latest)
    decoded = count_packets(frames, monkeypatch)
    wanted = [2, 5, 31, 33, 93, 92]
    assert [number_in(frame) for frame in frames.read([(n + 0.5) / 25 for n in wanted])] == wanted
    frames.close()
    ahead = 0 if latest else 3  # frames that the codec holds back
    assert len(decoded) == len(set(decoded))
    assert {n for n in decoded if 60 <= n < 90} == set()
    assert len([n for n in decoded if n < 30]) <= 5 + 4  # a B-frame may need the P-frame behind it
    assert len([n for n in decoded if n >= 90]) <= 4 + 4 + ahead


@pytest.mark.parametrize("kind", ["h264 with B-frames, mp4", "h264, open GOP, mkv", "hevc, mp4", "h264, edit list"])
def test_nothing_from_the_latest_time_on_is_decoded_unless_earlier_frames_build_upon_it(videos, monkeypatch, kind):
    path, times, numbers = videos(kind)
    for latest in (1.0, 1.48, 2.0, times[31], 3.3):
        frames = PyAVFrames(path, latest)
        given = count_packets(frames, monkeypatch, by_time=True)
        before = np.nextafter(latest, 0.0)
        last = max(i for i, t in enumerate(times) if t < latest)
        assert number_in(frames.read([before])[0]) == numbers[last]
        # In decoding order, no packet follows that of the last wanted frame.
        assert given[-1] == pytest.approx(times[last], abs=1e-3)
        frames.close()


def test_asking_for_the_latest_time_or_later_is_an_error(plain):
    path, _, _ = plain
    with open_video(path, latest=1.0) as video:
        assert video.latest == 1.0
        assert number_in(video.frames_at([0.9999999])[0]) == 24  # 25 begins at 1.0, within the tolerance
        for time_asked in (1.0, 1.5, float("nan"), float("inf")):
            with pytest.raises(DataError):
                video.frames_at([0.5, time_asked])
    for latest in (0.0, -1.0, float("nan")):
        with pytest.raises(DataError, match="nothing of"):
            open_video(path, latest=latest)


def test_frames_after_the_latest_time_do_not_change_what_is_seen(tmp_path, plain):
    """The bytes of all packets behind the last needed one are destroyed: the frames before stay the same."""
    path, _, _ = plain
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    broken = bytearray(path.read_bytes())
    for position, size in packets[44:]:  # the first 41 frames in order of presentation, and what they need
        broken[position : position + size] = b"\xff" * size
    (tmp_path / "future.mp4").write_bytes(broken)
    wanted = [k / 10 + 0.02 for k in range(16)]
    with open_video(path, latest=1.6) as whole, open_video(tmp_path / "future.mp4", latest=1.6) as cut:
        np.testing.assert_array_equal(whole.frames_at(wanted), cut.frames_at(wanted))
        np.testing.assert_array_equal(whole.frames_at([1.59]), cut.frames_at([1.59]))


def count_packets(frames, monkeypatch, by_time=False):
    """Return a list that fills with the frame numbers (or times) of the packets that the decoder is given."""
    given, take = [], frames._queue._give

    def give():
        packet = take()
        ticks = packet.pts - frames._first
        given.append(float(ticks * frames._base) if by_time else round(ticks * frames._base * 25))
        return packet

    monkeypatch.setattr(frames._queue, "_give", give)
    return given


def test_a_reader_is_not_used_in_a_forked_child(plain):
    path, _, _ = plain
    with open_video(path) as video:
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                video.frames_at([0.0])
                message = "no error"
            except VideoError as error:
                message = str(error)
            os.write(write_end, message.encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert f"opened in process {os.getpid()}" in os.read(read_end, 4096).decode()
        os.close(read_end), os.close(write_end)
        assert number_in(video.frames_at([0.0])[0]) == 0


def test_a_closed_reader_says_so(plain):
    path, _, _ = plain
    video = open_video(path)
    video.close()
    video.close()
    with pytest.raises(VideoError, match="is closed"):
        video.frames_at([0.0])


def test_a_decoder_that_hangs_is_timed_out_and_not_asked_again(tmp_path):
    class Hanging:
        frame_rate = duration = 25.0
        woken = threading.Event()

        def read(self, times):
            self.woken.wait(20)

        def close(self):
            raise AssertionError("a decoder at work must not be closed")

    frames = Hanging()
    video = GuardedReader(Path("slow.mp4"), frames, latest=None, timeout=0.2)
    began = time.monotonic()
    with pytest.raises(VideoError, match=r"slow\.mp4 timed out after 0\.2 s"):
        video.frames_at([0.0])
    assert time.monotonic() - began < 5
    with pytest.raises(VideoError, match="did not answer before"):
        video.frames_at([0.0])
    video.close()
    frames.woken.set()


def test_an_unknown_reader_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no video reader 'opencv'[\s\S]*pyav"):
        open_video(tmp_path / "a.mp4", "opencv")


def test_a_real_clip_shows_the_frames_it_was_made_from(shared):
    """Frame k of the clip is the k-th of the 100 pictures: the nearest by mean absolute difference."""
    pictures = sorted((shared / "data" / "video" / "epic_P01_01_frames").glob("*.jpg"))
    originals = np.stack([np.asarray(Image.open(path).convert("RGB"), dtype=np.int16)[::4, ::4] for path in pictures])
    with open_video(shared / "data" / "video" / "epic_P01_01_open_door.mp4") as video:
        assert (video.frame_rate, video.duration) == (30.0, pytest.approx(100 / 30))
        shown = video.frames_at([(k + 0.5) / 30 for k in range(100)])[:, ::4, ::4].astype(np.int16)
    nearest = [int(np.abs(originals - frame).mean((1, 2, 3)).argmin()) for frame in shown]
    assert nearest == list(range(100))


@pytest.mark.parametrize(
    "name", ["flipping_a_pancake.mkv", "mixkit-hands-of-a-baker-kneading-a-dough-42467-medium.gif"]
)
def test_real_files_of_other_kinds_are_read_as_in_sequence(shared, name):
    path = shared / "data" / "video" / name
    with av.open(str(path)) as container:
        base = container.streams.video[0].time_base
        truth = [(f.pts * base, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    numbers = random.Random(0)
    with open_video(path) as video:
        for k in [numbers.randrange(len(truth)) for _ in range(12)]:
            seconds = float(truth[k][0] - truth[0][0])
            np.testing.assert_array_equal(video.frames_at([seconds])[0], truth[k][1])


@pytest.mark.slow
def test_six_hundred_opens_leave_memory_and_files_flat(tmp_path):
    path = make_video(tmp_path / "wide.mp4", options=B_FRAMES, size=(456, 256))
    rss, files = {}, {}
    for count in range(1, 601):
        with open_video(path) as video:
            video.frames_at([(count * 7 % 110) / 25, 2.0])
        if count in (100, 200, 600):
            rss[count] = resident_mib()
            files[count] = len(list(Path("/proc/self/fd").iterdir()))
    print("\nresident MiB after opens:", {count: round(value, 1) for count, value in rss.items()}, "files:", files)
    assert rss[600] - rss[200] < 8
    assert files[600] == files[100]


def resident_mib():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def test_the_pattern_of_made_frames_tells_their_number():
    assert [number_in(picture(n)) for n in range(0, 1024, 7)] == list(range(0, 1024, 7))
