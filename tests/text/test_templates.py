"""Templates make sensible sentences of any label, without a language model."""

import random
import string

import numpy as np
import pytest

from leaplan.records import Step, Vocabulary
from leaplan.text import descriptions as described
from leaplan.text.descriptions import DescribedSteps, NamedSteps, TemplatedSteps, templates
from leaplan.text.encoder import NgramEncoder

STATES = [  # label, what is so before, what is so after
    ("pour milk", "the milk, ready to pour", "no milk left to pour"),
    ("Pour  Milk", "the milk, ready to pour", "no milk left to pour"),
    ("stir", "everything, ready to stir", "nothing left to stir"),
    ("jack up", "everything, ready to jack up", "nothing left to jack up"),
    ("jack up the car", "the car, ready to jack up", "no car left to jack up"),
    ("get things out", "the things, ready to get out", "no things left to get out"),
    ("fill the cup of tea with ice", "the cup of tea, ready to fill with ice", "no cup of tea left to fill with ice"),
    ("measure and add 1/4 tsp salt", "the tsp salt, ready to measure and add", "no tsp salt left to measure and add"),
    (
        "Add-Add the chopped cilantro to the bowl",
        "the chopped cilantro, ready to add to the bowl",
        "no chopped cilantro left to add to the bowl",
    ),
    ("whisk-In the mug, whisk one egg", "the egg, ready to whisk", "no egg left to whisk"),
    ("stir-then stir the bowl", "the bowl, ready to stir", "no bowl left to stir"),
    ("pre-heat the oven for 1.5 hours, covered", "the oven, ready to pre-heat for 1.5 hours", None),
]
WORDS = ["add", "pour", "up", "the", "1/2", "milk", "to", "of", "and", "bowl,", "then", "in", "(hot)", "-", "it's", "é"]


def made_labels(count: int = 400) -> list[str]:
    """Labels of words in any order, and of any characters at all."""
    chance = random.Random(7)
    of_words = [" ".join(chance.choices(WORDS, k=chance.randint(1, 6))) for _ in range(count)]
    return of_words + ["".join(chance.choices(string.printable, k=chance.randint(0, 9))) for _ in range(count)]


@pytest.mark.parametrize(("label", "before", "after"), STATES, ids=[label for label, _, _ in STATES])
def test_a_label_becomes_the_states_around_it(label, before, after):
    sentences = templates(label)
    assert sentences[2] == f"before {before}"
    assert after is None or sentences[5] == f"after {after}"


def test_any_label_gives_three_sentences_before_and_three_after():
    for label in made_labels():
        sentences = templates(label)
        assert [sentence.split(" ")[0] for sentence in sentences] == ["before"] * 3 + ["after"] * 3
        assert not any("  " in sentence for sentence in sentences), label


def test_labels_that_differ_are_described_differently():
    labels = {" ".join(label.split()) for label in made_labels() if label.isascii() and "-" not in label}
    lower = {label.lower() for label in labels}
    assert len({tuple(templates(label)) for label in labels}) == len(lower)


def test_sentences_are_encoded_step_by_step_as_described_ones_are(tmp_path, monkeypatch):
    monkeypatch.setattr(described, "CACHE", tmp_path)
    encoder = NgramEncoder(32)
    y = TemplatedSteps(encoder).embed(Vocabulary((Step("1", "cut bread"), Step("2", "jack up"))))
    assert y.shape == (2, 6, 32)
    np.testing.assert_array_equal(y[1, 2], encoder.encode(["before everything, ready to jack up"])[0])
    np.testing.assert_array_equal(y[0, 3], encoder.encode(["after cut bread"])[0])


def test_results_tell_the_kinds_of_descriptions_apart():
    kinds = TemplatedSteps(), NamedSteps(), DescribedSteps("d.json"), TemplatedSteps(NgramEncoder(32))
    assert len({kind.identity for kind in kinds}) == 4
    assert kinds[0].identity.startswith(f"templates {TemplatedSteps.version} by ")
