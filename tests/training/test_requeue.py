"""A signal ends a run behind an epoch; it is queued again once, and continues as if there had been no signal."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning import Callback

from leaplan.__main__ import main
from leaplan.training.requeue import STOPPED, Requeue, job_of
from tests.small_niv import write_small_niv
from tests.test_cli import experiment, results_of


@pytest.fixture(autouse=True)
def _leaves_the_signal_alone():
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """A job of SLURM whose `scontrol` writes down what it is asked for; the calls so far."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    (programs / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "123")
    path = tmp_path / "calls"
    return lambda: path.read_text().splitlines() if path.is_file() else []


def trainer(epoch: int = 0, epochs: int = 4) -> SimpleNamespace:
    """As much of a trainer as the callback looks at."""
    strategy = SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision)
    return SimpleNamespace(current_epoch=epoch, max_epochs=epochs, strategy=strategy, should_stop=False)


def signalled(grace: float = 60.0) -> Requeue:
    requeue = Requeue(grace)
    requeue.watch()
    os.kill(os.getpid(), signal.SIGUSR1)
    return requeue


@pytest.mark.parametrize(
    ("variables", "job"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "7"}, "7"),
        ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}, "7_2"),
    ],
)
def test_a_job_is_named_as_scontrol_names_it(variables, job):
    assert job_of(variables) == job


def test_training_goes_on_without_a_signal_and_ends_with_the_epoch_after_one():
    undisturbed, ours = trainer(), trainer()
    Requeue(60.0).on_train_epoch_end(undisturbed, None)
    assert not undisturbed.should_stop
    requeue = signalled()
    requeue.on_train_epoch_end(ours, None)
    assert ours.should_stop
    assert requeue.stopped


def test_a_signal_in_the_last_epoch_does_not_keep_a_run_from_its_results():
    last = trainer(epoch=3)
    requeue = signalled()
    requeue.on_train_epoch_end(last, None)
    assert not last.should_stop
    assert not requeue.stopped


def test_a_job_is_queued_again_once(calls):
    requeue = Requeue(60.0)
    requeue.queue()
    requeue.queue()
    assert calls() == ["requeue 123"]


def test_an_epoch_that_outlasts_the_grace_does_not_cost_the_job_its_place(calls):
    signalled(grace=0.01)
    deadline = time.monotonic() + 10
    while not calls():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert calls() == ["requeue 123"]


def test_a_queue_that_refuses_is_told(calls, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    Requeue(60.0).queue()
    said = capsys.readouterr().err
    assert "job 123 could not be queued again" in said
    assert "submit it anew" in said


def test_nothing_is_queued_outside_of_slurm(calls, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID")
    Requeue(60.0).queue()
    assert calls() == []


class SignalIn(Callback):
    """Send SIGUSR1 in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, trainer, *_):
        if trainer.current_epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGUSR1)


def test_a_run_that_was_stopped_and_queued_again_ends_as_an_undisturbed_one(calls, tmp_path, capsys):
    root = write_small_niv(tmp_path / "data")
    runs = {}
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
        command = ["fit", "--config", str(experiment(tmp_path / name, root, 3)), "--save_every", "100"]
        runs[name] = tmp_path / name / "runs" / "small"
        if name == "stopped":
            callback = f'[{{"class_path": "{__name__}.SignalIn", "init_args": {{"epoch": 0}}}}]'
            assert main([*command, "--trainer.callbacks", callback]) == STOPPED
            assert "stopped after 1 of 3 epochs" in capsys.readouterr().out
            assert calls() == ["requeue 123"]
            assert not (runs[name] / "results.json").exists()
        assert main(command) == 0
    assert calls() == ["requeue 123"]
    assert_same_run(runs["whole"], runs["stopped"])


def assert_same_run(one: Path, other: Path) -> None:
    """Compare figures, the table of epochs, predictions, and all weights to the last bit."""
    assert results_of(one)["metrics"] == results_of(other)["metrics"]
    for name in ("metrics.csv", "predictions/test.jsonl"):
        assert (one / name).read_text() == (other / name).read_text()
    for name in ("last", "best"):
        ours, theirs = (
            torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"] for run in (one, other)
        )
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
