"""The verb `generate-programs` by rules: every clip has its row, in order, however often the job was cut off."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from leaplan.__main__ import main
from leaplan.data.kitchen.cast import cast
from leaplan.data.kitchen.evidence import annotation, evidence, vocabulary
from leaplan.data.kitchen.simulate import simulate
from leaplan.errors import UserError
from leaplan.programs import generate
from leaplan.programs.check import check
from leaplan.programs.ledger import Alone, Ledger
from leaplan.programs.rows import read_rows
from leaplan.programs.vocabulary import epic_language
from tests.programs.small_epic import write_epic


@pytest.fixture
def root(tmp_path):
    return write_epic(tmp_path / "data")


@pytest.fixture(autouse=True)
def quick_pictures(request, monkeypatch):
    """Draw no picture, which takes a second, where a test does not look at it."""
    if "card_and_coverage" not in request.node.name:
        monkeypatch.setattr("leaplan.programs.coverage.draw", lambda coverage, path: path.write_bytes(b"picture"))


def run(root, out, *more):
    return generate.main(["--root", str(root), "--out", str(out), "--quiet", *more])


def language(root):
    folder = root / "epic100"
    return epic_language(folder / "EPIC_100_verb_classes.csv", folder / "EPIC_100_noun_classes.csv").language


def test_every_clip_has_a_row_in_the_order_of_the_annotations(root, tmp_path):
    assert run(root, tmp_path / "out") == 0
    rows = read_rows(tmp_path / "out" / "programs.jsonl")
    assert [row.clip for row in rows] == [f"P01_01_{n}" for n in range(12)] + [f"P02_01_{n}" for n in range(4)]
    assert [row.split for row in rows] == ["train"] * 12 + ["val"] * 4
    assert read_rows(tmp_path / "out" / "programs.parquet") == rows
    assert (rows[3].start, rows[3].stop) == (3.1, 3.9)


def test_valid_programs_pass_the_checker_and_the_others_say_why(root, tmp_path):
    run(root, tmp_path / "out")
    words = language(root)
    rows = read_rows(tmp_path / "out" / "programs.parquet")
    for row in rows:
        if row.state == "ok":
            assert not check(row.read_program(words), words)
            assert row.provenance.check == "ok"
        else:
            assert row.verb == "ponder"
            assert (row.state, row.program, row.faults[0].kind) == ("failed", "", "no rule")
    assert sum(row.state == "ok" for row in rows) == 14


def test_the_folder_holds_card_and_coverage_that_agree_with_the_rows(root, tmp_path):
    run(root, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "coverage.json").read_text(encoding="utf-8"))
    assert told["all"] == {"rows": 16, "valid": 14, "share": 14 / 16}
    assert told["reasons"]["no rule"]["rows"] == 2
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "CC BY-NC 4.0" in card
    assert "16 clips, 14 of them" in card
    assert (tmp_path / "out" / "coverage.png").stat().st_size > 10_000


def test_running_again_gives_the_same_bytes(root, tmp_path):
    run(root, tmp_path / "one")
    run(root, tmp_path / "two")
    first = (tmp_path / "one" / "programs.jsonl").read_bytes()
    assert (tmp_path / "two" / "programs.jsonl").read_bytes() == first
    run(root, tmp_path / "one")
    assert (tmp_path / "one" / "programs.jsonl").read_bytes() == first


def test_a_part_first_and_then_the_whole_gives_the_whole(root, tmp_path):
    run(root, tmp_path / "out", "--limit", "3")
    assert len(read_rows(tmp_path / "out" / "programs.jsonl")) == 3
    run(root, tmp_path / "out")
    run(root, tmp_path / "whole")
    whole = (tmp_path / "whole" / "programs.jsonl").read_bytes()
    assert (tmp_path / "out" / "programs.jsonl").read_bytes() == whole


def test_clips_and_splits_can_be_chosen(root, tmp_path):
    run(root, tmp_path / "out", "--clips", "P02_01_3", "P01_01_2")
    assert [row.clip for row in read_rows(tmp_path / "out" / "programs.jsonl")] == ["P01_01_2", "P02_01_3"]
    run(root, tmp_path / "out", "--splits", "val")
    assert {row.split for row in read_rows(tmp_path / "out" / "programs.jsonl")} == {"val"}


def test_a_finished_job_by_rules_sees_changed_annotations(root, tmp_path):
    run(root, tmp_path / "out")
    path = root / "epic100" / "EPIC_100_validation.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("take tap 0", "take spoon"), encoding="utf-8")
    run(root, tmp_path / "out")
    assert read_rows(tmp_path / "out" / "programs.jsonl")[12].narration == "take spoon"


def test_equal_clips_share_one_answer_and_say_so(tmp_path):
    root = write_epic(tmp_path / "data", train=12, validation=0, narrations=3)
    run(root, tmp_path / "out", "--splits", "train")
    rows = read_rows(tmp_path / "out" / "programs.jsonl")
    assert len({row.provenance.evidence for row in rows}) == 3
    assert {row.provenance.shared_by for row in rows} == {4}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--out is missing"),
        (["--out", "o"], "--root is missing"),
        (["--out", "o", "--root", "absent"], "absent"),
        (["--out", "o", "--show", "P01_01_0"], "belongs to --dry-run"),
        (["--out", "o", "--backend", "llm", "--root", "."], "needs --model"),
        (["--out", "o", "--root", ".", "--batch"], "belong to --backend llm"),
    ],
)
def test_wrong_use_is_told_in_two_lines(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["generate-programs", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("more", "said"), [(["--clips", "P09_09_9"], "no clip P09_09_9"), (["--splits", "test"], "no split 'test'")]
)
def test_unknown_clips_and_splits_are_told(root, tmp_path, more, said):
    with pytest.raises(UserError, match=said):
        run(root, tmp_path / "out", *more)


def test_two_processes_do_not_work_in_one_folder(root, tmp_path):
    with Alone(tmp_path / "out"), pytest.raises(UserError, match=f"process {os.getpid()}"):
        run(root, tmp_path / "out")
    assert run(root, tmp_path / "out") == 0


def test_a_folder_of_a_later_version_is_left_alone(root, tmp_path):
    ledger = Ledger(tmp_path / "out")
    ledger.tell("schema", 99)
    ledger.close()
    with pytest.raises(UserError, match="version 99"):
        run(root, tmp_path / "out")


def test_a_folder_that_is_no_job_is_told(root, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "job.sqlite").write_text("this is no database, and long enough to be looked at" * 99)
    with pytest.raises(UserError, match=r"job\.sqlite cannot be opened"):
        run(root, tmp_path / "out")


def test_killed_jobs_are_continued_to_the_same_end(tmp_path):
    root = write_epic(tmp_path / "data", train=3000, validation=10)
    command = [
        sys.executable,
        "-m",
        "leaplan",
        "generate-programs",
        "--root",
        str(root),
        "--out",
        str(tmp_path / "out"),
    ]
    for count in (1000, 2000):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while answers_in(tmp_path / "out" / "job.sqlite") < count:
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    run(root, tmp_path / "whole")
    whole = (tmp_path / "whole" / "programs.jsonl").read_bytes()
    assert (tmp_path / "out" / "programs.jsonl").read_bytes() == whole


def answers_in(path):
    """Return how many answers a job under way has committed."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as base:
            return base.execute("SELECT COUNT(*) FROM answers").fetchone()[0]
    except sqlite3.OperationalError:  # not made yet, or busy
        return 0


def test_help_has_an_example_and_names_all_options(capsys):
    with pytest.raises(SystemExit) as caught:
        generate.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "leaplan generate-programs --root /data --out programs/epic100" in text
    assert "--max-usd" in text
    assert "--dry-run" in text


def test_help_needs_nothing_heavy():
    code = "import sys; from leaplan.__main__ import main\ntry: main(['generate-programs', '--help'])\n"
    code += "except SystemExit: pass\n"
    code += "print(sorted({'torch', 'openai', 'pandas', 'pyarrow', 'matplotlib', 'numpy'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_rules_cover_the_real_epic_rows(shared, tmp_path):
    """Of the smaller split; that they cover the other as well is for tests of the rules, which write nothing."""
    assert run(shared / "data", tmp_path / "out", "--splits", "val") == 0
    told = json.loads((tmp_path / "out" / "coverage.json").read_text(encoding="utf-8"))
    assert told["all"]["rows"] == told["narrated"]["rows"] == 9_668
    assert told["narrated"]["share"] >= 0.87  # LEAP's own figure


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory):
    """A kitchen of six videos, annotations and evidence only."""
    folder = tmp_path_factory.mktemp("cache") / "kitchen-v1-seed7-6"
    (folder / "evidence").mkdir(parents=True)
    episodes = [simulate(role) for role in cast(7, 6)]
    told = {"vocabulary": vocabulary(), "videos": [annotation(episode) for episode in episodes]}
    (folder / "annotations.json").write_text(json.dumps(told), encoding="utf-8")
    for episode in episodes:
        path = folder / "evidence" / f"{episode.role.id}.json"
        path.write_text(json.dumps(evidence(episode, [])), encoding="utf-8")
    return folder


def test_the_synthetic_kitchen_gets_programs_in_its_own_words(kitchen, tmp_path):
    assert run(kitchen.parent, tmp_path / "out", "--dataset", "kitchen") == 0
    rows = read_rows(tmp_path / "out" / "programs.jsonl")
    told = json.loads((kitchen / "annotations.json").read_text(encoding="utf-8"))
    assert {row.clip for row in rows} == {s["id"] for video in told["videos"] for s in video["segments"]}
    assert {row.split for row in rows} == {"train", "val", "test"}
    assert {row.provenance.vocabulary for row in rows} == {"kitchen"}
    assert main(["check-programs", str(tmp_path / "out" / "programs.parquet"), "--root", str(kitchen)]) == 0
    assert "Apache-2.0" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_programs_of_the_kitchen_are_not_checked_against_other_words(kitchen, tmp_path, capsys):
    run(kitchen, tmp_path / "out", "--dataset", "kitchen", "--splits", "val")
    assert main(["check-programs", str(tmp_path / "out" / "programs.jsonl")]) == 2
    assert "in the words of 'kitchen'" in capsys.readouterr().err


def test_a_kitchen_that_is_not_there_is_told_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(UserError, match="check-data synthetic"):
        run(tmp_path, tmp_path / "out", "--dataset", "kitchen")
