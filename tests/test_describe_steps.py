"""The verb `describe-steps`, over real HTTP to a server that answers well, badly, or not at all."""

import json
import os
import shlex
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import pytest

from leaplan.__main__ import main
from leaplan.text import descriptions
from tests.fake_openai_server import FakeOpenAI, Reply, serving
from tests.small_niv import TASKS, write_small_niv
from tests.step_sentences import asked, bad, described, good, mends
from tests.test_cli import experiment, results_of

KEY = "sk-secret-0123456789"
PRICE = (1.0, 0.5, 4.0)  # USD per million tokens
STEPS = {(task, step) for task, steps in TASKS.items() for step in steps}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_small_niv(tmp_path_factory.mktemp("data"), videos=4)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """Set the key, and wait for no broken server."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("leaplan.text.chat.client.LONGEST_WAIT", 0.01)


def command(root: Path, out: Path, url: str, *more) -> list[str]:
    told = [
        "describe-steps",
        "niv",
        "--root",
        root,
        "--model",
        "some-model",
        "--base-url",
        url,
        "--out",
        out / "d.json",
    ]
    return [str(word) for word in [*told, "--price", *PRICE, "--max-usd", "1", "--quiet", *more]]


def steps_in(out: Path) -> set[tuple[str, str]]:
    table = json.loads((out / "d.json").read_text())
    return {(task, step) for task, steps in table.items() for step in steps}


def provenance(out: Path) -> dict:
    return json.loads((out / "d.provenance.json").read_text())


def ledger(out: Path) -> tuple[float, float]:
    with sqlite3.connect(out / "d.answers.sqlite") as base:
        return tuple(nano / 1e9 for nano in base.execute("SELECT paid, reserved FROM total").fetchone())


def billed(server: FakeOpenAI) -> float:
    return (server.prompt_tokens * PRICE[0] + server.completion_tokens * PRICE[2]) / 1e6


def next_command(said: str) -> list[str]:
    """Return the words behind `leaplan` that a user is told to run."""
    return shlex.split(said.split("Continue:  leaplan ")[1].splitlines()[0])


def only(step: str, wrong: str, right_after: int = 99):
    """Answer well, but one step wrongly until the conversation has more than `right_after` messages."""

    def answer(messages) -> str:
        return (
            bad(wrong, messages) if asked(messages)["Step"] == step and len(messages) <= right_after else good(messages)
        )

    return answer


# --- all is well ---------------------------------------------------------------------------------------------


def test_every_step_is_described_in_the_layout_of_schema_with_its_origin(root, tmp_path, capsys):
    server = FakeOpenAI(good)
    with serving(server) as url:
        assert main(command(root, tmp_path, url)) == 0
    table = json.loads((tmp_path / "d.json").read_text())
    assert list(table) == list(TASKS)
    assert {task: list(steps) for task, steps in table.items()} == TASKS
    question = [{}, {"content": "Task: making tea\nStep: pour water"}]
    assert table["making tea"]["pour water"] == described(question)
    told = provenance(tmp_path)
    assert told["counts"] == {"classes": 10, "steps": 10, "kept": 0, "new": 10, "repaired": 0, "missing": 0}
    assert told["tokens"] == {"prompt": server.prompt_tokens, "cached": 0, "completion": server.completion_tokens}
    assert told["usd"]["answers"] == pytest.approx(billed(server))
    assert (told["model"], told["data"]["dataset"], told["missing"]) == ("some-model", "niv", [])
    assert {(each["task"], each["step"]) for each in told["descriptions"]} == STEPS
    assert sum(each["usd"] for each in told["descriptions"]) == pytest.approx(billed(server))
    assert all(each["prompt"] == told["prompt"] and len(each["request"]) == 64 for each in told["descriptions"])
    assert "10 of 10 steps are described" in capsys.readouterr().out
    assert server.bodies[-1]["response_format"]["json_schema"]["strict"] is True


def test_the_same_command_again_asks_nothing_and_neither_does_one_after_the_file_is_lost(root, tmp_path, capsys):
    server = FakeOpenAI(good)
    with serving(server) as url:
        main(command(root, tmp_path, url))
        first = (tmp_path / "d.json").read_bytes()
        assert main(command(root, tmp_path, url)) == 0
        assert "all 10 steps are described (10 some-model)" in capsys.readouterr().out
        (tmp_path / "d.json").unlink()
        assert main(command(root, tmp_path, url)) == 0
    assert (tmp_path / "d.json").read_bytes() == first
    assert sum(server.asked.values()) == 10


def test_what_was_written_by_hand_is_kept_and_the_rest_is_described(root, tmp_path):
    mine = {"description": "Mine.", "before": ["a", "b", "c"], "after": ["d", "e", "f"]}
    (tmp_path / "d.json").write_text(json.dumps({"Making Tea": {"Boil Water": mine}}))
    server = FakeOpenAI(good)
    with serving(server) as url:
        assert main(command(root, tmp_path, url)) == 0
    assert sum(server.asked.values()) == 9
    table = json.loads((tmp_path / "d.json").read_text())
    assert table["Making Tea"]["Boil Water"] == mine
    assert sum(map(len, table.values())) == 10
    assert Counter(each["origin"] for each in provenance(tmp_path)["descriptions"]) == {
        "language model": 9,
        "given in the file": 1,
    }


def test_a_limit_describes_the_first_steps_and_a_later_run_the_others(root, tmp_path):
    server = FakeOpenAI(good)
    with serving(server) as url:
        assert main(command(root, tmp_path, url, "--limit", "3")) == 0
        assert steps_in(tmp_path) == {("making tea", step) for step in TASKS["making tea"][:3]}
        assert main(command(root, tmp_path, url)) == 0
    assert steps_in(tmp_path) == STEPS
    assert set(server.asked.values()) == {1}


def test_a_dry_run_prices_the_job_sends_nothing_and_writes_nothing(root, tmp_path, capsys):
    server = FakeOpenAI(good)
    with serving(server) as url:
        assert main(command(root, tmp_path, url, "--dry-run")) == 0
        said = capsys.readouterr().out
        assert not server.asked
        assert not list(tmp_path.iterdir())
        main(command(root, tmp_path, url, "--limit", "4"))
        capsys.readouterr()
        main(command(root, tmp_path, url, "--dry-run"))
    assert "10 different steps, 0 described already" in said
    assert "requests:        10, 0 answered already, 10 to send" in said
    most = float(said.split("at most ")[1].split()[0])
    assert most > billed(server) * 10 / 4
    said = capsys.readouterr().out
    assert "10 different steps, 4 described already" in said
    assert f"spent so far:    {billed(server):.4f} USD" in said


def test_a_dry_run_shows_the_prompt_of_a_step(root, tmp_path, capsys):
    assert main(command(root, tmp_path, "http://127.0.0.1:1", "--dry-run", "--show", "Patch tube")) == 0
    assert "Task: fixing bike\nStep: patch tube" in capsys.readouterr().out
    assert main(command(root, tmp_path, "http://127.0.0.1:1", "--dry-run", "--show", "patch tub")) == 2
    assert "did you mean 'patch tube'?" in capsys.readouterr().err


# --- faults --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["rate limit", "storm", "error 500", "reset", "no completion"])
def test_whatever_breaks_on_the_way_the_file_is_the_same(fault, root, tmp_path):
    with serving(FakeOpenAI(good)) as url:
        main(command(root, tmp_path / "calm", url))
    server = FakeOpenAI(good, share=0.6, faults=(fault,))
    with serving(server) as url:
        assert main(command(root, tmp_path / "broken", url)) == 0
    assert max(server.asked.values()) > 1
    assert (tmp_path / "broken" / "d.json").read_bytes() == (tmp_path / "calm" / "d.json").read_bytes()
    assert ledger(tmp_path / "broken")[0] == pytest.approx(billed(server))


@pytest.mark.parametrize("fault", ["prose", "cut JSON", "four after"])
def test_answers_that_cannot_be_used_are_mended_in_one_turn(fault, root, tmp_path):
    server = FakeOpenAI(mends(fault))
    with serving(server) as url:
        assert main(command(root, tmp_path, url)) == 0
    assert steps_in(tmp_path) == STEPS
    assert provenance(tmp_path)["counts"]["repaired"] == 10
    assert ledger(tmp_path) == (pytest.approx(billed(server)), 0)


def test_a_step_that_is_never_described_well_is_told_and_the_command_that_is_printed_goes_on(root, tmp_path, capsys):
    server = FakeOpenAI(only("add leaves", "two before", right_after=4))
    with serving(server) as url:
        assert main(command(root, tmp_path, url)) == 1
        said = capsys.readouterr().out
        assert 'missing: making tea, add leaves: invalid: "before" has 2 sentences' in said
        assert steps_in(tmp_path) == STEPS - {("making tea", "add leaves")}
        assert [each["kind"] for each in provenance(tmp_path)["missing"]] == ["invalid"]
        assert main(next_command(said)) == 0
    assert steps_in(tmp_path) == STEPS
    assert set(server.asked.values()) == {1}
    assert provenance(tmp_path)["missing"] == []


def test_a_server_that_fails_for_one_step_leaves_that_one_out(root, tmp_path, capsys):
    class Sick(FakeOpenAI):
        well = False

        async def _complete(self, body):
            if asked(body["messages"])["Step"] == "stir tea" and not self.well:
                return Reply(503, {"error": {"message": f"no capacity for {KEY}"}})
            return await super()._complete(body)

    server = Sick(good)
    with serving(server) as url:
        assert main(command(root, tmp_path, url)) == 1
        said = capsys.readouterr().out
        assert "missing: making tea, stir tea: server: HTTP 503: no capacity for ***" in said
        server.well = True
        assert main(next_command(said)) == 0
    assert steps_in(tmp_path) == STEPS


def test_a_refused_step_is_to_be_asked_of_another_model_or_written_by_hand(root, tmp_path, capsys):
    class Shy(FakeOpenAI):
        def _completion(self, body):
            made = super()._completion(body)
            if asked(body["messages"])["Step"] == "drink tea":
                made["choices"][0]["message"] = {"role": "assistant", "content": None, "refusal": "I do not drink"}
            return made

    with serving(Shy(good)) as url:
        assert main(command(root, tmp_path, url)) == 1
    said = capsys.readouterr().out
    assert "drink tea: declined: I do not drink" in said
    assert "another --model" in said
    assert "Continue" not in said


def test_a_spent_budget_tells_what_is_missing_and_more_money_continues_without_paying_twice(root, tmp_path, capsys):
    server = FakeOpenAI(good)
    with serving(server) as url:
        assert main(command(root, tmp_path, url, "--max-usd", "0.011", "--concurrency", "1")) == 1
        said = capsys.readouterr().out
        before, spent = steps_in(tmp_path), sum(ledger(tmp_path))
        assert 1 <= len(before) <= 8
        assert spent <= 0.011
        missing = {(each["task"], each["step"]) for each in provenance(tmp_path)["missing"]}
        assert missing == STEPS - before
        assert said.count(": budget: ") == len(missing)
        assert main(next_command(said)) == 0
    assert steps_in(tmp_path) == STEPS
    assert set(server.asked.values()) == {1}
    assert ledger(tmp_path) == (pytest.approx(billed(server)), 0)


def test_a_budget_for_nothing_writes_no_descriptions_but_tells_all_that_is_missing(root, tmp_path):
    server = FakeOpenAI(good)
    with serving(server) as url:
        assert main(command(root, tmp_path, url, "--max-usd", "0")) == 1
    assert not server.asked
    assert not (tmp_path / "d.json").exists()
    assert len(provenance(tmp_path)["missing"]) == 10


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}), "refuses the key in OPENAI_API_KEY"),
        (Reply(404, {"error": {"message": "The model does not exist"}}), "does not know model 'some-model'"),
    ],
)
def test_what_is_wrong_for_all_ends_the_job_at_once(reply, said, root, tmp_path, capsys):
    with serving(FakeOpenAI(good, always=reply)) as url:
        assert main(command(root, tmp_path, url)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert KEY not in error
    assert {path.name for path in tmp_path.iterdir()} == {"d.answers.sqlite"}


def test_what_is_described_before_a_key_is_withdrawn_is_kept(root, tmp_path):
    class Withdrawn(FakeOpenAI):
        async def _complete(self, body):
            if len(self.answered) >= 4:
                return Reply(401, {"error": {"message": "no longer"}})
            return await super()._complete(body)

    with serving(Withdrawn(good)) as url:
        assert main(command(root, tmp_path, url, "--concurrency", "1")) == 2
    assert len(steps_in(tmp_path)) == 4
    missing = provenance(tmp_path)["missing"]
    assert len(missing) == 6
    assert {each["kind"] for each in missing} == {"interrupted"}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_job_keeps_what_it_has_and_continues_without_paying_twice(sent, root, tmp_path, capsys):
    def interrupting(messages) -> str:
        if len(server.answered) == 4:
            os.kill(os.getpid(), sent)
        return good(messages)

    server = FakeOpenAI(interrupting, latency=0.02)
    with serving(server) as url:
        assert main(command(root, tmp_path, url, "--concurrency", "2")) == 130
        assert "new descriptions are kept in" in capsys.readouterr().err
        assert 2 <= len(steps_in(tmp_path)) < 10
        assert main(command(root, tmp_path, url, "--concurrency", "2")) == 0
    assert steps_in(tmp_path) == STEPS
    assert set(server.asked.values()) == {1}
    assert ledger(tmp_path) == (pytest.approx(billed(server)), 0)


def test_the_key_is_in_no_file(root, tmp_path):
    with serving(FakeOpenAI(mends("prose"), share=0.3, faults=("rate limit", "error 500"))) as url:
        main(command(root, tmp_path, url))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 3
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


# --- mistakes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["describe-steps", "nif", "--root", "ROOT", "--model", "m", "--out", "d.json"], "did you mean 'niv'?"),
        (["describe-steps", "niv", "--root", "ROOT", "--model", "m"], "--out is missing"),
        (["describe-steps", "niv", "--model", "m", "--out", "d.json"], "--root is missing"),
        (["describe-steps", "niv", "--root", "ROOT/nowhere", "--model", "m", "--out", "d.json"], "is not a folder"),
        (["describe-steps", "coin", "--root", "ROOT", "--model", "m", "--out", "d.json"], "has no COIN.json"),
        (["describe-steps", "niv", "--root", "ROOT", "--model", "m", "--out", "d.txt"], "does not end in .json"),
        (
            ["describe-steps", "niv", "--root", "ROOT", "--model", "m", "--out", "d.json"],
            "price of model 'm' is not known",
        ),
        (
            ["describe-steps", "niv", "--root", "ROOT", "--protocol", "x", "--model", "m", "--out", "d.json"],
            "no protocol",
        ),
    ],
)
def test_a_mistake_is_answered_by_one_message(words, said, root, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([word.replace("ROOT", str(root)) for word in words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_password_in_the_address_of_a_server_is_refused_and_repeated_nowhere(root, tmp_path, capsys):
    assert main(command(root, tmp_path, "http://me:pass-word@localhost:1/v1")) == 2
    error = capsys.readouterr().err
    assert "--key-variable" in error
    assert "pass-word" not in error
    assert not list(tmp_path.iterdir())


def test_a_missing_key_is_told_by_the_name_of_its_variable(root, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    words = ["describe-steps", "niv", "--root", root, "--model", "gpt-4o-mini", "--out", tmp_path / "d.json"]
    assert main([str(word) for word in words]) == 2
    assert "OPENAI_API_KEY is not set" in capsys.readouterr().err


# --- real vocabularies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "steps"),
    [
        ("niv", 48),
        ("crosstask", 133),
        ("captaincook4d", 350),
        pytest.param("coin", 775, marks=pytest.mark.slow),
        pytest.param("epic_kitchens", 3806, marks=pytest.mark.slow),
    ],
)
def test_any_dataset_is_described(dataset, steps, shared, tmp_path, capsys):
    words = ["describe-steps", dataset, "--root", shared / "data", "--model", "gpt-4o-mini", "--dry-run"]
    assert main([str(word) for word in words]) == 0
    assert f"{steps:,} different steps" in capsys.readouterr().out


@pytest.mark.slow
def test_the_planner_trains_on_descriptions_of_the_small_dataset(root, tmp_path, monkeypatch):
    monkeypatch.setattr(descriptions, "CACHE", tmp_path / "cache")
    with serving(FakeOpenAI(good)) as url:
        assert main(command(root, tmp_path, url)) == 0
    overlay = Path(__file__).parents[1] / "configs" / "ablation" / "described_steps.yaml"
    config = experiment(tmp_path, root, epochs=2)
    words = ["--config", config, "--config", overlay, "--model.descriptions.init_args.file", tmp_path / "d.json"]
    assert main(["fit", *map(str, words)]) == 0
    assert list((tmp_path / "cache").glob("*.npy"))
    assert "d.json by ngram-512" in json.dumps(results_of(tmp_path / "runs" / "small"))


@pytest.mark.slow
def test_the_planner_of_niv_trains_on_descriptions_of_its_48_actions(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(descriptions, "CACHE", tmp_path / "cache")
    server = FakeOpenAI(good, share=0.2, faults=("rate limit", "error 500", "reset"))
    with serving(server) as url:
        assert main(command(shared / "data", tmp_path, url)) == 0
    assert len(steps_in(tmp_path)) == len(server.answered) == 48
    configs = Path(__file__).parents[1] / "configs"
    options = {
        "--config": configs / "ablation" / "described_steps.yaml",
        "--model.descriptions.init_args.file": tmp_path / "d.json",
        "--root": shared / "data",
        "--runs": tmp_path / "runs",
        "--name": "described",
        "--trainer.max_epochs": 2,
        "--model.align_epochs": 1,
        "--model.language.epochs": 1,
        "--model.language.steps": 100,
        "--model.language.cache": tmp_path / "language",
        "--decode": "[argmax, viterbi, retrieve]",
        "--model.select": "[viterbi]",
    }
    config = configs / "experiment" / "planllm_niv_surrogate_t3.yaml"
    words = [str(word) for pair in options.items() for word in pair]
    assert main(["fit", "--config", str(config), *words]) == 0
    results = results_of(tmp_path / "runs" / "described")
    assert results["protocol"]["classes"] == 48
    assert results["metrics"]["test"]["counts"]["windows"] == 333
    assert results["metrics"]["test"]["viterbi"]["mean_accuracy"] > 2 / 48  # twice as good as guessing
