"""Programs from rules: every verb, every noun, every real row, and what narrations say about roles."""

import csv

import pytest

from leaplan.programs.check import check
from leaplan.programs.completion import Contradiction, assumptions, complete
from leaplan.programs.epic_clips import clips_in
from leaplan.programs.evidence import Clip, Contact
from leaplan.programs.language import (
    LEAP,
    Condition,
    ForEach,
    Program,
    Repeat,
    SubAction,
    While,
    sub_actions,
    usual_conditions,
)
from leaplan.programs.parse import parse
from leaplan.programs.render import to_text
from leaplan.programs.roles import read_roles
from leaplan.programs.rules import Rules, Unsupported, main_hand
from leaplan.programs.templates import TEMPLATES
from leaplan.programs.unroll import unroll
from leaplan.programs.vocabulary import epic_language


def words(text: str) -> list[str]:
    return text.split()


#: A small vocabulary in EPIC's own form: id, key, instances, category.
VERBS = {
    "take": "take pick-up", "put": "put put-down", "wash": "wash rinse", "open": "open", "cut": "cut chop",
    "mix": "mix stir", "insert": "insert put-in", "pour": "pour", "close": "close",
    "turn-on": "turn-on", "look": "look",
}  # fmt: skip
NOUNS = words(
    "tap spoon plate cupboard knife pan lid bowl drawer sponge hand fridge onion tomato potato board:chopping sink top"
    " water oil pot bin cloth cup floor liquid:washing bottle cap skin colander wrap:plastic"
)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    for name, classes in (("verbs", VERBS), ("nouns", dict.fromkeys(NOUNS, ""))):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("id", "key", "instances", "category"))
            writer.writerows(
                (n, key, repr([key, *more.split()]), "some") for n, (key, more) in enumerate(classes.items())
            )
    return epic_language(folder / "verbs", folder / "nouns")


@pytest.fixture(scope="module")
def rules(vocabulary):
    return Rules(vocabulary)


def clip(narration: str, verb: str, noun: str, *nouns: str) -> Clip:
    return Clip("v_0", "v", 10.0, 12.0, narration, verb, noun, (noun, *nouns) if noun else nouns)


def triples(program: Program) -> list[tuple[str, str, str]]:
    return [(each.verb, each.first, each.second) for each in unroll(program, 64).sub_actions]


def test_put_knife_in_drawer_ends_with_the_knife_in_the_open_drawer(rules):
    program = rules.program_for(clip("put knife in drawer", "put", "knife", "drawer"))
    assert triples(program)[-2:] == [("move", "knife", "drawer"), ("release", "knife", "drawer")]
    last = list(sub_actions(program.body))[-1]
    assert Condition("in", ("knife", "drawer")) in last.after
    assert program.assumes == (Condition("free", ("left",)), Condition("holding", ("right", "knife")))


def test_put_plate_on_top_lies_on_it(rules):
    program = rules.program_for(clip("put plate on top", "put", "plate", "top"))
    assert Condition("on", ("plate", "top")) in list(sub_actions(program.body))[-1].after


def test_a_narrated_tool_replaces_the_usual_one(rules):
    usual = rules.program_for(clip("mix onion", "mix", "onion"))
    told = rules.program_for(clip("mix onion with knife", "mix", "onion", "knife"))
    assert {each[1] for each in triples(usual) if each[0] == "use"} == {"spoon"}
    assert {each[1] for each in triples(told) if each[0] == "use"} == {"knife"}


def test_cut_repeats_and_leaves_the_thing_cut(rules):
    program = rules.program_for(clip("chop onion", "cut", "onion"))
    assert [each.times for each in program.body if isinstance(each, Repeat)] == [6]
    assert any(Condition("cut", ("onion",)) in each.after for each in sub_actions(program.body))


def test_washing_goes_on_while_not_clean_and_rinsing_needs_no_sponge(rules):
    wash = rules.program_for(clip("wash plate", "wash", "plate"))
    rinse = rules.program_for(clip("rinse plate", "wash", "plate"))
    for program in (wash, rinse):
        loops = [each for each in program.body if isinstance(each, While)]
        assert loops[0].condition == Condition("clean", ("plate",), False)
    assert "sponge" in wash.objects
    assert "sponge" not in rinse.objects


def test_several_things_are_each_done_in_turn_and_taken_with_both_hands(rules):
    take = rules.program_for(clip("take knife and spoon", "take", "knife", "spoon"))
    for narration, verb in (("wash tomato and potato", "wash"), ("put tomato and potato in pan", "insert")):
        program = rules.program_for(clip(narration, verb, "tomato", "potato", "pan"))
        loop = program.body[-1]
        assert program.arguments == ("tomato", "potato")
        assert isinstance(loop, ForEach)
        assert loop.objects == ("tomato", "potato")
    assert {(each.first, each.hand) for each in sub_actions(take.body)} == {("knife", "right"), ("spoon", "left")}


def test_another_action_after_and_is_left_out(rules):
    program = rules.program_for(clip("open drawer and take spoon", "open", "drawer", "spoon"))
    assert program.arguments == ("drawer",)
    assert {each.first for each in sub_actions(program.body)} == {"drawer"}


def test_the_left_hand_works_where_contacts_say_so(rules):
    seen = (Contact("left", "knife", 10.2, 11.8), Contact("right", "", 11.0, 12.0))
    right = rules.program_for(clip("take knife", "take", "knife"))
    left = rules.program_for(clip("take knife", "take", "knife"), seen)
    assert {each.hand for each in sub_actions(right.body)} == {"right"}
    assert {each.hand for each in sub_actions(left.body)} == {"left"}
    assert left.assumes == (Condition("free", ("left",)),)


@pytest.mark.parametrize(
    ("contacts", "hand"),
    [
        ((), "right"),
        ((Contact("left", "", 0.0, 5.0),), "right"),  # outside the clip
        ((Contact("left", "", 10.0, 11.0), Contact("right", "", 10.0, 10.5)), "left"),
        ((Contact("left", "", 10.0, 12.0), Contact("right", "cup", 11.0, 11.5)), "right"),  # the thing itself counts
        ((Contact("left", "cup", 10.0, 11.0), Contact("right", "cup", 10.0, 11.0)), "right"),
    ],
)
def test_the_working_hand(contacts, hand):
    assert main_hand(contacts, clip("", "take", "cup"), "cup") == hand


@pytest.mark.parametrize(
    ("narration", "thing", "expected"),
    [
        ("take lid off pan", "lid", {"source": "pan"}),
        ("take spoon out of drawer", "spoon", {"source": "drawer"}),
        ("pour water from bottle into cup", "water", {"source": "bottle", "to": "cup"}),
        ("put down plate", "plate", {}),
        ("turn on tap", "tap", {}),
        ("cut onion with knife on board:chopping", "onion", {"tool": "knife", "to": "board:chopping"}),
        ("put down onion and potato", "onion", {"also": ("potato",)}),
        ("put onion and potato in pan", "onion", {"also": ("potato",), "to": "pan"}),
        ("mix onion with hand", "onion", {}),
        ("cut onion into pot and pan", "onion", {"to": "pot"}),
        ("", "onion", {}),
        ("&&, and and with", "onion", {}),
    ],
)
def test_prepositions_give_nouns_their_roles(narration, thing, expected):
    roles = read_roles(narration, "do", thing, (thing,), lambda text: text if text in NOUNS else None)
    found = {"also": roles.also, "to": roles.to, "source": roles.source, "tool": roles.tool}
    assert {name: value for name, value in found.items() if value} == expected


def test_a_phrase_that_no_vocabulary_knows_takes_the_annotated_noun():
    roles = read_roles("put onion in thingummy", "put", "onion", ("onion", "pan"), {"onion": "onion"}.get)
    assert roles.to == "pan"


@pytest.mark.parametrize(
    ("verb", "noun", "narration", "reason"),
    [
        ("", "", "", "no verb class"),
        ("", "", "mmh xyzzy", "begins with no known verb"),
        ("juggle", "plate", "juggle plate", 'no template for the verb "juggle"'),
        ("take", "", "take", 'no noun: nothing to "take"'),
        ("take", "unicorn", "take unicorn", 'the noun "unicorn" is no object'),
    ],
)
def test_a_clip_without_what_a_program_needs_is_told_why(rules, verb, noun, narration, reason):
    with pytest.raises(Unsupported, match=reason):
        rules.program_for(clip(narration, verb, noun))


def test_a_verb_that_is_only_narrated_is_enough(rules):
    program = rules.program_for(clip("pick up plate", "", "plate"))
    assert program == rules.program_for(clip("pick up plate", "take", "plate"))


def test_a_template_that_cannot_be_filled_is_told_and_not_replaced_by_an_empty_program(vocabulary):
    only = [each for each in TEMPLATES if each.verbs == ("turn-on",) and "tap" in each.nouns]
    with pytest.raises(Unsupported, match='no template of "turn-on" fits "plate"'):
        Rules(vocabulary, only).program_for(clip("turn on plate", "turn-on", "plate"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda each: "/".join(each.verbs))
def test_every_template_can_be_completed_and_checked_with_its_own_role_names(template):
    program = complete(Program("do", body=parse(f"program do() {{ {template.text} }}").body))
    assert check(program, LEAP) == []
    assert program.body


def test_assumptions_are_what_is_needed_and_not_made():
    body = parse("program p() { reach(cup) right; grasp(cup) right; move(cup, top) right [pre: clean(top)]; }").body
    program = complete(Program("p", ("cup",), body=body))
    assert program.assumes == (Condition("free", ("right",)), Condition("clean", ("top",)))
    assert program.objects == ("top",)
    grasp = list(sub_actions(program.body))[1]
    assert (grasp.before, grasp.after) == usual_conditions(LEAP.verbs["grasp"], "cup", "none", "right")


def test_a_need_that_only_one_branch_meets_is_a_contradiction_unless_assumed_first():
    text = "program p() { if open(bin) { release(cup) right; } release(cup) right; }"
    with pytest.raises(Contradiction, match="holding"):
        complete(parse(text))
    with pytest.raises(Contradiction, match="free"):
        assumptions((SubAction("grasp", "cup", before=(Condition("free", ("right",)),),
                               after=(Condition("free", ("right",), False),)),) * 2)  # fmt: skip


def epic(shared):
    folder = shared / "data" / "epic100"
    return epic_language(folder / "EPIC_100_verb_classes.csv", folder / "EPIC_100_noun_classes.csv")


def test_every_verb_class_of_epic_has_templates_and_their_words_are_epics(shared):
    vocabulary = epic(shared)
    with (shared / "data" / "epic100" / "EPIC_100_verb_classes.csv").open(newline="", encoding="utf-8") as file:
        verbs = {row["key"] for row in csv.DictReader(file)}
    assert set(Rules(vocabulary).verbs) == verbs
    assert len(verbs) == 97
    named = {noun for each in TEMPLATES for noun in (*each.nouns, *each.tools, each.to, each.source) if noun}
    assert named <= set(vocabulary.language.objects)


@pytest.mark.slow
def test_every_verb_with_a_fifth_of_all_nouns_gives_programs_without_faults(shared):
    vocabulary = epic(shared)
    rules, nouns = Rules(vocabulary), list(vocabulary.language.objects)
    for number, verb in enumerate(rules.verbs):
        for noun in nouns[number % 5 :: 5]:
            program = rules.program_for(clip("", verb, noun))
            assert program.body
            assert check(program, vocabulary.language) == []


@pytest.mark.slow
def test_rows_with_a_narration_are_covered_better_than_leap_covers_them(shared):
    rules = Rules(epic(shared))
    clips = [each for each in clips_in(shared / "data") if each.narration]
    assert len(clips) > 60_000
    made, refused = 0, []
    for each in clips:
        try:
            program = rules.program_for(each)
        except Unsupported as error:
            refused.append(error.reason)
            continue
        made += 1
        assert next(sub_actions(program.body), None) is not None
    print(f"{made} of {len(clips)} rows with a narration have a program")
    assert made / len(clips) >= 0.87
    assert all(refused)


@pytest.mark.slow
def test_programs_of_real_rows_survive_their_text_form(shared):
    vocabulary = epic(shared)
    rules = Rules(vocabulary)
    for each in clips_in(shared / "data", ("val",))[::17]:
        program = rules.program_for(each)
        assert parse(to_text(program), vocabulary.language) == program
