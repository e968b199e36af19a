"""Pickles read as data: nothing that a pickle names is imported, nothing that it calls is called.

A small reader of pickle's opcodes, protocols 0 to 5. It builds lists, tuples, text, bytes and numbers itself; a
name stays a `Name`, and what would be a call stays a `Call` that callers may look at. So a hostile file can at
worst be refused.
"""

import codecs
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MOST_OPCODES = 50_000_000  # an hour of frames has under one million
_MARK = object()


class PickleError(ValueError):
    """A pickle that is truncated, or holds what data has no need of."""


@dataclass(frozen=True, slots=True)
class Name:
    """What a pickle wants imported, such as "numpy.core.multiarray _reconstruct". It is not."""

    text: str


@dataclass(slots=True)
class Call:
    """What a pickle wants called, and the state to be set on the result. It is not."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


def read_bytes(data: bytes) -> list[bytes]:
    """Return the list of byte strings that `data` is the pickle of; text (from Python 2) becomes Latin-1 bytes.

    Raises:
        PickleError: Truncated, or anything but a list of byte strings.
    """
    value = read(data)
    if not isinstance(value, list):
        raise PickleError(f"the pickle holds {_kind(value)}, not a list")
    for position, each in enumerate(value):
        if isinstance(each, str):
            value[position] = each.encode("latin-1", "replace")
        elif not isinstance(each, bytes):
            raise PickleError(f"entry {position} of the list is {_kind(each)}, not bytes")
    return value


def read(data: bytes) -> Any:
    """Return the value that `data` is the pickle of, with names and calls left as `Name` and `Call`.

    Raises:
        PickleError: Truncated, not a pickle, or with opcodes that plain data has no need of.
    """
    return _Reader(data).read()


def _kind(value: object) -> str:
    if isinstance(value, Name):
        return f"the name {value.text!r}, which is not imported"
    if isinstance(value, Call):
        return f"a call of {value.name!r}, which is not made"
    return f"a {type(value).__name__}"


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def read(self) -> Any:
        data, actions = self.data, _ACTIONS
        for _ in range(MOST_OPCODES):
            if self.position >= len(data):
                raise PickleError("the pickle is truncated: it has no end")
            opcode = data[self.position]
            self.position += 1
            if opcode == 0x2E:  # STOP
                return self.pop()
            action = actions.get(opcode)
            if action is None:
                raise PickleError(f"opcode {bytes((opcode,))!r} at byte {self.position - 1} is not for plain data")
            action(self)
        raise PickleError(f"more than {MOST_OPCODES:,} opcodes")

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        if count > len(self.data) - self.position or count < 0:
            raise PickleError(f"the pickle is truncated: {count} bytes announced at byte {self.position}")
        start = self.position
        self.position += count
        return self.data[start : self.position]

    def number(self, form: struct.Struct) -> Any:
        return form.unpack(self.take(form.size))[0]

    def line(self) -> bytes:
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise PickleError("the pickle is truncated in a line")
        line = self.data[self.position : end]
        self.position = end + 1
        return line

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise PickleError(f"malformed at byte {self.position - 1}: nothing to take")
        return self.stack.pop()

    def top_list(self) -> list[Any]:
        if not self.stack or not isinstance(self.stack[-1], list):
            raise PickleError(f"malformed at byte {self.position - 1}: no list to append to")
        return self.stack[-1]

    def since_mark(self) -> list[Any]:
        stack = self.stack
        for position in range(len(stack) - 1, -1, -1):
            if stack[position] is _MARK:
                values = stack[position + 1 :]
                del stack[position:]
                return values
        raise PickleError(f"malformed at byte {self.position - 1}: no mark")

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(values)))

    def keep(self, key: int) -> None:
        if not self.stack:
            raise PickleError(f"malformed at byte {self.position - 1}: nothing to remember")
        self.memo[key] = self.stack[-1]

    def recall(self, key: int) -> None:
        if key not in self.memo:
            raise PickleError(f"malformed at byte {self.position - 1}: nothing remembered as {key}")
        self.stack.append(self.memo[key])

    def append(self) -> None:
        value = self.pop()
        self.top_list().append(value)

    def extend(self) -> None:
        values = self.since_mark()
        self.top_list().extend(values)

    def name(self, module: object, name: object) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise PickleError(f"malformed at byte {self.position - 1}: a name that is no text")
        self.stack.append(Name(f"{module} {name}"))

    def stacked_name(self) -> None:
        name = self.pop()
        self.name(self.pop(), name)

    def call(self) -> None:
        arguments, name = self.pop(), self.pop()
        if not (isinstance(name, Name) and isinstance(arguments, tuple)):
            raise PickleError(f"malformed at byte {self.position - 1}: no name to call")
        made = _encoded(name.text, arguments)
        self.stack.append(Call(name.text, arguments) if made is None else made)

    def build(self) -> None:
        state = self.pop()
        if not self.stack or not isinstance(self.stack[-1], Call):
            raise PickleError(f"malformed at byte {self.position - 1}: a state for what has none")
        self.stack[-1].state = state


def _encoded(name: str, arguments: tuple[Any, ...]) -> bytes | None:
    """Return the bytes that Python 3 writes as a call in protocols 0 to 2, made here; None for any other call."""
    if name == "_codecs encode" and len(arguments) == 2 and arguments[1] == "latin1" and isinstance(arguments[0], str):
        try:
            return arguments[0].encode("latin-1")
        except UnicodeEncodeError:
            raise PickleError("bytes with characters beyond Latin-1") from None
    if name in ("__builtin__ bytes", "builtins bytes") and not arguments:
        return b""
    return None


def _quoted(line: bytes) -> bytes:
    """Return the byte string that protocol 0 writes in quotes."""
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise PickleError("malformed: a text without quotes")
    try:
        return codecs.escape_decode(line[1:-1])[0]  # type: ignore[attr-defined]
    except ValueError as error:
        raise PickleError(f"malformed: {error}") from None


def _text(content: bytes, coding: str = "utf-8") -> str:
    try:
        return content.decode(coding, "surrogatepass" if coding == "utf-8" else "strict")
    except UnicodeDecodeError as error:
        raise PickleError(f"malformed text: {error.reason}") from None


def _plain_number(line: bytes) -> int | bool:
    if line in (b"00", b"01"):
        return line == b"01"
    if len(line) > 40:
        raise PickleError("a number of more than 40 digits")
    try:
        return int(line.rstrip(b"L"))
    except ValueError:
        raise PickleError(f"malformed number {line[:20]!r}") from None


def _plain_float(line: bytes) -> float:
    try:
        return float(line[:40])
    except ValueError:
        raise PickleError(f"malformed number {line[:20]!r}") from None


_BYTE, _SHORT, _INT, _LENGTH, _LONG, _DOUBLE = (struct.Struct(form) for form in ("<B", "<H", "<i", "<I", "<Q", ">d"))
Action = Callable[[_Reader], object]


def _push(make: Callable[[_Reader], Any]) -> Action:
    return lambda reader: reader.stack.append(make(reader))


def _sized(length: struct.Struct, make: Callable[[bytes], Any]) -> Action:
    return lambda reader: reader.stack.append(make(reader.take(reader.number(length))))


_ACTIONS: dict[int, Action] = {
    ord(opcode): action
    for opcode, action in {
        "\x80": lambda r: r.number(_BYTE),  # PROTO
        "\x95": lambda r: r.number(_LONG),  # FRAME
        "]": _push(lambda r: []),
        ")": _push(lambda r: ()),
        "(": _push(lambda r: _MARK),
        "l": lambda r: r.stack.append(r.since_mark()),
        "t": lambda r: r.stack.append(tuple(r.since_mark())),
        "\x85": lambda r: r.tuple_of(1),
        "\x86": lambda r: r.tuple_of(2),
        "\x87": lambda r: r.tuple_of(3),
        "a": _Reader.append,
        "e": _Reader.extend,
        "B": _sized(_LENGTH, bytes),
        "C": _sized(_BYTE, bytes),
        "\x8e": _sized(_LONG, bytes),
        "\x96": _sized(_LONG, bytes),  # BYTEARRAY8
        "T": _sized(_INT, bytes),  # BINSTRING and SHORT_BINSTRING: str of Python 2
        "U": _sized(_BYTE, bytes),
        "S": _push(lambda r: _quoted(r.line())),
        "X": _sized(_LENGTH, _text),
        "\x8c": _sized(_BYTE, _text),
        "\x8d": _sized(_LONG, _text),
        "V": _push(lambda r: _text(r.line(), "raw-unicode-escape")),
        "N": _push(lambda r: None),
        "\x88": _push(lambda r: True),
        "\x89": _push(lambda r: False),
        "K": _push(lambda r: r.number(_BYTE)),
        "M": _push(lambda r: r.number(_SHORT)),
        "J": _push(lambda r: r.number(_INT)),
        "I": _push(lambda r: _plain_number(r.line())),
        "L": _push(lambda r: _plain_number(r.line())),
        "\x8a": _sized(_BYTE, lambda content: int.from_bytes(content, "little", signed=True)),
        "F": _push(lambda r: _plain_float(r.line())),
        "G": _push(lambda r: r.number(_DOUBLE)),
        "\x94": lambda r: r.keep(len(r.memo)),
        "q": lambda r: r.keep(r.number(_BYTE)),
        "r": lambda r: r.keep(r.number(_LENGTH)),
        "p": lambda r: r.keep(int(_plain_number(r.line()))),
        "h": lambda r: r.recall(r.number(_BYTE)),
        "j": lambda r: r.recall(r.number(_LENGTH)),
        "g": lambda r: r.recall(int(_plain_number(r.line()))),
        "c": lambda r: r.name(_text(r.line()), _text(r.line())),
        "\x93": _Reader.stacked_name,
        "R": _Reader.call,
        "b": _Reader.build,
    }.items()
}
