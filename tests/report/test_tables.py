"""Study files and tables: figures against the statistics module by hand, mistakes in one message."""

import itertools

import pytest

from leaplan.errors import ConfigError
from leaplan.report.study_file import read_study
from leaplan.report.tables import as_markdown, grid, table_figures

STUDY = """
title: Parts
variants:
  full: []
  no-words: [overlay.yaml, --model.mixup 0]
tables:
  - title: Parts
    rows: {without: no-words, with: full, full: full}
    columns: {words: [with, full]}
    decoding: {with: argmax}
  - title: Far
    layout: horizons
"""


@pytest.fixture
def write(tmp_path):
    """Write a study file beside an overlay and return it."""
    (tmp_path / "overlay.yaml").write_text("# Overlay.\nmodel: {mixup: 0}\n")

    def written(text=STUDY):
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return path

    return written


def metrics(rate, horizon, **more):
    """What results.json holds of a split; every figure is a function of `rate`."""
    figures = {
        "success_rate": rate,
        "mean_accuracy": rate + 0.1,
        "mean_iou": rate + 0.2,
        "success_rate_seen": 2 * rate,
        "success_rate_unseen": None,
        "step_accuracy": [rate + 0.01 * t for t in range(horizon)],
    }
    argmax = {**figures, "success_rate": rate / 2}
    return {"viterbi": figures, "argmax": argmax, "counts": {"windows": 9}, "legacy": {"of": "viterbi"}, **more}


def results(horizons=(3, 4), seeds=(7, 8, 9)):
    rates = {"full": 0.3, "no-words": 0.2}
    return {
        (variant, horizon, seed): metrics(rates[variant] + 0.01 * (seed - 8) - 0.02 * (horizon - 3), horizon)
        for variant, horizon, seed in itertools.product(rates, horizons, seeds)
    }


def cells(markdown, title):
    """The cells below the heading `title`, row by row."""
    lines = markdown.split(title, 1)[1].splitlines()
    rows = list(
        itertools.takewhile(lambda line: line.startswith("|"), itertools.dropwhile(lambda x: x[:1] != "|", lines))
    )
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


# --- study files -------------------------------------------------------------------------------------------------


def test_a_study_file_is_read_as_written(write, tmp_path):
    study = read_study(write())
    assert study.title == "Parts"
    assert study.variants["no-words"].overlays == (tmp_path / "overlay.yaml",)
    assert study.variants["no-words"].settings == ("--model.mixup", "0")
    first, second = study.tables
    assert first.rows == {"without": "no-words", "with": "full", "full": "full"}
    assert first.decoding == {"without": "viterbi", "with": "argmax", "full": "viterbi"}
    assert first.reference == "full"  # where there is a row of that name
    assert (second.layout, second.rows, second.reference) == ("horizons", {"full": "full"}, "")


def test_a_study_without_tables_has_one_of_all_variants(write):
    (table,) = read_study(write("variants: {a: , b: []}")).tables
    assert (table.layout, list(table.rows), table.reference) == ("variants", ["a", "b"], "")


MISTAKES = {
    "bad YAML": ("variants: {full: [}", "not YAML (line 1)"),
    "no variants": ("title: x", "'variants' in"),
    "not a mapping": ("- full", "must hold 'key: value' lines"),
    "misspelt key": ("variants: {full: []}\ntabels: []", "did you mean 'tables'"),
    "missing overlay": (
        "variants: {full: [overlai.yaml]}",
        "overlai.yaml, which does not exist; did you mean 'overlay",
    ),
    "a variant that is no list": ("variants: {full: overlay.yaml}", "must be a list of overlay files"),
    "a name that YAML reads as false": ("variants: {no: []}", "the variant False"),
    "a name that is a path": ("variants: {a/b: []}", "cannot name a folder"),
    "unknown variant": (STUDY.replace("without: no-words", "without: no-wrods"), "did you mean 'no-words'"),
    "unknown row of a heading": (STUDY.replace("[with, full]", "[wiht]"), "did you mean 'with'"),
    "unknown row of a decoding": (STUDY.replace("{with: argmax}", "{wth: argmax}"), "did you mean 'with'"),
    "unknown layout": (STUDY.replace("layout: horizons", "layout: horizon"), "did you mean 'horizons'"),
    "a key of the other layout": (STUDY + "    rows: [full]", "'rows' is not a key of the table 'Far'"),
    "unknown reference": ("variants: {a: []}\ntables: [{reference: b}]", "names 'b', which is no row"),
    "rows repeated": ("variants: {a: []}\ntables: [{rows: [a, a]}]", "list of different variants"),
    "a heading without a list": ("variants: {a: []}\ntables: [{columns: {x: a}}]", "must hold lists of rows"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_study_file_is_answered_by_one_message(mistake, write):
    text, words = MISTAKES[mistake]
    path = write(text)
    with pytest.raises(ConfigError) as raised:
        read_study(path)
    assert words in str(raised.value)
    assert str(path.parent) in raised.value.what
    assert raised.value.hint


def test_a_missing_study_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml does not exist"):
        read_study(tmp_path / "nowhere.yaml")


# --- tables ------------------------------------------------------------------------------------------------------


def test_rows_hold_mean_and_sample_deviation_over_seeds(write):
    table = read_study(write()).tables[0]
    figures = table_figures(table, results(), (3, 4), (7, 8, 9))
    full = figures["rows"][2]["horizons"]["3"]["success_rate"]
    assert full["mean"] == pytest.approx(0.3)
    assert full["sd"] == pytest.approx(0.01)  # 0.29, 0.30, 0.31
    assert full["n"] == 3
    assert full["values"]["9"] == pytest.approx(0.31)
    header, _, without, with_, _ = cells(as_markdown(figures, "val"), "## Parts")
    expected = ["SR", "mAcc", "mIoU", "SR seen", "SR unseen"]
    assert header == ["", "words", "plans by", *(f"T={t} {name}" for t in (3, 4) for name in expected)]
    assert without == [
        *("without", "", "viterbi", "20.0 ± 1.0", "30.0 ± 1.0", "40.0 ± 1.0", "40.0 ± 2.0", "–"),
        *("18.0 ± 1.0", "28.0 ± 1.0", "38.0 ± 1.0", "36.0 ± 2.0", "–"),
    ]
    assert with_[:4] == ["with", "✓", "argmax", "15.0 ± 0.5"]


def test_the_caption_tells_seeds_split_and_decoding(write):
    figures = table_figures(read_study(write()).tables[1], results(), (3,), (7, 8, 9))
    text = as_markdown(figures, "val")
    assert "mean ± sample sd over 3 seeds (7, 8, 9); val split; plans by argmax, viterbi" in text
    alone = as_markdown(table_figures(read_study(write()).tables[1], results(), (3,), (8,)), "test")
    assert "one seed (8); test split" in alone
    assert "±" not in cells(alone, "## Far")[2][1]


def test_a_table_of_horizons_has_a_ragged_edge(write):
    table = read_study(write()).tables[1]
    header, _, three, four = cells(as_markdown(table_figures(table, results(), (3, 4), (8,)), "val"), "## Far")
    assert header[:3] == ["T", "SR argmax", "SR viterbi"]
    assert header[-4:] == ["step 1", "step 2", "step 3", "step 4"]
    assert three[:4] == ["3", "15.0", "30.0", "40.0"]
    assert three[-4:] == ["30.0", "31.0", "32.0", ""]
    assert four[-4:] == ["28.0", "29.0", "30.0", "31.0"]


def test_what_is_missing_is_told_below_and_does_not_enter_the_mean(write):
    table = read_study(write()).tables[0]
    found = results()
    found["full", 3, 9] = "exit code 2: no such data"
    for seed in (7, 8, 9):
        found["no-words", 4, seed] = "exit code 1: diverged"
    figures = table_figures(table, found, (3, 4), (7, 8, 9))
    text = as_markdown(figures, "val")
    *_, without, _, full = cells(text, "## Parts")
    assert without[8:] == ["–"] * 5
    assert full[3] == "29.5 ± 0.7 (n=2)"
    assert full[8] == "28.0 ± 1.0"
    assert text.count("full T=3 seed 9: exit code 2: no such data") == 1
    assert text.count("no-words T=4 seed") == 3


def test_a_decoding_that_a_run_lacks_is_told(write):
    table = read_study(write(STUDY.replace("{with: argmax}", "generate"))).tables[0]
    figures = table_figures(table, results(), (3,), (7,))
    assert "full T=3 seed 7: no decoding 'generate' (there are viterbi, argmax)" in as_markdown(figures, "val")


def test_comparisons_are_points_with_their_interval(write):
    figures = table_figures(read_study(write()).tables[0], results(), (3, 4), (7, 8))
    sizes = {"samples": 40, "clusters": 9, "unit": "video"}
    figures["comparisons"] = [
        {"row": "without", "horizon": 3, "value": 0.1, "low": -0.012, "high": 0.2, **sizes},
        {"row": "without", "horizon": 4, "reason": "the runs are gone"},
    ]
    text = as_markdown(figures, "val")
    assert cells(text, "Paired comparisons")[2] == ["without", "+10.0 [-1.2, +20.0]", "–"]
    assert "T=3: 40 windows of 9 videos" in text
    assert "- without T=4: the runs are gone" in text


def test_columns_of_a_grid_stand_below_one_another():
    lines = grid(["a", "long heading"], [["x|y", "1"], ["", "±"]]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].endswith(":|") or lines[1].endswith(": |")
    assert "x\\|y" in lines[2]
