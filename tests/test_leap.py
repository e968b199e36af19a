"""LEAP from the command line: what a run leaves behind, what it must never see, what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from leaplan.__main__ import main
from leaplan.data.niv import read_niv
from tests.small_leap import leap_experiment
from tests.small_niv import write_small_niv


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_small_niv(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def recognised(tmp_path_factory, root) -> Path:
    """The experiment of a finished recognition run."""
    config = leap_experiment(tmp_path_factory.mktemp("recognise"), root, epochs=8)
    assert main(["fit", "--config", str(config)]) == 0
    return config


@pytest.fixture(scope="module")
def anticipated(tmp_path_factory, root) -> Path:
    config = leap_experiment(tmp_path_factory.mktemp("anticipate"), root, anticipate=True)
    assert main(["fit", "--config", str(config)]) == 0
    return config


def run_of(config: Path) -> Path:
    return config.parent / "runs" / "small"


def results_of(config: Path) -> dict:
    return json.loads((run_of(config) / "results.json").read_text())


def scores_of(run: Path) -> dict[str, np.ndarray]:
    with np.load(run / "predictions" / "test.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def test_a_run_leaves_figures_with_their_protocol(recognised):
    results = results_of(recognised)
    assert results["task"] == "recognition"
    assert results["metrics"]["test"]["recognition"]["action_top1"] > 0.5  # ten steps, features that tell them
    assert 0.3 < results["metrics"]["test"]["programs"]["s_verb"] <= 1.0
    assert results["protocol"]["programs"]["slots"] == 4
    assert any("training clips have a program" in note for note in results["data"]["notes"])
    assert results["data"]["samples"]["test"] == len(scores_of(run_of(recognised))["sample_id"])


def test_testing_again_gives_the_same_scores(recognised):
    before = scores_of(run_of(recognised))
    assert main(["test", "--config", str(run_of(recognised) / "config.yaml")]) == 0
    after = scores_of(run_of(recognised))
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_true_classes_and_programs_never_reach_the_scores(recognised, root, tmp_path):
    """Test clips with other labels and without programs get the same scores to the last bit."""
    other = write_small_niv(tmp_path / "other")
    path = other / "niv" / "niv_valid.json"
    entries = json.loads(path.read_text())
    for record in entries.values():
        names = {step["action_id"]: step["action"] for step in record["steps"]}
        ids = [step["action_id"] for step in record["steps"]]
        for step, action in zip(record["steps"], ids[1:] + ids[:1], strict=True):
            step.update(action_id=action, action=names[action])
    path.write_text(json.dumps(entries))
    before = scores_of(run_of(recognised))
    config = str(run_of(recognised) / "config.yaml")
    checkpoint = str(run_of(recognised) / "checkpoints" / "best.ckpt")
    where = ["--root", str(other), "--runs", str(tmp_path), "--name", "changed", "--ckpt_path", checkpoint]
    assert main(["test", "--config", config, *where]) == 0
    after = scores_of(tmp_path / "changed")
    assert np.array_equal(before["action"], after["action"])
    assert not np.array_equal(before["step_label"], after["step_label"])


def test_nothing_after_the_gap_changes_what_is_anticipated(anticipated, tmp_path):
    """Every second that begins at start - 1 s or later is replaced, for one segment of each test video at a time."""
    before = scores_of(run_of(anticipated))
    config = str(run_of(anticipated) / "config.yaml")
    checkpoint = str(run_of(anticipated) / "checkpoints" / "best.ckpt")
    changed = write_small_niv(tmp_path / "changed")
    starts = {}
    for video in read_niv(changed).of_split("test"):
        segment = video.segments[2]
        starts[segment.id] = segment.start
        path = changed / "niv" / "processed_data" / f"{video.id}.npy"
        array = np.load(path)
        array[int(np.floor(segment.start - 1.0)) :] += 50.0
        np.save(path, array)
    where = ["--root", str(changed), "--runs", str(tmp_path), "--name", "changed", "--ckpt_path", checkpoint]
    assert main(["test", "--config", config, *where]) == 0
    after = scores_of(tmp_path / "changed")
    same = np.array([name in starts for name in before["sample_id"]])
    assert same.sum() == len(starts) > 0
    assert np.array_equal(before["action"][same], after["action"][same])
    assert not np.array_equal(before["action"], after["action"])  # later segments do see what was changed


def test_windows_looked_at_once_give_the_scores_of_windows_looked_at_each_time(tmp_path, root, anticipated):
    start = run_of(anticipated) / "checkpoints" / "best.ckpt"
    runs = []
    for cached in ("true", "false"):
        config = leap_experiment(tmp_path, root, anticipate=True)
        settings = ["--model.start_from", str(start), "--model.freeze", "true", "--model.cached", cached]
        assert main(["fit", "--config", str(config), *settings, "--name", f"cached-{cached}"]) == 0
        runs.append(scores_of(tmp_path / "runs" / f"cached-{cached}"))
    assert np.abs(runs[0]["action"] - runs[1]["action"]).max() < 1e-4


def test_without_validation_data_all_training_videos_are_learnt_from_and_the_last_weights_kept(tmp_path, root, capsys):
    config = leap_experiment(tmp_path, root, epochs=2)
    assert main(["fit", "--config", str(config), "--data.validation", "0"]) == 0
    results = results_of(config)
    assert results["data"]["samples"]["train"] == sum(len(v.segments) for v in read_niv(root).of_split("train"))
    assert list(results["metrics"]) == ["test"]
    assert "last epoch" in results["protocol"]["selected_on"]
    best, last = (
        torch.load(run_of(config) / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
        for name in ("best", "last")
    )
    assert all(torch.equal(best[name], last[name]) for name in last)
    assert main(["fit", "--config", str(config), "--data.validation", "0", "--final", "val", "--name", "x"]) == 2
    assert "no validation data" in capsys.readouterr().err


def test_a_finished_run_is_skipped_if_asked_to(recognised, capsys):
    assert main(["fit", "--config", str(recognised), "--finished", "skip"]) == 0
    assert "is finished" in capsys.readouterr().out
    assert main(["fit", "--config", str(recognised)]) == 2


def test_a_checkpoint_of_other_classes_is_refused_by_name(recognised, anticipated, capsys):
    checkpoint = run_of(recognised) / "checkpoints" / "best.ckpt"
    config = str(run_of(anticipated) / "config.yaml")
    assert main(["test", "--config", config, "--ckpt_path", str(checkpoint)]) == 2
    assert "windows: 1, the data has 2" in capsys.readouterr().err


def test_programs_of_another_dataset_are_refused(tmp_path, root, capsys):
    config = leap_experiment(tmp_path, root)
    rows = tmp_path / "programs.jsonl"
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    rows.write_text("\n".join(json.dumps({**line, "clip": f"x{i}"}) for i, line in enumerate(lines)) + "\n")
    assert main(["fit", "--config", str(config)]) == 2
    assert "is in this dataset, such as 'x0'" in capsys.readouterr().err


def test_two_runs_of_one_seed_are_equal_and_of_two_seeds_are_not(tmp_path, root):
    weights = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        config = leap_experiment(tmp_path, root, epochs=2)
        extra = ["--name", name, "--seed_everything", str(seed), "--final", "val"]
        assert main(["fit", "--config", str(config), *extra]) == 0
        state = torch.load(tmp_path / "runs" / name / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
        weights.append(state)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
