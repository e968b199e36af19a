"""Train on one dataset, test on another: which windows, whose labels, what counts as seen."""

from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from jsonargparse import ArgumentError, ArgumentParser

from leaplan.data.cross import CrossDataset
from leaplan.data.crosstask import CrossTask
from leaplan.data.datamodule import VideoDataModule
from leaplan.data.niv import Niv
from leaplan.data.sources import Features
from leaplan.data.surrogate import SurrogateFeatures
from leaplan.data.views import PlanningWindows
from leaplan.errors import DataError
from tests.data.conftest import write
from tests.small_niv import TASKS, WIDTH, write_small_niv

OTHER = ["pour milk", "pour water", "add leaves", "Boil  Water"]  # three are NIV's, numbered otherwise, one respelt
VIDEOS = {"a": [4, 3, 2], "b": [4, 3, 2, 1], "tea_train_0000": [2, 3, 1], "c": [1, 1, 4]}  # numbers from 1


def write_other(root: Path, videos: dict[str, list[int]] = VIDEOS, train: tuple[str, ...] = ("a",)) -> None:
    """Write a small dataset in CrossTask's layout beside the small NIV; all but `train` is for testing."""
    folder = root / "crosstask"
    write(folder / "tasks_primary.txt", f"7\nMake a Drink\nhttp://a\n{len(OTHER)}\n{','.join(OTHER)}\n\n")
    for video, steps in videos.items():
        rows = [f"{step},{2 * i + 2},{2 * i + 3}\n" for i, step in enumerate(steps)]
        write(folder / "annotations" / f"7_{video}.csv", "".join(rows))
        (folder / "features").mkdir(exist_ok=True)
        np.save(folder / "features" / f"{video}.npy", np.random.default_rng(len(steps)).normal(size=(20, WIDTH)))
    for flag, names in (("False", train), ("True", set(videos) - set(train))):
        entries = [{"id": {"vid": video, "task": "7"}} for video in sorted(names)]
        write(folder / f"cross_task_data_{flag}.json", entries)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = write_small_niv(tmp_path_factory.mktemp("data"))
    write_other(folder)
    return folder


def module(root: Path, horizon: int = 3, **settings) -> CrossDataset:
    return CrossDataset(
        str(root),
        PlanningWindows(horizon),
        train=partial(Niv, source=Features("processed_data", rounding="floor"), validation=0.2),
        test=partial(CrossTask, source=settings.pop("source", None) or Features("features")),
        **settings,
    )


@pytest.fixture(scope="module")
def ready(root) -> CrossDataset:
    data = module(root, batch_size=5)
    data.setup()
    return data


@pytest.fixture(scope="module")
def alone(root) -> Niv:
    data = Niv(str(root), PlanningWindows(3), Features("processed_data", rounding="floor"), validation=0.2)
    data.setup()
    return data


def test_a_planner_learns_from_the_first_dataset_alone(ready, alone):
    assert ready.problem == alone.problem
    assert ready.training_sequences() == alone.training_sequences()
    for split in ("train", "val"):
        mine, theirs = ready.windows(split), alone.windows(split)
        assert mine.windows == theirs.windows
        assert mine.start.equal(theirs.start)
        assert mine.seen_in_training.equal(theirs.seen_in_training)
    mine, theirs = ready.single_steps(), alone.single_steps()
    assert all(getattr(mine, each.name).equal(getattr(theirs, each.name)) for each in fields(mine))


def test_it_is_tested_on_the_second_dataset_alone(ready):
    assert [step.name for step in ready.target_vocabulary.steps] == OTHER
    found = {window.sample_id: [step + 1 for step in window.steps] for window in ready.windows("test").windows}
    assert found == {"b:0+3": [4, 3, 2], "b:1+3": [3, 2, 1], "tea_train_0000:0+3": [2, 3, 1], "c:0+3": [1, 1, 4]}
    batches = list(ready.test_dataloader())
    assert [sample for batch in batches for sample in batch["sample_id"]] == list(found)
    assert [len(batch["index"]) for batch in ready.val_dataloader()] == [5, 5, 2]
    assert {batch["task"].max().item() for batch in ready.test_dataloader()} == {0}


def test_a_plan_is_seen_if_its_labels_are_those_of_a_training_plan(ready, alone):
    names = [name for names in TASKS.values() for name in names]
    trained = {tuple(names[step] for step in window.steps) for window in alone.windows("train").windows}
    plain = [" ".join(name.lower().split()) for name in OTHER]
    tensors = ready.windows("test")
    expected = [tuple(plain[step] for step in window.steps) in trained for window in tensors.windows]
    assert tensors.seen_in_training.tolist() == expected
    assert {True, False} == set(expected)


def test_an_ordinary_dataset_is_tested_on_its_own_classes(alone):
    assert alone.target_vocabulary is alone.problem.vocabulary


def test_facts_tell_of_both_datasets(ready, alone):
    facts = ready.facts()
    assert facts["dataset"] == "niv -> crosstask"
    assert facts["protocol"] == "schema -> base"
    assert facts["samples"] == {"train": 48, "val": 12, "test": 4}
    assert facts["videos"] == {"train": 16, "val": 4, "test": 3}
    assert len(facts["sha256"]) == 64
    assert facts["sha256"] not in {alone.annotations.sha256, ready.test_part.official.sha256}
    assert any(note.startswith("niv: 4 of 20 training videos are set aside") for note in facts["notes"])
    assert not any(note.startswith("crosstask: ") and "set aside" in note for note in facts["notes"])
    assert "3 of 4 step labels to test occur in training" in facts["notes"]
    assert "1 of 3 test videos bear the name of a training video" in facts["notes"]


def test_observations_of_different_sizes_are_refused(root):
    data = module(root, source=Features("features", pool="keep"))
    with pytest.raises(DataError, match=r"niv has 1 x 12 numbers \(seconds x features\), but one of crosstask has 3 x"):
        data.setup()


def test_a_test_dataset_without_windows_is_told(root):
    with pytest.raises(DataError, match="no video of crosstask has 5 steps to plan; the longest has 4"):
        module(root, horizon=5).setup()


def test_only_test_videos_of_the_second_dataset_are_read(tmp_path):
    write_small_niv(tmp_path)
    write_other(tmp_path)
    (tmp_path / "crosstask" / "features" / "a.npy").write_bytes(b"damaged")  # a training video
    data = module(tmp_path)
    data.setup()
    assert len(data.windows("test")) == 4


CONFIG = {
    "class_path": "leaplan.data.cross.CrossDataset",
    "init_args": {
        "view": {"class_path": "leaplan.data.views.PlanningWindows"},
        "train": {
            "class_path": "leaplan.data.niv.Niv",
            "init_args": {
                "source": {
                    "class_path": "leaplan.data.sources.Features",
                    "init_args": {"folder": "processed_data", "rounding": "floor"},
                },
                "validation": 0.2,
            },
        },
        "test": {
            "class_path": "leaplan.data.crosstask.CrossTask",
            "init_args": {"source": {"class_path": "leaplan.data.sources.Features"}, "merged": True},
        },
        "batch_size": 5,
    },
}


def parser() -> ArgumentParser:
    """The part of the command line that concerns data."""
    made = ArgumentParser(parser_mode="omegaconf+", exit_on_error=False)
    made.add_argument("--root", type=str)
    made.add_argument("--horizon", type=int)
    made.add_subclass_arguments(VideoDataModule, "data")
    made.link_arguments("root", "data.init_args.root")
    made.link_arguments("horizon", "data.init_args.view.init_args.horizon")
    return made


def test_a_configuration_gives_root_and_horizon_once_for_both(root):
    made = parser()
    parsed = made.parse_object({"data": CONFIG, "root": str(root), "horizon": 2})
    data = made.instantiate(parsed).data
    assert data.train_part.root == data.test_part.root == data.root == root
    assert data.train_part.view is data.test_part.view is data.view
    assert data.view.horizon == 2
    assert data.test_part.merged
    assert data.train_part.validation == 0.2
    data.setup()
    assert len(data.windows("train")) == 16 * 4
    written = made.dump(parsed)  # as a run's config.yaml
    assert made.parse_string(written) == parsed


@pytest.mark.parametrize("key", ["root", "view", "batch_size"])
def test_what_both_share_cannot_be_given_to_one(key):
    train = {**CONFIG["init_args"]["train"], "init_args": {**CONFIG["init_args"]["train"]["init_args"], key: 3}}
    given = {**CONFIG, "init_args": {**CONFIG["init_args"], "train": train}}
    with pytest.raises(ArgumentError, match=key):
        parser().parse_object({"data": given, "root": ".", "horizon": 3})


def test_niv_to_crosstask_has_all_real_windows(shared):
    file = "schema_text/schema_clip_vitl14_text_features.npz"
    data = CrossDataset(
        str(shared / "data"),
        PlanningWindows(3),
        train=partial(Niv, source=SurrogateFeatures(file, "niv_state")),
        test=partial(CrossTask, source=SurrogateFeatures(file, "crosstask_state")),
    )
    data.setup()
    facts = data.facts()
    assert facts["samples"]["train"] + facts["samples"]["val"] == 691
    assert facts["samples"]["test"] == 2030
    assert (len(data.problem.vocabulary.steps), len(data.target_vocabulary.steps)) == (48, 133)
    assert "13 of 133 step labels to test occur in training" in facts["notes"]
    assert sum("say nothing about vision" in note for note in facts["notes"]) == 2
