"""Coverage counts what the rows say, in numbers, in words and as a picture."""

import json

from leaplan.programs.coverage import Share, measure, percent, to_markdown, write_coverage
from leaplan.programs.rows import Provenance, Reason, Row


def row(clip, split, narration, verb, state, *kinds):
    faults = tuple(Reason(kind, f"{kind} happened") for kind in kinds)
    return Row(clip, split, "v", 0.0, 1.0, narration, verb, "cup", state, "", "", faults, Provenance("rules"))


ROWS = [
    row("a", "train", "take cup", "take", "ok"),
    row("b", "train", "", "take", "failed", "no rule"),
    row("c", "val", "wash cup", "wash", "invalid", "full hand", "full hand", "arity"),
    row("d", "val", "wash cup", "wash", "pending"),
    row("e", "val", "wash | cup", "wash", "ok"),
]


def test_shares_are_counted_over_all_narrated_splits_and_verbs():
    coverage = measure(ROWS)
    assert (coverage.all.valid, coverage.all.rows) == (2, 5)
    assert (coverage.narrated.valid, coverage.narrated.rows) == (2, 4)
    assert {name: (share.valid, share.rows) for name, share in coverage.splits.items()} == {
        "train": (1, 2),
        "val": (1, 3),
    }
    assert [name for name, _ in coverage.frequent_verbs] == ["wash", "take"]


def test_a_clip_with_two_kinds_of_faults_counts_in_both_once():
    reasons = measure(ROWS).as_json()["reasons"]
    assert {kind: (tally["rows"], tally["faults"]) for kind, tally in reasons.items()} == {
        "arity": (1, 1),
        "full hand": (1, 2),
        "no rule": (1, 1),
        "not asked yet": (1, 1),
    }
    assert reasons["full hand"]["example"] == "c"
    assert reasons["full hand"]["messages"] == {"full hand happened": 1}


def test_states_add_up_to_all_rows():
    told = measure(ROWS).as_json()
    assert sum(told["states"].values()) == told["all"]["rows"] == 5


def test_one_missing_clip_is_never_rounded_to_all():
    assert percent(Share(100_000, 99_999)) == "99.9"
    assert percent(Share(3, 3)) == "100.0"
    assert percent(Share()) == "–"


def test_the_report_is_written_in_three_forms(tmp_path):
    write_coverage(tmp_path, measure(ROWS))
    assert json.loads((tmp_path / "coverage.json").read_text(encoding="utf-8"))["all"]["share"] == 0.4
    assert "| wash | 3 | 1 | 33.3 |" in (tmp_path / "coverage.md").read_text(encoding="utf-8")
    from PIL import Image

    with Image.open(tmp_path / "coverage.png") as picture:
        assert picture.format == "PNG"
        assert picture.width > 600
        assert picture.height > 300
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 20


def test_reports_of_nothing_and_of_everything_can_be_made(tmp_path):
    write_coverage(tmp_path / "none", measure([]))
    write_coverage(tmp_path / "all", measure(ROWS[:1]))
    assert "why there is none" not in to_markdown(measure(ROWS[:1]))


def test_names_cannot_break_the_table():
    rows = [row("x|y", "train", "n", "a|b\nc", "failed", "odd|kind")]
    table = [line for line in to_markdown(measure(rows)).splitlines() if line.startswith("|")]
    assert any("a\\|b c" in line for line in table)
    assert any("odd\\|kind" in line for line in table)
