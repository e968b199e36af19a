"""The planner's network: what reaches the logits, and that sharing the memory changes nothing."""

import numpy as np
import pytest
import torch
from torch import nn

from leaplan.planning.attention import Attention, DecoderLayer
from leaplan.planning.direct import DirectReaders
from leaplan.planning.network import Planner
from leaplan.planning.states import Observation

B, T, N, K, S, D, M, W = 5, 3, 7, 4, 2, 10, 6, 12


@pytest.fixture
def planner():
    torch.manual_seed(0)
    return Planner(T, N, K, S, D, W, width=16, heads=4, direct_readers=2, direct_width=8)


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
    alone = torch.cat([planner(start[i : i + 1], goal[i : i + 1], descriptions).steps for i in range(B)], dim=1)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_logits_have_the_promised_shapes(planner, inputs):
    output = planner(*inputs)
    assert output.steps.shape == (3, B, T, N)  # the attentive reader and two direct ones
    assert output.task.shape == (3, B, K)


@pytest.mark.parametrize("tasks", [0, 1])
def test_no_task_head_without_tasks(tasks, inputs):
    assert Planner(T, N, tasks, S, D, W, width=16, heads=4)(*inputs).task.shape == (1, B, 0)


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


def test_noise_and_dropout_stop_at_test_time(planner, inputs):
    planner.eval()
    torch.testing.assert_close(planner(*inputs).steps, planner(*inputs).steps, rtol=0, atol=0)


@pytest.mark.parametrize("unit", [False, True])
def test_observations_of_training_windows_are_standardised(unit):
    torch.manual_seed(0)
    start, goal = 3 + 2 * torch.randn(2, 50, S, D)
    observe = Observation(D, unit)
    observe.fit(start, goal, torch.arange(50) // 5, torch.zeros(50, dtype=torch.int64))
    seen = observe(start, goal).numpy()
    expected = start.numpy()
    if unit:
        expected = expected / np.linalg.norm(expected, axis=-1, keepdims=True)
    expected = (expected - expected.mean((0, 1))) / expected.std((0, 1))
    np.testing.assert_allclose(seen[:, 0], expected, atol=1e-4)


def test_what_differs_between_videos_of_a_task_is_shrunk_and_what_differs_between_tasks_is_not():
    torch.manual_seed(0)
    video = torch.arange(400) // 20  # 20 videos of 20 windows
    task = video % 2
    seen = torch.randn(400, 1, D)
    seen[:, 0, 0] += 5 * torch.randn(20)[video]  # the look of a kitchen
    seen[:, 0, 1] += 5 * task  # the look of a task
    before, after = Observation(D), Observation(D, suppress=3.0)
    for observe in (before, after):
        observe.fit(seen, seen, video, task)
    plain, shrunk = before(seen, seen)[:, 0, 0], after(seen, seen)[:, 0, 0]

    def spread(values, groups):
        means = torch.stack([values[groups == group].mean(0) for group in groups.unique()])
        return means.std(0) / values.std()

    assert spread(shrunk, video)[0] < 0.6 * spread(plain, video)[0]
    assert spread(shrunk, task)[1] > 0.9 * spread(plain, task)[1]


def test_observations_of_a_split_move_no_statistics():
    observe = Observation(D, suppress=1.0)
    start, goal = torch.randn(2, 20, S, D)
    observe.fit(start, goal, torch.arange(20) // 4, torch.arange(20) // 10)
    before = {name: tensor.clone() for name, tensor in observe.state_dict().items()}
    observe(torch.randn(5, S, D), torch.randn(5, S, D))
    assert all(torch.equal(before[name], tensor) for name, tensor in observe.state_dict().items())


def test_direct_readers_are_separate_networks():
    torch.manual_seed(0)
    readers = DirectReaders(2 * S * D, T, N, K, readers=3, width=8).eval()
    seen = torch.randn(B, 2, S, D)
    steps, task = readers(seen)
    for r in range(3):
        flat = seen.flatten(1)
        hidden = torch.nn.functional.gelu(flat @ readers.hidden_weight[r] + readers.hidden_bias[r])
        output = hidden @ readers.output_weight[r] + readers.output_bias[r]
        torch.testing.assert_close(steps[r].flatten(1), output[:, : T * N])
        torch.testing.assert_close(task[r], output[:, T * N :])


def test_emissions_are_the_geometric_mean_of_the_readers(planner, inputs):
    planner.eval()
    log_emissions, output = planner.log_emissions(*inputs)
    mean = output.steps.softmax(-1).log().mean(0).exp()
    torch.testing.assert_close(log_emissions.exp(), mean / mean.sum(-1, keepdim=True))


def test_width_must_be_a_multiple_of_heads():
    with pytest.raises(ValueError, match="multiple"):
        Attention(10, 4)


def test_layers_are_plain_modules_of_torch(planner):
    assert isinstance(planner, nn.Module)
    assert not any("lightning" in type(module).__module__ for module in planner.modules())
