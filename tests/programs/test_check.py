"""The checker: all faults at once, in order; what it lets pass can be done."""

import pytest
from hypothesis import HealthCheck, assume, given, settings

from leaplan.programs.check import KINDS, Fault, check
from leaplan.programs.language import (
    HANDS,
    LEAP,
    Condition,
    ForEach,
    If,
    Language,
    Program,
    Repeat,
    SubAction,
    While,
    sub_actions,
)
from leaplan.programs.parse import parse
from tests.programs import checked
from tests.programs.strategies import programs

FREE = Condition("free", ("right",))
REACH = SubAction("reach", "cup", hand="right", before=(FREE,), after=(Condition("near", ("right", "cup")),))
GRASP = SubAction("grasp", "cup", hand="right", after=(Condition("holding", ("right", "cup")),))
DOOR = """program open(door) {
  objects handle;
  assume free(right), not open(door);
  reach(handle) right [pre: free(right)] [post: near(right, handle)];
  grasp(handle) right [pre: free(right), near(right, handle)] [post: holding(right, handle), not free(right)];
  while not open(door) max 3 { move(handle, door) right [pre: holding(right, handle)] [post: open(door)]; }
  release(handle) right [pre: holding(right, handle)] [post: not holding(right, handle), free(right)];
  reach(handle) right [pre: free(right), open(door)];
}"""


def program(*body, objects=("cup", "pan"), assumes=(FREE,)) -> Program:
    return Program("try", (), objects, assumes, body)


def found(text_or_program, language: Language = LEAP) -> list[tuple[str, str]]:
    whole = text_or_program
    if isinstance(whole, str):
        whole = parse(f"program try(cup, pan) {{ {whole} }}", language)
    return [(fault.kind, fault.where) for fault in check(whole, language)]


def test_a_program_that_can_be_done_has_no_faults():
    assert check(parse(DOOR)) == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([SubAction("juggle", "cup")], [("unknown verb", "body[0].do")]),
        ([SubAction("inspect", "cup", hand="foot")], [("unknown hand", "body[0].hand")]),
        ([SubAction("reach", "cup")], [("missing hand", "body[0].hand")]),
        ([SubAction("inspect")], [("arity", "body[0].a")]),
        ([SubAction("reach", "cup", "pan", "right")], [("arity", "body[0].b")]),
        ([SubAction("assemble", "cup", hand="left")], [("arity", "body[0].b")]),
        ([SubAction("inspect", "spoon")], [("undeclared object", "body[0].a")]),
        ([SubAction("inspect", "left")], [("wrong kind", "body[0].a")]),
        ([SubAction("inspect", "cup", after=(Condition("shiny", ("cup",)),))],
         [("unknown predicate", "body[0].post[0]")]),
        ([SubAction("inspect", "cup", before=(Condition("open", ("cup", "pan")),))], [("arity", "body[0].pre[0]")]),
        ([SubAction("inspect", "cup", after=(Condition("free", ("cup",)),))], [("wrong kind", "body[0].post[0]")]),
        ([SubAction("inspect", "cup", after=(Condition("open", ("left",)),))], [("wrong kind", "body[0].post[0]")]),
        ([SubAction("inspect", "cup", after=(Condition("open", ("none",)),))], [("wrong kind", "body[0].post[0]")]),
        ([], [("empty body", "body")]),
        ([Repeat(2, ())], [("empty body", "body[0].body")]),
        ([If(FREE, ())], [("empty body", "body[0].then")]),
        ([ForEach("x", (), (REACH,))], [("empty body", "body[0].in")]),
        ([ForEach("x", ("lid",), (REACH,))], [("undeclared object", "body[0].in[0]")]),
        ([ForEach("cup", ("pan",), (REACH,))], [("bad name", "body[0].each")]),
        ([ForEach("left", ("pan",), (REACH,))], [("bad name", "body[0].each")]),
        ([Repeat(0, (REACH,))], [("unbounded loop", "body[0].repeat")]),
        ([Repeat(101, (REACH,))], [("unbounded loop", "body[0].repeat")]),
        ([While(FREE, 1000, (REACH,))], [("unbounded loop", "body[0].most")]),
        ([If(Condition("shiny", ("cup",)), (REACH,))], [("unknown predicate", "body[0].if")]),
        ([While(Condition("free", ("cup",)), 2, (REACH,))], [("wrong kind", "body[0].while")]),
    ],
)  # fmt: skip
def test_each_wrong_word_is_told_once_with_its_place(body, expected):
    assert found(program(*body)) == expected


def test_variables_are_objects_inside_their_loop_only():
    action = SubAction("inspect", "x")
    assert found(program(ForEach("x", ("cup",), (action, ForEach("y", ("x", "pan"), (action,)))), action)) == [
        ("undeclared object", "body[1].a")
    ]


@pytest.mark.parametrize("name", ["left", "none", "", " cup", "cup\n", "x" * 101])
def test_names_that_cannot_be_objects_are_refused(name):
    assert ("bad name", "objects[1]") in found(program(REACH, objects=("cup", name)))


def test_objects_must_be_of_the_language_or_other():
    language = Language("small", LEAP.verbs, LEAP.predicates, ("cup", "hand"))
    faults = check(program(REACH, SubAction("inspect", "hand"), objects=("cup", "other", "cupp")), language)
    assert [(fault.kind, fault.where) for fault in faults] == [("unknown object", "objects[2]")]
    assert '"cup"' in faults[0].message


def test_all_faults_are_told_at_once_in_the_order_of_the_program():
    otherwise = SubAction("grasp", "cup", hand="right", before=(Condition("open", ("cup",)),))
    body = [
        If(FREE, (SubAction("reach", "lid", hand="right"),), (otherwise, SubAction("juggle"))),
        Repeat(0, (SubAction("inspect", "cup", before=(Condition("hot", ("cup",)), Condition("full", ("cup",)))),)),
    ]
    assert found(Program("try", ("none",), ("cup",), (Condition("shiny", ("cup",)),), tuple(body))) == [
        ("bad name", "arguments[0]"),
        ("unknown predicate", "assume[0]"),
        ("undeclared object", "body[0].then[0].a"),
        ("unmet pre-condition", "body[0].else[0].pre[0]"),
        ("unknown verb", "body[0].else[1].do"),
        ("unbounded loop", "body[1].repeat"),
        ("unmet pre-condition", "body[1].body[0].pre[0]"),
        ("unmet pre-condition", "body[1].body[0].pre[1]"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grasp(cup) right [pre: near(right, cup)];", ["body[0].pre[0]"]),
        ("assume near(right, cup); grasp(cup) right [pre: near(right, cup)];", []),
        ("assume open(cup); inspect(cup) [pre: not open(cup)];", ["body[0].pre[0]"]),
        ("inspect(cup) [post: open(cup)]; inspect(cup) [pre: open(cup)];", []),
        ("inspect(cup) [pre: open(cup)]; inspect(cup) [pre: open(cup)];", ["body[0].pre[0]"]),
        # if: what both ways agree on; the condition inside
        ("if open(cup) { inspect(cup) [pre: open(cup)]; } else { inspect(cup) [pre: not open(cup)]; }", []),
        ("if open(cup) { inspect(cup) [post: hot(cup)]; } inspect(cup) [pre: hot(cup)];", ["body[1].pre[0]"]),
        ("if open(cup) { inspect(cup) [post: hot(cup)]; } else { inspect(pan) [post: hot(cup)]; }"
         "inspect(cup) [pre: hot(cup)];", []),
        ("if not open(cup) { inspect(cup) [post: open(cup)]; } inspect(cup) [pre: open(cup)];", []),
        ("assume open(cup); if open(cup) { inspect(cup) [post: hot(cup)]; } inspect(cup) [pre: hot(cup)];", []),
        # while: known inside, joined after; the bound may end it
        ("while open(cup) max 2 { inspect(cup) [pre: open(cup)]; }", []),
        ("while open(cup) max 2 { inspect(cup) [post: not open(cup)]; } inspect(cup) [pre: not open(cup)];", []),
        ("while open(cup) max 2 { inspect(pan); } inspect(cup) [pre: not open(cup)];", ["body[1].pre[0]"]),
        ("while open(cup) max 2 { inspect(pan) [post: hot(pan)]; } inspect(pan) [pre: hot(pan)];", ["body[1].pre[0]"]),
        ("assume hot(pan); while open(cup) max 2 { inspect(pan) [pre: hot(pan)] [post: not hot(pan)]; }",
         ["body[0].body[0].pre[0]"]),
        ("assume hot(pan); while open(cup) max 1 { inspect(pan) [pre: hot(pan)] [post: not hot(pan)]; }", []),
        # repeat: every round
        ("assume hot(pan); repeat 2 { inspect(pan) [pre: hot(pan)] [post: not hot(pan)]; }",
         ["body[0].body[0].pre[0]"]),
        ("assume hot(pan); repeat 1 { inspect(pan) [pre: hot(pan)] [post: not hot(pan)]; }", []),
        ("repeat 3 { inspect(pan) [post: hot(pan)]; } inspect(pan) [pre: hot(pan)];", []),
        ("assume free(left); repeat 3 { grasp(cup) left [pre: free(left)] [post: holding(left, cup)];"
         "release(cup) left [pre: holding(left, cup)] [post: free(left)]; }", []),
        # for each
        ("for each x in (cup, pan) { inspect(x) [post: hot(x)]; } inspect(pan) [pre: hot(pan), hot(cup)];", []),
        ("for each x in (cup, pan) { inspect(cup) [pre: hot(x)] [post: hot(pan)]; }", ["body[0].body[0].pre[0]"]),
        # hands
        ("assume free(both); grasp(cup) right [pre: free(right)]; grasp(pan) left [pre: free(left)];", []),
        ("grasp(pan) both [post: holding(both, pan)]; move(pan) left [pre: holding(left, pan)];", []),
        ("grasp(pan) both [post: holding(both, pan)]; move(pan) left [pre: free(left)];", ["body[1].pre[0]"]),
        ("assume not free(left); release(pan) left [post: not holding(left, pan)];"
         "move(cup) left [pre: not free(left)];", ["body[1].pre[0]"]),
        ("assume holding(left, pan); release(pan) left [post: not holding(left, pan)];"
         "reach(cup) left [pre: free(left)];", []),
    ],
)  # fmt: skip
def test_a_pre_condition_must_hold_on_every_way_and_in_every_round(text, expected):
    assert found(text) == [("unmet pre-condition", where) for where in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("assume holding(right, pan); grasp(cup) right [post: holding(right, cup)];", [("full hand", "body[0]")]),
        ("assume holding(both, pan); grasp(cup) right [post: holding(right, cup)];", [("full hand", "body[0]")]),
        ("assume holding(left, pan); grasp(cup) right [post: holding(right, cup)];", []),
        ("assume holding(right, pan); grasp(cup) right [post: holding(right, cup), not holding(right, pan)];", []),
        ("assume holding(right, cup); hold(cup) right [post: holding(right, cup)];", []),
        ("for each x in (cup, pan) { grasp(x) left [post: holding(left, x)]; }", [("full hand", "body[0].body[0]")]),
        ("if hot(cup) { grasp(cup) left [post: holding(left, cup)]; } grasp(pan) left [post: holding(left, pan)];",
         [("full hand", "body[1]")]),
        ("if hot(cup) { grasp(cup) left [post: holding(left, cup)]; } grasp(cup) left [post: holding(left, cup)];", []),
        ("grasp(cup) right [post: holding(right, cup), holding(right, pan)];", [("full hand", "body[0].post[1]")]),
        ("assume free(right), holding(right, cup); inspect(cup);", [("contradiction", "assume[1]")]),
        ("grasp(cup) right [post: holding(right, cup), free(right)];", [("contradiction", "body[0].post[1]")]),
        ("inspect(cup) [post: open(cup), not open(cup)];", [("contradiction", "body[0].post[1]")]),
        ("inspect(cup) [post: not holding(left, cup), holding(left, cup)];", [("contradiction", "body[0].post[1]")]),
        ("inspect(cup) [post: open(cup), open(cup)];", []),
    ],
)  # fmt: skip
def test_a_hand_holds_one_thing_and_lists_do_not_contradict_themselves(text, expected):
    assert found(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grasp(cup) right [pre: near(right, cup)];", ["grasp(cup) right", "reach(cup) right"]),
        ("reach(cup) right; grasp(cup) right [pre: near(right, cup)];", ["reach(cup) right at body[0]"]),
        ("inspect(pan) [post: open(pan)]; inspect(cup) [post: not open(pan)]; inspect(pan) [pre: open(pan)];",
         ["inspect(cup) at body[1] has made false"]),
        ("repeat 2 { grasp(cup) right [pre: not hot(cup)] [post: hot(cup)]; }", ["not hot(cup)"]),
        ("assume hot(pan); repeat 2 { inspect(pan) [pre: hot(pan)] [post: not hot(pan)]; }", ["goes round again"]),
        ("if hot(pan) { inspect(pan) [post: open(pan)]; } inspect(pan) [pre: open(pan)];",
         ["body[0].then[0] does not establish on every way"]),
    ],
)  # fmt: skip
def test_the_message_names_who_should_have_established_it(text, words):
    message = check(parse(f"program try(cup, pan) {{ {text} }}"))[0].message
    assert all(word in message for word in words), message


@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much], deadline=None)
@given(checked.ANY)
def test_whatever_passes_can_be_done_in_every_world_that_fits_its_assumptions(whole: Program):
    assume(not check(whole))
    assert not checked.can_fail(whole)


@settings(max_examples=100, deadline=None)
@given(checked.STRAIGHT)
def test_a_program_without_blocks_is_refused_exactly_if_some_world_fails(whole: Program):
    faults = check(whole)
    taken = [Condition("free", (hand,), False) for hand in HANDS]
    # A hand that is told to be full may hold anything; the worlds here know "something else" only.
    assume(not any(each in taken for action in sub_actions(whole.body) for each in action.after))
    assume(not any(".post[" in each.where or "assume" in each.where or each.kind == "contradiction" for each in faults))
    assert bool(faults) == checked.can_fail(whole)


@settings(max_examples=30, deadline=None)
@given(programs())
def test_faults_are_of_known_kinds_told_once_and_the_same_each_time(whole: Program):
    faults = check(whole)
    assert {fault.kind for fault in faults} <= {*KINDS}
    assert len({(fault.kind, fault.where) for fault in faults}) == len(faults)
    assert check(whole) == faults


def nested(depth: int, inner=REACH, block=lambda body: Repeat(100, body)):
    body = (inner,)
    for _ in range(depth):
        body = (block(body),)
    return program(*body)


def test_recursion_bombs_are_refused_quickly():
    assert found(nested(5000)) == [("too deep", "body[0]" + ".body[0]" * 16 + ".body")]
    assert found(program(*[REACH] * 513)) == [("too large", "body[512]")]


def test_loops_that_would_be_gone_through_for_ever_are_told_and_left():
    things = tuple(f"cup {number}" for number in range(15))
    heat = SubAction("inspect", "cup 0", after=tuple(Condition("hot", (thing,)) for thing in things))
    body = (SubAction("inspect", "cup 0"),)
    for thing in things:
        body = (Repeat(9, (heat, *body, SubAction("inspect", thing, after=(Condition("hot", (thing,), False),)))),)
    assert found(Program("try", (), things, (), body)) == [("too large", "body")]


def test_loops_as_deep_as_allowed_are_checked():
    assert found(nested(16, REACH)) == []


def test_long_lists_are_refused():
    many = tuple(f"cup {number}" for number in range(129))
    assert ("too large", "objects") in found(program(SubAction("inspect", "cup 1"), objects=many))


def test_a_fault_reads_as_one_line():
    assert str(Fault("arity", '"reach" needs A', "body[0].a")) == 'body[0].a: arity: "reach" needs A'
