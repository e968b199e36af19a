"""`results.json` is written whole, grows split by split, and is told when it is damaged."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from leaplan.errors import DataError
from leaplan.measuring import peak_memory_mb
from leaplan.training.results import read_results, update_results
from leaplan.writing import write_json


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_update_keeps_the_metrics_of_other_splits(tmp_path):
    update_results(tmp_path, "planning", {"metrics": {"val": {"a": 1}}, "cost": {"seconds": 3.0}, "data": {"x": 1}})
    update_results(tmp_path, "planning", {"metrics": {"test": {"a": 2}}, "cost": {"peak_memory_mb": 9}})
    returned = update_results(tmp_path, "planning", {"metrics": {"val": {"b": 3}}})
    results = json.loads((tmp_path / "results.json").read_text())
    assert results == returned
    assert results["metrics"] == {"val": {"b": 3}, "test": {"a": 2}}
    assert results["cost"] == {"seconds": 3.0, "peak_memory_mb": 9}
    assert results["data"] == {"x": 1}
    assert (results["schema"], results["task"], results["run"]) == (1, "planning", tmp_path.name)
    assert {"python", "torch", "lightning", "device", "platform", "git"} <= set(results["environment"])


def test_a_renamed_run_is_called_by_its_folder(tmp_path):
    first = tmp_path / "first"
    update_results(first, "planning", {"metrics": {"val": {}}})
    first.rename(tmp_path / "second")
    assert update_results(tmp_path / "second", "planning", {"metrics": {}})["run"] == "second"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
def test_a_value_that_json_cannot_hold_leaves_the_file_as_it_was(value, tmp_path):
    write_json(tmp_path / "results.json", {"a": 1})
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "results.json", {"a": value})
    assert json.loads((tmp_path / "results.json").read_text()) == {"a": 1}
    assert entries(tmp_path) == ["results.json"]


def test_an_interrupted_write_leaves_the_old_file_and_no_part(tmp_path, monkeypatch):
    write_json(tmp_path / "results.json", {"a": 1})

    def full(self, content):
        self.open("wb").write(content[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_json(tmp_path / "results.json", {"a": 2})
    assert json.loads((tmp_path / "results.json").read_text()) == {"a": 1}
    assert entries(tmp_path) == ["results.json"]


def test_names_are_written_as_they_are_spelt(tmp_path):
    write_json(tmp_path / "new" / "a.json", {"task": "crêpe"})
    assert "crêpe" in (tmp_path / "new" / "a.json").read_text(encoding="utf-8")


def test_a_run_without_results_has_none(tmp_path):
    assert read_results(tmp_path) == {}
    assert read_results(tmp_path / "nowhere") == {}


@pytest.mark.parametrize("content", ["", "{", '{"metrics": ', "[1, 2]", "null", "\udcff"])
def test_damaged_results_are_told_with_what_to_do(content, tmp_path):
    (tmp_path / "results.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"results\.json (is not valid JSON|holds a )") as refusal:
        read_results(tmp_path)
    assert "Remove it and evaluate again:  leaplan test --config" in refusal.value.hint
    with pytest.raises(DataError):
        update_results(tmp_path, "planning", {"metrics": {}})  # evaluating alone would not mend it


def test_peak_memory_is_in_mebibytes():
    assert 20 < peak_memory_mb() < 200_000


def test_peak_memory_is_not_that_of_the_program_that_started_it():
    large = np.ones(50_000_000)  # 400 MB
    program = "from leaplan.measuring import peak_memory_mb; print(peak_memory_mb())"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert peak_memory_mb() > large.nbytes / 2**20 > 2 * float(told)


def test_the_protocol_of_older_results_is_found_under_its_first_name(tmp_path):
    write_json(tmp_path / "results.json", {"data": {"dataset": "niv", "split": "schema"}})
    assert read_results(tmp_path)["data"] == {"dataset": "niv", "protocol": "schema"}


def test_figures_that_are_no_numbers_are_none(tmp_path):
    (tmp_path / "results.json").write_text(
        '{"metrics": {"test": {"sr": NaN, "macc": 1e400, "miou": 12.5, "windows": 3}}}'
    )
    results = read_results(tmp_path)
    assert results["metrics"]["test"] == {"sr": None, "macc": None, "miou": 12.5, "windows": 3}
    assert update_results(tmp_path, "planning", {})["metrics"] == results["metrics"]
