"""EPIC-KITCHENS-100 as it was released: what its folders and files are called, and how they tell time."""

import math
from pathlib import Path

from leaplan.errors import DataError

FOLDERS = ("epic100", "epic_kitchens", "epic-kitchens-100-annotations")
TRAIN = ("EPIC_100_train.csv", "EPIC_100_train_reconstructed.csv")  # the official file first
VALIDATION = "EPIC_100_validation.csv"
VERB_CLASSES, NOUN_CLASSES = "EPIC_100_verb_classes.csv", "EPIC_100_noun_classes.csv"
TAIL_VERBS, TAIL_NOUNS = "EPIC_100_tail_verbs.csv", "EPIC_100_tail_nouns.csv"
UNSEEN = "EPIC_100_unseen_participant_ids_validation.csv"
GET = "Get https://github.com/epic-kitchens/epic-kitchens-100-annotations and name its folder with --root"


def find_file(root: Path, *names: str) -> Path | None:
    """Return the first of `names`, plain or with `.gz`, in `root` or in a folder of EPIC's below it; None if none is.

    Raises:
        DataError: `root` is no folder.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder", GET)
    places = (root, *(root / folder for folder in FOLDERS))
    paths = (place / f"{name}{end}" for name in names for place in places for end in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def need_file(root: Path, *names: str) -> Path:
    """Return what `find_file` does.

    Raises:
        DataError: None of the files is there.
    """
    path = find_file(root, *names)
    if path is None:
        raise DataError(f"{root} has no {' or '.join(names)}, nor has a folder {', '.join(FOLDERS)} in it", GET)
    return path


def seconds_of_timestamp(timestamp: str) -> float:
    """Return the seconds of "HH:mm:ss.SS", in float64 and in this order, as the official frames were made.

    Raises:
        ValueError: Not of this form.
    """
    try:
        hours, minutes, seconds = timestamp.split(":")
        value = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        raise ValueError(f'"{timestamp}" is no time HH:mm:ss.SS') from None
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f'"{timestamp}" is no time HH:mm:ss.SS')
    return value


def frame_rate(video: str) -> int:
    """Return the rate of the official frames: 50 in the videos added in 2020 (PXX_1YY), else 60."""
    return 50 if len(video.partition("_")[2]) == 3 else 60
