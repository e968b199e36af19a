"""Every command of README and docs is one that leaplan understands; every file and function that they name exists."""

import argparse
import ast
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from leaplan.__main__ import VERBS, main
from leaplan.data.protocols import PROTOCOLS
from leaplan.errors import ConfigError
from tests.documented_runs import ELSEWHERE, NEEDS, RUN
from tests.documents import PAGES, REPOSITORY, Command, commands, named_files

TRAINER = ("fit", "validate", "test", "predict")
SHOWN = commands()
OURS = [each for each in SHOWN if each.words[0] == "leaplan"]
MADE = sorted({shell for each in SHOWN if each.words[0] == "make" for shell in [each.text.partition("#")[0].strip()]})
EXPERIMENT = "configs/experiment/plan_synthetic_t3.yaml"


class Parsed(Exception):
    """The arguments were understood; nothing is run."""


@pytest.fixture
def parse_only(monkeypatch, tmp_path):
    """The repository as folder, the files of docs/extending.md at hand, and parsers that stop once they understand."""
    understand = argparse.ArgumentParser.parse_known_args

    def stop(self, *args, **kwargs):
        namespace, rest = understand(self, *args, **kwargs)
        if (
            self.prog.startswith("leaplan")
            and " " not in self.prog.removeprefix("leaplan ")
            and set(vars(namespace)) != {"subject"}
        ):
            if rest and self.prog != "leaplan study":  # it passes the rest on to `fit`
                self.error(f"unrecognized arguments: {' '.join(rest)}")
            raise Parsed
        return namespace, rest

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", stop)
    monkeypatch.chdir(REPOSITORY)
    for name, text in named_files(REPOSITORY / "docs" / "extending.md").items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def standing_in(word: str, folder: Path) -> str:
    """Return what stands for a placeholder, the settings of a run that is not here, or a file of docs/extending.md."""
    if word in ("...", "…", "EXPERIMENT.yaml"):
        return EXPERIMENT
    if run := re.fullmatch(r"runs/([\w-]+)/config\.yaml", word):
        return f"configs/experiment/{run[1].replace('-', '_')}.yaml"
    return str(folder / word) if (folder / word).is_file() else word


def understood(words: list[str], capsys) -> str:
    """Return "" if leaplan understands `words` after its own name, else what it says."""
    trainer = words[0] in TRAINER
    try:
        code = main([*words, "--print_config"] if trainer and "--print_config" not in words else words)
    except Parsed:
        return ""
    except SystemExit as left:
        code = left.code or 0
    said = capsys.readouterr()
    return "" if not code else said.err or f"exit code {code}"


def arguments_of(command: Command, folder: Path) -> list[str]:
    return [standing_in(word, folder) for word in command.words[1:]]


def known_to_test_configs(words: list[str]) -> bool:
    """Whether this is the first line of an experiment, which tests/test_configs.py parses."""
    name = words[2] if words[:2] == ["fit", "--config"] else ""
    path = REPOSITORY / name
    return (
        bool(name)
        and path.is_file()
        and path.read_text(encoding="utf-8").splitlines()[0] == f"# leaplan {' '.join(words)}"
    )


def test_every_command_is_understood(parse_only, capsys):
    parsed, wrong = set(), []
    for command in OURS:
        words = arguments_of(command, parse_only)
        if not words or words[0].startswith("-") or tuple(words) in parsed or known_to_test_configs(words):
            continue
        parsed.add(tuple(words))
        said = understood(words, capsys)
        told_in_part = command.inline and ("required" in said or "expected" in said or len(words) == 1)
        if said and not told_in_part:
            wrong.append(f"{command}\n{said}")
    assert not wrong, "\n".join(wrong)
    assert len(parsed) > 30


def test_a_wrong_command_is_not_understood(parse_only, capsys):
    assert "did you mean 'scor" not in understood(["score", "a.jsonl"], capsys)
    assert understood(["scroe", "a.jsonl"], capsys)
    assert "--bootstrp" in understood(["score", "a.jsonl", "--bootstrp", "3"], capsys)
    assert "horizn" in understood(["fit", "--config", EXPERIMENT, "--horizn", "3"], capsys)
    assert "nothing.yaml" in understood(["fit", "--config", "nothing.yaml"], capsys)


def test_commands_name_verbs_and_configurations_that_exist():
    for command in OURS:
        if len(command.words) > 1 and not command.words[1].startswith("-"):
            assert command.words[1] in VERBS, str(command)
        for word in command.words:
            assert not word.startswith("configs/") or (REPOSITORY / word).is_file(), str(command)


def recorder(folder: Path) -> Path:
    """Return a virtual environment that looks complete, whose programs write down how they were called."""
    (folder / "bin").mkdir(parents=True)
    for name in ("leaplan", "python", "ruff", "mypy"):
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\n{{ printf "{name}\\037"; printf "%s\\037" "$@"; echo; }} >> "{folder}/calls"\n')
        program.chmod(0o755)
    for name in (".python", ".installed", ".installed-dev"):
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("text", MADE)
def test_a_make_command_calls_what_leaplan_understands(text, parse_only, tmp_path, capsys):
    venv = recorder(tmp_path / "venv")
    words = [f"CONFIG={EXPERIMENT}" if word == "CONFIG=..." else word for word in Command("", text, False).words[1:]]
    if "clean" in words:
        return
    environment = {**os.environ, "MAKEFLAGS": "", "NODE_RANK": "0", "MASTER_ADDR": "first", "MASTER_PORT": "29500"}
    command = ["make", f"VENV={venv}", *words]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    calls = (venv / "calls").read_text(encoding="utf-8").splitlines() if (venv / "calls").is_file() else []
    for call in dict.fromkeys(calls):
        program, *arguments = call.split("\037")[:-1]
        if program == "leaplan" and not known_to_test_configs(arguments):
            assert not understood(arguments, capsys), arguments


# --- each command is run, or it is said why not --------------------------------------------------------------------


def test_every_command_is_run_or_it_is_said_where_or_what_it_needs():
    rules = [*RUN, *ELSEWHERE, *NEEDS]
    alone = [str(each) for each in SHOWN if not any(re.search(rule, " ".join(each.words)) for rule in rules)]
    assert not alone, "\n".join(["add these to tests/documented_runs.py:", *alone])


def test_tests_that_run_a_command_elsewhere_exist():
    for place in ELSEWHERE.values():
        path, _, name = place.partition("::")
        assert name in defined(REPOSITORY / path), place


# --- references --------------------------------------------------------------------------------------------------


def defined(path: Path) -> set[str]:
    """Return functions, classes and methods of a file; methods as Class.method."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
            names |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.AsyncFunctionDef)}
    return names


def test_functions_and_tests_that_pages_name_exist():
    references = 0
    for page in PAGES:
        for name, what in re.findall(r"`([\w./-]+\.py):([\w.]+)`", page.read_text(encoding="utf-8")):
            places = [
                REPOSITORY / root / name
                for root in ("src/leaplan", "tests", ".")
                if (REPOSITORY / root / name).is_file()
            ]
            assert places, f"{page.name}: no file {name}"
            assert any(what in defined(place) for place in places), f"{page.name}: {name} has no {what}"
            references += 1
    assert references > 90


def test_each_equation_has_a_function_and_a_test():
    rows = [line for line in (REPOSITORY / "docs" / "planning.md").read_text().splitlines() if line.startswith("| Eq.")]
    told = {int(number) for row in rows for number in re.findall(r"\d+", row.split("|")[1])}
    assert told == set(range(1, 16))
    for page in ("planning", "recognition"):
        table = (REPOSITORY / "docs" / f"{page}.md").read_text().partition("\n\n")[2].partition("\n\n")[0]
        for row in table.splitlines()[2:]:
            _, _, function, tests = (cell.strip() for cell in row.strip("|").split("|"))
            assert re.fullmatch(r"`[\w/]+\.py:[\w.]+`", function), row
            assert re.fullmatch(r"`[\w/]+\.py:test_\w+`(, `[\w/]+\.py:test_\w+`)*", tests), row


def test_dotted_names_that_pages_name_exist():
    for page in PAGES:
        for name in re.findall(r"leaplan(?:\.\w+)+", page.read_text(encoding="utf-8")):
            parts = name.split(".")
            files = [(Path(*parts[:end]).with_suffix(".py"), parts[end:]) for end in range(len(parts), 1, -1)]
            files += [(Path(*parts[:end], "__init__.py"), parts[end:]) for end in range(len(parts), 0, -1)]
            found = [(REPOSITORY / "src" / path, rest) for path, rest in files if (REPOSITORY / "src" / path).is_file()]
            path, rest = found[0] if found else (REPOSITORY, [name])
            text = path.read_text(encoding="utf-8") if path.is_file() else ""
            assert path.is_file(), f"{page.name}: {name}"
            assert all(re.search(rf"\b{each}\b", text) for each in rest[:1]), f"{page.name}: {name}"


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_index_has_every_page_and_the_readme_leads_to_it():
    index = (REPOSITORY / "docs" / "README.md").read_text(encoding="utf-8")
    assert "(docs/README.md)" in (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for page in (REPOSITORY / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name


# --- figures that can be computed ----------------------------------------------------------------------------------


def test_counts_of_the_data_page_are_those_that_data_are_checked_against():
    names = {
        "CrossTask": "crosstask",
        "COIN": "coin",
        "NIV": "niv",
        "EPIC-KITCHENS-100": "epic_kitchens",
        "CaptainCook4D": "captaincook4d",
    }
    told = {}
    for row in (REPOSITORY / "docs" / "data.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if cells[0] in names and len(cells) == 9:
            numbers = tuple(None if cell == "–" else int(cell.replace(",", "")) for cell in cells[3:])
            told[names[cells[0]], cells[1].strip("`"), cells[2]] = numbers
    expected = {
        (dataset, protocol, split): counts.numbers
        for dataset, protocols in PROTOCOLS.items()
        for protocol, content in protocols.items()
        for split, counts in content.splits.items()
    }
    assert told == expected


def test_the_worked_example_is_what_the_functions_give():
    import torch

    from leaplan.planning.legacy import legacy_scores
    from leaplan.planning.metrics import mean_accuracy, mean_iou, success_rate

    page = (REPOSITORY / "docs" / "results.md").read_text(encoding="utf-8")
    given: dict = {}
    exec(re.search(r"```python\n(true = .*?)```", page, re.DOTALL)[1], given)
    plan, true = torch.tensor(given["plan"]), torch.tensor(given["true"])
    cases = [
        (plan, true, 1),
        (plan, true, 2),
        (plan, true, 4),
        (plan.flip(0), true.flip(0), 4),
        (10 - plan, 10 - true, 4),
    ]
    rows = {
        "SR": [success_rate(p, t) for p, t, _ in cases],
        "mAcc": [mean_accuracy(p, t) for p, t, _ in cases],
        "**mIoU**": [mean_iou(p, t) for p, t, _ in cases],
        "batch": [legacy_scores(*case)["mean_iou_batch"] for case in cases],
        "cumulative": [legacy_scores(*case)["mean_iou_cumulative"] for case in cases],
        "bitwise": [legacy_scores(*case)["mean_iou_bitwise"] for case in cases],
    }
    for name, values in rows.items():
        told = re.search(rf"^\| {re.escape(name)} \|(.*)\|$", page, re.MULTILINE)[1].replace("*", "").split("|")
        assert [cell.strip() for cell in told] == [f"{100 * float(value):.1f}" for value in values], name


def test_figures_that_stand_on_two_pages_are_the_same():
    there = (REPOSITORY / "README.md").read_text() + (REPOSITORY / "docs" / "ablations.md").read_text()
    page = (REPOSITORY / "docs" / "reproducing.md").read_text(encoding="utf-8")
    measured = re.findall(r"\d+\.\d ± \d+\.\d", page)
    assert len(measured) > 20
    assert not [figure for figure in measured if figure not in there]


# --- what else a project is told by --------------------------------------------------------------------------------


def test_the_citation_names_this_version_and_both_papers():
    import leaplan

    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == leaplan.__version__
    assert [each["url"].rsplit("/", 1)[1] for each in citation["references"]] == ["2412.19139", "2312.00055"]
    assert f"## {leaplan.__version__}" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert ConfigError.__doc__
