"""Scores of recognised actions: the official numbers, the definitions, and what must not change them."""

import math

import numpy as np
import pytest
import torch

from leaplan.recognition.gathering import RecognitionMetrics
from leaplan.recognition.metrics import (
    Labels,
    Pairs,
    Scores,
    best_pairs,
    class_mean_recall,
    fused_scores,
    rank_among,
    rank_of,
    ranks_of,
    recall,
    recognition_scores,
    scores_of_ranks,
    subset_masks,
    top_k_accuracy,
)
from tests.recognition import epic_golden
from tests.reference import epic_scoring

N, V, M, A = 40, 11, 13, 20


def drawn(seed=0, samples=N, ties=False):
    """Scores of all heads, labels, and the pairs of the actions; with `ties`, few different scores."""
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.cartesian_prod(torch.arange(V), torch.arange(M))
    pairs = pairs[torch.randperm(len(pairs), generator=generator)[:A]]
    step = torch.randint(A, (samples,), generator=generator)
    labels = Labels(step, *pairs[step].unbind(1))
    scores = [2 * torch.randn(samples, size, generator=generator, dtype=torch.float64) for size in (V, M, A)]
    for each, truth in zip(scores, (labels.verb, labels.noun, labels.step), strict=True):
        each[torch.arange(samples), truth] += 1.5
    if ties:
        scores = [each.round() for each in scores]
    return Scores(*scores), labels, pairs


def plain(scores):
    return {name: float(value) for name, value in scores.items()}


# --- the official numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["small", "full_val_signal0", "full_val_signal2"])
def test_scores_equal_the_official_scripts(shared, name):
    golden = epic_golden.golden(shared)
    case, rows = golden["cases"][name], epic_golden.case_rows(shared, name)
    verb, noun = map(torch.from_numpy, epic_golden.case_scores(name, rows, case["signal"]))
    verb_class, noun_class = map(torch.from_numpy, epic_golden.classes(rows))
    labels = Labels(torch.full_like(verb_class, -1), verb_class, noun_class)
    persons = [row["participant_id"] for row in rows]
    lists = set(golden["unseen_val"]), set(golden["tail_verbs"]), set(golden["tail_nouns"])
    subsets = subset_masks(labels, persons, *lists)
    ranks = ranks_of(Scores(verb, noun, None), labels)
    found = {}
    everything = torch.ones(len(rows), dtype=torch.bool)
    for subset, masks in {"all": dict.fromkeys(("verb", "noun", "action"), everything), **subsets}.items():
        for kind, mask in masks.items():
            chosen = ranks._replace(**{each: getattr(ranks, each)[mask] for each in ("verb", "noun", "action")})
            scores = scores_of_ranks(chosen, Labels(*(label[mask] for label in labels)))
            found |= {f"{subset}_{kind}_accuracy_at_{k}": float(scores[f"{kind}_top{k}"]) for k in (1, 5)}
            found[f"{'overall' if subset == 'all' else subset}_{kind}_mt5r"] = float(scores[f"{kind}_mt5r"])
    official = {**case["c1_recognition"], **case["c3_anticipation_no_action_field"]}
    assert len(official) == 21
    assert {key: 100 * found[key] for key in official} == pytest.approx(official, abs=1e-9)
    first = best_pairs(verb[:1], noun[:1])
    assert [[v, n] for v, n, _ in case["first_row_top5_actions"]] == [
        [int(first.verb[0, k]), int(first.noun[0, k])] for k in range(5)
    ]
    if name == "full_val_signal0":
        facts = golden["facts"]
        counts = [int(subsets["unseen"]["verb"].sum()), *(int(subsets["tail"][k].sum()) for k in subsets["tail"])]
        keys = ("val_unseen_rows", "val_tail_verb_rows", "val_tail_noun_rows", "val_tail_action_rows")
        assert counts == [facts[key] for key in keys]


def test_the_stored_scores_of_the_small_case_are_those_of_the_recipe(shared):
    rows = epic_golden.case_rows(shared, "small")
    verb, noun = epic_golden.case_scores("small", rows, 2.0)
    stored = np.load(shared / "golden" / "golden_epic_metrics.npz")
    np.testing.assert_array_equal(stored["small|verb"], verb)
    np.testing.assert_array_equal(stored["small|noun"], noun)


def test_submitted_actions_score_as_the_official_script_says(shared):
    case = epic_golden.golden(shared)["cases"]["small_with_action_field"]
    rows = epic_golden.case_rows(shared, "small")
    verb_class, noun_class = map(torch.from_numpy, epic_golden.classes(rows))
    pairs = Pairs(*map(torch.from_numpy, epic_golden.submitted_actions(shared, rows)))
    rank = rank_among(pairs, verb_class, noun_class)
    score = 100 * float(recall(rank, 1000 * verb_class + noun_class))
    assert score == pytest.approx(case["c3_anticipation"]["overall_action_mt5r"], abs=1e-9)


# --- the definitions --------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_the_definitions(seed, ties):
    scores, labels, _ = drawn(seed, ties=ties)
    verb, noun = scores.verb.numpy(), scores.noun.numpy()
    ranked = epic_scoring.rankings(verb, noun)
    truths = {
        "verb": labels.verb.tolist(),
        "noun": labels.noun.tolist(),
        "action": list(zip(labels.verb.tolist(), labels.noun.tolist(), strict=True)),
    }
    expected = {
        f"{kind}_top{k}": epic_scoring.accuracy(r, truths[kind], k) for kind, r in ranked.items() for k in (1, 5)
    }
    expected |= {f"{kind}_mt5r": epic_scoring.mean_recall(ranked[kind], truths[kind]) for kind in ranked}
    found = plain(recognition_scores(scores._replace(action=None), labels))
    assert found == pytest.approx(expected, abs=1e-12)
    assert float(top_k_accuracy(scores.verb, labels.verb, 5)) == found["verb_top5"]
    assert float(class_mean_recall(scores.noun, labels.noun)) == found["noun_mt5r"]


@pytest.mark.parametrize(("verbs", "nouns"), [(97, 300), (5, 4), (150, 120), (3, 300)])
def test_the_best_pairs_are_those_of_the_whole_outer_product(verbs, nouns):
    generator = torch.Generator().manual_seed(verbs)
    verb = torch.randn(6, verbs, generator=generator, dtype=torch.float64)
    noun = torch.randn(6, nouns, generator=generator, dtype=torch.float64)
    pairs = best_pairs(verb, noun)
    for row in range(6):
        expected = epic_scoring.product(verb[row].numpy(), noun[row].numpy())
        assert list(zip(pairs.verb[row].tolist(), pairs.noun[row].tolist(), strict=True)) == expected
    whole = verb.softmax(1)[:, :, None] * noun.softmax(1)[:, None, :]
    keep = min(100, verbs * nouns)
    torch.testing.assert_close(pairs.score.exp(), whole.flatten(1).topk(keep).values, rtol=1e-12, atol=0)


def test_of_equal_scores_the_smaller_class_and_of_equal_pairs_the_better_verb_is_first():
    scores = torch.tensor([[1.0, 2.0, 2.0, 0.0]])
    assert [int(rank_of(scores, torch.tensor([c]))) for c in range(4)] == [2, 0, 1, 3]
    pairs = best_pairs(torch.zeros(1, 3), torch.zeros(1, 2))
    assert list(zip(pairs.verb[0].tolist(), pairs.noun[0].tolist(), strict=True)) == [
        (0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1),
    ]  # fmt: skip
    step = torch.tensor([[1.0, 0.0]])  # (0, 1) and (1, 0) have the same sum
    pairs = best_pairs(step, step)
    assert [pairs.verb[0, 1], pairs.noun[0, 1]] == [0, 1]


def test_scores_that_are_no_numbers_never_hit():
    nothing = torch.full((3, 7), math.nan)
    truth = torch.tensor([0, 3, 6])
    assert rank_of(nothing, truth).tolist() == [6, 6, 6]
    assert rank_among(best_pairs(nothing, nothing), truth, truth).min() >= 49


def test_a_class_that_the_vocabulary_has_not_never_hits():
    scores, labels, pairs = drawn()
    unknown = labels._replace(step=torch.full_like(labels.step, -1))
    ranks = ranks_of(scores, unknown, pairs)
    assert set(ranks.action_head.tolist()) == set(ranks.fused.tolist()) == {A}
    assert torch.equal(ranks.action, ranks_of(scores, labels, pairs).action)


def test_fusing_is_the_geometric_mean_of_product_and_action_head():
    scores, _, pairs = drawn()
    verb, noun, action = (each.softmax(1) for each in scores)
    expected = (verb[:, pairs[:, 0]] * noun[:, pairs[:, 1]] * action).sqrt()
    torch.testing.assert_close(fused_scores(scores, pairs).exp(), expected)


def test_recall_weighs_classes_alike_and_accuracy_samples():
    target = torch.tensor([0, 0, 0, 1])
    scores = torch.eye(8)[torch.tensor([0, 0, 0, 7])]
    assert float(top_k_accuracy(scores, target)) == 0.75
    assert float(class_mean_recall(scores, target, k=1)) == 0.5


def test_subsets_are_told_by_person_and_rare_classes():
    labels = Labels(torch.arange(4), torch.tensor([0, 1, 0, 1]), torch.tensor([5, 5, 6, 6]))
    masks = subset_masks(labels, ["a", "b", "a", "c"], {"b"}, {1}, {5})
    assert masks["unseen"]["action"].tolist() == [False, True, False, False]
    assert masks["tail"]["verb"].tolist() == [False, True, False, True]
    assert masks["tail"]["noun"].tolist() == [True, True, False, False]
    assert masks["tail"]["action"].tolist() == [True, True, False, True]
    assert subset_masks(labels, ["a"] * 4, set(), set(), set()) == {}


# --- what must not change them ----------------------------------------------------------------------


def test_the_order_of_samples_and_shifts_of_logits_change_nothing():
    scores, labels, pairs = drawn(1)
    expected = plain(recognition_scores(scores, labels, pairs))
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    shifted = Scores(*(each[order] + torch.randn(N, 1, dtype=torch.float64).round() for each in scores))
    found = plain(recognition_scores(shifted, Labels(*(label[order] for label in labels)), pairs))
    assert found == pytest.approx(expected, abs=1e-12)


def test_blocks_of_rows_change_nothing(monkeypatch):
    scores, labels, pairs = drawn(2)
    whole = ranks_of(scores, labels, pairs)
    monkeypatch.setattr("leaplan.recognition.metrics.ROWS", 7)
    assert all(torch.equal(a, b) for a, b in zip(ranks_of(scores, labels, pairs), whole, strict=True))


def test_extreme_logits_keep_their_order():
    verb = torch.tensor([[0.0, -400.0, -800.0]], dtype=torch.float32)
    pairs = best_pairs(verb, verb)
    assert pairs.score.isfinite().all()
    assert [pairs.verb[0, -1], pairs.noun[0, -1]] == [2, 2]


@pytest.mark.parametrize("heads", ["all", "action", "verb and noun"])
def test_a_split_in_batches_scores_as_the_whole_also_with_repeated_samples(heads):
    scores, labels, pairs = drawn(3)
    if heads == "action":
        scores = Scores(None, None, scores.action)
    if heads == "verb and noun":
        scores = scores._replace(action=None)
    metric = RecognitionMetrics(action_pairs=pairs)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    for rows in (*order.split(9), order[:4]):
        metric.update(rows, scores.at(rows), Labels(*(label[rows] for label in labels)))
    expected = plain(recognition_scores(scores, labels, pairs))
    assert plain(metric.compute()) == expected
    sections = {name.rpartition("_")[0] for name in expected}
    assert (
        sections
        == {
            "all": {"verb", "noun", "action", "action_head", "fused"},
            "action": {"action_head"},
            "verb and noun": {"verb", "noun", "action"},
        }[heads]
    )


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_an_empty_split_has_no_scores():
    assert RecognitionMetrics().compute() == {}
    scores, labels, pairs = drawn()
    nobody = torch.zeros(0, dtype=torch.long)
    found = recognition_scores(scores.at(nobody), Labels(*(label[nobody] for label in labels)), pairs)
    assert all(math.isnan(value) for value in plain(found).values())
