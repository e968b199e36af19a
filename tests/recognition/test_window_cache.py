"""What a frozen network sees in windows is kept: looked at once by all processes together, and never another's."""

import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from leaplan.recognition import window_cache
from leaplan.recognition.window_cache import cached_windows
from leaplan.video.reader import VideoError
from tests.recognition.test_network import D, S, network

WINDOWS, CPU = 70, torch.device("cpu")


@dataclass
class Bank:
    """Every window once; each look is a line in a file that all processes share."""

    looks: Path
    broken: frozenset[int] = frozenset()
    pause: float = 0.0

    def __post_init__(self):
        self.features = np.random.default_rng(1).normal(size=(WINDOWS, S, D)).astype(np.float32)
        self.clips = [SimpleNamespace(sample_id=f"w{i}", video=f"film{i // 10}") for i in range(WINDOWS)]

    def __len__(self):
        return WINDOWS

    def __getitems__(self, keys):
        for key in keys:
            if key in self.broken:
                raise VideoError(f"film{key // 10} is damaged")
        time.sleep(self.pause)
        with self.looks.open("a") as file:
            file.writelines(f"{key}\n" for key in keys)
        clips = torch.from_numpy(self.features[keys])[:, None, None]  # (B, 1, 1, S, D)
        return {"index": torch.tensor(keys), "clips": clips, "window_mask": torch.ones(len(keys), 1, dtype=torch.bool)}


class Data:
    """Two windows for each clip: its own and the next."""

    def __init__(self, bank, folder):
        self.bank, self.folder = bank, folder
        self.source = SimpleNamespace(describe=lambda: {"name": "videos"})
        self.split = SimpleNamespace(seen=None)
        self.at = torch.stack([torch.arange(WINDOWS) - 1, torch.arange(WINDOWS)], 1)  # (M, 2), -1 is no window

    def clips(self, split):
        return self.split

    def window_bank(self, split):
        return self.bank, self.at, self.folder


def look(bank, folder, run, split="train", context="both", **options):
    data = Data(bank, folder)
    cached_windows(network(windows=2, context=context, **options).eval(), data, split, run, CPU)
    return data.split.seen


def expected(bank, context="both"):
    """What the network sees in every window, all at once."""
    clips = torch.from_numpy(bank.features)[:, None]
    with torch.no_grad():
        return (
            network(windows=2, context=context)
            .eval()
            .encode(clips, torch.ones(WINDOWS, 1, dtype=torch.bool))
            .pack()[:, 0]
        )


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(window_cache, "BATCH", 8)
    monkeypatch.setattr(window_cache, "PART", 16)


def test_each_clip_shows_its_windows_as_the_network_sees_them(tmp_path):
    bank = Bank(tmp_path / "looks")
    seen, wanted = look(bank, None, tmp_path), expected(bank)
    for index in (0, 1, 37, WINDOWS - 1):
        sample = seen[index]
        assert sample["window_mask"].tolist() == [index > 0, True]
        torch.testing.assert_close(sample["clips"][0, 1, 0], wanted[index])
        torch.testing.assert_close(sample["clips"][0, 0, 0], wanted[index - 1] if index else 0 * wanted[0])


def test_a_later_run_looks_at_nothing_again_but_a_damaged_part(tmp_path):
    bank = Bank(tmp_path / "looks")
    first = look(bank, tmp_path / "shared", tmp_path / "a")
    second = look(bank, tmp_path / "shared", tmp_path / "b")
    assert torch.equal(first.packed, second.packed)
    assert sorted(map(int, bank.looks.read_text().split())) == list(range(WINDOWS))
    part = next(path for path in (tmp_path / "shared").glob("*-2.safetensors"))
    part.write_bytes(part.read_bytes()[:100])
    assert torch.equal(look(bank, tmp_path / "shared", tmp_path / "c").packed, first.packed)
    assert sorted(map(int, bank.looks.read_text().split()[WINDOWS:])) == list(range(32, 48))


@pytest.mark.parametrize("change", [{"context": "features"}, {"tail": 1}])
def test_what_another_network_saw_is_not_used(tmp_path, change):
    bank = Bank(tmp_path / "looks")
    first = look(bank, tmp_path, tmp_path)
    assert look(bank, tmp_path, tmp_path, **change).packed.shape[1] < first.packed.shape[1]
    assert len(bank.looks.read_text().split()) == 2 * WINDOWS


def _process(folder, name, pause):
    torch.set_num_threads(1)
    torch.save(look(Bank(folder / "looks", pause=pause), folder, folder).packed, folder / name)


def test_processes_share_the_work(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_process, args=(tmp_path, name, 0.05)) for name in ("one", "two")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(map(int, (tmp_path / "looks").read_text().split())) == list(range(WINDOWS))
    one, two = (torch.load(tmp_path / name, weights_only=True) for name in ("one", "two"))
    assert torch.equal(one, two)


def test_clips_of_broken_videos_are_replaced_in_training_and_not_kept(tmp_path):
    bank = Bank(tmp_path / "looks", frozenset(range(20, 30)))
    seen = look(bank, tmp_path, tmp_path)
    assert seen[31]["broken"] == []
    for index in (20, 25, 30):  # the clip after shows the last window too
        sample = seen[(3, index)]
        assert sample["index"] not in range(20, 31)
        assert sample["broken"] == [("film2", "film2 is damaged")]
        assert seen[(3, index)]["index"] == sample["index"]  # resumed runs draw the same
    assert {seen[(epoch, 25)]["index"] for epoch in range(5)} != {seen[(0, 25)]["index"]}
    bank.broken = frozenset()
    assert look(bank, tmp_path, tmp_path)[25]["index"] == 25  # mended


def test_a_broken_video_is_an_error_in_evaluation_and_so_are_broken_videos_alone(tmp_path):
    with pytest.raises(VideoError, match="film2 is damaged"):
        look(Bank(tmp_path / "looks", frozenset([21])), tmp_path, tmp_path, split="val")
    with pytest.raises(VideoError, match="no clip can be read; the first: film0 is damaged"):
        look(Bank(tmp_path / "looks", frozenset(range(WINDOWS))), tmp_path, tmp_path)
