"""What comes out of an evaluation: the same for any batches, views in one, and files that give every figure again."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from leaplan.errors import DataError
from leaplan.recognition.gathering import RecognitionOutcome
from leaplan.recognition.metrics import Labels, Scores, recognition_scores, subset_masks
from leaplan.recognition.outcome import (
    averaged,
    figures,
    pairs_of,
    print_table,
    read_scores,
    write_predictions,
    write_scores,
)
from leaplan.records import Step, Vocabulary
from tests.recognition.test_metrics import M, N, V, drawn

VIEWS = 3


@dataclass(frozen=True)
class Clip:
    sample_id: str
    video: str


CLIPS = [Clip(f"clip {i}", f"video {i // 4}") for i in range(N)]
PERSONS = {clip.video: f"person {int(clip.video.split()[1]) % 3}" for clip in CLIPS}


def vocabulary_of(pairs):
    steps = tuple(Step(f"{v}:{n}", f"verb{v} noun{n}", verb=v, noun=n) for v, n in pairs.tolist())
    verbs, nouns = (tuple(f"{kind}{i}" for i in range(count)) for kind, count in (("verb", V), ("noun", M)))
    return Vocabulary(steps, verbs=verbs, nouns=nouns)


def split(seed=0, views=VIEWS):
    """Logits (N, views, C) of all heads, labels, vocabulary."""
    scores, labels, pairs = drawn(seed)
    generator = torch.Generator().manual_seed(seed + 100)
    noisy = (e[:, None] + torch.randn(N, views, e.shape[1], generator=generator) for e in scores)
    return Scores(*(each.float() for each in noisy)), labels, vocabulary_of(pairs)


def collected(batches, seed=0, views=VIEWS):
    scores, labels, vocabulary = split(seed, views)
    outcome = RecognitionOutcome(V, M, len(vocabulary.steps))
    for rows in batches:
        outcome.update(rows, Labels(*(label[rows] for label in labels)), scores.at(rows))
    return outcome


def everything(seed=0):
    return collected([torch.arange(N)], seed).gathered()


def subsets_of(labels):
    persons = [PERSONS[clip.video] for clip in CLIPS]
    return subset_masks(labels, persons, {"person 1"}, {0, 1, 2}, {3, 4})


# --- collecting -------------------------------------------------------------------------------------


def test_views_are_averaged_as_probabilities():
    logits = torch.randn(5, VIEWS, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(averaged(logits).exp(), logits.softmax(-1).mean(1))
    torch.testing.assert_close(averaged(logits[:, 0]).exp(), logits[:, 0].softmax(-1))
    assert averaged(logits.bfloat16()).dtype == torch.float32
    sure = torch.tensor([[[0.0, -300.0], [-300.0, 0.0]]])
    torch.testing.assert_close(averaged(sure).exp(), torch.tensor([[0.5, 0.5]]))


def test_outcome_is_the_same_for_any_batches_order_and_repeats():
    order = torch.randperm(N, generator=torch.Generator().manual_seed(3))
    found = collected([*order.split(7), order[:5]]).gathered()
    whole = everything()
    assert torch.equal(found.index, torch.arange(N))
    assert all(torch.equal(a, b) for a, b in zip(found.scores, whole.scores, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(found.labels, split()[1], strict=True))


def test_scores_of_other_heads_and_indices_beyond_float32_are_refused():
    scores, labels, _ = split()
    outcome = RecognitionOutcome(V, M, 0)
    with pytest.raises(ValueError, match="classes are expected"):
        outcome.update(torch.arange(N), labels, scores)
    with pytest.raises(ValueError, match="16777216"):
        outcome.update(torch.full((N,), 2**24), labels, scores._replace(action=None))


# --- figures ----------------------------------------------------------------------------------------


def test_figures_are_those_of_the_metrics():
    outcome, (_, labels, vocabulary) = everything(), split()
    subsets = subsets_of(labels)
    table = figures(outcome, vocabulary, subsets)
    plain = {k: float(v) for k, v in recognition_scores(outcome.scores, labels, pairs_of(vocabulary)).items()}
    for name, value in table["recognition"].items():
        assert value == plain[name]
    for section in ("action_head", "fused"):
        assert table[section] == {f"action_{s}": plain[f"{section}_{s}"] for s in ("top1", "top5", "mt5r")}
    for kind in ("verb", "noun", "action"):
        assert table["recall"][f"overall_{kind}_mt5r"] == plain[f"{kind}_mt5r"]
        for subset in ("unseen", "tail"):
            mask = subsets[subset][kind]
            part = recognition_scores(outcome.scores.at(mask), Labels(*(label[mask] for label in labels)))
            assert table[subset][f"{kind}_top1"] == float(part[f"{kind}_top1"])
            assert table["recall"][f"{subset}_{kind}_mt5r"] == float(part[f"{kind}_mt5r"])
            assert table["counts"][f"{subset}_{kind}"] == int(mask.sum())
    assert table["counts"]["samples"] == N
    json.dumps(table, allow_nan=False)


def test_of_steps_without_verbs_and_nouns_the_action_head_is_the_official_one():
    scores, labels, _ = split(views=1)
    bare = Labels(labels.step, torch.full((N,), -1), torch.full((N,), -1))
    outcome = RecognitionOutcome(0, 0, scores.action.shape[-1])
    outcome.update(torch.arange(N), bare, Scores(None, None, scores.action))
    vocabulary = Vocabulary(tuple(Step(str(i), f"step {i}") for i in range(scores.action.shape[-1])))
    table = figures(outcome.gathered(), vocabulary)
    alone = recognition_scores(Scores(None, None, scores.action[:, 0]), bare)
    assert table["recognition"] == {f"action_top{k}": float(alone[f"action_head_top{k}"]) for k in (1, 5)}
    assert table["recall"] == {"overall_action_mt5r": float(alone["action_head_mt5r"])}
    assert table["action_head"]["action_mt5r"] == table["recall"]["overall_action_mt5r"]
    assert "fused" not in table


def test_a_limited_evaluation_counts_what_was_seen():
    rows = torch.tensor([3, 17, 20, 31])
    labels = split()[1]
    table = figures(collected([rows]).gathered(), split()[2], subsets_of(labels))
    assert table["counts"]["samples"] == 4
    assert table["counts"]["unseen_verb"] == int(subsets_of(labels)["unseen"]["verb"][rows].sum())


def test_a_subset_without_samples_has_no_figure():
    nobody = torch.zeros(N, dtype=torch.bool)
    table = figures(everything(), split()[2], {"tail": dict.fromkeys(("verb", "noun", "action"), nobody)})
    assert table["tail"]["verb_top1"] is table["recall"]["tail_action_mt5r"] is None


# --- files ------------------------------------------------------------------------------------------


def test_saved_scores_come_back_as_they_are_and_give_the_same_figures(tmp_path):
    outcome, (_, labels, vocabulary) = everything(), split()
    path = tmp_path / "predictions" / "test.npz"
    write_scores(path, outcome, CLIPS, vocabulary, PERSONS)
    saved = read_scores(path)
    assert all(torch.equal(a, b) for a, b in zip(saved.scores, outcome.scores, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(saved.labels, labels, strict=True))
    assert saved.sample_ids == tuple(clip.sample_id for clip in CLIPS)
    assert saved.videos[5] == "video 1"
    assert saved.persons[5] == "person 1"
    assert torch.equal(saved.action_pairs, pairs_of(vocabulary))
    before = path.read_bytes()
    write_scores(path, outcome, CLIPS, vocabulary, PERSONS)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["test.npz"]


def test_saved_scores_of_a_head_alone_come_back(tmp_path):
    outcome = RecognitionOutcome(0, 0, 2)
    none = torch.full((2,), -1)
    outcome.update(torch.arange(2), Labels(torch.tensor([0, 1]), none, none), Scores(None, None, torch.eye(2)))
    write_scores(tmp_path / "a.npz", outcome.gathered(), CLIPS, Vocabulary((Step("0", "cut"), Step("1", "stir"))))
    saved = read_scores(tmp_path / "a.npz")
    assert saved.scores.verb is saved.scores.noun is saved.persons is saved.action_pairs is None
    assert saved.scores.action.shape == (2, 2)


def test_files_that_hold_no_scores_are_told(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_scores(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("not a zip file")
    with pytest.raises(DataError, match="cannot be read"):
        read_scores(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(DataError, match="has no sample_id, video, step_label"):
        read_scores(tmp_path / "other.npz")
    np.savez(tmp_path / "pickled.npz", sample_id=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="cannot be read"):
        read_scores(tmp_path / "pickled.npz")
    np.save(tmp_path / "bare.npy", np.zeros(3))
    with pytest.raises(DataError, match="one bare array"):
        read_scores(tmp_path / "bare.npy")
    write_scores(tmp_path / "a.npz", everything(), CLIPS, split()[2])
    with np.load(tmp_path / "a.npz") as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(tmp_path / "short.npz", **{**arrays, "verb": arrays["verb"][:3]})
    with pytest.raises(DataError, match="differ in length"):
        read_scores(tmp_path / "short.npz")


def test_readable_predictions_name_the_likeliest_classes(tmp_path):
    outcome, (_, labels, vocabulary) = everything(), split()
    write_predictions(tmp_path / "test.jsonl", outcome, CLIPS, vocabulary)
    lines = [json.loads(line) for line in (tmp_path / "test.jsonl").read_text().splitlines()]
    assert [line["sample_id"] for line in lines] == [clip.sample_id for clip in CLIPS]
    probabilities = [each.double().exp() for each in outcome.scores]
    for row, line in enumerate(lines):
        assert line["truth"]["step"] == vocabulary.steps[int(labels.step[row])].name
        assert (line["verb"], line["noun"]) == (int(labels.verb[row]), int(labels.noun[row]))
        assert {head: len(best) for head, best in line["top_5"].items()} == dict.fromkeys(
            ("verb", "noun", "action", "action_head"), 5
        )
        verb, noun, action = (each[row] for each in probabilities)
        assert line["top_5"]["verb"][0] == [f"verb{int(verb.argmax())}", pytest.approx(float(verb.max()), abs=1e-6)]
        both = pytest.approx(float(verb.max() * noun.max()), abs=1e-6)
        assert line["top_5"]["action"][0] == [f"verb{int(verb.argmax())} noun{int(noun.argmax())}", both]
        assert line["top_5"]["action_head"][0][0] == vocabulary.steps[int(action.argmax())].name


def test_the_table_shows_percent(capsys):
    outcome, (_, labels, vocabulary) = everything(), split()
    table = figures(outcome, vocabulary, subsets_of(labels))
    print_table("test", table)
    shown = capsys.readouterr().out
    assert f"test: {N} clips" in shown
    assert f"{100 * table['recognition']['verb_top1']:.1f}" in shown
    assert all(word in shown for word in ("top-1", "top-5", "unseen", "tail", "action head", "fused"))
