"""Alignment over two real processes (gloo) has the losses and the gradients of one process with all windows."""

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


def on_process(rank):
    parallel = nn.parallel.DistributedDataParallel(Part())
    return {case: results(parallel, case, rank, 2) for case in BATCHES}


@pytest.fixture(scope="module")
def answers(pair):
    """What each of two processes found."""
    return pair.found(__name__)


@pytest.mark.slow
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
