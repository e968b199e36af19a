"""EPIC-KITCHENS' hand-object detections on the wire: five message types of proto3, read and written without protobuf.

The schema is that of epic-kitchens-100-hand-object-bboxes, package `model.detections`. Fields that are equal to
0 are left out on the wire; fields that are not in the schema are skipped.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

NO_CONTACT, SELF_CONTACT, ANOTHER_PERSON, PORTABLE_OBJECT, STATIONARY_OBJECT = range(5)  # HandState
LEFT, RIGHT = range(2)  # HandSide

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # wire types
_FLOAT = struct.Struct("<f")
_NOTHING = _FLOAT.pack(0.0)
_WHOLE = {count: struct.Struct("<" + "xf" * count) for count in (2, 4)}  # float fields in order, tags skipped
_TAGS = bytes(number << 3 | _FIXED32 for number in (1, 2, 3, 4))


class ProtobufError(ValueError):
    """Bytes that are no message of this schema; the message tells what is wrong and at which byte."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, from 0 (left, top) to 1 (right, bottom) of the picture."""

    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0

    @property
    def center(self) -> tuple[float, float]:
        """The middle (x, y)."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


@dataclass(frozen=True, slots=True)
class Hand:
    """A hand: where, how sure, what it touches (`state`), where that is from its centre, and which hand."""

    box: Box | None = None
    score: float = 0.0
    state: int = NO_CONTACT
    offset: tuple[float, float] | None = None
    side: int = LEFT


@dataclass(frozen=True, slots=True)
class Thing:
    """An object that a hand may touch; its class is not known."""

    box: Box | None = None
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Detections:
    """Everything detected in one frame."""

    video: str = ""
    frame: int = 0
    hands: tuple[Hand, ...] = ()
    things: tuple[Thing, ...] = ()


def decode(data: bytes) -> Detections:
    """Return the detections of one frame.

    Raises:
        ProtobufError: Truncated, or not a message of this type.
    """
    video, frame = b"", 0
    hands: list[Hand] = []
    things: list[Thing] = []
    for number, wire, value in _fields(data):
        match number, wire:
            case 1, 2:
                video = value
            case 2, 0:
                frame = _int32(value)
            case 3, 2:
                hands.append(_hand(value))
            case 4, 2:
                box, score = _box_and_score(value)
                things.append(Thing(_box(box), score))
            case ((1 | 2 | 3 | 4), _):
                raise ProtobufError(f"field {number} of Detections has wire type {wire}")
    try:
        return Detections(video.decode("utf-8"), frame, tuple(hands), tuple(things))
    except UnicodeDecodeError:
        raise ProtobufError("video_id is not UTF-8") from None


def frame_of(data: bytes) -> int:
    """Return the frame number of one frame's detections, without reading the rest where it comes first.

    Raises:
        ProtobufError: Truncated, or not a message of this type.
    """
    for number, wire, value in _fields(data):
        if number == 2 and wire == _VARINT:
            return _int32(value)
        if number > 2:
            break
    return decode(data).frame


def encode(detections: Detections) -> bytes:
    """Return the bytes that the protobuf runtime would write for `detections`."""
    content = _bytes(1, detections.video.encode("utf-8")) if detections.video else b""
    content += _number(2, detections.frame)
    content += b"".join(_bytes(3, _encode_hand(hand)) for hand in detections.hands)
    return content + b"".join(_bytes(4, _encode_thing(thing)) for thing in detections.things)


def _fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Yield (field number, wire type, value); fixed-width values as their bytes."""
    position, end = 0, len(data)
    while position < end:
        tag = data[position]
        if tag < 0x80:
            position += 1
        else:
            tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if not number:
            raise ProtobufError(f"field 0 at byte {position}")
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield number, wire, value
            continue
        if wire == _LENGTH:
            length = data[position] if position < end else 0x80
            if length < 0x80:
                position += 1
            else:
                length, position = _varint(data, position)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ProtobufError(f"wire type {wire} at byte {position} (field {number})")
        if length > end - position:
            raise ProtobufError(f"truncated: field {number} needs {length} bytes, {end - position} are left")
        yield number, wire, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the number at `position` and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ProtobufError("truncated in a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
    raise ProtobufError(f"a number of more than 10 bytes ends at byte {position}")


def _int32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def _floats(data: bytes, count: int) -> list[float]:
    """Return the fields 1 to `count` of a message that holds floats only."""
    whole = _WHOLE[count]
    if len(data) == whole.size and data[::5] == _TAGS[:count]:  # nearly always: no field is 0
        return list(whole.unpack(data))
    values = [0.0] * count
    for number, wire, value in _fields(data):
        if number <= count:
            values[number - 1] = _float(number, wire, value)
    return values


def _float(number: int, wire: int, value: bytes) -> float:
    if wire != _FIXED32:
        raise ProtobufError(f"field {number} has wire type {wire}, not that of a float")
    return _FLOAT.unpack(value)[0]


def _box(data: bytes | None) -> Box | None:
    return None if data is None else Box(*_floats(data, 4))


def _box_and_score(data: bytes) -> tuple[bytes | None, float]:
    """Return the fields 1 and 2 that hands and things share; a message given twice is merged by joining both."""
    box, score = None, 0.0
    for number, wire, value in _fields(data):
        if number == 1:
            box = _message(number, wire, value, box)
        elif number == 2:
            score = _float(number, wire, value)
    return box, score


def _message(number: int, wire: int, value: bytes, before: bytes | None) -> bytes:
    if wire != _LENGTH:
        raise ProtobufError(f"field {number} has wire type {wire}, not that of a message")
    return (before or b"") + value


def _hand(data: bytes) -> Hand:
    box: bytes | None = None
    offset: bytes | None = None
    score, state, side = 0.0, NO_CONTACT, LEFT
    for number, wire, value in _fields(data):
        match number, wire:
            case 1, _:
                box = _message(number, wire, value, box)
            case 2, _:
                score = _float(number, wire, value)
            case 3, 0:
                state = _int32(value)
            case 4, _:
                offset = _message(number, wire, value, offset)
            case 5, 0:
                side = _int32(value)
            case ((3 | 5), _):
                raise ProtobufError(f"field {number} of a hand has wire type {wire}")
    shift = None if offset is None else _floats(offset, 2)
    return Hand(_box(box), score, state, None if shift is None else (shift[0], shift[1]), side)


def _encode_hand(hand: Hand) -> bytes:
    content = _encode_box(hand.box) + _encode_floats(2, hand.score) + _number(3, hand.state)
    if hand.offset is not None:
        content += _bytes(4, _encode_floats(1, *hand.offset))
    return content + _number(5, hand.side)


def _encode_thing(thing: Thing) -> bytes:
    return _encode_box(thing.box) + _encode_floats(2, thing.score)


def _encode_box(box: Box | None) -> bytes:
    return b"" if box is None else _bytes(1, _encode_floats(1, box.left, box.top, box.right, box.bottom))


def _encode_floats(first: int, *values: float) -> bytes:
    packed = ((number, _FLOAT.pack(value)) for number, value in enumerate(values, first))
    return b"".join(bytes((number << 3 | _FIXED32,)) + value for number, value in packed if value != _NOTHING)


def _number(field: int, value: int) -> bytes:
    return bytes((field << 3 | _VARINT,)) + _encode_varint(value & 0xFFFFFFFFFFFFFFFF) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    return bytes((field << 3 | _LENGTH,)) + _encode_varint(len(value)) + value


def _encode_varint(value: int) -> bytes:
    content = bytearray()
    while value >= 0x80:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    content.append(value)
    return bytes(content)
