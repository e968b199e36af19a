"""The real files give the published counts, windows and class numbers."""

import csv
import gzip
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from leaplan.data.captaincook4d import CaptainCook4D, read_captaincook4d
from leaplan.data.niv import read_niv
from leaplan.data.protocols import CLASSES, PROTOCOLS
from leaplan.data.sources import SegmentFeatures
from leaplan.data.splits import carve_validation, checksum, measure
from leaplan.data.views import PlanningWindows

pytestmark = pytest.mark.filterwarnings("ignore:.*also training videos")

WINDOWS = [  # dataset, protocol, T, training windows, test windows
    ("crosstask", "base", 3, 12293, 2030),
    ("crosstask", "base", 4, 10233, 1716),
    ("crosstask", "base", 5, 8321, 1425),
    ("crosstask", "base", 6, 6636, 1162),
    ("crosstask", "pdpp", 3, 10892, 4567),
    ("crosstask", "pdpp", 4, 9081, 3814),
    ("crosstask", "pdpp", 5, 7393, 3124),
    ("crosstask", "pdpp", 6, 5897, 2511),
    ("crosstask", "p3iv", 3, 9153, 3923),
    ("niv", "schema", 3, 691, 333),
    ("niv", "schema", 4, 589, 288),
    ("niv", "schema", 5, 487, 244),
    ("niv", "schema", 6, 389, 201),
    ("niv", "pdpp", 3, 697, 270),
    ("niv", "pdpp", 4, 598, 228),
    ("niv", "pdpp", 5, 499, 187),
    ("niv", "pdpp", 6, 403, 148),
    ("niv", "p3iv", 3, 690, 333),
    ("coin", "pdpp", 3, 13698, 5571),
    ("coin", "pdpp", 4, 8537, 3391),
    ("coin", "pdpp", 5, 5252, 2029),
    ("coin", "pdpp", 6, 3395, 1309),
]
READABLE = [(d, p) for d, protocols in PROTOCOLS.items() for p in protocols if (d, p) != ("coin", "official")]


@pytest.mark.parametrize(("dataset", "protocol", "horizon", "train", "test"), WINDOWS)
def test_windows_are_the_published_ones(read_real, dataset, protocol, horizon, train, test):
    annotations = read_real(dataset, protocol)
    view = PlanningWindows(horizon)
    assert (len(view(annotations, "train")), len(view(annotations, "test"))) == (train, test)


@pytest.mark.parametrize(("dataset", "protocol"), READABLE)
def test_splits_have_the_published_counts_and_checksums(read_real, dataset, protocol):
    annotations = read_real(dataset, protocol)
    assert measure(annotations) == PROTOCOLS[dataset][protocol].splits
    assert checksum(annotations) == PROTOCOLS[dataset][protocol].sha256
    assert (len(annotations.vocabulary.steps), len(annotations.vocabulary.tasks)) == CLASSES[dataset]
    ids = [segment.id for video in annotations.videos for segment in video.segments]
    assert len(ids) == len(set(ids))
    assert not any("not those published" in note for note in annotations.notes)


def test_crosstask_numbers_its_steps_as_published(read_real, shared: Path):
    annotations = read_real("crosstask", "base")
    index = json.loads((shared / "data/schema_text/crosstask_idices.json").read_text())
    for step, entry in enumerate(annotations.vocabulary.steps):
        assert index["action_idx"][f"{annotations.vocabulary.tasks[entry.task]}_{entry.name}"] == step + 1
    assert {task: i for i, task in enumerate(annotations.vocabulary.tasks)} == index["task_idx"]
    assert len(annotations.videos) == 2750
    assert sum(len(video.segments) for video in annotations.videos) == 20919
    assert any(note.startswith("49 videos list their steps in another order") for note in annotations.notes)


def test_crosstask_merged_numbers_are_those_of_p3iv(read_real, shared: Path):
    annotations = read_real("crosstask", "p3iv", True)
    assert len(annotations.vocabulary.steps) == 105
    path = shared / "data/splits/p3iv_crosstask_t3_datasplit.json.gz"
    lists = json.loads(gzip.decompress(path.read_bytes()))
    for split, entries in lists.items():
        windows = PlanningWindows(3)(annotations, split)
        assert [[step + 1 for step in window.steps] for window in windows] == [entry[2] for entry in entries]
    assert {video.id: video.split for video in annotations.videos}["CrIDBMGVxWM"] == "train"


def test_crosstask_p3iv_says_that_its_test_videos_were_trained_on(read_real):
    annotations = read_real("crosstask", "p3iv")
    assert any("1,649 of 1,672 test videos are also training videos" in note for note in annotations.notes)


def test_niv_json_equals_niv_csvs(read_real, shared: Path, tmp_path: Path):
    folder = tmp_path / "niv"
    folder.mkdir()
    for name in ("csvs_all.csv.gz", "niv_action_idx.json"):
        (folder / name).symlink_to(shared / "data/niv" / name)
    (tmp_path / "splits").symlink_to(shared / "data/splits")
    merged = {video.id: video for video in read_niv(tmp_path, "pdpp").videos}
    for video in read_real("niv", "pdpp").videos:
        other = merged[video.id]
        assert [s.step for s in video.segments] == [s.step for s in other.segments]
        assert (video.split, video.task) == (other.split, other.task)
        for a, b in zip(video.segments, other.segments, strict=True):
            assert a.start == pytest.approx(b.start, abs=0.006)
            assert a.stop == pytest.approx(b.stop, abs=0.006)


def test_epic_actions_are_the_published_ones(read_real, shared: Path):
    vocabulary = read_real("epic_kitchens", "official").vocabulary
    assert (len(vocabulary.verbs), len(vocabulary.nouns)) == (97, 300)
    with gzip.open(shared / "data/epic100/rulstm_ek100_actions.csv.gz", "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(r["verb"]), int(r["noun"])) for r in rows] == [(s.verb, s.noun) for s in vocabulary.steps]
    assert vocabulary.steps[0].name == "take tap"


def test_epic_segments_are_sorted_and_lie_in_their_videos(read_real):
    for video in read_real("epic_kitchens", "official").videos:
        starts = [segment.start for segment in video.segments]
        assert starts == sorted(starts)
        assert video.duration is not None
        assert max(segment.stop for segment in video.segments) < video.duration + 0.02


def test_captaincook4d_drops_missing_steps_and_keeps_errors(read_real):
    videos = read_real("captaincook4d", "recordings").videos
    assert sum(len(video.segments) for video in videos) == 5700 - 287
    assert sum(segment.has_error is True for video in videos for segment in video.segments) == 1964 - 281
    people = {
        split: {video.person for video in read_real("captaincook4d", "person").of_split(split)}
        for split in ("train", "val", "test")
    }
    assert people == {"train": {"3", "4", "5", "6"}, "val": {"7", "8"}, "test": {"1", "2"}}


GOLDEN = [("pe", "pe_core_step_windows.npz"), ("egovlp", "egovlp_step_embeddings.npz")]


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "golden/captaincook4d_windows.npz") as archive:
        return {name: archive[name] for name in archive.files}


@pytest.fixture(scope="module", params=GOLDEN, ids=lambda pair: pair[0])
def cooking(request, shared: Path):
    """The benchmark's data: (column name, archive, annotations restricted to it, source)."""
    name, file = request.param
    source = SegmentFeatures(file)
    module = CaptainCook4D(str(shared / "data"), PlanningWindows(3), source)
    with np.load(shared / "data/captaincook4d" / file) as archive:
        rows = {key: archive[key] for key in ("feats", "video_id", "step_id", "start")}
    return name, rows, module.annotations, source


@pytest.mark.parametrize("horizon", [3, 4])
def test_captaincook4d_windows_are_the_golden_ones(cooking, golden, horizon: int):
    name, _, annotations, _ = cooking
    column = f"{name}_T{horizon}"
    keys = np.array([int(step.key) for step in annotations.vocabulary.steps])
    assert (keys == golden[f"{column}_class_step_ids"]).all()
    for split in ("train", "val", "test"):
        windows = PlanningWindows(horizon)(annotations, split)
        ours = sorted(
            (w.video, int(w.sample_id.split(":")[1].split("+")[0]), *keys[list(w.steps)].tolist()) for w in windows
        )
        parts = (golden[f"{column}_{split}_{part}"].tolist() for part in ("video_id", "start_index", "step_ids"))
        assert ours == sorted((video, first, *steps) for video, first, steps in zip(*parts, strict=True))
    counts = np.zeros((len(keys), len(keys)), np.int32)
    for video in annotations.of_split("train"):
        for first, second in pairwise(video.segments):
            counts[first.step, second.step] += 1
    assert (counts == golden[f"{column}_transition_counts"]).all()


def test_captaincook4d_observations_are_those_of_the_protocol(cooking, shared: Path):
    name, rows, annotations, source = cooking
    windows = PlanningWindows(3)(annotations, "test")
    kept, start, goal = source.observe(windows, shared / "data/captaincook4d")
    assert kept == windows
    features = rows["feats"].astype(np.float32)
    for i in range(0, len(windows), 7):
        of_video = np.flatnonzero(rows["video_id"] == windows[i].video)
        order = of_video[np.argsort(rows["start"][of_video], kind="stable")]
        first = int(windows[i].sample_id.split(":")[1].split("+")[0])
        before, after = features[order[first]], features[order[first + 2]]
        expected = (before[1:4].mean(0), after[6:9].mean(0)) if name == "pe" else (before, after)
        np.testing.assert_allclose(start[i, 0].numpy(), expected[0], rtol=0, atol=1e-5)
        np.testing.assert_allclose(goal[i, 0].numpy(), expected[1], rtol=0, atol=1e-5)


def test_captaincook4d_is_loaded_as_the_benchmark_has_it(shared: Path):
    source = SegmentFeatures("pe_core_step_windows.npz")
    module = CaptainCook4D(str(shared / "data"), PlanningWindows(3), source)
    module.setup()
    assert (module.problem.horizon, module.problem.seconds, module.problem.width) == (3, 1, 768)
    assert len(module.problem.vocabulary.steps) == 116


def test_every_dataset_is_read_from_its_own_folder_too(read_real, shared: Path):
    from leaplan.data.crosstask import read_crosstask

    assert read_crosstask(shared / "data" / "crosstask", "pdpp") == read_real("crosstask", "pdpp")
    assert read_niv(shared / "data" / "niv", "p3iv") == read_real("niv", "p3iv")


def test_captaincook4d_has_a_validation_part_of_its_own(read_real):
    annotations = read_real("captaincook4d", "recordings")
    assert carve_validation(annotations, 0.1, 7) is annotations


@pytest.mark.parametrize("what", ["recordings", "person", "environment"])
def test_captaincook4d_probes_choose_on_training_recordings_and_are_tested_on_all_others(read_real, shared: Path, what):
    path = shared / "data/captaincook4d/data_splits" / f"{what}_data_split_combined.json"
    lists = json.loads(path.read_text())
    carved = carve_validation(read_real("captaincook4d", f"{what}-probe"), 0.1, 7)
    train, val, test = ({video.id for video in carved.of_split(split)} for split in ("train", "val", "test"))
    assert train | val == set(lists["train"])
    assert test == set(lists["val"]) | set(lists["test"])
    assert val
    assert not train & val
    assert not (train | val) & test


def test_p3iv_is_carved_by_video(read_real):
    given = read_real("crosstask", "p3iv")
    carved = carve_validation(given, 0.1, 7)
    assert carved.windows is not None
    assert given.windows is not None
    train, val = ({ref.video for ref in carved.windows[split]} for split in ("train", "val"))
    assert not train & val
    assert len(carved.windows["train"]) + len(carved.windows["val"]) == 9153
    assert carved.windows["test"] == given.windows["test"]


def test_reading_is_quick(shared: Path):
    from time import process_time

    before = process_time()
    read_captaincook4d(shared / "data")
    assert process_time() - before < 1
