"""What a wrong configuration key or value is answered with: its nearest valid one, and where it stands."""

import difflib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

HINT = "See all keys and their values with --print_config, or what they mean with --help"
UNKNOWN_KEY = (  # as the argument parser words it; the group is the key
    r"does not accept option '([^']+)'",
    r"Option '([^']+)' is not accepted",
    r"unrecognized arguments: --([^\s=]+)",
    r"No action for key \"([^\"]+)\"",
)
WRONG_VALUE = r'Parser key "([^"]+)":\s*(Expected an? [^\n]*?)\. Got value: ([^\n]*)'
NO_CLASS = r'Parser key "([^"]+)":(?:(?!Parser key).)*\(class path given previously\)'
NO_SUCH_CLASS = r"(?:module '([\w.]+)' has no attribute '(\w+)'|No module named '([\w.]+)')"


def explain(message: str, parser: Any, arguments: Sequence[str]) -> tuple[str, str]:
    """Return one short sentence for the parser's `message`, and a hint.

    Args:
        message: What the argument parser says, often over many lines.
        parser: The parser; its options are the valid keys.
        arguments: The command line, which names the configuration files.
    """
    files = list(_files(arguments))
    for pattern in UNKNOWN_KEY:
        if found := re.findall(pattern, message):
            return _unknown_key(found[-1], _known_keys(parser, message, files), files), HINT
    if found := re.findall(WRONG_VALUE, message):
        key, expected, value = found[-1]
        place = _set_at(key, arguments, files)
        return f"'{key}' has the value {value.strip()!r}{place}. {_readable(expected)}", HINT
    if classes := re.search(NO_SUCH_CLASS, message):
        module, name, absent = classes.groups()
        return f"there is no class {module}.{name}" if module else f"there is no module {absent}", HINT
    if unnamed := re.findall(NO_CLASS, message, re.DOTALL):
        place = _place(unnamed[-1], files)
        return f"'{unnamed[-1]}' has settings{place}, but no class", "Use an experiment that names its class_path"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return "; ".join(lines[:4]), HINT


def _unknown_key(key: str, known: Mapping[str, str], files: Sequence[Path]) -> str:
    leaf = key.rsplit(".", 1)[-1]
    close = next(iter(difflib.get_close_matches(leaf, known, 1, cutoff=0.6)), "")
    where = f" of {known[close]}" if close == leaf and known[close] else ""  # right name, wrong place
    guess = f"; did you mean '{close}'{where}?" if close and (where or close != leaf) else ""
    return f"'{key}' is not a configuration key{_place(leaf, files)}{guess}"


def _known_keys(parser: Any, message: str, files: Sequence[Path]) -> dict[str, str]:
    """Return the names of all options of the parser (""), and of the classes that message and files speak of."""
    names = {part: "" for action in parser._actions for part in str(action.dest).split(".")}
    texts = [message, *(path.read_text(encoding="utf-8", errors="replace") for path in files)]
    for path in {found for text in texts for found in re.findall(r"class_path'?[:=]?\s*'?([\w.]+\.\w+)", text)}:
        module, _, name = path.rpartition(".")
        try:
            names |= dict.fromkeys(inspect.signature(getattr(import_module(module), name)).parameters, name)
        except (ImportError, AttributeError, ValueError, TypeError):
            continue
    return names


def _set_at(key: str, arguments: Sequence[str], files: Sequence[Path]) -> str:
    """Return where a file sets `key`, "" if the command line sets it."""
    leaf = key.rsplit(".", 1)[-1]
    said = any(re.match(rf"--(?:[\w.]+\.)?{re.escape(leaf)}(?:=|$)", word) for word in arguments)
    return "" if said else _place(leaf, files)


def _place(leaf: str, files: Sequence[Path]) -> str:
    """Return the file and line in which the key `leaf` stands, "" if in none of `files`."""
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if re.search(rf"(?:^|[\s{{,]){re.escape(leaf)}\s*:", line.partition("#")[0]):
                return f" (in {path}, line {number})"
    return ""


def _files(arguments: Sequence[str]) -> Iterator[Path]:
    """Yield the configuration files among the arguments, and those that they name."""
    for argument in arguments:
        path = Path(argument.partition("=")[2] or argument)
        if path.suffix in (".yaml", ".yml", ".json") and path.is_file():
            yield path
            named = re.findall(r":\s*([\w./\-]+\.ya?ml)\b", path.read_text(encoding="utf-8", errors="replace"))
            yield from (path.parent / name for name in named if (path.parent / name).is_file())


def _readable(expected: str) -> str:
    """Return the parser's "Expected a <class 'int'>" as "Expected a int", literals as their choices."""
    expected = re.sub(r"<class '([\w.]+)'>", r"\1", expected)
    return re.sub(r"a typing\.Literal\[(.*)\]", r"one of \1", expected)
