"""Detected and outlined objects: how often, when, where; object arrays are converted without unpickling."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leaplan.errors import DataError, ProblemList
from leaplan.programs.descriptors.objects import DetectedObjects, Detector, OutlinedObjects, read_names
from leaplan.programs.detections import convert_detections, read_detections
from leaplan.programs.visor import Named, Visor, overlap, read_visor
from tests.programs.descriptors.made import CLIP, annotation, write_detections, write_visor

LEFT, RIGHT = (0, 0, 400, 400), (1600, 0, 1900, 400)
NAMES = {3: "knife", 4: "carrot"}


@pytest.fixture
def track(tmp_path: Path) -> Path:
    """Frames 0 to 299 at 30 per second: a knife on the left in 60..89, a carrot in 90..119, and a doubtful one."""
    rows = [(frame, 9, *LEFT, 0.1) for frame in range(300)]
    rows += [(frame, 3, *LEFT, 0.8) for frame in range(60, 90)]
    rows += [(frame, 4, *RIGHT, 0.6) for frame in range(90, 120)]
    return write_detections(tmp_path / "P01_01.npz", sorted(rows, reverse=True))


def test_kinds_are_told_with_times_shares_places_and_scores(track: Path):
    objects = DetectedObjects({"P01_01": track}, Detector(NAMES))
    assert objects.describe(CLIP) == (
        "carrot: 1.0-2.0 s, in 25% of frames, right, score 0.60\nknife: 0.0-1.0 s, in 25% of frames, left, score 0.80"
    )
    assert objects.describe(replace(CLIP, video="P01_02")) == ""
    assert objects.describe(replace(CLIP, start=8.0, stop=9.0)) == ""


def test_ids_may_count_from_1_and_unknown_ones_keep_their_number(track: Path):
    objects = DetectedObjects({"P01_01": track}, Detector({2: "knife"}, offset=1))
    assert [line.partition(":")[0] for line in objects.describe(CLIP).splitlines()] == ["knife", "object 3"]


def test_the_threshold_decides_what_counts(track: Path):
    sloppy = DetectedObjects({"P01_01": track}, Detector(NAMES, threshold=0.05))
    assert "object 9: 0.0-4.0 s, in 100%" in sloppy.describe(CLIP)


def test_times_follow_the_rate_of_the_looked_at_frames(tmp_path: Path, track: Path):
    at60 = DetectedObjects({"P01_01": track}, Detector(NAMES, fps=60.0))
    assert at60.describe(replace(CLIP, start=1.0, stop=2.0)).startswith("carrot: 0.5-1.0 s, in 49% of frames")
    told = write_detections(tmp_path / "P01_02.npz", [(60, 3, *LEFT, 0.9)], fps=60.0, size=np.array([400, 400]))
    assert (read_detections(told).fps, read_detections(told).size) == (60.0, (400, 400))


def test_a_box_is_named_by_the_detection_that_overlaps_it(track: Path):
    objects = DetectedObjects({"P01_01": track}, Detector(NAMES))
    left = (0.0, 0.0, 400 / 1920, 400 / 1080)
    assert objects.name_at("P01_01", 2.5, left) == Named("knife", "knife")
    assert objects.name_at("P01_01", 3.5, left).words == ""
    assert objects.name_at("P01_01", 5.5, left).words == ""
    assert objects.name_at("P02_01", 2.5, left).words == ""


def test_a_video_is_read_once_for_many_clips(track: Path):
    objects = DetectedObjects({"P01_01": track}, Detector(NAMES))
    first = objects.describe(CLIP)
    track.unlink()
    assert objects.describe(CLIP) == first != ""
    assert "carrot" in objects.describe(replace(CLIP, start=3.5))


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"frame": np.zeros(2, np.int32)}, "no array 'detections'"),
        ({"detections": np.zeros((2, 5)), "frame": np.zeros(2, np.int32)}, "not numbers"),
        ({"detections": np.zeros((2, 6)), "frame": np.zeros(3, np.int32)}, "not whole numbers"),
        ({"detections": np.full((1, 6), np.nan), "frame": np.zeros(1, np.int32)}, "not finite"),
        ({"detections": np.array([{}, {}]), "frame": np.zeros(2, np.int32)}, "without unpickling"),
        ({"detections": np.zeros((0, 6)), "frame": np.zeros(0, np.int32), "fps": np.float64(0)}, "0.0 frames"),
    ],
)
def test_arrays_that_do_not_fit_are_told(tmp_path: Path, arrays: dict[str, np.ndarray], fault: str):
    path = tmp_path / "P01_01.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=fault):
        read_detections(path)


def test_damaged_and_empty_files_are_told(tmp_path: Path, track: Path):
    for content in (b"", b"no archive", track.read_bytes()[:200]):
        path = tmp_path / "damaged.npz"
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            read_detections(path)


def object_array(path: Path, frames: list[object], protocol: int) -> Path:
    values = np.empty(len(frames), object)
    values[:] = frames
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(values))
        pickle.dump(values, file, protocol)
    return path


@pytest.mark.parametrize("protocol", range(5))
def test_an_object_array_is_converted_to_the_same_numbers(tmp_path: Path, protocol: int):
    random = np.random.default_rng(1)
    frames = [random.random((count, 6)).astype(np.float32) for count in (2, 0, 3)] + [np.zeros(0, np.float32)]
    npy = object_array(tmp_path / "a.npy", frames, protocol)
    assert convert_detections(npy, tmp_path / "P01_01.npz", fps=50.0) == 5
    track = read_detections(tmp_path / "P01_01.npz")
    assert track.frame.tolist() == [1, 1, 3, 3, 3]
    assert np.array_equal(track.table, np.concatenate(frames[:3]))
    assert track.fps == 50.0


def test_numpys_own_file_of_objects_is_converted(tmp_path: Path):
    frames = np.array([np.arange(6.0)[None], np.arange(12.0).reshape(2, 6)], object)
    np.save(tmp_path / "a.npy", frames, allow_pickle=True)
    assert convert_detections(tmp_path / "a.npy", tmp_path / "b.npz") == 3


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_hostile_object_array_is_refused_and_does_nothing(tmp_path: Path):
    npy = object_array(tmp_path / "a.npy", [np.zeros((1, 6)), Hostile(tmp_path / "trap")], 4)
    with pytest.raises(DataError, match="an entry is no array"):
        convert_detections(npy, tmp_path / "b.npz")
    assert not (tmp_path / "trap").exists()
    assert not (tmp_path / "b.npz").exists()


def test_other_arrays_are_not_converted(tmp_path: Path):
    np.save(tmp_path / "plain.npy", np.zeros((2, 6)))
    cut = object_array(tmp_path / "cut.npy", [np.zeros((9, 6))], 4)
    cut.write_bytes(cut.read_bytes()[:-50])
    (tmp_path / "empty.npy").touch()
    narrow = object_array(tmp_path / "narrow.npy", [np.zeros((2, 5))], 4)
    nested = object_array(tmp_path / "nested.npy", [np.array([None, 1], object)], 4)
    for path in (tmp_path / "plain.npy", cut, tmp_path / "empty.npy", narrow, nested):
        with pytest.raises(DataError, match=path.stem):
            convert_detections(path, tmp_path / "b.npz")


def test_names_of_epic_55_become_keys_of_epic_100(tmp_path: Path):
    old, new = tmp_path / "EPIC_noun_classes.csv", tmp_path / "EPIC_100_noun_classes.csv"
    old.write_text("noun_id,class_key,nouns\n0,pan,['pan']\n1,door,['door']\n2,alarm clock,['alarm clock']\n")
    new.write_text(
        "id,key,instances,category\r\n0,pan,\"['pan', 'door knob']\",c\r\n1,cupboard,\"['door', 'pan']\",c\r\n"
    )
    assert read_names(old) == {0: "pan", 1: "door", 2: "alarm clock"}
    assert read_names(old, new) == {0: "pan", 1: "cupboard", 2: "alarm clock"}
    assert read_names(new) == {0: "pan", 1: "cupboard"}
    old.write_text("noun_id,class_key,nouns\nx,pan,['pan']\n")
    with pytest.raises(ProblemList, match="line 2"):
        read_names(old)


def test_outlined_objects_are_told_by_official_frame_numbers(tmp_path: Path):
    path = write_visor(
        tmp_path / "P01_01.json",
        {
            300: [annotation("c", "carrot", 4, LEFT), annotation("h", "left hand", 300)],
            150: [annotation("a", "carrot", 4, LEFT), annotation("b", "knife", 3, RIGHT)],
            400: [annotation("d", "pan", 5)],
        },
    )
    assert OutlinedObjects(Visor({"P01_01": path})).describe(CLIP) == (
        "carrot: 0.5-3.0 s, outlined in 2 of 2 annotated frames, left\n"
        "knife: 0.5 s, outlined in 1 of 2 annotated frames, right"
    )
    slow = write_visor(tmp_path / "P01_101.json", {150: [annotation("a", "cup", 2)]}, "P01_101")
    assert read_visor(slow)[0].seconds == 3.0


def test_a_box_is_named_by_the_outline_that_overlaps_it(tmp_path: Path):
    frame = [annotation("a", "carrots", 1, LEFT), annotation("h", "right hand", 301, LEFT)]
    path = write_visor(tmp_path / "a.json", {150: frame})
    visor, box = Visor({"P01_01": path}, ("tap", "carrot")), (0.0, 0.0, 0.2, 0.36)
    assert visor.name_at("P01_01", 2.6, box) == Named("carrot", "carrots")
    assert visor.name_at("P01_01", 3.5, box) == Named("", "")
    assert visor.name_at("P01_01", 2.6, (0.5, 0.5, 0.9, 0.9)) == Named("", "")


def test_overlap_is_intersection_over_union():
    assert overlap((0, 0, 2, 1), (1, 0, 3, 1)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (1, 0, 2, 1)) == 0.0


def test_malformed_outlines_are_all_told(tmp_path: Path):
    good = annotation("a", "cup", 2)
    path = write_visor(
        tmp_path / "a.json",
        {
            1: [good],
            2: [{key: value for key, value in good.items() if key != "name"}],
            3: [{**good, "class_id": "cup"}],
            4: [{**good, "segments": [[1, 2]]}],
            5: ["cup"],
        },
    )
    with pytest.raises(ProblemList) as caught:
        read_visor(path)
    assert len(caught.value.problems) == 4
    assert "no field 'name'" in caught.value.problems[0]
    for content, fault in (("", "not JSON"), ("[]", "list"), ("{}", "video_annotations"), ("[" * 99999, "nested|JSON")):
        path.write_text(content)
        with pytest.raises(DataError, match=fault):
            read_visor(path)


def test_an_object_without_polygons_has_no_place(tmp_path: Path):
    path = write_visor(tmp_path / "a.json", {150: [{**annotation("a", "cup", 2), "segments": []}]})
    assert OutlinedObjects(Visor({"P01_01": path})).describe(CLIP) == "cup: 0.5 s, outlined in 1 of 1 annotated frames"
