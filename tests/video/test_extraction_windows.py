"""Each row looks at the frames that its second says, whatever the video, and each frame is decoded once."""

import numpy as np
import pytest
import torch

from leaplan.video.extraction.windows import clips_of, looked_at, prepared, rows_of
from leaplan.video.reader import open_video
from tests.video.made_videos import make_video, sequential_truth, shown_at
from tests.video.tiny_encoder import TinyEncoder, numbers_in

H264 = {"g": "30", "bf": "2", "preset": "veryfast"}


@pytest.fixture(scope="module", params=[25, 5])
def steady(request, tmp_path_factory):
    """Return a video of five seconds and two frames, and its frames per second."""
    path = tmp_path_factory.mktemp("steady") / "made.mp4"
    return make_video(path, options=H264, frames=request.param * 5 + 2, rate=request.param), request.param


def rows_from(path, encoder, batch=3):
    with open_video(path) as video:
        return torch.cat([encoder.encode(clips) for clips in clips_of(video, encoder, batch)])


@pytest.mark.parametrize(
    ("duration", "rows"),
    [(0.02, 1), (0.5, 1), (1.0, 1), (1.05, 1), (1.0999, 1), (1.1, 2), (7.0, 7), (7.099, 7), (7.2, 8), (59.999999, 60)],
)
def test_a_second_that_has_begun_is_a_row_unless_it_lasts_under_a_tenth(duration, rows):
    assert rows_of(duration) == rows


@pytest.mark.parametrize(("frames", "rate"), [(1, 1.0), (32, 10.0), (16, 5.0), (4, 7.3), (8, 30.0), (3, 0.7)])
def test_times_are_centred_on_the_middle_of_the_second(frames, rate):
    times = looked_at(9, frames, rate, duration=8.6)
    expected = [[min(8.6, max(0.0, s + 0.5 + (j - (frames - 1) / 2) / rate)) for j in range(frames)] for s in range(9)]
    assert times == pytest.approx(np.array(expected), abs=1e-9)


@pytest.mark.parametrize(("frames", "rate"), [(32, 10.0), (8, 30.0), (9, 24.0), (32, 7.0)])
def test_windows_of_neighbours_share_their_times_to_the_last_bit(frames, rate):
    times = looked_at(600, frames, rate, duration=600.0)
    assert len(np.unique(times)) <= 600 * rate + frames


@pytest.mark.parametrize(
    ("frames", "rate", "batch"), [(1, 1.0, 5), (32, 10.0, 2), (16, 5.0, 3), (5, 7.3, 1), (4, 60.0, 4)]
)
def test_rows_show_the_frames_of_their_seconds(steady, frames, rate, batch):
    path, video_rate = steady
    times, numbers = sequential_truth(path)
    duration = (video_rate * 5 + 2) / video_rate
    rows = rows_from(path, TinyEncoder(frames, rate), batch)
    assert len(rows) == rows_of(duration)
    for second, row in enumerate(rows):
        looks = [second + 0.5 + (j - (frames - 1) / 2) / rate for j in (0, frames // 2, frames - 1)]
        expected = [shown_at(times, numbers, min(look, duration)) for look in looks]
        assert numbers_in(row) == expected, second


def test_rows_are_right_where_frames_have_no_steady_rate(tmp_path):
    path = make_video(tmp_path / "vfr.mp4", options=H264 | {"bf": "0"}, frames=60, ticks=lambda i: i * i * 16 + i * 128)
    times, numbers = sequential_truth(path)
    for second, row in enumerate(rows_from(path, TinyEncoder(8, 10.0))):
        looks = [second + 0.5 + (j - 3.5) / 10 for j in (0, 4, 7)]
        assert numbers_in(row) == [shown_at(times, numbers, look) for look in looks], second


def test_rows_do_not_depend_on_the_batch(tmp_path):
    path = make_video(tmp_path / "made.mp4", options=H264, frames=130)
    rows = [rows_from(path, TinyEncoder(8, 10.0, 64, 64), batch) for batch in (1, 2, 5, 100)]
    assert all(torch.equal(rows[0], other) for other in rows[1:])


class Shown:
    """A reader of a video of any length that notes what it is asked for."""

    frame_rate, latest = 25.0, None

    def __init__(self, duration, height=6, width=8):
        self.duration, self.asked = duration, []
        self.frame = np.zeros((height, width, 3), np.uint8)

    def frames_at(self, times):
        self.asked.append(list(times))
        return np.repeat(self.frame[None], len(times), axis=0)


def test_a_long_video_is_asked_for_each_frame_once_in_order_and_in_short_runs():
    video = Shown(duration=600.3)
    assert sum(len(clips) for clips in clips_of(video, TinyEncoder(32, 10.0), 4)) == 601
    asked = [time for run in video.asked for time in run]
    assert asked == sorted(set(asked))
    assert len(asked) <= 6003 + 32
    assert max(map(len, video.asked)) <= 128


def test_runs_of_large_frames_are_shorter():
    video = Shown(duration=9.0, height=2160, width=3840)
    list(clips_of(video, TinyEncoder(1, 1.0, 16, 16), 4))
    assert max(map(len, video.asked)) <= 4


def test_batches_of_whole_frames_are_smaller_where_frames_are_large():
    batches = [len(clips) for clips in clips_of(Shown(10.0, height=1080, width=1920), TinyEncoder(4, 10.0), 8)]
    assert batches == [2, 2, 2, 2, 2]


def test_clips_arrive_while_the_video_is_read():
    video = Shown(duration=3600.0)
    next(clips_of(video, TinyEncoder(32, 10.0), 2))
    assert sum(map(len, video.asked)) < 200


@pytest.mark.parametrize(("height", "width"), [(240, 426), (426, 240), (256, 256), (101, 333)])
def test_frames_are_cut_to_the_central_square(height, width):
    frames = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    frames[:, height // 2 - 3 : height // 2 + 4, width // 2 - 3 : width // 2 + 4] = 255
    cut = prepared(frames, 64, 48)
    assert cut.shape == (2, 3, 48, 48)
    rows, columns = torch.nonzero(cut[0, 0] > 127, as_tuple=True)
    assert rows.float().mean() == pytest.approx(23.5, abs=1.1)
    assert columns.float().mean() == pytest.approx(23.5, abs=1.1)
