"""A file of step descriptions with a second one beside it that tells where each of them comes from."""

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from leaplan.errors import ConfigError, DataError, ProblemList
from leaplan.text.describe import SENTENCES, Described, Key, NamedStep, key_of
from leaplan.writing import write_bytes, write_json

SUFFIXES = (".json.gz", ".json")
EXPECTED = 'Expected {task: {step: {"description": text, "before": [3 sentences], "after": [3 sentences]}}}'
Entry = dict[str, Any]


class DescribedFile:
    """Descriptions of steps, and their origins.

    Args:
        path: `.json` or `.json.gz`. What it holds already is read and kept, changes by hand included.
        anew: Begin empty instead.

    Attributes:
        entries: (task, step) as `key_of` gives them, to task and step as they are written, and the entry.
        origins: The same keys, to what is known of where an entry comes from.

    Raises:
        ConfigError: The path has another ending, or is a folder.
        DataError: It holds something else.
    """

    def __init__(self, path: Path, anew: bool = False) -> None:
        suffix = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), "")
        if not suffix or path.is_dir():
            what = "is a folder" if path.is_dir() else f"does not end in {' or '.join(reversed(SUFFIXES))}"
            raise ConfigError(f"{path} {what}", "Give a file for the descriptions, such as --out descriptors.json")
        self.path = path
        stem = path.name.removesuffix(suffix)
        self.provenance = path.with_name(f"{stem}.provenance.json")
        self.answers = path.with_name(f"{stem}.answers.sqlite")
        self.entries: dict[Key, tuple[str, str, Entry]] = {}
        self.origins: dict[Key, Mapping[str, Any]] = {}
        if not anew and path.exists():
            self.entries = _read_entries(path)
            self.origins = _read_origins(self.provenance)

    def __len__(self) -> int:
        return len(self.entries)

    def holds(self, step: NamedStep) -> bool:
        """Tell whether `step` is described. A step of no task may be described under any, as `DescribedSteps` reads."""
        if step.key in self.entries:
            return True
        return not step.task and any(name == step.key[1] for _, name in self.entries)

    def add(self, described: Described, origin: Mapping[str, Any]) -> None:
        """Add a description. `origin` tells of the whole job; what is known of the step is added to it."""
        step, description = described.step, described.description
        assert description is not None
        last, usage = described.answers[-1], described.usage
        entry = description.as_json()
        self.entries[step.key] = (step.task, step.name, entry)
        self.origins[step.key] = {
            "task": step.task,
            "step": step.name,
            **origin,
            "answered_by": last.model,
            "fingerprint": last.fingerprint,
            "request": last.request_hash,
            "turns": len(described.answers),
            "tokens": {"prompt": usage.prompt, "cached": usage.cached, "completion": usage.completion},
            "usd": round(described.usd, 9),
            "sha256": _digest(entry),
        }

    def write(self, order: Iterable[NamedStep], about: Mapping[str, Any]) -> None:
        """Write both files, each whole: steps in `order` first, steps of no task before all others.

        Args:
            order: The steps of the vocabulary; what else the file holds comes after them.
            about: What the second file says of the job.
        """
        known = dict.fromkeys(step.key for step in order)
        keys = sorted(known, key=lambda key: key[0] != "") + [key for key in self.entries if key not in known]
        table: dict[str, dict[str, Entry]] = {}
        for task, name, entry in (self.entries[key] for key in keys if key in self.entries):
            table.setdefault(task, {})[name] = entry
        origins = [self._origin(key) for key in keys if key in self.entries]
        # A description whose origin is lost could not be told from one by hand: origins go first.
        write_json(self.provenance, {**about, "descriptions": origins})
        if table:
            content = (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode()
            write_bytes(self.path, gzip.compress(content, mtime=0) if self.path.suffix == ".gz" else content)

    def _origin(self, key: Key) -> Mapping[str, Any]:
        task, name, entry = self.entries[key]
        known = self.origins.get(key)
        if known is not None and known.get("sha256") == _digest(entry):
            return known
        return {"task": task, "step": name, "origin": "given in the file", "sha256": _digest(entry)}


def _digest(entry: Entry) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()


def _read_entries(path: Path) -> dict[Key, tuple[str, str, Entry]]:
    content = _read_object(path, EXPECTED)
    problems: list[str] = []
    entries: dict[Key, tuple[str, str, Entry]] = {}
    for task, steps in content.items():
        found: dict[str, Any] = steps if isinstance(steps, dict) else {"": None}
        for name, entry in found.items():
            wrong = _wrong(entry)
            if wrong:
                problems.append(f"task '{task}', step '{name}': {wrong}")
            else:
                entries[key_of(task, name)] = (task, name, entry)
    if problems:
        raise ProblemList(str(path), problems, f"{EXPECTED}; mend them, or begin anew with --overwrite")
    return entries


def _wrong(entry: Any) -> str:
    """Return what is wrong with an entry of a file."""
    if not isinstance(entry, dict):
        return "no object"
    for name in ("before", "after"):
        sentences = entry.get(name)
        if not isinstance(sentences, list) or not all(isinstance(each, str) and each.strip() for each in sentences):
            return f'"{name}" is no list of sentences'
        if len(sentences) != SENTENCES:
            return f'"{name}" has {len(sentences)} sentences, not {SENTENCES}'
    return ""


def _read_origins(path: Path) -> dict[Key, Mapping[str, Any]]:
    if not path.exists():
        return {}
    hint = "Mend it, or remove it: what is described already then counts as given"
    records = _read_object(path, hint).get("descriptions")
    try:
        return {key_of(record["task"], record["step"]): record for record in records or ()}
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path} does not tell origins of descriptions ({type(error).__name__}: {error})", hint
        ) from error


def _read_object(path: Path, hint: str) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
        content = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}", hint) from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no JSON object", hint)
    return content
