"""The k best plans against all N^T plans, and the varied choice against its definition."""

import numpy as np
import pytest
import torch

from leaplan.errors import DataError
from leaplan.planning.alternatives import diverse, k_best
from leaplan.planning.decoding import transition_counts, transition_log_probabilities, viterbi
from tests.reference.viterbi import plan_scores


def random_chain(seed, batch, steps, classes):
    generator = torch.Generator().manual_seed(seed)
    emissions = torch.randn(batch, steps, classes, generator=generator, dtype=torch.float64).mul(2).log_softmax(-1)
    transitions = torch.randn(classes, classes, generator=generator, dtype=torch.float64).mul(2).log_softmax(-1)
    return emissions, transitions


def best_of_all(emissions, transitions, k):
    """The k best plans of one sample (T, N) and their log-probabilities, from the list of all plans."""
    plans, scores = plan_scores(emissions, transitions)
    order = np.argsort(-scores)[:k]
    log_probability = scores - np.logaddexp.reduce(scores)
    return [plans[place] for place in order], log_probability[order]


@pytest.mark.parametrize(
    ("steps", "classes", "k"), [(1, 5, 3), (2, 2, 4), (2, 3, 9), (3, 4, 10), (5, 3, 10), (8, 2, 7)]
)
def test_k_best_are_the_best_of_all_plans(steps, classes, k):
    emissions, transitions = random_chain(steps, 6, steps, classes)
    plans, log_probability = k_best(emissions, transitions, k)
    for sample in range(6):
        expected, values = best_of_all(emissions[sample].numpy(), transitions.numpy(), k)
        assert list(map(tuple, plans[sample].tolist())) == expected
        np.testing.assert_allclose(log_probability[sample], values, atol=1e-9)


def test_k_best_in_single_precision_agree_with_double():
    emissions, transitions = random_chain(0, 4, 4, 30)
    double, single = k_best(emissions, transitions, 10), k_best(emissions.float(), transitions.float(), 10)
    assert torch.equal(double[0], single[0])
    torch.testing.assert_close(single[1].double(), double[1], atol=1e-4, rtol=0)


def test_all_plans_together_have_probability_one():
    emissions, transitions = random_chain(2, 3, 3, 4)
    _, log_probability = k_best(emissions, transitions, 4**3)
    torch.testing.assert_close(log_probability.exp().sum(1), torch.ones(3, dtype=torch.float64))


def test_the_first_is_the_viterbi_plan_and_fewer_are_the_beginning_of_more():
    emissions, transitions = random_chain(3, 20, 5, 40)
    plans, log_probability = k_best(emissions, transitions, 8)
    assert torch.equal(plans[:, 0], viterbi(emissions, transitions)[0])
    fewer = k_best(emissions, transitions, 3)
    assert torch.equal(fewer[0], plans[:, :3])
    torch.testing.assert_close(fewer[1], log_probability[:, :3])


def test_equal_weights_still_give_different_plans():
    plans, log_probability = k_best(torch.zeros(2, 3, 3), torch.zeros(3, 3), 20)
    assert all(len(set(map(tuple, sample))) == 20 for sample in plans.tolist())
    torch.testing.assert_close(log_probability, torch.full((2, 20), -3 * np.log(3)).float())


def test_forbidden_plans_come_last_with_probability_zero():
    transitions = transition_log_probabilities(transition_counts([[0, 1, 2], [2, 0]], 3), smoothing=0)
    emissions, _ = random_chain(4, 5, 3, 3)
    plans, log_probability = k_best(emissions, transitions.double(), 8)
    assert plans[:, :3].tolist() == [sorted([[0, 1, 2], [1, 2, 0], [2, 0, 1]], key=weigh(e)) for e in emissions]
    assert bool(log_probability[:, 3:].isneginf().all())
    torch.testing.assert_close(log_probability[:, :3].exp().sum(1), torch.ones(5, dtype=torch.float64))


def weigh(emissions):
    return lambda plan: -sum(float(emissions[t, step]) for t, step in enumerate(plan))


def test_too_many_plans_and_nan_are_refused():
    with pytest.raises(ValueError, match="there are 4 plans"):
        k_best(torch.zeros(1, 2, 2), torch.zeros(2, 2), 5)
    emissions = torch.zeros(3, 2, 2)
    emissions[1, 0, 1] = torch.nan
    with pytest.raises(DataError, match="NaN in 1 of 3 samples"):
        k_best(emissions, torch.zeros(2, 2), 2)


def chosen_one_by_one(plans, log_probability, k, distance):
    """`diverse` of one sample, straight from its definition."""
    chosen = []
    while len(chosen) < k:
        values = {}
        for place in set(range(len(plans))) - set(chosen):
            differing = [int((plans[place] != plans[other]).sum()) for other in chosen]
            values[place] = log_probability[place] + distance * min(differing, default=0)
        chosen.append(max(sorted(values), key=values.get))
    return chosen


@pytest.mark.parametrize("distance", [0.0, 0.3, 2.0, 100.0])
def test_diverse_trades_probability_against_the_nearest_chosen_plan(distance):
    emissions, transitions = random_chain(5, 8, 4, 6)
    plans, log_probability = k_best(emissions, transitions, 40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))  # the candidates need not be sorted
    plans, log_probability = plans[:, order], log_probability[:, order]
    varied, values = diverse(plans, log_probability, 5, distance)
    for sample in range(8):
        expected = chosen_one_by_one(plans[sample].numpy(), log_probability[sample].numpy(), 5, distance)
        assert torch.equal(varied[sample], plans[sample, expected])
        assert torch.equal(values[sample], log_probability[sample, expected])
        assert expected[0] == int(log_probability[sample].argmax())


def test_diverse_refuses_more_than_there_are():
    with pytest.raises(ValueError, match="k must be 1 to M"):
        diverse(torch.zeros(1, 2, 3), torch.zeros(1, 2), 3, 1.0)
