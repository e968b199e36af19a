"""The demo: what is finished is not done again, what fails is told in one message, and what is shown is escaped."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from leaplan.__main__ import main
from leaplan.demo import fragments, training, web
from leaplan.demo import run as demo
from leaplan.demo.kitchen import held_out, is_made, kitchen_of
from leaplan.errors import UserError
from leaplan.on_video.action_score import ActionScore
from leaplan.on_video.planned import Looked, Planned
from leaplan.on_video.recognised import Recognised, Window


def write(path: Path, content: object = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def kitchen(root: Path, count: int = 6) -> Path:
    """A complete kitchen as far as the demo looks at it."""
    folder = kitchen_of(root, count)
    steps = [{"start": n, "stop": n + 0.9, "text": f"step {n}", "step": n, "id": str(n)} for n in range(4)]
    videos = [{"id": f"v{n}", "task": 0, "split": s, "segments": steps} for n, s in enumerate(("train", "test", "val"))]
    write(folder / "annotations.json", {"vocabulary": {"tasks": ["tea"]}, "videos": videos})
    write(folder / "complete.json", {})
    return folder


def finished(run: Path, epochs: int, videos: int = 6) -> None:
    settings = f"data: {{init_args: {{videos: {videos}}}}}\ntrainer: {{max_epochs: {epochs}}}\n"
    write(run / "config.yaml", settings)
    write(run / "results.json", {"metrics": {"test": {}}})
    write(run / "checkpoints" / "best.ckpt")


def answered(runs: Path) -> None:
    """A finished demo of six films in `runs`."""
    finished(runs / "demo-planner", epochs=21)
    finished(runs / "demo-recogniser", epochs=12)
    write(runs / "demo" / "made_of.txt", f"{kitchen_of(runs, 6).name}\n{runs}/demo-planner\n{runs}/demo-recogniser\n")
    for name in ("programs/README.md", "plan.png", "actions.json", "report.html"):
        write(runs / "demo" / name)


def test_only_films_that_no_run_has_seen_are_asked_about(tmp_path):
    folder = kitchen(tmp_path)
    assert is_made(folder)
    (film,) = held_out(folder)
    assert film.name == "v1: tea"
    assert film.question == (0.0, 2.9, ["step 0", "step 1", "step 2"])


def test_a_finished_demo_does_nothing_again(tmp_path, monkeypatch, capsys):
    kitchen(tmp_path / "cache")
    runs = tmp_path / "runs"
    answered(runs)
    monkeypatch.setattr(demo, "_leaplan", lambda *words: pytest.fail(f"leaplan {words} was run"))
    monkeypatch.setattr(demo, "train", lambda *_, **__: pytest.fail("something was trained"))
    words = ["demo", "--videos", "6", "--runs", str(runs), "--root", str(tmp_path / "cache"), "--no-open"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "the demo took 0 s" in told
    assert f"file://{runs}/demo/report.html" in told


@pytest.mark.parametrize(
    ("words", "trained", "said"),
    [
        (("--epochs", "2"), {"demo-planner", "demo-recogniser"}, "was made with --videos 6 --epochs 21: it is"),
        (("--videos", "7"), {"demo-planner", "demo-recogniser"}, "was made with --videos 6 --epochs 12: it is"),
        (("--epochs", "12"), {"demo-planner"}, "was made with --videos 6 --epochs 21: it is"),
        (("--planner", "{}/other"), set(), "tells of other films or runs: what is in it is made again"),
    ],
)
def test_a_demo_that_was_made_otherwise_is_made_again_and_says_so(words, trained, said, tmp_path, monkeypatch, capsys):
    kitchen(tmp_path / "cache")
    kitchen(tmp_path / "cache", 7)
    runs = tmp_path / "runs"
    answered(runs)
    finished(runs / "other", epochs=1)
    verbs, learnt = [], set()

    def train(asked, jobs):
        for run in asked:
            if not run.finished:
                learnt.add(run.folder.name)
                finished(run.folder, run.epochs, run.films)

    monkeypatch.setattr(demo, "_leaplan", lambda verb, *_: verbs.append(verb))
    monkeypatch.setattr(demo, "train", train)
    common = ["demo", "--runs", str(runs), "--root", str(tmp_path / "cache"), "--no-open", "--videos", "6"]
    words = [word.format(runs) for word in words]
    assert main([*common, *words]) == 0
    assert (learnt, said in capsys.readouterr().out) == (trained, True)
    assert len(list(runs.glob("demo-*-videos6-epochs*/results.json"))) == len(trained)  # set aside, not removed
    if "--epochs" not in words:
        assert verbs == ["generate-programs", "plan", "recognise", "report"]
    learnt.clear()
    assert main([*common, *words]) == 0
    assert (learnt, "again" in capsys.readouterr().out) == (set(), False)


def test_an_answer_is_older_than_a_run_that_was_trained_again(tmp_path):
    picture = write(tmp_path / "plan.png")
    finished(tmp_path / "run", epochs=1)
    times = picture.stat().st_mtime_ns

    os.utime(tmp_path / "run" / "results.json", ns=(times + 10, times + 10))
    assert demo._older(picture, tmp_path / "run")
    os.utime(tmp_path / "run" / "results.json", ns=(times - 10, times - 10))
    assert not demo._older(picture, tmp_path / "run")
    assert demo._older(tmp_path / "absent.png", tmp_path / "run")


def test_a_given_run_must_be_finished(capsys):
    assert main(["demo", "--planner", "/nowhere"]) == 2
    assert "/nowhere is no finished run" in capsys.readouterr().err


def trained_by(code: str, folder: Path, monkeypatch) -> training.Training:
    """A run that is trained by a line of Python."""
    popen = subprocess.Popen

    def start(command, **how):
        return popen([sys.executable, "-S", "-c", command[-1]], **how)

    monkeypatch.setattr(training.subprocess, "Popen", start)
    return training.Training("planner", folder, 6, 4, (code,))


def test_training_ends_with_what_the_run_said(tmp_path, monkeypatch):
    code = "import sys; print('epoch 1/4'); sys.exit('leaplan: the disk is full\\n  Empty it')"
    run = trained_by(code, tmp_path / "run", monkeypatch)
    with pytest.raises(UserError, match="training the planner failed: the disk is full") as told:
        training.train([run], jobs=1)
    assert str(run.log) in told.value.hint


def test_training_tells_how_far_it_is_and_does_not_repeat_what_is_finished(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    code = f"""
import json, time
open({str(folder / "metrics.csv")!r}, "w").write("epoch\\n0\\n1\\n")
time.sleep(0.8)
json.dump({{"metrics": {{"test": {{}}}}}}, open({str(folder / "results.json")!r}, "w"))"""
    run = trained_by(code, folder, monkeypatch)
    training.train([run], jobs=1)
    assert capsys.readouterr().out == "  planner: epoch 2 of 4\n"
    monkeypatch.setattr(training, "_start", lambda _: pytest.fail("trained again"))
    training.train([run], jobs=1)


def test_the_page_shows_a_plan_and_escapes_it():
    looked = Looked(("0:01", "0:09"), {"video": "x"}, "s3d")
    labels = ("wash <b>", "cut & peel", "eat")
    planned = Planned(
        *("run", looked, labels, "viterbi", (0, 1), 0.61, {"viterbi": (0, 1)}),
        alternatives=(((0, 1), 0.61), ((0, 2), 0.2)),
        likely=(((0, 0.9), (2, 0.1)), ((1, 0.6), (2, 0.4))),
        sentence="<script>",
    )
    shown = fragments.plan_html(planned, ["wash <b>"])
    assert "2 steps from 0:01 to 0:09, probability 61 %" in shown
    assert '<td>20 %</td><td class="same">wash &lt;b&gt;</td><td>eat</td>' in shown
    assert "width: 60.0%" in shown
    assert "<script>" not in shown
    assert "<b>" not in shown
    assert "what was done" not in fragments.plan_html(planned, [])


def test_the_page_shows_actions_along_time_at_their_share_of_it():
    windows = tuple(
        Window(n, n + 1.0, "action", {"action": [(name, 0.5)]}, None) for n, name in enumerate(("a<", "a<", "b", "c"))
    )
    recognised = Recognised("run", Path("film.mp4"), ActionScore("action", {}), windows)
    shown = fragments.along_html(recognised, [(1.0, 2.0, "wash")])
    assert shown.count("<details>") == 3
    assert 'style="width: 50.00%; background:' in shown
    assert 'title="0:00 to 0:02: a&lt;, 50 %"' in shown
    assert 'class="step" style="flex: none; width: 25.00%;" title="wash"' in shown
    assert "this run predicts no programs" in shown


def test_the_page_needs_its_extra_before_anything_is_done(monkeypatch, capsys):
    monkeypatch.setattr(web, "find_spec", lambda _: None)
    assert main(["demo", "--serve"]) == 2
    told = capsys.readouterr()
    assert "pip install 'leaplan[demo]'" in told.err
    assert told.out == ""
