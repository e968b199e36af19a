"""Sound events of EPIC-SOUNDS: classes where there are some, the annotators' words where there are none."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from leaplan.errors import DataError, ProblemList
from leaplan.programs.descriptors.audio import Audio, read_sounds
from tests.programs.descriptors.made import CLIP

HEADER = "annotation_id,participant_id,video_id,start_timestamp,stop_timestamp,start_sample,stop_sample,description"
ROW = "P01_01_0,P01,P01_01,00:00:02.400,00:00:03.200,57600,76800,clang / clatter"


def write(path: Path, *rows: str, header: str = HEADER) -> Path:
    path.write_text("\n".join((header, *rows)) + "\n")
    return path


def test_events_are_told_in_order_with_class_and_words(tmp_path: Path):
    path = write(
        tmp_path / "a.csv",
        "1,P01,P01_01,00:00:05.500,00:00:09.000,0,0,running tap,water,16",
        f"{ROW},metal-only collision,0",
        "2,P01,P01_01,00:00:01.000,00:00:02.100,0,0,water,water,16",
        "3,P01,P01_01,00:00:06.000,00:00:07.000,0,0,later,water,16",
        "4,P01,P01_02,00:00:02.000,00:00:07.000,0,0,elsewhere,water,16",
        header=f"{HEADER},class,class_id",
    )
    assert Audio.from_files([path]).describe(CLIP) == (
        "0.0-0.1 s: water\n0.4-1.2 s: metal-only collision (clang / clatter)\n3.5-4.0 s: water (running tap)"
    )


def test_files_without_classes_are_read_plain_and_gzipped_and_put_together(tmp_path: Path):
    plain = write(tmp_path / "a.csv", ROW)
    packed = tmp_path / "b.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes().replace(b"clang / clatter", b"hiss")))
    audio = Audio.from_files([plain, packed])
    assert (audio.count, audio.describe(CLIP)) == (2, "0.4-1.2 s: clang / clatter\n0.4-1.2 s: hiss")


def test_events_without_any_label_are_left_out(tmp_path: Path):
    path = write(tmp_path / "a.csv", ROW.rpartition(",")[0], header=HEADER.rpartition(",")[0])
    assert read_sounds(path) == []
    assert Audio.from_files([path]).describe(CLIP) == ""


def test_malformed_rows_and_reversed_times_are_all_told(tmp_path: Path):
    path = write(
        tmp_path / "a.csv", ROW, ROW.replace("03.200", "01.200"), "P01_01_1,P01", ROW.replace("00:00:02.400", "x"), ROW
    )
    with pytest.raises(ProblemList) as caught:
        read_sounds(path)
    assert list(caught.value.problems) == [
        "line 3: starts at 2.4 s, but stops at 1.2 s",
        "line 4: 2 columns, expected 8",
        'line 5: "x" is no time HH:mm:ss.SS',
    ]


def test_an_empty_file_is_told_and_a_header_alone_is_silence(tmp_path: Path):
    with pytest.raises(DataError, match="the file is empty"):
        read_sounds(write(tmp_path / "a.csv", header=""))
    assert Audio.from_files([write(tmp_path / "b.csv")]).describe(CLIP) == ""


def test_many_events_are_cut_and_counted(tmp_path: Path):
    audio = Audio.from_files([write(tmp_path / "a.csv", *[ROW] * 5)], most=2)
    assert audio.describe(CLIP).splitlines()[2:] == ["... and 3 more sounds"]
    assert audio.describe(replace(CLIP, video="P09_09")) == ""
