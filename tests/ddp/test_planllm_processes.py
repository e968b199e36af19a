"""PlanLLM on two real processes through the command line: the losses and the figures of one, in both stages."""

import csv
import json
import os
import signal
from pathlib import Path

import pytest
import torch
import yaml
from lightning import Callback

from leaplan.__main__ import main
from leaplan.planning.network import Planner
from leaplan.training.requeue import STOPPED
from tests.ddp.test_cli_processes import TWO, results_of
from tests.small_niv import write_small_niv
from tests.test_cli import QUERIES, experiment, whole

EPOCHS = 4  # of which two are stage 1
FSDP2 = Path(__file__).parents[2] / "configs" / "trainer" / "fsdp2.yaml"


class SteadyPlanner(Planner):
    """Takes the most similar windows as negatives. Drawn ones depend on which process draws."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.attend.alignment.sample_negatives = False


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Data of 60 training windows, 7 batches of 8 and one of 4; 9 and 33 to evaluate, which two cannot share evenly."""
    return write_small_niv(tmp_path_factory.mktemp("data"), videos=23)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


def steady(folder: Path, root: Path, cache: Path) -> Path:
    """An experiment of PlanLLM with all its parts, in which nothing is drawn but weights and the order of windows."""
    config = experiment(folder, root, EPOCHS, **whole(cache))
    content = yaml.safe_load(config.read_text())
    content["data"]["init_args"].update(validation=0.13)
    model = content["model"]["init_args"]
    drops = dict.fromkeys(("dropout", "feature_dropout", "text_dropout"), 0.0)
    network = {**model["network"]["init_args"], **drops, "step_queries": {**QUERIES, "dropout": 0.0}}
    model["network"] = {"class_path": f"{__name__}.SteadyPlanner", "init_args": network}
    model["learning_rate"] = 0.01
    model["language"]["init_args"]["lora"] = {"rank": 4, "alpha": 8.0, "dropout": 0.0}
    content["trainer"].update(accumulate_grad_batches=2, gradient_clip_val=1.0)
    config.write_text(yaml.safe_dump(content))
    return config


def epochs_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_equal(one: Path, two: Path) -> None:
    """Compare all that an epoch logs, the figures of both splits, and the plans."""
    table, other = epochs_of(one), epochs_of(two)
    assert len(table) == len(other) == EPOCHS
    for first, second in zip(table, other, strict=True):
        assert [name for name in first if first[name]] == [name for name in second if second[name]]
        for name in filter(first.get, first):
            assert float(first[name]) == pytest.approx(float(second[name]), rel=1e-4, abs=1e-6), name
    for split in ("val", "test"):
        ours, theirs = (results_of(run)["metrics"][split] for run in (one, two))
        for decoding in ("argmax", "viterbi", "generate", "trie", "retrieve"):
            assert ours[decoding] == theirs[decoding], decoding


@pytest.fixture(scope="module")
def one(tmp_path_factory, root, cache) -> Path:
    """The run of one process, and the experiment two folders above it."""
    config = steady(tmp_path_factory.mktemp("one"), root, cache)
    assert main(["fit", "--config", str(config)]) == 0
    return config.parent / "runs" / "small"


@pytest.mark.slow
def test_two_processes_have_the_losses_and_figures_of_one_in_both_stages(one, root, cache, pair, tmp_path):
    config, run = steady(tmp_path, root, cache), tmp_path / "runs" / "small"
    pair.leaplan("fit", "--config", config, "--batch_size", "4", *TWO)
    assert_equal(one, run)
    both = [row["val/viterbi/success_rate"] for row in epochs_of(one)]
    assert [bool(each) for each in both] == [False, False, True, True]  # two stages
    results, predictions = results_of(run)["metrics"]["test"], (run / "predictions" / "test.jsonl").read_text()
    assert main(["test", "--config", str(config)]) == 0  # what two saved, one evaluates to the same figures
    assert results_of(run)["metrics"]["test"] == results
    assert (run / "predictions" / "test.jsonl").read_text() == predictions


@pytest.fixture(scope="module")
def full(tmp_path_factory, root, cache) -> Path:
    """The run of one process whose language model learns in full."""
    config = steady(tmp_path_factory.mktemp("full"), root, cache)
    assert main(["fit", "--config", str(config), "--model.language.learns", "full"]) == 0
    return config.parent / "runs" / "small"


def flat_of(state: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([weight.flatten().double() for _, weight in sorted(state.items())])


def shapes_of(checkpoint: dict) -> dict:
    """Names and shapes of weights and of the optimiser's state, by which any strategy can go on from a checkpoint."""
    states = checkpoint["optimizer_states"][0]["state"]
    shapes = {(number, key): value.shape for number, values in states.items() for key, value in values.items()}
    return shapes | {name: weight.shape for name, weight in checkpoint["state_dict"].items()}


class SignalIn(Callback):
    """Send SIGUSR1 in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, trainer, *_):
        if trainer.current_epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.slow
def test_sharded_or_not_a_language_model_learns_in_full_as_in_one_process(full, root, cache, pair, tmp_path):
    """A run whose weights are sharded in both stages and in its evaluation, and whole for an epoch between."""
    config, run = steady(tmp_path, root, cache), tmp_path / "runs" / "small"
    common = ["fit", "--config", config, "--batch_size", "4", "--trainer.devices", "2"]
    common += ["--model.language.learns", "full"]
    sharded, ddp = ["--config", FSDP2], ["--trainer.strategy", "ddp"]
    for epoch, strategy in enumerate([sharded, ddp]):
        callback = json.dumps([{"class_path": f"{__name__}.SignalIn", "init_args": {"epoch": epoch}}])
        out = pair.leaplan(*common, *strategy, "--trainer.callbacks", callback, code=STOPPED)
        assert f"stopped after {epoch + 1} of {EPOCHS} epochs" in out
    assert "continuing" in pair.leaplan(*common, *sharded)
    assert_equal(full, run)
    ours, theirs = (torch.load(each / "checkpoints" / "last.ckpt", weights_only=True) for each in (full, run))
    assert shapes_of(ours) == shapes_of(theirs)
    weights, others = (flat_of(each["state_dict"]) for each in (ours, theirs))
    assert (weights - others).norm() < 1e-3 * weights.norm()  # keys' biases, which nothing depends on, drift apart
