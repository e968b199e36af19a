"""Pickles are data: lists of bytes of every protocol are read, nothing is ever imported or called."""

import contextlib
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaplan.programs.pickled_bytes import Call, PickleError, read, read_bytes


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@given(values=st.lists(st.binary(max_size=300), max_size=20))
def test_lists_of_bytes_of_every_protocol_are_read(protocol: int, values: list[bytes]):
    assert read_bytes(pickle.dumps(values, protocol)) == values


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_long_entries_and_repeated_ones_are_read(protocol: int):
    same = b"x" * 70_000
    values = [same, b"", same, *(bytes((number % 256,)) * 3 for number in range(3000))]
    assert read_bytes(pickle.dumps(values, protocol)) == values


@given(st.lists(st.text(alphabet=st.characters(max_codepoint=255), max_size=30), max_size=5), st.integers(0, 5))
def test_text_becomes_latin_1_bytes(values: list[str], protocol: int):
    assert read_bytes(pickle.dumps(values, protocol)) == [value.encode("latin-1") for value in values]


def test_strings_of_python_2_are_read():
    assert read_bytes(b"(lp0\nS'a\\x00b'\np1\naS\"it's\"\np2\na.") == [b"a\x00b", b"it's"]
    assert read_bytes(b"\x80\x02]q\x00(U\x03\xffabq\x01T\x02\x00\x00\x00cdq\x02e.") == [b"\xffab", b"cd"]


PLAIN = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text()


@given(st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner)), st.integers(0, 5))
def test_plain_values_are_read_as_pickle_reads_them(value: object, protocol: int):
    assert read(pickle.dumps(value, protocol)) == value


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_hostile_pickle_is_refused_and_does_nothing(protocol: int, tmp_path: Path):
    trap = tmp_path / "trap"
    content = pickle.dumps([b"frame", Hostile(trap)], protocol)
    with pytest.raises(PickleError, match=r"entry 1 .*mkdir.*not made"):
        read_bytes(content)
    assert not trap.exists()
    pickle.loads(content)  # the trap is a real one
    assert trap.exists()


def test_calls_are_left_for_callers_to_look_at():
    value = read(pickle.dumps(Hostile(Path("x")), 2))
    assert isinstance(value, Call)
    assert (value.name.split()[-1], value.arguments) == ("mkdir", ("x",))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x80\x04]\x94.trailing"[:4],
        b"(i__builtin__\neval\n.",  # INST
        b"Pevil\n.",  # PERSID
        b"\x82\x01.",  # EXT1
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # bytes that are not there
        b"T\xff\xff\xff\xff.",  # of negative length
        b"a.",
        b"]a.",
        b"e.",
        b"h\x07.",
        b"\x94.",
        b"}.",
        b"]R.",
        b"]]b.",
        b"Inan\n.",
        b"Sunquoted\n.",
    ],
)
def test_broken_pickles_are_refused_in_words(content: bytes):
    with pytest.raises(PickleError):
        read_bytes(content)


@given(st.binary(max_size=40))
def test_arbitrary_bytes_are_read_or_refused(content: bytes):
    with contextlib.suppress(PickleError):
        read(content)


@pytest.mark.parametrize("value", [b"no list", [1], [[b"nested"]], None])
def test_only_lists_of_byte_strings_are_taken(value: object):
    with pytest.raises(PickleError, match="not"):
        read_bytes(pickle.dumps(value, 4))
