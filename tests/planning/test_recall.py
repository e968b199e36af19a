"""Kernel regression on stored windows against the formula written out in NumPy."""

from typing import NamedTuple

import numpy as np
import pytest
import torch

from leaplan.planning.network import Planner
from leaplan.planning.recall import KernelRegression, RecallReader

n, T, N, F = 12, 3, 5, 6


class Steps(NamedTuple):
    start: torch.Tensor
    goal: torch.Tensor
    before: torch.Tensor
    own: torch.Tensor
    after: torch.Tensor


class Windows(NamedTuple):
    start: torch.Tensor
    goal: torch.Tensor
    steps: torch.Tensor
    task: torch.Tensor
    video: torch.Tensor


def distances(a, b):
    return ((a[:, None] - b[None]) ** 2).sum(-1)


@pytest.fixture
def windows():
    torch.manual_seed(0)
    return torch.randn(n, 2, F), torch.randint(0, N, (n, T))


def test_regression_equals_the_closed_form(windows):
    seen, _ = windows
    target, asked = torch.randn(n, 4), torch.randn(3, 2, F)
    regression = KernelRegression(2, reach=0.7, ridge=0.3, constant=0.05)
    regression.fit(seen, target)

    def kernel(a, b):
        parts = [
            np.exp(-0.7 * distances(a[:, p], b[:, p]) / distances(seen[:, p].numpy(), seen[:, p].numpy()).mean())
            for p in range(2)
        ]
        return parts[0] + parts[1] + parts[0] * parts[1] + 0.05

    stored = seen.numpy().astype(np.float64)
    weight = np.linalg.solve(kernel(stored, stored) + 0.3 * np.eye(n), target.numpy())
    np.testing.assert_allclose(regression(asked), kernel(asked.numpy(), stored) @ weight, atol=1e-4)


def test_without_regularisation_training_windows_are_recalled(windows):
    seen, steps = windows
    reader = RecallReader(T, N, ridge=1e-6, boundary_weight=0.0)
    reader.fit(seen, steps, None, None)
    assert torch.equal(reader(seen).argmax(-1), steps)


def test_single_steps_move_the_first_and_the_last_step_only(windows):
    seen, steps = windows
    m = 9
    singles = Steps(*torch.randn(2, m, 1, F), *torch.randint(0, N, (3, m)))
    without, with_steps = RecallReader(T, N, boundary_weight=0.0), RecallReader(T, N, boundary_weight=0.5)
    without.fit(seen, steps, singles, torch.stack([singles.start, singles.goal], 1).flatten(2))
    with_steps.fit(seen, steps, singles, torch.stack([singles.start, singles.goal], 1).flatten(2))
    moved = (with_steps(seen) - without(seen)).abs().amax((0, 2))
    assert moved[0] > 1e-3
    assert moved[-1] > 1e-3
    assert moved[1] == 0


def test_the_beginning_and_the_end_of_a_video_are_no_steps():
    torch.manual_seed(1)
    seen = torch.randn(1, 2, F)
    singles = Steps(seen[:, :1], seen[:, 1:], torch.tensor([N]), torch.tensor([2]), torch.tensor([N]))
    reader = RecallReader(T, N, shared_boundaries=True)
    reader.fit(torch.randn(n, 2, F), torch.randint(0, N, (n, T)), singles, seen)
    assert reader.ends[0](seen[:, :1]).argmax() == 2
    assert reader.ends[1](seen[:, 1:]).argmax() == 2


def test_stored_rows_come_back_from_a_checkpoint_of_any_size(windows):
    seen, steps = windows
    one, other = RecallReader(T, N), RecallReader(T, N)
    one.fit(seen, steps, None, None)
    other.fit(seen[:4], steps[:4], None, None)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(seen), other(seen))


def test_recall_is_measured_on_training_windows_and_mixed_at_its_share():
    torch.manual_seed(0)
    planner = Planner(T, N, 2, 1, F, 4, width=8, heads=2, layers=1, recall_share=0.25).eval()
    training = Windows(
        *torch.randn(2, n, 1, F), torch.randint(0, N, (n, T)), torch.randint(0, 2, (n,)), torch.arange(n) // 3
    )
    planner.fit(training, lambda: None)
    y = torch.randn(N, 1, 4)
    log_emissions, output = planner.log_emissions(training.start, training.goal, y)
    recalled = planner.recall(planner.observe(training.start, training.goal).flatten(2)).log_softmax(-1)
    expected = 0.75 * output.steps[0].log_softmax(-1) + 0.25 * recalled
    torch.testing.assert_close(log_emissions, expected.log_softmax(-1))
    torch.testing.assert_close(log_emissions.exp().sum(-1), torch.ones(n, T))
