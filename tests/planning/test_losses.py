"""Losses against their definitions in NumPy."""

import itertools

import numpy as np
import pytest
import torch

from leaplan.planning.losses import plan_loss, step_loss, task_loss

R, B, T, N, K = 2, 4, 3, 5, 3


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.randn(R, B, T, N), torch.randint(0, N, (B, T)), torch.randn(R, B, K), torch.tensor([0, 2, 1, 2])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("focal", [0.0, 1.0])
def test_step_loss_is_smoothed_focal_cross_entropy(batch, smoothing, focal):
    logits, steps = batch[0].double(), batch[1]
    logp = log_softmax(logits.numpy())
    expected = np.zeros((R, B))
    for r, b, t in itertools.product(range(R), range(B), range(T)):
        true = logp[r, b, t, steps[b, t]]
        each = -(1 - smoothing) * true - smoothing * logp[r, b, t].mean()
        expected[r, b] += (1 - np.exp(true)) ** focal * each / T
    np.testing.assert_allclose(step_loss(logits, steps, smoothing, focal), expected, atol=1e-9)


def test_focal_weights_are_not_differentiated(batch):
    logits = batch[0].double().requires_grad_()
    step_loss(logits, batch[1], focal=1.0).sum().backward()
    fixed = logits.detach().clone().requires_grad_()
    weights = 1 - torch.exp(fixed.detach().log_softmax(-1).gather(-1, batch[1].expand(R, -1, -1)[..., None]))[..., 0]
    each = -fixed.log_softmax(-1).gather(-1, batch[1].expand(R, -1, -1)[..., None])[..., 0]
    (weights * each / T).sum().backward()
    torch.testing.assert_close(logits.grad, fixed.grad)


def test_task_loss_leaves_windows_without_a_task_out(batch):
    logits, task = batch[2].double(), batch[3].clone()
    task[1] = -1
    loss = task_loss(logits, task).numpy()
    expected = -np.take_along_axis(log_softmax(logits.numpy()), np.maximum(task.numpy(), 0)[None, :, None], -1)[..., 0]
    expected[:, 1] = 0
    np.testing.assert_allclose(loss, expected, atol=1e-9)


def test_plan_loss_is_the_likelihood_of_the_plan_among_all_plans(batch):
    logits, steps = batch[0].double(), batch[1]
    transitions = torch.randn(N, N).double().log_softmax(-1)
    loss = plan_loss(logits, steps, transitions)
    for r, b in itertools.product(range(R), range(B)):
        scores = {
            plan: sum(logits[r, b, t, s] for t, s in enumerate(plan))
            + sum(transitions[i, j] for i, j in itertools.pairwise(plan))
            for plan in itertools.product(range(N), repeat=T)
        }
        total = torch.logsumexp(torch.stack(list(scores.values())), 0)
        expected = (total - scores[tuple(steps[b].tolist())]) / T
        torch.testing.assert_close(loss[r, b], expected, atol=1e-5, rtol=1e-5)
