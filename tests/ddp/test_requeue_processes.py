"""SLURM played locally: train.sbatch runs, all its processes get the signal, the job is queued and started again."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from leaplan.training.requeue import STOPPED
from tests.ddp.test_cli_processes import SECONDS, uneven
from tests.small_niv import write_small_niv
from tests.training.test_requeue import assert_same_run

SBATCH = Path(__file__).parents[2] / "docker" / "slurm" / "train.sbatch"
EPOCHS = 12
SRUN = f"""#!{sys.executable}
import os, signal, subprocess, sys
running = []
for rank in range(int(os.environ["SLURM_NTASKS"])):
    task = {{"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "SLURM_NODEID": "0"}}
    running.append(subprocess.Popen(sys.argv[1:], env={{**os.environ, **task}}))
signal.signal(signal.SIGUSR1, lambda *_: [task.send_signal(signal.SIGUSR1) for task in running])
sys.exit(max(task.wait() for task in running))
"""


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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    count = {name: str(tasks) for name in ("SLURM_NTASKS", "SLURM_NTASKS_PER_NODE")}
    job = {
        "SLURM_JOB_ID": "4711",
        "SLURM_ARRAY_JOB_ID": "4700",
        "SLURM_ARRAY_TASK_ID": "8",
        "SLURM_JOB_NAME": "leaplan-train",
        "SLURM_NNODES": "1",
        "SLURM_NODELIST": "localhost",
    }
    ours = {"LEAPLAN": str(programs / "leaplan"), "ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "MASTER_PORT": port}
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("MASTER_ADDR", "PL_GLOBAL_SEED")},
        **count, **job, **ours,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }  # fmt: skip
    command = ["bash", str(SBATCH), str(config), "--trainer.max_epochs", str(EPOCHS)]
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
def test_a_job_that_slurm_interrupts_and_starts_again_ends_as_an_undisturbed_one(programs, tmp_path):
    """Two processes; the job is a task of an array, whose number is the seed."""
    root = write_small_niv(tmp_path / "data", videos=23)
    runs = {}
    for name in ("whole", "interrupted"):
        (tmp_path / name).mkdir()
        config = uneven(tmp_path / name, root)
        runs[name] = run = tmp_path / name / "runs" / "small-seed8"
        if name == "interrupted":
            process = submitted(programs, config, tasks=2)
            table, deadline = run / "metrics.csv", time.monotonic() + SECONDS
            while not (table.is_file() and len(table.read_text().splitlines()) > 1):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.005)
            process.send_signal(signal.SIGUSR1)  # srun, which the script has become
            out = ended(process, STOPPED)
            assert "the same command continues" in out
            assert "job 4700_8 is queued again" in out
            assert (tmp_path / "calls").read_text() == "requeue 4700_8\n"
            assert not (run / "results.json").exists()
        out = ended(submitted(programs, config, tasks=2))
        assert ("continuing" in out) == (name == "interrupted")
        assert "seed_everything: 8" in (run / "config.yaml").read_text()
    assert_same_run(runs["whole"], runs["interrupted"])
