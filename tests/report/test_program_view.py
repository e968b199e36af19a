"""Programs on the page: which conditions light up along a program; coverage; what cannot be read stays text."""

import json

import pytest

from leaplan.errors import DataError
from leaplan.on_runs.groups import Limits, programs_group
from leaplan.programs.json_form import to_json
from leaplan.programs.parse import parse
from leaplan.programs.rows import Reason, Row, write_rows
from leaplan.report.counting import confusions, most_confused, square, transitions
from leaplan.report.program_view import MOST, programs_of, timeline

OPEN = """program open(door) {
  assume free(right), not open(door);
  reach(door) right [pre: free(right)] [post: near(right, door)];
  grasp(door) right [pre: near(right, door)] [post: holding(right, door), not free(right)];
  move(door) right [pre: holding(right, door)] [post: open(door)];
  release(door) right [pre: holding(right, door)] [post: not holding(right, door), free(right)];
}"""


def row(clip, state="ok", text=OPEN, verb="open", faults=()):
    program = json.dumps(to_json(parse(text))) if text else ""
    return Row(clip, "train", "v", 0.0, 1.0, "open door", verb, "door", state, program, text, faults)


def test_conditions_hold_from_the_sub_action_that_makes_them_true():
    view = timeline(parse(OPEN))
    assert view["actions"] == ["reach(door) right", "grasp(door) right", "move(door) right", "release(door) right"]
    lit = dict(zip(view["conditions"], view["holds"], strict=True))
    assert lit["free(right)"] == [1, 1, 0, 0, 1]
    assert lit["holding(right, door)"] == [0, 0, 1, 1, 0]
    assert lit["open(door)"] == [0, 0, 0, 1, 1]
    assert lit["near(right, door)"] == [None, 1, 1, 1, 1]
    needed = [[view["conditions"][place] for place in places] for places in view["needs"]]
    assert needed == [["free(right)"], ["near(right, door)"], ["holding(right, door)"], ["holding(right, door)"]]


def test_long_programs_are_cut():
    view = timeline(parse("program a(b) { repeat 100 { inspect(b); } }"))
    assert (len(view["actions"]), view["truncated"]) == (MOST, True)


def test_equal_programs_are_kept_once_and_foreign_ones_as_text():
    odd = Row("c", "train", "v", 0.0, 1.0, "", "", "", "ok", json.dumps({"foreign": 1}), "do something")
    view = programs_of([row("a"), row("b"), odd], ["b", "none", "a", "c"])
    assert view["of"] == [0, None, 0, 1]
    assert view["programs"][1]["text"] == "do something"


def test_names_in_programs_are_escaped():
    evil = OPEN.replace("door", '"<img src=x>"')
    html = programs_of([row("a", text=evil)], ["a"])["programs"][0]["html"]
    assert "<img" not in html


def test_coverage_of_a_programs_folder_is_counted_and_its_faults_told(tmp_path):
    fault = (Reason("unknown verb", "there is no verb 'fly'"),)
    rows = [row("a"), row("b", verb="cut"), row("c", "invalid", "", "cut", fault)]
    write_rows(tmp_path, lambda: rows)
    group = programs_group(tmp_path, Limits(), lambda _: None)
    table, reasons = group.sections[0].tables
    assert list(table.rows[0]) == ["all clips", "3", "2", "66.7"]
    assert list(reasons.rows[0]) == ["unknown verb", "1", "c", "there is no verb 'fly'"]
    (bars,) = group.sections[0].plots[0].figures.values()
    assert dict(zip(bars["layout"]["yaxis"]["ticktext"], bars["data"][0]["x"], strict=True)) == {
        "open": 1.0,
        "cut": 0.5,
    }
    assert group.data["states"] == ["ok", "ok", "invalid"]


def test_an_empty_programs_file_is_refused(tmp_path):
    (tmp_path / "programs.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no rows"):
        programs_group(tmp_path, Limits(), lambda _: None)


def test_transitions_count_what_follows_what_and_order_steps_by_their_usual_place():
    found = transitions([(0, (3, 1, 2)), (0, (3, 2)), (1, (5,)), (0, (1, 2))])
    assert found[0] == {"steps": [3, 1, 2], "edges": [[1, 2, 2], [3, 1, 1], [3, 2, 1]]}
    assert found[1] == {"steps": [5], "edges": []}


def test_confusions_leave_out_what_is_right_and_rank_what_is_not():
    counts = confusions([(0, 1), (0, 1), (1, 1), (2, 0), (3, 4)])
    assert counts == {(0, 1): 2, (2, 0): 1, (3, 4): 1}
    assert most_confused(counts, 3) == [0, 1, 2]
    assert square(counts, [0, 1, 2]) == [[0, 2, 0], [0, 0, 0], [1, 0, 0]]
