"""Windows become one vector: hidden windows have no influence, and a switch that is off cuts its path."""

import pytest
import torch

from leaplan.recognition.anticipation import WindowAggregator, summarise, summary_width
from leaplan.recognition.network import ProgramLogits

N, W, C, K, CV, CO, P, TAIL = 4, 3, 16, 5, 4, 6, 3, 2
F = summary_width(CV, CO, P, TAIL)


def draw_logits(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return ProgramLogits(*(2 * torch.randn(N, W, K, size, generator=generator) for size in (CV, CO, CO, P, P)))


def aggregator(context="both", **options):
    torch.manual_seed(0)
    return WindowAggregator(C, W, F, context, **{"dropout": 0.0, "heads": 4, **options})


def inputs(seed=0):
    torch.manual_seed(seed)
    mask = torch.tensor([[True, True, True], [False, True, True], [False, False, True], [True, False, True]])
    return torch.randn(N, W, C), torch.rand(N, W, F), mask


def test_a_summary_is_the_mean_slot_and_the_last_slots_in_order():
    logits = draw_logits()
    found = summarise(logits, TAIL)
    assert found.shape == (N, W, F)
    for n in range(N):
        for w in range(W):
            slots = []
            for k in range(K):
                parts = [each[n, w, k].softmax(-1) for each in logits[:3]] + [
                    each[n, w, k].sigmoid() for each in logits[3:]
                ]
                slots.append(torch.cat(parts))
            alive = [1 - slot[0] for slot in slots]
            mean = sum(a * slot for a, slot in zip(alive, slots, strict=True)) / sum(alive)
            verbs = logits.verb[n, w].argmax(-1).tolist()
            length = verbs.index(0) if 0 in verbs else K
            ending = [slots[length - 1 - i] if length > i else torch.zeros(F // (1 + TAIL)) for i in range(TAIL)]
            torch.testing.assert_close(found[n, w], torch.cat([mean, *ending]))


def test_a_program_that_stops_at_once_has_a_finite_summary():
    logits = draw_logits()
    logits.verb[..., 0] = 200
    logits.verb.requires_grad_()
    found = summarise(logits, TAIL)
    found.sum().backward()
    assert found.isfinite().all()
    assert logits.verb.grad.isfinite().all()


@pytest.mark.parametrize("context", ["features", "programs", "both"])
def test_hidden_windows_have_no_influence_not_even_as_nan(context):
    network, (pooled, summary, mask) = aggregator(context), inputs()
    expected = network(pooled, summary, mask)
    pooled, summary = pooled.clone(), summary.clone()
    pooled[~mask] = float("nan")
    summary[~mask] = float("inf")
    pooled.requires_grad_()
    found = network(pooled, summary, mask)
    assert torch.equal(found, expected)
    found.square().sum().backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in network.parameters())
    if context != "programs":
        assert not pooled.grad[~mask].any()
        assert pooled.grad[mask].abs().sum(-1).all()


def test_a_clip_without_any_visible_window_is_told_by_learned_vectors_alone():
    network, (pooled, summary, mask) = aggregator(), inputs()
    mask[1:3] = False
    found = network(pooled, summary, mask)
    assert found.isfinite().all()
    assert torch.equal(found[1], found[2])
    assert (found[0] - found[1]).abs().max() > 1e-3
    found[1].square().sum().backward()
    for name in ("hidden", "step", "query"):
        grad = getattr(network, name).grad
        assert grad.isfinite().all(), name
        assert grad.any(), name
    before = found[1].detach()
    network.hidden.data += torch.randn(C)
    assert (network(pooled, summary, mask)[1] - before).abs().max() > 1e-3


@pytest.mark.parametrize(("context", "silent"), [("features", "summary"), ("programs", "pooled")])
def test_a_context_that_is_switched_off_is_cut(context, silent):
    network, (pooled, summary, mask) = aggregator(context), inputs()
    given = {"pooled": pooled.requires_grad_(), "summary": summary.requires_grad_()}
    found = network(**given, window_mask=mask)
    found.square().sum().backward()
    assert given[silent].grad is None or not given[silent].grad.any()
    assert given["summary" if silent == "pooled" else "pooled"].grad.any()
    other = {**given, silent: torch.randn_like(given[silent])}
    assert torch.equal(network(**other, window_mask=mask), found)
    kept = {"summary": "features", "pooled": "programs"}[silent]
    assert [name for name in ("features", "programs") if getattr(network, name) is not None] == [kept]


def test_both_contexts_are_used():
    network, (pooled, summary, mask) = aggregator(), inputs()
    found = network(pooled, summary, mask)
    assert (network(torch.randn_like(pooled), summary, mask) - found).abs().max() > 1e-3
    assert (network(pooled, torch.rand_like(summary), mask) - found).abs().max() > 1e-3


def test_the_order_of_windows_matters_and_that_of_clips_does_not():
    network, (pooled, summary, mask) = aggregator(), inputs()
    found = network(pooled, summary, mask)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(network(pooled[order], summary[order], mask[order]), found[order])
    turned = network(pooled.flip(1), summary.flip(1), mask)
    assert (turned[0] - found[0]).abs().max() > 1e-3


def test_training_and_evaluation_agree_without_dropout():
    network, (pooled, summary, mask) = aggregator(), inputs()
    trained = network(pooled, summary, mask)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(pooled, summary, mask), trained)


def test_wrong_contexts_are_refused():
    with pytest.raises(ValueError, match="context is 'words'"):
        aggregator("words")
    with pytest.raises(ValueError, match="there are no programs"):
        WindowAggregator(C, W, 0, "programs")
    pooled, _, mask = inputs()
    with pytest.raises(ValueError, match="summaries of programs are needed"):
        aggregator()(pooled, None, mask)
    assert WindowAggregator(C, W, 0, heads=4)(pooled, None, mask).shape == (N, C)
