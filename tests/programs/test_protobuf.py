"""The wire format of hand-object detections: the published vector, round trips, and damage of every kind."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaplan.programs.protobuf import (
    NO_CONTACT,
    PORTABLE_OBJECT,
    RIGHT,
    Box,
    Detections,
    Hand,
    ProtobufError,
    Thing,
    decode,
    encode,
    frame_of,
)

VECTOR = bytes.fromhex(  # written by the protobuf runtime
    "0a065030315f303110ac021a2b0a140d0000803e150000003f1d0000c03e250000403f150000603f1803220a0d0000003e15000080be28011a16"
    "0a0f150000003f1d0000003e250000403f150000003f221b0a140d0000c03e150000803e1d0000003f250000003f150000203f"
)
FOUND = Detections(
    "P01_01",
    300,
    (
        Hand(Box(0.25, 0.5, 0.375, 0.75), 0.875, PORTABLE_OBJECT, (0.125, -0.25), RIGHT),
        Hand(Box(0.0, 0.5, 0.125, 0.75), 0.5, NO_CONTACT, None, 0),
    ),
    (Thing(Box(0.375, 0.25, 0.5, 0.5), 0.625),),
)
FLOATS = st.floats(width=32, allow_nan=False)
BOXES = st.none() | st.builds(Box, FLOATS, FLOATS, FLOATS, FLOATS)
INTS = st.integers(-(2**31), 2**31 - 1)
HANDS = st.builds(Hand, BOXES, FLOATS, INTS, st.none() | st.tuples(FLOATS, FLOATS), INTS)
THINGS = st.builds(Thing, BOXES, FLOATS)
DETECTIONS = st.builds(
    Detections,
    st.text(max_size=12),
    INTS,
    st.lists(HANDS, max_size=3).map(tuple),
    st.lists(THINGS, max_size=3).map(tuple),
)


def test_the_published_vector_is_read_and_written_exactly():
    assert len(VECTOR) == 109
    assert decode(VECTOR) == FOUND
    assert encode(FOUND) == VECTOR


@given(DETECTIONS)
def test_what_is_written_is_read_again(detections: Detections):
    content = encode(detections)
    assert decode(content) == detections
    assert frame_of(content) == detections.frame


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_read_or_refused_in_words(content: bytes):
    with contextlib.suppress(ProtobufError):
        assert isinstance(decode(content), Detections)


def test_a_cut_message_is_refused_unless_the_cut_lies_between_fields():
    whole = {8, 11, 56, 80}  # after video_id, frame_number, either hand
    for length in range(1, len(VECTOR)):
        if length in whole:
            assert decode(VECTOR[:length]).video == "P01_01"
        else:
            with pytest.raises(ProtobufError, match="truncated"):
                decode(VECTOR[:length])


def test_fields_of_a_later_schema_are_skipped():
    later = b"\x7a\x03abc" + b"\x78\x05" + b"\x7d" + struct.pack("<f", 1.0) + b"\x79" + bytes(8)  # field 15, four ways
    assert decode(VECTOR + later) == FOUND


def test_a_message_that_comes_twice_is_merged_and_the_last_number_counts():
    halves = b"\x0a\x05\x0d" + struct.pack("<f", 0.25) + b"\x0a\x05\x1d" + struct.pack("<f", 0.5)
    hand = b"\x1a" + bytes((len(halves),)) + halves
    assert decode(b"\x10\x01\x10\x02" + hand) == Detections("", 2, (Hand(Box(0.25, 0.0, 0.5, 0.0)),))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"\x10" + b"\xff" * 11, "more than 10 bytes"),
        (b"\x03\x01", "field 0"),
        (b"\x13\x01", "wire type 3"),
        (b"\x0d\x00\x00\x00\x00", "wire type 5"),
        (b"\x0a\x01\xff", "UTF-8"),
        (b"\x1a\x02\x10\x01", "not that of a float"),
        (b"\x1a\x02\x08\x01", "not that of a message"),
    ],
)
def test_what_breaks_the_schema_is_told(content: bytes, fault: str):
    with pytest.raises(ProtobufError, match=fault):
        decode(content)


def test_a_frame_number_is_found_behind_other_fields():
    assert frame_of(VECTOR[11:] + VECTOR[:11]) == 300
    assert frame_of(b"") == 0
