"""`leaplan score --protocol epic-...`: official numbers from any form of file, intervals, comparisons, bad input."""

import csv
import gzip
import json
import shutil

import numpy as np
import pytest
import torch

from leaplan.errors import ConfigError, DataError, ProblemList
from leaplan.recognition.gathering import RecognitionOutcome
from leaplan.recognition.intervals import Resampling, accuracy_share, differences, recall_share, with_intervals
from leaplan.recognition.metrics import Labels, Pairs, Scores, recall
from leaplan.recognition.outcome import write_scores
from leaplan.recognition.submission import SupervisionLevels, read_submission, write_submission
from leaplan.records import Step, Vocabulary
from leaplan.score import main
from tests.recognition import epic_golden
from tests.recognition.test_outcome import Clip
from tests.reference import epic_scoring

RECOGNITION, ANTICIPATION = "epic-recognition", "epic-anticipation"
N = 48
COLUMNS = ("narration_id", "participant_id", "video_id", "verb_class", "noun_class")
PERSONS = ("P01", "P02", "P18")
TAIL_VERBS, TAIL_NOUNS = {5, 6, 96}, {2, 299}


# --- a small EPIC-KITCHENS in the official format ---------------------------------------------------


def write_csv(path, header, rows, end="\n"):
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator=end).writerows([header, *rows])


@pytest.fixture
def segments():
    """Rows of 48 segments of 8 videos."""
    generator = np.random.default_rng(0)
    verbs, nouns = generator.choice([0, 1, 5, 6, 96], N), generator.choice([0, 2, 50, 299], N)
    return [
        (f"{PERSONS[i // 16]}_0{i // 6}_{i}", PERSONS[i // 16], f"{PERSONS[i // 16]}_0{i // 6}", str(v), str(n))
        for i, (v, n) in enumerate(zip(verbs, nouns, strict=True))
    ]


@pytest.fixture
def root(tmp_path, segments):
    folder = tmp_path / "data" / "epic100"
    folder.mkdir(parents=True)
    write_csv(folder / "EPIC_100_validation.csv", COLUMNS, segments)
    write_csv(folder / "EPIC_100_train.csv", COLUMNS, [row for row in segments if row[3] != "96"])
    write_csv(folder / "EPIC_100_tail_verbs.csv", ["verb"], [[v] for v in sorted(TAIL_VERBS)], "\r\n")
    write_csv(folder / "EPIC_100_tail_nouns.csv", ["noun"], [[n] for n in sorted(TAIL_NOUNS)])
    write_csv(folder / "EPIC_100_unseen_participant_ids_validation.csv", ["participant_id"], [["P18"]])
    return tmp_path / "data"


def draw(segments, seed=0, signal=2.0):
    """Scores (N, 97) and (N, 300) float32, better with more signal."""
    generator = np.random.default_rng(seed)
    verb, noun = (generator.normal(size=(len(segments), c)).astype(np.float32) for c in (97, 300))
    for row, (*_, v, n) in enumerate(segments):
        verb[row, int(v)] += signal
        noun[row, int(n)] += signal
    return verb, noun


def ids_of(segments):
    return [row[0] for row in segments]


def save(path, segments, verb, noun):
    np.savez(path, narration_id=np.array(ids_of(segments)), verb=verb, noun=noun)
    return path


def score(tmp_path, *words, protocol=RECOGNITION):
    """Run the verb and return what it writes."""
    out = tmp_path / "out.json"
    assert main(["--protocol", protocol, *map(str, words), "--json", str(out), "--bootstrap", "50"]) == 0
    return json.loads(out.read_text())


def values(report, place=0):
    return {name: figure["value"] for name, figure in report["files"][place]["figures"].items()}


# --- official numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["small", "full_val_signal0", "full_val_signal2"])
def test_the_verb_tells_the_official_numbers(shared, tmp_path, name, capsys):
    case, rows = epic_golden.golden(shared)["cases"][name], epic_golden.case_rows(shared, name)
    verb, noun = epic_golden.case_scores(name, rows, case["signal"])
    ids = np.array([row["narration_id"] for row in rows])
    order = np.random.default_rng(0).permutation(len(rows))
    np.savez(tmp_path / "a.npz", narration_id=ids[order], verb=verb[order], noun=noun[order])
    words = [tmp_path / "a.npz", "--root", shared / "data"]
    if name == "small":
        chosen = [[row[c] for c in COLUMNS] for row in rows]
        write_csv(tmp_path / "small.csv", COLUMNS, chosen)
        words += ["--annotations", tmp_path / "small.csv"]
    for protocol, key in ((RECOGNITION, "c1_recognition"), (ANTICIPATION, "c3_anticipation_no_action_field")):
        found = values(score(tmp_path, *words, protocol=protocol))
        assert {k: 100 * found[k] for k in case[key]} == pytest.approx(case[key], abs=1e-9)
    assert f"{case['c1_recognition']['all_verb_accuracy_at_1']:.1f}" in capsys.readouterr().out


def test_the_verb_tells_the_official_numbers_of_submitted_actions(shared, tmp_path):
    case, rows = epic_golden.golden(shared)["cases"]["small_with_action_field"], epic_golden.case_rows(shared, "small")
    verb, noun = map(torch.from_numpy, epic_golden.case_scores("small", rows, 2.0))
    pairs = Pairs(*map(torch.from_numpy, epic_golden.submitted_actions(shared, rows)))
    ids = [row["narration_id"] for row in rows]
    write_submission(tmp_path / "a.zip", "action_anticipation", ids, verb, noun, SupervisionLevels(), pairs)
    write_csv(tmp_path / "small.csv", COLUMNS, [[row[c] for c in COLUMNS] for row in rows])
    words = [tmp_path / "a.zip", "--root", shared / "data", "--annotations", tmp_path / "small.csv"]
    report = score(tmp_path, *words, protocol=ANTICIPATION)
    found, official = values(report), case["c3_anticipation"]
    assert {k: 100 * found[k] for k in official} == pytest.approx(official, abs=1e-9)
    assert report["files"][0]["actions"] == "as submitted"


def test_the_filtered_protocol_leaves_out_372_rows_of_the_validation_file(shared, tmp_path, capsys):
    rows = epic_golden.validation_rows(shared)
    verb, noun = epic_golden.case_scores("full_val_signal2", rows, 2.0)
    ids = np.array([row["narration_id"] for row in rows])
    np.savez(tmp_path / "a.npz", narration_id=ids, verb=verb, noun=noun)
    report = score(tmp_path, tmp_path / "a.npz", "--root", shared / "data", protocol=ANTICIPATION)
    assert report["protocol"]["filtered"] == 9668 - 372
    assert "not official, V-JEPA 2's filtered protocol (9,296 segments" in capsys.readouterr().out
    verb_class, noun_class = epic_golden.classes(rows)
    with gzip.open(shared / "data" / "epic100" / "EPIC_100_train_reconstructed.csv.gz", "rt", newline="") as file:
        pairs = {(int(row["verb_class"]), int(row["noun_class"])) for row in csv.DictReader(file)}
    absent = {pair for pair in zip(verb_class.tolist(), noun_class.tolist(), strict=True) if pair not in pairs}
    assert len(absent) == 238


@pytest.mark.parametrize("protocol", [RECOGNITION, ANTICIPATION])
def test_figures_equal_the_definitions(root, segments, tmp_path, protocol):
    verb, noun = draw(segments)
    verb_class, noun_class = ([int(row[c]) for row in segments] for c in (3, 4))
    unseen = [row[1] == "P18" for row in segments]
    expected = epic_scoring.official(verb, noun, verb_class, noun_class, unseen, TAIL_VERBS, TAIL_NOUNS)
    save(tmp_path / "a.npz", segments, verb, noun)
    found = values(score(tmp_path, tmp_path / "a.npz", "--root", root, protocol=protocol))
    known = found.pop("overall_action_mt5r_filtered", None)
    assert found == pytest.approx({name: expected[name] for name in found}, abs=1e-12)
    assert len(found) == (12 if protocol == RECOGNITION else 9)
    if protocol == ANTICIPATION:
        kept = [place for place, row in enumerate(segments) if row[3] != "96"]
        ranked = epic_scoring.rankings(verb[kept], noun[kept])["action"]
        truths = [(verb_class[place], noun_class[place]) for place in kept]
        assert known == pytest.approx(epic_scoring.mean_recall(ranked, truths), abs=1e-12)


# --- forms of files ---------------------------------------------------------------------------------


def test_every_form_of_a_file_gives_the_same_figures(root, segments, tmp_path):
    verb, noun = draw(segments)
    expected = values(score(tmp_path, save(tmp_path / "a.npz", segments, verb, noun), "--root", root))
    ids = ids_of(segments)
    rows = [
        {"verb_output": v, "noun_output": n, "narration_id": name}
        for v, n, name in zip(verb.tolist(), noun.tolist(), ids, strict=True)
    ]
    (tmp_path / "list.json").write_text(json.dumps(rows[::-1]))
    columns = {"verb_output": verb.tolist(), "noun_output": noun.tolist(), "narration_id": ids}
    (tmp_path / "columns.json").write_text(json.dumps(columns))
    np.savez(tmp_path / "outputs.npz", verb_output=verb, noun_output=noun, narration_id=np.array(ids))
    tensors = torch.from_numpy(verb), torch.from_numpy(noun)
    write_submission(tmp_path / "a.zip", "action_recognition", ids, *tensors, SupervisionLevels())
    shutil.unpack_archive(tmp_path / "a.zip", tmp_path)
    for name in ("list.json", "columns.json", "outputs.npz", "a.zip", "test.json"):
        assert values(score(tmp_path, tmp_path / name, "--root", root)) == expected, name


def our_run(tmp_path, segments):
    """predictions/test.npz of a run with all heads, its order that of the split."""
    pairs = sorted({(int(v), int(n)) for *_, v, n in segments})
    step = torch.tensor([pairs.index((int(v), int(n))) for *_, v, n in segments])
    labels = Labels(step, *torch.tensor(pairs)[step].unbind(1))
    verb, noun = map(torch.from_numpy, draw(segments, 1))
    action = torch.randn(N, 120, generator=torch.Generator().manual_seed(0))
    action[torch.arange(N), step] += 3
    every = pairs + [pair for v in range(20, 40) for n in range(6) if (pair := (v, n)) not in pairs]
    names = tuple(map(str, range(300)))
    steps = tuple(Step(f"{v}:{n}", f"{v} {n}", verb=v, noun=n) for v, n in every[:120])
    outcome = RecognitionOutcome(97, 300, 120)
    outcome.update(torch.arange(N), labels, Scores(verb, noun, action))
    clips = [Clip(row[0], row[2]) for row in segments]
    path = tmp_path / "predictions" / "test.npz"
    write_scores(path, outcome.gathered(), clips, Vocabulary(steps, verbs=names[:97], nouns=names))
    return path, action.double().log_softmax(1), labels


def test_the_scores_of_a_run_tell_its_action_head_too(root, segments, tmp_path, capsys):
    path, action, labels = our_run(tmp_path, segments)
    found = values(score(tmp_path, path, "--root", root))
    assert found["all_action_head_accuracy_at_1"] == float((action.argmax(1) == labels.step).double().mean())
    assert {name for name in found if "fused" in name} == {
        "all_fused_accuracy_at_1", "all_fused_accuracy_at_5", "unseen_fused_accuracy_at_1", "tail_fused_accuracy_at_1"
    }  # fmt: skip
    assert "action head" in capsys.readouterr().out
    anticipated = values(score(tmp_path, path, "--root", root, protocol=ANTICIPATION))
    assert {"overall_fused_mt5r", "overall_action_head_mt5r_filtered"} <= anticipated.keys()


@pytest.mark.parametrize("ranked_by", ["action_head", "fused"])
def test_a_submission_ranked_by_another_head_scores_as_this_head(root, segments, tmp_path, ranked_by):
    path, *_ = our_run(tmp_path, segments)
    out = tmp_path / "ours.zip"
    words = [path, "--root", root, "--submission", out, "--sls", 5, 4, 3, "--submission-action", ranked_by]
    run = values(score(tmp_path, *words))
    submitted = values(score(tmp_path, out, "--root", root))
    for k in (1, 5):
        assert submitted[f"all_action_accuracy_at_{k}"] == run[f"all_{ranked_by}_accuracy_at_{k}"]
        assert submitted[f"all_verb_accuracy_at_{k}"] == run[f"all_verb_accuracy_at_{k}"]
    assert read_submission(out, ids_of(segments)).levels == SupervisionLevels(5, 4, 3)


def test_without_classes_only_a_submission_is_written(root, segments, tmp_path, capsys):
    write_csv(tmp_path / "test.csv", COLUMNS[:3], [row[:3] for row in segments])
    verb, noun = draw(segments)
    path = save(tmp_path / "a.npz", segments, verb, noun)
    words = ["--protocol", ANTICIPATION, str(path), "--annotations", str(tmp_path / "test.csv")]
    with pytest.raises(DataError, match="tells no classes"):
        main(words)
    assert main([*words, "--submission", str(tmp_path / "a.zip")]) == 0
    assert "action_anticipation, 48 segments, ranked by the official product" in capsys.readouterr().out
    found = read_submission(tmp_path / "a.zip", ids_of(segments))
    assert found.challenge == "action_anticipation"
    assert torch.equal(found.verb.float(), torch.from_numpy(verb))


# --- intervals and comparisons ----------------------------------------------------------------------


def test_intervals_are_percentiles_over_drawn_videos_and_hold_the_value():
    generator = np.random.default_rng(0)
    rank = torch.from_numpy(generator.integers(0, 4, 60))
    videos = [f"v{i // 5:02d}" for i in range(60)]
    share = accuracy_share(rank, 1)
    found = with_intervals({"top1": share}, videos, Resampling(300, 7))["top1"]
    drawn = np.random.default_rng(7).multinomial(12, np.full(12, 1 / 12), size=300)  # how often each video
    values = drawn @ (rank.numpy().reshape(12, 5) < 1).mean(1) / 12
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))
    assert found["value"] == share.value
    assert found["low"] < found["value"] < found["high"]


def test_recall_as_a_weighted_mean_is_the_mean_over_classes():
    generator = np.random.default_rng(1)
    rank, classes = (torch.from_numpy(generator.integers(0, 9, 80)) for _ in range(2))
    rows = torch.from_numpy(generator.random(80) < 0.5)
    assert recall_share(rank, classes, 5).value == pytest.approx(float(recall(rank, classes)), abs=1e-12)
    part = recall_share(rank, classes, 5, rows)
    assert part.value == pytest.approx(float(recall(rank[rows], classes[rows])), abs=1e-12)
    assert recall_share(rank, classes, 5, torch.zeros(80, dtype=torch.bool)).value is None


def test_the_interval_of_a_recall_with_rare_classes_is_around_its_value():
    generator = np.random.default_rng(2)
    classes = torch.from_numpy(np.concatenate([np.zeros(200, int), np.arange(1, 101)]))  # one common, 100 rare ones
    rank = torch.where(torch.from_numpy(generator.random(300) < 0.3), 0, 9)
    videos = [f"v{i % 30}" for i in range(300)]
    found = with_intervals({"recall": recall_share(rank, classes, 5)}, videos, Resampling(1000))["recall"]
    middle = (found["low"] + found["high"]) / 2
    assert middle == pytest.approx(found["value"], abs=0.1 * (found["high"] - found["low"]))


def test_a_paired_difference_of_a_file_with_itself_is_zero_and_narrower_than_two_intervals(root, segments, tmp_path):
    verb, noun = draw(segments)
    first = save(tmp_path / "a.npz", segments, verb, noun)
    same = score(tmp_path, first, first, "--root", root)["paired"]["figures"]
    assert all(figure == {"value": 0.0, "low": 0.0, "high": 0.0} for figure in same.values())
    better = save(tmp_path / "b.npz", segments, *draw(segments, signal=2.5))
    for protocol, name in ((RECOGNITION, "all_verb_accuracy_at_1"), (ANTICIPATION, "overall_verb_mt5r")):
        report = score(tmp_path, first, better, "--root", root, protocol=protocol)
        a, b = (file["figures"][name] for file in report["files"])
        change = report["paired"]["figures"][name]
        assert change["value"] == pytest.approx(b["value"] - a["value"])
        assert 0 <= change["low"] <= change["high"] < b["high"] - a["low"]
    assert report["paired"]["difference"] == "second minus first"


def test_without_samples_there_is_no_figure():
    share = accuracy_share(torch.tensor([0, 1]), 1, torch.tensor([False, False]))
    nothing = {"value": None, "low": None, "high": None}
    assert with_intervals({"x": share}, ["a", "b"], Resampling(10)) == {"x": nothing}
    assert differences({"x": share}, {"y": share}, ["a", "b"], Resampling(10)) == {}


# --- bad input --------------------------------------------------------------------------------------


def told(words, message, kind=DataError):
    with pytest.raises(kind) as caught:
        main(["--protocol", RECOGNITION, *map(str, words)])
    assert message in str(caught.value)


def test_bad_predictions_are_told(root, segments, tmp_path):
    verb, noun = draw(segments)
    at = ["--root", root]
    told([tmp_path / "none.npz", *at], "does not exist")
    told([tmp_path / "a.pkl", *at], "end in .zip, .json or .npz")
    told([save(tmp_path / "a.npz", segments[1:], verb[1:], noun[1:]), *at], "1 narration ids are missing: P01_00_0")
    twice = [*segments, segments[0]]
    told([save(tmp_path / "a.npz", twice, *draw(twice)), *at], "there twice", ProblemList)
    told([save(tmp_path / "a.npz", segments, verb[:, :96], noun), *at], "verb is (48, 96) float32, but (N, 97)")
    spoilt = verb.copy()
    spoilt[3, 5] = np.inf
    told([save(tmp_path / "a.npz", segments, spoilt, noun), *at], "a verb score of P01_00_3 is not finite")
    np.savez(tmp_path / "b.npz", verb=verb, noun=noun)
    told([tmp_path / "b.npz", *at], "no array narration_id or sample_id")
    np.savez(tmp_path / "c.npz", narration_id=np.array(ids_of(segments)), verb=verb)
    told([tmp_path / "c.npz", *at], "has no noun scores")
    (tmp_path / "d.json").write_text(json.dumps([{"narration_id": "P01_00_0", "verb_output": [1, 2]}]))
    told([tmp_path / "d.json", *at], "entry 0: no narration_id, verb_output and noun_output")
    row = {"narration_id": "P01_00_0", "verb_output": ["x"], "noun_output": [1]}
    (tmp_path / "e.json").write_text(json.dumps([row]))
    told([tmp_path / "e.json", *at], "verb_output is no table of numbers")
    (tmp_path / "f.json").write_text("3")
    told([tmp_path / "f.json", *at], "entry 0: no narration_id")
    (tmp_path / "g.json").write_text('{"narration_id": null}')
    told([tmp_path / "g.json", *at], "verb is () float64")
    (tmp_path / "h.json").write_text(json.dumps([{**row, "verb_output": [10**400] * 97}]))
    told([tmp_path / "h.json", *at], "verb_output is no table of numbers")
    np.savez(tmp_path / "i.npz", narration_id=np.array(ids_of(segments), "S"), verb=verb, noun=noun)
    told([tmp_path / "i.npz", *at], "but (N,) text is expected")


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (np.zeros((6, 2), int), "action_pairs is (6, 2) int64, but (7, 2) whole numbers are expected"),
        (np.zeros((7, 2)), "action_pairs is (7, 2) float64"),
        (np.array([[97, 0]] * 7), "action_pairs names a verb 97, but classes are 0 to 96"),
        (np.array([[0, -1]] * 7), "action_pairs names a noun -1, but classes are 0 to 299"),
        (np.zeros((7, 2), int), "action_pairs holds a pair twice"),
    ],
)
def test_classes_of_an_action_head_that_cannot_be_are_told(root, segments, tmp_path, pairs, message):
    verb, noun = draw(segments)
    arrays = {"verb": verb, "noun": noun, "action": np.zeros((N, 7)), "action_pairs": pairs}
    np.savez(tmp_path / "a.npz", sample_id=np.array(ids_of(segments)), **arrays)
    told([tmp_path / "a.npz", "--root", root], message)


@pytest.mark.parametrize("kind", ["uint16", ">f4", "float16", "longdouble"])
def test_numbers_of_any_type_are_scored(root, segments, tmp_path, kind):
    verb, noun = (np.round(32 * each + 256) for each in draw(segments))
    expected = values(score(tmp_path, save(tmp_path / "a.npz", segments, verb, noun), "--root", root))
    path = save(tmp_path / "b.npz", segments, verb.astype(kind), noun.astype(kind))
    assert values(score(tmp_path, path, "--root", root)) == expected


def test_damaged_archives_are_told(root, segments, tmp_path):
    verb, noun = map(torch.from_numpy, draw(segments))
    path, at = tmp_path / "a.zip", ["--root", root]
    write_submission(path, "action_recognition", ids_of(segments), verb, noun, SupervisionLevels())
    content = bytearray(path.read_bytes())
    damaged = content[:200] + bytes(100) + content[300:]
    entry = content.index(b"PK\x01\x02")
    for place, value in ((8, 1), (10, 99)):  # a password; an unknown compression
        changed = content.copy()
        changed[entry + place] = changed[place - 2] = value
        path.write_bytes(changed)
        told([path, *at], "cannot be read")
    path.write_bytes(damaged)
    told([path, *at], "cannot be read")


def test_bad_annotations_are_told(root, segments, tmp_path):
    path = save(tmp_path / "a.npz", segments, *draw(segments))
    folder = root / "epic100"
    told([path], "--root is missing", ConfigError)
    told([path, "--root", tmp_path / "nowhere"], "is not a folder")
    told([path, "--root", tmp_path], "has no EPIC_100_validation.csv")
    write_csv(tmp_path / "a.csv", COLUMNS, [*segments, segments[2]])
    told([path, "--root", root, "--annotations", tmp_path / "a.csv"], "narration id 'P01_00_2' is there twice")
    write_csv(tmp_path / "a.csv", COLUMNS, [(*segments[0][:3], "97", "0")])
    told([path, "--root", root, "--annotations", tmp_path / "a.csv"], "line 2: '97' is no class from 0 to 96")
    write_csv(tmp_path / "a.csv", COLUMNS, [("x", "y")])
    told([path, "--root", root, "--annotations", tmp_path / "a.csv"], "line 2: 2 columns, expected 5")
    write_csv(tmp_path / "a.csv", COLUMNS, [])
    told([path, "--root", root, "--annotations", tmp_path / "a.csv"], "has no segments")
    write_csv(tmp_path / "a.csv", COLUMNS[1:], [])
    told([path, "--root", root, "--annotations", tmp_path / "a.csv"], "no column 'narration_id'")
    for text in ("x" * 200_000, '{"results": "' + "x" * 200_000):
        (tmp_path / "a.csv").write_text(",".join(COLUMNS) + "\n" + text if text[0] == "x" else text)
        told([path, "--root", root, "--annotations", tmp_path / "a.csv"], "no table (field larger than")
    write_csv(tmp_path / "a.csv", COLUMNS, [(*segments[0][:3], "9" * 5000, "0")])
    told([path, "--root", root, "--annotations", tmp_path / "a.csv"], "is no class from 0 to 96")
    (tmp_path / "a.csv.gz").write_bytes(b"no gzip")
    told([path, "--root", root, "--annotations", tmp_path / "a.csv.gz"], "cannot be read")
    (folder / "EPIC_100_tail_nouns.csv").unlink()
    told([path, "--root", root], "has no EPIC_100_tail_nouns.csv")


def test_wrong_use_is_told(root, segments, tmp_path):
    path = save(tmp_path / "a.npz", segments, *draw(segments))
    told([path, path, path, "--root", root], "3 files are named", ConfigError)
    told([path, path, "--root", root, "--submission", tmp_path / "b.zip"], "made of one file", ConfigError)
    told([path, "--root", root, "--submission", "b.zip", "--sls", 2, 3, 7], "sls_td is 7", ConfigError)
    head = ["--submission", tmp_path / "b.zip", "--submission-action", "fused"]
    told([path, "--root", root, *head], "has no action scores")
    for option in ("--json", "--submission"):
        told([path, "--root", root, option, tmp_path], "cannot be written (Is a directory)")
    with pytest.raises(SystemExit):
        main(["--protocol", RECOGNITION, str(path), "--root", str(root), "--seed", "-1"])


def test_the_verb_sends_plans_and_actions_to_their_scoring(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert "--protocol epic-anticipation" in shown
    assert "sample_id" in shown  # of the help of plans
    with pytest.raises(SystemExit):
        main([f"--protocol={RECOGNITION}", "--help"])
    shown = capsys.readouterr().out
    assert "verb_output" in shown
    assert "leaplan score --protocol epic-recognition" in shown
    line = {"sample_id": "v:0+2", "video": "v", "steps": [1, 2], "plan": [1, 2]}
    (tmp_path / "plans.jsonl").write_text(json.dumps(line))
    assert main([str(tmp_path / "plans.jsonl")]) == 0
    with pytest.raises(ConfigError, match="'epic-recognise' is no protocol of score; did you mean 'epic-recognition'"):
        main(["--protocol", "epic-recognise", "x.npz"])
    with pytest.raises(ConfigError, match="'' is no protocol"):
        main(["x.npz", "--protocol"])
