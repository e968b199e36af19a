"""Alignment over two real processes (gloo) has the losses and the gradients of one process with all windows."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from leaplan.planning.alignment import Alignment
from leaplan.planning.qformer import StepQueries

T, C, E, Y = 3, 2, 6, 5
A, B, OTHER = [0, 1, 2], [3, 1, 0], [2, 2, 4]
BATCHES = {  # first half: process 0
    "duplicates on both": [A, A, B, B, OTHER, A],
    "negatives only on the other process": [A, A, A, B, A, OTHER],
    "one plan in all": [A, A, A, A, A, A],
    "one window each": [A, B],
}

PROGRAM = """
import json, sys
from datetime import timedelta
import torch, torch.distributed as dist
sys.path.insert(0, sys.argv[1])
import test_alignment_processes as t
torch.set_num_threads(1)
dist.init_process_group("gloo", timeout=timedelta(seconds=60))
parallel = torch.nn.parallel.DistributedDataParallel(t.Part())
print(json.dumps({case: t.results(parallel, case, dist.get_rank(), 2) for case in t.BATCHES}))
dist.destroy_process_group()
"""


class Part(nn.Module):
    """Projection, step queries and alignment, as a planner has them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.project = nn.Linear(4, E)
        self.step_queries = StepQueries(T, E, Y, width=8, heads=2, dropout=0.0)
        self.alignment = Alignment(8, Y, width=4, sample_negatives=False)
        self.double()

    def forward(self, seen, text, plans):
        states = self.project(seen)
        return self.alignment(self.step_queries, states, self.step_queries(states), text, plans)


def results(model, case, rank, processes):
    """Both losses and all gradients of one process's share of a batch."""
    plans = torch.tensor(BATCHES[case])
    generator = torch.Generator().manual_seed(1)
    seen = torch.randn(len(plans), C, 4, generator=generator, dtype=torch.float64)
    y = torch.randn(5, Y, generator=generator, dtype=torch.float64)
    share = torch.arange(len(plans)).chunk(processes)[rank]
    model.zero_grad()
    losses = model(seen[share], y[plans[share]], plans[share])
    (losses[0] + 0.5 * losses[1]).backward()
    gradients = {name.removeprefix("module."): w.grad.flatten().tolist() for name, w in model.named_parameters()}
    return {"losses": [loss.item() for loss in losses], "gradients": gradients}


@pytest.fixture(scope="module")
def answers():
    """What each of two processes found."""
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
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    return [json.loads(out) for out, _ in outputs]


@pytest.mark.slow  # two processes import transformers
@pytest.mark.parametrize("case", BATCHES)
def test_losses_and_gradients_average_to_those_of_one_process(answers, case):
    alone = results(Part(), case, 0, 1)
    for which in range(2):  # contrast, match
        average = sum(answer[case]["losses"][which] for answer in answers) / 2
        assert average == pytest.approx(alone["losses"][which], abs=1e-12)
    assert (alone["losses"][1] > 0.1) == (case != "one plan in all")
    for answer in answers:  # DistributedDataParallel has averaged them
        assert answer[case]["gradients"].keys() == alone["gradients"].keys()
        for name, expected in alone["gradients"].items():
            assert answer[case]["gradients"][name] == pytest.approx(expected, rel=1e-7, abs=1e-11), name
