"""The planner's network: what reaches the logits, and that sharing the memory changes nothing."""

import numpy as np
import pytest
import torch
from torch import nn

from leaplan.planning.attention import Attention, DecoderLayer
from leaplan.planning.network import Planner

B, T, N, K, S, D, M, W = 5, 3, 7, 4, 2, 10, 6, 12


@pytest.fixture
def planner():
    torch.manual_seed(0)
    return Planner(T, N, K, S, D, W, width=16, heads=4, direct_width=8)


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    start, goal = torch.randn(2, B, S, D, generator=generator)
    return start, goal, torch.randn(N, M, W, generator=generator)


def test_attention_equals_the_softmax_written_out():
    torch.manual_seed(0)
    attention = Attention(8, 2)
    queries, memory = torch.randn(B, 3, 8), torch.randn(B, 5, 8)
    with torch.no_grad():
        ours = attention(queries, memory).numpy()
        q = attention.query(queries).numpy()
        k, v = np.split(attention.key_value(memory).numpy(), 2, axis=-1)
        mixed = np.zeros_like(q)
        for head in (slice(0, 4), slice(4, 8)):
            scores = q[..., head] @ k[..., head].transpose(0, 2, 1) / 2.0
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            mixed[..., head] = weights / weights.sum(-1, keepdims=True) @ v[..., head]
        expected = attention.output(torch.from_numpy(mixed)).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_one_memory_for_the_batch_gives_what_a_copy_per_sample_gives():
    torch.manual_seed(0)
    layer = DecoderLayer(16, 4).eval()
    queries, memory = torch.randn(B, T, 16), torch.randn(11, 16)
    torch.testing.assert_close(layer(queries, memory), layer(queries, memory.expand(B, -1, -1)))


def test_shared_memory_gives_the_same_gradients():
    torch.manual_seed(0)
    layer = DecoderLayer(16, 4)
    queries, memory = torch.randn(B, T, 16), torch.randn(11, 16, requires_grad=True)
    gradients = []
    for seen in (memory, memory.expand(B, -1, -1)):
        gradients.append(torch.autograd.grad(layer(queries, seen).square().sum(), [memory, *layer.parameters()]))
    for shared, copied in zip(*gradients, strict=True):
        torch.testing.assert_close(shared, copied, rtol=1e-4, atol=1e-4)


def test_a_window_is_planned_the_same_alone_and_in_a_batch(planner, inputs):
    planner.eval()
    start, goal, descriptions = inputs
    together = planner(start, goal, descriptions).steps
    alone = torch.cat([planner(start[i : i + 1], goal[i : i + 1], descriptions).steps for i in range(B)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_logits_have_the_promised_shapes(planner, inputs):
    output = planner(*inputs)
    assert output.steps.shape == (B, T, N)
    assert output.task.shape == (B, K)


@pytest.mark.parametrize("tasks", [0, 1])
def test_no_task_head_without_tasks(tasks, inputs):
    assert Planner(T, N, tasks, S, D, W, width=16, heads=4)(*inputs).task is None


def test_every_parameter_learns(planner, inputs):
    output = planner(*inputs)
    (output.steps.square().sum() + output.task.square().sum()).backward()
    still = [name for name, p in planner.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not still


def test_both_observations_and_the_descriptions_reach_the_plan(planner, inputs):
    planner.eval()
    before = planner(*inputs).steps
    for position in range(3):
        changed = [x.clone() for x in inputs]
        changed[position][0] += 1.0
        assert (planner(*changed).steps - before).abs().max() > 1e-4


def test_standardisation_uses_the_statistics_it_was_given(planner, inputs):
    start, goal, _ = inputs
    planner.eval()
    planner.states.set_statistics(torch.full((2, D), 3.0), torch.full((2, D), 2.0))
    seen = planner.states.standardise(start, goal)
    torch.testing.assert_close(seen[:, 0], (start - 3) / 2)
    torch.testing.assert_close(seen[:, 1], (goal - 3) / 2)


def test_noise_and_dropout_stop_at_test_time(inputs):
    planner = Planner(T, N, K, S, D, W, width=16, heads=4, feature_noise=1.0).eval()
    torch.testing.assert_close(planner(*inputs).steps, planner(*inputs).steps, rtol=0, atol=0)


def test_width_must_be_a_multiple_of_heads():
    with pytest.raises(ValueError, match="multiple"):
        Attention(10, 4)


def test_layers_are_plain_modules_of_torch(planner):
    assert isinstance(planner, nn.Module)
    assert not any("lightning" in type(module).__module__ for module in planner.modules())
