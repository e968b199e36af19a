"""EPIC-KITCHENS-100's official files that scoring needs: segments with classes, rare classes, unseen persons.

Only what the official scoring reads, in the order of the files; `leaplan.data` reads the same files for training.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from leaplan.errors import DataError
from leaplan.recognition.metrics import Labels, subset_masks
from leaplan.recognition.submission import NOUNS, VERBS

FOLDERS = ("", "epic100", "epic_kitchens", "epic-kitchens-100-annotations")
VALIDATION = "EPIC_100_validation.csv"
TRAIN = ("EPIC_100_train.csv", "EPIC_100_train_reconstructed.csv")
UNSEEN = "EPIC_100_unseen_participant_ids_validation.csv"
HINT = "Get https://github.com/epic-kitchens/epic-kitchens-100-annotations and name its folder with --root"


@dataclass(frozen=True)
class EpicSegments:
    """The segments of an annotation file. N segments.

    Args:
        path: The file.
        ids, videos, persons: N each.
        labels: Verb and noun (N,), `step` is -1; None of a test file, which tells no classes.
    """

    path: Path
    ids: tuple[str, ...]
    videos: tuple[str, ...]
    persons: tuple[str, ...]
    labels: Labels | None


def find_file(root: Path, *names: str) -> Path | None:
    """Return the first of `names`, plain or with `.gz`, in `root` or in a folder of EPIC's below it; None if none is.

    Raises:
        DataError: `root` is no folder.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder", HINT)
    candidates = (root / folder / f"{name}{end}" for name in names for folder in FOLDERS for end in ("", ".gz"))
    return next((path for path in candidates if path.is_file()), None)


def need_file(root: Path, *names: str) -> Path:
    """Return what `find_file` does.

    Raises:
        DataError: None of the files is there.
    """
    path = find_file(root, *names)
    if path is None:
        raise DataError(f"{root} has no {' or '.join(names)}, nor has a folder {', '.join(FOLDERS[1:])} in it", HINT)
    return path


def read_segments(path: Path) -> EpicSegments:
    """Return the segments of an official annotation file, .csv or .csv.gz.

    Raises:
        DataError: Unreadable, a column is missing, a class is no number or out of range, an id is there twice.
    """
    named = ("narration_id", "video_id", "participant_id")
    with_classes = {"verb_class", "noun_class"} <= set(_header(path))
    ids, videos, persons, verbs, nouns = [], [], [], [], []
    for line, (name, video, person, *classes) in _table(path, named + ("verb_class", "noun_class") * with_classes):
        ids.append(name)
        videos.append(video)
        persons.append(person)
        if with_classes:
            verb, noun = _pair(path, line, classes)
            verbs.append(verb)
            nouns.append(noun)
    if not ids:
        raise DataError(f"{path} has no segments", HINT)
    if len(set(ids)) < len(ids):
        raise DataError(f"{path}: narration id '{max(ids, key=ids.count)}' is there twice", HINT)
    labels = None
    if with_classes:
        verb_labels, noun_labels = torch.tensor(verbs), torch.tensor(nouns)
        labels = Labels(torch.full_like(verb_labels, -1), verb_labels, noun_labels)
    return EpicSegments(path, tuple(ids), tuple(videos), tuple(persons), labels)


def read_subsets(root: Path, segments: EpicSegments) -> dict[str, dict[str, Tensor]]:
    """Return the "unseen" and "tail" samples of segments with classes, as `metrics.subset_masks` does.

    Raises:
        DataError: One of the three official lists is missing or damaged.
    """
    assert segments.labels is not None
    unseen = {person for _, (person,) in _table(need_file(root, UNSEEN), ("participant_id",))}
    verbs, nouns = (
        {_class(path, line, value, count) for line, (value,) in _table(path, (kind,))}
        for kind, count, path in (
            ("verb", VERBS, need_file(root, "EPIC_100_tail_verbs.csv")),
            ("noun", NOUNS, need_file(root, "EPIC_100_tail_nouns.csv")),
        )
    )
    return subset_masks(segments.labels, segments.persons, unseen, verbs, nouns)


def read_training_pairs(root: Path) -> set[tuple[int, int]] | None:
    """Return the (verb, noun) pairs of the training file, None if it is not there.

    Raises:
        DataError: Unreadable, without its columns, or with classes that cannot be.
    """
    path = find_file(root, *TRAIN)
    if path is None:
        return None
    return {_pair(path, line, classes) for line, classes in _table(path, ("verb_class", "noun_class"))}


def _pair(path: Path, line: int, classes: Sequence[str]) -> tuple[int, int]:
    verb, noun = classes
    return _class(path, line, verb, VERBS), _class(path, line, noun, NOUNS)


def _class(path: Path, line: int, value: str, count: int) -> int:
    if not value.isdecimal() or len(value) > 4 or int(value) >= count:
        raise DataError(f"{path}, line {line}: '{value[:20]}' is no class from 0 to {count - 1}", "Get the file again")
    return int(value)


def _header(path: Path) -> list[str]:
    return next(_rows(path), (1, []))[1]


def _table(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield (line, values of `columns`) of each row."""
    rows = _rows(path)
    _, header = next(rows, (1, []))
    absent = [column for column in columns if column not in header]
    if absent:
        raise DataError(f"{path}, line 1: no column {', '.join(map(repr, absent))}", "Get the file again")
    places = [header.index(column) for column in columns]
    for line, row in rows:
        if len(row) <= max(places):
            raise DataError(f"{path}, line {line}: the row is too short", "Get the file again")
        yield line, tuple(row[place] for place in places)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, values) of the header and of each row that is not empty."""
    reader = csv.reader(io.StringIO(_text(path), newline=""))
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: no table ({error})", "Get the file again") from error


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error})", "Check the path, or get the file again") from error
