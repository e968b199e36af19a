"""`leaplan report`: the page holds the figures of `score`, is safe from what data say, and tells what it lacks."""

import json
import re

import numpy as np
import pytest

from leaplan.compare import main as compare
from leaplan.data.niv import read_niv
from leaplan.errors import ConfigError, DataError, UserError
from leaplan.on_runs.report import main
from leaplan.planning.score import main as score
from leaplan.report.page import script_json
from tests.made_runs import records, write_config, write_lines, write_run
from tests.small_niv import write_small_niv
from tests.test_compare import write_run as write_recogniser


def made(*arguments, out):
    """Return the page of these arguments, and the content of its script."""
    assert main([*map(str, arguments), "--out", str(out), "--bootstrap", "200"]) == 0
    page = out.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.S)
    assert found
    return page, json.loads(found[1])


def plot(content, x_title):
    """Return the figure whose x axis is called so."""
    figures = [figure for choices in content["plots"] for figure in choices.values()]
    return next(f for f in figures if f["layout"].get("xaxis", {}).get("title", {}).get("text") == x_title)


def rows_below(page, title):
    """Return the cells of the table below a heading, as texts without tags."""
    table = page.split(f">{title}</h3>", 1)[1].split("</table>", 1)[0]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in table.split("<tr>")[2:]]
    return [[" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row] for row in cells]


@pytest.fixture
def two_models(tmp_path):
    """Two seeds each of two models, on the same windows."""
    for model, accuracy in (("weak", 0.5), ("strong", 0.9)):
        for seed in (7, 8):
            write_run(tmp_path / f"{model}-seed{seed}", seed, accuracy=accuracy)
    return tmp_path


# --- figures -----------------------------------------------------------------------------------------------------


def test_positions_and_reliability_are_those_of_numpy(tmp_path):
    lines = records(samples=80)
    run = write_run(tmp_path / "run", lines=lines)
    _, content = made(run, out=tmp_path / "page.html")
    true, plan = (np.array(each) for each in ([r["steps"] for r in lines], [r["plans"]["viterbi"] for r in lines]))
    (trace,) = plot(content, "position")["data"]
    assert trace["x"] == [1, 2, 3]
    np.testing.assert_allclose(trace["y"], (true == plan).mean(0))
    assert all(low > 0 for low in trace["error_y"]["arrayminus"])
    claimed, right = np.array([r["probability"] for r in lines]), (true == plan).all(1)
    bins = np.minimum((claimed * 10).astype(int), 9)
    _, diagram = plot(content, "probability claimed")["data"]
    present = np.unique(bins)
    np.testing.assert_allclose(diagram["x"], [claimed[bins == b].mean() for b in present])
    np.testing.assert_allclose(diagram["y"], [right[bins == b].mean() for b in present])
    assert diagram["customdata"] == [int((bins == b).sum()) for b in present]


def test_the_calibration_error_is_that_of_numpy(tmp_path):
    lines = records(samples=80)
    page, _ = made(write_run(tmp_path / "run", lines=lines), out=tmp_path / "page.html")
    claimed = np.array([r["probability"] for r in lines])
    right = np.array([r["steps"] == r["plans"]["viterbi"] for r in lines])
    bins = np.minimum((claimed * 15).astype(int), 14)
    parts = [(bins == b).mean() * abs(claimed[bins == b].mean() - right[bins == b].mean()) for b in np.unique(bins)]
    assert f"run: {100 * sum(parts):.1f}." in page


def test_one_run_has_the_figures_and_intervals_of_score(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    page, _ = made(run, out=tmp_path / "page.html")
    out = tmp_path / "score.json"
    score([str(run / "predictions" / "test.jsonl"), "--bootstrap", "200", "--json", str(out)])
    told = json.loads(out.read_text())["files"][0]["decodings"]["viterbi"]
    row = next(row for row in rows_below(page, "Figures") if row[1] == "viterbi")
    for cell, name in zip(row[2:5], ("success_rate", "mean_accuracy", "mean_iou"), strict=True):
        value, low, high = (f"{100 * told[name][end]:.1f}" for end in ("value", "low", "high"))
        assert cell == f"{value} [{low}, {high}]"


def test_models_are_paired_over_seeds_on_the_same_windows(two_models):
    pattern = [two_models / "weak-seed*", two_models / "strong-seed*"]
    page, content = made(*pattern, out=two_models / "page.html")
    assert len(content["groups"]) == 1
    assert [run["run"] for run in content["groups"][0]["runs"]] == [
        f"{model}-seed{seed}" for model in ("weak", "strong") for seed in (7, 8)
    ]
    rates = {
        model: np.mean([
            [r["steps"] == r["plans"]["viterbi"] for r in records(seed=seed, accuracy=accuracy)] for seed in (7, 8)
        ])
        for model, accuracy in (("weak", 0.5), ("strong", 0.9))
    }  # fmt: skip
    row = rows_below(page, "Minus weak, on the same windows")[0]
    assert row[:2] == ["strong", "viterbi"]
    assert row[2].startswith(f"{100 * (rates['strong'] - rates['weak']):+.1f} [+")
    assert "p = 0.0" in row[2]
    assert "48 common windows of 6 videos" in page
    assert "2 seeds (7, 8)" in page


def test_what_was_asked_different_things_stands_apart_but_for_the_curve_by_horizon(tmp_path):
    for horizon in (3, 4):
        write_run(tmp_path / f"plan-t{horizon}", horizon=horizon)
    page, content = made(tmp_path / "plan-t*", out=tmp_path / "page.html")
    assert [len(group["truth"][0]) for group in content["groups"]] == [3, 4]
    assert "Minus" not in page
    (trace,) = plot(content, "steps to plan")["data"]
    assert (trace["name"], trace["x"]) == ("plan (viterbi)", [3, 4])


def test_labels_name_models_as_compare_does_and_must_be_of_one_setting(tmp_path):
    a, b = write_run(tmp_path / "a", 1), write_run(tmp_path / "b", 2, horizon=4)
    page, _ = made(f"ours={a}", out=tmp_path / "page.html")
    assert rows_below(page, "Figures")[0][0] == "ours seed 1"
    with pytest.raises(ConfigError, match="horizon is 3"):
        main([f"ours={a},{b}"])


def test_most_samples_are_kept_with_the_surest_mistakes(tmp_path):
    run = write_run(tmp_path / "run")
    _, content = made(run, "--samples", 20, out=tmp_path / "page.html")
    (group,) = content["groups"]
    assert (len(group["ids"]), group["total"]) == (20, 48)
    wrong = [r for r in records() if r["steps"] != r["plans"]["viterbi"]]
    surest = sorted(wrong, key=lambda r: -r["probability"])[:5]
    assert {r["sample_id"] for r in surest} <= set(group["ids"])


# --- what data say ----------------------------------------------------------------------------------------------


def test_no_text_of_the_data_becomes_markup(tmp_path):
    evil = "</script><script>alert({})</script><img src=x onerror=alert(1)>"
    run = write_run(tmp_path / "run", lines=records(name=evil))
    results = json.loads((run / "results.json").read_text())
    results["data"]["notes"], results["environment"]["device"] = [evil], evil
    (run / "results.json").write_text(json.dumps(results))
    page, content = made(run, out=tmp_path / "page.html")
    assert page.count("<script") == 3
    assert page.count("</script>") == 3
    assert "<img src=x" not in page
    assert evil.format(1) in content["groups"][0]["names"]


def test_json_cannot_end_its_script_tag():
    text = script_json({"a": "</script>\u2028<!--"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script>\u2028<!--"}


def test_the_page_asks_for_no_other_file(tmp_path):
    page, _ = made(write_run(tmp_path / "run"), out=tmp_path / "page.html")
    head, _ = page.split('id="plotly">', 1)
    assert not re.search(r'(?:src|href)="(?!#|data:)', head)
    assert "default-src 'none'" in head


# --- what is missing -------------------------------------------------------------------------------------------


def test_a_run_without_predictions_still_has_a_page_that_says_how_to_make_them(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "predictions" / "test.jsonl").unlink()
    page, _ = made(run, out=tmp_path / "page.html")
    assert f"run has no predictions. Make them:  leaplan test --config {run}/config.yaml" in page
    assert ["run", "viterbi", "success rate", "25.0"] in rows_below(page, "Figures")
    assert "Learning curves" in page


def test_another_split_is_asked_for_by_its_command(tmp_path):
    run = write_run(tmp_path / "run")
    page, _ = made(run, "--split", "val", out=tmp_path / "page.html")
    assert "run has no figures of the split val, predictions." in page


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("results.json", "{", "results.json is not valid JSON"),
        ("results.json", "{}", "tells no task"),
        ("config.yaml", "a: [", "config.yaml is not YAML"),
        ("config.yaml", "- a", "config.yaml holds a list"),
        ("metrics.csv", "epoch,loss\n0,1\n1\n", "metrics.csv, line 3: 1 values, but there are 2 columns"),
        ("metrics.csv", "epoch,loss\n0,low\n", "metrics.csv, line 2: 'low' under 'loss' is no number"),
        ("predictions/test.jsonl", '{"sample_id": "a"}\n{"sam', "test.jsonl, line 2: this is no prediction"),
        (
            "predictions/test.jsonl",
            '{"sample_id": "a", "probability": 1e400}',
            "test.jsonl, line 1: this is no prediction",
        ),
        (
            "predictions/test.jsonl",
            '{"sample_id": "a", "alternatives": [{"plan": [1, 2], "probability": null}]}',
            "test.jsonl, line 1: this is no prediction",
        ),
        ("predictions/test.jsonl", '{"sample_id": "a", "probability": NaN}\n', "NaN is no number"),
        ("predictions/test.jsonl", "", "test.jsonl holds no predictions"),
        ("predictions/test.jsonl", '{"sample_id": "a"}\n', "no 'steps'"),
    ],
)
def test_damaged_files_are_named_with_what_to_do(tmp_path, name, content, message):
    run = write_run(tmp_path / "run")
    (run / name).write_text(content)
    with pytest.raises(UserError) as error:
        main([str(run)])
    assert message in error.value.what
    assert error.value.hint
    assert not (run / "report.html").exists()


def test_folders_that_are_no_runs_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "tables.json").write_text("{}")
    for name, message in (("empty", "is no run"), ("nowhere", "does not exist"), ("study", "tables of a study")):
        with pytest.raises(DataError, match=message):
            main([str(tmp_path / name)])
    with pytest.raises(ConfigError, match="no folder is called"):
        main([str(tmp_path / "none-*")])


def test_the_page_of_one_run_lies_in_it_and_that_of_several_beside_them(tmp_path, capsys):
    runs = [write_run(tmp_path / name) for name in ("a", "b")]
    main([str(runs[0]), "--bootstrap", "50"])
    assert (runs[0] / "report.html").is_file()
    main([*map(str, runs), "--bootstrap", "50"])
    assert f"{tmp_path / 'report.html'}  " in capsys.readouterr().out


# --- the dataset -----------------------------------------------------------------------------------------------


def test_the_dataset_at_hand_gives_names_times_and_transitions_of_training(tmp_path):
    root = write_small_niv(tmp_path / "data")
    video = next(v for v in read_niv(root).videos if v.split == "test")
    steps = [s.step for s in video.segments[:3]]
    line = records(samples=1)[0] | {"sample_id": f"{video.id}:0+3", "video": video.id, "steps": steps}
    line["plans"] = {"viterbi": [steps[0], steps[1], steps[1]]}
    run = write_run(tmp_path / "run", lines=[line | {"task": "making tea"}])
    write_config(run, root, "PlanningWindows")
    _, content = made(run, out=tmp_path / "page.html")
    (group,) = content["groups"]
    vocabulary = read_niv(root).vocabulary
    assert group["names"] == [step.name for step in vocabulary.steps]
    assert group["times"] == [[video.segments[0].start, video.segments[2].stop]]
    assert group["transitions_of"] == "the training videos"
    assert {vocabulary.steps[s].name for s in group["transitions"]["0"]["steps"]} >= {"boil water", "stir tea"}


def test_a_dataset_that_is_not_at_hand_is_told_with_the_option_that_gives_it(tmp_path):
    run = write_run(tmp_path / "run")
    write_config(run, tmp_path / "nowhere", "PlanningWindows")
    page, content = made(run, out=tmp_path / "page.html")
    assert f"leaplan report {run} --root FOLDER" in page
    assert "overlap, as the training videos are not at hand" in content["groups"][0]["transitions_of"]


# --- recognition ------------------------------------------------------------------------------------------------


def recogniser(folder, seed, signal):
    """A run that recognises, with readable predictions beside its scores."""
    write_recogniser(folder, seed, signal)
    with np.load(folder / "predictions" / "test.npz") as file:
        saved = dict(file)
    lines = []
    for row, name in enumerate(saved["sample_id"]):
        top = {}
        for head in ("verb", "noun"):
            share = np.exp(saved[head][row])
            top[head] = [[f"{head} {i}", float(share[i])] for i in np.argsort(-share)[:5]]
        verb, noun = (int(saved[f"{head}_label"][row]) for head in ("verb", "noun"))
        truth = {"step": f"{verb} {noun}", "verb": f"verb {verb}", "noun": f"noun {noun}"}
        lines.append({"sample_id": str(name), "video": str(saved["video"][row]), "truth": truth, "top_5": top})
    write_lines(folder, lines)
    table = {"recognition": {"verb_top1": 0.5}, "unseen": {"verb_top1": 0.4}, "tail": {"verb_top1": 0.3}}
    told = {"task": "recognition", "data": {"dataset": "made"}, "protocol": {"observes": "the segment", "seed": seed}}
    (folder / "results.json").write_text(json.dumps(told | {"metrics": {"test": table}}))
    return folder, lines


def test_recognisers_have_the_figures_of_compare_and_confusions_of_their_predictions(tmp_path, capsys):
    for seed in (1, 2):
        recogniser(tmp_path / f"weak-{seed}", seed, 1.0)
        recogniser(tmp_path / f"strong-{seed}", seed, 2.0)
    page, content = made(tmp_path / "weak-*", tmp_path / "strong-*", out=tmp_path / "page.html")
    told = tmp_path / "compare.json"
    models = [f"{name}={tmp_path}/{name}-*" for name in ("weak", "strong")]
    compare([*models, "--bootstrap", "200", "--json", str(told)])
    report = json.loads(told.read_text())
    figure, change = report["models"]["weak"]["figures"]["verb_top1"], report["differences"]["strong"]["verb_top1"]
    row = next(row for row in rows_below(page, "Figures") if row[0].startswith("weak"))
    assert row[1].startswith(f"{100 * figure['mean']:.1f} [{100 * figure['low']:.1f}, {100 * figure['high']:.1f}]")
    assert rows_below(page, "Minus weak")[0][1].startswith(f"{100 * change['value']:+.1f} [+")
    matrices = next(choices for choices in content["plots"] if "strong: verbs" in choices)
    heat = matrices["strong: verbs"]
    names = heat["layout"]["yaxis"]["ticktext"]
    pairs = [(r["truth"]["verb"], r["top_5"]["verb"][0][0]) for r in _both(tmp_path)]
    for row, true in enumerate(names):
        for column, said in enumerate(names):
            expected = pairs.count((true, said)) / 2 if true != said else 0
            assert heat["data"][0]["z"][row][column] == expected
    assert "Rare classes and unseen persons" in page


def _both(folder):
    paths = [folder / f"strong-{seed}" / "predictions" / "test.jsonl" for seed in (1, 2)]
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


# --- the command line -------------------------------------------------------------------------------------------


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "leaplan report runs/planllm-synthetic-t3" in capsys.readouterr().out
