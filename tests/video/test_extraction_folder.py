"""What is to be extracted, what is done, and what may not be mixed."""

import json
import os
import shutil

import numpy as np
import pytest

from leaplan.errors import ConfigError, DataError, ProblemList
from leaplan.video.extraction.content import content_hash, stamp
from leaplan.video.extraction.folder import FeatureFolder, differences
from leaplan.video.extraction.manifest import VideoFile, read_manifest
from leaplan.video.extraction.shards import Shard

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def videos(tmp_path):
    """Return a folder with two videos, one of them below, and something else."""
    folder = tmp_path / "videos"
    (folder / "more").mkdir(parents=True)
    for name in ("b.mp4", "more/a.webm", "notes.doc", ".hidden.mp4"):
        (folder / name).write_bytes(name.encode() * 50)
    return folder


def opened(tmp_path, settings=None, videos=(), overwrite=False):
    folder = FeatureFolder(tmp_path / "features", settings or {"encoder": {"name": "tiny", "rate": 10.0}})
    folder.open(videos, overwrite)
    return folder


# --- Manifest


def test_a_folder_is_searched_for_videos(videos):
    assert [(video.id, video.path) for video in read_manifest([str(videos)])] == [
        ("a", videos / "more" / "a.webm"),
        ("b", videos / "b.mp4"),
    ]


def test_files_patterns_and_lists_may_be_mixed_and_repeated(videos):
    (videos / "list.txt").write_text("# mine\nb.mp4\n\nmore/a.webm\n")
    (videos / "list.csv").write_text("id,path,task\nfirst,b.mp4,x\n")
    found = read_manifest([str(videos / "*.mp4"), str(videos / "list.txt"), str(videos / "list.csv")])
    assert [video.id for video in found] == ["a", "b", "first"]
    assert [video.path.resolve().name for video in found] == ["a.webm", "b.mp4", "b.mp4"]


def test_pictures_are_videos_where_their_rate_is_told(tmp_path):
    (tmp_path / "P01_01").mkdir()
    (tmp_path / "P01_01" / "frame_0000000001.jpg").touch()
    (tmp_path / "P01_02.tar").touch()
    with pytest.raises(DataError, match="no videos in"):
        read_manifest([str(tmp_path)])
    found = read_manifest([str(tmp_path)], frame_rate=60.0)
    assert [(video.id, video.frame_rate) for video in found] == [("P01_01", 60.0), ("P01_02", 60.0)]


def test_all_faults_of_a_manifest_are_named_together(videos):
    (videos / "b.mkv").touch()
    (videos / "list.csv").write_text("id,path\n../x,b.mp4\n")
    with pytest.raises(ProblemList) as caught:
        read_manifest([str(videos), str(videos / "list.csv"), str(videos / "gone.mp4"), str(videos / "lost.mp4")])
    said = str(caught.value)
    assert "4 problems" in said
    for part in ("gone.mp4 does not exist", "lost.mp4 does not exist", "id b has ", "'../x' cannot name a file"):
        assert part in said


def test_a_list_without_its_columns_is_told(videos):
    (videos / "list.csv").write_text("video,file\nb,b.mp4\n")
    with pytest.raises(DataError, match="first line must be id,path"):
        read_manifest([str(videos / "list.csv")])


# --- Shards


def test_shards_are_disjoint_complete_and_of_similar_size():
    names = [f"video_{number}" for number in range(3000)]
    for count in (1, 2, 3, 7):
        parts = [{name for name in names if Shard(index, count).holds(name)} for index in range(count)]
        assert sum(map(len, parts)) == 3000
        assert set.union(*parts) == set(names)
        assert min(map(len, parts)) > 0.8 * 3000 / count


def test_shards_are_the_same_everywhere_and_for_ever():
    held = [name for name in map(str, range(20)) if Shard(1, 3).holds(name)]
    assert held == [
        "1",
        "2",
        "3",
        "4",
        "11",
        "14",
        "18",
        "19",
    ]


def test_parts_of_a_shard_are_that_shard():
    names = [f"video_{number}" for number in range(500)]
    whole = {name for name in names if Shard(2, 3).holds(name)}
    parts = [{name for name in names if part.holds(name)} for part in Shard(2, 3).parts(4)]
    assert sum(map(len, parts)) == len(whole)
    assert set.union(*parts) == whole


@pytest.mark.parametrize("text", ["3/3", "1", "a/b", "-1/3", "0/0", "1/3/4"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="shard"):
        Shard.parse(text)


# --- Content


def test_the_content_is_told_by_size_and_samples(tmp_path):
    path, copy = tmp_path / "a.mp4", tmp_path / "b.mp4"
    path.write_bytes(bytes(range(256)) * 20_000)
    shutil.copy(path, copy)
    assert content_hash(path) == content_hash(copy)
    with copy.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    assert content_hash(path) != content_hash(copy)
    copy.write_bytes(path.read_bytes() + b"x")
    assert content_hash(path) != content_hash(copy)


def test_any_byte_of_a_small_file_counts(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"a" * 300_000)
    before = content_hash(path)
    path.write_bytes(b"a" * 123_456 + b"b" + b"a" * (300_000 - 123_457))
    assert content_hash(path) != before


def test_a_folder_of_pictures_has_content(tmp_path):
    for number in range(3):
        (tmp_path / f"frame_{number}.jpg").write_bytes(b"x" * number)
    before = content_hash(tmp_path), stamp(tmp_path).size
    (tmp_path / "frame_2.jpg").write_bytes(b"xy")
    assert (content_hash(tmp_path) != before[0], stamp(tmp_path).size) == (True, before[1])


# --- Folder


def test_what_is_saved_is_done_until_the_video_changes(tmp_path, videos):
    folder, (a, b) = opened(tmp_path), read_manifest([str(videos)])
    assert folder.state(a) == "wanted"
    folder.save(a, ROWS, {})
    assert (folder.state(a), folder.state(b)) == ("done", "wanted")
    os.utime(a.path, (1, 1))  # copied elsewhere: another time, the same content
    assert folder.state(a) == "done"
    moved = videos / "elsewhere.webm"
    shutil.move(a.path, moved)
    assert folder.state(VideoFile("a", moved)) == "done"
    moved.write_bytes(b"another video")
    assert folder.state(VideoFile("a", moved)) == "wanted"


@pytest.mark.parametrize("damage", ["no array", "no record", "other shape", "cut off"])
def test_what_is_not_whole_is_not_done(tmp_path, videos, damage):
    folder, (a, _) = opened(tmp_path), read_manifest([str(videos)])
    folder.save(a, ROWS, {})
    array = folder.array("a")
    if damage == "no array":
        array.unlink()
    elif damage == "no record":
        (folder.root / "provenance" / "a.json").unlink()
    elif damage == "other shape":
        np.save(array, ROWS[:2])
    else:
        array.write_bytes(array.read_bytes()[:40])
    assert folder.state(a) == "wanted"


def test_provenance_tells_the_video_and_the_array(tmp_path, videos):
    folder, (a, _) = opened(tmp_path), read_manifest([str(videos)])
    folder.save(a, ROWS, {"batch": 4})
    told = json.loads((folder.root / "provenance" / "a.json").read_text())
    assert (told["id"], told["file"], told["rows"], told["width"], told["batch"]) == ("a", "a.webm", 3, 4, 4)
    assert told["settings"] == json.loads((folder.root / "features.json").read_text())["sha256"]


def test_other_settings_are_refused_and_named(tmp_path):
    opened(tmp_path)
    with pytest.raises(ConfigError, match=r"encoder\.rate: 10\.0 there, 5\.0 asked for") as caught:
        opened(tmp_path, {"encoder": {"name": "tiny", "rate": 5.0}})
    assert "--overwrite" in caught.value.hint


def test_arrays_of_unknown_origin_are_refused(tmp_path):
    (tmp_path / "features").mkdir()
    np.save(tmp_path / "features" / "a.npy", ROWS)
    with pytest.raises(ConfigError, match=r"no features\.json that tells their origin"):
        opened(tmp_path)


def test_overwriting_asks_for_all_anew_and_leaves_nothing_of_other_settings(tmp_path, videos):
    a, b = read_manifest([str(videos)])
    folder = opened(tmp_path)
    folder.save(a, ROWS, {})
    folder.save(b, ROWS, {})
    other = {"encoder": {"name": "tiny", "rate": 5.0}}
    with pytest.raises(ProblemList, match=r"b\.npy is of other settings"):
        opened(tmp_path, other, [a], overwrite=True)
    folder = opened(tmp_path, other, [a, b], overwrite=True)
    assert [folder.state(video) for video in (a, b)] == ["wanted", "wanted"]
    folder.save(a, ROWS, {})
    folder = opened(tmp_path, other, [a, b], overwrite=True)  # continued: what is done is not done again
    assert [folder.state(video) for video in (a, b)] == ["done", "wanted"]


def test_a_broken_video_stays_in_quarantine_until_it_changes(tmp_path, videos):
    folder, (a, _) = opened(tmp_path), read_manifest([str(videos)])
    folder.quarantine(a, "it ends too soon")
    assert (folder.state(a), folder.reason(a)) == ("broken", "it ends too soon")
    folder.forgive(a)
    assert folder.state(a) == "wanted"
    folder.quarantine(a, "it ends too soon")
    a.path.write_bytes(b"downloaded again")
    assert folder.state(a) == "wanted"
    folder.save(a, ROWS, {})
    assert list((folder.root / "broken").iterdir()) == []


def test_what_killed_processes_left_is_swept_when_it_is_old(tmp_path):
    root = opened(tmp_path).root
    for name in ("a", "b"):
        (root / f".{name}.npy.77.partial").write_bytes(b"half")
    os.utime(root / ".a.npy.77.partial", (1, 1))
    opened(tmp_path)
    assert [path.name for path in root.glob(".*.partial")] == [".b.npy.77.partial"]


def test_differences_name_the_setting():
    before, now = {"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 4, "d": 3}, "e": 5}
    assert differences(before, now) == ["b.c: 2 there, 4 asked for", "e: None there, 5 asked for"]
