"""A study file: variants of one experiment, and the tables that their figures go into."""

import difflib
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from leaplan.errors import ConfigError

HINT = "What a study file holds:  leaplan study --help"
KEYS = {
    "variants": ("title", "layout", "rows", "columns", "decoding", "reference"),
    "horizons": ("title", "layout", "variant", "decoding"),
}
"""The layouts of a table, and what may be said about each."""
USUAL_DECODING, USUAL_REFERENCE = "viterbi", "full"


@dataclass(frozen=True)
class Variant:
    """An experiment changed by overlay files and by settings such as ("--model.mixup", "0")."""

    name: str
    overlays: tuple[Path, ...]
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """One table.

    Args:
        title: Printed above it.
        layout: "variants", a row for each variant, or "horizons", a row for each horizon of one variant.
        rows: Label to variant, in order; one variant may stand in several rows, with other decodings.
        columns: Heading to the labels of the rows that get a check mark.
        decoding: Label to decoding.
        reference: The row that the others are compared with, "" for no comparison.
    """

    title: str
    layout: str
    rows: Mapping[str, str]
    columns: Mapping[str, tuple[str, ...]]
    decoding: Mapping[str, str]
    reference: str


@dataclass(frozen=True)
class Study:
    """What a study file says."""

    path: Path
    title: str
    variants: Mapping[str, Variant]
    tables: tuple[Table, ...]


def read_study(path: Path) -> Study:
    """Read a study file.

    Raises:
        ConfigError: The file or an overlay is missing, it is not YAML, or a key, variant or value is unknown.
    """
    content = _mapping(_yaml(path), str(path))
    _refuse_unknown(content, ("title", "variants", "tables"), str(path))
    variants = {
        _name(name, path): _variant(path, name, parts)
        for name, parts in _mapping(content.get("variants"), f"'variants' in {path}").items()
    }
    title = str(content.get("title", path.stem))
    tables = content.get("tables", [{"title": title}])
    if not isinstance(tables, list) or not tables:
        raise ConfigError(f"'tables' in {path} is {tables!r}, but must be a list of tables", HINT)
    return Study(path, title, variants, tuple(_table(path, entry, variants) for entry in tables))


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist", "Examples are in configs/study") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" (line {place.line + 1})" if place else ""
        raise ConfigError(f"{path} is not YAML{where}: {getattr(error, 'problem', None) or error}", HINT) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", "Give the study file") from error


def _mapping(value: Any, what: str) -> dict[Any, Any]:
    if not isinstance(value, dict) or not value:
        raise ConfigError(f"{what} is {value!r}, but must hold 'key: value' lines", HINT)
    return value


def _name(name: Any, path: Path) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.+-]*", name):
        raise ConfigError(
            f"the variant {name!r} in {path} cannot name a folder",
            "Use letters, digits, '-', '_', '.' and '+', and quotes around words like no and 3",
        )
    return name


def _variant(path: Path, name: str, parts: Any) -> Variant:
    """`parts` are overlay files, relative to the study file, and settings '--key value'."""
    parts = [] if parts is None else parts
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ConfigError(
            f"the variant '{name}' in {path} is {parts!r}, but must be a list of overlay files and settings",
            "Such as  [../ablation/no_llm.yaml, --model.mixup 0],  or [] for the experiment as it is",
        )
    overlays = [path.parent / part for part in parts if not part.startswith("--")]
    for overlay in overlays:
        if not overlay.is_file():
            guess = _guess(overlay.name, (file.name for file in overlay.parent.glob("*.yaml")))
            raise ConfigError(f"the variant '{name}' in {path} names {overlay}, which does not exist{guess}", HINT)
    settings = [word for part in parts if part.startswith("--") for word in shlex.split(part)]
    return Variant(name, tuple(overlays), tuple(settings))


def _table(path: Path, entry: Any, variants: Mapping[str, Variant]) -> Table:
    entry = _mapping(entry, f"a table in {path}")
    title = str(entry.get("title", path.stem))
    where = f"the table '{title}' in {path}"
    layout = entry.get("layout", "variants")
    if layout not in KEYS:
        raise ConfigError(f"{where} has the layout {layout!r}{_guess(str(layout), KEYS)}", f"There are {_list(KEYS)}")
    _refuse_unknown(entry, KEYS[layout], where)
    rows = _rows(entry, layout, where, variants)
    columns = _mapping(entry["columns"], f"'columns' of {where}") if "columns" in entry else {}
    for labels in columns.values():
        _each_known(labels, rows, "row", f"'columns' of {where}")
    reference = entry.get("reference", USUAL_REFERENCE if USUAL_REFERENCE in rows else "") or ""
    _each_known([reference] if reference else [], rows, "row", f"'reference' of {where}")
    return Table(
        title=title,
        layout=layout,
        rows=rows,
        columns={str(heading): tuple(labels) for heading, labels in columns.items()},
        decoding=_decodings(entry.get("decoding", USUAL_DECODING), rows, where),
        reference=reference if layout == "variants" else "",
    )


def _rows(entry: Mapping[str, Any], layout: str, where: str, variants: Mapping[str, Variant]) -> dict[str, str]:
    only = [entry.get("variant", next(iter(variants)))]
    rows: Any = only if layout == "horizons" else entry.get("rows", list(variants))
    if isinstance(rows, list) and all(isinstance(row, str) for row in rows) and len(set(rows)) == len(rows):
        rows = dict(zip(rows, rows, strict=True))
    if not isinstance(rows, dict) or not rows:
        raise ConfigError(
            f"'rows' of {where} is {rows!r}", "Give a list of different variants, or 'label: variant' lines"
        )
    _each_known(rows.values(), variants, "variant", where)
    return {str(label): variant for label, variant in rows.items()}


def _decodings(decoding: Any, rows: Mapping[str, str], where: str) -> dict[str, str]:
    if isinstance(decoding, str):
        return dict.fromkeys(rows, decoding)
    given = _mapping(decoding, f"'decoding' of {where}")
    _each_known(given, rows, "row", f"'decoding' of {where}")
    return {row: str(given.get(row, USUAL_DECODING)) for row in rows}


def _each_known(names: Any, known: Iterable[str], kind: str, where: str) -> None:
    """Refuse `names` unless it is a list, or the keys or values of a mapping, of names in `known`."""
    if not isinstance(names, Iterable) or isinstance(names, str):
        raise ConfigError(f"{where} holds {names!r}, but must hold lists of {kind}s", HINT)
    for name in names:
        if name not in list(known):
            what = f"{where} names '{name}', which is no {kind}{_guess(str(name), known)}"
            raise ConfigError(what, f"There are {_list(known)}")


def _refuse_unknown(content: Mapping[Any, Any], known: Iterable[str], where: str) -> None:
    for key in content:
        if key not in known:
            raise ConfigError(f"'{key}' is not a key of {where}{_guess(str(key), known)}", f"There are {_list(known)}")


def _guess(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
