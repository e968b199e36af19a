"""Every command of README and docs is one that leaplan understands; every file and function that they name exists."""

import argparse
import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from leaplan.__main__ import VERBS, main
from leaplan.data.protocols import PROTOCOLS
from tests.documented_runs import ELSEWHERE, NEEDS, RUN
from tests.documents import PAGES, REPOSITORY, TRAINER, arguments_of, calls_of_make, commands
from tests.test_imports import ALLOWED, GROUND

SHOWN = commands()
OURS = [each for each in SHOWN if each.words[0] == "leaplan" and len(each.words) > 1 and each.words[1] != "VERB"]
MADE = [
    each
    for each in {tuple(each.words): each for each in SHOWN if each.words[0] == "make"}.values()
    if "clean" not in each.words
]


class Parsed(Exception):
    """The arguments were understood; nothing is run."""


@pytest.fixture
def parse_only(monkeypatch, tmp_path):
    """The repository as folder, and parsers that stop once they understand."""
    understand = argparse.ArgumentParser.parse_known_args

    def stop(self, *args, **kwargs):
        namespace, rest = understand(self, *args, **kwargs)
        if type(self) is argparse.ArgumentParser and self.prog.startswith("leaplan "):
            if rest and self.prog != "leaplan study":  # it passes the rest on to `fit`
                self.error(f"unrecognized arguments: {' '.join(rest)}")
            raise Parsed
        return namespace, rest

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", stop)
    monkeypatch.chdir(REPOSITORY)
    return tmp_path


def misunderstood(words: list[str], capsys) -> str:
    """Return "" if leaplan understands `words` after its own name, else what it says."""
    try:
        code = main(words)
    except Parsed:
        return ""
    except SystemExit as left:
        code = left.code
    said = capsys.readouterr()
    return said.err or f"exit code {code}" if code else ""


def test_every_command_but_those_of_the_trainer_is_understood(parse_only, capsys):
    seen, wrong = set(), []
    for command in OURS:
        words = arguments_of(command.words[1:], parse_only)
        if words[0] in TRAINER or tuple(words) in seen:
            continue
        seen.add(tuple(words))
        said = misunderstood(words, capsys)
        told_in_part = command.inline and ("required" in said or "expected" in said or len(words) == 1)
        if said and not told_in_part:
            wrong.append(f"{command}\n{said}")
    assert not wrong, "\n".join(wrong)
    assert len(seen) > 30


def test_a_wrong_command_is_not_understood(parse_only, capsys):
    assert not misunderstood(["score", "a.jsonl"], capsys)
    assert "'scroe' is not a verb" in misunderstood(["scroe", "a.jsonl"], capsys)
    assert "--bootstrp" in misunderstood(["score", "a.jsonl", "--bootstrp", "3"], capsys)
    assert "--seed" in misunderstood(["bench", "planner", "--seed", "3"], capsys)
    assert "invalid choice" in misunderstood(["generate-programs", "--dataset", "coin", "--out", "x"], capsys)


def test_commands_name_verbs_and_configurations_that_exist():
    for command in OURS:
        assert command.words[1].startswith("-") or command.words[1] in VERBS, str(command)
        for word in command.words:
            assert not word.startswith("configs/") or (REPOSITORY / word).is_file(), str(command)


def test_a_make_command_calls_verbs_and_configurations_that_exist(tmp_path, parse_only, capsys):
    for number, command in enumerate(MADE):
        for words in calls_of_make(command, tmp_path / str(number)):
            assert words[0] in VERBS, str(command)
            for word in words:
                assert not word.startswith("configs/") or (REPOSITORY / word).is_file(), str(command)
            assert words[0] in TRAINER or not misunderstood(words, capsys), str(command)


# --- each command is run, or it is said why not --------------------------------------------------------------------


def test_every_command_is_run_or_it_is_said_where_or_what_it_needs():
    rules = [*RUN, *ELSEWHERE, *NEEDS]
    alone = [str(each) for each in SHOWN if not any(re.search(rule, " ".join(each.words)) for rule in rules)]
    assert not alone, "\n".join(["add these to tests/documented_runs.py:", *alone])


def test_tests_that_run_a_command_elsewhere_exist():
    for path, name in ELSEWHERE.values():
        assert name in defined(REPOSITORY / "tests" / path), f"{path}: no {name}"


# --- references --------------------------------------------------------------------------------------------------


@cache
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


def test_the_picture_of_the_rooms_has_the_arrows_that_imports_are_held_to():
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = page.partition("```mermaid\n")[2].partition("```")[0]
    told: dict[str, set[str]] = {}
    for line in picture.splitlines():
        if arrow := re.fullmatch(r"\s*(\w+)(?:\[.*\])? (?:-->|-\. .* \.->) ([\w &]+)", line):
            told.setdefault(arrow[1], set()).update(arrow[2].split(" & "))
    for room, allowed in ALLOWED.items():
        if room not in GROUND:
            others = {name.split(".")[0] for name in allowed - GROUND}
            assert told[room] - {"ground"} == others, room


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
    exec(re.search(r"```python\n(true = .*?)```", page, re.DOTALL)[1], given)  # two lists
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
