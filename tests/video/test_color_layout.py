"""The frozen feature tells colours, places and edge directions apart, and says what it cannot read."""

import av
import numpy as np
import pytest

from leaplan.errors import DataError
from leaplan.video.color_layout import ColorLayout

LAYOUT = ColorLayout()


def plain(color=(0, 0, 0), frames=1):
    return np.full((frames, 120, 160, 3), color, dtype=np.uint8)


def film(path, frames, rate=10):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_a_plain_frame_is_its_color_and_has_no_edges():
    (row,) = LAYOUT(plain((255, 51, 0)))
    colors = row[: 9 * 12 * 3].reshape(9, 12, 3)
    np.testing.assert_allclose(colors, np.broadcast_to([1.0, 0.2, 0.0], colors.shape), atol=1e-6)
    assert not row[9 * 12 * 3 :].any()


def test_a_row_has_the_promised_width_and_equals_a_slow_computation():
    frames = np.random.default_rng(0).integers(0, 256, (2, 121, 163, 3), dtype=np.uint8)
    rows = LAYOUT(frames)
    assert rows.shape == (2, LAYOUT.width)
    top, bottom, left, right = 121 * 4 // 9, 121 * 5 // 9, 163 * 7 // 12, 163 * 8 // 12
    cell = frames[1, top:bottom, left:right].mean(axis=(0, 1)) / 255
    np.testing.assert_allclose(rows[1, (4 * 12 + 7) * 3 :][:3], cell, rtol=1e-5)


def test_edges_are_told_apart_by_direction():
    upright, lying = plain(), plain()
    upright[:, :, ::8] = 255
    lying[:, ::8, :] = 255
    edges = [LAYOUT(frames)[0, 9 * 12 * 3 :].reshape(-1, 4).mean(axis=0) for frames in (upright, lying)]
    assert edges[0][0] > 0
    assert edges[0][1] == 0
    assert edges[1][1] > 0
    assert edges[1][0] == 0


def test_row_r_covers_second_r(tmp_path):
    frames = np.concatenate([plain((250, 0, 0), 10), plain((0, 250, 0), 10), plain((0, 0, 250), 3)])
    rows = LAYOUT.per_second(film(tmp_path / "colors.mp4", frames))
    assert rows.shape == (3, LAYOUT.width)
    strongest = rows[:, : 9 * 12 * 3].reshape(3, -1, 3).mean(axis=1).argmax(axis=1)
    assert strongest.tolist() == [0, 1, 2]


def test_a_second_without_frames_repeats_the_row_before(tmp_path):
    frames = np.concatenate([plain((250, 0, 0)), plain((0, 250, 0))])
    path = tmp_path / "slow.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for time, frame in zip((0, 35), frames, strict=True):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = time
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    rows = LAYOUT.per_second(path)
    assert len(rows) == 4
    np.testing.assert_array_equal(rows[1:3], rows[[0, 0]])


@pytest.mark.parametrize(
    "frames",
    [np.zeros((1, 120, 160, 3)), np.zeros((120, 160, 3), np.uint8), np.zeros((1, 8, 9, 3), np.uint8)],
)
def test_wrong_frames_are_refused(frames):
    with pytest.raises(DataError, match="frames are"):
        LAYOUT(frames)


def test_a_missing_and_a_broken_file_are_named(tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a film")
    for path in (broken, tmp_path / "missing.mp4"):
        with pytest.raises(DataError, match=path.name):
            LAYOUT.per_second(path)
