"""The verb `check-programs`: any programs file is read again, and every fault is told with its place."""

import pytest

from leaplan.__main__ import main
from leaplan.programs import check_programs
from leaplan.programs.check_programs import check_file, programs_in
from leaplan.programs.json_form import dumps
from leaplan.programs.parse import parse
from leaplan.programs.rows import Provenance, Row, write_rows
from tests.programs.small_epic import write_epic

GOOD = """program take(cup) {
  assume free(right);
  reach(cup) right [pre: free(right)] [post: near(right, cup)];
}
"""
UNDECLARED = """program take(cup) {  # a brace } in a comment
  reach(spoon) right;
}
"""
UNKNOWN = """program take("odd } name") {
  snatch("odd } name") right;
}
"""


def row(clip, text, state="ok", vocabulary="leap"):
    program = dumps(parse(text)) if text else ""
    origin = Provenance("rules", vocabulary=vocabulary)
    return Row(clip, "train", "v", 0.0, 1.0, "", "take", "cup", state, program, text, (), origin)


def test_programs_in_a_text_file_are_told_apart_with_their_lines():
    text = f"# a comment\n\n{GOOD}\n{UNDECLARED}{UNKNOWN}"
    assert [line for line, _ in programs_in(text)] == [3, 8, 11]
    assert [parse(part).arguments for _, part in programs_in(GOOD + UNDECLARED)] == [("cup",), ("cup",)]


def test_faults_of_a_text_file_have_line_and_column(tmp_path, capsys):
    path = tmp_path / "mine.txt"
    path.write_text(GOOD + UNDECLARED + UNKNOWN, encoding="utf-8")
    assert main(["check-programs", str(path)]) == 1
    said = capsys.readouterr().out
    assert "3 programs, 2 with faults" in said
    assert "undeclared object" in said
    assert "line 9, column 3" in said
    assert "snatch" in said


def test_a_file_without_faults_is_told_with_exit_code_0(tmp_path, capsys):
    path = tmp_path / "mine.txt"
    path.write_text(GOOD * 3, encoding="utf-8")
    assert main(["check-programs", str(path)]) == 0
    assert "3 programs, 0 with faults" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["programs.jsonl", "programs.parquet"])
def test_rows_are_checked_whatever_their_state_says(tmp_path, name):
    write_rows(
        tmp_path, lambda: [row("a", GOOD), row("b", UNDECLARED), row("c", "", "failed"), row("d", "", "pending")]
    )
    report = check_file(tmp_path / name)
    assert (report.programs, report.faulty) == (2, 1)
    assert dict(report.without) == {"failed": 1, "pending": 1}
    assert {found.fault.kind for found in report.found} >= {"undeclared object"}
    assert all("2, clip b" in found.place for found in report.found)


def test_only_rows_of_a_state_can_be_checked(tmp_path):
    write_rows(tmp_path, lambda: [row("a", GOOD), row("b", UNDECLARED, "invalid")])
    path = tmp_path / "programs.jsonl"
    assert check_programs.main([str(path), "--state", "ok"]) == 0
    assert check_programs.main([str(path)]) == 1


def test_the_vocabulary_of_a_root_refuses_objects_that_are_no_nouns(tmp_path):
    root = write_epic(tmp_path / "data")
    path = tmp_path / "mine.txt"
    path.write_text(GOOD.replace("cup", "spaceship"), encoding="utf-8")
    assert check_programs.main([str(path)]) == 0
    assert check_programs.main([str(path), "--root", str(root)]) == 1
    assert {found.fault.kind for found in check_file(path, root).found} == {"unknown object"}


def test_faults_are_grouped_by_kind_with_few_examples(tmp_path, capsys):
    path = tmp_path / "mine.txt"
    path.write_text(UNDECLARED * 5, encoding="utf-8")
    assert main(["check-programs", str(path), "--examples", "2"]) == 1
    said = capsys.readouterr().out
    assert "undeclared object: 5" in said
    assert "... and 3 more" in said


@pytest.mark.parametrize(
    "content", [b"program take(cup) {", b"}{", b"\xff\xfe", b"text without any program", b"{" * 100_000]
)
def test_what_is_no_program_is_a_fault_and_no_traceback(tmp_path, capsys, content):
    path = tmp_path / "mine.txt"
    path.write_bytes(content)
    assert main(["check-programs", str(path)]) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_files_of_other_kinds_are_refused(tmp_path, capsys):
    assert main(["check-programs", str(tmp_path / "programs.csv")]) == 2
    assert main(["check-programs", str(tmp_path / "absent.txt")]) == 2
    assert "absent.txt" in capsys.readouterr().err


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        check_programs.main(["--help"])
    assert "leaplan check-programs mine.txt" in capsys.readouterr().out
