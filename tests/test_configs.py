"""Every configuration file parses, says how it is used, and is used."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from leaplan.__main__ import main
from leaplan.cli import parsers
from leaplan.report.study_file import read_study
from leaplan.shipped_configs import with_files

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
EXPERIMENTS = sorted((CONFIGS / "experiment").glob("*.yaml"))
STUDIES = sorted((CONFIGS / "study").glob("*.yaml"))
PARTS = sorted(path for path in CONFIGS.glob("*/*.yaml") if path.parent.name not in ("experiment", "study"))


def name_of(path: Path) -> str:
    return str(path.relative_to(CONFIGS))


def first_comment(path: Path) -> str:
    line = path.read_text(encoding="utf-8").splitlines()[0]
    assert line.startswith("# "), f"{path} begins without a comment"
    return line.removeprefix("# ")


def overlay(path: Path) -> bool:
    """A file that no experiment names, to be added on the command line."""
    return "overlay" in first_comment(path).lower()


@pytest.fixture(scope="module")
def parsed():
    """What the command line makes of arguments, which it would print with `--print_config`; its parser is made once."""
    parser = parsers()["fit"]

    def parse(arguments: list[str]) -> dict:
        verb, *words = with_files(arguments)
        assert verb == "fit"
        return yaml.safe_load(parser.dump(parser.parse_args(words), skip_unset=False))

    return parse


@pytest.mark.parametrize("path", EXPERIMENTS, ids=name_of)
def test_an_experiment_is_parsed_by_the_command_in_its_first_line(path, parsed, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    program, *arguments = shlex.split(first_comment(path))
    assert program == "leaplan"
    assert arguments[:3] == ["fit", "--config", f"configs/experiment/{path.name}"]
    config = parsed(arguments)
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert config["name"] == given["name"] == path.stem.replace("_", "-")
    assert config["data"]["class_path"].startswith("leaplan.data.")
    assert config["model"]["class_path"].startswith("leaplan.")
    if "horizon" in given:
        assert re.search(r"-t(\d+)(-|$)", config["name"])[1] == str(given["horizon"])
        assert config["horizon"] == given["horizon"]
    for part in ("data", "model", "trainer"):
        assert_holds(config[part], yaml.safe_load((path.parent / given[part]).read_text(encoding="utf-8")))


def assert_holds(config: dict, part: dict) -> None:
    """Every value of a part has arrived in the parsed configuration."""
    for key, value in part.items():
        if isinstance(value, dict):
            assert_holds(config[key], value)
        elif "${" not in str(value):
            found = config[key]
            if key == "class_path":  # the parser may name a class by a shorter path
                found, value = (path.rpartition(".")[2] for path in (found, value))
            assert found == value, key


@pytest.mark.parametrize("path", PARTS, ids=name_of)
def test_a_part_is_used_by_an_experiment_or_says_that_it_is_an_overlay(path):
    named = {
        (experiment.parent / value).resolve()
        for experiment in EXPERIMENTS
        for value in yaml.safe_load(experiment.read_text(encoding="utf-8")).values()
        if isinstance(value, str) and value.endswith(".yaml")
    }
    assert path in named or overlay(path)


@pytest.mark.parametrize("path", [path for path in PARTS if overlay(path)], ids=name_of)
def test_an_overlay_is_parsed_on_top_of_an_experiment(path, parsed):
    base = CONFIGS / "experiment" / "planllm_captaincook4d_t3.yaml"
    parsed(["fit", "--config", str(base), "--config", str(path)])


@pytest.mark.parametrize("path", STUDIES, ids=name_of)
def test_a_study_is_run_by_the_command_in_its_first_line(path, parsed, capsys, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    program, *arguments = shlex.split(first_comment(path))
    assert program == "leaplan"
    assert arguments[:3] == ["study", f"configs/study/{path.name}", "--config"]
    assert main([*arguments, "--dry-run"]) == 0
    commands = [shlex.split(line.partition(": leaplan ")[2]) for line in capsys.readouterr().out.splitlines()]
    for command in commands[: len(read_study(path).variants)]:  # each variant once
        parsed(command)


def test_every_dataset_has_experiments_at_horizons_3_and_4():
    names = {path.stem for path in EXPERIMENTS}
    for dataset in ("crosstask", "coin", "niv", "epic_kitchens", "captaincook4d", "captaincook4d_egovlp", "synthetic"):
        assert {f"plan_{dataset}_t3", f"plan_{dataset}_t4"} <= names


def test_no_configuration_file_lies_elsewhere():
    assert {path for path in CONFIGS.rglob("*") if path.is_file()} == {*EXPERIMENTS, *PARTS, *STUDIES}
