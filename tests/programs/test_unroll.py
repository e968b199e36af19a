"""Unrolling: always the same, never more than asked for."""

from itertools import takewhile

import pytest
from hypothesis import given, settings

from leaplan.programs.language import (
    Body,
    Condition,
    ForEach,
    If,
    Program,
    Repeat,
    SubAction,
    While,
)
from leaplan.programs.parse import parse
from leaplan.programs.unroll import ordered, unroll
from tests.programs import checked
from tests.programs.strategies import programs


def calls(text: str, most: int = 16) -> list[str]:
    """Return "verb A B" of the sub-actions of a program with the body `text`."""
    unrolled = unroll(parse(f"program try(cup, pan, door) {{ {text} }}"), most)
    return [f"{each.verb} {each.first} {each.second}".replace(" none", "") for each in unrolled.sub_actions]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("reach(cup) right; grasp(cup) right;", ["reach cup", "grasp cup"]),
        ("repeat 2 { search(cup); inspect(cup); }", ["search cup", "inspect cup"] * 2),
        ("if open(door) { search(cup); } else { search(pan); }", ["search cup"]),
        ("if not open(door) { search(cup); } else { search(pan); }", ["search cup"]),
        ("assume not open(door); if open(door) { search(cup); } else { search(pan); }", ["search pan"]),
        ("assume open(door); if open(door) { search(cup); } else { search(pan); }", ["search cup"]),
        ("assume not open(door); if open(door) { search(cup); } search(door);", ["search door"]),
        ("while open(door) max 3 { search(cup); }", ["search cup"] * 3),
        ("assume not open(door); while open(door) max 3 { search(cup); }", []),
        ("while open(door) max 3 { search(cup) [post: not open(door)]; } search(pan);", ["search cup", "search pan"]),
        ("assume holding(left, cup); if free(left) { search(cup); } else { search(pan); }", ["search pan"]),
        ("grasp(cup) both [post: holding(both, cup)]; if holding(left, pan) { search(cup); }", ["grasp cup"]),
        ("for each x in (cup, pan) { search(x); use(x, door) left; }",
         ["search cup", "use cup door", "search pan", "use pan door"]),
        ("for each x in (cup, pan) { for each y in (x, door) { use(x, y) left; } }",
         ["use cup cup", "use cup door", "use pan pan", "use pan door"]),
        ("for each x in (cup, pan) { if hot(x) { search(x) [post: not hot(cup)]; } else { inspect(x); } }",
         ["search cup", "search pan"]),
        ("assume not hot(pan); for each x in (cup, pan) { while hot(x) max 2 { search(x); } }", ["search cup"] * 2),
    ],
)  # fmt: skip
def test_conditions_are_false_only_where_they_are_known_to_be(text, expected):
    assert calls(text) == expected


def test_variables_are_replaced_in_conditions_too():
    text = "program try(cup) { for each x in (cup) { search(x, x) [pre: on(x, x)] [post: not visible(x)]; } }"
    assert unroll(parse(text)).sub_actions == (
        SubAction("search", "cup", "cup", before=(Condition("on", ("cup", "cup")),),
                  after=(Condition("visible", ("cup",), False),)),
    )  # fmt: skip


def test_conditions_come_out_sorted_and_each_once():
    text = "search(cup) [pre: on(pan, cup), hot(pan), not hot(pan), hot(cup), on(pan, cup)];"
    (action,) = unroll(parse(f"program try(cup, pan) {{ {text} }}")).sub_actions
    assert [str(each) for each in action.before] == ["hot(cup)", "not hot(pan)", "hot(pan)", "on(pan, cup)"]
    assert ordered(action.before) == action.before


def test_sub_actions_beyond_the_slots_are_cut_and_told():
    assert calls("repeat 5 { search(cup); }", most=3) == ["search cup"] * 3
    program = parse("program try(cup) { repeat 5 { search(cup); } }")
    assert [unroll(program, most).truncated for most in (0, 4, 5, 6)] == [True, True, False, False]
    assert unroll(program, 0).sub_actions == ()
    with pytest.raises(ValueError, match="-1"):
        unroll(program, -1)


def nested(depth: int, inner: Body, block=lambda body: Repeat(100, body)) -> Program:
    for _ in range(depth):
        inner = (block(inner),)
    return Program("try", ("cup",), body=inner)


def test_loops_within_loops_cost_no_more_than_what_is_asked_for():
    assert unroll(nested(5, (SubAction("search", "cup"),)), 20).sub_actions == (SubAction("search", "cup"),) * 20


def never(*body: SubAction) -> Body:
    """A body that does nothing, though it is not empty: its condition is known to be false."""
    return (If(Condition("free", ("left",)), body),)


def test_loops_over_nothing_end():
    search = SubAction("search", "cup")
    holding = Condition("holding", ("left", "cup"))
    repeated = nested(10, never(search))
    whole = Program("try", ("cup",), (), (holding,), (*repeated.body, search))
    assert unroll(whole).sub_actions == (search,)
    assert not unroll(whole).truncated
    each = nested(10, never(search), lambda body: ForEach("x", ("cup",) * 100, body))
    given_up = unroll(Program("try", ("cup",), (), (holding,), (*each.body, search)))
    assert given_up.truncated
    assert given_up.sub_actions == ()


def reads_true(condition: Condition, facts: dict[Condition, bool]) -> bool:
    """Read a condition as false only where its opposite is known, and go on from there."""
    true = condition.negated not in facts
    if true:
        facts[condition] = True
    return true


def done(body: Body, facts: dict[Condition, bool]) -> list[SubAction]:
    """Unroll all at once and without the rules about hands: for programs about `open` alone."""
    actions = []
    for statement in body:
        match statement:
            case SubAction():
                actions.append(statement)
                for each in statement.after:
                    facts.pop(each.negated, None)
                    facts[each] = True
            case If(condition, then, otherwise):
                actions += done(then if reads_true(condition, facts) else otherwise, facts)
            case While(condition, most, inner):
                for _ in takewhile(lambda _: reads_true(condition, facts), range(most)):
                    actions += done(inner, facts)
            case Repeat(times, inner):
                actions += [action for _ in range(times) for action in done(inner, facts)]
            case ForEach(variable, objects, inner):
                actions += [one for each in objects for one in done(checked.filled(inner, variable, each), facts)]
    return actions


@settings(max_examples=100, deadline=None)
@given(checked.OPEN_AND_CLOSED)
def test_it_equals_a_plain_reading_of_the_program(program: Program):
    expected = done(program.body, dict.fromkeys(program.assumes, True))
    unrolled = unroll(program, 1000)
    assert [(each.first, set(each.before), set(each.after)) for each in unrolled.sub_actions] == [
        (each.first, set(each.before), set(each.after)) for each in expected
    ]


@settings(max_examples=50, deadline=None)
@given(programs())
def test_fewer_slots_give_the_beginning_of_what_more_slots_give(program: Program):
    whole = unroll(program, 40)
    part = unroll(program, 7)
    assert part.sub_actions == whole.sub_actions[:7]
    assert part.truncated is (len(whole.sub_actions) > 7)
    assert unroll(program, 40) == whole
