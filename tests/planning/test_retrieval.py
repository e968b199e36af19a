"""Written steps are taken for the labels they are most like."""

import numpy as np
import pytest

from leaplan.planning.counting import PAD
from leaplan.planning.retrieval import match_captions
from leaplan.text.encoder import NgramEncoder

LABELS = ["pour milk", "stir mixture", "cut bread", "pour water"]


class Table:
    """A sentence encoder that looks embeddings up and keeps count of what it was asked."""

    identity = "table"

    def __init__(self, rows):
        self.rows, self.asked = rows, []

    def encode(self, sentences):
        self.asked.extend(sentences)
        return np.array([self.rows[s] for s in sentences], np.float32)


def test_a_label_written_as_it_is_needs_no_encoder():
    encoder = Table({})
    plans = match_captions([["cut bread", "pour milk"], ["stir mixture", "stir mixture"]], encoder, LABELS, 2)
    assert plans.tolist() == [[2, 0], [1, 1]]
    assert plans.dtype.is_floating_point is False
    assert encoder.asked == []


def test_other_words_are_taken_for_the_nearest_label():
    plans = match_captions([["pouring the milk", "stir the mixture well", "slice of bread"]], NgramEncoder(), LABELS, 3)
    assert plans.tolist() == [[0, 1, 2]]


def test_the_cosine_decides_and_not_the_length():
    random = np.random.default_rng(0)
    names, texts = [f"label {i}" for i in range(7)], [f"text {i}" for i in range(20)]
    rows = {s: random.normal(size=5) * random.uniform(0.1, 50) for s in names + texts}
    plans = match_captions([texts[:10], texts[10:]], Table(rows), names, 10)
    for text, label in zip(texts, plans.flatten().tolist(), strict=True):
        cosines = [rows[text] @ rows[n] / np.linalg.norm(rows[text]) / np.linalg.norm(rows[n]) for n in names]
        assert label == int(np.argmax(cosines))


def test_each_text_is_encoded_once():
    rows = {label: np.eye(4)[i] for i, label in enumerate(LABELS)} | {"x": np.ones(4), "y": np.eye(4)[1]}
    encoder = Table(rows)
    match_captions([["x", "y", "x"], ["y", "x", "pour milk"]], encoder, LABELS, 3)
    assert sorted(encoder.asked) == sorted([*LABELS, "x", "y"])


def test_short_plans_are_padded_and_long_ones_cut():
    captions = [["cut bread"], [], ["pour milk", "cut bread", "pour water"]]
    assert match_captions(captions, NgramEncoder(), LABELS, 2).tolist() == [[2, PAD], [PAD, PAD], [0, 2]]


def test_a_text_that_means_nothing_to_the_encoder_is_left_out():
    captions = [["!!!", "pour water"], ["..."]]
    assert match_captions(captions, NgramEncoder(), LABELS, 2).tolist() == [[3, PAD], [PAD, PAD]]


@pytest.mark.parametrize("broken", [[0, 0], [np.nan, 1]])
def test_a_label_without_an_embedding_is_never_the_nearest(broken):
    rows = {"a": broken, "b": [1, 0], "x": [-1, 0.1]}
    assert match_captions([["x"]], Table(rows), ["a", "b"], 1).tolist() == [[1]]


def test_no_windows_give_no_plans():
    assert match_captions([], NgramEncoder(), LABELS, 3).shape == (0, 3)
