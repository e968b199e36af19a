"""The JSON form of programs: what language models answer with, and what files keep.

A program is `{"program": "open", "arguments": ["door"], "objects": [], "assume": [], "body": [...]}`; statements
are told apart by their first key, conditions are strings in the syntax of the text form (docs/programs.md).
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from leaplan.programs.answer import object_in
from leaplan.programs.json_schema import schema
from leaplan.programs.language import (
    HANDS,
    LEAP,
    NONE,
    Body,
    Condition,
    ForEach,
    If,
    Language,
    Program,
    Repeat,
    Statement,
    SubAction,
    While,
)
from leaplan.programs.lex import ProgramError, shorten, together
from leaplan.programs.parse import parse_condition
from leaplan.programs.render import condition_text
from leaplan.programs.words import DEPTH, FAULTS, ITEMS, STATEMENTS, TIMES, Words, tidy, unknown

__all__ = ["dumps", "from_json", "loads", "schema", "to_json"]

Item = TypeVar("Item")

#: Keys of each kind of object: those that must be there, and those that need not.
PROGRAM_KEYS = (("program", "body"), ("arguments", "objects", "assume"))
STATEMENT_KEYS = {
    "do": (("do",), ("a", "b", "hand", "pre", "post")),
    "repeat": (("repeat", "body"), ()),
    "while": (("while", "most", "body"), ()),
    "if": (("if", "then"), ("else",)),
    "each": (("each", "in", "body"), ()),
}


def to_json(program: Program) -> dict[str, Any]:
    """Return the JSON form, ready for `json.dumps`."""
    return {
        "program": program.verb,
        "arguments": list(program.arguments),
        "objects": list(program.objects),
        "assume": _texts(program.assumes),
        "body": _body(program.body),
    }


def dumps(program: Program) -> str:
    """Return the JSON form as text without spaces, the cheapest for prompts and files."""
    return json.dumps(to_json(program), ensure_ascii=False, separators=(",", ":"))


def _texts(conditions: tuple[Condition, ...]) -> list[str]:
    return [condition_text(condition) for condition in conditions]


def _body(body: Body) -> list[dict[str, Any]]:
    return [_statement(statement) for statement in body]


def _statement(statement: Statement) -> dict[str, Any]:
    match statement:
        case SubAction(verb, first, second, hand, before, after):
            words = {"do": verb, "a": first, "b": second, "hand": hand}
            return {**words, "pre": _texts(before), "post": _texts(after)}
        case Repeat(times, body):
            return {"repeat": times, "body": _body(body)}
        case While(condition, most, body):
            return {"while": condition_text(condition), "most": most, "body": _body(body)}
        case If(condition, then, otherwise):
            return {"if": condition_text(condition), "then": _body(then), "else": _body(otherwise)}
        case ForEach(variable, objects, body):
            return {"each": variable, "in": list(objects), "body": _body(body)}
    raise TypeError(f"no statement: {type(statement).__name__}")


def loads(text: str, language: Language = LEAP) -> Program:
    """Return the program in the answer of a language model: JSON, bare, in a Markdown fence, or amid prose.

    Raises:
        ProgramError: There is no whole JSON object, or it is no program. The message suits as a reply to the model.
    """
    return from_json(object_in(text, "body"), language)


def from_json(value: object, language: Language = LEAP) -> Program:
    """Return the program whose JSON form is `value`, as `json.loads` returns it.

    Keys of empty lists, "b" and "hand" may be left out; synonyms and opposites become the words they stand for.

    Raises:
        ProgramError: `value` is no program; tells of all faults, each with its path such as "body[2].most".
    """
    reader = _Reader(language)
    try:
        program = reader.program(value)
    except ProgramError as error:
        raise together([*reader.faults, error]) from None
    if reader.faults:
        raise together(reader.faults)
    return program


class _Reader:
    """Reads JSON values. Faults are noted with their path, and something harmless is returned in place."""

    def __init__(self, language: Language) -> None:
        self.words = Words(language)
        self.faults: list[ProgramError] = []
        self.conditions: dict[str, Condition] = {}  # those read so far
        self.statements = 0

    def program(self, value: object) -> Program:
        fields = self._fields(value, "", *PROGRAM_KEYS)
        if fields is None:
            return Program("")
        return Program(
            self._name(fields, "program", ""),
            self._names(fields, "arguments", ""),
            self._names(fields, "objects", ""),
            self._conditions(fields, "assume", ""),
            self._body(fields, "body", "", 0),
        )

    def _body(self, fields: dict[str, Any], key: str, path: str, depth: int) -> Body:
        path = _join(path, key)
        statements = self._list(fields, key, path, STATEMENTS)
        if depth > DEPTH and (statements or key != "else"):
            self._fault(path, f"blocks within blocks deeper than {DEPTH}")
            return ()
        self.statements += len(statements)
        if self.statements > STATEMENTS:
            raise ProgramError(f"more than {STATEMENTS} statements", path=path)
        read = (self._statement(each, f"{path}[{index}]", depth + 1) for index, each in enumerate(statements))
        return tuple(statement for statement in read if statement is not None)

    def _statement(self, value: object, path: str, depth: int) -> Statement | None:
        kinds = [key for key in STATEMENT_KEYS if isinstance(value, dict) and key in value]
        if len(kinds) != 1:
            expected = ", ".join(f'"{key}"' for key in STATEMENT_KEYS)
            self._fault(path, f"expected an object with one of the keys {expected}, found {_shown(value)}")
            return None
        fields = self._fields(value, path, *STATEMENT_KEYS[kinds[0]])
        if fields is None:
            return None
        match kinds[0]:
            case "do":
                return self._sub_action(fields, path)
            case "repeat":
                return Repeat(self._times(fields, "repeat", path), self._body(fields, "body", path, depth))
            case "while":
                condition, most = self._condition(fields, "while", path), self._times(fields, "most", path)
                return While(condition, most, self._body(fields, "body", path, depth))
            case "if":
                condition, then = self._condition(fields, "if", path), self._body(fields, "then", path, depth)
                return If(condition, then, self._body(fields, "else", path, depth))
            case _:
                variable, objects = self._name(fields, "each", path), self._names(fields, "in", path)
                return ForEach(variable, objects, self._body(fields, "body", path, depth))

    def _sub_action(self, fields: dict[str, Any], path: str) -> SubAction:
        name = self._name(fields, "do", path)
        verb = self.words.verb(name)
        if verb is None and name:
            self._fault(_join(path, "do"), self.words.unknown_verb(name))
        hand = self._name(fields, "hand", path, NONE)
        if hand not in (*HANDS, NONE):
            self._fault(_join(path, "hand"), unknown("hand", hand, (*HANDS, NONE)))
        first, second = self._name(fields, "a", path, NONE), self._name(fields, "b", path, NONE)
        before, after = self._conditions(fields, "pre", path), self._conditions(fields, "post", path)
        return SubAction(verb or name, first, second, hand, before, after)

    # Values.

    def _fields(self, value: object, path: str, needed: tuple[str, ...], other: tuple[str, ...]) -> Any:
        """Return the object `value`, or None with a fault noted if it is none or lacks a key."""
        if not isinstance(value, dict):
            return self._fault(path, f"expected an object, found {_shown(value)}")
        for key in value:
            if key not in needed and key not in other:
                self._fault(path, unknown("key", str(key), (*needed, *other)))
        missing = [f'"{key}"' for key in needed if key not in value]
        if missing:
            return self._fault(path, f"the key {' and '.join(missing)} is missing")
        return value

    def _list(self, fields: dict[str, Any], key: str, path: str, most: int) -> list[Any]:
        value = fields.get(key)
        if value is None and key not in ("body", "then"):
            return []
        if not isinstance(value, list):
            self._fault(path, f"expected a list, found {_shown(value)}")
            return []
        if len(value) > most:
            self._fault(path, f"a list of {len(value):,}; at most {most} are allowed")
            return []
        return value

    def _name(self, fields: dict[str, Any], key: str, path: str, default: str | None = None) -> str:
        value = fields.get(key)
        return default if value is None and default is not None else self._named(value, _join(path, key))

    def _named(self, value: object, path: str) -> str:
        try:
            if not isinstance(value, str):
                raise ValueError(f"expected a name, found {_shown(value)}")
            return tidy(value)
        except ValueError as error:
            self._fault(path, str(error))
            return ""

    def _names(self, fields: dict[str, Any], key: str, path: str) -> tuple[str, ...]:
        return self._each(fields, key, path, self._named)

    def _conditions(self, fields: dict[str, Any], key: str, path: str) -> tuple[Condition, ...]:
        return self._each(fields, key, path, self._condition_of)

    def _each(
        self, fields: dict[str, Any], key: str, path: str, read: Callable[[object, str], Item]
    ) -> tuple[Item, ...]:
        path = _join(path, key)
        return tuple(read(value, place) for value, place in _placed(self._list(fields, key, path, ITEMS), path))

    def _condition(self, fields: dict[str, Any], key: str, path: str) -> Condition:
        return self._condition_of(fields[key], _join(path, key))

    def _condition_of(self, value: object, path: str) -> Condition:
        try:
            if isinstance(value, str):
                if value not in self.conditions:
                    self.conditions[value] = parse_condition(value, self.words, path)
                return self.conditions[value]
            self._fault(path, f'expected a condition such as "open(door)", found {_shown(value)}')
        except ProgramError as error:
            self._note(error)
        return Condition("", ())

    def _times(self, fields: dict[str, Any], key: str, path: str) -> int:
        value = fields[key]
        if type(value) is int and 1 <= value <= TIMES:
            return value
        self._fault(_join(path, key), f"expected a number from 1 to {TIMES}, found {_shown(value)}")
        return 1

    def _fault(self, path: str, message: str) -> None:
        self._note(ProgramError(message, path=path))

    def _note(self, fault: ProgramError) -> None:
        """Keep `fault`; the last that is looked for is raised."""
        if len(self.faults) + 1 >= FAULTS:
            raise fault
        self.faults.append(fault)


def _placed(values: list[Any], path: str) -> Iterator[tuple[Any, str]]:
    return ((value, f"{path}[{index}]") for index, value in enumerate(values))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shown(value: object) -> str:
    match value:
        case dict():
            keys = ", ".join(f'"{shorten(str(key))}"' for key in list(value)[:4])
            return f"an object with the keys {keys}" if keys else "an empty object"
        case list():
            return f"a list of {len(value):,}"
        case str():
            return f'the text "{shorten(value)}"'
        case None | bool() | float():
            return json.dumps(value)
        case int():
            return str(value) if abs(value) < 10**18 else "a huge number"
    return type(value).__name__
