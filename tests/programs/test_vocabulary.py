"""EPIC's classes and the synthetic kitchen's files as words and programs."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from leaplan.data.kitchen.cast import cast
from leaplan.data.kitchen.evidence import evidence, vocabulary
from leaplan.data.kitchen.simulate import simulate
from leaplan.errors import DataError, ProblemList
from leaplan.programs.check import check
from leaplan.programs.encode import Encoder
from leaplan.programs.kitchen import kitchen_language, kitchen_program, kitchen_programs
from leaplan.programs.language import LEAP, Condition, SubAction, sub_actions
from leaplan.programs.unroll import unroll
from leaplan.programs.vocabulary import EpicVocabulary, epic_language, list_of, read_classes

VERBS = """id,key,instances,category
0,take,"['take', 'grab', 'pick-up', 'take-from']",retrieve
1,put,"['put', 'put-down', 'put-on']",leave
2,turn-on,"['turn-on', 'switch-on']",access
3,turn,['turn'],other
4,stir,"['stir', ""mix""]",merge
"""
NOUNS = """id,key,instances,category
0,board:chopping,"['board:chopping', 'board:cutting']",cookware
1,phone,"['phone', 'phone:mobile']",other
2,bread,"['bread', 'slice:bread']",food
3,hand,['hand'],other
4,knife,['knife'],cutlery
5,cutlery,"['cutlery', 'fork:knife']",cutlery
6,glass,"['glass', 'glass:wine']",crockery
7,leaf,['leaf'],food
8,tomato,"['tomato', 'tomato:cherry']",food
"""


def write(folder: Path, text: str, name: str = "classes.csv") -> Path:
    path = folder / name
    path.write_bytes(text.replace("\n", "\r\n").encode())
    return path


@pytest.fixture(scope="module")
def epic(tmp_path_factory) -> EpicVocabulary:
    folder = tmp_path_factory.mktemp("epic")
    return epic_language(write(folder, VERBS, "verbs.csv"), write(folder, NOUNS, "nouns.csv"))


def test_the_language_has_the_noun_keys_and_the_hand_as_objects(epic):
    assert epic.verbs.keys == ("take", "put", "turn-on", "turn", "stir")
    assert epic.language.objects == epic.nouns.keys
    assert epic.language.verbs == LEAP.verbs
    assert (epic.noun_category("leaf"), epic.verb_category("stir"), epic.noun_category("x")) == ("food", "merge", "")


def test_a_hand_is_added_where_the_nouns_have_none(tmp_path):
    nouns = write(tmp_path, "id,key,instances,category\n0,cup,['cup'],crockery\n", "nouns.csv")
    assert epic_language(write(tmp_path, VERBS), nouns).language.objects == ("cup", "hand")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("board:chopping", "board:chopping"),
        ("the cutting boards", "board:chopping"),
        ("Mobile phone!", "phone"),
        ("slices of bread", "bread"),
        ("a fork and knives", "knife"),
        ("fork knife", "cutlery"),
        ("my wine glasses", "glass"),
        ("leaves", "leaf"),
        ("two cherry tomatoes", "tomato"),
        ("very big dirty knife", "knife"),
        ("piece of tomato", "tomato"),
        ("HANDS", "hand"),
        ("unicorn", None),
        ("", None),
        ("the", None),
        ("of of of", None),
        ("knife " * 100_000, "knife"),
    ],
)
def test_open_text_is_mapped_to_noun_keys(epic, text, key):
    assert epic.noun_of(text) == key
    assert epic.object_of(text) == (key or "other")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("take", "take"),
        ("pick-up", "take"),
        ("pick up the cup", "take"),
        ("picks the cup up", "take"),
        ("picking up cup", "take"),
        ("Grabbed cup", "take"),
        ("took cup", "take"),
        ("putting the pan down", "put"),
        ("turn the tap on", "turn-on"),
        ("turn the tap", "turn"),
        ("still stirring", "stir"),
        ("mix", "stir"),
        ("the cup", None),
        ("", None),
    ],
)
def test_open_text_is_mapped_to_verb_keys(epic, text, key):
    assert epic.verb_of(text) == key


def test_gzipped_files_with_a_byte_order_mark_are_read_the_same(tmp_path):
    path = tmp_path / "classes.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + VERBS.encode()))
    assert read_classes(path) == read_classes(write(tmp_path, VERBS))


def test_all_malformed_rows_are_told_at_once(tmp_path):
    rows = "id,key,instances,category\n0,tap,['tap'],x\n2,tap,tap,x\n2, lid,['lid'],x\n3,pan\n"
    with pytest.raises(ProblemList) as error:
        read_classes(write(tmp_path, rows))
    assert error.value.problems == (
        "line 3: id '2', expected 1",
        "line 3: 'tap' is no list of strings such as ['tap', 'tap:water']",
        "line 4: key ' lid' is empty or has white space to spare",
        "line 5: 2 columns, expected 4",
        'the key "tap" stands for several classes',
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id,name\n", "line 1: expected id,key,instances,category"),
        (b"", "line 1"),
        (b"id,key,instances,category\n", "no classes"),
        (b"id,key,instances,category\n0,tap,\"['tap", "line 2"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_damaged_files_are_refused_with_their_place(tmp_path, content, words):
    path = tmp_path / "classes.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match="classes") as error:
        read_classes(path)
    assert words in str(error.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_classes(tmp_path / "classes.csv")


def test_lists_are_read_without_being_evaluated():
    assert list_of("['tap', \"it's\", 'a\\'b', ]") == ("tap", "it's", "a'b")
    assert list_of(" [ ] ") == ()
    for text in ("[__import__('os')]", "['a' 'b']", "['a'] + ['b']", "[" * 50_000, "['" + "\\" * 50_000, "x", "[1]"):
        with pytest.raises(ValueError, match="no list of strings"):
            list_of(text)
    with pytest.raises(ValueError, match="at most"):
        list_of("['a']" + " " * 300_000)


def test_the_official_files_have_97_verbs_and_300_nouns_and_know_their_own_instances(shared):
    folder = shared / "data" / "epic100"
    epic = epic_language(folder / "EPIC_100_verb_classes.csv", folder / "EPIC_100_noun_classes.csv")
    assert (len(epic.verbs.keys), len(epic.language.objects)) == (97, 300)
    for classes, key_of in ((epic.nouns, epic.noun_of), (epic.verbs, epic.verb_of)):
        pairs = [
            (key, instance)
            for key, instances in zip(classes.keys, classes.instances, strict=True)
            for instance in instances
        ]
        wrong = [(key, instance) for key, instance in pairs if key_of(instance) != key]
        assert len(wrong) < 0.01 * len(pairs), wrong


# The synthetic kitchen.


@pytest.fixture(scope="module")
def kitchen():
    """The evidence of twelve videos."""
    return [evidence(simulate(role), ()) for role in cast(7, 12)]


def test_true_programs_of_the_kitchen_have_no_faults(kitchen):
    language = kitchen_language(vocabulary())
    faults = [
        fault for video in kitchen for each in kitchen_programs(video).values() for fault in check(each, language)
    ]
    assert faults == []


def test_an_assumption_that_is_taken_away_is_missed(kitchen):
    """What is assumed is needed: each assumption less is a fault."""
    language = kitchen_language(vocabulary())
    for program in list(kitchen_programs(kitchen[0]).values())[:4]:
        for index in range(len(program.assumes)):
            assumes = program.assumes[:index] + program.assumes[index + 1 :]
            less = type(program)(program.verb, program.arguments, program.objects, assumes, program.body)
            assert {fault.kind for fault in check(less, language)} == {"unmet pre-condition"}


def test_encoded_programs_of_the_kitchen_give_the_unrolled_sub_actions_back(kitchen):
    programs = [each for video in kitchen for each in kitchen_programs(video).values()]
    encoder = Encoder.of(programs, kitchen_language(vocabulary()))
    table = encoder.encode_all(programs)
    assert not np.any([table.dropped, table.others, table.truncated])
    for index, program in enumerate(programs):
        decoded = encoder.decode(table[index])
        assert decoded == unroll(program, encoder.slots).sub_actions
        assert list(map(as_sets, decoded)) == list(map(as_sets, sub_actions(program.body)))


def as_sets(action: SubAction) -> tuple[object, ...]:
    return action.verb, action.first, action.second, action.hand, set(action.before), set(action.after)


def test_the_kitchens_language_is_the_same_by_default_as_from_its_files():
    assert kitchen_language() == kitchen_language(vocabulary())
    language = kitchen_language()
    assert language.predicates["holding"] == ("hand", "object")
    assert language.predicates["free"] == ("hand",)
    assert language.predicates["in"] == ("object", "object")


def test_usual_conditions_of_the_kitchens_verbs_are_among_the_true_ones(kitchen):
    """Whatever the language says of a verb holds for each true sub-action of it."""
    language = kitchen_language()
    for video in kitchen:
        for program in kitchen_programs(video).values():
            for action in sub_actions(program.body):
                names = {"A": action.first, "B": action.second, "hand": action.hand}
                usual = [
                    Condition(each.predicate, tuple(names.get(name, name) for name in each.arguments), each.holds)
                    for each in language.verbs[action.verb].before
                ]
                assert set(usual) <= set(action.before), action


def test_what_holds_before_a_segment_is_assumed_as_far_as_it_is_needed():
    entry = {
        "segment": "P01_1_00",
        "step": 3,
        "sub_actions": [
            {"verb": "reach", "first": "egg 1", "second": "none", "hand": "right", "before": ["free(right)"],
             "after": ["near(right, egg 1)"]},
            {"verb": "grasp", "first": "egg 1", "second": "none", "hand": "right",
             "before": ["free(right)", "near(right, egg 1)", "not open(egg 1)"], "after": ["holding(right, egg 1)"]},
        ],
    }  # fmt: skip
    program = kitchen_program(entry, ["free(right)", "free(left)", "on(egg 1, table)"], "take")
    assert (program.verb, program.objects) == ("take", ("egg 1",))
    assert program.assumes == (Condition("free", ("right",)), Condition("open", ("egg 1",), False))
    assert kitchen_program(entry, []).verb == "step 3"
    assert kitchen_program(entry, []).assumes == (Condition("open", ("egg 1",), False),)


def test_entries_that_are_malformed_are_told():
    with pytest.raises(DataError, match='"sub_actions" is missing'):
        kitchen_program({"segment": "x", "step": 1}, [])
    with pytest.raises(DataError, match="no condition"):
        kitchen_program({"segment": "x", "step": 1, "sub_actions": []}, ["on(egg"])
    with pytest.raises(DataError, match="sub_action_verbs"):
        kitchen_language({"predicates": {}})
