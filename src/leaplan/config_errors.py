"""What a wrong configuration key or value is answered with: its nearest valid one, and where it stands."""

import difflib
import re
import sys
from pathlib import Path
from typing import Any

HINT = "See all keys and their values with --print_config, or what they mean with --help"
PATTERNS = (  # as the argument parser words its refusals; the first group is the key or value at fault
    r"does not accept option '([^']+)'",
    r"Option '([^']+)' is not accepted",
    r"unrecognized arguments: --([^\s=]+)",
    r"No action for key \"([^\"]+)\"",
)


def explain(message: str, error: Exception | None, parser: Any) -> tuple[str, str]:
    """Return one short sentence for the parser's `message`, and a hint."""
    for pattern in PATTERNS:
        found = re.findall(pattern, message)
        if found:
            return _unknown_key(found[-1], message, parser)
    value = re.findall(
        r'Parser key "([^"]+)":\s*\n?\s*(Expected[^\n]*?)(?:\. )?Got value: ([^\n]*?)(?:\. Got value|$)',
        message,
        re.MULTILINE,
    )
    if value:
        key, expected, got = value[-1]
        return f"key '{key}' has value {got.strip()!r}{_place(key.split('.')[-1])}: {expected}", HINT
    return _first_lines(message), HINT


def _unknown_key(key: str, message: str, parser: Any) -> tuple[str, str]:
    leaf = key.split(".")[-1]
    close = difflib.get_close_matches(leaf, _known_keys(parser, message), 1, cutoff=0.6)
    guess = f"; did you mean '{close[0]}'?" if close else ""
    return f"'{key}' is not a configuration key{_place(leaf)}{guess}", HINT


def _known_keys(parser: Any, message: str) -> set[str]:
    """Return the names of all options of the parser, and of the classes that the message speaks of."""
    import inspect
    from importlib import import_module

    names = {part for action in parser._actions for part in str(action.dest).split(".")}
    for path in set(re.findall(r"class_path=?'?:? ?'([\w.]+)'|class_path '([\w.]+)'", message)):
        module, _, name = next(part for part in path if part).rpartition(".")
        try:
            names |= set(inspect.signature(getattr(import_module(module), name)).parameters)
        except (ImportError, AttributeError, ValueError, TypeError):
            continue
    return names


def _place(leaf: str) -> str:
    """Return the configuration file and line in which the key `leaf` stands, "" if none of those given."""
    for path in _given_files():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if re.match(rf"^[\s\-{{]*(?:.*[{{,]\s*)?{re.escape(leaf)}\s*:", line):
                return f" (in {path}, line {number})"
    return ""


def _given_files() -> list[Path]:
    """Return the configuration files on the command line, and those that they name."""
    files: list[Path] = []
    for argument in sys.argv[1:]:
        path = Path(argument.partition("=")[2] or argument)
        if path.suffix in (".yaml", ".yml", ".json") and path.is_file():
            named = re.findall(r":\s*([\w./\-]+\.ya?ml)", path.read_text(encoding="utf-8", errors="replace"))
            files += [path, *(part for name in named if (part := path.parent / name).is_file())]
    return files


def _first_lines(message: str, count: int = 4) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return "; ".join(lines[:count])
