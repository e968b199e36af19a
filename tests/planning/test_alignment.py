"""Alignment of step queries with descriptions: against loops in NumPy, finite differences, and invariances."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.func import functional_call
from torch.nn.functional import normalize

from leaplan.planning.alignment import Alignment, hard_negatives, sequence_matches, vlc_loss, vlm_loss
from leaplan.planning.qformer import StepQueries
from tests.reference import alignment as reference

T, C, E, Q, Y, P = 3, 2, 6, 8, 5, 4
PLANS = torch.tensor([[0, 1, 2], [0, 2, 1], [0, 1, 2], [3, 3, 3], [0, 1, 3], [0, 1, 2]])
DISTINCT = torch.arange(18).view(6, 3)


@pytest.fixture(scope="module")
def step_queries():
    torch.manual_seed(0)
    module = StepQueries(T, E, Y, width=Q, layers=2, heads=2, dropout=0.0).double().eval()
    for parameter in module.parameters():  # away from the small initial weights, where hardly anything depends on it
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    return module


@pytest.fixture
def alignment():
    torch.manual_seed(1)
    return Alignment(Q, Y, width=P).double().eval()


def windows(plans, seed=2):
    """States (b, C, E), queries (b, T, Q) and texts (b, T, Y), the same for the same step."""
    generator = torch.Generator().manual_seed(seed)
    states, queries, y = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in [(len(plans), C, E), (len(plans), T, Q), (20, Y)]
    )
    return states, queries, y[plans]


def tables(plans=PLANS, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(2, len(plans), len(plans), generator=generator, dtype=torch.float64)


def test_windows_match_when_all_steps_are_the_same_in_the_same_order():
    found = sequence_matches(PLANS[:4], PLANS)
    assert found.tolist() == [[a == b for b in PLANS.tolist()] for a in PLANS[:4].tolist()]


@pytest.mark.parametrize("plans", [PLANS, DISTINCT, PLANS[:1], PLANS[[0, 2, 5]]], ids=str)
def test_contrast_equals_its_definition(plans):
    vt, tv = tables(plans)
    expected = reference.vlc_loss(vt.numpy(), tv.numpy(), plans, plans)
    assert float(vlc_loss(vt, tv, sequence_matches(plans, plans))) == pytest.approx(expected, abs=1e-12)


def test_match_loss_equals_its_definition():
    logits = 3 * torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for exists in ([True] * 4, [False] * 4):
        expected = reference.vlm_loss(logits.numpy(), exists)
        assert float(vlm_loss(logits, torch.tensor(exists))) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("plans", [PLANS, DISTINCT], ids=["duplicates", "distinct"])
def test_both_losses_equal_loops_over_windows(step_queries, alignment, plans):
    states, queries, text = windows(plans)
    with torch.no_grad():
        contrast, match = alignment(step_queries, states, queries, text, plans)
    vision = queries.numpy() @ alignment.project_vision.weight.detach().numpy().T
    meaning = text.numpy() @ alignment.project_text.weight.detach().numpy().T
    temperature = math.exp(-alignment.log_scale.item())
    assert temperature == pytest.approx(0.07)
    vt = reference.similarities(vision, meaning, temperature)
    assert float(contrast) == pytest.approx(reference.vlc_loss(vt, vt.T, plans, plans), abs=1e-9)

    def judged(i, k):
        with torch.no_grad():
            return float(step_queries.match(states[i : i + 1], text[k : k + 1]))

    triples = []
    for i, plan in enumerate(plans):
        wrong_vision = reference.hardest_negative(vt[:, i], plan, plans)
        wrong_text = reference.hardest_negative(vt[i], plan, plans)
        triples.append((judged(i, i), judged(wrong_vision, i), judged(i, wrong_text)))
    assert float(match) == pytest.approx(reference.vlm_loss(np.transpose(triples), [True] * len(plans)), abs=1e-9)


def test_gradients_of_the_losses_are_those_of_finite_differences():
    positive = sequence_matches(PLANS, PLANS)
    vt, tv = (table.clone().requires_grad_() for table in tables())
    assert torch.autograd.gradcheck(lambda a, b: vlc_loss(a, b, positive), (vt, tv))
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: vlm_loss(x, torch.tensor([True] * 4)), (logits,))


def test_gradients_of_the_whole_are_those_of_finite_differences(step_queries, alignment):
    plans = PLANS[:4]
    states, queries, _ = windows(plans)
    text = windows(DISTINCT[:4])[
        2
    ]  # equal texts would be negatives of the same rank, of which a difference changes one
    inputs = [tensor.requires_grad_() for tensor in (states, queries, text)]
    names, weights = zip(*alignment.named_parameters(), strict=True)

    def losses(states, queries, text, *weights):
        given = dict(zip(names, weights, strict=True))
        return functional_call(alignment, given, (step_queries, states, queries, text, plans))

    copies = [weight.detach().clone().requires_grad_() for weight in weights]
    assert torch.autograd.gradcheck(losses, (*inputs, *copies))


def test_duplicates_are_positives_and_may_change_places():
    vt, tv = tables()
    positive, own = sequence_matches(PLANS, PLANS), torch.eye(len(PLANS), dtype=torch.bool)
    swapped = [5, 1, 0, 3, 4, 2]  # windows 0, 2 and 5 have one plan
    loss = vlc_loss(vt, tv, positive)
    torch.testing.assert_close(vlc_loss(vt[:, swapped], tv[:, swapped], positive), loss)
    assert abs(vlc_loss(vt, tv, own) - loss) > 0.01
    assert abs(vlc_loss(vt[:, swapped], tv[:, swapped], own) - vlc_loss(vt, tv, own)) > 0.01


def test_losses_do_not_depend_on_the_order_of_windows(step_queries, alignment):
    states, queries, text = windows(PLANS)
    order = torch.tensor([3, 5, 0, 1, 4, 2])
    straight = alignment(step_queries, states, queries, text, PLANS)
    shuffled = alignment(step_queries, states[order], queries[order], text[order], PLANS[order])
    torch.testing.assert_close(straight, shuffled)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("training", [True, False])
def test_one_window_or_one_plan_has_finite_losses_and_gradients(step_queries, alignment, count, training):
    plans = PLANS[:1].repeat(count, 1)
    states, queries, text = windows(plans)
    alignment.train(training)
    queries.requires_grad_()
    step_queries.zero_grad()
    contrast, match = alignment(step_queries, states, queries, text, plans)
    (contrast + match).backward()
    assert contrast.item() >= 0
    assert match.item() == 0
    used = [queries, *alignment.parameters(), *step_queries.parameters()]
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in used)


@pytest.mark.parametrize("noisy", [False, True])
def test_a_negative_is_the_most_similar_window_of_another_plan(noisy):
    generator = torch.Generator().manual_seed(0)
    kinds = list(itertools.product(range(2), repeat=2))  # every batch of one to four windows with four plans
    for plans in itertools.chain.from_iterable(itertools.product(kinds, repeat=count) for count in range(1, 5)):
        local = plans[:3]
        scores, noise = torch.randn(2, len(local), len(plans), generator=generator)
        positive = sequence_matches(torch.tensor(local), torch.tensor(plans))
        index, exists = hard_negatives(scores, positive, noise if noisy else None)
        assert exists.tolist() == [any(plan != other for other in plans) for plan in local]
        for row in exists.nonzero().flatten().tolist():
            ranked = (scores + noise if noisy else scores)[row].tolist()
            assert plans[index[row]] != plans[row]
            assert index[row] == reference.hardest_negative(ranked, plans[row], plans)


def test_training_draws_negatives_from_the_softmax_of_similarities(alignment):
    draws = 20000
    similarity = torch.tensor([3.0, 1.0, 0.0, -1.0, 2.0]).expand(draws, -1)
    positive = torch.tensor([True, False, False, False, False]).expand(draws, -1)
    torch.manual_seed(0)
    index, _ = hard_negatives(similarity, positive, alignment.train()._noise(positive))
    expected = torch.cat([torch.zeros(1), similarity[0, 1:].softmax(0)])
    torch.testing.assert_close(index.bincount(minlength=5) / draws, expected, atol=0.015, rtol=0)


def test_only_training_draws_and_only_if_it_may(step_queries, alignment):
    states, queries, text = windows(PLANS)
    alignment.log_scale.data.zero_()  # similarities from -1 to 1: draws differ

    def seen(*, training, sample):
        alignment.train(training).sample_negatives = sample
        with torch.no_grad():
            return {alignment(step_queries, states, queries, text, PLANS)[1].item() for _ in range(5)}

    hardest = seen(training=False, sample=True)
    assert len(hardest) == 1
    assert seen(training=True, sample=False) == hardest
    assert len(seen(training=True, sample=True)) > 1


def test_the_temperature_stops_at_its_limit_and_can_leave_it(step_queries, alignment):
    alignment.log_scale.data.fill_(10.0)
    sum(alignment(step_queries, *windows(PLANS), PLANS)).backward()
    assert alignment.log_scale.exp().item() == pytest.approx(100)
    assert alignment.log_scale.grad.abs() > 1e-3


def test_labels_are_scored_as_the_true_steps_are(alignment):
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(20, 4, Y, generator=generator, dtype=torch.float64)  # 20 labels, 4 sentences on each
    queries = windows(PLANS)[1]
    logits = alignment.classify(queries, y)  # (6, T, 20)
    own = logits.gather(-1, PLANS[..., None]).mean((1, 2))
    expected = alignment.similarity(alignment.vision(queries), alignment.text(y.mean(1)[PLANS])).diagonal()
    torch.testing.assert_close(own, expected)
    assert logits.abs().max() <= 1 / 0.07 + 1e-6
    order = torch.randperm(20, generator=generator)[:7]
    torch.testing.assert_close(alignment.classify(queries, y[order]), logits[..., order])


def test_what_was_aligned_is_recognised_by_its_description_alone():
    torch.manual_seed(0)
    plans = torch.randint(0, 6, (48, T))
    y, mix = normalize(torch.randn(6, 1, 16), dim=-1), torch.randn(T * 16, C * 12)
    states = (y[plans, 0].flatten(1) @ mix).view(48, C, 12)  # what is seen follows from the steps
    step_queries, alignment = StepQueries(T, 12, 16, width=32, heads=2, dropout=0.0), Alignment(32, 16, width=16)
    optimiser = torch.optim.Adam([*step_queries.parameters(), *alignment.parameters()], lr=5e-3)

    def accuracy():
        with torch.no_grad():
            return (alignment.classify(step_queries(states), y).argmax(-1) == plans).float().mean().item()

    before = accuracy()
    for _ in range(60):
        optimiser.zero_grad()
        sum(alignment(step_queries, states, step_queries(states), y[plans, 0], plans)).backward()
        optimiser.step()
    assert before < 0.4
    assert accuracy() > 0.9
    assert math.isfinite(alignment.log_scale.item())
