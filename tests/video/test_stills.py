"""Pictures by time: EPIC's frame rule, in folders and in tars, read where they lie."""

import tarfile

import numpy as np
import pytest
from PIL import Image

from leaplan.errors import ConfigError, DataError
from leaplan.video import stills
from leaplan.video.reader import VideoError, open_video
from tests.video.made_videos import number_in, picture


def write_pictures(folder, numbers, name="frame_{:010d}.png"):
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.fromarray(picture(number)).save(folder / name.format(number))
    return folder


def packed(folder, path, mode="w"):
    with tarfile.open(path, mode) as archive:
        for file in sorted(folder.iterdir(), reverse=True):  # the order in the tar does not matter
            archive.add(file, arcname=f"./{file.name}")
    return path


@pytest.fixture(params=["folder", "tar"])
def frames(request, tmp_path):
    """Pictures 1 to 60, and what does not belong to them."""
    folder = write_pictures(tmp_path / "P01_01", range(1, 61))
    (folder / "readme.txt").write_text("60 frames")
    (folder / "._frame_0000000007.png").write_bytes(b"left by another system")
    Image.fromarray(picture(0)).save(folder / "cover.png")
    return folder if request.param == "folder" else packed(folder, tmp_path / "P01_01.tar")


def test_the_frame_at_a_time_is_that_of_epics_rule(frames):
    with open_video(frames, frame_rate=60.0) as video:
        times = [0.0, 0.001, 1 / 60, 0.5, 0.999, 59.5 / 60, 0.5, -1.0]
        assert [number_in(f) for f in video.frames_at(times)] == [max(1, int(t * 60)) for t in times]
        assert (video.frame_rate, video.duration) == (60.0, pytest.approx(61 / 60))


def test_middles_of_frames_hit_their_numbers(frames):
    for rate in (50.0, 59.94, 60.0):
        with open_video(frames, frame_rate=rate) as video:
            shown = video.frames_at([(number + 0.5) / rate for number in range(1, 61)])
            assert [number_in(frame) for frame in shown] == list(range(1, 61))


def test_a_time_one_frame_off_gives_the_last_picture_and_a_later_one_is_an_error(frames):
    with open_video(frames, frame_rate=60.0) as video:
        assert number_in(video.frames_at([61.5 / 60])[0]) == 60
        with pytest.raises(DataError, match=r"no picture with number 62 .*60 pictures, from number 1 to 60"):
            video.frames_at([62.5 / 60])


def test_at_a_low_rate_the_last_picture_stands_for_half_a_second_only(tmp_path):
    folder = write_pictures(tmp_path / "frames", [1, 2, 3])
    with open_video(folder, frame_rate=0.5) as video:
        assert video.duration == 8.0
        assert [number_in(frame) for frame in video.frames_at([7.9, 8.4])] == [3, 3]
        with pytest.raises(DataError, match=r"beyond the video: it ends at 8\.00 s"):
            video.frames_at([8.6])


def test_a_missing_picture_is_replaced_by_a_neighbour_and_a_gap_is_an_error(tmp_path):
    folder = write_pictures(tmp_path / "frames", [1, 2, 4, 9])
    with open_video(folder, frame_rate=10.0) as video:
        assert [number_in(f) for f in video.frames_at([0.35, 0.55, 0.85])] == [2, 4, 9]
        with pytest.raises(DataError, match="no picture with number 6"):
            video.frames_at([0.65])


def test_no_picture_from_the_latest_time_on_is_shown(frames):
    for number in range(2, 60):
        latest = number / 60
        with open_video(frames, frame_rate=60.0, latest=latest) as video:
            just_before = np.nextafter(latest, 0.0)  # times 60 it is often rounded up to the number itself
            assert number_in(video.frames_at([just_before])[0]) == number - 1
            with pytest.raises(DataError, match="may be seen"):
                video.frames_at([latest])


def test_a_missing_picture_is_not_replaced_by_a_later_one_that_may_not_be_seen(tmp_path):
    folder = write_pictures(tmp_path / "frames", [1, 9])
    with open_video(folder, frame_rate=10.0, latest=0.9) as video, pytest.raises(DataError, match="number 8"):
        video.frames_at([0.85])


def test_pictures_of_all_kinds_become_rgb(tmp_path):
    colour = np.zeros((20, 30, 3), dtype=np.uint8) + np.array([200, 100, 50], dtype=np.uint8)
    for number, mode in enumerate(("RGB", "L", "RGBA", "CMYK", "P"), start=1):
        suffix = "jpg" if mode == "CMYK" else "png"
        Image.fromarray(colour).convert(mode).save(tmp_path / f"{number}.{suffix}")
    with open_video(tmp_path, frame_rate=1.0) as video:
        shown = video.frames_at([1.5, 2.5, 3.5, 4.5, 5.5]).astype(int)
    assert shown.shape == (5, 20, 30, 3)
    for place, tolerance in ((0, 0), (2, 0), (3, 20), (4, 51)):  # a palette of the web has steps of 51
        assert np.abs(shown[place] - colour).max() <= tolerance
    assert (shown[1] == shown[1][..., :1]).all()


def test_pictures_need_a_frame_rate(frames):
    for rate in (None, 0.0, -1.0):
        with pytest.raises(ConfigError, match=r"frame rate must be given[\s\S]*60 for PXX_YY"):
            open_video(frames, frame_rate=rate)


def test_a_damaged_picture_is_named(tmp_path):
    folder = write_pictures(tmp_path / "frames", [1, 2, 3])
    whole = (folder / "frame_0000000002.png").read_bytes()
    (folder / "frame_0000000002.png").write_bytes(whole[: len(whole) // 2])
    (folder / "frame_0000000003.png").write_bytes(b"")
    for path in (folder, packed(folder, tmp_path / "frames.tar")):
        with open_video(path, frame_rate=1.0) as video:
            assert number_in(video.frames_at([1.5])[0]) == 1
            for number in (2, 3):
                with pytest.raises(VideoError, match=f"frame_000000000{number}.png cannot be decoded"):
                    video.frames_at([number + 0.5])


def test_a_picture_deleted_after_opening_is_an_error(tmp_path):
    folder = write_pictures(tmp_path / "frames", [1, 2])
    with open_video(folder, frame_rate=1.0) as video:
        (folder / "frame_0000000002.png").unlink()
        with pytest.raises(VideoError, match=r"frame_0000000002\.png cannot be decoded"):
            video.frames_at([2.5])


def test_pictures_of_two_sizes_are_told(tmp_path):
    Image.fromarray(picture(1)).save(tmp_path / "a1.png")
    Image.fromarray(picture(2, 80, 60)).save(tmp_path / "a2.png")
    with open_video(tmp_path, frame_rate=1.0) as video, pytest.raises(VideoError, match=r"several sizes.*80 x 60"):
        video.frames_at([1.5, 2.5])


def test_two_pictures_with_one_number_are_told(tmp_path):
    write_pictures(tmp_path, [1], "left_{}.png"), write_pictures(tmp_path, [1], "right_{:04d}.png")
    with pytest.raises(VideoError, match="two pictures with number 1"):
        open_video(tmp_path, frame_rate=1.0)


def test_folders_and_tars_without_pictures_are_told(tmp_path):
    (tmp_path / "empty").mkdir()
    packed(tmp_path / "empty", tmp_path / "empty.tar")
    for name in ("empty", "empty.tar"):
        with pytest.raises(VideoError, match="no pictures whose names end in a number"):
            open_video(tmp_path / name, frame_rate=1.0)


def test_a_compressed_or_broken_tar_is_told(tmp_path):
    folder = write_pictures(tmp_path / "frames", [1, 2])
    packed(folder, tmp_path / "small.tar", "w:gz")
    (tmp_path / "text.tar").write_text("not a tar" * 200)
    for name in ("small.tar", "text.tar"):
        with pytest.raises(VideoError, match=f"{name} cannot be read as an uncompressed tar"):
            open_video(tmp_path / name, frame_rate=1.0)


def test_a_tar_is_walked_once_while_it_stays_the_same(tmp_path, monkeypatch):
    folder = write_pictures(tmp_path / "frames", range(1, 6))
    path = packed(folder, tmp_path / "frames.tar")
    walks, walk = [], tarfile.open
    monkeypatch.setattr(stills.tarfile, "open", lambda *args: walks.append(args) or walk(*args))
    for _ in range(3):
        with open_video(path, frame_rate=1.0) as video:
            assert number_in(video.frames_at([5.5])[0]) == 5
    assert len(walks) == 1
    monkeypatch.undo()
    packed(write_pictures(folder, range(6, 9)), path)
    with open_video(path, frame_rate=1.0) as video:
        assert number_in(video.frames_at([8.5])[0]) == 8


def test_real_pictures_are_read_by_epics_rule(shared, tmp_path):
    folder = shared / "data" / "video" / "epic_P01_01_frames"
    files = sorted(folder.glob("*.jpg"))
    numbers = [int(file.stem.split("_")[-1]) for file in files]
    for path in (folder, packed(folder, tmp_path / "P01_01.tar")):
        with open_video(path, frame_rate=30.0) as video:
            for place in (0, 7, 99):
                shown = video.frames_at([(numbers[place] + 0.5) / 30])[0]
                np.testing.assert_array_equal(shown, np.asarray(Image.open(files[place]).convert("RGB")))
