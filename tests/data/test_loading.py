"""A batch is one gather, and every sample comes exactly once, whoever loads it."""

import pytest
import torch
from torch.utils.data import Dataset

from leaplan.data.loading import BatchLoader, RankSampler, WindowTensors
from leaplan.data.views import PlanningWindows
from leaplan.errors import DataError, ProblemList, UserError
from tests.data.made import three_splits

SIZES = [(samples, processes) for samples in (1, 2, 3, 7, 8, 31) for processes in (1, 2, 3, 8)]


@pytest.fixture
def windows() -> WindowTensors:
    cut = [w for split in ("train", "val", "test") for w in PlanningWindows(3)(three_splits(), split)]
    start, goal = torch.randn(2, len(cut), 2, 4, generator=torch.Generator().manual_seed(0))
    return WindowTensors(cut, start, goal, {cut[0].steps, cut[3].steps})


def test_a_batch_gathered_at_once_equals_its_samples_one_by_one(windows):
    indices = [4, 0, 9, 4]
    batch = windows.__getitems__(indices)
    singles = [windows[i] for i in indices]
    for key in ("index", "start", "goal", "steps", "task"):
        assert torch.equal(batch[key], torch.cat([single[key] for single in singles]))
    assert batch["sample_id"] == [single["sample_id"][0] for single in singles]


def test_a_sample_carries_its_own_window(windows):
    for i, window in enumerate(windows.windows):
        sample = windows[i]
        assert sample["index"].tolist() == [i]
        assert tuple(sample["steps"][0].tolist()) == window.steps
        assert sample["task"].tolist() == [window.task]
        assert torch.equal(sample["start"][0], windows.start[i])
        assert torch.equal(sample["goal"][0], windows.goal[i])
    assert windows.seen_in_training.tolist() == [
        w.steps in (windows.windows[0].steps, windows.windows[3].steps) for w in windows.windows
    ]


def shares(samples: int, processes: int, seed: int | None, epoch: int = 0) -> list[list[int]]:
    """What each process gets."""
    found = []
    for rank in range(processes):
        sampler = RankSampler(samples, rank, processes, seed)
        sampler.set_epoch(epoch)
        found.append(list(sampler))
        assert len(found[-1]) == len(sampler)
    return found


@pytest.mark.parametrize(("samples", "processes"), SIZES)
def test_evaluation_gives_each_sample_once_over_all_processes(samples, processes):
    given = shares(samples, processes, None)
    everything = sorted(i for share in given for i in share)
    if samples >= processes:
        assert everything == list(range(samples))
    else:  # a process without a sample would leave the others waiting in the metrics' gathering
        assert set(everything) == set(range(samples))
        assert all(len(share) == 1 for share in given)


@pytest.mark.parametrize(("samples", "processes"), SIZES)
def test_training_gives_each_process_equally_many_samples_and_none_twice(samples, processes):
    given = shares(samples, processes, seed=7)
    assert len({len(share) for share in given}) == 1
    everything = [i for share in given for i in share]
    if samples >= processes:
        assert len(set(everything)) == len(everything) == samples // processes * processes
    assert set(everything) <= set(range(samples))


def test_the_order_of_an_epoch_is_a_function_of_seed_and_epoch():
    def order(seed, epoch):
        return shares(31, 1, seed, epoch)[0]

    torch.manual_seed(1)
    first = order(7, 3)
    torch.rand(5)
    assert order(7, 3) == first
    assert order(7, 4) != first
    assert order(8, 3) != first
    assert sorted(order(7, 4)) == list(range(31))


def test_processes_share_one_order():
    whole = shares(31, 1, 7, 2)[0]
    for rank, share in enumerate(shares(31, 3, 7, 2)):
        assert share == whole[rank:30:3]


class Failing(Dataset):
    """Gathers the keys that it is asked for; the last of eight is a mistake of the user's."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __len__(self) -> int:
        return 8

    def __getitems__(self, keys):
        if 7 in keys:
            raise self.error
        return list(keys)


MISTAKES = [DataError("a.mp4 is empty", "Get it again."), ProblemList("a.csv", ["one", "two"], "Mend it.")]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_the_users_comes_out_of_a_worker_in_its_own_words(workers, mistake):
    loader = BatchLoader(Failing(mistake), batch_size=4, num_workers=workers)
    batches = iter(loader)
    assert next(batches) == [0, 1, 2, 3]
    with pytest.raises(UserError) as caught:
        next(batches)
    assert (caught.value.what, caught.value.hint) == (mistake.what, mistake.hint)
    assert str(caught.value) == str(mistake)


def test_a_mistake_of_ours_comes_out_of_a_worker_with_its_traceback():
    loader = BatchLoader(Failing(ZeroDivisionError("ours")), batch_size=8, num_workers=1)
    with pytest.raises(ZeroDivisionError, match="Traceback"):
        next(iter(loader))
