"""An exported model answers as its run does where nothing else is; damage, strangers and claims are kept out."""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
import yaml

import leaplan
from leaplan.__main__ import main
from leaplan.data.known import problem_as_json, problem_from_json
from leaplan.errors import CheckpointError, ConfigError, ProblemList, UserError
from leaplan.exporting.card import model_card
from leaplan.exporting.checked import refuse_damage, refuse_strangers, write_sums
from leaplan.exporting.folder import export
from leaplan.exporting.hub import place_of
from leaplan.exporting.onnx import ClosedSet, refuse_unfit
from leaplan.exporting.portable import portable
from leaplan.programs.encode import Encoder
from leaplan.records import PlanningProblem, RecognitionProblem, Step, Vocabulary
from tests.small_niv import write_small_niv
from tests.test_cli import experiment, whole
from tests.test_leap_frames import experiment as leap_experiment
from tests.test_leap_frames import write_films

VOCABULARY = Vocabulary(
    (Step("0", "pour milk", 0, 0, 1), Step("1", "stir", None, 1, 0)), ("tea",), ("a", "b"), ("c", "d")
)
HUB_ID = "somebody/tiny-llama"
ANSWER = """
import sys, torch, leaplan
inputs = torch.load(sys.argv[1], weights_only=True)
answers = {}
for name, given in inputs.items():
    module = leaplan.load(name).run.module
    with torch.inference_mode():
        answers[name] = [x for x in torch.utils._pytree.tree_leaves(module(*given)) if x is not None]
torch.save(answers, sys.argv[2])
"""


def fit(config: Path, **arguments: object) -> Path:
    """Train, with other arguments of the model, and return the run's folder."""
    content = yaml.safe_load(config.read_text())
    content["model"]["init_args"].update(arguments)
    config.write_text(yaml.safe_dump(content))
    assert main(["fit", "--config", str(config)]) == 0
    return config.parent / "runs" / "small"


def inputs_of(model) -> tuple[torch.Tensor, torch.Tensor]:
    """Return something to ask a model, at random."""
    torch.manual_seed(1)
    problem = model.problem
    if isinstance(problem, PlanningProblem):
        return torch.rand(3, problem.seconds, problem.width), torch.rand(3, problem.seconds, problem.width)
    height, width = model.run.data.source.look.pixels
    shape = (3, problem.windows, 3, problem.rows, height, width)
    return torch.randint(0, 256, shape, dtype=torch.uint8), torch.ones(3, problem.windows, dtype=torch.bool)


@pytest.mark.slow
def test_exported_models_answer_as_their_runs_in_a_process_that_has_only_the_folders(tmp_path, monkeypatch, capsys):
    niv, films = write_small_niv(tmp_path / "niv"), write_films(tmp_path / "films")
    places = {name: tmp_path / name for name in ("closed", "planllm", "recognise", "anticipate", "hub", "local")}
    for folder in places.values():
        folder.mkdir()
    recogniser = fit(leap_experiment(places["recognise"], films, epochs=1))
    frozen = {"start_from": str(recogniser / "checkpoints" / "best.ckpt"), "freeze": True, "cached": True}
    runs = {
        "closed": fit(experiment(places["closed"], niv, 1)),
        "planllm": fit(experiment(places["planllm"], niv, 3, **whole(tmp_path / "cache"))),
        "recognise": recogniser,
        "anticipate": fit(leap_experiment(places["anticipate"], films, anticipate=True, epochs=1), **frozen),
    }
    base = shutil.copytree(runs["planllm"] / "language_model", tmp_path / "base", ignore=lambda *_: ["leaplan.json"])
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: {HUB_ID: str(base)}[name])
    for name, model in (("hub", HUB_ID), ("local", str(base))):
        language = {"class_path": "leaplan.text.pretrained.PretrainedCausal", "init_args": {"model": model}}
        settings = whole(tmp_path / "cache", language=language, align_epochs=1) | {"decode": ["viterbi"]}
        runs[name] = fit(experiment(places[name], niv, 2, **settings))
    assert main(["export", str(runs["local"]), "--to", str(tmp_path / "refused")]) == 2
    assert "base is a folder of this computer, which others do not have" in capsys.readouterr().err
    alone, inputs, expected = tmp_path / "alone", {}, {}
    alone.mkdir()
    for name, run in runs.items():
        model = leaplan.load(run)
        if name == "hub":
            assert main(["export", str(run), "--to", str(alone / name), "--with-base"]) == 0
        else:
            export(model, alone / name, with_base=name == "local")
        model.run.module.cached = False  # clips, not what was seen in them
        inputs[name] = inputs_of(model)
        with torch.inference_mode():
            answer = model.run.module(*inputs[name])
        expected[name] = [x for x in torch.utils._pytree.tree_leaves(answer) if x is not None]
    for name in ("planllm", "hub", "local"):
        assert (alone / name / "adapter" / "adapter_config.json").is_file()
    card = (alone / "hub" / "README.md").read_text()
    assert f"base_model: {HUB_ID}\n" in card
    assert "is included; its own licence applies" in card
    torch.save(inputs, tmp_path / "inputs.pt")
    for place in (*places.values(), niv, films, base):
        place.rename(place.with_name(f"{place.name}-gone"))
    command = [sys.executable, "-c", ANSWER, str(tmp_path / "inputs.pt"), str(tmp_path / "answers.pt")]
    subprocess.run(command, cwd=alone, check=True)
    for name, answers in torch.load(tmp_path / "answers.pt", weights_only=True).items():
        assert len(answers) == len(expected[name]) > 0
        for found, wanted in zip(answers, expected[name], strict=True):
            assert torch.allclose(found, wanted, rtol=0, atol=1e-6), name


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("onnxruntime"), reason="the extra onnx is not installed")
def test_onnx_agrees_for_any_number_of_samples(tmp_path, capsys):
    for name in ("planner", "recogniser"):
        (tmp_path / name).mkdir()
    runs = {
        "planner": fit(experiment(tmp_path / "planner", write_small_niv(tmp_path / "niv"), 1)),
        "recogniser": fit(leap_experiment(tmp_path / "recogniser", write_films(tmp_path / "films"), epochs=1)),
    }
    for name, run in runs.items():
        assert main(["export", str(run), "--to", str(tmp_path / "out" / name), "--onnx"]) == 0
    said = capsys.readouterr().out
    assert said.count("largest difference on") == 2
    import onnxruntime

    model = leaplan.load(runs["planner"])
    start, goal = inputs_of(model)
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "planner" / "model.onnx"))
    found = session.run(None, {"start": start.numpy(), "goal": goal.numpy()})
    plan = ClosedSet(model.run.module).expected(start, goal)[1]
    assert np.array_equal(found[1], plan.numpy())


# --- what is let in ----------------------------------------------------------------------------------------------


def test_damaged_and_missing_files_are_named(tmp_path):
    for name in ("model.safetensors", "config.yaml", "adapter/adapter_model.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    write_sums(tmp_path)
    told = (tmp_path / "SHA256SUMS").read_text()
    assert f"{hashlib.sha256(b'config.yaml').hexdigest()}  config.yaml\n" in told  # as sha256sum writes it
    refuse_damage(tmp_path)
    (tmp_path / "config.yaml").write_text("Config.yaml")
    (tmp_path / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(ProblemList) as caught:
        leaplan.load(tmp_path)
    assert "config.yaml is damaged" in str(caught.value)
    assert "adapter/adapter_model.safetensors is missing" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": {"class_path": "os.system"}}, "names os.system"),
        ({"model": {"init_args": {"network": "subprocess.Popen"}}}, "names subprocess.Popen"),
        ({"data": [{"source": {"class_path": "leaplanned.Evil"}}]}, "names leaplanned.Evil"),
        ({"model": {"prompt": "${oc.env:HOME}"}}, "takes a value from outside"),
    ],
)
def test_settings_that_name_what_is_no_part_of_leaplan_are_refused(settings, message):
    with pytest.raises(CheckpointError, match=message.replace("$", r"\$")):
        refuse_strangers(settings, "config.yaml")


def test_an_id_of_the_hub_is_downloaded_and_a_folder_is_not(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: asked.append(name) or str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert place_of("somebody/planner") == tmp_path
    (tmp_path / "runs").mkdir()
    assert place_of("runs/mistyped") == Path("runs/mistyped")
    assert place_of(Path("somebody/planner")) == Path("somebody/planner")
    assert asked == ["somebody/planner"]


def test_without_a_network_a_model_of_the_hub_is_missed_clearly(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"neither a folder here nor .* hub \(HF_HUB_OFFLINE is set\)\n.*hf download"):
        leaplan.load("somebody/planner")


# --- what is written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", [None, Encoder("leap", ("grasp",), ("cup",), ("holding(right, A)",), 4)])
def test_a_problem_is_the_same_after_a_round_trip(encoder):
    for problem in (PlanningProblem(3, VOCABULARY, 1, 12), RecognitionProblem(VOCABULARY, 2, 4, 0, None, 1.0)):
        told = json.loads(json.dumps(problem_as_json(problem, VOCABULARY, encoder)))
        found, target, decoder = problem_from_json(told)
        assert target == VOCABULARY
        if isinstance(problem, PlanningProblem):
            assert found == problem
        else:
            assert decoder == encoder
            assert (found.vocabulary, found.windows, found.gap) == (VOCABULARY, 2, 1.0)
            assert (found.programs is None) == (encoder is None)


def test_settings_of_an_export_name_nothing_of_this_computer():
    recogniser = {
        "backbone": {
            "class_path": "leaplan.recognition.backbones.UniFormerV2",
            "init_args": {"weights": "/home/a/w.pth"},
        },
        **{"start_from": "/home/a/best.ckpt", "freeze": True, "cached": True},
    }
    planner = {
        "aligned_from": "/home/a/best.ckpt",
        "descriptions": {"class_path": "x", "init_args": {"file": "/home/a/steps.json", "encoder": None}},
        "prompt": "plan",
        "language": {"class_path": "y", "init_args": {"model": "Qwen/Qwen2.5-0.5B", "cache": "/home/a"}},
    }
    source = {"class_path": "z", "init_args": {"folder": "videos", "cache": "/home/a/clips"}}
    for arguments in (recogniser, planner):
        settings = {
            "seed_everything": 7, "trainer": {"precision": None}, "root": "/home/a", "runs": "/home/a/runs",
            "model": {"class_path": "m", "init_args": arguments},
            "data": {"init_args": {"view": {"class_path": "v"}, "source": source, "programs": {"file": "/home/a/p"}}},
        }  # fmt: skip
        told = yaml.safe_dump(portable(settings))
        assert "/home/a" not in told
        assert "Qwen/Qwen2.5-0.5B" in told or arguments is recogniser


def test_the_card_tells_figures_with_their_protocol_and_claims_nothing_else(tmp_path):
    about = {"task": "planning", "for": {"horizon": 3, "steps": ["pour milk", "stir"]}}
    results = {
        "leaplan": "0.1.0",
        "run": "small",
        "data": {"dataset": "niv", "protocol": "schema", "samples": {"test": 12}, "sha256": "ab", "notes": ["a note"]},
        "protocol": {"horizon": 3, "observes": ["start", "goal"]},
        "metrics": {"test": {"viterbi": {"success_rate": 0.25, "mean_accuracy": 0.5, "mean_iou": 0.75}}},
        "environment": {"device": "cpu"},
    }
    card = model_card(results, about, tmp_path)
    _, front, body = card.split("---\n", 2)
    metrics = yaml.safe_load(front)["model-index"][0]["results"][0]
    assert metrics["dataset"] == {"name": "niv", "type": "niv", "config": "schema", "split": "test"}
    assert [each["value"] for each in metrics["metrics"]] == [0.25, 0.5, 0.75]
    assert "| viterbi | success_rate | 25.00 |" in body
    assert "test split of niv, protocol schema, 12 windows, computed on cpu" in body
    assert "No licence file accompanies NIV's annotations and splits: see the authors' page" in body
    assert "- a note" in body
    assert "there are no figures" in model_card({}, about, tmp_path)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ("synthetic", ["Apache-2.0"]),
        ("epic_kitchens", ["EPIC-KITCHENS-100 is CC BY-NC 4.0"]),
        ("coin", ["COIN's annotations are CC BY-NC 4.0", "for videos see the authors' page"]),
        ("captaincook4d", ["CaptainCook4D is Apache-2.0, its repository of annotations MIT"]),
        ("niv -> crosstask", ["NIV's annotations", "CrossTask's annotations"]),
        ("mine", ["leaplan does not know the licence of mine"]),
    ],
)
def test_the_card_tells_the_licence_of_the_data_or_where_to_ask(dataset, said, tmp_path):
    about = {"task": "planning", "for": {"horizon": 3, "steps": ["stir"]}}
    results = {"leaplan": "0.1.0", "data": {"dataset": dataset, "samples": {}, "sha256": ""}, "protocol": {}}
    licences = model_card(results, about, tmp_path).partition("## Licences")[2]
    assert all(line in licences for line in said)


def test_a_planner_that_writes_is_no_onnx_graph():
    class Fake:
        name, network = "planllm", type("Network", (), {"attend": type("Reader", (), {"language": object()})})

    with pytest.raises(ConfigError, match="plans with a language model"):
        refuse_unfit(Fake())
