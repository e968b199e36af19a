"""Two real processes (gloo) give the numbers of one, to the last bit."""

import pytest
import torch

from leaplan.planning.metrics import PlanMetrics
from leaplan.planning.probabilistic import SampledPlanMetrics

SAMPLES, HORIZON, CLASSES = 21, 3, 5

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


def on_process(rank):
    return {case: results(shares[rank]) for case, shares in SHARES.items()}


@pytest.mark.slow
def test_plan_metrics_are_the_same_on_one_and_two_processes(pair):
    alone = results(torch.arange(SAMPLES).split(SAMPLES))
    for found in pair.found(__name__):
        assert found == dict.fromkeys(SHARES, alone)
