"""Two real processes through the command line (gloo, CPU) write what one process writes, once."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from leaplan.__main__ import main
from leaplan.cli import rank_zero_only, tell_other_nodes
from tests.ddp.two_processes import SECONDS
from tests.small_niv import write_small_niv
from tests.test_cli import experiment

TWO = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]
WINDOWS = {"val": 9, "test": 33}  # no multiple of 2; 17 and 16 test windows make 5 and 4 batches of 4


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_small_niv(tmp_path_factory.mktemp("data"), videos=23)


def uneven(folder: Path, root: Path) -> Path:
    """An experiment whose splits do not divide by two."""
    config = experiment(folder, root, epochs=2)
    content = yaml.safe_load(config.read_text())
    content["batch_size"] = 4
    content["data"]["init_args"].update(validation=0.13)
    config.write_text(yaml.safe_dump(content))
    return config


@pytest.fixture(scope="module")
def alone(tmp_path_factory, root) -> Path:
    """The experiment of a run that one process trained and tested."""
    config = uneven(tmp_path_factory.mktemp("alone"), root)
    assert main(["fit", "--config", str(config)]) == 0
    return config


def started(*arguments: object, extra: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the command line as a user does, in a process group of its own, with `extra` variables."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    for name in ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "PL_GLOBAL_SEED"):
        environment.pop(name, None)
    environment |= extra or {}
    return subprocess.Popen(
        [sys.executable, "-m", "leaplan", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def leaplan(*arguments: object) -> str:
    """Run the command line to its end, and return what it printed."""
    process = started(*arguments)
    try:
        out, error = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the processes that it started as well
        raise
    assert process.returncode == 0, error
    assert "Traceback" not in error
    assert "unused parameters" not in error
    return out


def best_of(config: Path) -> Path:
    return config.parent / "runs" / "small" / "checkpoints" / "best.ckpt"


def results_of(run: Path) -> dict:
    return json.loads((run / "results.json").read_text())


def files_of(run: Path) -> list[str]:
    """Paths inside a run folder, the events files without their time and process."""
    paths = (str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())
    return sorted("events" if path.startswith("events.") else path for path in paths)


@pytest.mark.parametrize(("node", "launched", "rank"), [("0", {}, 0), ("1", {}, 1), ("1", {"RANK": "0"}, 0)])
def test_what_a_user_starts_on_another_node_is_not_the_first_process(monkeypatch, node, launched, rank):
    monkeypatch.setattr(rank_zero_only, "rank", 0)
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"NODE_RANK": node, **launched}.items():
        monkeypatch.setenv(name, value)
    tell_other_nodes()
    assert rank_zero_only.rank == rank


@pytest.mark.slow
def test_two_processes_write_the_results_of_one(alone, pair, tmp_path):
    out = pair.leaplan("test", "--config", alone, "--ckpt_path", best_of(alone), "--runs", tmp_path, *TWO)
    one, two = alone.parent / "runs" / "small", tmp_path / "small"
    assert results_of(two)["metrics"]["test"] == results_of(one)["metrics"]["test"]
    assert results_of(two)["data"] == results_of(one)["data"]
    plans = (two / "predictions" / "test.jsonl").read_bytes()
    assert plans == (one / "predictions" / "test.jsonl").read_bytes()
    assert len({json.loads(line)["sample_id"] for line in plans.splitlines()}) == WINDOWS["test"]
    assert files_of(two) == ["predictions/test.jsonl", "results.json"]
    assert out.count("results in ") == 1  # only one process speaks


@pytest.mark.slow
def test_two_processes_predict_what_one_predicts(alone, pair, tmp_path):
    pair.leaplan("predict", "--config", alone, "--ckpt_path", best_of(alone), "--runs", tmp_path, *TWO)
    plans = (tmp_path / "small" / "predictions" / "test.jsonl").read_bytes()
    assert plans == (alone.parent / "runs" / "small" / "predictions" / "test.jsonl").read_bytes()


@pytest.mark.slow
def test_two_processes_train_and_end_with_results(alone, root, tmp_path):
    config = uneven(tmp_path, root)
    out = leaplan("fit", "--config", config, *TWO)
    run, other = tmp_path / "runs" / "small", alone.parent / "runs" / "small"
    assert files_of(run) == files_of(other)
    assert out.count("results in ") == 2  # validation and test, once each
    results = results_of(run)
    assert results["data"]["samples"]["test"] == WINDOWS["test"]
    for split, count in WINDOWS.items():
        assert results["metrics"][split]["counts"]["windows"] == count
        lines = (run / "predictions" / f"{split}.jsonl").read_text().splitlines()
        names = [json.loads(line)["sample_id"] for line in lines]
        expected = (other / "predictions" / f"{split}.jsonl").read_text().splitlines()
        assert names == [json.loads(line)["sample_id"] for line in expected]
    assert [row.split(",")[0] for row in (run / "metrics.csv").read_text().splitlines()] == ["epoch", "0", "1"]
    main(["test", "--config", str(config)])  # what two processes saved, one evaluates to the same figures
    assert results_of(run)["metrics"]["test"] == results["metrics"]["test"]


@pytest.mark.slow
def test_fewer_windows_than_processes_are_evaluated_once(alone, pair, tmp_path):
    root = write_small_niv(tmp_path / "data", videos=23)
    path = root / "niv" / "niv_valid.json"
    (name, record), *_ = json.loads(path.read_text()).items()
    path.write_text(json.dumps({name: {**record, "steps": record["steps"][:3]}}))
    options = ["--config", alone, "--ckpt_path", best_of(alone), "--root", root, "--runs", tmp_path / "runs"]
    pair.leaplan("test", *options, *TWO)
    run = tmp_path / "runs" / "small"
    assert results_of(run)["metrics"]["test"]["counts"]["windows"] == 1
    assert len((run / "predictions" / "test.jsonl").read_text().splitlines()) == 1
