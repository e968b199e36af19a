"""Scores of programs against true ones, checked on small cases written out and against slow searches."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaplan.programs.language import Condition, ForEach, Program, Repeat, SubAction
from leaplan.programs.scoring import common_length, edit_distance, score


def action(verb: str, first: str = "none", second: str = "none", hand: str = "right", before=(), after=()) -> SubAction:
    return SubAction(verb, first, second, hand, tuple(before), tuple(after))


def program(*body) -> Program:
    return Program("do", ("cup", "top"), (), (), tuple(body))


TAKE = (action("reach", "cup"), action("grasp", "cup"), action("move", "cup", "top"))


def test_the_true_program_scores_one_everywhere():
    scores = score([program(*TAKE)], [program(*TAKE)], most=8)
    figures = scores.summary()
    assert {name: figures[name] for name in ("sub_action_f1", "verb_f1", "hand_f1", "order", "exact")} == {
        "sub_action_f1": 1, "verb_f1": 1, "hand_f1": 1, "order": 1, "exact": 1,
    }  # fmt: skip


def test_a_case_counted_by_hand():
    guess = program(action("reach", "cup"), action("grasp", "top"), action("reach", "cup"))
    scores = score([guess], [program(*TAKE)], most=8)
    assert (scores.sub_actions.common, scores.sub_actions.predicted, scores.sub_actions.true) == (1, 3, 3)
    assert scores.verbs.common == 2  # reach once, grasp
    assert scores.order == pytest.approx(1 - 2 / 3)
    assert scores.subsequence == pytest.approx(2 * 1 / 6)
    assert scores.exact == 0


def test_repetitions_count_as_often_as_they_are_true():
    guess = program(Repeat(3, (action("use", "cup"),)))
    scores = score([guess], [program(action("use", "cup"), action("use", "cup"))], most=8)
    assert (scores.sub_actions.precision, scores.sub_actions.recall) == (pytest.approx(2 / 3), 1)


def test_a_loop_scores_like_its_repetitions_written_out():
    loop = program(ForEach("each", ("cup", "top"), (action("reach", "each"), action("grasp", "each"))))
    flat = program(action("reach", "cup"), action("grasp", "cup"), action("reach", "top"), action("grasp", "top"))
    assert score([loop], [flat], most=8).exact == 1


def test_hands_matter_for_the_hand_score_only():
    guess = program(action("reach", "cup", hand="left"))
    scores = score([guess], [program(action("reach", "cup"))], most=8)
    assert (scores.sub_actions.f1, scores.hands.f1) == (1, 0)


def test_pre_and_post_conditions_are_scored_apart_and_with_their_sub_action():
    free, near = Condition("free", ("right",)), Condition("near", ("right", "cup"))
    truth = program(action("reach", "cup", before=[free], after=[near]))
    half = program(action("reach", "cup", before=[free], after=[near.negated]))
    scores = score([half], [truth], most=8)
    assert (scores.before.f1, scores.after.f1) == (1, 0)
    elsewhere = program(action("grasp", "cup", before=[free], after=[near]))
    assert score([elsewhere], [truth], most=8).before.f1 == 0


def test_a_missing_program_lowers_recall_and_not_precision():
    scores = score([program(*TAKE), None], [program(*TAKE), program(*TAKE)], most=8)
    assert (scores.sub_actions.precision, scores.sub_actions.recall, scores.order) == (1, 0.5, 0.5)


def test_only_the_first_sub_actions_are_scored_and_the_cut_is_told():
    long = program(Repeat(5, (action("use", "cup"),)))
    scores = score([long], [program(action("use", "cup"))], most=1)
    assert (scores.sub_actions.f1, scores.truncated) == (1, 1)


def test_lists_of_different_length_are_refused():
    with pytest.raises(ValueError, match="2 predicted programs for 1"):
        score([None, None], [program(*TAKE)], most=8)


def slow_distance(ours: str, theirs: str) -> int:
    if not ours or not theirs:
        return len(ours) + len(theirs)
    if ours[0] == theirs[0]:
        return slow_distance(ours[1:], theirs[1:])
    return 1 + min(
        slow_distance(ours[1:], theirs), slow_distance(ours, theirs[1:]), slow_distance(ours[1:], theirs[1:])
    )


def slow_common(ours: str, theirs: str) -> int:
    both = ({"".join(part) for n in range(len(text) + 1) for part in combinations(text, n)} for text in (ours, theirs))
    return max(map(len, set.intersection(*both)))


@settings(deadline=None)
@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_distances_agree_with_a_search_over_all_ways(ours, theirs):
    assert edit_distance(ours, theirs) == slow_distance(ours, theirs)
    assert common_length(ours, theirs) == slow_common(ours, theirs)


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), min_size=1, max_size=6))
def test_sub_action_counts_agree_with_pairing_them_off(ours, theirs):
    left, common = list(theirs), 0
    for each in ours:
        if each in left:
            left.remove(each)
            common += 1
    guess, truth = (program(*(action("use", each) for each in side)) for side in (ours, theirs))
    assert score([guess], [truth], most=16).sub_actions.common == common
