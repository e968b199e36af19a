"""Which hand touches what, and when: detected and annotated."""

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from leaplan.errors import DataError
from leaplan.programs.descriptors.contact import AnnotatedContacts, DetectedContacts
from leaplan.programs.evidence import Contact
from leaplan.programs.hand_objects import HandObjects, nearest_thing, read_frames
from leaplan.programs.protobuf import (
    LEFT,
    NO_CONTACT,
    PORTABLE_OBJECT,
    RIGHT,
    SELF_CONTACT,
    STATIONARY_OBJECT,
    Box,
    Detections,
    Hand,
    Thing,
    encode,
)
from leaplan.programs.visor import Named, Visor
from tests.programs.descriptors.made import CLIP, annotation, write_hand_objects, write_visor

NEAR, FAR = Thing(Box(0.4, 0.4, 0.6, 0.6), 0.9), Thing(Box(0.8, 0.8, 1.0, 1.0), 0.9)
HAND = Box(0.1, 0.4, 0.3, 0.6)


def hand(side: int, state: int, score: float = 0.9) -> Hand:
    return Hand(HAND, score, state, (0.3, 0.0), side)


def state_of(frame: int) -> list[Hand]:
    """Right: a portable thing 2.5-4 s (lost for 0.1 s), a fixed one from 5 s. Left: never. Doubtful hands: always."""
    seconds = frame / 60
    state = PORTABLE_OBJECT if 2.5 <= seconds < 4 and not 3.0 <= seconds < 3.1 else NO_CONTACT
    state = STATIONARY_OBJECT if seconds >= 5 else state
    doubtful = hand(LEFT, PORTABLE_OBJECT, 0.4)
    return [hand(RIGHT, state), hand(LEFT, SELF_CONTACT), doubtful, hand(RIGHT, PORTABLE_OBJECT, 0.6)]


@pytest.fixture
def detected(tmp_path: Path) -> Path:
    frames = [Detections("P01_01", number, tuple(state_of(number)), (FAR, NEAR)) for number in range(1, 500)]
    return write_hand_objects(tmp_path / "P01_01.pkl", frames[::-1])  # their order does not matter


class Names:
    """Knows what is in the middle of the picture."""

    def name_at(self, video: str, seconds: float, box: tuple[float, ...]) -> Named:
        return Named("bottle", "milk bottle") if box[0] == pytest.approx(0.4) else Named("", "wrong thing")


def test_contacts_are_told_per_hand_with_short_gaps_closed(detected: Path):
    contacts = DetectedContacts(HandObjects({"P01_01": detected}, per_second=60))
    assert contacts.describe(CLIP) == (
        "0.5-2.0 s: right hand holds something\n3.0-4.0 s: right hand touches something fixed\n"
        "left hand: touches nothing"
    )


def test_the_touched_thing_is_the_one_nearest_to_hand_and_offset_and_namers_name_it(detected: Path):
    contacts = DetectedContacts(HandObjects({"P01_01": detected}), [Names()])
    found = contacts.contacts(CLIP)
    assert [(each.hand, each.object, each.words, each.fixed) for each in found] == [
        ("right", "bottle", "milk bottle", False),
        ("right", "bottle", "milk bottle", True),
    ]
    assert found[0].start == pytest.approx(2.5, abs=0.1)
    assert found[0].stop == pytest.approx(4.0, abs=0.1)
    assert "right hand holds milk bottle" in contacts.describe(CLIP)
    assert nearest_thing(hand(RIGHT, 3), [FAR, NEAR]) == NEAR
    assert nearest_thing(replace(hand(RIGHT, 3), offset=None), [NEAR]) is None
    assert nearest_thing(hand(RIGHT, 3), []) is None


def test_thresholds_are_half_and_half(tmp_path: Path):
    doubtful = replace(NEAR, score=0.49)
    frames = [Detections("P01_01", n, (hand(RIGHT, PORTABLE_OBJECT, 0.5),), (doubtful, FAR)) for n in range(120, 240)]
    path = write_hand_objects(tmp_path / "P01_01.pkl", frames)
    [contact] = DetectedContacts(HandObjects({"P01_01": path}), [Names()]).contacts(CLIP)
    assert contact.object == "wrong thing"
    [contact] = DetectedContacts(HandObjects({"P01_01": path}), [Names()], thing=0.4).contacts(CLIP)
    assert contact.object == "bottle"
    strict = DetectedContacts(HandObjects({"P01_01": path}), hand=0.6)
    assert strict.describe(CLIP) == "no hand in sight"


def test_a_video_of_50_frames_a_second_is_read_as_such(tmp_path: Path):
    frames = [Detections("P01_101", n, (hand(LEFT, PORTABLE_OBJECT),)) for n in range(150, 250)]
    path = write_hand_objects(tmp_path / "P01_101.pkl", frames)
    [contact] = DetectedContacts(HandObjects({"P01_101": path})).contacts(replace(CLIP, video="P01_101"))
    assert (contact.start, contact.stop) == (pytest.approx(3.0), pytest.approx(5.0, abs=0.1))


def test_a_single_frame_of_contact_is_noise(tmp_path: Path):
    frames = [
        Detections("P01_01", n, (hand(LEFT, PORTABLE_OBJECT if n == 200 else NO_CONTACT),)) for n in range(120, 360)
    ]
    path = write_hand_objects(tmp_path / "P01_01.pkl", frames)
    assert DetectedContacts(HandObjects({"P01_01": path}, 60)).describe(CLIP) == "left hand: touches nothing"


def test_videos_without_a_file_and_clips_without_a_frame_have_no_text(detected: Path):
    contacts = DetectedContacts(HandObjects({"P01_01": detected}))
    assert contacts.describe(replace(CLIP, video="P02_01")) == ""
    assert contacts.describe(replace(CLIP, start=50.0, stop=60.0)) == ""


def test_a_video_is_read_once_for_many_clips(detected: Path):
    contacts = DetectedContacts(HandObjects({"P01_01": detected}))
    text = contacts.describe(CLIP)
    detected.unlink()
    assert contacts.describe(CLIP) == text != ""


def test_a_truncated_message_is_told_with_file_and_frame(tmp_path: Path):
    good = encode(Detections("P01_01", 150, (hand(LEFT, PORTABLE_OBJECT),)))
    path = tmp_path / "P01_01.pkl"
    path.write_bytes(pickle.dumps([good, good[:-3]]))
    with pytest.raises(DataError, match=r"P01_01.pkl: detections of frame 150 are damaged \(truncated"):
        DetectedContacts(HandObjects({"P01_01": path}, per_second=60)).describe(CLIP)
    path.write_bytes(pickle.dumps([good, good[:4]]))
    with pytest.raises(DataError, match="entry 1 is no detection message"):
        read_frames(path)


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_hostile_pickle_an_empty_file_and_a_cut_one_are_told(tmp_path: Path, detected: Path):
    path = tmp_path / "P02_01.pkl"
    for content in (pickle.dumps([Hostile(tmp_path / "trap")]), b"", detected.read_bytes()[:-9]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="no pickled list of byte strings"):
            read_frames(path)
    assert not (tmp_path / "trap").exists()
    path.write_bytes(pickle.dumps([]))
    assert DetectedContacts(HandObjects({"P02_01": path})).describe(replace(CLIP, video="P02_01")) == ""


def test_annotated_contacts_are_joined_over_frames_that_agree(tmp_path: Path):
    def frame(left: str, right: str) -> list[dict[str, object]]:
        return [
            annotation("k", "bread knife", 3),
            annotation("l", "left hand", 300, in_contact_object=left),
            annotation("r", "right hand", 301, in_contact_object=right),
        ]

    path = write_visor(
        tmp_path / "P01_01.json",
        {
            150: frame("hand-not-in-contact", "k"),
            180: frame("hand-not-in-contact", "k"),
            240: frame("none-of-the-above", "gone"),
            300: frame("inconclusive", "inconclusive"),
        },
    )
    contacts = AnnotatedContacts(Visor({"P01_01": path}, ("tap", "pan", "pot", "knife")))
    assert contacts.describe(CLIP) == (
        "0.0-1.5 s: left hand touches nothing\n0.0-1.5 s: right hand holds bread knife\n"
        "1.5-2.5 s: left hand holds something\n1.5-2.5 s: right hand holds something"
    )
    assert contacts.contacts(CLIP)[0] == Contact("right", "knife", 2.0, 3.5, False, "bread knife")
    assert len(contacts.contacts(CLIP)) == 3


def test_gloves_speak_for_the_hand_that_wears_them(tmp_path: Path):
    glove = annotation("g", "glove", 60, in_contact_object="p", on_which_hand="right hand")
    both = annotation("h", "oven glove", 60, in_contact_object="p", on_which_hand="both hands")
    frames = {150: [glove, annotation("p", "pan", 5)], 300: [both, annotation("p", "pot", 5)]}
    path = write_visor(tmp_path / "P01_01.json", frames)
    found = AnnotatedContacts(Visor({"P01_01": path})).contacts(CLIP)
    assert [(each.hand, each.object) for each in found] == [("right", "pan"), ("left", "pot"), ("right", "pot")]


def test_annotations_without_contact_fields_say_nothing_about_hands(tmp_path: Path):
    path = write_visor(
        tmp_path / "P01_01.json", {150: [annotation("l", "left hand", 300), annotation("k", "knife", 3)]}
    )
    contacts = AnnotatedContacts(Visor({"P01_01": path}))
    assert (contacts.describe(CLIP), contacts.contacts(CLIP)) == ("", ())
    path.write_text(json.dumps({"video_annotations": []}))
    assert AnnotatedContacts(Visor({"P01_01": path})).describe(CLIP) == ""
