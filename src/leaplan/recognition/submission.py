"""The files that the EPIC-KITCHENS-100 challenges take: a zip with one `test.json`, written and read row by row.

Format 0.2 of both challenges (recognition and anticipation), as their repositories' validation scripts demand it:

    {"version": "0.2", "challenge": "action_recognition", "sls_pt": 2, "sls_tl": 3, "sls_td": 4,
     "results": {"P01_11_0": {"verb": {"0": 1.2, ..., "96": 0.3}, "noun": {"0": ..., "299": ...}}}}

Each segment may have "action": {"verb,noun": score} with exactly 100 pairs as well; then all have.
"""

import io
import json
import math
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leaplan.errors import ConfigError, DataError, ProblemList
from leaplan.recognition.metrics import KEPT_PAIRS, Pairs
from leaplan.writing import write_whole

CHALLENGES = {"epic-recognition": "action_recognition", "epic-anticipation": "action_anticipation"}
"""Our protocol names to the challenges' own."""
VERSION = "0.2"
MEMBER = "test.json"
VERBS, NOUNS = 97, 300
HINT = "leaplan score --protocol epic-recognition FILE --root /data --submission OUT.zip  writes one that is right"
MOST_BYTES = 2**32


@dataclass(frozen=True)
class SupervisionLevels:
    """The supervision levels scale (SLS) of the challenges, 0 to 5 each.

    Args:
        pretraining: sls_pt; 2 is public labelled images, 5 private data.
        labels: sls_tl, of training labels.
        data: sls_td, of training data; 3 is train, 4 train and validation.
    """

    pretraining: int = 2
    labels: int = 3
    data: int = 4

    def __post_init__(self) -> None:
        for name, value in self.fields().items():
            if type(value) is not int or not 0 <= value <= 5:
                raise ConfigError(f"{name} is {value!r}, but a level is 0, 1, 2, 3, 4 or 5", "Such as --sls 2 3 4")

    def fields(self) -> dict[str, int]:
        """Return them under the challenges' names."""
        return {"sls_pt": self.pretraining, "sls_tl": self.labels, "sls_td": self.data}


@dataclass(frozen=True)
class Submission:
    """What a submission holds. N segments.

    Args:
        path: The file.
        challenge: "action_recognition" or "action_anticipation".
        levels: Of supervision.
        ids: N narration ids, in the order of the file.
        verb, noun: Scores (N, 97) and (N, 300) float64.
        pairs: The 100 pairs of each segment, the best first (equal scores: the smaller verb, then noun, first); None
            where actions are left to the official product.
    """

    path: Path
    challenge: str
    levels: SupervisionLevels
    ids: tuple[str, ...]
    verb: Tensor
    noun: Tensor
    pairs: Pairs | None


# --- writing ----------------------------------------------------------------------------------------


def write_submission(
    path: Path,
    challenge: str,
    ids: Sequence[str],
    verb: Tensor,
    noun: Tensor,
    levels: SupervisionLevels,
    pairs: Pairs | None = None,
) -> None:
    """Write `path`, a zip file. float32 scores come back as they are; so do float64 ones.

    Args:
        path: The file.
        challenge: "action_recognition" or "action_anticipation".
        ids: N narration ids.
        verb, noun: Scores (N, 97) and (N, 300), larger is likelier.
        levels: Of supervision.
        pairs: (N, 100), where actions have scores of their own.

    Raises:
        DataError: Shapes do not fit, ids repeat, a score is not finite, or the file cannot be written.
    """
    _refuse_unfit(path, ids, verb, noun, pairs)
    entry = zipfile.ZipInfo(MEMBER)  # of a fixed date: the same scores make the same file
    entry.compress_type = zipfile.ZIP_DEFLATED

    def write(partial: Path) -> None:
        with (
            zipfile.ZipFile(partial, "w") as archive,
            archive.open(entry, "w", force_zip64=True) as member,
            io.TextIOWrapper(member, encoding="utf-8", newline="\n") as text,
        ):
            head = {"version": VERSION, "challenge": challenge, **levels.fields()}
            text.write(f'{json.dumps(head)[:-1]}, "results": {{')
            text.writelines(_entries(ids, verb, noun, pairs))
            text.write("}}\n")

    try:
        write_whole(path, write)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror or error})", "Give another name") from error


def _entries(ids: Sequence[str], verb: Tensor, noun: Tensor, pairs: Pairs | None) -> Iterator[str]:
    verb_format, noun_format = _row_format(verb), _row_format(noun)
    for row, name in enumerate(ids):
        parts = [
            f'"verb": {verb_format % tuple(verb[row].tolist())}',
            f'"noun": {noun_format % tuple(noun[row].tolist())}',
        ]
        if pairs is not None:
            columns = (pairs.verb[row].tolist(), pairs.noun[row].tolist(), pairs.score[row].tolist())
            scores = ", ".join(f'"{v},{n}": {score!r}' for v, n, score in zip(*columns, strict=True))
            parts.append(f'"action": {{{scores}}}')
        yield f"{', ' if row else ''}\n{json.dumps(name)}: {{{', '.join(parts)}}}"


def _row_format(scores: Tensor) -> str:
    """Return how a row of scores is written: nine digits tell float32 numbers apart."""
    number = "%r" if scores.dtype == torch.float64 else "%.9g"
    return "{" + ", ".join(f'"{c}": {number}' for c in range(scores.shape[1])) + "}"


def _refuse_unfit(path: Path, ids: Sequence[str], verb: Tensor, noun: Tensor, pairs: Pairs | None) -> None:
    shapes = {"verb": (verb, VERBS), "noun": (noun, NOUNS)}
    if pairs is not None:
        shapes |= {"action": (pairs.score, KEPT_PAIRS)}
    for name, (scores, width) in shapes.items():
        if scores.shape != (len(ids), width):
            raise DataError(f"{path}: {name} scores are {tuple(scores.shape)}, but ({len(ids)}, {width}) are submitted")
        if not bool(scores.isfinite().all()):
            row = int((~scores.isfinite()).any(1).nonzero()[0])
            raise DataError(f"{path}: a {name} score of {ids[row]} is not finite", "Find out why, and evaluate again")
    if len(set(ids)) < len(ids):
        twice = next(name for row, name in enumerate(ids) if name in ids[:row])
        raise DataError(f"{path}: narration id '{twice}' is there twice")


# --- reading ----------------------------------------------------------------------------------------


class Numbers(NamedTuple):
    """An object of a JSON file whose values are all numbers."""

    keys: tuple[str, ...]
    values: NDArray[np.float64]


Entries = list[tuple[str, Any]]
"""Any other object of a JSON file, with its repetitions."""


def read_submission(path: Path, expected: Iterable[str] | None = None) -> Submission:
    """Return the submission in `path`, a .zip or the .json inside; see `check_submission`.

    Raises:
        DataError: No such file, no zip file with a test.json, or no JSON.
        ProblemList: Rules that are broken.
    """
    return check_submission(path, parse_document(path), expected)


def check_submission(path: Path, content: Any, expected: Iterable[str] | None = None) -> Submission:
    """Return the submission that a document holds, if it keeps all rules of the challenges.

    Args:
        path: The file it is from.
        content: As `parse_document` gives it.
        expected: The narration ids that must be there, and no others; None takes any.

    Raises:
        ProblemList: Rules that are broken.
    """
    problems: list[str] = []
    fields = _fields(content, problems)
    results = fields.get("results")
    if not is_object(results) or not results:
        raise ProblemList(str(path), [*problems, "'results' is no object of narration ids"], HINT)
    _check_ids([name for name, _ in results], expected, problems)
    with_action = is_object(results[0][1]) and "action" in dict(results[0][1])
    rows = [_segment(name, entry, with_action, problems) for name, entry in results]
    if problems:
        raise ProblemList(str(path), problems, HINT)
    verbs, nouns, actions = zip(*rows, strict=True)
    return Submission(
        path,
        fields["challenge"],
        SupervisionLevels(fields["sls_pt"], fields["sls_tl"], fields["sls_td"]),
        tuple(name for name, _ in results),
        torch.from_numpy(np.stack(verbs)),
        torch.from_numpy(np.stack(nouns)),
        _stacked(actions) if with_action else None,
    )


def parse_document(path: Path) -> Any:
    """Return the document in a .zip or .json: objects as `Numbers` or `Entries`.

    Raises:
        DataError: It cannot be read.
    """
    try:
        content = _member(path) if path.suffix == ".zip" else path.read_bytes()
        return json.loads(content, object_pairs_hook=_compact)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", "Check the path") from error
    except json.JSONDecodeError as error:
        place = f"{path}, line {error.lineno}, column {error.colno}"
        raise DataError(f"{place}: not JSON ({error.msg})", HINT) from error
    except DataError:
        raise
    except Exception as error:  # a damaged file makes its parser raise anything
        raise DataError(f"{path} cannot be read ({error})", HINT) from error


def _member(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        if MEMBER not in archive.namelist():
            raise DataError(f"{path} holds {', '.join(archive.namelist()) or 'nothing'}, but not {MEMBER}", HINT)
        if archive.getinfo(MEMBER).file_size > MOST_BYTES:
            raise DataError(f"{path}: {MEMBER} is larger than 4 GiB", HINT)
        return archive.read(MEMBER)


def _compact(pairs: Entries) -> Numbers | Entries:
    if pairs and all(type(value) in (int, float) for _, value in pairs):
        keys, values = zip(*pairs, strict=True)
        return Numbers(keys, np.array([_as_float(value) for value in values]))
    return pairs


def is_object(content: Any) -> bool:
    """Tell `Entries` from a JSON list."""
    return isinstance(content, list) and all(isinstance(each, tuple) for each in content)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return math.inf


def _fields(content: Any, problems: list[str]) -> dict[str, Any]:
    """Return the fields of the whole, and add what is wrong with those before "results"."""
    fields = dict(content) if is_object(content) else {}
    for name, allowed in (("version", (VERSION,)), ("challenge", tuple(CHALLENGES.values()))):
        if fields.get(name) not in allowed:
            problems.append(f"'{name}' is {fields.get(name)!r}, expected {' or '.join(map(repr, allowed))}")
    for name in ("sls_pt", "sls_tl", "sls_td"):
        if type(fields.get(name)) is not int or not 0 <= fields[name] <= 5:
            problems.append(f"'{name}' is {fields.get(name)!r}, expected 0, 1, 2, 3, 4 or 5")
    return fields


def _check_ids(names: Sequence[str], expected: Iterable[str] | None, problems: list[str]) -> None:
    problems += [f"narration id '{name}' is there {count} times" for name, count in Counter(names).items() if count > 1]
    problems += problems_of_ids(set(names), set(names if expected is None else expected))


def problems_of_ids(there: set[str], wanted: set[str]) -> list[str]:
    """Return one line for missing and one for unexpected narration ids."""
    found = []
    for kind, names in (("missing", wanted - there), ("not expected", there - wanted)):
        if names:
            examples = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
            found.append(f"{len(names):,} narration ids are {kind}: {examples}")
    return found


def _segment(name: str, entry: Any, with_action: bool, problems: list[str]) -> tuple[Any, Any, Any]:
    """Return scores (97,), (300,) and (100, 3) of a segment, None where `problems` tells what is wrong."""
    fields = dict(entry) if is_object(entry) else {}
    if ("action" in fields) != with_action:
        problems.append(f"{name}: {'no' if with_action else 'an'} 'action', but all segments or none have it")
    verb = _classes(f"{name}: 'verb'", fields.get("verb"), VERBS, problems)
    noun = _classes(f"{name}: 'noun'", fields.get("noun"), NOUNS, problems)
    action = _actions(f"{name}: 'action'", fields["action"], problems) if "action" in fields else None
    return verb, noun, action


def _classes(where: str, scores: Any, count: int, problems: list[str]) -> NDArray[np.float64] | None:
    expected = _names(count)
    if not _are_numbers(where, scores, problems):
        return None
    if scores.keys == expected:
        return _finite(where, scores.values, problems)
    if set(scores.keys) != set(expected) or len(scores.keys) != count:
        absent = sorted(set(expected) - set(scores.keys), key=int)
        others = sorted(set(scores.keys) - set(expected))
        wrong = [f"no class {', '.join(absent[:3])}"] if absent else []
        wrong += [f"no such class as {', '.join(others[:3])}"] if others else []
        problems.append(
            f"{where} has {len(scores.keys)} scores of {count}: {'; '.join(wrong) or 'a class is repeated'}"
        )
        return None
    order = np.argsort([int(key) for key in scores.keys])
    return _finite(where, scores.values[order], problems)


def _names(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _actions(where: str, scores: Any, problems: list[str]) -> NDArray[np.float64] | None:
    if not _are_numbers(where, scores, problems):
        return None
    if len(scores.keys) != KEPT_PAIRS or len(set(scores.keys)) != KEPT_PAIRS:
        problems.append(f"{where} has {len(set(scores.keys))} pairs, expected {KEPT_PAIRS}")
        return None
    pairs = [_pair(key) for key in scores.keys]
    wrong = [key for key, pair in zip(scores.keys, pairs, strict=True) if pair is None]
    if wrong:
        problems.append(f"{where}: {wrong[0]!r} is no 'verb,noun' of classes 0 to {VERBS - 1} and 0 to {NOUNS - 1}")
        return None
    values = _finite(where, scores.values, problems)
    if values is None:
        return None
    return np.array(sorted((-score, *pair) for score, pair in zip(values, pairs, strict=True) if pair is not None))


def _pair(key: str) -> tuple[int, int] | None:
    verb, _, noun = key.partition(",")
    if not (verb.isdecimal() and noun.isdecimal() and key.isascii()):
        return None
    if f"{int(verb)},{int(noun)}" != key or int(verb) >= VERBS or int(noun) >= NOUNS:
        return None
    return int(verb), int(noun)


def _are_numbers(where: str, scores: Any, problems: list[str]) -> bool:
    if isinstance(scores, Numbers):
        return True
    if is_object(scores) and scores:
        key, value = next((key, value) for key, value in scores if type(value) not in (int, float))
        shown = type(value).__name__ if isinstance(value, (list, Numbers)) else repr(value)
        problems.append(f"{where}: the score of {key} is {shown}, not a number")
    else:
        problems.append(f"{where} is {'missing' if scores is None else 'no object of classes and scores'}")
    return False


def _finite(where: str, values: NDArray[np.float64], problems: list[str]) -> NDArray[np.float64] | None:
    if np.isfinite(values).all():
        return values
    problems.append(f"{where}: a score is {values[~np.isfinite(values)][0]}, not finite")
    return None


def _stacked(actions: Sequence[NDArray[np.float64]]) -> Pairs:
    columns = torch.from_numpy(np.stack(actions))  # (N, 100, 3)
    return Pairs(columns[..., 1].long(), columns[..., 2].long(), -columns[..., 0])
