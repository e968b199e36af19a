"""EPIC's rows become clips; what is wrong with a file is told with its lines, all at once."""

import gzip
from pathlib import Path

import pytest

from leaplan.epic_release import seconds_of_timestamp
from leaplan.errors import DataError, ProblemList
from leaplan.programs.epic_clips import clips_in, read_clips
from leaplan.programs.evidence import Clip
from leaplan.programs.timeline import Timeline

HEADER = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)
VERBS, NOUNS = ("take", "put"), ("tap", "spoon", "rack:drying")
GOOD = "P01_01_0,P01,P01_01,,00:01:00.50,01:00:02.25,1,2,take spoon,take,0,spoon,1,\"['spoon', 'rack']\",\"[1, 2]\""
BLANK = "P01_101_0,P01,P01_101,,,,100,250,,,1,,2,,"


def write(folder: Path, *rows: str, header: str = HEADER, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def test_a_row_becomes_a_clip(tmp_path: Path):
    clips = read_clips(write(tmp_path, GOOD), VERBS, NOUNS)
    nouns = ("spoon", "rack:drying")
    assert clips == [Clip("P01_01_0", "P01_01", 60.5, 3602.25, "take spoon", "take", "spoon", nouns)]


def test_blank_times_come_from_frames_and_a_row_without_narration_keeps_its_classes(tmp_path: Path):
    blank60 = BLANK.replace("P01_101", "P01_11")
    clips = read_clips(write(tmp_path, BLANK, blank60), VERBS, NOUNS)
    assert clips[0] == Clip("P01_101_0", "P01_101", 2.0, 5.0, "", "put", "rack:drying", ("rack:drying",))
    assert (clips[1].start, clips[1].stop) == (100 / 60, 250 / 60)


def test_all_malformed_rows_are_told_with_their_lines(tmp_path: Path):
    rows = (
        GOOD,
        GOOD.replace("00:01:00.50", "02:01:00.50"),
        GOOD.replace(",0,spoon", ",7,spoon"),
        GOOD.replace(",1,\"['", ",many,\"['"),
        GOOD.replace("[1, 2]", "[1, 300]"),
        GOOD.replace("[1, 2]", "spoon"),
        GOOD.replace("00:01:00.50", "soon"),
        "P01_01_9,P01",
        BLANK.replace("100,250", "250,100"),
    )
    with pytest.raises(ProblemList) as caught:
        read_clips(write(tmp_path, *rows), VERBS, NOUNS)
    assert list(caught.value.problems) == [
        "line 3: starts at 7260.5 s, but stops at 3602.25 s",
        "line 4: verb 7 of 2: no such class",
        'line 5: "many" is no whole number',
        "line 6: noun 300 of 3: no such class",
        'line 7: "spoon" is no list of class ids',
        'line 8: "soon" is no time HH:mm:ss.SS',
        "line 9: 2 columns, expected 15",
        "line 10: starts at 5 s, but stops at 2 s",
    ]


def test_ids_that_occur_twice_are_told(tmp_path: Path):
    with pytest.raises(ProblemList, match="P01_01_0 occurs twice"):
        read_clips(write(tmp_path, GOOD, GOOD), VERBS, NOUNS)


def test_an_empty_file_a_missing_column_and_a_damaged_archive_are_told(tmp_path: Path):
    empty = tmp_path / "empty.csv"
    empty.touch()
    with pytest.raises(DataError, match="the file is empty"):
        read_clips(empty, VERBS, NOUNS)
    with pytest.raises(DataError, match="no column 'noun_class'"):
        read_clips(write(tmp_path, header=HEADER.replace(",noun_class", "")), VERBS, NOUNS)
    assert read_clips(write(tmp_path), VERBS, NOUNS) == []
    damaged = tmp_path / "rows.csv.gz"
    damaged.write_bytes(gzip.compress(b"x" * 1000)[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        read_clips(damaged, VERBS, NOUNS)


@pytest.mark.parametrize("folder", ["", "epic100"])
def test_both_splits_are_found_plain_and_gzipped(tmp_path: Path, folder: str):
    place = tmp_path / folder
    place.mkdir(exist_ok=True)
    write(place, *(f"{number},{key},[],x\r" for number, key in enumerate(VERBS)), header="id,key,instances,category",
          name="EPIC_100_verb_classes.csv")  # fmt: skip
    write(place, *(f"{number},{key},[],x\r" for number, key in enumerate(NOUNS)), header="id,key,instances,category",
          name="EPIC_100_noun_classes.csv")  # fmt: skip
    rows = write(place, BLANK)
    (place / "EPIC_100_train.csv.gz").write_bytes(gzip.compress(rows.read_bytes()))
    write(place, GOOD, name="EPIC_100_validation.csv")
    assert [clip.id for clip in clips_in(tmp_path)] == ["P01_101_0", "P01_01_0"]
    assert [clip.id for clip in clips_in(tmp_path, ["val"])] == ["P01_01_0"]
    with pytest.raises(DataError, match="no split 'test'"):
        clips_in(tmp_path, ["test"])
    (place / "EPIC_100_validation.csv").unlink()
    with pytest.raises(DataError, match=r"has no EPIC_100_validation.csv"):
        clips_in(tmp_path)


def test_seconds_are_computed_as_the_official_frames_were():
    assert int(seconds_of_timestamp("00:04:29.15") * 60) == 16148  # exact decimals would give 16149
    for wrong in ("12", "1:2", "a:b:c", "00:00:nan", "00:00:-4"):
        with pytest.raises(ValueError, match="no time"):
            seconds_of_timestamp(wrong)


def test_a_timeline_finds_long_items_that_began_long_before():
    line = Timeline([(5.0, 6.0, "b"), (0.0, 9.0, "a"), (6.0, 7.0, "c"), (1.0, 2.0, "d")])
    assert [item[2] for item in line.overlapping(5.5, 6.0)] == ["a", "b"]
    assert [item[2] for item in line.overlapping(2.0, 5.0)] == ["a"]
    assert line.overlapping(9.0, 10.0) == []


def test_the_real_annotations_become_clips(shared: Path):
    train, validation = (clips_in(shared / "data", [split]) for split in ("train", "val"))
    assert (len(train), len(validation)) == (67_217, 9_668)
    assert sum(bool(clip.narration) for clip in train) == 52_427
    assert all(clip.verb and clip.noun and clip.nouns for clip in (*train, *validation))
    door = next(clip for clip in train if clip.id == "P01_01_0")
    assert door == Clip("P01_01_0", "P01_01", 0.14, 3.37, "open door", "open", "cupboard", ("cupboard",))
