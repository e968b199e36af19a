"""The synthetic kitchen's evidence as clips and descriptions, without a word of the true programs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leaplan.errors import DataError, ProblemList
from leaplan.programs.descriptors import descriptors_in
from leaplan.programs.evidence import Assembler, Clip, Contact
from leaplan.programs.kitchen_evidence import read_clips


def sub_action(start: float, stop: float) -> dict[str, Any]:
    return {"start": start, "stop": stop, "verb": "secret", "first": "secret", "before": ["secret"], "after": []}


DOCUMENT: dict[str, Any] = {
    "video": "P01_1",
    "frame": {"width": 160, "height": 120, "rate": 10},
    "narrations": [
        {"segment": "P01_1_00", "time": 1.2, "text": "rinse tomato", "verb": "wash", "noun": "tomato"},
        {"segment": "P01_1_01", "time": 3.0, "text": "slice tomato", "verb": "cut", "noun": "tomato"},
    ],
    "sounds": [{"start": 0.5, "stop": 1.5, "class": "water"}, {"start": 2.0, "stop": 9.0, "class": "sizzle"}],
    "contacts": [
        {"start": 1.2, "stop": 2.6, "hand": "right", "object": "tap"},
        {"start": 0.2, "stop": 2.0, "hand": "left", "object": "tomato"},
    ],
    "camera": [{"time": 1.0, "x": 0, "y": 0}, {"time": 1.5, "x": 16, "y": 0}, {"time": 2.0, "x": 0, "y": 0}],
    "boxes": [
        {"time": 1.0, "boxes": {"tomato": [0, 0, 20, 20], "left hand": [0, 0, 9, 9], "pan": [70, 0, 90, 9]}},
        {"time": 1.5, "boxes": {"tomato": [140, 0, 160, 20]}},
        {"time": 9.5, "boxes": {"board": [0, 0, 1, 1]}},
    ],
    "facts": ["secret(x)"],
    "programs": [
        {"segment": "P01_1_00", "step": 0, "sub_actions": [sub_action(1.0, 1.2), sub_action(1.2, 2.5)]},
        {"segment": "P01_1_01", "step": 1, "sub_actions": [sub_action(2.75, 4.5)]},
    ],
}
WASH = Clip("P01_1_00", "P01_1", 1.0, 2.5, "rinse tomato", "wash", "tomato", ("tomato",))


def write(folder: Path, document: dict[str, Any], video: str = "P01_1") -> Path:
    (folder / "evidence").mkdir(exist_ok=True)
    (folder / "evidence" / f"{video}.json").write_text(json.dumps(document))
    return folder


def test_segments_become_clips_from_their_first_sub_action_to_their_last(tmp_path: Path):
    assert read_clips(write(tmp_path, DOCUMENT)) == (
        WASH,
        Clip("P01_1_01", "P01_1", 2.75, 4.5, "slice tomato", "cut", "tomato", ("tomato",)),
    )


def test_all_five_sections_are_there_and_the_truth_is_not(tmp_path: Path):
    evidence = Assembler(descriptors_in(write(tmp_path, DOCUMENT))).evidence(WASH)
    assert evidence.text() == (
        "Length of the clip: 1.5 s\n\n"
        'Narration:\nsaid: "rinse tomato"\nverb: wash\nnoun: tomato\nafter (from 1.8 to 3.5 s): "slice tomato"\n\n'
        "Sounds:\n0.0-0.5 s: water\n1.0-1.5 s: sizzle\n\n"
        "Objects seen:\ntomato: 0.0-0.5 s, in 100% of frames, middle\npan: 0.0 s, in 50% of frames, middle\n\n"
        "Hands:\n0.0-1.0 s: left hand holds tomato\n0.2-1.5 s: right hand holds tap\n\n"
        "Camera:\npath 0.20 picture widths, 0.00 from start to end"
    )


def test_contacts_are_cut_to_the_clip_and_sorted(tmp_path: Path):
    assembler = Assembler(descriptors_in(write(tmp_path, DOCUMENT)))
    assert assembler.contacts(WASH) == (Contact("left", "tomato", 1.0, 2.0), Contact("right", "tap", 1.2, 2.5))
    assert assembler.contacts(replace(WASH, video="P09_9")) == ()


def test_a_video_without_a_file_leaves_only_what_the_clip_says(tmp_path: Path):
    evidence = Assembler(descriptors_in(write(tmp_path, DOCUMENT))).evidence(replace(WASH, video="P09_9"))
    assert [section.name for section in evidence.sections] == ["narration"]


def test_malformed_segments_are_all_told(tmp_path: Path):
    programs = [
        {"segment": "P01_1_00", "sub_actions": []},
        {"segment": "P01_1_01", "sub_actions": [sub_action(4.0, 3.0)]},
        {"segment": "P01_1_07", "sub_actions": [sub_action(3.0, 4.0)]},
        {"sub_actions": [sub_action(3.0, 4.0)]},
    ]
    with pytest.raises(ProblemList) as caught:
        read_clips(write(tmp_path, {**DOCUMENT, "programs": programs}))
    assert len(caught.value.problems) == 4
    assert "starts at 4 s, but stops at 3 s" in caught.value.problems[1]


def test_files_of_another_kind_are_told(tmp_path: Path):
    with pytest.raises(DataError, match="no evidence"):
        read_clips(tmp_path)
    write(tmp_path, {"programs": []})
    with pytest.raises(DataError, match="no evidence of the synthetic kitchen"):
        Assembler(descriptors_in(tmp_path)).evidence(WASH)
