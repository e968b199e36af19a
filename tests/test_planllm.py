"""PlanLLM with all its parts from the command line: two stages, five decodings, an adapter to take out."""

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from leaplan.__main__ import main
from tests.small_niv import write_small_niv
from tests.test_cli import assert_continues_after_a_kill, experiment, results_of, whole

DECODINGS = ("argmax", "viterbi", "generate", "trie", "retrieve")
EPOCHS = 5  # of which two are stage 1


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_small_niv(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, root, cache) -> Path:
    """The experiment of a finished run."""
    config = experiment(tmp_path_factory.mktemp("finished"), root, EPOCHS, **whole(cache))
    assert main(["fit", "--config", str(config)]) == 0
    return config


def run_of(config: Path) -> Path:
    return config.parent / "runs" / "small"


def predictions(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "predictions" / "test.jsonl").read_text().splitlines()]


def test_one_run_trains_both_stages_and_decodes_in_five_ways(finished):
    results = results_of(run_of(finished))
    for split in ("val", "test"):
        assert [name for name in results["metrics"][split] if name in DECODINGS] == list(DECODINGS)
        assert 0 <= results["metrics"][split]["trie"]["proven"] <= 1
    protocol = results["protocol"]
    assert protocol["language_model"]["learns"] == "lora"
    assert len(protocol["language_model"]["sha256"]) == 64
    assert protocol["first_stage"] == "2 epochs"
    lines = (run_of(finished) / "metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("val/viterbi/success_rate")
    assert [bool(line.split(",")[column]) for line in lines[1:]] == [False, False, True, True, True]


def test_predictions_tell_sentence_probability_and_alternatives(finished):
    for line in predictions(run_of(finished)):
        assert set(line["plans"]) == set(DECODINGS)
        assert isinstance(line["sentence"], str)
        probabilities = [other["probability"] for other in line["alternatives"]]
        plans = [tuple(other["plan"]) for other in line["alternatives"]]
        assert len(plans) == len(set(plans)) == 5
        assert probabilities[0] == max(probabilities)
        assert sum(probabilities) <= 1 + 1e-6
        assert 0 <= line["probability"] <= 1


def test_probabilities_are_calibrated_on_validation_data(finished):
    metrics = results_of(run_of(finished))["metrics"]
    assert metrics["val"]["calibration"]["exponent"] > 0
    assert {"ece", "ece_as_decoded"} <= set(metrics["test"]["calibration"])
    assert "exponent" not in metrics["test"]["calibration"]


@pytest.mark.parametrize("decode", ["trie", "[retrieve, generate]"])
def test_any_decoding_of_the_same_checkpoint(decode, finished, tmp_path):
    best = run_of(finished) / "checkpoints" / "best.ckpt"
    options = ["--runs", str(tmp_path), "--ckpt_path", str(best), "--decode", decode]
    assert main(["test", "--config", str(finished), *options]) == 0
    before, after = predictions(run_of(finished)), predictions(tmp_path / "small")
    names = re.findall(r"\w+", decode)
    for one, other in zip(before, after, strict=True):
        assert other["plans"] == {name: one["plans"][name] for name in names}
    assert set(results_of(tmp_path / "small")["metrics"]["test"]) & set(DECODINGS) == set(names)


@pytest.mark.slow
def test_a_run_killed_in_the_second_stage_continues_to_the_same_result(finished, root, cache, tmp_path):
    config = experiment(tmp_path, root, EPOCHS, **whole(cache))
    assert_continues_after_a_kill(config, run_of(finished), epochs=3)


def test_stages_one_by_one(root, cache, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first = experiment(tmp_path / "one", root, 2, **whole(cache))
    assert main(["fit", "--config", str(first), "--final", "none"]) == 0
    aligned = run_of(first) / "checkpoints" / "last.ckpt"
    second = experiment(tmp_path / "two", root, 2, **whole(cache, align_epochs=0, aligned_from=str(aligned)))
    assert main(["fit", "--config", str(second), "--final", "val"]) == 0
    assert results_of(run_of(second))["protocol"]["first_stage"] == str(aligned)


def test_the_adapter_loads_in_plain_peft_with_equal_logits(finished):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = run_of(finished)
    tokens = AutoTokenizer.from_pretrained(run / "language_model")('["boil water"]', return_tensors="pt").input_ids
    base = AutoModelForCausalLM.from_pretrained(run / "language_model").eval()
    with torch.no_grad():
        plain = base(tokens).logits
        adapted = PeftModel.from_pretrained(base, run / "adapter").eval()(tokens).logits
        expected = by_hand(run, tokens)
    torch.testing.assert_close(adapted, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(adapted, plain, atol=1e-4)


def by_hand(run: Path, tokens: torch.Tensor) -> torch.Tensor:
    """Logits with the checkpoint's own adapter weights W + (alpha / rank) B A, added without peft."""
    from transformers import AutoModelForCausalLM

    state = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    model = AutoModelForCausalLM.from_pretrained(run / "language_model").eval()
    found = 0
    for name, module in model.named_modules():
        prefix = f"network.attend.language.model.model.base_model.model.{name}.lora_"
        if f"{prefix}A.default.weight" in state:
            module.weight.data += 2 * state[f"{prefix}B.default.weight"] @ state[f"{prefix}A.default.weight"]
            found += 1
    assert found == 2  # queries and values of one layer
    return model(tokens).logits


def test_a_checkpoint_holds_adapters_and_no_base(finished):
    state = torch.load(run_of(finished) / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    names = {name for name in state if ".language.model." in name}
    assert names
    assert all(".lora_" in name for name in names)


# --- mistakes ------------------------------------------------------------------------------------------------


def answered(capsys, config: Path, *options: str) -> str:
    """The one message that a mistake is answered by."""
    assert main(["fit", "--config", str(config), *options]) == 2
    said = capsys.readouterr().err
    assert said.startswith("leaplan: ")
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) <= 5
    return said


def with_language(folder: Path, root: Path, cache: Path, language: dict) -> Path:
    settings = whole(cache)
    settings["model"]["init_args"]["language"] = language
    return experiment(folder, root, 2, **settings)


def pretrained(**options) -> dict:
    return {"class_path": "leaplan.text.pretrained.PretrainedCausal", "init_args": options}


def test_a_language_model_that_is_not_there(root, cache, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = answered(capsys, with_language(tmp_path, root, cache, pretrained(model="nobody/no-such-model")))
    assert "nobody/no-such-model" in said
    said = answered(capsys, with_language(tmp_path, root, cache, pretrained(model="/no/such/folder")))
    assert "/no/such/folder" in said


def test_adapters_for_layers_that_do_not_exist(root, cache, tmp_path, capsys):
    settings = whole(cache)
    settings["model"]["init_args"]["language"]["init_args"]["lora"] = {"targets": ["query_key_value"]}
    said = answered(capsys, experiment(tmp_path, root, 2, **settings))
    assert "query_key_value" in said
    assert "q_proj" in said


def test_a_tokenizer_of_another_model(finished, root, cache, tmp_path, capsys):
    folder = tmp_path / "mismatched"
    folder.mkdir()
    for path in (run_of(finished) / "language_model").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"][:100].clone()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 100}))
    said = answered(capsys, with_language(tmp_path, root, cache, pretrained(model=str(folder))))
    assert "tokenizer" in said
    assert "100" in said


def test_a_caption_longer_than_the_context(root, cache, tmp_path, capsys):
    settings = whole(cache)
    settings["model"]["init_args"]["language"]["init_args"]["context"] = 24
    assert "24" in answered(capsys, experiment(tmp_path, root, 2, **settings))


def test_a_first_stage_of_another_horizon(finished, root, cache, tmp_path, capsys):
    first = run_of(finished) / "checkpoints" / "last.ckpt"
    config = experiment(tmp_path, root, 2, **whole(cache, align_epochs=0, aligned_from=str(first)))
    said = answered(capsys, config, "--horizon", "4")
    assert "horizon: 3, the data has 4" in said
    assert str(first) in said


def test_a_decoding_without_its_part(root, tmp_path, capsys):
    assert "trie" in answered(capsys, experiment(tmp_path, root, 2), "--decode", "trie")


# --- a real pretrained model ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_real_pretrained_model_learns_to_write_plans(shared, root, cache, tmp_path):
    language = pretrained(model=str(shared / "data" / "tiny_llama" / "stories260K.bin"))
    config = with_language(tmp_path, root, cache, language)
    content = yaml.safe_load(config.read_text())
    content["trainer"]["max_epochs"] = 30
    config.write_text(yaml.safe_dump(content))
    assert main(["fit", "--config", str(config), "--model.language_learning_rate", "0.01"]) == 0
    lines = predictions(run_of(config))
    labels = {name for line in lines for name in line["step_names"]}
    said = [re.findall(r'"([^"]*)"', line["sentence"]) for line in lines]  # its 512 word pieces hold no bracket
    assert sum(len(labels & set(names)) >= 2 for names in said) > len(lines) / 2
    assert results_of(run_of(config))["protocol"]["language_model"]["name"] == "stories260K.bin"


# --- labels that training never saw --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_planner_trained_on_niv_plans_crosstask_with_its_labels(shared, tmp_path):
    """On surrogate observations: the software carries over to new labels; figures say nothing about vision."""
    config = Path(__file__).parents[1] / "configs" / "experiment" / "planllm_niv_to_crosstask_t3.yaml"
    options = {
        "--root": shared / "data",
        "--runs": tmp_path,
        "--name": "small",
        "--trainer.max_epochs": 5,
        "--model.align_epochs": 2,
        "--decode": "[retrieve, generate]",
        "--model.language.epochs": 1,
        "--model.language.steps": 100,
        "--data.train.init_args.source.init_args.noise": 0.5,
        "--data.test.init_args.source.init_args.noise": 0.5,
        "--model.language.cache": tmp_path / "cache",
    }
    assert main(["fit", "--config", str(config), *(str(word) for pair in options.items() for word in pair)]) == 0
    results = results_of(tmp_path / "small")
    assert results["data"]["dataset"] == "niv -> crosstask"
    assert any("say nothing about vision" in note for note in results["data"]["notes"])
    assert results["protocol"]["classes"] == 48
    test = results["metrics"]["test"]
    assert test["counts"]["windows"] == 2030
    assert test["retrieve"]["mean_accuracy"] > 2 / 133  # twice as good as guessing
    assert max(step for line in predictions(tmp_path / "small") for step in line["plans"]["retrieve"]) > 48
