"""The command line, as a user meets it: runs end in results, mistakes in one message, and a killed run continues."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from leaplan.__main__ import VERBS, help_text, main
from leaplan.text.small_llama import SmallLlama
from tests.small_niv import write_small_niv

EPOCHS = 6
QUERIES = {"width": 16, "layers": 1, "heads": 2}


def small_language(cache: str = "/dev/null/nowhere") -> SmallLlama:
    """A language model that is not worth keeping."""
    return SmallLlama(width=16, layers=1, heads=2, epochs=1, steps=1, cache=cache)


def experiment(folder: Path, root: Path, epochs: int = EPOCHS, **settings) -> Path:
    """Write a small experiment and return its file."""
    config = {
        "name": "small",
        "runs": str(folder / "runs"),
        "root": str(root),
        "seed_everything": 7,
        "threads": 1,
        "save_every": 1,
        "horizon": 3,
        "batch_size": 8,
        "data": {
            "class_path": "leaplan.data.niv.Niv",
            "init_args": {
                "protocol": "schema",
                "view": {"class_path": "leaplan.data.views.PlanningWindows"},
                "source": {
                    "class_path": "leaplan.data.sources.Features",
                    "init_args": {"folder": "processed_data", "rounding": "floor"},
                },
                "validation": 0.2,
            },
        },
        "model": {
            "class_path": "leaplan.planning.module.PlanningModule",
            "init_args": {
                "network": {
                    "class_path": "leaplan.planning.network.Planner",
                    "init_args": {"width": 16, "heads": 2, "layers": 1},
                }
            },
        },
        "trainer": {"accelerator": "cpu", "devices": 1, "max_epochs": epochs, "deterministic": True},
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**config, **settings}))
    return path


def whole(cache: Path, **settings) -> dict:
    """Settings of `experiment` that make it PlanLLM with all its parts, both stages and all decodings."""
    network = {"width": 16, "heads": 2, "layers": 1, "step_queries": QUERIES}
    language = {"width": 16, "layers": 1, "heads": 2, "epochs": 1, "steps": 1, "cache": str(cache)}
    model = {
        "network": {"class_path": "leaplan.planning.network.Planner", "init_args": network},
        "language": {"class_path": "leaplan.text.small_llama.SmallLlama", "init_args": language},
        "align_epochs": 2,
        **settings,
    }
    return {
        "model": {"class_path": "leaplan.planning.module.PlanningModule", "init_args": model},
        "decode": ["argmax", "viterbi", "generate", "trie", "retrieve"],
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_small_niv(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, root):
    """A finished run, and the experiment that made it."""
    folder = tmp_path_factory.mktemp("finished")
    config = experiment(folder, root)
    assert main(["fit", "--config", str(config)]) == 0
    return folder / "runs" / "small", config


def results_of(run: Path) -> dict:
    return json.loads((run / "results.json").read_text())


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- runs --------------------------------------------------------------------------------------------------


def test_fit_ends_with_results_that_say_their_protocol(finished):
    run, _ = finished
    results = results_of(run)
    assert results["schema"] == 1
    assert results["task"] == "planning"
    assert results["data"]["dataset"] == "niv"
    assert results["data"]["samples"] == {"train": 48, "val": 12, "test": 30}
    assert any("validation" in note for note in results["data"]["notes"])
    assert results["protocol"]["observes"] == ["start", "goal"]
    assert results["protocol"]["task_given"] is False
    assert results["protocol"]["horizon"] == 3
    for split in ("val", "test"):
        for decoding in ("argmax", "viterbi"):
            values = results["metrics"][split][decoding]
            assert all(0 <= values[name] <= 1 for name in ("success_rate", "mean_accuracy", "mean_iou"))
    assert results["cost"]["parameters"]["trainable"] > 0
    assert results["cost"]["seconds"] > 0


def test_a_run_folder_holds_what_it_promises(finished):
    run, _ = finished
    names = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    expected = {"config.yaml", "metrics.csv", "results.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt"}
    assert expected | {"predictions/test.jsonl", "predictions/val.jsonl"} <= names
    assert any("tfevents" in name for name in names)
    assert len((run / "metrics.csv").read_text().splitlines()) == 1 + EPOCHS


def test_score_of_the_predictions_file_gives_the_figures_of_the_run(finished, tmp_path):
    run, _ = finished
    out = tmp_path / "score.json"
    assert main(["score", str(run / "predictions" / "test.jsonl"), "--json", str(out)]) == 0
    scored = json.loads(out.read_text())["files"][0]["decodings"]
    for decoding in ("argmax", "viterbi"):
        figures = results_of(run)["metrics"]["test"][decoding]
        for name in ("success_rate", "mean_accuracy", "mean_iou", "edit_score", "success_rate_seen"):
            assert scored[decoding][name]["value"] == pytest.approx(figures[name], abs=1e-12)


def test_the_saved_config_alone_repeats_the_evaluation(finished):
    run, _ = finished
    before = results_of(run)["metrics"]["test"]
    assert main(["test", "--config", str(run / "config.yaml")]) == 0
    assert results_of(run)["metrics"]["test"] == before


def test_validate_and_predict_use_the_best_checkpoint(finished, capsys):
    run, config = finished
    before = (run / "predictions" / "test.jsonl").read_bytes()
    assert main(["validate", "--config", str(config)]) == 0
    assert main(["predict", "--config", str(config)]) == 0
    assert "predictions in" in capsys.readouterr().out
    assert (run / "predictions" / "test.jsonl").read_bytes() == before


def test_checkpoints_load_without_unpickling_and_name_their_vocabulary(finished):
    run, _ = finished
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert content["leaplan"]["for"]["steps"][0] == "boil water"
    assert not any(name == "y" for name in content["state_dict"])  # frozen descriptions are not copied


@pytest.mark.slow
def test_a_run_killed_at_any_moment_continues_to_the_same_result(finished, root, tmp_path):
    assert_continues_after_a_kill(experiment(tmp_path, root), finished[0], epochs=2)


def assert_continues_after_a_kill(config: Path, undisturbed: Path, epochs: int) -> None:
    """Kill the run of `config` after so many epochs, start it again, and compare all that it leaves behind."""
    run = config.parent / "runs" / "small"
    command = [sys.executable, "-m", "leaplan", "fit", "--config", str(config)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    deadline = time.monotonic() + 120
    while not ((run / "metrics.csv").is_file() and len((run / "metrics.csv").read_text().splitlines()) > epochs):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (run / "results.json").exists()
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "continuing" in done.stdout
    assert results_of(run)["metrics"] == results_of(undisturbed)["metrics"]
    weights = [torch.load(r / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for r in (run, undisturbed)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    for name in ("metrics.csv", "predictions/test.jsonl"):
        assert (run / name).read_text() == (undisturbed / name).read_text()


def test_another_seed_trains_another_planner(finished, root, tmp_path):
    whole, _ = finished
    config = experiment(tmp_path, root, seed_everything=8)
    assert main(["fit", "--config", str(config), "--final", "val"]) == 0
    run = tmp_path / "runs" / "small"
    assert "test" not in results_of(run)["metrics"]  # the test split stays closed
    assert results_of(run)["data"] == results_of(whole)["data"]  # and so does the validation part
    assert (run / "metrics.csv").read_text() != (whole / "metrics.csv").read_text()


def test_overwrite_starts_anew(finished, root, tmp_path):
    whole, _ = finished
    config = experiment(tmp_path, root, epochs=1)
    assert main(["fit", "--config", str(config)]) == 0
    assert main(["fit", "--config", str(config), "--overwrite", "true", "--trainer.max_epochs", str(EPOCHS)]) == 0
    assert results_of(tmp_path / "runs" / "small")["metrics"] == results_of(whole)["metrics"]


# --- mistakes ------------------------------------------------------------------------------------------------


def broken(root: Path, tmp_path: Path) -> Path:
    """Return a copy of the data to be spoilt."""
    return Path(shutil.copytree(root, tmp_path / "broken"))


def spoil_json(root: Path, change) -> Path:
    path = root / "niv" / "niv_train.json"
    content = json.loads(path.read_text())
    change(next(iter(content.values()))["steps"])
    path.write_text(json.dumps(content))
    return root


def spoil_features(root: Path, make) -> Path:
    path = sorted((root / "niv" / "processed_data").glob("*.npy"))[0]
    np.save(path, make(np.load(path)), allow_pickle=True)
    return root


def remove(root: Path, name: str) -> Path:
    path = root / "niv" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return root


def empty_split(root: Path) -> Path:
    (root / "niv" / "niv_valid.json").write_text("{}")
    return root


def with_nan(array):
    array[3, 2] = np.nan
    return array


def as_objects(array):
    return np.array([{"features": array}], dtype=object)


DATA_MISTAKES = {
    "missing list": (lambda r: remove(r, "niv_train.json"), "niv_train.json"),
    "missing vocabulary": (lambda r: remove(r, "niv_action_idx.json"), "niv_action_idx.json"),
    "missing features": (lambda r: remove(r, "processed_data"), "processed_data does not exist"),
    "one file missing": (lambda r: remove(r, "processed_data/tea_train_0000.npy"), "tea_train_0000"),
    "id out of range": (lambda r: spoil_json(r, lambda s: s[0].update(action_id=99)), "99"),
    "times reversed": (lambda r: spoil_json(r, lambda s: s[0].update(start=9.0, end=2.0)), "tea_train_0000"),
    "time is no number": (lambda r: spoil_json(r, lambda s: s[0].update(start=float("nan"))), "tea_train_0000"),
    "key missing": (lambda r: spoil_json(r, lambda s: s[0].pop("end")), "end"),
    "not JSON": (lambda r: (r / "niv" / "niv_train.json").write_text("{,") and r, "line 1"),
    "NaN in features": (lambda r: spoil_features(r, with_nan), "NaN or infinity, first in row 3"),
    "features of another rank": (lambda r: spoil_features(r, lambda a: a[0]), "shape (12,)"),
    "features of another width": (lambda r: spoil_features(r, lambda a: a[:, :5]), "5 columns, but most files have 12"),
    "pickled features": (lambda r: spoil_features(r, as_objects), "cannot be read as an array"),
    "empty test split": (empty_split, "split 'test'"),
}


@pytest.mark.parametrize("mistake", DATA_MISTAKES)
def test_wrong_data_is_answered_by_one_message(mistake, root, tmp_path, capsys):
    spoil, words = DATA_MISTAKES[mistake]
    spoilt = spoil(broken(root, tmp_path))
    config = experiment(tmp_path, spoilt)
    before = snapshot(spoilt)
    assert main(["fit", "--config", str(config)]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("leaplan: ")
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) <= 15
    assert snapshot(spoilt) == before


ARGUMENT_MISTAKES = {
    "horizon longer than every video": (["--horizon", "9"], "the longest has 5"),
    "horizon below one": (["--horizon", "0"], "horizon is 0"),
    "misspelt top-level key": (["--horizn", "3"], "did you mean 'horizon'"),
    "misspelt network key": (["--model.network.widht", "32"], "did you mean 'width'"),
    "misspelt trainer key": (["--trainer.max_epohcs", "3"], "did you mean 'max_epochs'"),
    "value of another type": (["--horizon", "three"], "horizon"),
    "unknown protocol": (["--data.protocol", "pdp"], "pdpp"),
    "full fine-tuning of no language model": (["--config", "trainer/fsdp2"], "'language' has settings (in"),
    "right key at the wrong place": (["--model.dropout", "0.3"], "did you mean 'dropout' of Planner"),
    "heads that do not share a width": (["--model.network.heads", "7"], "the network cannot be made of these settings"),
    "dropout above one": (["--model.network.dropout", "2"], "the network cannot be made of these settings: dropout"),
    "learning rate below zero": (["--model.learning_rate", "-1"], "the optimiser cannot be made of these settings"),
    "no batches per step": (["--trainer.accumulate_grad_batches", "0"], "accumulate_grad_batches' is 0, below 1"),
    "no epochs": (["--trainer.max_epochs", "0"], "was not trained"),
    "seed below zero": (["--seed_everything", "-1"], "the random numbers cannot be made of these settings: -1"),
    "folder that cannot be made": (["--runs", "/proc/runs"], "cannot be written: No such file or directory"),
    "empty batches": (["--batch_size", "0"], "'batch_size' is 0, below 1"),
    "threads below zero": (["--threads", "-2"], "'threads' is -2, below 0"),
    "no such config": (["--config", "nowhere.yaml"], "nowhere.yaml"),
    "no such checkpoint": (["--ckpt_path", "nowhere.ckpt"], "nowhere.ckpt does not exist"),
}


@pytest.mark.parametrize("mistake", ARGUMENT_MISTAKES)
def test_wrong_arguments_are_answered_by_one_message(mistake, root, tmp_path, capsys):
    arguments, words = ARGUMENT_MISTAKES[mistake]
    config = experiment(tmp_path, root)
    assert main(["fit", "--config", str(config), *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) <= 6


def test_a_misspelt_key_in_a_file_is_found_in_that_file(root, tmp_path, capsys):
    config = experiment(tmp_path, root)
    config.write_text(config.read_text().replace("horizon: 3", "horizn: 3"))
    assert main(["fit", "--config", str(config)]) == 2
    line = 1 + config.read_text().splitlines().index("horizn: 3")
    assert f"(in {config}, line {line})" in capsys.readouterr().err


def test_a_configuration_that_is_no_text_is_named(tmp_path, capsys):
    config = tmp_path / "saved.yaml"
    config.write_bytes(b"horizon: 3 \x8d")
    assert main(["fit", "--config", str(config)]) == 2
    assert f"leaplan: {config} is not UTF-8 text (byte 11)" in capsys.readouterr().err


def test_a_finished_run_is_not_touched(finished, capsys):
    run, config = finished
    before = snapshot(run)
    assert main(["fit", "--config", str(config)]) == 2
    assert "--overwrite true" in capsys.readouterr().err
    assert snapshot(run) == before


def test_an_unfinished_run_is_not_continued_with_other_settings(root, tmp_path, capsys):
    config = experiment(tmp_path, root, epochs=1)
    assert main(["fit", "--config", str(config), "--final", "none"]) == 0
    assert main(["fit", "--config", str(config), "--model.learning_rate", "0.5"]) == 2
    assert "learning_rate: 0.001 -> 0.5" in capsys.readouterr().err


def test_an_unfinished_run_is_not_stretched_but_may_move_to_other_hardware(root, tmp_path, capsys):
    config = experiment(tmp_path, root, epochs=1)
    assert main(["fit", "--config", str(config), "--final", "none"]) == 0
    assert main(["fit", "--config", str(config), "--trainer.max_epochs", "3"]) == 2  # another schedule
    assert "max_epochs: 1 -> 3" in capsys.readouterr().err
    assert main(["fit", "--config", str(config), "--trainer.accelerator", "auto", "--threads", "2"]) == 0
    torch.set_num_threads(1)
    assert "test" in results_of(tmp_path / "runs" / "small")["metrics"]


def test_a_checkpoint_of_another_vocabulary_is_refused(finished, root, tmp_path, capsys):
    run, _ = finished
    other = broken(root, tmp_path)
    for path in (other / "niv").glob("*.json"):
        path.write_text(path.read_text().replace("boil water", "heat water"))
    config = experiment(tmp_path, other)
    best = str(run / "checkpoints" / "best.ckpt")
    assert main(["test", "--config", str(config), "--ckpt_path", best]) == 2
    error = capsys.readouterr().err
    assert "'boil water'" in error
    assert "'heat water'" in error


def test_a_checkpoint_of_another_horizon_or_size_is_refused(finished, capsys):
    run, config = finished
    assert main(["test", "--config", str(config), "--horizon", "4"]) == 2
    assert "horizon: 3, the data has 4" in capsys.readouterr().err
    assert main(["test", "--config", str(config), "--model.network.width", "32"]) == 2
    assert "does not fit the network" in capsys.readouterr().err
    assert run.is_dir()


def test_a_damaged_checkpoint_is_told(finished, tmp_path, capsys):
    _, config = finished
    (tmp_path / "bad.ckpt").write_bytes(b"not a checkpoint")
    assert main(["test", "--config", str(config), "--ckpt_path", str(tmp_path / "bad.ckpt")]) == 2
    assert "damaged or not a checkpoint" in capsys.readouterr().err


def test_an_unknown_verb_is_answered_by_the_nearest(capsys):
    assert main(["fitt"]) == 2
    assert "did you mean 'fit'" in capsys.readouterr().err


# --- help ----------------------------------------------------------------------------------------------------


def test_help_imports_nothing_heavy():
    code = "import sys; from leaplan.__main__ import main; main(['--help']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_help_names_every_verb():
    assert all(verb in help_text() for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    assert verb in capsys.readouterr().out
