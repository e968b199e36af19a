"""`leaplan compare`: means over seeds, paired differences on the same clips, and what they are worth."""

import json
import statistics

import numpy as np
import pytest
import torch

from leaplan.compare import main
from leaplan.errors import ConfigError, DataError
from leaplan.planning.score import read_predictions
from leaplan.recognition.gathering import RecognitionOutcome
from leaplan.recognition.metrics import Labels, Scores, recognition_scores
from leaplan.recognition.outcome import pairs_of, read_scores, write_scores
from leaplan.records import Step, Vocabulary
from tests.planning.test_score import real_shape, write
from tests.recognition.test_outcome import Clip
from tests.reference import metrics as reference

N, V, M = 120, 5, 6
PAIRS = [(v, n) for v in range(V) for n in range(M)]
VOCABULARY = Vocabulary(
    tuple(Step(f"{v}:{n}", f"{v} {n}", verb=v, noun=n) for v, n in PAIRS),
    verbs=tuple(map(str, range(V))),
    nouns=tuple(map(str, range(M))),
)
BARE = Vocabulary(tuple(Step(str(i), str(i)) for i in range(len(PAIRS))))


def write_run(folder, seed, signal, heads="all", programs=None, clips=range(N), shift=0):
    """A run whose heads are right the more often the larger `signal` is; the truth is that of `shift`."""
    truth = torch.Generator().manual_seed(shift)
    step = torch.randint(len(PAIRS), (N,), generator=truth)
    generator = torch.Generator().manual_seed(1000 + seed)
    logits = [torch.randn(N, size, generator=generator) for size in (V, M, len(PAIRS))]
    labels = Labels(step, *torch.tensor(PAIRS)[step].unbind(1))
    for each, target in zip(logits, (labels.verb, labels.noun, labels.step), strict=True):
        each[torch.arange(N), target] += signal
    scores, vocabulary = Scores(*logits), VOCABULARY
    if heads == "action":
        none = torch.full_like(step, -1)
        scores, labels, vocabulary = Scores(None, None, logits[2]), Labels(step, none, none), BARE
    outcome = RecognitionOutcome(*(0 if each is None else each.shape[1] for each in scores))
    rows = torch.tensor(list(clips))
    outcome.update(rows, Labels(*(label[rows] for label in labels)), scores.at(rows))
    named = [Clip(f"clip {i}", f"video {i // 6}") for i in range(N)]
    write_scores(folder / "predictions" / "test.npz", outcome.gathered(), named, vocabulary)
    if programs is not None:
        metrics = {"test": {"recognition": {"verb_top1": 0.0}, "programs": programs}}
        (folder / "results.json").write_text(json.dumps({"metrics": metrics}))
    return folder


@pytest.fixture
def runs(tmp_path):
    """Three seeds each of a weak and a strong model."""
    for name, signal in (("weak", 1.0), ("strong", 2.0)):
        for seed in range(3):
            programs = {"s_verb": 0.1 * seed + signal / 10, "set_f1": 0.5}
            write_run(tmp_path / f"{name}-{seed}", seed, signal, programs=programs)
    return tmp_path


def compared(tmp_path, *words):
    out = tmp_path / "out.json"
    assert main([*map(str, words), "--json", str(out), "--bootstrap", "300"]) == 0
    return json.loads(out.read_text())


def test_means_and_deviations_are_those_of_the_runs(runs, capsys):
    report = compared(runs, f"weak={runs}/weak-0,{runs}/weak-1,{runs}/weak-2", f"strong={runs}/strong-*")
    for label in ("weak", "strong"):
        model = report["models"][label]
        assert model["runs"] == [f"{runs}/{label}-{seed}" for seed in range(3)]
        per_seed = []
        for run in model["runs"]:
            saved = read_scores(runs / run / "predictions" / "test.npz")
            per_seed.append(recognition_scores(saved.scores, saved.labels, pairs_of(VOCABULARY)))
        for name in ("verb_top1", "noun_top1", "action_top1", "action_top5", "action_mt5r"):
            values = [float(scores[name]) for scores in per_seed]
            figure = model["figures"][name]
            assert figure["values"] == pytest.approx(values, abs=1e-12)
            assert figure["mean"] == pytest.approx(statistics.fmean(values), abs=1e-12)
            assert figure["sd"] == pytest.approx(statistics.stdev(values), abs=1e-12)
            assert figure["low"] < figure["mean"] < figure["high"]
    assert report["models"]["weak"]["figures"]["s_verb"]["values"] == pytest.approx([0.1, 0.2, 0.3])
    assert "object_a" not in report["models"]["weak"]["figures"]
    shown = capsys.readouterr().out
    assert "120 clips of 20 videos" in shown
    assert "S-Verb" in shown
    assert "strong minus weak" in shown


def test_a_difference_is_that_of_the_means_within_its_interval(runs):
    report = compared(runs, f"weak={runs}/weak-*", f"strong={runs}/strong-*")
    for name in ("verb_top1", "action_top1", "action_mt5r"):
        weak, strong = (report["models"][label]["figures"][name] for label in ("weak", "strong"))
        change = report["differences"]["strong"][name]
        assert change["value"] == pytest.approx(strong["mean"] - weak["mean"])
        assert 0 < change["low"] < change["value"] < change["high"]
        error = ((weak["sd"] ** 2 + strong["sd"] ** 2) / 3) ** 0.5
        assert change["standard_error_over_seeds"] == pytest.approx(error)
        assert change["verdict"] == "higher"
    back = compared(runs, f"strong={runs}/strong-*", f"weak={runs}/weak-*")["differences"]["weak"]["action_top1"]
    assert back["verdict"] == "lower"
    assert back["value"] == pytest.approx(-report["differences"]["strong"]["action_top1"]["value"])


def test_no_difference_is_told_plainly(runs, capsys):
    for seed in range(3, 6):
        write_run(runs / f"again-{seed}", seed, 1.0)
    report = compared(runs, f"weak={runs}/weak-*", f"again={runs}/again-*", "--figure", "noun_top1")
    change = report["differences"]["again"]["noun_top1"]
    assert change["low"] <= 0 <= change["high"]
    assert change["verdict"] == "no difference beyond the interval"
    assert "no difference beyond the interval" in capsys.readouterr().out
    same = compared(runs, f"a={runs}/weak-0", f"b={runs}/weak-0")["differences"]["b"]["verb_top1"]
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)
    assert same["standard_error_over_seeds"] is None


def test_figures_without_clips_are_measured_against_the_seeds(runs):
    report = compared(
        runs, f"weak={runs}/weak-*", f"strong={runs}/strong-*", "--figure", "s_verb", "--figure", "set_f1"
    )
    change = report["differences"]["strong"]["s_verb"]
    assert change["value"] == pytest.approx(0.1)
    assert (change["low"], change["high"]) == (None, None)
    assert change["verdict"] == "no difference beyond the seeds"
    alone = compared(runs, f"weak={runs}/weak-0", f"strong={runs}/strong-0", "--figure", "s_verb")
    assert alone["models"]["weak"]["figures"]["s_verb"]["sd"] is None
    assert alone["differences"]["strong"]["s_verb"]["verdict"].startswith("no interval")


def test_any_figure_of_any_head_can_be_asked_for(runs):
    names = ("action_head.action_top1", "fused.action_mt5r", "verb_top3", "noun_mt5r")
    words = [word for name in names for word in ("--figure", name)]
    report = compared(runs, f"weak={runs}/weak-0", *words)
    saved = read_scores(runs / "weak-0" / "predictions" / "test.npz")
    plain = recognition_scores(saved.scores, saved.labels, pairs_of(VOCABULARY), top=(1, 3))
    keys = ("action_head_top1", "fused_mt5r", "verb_top3", "noun_mt5r")
    found = report["models"]["weak"]["figures"]
    assert list(found) == list(names)
    for name, key in zip(names, keys, strict=True):
        assert found[name]["mean"] == pytest.approx(float(plain[key]), abs=1e-12)


def test_runs_with_an_action_head_alone_are_compared_by_it(tmp_path):
    for seed in range(2):
        write_run(tmp_path / f"a-{seed}", seed, 1.0, heads="action")
        write_run(tmp_path / f"b-{seed}", seed, 3.0, heads="action")
    report = compared(tmp_path, f"a={tmp_path}/a-*", f"b={tmp_path}/b-*")
    assert set(report["models"]["a"]["figures"]) == {"action_top1", "action_top5", "action_mt5r"}
    assert report["differences"]["b"]["action_top1"]["verdict"] == "higher"


def test_only_clips_that_all_runs_have_are_compared(runs, capsys):
    short = write_run(runs / "short", 0, 1.0, clips=range(0, N, 2))
    report = compared(runs, f"a={runs}/weak-0", f"b={short}")
    assert (report["clips"], report["left_out"]) == (60, 60)
    assert report["differences"]["b"]["action_top1"]["value"] == 0
    assert "60 clips that not all runs have are left out" in capsys.readouterr().out


def test_wrong_use_and_runs_that_do_not_fit_are_told(runs, tmp_path):
    with pytest.raises(ConfigError, match="'weak' is no LABEL=RUN,RUN"):
        main(["weak"])
    with pytest.raises(ConfigError, match="no folder is called"):
        main([f"a={runs}/none-*"])
    with pytest.raises(ConfigError, match="the same label"):
        main([f"a={runs}/weak-0", f"a={runs}/weak-1"])
    with pytest.raises(ConfigError, match="'verb' is no figure"):
        main([f"a={runs}/weak-0", "--figure", "verb"])
    with pytest.raises(DataError, match="is not a folder"):
        main([f"a={runs}/none"])
    with pytest.raises(DataError, match=r"has no predictions/val\.npz"):
        main([f"a={runs}/weak-0", "--split", "val"])
    with pytest.raises(DataError, match="a run of 'a' lacks edit_score"):
        main([f"a={runs}/weak-0", "--figure", "edit_score"])
    other = write_run(runs / "other", 0, 1.0, shift=1)
    with pytest.raises(DataError, match="the true classes of clip"):
        main([f"a={runs}/weak-0", f"b={other}"])
    odd = write_run(runs / "odd", 0, 1.0, clips=range(1, N, 2))
    even = write_run(runs / "even", 0, 1.0, clips=range(0, N, 2))
    with pytest.raises(DataError, match="no clip in common"):
        main([f"a={odd}", f"b={even}"])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("verb_label", lambda a: a.astype(float), r"verb_label is \(120,\) float64, but \(N,\) whole numbers"),
        ("verb_label", lambda a: a + V, f"verb_label names a class .*, but classes are 0 to {V - 1}"),
        ("noun", lambda a: a[:, 0], r"noun is \(120,\) float32"),
        ("noun", lambda a: a[:, :0], r"noun is \(120, 0\) float32"),
        ("action_pairs", lambda a: a[1:], r"action_pairs is \(29, 2\) int64, but \(30, 2\)"),
        ("action_pairs", lambda a: a + 50, "action_pairs names a verb 50"),
        ("sample_id", lambda a: np.repeat(a[:1], N), "a sample_id is there twice"),
        ("video", lambda a: np.arange(N), "but \\(N,\\) text is expected"),
    ],
)
def test_scores_that_cannot_be_are_told(runs, name, change, message):
    path = runs / "weak-0" / "predictions" / "test.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, name: change(arrays[name])})
    with pytest.raises(DataError, match=message):
        main([f"a={runs}/weak-0"])


@pytest.mark.parametrize("metrics", [[], None, {"test": []}, {"test": {"programs": {"s_verb": float("nan")}}}])
def test_results_without_figures_are_those_of_a_run_that_has_none(runs, metrics):
    (runs / "weak-0" / "results.json").write_text(json.dumps({"metrics": metrics}))
    assert "s_verb" not in compared(runs, f"a={runs}/weak-0")["models"]["a"]["figures"]


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "leaplan compare plain=runs/plain-7" in capsys.readouterr().out


# --- plans ------------------------------------------------------------------------------------------------


def write_planner(folder, accuracy, seed, decodings=("argmax", "viterbi")):
    """A planning run as `fit` leaves it: windows of ten videos, each decoding with plans of its own."""
    records = real_shape(80, seed)
    noise = np.random.default_rng(seed)
    for record in records:
        truth = np.array(record["steps"])
        plans = {name: np.where(noise.random(3) < accuracy, truth, noise.integers(0, 9, 3)) for name in decodings}
        record["plans"] = {name: plan.tolist() for name, plan in plans.items()}
    (folder / "predictions").mkdir(parents=True)
    write(folder / "predictions" / "test.jsonl", records)
    return records


def test_planning_runs_are_compared_by_decoding_and_figure(tmp_path, capsys):
    written = {}
    for name, accuracy in (("weak", 0.5), ("strong", 0.9)):
        written[name] = [write_planner(tmp_path / f"{name}-{seed}", accuracy, seed) for seed in range(3)]
    report = compared(tmp_path, f"weak={tmp_path}/weak-*", f"strong={tmp_path}/strong-*")
    assert (report["windows"], report["videos"], report["left_out"]) == (80, 10, 0)
    assert "clips" not in report
    means = {}
    for name, seeds in written.items():
        figures = report["models"][name]["figures"]
        assert len(figures) == 6  # three of each decoding
        target = np.array([record["steps"] for record in seeds[0]])
        for figure in ("success_rate", "mean_accuracy", "mean_iou"):
            plans = [np.array([record["plans"]["viterbi"] for record in records]) for records in seeds]
            values = [getattr(reference, figure)(plan, target) for plan in plans]
            assert figures[f"viterbi.{figure}"]["values"] == pytest.approx(values)
            assert figures[f"viterbi.{figure}"]["sd"] == pytest.approx(statistics.stdev(values))
            means[name, figure] = statistics.fmean(values)
    for figure in ("success_rate", "mean_accuracy", "mean_iou"):
        change = report["differences"]["strong"][f"viterbi.{figure}"]
        assert change["value"] == pytest.approx(means["strong", figure] - means["weak", figure])
        assert change["low"] < change["value"] < change["high"]
        assert change["verdict"] == "higher"
    shown = capsys.readouterr().out
    assert "80 windows of 10 videos" in shown
    assert "viterbi SR" in shown


def test_figures_of_plans_can_be_chosen_and_what_is_not_there_is_told(tmp_path, runs):
    write_planner(tmp_path / "a", 0.5, 1)
    write_planner(tmp_path / "b", 0.5, 2, ("argmax",))
    labels = f"a={tmp_path}/a", f"b={tmp_path}/b"
    report = compared(tmp_path, *labels, "--figure", "argmax.success_rate_seen", "--figure", "edit_score")
    assert set(report["differences"]["b"]) == {"argmax.success_rate_seen", "argmax.edit_score"}
    saved = read_predictions(tmp_path / "a" / "predictions" / "test.jsonl")
    right = (saved.plans["argmax"] == saved.target).all(1)[saved.seen].double().mean()
    assert report["models"]["a"]["figures"]["argmax.success_rate_seen"]["values"] == [pytest.approx(float(right))]
    with pytest.raises(ConfigError, match="'verb_top1' is no figure of plans"):
        main([*labels, "--figure", "verb_top1"])
    with pytest.raises(DataError, match=r"test\.jsonl lacks viterbi\.mean_iou\n  Its decodings are argmax"):
        main([*labels, "--figure", "viterbi.mean_iou"])
    with pytest.raises(DataError, match=r"weak-0 has no plans in predictions/test\.jsonl, but other runs have"):
        main([labels[0], f"c={runs}/weak-0"])
    other = [{**record, "steps": [8, 8, 8]} for record in real_shape(80, 1)]
    (tmp_path / "c" / "predictions").mkdir(parents=True)
    write(tmp_path / "c" / "predictions" / "test.jsonl", other)
    with pytest.raises(DataError, match=r"c/predictions/test\.jsonl has other true steps than"):
        main([labels[0], f"c={tmp_path}/c"])
