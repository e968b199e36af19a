"""`leaplan check-data` tells what is there, what is missing and how to mend it, and its exit code says so."""

import gzip
import json
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from leaplan.__main__ import main as leaplan
from leaplan.data import check as verb
from leaplan.data.check_report import show
from leaplan.data.protocols import CLASSES, PROTOCOLS, Protocol
from leaplan.data.splits import checksum, measure


def run(*arguments: object) -> int:
    return verb.main([str(argument) for argument in arguments])


def findings(report: verb.Report, level: str) -> str:
    return "\n".join(
        "\n".join([f"{f.where}: {f.what}", f.mend, *f.details]) for f in report.findings if f.level == level
    )


@pytest.fixture
def published(monkeypatch, captaincook4d: Path) -> Path:
    """The small CaptainCook4D, as if it were the published one."""
    from leaplan.data.captaincook4d import read_captaincook4d

    annotations = read_captaincook4d(captaincook4d)
    protocol = Protocol(measure(annotations), checksum(annotations))
    monkeypatch.setitem(PROTOCOLS, "captaincook4d", {"recordings": protocol})
    monkeypatch.setitem(CLASSES, "captaincook4d", (4, 2))
    return captaincook4d


@pytest.fixture(scope="module")
def cooking(shared: Path) -> verb.Report:
    return verb.check("captaincook4d", shared / "data")


@pytest.mark.parametrize(
    "dataset",
    [
        "coin",
        "niv",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("crosstask", "epic_kitchens", "captaincook4d")),
    ],
)
def test_all_is_well_with_the_real_data(shared: Path, tmp_path: Path, capsys, dataset: str):
    file = tmp_path / "reports" / "report.json"
    assert run(dataset, "--root", shared / "data", "--json", file) == 0
    assert "All is well" in capsys.readouterr().out
    report = json.loads(file.read_text())
    assert report["ok"] is True
    assert report["dataset"] == dataset
    there = [p for p in report["protocols"] if p["status"] == "as published"]
    assert len(there) == len(PROTOCOLS[dataset]) - (dataset == "coin")
    for protocol in there:
        assert protocol["splits"] == protocol["expected"]
    if dataset in ("crosstask", "coin", "niv"):
        absent = [f for f in report["findings"] if f["where"] == "features"]
        assert "403" in absent[0]["what"]
        assert f"leaplan check-data {dataset}" in absent[0]["mend"]


def test_real_features_are_counted(cooking: verb.Report):
    features = {entry.path: entry for entry in cooking.features}
    pe = features["pe_core_step_windows.npz"]
    assert (pe.videos, pe.of, pe.width) == (114, 384, 768)
    assert [pe.windows[split].windows[:2] for split in ("train", "val", "test")] == [
        (728, 662),
        (152, 137),
        (370, 337),
    ]
    assert features["pe_core_seconds/"].videos == 8
    assert features["omnivore_seconds/"].width == 1024


def test_a_protocol_that_is_asked_for_must_be_there(shared: Path):
    report = verb.check("coin", shared / "data", "official")
    assert not report.ok
    assert "has no COIN.json" in findings(report, "error")
    assert [p.status for p in report.protocols] == ["not there"]


def test_features_that_are_asked_for_must_be_whole(shared: Path):
    report = verb.check("captaincook4d", shared / "data", "recordings", Path("pe_core_seconds"))
    assert "pe_core_seconds: 376 videos have no features" in findings(report, "error")
    assert "--data.source.missing skip" in findings(report, "error")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["crostask", "--root", "."], "'crostask' is not a dataset; did you mean 'crosstask'?"),
        (
            ["niv", "--root", ".", "--protocol", "skema"],
            "niv has no protocol 'skema'; did you mean 'schema'?",
        ),
        (["niv", "--root", "nowhere"], "nowhere is not a folder"),
    ],
)
def test_wrong_use_is_answered_by_the_nearest_and_exit_code_2(capsys, arguments, message):
    assert leaplan(["check-data", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit) as caught:
        run("--help")
    assert caught.value.code == 0
    assert "leaplan check-data captaincook4d --root /data" in capsys.readouterr().out


def test_the_synthetic_kitchen_has_no_reference(monkeypatch, captaincook4d: Path):
    from leaplan.data.captaincook4d import read_captaincook4d

    module = SimpleNamespace(read_synthetic=read_captaincook4d)
    monkeypatch.setitem(sys.modules, "leaplan.data.synthetic", module)
    report = verb.check("synthetic", captaincook4d)
    assert report.ok
    assert [(p.name, p.status) for p in report.protocols] == [("recordings", "no reference")]


def test_the_published_files_are_well(published: Path, capsys):
    assert run("captaincook4d", "--root", published) == 0
    out = capsys.readouterr().out
    assert "as published" in out
    assert "no visual features" in out


def test_other_counts_are_told_with_those_expected(published: Path, write, capsys):
    path = published / "captaincook4d/data_splits/recordings_data_split_combined.json"
    write(path, {"train": ["1_2", "2_1"], "val": ["1_3"], "test": []})
    assert run("captaincook4d", "--root", published) == 1
    out = capsys.readouterr().out
    assert "deviates" in out
    assert "train: 2 videos, expected 1" in out
    assert "test: 0 videos, expected 1" in out
    assert "1 thing is wrong" in out
    write(path, {"train": ["1_3"], "val": ["1_2"], "test": ["2_1"]})
    report = verb.check("captaincook4d", published)
    assert "the counts are right, but other videos are listed (checksum)" in findings(report, "error")


def test_problems_of_several_protocols_are_told_once(crosstask: Path, write):
    write(crosstask / "crosstask_release/annotations/11_c.csv", "9,1.0,2.0\n1,3.0,2.0\n")
    report = verb.check("crosstask", crosstask)
    errors = [f for f in report.findings if f.level == "error"]
    assert len(errors) == 1
    assert errors[0].where == "base, pdpp"
    assert len(errors[0].details) == 2
    assert [p.status for p in report.protocols] == ["broken", "broken", "not there"]


def test_missing_and_deviating_classes_are_an_error(crosstask: Path):
    report = verb.check("crosstask", crosstask, "pdpp")
    assert "4 steps and 2 tasks, expected 133 and 18" in findings(report, "error")


def test_an_empty_folder_is_an_error(tmp_path: Path):
    report = verb.check("niv", tmp_path)
    assert "no protocol can be used" in findings(report, "error")


def save(folder: Path, name: str, array: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    np.save(folder / name, array)


def test_a_folder_of_features_is_checked_file_by_file(published: Path):
    folder = published / "captaincook4d" / "features"
    save(folder, "1_2.npy", np.ones((13, 8), np.float32))
    save(folder, "x_1_3.npy", np.ones((12, 8), np.float32))
    save(folder, "2_1.npy", np.ones((12, 8), np.float32))
    assert verb.check("captaincook4d", published, features=Path("features")).ok
    save(folder, "1_2.npy", np.ones((20, 8), np.float32))
    save(folder, "x_1_3.npy", np.ones((12, 9), np.float32))
    save(folder, "2_1.npy", np.full((12, 8), np.nan, np.float32))
    errors = findings(verb.check("captaincook4d", published, features=folder), "error")
    assert "1_2: 20 rows, but the video lasts 12.5 s" in errors
    assert "columns" in errors
    assert "NaN" in errors
    (folder / "2_1.npy").unlink()
    assert "1 videos have no features" in findings(verb.check("captaincook4d", published, features=folder), "error")
    assert "1 videos have no features" in findings(verb.check("captaincook4d", published), "note")


def test_arrays_without_known_duration_must_reach_the_last_step(crosstask: Path):
    folder = crosstask / "crosstask_release" / "features"
    for name in ("a_b", "c", "d"):
        save(folder, f"11_{name}.npy", np.ones((8, 4), np.float32))
    report = verb.check("crosstask", crosstask, "pdpp", folder)
    assert "before the last step" not in findings(report, "error") + findings(report, "note")
    save(folder, "11_c.npy", np.ones((6, 4), np.float32))
    assert "1 of 3 files end before the last step" in findings(
        verb.check("crosstask", crosstask, "pdpp", folder), "note"
    )
    for name in ("a_b", "c", "d"):
        save(folder, f"11_{name}.npy", np.ones((2, 4), np.float32))
    assert "3 files end before" in findings(verb.check("crosstask", crosstask, "pdpp", folder), "error")


def test_an_archive_of_segments_is_held_against_the_annotations(published: Path):
    path = published / "captaincook4d" / "segments.npz"
    columns = {
        "feats": np.ones((3, 10, 8), np.float16),
        "video_id": np.array(["1_2", "1_2", "2_1"]),
        "step_id": np.array([4, 9, 7]),
        "start": np.array([1.0, 10.0, 4.0]),
    }
    np.savez(path, **columns)
    report = verb.check("captaincook4d", published)
    assert report.ok
    assert (report.features[0].videos, report.features[0].width) == (2, 8)
    np.savez(path, **{**columns, "start": np.array([1.0, 11.0, 4.0])})
    errors = findings(verb.check("captaincook4d", published), "error")
    assert "1 of 3 rows belong to no annotated segment" in errors
    columns["feats"][0, 0, 0] = np.nan
    np.savez(path, **columns)
    assert "finite" in findings(verb.check("captaincook4d", published), "error")
    path.write_bytes(path.read_bytes()[:100])
    assert "segments.npz" in findings(verb.check("captaincook4d", published), "error")


def test_features_that_do_not_exist(published: Path):
    report = verb.check("captaincook4d", published, features=Path("nowhere"))
    assert "nowhere: does not exist" in findings(report, "error")


def test_a_damaged_file_is_told_not_raised(niv: Path):
    path = niv / "niv" / "niv_train.json"
    (niv / "niv" / "niv_train.json.gz").write_bytes(gzip.compress(path.read_bytes())[:50])
    path.unlink()
    report = verb.check("niv", niv, "schema")
    assert "niv_train.json.gz cannot be read" in findings(report, "error")


@pytest.mark.parametrize("width", [80, 120])
def test_the_page_fits_the_terminal(cooking: verb.Report, width: int):
    console = Console(width=width, record=True, file=StringIO())
    show(cooking, console)
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
