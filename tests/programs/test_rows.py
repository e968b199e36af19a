"""Rows of programs files: what is written is read back, and what is no such row is refused by name."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaplan.errors import DataError, ProblemList, UserError
from leaplan.programs.json_form import dumps
from leaplan.programs.language import LEAP
from leaplan.programs.parse import parse
from leaplan.programs.render import to_text
from leaplan.programs.rows import Provenance, Reason, Row, read_rows, to_line, write_rows

PROGRAM = parse('program take("oil bottle") { assume free(right); reach("oil bottle") right [pre: free(right)]; }')

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.floats(0, 1e4, allow_nan=False)
reasons = st.lists(st.builds(Reason, texts, texts, texts), max_size=2).map(tuple)
provenances = st.builds(
    Provenance, texts, texts, texts, texts, st.integers(0, 10**9), st.integers(0, 10**9), numbers, st.booleans(), texts,
    st.integers(1, 9), texts, texts, texts,
)  # fmt: skip
rows = st.builds(
    Row, texts, texts, texts, numbers, numbers, texts, texts, texts, st.sampled_from(["pending", "failed"]),
    st.sampled_from(["", dumps(PROGRAM)]), st.sampled_from(["", to_text(PROGRAM)]), reasons, provenances,
)  # fmt: skip


def a_row(**changes):
    values = {"clip": "P01_01_0", "split": "train", "video": "P01_01", "start": 0.14, "stop": 3.37}
    values |= {"narration": "take oil", "verb": "take", "noun": "oil", "state": "ok", "faults": ()}
    values |= {"program": dumps(PROGRAM), "text": to_text(PROGRAM)}
    return Row(**{**values, **changes})


@settings(max_examples=30, deadline=None)
@given(st.lists(rows, max_size=4))
def test_both_files_give_back_the_rows_that_were_written(tmp_path_factory, written):
    folder = tmp_path_factory.mktemp("rows")
    write_rows(folder, lambda: written)
    assert read_rows(folder / "programs.jsonl") == written
    assert read_rows(folder / "programs.parquet") == written


def test_programs_come_back_from_rows(tmp_path):
    write_rows(tmp_path, lambda: [a_row(), a_row(clip="b", state="failed", program="", text="")])
    first, second = read_rows(tmp_path / "programs.parquet")
    assert first.read_program(LEAP) == PROGRAM
    assert second.read_program(LEAP) is None


def test_a_line_holds_the_program_as_json_that_others_can_read():
    values = json.loads(to_line(a_row()))
    assert values["schema"] == 1
    assert values["program"]["body"][0]["do"] == "reach"
    assert values["provenance"]["shared_by"] == 1


def test_parquet_columns_are_typed_for_other_readers(tmp_path):
    from pyarrow import parquet

    write_rows(tmp_path, lambda: [a_row()])
    schema = parquet.read_schema(tmp_path / "programs.parquet")
    assert {"clip", "start", "program", "text", "faults", "provenance"} <= set(schema.names)
    assert str(schema.field("start").type) == "double"


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_another_schema_version_is_told_with_both_versions(tmp_path, version):
    values = json.loads(to_line(a_row()))
    values["schema"] = version
    path = tmp_path / "programs.jsonl"
    path.write_text(json.dumps(values) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 1: .*schema version.*reads version 1"):
        read_rows(path)


def test_another_schema_version_in_parquet_is_told(tmp_path):
    import pyarrow as arrow
    from pyarrow import parquet

    path = tmp_path / "old.parquet"
    parquet.write_table(arrow.table({"schema": [0], "clip": ["a"]}), path)
    with pytest.raises(DataError, match="row 1: schema version 0"):
        read_rows(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"state": "done"}, "'state' is 'done'"),
        ({"start": "0"}, "'start' is \"0\", not a number"),
        ({"faults": {}}, "'faults' is no list"),
        ({"provenance": None}, "'provenance' is no object"),
        ({"program": 3}, "'program' is 3, not text"),
    ],
)
def test_each_wrong_value_is_told_with_its_line(tmp_path, change, said):
    good = json.loads(to_line(a_row()))
    path = tmp_path / "programs.jsonl"
    path.write_text("\n".join(json.dumps(each) for each in (good, {**good, **change})), encoding="utf-8")
    with pytest.raises(ProblemList) as caught:
        read_rows(path)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith("line 2: ")
    assert said in caught.value.problems[0]


def test_all_bad_lines_are_told_at_once(tmp_path):
    path = tmp_path / "programs.jsonl"
    path.write_text("{cut\n[]\n\n" + to_line(a_row()) + "\n" + "[" * 100_000 + "\n", encoding="utf-8")
    with pytest.raises(ProblemList) as caught:
        read_rows(path)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["line 1", "line 2", "line 5"]


@pytest.mark.parametrize("name", ["rows.csv", "absent.jsonl", "bytes.parquet", "bytes.jsonl"])
def test_files_that_are_none_are_refused_by_name(tmp_path, name):
    if name.startswith("bytes"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00PAR1")
    with pytest.raises(UserError, match=name):
        read_rows(tmp_path / name)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_rows(tmp_path, lambda: [a_row()])

    def cut_off():
        yield a_row(clip="new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(tmp_path, cut_off)
    assert [row.clip for row in read_rows(tmp_path / "programs.jsonl")] == ["P01_01_0"]
    assert not list(tmp_path.glob("*.partial"))
