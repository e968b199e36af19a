"""Label arrays: from programs and back without loss, and what is lost is counted."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaplan.errors import DataError
from leaplan.programs.encode import Encoder
from leaplan.programs.label_text import condition_of, text_of
from leaplan.programs.language import LEAP, Condition, Language, Program, SubAction
from leaplan.programs.parse import parse
from leaplan.programs.unroll import unroll
from tests.programs import strategies

TAKE = """program take({0}) {{
  assume free({1});
  reach({0}) {1} [pre: free({1})] [post: near({1}, {0})];
  grasp({0}, shelf) {1} [pre: near({1}, {0})] [post: holding({1}, {0}), not on({0}, shelf), hot(stove)];
}}"""
CUP, PAN = parse(TAKE.format("cup", "right")), parse(TAKE.format("pan", "left"))


def test_classes_and_conditions_stand_at_their_documented_places():
    language = Language("small", {"reach": LEAP.verbs["reach"], "grasp": LEAP.verbs["grasp"]}, {}, ("shelf", "cup"))
    encoder = Encoder.of([CUP], language, slots=3)
    assert encoder.conditions == (
        "free(right)", "holding(right, A)", "hot(stove)", "near(right, A)", "not on(A, B)",
    )  # fmt: skip
    encoded = encoder.encode(CUP)
    assert encoded.verb.tolist() == [1, 2, 0]  # 0: stop
    assert encoded.first.tolist() == [3, 3, 0]  # 0: none, 1: other
    assert encoded.second.tolist() == [0, 2, 0]
    assert encoded.hand.tolist() == [2, 2, 0]  # none, left, right, both
    assert encoded.before.tolist() == [[1, 0, 0, 0, 0], [0, 0, 0, 1, 0], [0] * 5]
    assert encoded.after.tolist() == [[0, 0, 0, 1, 0], [0, 1, 1, 0, 1], [0] * 5]
    assert encoded.mask.tolist() == [True, True, False]
    assert (encoded.length, encoded.dropped, encoded.others, encoded.truncated) == (2, 0, 0, False)


def test_the_same_condition_on_another_object_is_the_same_label():
    encoder = Encoder.of([CUP, PAN], LEAP)
    right = {text for text in encoder.conditions if "right" in text}
    assert right == {"free(right)", "near(right, A)", "holding(right, A)"}


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_decoding_gives_the_unrolled_sub_actions_back_exactly(data):
    language = data.draw(st.sampled_from((LEAP, strategies.ODD)))
    drawn = data.draw(st.lists(strategies.programs(language), min_size=1, max_size=3))
    encoder = Encoder.of(drawn, language, slots=8)
    encoder = Encoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    table = encoder.encode_all(drawn)
    for index, program in enumerate(drawn):
        unrolled = unroll(program, 8)
        encoded = table[index]
        assert encoder.decode(encoded) == unrolled.sub_actions
        assert (encoded.length, encoded.dropped, encoded.truncated) == (
            len(unrolled.sub_actions), 0, unrolled.truncated,
        )  # fmt: skip


@given(st.data())
def test_a_label_stands_for_its_condition_whatever_the_names(data):
    names = st.one_of(st.sampled_from(("A", "B", "none", "not", "a, b", "x)", '"A"', "\\")), strategies.names())
    arguments = tuple(data.draw(st.lists(names, max_size=3)))
    condition = Condition(data.draw(names), arguments, data.draw(st.booleans()))
    first, second = data.draw(names), data.draw(names)
    assert condition_of(text_of(condition, first, second), first, second) == condition


def test_what_is_outside_the_vocabulary_is_counted():
    language = Language("small", LEAP.verbs, LEAP.predicates, ("cup", "shelf"))
    encoder = Encoder.of([CUP], language)
    encoded = encoder.encode(PAN)
    assert encoded.others == 2  # pan, twice
    assert encoded.dropped == 4  # all that is said of the left hand
    assert [each.first for each in encoder.decode(encoded)] == ["other", "other"]
    assert encoder.decode(encoded)[1].after == (
        Condition("hot", ("stove",)),
        Condition("on", ("other", "shelf"), False),
    )


def test_an_object_called_other_is_not_counted_as_outside():
    whole = Program("look", ("other",), body=(SubAction("inspect", "other", after=(Condition("hot", ("other",)),)),))
    encoder = Encoder.of([whole], LEAP)
    encoded = encoder.encode(whole)
    assert (encoded.others, encoded.dropped) == (0, 0)
    assert encoder.decode(encoded) == whole.body


def test_rare_conditions_are_left_out_of_the_vocabulary_on_request():
    encoder = Encoder.of([CUP, CUP, PAN], LEAP, min_count=2)
    assert encoder.conditions == (
        "free(right)", "holding(right, A)", "hot(stove)", "near(left, A)", "near(right, A)", "not on(A, B)",
    )  # fmt: skip
    assert encoder.encode_all([CUP, PAN]).dropped.tolist() == [0, 2]


def test_many_programs_are_stacked_as_they_are_one_by_one():
    encoder = Encoder.of([CUP, PAN], LEAP, slots=5)
    table = encoder.encode_all([CUP, None, PAN, CUP])
    assert len(table) == 4
    batch = table[[3, 1, 2]]
    singles = [table[3], table[1], encoder.encode(PAN)]
    for name in batch.__slots__:
        assert np.array_equal(getattr(batch, name), np.stack([getattr(single, name) for single in singles])), name
    assert batch.before.shape == (3, 5, len(encoder.conditions))
    assert not table[1].mask.any()


def test_equal_sets_of_conditions_are_kept_once():
    encoder = Encoder.of([CUP], LEAP)
    few, many = encoder.encode_all([CUP] * 2), encoder.encode_all([CUP] * 1000)
    assert few.patterns.shape == many.patterns.shape == (4, 5)  # none, and three different ones
    assert many.nbytes < 1000 * 16 * 20


def test_no_programs_and_no_conditions_are_no_special_case():
    encoder = Encoder.of([], LEAP, slots=2)
    assert len(encoder.encode_all([])) == 0
    assert encoder.encode(CUP).dropped == 6
    assert encoder.encode(CUP).before.shape == (2, 0)


def test_programs_longer_than_the_slots_are_cut_and_told():
    encoded = Encoder.of([CUP], LEAP, slots=1).encode(CUP)
    assert (encoded.length, encoded.truncated) == (1, True)


def test_words_of_another_language_are_refused():
    encoder = Encoder.of([CUP], LEAP)
    with pytest.raises(DataError, match='the verb "flip" is none'):
        encoder.encode(Program("try", ("cup",), body=(SubAction("flip", "cup"),)))
    with pytest.raises(DataError, match='the hand "foot" is none'):
        encoder.encode(Program("try", ("cup",), body=(SubAction("search", "cup", hand="foot"),)))


def test_arrays_of_another_encoder_are_refused():
    encoder = Encoder.of([CUP], LEAP)
    with pytest.raises(ValueError, match="expected"):
        encoder.decode(Encoder.of([CUP], LEAP, slots=3).encode(CUP))
    wrong = encoder.encode(CUP)
    wrong.verb[0] = 99
    with pytest.raises(ValueError, match="99"):
        encoder.decode(wrong)
    wrong = encoder.encode(CUP)
    wrong.first[0] = -1
    with pytest.raises(ValueError, match="-1"):
        encoder.decode(wrong)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 0}, "an older leaplan: schema 0, this one reads 1"),
        ({"schema": 2}, "a newer leaplan"),
        ({"schema": None}, "no schema version"),
        ({"verbs": None}, "keys are missing"),
        ({"verbs": ["reach", 1]}, "keys are missing"),
        ({"slots": "16"}, "keys are missing"),
        ({"slots": 0}, "0 slots"),
        ({"verbs": ["reach", "reach"]}, "occur twice"),
        ({"objects": ["none"]}, "classes of their own"),
        ({"conditions": ["hot("]}, "no condition"),
    ],
)
def test_settings_that_do_not_fit_are_refused_with_their_place(change, words):
    settings_ = {**Encoder.of([CUP], LEAP).to_dict(), **change}
    with pytest.raises(DataError, match=words) as error:
        Encoder.from_dict(settings_, "encoder.json")
    assert "encoder.json" in str(error.value)


def test_settings_that_are_no_object_are_refused():
    with pytest.raises(DataError, match="no schema version"):
        Encoder.from_dict(["reach"])
