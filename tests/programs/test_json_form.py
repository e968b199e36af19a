"""Programs to JSON and back, the schema, and answers of language models."""

import contextlib
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaplan.programs.json_form import dumps, from_json, loads, schema, to_json
from leaplan.programs.language import LEAP, Condition, ForEach, If, Program, Repeat, SubAction, While
from leaplan.programs.parse import ProgramError, parse
from leaplan.programs.words import DEPTH, STATEMENTS
from tests.programs.strategies import ODD, programs

STRICT = {
    "type", "properties", "required", "additionalProperties", "items", "enum", "anyOf", "$ref", "$defs", "description",
    "pattern", "minimum", "maximum",
}  # fmt: skip
OPEN = parse("""
program open(door) {
  assume free(right);
  grasp(door) right [pre: free(right)] [post: holding(right, door), not free(right)];
  while not open(door) max 3 { move(door) right; }
  if hot(door) { release(door) right; }
  repeat 2 { for each x in (door, "oil bottle") { inspect(x); } }
}""")
JSON = {
    "program": "open",
    "arguments": ["door"],
    "objects": [],
    "assume": ["free(right)"],
    "body": [
        {
            "do": "grasp", "a": "door", "b": "none", "hand": "right",
            "pre": ["free(right)"], "post": ["holding(right, door)", "not free(right)"],
        },
        {
            "while": "not open(door)", "most": 3,
            "body": [{"do": "move", "a": "door", "b": "none", "hand": "right", "pre": [], "post": []}],
        },
        {
            "if": "hot(door)", "else": [],
            "then": [{"do": "release", "a": "door", "b": "none", "hand": "right", "pre": [], "post": []}],
        },
        {
            "repeat": 2,
            "body": [{
                "each": "x", "in": ["door", "oil bottle"],
                "body": [{"do": "inspect", "a": "x", "b": "none", "hand": "none", "pre": [], "post": []}],
            }],
        },
    ],
}  # fmt: skip


def fault(value, language=LEAP) -> ProgramError:
    with pytest.raises(ProgramError) as caught:
        loads(value, language) if isinstance(value, str) else from_json(value, language)
    return caught.value


def with_body(*statements) -> dict:
    return {"program": "open", "body": list(statements)}


def violations(value, part: dict, whole: dict, path: str = "") -> list[str]:
    """Check `value` against the part of JSON Schema that we use: an independent, small validator."""
    if "$ref" in part:
        return violations(value, whole["$defs"][part["$ref"].removeprefix("#/$defs/")], whole, path)
    if "anyOf" in part:
        found = [violations(value, choice, whole, path) for choice in part["anyOf"]]
        return [] if any(not each for each in found) else [f"{path}: none of {found}"]
    kinds = {"object": dict, "array": list, "string": str, "integer": int}
    if type(value) is not kinds[part["type"]]:
        return [f"{path}: no {part['type']}"]
    if isinstance(value, list):
        return [each for item in value for each in violations(item, part["items"], whole, f"{path}[]")]
    if isinstance(value, dict):
        keys = [] if sorted(value) == sorted(part["required"]) else [f"{path}: keys {sorted(value)}"]
        known = [key for key in value if key in part["properties"]]
        return keys + [e for k in known for e in violations(value[k], part["properties"][k], whole, f"{path}.{k}")]
    wrong = "enum" in part and value not in part["enum"]
    wrong |= "pattern" in part and not re.search(part["pattern"], value)
    wrong |= "minimum" in part and not part["minimum"] <= value <= part["maximum"]
    return [f"{path}: {value!r}"] if wrong else []


def validate(value, language) -> list[str]:
    """Return what the schema of `language` has against `value`, by `jsonschema` where it is installed as well."""
    whole = schema(language)
    found = violations(value, whole, whole)
    try:
        import jsonschema
    except ImportError:
        return found
    assert bool(found) == bool(list(jsonschema.Draft202012Validator(whole).iter_errors(value)))
    return found


def test_the_json_form_is_as_documented():
    assert to_json(OPEN) == JSON
    assert from_json(JSON) == OPEN


@pytest.mark.parametrize("language", [LEAP, ODD], ids=lambda language: language.name)
@settings(max_examples=40)
@given(data=st.data())
def test_json_is_read_back_as_the_same_program_and_fits_the_schema(language, data):
    program = data.draw(programs(language))
    written = json.loads(json.dumps(to_json(program)))
    assert from_json(written, language) == program
    assert loads(dumps(program), language) == program
    assert validate(written, language) == []


def test_what_may_be_left_out_is_read_as_empty():
    bare = {"program": "open", "body": [{"do": "hold", "a": "door"}, {"if": "open(door)", "then": []}]}
    assert from_json(bare) == Program("open", body=(SubAction("hold", "door"), If(Condition("open", ("door",)), ())))
    nulls = with_body({"do": "hold", "a": "door", "b": None, "hand": None, "pre": None, "post": None})
    assert from_json(nulls).body == (SubAction("hold", "door"),)


def test_words_are_mapped_as_in_the_text_form():
    statement = {"do": "Transport Loaded", "a": " oil \n bottle ", "pre": ["closed(oil bottle)", "not closed(door)"]}
    before = (Condition("open", ("oil bottle",), False), Condition("open", ("door",)))
    assert from_json(with_body(statement)).body == (SubAction("move", "oil bottle", before=before),)


# The schema.


def parts(part):
    """Yield all schemas within `part`, itself included."""
    yield part
    for key in ("properties", "$defs"):
        for inner in part.get(key, {}).values():
            yield from parts(inner)
    for inner in [*part.get("anyOf", []), *([part["items"]] if "items" in part else [])]:
        yield from parts(inner)


@pytest.mark.parametrize("language", [LEAP, ODD, replace(LEAP, objects=tuple(f"thing {i}" for i in range(300)))])
def test_the_schema_keeps_to_what_strict_structured_outputs_accept(language):
    whole = schema(language)
    assert json.loads(json.dumps(whole)) == whole
    assert whole["type"] == "object"
    assert "anyOf" not in whole
    found = list(parts(whole))
    for part in found:
        assert set(part) <= STRICT
        assert "$ref" not in part or set(part) == {"$ref"}
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])
    assert {part["$ref"].removeprefix("#/$defs/") for part in found if "$ref" in part} == set(whole["$defs"])
    assert sum(len(part.get("enum", ())) for part in found) <= 1000
    kinds = [
        next(iter(whole["$defs"][each["$ref"][8:]]["properties"])) for each in whole["$defs"]["statement"]["anyOf"]
    ]
    assert len(set(kinds)) == 5  # alternatives must not share their first key


def test_the_schema_lists_the_words_of_the_language():
    kinds = schema(LEAP)["$defs"]
    assert kinds["do"]["properties"]["do"]["enum"] == list(LEAP.verbs)
    assert kinds["do"]["properties"]["hand"]["enum"] == ["left", "right", "both", "none"]
    pattern = re.compile(kinds["condition"]["pattern"])
    assert all(pattern.search(f"{negation}{name}(x)") for name in LEAP.predicates for negation in ("", "not "))
    assert not [
        text for text in ("opened(x)", "not not open(x)", "open", "x open(x)", "open(x) y") if pattern.search(text)
    ]
    assert kinds["declared"] == {"type": "string"}
    assert schema(replace(LEAP, objects=("cup",)))["$defs"]["declared"]["enum"] == ["cup", "other"]


def test_the_schema_without_bounds_has_no_patterns_and_limits():
    assert not [part for part in parts(schema(LEAP, bounds=False)) if {"pattern", "minimum", "maximum"} & set(part)]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("body", 0, "do"), "grab"),
        (("body", 0, "hand"), "third"),
        (("body", 0, "pre", 0), "gone(right)"),
        (("body", 0, "pre", 0), "free"),
        (("body", 1, "most"), 0),
        (("body", 1, "most"), 101),
        (("body", 1, "most"), "3"),
        (("body", 1, "most"), 3.5),
        (("body", 1, "most"), True),
        (("body", 2, "then", 0), {}),
        (("body", 3, "body", 0, "in"), "door"),
        (("body", 3), []),
        (("body",), {}),
        (("assume", 0), 1),
        (("program",), None),
        (("extra",), 1),
        (("body", 0, "extra"), 1),
    ],
)
def test_the_schema_and_the_reader_refuse_the_same_at_the_same_place(place, value):
    changed = json.loads(json.dumps(JSON))
    part = changed
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    assert validate(changed, LEAP)
    path = re.sub(r"\.(\d+)", r"[\1]", ".".join(map(str, place)))
    error = fault(changed)
    assert error.path == path or 'unknown key "extra"' in error.message
    assert error.others == ()


# Faults.


def test_all_faults_are_told_with_their_paths():
    error = fault(
        {
            "program": "open",
            "arguments": "door",
            "objets": [],
            "body": [
                {"do": "grab", "a": 3, "hand": "Left?"},
                {"while": "opn(door)", "most": 500, "body": [{"repeat": 2}]},
                {"if": "open(door", "then": [{"do": "hold", "each": "x"}, "hold(door)"]},
            ],
        }
    )
    assert [each.path for each in (error, *error.others)] == [
        "", "arguments", "body[0].do", "body[0].hand", "body[0].a", "body[1].while", "body[1].most",
        "body[1].body[0]", "body[2].if", "body[2].then[0]", "body[2].then[1]",
    ]  # fmt: skip
    text = str(error)
    assert 'unknown key "objets"; did you mean "objects"?' in text
    assert 'body[0].do: unknown verb "grab"; did you mean "grasp"?' in text
    assert 'body[1].while: line 1, column 1: unknown predicate "opn"; did you mean "open"?' in text
    assert "body[1].most: expected a number from 1 to 100, found 500" in text
    assert 'body[1].body[0]: the key "body" is missing' in text


@pytest.mark.parametrize("value", [None, 1, "x", [], [JSON], {}, {"body": []}, {"program": "x"}, {1: 2}])
def test_what_is_no_program_object_is_refused(value):
    with pytest.raises(ProgramError):
        from_json(value)


def nested(depth: int) -> dict:
    body = [{"do": "hold", "a": "x"}]
    for level in range(depth):
        wrap = [{"repeat": 2, "body": body}, {"if": "open(x)", "then": [], "else": body}]
        body = [wrap[level % 2]]
    return with_body(*body)


def test_blocks_nest_as_deep_as_in_the_text_form():
    from leaplan.programs.render import to_text

    deepest = from_json(nested(DEPTH))
    assert parse(to_text(deepest)) == deepest
    assert loads(dumps(deepest)) == deepest
    assert "deeper than 16" in str(fault(nested(DEPTH + 1)))
    assert "deeper than 16" in str(fault(nested(5_000)))


def test_a_program_has_statements_to_the_limit_and_no_more():
    hold = {"do": "hold", "a": "x"}
    assert len(from_json(with_body(*[hold] * STATEMENTS)).body) == STATEMENTS
    assert "at most 512" in str(fault(with_body(*[hold] * (STATEMENTS + 1))))
    halves = [{"repeat": 2, "body": [hold] * 200}] * 3
    assert "more than 512 statements" in str(fault(with_body(*halves)))


def deep_list() -> list:
    value: list = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        with_body(*[{}] * 400),
        with_body({"do": "hold", "pre": ["q()"] * 100_000}),
        with_body(*[{"do": "hold", "pre": ["q()"] * 128}] * 500),
        with_body({"do": "x" * 10_000_000}),
        with_body({"do": "hold", "pre": ["free(" + "x" * 10_000_000]}),
        with_body({"do": "hold", "pre": ["not " * 10_000]}),
        with_body({"repeat": 10**5000, "body": []}),
        with_body({"repeat": float("nan"), "body": []}),
        {str(number): 0 for number in range(100_000)},
        with_body({"do": "hold", "a": deep_list()}),
        with_body(deep_list()),
        with_body({"do": "hold", "a": "\ud800"}),
        with_body({"do": "hold", "a": "a\u202eb"}),
    ],
    ids=range(13),
)
def test_hostile_values_are_a_program_error_with_a_short_message(value):
    error = fault(value)
    assert len(str(error)) < 10_000
    str(error).encode("utf-8")


# Answers.


@pytest.mark.parametrize(
    "answer",
    [
        "{}",
        "\n\n  {} \n",
        "```json\n{}\n```",
        "```\n{}\n```",
        'Sure! Here is "the program":\n```json\n{}\n```\nIt isn\'t hard: {see above}.',
        "Here it is: {} Anything else?",
        'In {this} case I thought of {"do": "hold"} and then:\n{}',
        "A stray { brace, then\n```json\n{}\n```",
        "\ufeff{}",
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_program_is_found_in_an_answer(answer, indent):
    assert loads(answer.replace("{}", json.dumps(JSON, indent=indent))) == OPEN


def test_braces_quotes_and_fences_in_names_do_not_end_the_object():
    program = Program("open", ('}"{', "\\", "```"), body=(SubAction("hold", '}"{', "]"),))
    assert loads(f"So: {dumps(program)} }}") == program


@pytest.mark.parametrize("answer", ["", "I'm sorry, I can't help with that.", "null", "[]", "42", '"program"'])
def test_an_answer_without_an_object_is_told_to_give_one(answer):
    assert "holds no JSON object. Answer with the whole JSON object" in str(fault(answer))


@given(st.integers(1, len(dumps(OPEN)) - 1))
def test_a_cut_answer_is_told_so_wherever_it_is_cut(length):
    error = fault(f"Here:\n{dumps(OPEN)[:length]}")
    assert "not closed" in error.message
    assert (error.line, error.column) == (2, 1)


@pytest.mark.parametrize(
    ("answer", "line", "column", "said"),
    [
        ('So:\n{"program": "open",\n "body": [}]}', 3, 11, "Expecting value"),
        ('{"program": "open" "body": []}', 1, 20, "Expecting ',' delimiter"),
        ("{'program': 'open'}", 1, 2, "property name enclosed in double quotes"),
        ('{"program": "a", "program": "b", "body": []}', 1, 1, 'the key "program" stands twice'),
        ('{"program": "a", "body": [{"repeat": NaN, "body": []}]}', 1, 1, "NaN is no number"),
        ('{"program": "a", "body": [{"repeat": ' + "9" * 5000 + "}]}", 1, 1, "a number of 5,000 digits"),
    ],
)
def test_broken_json_is_told_with_its_place_in_the_answer(answer, line, column, said):
    error = fault(answer)
    assert (error.line, error.column) == (line, column)
    assert said in error.message


def test_an_object_of_another_schema_is_told_what_is_missing():
    assert 'the key "program" and "body" is missing' in str(fault('{"steps": ["open the door"]}'))


@pytest.mark.parametrize(
    "answer",
    [
        "{" * 100_000,
        "[" * 100_000,
        '{"a":' * 50_000,
        '{"a":[' * 20_000 + "1" + "]}" * 20_000,
        "{x}" * 80_000,
        "{}" * 100_000,
        '{"' * 100_000,
        '{"a": "' + "\\" * 200_000,
        "```\n" * 60_000,
        "```" + " " * 200_000,
        "`" * 200_000,
        json.dumps(with_body(*[{"do": "hold", "a": "x"}] * 6000)),
        "x" * 10_000_000,
        dumps(OPEN) + " " * 10_000_000,
        '{"program": "x", "body": [{"repeat": 1e999, "body": []}]}',
    ],
    ids=lambda answer: repr(answer[:20]),
)
def test_hostile_answers_are_a_program_error_with_a_short_message(answer):
    assert len(str(fault(answer))) < 10_000


@given(st.data())
def test_an_answer_with_any_one_letter_changed_is_read_or_refused(data):
    text = dumps(OPEN)
    at = data.draw(st.integers(0, len(text) - 1))
    with contextlib.suppress(ProgramError):
        assert isinstance(loads(text[:at] + data.draw(st.characters()) + text[at + 1 :]), Program)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("open(x)"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "program",
                    "body",
                    "do",
                    "a",
                    "hand",
                    "pre",
                    "repeat",
                    "while",
                    "most",
                    "if",
                    "then",
                    "else",
                    "each",
                    "in",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_value_is_read_or_refused(value):
    with contextlib.suppress(ProgramError):
        program = from_json({"program": "x", "body": [value]})
        assert isinstance(program.body[0], SubAction | Repeat | While | If | ForEach)
