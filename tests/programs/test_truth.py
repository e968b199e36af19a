"""Programs against truth: rules, and a scripted language model whose mistakes are known to the last one."""

import json
from collections import Counter

import pytest

from leaplan.__main__ import main
from leaplan.data.kitchen.cast import cast
from leaplan.data.kitchen.evidence import annotation, evidence, vocabulary
from leaplan.data.kitchen.simulate import simulate
from leaplan.errors import DataError
from leaplan.programs import generate
from leaplan.programs.json_form import to_json
from leaplan.programs.kitchen import kitchen_language
from leaplan.programs.kitchen_evidence import read_clips
from leaplan.programs.language import LEAP
from leaplan.programs.truth import MOST, score_against, true_programs
from leaplan.programs.unroll import unroll
from tests.fake_openai_server import FakeOpenAI, serving
from tests.programs.small_epic import write_epic

WORDS = kitchen_language(vocabulary())


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory):
    """A kitchen of four videos, annotations and evidence only."""
    folder = tmp_path_factory.mktemp("cache") / "kitchen-v1-seed7-4"
    (folder / "evidence").mkdir(parents=True)
    episodes = [simulate(role) for role in cast(7, 4)]
    told = {"vocabulary": vocabulary(), "videos": [annotation(episode) for episode in episodes]}
    (folder / "annotations.json").write_text(json.dumps(told), encoding="utf-8")
    for episode in episodes:
        path = folder / "evidence" / f"{episode.role.id}.json"
        path.write_text(json.dumps(evidence(episode, [])), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
    monkeypatch.setattr("leaplan.programs.coverage.draw", lambda coverage, path: path.write_bytes(b"picture"))


def test_rules_are_scored_against_the_true_programs(kitchen, tmp_path, capsys):
    out = tmp_path / "out"
    assert generate.main(["--dataset", "kitchen", "--root", str(kitchen), "--out", str(out), "--quiet"]) == 0
    file = str(out / "programs.jsonl")
    assert main(["check-programs", file, "--root", str(kitchen), "--truth", str(kitchen)]) == 0
    assert "sub-action F1: 100.0" in capsys.readouterr().out
    assert score_against(out / "programs.jsonl", out / "programs.parquet", WORDS).exact == 1


def test_a_scripted_model_gets_the_score_that_its_mistakes_deserve(kitchen, tmp_path):
    """It tells the truth, but the first sub-action only where a clip's evidence has an even number of characters."""
    true, by_words = true_programs(kitchen, WORDS), {}
    for clip in read_clips(kitchen):
        by_words.setdefault(clip.narration, true[clip.id])  # clips of one narration share an answer

    def answer(messages):
        told = messages[1]["content"].rsplit("# Clip", 1)[1]
        narration = next(words for words in by_words if f'said: "{words}"' in told)
        return json.dumps(mistaken(to_json(by_words[narration]), narration))

    def mistaken(program, narration):
        return {**program, "body": program["body"][:1]} if len(narration) % 2 == 0 else program

    with serving(FakeOpenAI(answer)) as url:
        options = [
            "--dataset",
            "kitchen",
            "--root",
            kitchen,
            "--out",
            tmp_path,
            "--backend",
            "llm",
            "--model",
            "scripted",
        ]
        assert generate.main([*map(str, options), "--base-url", url, "--quiet"]) == 0
    ours = score_against(tmp_path / "programs.jsonl", kitchen, WORDS)

    common = predicted = wanted = 0
    for clip in read_clips(kitchen):
        said = [triple(a) for a in unroll(by_words[clip.narration], MOST).sub_actions]
        said = said[:1] if len(clip.narration) % 2 == 0 else said
        truth = [triple(a) for a in unroll(true[clip.id], MOST).sub_actions]
        common += (Counter(said) & Counter(truth)).total()
        predicted += len(said)
        wanted += len(truth)
    assert ours.sub_actions.f1 == pytest.approx(2 * common / (predicted + wanted))
    assert 0.3 < ours.sub_actions.f1 < 0.97
    print({name: round(value, 3) for name, value in ours.summary().items()})


def triple(action):
    return action.verb, action.first, action.second


def test_programs_of_another_dataset_are_told(kitchen, tmp_path):
    root = write_epic(tmp_path / "data")
    generate.main(["--root", str(root), "--out", str(tmp_path / "out"), "--quiet"])
    with pytest.raises(DataError, match="no clip in common"):
        score_against(tmp_path / "out" / "programs.jsonl", kitchen, LEAP)
