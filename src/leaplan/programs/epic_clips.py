"""EPIC-KITCHENS-100's annotated segments as clips: narration, verb, noun and all nouns, times in seconds."""

import json
from collections.abc import Sequence
from pathlib import Path

from leaplan.epic_release import (
    NOUN_CLASSES,
    TRAIN,
    VALIDATION,
    VERB_CLASSES,
    frame_rate,
    need_file,
    seconds_of_timestamp,
)
from leaplan.errors import DataError, ProblemList
from leaplan.programs.evidence import Clip
from leaplan.programs.tables import Cells, read_table
from leaplan.programs.timeline import ordered
from leaplan.programs.vocabulary import read_classes
from leaplan.reading import AGAIN

SPLITS = {"train": TRAIN, "val": (VALIDATION,)}  # names that the file of each split may have
COLUMNS = ("narration_id", "video_id", "start_timestamp", "stop_timestamp", "start_frame", "stop_frame")
CLASSES = ("verb_class", "noun_class")


def clips_in(root: Path, splits: Sequence[str] = tuple(SPLITS)) -> tuple[Clip, ...]:
    """Return the clips of `splits` below `root`, in the order of the splits and of their files.

    Args:
        root: The folder of the EPIC-KITCHENS-100 annotations, or the one that holds it as `epic100/`.
        splits: "train", "val".

    Raises:
        DataError: A file is missing or unreadable, or `splits` names no split.
        ProblemList: Malformed rows, each with its line.
    """
    unknown = [split for split in splits if split not in SPLITS]
    if unknown:
        raise DataError(f"EPIC-KITCHENS has no split '{unknown[0]}'", f"There are {', '.join(SPLITS)}")
    verbs, nouns = (read_classes(need_file(root, name)).keys for name in (VERB_CLASSES, NOUN_CLASSES))
    return tuple(clip for split in splits for clip in read_clips(need_file(root, *SPLITS[split]), verbs, nouns))


def read_clips(path: Path, verbs: Sequence[str], nouns: Sequence[str]) -> list[Clip]:
    """Return the clips of a file of annotated segments, in its order. Rows need no narration.

    Where timestamps are blank, seconds are frames / F with F = 60, or 50 in videos PXX_1YY.

    Args:
        path: `EPIC_100_train.csv` or `EPIC_100_validation.csv`, plain or gzipped.
        verbs, nouns: Keys of all classes.

    Raises:
        DataError: Unreadable, or a column is missing.
        ProblemList: Malformed rows, unknown classes, reversed times, ids that occur twice; each with its line.
    """
    clips = read_table(path, (*COLUMNS, *CLASSES), lambda row: _clip(row, verbs, nouns))
    seen: set[str] = set()
    twice = [clip.id for clip in clips if clip.id in seen or seen.add(clip.id)]  # type: ignore[func-returns-value]
    if twice:
        raise ProblemList(str(path), [f"{each} occurs twice" for each in twice], AGAIN)
    return clips


def _clip(row: Cells, verbs: Sequence[str], nouns: Sequence[str]) -> Clip:
    noun = _key(row["noun_class"], nouns, "noun")
    listed = row.get("all_noun_classes", "")
    every = tuple(_key(each, nouns, "noun") for each in _whole_numbers(listed)) if listed else (noun,)
    return Clip(
        row["narration_id"],
        row["video_id"],
        *_times(row),
        row.get("narration", "").strip(),
        _key(row["verb_class"], verbs, "verb"),
        noun,
        tuple(dict.fromkeys(each for each in every if each)),
    )


def _times(row: Cells) -> tuple[float, float]:
    start, stop = row["start_timestamp"], row["stop_timestamp"]
    if start and stop:
        return ordered(seconds_of_timestamp(start), seconds_of_timestamp(stop))
    rate = frame_rate(row["video_id"])
    return ordered(_whole_number(row["start_frame"]) / rate, _whole_number(row["stop_frame"]) / rate)


def _key(number: object, keys: Sequence[str], what: str) -> str:
    """Return the key of a class id, "" if the id is blank."""
    if number == "":
        return ""
    position = _whole_number(number)
    if not 0 <= position < len(keys):
        raise ValueError(f"{what} {position} of {len(keys)}: no such class")
    return keys[position]


def _whole_number(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise ValueError(f'"{value}" is no whole number') from None


def _whole_numbers(text: str) -> list[object]:
    """Return the ids of a list written as "[21, 42]"."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list):
        raise ValueError(f'"{text[:40]}" is no list of class ids')
    return values
