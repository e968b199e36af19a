"""Rows of a programs file: one per clip, with the program, its faults, and where it came from.

`programs.jsonl` and `programs.parquet` hold the same rows. docs/programs.md describes the columns.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from leaplan.errors import DataError, ProblemList
from leaplan.programs.fault import Fault
from leaplan.programs.json_form import from_json
from leaplan.programs.language import LEAP, Language, Program
from leaplan.writing import write_whole

SCHEMA = 1  # of the rows; goes up when a column changes its meaning
STATES = ("pending", "ok", "invalid", "failed")
SUFFIXES = (".jsonl", ".parquet")
HINT = "Make it again:  leaplan generate-programs --out FOLDER  (answers that are paid for are kept in the folder)"
CHUNK = 5000  # rows of a Parquet row group


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row has no valid program: a fault that the checker found, or what else went wrong.

    Args:
        kind: One of `fault.KINDS`, or another short phrase, the same for all that went wrong in the same way.
        message: For people.
        where: The place in the program, "" if there is none.
    """

    kind: str
    message: str
    where: str = ""


def reasons_of(faults: Iterable[Fault]) -> tuple[Reason, ...]:
    """Return what the checker found as reasons."""
    return tuple(Reason(fault.kind, fault.message, fault.where) for fault in faults)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a row's program came from.

    Args:
        backend: "rules" or "llm"; "" where nothing has answered yet.
        model, fingerprint: What the server said that it ran.
        request: Hash of the last request, the key of its answer in the cache of answers.
        tokens_in, tokens_out, usd: Of all requests for this evidence, the repair turn included.
        repaired: The program is the answer to the repair turn.
        evidence: Key of the evidence. Rows of the same key share one answer, and its price was paid once.
        shared_by: How many rows have this evidence; usd / shared_by adds up to what was spent.
        instead_of: "invalid" or "failed" where rules stand in for a language model.
        check: "ok", "faults", or "" where there is no program.
        vocabulary: Name of the language that the program was checked against.
    """

    backend: str = ""
    model: str = ""
    fingerprint: str = ""
    request: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    repaired: bool = False
    evidence: str = ""
    shared_by: int = 1
    instead_of: str = ""
    check: str = ""
    vocabulary: str = ""


NOWHERE = Provenance()


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one clip.

    Args:
        clip, split, video: Ids as in the annotations.
        start, stop: Seconds.
        narration, verb, noun: As annotated, classes by their keys; "" where there is none.
        state: "ok" (a program without faults), "invalid" (answered, with faults), "failed" (no answer; `faults` says
            why) or "pending" (not asked yet).
        program: The program in its JSON form, as compact text; "" if there is none.
        text: The program in its text form; "" if there is none.
        faults: What the checker found, or why there is no program.
        provenance: Where the program came from.
    """

    clip: str
    split: str
    video: str
    start: float
    stop: float
    narration: str
    verb: str
    noun: str
    state: str
    program: str = ""
    text: str = ""
    faults: tuple[Reason, ...] = ()
    provenance: Provenance = NOWHERE

    def read_program(self, language: Language = LEAP) -> Program | None:
        """Return the program, or None if there is none.

        Raises:
            ProgramError: It is not one of `language`.
        """
        return from_json(json.loads(self.program), language) if self.program else None


# Writing.


def write_rows(folder: Path, rows: Callable[[], Iterable[Row]]) -> None:
    """Write `programs.jsonl` and `programs.parquet` into `folder`, each whole or not at all.

    Args:
        folder: Is made where it is not there.
        rows: Gives the rows in their order; called once per file, so that they need not be kept in memory.
    """
    write_whole(folder / "programs.jsonl", lambda path: _write_json_lines(path, rows()))
    write_whole(folder / "programs.parquet", lambda path: _write_parquet(path, rows()))


def _write_json_lines(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{to_line(row)}\n" for row in rows)


def to_line(row: Row) -> str:
    """Return `row` as one line of JSON, without the line end."""
    values = {"schema": SCHEMA, **_plain(row)}
    program = values.pop("program") or "null"
    return f'{json.dumps(values, ensure_ascii=False)[:-1]}, "program": {program}}}'


def _plain(row: Row) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(row, name) for name in PLAIN}
    values["faults"] = [asdict(fault) for fault in row.faults]
    values["provenance"] = {name: getattr(row.provenance, name) for name in PROVENANCE}
    return values


def _write_parquet(path: Path, rows: Iterable[Row]) -> None:
    import pyarrow as arrow  # type: ignore[import-untyped]
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]

    schema = _arrow_schema()
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for chunk in _chunks(rows):
            values = [{"schema": SCHEMA, **_plain(row)} for row in chunk]
            writer.write_table(arrow.Table.from_pylist(values, schema))


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _arrow_schema() -> Any:
    import pyarrow as arrow  # type: ignore[import-untyped]

    kinds = {str: arrow.string(), float: arrow.float64(), int: arrow.int64(), bool: arrow.bool_()}
    texts = arrow.struct([(field.name, arrow.string()) for field in fields(Reason)])
    provenance = arrow.struct([(name, kinds[kind]) for name, kind in PROVENANCE.items()])
    columns = [("schema", arrow.int32()), *((name, kinds[kind]) for name, kind in PLAIN.items())]
    columns += [("faults", arrow.list_(texts)), ("provenance", provenance)]
    return arrow.schema(columns, {"leaplan": f"programs, schema {SCHEMA}"})


# Reading.


def read_rows(path: Path) -> list[Row]:
    """Return the rows of `programs.jsonl` or `programs.parquet` in their order.

    Raises:
        DataError: The file is missing, damaged, of another kind, or its rows are of another schema version.
        ProblemList: Several rows are wrong.
    """
    return [row for _, row in placed_rows(path)]


def placed_rows(path: Path) -> list[tuple[str, Row]]:
    """Return (place, row) of each row of `path`; the place is such as "line 3". Raises as `read_rows`."""
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path} ends in '{path.suffix}', but programs files end in {' or '.join(SUFFIXES)}", HINT)
    if not path.is_file():
        raise DataError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}", HINT)
    rows: list[tuple[str, Row]] = []
    problems: list[str] = []
    for place, values in _parquet_values(path) if path.suffix == ".parquet" else _json_values(path, problems):
        try:
            rows.append((place, _row(values)))
        except _OtherSchemaError as error:
            raise DataError(f"{path}, {place}: {error}", HINT) from None
        except ValueError as error:
            problems.append(f"{place}: {error}")
    if problems:
        raise ProblemList(str(path), problems, HINT)
    return rows


class _OtherSchemaError(Exception):
    """A row of another version of the format."""


def _json_values(path: Path, problems: list[str]) -> Iterator[tuple[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    try:
                        values = json.loads(line)
                    except (ValueError, RecursionError) as error:
                        problems.append(f"line {number}: not JSON ({error}): {line[:40].strip()!r}")
                        continue
                    if isinstance(values, dict) and isinstance(values.get("program"), dict):
                        values["program"] = json.dumps(values["program"], ensure_ascii=False, separators=(",", ":"))
                    yield f"line {number}", values
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8 (byte {error.start})", HINT) from error


def _parquet_values(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow as arrow  # type: ignore[import-untyped]
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]

    try:
        number = 0
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(CHUNK):
                for values in batch.to_pylist():
                    number += 1
                    yield f"row {number}", values
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet ({error})", HINT) from error


def _row(values: Any) -> Row:
    if not isinstance(values, dict):
        raise ValueError(f"an object is expected, not {json.dumps(values)[:40]}")
    found = values.get("schema")
    if found != SCHEMA:
        what = "no schema version" if found is None else f"schema version {found!r}"
        raise _OtherSchemaError(f"{what}; this leaplan reads version {SCHEMA}")
    plain = {name: _value(values, name, kind) for name, kind in PLAIN.items()}
    if plain["state"] not in STATES:
        raise ValueError(f"'state' is {plain['state']!r}, not one of {', '.join(STATES)}")
    provenance = _object(values, "provenance")
    origin = Provenance(**{name: _value(provenance, name, kind) for name, kind in PROVENANCE.items()})
    faults = values.get("faults")
    if not isinstance(faults, list):
        raise ValueError("'faults' is no list")
    return Row(**plain, faults=tuple(_fault(fault) for fault in faults), provenance=origin)


def _fault(values: Any) -> Reason:
    if not isinstance(values, dict):
        raise ValueError("a fault is no object")
    return Reason(**{field.name: _value(values, field.name, str) for field in fields(Reason)})


def _object(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    if not isinstance(found, dict):
        raise ValueError(f"'{name}' is no object")
    return found


def _value(values: Mapping[str, Any], name: str, kind: type) -> Any:
    if name not in values:
        raise ValueError(f"'{name}' is missing")
    value = values[name]
    if name == "program" and value is None:
        return ""
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"'{name}' is {json.dumps(value)[:40]}, not {WORDS[kind]}")
    return value


WORDS = {str: "text", float: "a number", int: "a whole number", bool: "true or false"}
PLAIN: dict[str, type] = {field.name: field.type for field in fields(Row) if field.type in WORDS}  # type: ignore[misc]
PROVENANCE: dict[str, type] = {field.name: field.type for field in fields(Provenance)}  # type: ignore[misc]
