"""EPIC-KITCHENS-100's official files that scoring needs: segments with classes, rare classes, unseen persons.

Only what the official scoring reads, in the order of the files; `leaplan.data` reads the same files for training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from leaplan.epic_release import GET, TAIL_NOUNS, TAIL_VERBS, TRAIN, UNSEEN, VALIDATION, find_file, need_file
from leaplan.errors import DataError
from leaplan.reading import AGAIN, header_of, lines_in, table_of, text_of
from leaplan.recognition.metrics import Labels, subset_masks
from leaplan.recognition.submission import NOUNS, VERBS

__all__ = ["VALIDATION", "EpicSegments", "need_file", "read_segments", "read_subsets", "read_training_pairs"]


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


def read_segments(path: Path) -> EpicSegments:
    """Return the segments of an official annotation file, .csv or .csv.gz.

    Raises:
        DataError: Unreadable, a column is missing, a class is no number or out of range, an id is there twice.
    """
    named = ("narration_id", "video_id", "participant_id")
    with_classes = {"verb_class", "noun_class"} <= set(header_of(path, lines_in(path, text_of(path))))
    ids, videos, persons, verbs, nouns = [], [], [], [], []
    for line, (name, video, person, *classes) in table_of(path, named + ("verb_class", "noun_class") * with_classes):
        ids.append(name)
        videos.append(video)
        persons.append(person)
        if with_classes:
            verb, noun = _pair(path, line, classes)
            verbs.append(verb)
            nouns.append(noun)
    if not ids:
        raise DataError(f"{path} has no segments", GET)
    if len(set(ids)) < len(ids):
        raise DataError(f"{path}: narration id '{max(ids, key=ids.count)}' is there twice", GET)
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
    unseen = {person for _, (person,) in table_of(need_file(root, UNSEEN), ("participant_id",))}
    verbs, nouns = (
        {_class(path, line, value, count) for line, (value,) in table_of(path, (kind,))}
        for kind, count, path in (
            ("verb", VERBS, need_file(root, TAIL_VERBS)),
            ("noun", NOUNS, need_file(root, TAIL_NOUNS)),
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
    return {_pair(path, line, classes) for line, classes in table_of(path, ("verb_class", "noun_class"))}


def _pair(path: Path, line: int, classes: Sequence[str]) -> tuple[int, int]:
    verb, noun = classes
    return _class(path, line, verb, VERBS), _class(path, line, noun, NOUNS)


def _class(path: Path, line: int, value: str, count: int) -> int:
    if not value.isdecimal() or len(value) > 4 or int(value) >= count:
        raise DataError(f"{path}, line {line}: '{value[:20]}' is no class from 0 to {count - 1}", AGAIN)
    return int(value)
