"""Conditions relative to a sub-action, as the text that names their label: "not in(A, bowl)".

The arguments that are the sub-action's own are written A and B. Names of other characters than letters, digits, "_",
"-", ":" and "/" stand in quotes, and so do objects that are called "A" or "B" and a predicate called "not".
"""

import json
import re
from functools import lru_cache

from leaplan.programs.language import NONE, A, B, Condition

_BARE = re.compile(r"[\w:/-]+")
_NAME = r'(?:[\w:/-]+|"(?:[^"\\]|\\.)*")'
_LABEL = re.compile(rf"(not )?({_NAME})\(((?:{_NAME}(?:, {_NAME})*)?)\)", re.DOTALL)
_NAMES = re.compile(_NAME, re.DOTALL)
_ROLES = (A, B)


def text_of(condition: Condition, first: str, second: str) -> str:
    """Return the label of `condition` at a sub-action with A = `first` and B = `second`."""
    roles = {second: B, first: A}
    roles.pop(NONE, None)
    arguments = [roles.get(name) or _quoted(name) for name in condition.arguments]
    predicate = _quoted(condition.predicate)
    return f"{'' if condition.holds else 'not '}{predicate}({', '.join(arguments)})"


@lru_cache(4096)
def _quoted(name: str) -> str:
    bare = _BARE.fullmatch(name) and name not in (*_ROLES, "not")
    return name if bare else json.dumps(name, ensure_ascii=False)


def condition_of(text: str, first: str, second: str) -> Condition:
    """Return the condition that the label `text` stands for at a sub-action with A = `first` and B = `second`.

    Raises:
        ValueError: `text` is no label.
    """
    predicate, arguments, holds = _parsed(text)
    roles = {A: first, B: second}
    names = tuple(roles[name] if is_role else name for name, is_role in arguments)
    return Condition(predicate, names, holds)


@lru_cache(1 << 16)
def _parsed(text: str) -> tuple[str, tuple[tuple[str, bool], ...], bool]:
    """Return predicate, (name, whether it is a role) of each argument, and whether it holds."""
    match = _LABEL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:60]!r} is no condition such as holding(right, A)")
    arguments = tuple((_plain(name), name in _ROLES) for name in _NAMES.findall(match[3]))
    return _plain(match[2]), arguments, match[1] is None


def _plain(name: str) -> str:
    return json.loads(name) if name.startswith('"') else name
