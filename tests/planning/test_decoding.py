"""Decoding and the chain behind it: brute force over all plans, the published paths, hard cases, sampling."""

import itertools
import json
import math

import numpy as np
import pytest
import torch

from leaplan.errors import DataError
from leaplan.planning import decoding
from leaplan.planning.chain import (
    chain_log_marginals,
    crf_negative_log_likelihood,
    plans_from_uniforms,
    sample_plans,
    uniforms_of_samples,
)
from leaplan.planning.decoding import argmax_plan, transition_counts, transition_log_probabilities, viterbi
from tests.reference.viterbi import plan_scores, viterbi_loop


@pytest.fixture
def golden(shared):
    return json.loads((shared / "golden" / "golden_metrics.json").read_text())


def random_chain(seed, batch=5, steps=3, classes=4, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    emissions = torch.randn(batch, steps, classes, generator=generator, dtype=dtype).mul(2).log_softmax(-1)
    transitions = torch.randn(classes, classes, generator=generator, dtype=dtype).mul(2).log_softmax(-1)
    return emissions, transitions


def test_golden_paths_and_probabilities_of_schema_are_reproduced(golden):
    for case in golden["viterbi"]:
        emissions = torch.tensor(case["emission_TxN"], dtype=torch.float64).log()[None]
        plan, score = viterbi(emissions, torch.tensor(case["transition"], dtype=torch.float64).log())
        assert plan[0].tolist() == case["schema_path"] == case["planllm_path"]
        assert float(score.exp()) == pytest.approx(case["schema_prob"], rel=1e-5)  # with the prior 1/N


def test_golden_viterbi_over_sample_frequencies_is_reproduced(golden):
    case = golden["probabilistic"][0]
    samples = torch.tensor(case["samples"])
    shares = torch.nn.functional.one_hot(samples, case["N"]).double().mean(0)
    plan, _ = viterbi(shares.log()[None], torch.tensor(case["transition"]).double().log())
    assert plan[0].tolist() == case["sample_viterbi"]


@pytest.mark.parametrize(("steps", "classes"), [(1, 5), (2, 7), (3, 4), (4, 4), (6, 3)])
def test_viterbi_finds_the_best_of_all_plans(steps, classes):
    emissions, transitions = random_chain(steps, 6, steps, classes)
    plans, scores = viterbi(emissions, transitions)
    for sample, plan, score in zip(emissions.numpy(), plans.tolist(), scores.tolist(), strict=True):
        every, values = plan_scores(sample, transitions.numpy())
        assert tuple(plan) == every[int(values.argmax())]
        assert score == pytest.approx(values.max(), abs=1e-5)


def test_dense_and_sparse_scan_and_any_block_size_give_one_result(monkeypatch):
    emissions, dense = random_chain(1, 37, 5, 24)
    sequences = [[i, (i + 1) % 24, (i + 5) % 24] for i in range(0, 24, 2)]
    sparse = transition_log_probabilities(transition_counts(sequences, 24))
    forbidden = transition_log_probabilities(transition_counts(sequences, 24), smoothing=0)
    assert decoding._quicker_max_plus(dense).func is decoding.max_plus
    assert decoding._quicker_max_plus(sparse).func is decoding.max_plus_sparse
    for transitions in (dense, sparse, forbidden):
        expected = viterbi_loop(emissions.numpy(), transitions.numpy())
        quick = viterbi(emissions, transitions)
        assert (quick[0].numpy() == expected).all()
        for block, tile in ((1, 1), (500, 5), (2**20, 64)):
            monkeypatch.setitem(decoding.BLOCK_ELEMENTS, "cpu", block)
            monkeypatch.setitem(decoding.TILE_SAMPLES, "cpu", tile)
            for scan in (decoding.max_plus, None):
                if scan:
                    monkeypatch.setattr(decoding, "_quicker_max_plus", lambda t: lambda s: decoding.max_plus(s, t))
                again = viterbi(emissions, transitions)
                assert torch.equal(quick[0], again[0])
                assert torch.equal(quick[1], again[1])
            monkeypatch.undo()


def test_ties_go_to_the_lowest_class_at_every_argmax():
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        emissions = torch.randint(2, (9, 4, 6), generator=generator).float()
        transitions = torch.randint(2, (6, 6), generator=generator).float()
        assert (
            viterbi(emissions, transitions)[0].numpy() == viterbi_loop(emissions.numpy(), transitions.numpy())
        ).all()
    flat = torch.zeros(3, 4, 5)
    assert not viterbi(flat, torch.zeros(5, 5))[0].any()
    assert not argmax_plan(flat).any()


def test_a_class_never_seen_as_a_source_does_not_poison_the_plan():
    counts = torch.tensor([[0, 0, 3], [2, 1, 0], [0, 0, 0]])
    for smoothing in (0.0, 1e-6, 1.0):
        transitions = transition_log_probabilities(counts, smoothing)
        assert torch.allclose(transitions.exp().sum(1), torch.ones(3))
        assert transitions[2].exp().tolist() == pytest.approx([1 / 3] * 3)
        plan, score = viterbi(
            torch.tensor([[0.1, 0.2, 0.7], [0.6, 0.2, 0.2], [0.1, 0.1, 0.8]]).log()[None], transitions
        )
        assert plan.tolist() == [[2, 0, 2]]
        assert score.isfinite().all()
    assert transition_log_probabilities(counts).exp()[0, 2] == pytest.approx(1, abs=1e-5)


def test_counts_are_bigrams_of_whole_videos_with_self_transitions():
    counts = transition_counts([[0, 1, 1, 2], [2], [], [0, 1]], 3)
    assert counts.tolist() == [[0, 2, 0], [0, 1, 1], [0, 0, 0]]


def test_impossible_plans_never_become_nan():
    emissions = torch.full((2, 3, 4), -math.inf)
    plans, scores = viterbi(emissions, torch.full((4, 4), -math.inf))
    assert not plans.any()
    assert (scores == -math.inf).all()


def test_nan_logits_are_told_with_their_row():
    emissions, transitions = random_chain(0)
    emissions[3, 1, 2] = math.nan
    for decode in (lambda: viterbi(emissions, transitions), lambda: argmax_plan(emissions)):
        with pytest.raises(DataError, match=r"NaN in 1 of 5 samples \(first: row 3\)"):
            decode()


def test_shapes_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match=r"\(5, 3, 4\) and \(3, 3\)"):
        viterbi(torch.zeros(5, 3, 4), torch.zeros(3, 3))
    with pytest.raises(ValueError, match="not negative"):
        transition_log_probabilities(torch.tensor([[1.0, -1.0], [0.0, 0.0]]))


def test_half_precision_logits_are_decoded_in_single_precision():
    emissions, transitions = random_chain(2)
    assert viterbi(emissions.bfloat16(), transitions)[1].dtype == torch.float32


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_chain_likelihood_and_marginals_equal_the_sum_over_all_plans(steps):
    emissions, transitions = random_chain(7 + steps, 4, steps, 3, torch.float64)
    true = torch.randint(3, (4, steps), generator=torch.Generator().manual_seed(1))
    loss = crf_negative_log_likelihood(emissions, transitions, true)
    marginals = chain_log_marginals(emissions, transitions).exp()
    for b in range(4):
        plans, scores = plan_scores(emissions[b].numpy(), transitions.numpy())
        probability = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        assert float(loss[b]) == pytest.approx(-math.log(probability[plans.index(tuple(true[b].tolist()))]))
        for t, c in itertools.product(range(steps), range(3)):
            expected = sum(p for plan, p in zip(plans, probability, strict=True) if plan[t] == c)
            assert float(marginals[b, t, c]) == pytest.approx(expected)


def test_chain_gradients_are_right():
    emissions, transitions = random_chain(3, 3, 3, 4, torch.float64)
    true = torch.tensor([[0, 1, 2], [3, 3, 3], [1, 0, 1]])
    initial = torch.randn(4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    inputs = tuple(x.clone().requires_grad_() for x in (emissions, transitions, initial))
    assert torch.autograd.gradcheck(lambda e, t, i: crf_negative_log_likelihood(e, t, true, i), inputs)
    assert torch.autograd.gradcheck(lambda e, t, i: chain_log_marginals(e, t, i, 0.7), inputs)


def test_marginals_become_the_viterbi_path_as_the_temperature_falls():
    emissions, transitions = random_chain(4, 8, 4, 5, torch.float64)
    soft = chain_log_marginals(emissions, transitions, temperature=0.02)
    assert torch.equal(soft.argmax(-1), viterbi(emissions, transitions)[0])
    assert float(soft.exp().max(-1).values.min()) > 0.9


def test_forbidden_transitions_keep_loss_and_gradients_finite():
    for floor in (-1e4, -1e30, -math.inf):
        emissions, transitions = random_chain(5, 4, 4, 5)
        transitions = transitions.clone()
        transitions[:, 2:] = floor
        transitions[3] = floor  # a state without a way out
        emissions = emissions.clone()
        emissions[:, 0, 4] = -math.inf
        emissions.requires_grad_()
        loss = crf_negative_log_likelihood(emissions, transitions, torch.zeros(4, 4, dtype=torch.long)).sum()
        loss.backward()
        assert loss.isfinite()
        assert emissions.grad is not None
        assert emissions.grad.isfinite().all()


def test_the_loss_teaches_the_chain():
    generator = torch.Generator().manual_seed(0)
    true = torch.randint(6, (16, 3), generator=generator)
    logits = torch.zeros(16, 3, 6, requires_grad=True)
    transitions = random_chain(0, classes=6)[1]
    optimizer = torch.optim.Adam([logits], 0.5)
    for _ in range(40):
        optimizer.zero_grad()
        crf_negative_log_likelihood(logits, transitions, true).mean().backward()
        optimizer.step()
    assert torch.equal(viterbi(logits.detach(), transitions)[0], true)


def test_draws_follow_the_chain():
    emissions, transitions = random_chain(11, 2, 3, 3)
    count = 40_000
    draws = sample_plans(emissions, transitions, count, torch.Generator().manual_seed(0))
    alone = sample_plans(emissions, None, count, torch.Generator().manual_seed(0))
    assert draws.shape == (2, count, 3)
    for b in range(2):
        for plans, scores_of in ((draws[b], transitions.numpy()), (alone[b], np.zeros((3, 3)))):
            every, scores = plan_scores(emissions[b].numpy(), scores_of)
            probability = np.exp(scores) / np.exp(scores).sum()
            ids = (plans * torch.tensor([9, 3, 1])).sum(1)
            shares = torch.bincount(ids, minlength=len(every)).numpy() / count
            deviation = np.sqrt(probability * (1 - probability) / count)
            assert (np.abs(shares - probability) <= 5 * deviation + 1e-12).all()


def test_draws_never_take_a_forbidden_way():
    emissions, transitions = random_chain(12, 3, 4, 5)
    transitions = transitions.clone()
    transitions[:, 1] = transitions[2, 2] = -math.inf
    draws = sample_plans(emissions, transitions, 500, torch.Generator().manual_seed(1))
    assert not (draws[:, :, 1:] == 1).any()
    assert not ((draws[:, :, 1:] == 2) & (draws[:, :, :-1] == 2)).any()


def test_draws_of_a_sample_do_not_depend_on_its_batch():
    emissions, transitions = random_chain(13, 20, 3, 6)
    index = torch.arange(100, 120)
    together = plans_from_uniforms(emissions, transitions, uniforms_of_samples(index, 50, 3, seed=7))
    for rows in torch.randperm(20, generator=torch.Generator().manual_seed(2)).split(3):
        uniforms = uniforms_of_samples(index[rows], 50, 3, seed=7)
        assert torch.equal(plans_from_uniforms(emissions[rows], transitions, uniforms), together[rows])


def test_uniforms_look_uniform_and_independent():
    uniforms = uniforms_of_samples(torch.arange(200), 100, 4, seed=7)
    assert 0 <= float(uniforms.min()) < 1e-3 < 1 - 1e-3 < float(uniforms.max()) < 1
    shares = torch.histc(uniforms.flatten(), 10, 0, 1) / uniforms.numel()
    assert (shares - 0.1).abs().max() < 5 * math.sqrt(0.09 / uniforms.numel())
    assert float(torch.corrcoef(uniforms.reshape(-1, 4).T).sub(torch.eye(4)).abs().max()) < 0.04
    assert not torch.equal(uniforms, uniforms_of_samples(torch.arange(200), 100, 4, seed=8))


def test_the_scan_holds_one_small_block_instead_of_all_sums():
    emissions, transitions = random_chain(0, 256, 2, 200)
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        viterbi(emissions, transitions)
    largest = max((event.cpu_memory_usage for event in profile.events()), default=0)
    assert largest < 256 * 200 * 200 * 4 / 20  # a (B, N, N) float tensor would be 41 MB
