"""The client of language models where servers, users and clocks are worse than usual; over real HTTP."""

import asyncio
import json
import logging
import signal
import sqlite3
import subprocess
import sys
import time
import traceback

import pytest

from leaplan.errors import ConfigError, DataError
from leaplan.text.chat import Answer, Chat, ChatSettings, Failed, Request
from leaplan.text.chat.loopback import RESET, Reply, completion
from leaplan.text.chat.prices import price_of
from tests.fake_openai_server import FakeOpenAI, serving
from tests.text.test_chat import CHILD, KEY, ask, ask_all, batch, billed, echo, question, settings, spending


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


# --- what a server refuses, while many requests are under way --------------------------------------------------


@pytest.mark.parametrize("refuses", [("json_schema",), ("max_tokens",), ("temperature",)])
def test_what_a_server_refuses_is_learnt_once_by_all_requests_under_way(refuses, tmp_path):
    class Picky(FakeOpenAI):
        async def _complete(self, body):
            if "max_tokens" in refuses and "max_tokens" in body:
                return Reply(400, {"error": {"message": "'max_tokens' is not supported: use 'max_completion_tokens'"}})
            return await super()._complete(body)

    server = Picky(echo, latency=0.05, refuses=refuses if refuses != ("max_tokens",) else ())
    with serving(server) as url:
        outcomes = ask_all(settings(url, tmp_path, concurrency=16), [(i, question(i)) for i in range(40)])
    assert not [outcome for outcome in outcomes.values() if isinstance(outcome, Failed)]
    kinds = {body.get("response_format", {}).get("type") for body in server.bodies[-20:]}
    assert kinds == ({"json_object"} if refuses == ("json_schema",) else {"json_schema"})


# --- numbers and text that no honest server sends --------------------------------------------------------------


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 10**30, "completion_tokens": 1},
        {"prompt_tokens": -7, "completion_tokens": 1},
        {"prompt_tokens": 5, "completion_tokens": -(10**6)},
        {"prompt_tokens": 5, "completion_tokens": None},
        {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": -(10**9)}},
        {"prompt_tokens": float("inf"), "completion_tokens": float("nan")},
        {"prompt_tokens": "many"},
        [],
        "none",
    ],
)
def test_a_usage_that_cannot_be_is_counted_as_the_most_it_can_be(usage, tmp_path):
    body = json.dumps(completion("{}", 1, 1) | {"usage": usage}).encode()
    with serving(FakeOpenAI(echo, always=Reply(200, body))) as url:
        one = settings(url, tmp_path, max_tokens=50)
        answer = ask(one, question(1))
    assert isinstance(answer, Answer)
    most = price_of(one)[0].at_most(question(1), 50)
    paid, reserved = spending(tmp_path)
    assert 0 < paid <= most
    assert reserved == 0
    if not isinstance(usage, dict) or usage.get("prompt_tokens_details") is None:
        assert paid == most


def test_half_a_surrogate_in_an_answer_does_not_stop_the_job(tmp_path):
    body = json.dumps(completion("cut \ud83d", 1, 1) | {"model": "\ud83d", "system_fingerprint": "\udc00"}).encode()
    assert b"\\ud83d" in body
    with serving(FakeOpenAI(echo, always=Reply(200, body))) as url:
        answer = ask(settings(url, tmp_path), question(1))
        again = ask(settings(url, tmp_path), question(1))
    assert answer.text.startswith("cut ")
    answer.text.encode()
    assert again.cached
    assert again.text == answer.text


@pytest.mark.parametrize(
    "text",
    ["Sure! Here is your program: open the door.", '{"body": [{"do": "rea', '{"unexpected": true}', "[" * 100_000, ""],
    ids=["prose", "cut JSON", "wrong schema", "recursion bomb", "empty"],
)
def test_what_a_model_says_is_kept_as_it_is(text, tmp_path):
    with serving(FakeOpenAI(lambda _: text)) as url:
        assert ask(settings(url, tmp_path), question(1)).text == text
        assert ask(settings(url, tmp_path), question(1)).text == text


def test_a_huge_error_page_is_told_in_a_line(tmp_path):
    with serving(FakeOpenAI(echo, always=Reply(500, b"<p>" + b"x" * (10 << 20)))) as url:
        outcome = ask(settings(url, tmp_path, attempts=2), question(1))
    assert (outcome.kind, outcome.attempts) == ("server", 2)
    assert len(outcome.message) < 400


# --- money ---------------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_costs_nothing(tmp_path):
    with pytest.raises(ConfigError, match="does not answer"):
        ask_all(settings("http://127.0.0.1:9/v1", tmp_path, attempts=2), [(i, question(i)) for i in range(9)])
    assert spending(tmp_path) == (0, 0)


def test_a_paid_model_behind_a_proxy_on_this_machine_has_its_price(tmp_path):
    assert price_of(ChatSettings("gpt-4o-mini", "http://localhost:4000/v1"))[0].prompt > 0


def test_lost_requests_count_until_they_are_forgiven(tmp_path):
    server = FakeOpenAI(echo, share=1.0, faults=("reset",))
    with serving(server) as url:
        usual = settings(url, tmp_path, timeout=0.2)
        assert isinstance(ask(usual, question(1)), Answer)
        paid, lost = spending(tmp_path)
        assert lost == price_of(usual)[0].at_most(question(1), usual.max_tokens)
        ask(usual, question(1))
        assert spending(tmp_path) == (paid, lost)
        with sqlite3.connect(tmp_path / "answers.sqlite") as database:
            database.execute("UPDATE open_requests SET sent = datetime('now', '-1 hour')")
        ask(settings(url, tmp_path, count_lost=False), question(1))
    assert spending(tmp_path) == (paid, 0)


def test_an_answer_is_stored_although_its_entry_was_forgiven(tmp_path):
    server = FakeOpenAI(echo, latency=0.5)

    async def run(url):
        async with Chat(settings(url, tmp_path)) as chat:
            asked = asyncio.ensure_future(chat.ask(question(1)))
            await asyncio.sleep(0.2)
            chat.store.database.execute("DELETE FROM open_requests")
            chat.store.database.execute("UPDATE total SET reserved = 0")
            return await asked

    with serving(server) as url:
        assert isinstance(asyncio.run(run(url)), Answer)
    assert spending(tmp_path) == (billed(server), 0)


@pytest.mark.slow
def test_two_processes_with_one_file_stay_within_the_budget_together(tmp_path):
    server = FakeOpenAI(echo, latency=0.02)
    most = price_of(settings("http://localhost/v1", tmp_path))[0].at_most(question(100), 2000)
    cap = 6.5 * most / 1e9
    program = CHILD.replace("seed=7", f"seed=7, max_usd={cap!r}")
    with serving(server) as url:
        children = [subprocess.Popen([sys.executable, "-c", program, url, str(tmp_path)]) for _ in range(2)]
        while any(child.poll() is None for child in children):
            if (tmp_path / "answers.sqlite").exists():
                assert billed(server) <= cap * 1e9
            time.sleep(0.02)
    assert [child.returncode for child in children] == [0, 0]
    assert sum(spending(tmp_path)) <= cap * 1e9
    assert billed(server) == spending(tmp_path)[0]


# --- time ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_to_wait_for_a_day_is_not_waited_for(status, tmp_path):
    busy = Reply(status, {"error": {"message": "come back tomorrow"}}, {"retry-after": "86400"})
    server = FakeOpenAI(echo, always=busy)
    with serving(server) as url, pytest.raises(ConfigError, match="asks to wait for 1 day") as told:
        ask_all(settings(url, tmp_path, patience=5.0, concurrency=2), [(i, question(i)) for i in range(9)])
    assert "same command again" in told.value.hint
    assert sum(server.asked.values()) <= 4
    assert spending(tmp_path) == (0, 0)


def test_nothing_new_is_sent_while_the_job_ends(tmp_path):
    server = FakeOpenAI(echo, always=Reply(500, {"error": {"message": "oops"}}))

    async def run(url):
        async with Chat(settings(url, tmp_path, first_wait=0.4, grace=3.0)) as chat:
            await asyncio.wait_for(chat.ask_all([(i, question(i)) for i in range(4)], lambda *_: None), 0.15)

    with serving(server) as url:
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            asyncio.run(run(url))
        assert time.monotonic() - begun < 2.0
    assert set(server.asked.values()) == {1}


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_ends_the_job_and_keeps_what_is_under_way(signal_number, tmp_path):
    server = FakeOpenAI(echo, latency=0.15)
    with serving(server) as url:
        child = subprocess.Popen([sys.executable, "-c", CHILD, url, str(tmp_path)], stderr=subprocess.PIPE)
        while sum(server.answered.values()) < 8:
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(signal_number)
        _, error = child.communicate(timeout=20)
    assert child.returncode != 0
    assert b"never retrieved" not in error
    assert 8 <= sum(server.asked.values()) < 120
    with sqlite3.connect(tmp_path / "answers.sqlite") as database:
        (stored,) = database.execute("SELECT count(*) FROM answers").fetchone()
    assert stored == sum(server.answered.values())
    assert spending(tmp_path) == (billed(server), 0)


# --- the key -------------------------------------------------------------------------------------------------


class Gossip(FakeOpenAI):
    """A server that repeats the key wherever it can."""

    async def _complete(self, body):
        self.asked["all"] += 1
        return self.always or Reply(500, {"error": {"message": f"Bearer {KEY}", "code": KEY}})


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_a_server_that_repeats_the_key_does_not_spread_it(status, tmp_path, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    said = Reply(status, {"error": {"message": f"no: Bearer {KEY}", "code": KEY}})
    with serving(Gossip(echo, always=said)) as url:
        try:
            shown = repr(ask(settings(url, tmp_path, attempts=2, patience=0.2), question(1)))
        except ConfigError as error:
            shown = "".join(traceback.format_exception(error)) + repr(error.__context__)
    assert KEY not in shown + "".join(capfd.readouterr()) + caplog.text
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_batch_refused_with_the_key_in_the_message_does_not_spread_it(tmp_path):
    class Refusing(FakeOpenAI):
        def _file(self, method, path, body):
            return Reply(401, {"error": {"message": f"no: Bearer {KEY}"}})

    with serving(Refusing(echo)) as url, pytest.raises(ConfigError) as told:
        batch(settings(url, tmp_path), [question(1)])
    assert KEY not in "".join(traceback.format_exception(told.value))


@pytest.mark.parametrize("spoilt", [f"{KEY}\n", f" {KEY} ", f"{KEY}\r\nx: y", f"{KEY}é"])
def test_a_key_with_stray_characters_works_or_is_told_without_being_shown(spoilt, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", spoilt)
    with serving(FakeOpenAI(echo)) as url:
        if spoilt.strip() == KEY:
            assert isinstance(ask(settings(url, tmp_path), question(1)), Answer)
            return
        with pytest.raises(ConfigError, match="OPENAI_API_KEY") as told:
            ask(settings(url, tmp_path), question(1))
    assert KEY not in "".join(traceback.format_exception(told.value))


# --- users ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_usd": float("inf")},
        {"max_usd": float("nan")},
        {"price": (float("nan"), 0.0, 0.0)},
        {"price": (1e300, 0.0, 0.0)},
        {"temperature": float("nan")},
        {"max_tokens": 10**15},
        {"base_url": "localhost:8000/v1"},
    ],
)
def test_impossible_settings_are_told(wrong, tmp_path):
    with pytest.raises(ConfigError):
        Chat(ChatSettings("some-model", **{"base_url": "http://localhost/v1", "cache": tmp_path / "a.sqlite", **wrong}))


def test_the_environment_does_not_send_requests_elsewhere(tmp_path, monkeypatch):
    server = FakeOpenAI(echo)
    with serving(server) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)

        async def address():
            async with Chat(ChatSettings("gpt-4o-mini", cache=tmp_path / "a.sqlite")) as chat:
                return str(chat.wire.client.base_url)

        assert "127.0.0.1" not in asyncio.run(address())


def test_a_full_or_locked_file_is_told_as_such(tmp_path):
    with serving(FakeOpenAI(echo)) as url:

        async def run():
            async with Chat(settings(url, tmp_path)) as chat:
                chat.store.database.execute("PRAGMA max_page_count = 1")
                await chat.ask(Request(({"role": "user", "content": "x"},)))
                await chat.ask_all(
                    [(i, Request(({"role": "user", "content": f"{i}" * 2000},))) for i in range(50)], lambda *_: None
                )

        with pytest.raises(DataError, match=r"answers\.sqlite"):
            asyncio.run(run())


# --- batches -------------------------------------------------------------------------------------------------


class Flaky(FakeOpenAI):
    """Every call of files and batches fails at first, some of them after they were carried out."""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.calls = 0

    async def handle(self, method, path, body):
        reply = await super().handle(method, path, body)
        self.calls += 1
        if self.calls % 2:
            return RESET if "batches" in path else Reply(502, {"error": {"message": "bad gateway"}})
        return reply


def test_a_batch_whose_making_was_not_confirmed_is_not_made_twice(tmp_path):
    server = Flaky(echo)
    requests = [question(i) for i in range(6)]
    with serving(server) as url:
        assert batch(settings(url, tmp_path), requests) == {}
    assert len(server.batches) == 1
    assert set(server.answered.values()) == {1}
    assert spending(tmp_path) == (billed(server) // 2, 0)


def test_batches_use_the_budget_as_earlier_ones_give_it_back(tmp_path):
    server = FakeOpenAI(echo)
    requests = [question(i) for i in range(10, 40)]
    with serving(server) as url:
        one = settings(url, tmp_path, max_tokens=40)
        most = price_of(one)[0].at_most(requests[0], 40, batch=True)
        failed = batch(settings(url, tmp_path, max_tokens=40, max_usd=1.5 * most / 1e9), requests)
        paid, reserved = spending(tmp_path)
        assert paid == billed(server) // 2
        assert paid + most > 1.5 * most  # until not one more fits
        assert reserved == 0
        assert len(server.batches) > 1
        assert {each.kind for each in failed.values()} == {"budget"}
        assert len(failed) + len(server.answered) == 30
        assert batch(one, requests) == {}
    assert set(server.asked.values()) == {1}


def test_large_jobs_are_cut_into_batches_that_wait_together(tmp_path, monkeypatch):
    monkeypatch.setattr("leaplan.text.chat.batch.MOST_REQUESTS", 4)
    server = FakeOpenAI(echo)
    server.polls = 3
    with serving(server) as url:
        assert batch(settings(url, tmp_path), (question(i % 10) for i in range(20))) == {}
    assert [len(server.files[each["input_file_id"]].splitlines()) for each in server.batches.values()] == [4, 4, 2]
    assert set(server.asked.values()) == {1}


def test_what_waits_in_a_batch_is_not_asked_beside_it(tmp_path):
    server = FakeOpenAI(echo)
    server.polls = 10**6

    async def impatient(url):
        async with Chat(settings(url, tmp_path)) as chat:
            await asyncio.wait_for(chat.batch([question(1)]), 3.0)

    with serving(server) as url:
        with pytest.raises(TimeoutError):
            asyncio.run(impatient(url))
        assert isinstance(ask(settings(url, tmp_path), question(2)), Answer)
        with pytest.raises(ConfigError, match="batch-0") as told:
            ask(settings(url, tmp_path), question(1))
        assert "--batch" in told.value.hint
        server.batches["batch-0"]["left"] = 1
        assert batch(settings(url, tmp_path), [question(1)]) == {}
        assert ask(settings(url, tmp_path), question(1)).cached
    assert set(server.asked.values()) == {1}


class Rejecting(FakeOpenAI):
    """Batches end as told, with some results spoilt."""

    status, spoil = "completed", staticmethod(lambda lines: lines)

    def _batch(self, method, path, body):
        reply = super()._batch(method, path, body)
        if isinstance(reply.body, dict) and reply.body.get("status") == "completed" and "spoilt" not in reply.body:
            lines = self.files[reply.body["output_file_id"]].splitlines()
            self.files[reply.body["output_file_id"]] = b"\n".join(self.spoil(lines))
            reply.body.update(status=self.status, spoilt=True)
            if self.status == "failed":
                told = {"object": "list", "data": [{"code": "invalid", "message": f"line 1 is too long {KEY}"}]}
                reply.body.update(output_file_id=None, errors=told)
        return reply


def test_a_batch_that_fails_says_why_and_costs_nothing(tmp_path):
    server = Rejecting(echo)
    server.status = "failed"
    with serving(server) as url:
        failed = batch(settings(url, tmp_path), [question(1)])
    (only,) = failed.values()
    assert "batch-0 ended as failed: line 1 is too long ***" in only.message
    assert spending(tmp_path) == (0, 0)


def test_what_an_expired_batch_left_out_is_asked_when_the_job_runs_again(tmp_path):
    server = Rejecting(echo)
    server.status, server.spoil = "expired", lambda lines: lines[:3]
    with serving(server) as url:
        failed = batch(settings(url, tmp_path), [question(i) for i in range(5)])
        assert len(failed) == 2
        server.status, server.spoil = "completed", lambda lines: lines
        assert batch(settings(url, tmp_path), [question(i) for i in range(5)]) == {}
    assert sorted(server.answered.values()) == [1, 1, 1, 2, 2]  # the server threw two of its answers away


def test_spoilt_lines_of_a_batch_are_told_and_counted_as_the_most_they_can_cost(tmp_path):
    def spoil(lines):
        kinds = [json.loads(line) for line in lines]
        kinds[0]["response"]["body"] = {"no": "completion"}
        kinds[1]["response"] = "nothing"
        kinds[2] |= {"response": {"status_code": 400, "body": {"error": {"message": f"no {KEY}"}}}}
        return [
            *(json.dumps(kind).encode() for kind in kinds),
            b"",
            b"[" * 100_000,
            b'{"custom_id": "stranger"}',
            b"nul",
        ]

    server = Rejecting(echo)
    server.spoil = spoil
    with serving(server) as url:
        one = settings(url, tmp_path)
        failed = batch(one, [question(i) for i in range(5)])
    assert sorted(each.kind for each in failed.values()) == ["malformed", "malformed", "server"]
    assert not any(KEY in each.message for each in failed.values())
    with sqlite3.connect(tmp_path / "answers.sqlite") as database:
        count, stored = database.execute("SELECT count(*), sum(nano) FROM answers").fetchone()
    assert count == 2
    most = price_of(one)[0].at_most(question(1), one.max_tokens, batch=True)
    assert spending(tmp_path) == (stored + 2 * most, 0)


def test_a_batch_that_the_server_forgot_counts_as_paid_and_is_asked_again(tmp_path):
    server = FakeOpenAI(echo)
    server.polls = 10**6

    async def impatient(url):
        async with Chat(settings(url, tmp_path)) as chat:
            await asyncio.wait_for(chat.batch([question(1)]), 0.3)

    class Forgetful(FakeOpenAI):
        def _batch(self, method, path, body):
            found = path.endswith("/batches") or path.rsplit("/", 1)[-1] in self.batches
            return super()._batch(method, path, body) if found else Reply(404, {"error": {"message": "no batch"}})

    with serving(server) as url, pytest.raises(TimeoutError):
        asyncio.run(impatient(url))
    lost = spending(tmp_path)[1]
    other = Forgetful(echo)
    with serving(other) as url:
        other.batches["before"] = {"id": "before", "metadata": None, "status": "completed"}
        with sqlite3.connect(tmp_path / "answers.sqlite") as database:
            database.execute("UPDATE batches SET id = 'batch-lost'")
        assert batch(settings(url, tmp_path), [question(1)]) == {}
    assert spending(tmp_path) == (lost + billed(other) // 2, 0)
