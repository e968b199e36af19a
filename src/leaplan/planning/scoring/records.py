"""Predictions from `.jsonl` and `.json`: one object per sample, all that is wrong told at once."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from leaplan.errors import DataError
from leaplan.planning.metrics import PAD, target_rank
from leaplan.planning.scoring.predictions import HINT, LARGEST_ID, Predictions, refuse


def read_records(path: Path, names: dict[str, int]) -> Predictions:
    """Read `path`. Step names get ids from `names`, which grows.

    Raises:
        DataError: The file is empty or damaged, or one record is wrong.
        ProblemList: Several records are wrong.
    """
    entries = _json_lines(path) if path.suffix == ".jsonl" else _json_entries(path)
    if not entries:
        raise DataError(f"{path} holds no predictions", HINT)
    reader, problems = _Reader(names), []
    samples: dict[str, _Record] = {}
    for place, entry in entries:
        try:
            _add(samples, reader.read(place, entry))
        except _Problem as problem:
            problems.append(f"{place}: {problem}")
    decodings = dict.fromkeys(name for record in samples.values() for name in record.plans)
    for record in samples.values():
        missing = [name for name in decodings if name not in record.plans]
        problems += [f"{record.place}: no plan of decoding '{name}'" for name in missing]
    refuse(path, problems)
    records = list(samples.values())
    first = records[0]
    return Predictions(
        path=path,
        sample_ids=tuple(samples),
        videos=None if first.video is None else tuple(str(record.video) for record in records),
        target=torch.tensor([record.steps for record in records]),
        plans={name: _padded([record.plans[name] for record in records]) for name in decodings},
        rank=None if first.ranks is None else torch.tensor([record.ranks for record in records]),
        candidates=first.candidates,
        seen=None if first.seen is None else torch.tensor([bool(record.seen) for record in records]),
        named=reader.kind is str,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8 (byte {error.start})", HINT) from error


def _json_lines(path: Path) -> list[tuple[str, Any]]:
    """(place, object) of each line that is not blank."""
    records, problems = [], []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if line.strip():
            try:
                records.append((f"line {number}", json.loads(line)))
            except ValueError as error:
                problems.append(f"line {number}: not JSON ({error}): {line[:40]!r}")
    refuse(path, problems)
    return records


def _json_entries(path: Path) -> list[tuple[str, Any]]:
    """(place, object) of each entry of the list, or of the list under "predictions"."""
    try:
        content = json.loads(_text(path))
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error})", HINT) from error
    entries = content.get("predictions") if isinstance(content, dict) else content
    if not isinstance(entries, list):
        raise DataError(f"{path} holds neither a list nor an object with a list under 'predictions'", HINT)
    return [(f"entry {number}", entry) for number, entry in enumerate(entries, start=1)]


class _Problem(Exception):
    """What is wrong with one record."""


@dataclass
class _Record:
    place: str
    sample_id: str
    video: str | None
    seen: bool | None
    steps: list[int]
    plans: dict[str, list[int]]
    ranks: list[int] | None
    candidates: int


@dataclass
class _Reader:
    """Reads records one by one and remembers what the first one fixed: kind of steps, horizon, candidates."""

    names: dict[str, int]
    kind: type | None = None
    fixed: dict[str, object] = field(default_factory=dict)

    def read(self, place: str, entry: Any) -> _Record:
        if not isinstance(entry, dict):
            raise _Problem(f"an object is expected, not {_short(entry)}")
        steps = self._ids(_column(entry, "steps"), "steps")
        if not steps:
            raise _Problem("'steps' is empty")
        self._same("steps", len(steps))
        ranks, candidates, best = self._candidates(entry, steps)
        plans = self._plans(entry, best)
        record = _Record(
            place=place,
            sample_id=_label(_column(entry, "sample_id"), "sample_id"),
            video=_label(entry["video"], "video") if entry.get("video") is not None else None,
            seen=entry.get("seen_in_training"),
            steps=steps,
            plans=plans,
            ranks=ranks,
            candidates=candidates,
        )
        if record.seen is not None and not isinstance(record.seen, bool):
            raise _Problem(f"'seen_in_training' is {_short(record.seen)}, but must be true or false")
        for name, value in (("video", record.video), ("seen_in_training", record.seen), ("candidates", ranks)):
            self._same(f"{name} present", value is not None)
        self._same("candidates", candidates)
        return record

    def _same(self, what: str, value: object) -> None:
        first = self.fixed.setdefault(what, value)
        if value != first:
            raise _Problem(f"{what}: {value}, but {first} in the records before (score one kind at a time)")

    def _ids(self, value: Any, column: str) -> list[int]:
        if not isinstance(value, list):
            raise _Problem(f"'{column}' is {_short(value)}, but must be a list of step ids or names")
        return [self._id(step, column) for step in value]

    def _id(self, step: Any, column: str) -> int:
        kind = type(step)
        if kind not in (int, str):
            raise _Problem(f"'{column}' holds {_short(step)}, which is neither a step id nor a name")
        self.kind = self.kind or kind
        if kind is not self.kind:
            expected = "ids" if self.kind is int else "names"
            raise _Problem(f"'{column}' holds {_short(step)}, but steps were {expected} before")
        if isinstance(step, str):
            return self.names.setdefault(step, len(self.names))
        number = int(step)
        if not 0 <= number <= LARGEST_ID:
            raise _Problem(f"'{column}' holds the id {number}, but ids go from 0 to {LARGEST_ID}")
        return number

    def _plans(self, entry: Mapping[str, Any], best: list[int] | None) -> dict[str, list[int]]:
        if "plans" in entry:
            plans = entry["plans"]
            if not isinstance(plans, dict) or not plans:
                raise _Problem(f"'plans' is {_short(plans)}, but must be an object: decoding to plan")
            return {str(name): self._ids(plan, f"plans.{name}") for name, plan in plans.items()}
        if "plan" in entry:
            return {_label(entry.get("decoding", "plan"), "decoding"): self._ids(entry["plan"], "plan")}
        if best is None:
            raise _Problem("no 'plan', 'plans' or 'logits'")
        return {"argmax": best}

    def _candidates(self, entry: Mapping[str, Any], steps: list[int]) -> tuple[list[int] | None, int, list[int] | None]:
        """Ranks of the true steps, how many ranks are known, and the argmax plan of logits."""
        if "logits" in entry:
            if self.kind is str:
                raise _Problem("'logits' need step ids, but the steps are names")
            logits = _logits(entry["logits"], steps)
            return target_rank(logits, torch.tensor(steps)).tolist(), logits.shape[1], logits.argmax(1).tolist()
        column = next((name for name in entry if re.fullmatch(r"top_(k|\d+)", name)), None)
        if column is None:
            return None, 0, None
        lists = entry[column]
        if not isinstance(lists, list) or len(lists) != len(steps):
            raise _Problem(f"'{column}' is {_short(lists)}, but must be {len(steps)} lists of steps")
        ranked = [self._ids(candidates, column) for candidates in lists]
        known = min(map(len, ranked))
        return [_rank(step, each, known) for step, each in zip(steps, ranked, strict=True)], known, None


def _rank(step: int, candidates: list[int], known: int) -> int:
    return candidates[:known].index(step) if step in candidates[:known] else known


def _column(entry: Mapping[str, Any], name: str) -> Any:
    if name not in entry:
        raise _Problem(f"no '{name}' (columns: {', '.join(map(str, entry)) or 'none'})")
    return entry[name]


def _label(value: Any, column: str) -> str:
    if type(value) not in (int, str) or value == "":
        raise _Problem(f"'{column}' is {_short(value)}, but must be a text or a number")
    return str(value)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else text[:37] + "..."


def _logits(value: Any, steps: list[int]) -> Tensor:
    try:
        logits = torch.tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _Problem(f"'logits' is not a table of numbers: {_short(value)}") from error
    if logits.ndim != 2 or len(logits) != len(steps):
        raise _Problem(f"'logits' is {tuple(logits.shape)}, but must be ({len(steps)}, N)")
    if bool(logits.isnan().any()):
        raise _Problem(f"'logits' is NaN at step {int(logits.isnan().any(1).nonzero()[0])}")
    if max(steps) >= logits.shape[1]:
        raise _Problem(f"'steps' holds the id {max(steps)}, but 'logits' has {logits.shape[1]} classes")
    return logits


def _add(samples: dict[str, _Record], record: _Record) -> None:
    """Add a record; one of a sample that is known already may only bring other decodings."""
    known = samples.setdefault(record.sample_id, record)
    if known is record:
        return
    if repeated := [name for name in record.plans if name in known.plans]:
        raise _Problem(f"sample_id '{record.sample_id}' with decoding '{repeated[0]}' was at {known.place} already")
    if record.steps != known.steps:
        raise _Problem(f"'steps' of sample_id '{record.sample_id}' differ from those at {known.place}")
    known.plans.update(record.plans)


def _padded(plans: list[list[int]]) -> Tensor:
    width = max(1, *map(len, plans)) if plans else 1
    return torch.tensor([plan + [PAD] * (width - len(plan)) for plan in plans])
