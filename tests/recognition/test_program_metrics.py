"""Scores of programs: equal to loops, and the same for any order, batch and number of processes."""

import math

import pytest
import torch
from torch.nn import functional as F

from leaplan.recognition.network import ProgramLogits
from leaplan.recognition.program_metrics import ProgramMetrics, count_programs, program_scores
from tests.recognition.test_losses import CO, CV, K, N, P, W, arrays, draw_logits, draw_program
from tests.reference import program_losses as reference


def nearly_right(seed, clips=N):
    """Logits that are right about half of the time, sometimes too short or too long."""
    program, valid = draw_program(seed, clips)
    noise = draw_logits(seed, clips)
    sizes = {"verb": CV, "first": CO, "second": CO}
    sure = [2.5 * F.one_hot(program[name], size) + getattr(noise, name) for name, size in sizes.items()]
    sides = [2 * (2 * program[name] - 1) + getattr(noise, name) for name in ("before", "after")]
    return ProgramLogits(*sure, *sides), program, valid


def plain(scores):
    return {name: float(value) for name, value in scores.items()}


@pytest.mark.parametrize("seed", range(8))
def test_scores_equal_the_definitions(seed):
    logits, program, valid = nearly_right(seed)
    expected = reference.scores([each.numpy() for each in logits], arrays(program), valid.numpy())
    assert plain(program_scores(logits, program, valid)) == pytest.approx(expected, abs=1e-12)


def test_the_truth_scores_one_and_an_empty_program_zero():
    _, program, valid = nearly_right(0)
    sizes = {"verb": CV, "first": CO, "second": CO}
    truth = ProgramLogits(
        *(F.one_hot(program[name], size).float() for name, size in sizes.items()),
        *(2 * program[name] - 1 for name in ("before", "after")),
    )
    assert plain(program_scores(truth, program, valid)) == dict.fromkeys(
        plain(program_scores(truth, program, valid)), 1
    )
    stopped = truth._replace(verb=F.one_hot(torch.zeros_like(program["verb"]), CV).float(), before=-truth.before)
    scores = plain(program_scores(stopped, program, valid))
    assert (scores["s_verb"], scores["object_a"], scores["set_f1"], scores["edit_score"]) == (0, 1, 0, 0)


def test_one_sub_action_too_many_at_the_front_ruins_slots_but_not_sets_and_edits():
    program = {
        "verb": torch.tensor([[[1, 2, 3, 0]]]),
        "first": torch.tensor([[[2, 3, 4, 0]]]),
        "second": torch.zeros(1, 1, 4, dtype=torch.long),
        "before": torch.zeros(1, 1, 4, P),
        "after": torch.zeros(1, 1, 4, P),
        "mask": torch.tensor([[[True, True, True, False]]]),
    }
    shifted = [F.one_hot(torch.tensor([[[5, *program[name][0, 0, :3]]]]), size).float() for name, size in
               (("verb", CV), ("first", CO), ("second", CO))]  # fmt: skip
    sides = [torch.full((1, 1, 4, P), -1.0)] * 2
    scores = plain(program_scores(ProgramLogits(*shifted, *sides), program, torch.ones(1, 1, dtype=torch.bool)))
    assert (scores["s_verb"], scores["object_a"], scores["object_b"]) == (0, 0, pytest.approx(2 / 3))
    assert scores["set_f1"] == pytest.approx(6 / 7)
    assert scores["edit_score"] == 0.75
    assert math.isnan(scores["before_f1"])


def test_clips_without_a_program_do_not_count():
    logits, program, valid = nearly_right(3)
    noise = draw_logits(77)
    other = ProgramLogits(*(torch.where(valid[..., None, None], a, b) for a, b in zip(logits, noise, strict=True)))
    assert plain(program_scores(other, program, valid)) == plain(program_scores(logits, program, valid))
    nobody = torch.zeros_like(valid)
    assert all(math.isnan(value) for value in plain(program_scores(logits, program, nobody)).values())
    assert count_programs(logits, program, nobody).slots.shape == (0,)


def collected(batches, seed=5, clips=12):
    logits, program, valid = nearly_right(seed, clips)
    metric = ProgramMetrics(W)
    for rows in batches:
        labels = {name: values[rows] for name, values in program.items()}
        metric.update(torch.as_tensor(rows), ProgramLogits(*(each[rows] for each in logits)), labels, valid[rows])
    return {name: float(value).hex() for name, value in metric.compute().items()}


def test_a_split_scores_the_same_in_any_order_and_with_repeated_clips():
    whole = collected([list(range(12))])
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0)).tolist()
    assert collected([order[:5], order[5:9], order[9:], order[:2]]) == whole
    logits, program, valid = nearly_right(5, 12)
    alone = {name: float(value).hex() for name, value in program_scores(logits, program, valid).items()}
    assert alone == whole


def test_every_window_is_a_sample_of_its_own():
    logits, program, valid = nearly_right(6)
    valid = torch.ones_like(valid)
    metric = ProgramMetrics(W)
    metric.update(torch.arange(N), logits, program, valid)
    rows = metric.unique_rows()
    assert rows[:, 0].tolist() == list(range(N * W))
    flat = ProgramMetrics()
    labels = {name: values.flatten(0, 1)[:, None] for name, values in program.items()}
    flat.update(
        torch.arange(N * W), ProgramLogits(*(e.flatten(0, 1)[:, None] for e in logits)), labels, valid.view(-1, 1)
    )
    assert plain(flat.compute()) == plain(metric.compute())


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_an_empty_split_has_no_scores_and_wrong_shapes_are_refused():
    assert all(math.isnan(value) for value in plain(ProgramMetrics(W).compute()).values())
    logits, program, valid = nearly_right(6)
    with pytest.raises(ValueError, match=rf"\({N}, 1\) is expected"):
        ProgramMetrics(1).update(torch.arange(N), logits, program, valid)


def test_programs_are_compared_up_to_all_slots():
    logits, program, valid = nearly_right(2)
    counts = count_programs(logits, program, valid)
    assert int(counts.slots.max()) == K
    assert bool((counts.distance <= counts.longest).all())
