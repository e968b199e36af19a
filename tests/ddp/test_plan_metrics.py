"""Two real processes (gloo) give the numbers of one, to the last bit."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import torch

from leaplan.planning.metrics import PlanMetrics
from leaplan.planning.probabilistic import SampledPlanMetrics

SAMPLES, HORIZON, CLASSES = 21, 3, 5

PROGRAM = """
import json, sys, warnings
from datetime import timedelta
import torch, torch.distributed as dist
sys.path.insert(0, sys.argv[1])
import test_plan_metrics as t
warnings.simplefilter("ignore")
torch.set_num_threads(1)
dist.init_process_group("gloo", timeout=timedelta(seconds=60))
rank = dist.get_rank()
results = {case: t.results(shares[rank]) for case, shares in t.SHARES.items()}
print(json.dumps(results))
dist.destroy_process_group()
"""
SHARES = {
    "uneven": [torch.arange(0, 21, 2).split(4), torch.arange(1, 21, 2).split(4)],  # last batches of 3 and 2
    "padded": [torch.arange(0, 21, 2).split(4), torch.tensor([*range(1, 21, 2), 0]).split(4)],
    "one is idle": [torch.arange(21).split(8), ()],
    "one batch fewer": [torch.arange(16).split(4), torch.arange(16, 21).split(4)],
}


def split():
    """Logits (M, T, N), targets (M, T), draws (M, S, T), and the plans of the first few samples as seen ones."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(SAMPLES, HORIZON, CLASSES, generator=generator)
    wrong = torch.randint(CLASSES, (SAMPLES, HORIZON), generator=generator)
    target = torch.where(torch.rand(SAMPLES, HORIZON, generator=generator) < 0.7, logits.argmax(-1), wrong)
    draws = torch.randint(CLASSES, (SAMPLES, 30, HORIZON), generator=generator)
    return logits, target, draws, torch.arange(SAMPLES) < 8


def results(batches):
    """All scores of a process that sees `batches`, as hexadecimal floats: equal means equal to the last bit."""
    logits, target, draws, seen = split()
    plans, sampled = PlanMetrics(HORIZON, top=(2,)), SampledPlanMetrics(target, CLASSES)
    for rows in batches:
        plans.update(rows, logits[rows].argmax(-1), target[rows], logits[rows])
        sampled.update(rows, draws[rows], target[rows])
    scores = {**plans.compute(), **sampled.compute()}
    scores |= {f"{name}_seen": value for name, value in plans.compute_where(seen).items()}
    return {name: float(value).hex() for name, value in scores.items()}


def test_plan_metrics_are_the_same_on_one_and_two_processes():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(2):
        environment = {
            **os.environ,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "RANK": str(rank),
            "WORLD_SIZE": "2",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-c", PROGRAM, str(Path(__file__).parent)]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    answers = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    alone = results(torch.arange(SAMPLES).split(SAMPLES))
    for answer, _ in answers:
        assert json.loads(answer) == dict.fromkeys(SHARES, alone)
