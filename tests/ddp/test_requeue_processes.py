"""Runs of two processes that a cluster interrupts end as one on two nodes that nothing has disturbed."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leaplan.training.requeue import STOPPED
from tests.ddp.test_cli_processes import TWO, started, uneven
from tests.ddp.two_processes import SECONDS
from tests.small_niv import write_small_niv
from tests.training.test_requeue import assert_same_run

SBATCH = Path(__file__).parents[2] / "docker" / "slurm" / "train.sbatch"
COMMON = ["--seed_everything", "8", "--name", "small-seed8", "--trainer.max_epochs", "8"]
SRUN = f"""#!{sys.executable}
import os, signal, subprocess, sys
running = []
for rank in range(int(os.environ["SLURM_NTASKS"])):
    task = {{"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "SLURM_NODEID": "0"}}
    running.append(subprocess.Popen(sys.argv[1:], env={{**os.environ, **task}}))
signal.signal(signal.SIGUSR1, lambda *_: [task.send_signal(signal.SIGUSR1) for task in running])
sys.exit(max(task.wait() for task in running))
"""


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_small_niv(tmp_path_factory.mktemp("data"), videos=23)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, root) -> Path:
    """An undisturbed run of two nodes with one process each, as a user starts them by hand."""
    config = uneven(tmp_path_factory.mktemp("whole"), root)
    spread = ["--trainer.devices", "1", "--trainer.num_nodes", "2", "--trainer.strategy", "ddp"]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    nodes = [
        started("fit", "--config", config, *COMMON, *spread, extra={**address, "NODE_RANK": node}) for node in "01"
    ]
    first, second = [ended(node) for node in nodes]
    assert "results in " in first
    assert second == ""
    return run_of(config)


def run_of(config: Path) -> Path:
    return config.parent / "runs" / "small-seed8"


def wait_for_epochs(count: int, run: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a run has ended some epochs."""
    table, deadline = run / "metrics.csv", time.monotonic() + SECONDS
    while not (table.is_file() and len(table.read_text().splitlines()) > count):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def programs(tmp_path) -> Path:
    """A folder with as much of SLURM as the script meets, and leaplan."""
    folder = tmp_path / "bin"
    folder.mkdir()
    contents = {
        "srun": SRUN,
        "scontrol": f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n',
        "leaplan": f'#!/bin/sh\nexec {sys.executable} -m leaplan "$@"\n',
    }
    for name, content in contents.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o755)
    return folder


def submitted(programs: Path, config: Path, tasks: int) -> subprocess.Popen[str]:
    """Run the batch script as SLURM would on one node."""
    count = {name: str(tasks) for name in ("SLURM_NTASKS", "SLURM_NTASKS_PER_NODE")}
    job = {
        "SLURM_JOB_ID": "4711",
        "SLURM_ARRAY_JOB_ID": "4700",
        "SLURM_ARRAY_TASK_ID": "8",
        "SLURM_JOB_NAME": "leaplan-train",
        "SLURM_NNODES": "1",
        "SLURM_NODELIST": "localhost",
    }
    ours = {"LEAPLAN": str(programs / "leaplan"), "ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1"}
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("MASTER_ADDR", "PL_GLOBAL_SEED")},
        **count, **job, **ours,
        "MASTER_PORT": free_port(),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }  # fmt: skip
    command = ["bash", str(SBATCH), str(config), *COMMON[-2:]]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def ended(process: subprocess.Popen[str], code: int = 0) -> str:
    """Wait for the end of a job, and return what it printed."""
    try:
        out, error = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == code, error
    assert "Traceback" not in error
    return out


@pytest.mark.slow
def test_a_job_that_slurm_interrupts_and_starts_again_ends_as_an_undisturbed_one(whole, programs, root, tmp_path):
    """SLURM played locally: the job is a task of an array, whose number is the seed, and all its processes are told."""
    config = uneven(tmp_path, root)
    run = run_of(config)
    process = submitted(programs, config, tasks=2)
    wait_for_epochs(1, run, process)
    process.send_signal(signal.SIGUSR1)  # srun, which the script has become
    out = ended(process, STOPPED)
    assert "the same command continues" in out
    assert "job 4700_8 is queued again" in out
    assert (tmp_path / "calls").read_text() == "requeue 4700_8\n"
    assert not (run / "results.json").exists()
    assert "continuing" in ended(submitted(programs, config, tasks=2))
    assert "seed_everything: 8" in (run / "config.yaml").read_text()
    assert_same_run(whole, run)


@pytest.mark.slow
def test_two_processes_killed_at_once_continue_to_the_same_result(whole, root, tmp_path):
    config = uneven(tmp_path, root)
    run, command = run_of(config), ["fit", "--config", config, *COMMON, *TWO]
    process = started(*command)
    wait_for_epochs(2, run, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (run / "results.json").exists()
    assert "continuing" in ended(started(*command))
    assert_same_run(whole, run)
