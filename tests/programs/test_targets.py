"""From a programs file to labels: the right program for each clip, and clear words where there is none."""

import json

import numpy as np
import pytest

from leaplan.errors import DataError, ProblemList, UserError
from leaplan.programs.json_form import to_json
from leaplan.programs.language import LEAP
from leaplan.programs.parse import parse
from leaplan.programs.rows import Row, write_rows
from leaplan.programs.targets import read_targets
from leaplan.programs.unroll import unroll

TEXTS = {
    "a": "program open(door) { reach(door) right; grasp(door) right; move(door) right; release(door) right; }",
    "b": "program take(cup) { reach(cup) left; grasp(cup) left; }",
    "c": "program put(cup) { move(cup, table) left; release(cup, table) left; }",
}


def row(text: str, **changes) -> Row:
    program = json.dumps(to_json(parse(TEXTS[text], LEAP)))
    values = {"split": "train", "video": "v", "start": 0.0, "stop": 1.0, "narration": "", "verb": "", "noun": ""}
    return Row(**{"clip": text, **values, "state": "ok", "program": program, **changes})


@pytest.fixture
def write(tmp_path):
    def written(*rows: Row):
        write_rows(tmp_path, lambda: rows)
        return tmp_path / "programs.jsonl"

    return written


def test_each_clip_has_the_labels_of_its_own_program(write, tmp_path):
    path = write(row("b"), row("a"), row("c"))
    targets = read_targets(path, {"a", "b"}, {"a", "b", "c", "d"}, tmp_path, slots=6)
    assert "d" not in targets.row_of
    for clip in "ab":
        decoded = targets.encoder.decode(targets.encoded[targets.row_of[clip]])
        assert decoded == unroll(parse(TEXTS[clip], LEAP), 6).sub_actions


def test_conditions_become_classes_by_training_programs_alone(write, tmp_path):
    path = write(row("a"), row("b"), row("c"))
    with_c = read_targets(path, {"a", "b", "c"}, {"a", "b", "c"}, tmp_path)
    without = read_targets(path, {"a", "b"}, {"a", "b", "c"}, tmp_path)
    assert set(without.encoder.conditions) <= set(with_c.encoder.conditions)
    assert without.encoded[without.row_of["c"]].dropped >= 0


def test_programs_with_faults_supervise_nothing(write, tmp_path):
    path = write(row("a"), row("b", state="invalid"), row("c", state="pending", program=""))
    targets = read_targets(path, {"a", "b", "c"}, {"a", "b", "c"}, tmp_path)
    assert set(targets.row_of) == {"a"}
    assert targets.notes == ("1 of 3 training clips have a program",)


def test_programs_of_unknown_clips_are_named_and_left_out(write, tmp_path):
    path = write(row("a"), row("b", clip="stranger"))
    targets = read_targets(path, {"a"}, {"a"}, tmp_path)
    assert targets.notes[-1] == "1 programs are of clips that are not in this dataset, such as 'stranger'"
    assert np.all(targets.encoded.length > 0)


def test_a_file_of_another_dataset_is_refused_with_its_first_clip(write, tmp_path):
    with pytest.raises(DataError, match=r"none of its 2 clips is in this dataset, such as 'a'"):
        read_targets(write(row("a"), row("b")), {"x"}, {"x"}, tmp_path)


def test_a_file_without_training_programs_is_refused(write, tmp_path):
    with pytest.raises(DataError, match="no program of a training clip"):
        read_targets(write(row("a", split="val")), {"b"}, {"a", "b"}, tmp_path)


def test_a_file_of_an_older_schema_is_refused_with_its_version(write, tmp_path):
    path = write(row("a"))
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 0'))
    with pytest.raises(UserError, match=r"line 1: schema version 0; this leaplan reads version 1"):
        read_targets(path, {"a"}, {"a"}, tmp_path)


def test_what_is_no_program_and_a_second_program_of_a_clip_are_told_together(write, tmp_path):
    path = write(row("a"), row("b"), row("b"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["program"] = "reach(door)"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ProblemList, match=r"(?s)2 problems.*clip a: Expecting value.*clip b: 2 programs"):
        read_targets(path, {"a", "b"}, {"a", "b"}, tmp_path)
