"""The client of language models against a server that breaks in every way, over real HTTP on this machine."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from leaplan.errors import ConfigError, DataError
from leaplan.text.chat import Answer, Chat, ChatSettings, Failed, Request, Usage, request_hash
from leaplan.text.chat.loopback import Reply, completion
from leaplan.text.chat.prices import NANO, price_of
from leaplan.text.chat.wire import read_completion, seconds_to_wait
from tests.fake_openai_server import PASSING, FakeOpenAI, key_of, serving

KEY = "sk-very-secret-0123456789"
PRICE = (1.0, 0.5, 4.0)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def echo(messages: list[dict[str, str]]) -> str:
    return json.dumps({"said": messages[-1]["content"]})


def question(number: int, **more) -> Request:
    return Request(({"role": "user", "content": f"say {number}"},), "said", {"type": "object"}, **more)


def settings(url: str, folder: Path, **more) -> ChatSettings:
    usual = {"timeout": 10.0, "first_wait": 0.01, "price": PRICE, "grace": 2.0, "poll_seconds": 0.01}
    return ChatSettings("some-model", url, cache=folder / "answers.sqlite", **{**usual, **more})


def ask_all(chat_settings: ChatSettings, requests) -> dict:
    """Ask all and return the outcomes by id."""

    async def run() -> dict:
        outcomes = {}
        async with Chat(chat_settings) as chat:
            await chat.ask_all(requests, outcomes.__setitem__)
        return outcomes

    return asyncio.run(run())


def ask(chat_settings: ChatSettings, request: Request) -> Answer | Failed:
    return ask_all(chat_settings, [(0, request)])[0]


def spending(folder: Path) -> tuple[int, int]:
    with sqlite3.connect(folder / "answers.sqlite") as database:
        return database.execute("SELECT paid, reserved FROM total").fetchone()


def billed(server: FakeOpenAI) -> int:
    """What the server would ask for, in nano-dollars."""
    return round(server.prompt_tokens * PRICE[0] * 1000 + server.completion_tokens * PRICE[2] * 1000)


# --- answers -------------------------------------------------------------------------------------------------


def test_an_answer_tells_text_tokens_price_and_who_gave_it(tmp_path):
    server = FakeOpenAI(echo)
    with serving(server) as url:
        answer = ask(settings(url, tmp_path), question(1))
    assert answer.text == '{"said": "say 1"}'
    assert (answer.finish_reason, answer.model, answer.fingerprint) == ("stop", "loopback", "fp_loopback")
    assert answer.usage == Usage(server.prompt_tokens, 0, server.completion_tokens)
    assert round(answer.usd * NANO) == billed(server) == spending(tmp_path)[0]
    sent = server.bodies[0]
    assert sent["response_format"]["json_schema"] == {"name": "said", "schema": {"type": "object"}, "strict": True}
    assert (sent["model"], sent["temperature"], sent["seed"], sent["max_tokens"]) == ("some-model", 0.0, 7, 2000)
    assert [dict(message) for message in question(1).messages] == sent["messages"]


def test_nothing_is_asked_twice_within_a_job_or_after_it(tmp_path):
    server = FakeOpenAI(echo, latency=0.02)
    with serving(server) as url:
        first = ask_all(settings(url, tmp_path), [(i, question(i % 5)) for i in range(40)])
        again = ask_all(settings(url, tmp_path), [(i, question(i % 5)) for i in range(40)])
    assert set(server.asked.values()) == {1}
    assert len(server.asked) == 5
    assert {i: a.text for i, a in first.items()} == {i: a.text for i, a in again.items()}
    assert sum(not answer.cached for answer in first.values()) == 5
    assert all(answer.cached for answer in again.values())
    assert spending(tmp_path) == (billed(server), 0)


@pytest.mark.parametrize(
    "other",
    [{"temperature": 0.5}, {"seed": 8}, {"max_tokens": 9}, {"structured": "json"}, {"base_url": "http://other/v1"}],
)
def test_whatever_decides_an_answer_decides_its_hash(other, tmp_path):
    one, two = settings("http://one/v1", tmp_path), settings("http://one/v1", tmp_path, timeout=1.0, concurrency=1)
    assert request_hash(one, question(1)) == request_hash(two, question(1))
    assert request_hash(one, question(1)) != request_hash(replace(one, **other), question(1))
    assert request_hash(one, question(1)) != request_hash(one, question(2))
    assert request_hash(one, question(1)) != request_hash(one, question(1, again=1))


def test_cached_answers_need_neither_key_nor_server(tmp_path, monkeypatch):
    with serving(FakeOpenAI(echo)) as url:
        ask(settings(url, tmp_path), question(1))
    monkeypatch.delenv("OPENAI_API_KEY")
    assert ask(settings(url, tmp_path), question(1)).cached


def test_no_more_requests_are_under_way_than_allowed_and_none_is_taken_early(tmp_path):
    server, taken = FakeOpenAI(echo, latency=0.02), []

    def requests():
        for number in range(60):
            taken.append(number)
            yield number, question(number)

    done = []
    with serving(server) as url:

        async def run():
            async with Chat(settings(url, tmp_path, concurrency=6)) as chat:
                await chat.ask_all(requests(), lambda *_: done.append(len(taken)))

        asyncio.run(run())
    assert server.most_under_way == 6
    assert all(count <= finished + 7 for finished, count in enumerate(done))


# --- faults that pass ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", PASSING)
def test_answers_are_the_same_whatever_breaks_on_the_way(fault, tmp_path):
    whole, broken = FakeOpenAI(echo), FakeOpenAI(echo, share=1.0, faults=(fault,))
    expected = [(i, question(i)) for i in range(8)]
    with serving(whole) as url:
        right = ask_all(settings(url, tmp_path / "right"), expected)
    with serving(broken) as url:
        # something must have answered before: that nobody ever does is another matter
        outcomes = ask_all(settings(url, tmp_path, timeout=0.7 if fault == "hang" else 10), expected)
    assert {i: a.text for i, a in outcomes.items()} == {i: a.text for i, a in right.items()}
    assert set(broken.asked.values()) == {4 if fault == "storm" else 2}
    paid, reserved = spending(tmp_path)
    assert paid == billed(broken)
    assert (reserved > 0) == (
        fault in ("reset", "hang", "cut body", "no completion")
    )  # the server may have billed them


def test_retry_after_is_obeyed_in_all_its_forms():
    assert seconds_to_wait({"retry-after": "3"}) == 3
    assert seconds_to_wait({"retry-after": "0.5"}) == 0.5
    assert seconds_to_wait({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert 58 < seconds_to_wait({"retry-after": formatdate(time.time() + 60, usegmt=True)}) <= 60
    assert seconds_to_wait({"retry-after": formatdate(time.time() - 60, usegmt=True)}) == 0
    assert seconds_to_wait({"retry-after": "soon"}) is None
    assert seconds_to_wait({}) is None


def test_all_requests_wait_where_the_server_has_too_many(tmp_path):
    times = []

    class Busy(FakeOpenAI):
        async def _complete(self, body):
            times.append(time.monotonic())
            if len(times) == 1:
                return Reply(429, {"error": {"message": "slow down"}}, {"retry-after": "0.6"})
            return await super()._complete(body)

    with serving(Busy(echo)) as url:
        ask_all(settings(url, tmp_path, concurrency=1), [(i, question(i)) for i in range(3)])
    assert times[1] - times[0] >= 0.6


def test_a_server_that_never_recovers_is_given_up_for_that_request_only(tmp_path):
    class Sick(FakeOpenAI):
        async def _complete(self, body):
            if body["messages"][0]["content"] == "say 1":
                return Reply(503, {"error": {"message": f"no capacity for {KEY}"}})
            return await super()._complete(body)

    with serving(Sick(echo)) as url:
        outcomes = ask_all(settings(url, tmp_path, attempts=3), [(i, question(i)) for i in range(3)])
    assert outcomes[1] == Failed("server", "HTTP 503: no capacity for ***", 3, outcomes[1].request_hash)
    assert isinstance(outcomes[0], Answer)
    assert isinstance(outcomes[2], Answer)


def test_a_storm_that_does_not_end_is_given_up_when_patience_is_over(tmp_path):
    storm = FakeOpenAI(echo, always=Reply(429, {"error": {"message": "slow down"}}))
    with serving(storm) as url:
        outcome = ask(settings(url, tmp_path, patience=0.3), question(1))
    assert outcome.kind == "rate limit"
    assert spending(tmp_path) == (0, 0)


# --- faults that stay ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("always", "words"),
    [
        (Reply(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}), "refuses the key in OPENAI_API_KEY"),
        (Reply(403, {"error": {"message": "no"}}), "HTTP 403"),
        (
            Reply(404, {"error": {"message": "The model `some-model` does not exist"}}),
            "does not know model 'some-model'",
        ),
        (Reply(429, {"error": {"message": "pay", "code": "insufficient_quota"}}), "no money left"),
    ],
)
def test_what_would_fail_for_all_ends_the_job_with_one_message(always, words, tmp_path):
    server = FakeOpenAI(echo, always=always)
    with serving(server) as url, pytest.raises(ConfigError, match=words) as told:
        ask_all(settings(url, tmp_path, concurrency=4), [(i, question(i)) for i in range(50)])
    assert KEY not in str(told.value)
    assert sum(server.asked.values()) <= 8
    assert spending(tmp_path) == (0, 0)


def test_what_was_paid_before_a_fatal_error_is_kept(tmp_path):
    server = FakeOpenAI(echo)
    with serving(server) as url:
        ask_all(settings(url, tmp_path), [(i, question(i)) for i in range(5)])
        server.always = Reply(401, {"error": {"message": "expired"}})
        with pytest.raises(ConfigError):
            ask_all(settings(url, tmp_path), [(i, question(i)) for i in range(9)])
        server.always = None
        ask_all(settings(url, tmp_path), [(i, question(i)) for i in range(9)])
    assert set(server.answered.values()) == {1}


def test_no_server_and_no_key_are_told(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"http://127.0.0.1:9/v1 does not answer"):
        ask(settings("http://127.0.0.1:9/v1", tmp_path, attempts=2), question(1))
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):
        ask(settings("", tmp_path), question(1))


@pytest.mark.parametrize(
    ("refuses", "format_type"), [(("json_schema",), "json_object"), (("json_schema", "json_object"), None)]
)
def test_a_server_without_json_schema_is_told_the_schema_in_words(refuses, format_type, tmp_path):
    server = FakeOpenAI(lambda messages: '{"ok": 1}', refuses=refuses)
    with serving(server) as url:
        outcomes = ask_all(settings(url, tmp_path, concurrency=1), [(i, question(i)) for i in range(3)])
    assert all(isinstance(outcome, Answer) for outcome in outcomes.values())
    last = server.bodies[-1]
    assert last.get("response_format", {}).get("type") == format_type
    assert '{"type": "object"}' in last["messages"][0]["content"]
    assert len(server.bodies) == 3 + len(refuses)  # learnt once, not for every request


def test_parameters_that_a_server_refuses_are_left_out(tmp_path):
    server = FakeOpenAI(echo, refuses=("temperature", "seed"))
    with serving(server) as url:
        assert isinstance(ask(settings(url, tmp_path), question(1)), Answer)
    assert not {"temperature", "seed"} & set(server.bodies[-1])


def test_an_answer_that_is_too_long_is_not_read_to_its_end(tmp_path):
    long = Reply(200, completion("x" * (10 << 20), 1, 1))
    with serving(FakeOpenAI(echo, always=long)) as url:
        outcome = ask(settings(url, tmp_path, most_bytes=1 << 20), question(1))
    assert outcome.kind == "too long"


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": {"content": 3}}]}', b"[" * 200_000],
)
def test_a_body_that_is_no_completion_is_malformed(body):
    assert read_completion(body, "hash", "model").kind == "malformed"


def test_a_refusal_and_a_cut_answer_say_so():
    refused = read_completion(completion(None, 1, 1, refusal="I will not"), "hash", "model")
    assert (refused.text, refused.finish_reason) == ("I will not", "refusal")
    assert read_completion(completion("{", 1, 1, "length"), "hash", "model").finish_reason == "length"


# --- money ---------------------------------------------------------------------------------------------------


def test_the_budget_is_never_exceeded_and_more_money_continues(tmp_path):
    server = FakeOpenAI(echo, latency=0.01)
    requests = [(i, question(i)) for i in range(60)]
    with serving(server) as url:
        one = settings(url, tmp_path, max_tokens=20, concurrency=8)
        most = price_of(one)[0].at_most(question(10), 20)
        cap = 3 * most / NANO
        outcomes = ask_all(settings(url, tmp_path, max_tokens=20, concurrency=8, max_usd=cap), requests)
        refused = [o for o in outcomes.values() if isinstance(o, Failed)]
        assert {o.kind for o in refused} == {"budget"}
        paid, reserved = spending(tmp_path)
        assert paid == billed(server) <= round(cap * NANO)
        assert reserved == 0
        assert paid + most > round(cap * NANO)  # it was used up: not one more request would have fitted
        answered = 60 - len(refused)
        rest = ask_all(settings(url, tmp_path, max_tokens=20), requests)
    assert all(isinstance(o, Answer) for o in rest.values())
    assert sum(o.cached for o in rest.values()) == answered
    assert set(server.asked.values()) == {1}


def test_a_server_that_counts_no_tokens_is_taken_to_have_used_the_most(tmp_path):
    with serving(FakeOpenAI(echo, usage=False)) as url:
        one = settings(url, tmp_path, max_tokens=50)
        answer = ask(one, question(1))
    assert round(answer.usd * NANO) == price_of(one)[0].at_most(question(1), 50)


def test_prices_are_exact_and_unknown_ones_are_asked_for(tmp_path):
    price, source = price_of(ChatSettings("gpt-4o-mini-2024-07-18"))
    assert price.of(Usage(1_000_000, 0, 0)) == 150_000_000
    assert price.of(Usage(1_000_000, 1_000_000, 1_000_000)) == 675_000_000
    assert price.of(Usage(3, 0, 1), batch=True) == 525
    assert "table of" in source
    with pytest.raises(ConfigError, match=r"price of model 'unheard-of' is not known"):
        price_of(ChatSettings("unheard-of"))
    with pytest.raises(ConfigError, match="not known"):
        price_of(ChatSettings("unheard-of", "https://example.org/v1", max_usd=1.0))
    assert price_of(ChatSettings("unheard-of", "http://localhost:8000/v1", max_usd=1.0))[0].of(Usage(9, 0, 9)) == 0


def test_an_estimate_counts_what_is_new_and_bounds_what_it_costs(tmp_path):
    server = FakeOpenAI(echo)
    requests = [question(i % 6) for i in range(12)]
    with serving(server) as url:
        ask_all(settings(url, tmp_path), [(i, question(i)) for i in range(2)])
        before = spending(tmp_path)[0]

        async def estimate():
            async with Chat(settings(url, tmp_path)) as chat:
                return chat.estimate(requests)

        told = asyncio.run(estimate())
        assert len(server.asked) == 2  # nothing is sent
        ask_all(settings(url, tmp_path), list(enumerate(requests)))
    assert (told.requests, told.unique, told.cached) == (12, 6, 2)
    assert (spending(tmp_path)[0] - before) / NANO <= told.usd_most


# --- batches -------------------------------------------------------------------------------------------------


def batch(chat_settings: ChatSettings, requests) -> dict[str, Failed]:
    async def run():
        async with Chat(chat_settings) as chat:
            return await chat.batch(requests)

    return asyncio.run(run())


def test_a_batch_answers_into_the_cache_at_half_the_price(tmp_path):
    server = FakeOpenAI(echo)
    server.polls = 3
    requests = [question(i) for i in range(10)]
    with serving(server) as url:
        ask(settings(url, tmp_path), question(0))
        paid = billed(server)
        assert batch(settings(url, tmp_path), requests) == {}
        outcomes = ask_all(settings(url, tmp_path), list(enumerate(requests)))
    assert all(answer.cached for answer in outcomes.values())
    assert [answer.text for answer in outcomes.values()] == [echo(list(r.messages)) for r in requests]
    assert set(server.asked.values()) == {1}
    assert spending(tmp_path) == (paid + (billed(server) - paid) // 2, 0)


@pytest.mark.parametrize("moment", ["before its id is noted", "while it is waited for"])
def test_a_batch_is_found_again_after_a_kill(moment, tmp_path, monkeypatch):
    server = FakeOpenAI(echo)
    server.polls = 10**6 if moment == "while it is waited for" else 1
    requests = [question(i) for i in range(5)]
    with serving(server) as url:
        if moment == "before its id is noted":
            monkeypatch.setattr("leaplan.text.chat.store.Store.name_batch", _killed)
            with pytest.raises(KeyboardInterrupt):
                batch(settings(url, tmp_path), requests)
            monkeypatch.undo()
            monkeypatch.setenv("OPENAI_API_KEY", KEY)
        else:

            async def impatient():
                async with Chat(settings(url, tmp_path)) as chat:
                    await asyncio.wait_for(chat.batch(requests), 0.5)

            with pytest.raises(TimeoutError):
                asyncio.run(impatient())
            next(iter(server.batches.values()))["left"] = 1
        assert spending(tmp_path)[1] > 0
        assert batch(settings(url, tmp_path), requests) == {}
    assert len(server.batches) == 1
    assert set(server.answered.values()) == {1}
    assert spending(tmp_path) == (billed(server) // 2, 0)


def _killed(*_):
    raise KeyboardInterrupt


# --- interrupted, killed, spied on ---------------------------------------------------------------------------


def test_answers_under_way_are_kept_when_the_job_is_interrupted(tmp_path):
    server = FakeOpenAI(echo, latency=0.3)

    async def run():
        async with Chat(settings(url, tmp_path)) as chat:
            await asyncio.wait_for(chat.ask_all([(i, question(i)) for i in range(6)], lambda *_: None), 0.15)

    with serving(server) as url:
        with pytest.raises(TimeoutError):
            asyncio.run(run())
        assert len(server.answered) == 6
        ask_all(settings(url, tmp_path), [(i, question(i)) for i in range(6)])
    assert set(server.asked.values()) == {1}


CHILD = """
import asyncio, sys
from pathlib import Path
from leaplan.text.chat import Chat, ChatSettings, Request

async def main(url, folder):
    settings = ChatSettings("some-model", url, cache=Path(folder) / "answers.sqlite", first_wait=0.01,
                            price=(1.0, 0.5, 4.0), concurrency=4, seed=7)
    ask = lambda i: Request(({"role": "user", "content": f"say {i}"},), "said", {"type": "object"})
    requests = ((i, ask(i)) for i in range(120))
    async with Chat(settings) as chat:
        await chat.ask_all(requests, lambda *_: None)

asyncio.run(main(*sys.argv[1:]))
"""


def test_kill_9_loses_no_answer_and_the_ledger_stays_an_upper_bound(tmp_path):
    server = FakeOpenAI(echo, latency=0.02, share=0.2, faults=("rate limit", "error 500"))
    with serving(server) as url:
        for answers in (20, 50, 80):
            child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(CHILD), url, str(tmp_path)])
            while sum(server.answered.values()) < answers:
                assert child.poll() is None
                time.sleep(0.005)
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            assert sum(spending(tmp_path)) >= billed(server)
        outcomes = ask_all(settings(url, tmp_path, concurrency=4), [(i, question(i)) for i in range(120)])
    assert all(isinstance(outcome, Answer) for outcome in outcomes.values())
    stored = 120 - sum(not outcome.cached for outcome in outcomes.values())
    assert stored >= 80 - 3 * 4
    assert sum(server.answered.values()) <= 120 + 3 * 4  # only what was under way at a kill can be asked again
    paid, reserved = spending(tmp_path)
    assert paid + reserved >= billed(server)


def test_the_key_is_in_no_file(tmp_path):
    with serving(FakeOpenAI(echo)) as url:
        ask(settings(url, tmp_path), question(1))
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY not in repr(settings(url, tmp_path))


def test_a_password_in_the_address_is_refused_without_showing_it(tmp_path):
    with pytest.raises(ConfigError, match="user name or a password") as told:
        settings("http://me:hunter2@localhost/v1", tmp_path)
    assert "hunter2" not in str(told.value)


def test_another_file_is_no_store(tmp_path):
    (tmp_path / "answers.sqlite").write_text("these are my notes, more than one page of them" * 100)
    with pytest.raises(DataError, match="cannot be used as a store"):
        ask(settings("http://localhost/v1", tmp_path), question(1))


@pytest.mark.slow
def test_memory_is_flat_over_5000_requests(tmp_path):
    pages = []

    def measure(number, _):
        if number in (1_000, 4_999):
            pages.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))

    with serving(FakeOpenAI(lambda messages: '{"a": 1}')) as url:

        async def run():
            async with Chat(settings(url, tmp_path)) as chat:
                await chat.ask_all(((i, question(i)) for i in range(5_000)), measure)

        asyncio.run(run())
    print(f"resident after 1,000 and 5,000 requests: {pages[0] >> 20} and {pages[1] >> 20} MiB")
    assert pages[1] - pages[0] < 12 << 20  # 3 KiB for each, the server's own counters included


def test_conversations_are_told_apart():
    assert key_of([{"role": "user", "content": "a"}]) != key_of([{"role": "user", "content": "b"}])
