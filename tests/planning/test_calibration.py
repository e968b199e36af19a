"""Calibration against NumPy, against torchmetrics, and on data whose truth is known."""

import itertools

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error

from leaplan.errors import DataError
from leaplan.planning.calibration import (
    expected_calibration_error,
    fit_temperature,
    plan_confidence,
    reliability,
)
from leaplan.planning.chain import crf_negative_log_likelihood, sample_plans
from tests.reference.viterbi import plan_scores


def random_chain(seed, batch, steps, classes):
    generator = torch.Generator().manual_seed(seed)
    emissions = torch.randn(batch, steps, classes, generator=generator).mul(1.5).log_softmax(-1)
    transitions = torch.randn(classes, classes, generator=generator).log_softmax(-1)
    return emissions, transitions


def calibration_error_loop(confidence, correct, bins):
    """Guo et al. (2017), one plan after the other."""
    members = [[] for _ in range(bins)]
    for claimed, true in zip(confidence, correct, strict=True):
        place = min(sum(claimed >= edge for edge in np.linspace(0, 1, bins + 1)[1:]), bins - 1)
        members[place].append((claimed, true))
    gaps = [abs(np.mean([c for c, _ in m]) - np.mean([t for _, t in m])) * len(m) for m in members if m]
    return sum(gaps) / len(confidence), [len(m) for m in members]


# --- temperature ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [0.4, 1.0, 2.5])
def test_a_known_exponent_is_found_again(exponent):
    emissions, transitions = random_chain(1, 4000, 3, 6)
    generator = torch.Generator().manual_seed(2)
    steps = sample_plans(exponent * emissions, transitions, 1, generator)[:, 0]  # (B, T)
    assert fit_temperature(emissions, transitions, steps) == pytest.approx(exponent, rel=0.06)


def test_no_exponent_of_a_grid_is_better_and_renormalising_changes_nothing():
    emissions, transitions = random_chain(3, 60, 3, 5)
    steps = torch.randint(0, 5, (60, 3), generator=torch.Generator().manual_seed(4))
    steps[:40] = emissions[:40].argmax(-1)
    fitted = fit_temperature(emissions, transitions, steps)

    def unlikelihood(exponent):
        sharpened = (exponent * emissions.double()).log_softmax(-1)  # as PlanningModule sharpens
        return float(crf_negative_log_likelihood(sharpened, transitions, steps).mean())

    assert 0.05 < fitted < 20
    assert unlikelihood(fitted) <= min(map(unlikelihood, np.geomspace(0.02, 50, 200))) + 1e-9


def test_the_exponent_does_not_depend_on_what_the_emissions_were_sharpened_by_before():
    emissions, transitions = random_chain(5, 200, 3, 5)
    steps = sample_plans(emissions, transitions, 1, torch.Generator().manual_seed(0))[:, 0]
    once, twice = (fit_temperature(scale * emissions, transitions, steps) for scale in (1.0, 2.0))
    assert once == pytest.approx(2 * twice, rel=1e-3)


def test_a_true_plan_of_probability_zero_is_told():
    emissions, transitions = random_chain(6, 2, 2, 3)
    transitions[0, 1] = -torch.inf
    with pytest.raises(DataError, match="probability 0"):
        fit_temperature(emissions, transitions, torch.tensor([[0, 1], [1, 1]]))


# --- confidence ----------------------------------------------------------------------------------------------


def test_plan_and_step_probabilities_are_sums_over_all_plans():
    emissions, transitions = random_chain(7, 5, 3, 4)
    found = plan_confidence(emissions, transitions)
    for sample in range(5):
        plans, scores = plan_scores(emissions[sample].double().numpy(), transitions.double().numpy())
        shares = np.exp(scores - np.logaddexp.reduce(scores))
        assert tuple(found.plan[sample].tolist()) == plans[int(shares.argmax())]
        assert float(found.probability[sample]) == pytest.approx(shares.max(), abs=1e-5)
        single = np.zeros((3, 4))
        for (plan, share), t in itertools.product(zip(plans, shares, strict=True), range(3)):
            single[t, plan[t]] += share
        np.testing.assert_allclose(found.step_probability[sample], single.max(1), atol=1e-5)
        assert found.step[sample].tolist() == single.argmax(1).tolist()


def test_plans_drawn_from_the_chain_itself_are_calibrated_and_others_are_not():
    emissions, transitions = random_chain(8, 6000, 3, 4)
    true = sample_plans(emissions, transitions, 1, torch.Generator().manual_seed(1))[:, 0]
    errors = []
    for exponent in (1.0, 3.0):
        found = plan_confidence(exponent * emissions, transitions)
        errors.append(float(expected_calibration_error(found.probability, (found.plan == true).all(1))))
    assert errors[0] < 0.03
    assert errors[1] > 0.2


# --- calibration error ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "bins"), [(1, 15), (7, 1), (200, 15), (500, 10)])
def test_calibration_error_is_that_of_the_definition_and_of_torchmetrics(count, bins):
    generator = torch.Generator().manual_seed(count)
    confidence = torch.rand(count, generator=generator, dtype=torch.float64)
    correct = torch.rand(count, generator=generator) < confidence**2
    error = expected_calibration_error(confidence, correct, bins)
    expected, counts = calibration_error_loop(confidence.numpy(), correct.numpy(), bins)
    assert float(error) == pytest.approx(expected, abs=1e-12)
    assert reliability(confidence, correct, bins).count.tolist() == counts
    theirs = binary_calibration_error(confidence.float(), correct.int(), n_bins=bins, norm="l1")
    assert float(error) == pytest.approx(float(theirs), abs=1e-5)


def test_perfectly_calibrated_claims_have_almost_no_error():
    generator = torch.Generator().manual_seed(0)
    confidence = torch.rand(100_000, generator=generator)
    correct = torch.rand(100_000, generator=generator) < confidence
    assert float(expected_calibration_error(confidence, correct)) < 0.01
    assert float(expected_calibration_error(confidence, ~correct)) > 0.4


def test_reliability_counts_edges_into_the_upper_bin_and_one_into_the_last():
    table = reliability(torch.tensor([0.0, 0.5, 0.5, 1.0]), torch.tensor([0, 1, 0, 1]), bins=4)
    assert table.count.tolist() == [1, 0, 2, 1]
    np.testing.assert_allclose(table.confidence, [0, np.nan, 0.5, 1])
    np.testing.assert_allclose(table.accuracy, [0, np.nan, 0.5, 1])


@pytest.mark.parametrize("confidence", [torch.tensor([0.2, 1.1]), torch.tensor([torch.nan, 0.1]), torch.rand(3)])
def test_what_is_no_probability_or_has_no_truth_is_refused(confidence):
    with pytest.raises(ValueError):
        expected_calibration_error(confidence, torch.tensor([True, False]))
