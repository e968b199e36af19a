"""The benchmark measures what it says: the same arithmetic on both sides. Its times are no test's business."""

import json

import pytest
import torch

from leaplan.bench import main
from leaplan.planning import bench


@pytest.mark.parametrize("kind", bench.TRANSITIONS)
def test_both_viterbis_find_the_same_plans(kind, monkeypatch):
    plans = []

    def call(work, repeats, **clock):
        found = work()
        plans.append(found[0] if isinstance(found, tuple) else torch.tensor(found))
        return (1.0,)

    monkeypatch.setattr(bench, "seconds_of", call)
    torch.manual_seed(7)
    *_, ratio = bench.viterbi_against_loop(20, kind, repeats=1, windows=16)
    assert torch.equal(*plans)
    assert ratio.value == 1.0


def test_the_decoder_is_compared_with_itself():
    *_, difference = bench.decoder_against_repeated_memory(repeats=1, windows=2)
    assert difference.value < 1e-5


def test_a_stage_one_step_trains_all_that_the_first_stage_trains():
    step, _, parameters, _ = bench.stage_one_step(repeats=1, windows=2, width=16, layers=2, heads=2)
    assert parameters.value > 15e6  # width 512 around a small Q-Former
    assert step.value > 0


def values(path):
    """Return the values of all figures in a file, by name."""
    return {row["name"]: row["value"] for row in json.loads(path.read_text())["figures"]}


@pytest.mark.slow
def test_the_language_benchmark_compares_equal_scores_and_plans_a_7b_model(tmp_path, capsys):
    threads = torch.get_num_threads()
    assert main(["language", "--repeats", "1", "--json", str(tmp_path / "bench.json")]) == 0
    torch.set_num_threads(threads)
    figures = values(tmp_path / "bench.json")
    assert figures["scoring: largest difference of log-probabilities"] < 1e-3
    assert figures["LLM of 7B, lora: checkpoint file"] < 0.1  # GiB; LoRA r=16 on 7B
    assert figures["LLM of 7B, full: checkpoint file"] > 12
    assert "7B Llama" in capsys.readouterr().out


@pytest.mark.slow
def test_the_verb_prints_a_table_and_writes_the_figures(tmp_path, capsys):
    threads = torch.get_num_threads()
    assert main(["planner", "--repeats", "1", "--json", str(tmp_path / "bench.json")]) == 0
    torch.set_num_threads(threads)
    figures = values(tmp_path / "bench.json")
    assert sum(name.endswith("NumPy loop") for name in figures) == 4
    assert figures["parameters"] > 1e6
    assert "decoder forward" in capsys.readouterr().out
