"""The configurations in the package: found by name, listed, shown, and copied with all that they name."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from leaplan.__main__ import main
from leaplan.errors import ConfigError
from leaplan.shipped_configs import SHIPPED, config_file, find, shipped, with_files


def test_what_is_shipped_is_the_folder_at_the_top(repository):
    assert SHIPPED.resolve() == repository / "configs"
    assert {path.resolve() for path in shipped()} == set((repository / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("name", ["plan_synthetic_t3", "experiment/plan_synthetic_t3", "plan_synthetic_t3.yaml"])
def test_a_configuration_is_found_by_name(name):
    assert find(name) == SHIPPED / "experiment" / "plan_synthetic_t3.yaml"


def test_an_unknown_name_is_answered_by_the_nearest_and_a_shared_one_by_the_choices(capsys):
    assert main(["configs", "show", "plan_synthetc_t3"]) == 2
    assert "did you mean 'plan_synthetic_t3'?" in capsys.readouterr().err
    assert main(["configs", "show", "planner"]) == 2
    assert "model/planner or trainer/planner" in capsys.readouterr().err


def test_files_come_before_names_and_other_paths_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan_niv_t3").write_text("name: mine\n")
    assert config_file("plan_niv_t3") == "plan_niv_t3"
    assert config_file("mine.yaml") == "mine.yaml"
    assert config_file("/data/plan_coin_t3.yaml") == "/data/plan_coin_t3.yaml"
    shipped_file = str(SHIPPED / "experiment" / "plan_coin_t3.yaml")
    assert config_file("configs/experiment/plan_coin_t3.yaml") == shipped_file  # as documentation writes it
    assert with_files(["fit", "--config", "plan_coin_t3", "--name", "plan_coin_t3", "--config=no_llm"]) == [
        *("fit", "--config", shipped_file, "--name", "plan_coin_t3"),
        f"--config={SHIPPED}/ablation/no_llm.yaml",
    ]
    with pytest.raises(ConfigError, match="did you mean"):
        config_file("plan_coin")


def test_fit_and_study_take_names_anywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["fit", "--config", "plan_synthetic_t4", "--config", "no_llm", "--print_config"])
    assert yaml.safe_load(capsys.readouterr().out)["horizon"] == 4
    assert main(["study", "parts", "--config", "plan_synthetic_t3", "--dry-run"]) == 0
    assert f"--config {SHIPPED}/experiment/plan_synthetic_t3.yaml" in capsys.readouterr().out


def test_the_list_tells_every_file_and_a_command_that_works_anywhere(capsys):
    assert main(["configs", "list"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert list(lines) == [f"{path.parent.name}/{path.stem}" for path in shipped()]
    assert lines["experiment/plan_coin_t3"] == "leaplan fit --config plan_coin_t3 --root /data"
    assert main(["configs", "list", "studies"]) == 2


def test_show_prints_the_file_as_it_is(capsys):
    assert main(["configs", "show", "study/parts"]) == 0
    assert capsys.readouterr().out == (SHIPPED / "study" / "parts.yaml").read_text()


@pytest.mark.parametrize("name", ["planllm_synthetic_t3", "study/ablations"])
def test_a_copy_holds_all_that_it_names(name, tmp_path):
    assert main(["configs", "copy", name, "--to", str(tmp_path)]) == 0
    named = {path.name: path for path in tmp_path.rglob("*.yaml")}
    for path in named.values():
        assert path.read_bytes() == (SHIPPED / path.relative_to(tmp_path)).read_bytes()
    start = named[f"{name.rpartition('/')[2]}.yaml"]
    words = [word for line in start.read_text().splitlines()[1:] for word in line.replace(",", " ").split()]
    parts = [word.strip("[]") for word in words if word.strip("[]").endswith(".yaml")]
    assert parts
    assert all((start.parent / part).is_file() for part in parts)


def test_a_copy_does_not_replace_what_was_changed(tmp_path, capsys):
    to = ["--to", str(tmp_path)]
    assert main(["configs", "copy", "plan_synthetic_t3", *to]) == 0
    assert main(["configs", "copy", "plan_synthetic_t3", *to]) == 0  # unchanged
    part = tmp_path / "trainer" / "planner_brief.yaml"
    part.write_text("max_epochs: 1\n")
    assert main(["configs", "copy", "plan_synthetic_t3", *to]) == 2
    assert "planner_brief.yaml is there" in capsys.readouterr().err
    assert part.read_text() == "max_epochs: 1\n"
    assert main(["configs", "copy", "plan_synthetic_t3", *to, "--overwrite"]) == 0
    assert part.read_text() != "max_epochs: 1\n"


def test_a_folder_that_cannot_be_made_is_told(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["configs", "copy", "plan_synthetic_t3", "--to", str(tmp_path / "file")]) == 2
    assert f"{tmp_path / 'file'} cannot be written" in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m leaplan configs list | head -1", shell=True, capture_output=True, text=True
    )
    assert done.stderr == ""


def test_package_data_name_every_file_that_is_no_code(repository):
    package = repository / "src" / "leaplan"
    lines = (repository / "setup.cfg").read_text().partition("[options.package_data]")[2].partition("\n[")[0]
    patterns = [line.strip() for line in lines.splitlines() if line.startswith("    ")]
    listed = {path for pattern in patterns for path in package.glob(pattern)}
    files = {Path(path) for path in package.rglob("*") if path.is_file()} | set(package.glob("configs/*/*"))
    unlisted = {path for path in files - listed if path.suffix != ".py" and "__pycache__" not in path.parts}
    assert not unlisted
