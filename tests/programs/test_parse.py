"""Program text to programs: what is read, and what is said about text that cannot be."""

import contextlib
import copy
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaplan.programs.language import (
    LEAP,
    PREDICATES,
    SYNONYMS,
    VERBS,
    Condition,
    ForEach,
    If,
    Program,
    Repeat,
    SubAction,
    While,
    sub_actions,
)
from leaplan.programs.parse import ProgramError, parse, parse_condition
from leaplan.programs.words import DEPTH, STATEMENTS, TEXT, Words
from tests.programs.strategies import ODD

OPEN = """\
program open(door) {   # a comment; with a "mark
  objects handle, "oil bottle";
  assume free(right), not open(door);
  reach(handle) right [pre: free(right)] [post: near(right, handle)];
  while closed(door) max 3 { move(handle, door) right; }
  repeat 2 { hold(handle); }
  if hot(handle) { release(handle) both; } else if full("oil bottle") { search(); } else { inspect(door); }
  for each thing in (handle, "oil bottle") { grasp(thing, none) left [post:holding(left,thing)]; }
}
"""


def fault(text: str, **options) -> ProgramError:
    with pytest.raises(ProgramError) as caught:
        parse(text, **options)
    return caught.value


def wrapped(statement: str) -> str:
    return f"program open(door) {{\n  {statement}\n}}"


def test_every_construct_becomes_the_value_that_it_stands_for():
    free, shut = Condition("free", ("right",)), Condition("open", ("door",), False)
    near = Condition("near", ("right", "handle"))
    assert parse(OPEN) == Program(
        "open",
        ("door",),
        ("handle", "oil bottle"),
        (free, shut),
        (
            SubAction("reach", "handle", "none", "right", (free,), (near,)),
            While(shut, 3, (SubAction("move", "handle", "door", "right"),)),
            Repeat(2, (SubAction("hold", "handle"),)),
            If(
                Condition("hot", ("handle",)),
                (SubAction("release", "handle", "none", "both"),),
                (
                    If(
                        Condition("full", ("oil bottle",)),
                        (SubAction("search"),),
                        (SubAction("inspect", "door"),),
                    ),
                ),
            ),
            ForEach(
                "thing",
                ("handle", "oil bottle"),
                (SubAction("grasp", "thing", "none", "left", (), (Condition("holding", ("left", "thing")),)),),
            ),
        ),
    )


def test_layout_and_comments_do_not_matter():
    bare = re.sub(r"#[^\n]*", "", OPEN)
    assert parse(re.sub(r"\s+", " ", bare)) == parse(OPEN)
    assert parse(re.sub(r"([(){},;\]])", "\t\\1\r\n # note\n", bare)) == parse(OPEN)


@pytest.mark.parametrize(("name", "verb"), SYNONYMS.items())
def test_a_synonym_is_read_as_its_verb_quoted_or_with_underscores(name, verb):
    for written in (f'"{name}"', name.replace(" ", "_"), f'"{name.title()}"'):
        assert parse(wrapped(f"{written}(door);")).body == (SubAction(verb, "door"),)


@pytest.mark.parametrize(
    ("text", "holds"), [("open(x)", True), ("not open(x)", False), ("closed(x)", False), ("not closed(x)", True)]
)
def test_an_opposite_is_read_as_the_negated_predicate(text, holds):
    assert parse_condition(text, Words(LEAP)) == Condition("open", ("x",), holds)


def test_words_of_another_language_that_the_grammar_uses_are_read_in_quotes():
    text = 'program x() { "repeat"(cup) [pre: "not"(cup), not "if"(left, cup), full(cup)]; collect("for"); }'
    first, second = parse(text, ODD).body
    assert first.verb == "repeat"
    assert [str(condition) for condition in first.before] == ["not(cup)", "not if(left, cup)", "not not(cup)"]
    assert second == SubAction("pick up", "for")


def test_a_condition_apart_may_leave_the_quotes_of_long_names_out():
    assert parse_condition("not in(oil bottle, top shelf)", Words(LEAP)).arguments == ("oil bottle", "top shelf")
    assert "double quotes" in str(fault(wrapped("grasp(oil bottle);")))


@pytest.mark.parametrize(
    ("statement", "column", "said"),
    [
        ("reech(door);", 3, 'unknown verb "reech"; did you mean "reach"? Expected one of reach, grasp,'),
        ("reach(door) [pre: fre(left)];", 21, 'unknown predicate "fre"; did you mean "free"?'),
        ("transport(door);", 3, "transport"),
        ("reach(door)", 1, 'expected "left", "right", "both", "[pre:", "[post:" or ";", found "}"'),
        ("reach(door) rigth;", 15, 'found "rigth"'),
        ("reach(door) [before: free(left)];", 15, 'found "["'),
        ("reach(door) [pre: free(left)] [pre: free(left)];", 33, 'a second "[pre:"'),
        ("reach(a, b, c);", 3, "3 arguments"),
        ("reach(door", 1, 'expected "," or ")", found "}"'),
        ("reach(,);", 9, 'expected a name, found ","'),
        ("reach door;", 9, '"(" after "reach"'),
        ("repeat 0 { }", 10, '"repeat" must be from 1 to 100, found "0"'),
        ("repeat 101 { }", 10, "from 1 to 100"),
        ("repeat 99999999999999999999 { }", 10, "from 1 to 100"),
        ("repeat -1 { }", 10, 'a number from 1 to 100 after "repeat"'),
        ('repeat "2" { }', 10, "a number"),
        ("repeat ² { }", 10, "a number"),
        ("while open(door) { }", 20, 'expected "max", found "{"'),
        ("while not not open(door) max 2 { }", 17, '"(" after "not"'),
        ("for x in (a) { }", 7, 'expected "each"'),
        ("if open(door) reach(door);", 17, 'expected "{"'),
        ("else { }", 8, '"(" after "else"'),
        ("hold(x); objects cup;", 20, '"(" after "objects", or a keyword'),
        ('grasp("cup);', 9, "a quoted name that is not closed on its line"),
        (r'grasp("\x");', 9, "an escape that JSON does not know"),
        ('grasp("");', 9, "an empty name"),
        (r'grasp("\u200b");', 9, "the invisible character U+200B"),
        (r'grasp("\ud800");', 9, "the invisible character U+D800"),
        (f"grasp({'x' * 101});", 9, "101 characters; at most 100"),
        ("grasp(d'or);", 10, 'the character "\'", which can stand in a quoted name only'),
        ("grasp(a\x00);", 10, "U+0000"),
        ("__import__('os');", 3, 'unknown verb "__import__"'),
    ],
)
def test_a_fault_has_its_place_and_says_what_was_expected(statement, column, said):
    error = fault(wrapped(statement))
    line = 3 if column == 1 else 2
    assert (error.line, error.column) == (line, column)
    assert said in error.message
    assert str(error).startswith(f"line {line}, column {column}: {error.message}\n")


@pytest.mark.parametrize("text", ["", "  \n", "I'm sorry, I can't do that.", "program", "{}", "open(door) {}"])
def test_prose_is_told_to_begin_with_program(text):
    assert fault(text).line == max(1, text.count("\n") + 1)


def test_text_after_the_program_is_a_fault():
    assert "nothing after the program" in str(fault(f"{OPEN} {OPEN}"))


def test_a_caret_stands_below_the_fault_also_in_a_long_line():
    for padding in (0, 500):
        statement = f"{'hold(door); ' * padding}reech(door); {'hold(door); ' * padding}"
        shown, caret = fault(f"program x(door) {{ {statement} }}"[: TEXT - 1]).excerpt.splitlines()
        assert shown[caret.index("^") :].startswith("reech(door)")
        assert len(shown) < 100


def test_an_excerpt_prints_no_control_characters():
    assert fault('program x() { \x1b[31m"\u202e').excerpt.replace("\n", "").isprintable()


def test_all_unknown_words_are_told_at_once_and_the_first_fault_of_grammar():
    error = fault(wrapped("reech(door); if oppen(door) { repeat 500 { gras(door); } } hold(door"))
    assert [other.message.split(";")[0] for other in (error, *error.others)] == [
        'unknown verb "reech"',
        'unknown predicate "oppen"',
        '"repeat" must be from 1 to 100, found "500"',
        'unknown verb "gras"',
        'expected "," or ")", found "}"',
    ]
    assert all(other.message in str(error) for other in error.others)


def test_thousands_of_faults_are_told_shortly():
    error = fault(wrapped("a(b) [pre: " + "q()," * 15_000))
    assert len(str(error)) < 10_000
    assert "more faults" in str(error)


def test_an_error_survives_the_way_between_processes():
    error = fault(wrapped("reech(door); graps(door);"))
    again = copy.deepcopy(error)  # takes it apart and builds it again, as pickling does
    assert str(again) == str(error)
    assert (again.line, again.column) == (error.line, error.column)


def nested(depth: int) -> str:
    return f"program x() {{ {'repeat 2 { ' * depth}hold(x);{' }' * depth} }}"


def test_blocks_nest_to_the_limit_and_no_deeper():
    assert len(list(sub_actions(parse(nested(DEPTH)).body))) == 1
    assert "deeper than 16" in fault(nested(DEPTH + 1)).message
    chain = "if open(x) { } else " * (DEPTH + 1)
    assert "deeper than 16" in fault(f"program x() {{ {chain} {{ }} }}").message


def test_a_program_has_statements_to_the_limit_and_no_more():
    assert len(parse(f"program x() {{ {'hold(x);' * STATEMENTS} }}").body) == STATEMENTS
    inside = f"repeat 2 {{ {'hold(x);' * STATEMENTS} }}"
    assert "more than 512 statements" in fault(f"program x() {{ {inside} }}").message


@pytest.mark.parametrize(
    "text",
    [
        "x" * 10_000_000,
        OPEN + " " * 10_000_000,
        "{" * 100_000,
        "program x() " + "{" * (TEXT - 20),
        "program x() { " + "repeat 2 {" * 6_000,
        "program x() { " + "if open(x) {} else " * 3_000,
        "program x() { if " + "not " * 16_000,
        "program x() { a(b) " + "[pre:" * 13_000,
        "program x(" + "a," * 30_000,
        "program x(" + "(" * 60_000,
        'program x("' + "\\" * 60_000,
        '"' * TEXT,
        "#" * TEXT,
        " " * TEXT,
    ],
    ids=lambda text: f"{text[:24]!r}",
)
def test_hostile_text_is_a_program_error_with_a_short_message(text):
    assert len(str(fault(text))) < 10_000


@given(st.text(max_size=80))
def test_arbitrary_text_is_refused_with_a_place(text):
    error = fault(text)
    assert 1 <= error.line <= text.count("\n") + 1
    assert error.column >= 1


@given(st.data())
def test_a_program_with_any_one_letter_changed_is_read_or_refused(data):
    at = data.draw(st.integers(0, len(OPEN) - 1))
    text = OPEN[:at] + data.draw(st.characters() | st.just("")) + OPEN[at + 1 :]
    with contextlib.suppress(ProgramError):
        assert isinstance(parse(text), Program)


def test_a_misspelt_synonym_is_guessed_too():
    assert 'did you mean "transport loaded"?' in fault(wrapped('"transport loadet"(door);')).message


# The documentation: its examples are programs, its tables are the language's.


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "programs.md").read_text(encoding="utf-8")


def test_the_examples_of_the_documentation_are_programs(page):
    examples = re.findall(r"^```leap\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(examples) >= 4
    read = [parse(example) for example in examples]
    kinds = {type(statement) for program in read for statement in _all(program.body)}
    assert kinds == {SubAction, Repeat, While, If, ForEach}


def _all(body):
    for statement in body:
        yield statement
        if isinstance(statement, If):
            yield from _all((*statement.then, *statement.otherwise))
        elif not isinstance(statement, SubAction):
            yield from _all(statement.body)


def test_the_tables_of_the_documentation_are_the_languages(page):
    rows = table_rows(page, "Verbs")
    verbs = {row[0].strip("`"): row for row in rows if len(row) == 7}
    assert {name: row[1] for name, row in verbs.items()} == {name: verb.meaning for name, verb in VERBS.items()}
    for name, verb in VERBS.items():
        words = {True: "yes", False: "no", None: "may"}
        assert verbs[name][2:5] == [words[verb.first], words[verb.second], words[verb.hand]]
        for cell, conditions in zip(verbs[name][5:7], (verb.before, verb.after), strict=True):
            assert cell == ", ".join(f"`{condition}`" for condition in conditions)
    assert {row[0].strip("`"): row[1].strip("`") for row in rows if len(row) == 2} == SYNONYMS
    signatures = [f"`{name}({', '.join(kinds)})`" for name, kinds in PREDICATES.items()]
    assert signatures == [row[0] for row in table_rows(page, "Predicates")]


def table_rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the rows that begin with code, in the section of `heading`."""
    section = page.split(f"\n### {heading}\n")[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_objects_of_a_language_are_not_the_parsers_business():
    kitchen = replace(LEAP, objects=("cup",))
    assert parse("program take(spoon) { grasp(fork); }", kitchen).body[0].first == "fork"
