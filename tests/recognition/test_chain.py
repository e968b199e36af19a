"""Chain consistency: true programs have nothing to mend, contradictions cost as much as they are likely."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from leaplan.data.kitchen.cast import cast
from leaplan.data.kitchen.evidence import evidence
from leaplan.data.kitchen.simulate import simulate
from leaplan.programs.encode import Encoder
from leaplan.programs.kitchen import kitchen_language, kitchen_programs
from leaplan.programs.label_text import text_of
from leaplan.programs.language import Condition
from leaplan.recognition.chain import Argument, ChainConsistency, read_relation
from leaplan.recognition.network import ProgramLogits
from tests.programs import strategies

SURE = 40.0
OBJECTS = ("none", "other", "cup", "pan", "stove", "A")
CONDITIONS = (
    "holding(right, A)", "not holding(right, A)", "holding(right, B)", "free(right)", "not free(right)",
    "hot(stove)", "not hot(A)", "on(A, B)", "not on(A, B)", "hot(A)", "free(left)", 'not hot("A")',
    "not on(B, A)", "not on(A, stove)",
)  # fmt: skip


def programs(*slots, length=None, conditions=CONDITIONS, objects=OBJECTS, clips=1):
    """Logits (1, 1, K, ...) that are sure of slots (A, B, pre-conditions, post-conditions)."""
    verb = SURE * F.one_hot(torch.tensor([1 if length is None or k < length else 0 for k in range(len(slots))]), 3)
    first, second = (
        SURE * F.one_hot(torch.tensor([objects.index(slot[side]) for slot in slots]), len(objects)) for side in (0, 1)
    )
    sides = [
        torch.tensor([[SURE if label in slot[side] else -SURE for label in conditions] for slot in slots])
        for side in (2, 3)
    ]
    return ProgramLogits(*(each[None, None].float() for each in (verb, first, second, *sides)))


def penalty(*slots, exclusive=(), reach=1, **options):
    chain = ChainConsistency(options.get("conditions", CONDITIONS), OBJECTS, exclusive, reach)
    return float(chain(programs(*slots, **options))) * (len(slots) - 1)  # contradictions


GRASP = ("cup", "none", (), ("holding(right, A)", "not free(right)"))


def test_a_post_condition_that_the_next_slot_needs_costs_nothing():
    assert penalty(GRASP, ("cup", "pan", ("holding(right, A)",), ())) == pytest.approx(0, abs=1e-6)


def test_the_opposite_costs_one_if_both_slots_speak_of_the_same_objects():
    denied = ("not holding(right, A)",)
    assert penalty(GRASP, ("cup", "pan", denied, ())) == pytest.approx(1, abs=1e-6)
    assert penalty(GRASP, ("pan", "cup", denied, ())) == pytest.approx(0, abs=1e-6)
    assert penalty(GRASP, ("pan", "cup", ("free(right)",), ())) == pytest.approx(1, abs=1e-6)
    assert penalty(GRASP, ("pan", "cup", ("free(left)",), ())) == pytest.approx(0, abs=1e-6)


def test_roles_are_renamed_from_slot_to_slot():
    stacked = ("cup", "pan", (), ("on(A, B)",))
    assert penalty(stacked, ("pan", "cup", ("not on(B, A)",), ())) == pytest.approx(1, abs=1e-6)
    assert penalty(stacked, ("pan", "cup", ("not on(A, B)",), ())) == pytest.approx(0, abs=1e-6)
    on_stove = ("cup", "stove", (), ("on(A, B)",))
    assert penalty(on_stove, ("cup", "pan", ("not on(A, stove)",), ())) == pytest.approx(1, abs=1e-6)
    heated = ("cup", "none", (), ("hot(stove)",))
    assert penalty(heated, ("stove", "none", ("not hot(A)",), ())) == pytest.approx(1, abs=1e-6)
    assert penalty(heated, ("pan", "none", ("not hot(A)",), ())) == pytest.approx(0, abs=1e-6)


def test_an_object_that_is_called_like_a_role_is_not_one():
    heated = ("A", "none", (), ("hot(A)",))
    assert penalty(heated, ("cup", "none", ('not hot("A")',), ())) == pytest.approx(1, abs=1e-6)
    assert penalty(("cup", "none", (), ("hot(A)",)), ("cup", "none", ('not hot("A")',), ())) == pytest.approx(
        0, abs=1e-6
    )


def test_none_and_other_are_never_the_same_object():
    for name in ("none", "other"):
        slots = (name, "pan", (), ("holding(right, A)",)), (name, "pan", ("not holding(right, A)",), ())
        assert penalty(*slots) == pytest.approx(0, abs=1e-6)


def test_what_stands_behind_the_end_of_a_program_does_not_count():
    denied = ("cup", "pan", ("not holding(right, A)",), ())
    assert penalty(GRASP, denied, length=1) == pytest.approx(0, abs=1e-6)
    assert penalty(GRASP, denied, length=2) == pytest.approx(1, abs=1e-6)


def test_predicates_that_exclude_each_other_deny_and_support_each_other():
    rule = [("free(hand)", "holding(hand, thing)")]
    needs = ("cup", "pan", ("holding(right, A)",), ())
    freed = ("cup", "none", (), ("free(right)",))
    assert penalty(freed, needs) == pytest.approx(0, abs=1e-6)
    assert penalty(freed, needs, exclusive=rule) == pytest.approx(1, abs=1e-6)
    assert penalty(GRASP, ("pan", "cup", ("free(right)",), ()), exclusive=rule) == pytest.approx(1, abs=1e-6)
    assert penalty(("cup", "none", (), ("free(left)",)), needs, exclusive=rule) == pytest.approx(0, abs=1e-6)
    assert penalty(("cup", "none", (), ("not free(right)",)), needs, exclusive=rule) == pytest.approx(0, abs=1e-6)
    for wrong in (("not free(hand)", "holding(hand, thing)"), ("holding(hand, one)", "holding(hand, two)")):
        with pytest.raises(ValueError, match="exclude each other"):
            ChainConsistency(CONDITIONS, OBJECTS, [wrong])


def test_further_back_a_denied_condition_may_have_been_restored():
    nothing, restored = ("pan", "none", (), ()), ("cup", "none", (), ("not holding(right, A)",))
    needs = ("cup", "pan", ("not holding(right, A)",), ())
    assert penalty(GRASP, nothing, needs, reach=1) == pytest.approx(0, abs=1e-6)
    assert penalty(GRASP, nothing, needs, reach=2) == pytest.approx(1, abs=1e-6)
    assert penalty(GRASP, restored, needs, reach=2) == pytest.approx(0, abs=1e-6)
    assert penalty(GRASP, restored, nothing, needs, reach=9) == pytest.approx(0, abs=1e-6)
    assert penalty(restored, GRASP, nothing, needs, reach=9) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match="reach is 0"):
        ChainConsistency(CONDITIONS, OBJECTS, reach=0)


def test_it_costs_the_probability_of_the_contradiction_and_learning_removes_it():
    logits = programs(GRASP, ("cup", "pan", ("not holding(right, A)",), ()))
    halved = logits._replace(after=logits.after.clone())
    halved.after[0, 0, 0, CONDITIONS.index("holding(right, A)")] = 0.0
    chain = ChainConsistency(CONDITIONS, OBJECTS)
    assert float(chain(halved)) == pytest.approx(0.5, abs=1e-6)
    mixed = [(each / 20).requires_grad_() for each in logits]
    optimizer = torch.optim.Adam(mixed, 0.3)
    costs = []
    for _ in range(40):
        cost = chain(ProgramLogits(*mixed)).sum()
        costs.append(float(cost.detach()))
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
    assert costs[0] > 0.3
    assert costs[-1] < 0.02


def test_a_program_of_one_slot_or_no_conditions_has_no_chain():
    assert torch.equal(ChainConsistency(CONDITIONS, OBJECTS)(programs(GRASP)), torch.zeros(1, 1))
    none = programs(GRASP, GRASP, conditions=())
    assert torch.equal(ChainConsistency((), OBJECTS)(none), torch.zeros(1, 1))


@given(st.data())
def test_labels_are_read_as_the_encoder_writes_them(data):
    names = st.one_of(st.sampled_from(("A", "B", "none", "not", "a, b", "x)", '"A"', "\\")), strategies.names())
    arguments = tuple(data.draw(st.lists(names, max_size=3)))
    condition = Condition(data.draw(names), arguments, data.draw(st.booleans()))
    first, second = data.draw(names), data.draw(names)
    relation = read_relation(text_of(condition, first, second))
    roles = {"A": first, "B": second}
    assert (relation.predicate, relation.holds) == (condition.predicate, condition.holds)
    assert tuple(roles[each.name] if each.is_role else each.name for each in relation.arguments) == arguments


def test_a_label_is_predicate_arguments_and_truth():
    relation = read_relation('not in(A, "frying pan", "B")')
    assert (relation.predicate, relation.holds) == ("in", False)
    assert relation.arguments == (Argument("A", True), Argument("frying pan", False), Argument("B", False))
    for wrong in (
        "",
        "not",
        "hot",
        "hot(",
        "hot(A",
        "hot(A,)",
        "hot(A B)",
        "hot)A(",
        "(A)",
        "not not hot(A)",
        "hot(A);",
        'hot("A)',
    ):
        with pytest.raises(ValueError, match="no condition"):
            read_relation(wrong)


@pytest.fixture(scope="module")
def kitchen():
    """The true programs of 60 videos as sure logits, their labels and classes."""
    known = [evidence(simulate(role), []) for role in cast(7, 60)]
    written = [program for each in known for program in kitchen_programs(each).values()]
    encoder = Encoder.of(written, kitchen_language(), slots=24)
    labels = encoder.encode_all(written)[:]
    assert not labels.truncated.any()
    classes = (encoder.verb_classes, encoder.object_classes, encoder.object_classes)
    sure = [
        SURE * F.one_hot(torch.from_numpy(values), size)
        for values, size in zip((labels.verb, labels.first, labels.second), classes, strict=True)
    ]
    sides = [SURE * (2 * torch.from_numpy(values).float() - 1) for values in (labels.before, labels.after)]
    logits = ProgramLogits(*(each[:, None].float() for each in (*sure, *sides)))
    return logits, encoder.conditions, ("none", "other", *encoder.objects), torch.from_numpy(labels.length)


RULES = [("free(hand)", "holding(hand, thing)")]


@pytest.mark.parametrize(("reach", "every"), [(1, 1), (23, 8)])
def test_all_true_programs_of_the_kitchen_are_consistent_and_shuffled_ones_are_not(kitchen, reach, every):
    logits, conditions, objects, length = kitchen
    logits, length = ProgramLogits(*(each[::every] for each in logits)), length[::every]
    chain = ChainConsistency(conditions, objects, RULES, reach)
    true = chain(logits)
    turned = chain(backwards(logits, length))
    print(json.dumps({"programs": len(true), "reach": reach, "pairs": len(chain.posts), "true, most": float(true.max()),
                      "backwards, mean": float(turned.mean())}))  # fmt: skip
    assert float(true.max()) < 1e-6
    assert float((turned[length > 3] > 0.9 / 23).float().mean()) > 0.9


def backwards(logits, length):
    """The same programs, their sub-actions in the opposite order."""
    slots = torch.arange(logits.verb.shape[2])
    at = torch.where(slots < length[:, None], length[:, None] - 1 - slots, slots)[:, None, :, None]
    return ProgramLogits(*(each.gather(2, at.expand_as(each)) for each in logits))
