"""Decoded frames on disk: never decoded twice, never wrong, never stale."""

import multiprocessing
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from leaplan.data import video_files
from leaplan.data.clip_cache import CachedClip, Capacity, ClipCache
from leaplan.data.views import AnticipationClips
from leaplan.errors import DataError
from tests.data.made import annotations
from tests.data.test_frames import film, films, numbers, same, seen, two_films

__all__ = ["films"]

ROOM = Capacity(clips=6, windows=2, frames=5, pixels=100)


def row(seed: int, count: int = 5, height: int = 8, width: int = 12) -> CachedClip:
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return CachedClip(np.sort(rng.integers(0, 999, count)), rng.integers(0, 99, (2, 2)), frames)


def equal(a: CachedClip | None, b: CachedClip) -> bool:
    return a is not None and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """Names of the videos that are opened."""
    found: list[str] = []
    real = video_files.open_video
    monkeypatch.setattr(video_files, "open_video", lambda path, *a, **k: found.append(path.name) or real(path, *a, **k))
    return found


def test_what_is_put_is_got_also_by_a_later_run(tmp_path):
    cache = ClipCache(tmp_path, "content", ROOM)
    assert cache.get(3) is None
    cache.put(3, row(3))
    cache.put(1, row(1, count=2, height=4, width=5))
    for again in (cache, ClipCache(tmp_path, "content", ROOM)):
        assert equal(again.get(3), row(3))
        assert equal(again.get(1), row(1, count=2, height=4, width=5))
        assert again.get(0) is None
        assert again.count() == 2


def test_frames_that_do_not_fit_are_not_kept(tmp_path):
    cache = ClipCache(tmp_path, "content", ROOM)
    cache.put(0, row(0, height=30, width=30))
    assert cache.get(0) is None


def test_other_content_is_another_cache(tmp_path):
    ClipCache(tmp_path, ["a"], ROOM).put(0, row(0))
    assert ClipCache(tmp_path, ["b"], ROOM).get(0) is None
    assert ClipCache(tmp_path, ["a"], ROOM).get(0) is not None


@pytest.mark.parametrize("name", ["frames.npy", "index.npy", "done.npy", "content.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "garbage"])
def test_a_damaged_cache_is_made_anew(tmp_path, name, damage):
    cache = ClipCache(tmp_path, "content", ROOM)
    cache.put(0, row(0))
    path = cache.folder / name
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        path.write_bytes(b"?" * path.stat().st_size)
    again = ClipCache(tmp_path, "content", ROOM)
    assert again.get(0) is None
    again.put(0, row(0))
    assert equal(again.get(0), row(0))


@pytest.mark.parametrize(("name", "offset"), [("frames.npy", 200), ("index.npy", 130), ("index.npy", 128 + 8 * 9)])
def test_a_damaged_row_counts_as_missing(tmp_path, name, offset):
    cache = ClipCache(tmp_path, "content", ROOM)
    cache.put(0, row(0))
    with (cache.folder / name).open("r+b") as file:
        file.seek(offset)
        before = file.read(1)
        file.seek(offset)
        file.write(bytes([before[0] ^ 0x41]))
    assert ClipCache(tmp_path, "content", ROOM).get(0) is None


def test_a_row_that_was_not_flagged_counts_as_missing(tmp_path):
    cache = ClipCache(tmp_path, "content", ROOM)
    cache.put(0, row(0))
    flag = np.load(cache.folder / "done.npy")
    flag[0] = 0
    np.save(cache.folder / "done.npy", flag)
    again = ClipCache(tmp_path, "content", ROOM)
    assert again.get(0) is None


def test_a_run_killed_while_it_writes_leaves_only_whole_rows(tmp_path):
    """Kill a process that rewrites rows; afterwards each row is whole or missing."""
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from leaplan.data.clip_cache import ClipCache
from tests.data.test_clip_cache import ROOM, row
cache = ClipCache(Path({str(tmp_path)!r}), "content", ROOM)
print("ready", flush=True)
for i in range(10**9): cache.put(i % 6, row(i % 6))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.3)
    process.kill()
    process.wait()
    cache = ClipCache(tmp_path, "content", ROOM)
    assert cache.count() > 0
    for i in range(6):
        assert cache.get(i) is None or equal(cache.get(i), row(i))
        cache.put(i, row(i))
        assert equal(cache.get(i), row(i))


def put_all(folder: Path) -> None:
    cache = ClipCache(folder, "content", ROOM)
    for i in range(6):
        cache.put(i, row(i))


def test_several_processes_fill_one_cache(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=put_all, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    cache = ClipCache(tmp_path, "content", ROOM)
    assert all(equal(cache.get(i), row(i)) for i in range(6))


def test_a_full_disk_is_told_once_and_stops_nothing(tmp_path, monkeypatch):
    cache = ClipCache(tmp_path, "content", ROOM)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.warns(UserWarning, match="No space left"):
        cache.put(0, row(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put(1, row(1))
    assert cache.get(0) is None


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        ClipCache(tmp_path / "file" / "cache", "content", ROOM)


@pytest.mark.parametrize("settings", [{"size": 48, "crops": 3, "clips": 2}, {"size": (60, 80)}, {"size": 300}])
@pytest.mark.parametrize("view", [None, AnticipationClips(context=2, window_frames=40)])
def test_evaluation_sees_the_same_with_and_without_a_cache(films, tmp_path, settings, view, opened):
    plain = seen(films, view=view, **settings)
    expected = [plain[i] for i in range(5)]
    for passes in range(2):
        cached = seen(films, view=view, cache=str(tmp_path), **settings)
        opened.clear()
        assert all(same(cached[i], expected[i]) for i in range(5))
        assert bool(opened) == (passes == 0)


@pytest.mark.parametrize("view", [None, AnticipationClips(context=2, window_frames=40)])
@pytest.mark.parametrize("sampling", ["sparse", "dense"])
def test_training_decodes_each_clip_once_and_still_varies(films, tmp_path, view, sampling, opened):
    torch.manual_seed(3)
    clips = seen(films, True, view=view, sampling=sampling, cache=str(tmp_path))
    first = [clips[0, i] for i in range(5)]
    opened.clear()
    torch.manual_seed(3)
    again = seen(films, True, view=view, sampling=sampling, cache=str(tmp_path))
    assert all(same(again[0, i], first[i]) for i in range(5))
    drawn = [numbers(again[epoch, 3]["clips"][0]) for epoch in range(10)]
    assert opened == []
    if view is None:
        assert len({str(each) for each in drawn}) > 2


def test_cached_training_takes_the_nearest_frames_kept(films, tmp_path):
    whole = {"crop_scale": (1.0, 1.0)}
    torch.manual_seed(3)
    cached = seen(films, True, cache=str(tmp_path), **whole)
    torch.manual_seed(3)
    plain = seen(films, True, **whole)
    for epoch in range(4):
        kept = cached._shown(3, None)[0].numbers
        assert len(kept) == 8
        for with_cache, without in zip(
            numbers(cached[epoch, 3]["clips"][0])[0], numbers(plain[epoch, 3]["clips"][0])[0], strict=True
        ):
            assert abs(with_cache - without) == abs(kept - without).min()


def test_cached_training_before_a_segment_never_sees_later_frames(films, tmp_path):
    view = AnticipationClips(context=2, window_frames=40)
    clips = seen(films, True, view=view, cache=str(tmp_path), crop_scale=(1.0, 1.0))
    for epoch in range(8):
        assert max(numbers(clips[epoch, 2]["clips"][0])[1]) <= 74


def test_workers_fill_the_cache_for_each_other(films, tmp_path, opened):
    torch.manual_seed(3)
    clips = seen(films, True, cache=str(tmp_path))
    loader = DataLoader(clips, batch_size=None, sampler=[(0, i) for i in range(5)], num_workers=2)
    loaded = list(loader)
    opened.clear()
    assert all(same(clips[0, i], loaded[i]) for i in range(5))
    assert opened == []


def test_a_replaced_video_is_decoded_again(films, tmp_path, opened):
    seen(films, cache=str(tmp_path))[0]
    path = films / "videos" / "a.mp4"
    later = path.stat().st_mtime + 10
    os.utime(path, (later, later))
    opened.clear()
    seen(films, cache=str(tmp_path))[0]
    assert opened == ["a.mp4"]


def test_clips_that_change_are_decoded_again(films, tmp_path, opened):
    seen(films, cache=str(tmp_path))[0]
    opened.clear()
    seen(films, given=annotations(film("a", (0.0, 1.5))), cache=str(tmp_path))[0]
    assert opened == ["a.mp4"]
    assert len(two_films().videos) == 2
