"""A data module joins annotations, view and source: what it loads, what it says about it, what it keeps apart."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch

from leaplan.data.niv import Niv
from leaplan.data.sources import Features
from leaplan.data.views import PlanningWindows
from leaplan.errors import DataError, ProblemList
from tests.small_niv import WIDTH, write_small_niv


def module(root, horizon=3, **settings) -> Niv:
    source = settings.pop("source", None) or Features("processed_data", rounding="floor")
    settings = {"validation": 0.2, "batch_size": 8, **settings}
    return Niv(str(root), PlanningWindows(horizon), source, **settings)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_small_niv(tmp_path_factory.mktemp("data"))


@pytest.fixture
def own(tmp_path):
    """A copy to change."""
    return write_small_niv(tmp_path)


@pytest.fixture(scope="module")
def ready(root) -> Niv:
    data = module(root)
    data.setup()
    return data


def test_the_validation_part_is_told_and_shares_no_video_with_the_others(ready):
    facts = ready.facts()
    assert facts["videos"] == {"train": 16, "val": 4, "test": 10}
    assert facts["samples"] == {"train": 48, "val": 12, "test": 30}
    assert any("4 of 20 training videos are set aside for validation (share 0.2, seed 7)" in n for n in facts["notes"])
    videos = {split: {w.video for w in ready.windows(split).windows} for split in ("train", "val", "test")}
    assert not videos["train"] & videos["val"]
    assert not videos["test"] & (videos["train"] | videos["val"])


def test_the_validation_part_follows_the_setting_and_not_the_seed_of_the_run(root):
    def part(**settings):
        torch.manual_seed(len(settings))
        return {v.id for v in module(root, **settings).annotations.of_split("val")}

    assert part() == part()
    assert part(seed=8) != part()
    assert len(part(validation=0.4)) == 8


def test_facts_name_the_content_of_the_files_read(root, own):
    first = module(own).annotations.sha256
    assert len(first) == 64
    assert first == module(root).annotations.sha256
    path = own / "niv" / "niv_valid.json"
    path.write_text(path.read_text().replace('"start": 2.0', '"start": 2.25', 1))
    assert module(own).annotations.sha256 != first


def test_windows_beyond_their_features_are_left_out_and_told(own):
    path = own / "niv" / "processed_data" / "tea_valid_0000.npy"
    np.save(path, np.load(path)[:12])
    data = module(own)
    data.setup()
    dropped = 30 - data.facts()["samples"]["test"]
    assert dropped > 0
    assert data.facts()["notes"][-1] == f"windows that end beyond their feature arrays are left out: test {dropped}"
    assert all(w.goal_time < 12 for w in data.windows("test").windows if w.video == "tea_valid_0000")


def test_a_plan_counts_as_seen_only_if_training_has_observed_it(own):
    folder = own / "niv" / "processed_data"
    whole = module(own)
    whole.setup()
    for path in folder.glob("tea_train_*.npy"):
        np.save(path, np.load(path)[:12])  # the later windows of these videos are gone
    cut = module(own)
    cut.setup()
    plans = {w.steps for w in cut.windows("train").windows}
    assert plans < {w.steps for w in whole.windows("train").windows}
    for split in ("val", "test"):
        tensors = cut.windows(split)
        assert tensors.seen_in_training.tolist() == [w.steps in plans for w in tensors.windows]


def test_training_sequences_are_the_whole_training_videos(root, ready):
    lists = json.loads((root / "niv" / "niv_train.json").read_text())
    validation = {v.id for v in ready.annotations.of_split("val")}
    expected = [tuple(s["action_id"] for s in r["steps"]) for v, r in lists.items() if v not in validation]
    assert sorted(ready.training_sequences()) == sorted(expected)


def test_single_steps_are_those_of_the_training_videos_with_their_neighbours(root, ready):
    singles = ready.single_steps()
    end = len(ready.annotations.vocabulary.steps)
    expected = []
    for sequence in ready.training_sequences():
        padded = [end, *sequence, end]
        expected += list(zip(padded, padded[1:], padded[2:], strict=False))
    found = torch.stack([singles.before, singles.own, singles.after], dim=1).tolist()
    assert [tuple(row) for row in found] == expected
    assert singles.start.shape == singles.goal.shape == (len(expected), 1, WIDTH)
    first = ready.annotations.of_split("train")[0]
    array = np.load(root / "niv" / "processed_data" / f"{first.id}.npy")
    for row, segment in enumerate(first.segments):
        rows = [int(segment.stop) + offset for offset in (-1, 0, 1)]
        np.testing.assert_allclose(singles.goal[row, 0].numpy(), array[rows].mean(0), atol=1e-6)


def epoch(data: Niv, number: int) -> list[str]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(number)
    return [sample for batch in loader for sample in batch["sample_id"]]


def test_the_order_of_training_follows_the_seed_of_the_run_and_the_epoch(ready):
    torch.manual_seed(7)
    first = epoch(ready, 0)
    assert len(set(first)) == len(first) == 48
    torch.rand(3)
    assert epoch(ready, 0) == first
    assert epoch(ready, 1) != first
    torch.manual_seed(8)
    assert epoch(ready, 0) != first


def test_loading_leaves_the_random_numbers_of_the_run_alone(ready):
    torch.manual_seed(7)
    expected = torch.rand(4)
    torch.manual_seed(7)
    epoch(ready, 0)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize(("split", "loader"), [("val", "val"), ("test", "test"), ("test", "predict")])
def test_evaluation_gives_every_window_once_in_order(ready, split, loader):
    batches = list(getattr(ready, f"{loader}_dataloader")())
    assert [len(b["index"]) for b in batches][:-1] == [8] * (len(batches) - 1)
    assert torch.cat([b["index"] for b in batches]).tolist() == list(range(len(ready.windows(split))))


def test_setup_twice_loads_once(ready):
    before = ready.windows("train")
    ready.setup("test")
    assert ready.windows("train") is before


def test_a_failed_setup_leaves_nothing_half_loaded(own):
    path = own / "niv" / "processed_data" / "tea_valid_0000.npy"
    whole = np.load(path)
    np.save(path, whole[:, :5])
    data = module(own)
    for _ in range(2):
        with pytest.raises(ProblemList, match="5 columns, but most files have 12"):
            data.setup()


@pytest.mark.parametrize("horizon", [2, 3, 4, 5])
def test_any_horizon_up_to_the_longest_video_loads(root, horizon):
    data = module(root, horizon)
    data.setup()
    assert data.problem.horizon == horizon
    assert data.problem.width == WIDTH
    assert data.windows("test").steps.shape == (10 * (6 - horizon), horizon)


@pytest.mark.parametrize("horizon", [6, 7, 8])
def test_a_horizon_longer_than_every_video_is_told(root, horizon):
    with pytest.raises(DataError, match=f"no video of niv has {horizon} steps to plan; the longest has 5"):
        module(root, horizon).setup()


@pytest.mark.parametrize(
    ("pool", "shape"), [("mean", (1, WIDTH)), ("keep", (3, WIDTH)), ("concatenate", (1, 3 * WIDTH))]
)
def test_the_problem_has_the_sizes_of_the_source(root, pool, shape):
    data = module(root, source=Features("processed_data", pool=pool, rounding="floor"))
    data.setup()
    assert (data.problem.seconds, data.problem.width) == shape


def test_a_split_without_windows_is_told(own):
    path = own / "niv" / "niv_valid.json"
    content = json.loads(path.read_text())
    for record in content.values():
        record["steps"] = record["steps"][:2]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="split 'test' of niv, protocol 'schema', has no window of 3 steps"):
        module(own).setup()


@pytest.mark.filterwarnings("ignore:.*also training videos")
def test_listed_windows_teach_transitions_of_their_own_steps_only(tmp_path):
    root = write_small_niv(tmp_path)
    write_lists(root)
    data = module(root, protocol="p3iv")
    data.setup()
    assert sorted(data.training_sequences()) == sorted(w.steps for w in data.windows("train").windows)
    assert data.single_steps() is None  # a video's other windows may be for testing
    pairs = {pair for steps in data.training_sequences() for pair in pairwise(steps)}
    assert pairs <= {pair for w in data.windows("train").windows for pair in pairwise(w.steps)}
    test_videos = {w.video for w in data.windows("test").windows}
    assert test_videos & {w.video for w in data.windows("train").windows}
    assert any("rewards remembering" in note for note in data.facts()["notes"])


@pytest.mark.filterwarnings("ignore:.*also training videos")
def test_listed_windows_whose_videos_have_no_features_are_left_out(tmp_path):
    root = write_small_niv(tmp_path)
    write_lists(root)
    whole = module(root, protocol="p3iv", validation=0.3)
    whole.setup()
    (root / "niv" / "processed_data" / "tea_train_0002.npy").unlink()
    data = module(root, protocol="p3iv", source=Features("processed_data", rounding="floor", missing="skip"))
    data.setup()
    for split in ("train", "val", "test"):
        assert "tea_train_0002" not in {w.video for w in data.windows(split).windows}
    total = sum(data.facts()["samples"].values())
    assert total == sum(whole.facts()["samples"].values()) - 3
    assert any("1 videos without features" in note for note in data.facts()["notes"])


def write_lists(root) -> None:
    """P3IV's lists of windows, every third one for testing."""
    videos = {}
    for part in ("train", "valid"):
        videos |= json.loads((root / "niv" / f"niv_{part}.json").read_text())
    lists: dict[str, list] = {"train": [], "test": []}
    for name, record in videos.items():
        for first in range(3):
            steps = record["steps"][first : first + 3]
            times = [[int(s["start"]), int(s["end"])] for s in steps]
            entry = [f"{name}.csv", [s["action_id"] for s in steps], times, [first, first + 3]]
            lists["test" if (len(lists["train"]) + len(lists["test"])) % 4 == 3 else "train"].append(entry)
    (root / "splits").mkdir()
    (root / "splits" / "p3iv_niv_t3_datasplit.json").write_text(json.dumps(lists))
