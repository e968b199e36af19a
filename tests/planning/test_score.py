"""The verb `score`: formats, intervals, paired tests, and one clear message for each kind of bad input."""

import json
import math
import re

import numpy as np
import pytest

from leaplan.__main__ import main as leaplan
from leaplan.errors import DataError, UserError
from leaplan.planning.score import main, read_predictions
from leaplan.training.resampling import bootstrap, interval, mcnemar_p_value, sign_flip_p_value
from tests.reference import metrics as reference


def rows(samples=40, accuracy=0.6, seed=0, classes=9):
    """Records as our own writer makes them: eight windows per video."""
    truth, noise = np.random.default_rng(5), np.random.default_rng(seed)
    records = []
    for i in range(samples):
        steps = truth.integers(0, classes, 3)
        argmax, viterbi = (np.where(noise.random(3) < accuracy, steps, noise.integers(0, classes, 3)) for _ in range(2))
        records.append(
            {
                "sample_id": f"v{i // 8}:{i % 8}+3",
                "video": f"v{i // 8}",
                "task": "tea",
                "steps": steps.tolist(),
                "step_names": [f"step {step}" for step in steps],
                "plans": {"argmax": argmax.tolist(), "viterbi": viterbi.tolist()},
                "top_5": [[int(step), 20, 21, 22, 23] for step in argmax],
                "log_probability": -1.5,
                "seen_in_training": i % 3 == 0,
            }
        )
    return records


def write(path, records):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    else:
        path.write_text(json.dumps(records))
    return str(path)


def scored(tmp_path, *arguments):
    out = tmp_path / "out.json"
    assert main([*arguments, "--json", str(out)]) == 0
    return json.loads(out.read_text())


def test_figures_are_those_of_the_reference_and_lie_in_their_intervals(tmp_path, capsys):
    records = rows()
    report = scored(tmp_path, write(tmp_path / "a.jsonl", records))
    (file,) = report["files"]
    assert (file["samples"], file["videos"], file["horizon"], file["seen"]) == (40, 5, 3, 14)
    assert file["resampled"] == {"unit": "video", "clusters": 5}
    target = np.array([record["steps"] for record in records])
    for decoding in ("argmax", "viterbi"):
        pred = np.array([record["plans"][decoding] for record in records])
        figures = file["decodings"][decoding]
        for name in ("success_rate", "mean_accuracy", "mean_iou", "edit_score"):
            assert figures[name]["value"] == pytest.approx(getattr(reference, name)(pred, target))
            assert figures[name]["low"] <= figures[name]["value"] <= figures[name]["high"]
        seen = np.arange(40) % 3 == 0
        for part, chosen in (("seen", seen), ("unseen", ~seen)):
            expected = reference.success_rate(pred[chosen], target[chosen])
            assert figures[f"success_rate_{part}"]["value"] == pytest.approx(expected)
        assert len(figures["step_accuracy"]) == 3
    assert file["candidates"]["k"] == 5
    assert "SR unseen" in capsys.readouterr().out


def test_all_formats_give_one_result(tmp_path):
    records = rows()
    expected = scored(tmp_path, write(tmp_path / "a.jsonl", records))["files"][0]["decodings"]["viterbi"]
    target = np.array([record["steps"] for record in records])
    pred = np.array([record["plans"]["viterbi"] for record in records])
    videos, ids = ([record[name] for record in records] for name in ("video", "sample_id"))
    seen = np.array([record["seen_in_training"] for record in records])
    np.savez(tmp_path / "a.npz", target=target, pred=pred, video=videos, sample_id=ids, seen_in_training=seen)
    keep = ("sample_id", "video", "steps", "seen_in_training")
    single = [{**{k: r[k] for k in keep}, "plan": r["plans"]["viterbi"], "decoding": "viterbi"} for r in records]
    named = [{**r, "steps": [f"s{x}" for x in r["steps"]], "plan": [f"s{x}" for x in r["plan"]]} for r in single]
    lines = [
        {**{k: r[k] for k in keep}, "plan": r["plans"][d], "decoding": d}
        for r in records
        for d in ("viterbi", "argmax")
    ]
    files = {
        write(tmp_path / "list.json", single): "viterbi",
        write(tmp_path / "under.json", {"predictions": single}): "viterbi",
        write(tmp_path / "named.jsonl", named): "viterbi",
        write(tmp_path / "lines.jsonl", lines): "viterbi",
        str(tmp_path / "a.npz"): "plan",
    }
    for path, decoding in files.items():
        assert scored(tmp_path, path)["files"][0]["decodings"][decoding] == expected, path


def test_logits_give_argmax_and_candidates(tmp_path):
    logits = np.random.default_rng(0).normal(size=(12, 3, 7))
    target = np.random.default_rng(1).integers(0, 7, (12, 3))
    np.savez(tmp_path / "a.npz", target=target, logits=logits)
    records = [{"sample_id": i, "steps": target[i].tolist(), "logits": logits[i].tolist()} for i in range(len(target))]
    for path in (str(tmp_path / "a.npz"), write(tmp_path / "a.jsonl", records)):
        (file,) = scored(tmp_path, path)["files"]
        assert file["resampled"] == {"unit": "sample", "clusters": 12}
        accuracy = file["decodings"]["argmax"]["mean_accuracy"]["value"]
        assert accuracy == pytest.approx(reference.mean_accuracy(logits.argmax(-1), target))
        assert file["candidates"]["value"] == pytest.approx(reference.accuracy_at_k(logits, target, 5))


def test_plans_of_any_length_are_scored(tmp_path):
    records = [
        {"sample_id": "a", "steps": [1, 2, 3], "plan": [1, 2]},
        {"sample_id": "b", "steps": [1, 2, 3], "plan": [1, 2, 3, 4]},
        {"sample_id": "c", "steps": [1, 2, 3], "plan": []},
        {"sample_id": "d", "steps": [1, 2, 3], "plan": [1, 2, 3]},
    ]
    figures = scored(tmp_path, write(tmp_path / "a.json", records))["files"][0]["decodings"]["plan"]
    assert figures["success_rate"]["value"] == 0.25
    assert figures["mean_accuracy"]["value"] == pytest.approx(8 / 12)
    assert figures["mean_iou"]["value"] == pytest.approx((2 / 3 + 3 / 4 + 0 + 1) / 4)


def test_legacy_numbers_stand_apart_with_their_batch_size(tmp_path, capsys):
    path = write(tmp_path / "a.jsonl", rows())
    assert "legacy" not in json.dumps(scored(tmp_path, path)["files"][0]["decodings"])
    assert "batch size" not in capsys.readouterr().out
    report = scored(tmp_path, path, "--legacy", "--legacy-batch", "16")
    assert report["files"][0]["decodings"]["argmax"]["legacy"]["batch_size"] == 16
    assert re.search(r"legacy, at batch size 16.*not comparable", capsys.readouterr().out.replace("\n", " "))
    named = [{"sample_id": 1, "steps": ["a"], "plan": ["a"]}]
    with pytest.raises(DataError, match="step ids"):
        main([write(tmp_path / "b.jsonl", named), "--legacy"])


def test_two_files_are_compared_on_their_common_samples(tmp_path, capsys):
    worse, better = rows(80, 0.4, seed=1), rows(80, 0.9, seed=2)
    paths = write(tmp_path / "a.jsonl", worse), write(tmp_path / "b.jsonl", better[::-1][:72])
    report = scored(tmp_path, *paths)["paired"]
    assert (report["samples"], report["resampled"]) == (72, {"unit": "video", "clusters": 9})
    change = report["decodings"]["argmax"]["success_rate"]
    assert 0 < change["low"] < change["value"] < change["high"]
    assert change["p_value"] == pytest.approx(2 / 2**9)  # every video is better: only two of all sign patterns
    assert "mcnemar" not in change
    assert "minus" in capsys.readouterr().out
    alone = scored(tmp_path, *paths, "--resample", "sample")["paired"]["decodings"]["argmax"]["success_rate"]
    assert alone["value"] == pytest.approx(change["value"])
    assert alone["mcnemar"]["p_value"] < 1e-3
    same = scored(tmp_path, paths[0], paths[0])["paired"]["decodings"]["viterbi"]["mean_iou"]
    assert (same["value"], same["low"], same["high"], same["p_value"]) == (0, 0, 0, 1)


def real_shape(samples=40, seed=1):
    """Records as a run of PlanLLM leaves them: five decodings, alternatives, a sentence."""
    records = rows(samples, 0.5, seed)
    noise = np.random.default_rng(seed + 100)
    for record in records:
        plans = {name: noise.integers(0, 9, 3).tolist() for name in ("generate", "trie", "retrieve")}
        record["plans"] |= plans
        record |= {"probability": 0.2, "alternatives": [{"plan": plans["trie"], "probability": 0.1}], "sentence": "[]"}
    return records


def test_a_file_with_one_plan_is_paired_with_every_decoding_of_a_run(tmp_path):
    ours = real_shape()
    target = np.array([record["steps"] for record in ours])
    pred = np.random.default_rng(3).integers(0, 9, target.shape)
    ids = [record["sample_id"] for record in ours]
    np.savez(tmp_path / "theirs.npz", target=target, pred=pred, sample_id=ids)
    files = write(tmp_path / "ours.jsonl", ours), str(tmp_path / "theirs.npz")
    paired = scored(tmp_path, *files)["paired"]
    assert paired["resampled"] == {"unit": "video", "clusters": 5}  # ours tells them
    assert list(paired["decodings"]) == [f"{name} / plan" for name in ours[0]["plans"]]
    seen = np.arange(40) % 3 == 0
    for name, figures in ((name, paired["decodings"][f"{name} / plan"]) for name in ours[0]["plans"]):
        own = np.array([record["plans"][name] for record in ours])
        for figure in ("success_rate", "mean_accuracy", "mean_iou"):
            expected = getattr(reference, figure)(pred, target) - getattr(reference, figure)(own, target)
            assert figures[figure]["value"] == pytest.approx(expected)
        change = reference.success_rate(pred[seen], target[seen]) - reference.success_rate(own[seen], target[seen])
        assert figures["success_rate_seen"]["value"] == pytest.approx(change)
    back = scored(tmp_path, *files[::-1])["paired"]
    assert back["resampled"] == paired["resampled"]
    forth, other = paired["decodings"]["trie / plan"]["mean_iou"], back["decodings"]["plan / trie"]["mean_iou"]
    assert [other[end] for end in ("value", "low", "high")] == [-forth[end] for end in ("value", "high", "low")]
    assert list(scored(tmp_path, *files, "--decode", "trie")["paired"]["decodings"]) == ["trie / plan"]


def test_of_several_decodings_the_one_that_is_asked_for_is_scored_and_paired(tmp_path):
    records = rows(16)
    others = [{**record, "plans": {"beam": record["steps"], "greedy": [1, 1, 1]}} for record in records]
    files = write(tmp_path / "a.jsonl", records), write(tmp_path / "b.jsonl", others)
    with pytest.raises(DataError, match=r"none in common\n  .*--decode argmax,beam"):
        main([*files])
    report = scored(tmp_path, *files, "--decode", "viterbi,beam")
    assert [list(file["decodings"]) for file in report["files"]] == [["viterbi"], ["beam"]]
    assert list(report["paired"]["decodings"]) == ["viterbi / beam"]
    assert list(scored(tmp_path, files[0], "--decode", "argmax")["files"][0]["decodings"]) == ["argmax"]
    with pytest.raises(DataError, match=r"b\.jsonl has no decoding 'argmax', but beam, greedy\n.*--decode beam"):
        main([*files, "--decode", "argmax"])
    with pytest.raises(UserError, match="names 3 decodings, but the files are 2"):
        main([*files, "--decode", "argmax,beam,trie"])


def test_seeds_are_summarised_by_mean_and_sample_deviation(tmp_path, capsys):
    paths = [write(tmp_path / f"{seed}.jsonl", rows(seed=seed)) for seed in range(3)]
    report = scored(tmp_path, *paths, "--seeds")
    summary = report["seeds"]["viterbi"]["success_rate"]
    values = [file["decodings"]["viterbi"]["success_rate"]["value"] for file in report["files"]]
    assert summary["values"] == values
    assert summary["mean"] == pytest.approx(np.mean(values))
    assert summary["sd"] == pytest.approx(np.std(values, ddof=1))
    assert "paired" not in scored(tmp_path, *paths[:2], "--seeds")
    assert "over 3 seeds" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_intervals(tmp_path):
    path = write(tmp_path / "a.jsonl", rows())
    first, again, other = (scored(tmp_path, path, "--seed", seed)["files"] for seed in ("3", "3", "4"))
    assert first == again != other


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        clusters = generator.binomial(8, generator.beta(4, 4, 60)).astype(float)[:, None]
        low, high = interval(bootstrap(clusters, np.full_like(clusters, 8), 400, trial))
        covered += low[0] <= 0.5 <= high[0]
    assert 0.88 <= covered / 200 <= 0.99


def test_p_values_equal_enumeration_and_the_textbook():
    differences = np.random.default_rng(1).normal(0.3, 1, (12, 2))
    exact, is_exact = sign_flip_p_value(differences, 10, 0)
    assert is_exact
    more = np.concatenate([differences, np.zeros((2, 2))])  # 14 clusters: drawn, and the two zeros change nothing
    drawn, is_exact = sign_flip_p_value(more, 20_000, 0)
    assert not is_exact
    assert drawn == pytest.approx(exact, abs=0.02)
    assert mcnemar_p_value(10, 2) == pytest.approx(2 * (1 + 12 + 66) / 2**12)
    assert mcnemar_p_value(0, 0) == mcnemar_p_value(7, 7) == 1
    assert 0 <= mcnemar_p_value(1500, 1900) < 1e-9


GOOD = {"sample_id": "a", "steps": [1, 2], "plan": [1, 2]}
WRONG_LINES = {
    "no such column": ([{"sample_id": "a", "plan": [1]}], r"line 1: no 'steps' \(columns: sample_id, plan\)"),
    "no plan": ([{"sample_id": "a", "steps": [1]}], "line 1: no 'plan', 'plans' or 'logits'"),
    "no sample_id": ([GOOD, {"steps": [1, 2], "plan": [1, 2]}], "line 2: no 'sample_id'"),
    "not an object": ([GOOD, [1, 2]], r"line 2: an object is expected, not \[1, 2\]"),
    "steps not a list": ([{**GOOD, "steps": 3}], "line 1: 'steps' is 3, but must be a list"),
    "a float id": ([{**GOOD, "plan": [1.5, 2]}], "line 1: 'plan' holds 1.5"),
    "a negative id": ([{**GOOD, "plan": [1, -2]}], "line 1: 'plan' holds the id -2"),
    "a boolean id": ([{**GOOD, "plan": [True, 2]}], "line 1: 'plan' holds true"),
    "ids and names": (
        [GOOD, {**GOOD, "sample_id": "b", "plan": ["x"]}],
        "line 2: 'plan' holds \"x\", but steps were ids",
    ),
    "another horizon": ([GOOD, {**GOOD, "sample_id": "b", "steps": [1]}], "line 2: steps: 1, but 2"),
    "duplicate": ([GOOD, GOOD], "line 2: sample_id 'a' with decoding 'plan' was at line 1 already"),
    "a decoding missing": (
        [{**GOOD, "decoding": "x"}, {**GOOD, "decoding": "y"}, {**GOOD, "sample_id": "b", "decoding": "x"}],
        "line 3: no plan of decoding 'y'",
    ),
    "video now and then": (
        [{**GOOD, "video": "v"}, {**GOOD, "sample_id": "b"}],
        "line 2: video present: False, but True",
    ),
    "NaN logits": ([{**GOOD, "logits": [[0, 0, 1], [0, math.nan, 1]]}], "line 1: 'logits' is NaN at step 1"),
    "logits of another length": (
        [{**GOOD, "logits": [[0, 0, 1]]}],
        r"line 1: 'logits' is \(1, 3\), but must be \(2, N\)",
    ),
    "ragged logits": ([{**GOOD, "logits": [[0, 0, 1], [0]]}], "line 1: 'logits' is not a table"),
    "a step beyond the logits": (
        [{**GOOD, "logits": [[0, 1]] * 2}],
        "line 1: 'steps' holds the id 2, but 'logits' has 2",
    ),
    "too few candidate lists": ([{**GOOD, "top_5": [[1]]}], "line 1: 'top_5' is .* 2 lists"),
    "seen is no boolean": ([{**GOOD, "seen_in_training": 1}], "line 1: 'seen_in_training' is 1"),
}


@pytest.mark.parametrize("case", WRONG_LINES)
def test_a_wrong_line_is_told_with_file_line_and_value(case, tmp_path, capsys):
    records, message = WRONG_LINES[case]
    path = write(tmp_path / "bad.jsonl", records)
    with pytest.raises(UserError, match=message) as caught:
        main([path])
    assert path in str(caught.value)
    assert leaplan(["score", path, "--json", str(tmp_path / "out.json")]) == 2
    assert not (tmp_path / "out.json").exists()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err


TARGET = np.zeros((4, 3), dtype=np.int64)
WRONG_ARRAYS = {
    "no target": ({"pred": TARGET}, r"no array 'target' \(arrays: pred\)|no array target"),
    "no pred": ({"target": TARGET}, "no array pred or logits"),
    "rows": ({"target": TARGET, "pred": TARGET[:3]}, r"'pred' is \(3, 3\), but 'target' has 4 rows"),
    "floats": ({"target": TARGET, "pred": TARGET + 0.5}, "'pred' is float64"),
    "axes": ({"target": TARGET[0], "pred": TARGET}, r"'target' is int64 \(3,\)"),
    "empty": ({"target": TARGET[:0], "pred": TARGET[:0]}, "no predictions"),
    "duplicates": ({"target": TARGET, "pred": TARGET, "sample_id": list("abca")}, "sample_id 'a' is there 2 times"),
    "NaN": ({"target": TARGET, "logits": np.full((4, 3, 2), np.nan)}, "'logits' is NaN in row 0"),
    "steps of logits": ({"target": TARGET, "logits": np.zeros((4, 2, 2))}, "'logits' has 2 steps, but 'target' has 3"),
    "id": ({"target": TARGET - 1, "pred": TARGET}, "'target' holds the id -1"),
    "beyond logits": (
        {"target": TARGET + 5, "logits": np.zeros((4, 3, 2))},
        "holds the id 5, but 'logits' has 2 classes",
    ),
    "pickle": ({"target": TARGET, "pred": np.array([None] * 4, dtype=object)}, "pickled"),
}


@pytest.mark.parametrize("case", WRONG_ARRAYS)
def test_a_wrong_array_is_told_with_its_shape_or_value(case, tmp_path):
    arrays, message = WRONG_ARRAYS[case]
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(UserError, match=message):
        main([str(tmp_path / "bad.npz")])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", None, "does not exist"),
        ("a.csv", b"", r"ends in '\.csv', but predictions end in \.jsonl, \.json, \.npz"),
        ("a.jsonl", b"", "holds no predictions"),
        ("a.json", b"[]", "holds no predictions"),
        ("a.json", b"{}", "neither a list"),
        ("a.json", b"{", "is not JSON"),
        ("a.jsonl", b"{]\n", "line 1: not JSON"),
        ("a.jsonl", b"\xff\xfe\x00", "not text in UTF-8"),
        ("a.npz", b"", "not a .npz"),
        ("a.npz", b"PK\x03\x04broken", "not a .npz"),
    ],
)
def test_a_file_that_is_none_is_told(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        main([str(tmp_path / name)])
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        main([str(tmp_path / "folder.jsonl")])


def test_several_problems_are_told_together(tmp_path):
    path = write(tmp_path / "a.jsonl", [{**GOOD, "steps": []}, {"a": 1}, {**GOOD, "plan": "x"}])
    with pytest.raises(UserError, match=r"(?s)3 problems.*line 1.*line 2.*line 3"):
        main([path])


def test_files_that_do_not_fit_together_are_told(tmp_path):
    a = write(tmp_path / "a.jsonl", rows(8))
    others = {
        "no sample_id in common": [{**r, "sample_id": r["sample_id"] + "x"} for r in rows(8)],
        r"true steps of sample 'v0:0\+3'": [{**r, "steps": r["steps"][::-1]} for r in rows(8)],
        "none in common": [{**r, "plans": {"beam": [1], "retrieval": [2]}} for r in rows(8)],
        "names its steps": [
            {"sample_id": r["sample_id"], "video": "v", "steps": ["x"] * 3, "plan": ["x"]} for r in rows(8)
        ],
    }
    for message, records in others.items():
        with pytest.raises(DataError, match=message):
            main([a, write(tmp_path / "b.jsonl", records)])
    with pytest.raises(DataError, match="at least two files"):
        main([a, "--seeds"])
    with pytest.raises(DataError, match="has samples 16, but"):
        main([a, write(tmp_path / "c.jsonl", rows(16)), "--seeds"])
    with pytest.raises(DataError, match="tells no videos"):
        main([write(tmp_path / "d.jsonl", [GOOD]), "--resample", "video"])


def test_wrong_options_exit_with_2(tmp_path, capsys):
    for arguments in ([], ["a.jsonl", "--bootstrap", "0"], ["a.jsonl", "--resample", "window"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    assert "not at least 1" in capsys.readouterr().err


def test_a_single_video_and_a_single_sample_can_be_scored(tmp_path):
    (file,) = scored(tmp_path, write(tmp_path / "a.jsonl", [{**GOOD, "video": "v", "seen_in_training": True}]))["files"]
    figures = file["decodings"]["plan"]
    assert figures["success_rate"] == {"value": 1, "low": 1, "high": 1}
    assert figures["success_rate_unseen"] == {"value": None, "low": None, "high": None}
    assert read_predictions(tmp_path / "a.jsonl").videos == ("v",)
