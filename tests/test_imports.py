"""Who may import whom: the arrows of the house, read from the source."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "leaplan"
GROUND = {"epic_release", "errors", "interrupts", "measuring", "options", "reading", "records", "writing"}
ALLOWED = {
    **{room: set() for room in GROUND},
    "epic_release": {"errors"},
    "reading": {"errors"},
    "text": GROUND,
    "video": GROUND,
    "training": GROUND,
    "programs": GROUND | {"text.chat"},
    "data": GROUND | {"video", "programs.encode", "programs.targets"},
    "planning": GROUND | {"text", "video", "training"},
    "recognition": GROUND | {"text", "video", "training"},
    "report": GROUND | {"programs", "training.results"},
}
LIGHTNING = ("data/", "training/", "cli.py")
FILES = sorted(PACKAGE.rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    """Return the dotted names that a file imports anywhere, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_room_imports_against_the_arrows(path):
    room = room_of(path)
    if room not in ALLOWED:
        pytest.skip("the top of the house may import all")
    allowed = ALLOWED[room] | {room}
    ours = {name.removeprefix("leaplan.") for name in imports_of(path) if name.startswith("leaplan.")}
    wrong = {name for name in ours if not any(name == a or name.startswith(f"{a}.") for a in allowed)}
    assert not wrong - {"__version__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_lightning_stays_in_its_rooms(path):
    relative = str(path.relative_to(PACKAGE))
    if relative.startswith(LIGHTNING) or path.name == "module.py":
        return
    assert not {name for name in imports_of(path) if name.split(".")[0] == "lightning"}


def test_programs_need_no_torch():
    for path in FILES:
        if room_of(path) == "programs":
            assert not {n for n in imports_of(path) if n.split(".")[0] in ("torch", "lightning")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_longer_than_450_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 450
