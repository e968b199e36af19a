"""Losses: equal to a NumPy version, silent where there are no labels, and exact over uneven processes."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from leaplan.recognition.chain import ChainConsistency
from leaplan.recognition.losses import (
    Average,
    RecogniserLoss,
    class_loss,
    combine,
    condition_loss,
    count_conditions,
    positive_weights,
    program_loss,
)
from leaplan.recognition.network import ProgramLogits, Recognition
from tests.reference import program_losses as reference

N, W, K, CV, CO, P = 5, 2, 4, 6, 7, 3


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def draw_logits(seed=0, clips=N):
    generator = seeded(seed)
    sizes = (CV, CO, CO, P, P)
    return ProgramLogits(*(2 * torch.randn(clips, W, K, size, generator=generator) for size in sizes))


def draw_program(seed=1, clips=N):
    """Programs of 1 to K sub-actions, and which windows have one."""
    generator = seeded(seed)
    length = torch.randint(1, K + 1, (clips, W, 1), generator=generator)
    length[0, 0] = K  # no slot is left to stop in
    mask = torch.arange(K) < length
    program = {
        "verb": torch.randint(1, CV, (clips, W, K), generator=generator) * mask,
        "first": torch.randint(CO, (clips, W, K), generator=generator) * mask,
        "second": torch.randint(CO, (clips, W, K), generator=generator) * mask,
        "before": torch.randint(2, (clips, W, K, P), generator=generator).float() * mask[..., None],
        "after": torch.randint(2, (clips, W, K, P), generator=generator).float() * mask[..., None],
        "mask": mask,
    }
    valid = torch.rand(clips, W, generator=generator) < 0.6
    valid[0, 0], valid[1, 1] = True, False
    return program, valid


def arrays(program):
    return {name: values.numpy() for name, values in program.items()}


def leaves(logits):
    return ProgramLogits(*(each.clone().requires_grad_() for each in logits))


def test_class_loss_equals_the_definition_and_leaves_unlabelled_clips_out():
    logits, target = torch.randn(6, 5, generator=seeded()), torch.tensor([0, -1, 4, 2, -1, 1])
    for smoothing in (0.0, 0.1):
        loss = class_loss(logits, target, smoothing)
        total, count = reference.class_loss(logits.numpy(), target.tolist(), smoothing)
        assert float(loss.sum) == pytest.approx(total, rel=1e-6)
        assert int(loss.count) == count == 4
        assert float(loss.value) == pytest.approx(total / count, rel=1e-6)
    kept = target >= 0
    assert float(class_loss(logits, target).value) == pytest.approx(float(F.cross_entropy(logits[kept], target[kept])))


def test_program_and_condition_losses_equal_the_definition():
    logits, (program, valid) = draw_logits(), draw_program()
    weights = 1 + 5 * torch.rand(2, P, generator=seeded(2))
    loss = program_loss(logits, program, valid)
    total, count = reference.program_loss(*(each.numpy() for each in logits[:3]), arrays(program), valid.numpy())
    assert (float(loss.sum), int(loss.count)) == (pytest.approx(total, rel=1e-5), count)
    loss = condition_loss(logits, program, valid, weights)
    sides = (each.numpy() for each in logits[3:])
    total, count = reference.condition_loss(*sides, arrays(program), valid.numpy(), weights.tolist())
    assert (float(loss.sum), int(loss.count)) == (pytest.approx(total, rel=1e-5), count)
    ones = condition_loss(logits, program, valid, torch.ones(2, P))
    assert float(condition_loss(logits, program, valid).sum) == pytest.approx(float(ones.sum))


def test_clips_without_a_program_and_slots_behind_its_end_get_no_gradient():
    logits, (program, valid) = leaves(draw_logits()), draw_program()
    loss = program_loss(logits, program, valid).value + condition_loss(logits, program, valid).value
    loss.backward()
    mask = program["mask"] & valid[..., None]
    stops = (torch.arange(K) <= mask.sum(-1, keepdim=True)) & valid[..., None]
    for name, reached in (("verb", stops), ("first", mask), ("second", mask), ("before", mask), ("after", mask)):
        touched = getattr(logits, name).grad.abs().sum(-1) > 0
        assert torch.equal(touched, reached), name


def test_labels_of_clips_without_a_program_do_not_matter():
    logits, (program, valid) = draw_logits(), draw_program()
    hidden = ~(program["mask"] & valid[..., None])
    other = {name: values.clone() for name, values in program.items()}
    for name in ("first", "second", "before", "after"):
        other[name][hidden] = 1
    other["mask"] = program["mask"] | ~valid[..., None]
    for loss in (program_loss, condition_loss):
        assert torch.equal(loss(logits, program, valid).sum, loss(logits, other, valid).sum)


def test_a_batch_without_any_label_costs_nothing_and_its_gradient_is_zero():
    logits, (program, valid) = leaves(draw_logits()), draw_program()
    verb = torch.randn(N, 4, requires_grad=True)
    seen = Recognition(verb, None, None, logits)
    nobody = torch.full((N,), -1)
    visible = torch.ones(N, W, dtype=torch.bool)
    for labels in ({}, {"program": {**program, "valid": torch.zeros_like(valid)}}):
        criterion = RecogniserLoss()
        averages = criterion(seen, {"verb": nobody, "window_mask": visible, **labels})
        loss = criterion.combine(averages)
        loss.total.backward()
        assert set(averages) == {"verb", "program", "conditions"}
        assert float(loss.total.detach()) == 0
        for each in (verb, *logits):
            assert each.grad is not None  # DDP waits for all gradients
            assert not each.grad.any()
            each.grad = None


def test_the_total_is_the_plain_sum_of_all_losses_unless_weighted():
    logits, (program, valid) = draw_logits(), draw_program()
    kinds = [torch.randn(N, size, generator=seeded(size)) for size in (4, 5, 6)]
    labels = {name: torch.randint(4, (N,), generator=seeded(9)) for name in ("verb", "noun", "step")}
    visible = torch.ones(N, W, dtype=torch.bool)
    batch = {**labels, "window_mask": visible, "program": {**program, "valid": valid}}
    plain = RecogniserLoss()
    loss = plain.combine(plain(Recognition(*kinds, logits), batch))
    assert set(loss.parts) == {"verb", "noun", "action", "program", "conditions"}
    assert float(loss.total) == pytest.approx(sum(map(float, loss.parts.values())), rel=1e-6)
    halves = RecogniserLoss(weights={"verb": 0.5, "noun": 0.5})
    half = halves.combine(halves(Recognition(*kinds, logits), batch))
    assert float(loss.total - half.total) == pytest.approx(float(loss.parts["verb"] + loss.parts["noun"]) / 2, rel=1e-5)
    assert half.parts == loss.parts
    with pytest.raises(ValueError, match="no loss is called chains"):
        RecogniserLoss(weights={"chains": 1.0})


def test_windows_that_may_not_be_seen_supervise_nothing():
    logits, (program, valid) = draw_logits(), draw_program()
    visible = torch.rand(N, W, generator=seeded(4)) < 0.5
    criterion = RecogniserLoss(chain=ChainConsistency(("x(A)", "not x(A)", "y(B)"), ("none", "other", *"abcde")))
    seen = Recognition(None, None, None, logits)
    averages = criterion(seen, {"window_mask": visible, "program": {**program, "valid": valid}})
    assert int(averages["program"].count) == int((valid & visible).sum())
    assert int(averages["chain"].count) == int(visible.sum())
    broken = ProgramLogits(*(torch.where(visible[..., None, None], each, 1e4) for each in logits))
    again = criterion(
        Recognition(None, None, None, broken), {"window_mask": visible, "program": {**program, "valid": valid}}
    )
    for name, average in averages.items():
        assert torch.equal(average.sum, again[name].sum), name


def test_processes_with_uneven_shares_average_to_the_gradient_of_the_whole():
    logits, (program, valid) = draw_logits(), draw_program()
    program = {**program, "valid": valid}
    verb, target = torch.randn(N, 4, generator=seeded(3)), torch.tensor([0, -1, 3, -1, -1])
    visible = torch.ones(N, W, dtype=torch.bool)

    def gradients(shares):
        inputs = [verb.clone().requires_grad_(), *leaves(logits)]
        criterion = RecogniserLoss(positive_weight=torch.full((2, P), 3.0))
        local = []
        for rows in shares:
            seen = Recognition(inputs[0][rows], None, None, ProgramLogits(*(each[rows] for each in inputs[1:])))
            labels = {name: values[rows] for name, values in program.items()}
            local.append(criterion(seen, {"verb": target[rows], "window_mask": visible[rows], "program": labels}))
        counts = {name: sum(each[name].count for each in local) for name in local[0]}
        losses = [criterion.combine(each, counts, len(shares)).total for each in local]
        mean = sum(losses) / len(losses)  # as DDP averages
        mean.backward()
        return float(mean.detach()), [each.grad for each in inputs]

    whole, expected = gradients([[0, 1, 2, 3, 4]])
    value, found = gradients([[1, 3], [0, 2, 4]])  # the first process has no verb label at all
    assert value == pytest.approx(whole, rel=1e-6)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_losses_do_not_depend_on_the_order_of_clips_or_of_condition_labels():
    logits, (program, valid) = draw_logits(), draw_program()
    order, labels = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([2, 0, 1])
    turned = ProgramLogits(*(each[order] for each in logits))
    turned = turned._replace(before=turned.before[..., labels], after=turned.after[..., labels])
    targets = {name: values[order] for name, values in program.items()}
    targets |= {name: targets[name][..., labels] for name in ("before", "after")}
    for loss in (program_loss, condition_loss):
        ours, theirs = loss(logits, program, valid), loss(turned, targets, valid[order])
        torch.testing.assert_close(ours.sum, theirs.sum)


def test_perfect_predictions_cost_nothing():
    program, valid = draw_program()
    sure = [40.0 * F.one_hot(program[name], size) for name, size in (("verb", CV), ("first", CO), ("second", CO))]
    logits = ProgramLogits(*sure, *(80 * program[name] - 40 for name in ("before", "after")))
    assert float(program_loss(logits, program, valid).value) < 1e-6
    assert float(condition_loss(logits, program, valid).value) < 1e-6


def test_rare_conditions_weigh_more_up_to_the_cap():
    mask = torch.ones(10, 2, dtype=torch.bool)
    mask[:, 1] = False
    before = torch.zeros(10, 2, 3)
    before[:2, 0, 0], before[:9, 0, 1] = 1, 1
    before[:, 1] = 1  # behind the programs' ends
    program = {"before": before, "after": torch.zeros(10, 2, 3), "mask": mask}
    held, slots = count_conditions(program)
    assert (held.tolist(), int(slots)) == ([[2, 9, 0], [0, 0, 0]], 10)
    assert positive_weights(held, slots, most=6).tolist() == [[4, 1, 6], [6, 6, 6]]
    halves = [
        count_conditions({name: each[rows] for name, each in program.items()}) for rows in (slice(3), slice(3, 10))
    ]
    assert torch.equal(halves[0][0] + halves[1][0], held)


def test_the_mean_over_nothing_is_zero():
    nothing = Average(torch.zeros(()), torch.zeros((), dtype=torch.int64))
    assert float(nothing.value) == 0
    assert float(combine({"verb": nothing}).total) == 0


def test_programs_without_conditions_are_no_special_case():
    logits, (program, valid) = draw_logits(), draw_program()
    logits = logits._replace(before=logits.before[..., :0], after=logits.after[..., :0])
    program = {**program, "before": program["before"][..., :0], "after": program["after"][..., :0]}
    assert float(condition_loss(logits, program, valid).value) == 0


def test_half_precision_logits_lose_nothing_in_the_losses():
    logits, (program, valid) = draw_logits(), draw_program()
    rough = ProgramLogits(*(each.bfloat16() for each in logits))
    exact = ProgramLogits(*(each.bfloat16().float() for each in logits))
    for loss in (program_loss, condition_loss):
        assert torch.equal(loss(rough, program, valid).sum, loss(exact, program, valid).sum)
    assert np.isfinite(float(class_loss(rough.verb[:, 0, 0], torch.zeros(N, dtype=torch.long)).sum))
