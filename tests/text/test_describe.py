"""Step descriptions by a language model: what is asked, what is taken for an answer, what a file keeps."""

import asyncio
import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaplan.errors import ConfigError, DataError, ProblemList
from leaplan.records import Annotations, Segment, Step, Video, Vocabulary
from leaplan.text import descriptions
from leaplan.text.chat import Answer, Chat, ChatSettings, Usage
from leaplan.text.chat.loopback import Reply, completion
from leaplan.text.describe import (
    SCHEMA,
    Described,
    Description,
    NamedStep,
    describe,
    read,
    repair_of,
    request_of,
    steps_of,
)
from leaplan.text.described_file import DescribedFile
from leaplan.text.descriptions import DescribedSteps
from leaplan.text.encoder import NgramEncoder
from tests.fake_openai_server import FakeOpenAI, serving
from tests.step_sentences import FAULTS, bad, described, good, mends

BOIL = NamedStep("make tea", "boil water")
RIGHT = described(request_of(BOIL).messages)


# --- steps ---------------------------------------------------------------------------------------------------


def annotations(steps, tasks, videos=()) -> Annotations:
    return Annotations("made", "any", Vocabulary(tuple(steps), tuple(tasks)), tuple(videos))


def test_a_name_that_is_twice_in_a_task_is_one_step_and_in_two_tasks_two():
    steps = [Step("1", "pour milk", 0), Step("2", "Pour  milk ", 0), Step("3", "pour milk", 1)]
    found = steps_of(annotations(steps, ["tea", "cake"]))
    assert [(step.task, step.name) for step in found] == [("tea", "pour milk"), ("cake", "pour milk")]


def test_a_step_of_no_single_task_is_told_with_the_tasks_in_which_it_occurs_most_frequent_first():
    steps = [Step("1", "stir"), Step("2", "wait")]
    videos = [Video(f"v{n}", task, None, "train", (Segment(f"s{n}", 0, 1, 0),)) for n, task in enumerate([1, 0, 1])]
    stir, wait = steps_of(annotations(steps, ["tea", "soup"], videos), "a kitchen")
    assert stir == NamedStep("", "stir", ("Occurs in the tasks: soup; tea", "Setting: a kitchen"))
    assert wait == NamedStep("", "wait", ("Setting: a kitchen",))


# --- questions -----------------------------------------------------------------------------------------------


def test_questions_differ_in_their_last_message_only_so_that_a_server_keeps_the_rest():
    one, two = request_of(BOIL), request_of(NamedStep("", "stir", ("Setting: a kitchen",)))
    assert one.messages[:-1] == two.messages[:-1]
    assert one.messages[-1]["content"] == "Task: make tea\nStep: boil water"
    assert two.messages[-1]["content"] == "Setting: a kitchen\nStep: stir"


def test_a_step_name_is_text_and_fills_in_nothing():
    assert "Step: $faults {x}" in request_of(NamedStep("", "$faults {x}")).messages[-1]["content"]
    answer = Answer("$faults", "stop", Usage(), 0, "m", "", False, "")
    assert repair_of(request_of(BOIL), answer, ["$faults are wrong"]).messages[2]["content"] == "$faults"


def test_the_schema_is_one_that_strict_structured_outputs_accept():
    assert SCHEMA["additionalProperties"] is False
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"])


def test_the_example_in_the_prompt_is_an_answer_that_is_accepted():
    system = request_of(BOIL).messages[0]["content"]
    description, faults = read(system[system.index("Example") :])
    assert faults == ()
    assert len({*description.before, *description.after}) == 6


# --- answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_an_answer_that_cannot_be_used_tells_why(fault):
    description, faults = read(bad(fault, request_of(BOIL).messages))
    assert description is None
    assert FAULTS[fault][1] in "; ".join(faults)


def test_all_faults_of_an_answer_are_told_at_once():
    _, faults = read(json.dumps({"description": "", "before": ["a"], "after": [None, "b", "c"]}))
    assert len(faults) == 3


@pytest.mark.parametrize(
    "wrapped",
    [
        "{}",
        "```json\n{}\n```",
        "Here you are:\n{}\nIs there anything else?",
        '<think>The schema is {{"a": 1}}, so "before" {{comes first</think> {}',
        'A draft {{"description": "no"}} and the whole: {}',
    ],
)
def test_an_object_is_found_bare_fenced_or_amid_prose(wrapped):
    spaced = {**RIGHT, "description": "  Water \n is boiled. ", "confidence": 1}
    description, faults = read(wrapped.replace("{{", "{").replace("}}", "}").replace("{}", json.dumps(spaced)))
    assert faults == ()
    assert description == Description("Water is boiled.", tuple(RIGHT["before"]), tuple(RIGHT["after"]))


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from(list(RIGHT)), inner),
    max_leaves=20,
)


@given(st.text() | VALUES.map(json.dumps))
def test_whatever_is_answered_gives_six_different_sentences_or_reasons(text):
    description, faults = read(text)
    assert (description is None) == bool(faults)
    if description is not None:
        assert (len(description.before), len(description.after)) == (3, 3)
        assert len({*description.before, *description.after}) == 6


# --- asking --------------------------------------------------------------------------------------------------


def ask_at(url: str, folder, steps=(BOIL,), **more) -> list[Described]:
    outcomes: list[Described] = []

    async def run() -> None:
        settings = ChatSettings("m", url, cache=folder / "answers.sqlite", first_wait=0.01, price=(1.0, 0.5, 4.0))
        async with Chat(settings) as chat:
            await describe(chat, steps, outcomes.append, **more)

    asyncio.run(run())
    return outcomes


def ask(server: FakeOpenAI, folder) -> list[Described]:
    with serving(server) as url:
        return ask_at(url, folder)


@pytest.mark.parametrize("fault", ["prose", "cut JSON", "two before", "repeated"])
def test_an_answer_that_cannot_be_used_is_sent_back_once_with_its_faults(fault, tmp_path):
    server = FakeOpenAI(mends(fault))
    (outcome,) = ask(server, tmp_path)
    assert outcome.description.as_json() == RIGHT
    assert len(outcome.answers) == 2
    turns = server.bodies[-1]["messages"]
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "user"]
    assert turns[2]["content"] == bad(fault, turns)
    assert FAULTS[fault][1] in turns[3]["content"]
    assert outcome.usage.prompt == server.prompt_tokens
    assert outcome.usd == pytest.approx((server.prompt_tokens + 4 * server.completion_tokens) / 1e6)


def test_more_repairs_continue_a_conversation_whose_turns_are_not_asked_again(tmp_path):
    def slow(messages):
        return good(messages) if len(messages) > 4 else bad("prose", messages)

    server = FakeOpenAI(slow)
    with serving(server) as url:
        (outcome,) = ask_at(url, tmp_path, repairs=1)
        assert (outcome.kind, outcome.reason) == ("invalid", "it holds no whole JSON object")
        (outcome,) = ask_at(url, tmp_path, repairs=2)
    assert outcome.description.as_json() == RIGHT
    assert set(server.asked.values()) == {1}
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("body", "kind", "asked"),
    [
        (completion(None, 5, 5, refusal="I cannot help with knives"), "declined", 1),
        (completion("{", 5, 5, reason="content_filter"), "declined", 1),
        (completion('{"description": "a', 5, 5, reason="length"), "invalid", 2),
    ],
)
def test_a_refusal_is_not_argued_with_and_a_cut_answer_is_asked_for_again(body, kind, asked, tmp_path):
    server = FakeOpenAI(good, always=Reply(200, body))
    (outcome,) = ask(server, tmp_path)
    assert outcome.kind == kind
    assert sum(server.asked.values()) == asked
    if kind == "invalid":
        assert "cut off" in outcome.reason


# --- files ---------------------------------------------------------------------------------------------------


def outcome_of(step: NamedStep, text: str = "") -> Described:
    answer = Answer("", "stop", Usage(10, 0, 5), 0.001, "m-1", "fp", False, "abc")
    made = described(request_of(step).messages)
    description = Description(text or made["description"], tuple(made["before"]), tuple(made["after"]))
    return Described(step, description, answers=(answer,))


def write(path, *steps: NamedStep) -> DescribedFile:
    file = DescribedFile(path)
    for step in steps:
        file.add(outcome_of(step), {"model": "m"})
    file.write(steps, {"schema": 1})
    return file


@pytest.mark.parametrize("name", ["d.json", "d.json.gz"])
def test_what_is_written_is_read_by_the_planner(name, tmp_path, monkeypatch):
    monkeypatch.setattr(descriptions, "CACHE", tmp_path / "cache")
    path = tmp_path / "new" / name
    write(path, NamedStep("Make Tea", "boil water"), NamedStep("", "stir"))
    vocabulary = Vocabulary((Step("1", "Boil Water", 0), Step("2", "stir")), ("make tea",))
    y = DescribedSteps(str(path), NgramEncoder(64)).embed(vocabulary)
    expected = NgramEncoder(64).encode([f"before {RIGHT['before'][0]}", f"after {RIGHT['after'][2]}"])
    assert y.shape == (2, 6, 64)
    np.testing.assert_array_equal(y[0, [0, 5]], expected)
    names = {path.name for path in path.parent.iterdir()}
    assert names == {name, "d.provenance.json"}


def test_steps_of_no_task_stand_first_since_the_planner_takes_the_first_of_a_name(tmp_path):
    write(tmp_path / "d.json", BOIL, NamedStep("", "boil water"))
    assert list(json.loads((tmp_path / "d.json").read_text())) == ["", "make tea"]


def test_a_file_keeps_what_was_there_and_tells_by_hand_from_by_model(tmp_path):
    path = tmp_path / "d.json"
    other = NamedStep("make tea", "pour water")
    write(path, BOIL, other)
    content = json.loads(path.read_text())
    content["make tea"]["boil water"]["before"][0] = "The kettle is off."
    content["make cake"] = {"beat eggs": RIGHT}
    path.write_text(json.dumps(content))
    file = DescribedFile(path)
    assert all(
        file.holds(step) for step in (BOIL, other, NamedStep("Make  cake", "Beat eggs"), NamedStep("", "Beat eggs"))
    )
    assert not file.holds(NamedStep("make cake", "boil water"))
    file.write((other,), {})
    assert json.loads(path.read_text()) == content
    origins = {record["step"]: record for record in json.loads(file.provenance.read_text())["descriptions"]}
    assert origins["pour water"]["model"] == "m"
    assert origins["boil water"]["origin"] == origins["beat eggs"]["origin"] == "given in the file"
    assert len(DescribedFile(path, anew=True)) == 0


def test_files_of_schema_are_read_and_whole(shared):
    for name, count in (("niv.json", 48), ("crosstask.json", 133), ("coin.json.gz", 775)):
        assert len(DescribedFile(shared / "data" / "schema_text" / f"descriptors_{name}")) == count


@pytest.mark.parametrize("name", ["d.txt", "d", "folder.json"])
def test_a_path_that_is_no_file_of_descriptions_is_refused(name, tmp_path):
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(ConfigError, match=name):
        DescribedFile(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no json", "cannot be read as JSON"),
        (b"[]", "no JSON object"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (json.dumps({"tea": {"boil": {**RIGHT, "after": []}}, "cake": 3}).encode(), "2 problems"),
        (json.dumps({"tea": {"boil": {**RIGHT, "before": ["a", "b", 3]}}}).encode(), "'boil': \"before\" is no list"),
    ],
)
def test_a_damaged_file_is_refused_and_left_alone(content, said, tmp_path):
    (tmp_path / "d.json").write_bytes(content)
    with pytest.raises((DataError, ProblemList), match=said):
        DescribedFile(tmp_path / "d.json")
    assert (tmp_path / "d.json").read_bytes() == content


def test_a_cut_gzip_file_is_refused(tmp_path):
    (tmp_path / "d.json.gz").write_bytes(gzip.compress(b"{}" * 100)[:-10])
    with pytest.raises(DataError, match="cannot be read"):
        DescribedFile(tmp_path / "d.json.gz")
