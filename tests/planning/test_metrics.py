"""Planning scores: the published numbers, the reference loops, and that nothing but the plans matters."""

import json
import math
import random

import numpy as np
import pytest
import torch

from leaplan.planning import legacy, metrics
from leaplan.planning.legacy import LegacyPlanMetrics, legacy_scores
from leaplan.planning.metrics import PAD, PlanMetrics, plan_scores
from tests.reference import metrics as reference


@pytest.fixture
def golden(shared):
    return json.loads((shared / "golden" / "golden_metrics.json").read_text())


def random_plans(generator, samples, horizon, classes, longest=None):
    """Targets (B, T) and predictions that are right about half of the time, of varying length if `longest`."""
    target = torch.randint(classes, (samples, horizon), generator=generator)
    noise = torch.randint(classes, (samples, longest or horizon), generator=generator)
    pred = noise.clone()
    keep = torch.rand(samples, horizon, generator=generator) < 0.6
    width = min(horizon, noise.shape[1])
    pred[:, :width] = torch.where(keep[:, :width], target[:, :width], noise[:, :width])
    if longest:
        length = torch.randint(longest + 1, (samples, 1), generator=generator)
        pred[torch.arange(longest) >= length] = PAD
    return pred, target


def percent(value):
    return pytest.approx(value / 100, abs=1e-6)


def test_golden_numbers_of_the_published_code_are_reproduced(golden):
    for case in golden["deterministic"]:
        pred, target, logits = (torch.tensor(case[key]) for key in ("pred", "target", "logits"))
        schema, pdpp, p3iv = (case["expected"][source] for source in ("schema", "pdpp", "p3iv"))
        whole = len(pred)
        assert float(metrics.success_rate(pred, target)) == percent(schema["success_rate"])
        assert float(metrics.mean_accuracy(pred, target)) == percent(schema["mean_category_acc"])
        assert float(metrics.mean_accuracy(pred, target)) == percent(schema["acc1"])
        assert float(metrics.mean_iou(pred, target)) == percent(pdpp["miou2_per_sample_mean"])
        positions = metrics.step_accuracy(pred, target).tolist()
        assert positions == pytest.approx([value / 100 for value in schema["step_accuracy"]])
        assert positions[0] == percent(pdpp["a0_acc"])
        assert positions[-1] == percent(pdpp["aT_acc"])
        macro = p3iv["mean_category_acc_macro_precision_fraction"]
        assert float(metrics.macro_precision(pred, target)) == pytest.approx(macro)
        assert float(legacy.mean_iou_batch(pred, target, whole)) == percent(pdpp["miou1_batch_set"])
        assert float(legacy.mean_iou_cumulative(pred, target, whole)) == percent(schema["miou_cumulative_sets"])
        assert float(legacy.mean_iou_bitwise(pred, target)) == percent(schema["miou_bitwise_mean"])
        assert float(legacy.mean_iou_bitwise(pred, target)) == pytest.approx(p3iv["acc_iou_bitwise_mean_fraction"])
        aggregate = schema["miou_bitwise_aggregate"]
        assert float(legacy.mean_iou_bitwise_aggregate(pred, target)) == percent(aggregate)
        if case["name"] != "zero_ids_bitwise_quirk":  # tied logits: the reference's order is not defined
            assert float(metrics.accuracy_at_k(logits, target, 5)) == percent(schema["acc5"])


def test_golden_dependence_on_the_batch_size_is_reproduced_by_legacy_and_absent_from_ours(golden):
    case = golden["batch_size_dependence"]
    target = torch.tensor(case["target"])
    pred = torch.tensor(case["logits"]).argmax(-1)
    for row in case["results"]:
        scores = legacy_scores(pred, target, row["batch_size"])
        assert float(scores["mean_iou_cumulative"]) == percent(row["schema_miou_cumulative"])
        assert float(scores["mean_iou_batch"]) == percent(row["pdpp_miou1_batch_set"])
        assert float(scores["mean_iou_bitwise"]) == percent(row["schema_miou_bitwise"])
        assert float(metrics.mean_iou(pred, target)) == percent(row["pdpp_miou2_per_sample"])
        assert float(metrics.success_rate(pred, target)) == percent(row["sr"])


@pytest.mark.parametrize("seed", range(6))
def test_scores_equal_the_reference_loops(seed):
    generator = torch.Generator().manual_seed(seed)
    horizon, classes, longest = 2 + seed, 4 + 3 * seed, [None, 5, 3, None, 8, 1][seed]
    pred, target = random_plans(generator, 40, horizon, classes, longest)
    scores = {name: float(value) for name, value in plan_scores(pred, target).items()}
    for name in ("success_rate", "mean_accuracy", "mean_iou", "edit_score"):
        assert scores[name] == pytest.approx(getattr(reference, name)(pred.numpy(), target.numpy()))
    if longest is None:
        for name in ("macro_precision",):
            assert scores[name] == pytest.approx(getattr(reference, name)(pred.numpy(), target.numpy()))
        for name in ("mean_iou_batch", "mean_iou_cumulative"):
            ours = float(getattr(legacy, name)(pred, target, 7))  # the last batch is smaller
            assert ours == pytest.approx(getattr(reference, name)(pred.numpy(), target.numpy(), 7))
        bitwise = reference.mean_iou_bitwise(pred.numpy(), target.numpy())
        assert float(legacy.mean_iou_bitwise(pred, target)) == pytest.approx(bitwise)


def test_ties_in_accuracy_at_k_go_to_the_lower_id():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randint(3, (30, 3, 8), generator=generator).float()
    target = torch.randint(8, (30, 3), generator=generator)
    for k in (1, 2, 5, 8, 20):
        expected = reference.accuracy_at_k(logits.tolist(), target.tolist(), k)
        assert float(metrics.accuracy_at_k(logits, target, k)) == pytest.approx(expected)
    assert float(metrics.accuracy_at_k(logits, target, 1)) == float(metrics.mean_accuracy(logits.argmax(-1), target))


def test_a_nan_logit_never_counts_as_right():
    logits = torch.full((1, 2, 4), math.nan)
    assert float(metrics.accuracy_at_k(logits, torch.tensor([[0, 1]]), 4)) == 0


def test_short_and_long_predictions_fail_but_keep_their_right_steps():
    target = torch.tensor([[1, 2, 3]])
    for pred, accuracy, iou, edit in (
        ([[1, 2, PAD]], 2 / 3, 2 / 3, 2 / 3),
        ([[1, 2]], 2 / 3, 2 / 3, 2 / 3),
        ([[1, 2, 3, 4]], 1.0, 3 / 4, 3 / 4),
        ([[PAD, PAD, PAD]], 0.0, 0.0, 0.0),
        ([[2, 3, 1, 1]], 0.0, 1.0, 1 - 3 / 4),
    ):
        scores = plan_scores(torch.tensor(pred), target)
        assert float(scores["success_rate"]) == 0
        assert float(scores["mean_accuracy"]) == pytest.approx(accuracy)
        assert float(scores["mean_iou"]) == pytest.approx(iou)
        assert float(scores["edit_score"]) == pytest.approx(edit)


def filled(pred, target, logits, batches, cls=PlanMetrics, **kwargs):
    metric = cls(target.shape[1], **kwargs)
    for rows in batches:
        metric.update(rows, pred[rows], target[rows], logits[rows])
    return metric


def test_result_is_the_same_to_the_last_bit_for_any_batch_size_order_and_repeats():
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(211, 4, 13, generator=generator)
    target = torch.where(torch.rand(211, 4, generator=generator) < 0.5, logits.argmax(-1), 3)
    pred = logits.argmax(-1)
    truth = plan_scores(pred, target, metrics.target_rank(logits, target))
    padded = torch.cat([torch.randperm(211, generator=generator), torch.arange(17)])  # 17 samples come twice
    for order in (torch.arange(211), torch.randperm(211, generator=generator), padded):
        for size in (1, 7, 64, 500):
            scores = filled(pred, target, logits, order.split(size)).compute()
            assert {name: float(value) for name, value in scores.items()} == {
                name: float(value) for name, value in truth.items()
            }
    old = filled(pred, target, logits, padded.split(9), LegacyPlanMetrics, batch_size=32).compute()
    assert {k: float(v) for k, v in old.items()} == {k: float(v) for k, v in legacy_scores(pred, target, 32).items()}


def test_a_subset_is_scored_as_if_it_were_alone():
    generator = torch.Generator().manual_seed(6)
    pred, target = random_plans(generator, 50, 3, 9)
    logits = torch.randn(50, 3, 9, generator=generator)
    metric = filled(pred, target, logits, torch.randperm(50, generator=generator).split(8))
    seen = torch.rand(50, generator=generator) < 0.4
    for chosen in (seen, ~seen):
        expected = plan_scores(pred[chosen], target[chosen], metrics.target_rank(logits, target)[chosen])
        scores = metric.compute_where(chosen)
        assert {k: float(v) for k, v in scores.items()} == {k: float(v) for k, v in expected.items()}
    assert math.isnan(metric.compute_where(torch.zeros(50, dtype=torch.bool))["success_rate"])
    assert metric.table().index.tolist() == list(range(50))


def test_reset_forgets_and_logits_are_optional():
    metric = PlanMetrics(2)
    metric.update(torch.tensor([4]), torch.tensor([[1, 1]]), torch.tensor([[1, 1]]))
    metric.reset()
    metric.update(torch.tensor([4]), torch.tensor([[1, 2]]), torch.tensor([[1, 1]]))
    scores = metric.compute()
    assert scores["success_rate"] == 0
    assert not any(name.startswith("accuracy_at") for name in scores)


def test_plans_that_do_not_fit_the_metric_are_refused_with_their_shapes():
    metric = PlanMetrics(3)
    with pytest.raises(ValueError, match=r"\(1, 4\).*at most 3"):
        metric.update(torch.tensor([0]), torch.zeros(1, 4, dtype=torch.long), torch.zeros(1, 3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"\(2,\)"):
        metric.update(torch.tensor([0, 1]), torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="no padding"):
        legacy_scores(torch.tensor([[1, PAD]]), torch.tensor([[1, 2]]), 4)


def test_renumbering_the_classes_changes_the_bitwise_number_only():
    generator = torch.Generator().manual_seed(8)
    pred, target = random_plans(generator, 60, 3, 20)
    other = torch.randperm(20, generator=generator)
    assert float(metrics.mean_iou(pred, target)) == float(metrics.mean_iou(other[pred], other[target]))
    assert float(legacy.mean_iou_bitwise(pred, target)) != float(legacy.mean_iou_bitwise(other[pred], other[target]))


def test_edit_distance_equals_the_recursion_on_random_lengths():
    random.seed(0)
    for _ in range(30):
        a = [random.randrange(3) for _ in range(random.randrange(1, 6))]
        b = [random.randrange(3) for _ in range(random.randrange(1, 6))]
        expected = 1 - reference.levenshtein(a, b) / max(len(a), len(b))
        assert float(metrics.edit_score(torch.tensor([a]), torch.tensor([b]))) == pytest.approx(expected)


def test_numbers_are_float64_fractions():
    pred, target = random_plans(torch.Generator().manual_seed(1), 9, 3, 5)
    for value in plan_scores(pred, target).values():
        assert value.dtype == torch.float64
        assert 0 <= float(value) <= 1
    assert np.isclose(float(metrics.step_accuracy(pred, target).mean()), float(metrics.mean_accuracy(pred, target)))
