"""What every benchmark writes is one form, and two of them are compared by arithmetic that NumPy agrees with."""

import argparse
import json
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from leaplan import bench
from leaplan.__main__ import main
from leaplan.bench import SUBJECTS, form, print_measurement
from leaplan.bench_compare import Run, compare_files, ratio_of, read, warnings_of
from leaplan.bench_extract import projection
from leaplan.errors import DataError
from leaplan.measuring import Figure, Measurement, rates, seconds_of
from leaplan.text.chat.bench import _bound
from leaplan.video.extraction.bench import Extraction

MACHINE = {"processor": "A", "cores": 2, "device": "cpu", "platform": "Linux", "torch": "2.15", "threads": 1}
MEASURED = Measurement(
    "two films",
    [
        Figure("film: decoded", (10.0, 11.0, 12.0), "clips/s", "higher"),
        Figure("film: cropped [all]", (3.0, 2.0, 4.0, 5.0), "ms", "lower", "official: 7"),
        Figure("parameters", (7,), ""),
    ],
    ["decoding bounds"],
)


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a run and returns its path."""

    def write(name, subject="decode", measured=MEASURED, settings=None, **environment):
        content = form(subject, measured, settings or {"frames": 8}, MACHINE | environment)
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return write


# --- One form


def test_what_is_written_is_read_again(written):
    run = read(written("a.json"))
    assert list(run.figures.values()) == MEASURED.figures
    assert (run.subject, run.settings, run.environment) == ("decode", {"frames": 8}, MACHINE)


def test_a_subject_is_measured_printed_and_written_with_its_memory_and_machine(tmp_path, capsys):
    file = tmp_path / "bench.json"
    assert main(["bench", "programs", "--repeats", "2", "--json", str(file)]) == 0
    written = json.loads(file.read_text())
    assert {"bench", "subject", "leaplan", "settings", "environment", "figures"} <= written.keys()
    assert {"processor", "cores", "torch", "threads", "precision", "device"} <= written["environment"].keys()
    assert written["settings"] == {"repeats": 2, "root": None}
    rows = {row["name"]: row for row in written["figures"]}
    assert len(rows["text parsed"]["repeats"]) == 2
    assert rows["text parsed"]["better"] == "higher"
    assert rows["peak resident memory"]["value"] > 20
    assert read(file).figures["text parsed"].value == rows["text parsed"]["value"]
    assert "programs checked" in capsys.readouterr().out


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_subject_has_options_and_an_example_of_its_own(subject):
    module = import_module(SUBJECTS[subject][0])
    parser = argparse.ArgumentParser(exit_on_error=False)
    module.add_options(parser)
    example = next(line for line in module.EXAMPLES.splitlines() if f"leaplan bench {subject} " in line)
    parser.add_argument("--json")
    parser.parse_args(example.partition(f"leaplan bench {subject} ")[2].split())
    assert module.measure.__annotations__["return"] is Measurement


def test_figures_are_printed_under_their_headings_and_brackets_stay(capsys):
    print_measurement(MEASURED)
    printed = capsys.readouterr().out
    assert printed.count("film") == 2  # the title, and one heading
    assert "cropped [all]" in printed
    assert "2 to 5 (4)" in printed
    assert printed.rstrip().endswith("decoding bounds")


def test_the_first_call_does_not_count():
    ticks = iter(range(100))
    calls = []
    assert seconds_of(lambda: calls.append(next(ticks)), 3, clock=lambda: next(ticks)) == (2, 2, 2)
    assert len(calls) == 4


def test_rates_of_parts_cover_all_items():
    seconds = np.random.default_rng(7).uniform(1, 2, 23)
    parts = np.array_split(np.arange(23), 5)
    found = rates(list(seconds))
    assert len(found) == 5
    assert sum(seconds) == pytest.approx(sum(size / rate for size, rate in zip([4, 5, 4, 5, 5], found, strict=True)))
    assert rates([0.5, 0.25]) == (2.0, 4.0)
    assert sum(map(len, parts)) == 23


# --- Comparing


def test_the_interval_is_welchs_on_logarithms():
    rng = np.random.default_rng(7)
    before, after = (tuple(rng.lognormal(mean, 0.1, count)) for mean, count in ((0.0, 5), (0.4, 4)))
    found = ratio_of(Figure("a", before, "s", "lower"), Figure("a", after, "s", "lower"))
    a, b = np.log(before), np.log(after)
    parts = np.array([a.var(ddof=1) / 5, b.var(ddof=1) / 4])
    freedom = parts.sum() ** 2 / (parts**2 / np.array([4, 3])).sum()
    assert 3 < freedom < 7
    student = {3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447}[int(freedom)]
    centre, margin = b.mean() - a.mean(), student * np.sqrt(parts.sum())
    np.testing.assert_allclose([found.ratio, found.low, found.high], np.exp([centre, centre - margin, centre + margin]))
    assert found.verdict == "worse"


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(7)
    noisy = [[Figure("a", tuple(rng.lognormal(0, 0.2, 4)), "s", "lower") for _ in range(2)] for _ in range(1500)]
    share = np.mean([ratio_of(*pair).verdict == "within noise" for pair in noisy])
    assert 0.94 < share < 0.99


@pytest.mark.parametrize(
    ("before", "after", "better", "verdict"),
    [
        ((10, 10.1, 9.9), (20, 20.1, 19.9), "higher", "better"),
        ((10, 10.1, 9.9), (20, 20.1, 19.9), "lower", "worse"),
        ((10, 10.1, 9.9), (5, 5.1, 4.9), "lower", "better"),
        ((10, 10.1, 9.9), (20, 20.1, 19.9), "", "differs"),
        ((10, 12, 8), (10.5, 12, 9), "higher", "within noise"),
        ((10,), (20, 21), "higher", ""),
        ((10, 10), (20, 20), "higher", "better"),
        ((7,), (7,), "", "the same"),
        ((0, 1), (2, 3), "higher", ""),
    ],
)
def test_a_verdict_needs_repeats_on_both_sides(before, after, better, verdict):
    found = ratio_of(Figure("a", before, "s", better), Figure("a", after, "s", better))
    assert found.verdict == verdict
    assert (found.low is None) == (verdict in ("", "the same"))


def test_a_comparison_tells_each_row_and_warns_of_another_machine(written, capsys):
    slower = replace(MEASURED, figures=[Figure("film: decoded", (5.0, 5.1, 5.2), "clips/s", "higher")])
    assert main(["bench", "--compare", str(written("a.json")), str(written("b.json", measured=slower, cores=64))]) == 0
    printed = capsys.readouterr().out
    assert "worse" in printed
    assert "beware: the machines differ (cores 2 and 64): these ratios do not measure the code" in printed
    assert "b.json" in printed
    assert "cropped" in printed.split("only in")[1]


def test_equal_conditions_raise_no_warning(written):
    runs = [read(written(name)) for name in ("a.json", "b.json")]
    assert not list(warnings_of(*runs))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threads": 2}, "threads 1 and 2"),
        ({"torch": "2.16"}, "torch 2.15 and 2.16"),
        ({"settings": {"frames": 16}}, "frames 8 and 16"),
        ({"measured": replace(MEASURED, figures=[Figure("parameters", (7,), "M")])}, "units differ"),
    ],
)
def test_what_makes_ratios_say_less_is_told(written, change, words):
    assert any(words in warning for warning in warnings_of(read(written("a.json")), read(written("b.json", **change))))


def test_another_version_is_told(written):
    run: Run = read(written("a.json"))
    assert list(warnings_of(run, replace(run, version="9"))) == [f"leaplan {run.version} and 9"]


def test_different_subjects_are_not_compared(written):
    with pytest.raises(DataError, match=r"measured decode, but .* measured chat"):
        compare_files(written("a.json"), written("b.json", subject="chat"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is no JSON, or only a part of it"),
        ('{"bench": 1, "subject": ', "is no JSON"),
        ("[1]", "was not written by leaplan bench"),
        ('{"metrics": {}}', "was not written by leaplan bench"),
        ('{"bench": "planner", "rows": []}', "has form 'planner'"),
        ('{"bench": 1, "subject": "chess"}', "there is no subject 'chess'"),
        ('{"bench": 1, "subject": "chat"}', "'figures' is missing"),
        ('{"bench": 1, "subject": "chat", "figures": 3}', "damaged"),
        ('{"bench": 1, "subject": "chat", "figures": [{"name": "a", "repeats": [NaN]}]}', "no finite repeats"),
        ('{"bench": 1, "subject": [], "figures": []}', "damaged"),
    ],
)
def test_foreign_and_damaged_files_are_refused(content, words, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"x\.json") as refusal:
        read(path)
    assert words in refusal.value.what
    assert "leaplan bench" in refusal.value.hint


def test_a_missing_file_is_told(tmp_path, capsys):
    assert main(["bench", "--compare", str(tmp_path / "none.json"), str(tmp_path / "none.json")]) == 2
    assert "none.json cannot be read (No such file or directory)" in capsys.readouterr().err


def test_two_figures_of_one_name_are_refused(written):
    with pytest.raises(DataError, match="same name"):
        read(written("a.json", measured=replace(MEASURED, figures=[MEASURED.figures[0]] * 2)))


# --- Bounds and projections


def test_the_busier_part_bounds_and_the_host_where_neither_is_busy():
    run = Extraction(wall=10, cpu=12, decoding=3, encoding=9.5, video_seconds=100, rows=100, broken=0)
    assert run.bound == "network"
    assert replace(run, decoding=9.7).bound == "decoding"
    assert replace(run, encoding=8.0).bound == "host"


def test_a_projection_is_the_measured_rate_times_hours():
    run = Extraction(wall=3600, cpu=7200, decoding=3600, encoding=100, video_seconds=7200, rows=7200, broken=0)
    told = projection(160, [run], width=512)
    assert "projected, not measured: 160 h of such video take one worker 80 h, 160 core-hours" in told
    assert "10 shards for a night of 8 h" in told
    assert f"{160 * 3600 * 512 * 4 / 1e9:.3g} GB in float32" in told


@pytest.mark.parametrize(
    ("rate", "cpu", "words"),
    [(450, 2.1, "the host bounds"), (1270, 0.1, "latency bounds"), (300, 1.0, "neither host nor latency")],
)
def test_what_bounds_the_client(rate, cpu, words):
    figures = Figure("requests", (rate,), "requests/s"), Figure("client", (cpu,), "CPU ms/request")
    assert words in _bound(*figures, concurrency=64, latency=0.05)


def test_a_subject_that_is_not_there_lists_those_that_are(capsys):
    with pytest.raises(SystemExit):
        bench.main(["chess"])
    assert "'planner', 'recogniser', 'decode'" in capsys.readouterr().err
