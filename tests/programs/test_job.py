"""Programs from a language model, over real HTTP to a server that breaks on demand."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter

import pytest

from leaplan.__main__ import main
from leaplan.errors import UserError
from leaplan.programs import generate
from leaplan.programs.rows import read_rows
from tests.fake_openai_server import PASSING, FakeOpenAI, Reply, serving
from tests.programs.small_epic import write_epic

KEY = "sk-secret-0123456789"
PRICE = (1.0, 0.5, 2.0)  # USD per million tokens
MODEL = "gpt-4o-mini"
QUICK = tuple(fault for fault in PASSING if fault != "storm")  # storms keep all requests waiting for seconds
AT_ONCE = tuple(fault for fault in QUICK if fault != "hang")  # needs no timeout that a busy machine may exceed
HANGS = ("--timeout", "1")


def clip_of(messages):
    """Return verb and noun of the clip that the first question is about."""
    told = messages[1]["content"].rsplit("# Clip", 1)[1]
    return re.search(r"^verb: (.*)$", told, re.M)[1], re.search(r"^noun: (.*)$", told, re.M)[1]


def program(verb, noun):
    reach = {
        "do": "reach",
        "a": noun,
        "b": "none",
        "hand": "right",
        "pre": ["free(right)"],
        "post": [f"near(right, {noun})"],
    }
    return {"program": verb, "arguments": [noun], "objects": [], "assume": ["free(right)"], "body": [reach]}


def good(messages):
    return json.dumps(program(*clip_of(messages)))


def bad(verb, noun):
    """Return an answer that is wrong in a way that depends on the verb."""
    right = program(verb, noun)
    undeclared = {**right, "body": [{**right["body"][0], "a": "tap" if noun != "tap" else "bowl"}]}
    wrongs = {
        "take": "I would take it with my right hand.",
        "put": json.dumps(right)[:-20],
        "wash": json.dumps({"steps": ["wash it"]}),
        "open": json.dumps(undeclared),
        "close": "{" * 5000,
        "ponder": "prose " * 20_000,
    }
    return wrongs[verb]


def mends(messages):
    """Answer wrongly first, and rightly in the repair turn."""
    return good(messages) if len(messages) > 2 else bad(*clip_of(messages))


def stubborn(messages):
    """Answer wrongly both times for plates, rightly at once for the others."""
    verb, noun = clip_of(messages)
    return bad(verb, noun) if noun == "plate" else good(messages)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """Set the key, and draw no pictures."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("leaplan.programs.coverage.draw", lambda coverage, path: path.write_bytes(b"picture"))


def arguments(root, out, url, *more):
    told = ["--root", root, "--out", out, "--backend", "llm", "--model", MODEL, "--base-url", url, "--timeout", "60"]
    return [str(each) for each in [*told, "--price", *PRICE, "--max-usd", "5", "--quiet", *more]]


def run(root, out, url, *more):
    return generate.main(arguments(root, out, url, *more))


def rows_of(out):
    return read_rows(out / "programs.jsonl")


def ledger(out):
    """Return USD paid, and USD that are counted at their highest for requests that nobody knows the end of."""
    with sqlite3.connect(out / "answers.sqlite") as base:
        return tuple(nano / 1e9 for nano in base.execute("SELECT paid, reserved FROM total").fetchone())


def billed(server):
    return (server.prompt_tokens * PRICE[0] + server.completion_tokens * PRICE[2]) / 1e6


def test_every_clip_gets_a_checked_program_with_its_provenance(tmp_path):
    root = write_epic(tmp_path / "data")
    server = FakeOpenAI(good)
    with serving(server) as url:
        assert run(root, tmp_path / "out", url) == 0
    rows = rows_of(tmp_path / "out")
    assert [row.state for row in rows] == ["ok"] * 16
    assert json.loads(rows[0].program) == program("take", "tap")
    origin = rows[0].provenance
    assert (origin.backend, origin.check, origin.repaired) == ("llm", "ok", False)
    assert re.fullmatch("[0-9a-f]{64}", origin.request)
    assert origin.tokens_in > 0
    assert origin.usd == pytest.approx((origin.tokens_in * PRICE[0] + origin.tokens_out * PRICE[2]) / 1e6, abs=1e-8)
    assert "answers.sqlite" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_equal_evidence_is_asked_once_and_its_price_is_shared(tmp_path):
    root = write_epic(tmp_path / "data", train=60, validation=0, narrations=7)
    server = FakeOpenAI(good)
    with serving(server) as url:
        run(root, tmp_path / "out", url, "--splits", "train")
    assert sum(server.asked.values()) == 7
    rows = rows_of(tmp_path / "out")
    assert sum(row.provenance.shared_by for row in rows if row.provenance.evidence == rows[0].provenance.evidence) == 81
    assert sum(row.provenance.usd / row.provenance.shared_by for row in rows) == pytest.approx(billed(server), abs=1e-6)
    assert ledger(tmp_path / "out") == (pytest.approx(billed(server), abs=1e-6), 0.0)


def test_one_repair_turn_sends_all_faults_back_and_mends(tmp_path):
    root = write_epic(tmp_path / "data")
    server = FakeOpenAI(mends)
    with serving(server) as url:
        run(root, tmp_path / "out", url)
    rows = rows_of(tmp_path / "out")
    assert {(row.state, row.provenance.repaired) for row in rows} == {("ok", True)}
    turns = [body["messages"] for body in server.bodies if len(body["messages"]) == 4]
    assert {message["role"] for message in turns[0]} == {"system", "user", "assistant"}
    told = {clip_of(messages)[0]: messages[3]["content"] for messages in turns}
    assert "holds no JSON object" in told["take"]
    assert 'body[0].a: "bowl" is not among the arguments and objects' in told["open"]
    assert rows[0].provenance.tokens_in > 2000  # both turns are counted


def test_what_cannot_be_mended_is_invalid_with_its_faults(tmp_path):
    root = write_epic(tmp_path / "data", train=48, validation=0)
    with serving(FakeOpenAI(stubborn)) as url:
        assert run(root, tmp_path / "out", url, "--splits", "train") == 0
    rows = [row for row in rows_of(tmp_path / "out") if row.noun == "plate"]
    assert {row.state for row in rows} == {"invalid"}
    kinds = {row.verb: row.faults[0].kind for row in rows}
    assert kinds["take"] == "no program in the answer"
    assert kinds["open"] == "undeclared object"
    assert {row.verb: bool(row.program) for row in rows}["open"]
    assert {row.verb: bool(row.program) for row in rows}["take"] is False
    told = json.loads((tmp_path / "out" / "coverage.json").read_text(encoding="utf-8"))
    assert told["states"] == {"pending": 0, "ok": 42, "invalid": 6, "failed": 0}
    with sqlite3.connect(tmp_path / "out" / "job.sqlite") as base:
        assert dict(base.execute("SELECT state, COUNT(*) FROM states GROUP BY state")) == {"ok": 42, "invalid": 6}


def test_rules_stand_in_on_request_and_say_so(tmp_path):
    root = write_epic(tmp_path / "data", train=48, validation=0)
    with serving(FakeOpenAI(stubborn)) as url:
        run(root, tmp_path / "out", url, "--splits", "train", "--fallback", "rules")
    rows = [row for row in rows_of(tmp_path / "out") if row.noun == "plate"]
    assert Counter(row.state for row in rows) == {"ok": 5, "invalid": 1}  # no rule for "ponder"
    for row in rows:
        if row.state == "ok":
            assert (row.provenance.backend, row.provenance.instead_of) == ("rules", "invalid")
            assert row.provenance.usd > 0


def test_retry_asks_invalid_clips_anew_and_only_those(tmp_path):
    root = write_epic(tmp_path / "data", train=48, validation=0)
    server = FakeOpenAI(stubborn)
    with serving(server) as url:
        run(root, tmp_path / "out", url, "--splits", "train")
        before = sum(server.asked.values())
        server.answer = good
        run(root, tmp_path / "out", url, "--splits", "train")
        assert sum(server.asked.values()) == before
        run(root, tmp_path / "out", url, "--splits", "train", "--retry", "failed,invalid")
    assert sum(server.asked.values()) == before + 6
    assert {row.state for row in rows_of(tmp_path / "out")} == {"ok"}


def test_faults_of_the_server_do_not_change_what_comes_out(tmp_path):
    root = write_epic(tmp_path / "data", train=200, validation=20)
    calm, stormy = FakeOpenAI(stubborn), FakeOpenAI(stubborn, share=0.2, faults=AT_ONCE)
    with serving(calm) as url:
        run(root, tmp_path / "calm", url)
    with serving(stormy) as url:
        assert run(root, tmp_path / "stormy", url) == 0
    assert comparable(tmp_path / "stormy") == comparable(tmp_path / "calm")
    assert max(stormy.answered.values()) == 1  # nothing is paid for twice
    assert sum(stormy.asked.values()) > sum(calm.asked.values())
    paid, reserved = ledger(tmp_path / "stormy")
    assert paid == pytest.approx(billed(stormy), abs=1e-6)
    assert paid + reserved <= 5


def comparable(out):
    """Return all rows without what names the server."""
    return [
        (row.clip, row.state, row.program, row.text, row.faults, row.provenance.usd, row.provenance.tokens_in,
         row.provenance.repaired, row.provenance.evidence, row.provenance.shared_by)
        for row in rows_of(out)
    ]  # fmt: skip


def test_a_server_that_only_fails_leaves_failed_clips_that_can_be_retried(tmp_path):
    root = write_epic(tmp_path / "data", train=3, validation=0)
    server = FakeOpenAI(good, always=Reply(400, {"error": {"message": "the prompt is odious"}}))
    with serving(server) as url:
        assert run(root, tmp_path / "out", url, "--splits", "train") == 0
        rows = rows_of(tmp_path / "out")
        assert {row.state for row in rows} == {"failed"}
        assert rows[0].faults[0].kind == "no answer: refused"
        assert "the prompt is odious" in rows[0].faults[0].message
        server.always = None
        run(root, tmp_path / "out", url, "--splits", "train", "--retry", "failed")
    assert {row.state for row in rows_of(tmp_path / "out")} == {"ok"}


def test_the_budget_ends_the_job_and_a_greater_one_continues_it(tmp_path, capsys):
    root = write_epic(tmp_path / "data", train=30, validation=0)
    server = FakeOpenAI(good)
    with serving(server) as url:
        assert run(root, tmp_path / "out", url, "--splits", "train", "--max-usd", "0.05", "--concurrency", "4") == 1
        first = Counter(row.state for row in rows_of(tmp_path / "out"))
        assert "with a greater --max-usd" in capsys.readouterr().err
        assert sum(ledger(tmp_path / "out")) <= 0.05
        assert 0 < first["ok"] < 30
        assert first["pending"] == 30 - first["ok"]
        assert run(root, tmp_path / "out", url, "--splits", "train") == 0
    assert {row.state for row in rows_of(tmp_path / "out")} == {"ok"}
    assert max(server.asked.values()) == 1


def test_a_budget_that_ends_before_the_repair_keeps_the_clip_pending(tmp_path):
    root = write_epic(tmp_path / "data", train=1, validation=0)
    server = FakeOpenAI(mends)
    with serving(server) as url:
        small = first_price_at_most(tmp_path, root, url) * 1.1
        assert run(root, tmp_path / "out", url, "--splits", "train", "--max-usd", f"{small:.6f}") == 1
        assert [row.state for row in rows_of(tmp_path / "out")] == ["pending"]
        assert run(root, tmp_path / "out", url, "--splits", "train") == 0
    assert [row.state for row in rows_of(tmp_path / "out")] == ["ok"]
    assert max(server.asked.values()) == 1


def first_price_at_most(tmp_path, root, url):
    import contextlib
    import io

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        run(root, tmp_path / "none", url, "--splits", "train", "--dry-run")
    return float(re.search(r"at most ([\d.]+) USD", said.getvalue())[1])


def test_a_dry_run_tells_all_numbers_sends_nothing_and_bounds_the_price(tmp_path, capsys):
    root = write_epic(tmp_path / "data", train=60, validation=0, narrations=7)
    server = FakeOpenAI(good)
    with serving(server) as url:
        assert run(root, tmp_path / "out", url, "--splits", "train", "--dry-run") == 0
        said = capsys.readouterr().out
        assert not server.asked
        assert not (tmp_path / "out").exists()
        assert "60 clips of EPIC-KITCHENS-100: 7 different pieces of evidence" in said
        assert "7 unique, 0 answered already, 7 to send" in said
        run(root, tmp_path / "out", url, "--splits", "train", "--limit", "3")
        assert billed(server) <= float(re.search(r"at most ([\d.]+) USD", said)[1])
        capsys.readouterr()
        run(root, tmp_path / "out", url, "--splits", "train", "--dry-run")
    assert "7 unique, 3 answered already, 4 to send" in capsys.readouterr().out


def test_evidence_and_prompt_of_a_clip_can_be_shown(tmp_path, capsys):
    root = write_epic(tmp_path / "data")
    assert generate.main(["--root", str(root), "--dry-run", "--show", "P01_01_3"]) == 0
    said = capsys.readouterr().out
    assert 'said: "open tap 3"' in said
    assert "# Verbs of sub-actions" in said
    assert "Answer with the JSON object" in said
    with pytest.raises(UserError, match="no clip P09"):
        generate.main(["--root", str(root), "--dry-run", "--show", "P09"])


def test_the_unchanging_part_of_prompts_comes_first(tmp_path):
    root = write_epic(tmp_path / "data")
    server = FakeOpenAI(good)
    with serving(server) as url:
        run(root, tmp_path / "out", url)
    prompts = [body["messages"] for body in server.bodies]
    assert len({messages[0]["content"] for messages in prompts}) == 1
    assert len({messages[1]["content"] for messages in prompts}) == len(prompts)
    assert "rack:drying" in prompts[0][0]["content"]


@pytest.mark.parametrize("structured", ["schema", "json", "text"])
def test_answers_can_be_asked_for_in_three_ways(tmp_path, structured):
    root = write_epic(tmp_path / "data", train=2, validation=0)
    server = FakeOpenAI(good)
    with serving(server) as url:
        run(root, tmp_path / "out", url, "--splits", "train", "--structured", structured)
    format_told = server.bodies[-1].get("response_format", {}).get("type")
    assert format_told == {"schema": "json_schema", "json": "json_object", "text": None}[structured]
    assert {row.state for row in rows_of(tmp_path / "out")} == {"ok"}


def test_batches_give_the_same_rows_at_half_the_price(tmp_path, monkeypatch):
    root = write_epic(tmp_path / "data", train=48, validation=0)
    monkeypatch.setattr("leaplan.programs.asking.POLL_SECONDS", 0.01)
    one, two = FakeOpenAI(stubborn), FakeOpenAI(stubborn)
    with serving(one) as url:
        run(root, tmp_path / "one", url, "--splits", "train")
    with serving(two) as url:
        assert run(root, tmp_path / "two", url, "--splits", "train", "--batch") == 0
    assert len(two.batches) == 2  # programs, repairs
    assert [row[:5] for row in comparable(tmp_path / "two")] == [row[:5] for row in comparable(tmp_path / "one")]
    assert ledger(tmp_path / "two")[0] == pytest.approx(ledger(tmp_path / "one")[0] / 2, rel=1e-3)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(401, {"error": {"message": "Incorrect API key provided"}}), "refuses the key in OPENAI_API_KEY"),
        (Reply(404, {"error": {"message": "The model does not exist"}}), "does not know model 'gpt-4o-mini'"),
    ],
)
def test_what_is_wrong_for_all_ends_the_job_at_once(tmp_path, capsys, reply, said):
    root = write_epic(tmp_path / "data", train=40, validation=0)
    server = FakeOpenAI(good, always=reply)
    with serving(server) as url:
        assert main(["generate-programs", *arguments(root, tmp_path / "out", url, "--concurrency", "4")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert KEY not in error
    assert sum(server.asked.values()) <= 4


def test_the_key_is_in_no_file(tmp_path):
    root = write_epic(tmp_path / "data")
    with serving(FakeOpenAI(mends, share=0.3)) as url:
        run(root, tmp_path / "out", url, *HANGS)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) >= 8
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_other_settings_in_the_same_folder_are_refused_by_name(tmp_path):
    root = write_epic(tmp_path / "data", train=2, validation=0)
    with serving(FakeOpenAI(good)) as url:
        run(root, tmp_path / "out", url, "--splits", "train")
        with pytest.raises(UserError, match=r"examples 4 \(now 2\)"):
            run(root, tmp_path / "out", url, "--splits", "train", "--examples", "2")


def test_clips_of_which_nothing_is_known_fail_without_a_request(tmp_path):
    root = write_epic(tmp_path / "data", train=5, validation=0)
    path = root / "epic100" / "EPIC_100_train.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[5] = "P01_01_4,P01,P01_01,,00:00:04.1,00:00:04.9,1,2,,,,,,,"
    path.write_text("\n".join(lines), encoding="utf-8")
    server = FakeOpenAI(good)
    with serving(server) as url:
        run(root, tmp_path / "out", url, "--splits", "train")
    rows = rows_of(tmp_path / "out")
    assert (rows[4].state, rows[4].faults[0].kind) == ("failed", "no evidence")
    assert sum(server.asked.values()) == 4


def killed(command, kills, server, requests):
    """Start `command` and kill it `kills` times, spread over `requests`; then let it end, and return how it did."""
    for kill in range(1, kills + 1):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while len(server.answered) < requests * kill / (kills + 1):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    return subprocess.run(command, check=False, capture_output=True, text=True)


def a_job_that_is_killed(tmp_path, clips, kills, concurrency, budget, faults):
    """Run a job to its end with and without kills and faults, and compare."""
    root = write_epic(tmp_path / "data", train=clips, validation=0)
    calm, stormy = FakeOpenAI(stubborn), FakeOpenAI(stubborn, share=0.2, faults=faults, latency=0.05)
    with serving(calm) as url:
        run(root, tmp_path / "calm", url, "--splits", "train", "--max-usd", "99")
    more = ["--splits", "train", "--concurrency", concurrency, "--max-usd", budget, *HANGS]
    with serving(stormy) as url:
        command = [sys.executable, "-m", "leaplan", "generate-programs", *arguments(root, tmp_path / "out", url, *more)]
        done = killed(command, kills, stormy, len(calm.answered))
    assert done.returncode == 0, done.stderr
    assert comparable(tmp_path / "out") == comparable(tmp_path / "calm")
    paid, reserved = ledger(tmp_path / "out")
    assert paid <= billed(stormy) + 1e-6 <= paid + reserved + 2e-6
    assert paid + reserved <= budget
    return stormy


def test_a_job_killed_three_times_ends_as_if_it_never_was(tmp_path):
    server = a_job_that_is_killed(tmp_path, clips=100, kills=3, concurrency=8, budget=5, faults=QUICK)
    twice = sum(count > 1 for count in server.answered.values())
    assert twice <= 3 * 8  # only what was under way when the process died


@pytest.mark.slow
def test_a_thousand_clips_killed_ten_times_end_as_if_they_never_were(tmp_path):
    server = a_job_that_is_killed(tmp_path, clips=1000, kills=10, concurrency=16, budget=20, faults=PASSING)
    assert sum(count > 1 for count in server.answered.values()) <= 10 * 16  # of more than 1,000


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_job_says_how_to_continue_and_does(tmp_path, end):
    root = write_epic(tmp_path / "data", train=60, validation=0)
    server = FakeOpenAI(good, latency=0.3)
    with serving(server) as url:
        more = ["--splits", "train", "--concurrency", "2"]
        command = [sys.executable, "-m", "leaplan", "generate-programs", *arguments(root, tmp_path / "out", url, *more)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while sum(server.answered.values()) < 4:
            time.sleep(0.05)
        process.send_signal(end)
        _, said = process.communicate()
        assert process.returncode == 130
        assert "run the same command again to continue" in said
        assert "Traceback" not in said
        server.latency = 0.0
        run(root, tmp_path / "out", url, *more)
    assert {row.state for row in rows_of(tmp_path / "out")} == {"ok"}
    assert max(server.answered.values()) == 1  # answers under way were waited for
