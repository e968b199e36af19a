"""The optimiser decays matrices only, and the schedule is the formula."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from leaplan.training.optim import adamw, warmup_cosine


class Small(nn.Module):
    """Matrices, vectors, and something frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm, self.convolution = nn.Linear(3, 4), nn.LayerNorm(4), nn.Conv1d(4, 4, 2)
        self.queries, self.temperature = nn.Parameter(torch.ones(2, 3)), nn.Parameter(torch.ones(()))
        self.base = nn.Linear(3, 3).requires_grad_(False)


def test_vectors_and_scalars_get_no_weight_decay_and_frozen_parameters_no_update():
    module = Small()
    optimizer = adamw([module], 1e-3, 0.05)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: decay.get(id(p)) for name, p in module.named_parameters()}
    assert found == {
        "linear.weight": 0.05,
        "convolution.weight": 0.05,
        "queries": 0.05,
        "linear.bias": 0.0,
        "norm.weight": 0.0,
        "norm.bias": 0.0,
        "convolution.bias": 0.0,
        "temperature": 0.0,
        "base.weight": None,
        "base.bias": None,
    }
    assert {group["lr"] for group in optimizer.param_groups} == {1e-3}


def test_a_network_of_matrices_alone_has_one_group():
    assert len(adamw([nn.Linear(3, 4, bias=False)], 1e-3, 0.05).param_groups) == 1


def rates(steps: int, warmup: int, count: int) -> list[float]:
    parameter = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], lr=0.5)
    schedule = warmup_cosine(optimizer, steps, warmup)
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize(("steps", "warmup"), [(10, 0), (10, 1), (20, 5), (7, 7), (1, 0)])
def test_the_schedule_is_linear_then_a_half_cosine(steps, warmup):
    def formula(step):
        if step < warmup:
            return 0.5 * (step + 1) / warmup
        return 0.25 * (1 + math.cos(math.pi * min(1, (step - warmup) / max(1, steps - warmup))))

    found = rates(steps, warmup, steps + 3)
    assert found == pytest.approx([formula(step) for step in range(steps + 3)], abs=1e-12)


def test_the_schedule_ends_at_zero_and_stays_there():
    found = rates(10, 2, 14)
    assert found[0] == 0.25
    assert found[1] == found[2] == 0.5  # the whole rate, reached by the warm-up and left by the cosine
    assert found[6] == pytest.approx(0.25)  # half way down
    assert found[10:] == pytest.approx([0, 0, 0, 0], abs=1e-12)
    assert all(a >= b for a, b in pairwise(found[2:]))


def test_without_warm_up_training_starts_at_the_whole_rate():
    assert rates(10, 0, 1) == [0.5]
