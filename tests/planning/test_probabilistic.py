"""Scores of sampled plans: the published numbers, the reference loops, large vocabularies, a whole split."""

import json

import pytest
import torch

from leaplan.planning.probabilistic import SampledPlanMetrics, sampled_plan_scores
from tests.reference.metrics import sampled_scores


def random_windows(seed, samples=25, draws=40, horizon=3, classes=4):
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(classes, (samples, horizon), generator=generator)
    sampled = torch.randint(classes, (samples, draws, horizon), generator=generator)
    return sampled, target


def test_golden_numbers_of_the_published_code_are_reproduced(shared):
    for case in json.loads((shared / "golden" / "golden_metrics.json").read_text())["probabilistic"]:
        samples, gt, references = (torch.tensor(case[key]) for key in ("samples", "gt", "all_ref"))
        scores = sampled_plan_scores(samples[None], gt[None], references, case["N"])
        assert float(scores.mode_precision) == pytest.approx(case["mode_prec"])
        assert float(scores.mode_recall) == pytest.approx(case["mode_rec"])
        assert float(scores.kl) == pytest.approx(case["kl"], abs=1e-5)
        assert float(scores.nll) == pytest.approx(case["nll"], abs=1e-5)


@pytest.mark.parametrize(("seed", "horizon"), [(0, 3), (1, 4), (2, 2), (3, 1)])
def test_scores_equal_the_reference_loops(seed, horizon):
    samples, target = random_windows(seed, horizon=horizon, classes=3 + seed)
    scores = sampled_plan_scores(samples, target, target, 3 + seed)
    for b in range(len(target)):
        expected = sampled_scores(samples[b].tolist(), target[b].tolist(), target.tolist(), 3 + seed)
        assert [float(score[b]) for score in scores] == pytest.approx(expected)


def test_plans_of_many_classes_and_steps_are_told_apart():
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(4053, (6, 8), generator=generator)  # 4053^8 is beyond int64
    samples = torch.stack([target, target.flip(0)], 1)
    scores = sampled_plan_scores(samples, target, target, 4053)
    assert scores.mode_precision.tolist() == [0.5] * 6
    assert scores.mode_recall.tolist() == [1.0] * 6


def test_a_target_outside_the_references_is_refused():
    samples, target = random_windows(0)
    with pytest.raises(ValueError, match="not among the references"):
        sampled_plan_scores(samples, target, torch.tensor([[9, 9, 9]]), 10)


def test_split_means_do_not_depend_on_batches_order_and_repeats():
    samples, target = random_windows(5, samples=60)
    means = sampled_plan_scores(samples, target, target, 4)
    generator = torch.Generator().manual_seed(1)
    orders = [torch.arange(60), torch.cat([torch.randperm(60, generator=generator), torch.arange(9)])]
    results = []
    for order in orders:
        for size in (1, 7, 100):
            metric = SampledPlanMetrics(target, 4)
            for rows in order.split(size):
                metric.update(rows, samples[rows], target[rows])
            results.append({name: float(value) for name, value in metric.compute().items()})
    assert all(result == results[0] for result in results)
    assert results[0] == {name: pytest.approx(float(getattr(means, name).mean())) for name in means._fields}
