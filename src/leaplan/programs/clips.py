"""EPIC-KITCHENS-100's annotated segments as clips: narration, verb, noun and all nouns, times in seconds."""

import json
from collections.abc import Sequence
from pathlib import Path

from leaplan.errors import DataError, ProblemList
from leaplan.programs.evidence import Clip
from leaplan.programs.sources import AGAIN, Row, frame_rate, ordered, read_rows, seconds_of

#: Names that the files of each split may have, the official one first.
SPLITS = {
    "train": ("EPIC_100_train.csv", "EPIC_100_train_reconstructed.csv"),
    "validation": ("EPIC_100_validation.csv",),
}
VERBS, NOUNS = "EPIC_100_verb_classes.csv", "EPIC_100_noun_classes.csv"
FOLDERS = ("", "epic100", "epic_kitchens", "epic-kitchens-100-annotations")
COLUMNS = ("narration_id", "video_id", "start_timestamp", "stop_timestamp", "start_frame", "stop_frame")
CLASSES = ("verb_class", "noun_class")


def clips_in(root: Path, splits: Sequence[str] = tuple(SPLITS)) -> tuple[Clip, ...]:
    """Return the clips of `splits` below `root`, in the order of the splits and of their files.

    Args:
        root: The folder of the EPIC-KITCHENS-100 annotations, or the one that holds it as `epic100/`.
        splits: "train", "validation".

    Raises:
        DataError: A file is missing or unreadable, or `splits` names no split.
        ProblemList: Malformed rows, each with its line.
    """
    unknown = [split for split in splits if split not in SPLITS]
    if unknown:
        raise DataError(f"EPIC-KITCHENS has no split '{unknown[0]}'", f"There are {', '.join(SPLITS)}")
    verbs, nouns = read_classes(need(root, VERBS)), read_classes(need(root, NOUNS))
    return tuple(clip for split in splits for clip in read_clips(need(root, *SPLITS[split]), verbs, nouns))


def find(root: Path, *names: str) -> Path | None:
    """Return the first of `names` below `root`, plain or with `.gz`; None if none is there."""
    paths = (root / folder / f"{name}{end}" for name in names for folder in FOLDERS for end in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def need(root: Path, *names: str) -> Path:
    """Return the first of `names` below `root`.

    Raises:
        DataError: None of them is there.
    """
    path = find(root, *names)
    if path is None:
        raise DataError(
            f"{root} has no {' or '.join(names)}",
            "Put the EPIC-KITCHENS-100 annotations there or into epic100/ in it, plain or gzipped",
        )
    return path


def read_classes(path: Path) -> tuple[str, ...]:
    """Return the keys of a class file; a class id is its position.

    Raises:
        DataError: Unreadable, or the ids are not 0, 1, 2, ... in order.
    """
    rows = read_rows(path, ("id", "key"), lambda row: (row["id"], row["key"]))
    if not rows or [number for number, _ in rows] != [str(position) for position in range(len(rows))]:
        raise DataError(f"{path}: ids are not 0, 1, 2, ... in order", AGAIN)
    return tuple(key for _, key in rows)


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
    clips = read_rows(path, (*COLUMNS, *CLASSES), lambda row: _clip(row, verbs, nouns))
    seen: set[str] = set()
    twice = [clip.id for clip in clips if clip.id in seen or seen.add(clip.id)]  # type: ignore[func-returns-value]
    if twice:
        raise ProblemList(str(path), [f"{each} occurs twice" for each in twice], AGAIN)
    return clips


def _clip(row: Row, verbs: Sequence[str], nouns: Sequence[str]) -> Clip:
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


def _times(row: Row) -> tuple[float, float]:
    start, stop = row["start_timestamp"], row["stop_timestamp"]
    if start and stop:
        return ordered(seconds_of(start), seconds_of(stop))
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
