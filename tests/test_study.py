"""The verb `study`: what it runs, skips, continues, refuses and reports, with a `fit` that only pretends to train."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from leaplan import study
from leaplan.__main__ import main
from leaplan.errors import UserError
from leaplan.planning.score import read_predictions
from leaplan.planning.scoring.figures import Resampling
from leaplan.planning.scoring.over_seeds import success_difference
from tests.small_niv import write_small_niv
from tests.test_cli import experiment

FIT = '''
"""Stands for `leaplan fit`: writes figures that are a function of its arguments, and notes that it was called."""
import json, os, pathlib, random, sys, time
words, given = sys.argv[1:], {}
for key, value in zip(words[::2], words[1::2], strict=True):
    given.setdefault(key, []).append(value)
value = lambda key, usual="": given.get(key, [usual])[-1]
run = pathlib.Path(value("--runs")) / value("--name")
horizon, seed, split = int(value("--horizon")), int(value("--seed_everything")), value("--final")
run.joinpath("starts.txt").open("a").write(json.dumps({**given, "threads": os.environ.get("OMP_NUM_THREADS")}) + "\\n")
print("training")
if value("--behave") == "crash":
    sys.exit("Traceback\\nleaplan: the data is gone\\n  Bring it back")
if value("--behave") == "nothing":
    sys.exit(0)
if value("--behave") == "hang":
    run.joinpath("process.txt").write_text(str(os.getpid()))
    time.sleep(60)
time.sleep(float(value("--seconds", "0")))
draw, share = random.Random(seed), float(value("--share", "0.8"))
lines, right = [], 0
for window in range(60):
    plan = [1] * horizon if draw.random() < share else [2] * horizon
    right += plan[0] == 1
    plans = {"viterbi": plan, "argmax": [2] * horizon}
    lines.append({"sample_id": f"w{window}", "video": f"v{window % 12}", "steps": [1] * horizon, "plans": plans})
run.joinpath("predictions").mkdir(exist_ok=True)
run.joinpath("predictions", f"{split}.jsonl").write_text("\\n".join(map(json.dumps, lines)))
figures = dict(mean_accuracy=0.5, mean_iou=0.5, success_rate_seen=0.5, success_rate_unseen=0.5)
figures["step_accuracy"] = [0.5] * horizon
decodings = {"viterbi": {**figures, "success_rate": right / 60}, "argmax": {**figures, "success_rate": 0.0}}
results = run / "results.json"
metrics = json.loads(results.read_text())["metrics"] if results.is_file() else {}
results.write_text(json.dumps({"metrics": {**metrics, split: {**decodings, "counts": {"windows": 60}}}}))
'''
STUDY = {
    "title": "Parts",
    "variants": {"full": [], "half": ["half.yaml", "--share 0.4"]},
    "tables": [{"title": "Parts"}, {"title": "Far", "layout": "horizons", "variant": "full"}],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with an experiment, an overlay and a study, and a `fit` that takes no time."""
    (tmp_path / "fit.py").write_text(FIT)
    monkeypatch.setattr(study, "FIT", (sys.executable, "-S", str(tmp_path / "fit.py")))
    monkeypatch.setattr(study, "POLL_SECONDS", 0.01)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (tmp_path / "network.yaml").write_text("width: 16\n")
    (tmp_path / "plan_toy_t3.yaml").write_text("horizon: 3\nseed_everything: 5\nroot: data\nmodel: network.yaml\n")
    (tmp_path / "half.yaml").write_text("# Overlay.\nmodel: {layers: 1}\n")
    (tmp_path / "parts.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    return tmp_path


def run(folder, *arguments):
    given = ["--config", str(folder / "plan_toy_t3.yaml"), "--runs", str(folder / "runs")]
    return main(["study", str(folder / "parts.yaml"), *given, *map(str, arguments)])


def starts(folder):
    """How often each run was started."""
    files = (folder / "runs").glob("*/starts.txt")
    return {file.parent.name: len(file.read_text().splitlines()) for file in files}


def arguments_of(folder, name):
    return json.loads((folder / "runs" / name / "starts.txt").read_text().splitlines()[-1])


def tables(folder):
    return json.loads((folder / "runs" / "study-parts" / "tables.json").read_text())


def change(folder, **content):
    (folder / "parts.yaml").write_text(yaml.safe_dump({**STUDY, **content}, sort_keys=False))


# --- what is run -------------------------------------------------------------------------------------------------


def test_every_variant_runs_at_every_horizon_with_every_seed(folder, capsys):
    assert run(folder, "--seeds", 7, 8, "--horizons", 3, 4, "--final", "val", "--root", "/d") == 0
    names = {f"plan-toy-{v}-t{t}-seed{s}" for v in ("full", "half") for t in (3, 4) for s in (7, 8)}
    assert starts(folder) == dict.fromkeys(names, 1)
    given = arguments_of(folder, "plan-toy-half-t4-seed8")
    assert given["--config"] == [str(folder / "plan_toy_t3.yaml"), str(folder / "half.yaml")]
    assert (given["--horizon"], given["--seed_everything"], given["--final"]) == (["4"], ["8"], ["val"])
    assert (given["--root"], given["--share"]) == (["/d"], ["0.4"])
    assert "$ leaplan fit" in (folder / "runs" / "plan-toy-half-t4-seed8" / "log.txt").read_text()
    out = capsys.readouterr().out
    assert "[1/8] full T=3 seed 7: SR " in out
    assert "[8/8] half T=4 seed 8: SR " in out
    assert out.count("left\n") == 7


def test_seed_and_horizon_are_those_of_the_experiment_unless_given(folder):
    assert run(folder) == 0
    assert set(starts(folder)) == {"plan-toy-full-t3-seed5", "plan-toy-half-t3-seed5"}


def test_a_dry_run_starts_nothing(folder, capsys):
    assert run(folder, "--dry-run", "--seeds", 7, 8) == 0
    assert not (folder / "runs").exists()
    assert capsys.readouterr().out.count("leaplan fit --config") == 4


def test_jobs_run_side_by_side_on_one_thread_each(folder):
    began = time.monotonic()
    assert run(folder, "--seeds", 1, 2, "--jobs", 4, "--seconds", 0.6) == 0
    assert time.monotonic() - began < 4 * 0.6
    assert arguments_of(folder, "plan-toy-full-t3-seed1")["threads"] == "1"
    assert run(folder, "--seeds", 3) == 0
    assert arguments_of(folder, "plan-toy-full-t3-seed3")["threads"] is None


# --- what is not run again -----------------------------------------------------------------------------------------


def test_finished_runs_are_skipped_and_new_ones_added(folder, capsys):
    assert run(folder, "--seeds", 7) == 0
    before = tables(folder)
    assert run(folder, "--seeds", 7) == 0
    assert tables(folder) == before
    assert run(folder, "--seeds", 7, 8) == 0
    assert "2 of 4 runs are there already" in capsys.readouterr().out
    assert set(starts(folder).values()) == {1}


def test_another_split_evaluates_the_same_runs(folder):
    assert run(folder, "--final", "val") == 0
    assert run(folder, "--final", "test") == 0
    assert set(starts(folder).values()) == {2}
    assert tables(folder)["split"] == "test"


def test_a_run_that_was_cut_off_is_started_again(folder):
    assert run(folder) == 0
    (folder / "runs" / "plan-toy-half-t3-seed5" / "results.json").unlink()
    assert run(folder) == 0
    assert starts(folder) == {"plan-toy-full-t3-seed5": 1, "plan-toy-half-t3-seed5": 2}


def test_figures_of_other_settings_are_never_taken_for_these(folder, capsys):
    assert run(folder) == 0
    (folder / "half.yaml").write_text("model: {layers: 2}  # another number\n")
    assert run(folder) == 1
    assert "with other settings (model.layers: 1 -> 2); remove it" in capsys.readouterr().out
    assert starts(folder)["plan-toy-half-t3-seed5"] == 1
    assert "other settings" in tables(folder)["runs"][1]["missing"]
    (folder / "network.yaml").write_text("width: 32\n")  # a file that the experiment names
    assert run(folder) == 1
    assert "model.width: 16 -> 32" in capsys.readouterr().out


def test_asking_for_another_split_does_not_let_old_figures_pass_for_new_ones(folder):
    assert run(folder, "--final", "val") == 0
    (folder / "half.yaml").write_text("model: {layers: 2}\n")
    assert run(folder, "--final", "test") == 1
    assert run(folder, "--final", "val") == 1
    assert starts(folder) == {"plan-toy-full-t3-seed5": 2, "plan-toy-half-t3-seed5": 1}


def test_where_a_run_stands_and_comments_are_free_to_change(folder):
    assert run(folder, "--root", "/here", "--threads", 1) == 0
    (folder / "half.yaml").write_text("# Another comment.\nmodel:\n  layers: 1\n")
    assert run(folder, "--root", "/there", "--trainer.accelerator", "gpu") == 0
    assert set(starts(folder).values()) == {1}


def test_a_finished_run_of_somebody_else_is_left_alone(folder, capsys):
    assert run(folder) == 0
    (folder / "runs" / "plan-toy-full-t3-seed5" / "study.json").unlink()
    assert run(folder) == 1
    assert "is a finished run, but not of a study" in capsys.readouterr().out


# --- failures ------------------------------------------------------------------------------------------------------


def test_a_failed_run_stops_no_other_and_is_told_below_the_table(folder, capsys):
    change(folder, variants={"half": ["--behave crash"], "empty": ["--behave nothing"], "full": []})
    assert run(folder, "--seeds", 7, 8) == 1
    out = capsys.readouterr().out
    assert "half T=3 seed 7: failed, see" in out
    assert "exit code 1: the data is gone" in out
    assert "empty T=3 seed 8: no figures of the test split (see" in out
    assert set(starts(folder)) == {f"plan-toy-{v}-t3-seed{s}" for v in ("half", "empty", "full") for s in (7, 8)}
    assert [row["horizons"]["3"] == {} for row in tables(folder)["tables"][0]["rows"]] == [True, True, False]
    change(folder, variants={"half": [], "empty": [], "full": []})
    assert run(folder, "--seeds", 7, 8) == 0  # mended
    assert starts(folder)["plan-toy-full-t3-seed7"] == 1


def test_damaged_results_are_told_and_stop_no_other(folder, capsys):
    assert run(folder) == 0
    (folder / "runs" / "plan-toy-full-t3-seed5" / "results.json").write_text("{")
    assert run(folder) == 1
    assert "results.json is not valid JSON" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_study_kills_its_runs_and_continues(number, folder, capsys):
    change(folder, variants={"full": [], "half": ["--behave hang"]})
    pid_file = folder / "runs" / "plan-toy-half-t3-seed5" / "process.txt"

    def interrupt():
        deadline = time.monotonic() + 20
        while not (pid_file.is_file() and pid_file.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=interrupt)
    thread.start()
    before = signal.getsignal(signal.SIGTERM)
    assert run(folder) == 130
    thread.join()
    assert "run the same command again to continue" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
    change(folder, variants={"full": [], "half": []})
    assert run(folder) == 0
    assert starts(folder) == {"plan-toy-full-t3-seed5": 1, "plan-toy-half-t3-seed5": 2}


WRONG_USE = {
    "a study's own setting": (["--seed_everything", 3], "--seed_everything cannot be set in a study\n  Give --seeds"),
    "overwriting": (["--overwrite=true"], "remove the folders of runs"),
    "an argument too many": (["stray"], "'stray' is one argument too many"),
    "another experiment missing": (["--config", "nowhere.yaml"], "nowhere.yaml cannot be read"),
}


@pytest.mark.parametrize("mistake", WRONG_USE)
def test_wrong_use_is_answered_by_one_message_before_anything_runs(mistake, folder, capsys):
    arguments, words = WRONG_USE[mistake]
    assert run(folder, *arguments) == 2
    assert words in capsys.readouterr().err
    assert not (folder / "runs").exists()


# --- tables --------------------------------------------------------------------------------------------------------


def test_tables_are_printed_and_written(folder, capsys):
    assert run(folder, "--seeds", 7, 8, "--horizons", 3, 4) == 0
    text = (folder / "runs" / "study-parts" / "tables.md").read_text()
    assert text in capsys.readouterr().out
    content = tables(folder)
    assert (content["title"], len(content["tables"]), len(content["runs"])) == ("Parts", 2, 8)
    rates = [
        json.loads((folder / "runs" / f"plan-toy-full-t3-seed{s}" / "results.json").read_text())["metrics"]["test"]
        for s in (7, 8)
    ]
    mean = np.mean([rate["viterbi"]["success_rate"] for rate in rates])
    assert content["tables"][0]["rows"][0]["horizons"]["3"]["success_rate"]["mean"] == pytest.approx(mean)


def test_the_comparison_is_the_difference_of_the_means_over_seeds(folder):
    assert run(folder, "--seeds", 7, 8, 9) == 0
    table = tables(folder)["tables"][0]
    (compared,) = table["comparisons"]
    full, half = (row["horizons"]["3"]["success_rate"]["mean"] for row in table["rows"])
    assert (compared["row"], compared["seeds"]) == ("half", [7, 8, 9])
    assert compared["value"] == pytest.approx(full - half)
    assert compared["low"] < compared["value"] < compared["high"]
    assert (compared["samples"], compared["clusters"], compared["unit"]) == (60, 12, "video")


def predictions(path: Path, right, videos, order=None):
    """A file of one-step plans, right where `right` says so, lines in the order `order`."""
    lines = [
        json.dumps({"sample_id": str(i), "video": v, "steps": [1], "plan": [1 if r else 0]})
        for i, (r, v) in enumerate(zip(right, videos, strict=True))
    ]
    path.write_text("\n".join(np.array(lines)[order if order is not None else slice(None)]))
    return read_predictions(path)


def test_the_interval_is_that_of_videos_drawn_one_at_a_time(tmp_path):
    draw = np.random.default_rng(0)
    videos = [f"v{i}" for i in np.sort(draw.integers(0, 15, 120))]
    ours, theirs = draw.random((2, 120)) < 0.6, draw.random((2, 120)) < 0.4
    pairs = [
        [predictions(tmp_path / f"{name}{s}.jsonl", right[s], videos, draw.permutation(120)) for s in (0, 1)]
        for name, right in (("ours", ours), ("theirs", theirs))
    ]
    found = success_difference(pairs[0], pairs[1], ("plan", "plan"), Resampling(draws=4000))
    change = ours.mean(0) - theirs.mean(0)  # (M,) over seeds
    by_video = [change[np.array(videos) == video] for video in dict.fromkeys(videos)]
    drawn = [
        np.concatenate([by_video[i] for i in draw.integers(0, len(by_video), len(by_video))]).mean()
        for _ in range(4000)
    ]
    assert found["value"] == pytest.approx(change.mean())
    np.testing.assert_allclose([found["low"], found["high"]], np.percentile(drawn, [2.5, 97.5]), atol=0.02)


def test_files_that_do_not_fit_together_are_refused(tmp_path):
    one = predictions(tmp_path / "one.jsonl", [1, 0], ["a", "b"])
    (tmp_path / "two.jsonl").write_text('{"sample_id": "0", "video": "a", "steps": [3], "plan": [3]}')
    other = read_predictions(tmp_path / "two.jsonl")
    for ours, decoding, words in (
        ([], "plan", "no predictions"),
        ([one], "trie", "decoding 'trie'"),
        ([other], "plan", "other true"),
    ):
        with pytest.raises(UserError, match=words):
            success_difference(ours, [one], (decoding, "plan"), Resampling())


# --- the real thing ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_study_of_real_runs_ends_in_tables(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    config = experiment(tmp_path, write_small_niv(tmp_path / "data"), epochs=2)
    variants = {"full": [], "narrow": ["--model.network.width 8"]}
    (tmp_path / "small_study.yaml").write_text(yaml.safe_dump({"variants": variants}))
    command = ["study", str(tmp_path / "small_study.yaml"), "--config", str(config), "--seeds", "7"]
    command += ["--runs", str(tmp_path / "runs"), "--final", "val", "--jobs", "2"]
    assert main(command) == 0
    runs = tmp_path / "runs"
    for name in ("small-full-t3-seed7", "small-narrow-t3-seed7"):
        assert set(json.loads((runs / name / "results.json").read_text())["metrics"]) == {"val"}
    table = json.loads((runs / "study-small_study" / "tables.json").read_text())["tables"][0]
    assert all(row["horizons"]["3"]["success_rate"]["n"] == 1 for row in table["rows"])
    assert table["comparisons"][0]["samples"] == 12
    assert main(command) == 0
    assert "2 of 2 runs are there already" in capsys.readouterr().out
