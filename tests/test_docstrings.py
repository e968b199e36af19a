"""Every public name says what it is: tensors with their shapes, what is raised with its reason."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "leaplan"
FILES = sorted(PACKAGE.rglob("*.py"))
ERRORS = {"UserError", "ConfigError", "DataError", "ProblemList", "CheckpointError", "MissingFileError", "VideoError"}
SHAPE = re.compile(
    r"\((?:\.\.\.|[A-Za-z0-9][\w' /*+^-]*),[\w' ,/*+.^-]*\)|\[[A-Za-z]\w*(?:, ?\w+)+\]|\(\)|\bscalars?\b"
)
TENSOR = re.compile(r"(?:Tensor|Array|Embeddings)(?: \| None)?|NDArray\[.*\]|tuple\[(?:Tensor|NDArray).*\]")
Function = ast.FunctionDef | ast.AsyncFunctionDef
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def public(path: Path) -> Iterator[tuple[str, ast.AST, ast.ClassDef | None]]:
    """Yield name, definition and class of a file, its classes, functions and methods without an underscore."""
    tree, room = TREES[path], str(path.relative_to(PACKAGE))
    yield room, tree, None
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield f"{room}:{node.name}", node, None
            for each in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(each, Function) and (not each.name.startswith("_") or each.name == "__init__"):
                    yield f"{room}:{node.name}.{each.name}", each, node


def told(node: ast.AST, owner: ast.ClassDef | None) -> str:
    """Return the docstring of a definition; what makes an object is told by its class."""
    if isinstance(node, Function) and node.name == "__init__" and owner is not None:
        return f"{ast.get_docstring(owner) or ''}\n{ast.get_docstring(node) or ''}"
    return ast.get_docstring(node) or ""


def annotations(node: Function) -> list[str]:
    given = [each.annotation for each in (*node.args.args, *node.args.kwonlyargs)] + [node.returns]
    return [ast.unparse(each) for each in given if each is not None]


def raises(node: ast.AST, helpers: dict[str, Function], seen: frozenset[str] = frozenset()) -> set[str]:
    """Return the errors for users that a function raises, itself or through helpers of its file."""
    found = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Raise) and each.exc is not None:
            error = each.exc.func if isinstance(each.exc, ast.Call) else each.exc
            found |= {error.id} & ERRORS if isinstance(error, ast.Name) else set()
        elif isinstance(each, ast.Call):
            name = getattr(each.func, "id", getattr(each.func, "attr", ""))
            if name in helpers and name not in seen:
                found |= raises(helpers[name], helpers, seen | {name})
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_names_are_told(path):
    helpers = {n.name: n for n in ast.walk(TREES[path]) if isinstance(n, Function) and re.match("_(?!_)", n.name)}
    wrong = []
    for name, node, owner in public(path):
        text = told(node, owner)
        if not text.strip():
            wrong.append(f"{name} has no docstring")
        if not isinstance(node, Function):
            continue
        around = (ast.get_docstring(owner) or "") if owner is not None else ""
        shaped = SHAPE.search(text) or SHAPE.search(around)
        if any(TENSOR.fullmatch(each) for each in annotations(node)) and not shaped:
            wrong.append(f"{name} takes or gives tensors without telling their shapes")
        if (kinds := raises(node, helpers)) and not re.search("[Rr]aise", text) and "methods raise" not in around:
            wrong.append(f"{name} raises {', '.join(sorted(kinds))} without telling")
    assert not wrong, "\n".join(wrong)
