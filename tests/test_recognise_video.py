"""From a video to actions along time: what `predict` says of a segment, readable programs, an honest timeline."""

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from leaplan.__main__ import main
from leaplan.data.frames import Frames
from leaplan.data.niv import read_niv
from leaplan.data.sources import Features
from leaplan.data.views import ActionClips, AnticipationClips
from leaplan.errors import ConfigError
from leaplan.on_video import recognised
from leaplan.on_video.action_score import ActionScore, best_score
from leaplan.on_video.model import refuse_features
from leaplan.on_video.opened_run import open_run
from leaplan.on_video.recognised import Recognised, Window, recognise
from leaplan.on_video.windows import windows_of
from leaplan.programs.language import LEAP, Program, SubAction
from leaplan.programs.parse import parse
from leaplan.recognition.metrics import Scores
from leaplan.records import Step, Vocabulary
from tests.test_leap_frames import experiment, write_films


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_films(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="module")
def run(tmp_path_factory, root) -> Path:
    """A finished run on films, with its scores of the test clips."""
    folder = tmp_path_factory.mktemp("recogniser")
    assert main(["fit", "--config", str(experiment(folder, root, epochs=1))]) == 0
    return folder / "runs" / "small"


@pytest.fixture(scope="module")
def opened(run):
    return open_run(run)


def test_a_window_that_is_a_segment_gets_the_scores_of_predict(run, opened, root):
    with np.load(run / "predictions" / "test.npz") as file:
        scores = dict(zip(file["sample_id"].tolist(), file["action"], strict=True))
    names = [step.name for step in opened.data.annotations.vocabulary.steps]
    for video in read_niv(root).of_split("test"):
        windows = [(segment.start, segment.stop) for segment in video.segments]
        path = root / "niv" / "videos" / f"{video.id}.mp4"
        found = recognise(opened, path, windows, None, len(names), 30.0, 3)
        for segment, window in zip(video.segments, found.windows, strict=True):
            likely = dict(window.likely["action_head"])
            ours = [likely[name] for name in names]
            assert ours == pytest.approx(np.exp(scores[segment.id]), abs=1e-5)


def test_programs_are_readable_text_that_parses(opened, root):
    found = recognise(opened, root / "niv" / "videos" / "valid_0.mp4", [(0.0, 2.0), (2.0, 4.0)], None, 3, 30.0, 8)
    for window in found.as_json()["windows"]:
        program = parse(window["program"], LEAP)
        assert program.verb == window["likely"]["action_head"][0][0]
        assert len(program.body) <= 4


def test_the_verb_tells_a_film_along_time(run, root, tmp_path, capsys):
    video = root / "niv" / "videos" / "valid_0.mp4"
    command = ["recognise", str(video), "--checkpoint", str(run), "--every", "0.5", "--window", "1"]
    assert main([*command, "--json", str(tmp_path / "actions.json")]) == 0
    said = capsys.readouterr().out
    answer = json.loads((tmp_path / "actions.json").read_text())
    assert answer.keys() == {"schema", "leaplan", "run", "video", "action_score", "windows", "timeline"}
    assert {key for each in answer["windows"] for key in each} == {"start", "stop", "likely", "program"}
    assert {key for each in answer["timeline"] for key in each} == {
        *("start", "stop", "action", "probability", "program")
    }
    assert answer["timeline"][0]["action"] in said
    assert answer["action_score"]["head"] == "action_head"
    assert "actions are named by the action head" in said
    assert answer["timeline"][0]["start"] == 0
    assert answer["timeline"][-1]["stop"] == pytest.approx(answer["windows"][-1]["stop"])
    assert all(a["stop"] == b["start"] for a, b in pairwise(answer["timeline"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--start", "9:00"], "nothing is left of"),
        (["--stop", "9:00"], "stop 9:00 is beyond"),
        (["--start", "0:03", "--stop", "0:02"], "nothing is left of"),
        (["--root", "/dev/null/nowhere"], "dataset that it was trained on, which is not at hand"),
    ],
)
def test_what_does_not_fit_the_film_is_refused(run, root, words, message, capsys):
    video = str(root / "niv" / "videos" / "valid_0.mp4")
    assert main(["recognise", video, "--checkpoint", str(run), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--every", "0"], ["--window", "-1"], ["--every", "nan"]])
def test_windows_of_no_length_are_refused(words, tmp_path, capsys):
    assert main(["recognise", "film.mp4", "--checkpoint", str(tmp_path), *words]) == 2
    assert "it must be 0.05 seconds at least" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("view", "source", "message"),
    [
        (ActionClips(), Features(), "recognises from Features, not from frames\n.*leap_recognise_kitchen"),
        (AnticipationClips(), Frames(), "the run anticipates"),
    ],
)
def test_runs_that_do_not_look_at_frames_of_an_action_are_refused(view, source, message):
    with pytest.raises(ConfigError, match=message):
        refuse_features(SimpleNamespace(view=view, source=source))


def test_windows_cover_the_film_to_its_end():
    assert windows_of(0.0, 5.0, 1.0, 2.0) == [(0, 2), (1, 3), (2, 4), (3, 5)]
    assert windows_of(0.0, 5.5, 1.0, 2.0)[-2:] == [(3.0, 5.0), (3.5, 5.5)]
    assert windows_of(1.25, 2.5, 1.0, 2.0) == [(1.25, 2.5)]  # a segment that is shorter than a window is one
    assert len(windows_of(0.0, 0.9, 0.1, 0.3)) == 7  # no window is lost to rounding


def window(start: float, stop: float, action: str, probability: float, verb: str = "grasp") -> Window:
    program = Program(action, (), ("cup",), (), (SubAction(verb, "cup"),))
    return Window(start, stop, "action_head", {"action_head": [(action, probability)]}, program)


def test_neighbours_with_the_same_action_are_one_part_of_the_timeline_told_as_the_surest():
    windows = (
        *(window(0, 2, "wash", 0.5), window(1, 3, "wash", 0.75), window(2, 4, "wash", 0.5, "move")),
        *(window(3, 5, "cut", 0.5), window(4, 6, "wash", 0.5)),
    )
    score = ActionScore("action_head", {})
    timeline = Recognised("run", Path("film.mp4"), score, windows).timeline
    told = [(part.start, part.stop, *part.action, part.calls) for part in timeline]
    assert told == [
        (0, 3.5, "wash", 0.75, "grasp(cup)"),
        (3.5, 4.5, "cut", 0.5, "grasp(cup)"),
        (4.5, 6, "wash", 0.5, "grasp(cup)"),
    ]


def test_a_cached_run_looks_at_frames_all_the_same(opened, monkeypatch, root):
    video = root / "niv" / "videos" / "valid_0.mp4"
    before = recognise(opened, video, [(1.0, 2.0)], None, 3, 30.0, 1)
    monkeypatch.setattr(opened.module, "cached", True)
    assert recognise(opened, video, [(1.0, 2.0)], None, 3, 30.0, 1).windows == before.windows


@pytest.mark.parametrize(
    ("validation", "heads", "chosen"),
    [
        ((0.40, 0.48, 0.51), ("action", "action_head", "fused"), "fused"),
        ((0.40, 0.52, 0.51), ("action", "action_head", "fused"), "action_head"),
        ((0.60, 0.52, 0.51), ("action", "action_head", "fused"), "action"),
        ((0.40, 0.49, 0.49), ("action", "action_head", "fused"), "fused"),
        ((0.52, 0.52, None), ("action_head",), "action_head"),  # the action head is the official score
        (None, ("action", "action_head", "fused"), "action"),
        (None, ("action_head",), "action_head"),
    ],
)
def test_validation_and_never_the_test_split_chooses_the_score_that_names_actions(validation, heads, chosen):
    sections = "recognition", "action_head", "fused"
    test = {name: {"action_top1": share} for name, share in zip(sections, (0.9, 0.1, 0.2), strict=True)}
    metrics = {"test": test}
    if validation is not None:
        figures = zip(sections, validation, strict=True)
        metrics["val"] = {name: {"action_top1": share} for name, share in figures if share is not None}
    score = best_score({"metrics": metrics}, heads)
    assert score.head == chosen
    assert score.validation.keys() == ({*heads} if validation else set())
    assert ("on validation" in str(score)) == (validation is not None and len(heads) > 1)
    assert best_score({}, heads).head == best_score({"metrics": {"test": test}}, heads).head


def test_an_action_is_named_by_the_score_that_was_chosen(opened, root, monkeypatch):
    """Of four actions, each of the three scores prefers another one. All figures below are worked out by hand."""
    actions = (("wash cup", 0, 0), ("wash bread into cup", 0, 1), ("cut cup", 1, 0), ("cut bread", 1, 1))
    steps = tuple(Step(str(n), name, verb=verb, noun=noun) for n, (name, verb, noun) in enumerate(actions))
    network = SimpleNamespace(classes=SimpleNamespace(verb=True, noun=True, action=True))
    problem = SimpleNamespace(vocabulary=Vocabulary(steps, verbs=("wash", "cut"), nouns=("cup", "bread")))
    run = replace(opened, module=SimpleNamespace(problem=problem, network=network))
    heads = (0.4, 0.6), (0.55, 0.45), (0.05, 0.5, 0.1, 0.35)
    scores = Scores(*(torch.tensor([[math.log(p) for p in shares]]) for shares in heads))
    monkeypatch.setattr(recognised, "_ask", lambda *_: (scores, None))
    for name, title in (
        ("wash bread into cup", ("wash", ("bread",))),
        ("cut cup", ("cut", ("cup",))),
        ("x", ("x", ())),
    ):
        assert recognised._title(name, problem.vocabulary) == title
    wanted = {
        "recognition": ("action", "cut cup", 0.6 * 0.55),
        "action_head": ("action_head", "wash bread into cup", 0.5),
        "fused": ("fused", "cut bread", 0.30741 / 0.89395),  # roots of 0.27 * 0.35, and their sum
    }
    for section, (head, name, probability) in wanted.items():
        results = {"metrics": {"val": {section: {"action_top1": 0.5}}}}
        monkeypatch.setattr(recognised, "read_results", lambda _, results=results: results)
        found = recognise(run, root / "niv" / "videos" / "valid_0.mp4", [(1.0, 2.0)], None, 3, 30.0, 1)
        assert found.score.head == head
        assert found.windows[0].action == (name, pytest.approx(probability, abs=1e-4))
        assert found.as_json()["timeline"][0]["action"] == name
        assert found.windows[0].likely.keys() == {"verb", "noun", "action", "action_head", "fused"}
