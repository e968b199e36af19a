"""Two measurements side by side: ratios as by hand, directions by unit, noise told, unlike things not compared."""

import json
import re

import pytest

from leaplan.__main__ import main
from leaplan.bench_compare import compare, flattened
from leaplan.measured import write_figures

FIGURES = {
    "train step": {"cpu_s": 2.0, "parameters": 1000},
    "films": [
        {"film": "small", "clips_per_second": 10.0, "decode_seconds": 0.1},
        {"film": "large", "clips_per_second": 5.0, "decode_seconds": 0.2},
    ],
}


def write(path, settings=None, subject="planner", machine=None, **changes):
    """Write figures of which some are multiplied."""
    figures = json.loads(json.dumps(FIGURES))
    figures["train step"]["cpu_s"] *= changes.get("cpu_s", 1)
    figures["train step"]["parameters"] *= changes.get("parameters", 1)
    for film in figures["films"]:
        film["clips_per_second"] *= changes.get("clips_per_second", 1)
    write_figures(path, subject, settings or {"threads": 1}, figures)
    if machine:
        content = json.loads(path.read_text())
        content["machine"] |= machine
        path.write_text(json.dumps(content))
    return str(path)


def lines(capsys):
    return {cells[1].strip(): [c.strip() for c in cells[2:-1]] for cells in (
        line.split("│") for line in capsys.readouterr().out.splitlines() if line.startswith("│")
    )}  # fmt: skip


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "240")


def test_numbers_are_named_by_their_path_and_the_words_beside_them():
    assert dict(flattened(FIGURES)) == {
        "train step.cpu_s": 2.0,
        "train step.parameters": 1000.0,
        "films[small].clips_per_second": 10.0,
        "films[small].decode_seconds": 0.1,
        "films[large].clips_per_second": 5.0,
        "films[large].decode_seconds": 0.2,
    }
    assert dict(flattened({"a": [{"x_s": 1}, {"x_s": 2}]})) == {"a[0].x_s": 1.0, "a[1].x_s": 2.0}


def test_less_time_and_more_clips_are_better(tmp_path, capsys):
    before, after = write(tmp_path / "a.json"), write(tmp_path / "b.json", cpu_s=0.5, clips_per_second=0.5)
    assert main(["bench", "--compare", before, after]) == 0
    rows = lines(capsys)
    assert rows["train step.cpu_s"][2:] == ["0.5", "better"]
    assert rows["films[small].clips_per_second"][2:] == ["0.5", "worse"]
    assert rows["films[large].decode_seconds"][2:] == ["1", "no difference"]
    assert "train step.parameters" not in rows


def test_a_small_difference_of_single_runs_is_not_called_one(tmp_path, capsys):
    compare(write(tmp_path / "a.json"), write(tmp_path / "b.json", cpu_s=0.95))
    printed = capsys.readouterr().out
    assert "within what is usual" in printed
    assert "single runs of the same code often differ by 10%" in printed


def test_repeated_runs_are_compared_by_their_medians_and_spread(tmp_path, capsys):
    for number, (old, new) in enumerate(((1.0, 0.7), (1.1, 0.8), (1.5, 0.9))):
        write(tmp_path / f"before{number}.json", cpu_s=old, clips_per_second=old)
        write(tmp_path / f"after{number}.json", cpu_s=new, clips_per_second=1.2 * old)
    compare(str(tmp_path / "before*.json"), str(tmp_path / "after*.json"))
    rows = lines(capsys)
    assert rows["train step.cpu_s"] == ["2.2  [2, 3]", "1.6  [1.4, 1.8]", "0.727", "better"]
    assert rows["films[small].clips_per_second"][2:] == ["1.2", "within the spread"]


def test_what_makes_a_ratio_doubtful_is_told(tmp_path, capsys):
    machine = {"processor": "another", "torch": "0.1"}
    compare(write(tmp_path / "a.json"), write(tmp_path / "b.json", machine=machine, parameters=2))
    printed = capsys.readouterr().out
    assert "different machines (processor)" in printed
    assert "different versions of torch" in printed
    assert "what was measured differs: train step.parameters" in printed


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"subject": "recogniser"}, "b.json measures 'recogniser', but .*a.json measures 'planner'"),
        ({"settings": {"threads": 2}}, "measured with threads 1 and 2"),
    ],
)
def test_unlike_measurements_are_not_compared(tmp_path, capsys, other, message):
    assert main(["bench", "--compare", write(tmp_path / "a.json"), write(tmp_path / "b.json", **other)]) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"schema": 1, "bench": "planner"}', '{"schema": 9}'])
def test_files_that_hold_no_figures_are_named(tmp_path, capsys, content):
    path = tmp_path / "b.json"
    if content is not None:
        path.write_text(content)
    assert main(["bench", "--compare", write(tmp_path / "a.json"), str(path)]) == 2
    said = capsys.readouterr().err
    assert str(path) in said
    assert "leaplan bench SUBJECT --json FILE" in said


def test_a_benchmark_must_be_named(capsys):
    assert main(["bench"]) == 2
    assert "Name one of planner" in capsys.readouterr().err
