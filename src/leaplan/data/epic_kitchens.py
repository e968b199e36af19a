"""EPIC-KITCHENS-100: 700 egocentric kitchen videos, 97 verbs, 300 nouns, 3,806 actions (Damen et al., 2022).

Read from the official repository's `EPIC_100_train.csv`, `EPIC_100_validation.csv`, the two class files and
`EPIC_100_video_info.csv`. Rows are listed by narration id there, so segments are sorted by start here.

Instead of the official training file, one that was put together from other releases may be read,
`EPIC_100_train_reconstructed.csv`: some of its times are blank, and 16 of its rows carry classes that were
mended after the 3,806 actions had been counted. If RULSTM's table is there, its classes are taken for them,
so that action ids are those in use.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from leaplan.data.building import Builder
from leaplan.data.datamodule import VideoDataModule
from leaplan.data.files import Files
from leaplan.data.protocols import protocol_of
from leaplan.epic_release import (
    FOLDERS,
    NOUN_CLASSES,
    TAIL_NOUNS,
    TAIL_VERBS,
    TRAIN,
    UNSEEN,
    VALIDATION,
    VERB_CLASSES,
    frame_rate,
    seconds_of_timestamp,
)
from leaplan.errors import DataError
from leaplan.records import Annotations, Step, Vocabulary

RULSTM = "rulstm_ek100_training.csv"  # id, video, first, last frame, verb, noun, action; no header
ACTIONS = 3806
COLUMNS = (
    "narration_id",
    "participant_id",
    "video_id",
    "start_timestamp",
    "stop_timestamp",
    "start_frame",
    "stop_frame",
    "narration",
    "verb_class",
    "noun_class",
)


class EpicKitchens(VideoDataModule):
    """EPIC-KITCHENS-100, in `epic100/` or its annotation repository. A step is an action (verb, noun).

    Protocol "official": the test split is the official validation set, whose labels are public.
    """

    dataset = "epic_kitchens"
    default_protocol = "official"
    folders = FOLDERS

    def read(self) -> Annotations:
        """Return the annotations under `protocol`; see `read_epic_kitchens`."""
        return read_epic_kitchens(self.root, self.protocol)


@dataclass(frozen=True, slots=True)
class _Row:
    where: tuple[Path, int]
    key: str
    person: str
    video: str
    times: tuple[float, float]
    text: str
    action: str  # "verb:noun"


def read_epic_kitchens(root: Path, protocol: str = "official") -> Annotations:
    """Return EPIC-KITCHENS-100's annotations, segments sorted by start.

    Action ids are those of RULSTM, AVION and others: the strings "verb:noun" of training and validation,
    sorted. Where timestamps are blank, seconds are frames / F with F = 60, or 50 in videos PXX_1YY.

    Raises:
        DataError: A file is missing or unreadable.
        ProblemList: Unknown classes, impossible times, ids that occur twice.
    """
    protocol_of("epic_kitchens", protocol)
    files = Files(root, FOLDERS)
    builder = Builder("epic_kitchens", protocol, files)
    verbs = _read_classes(builder, VERB_CLASSES)
    nouns = _read_classes(builder, NOUN_CLASSES)
    path = files.need(*TRAIN, what="training segments")
    train, blank = _read_rows(builder, path, (len(verbs), len(nouns)))
    if "reconstructed" in path.name:
        train = _relabelled(builder, train)
    path = files.need(VALIDATION, what="validation segments, our test split")
    test, _ = _read_rows(builder, path, (len(verbs), len(nouns)))
    actions = sorted({row.action for row in (*train, *test)})
    index = {action: position for position, action in enumerate(actions)}
    durations = _read_durations(builder)
    for row in (*train, *test):
        if row.video not in builder.drafts:
            builder.video(row.where, row.video, None, durations.get(row.video), row.person, frame_rate(row.video))
        builder.segment(row.where, row.video, row.times, index[row.action], row.text, key=row.key)
    builder.sort()
    builder.notes.append("test is the official validation set: labels of the official test set are not public")
    if len(actions) != ACTIONS:
        builder.notes.append(f"{len(actions):,} actions occur, not {ACTIONS:,}: ids are not the published ones")
    if blank:
        builder.notes.append(f"{blank:,} training segments have no timestamps: seconds come from frames")
    vocabulary = Vocabulary(tuple(_step(key, verbs, nouns) for key in actions), (), verbs, nouns)
    splits = {"train": [row.video for row in train], "test": [row.video for row in test]}
    found = builder.finish(vocabulary, {split: list(dict.fromkeys(names)) for split, names in splits.items()})
    return replace(
        found,
        tail_verbs=_rare(builder, TAIL_VERBS, "verb"),
        tail_nouns=_rare(builder, TAIL_NOUNS, "noun"),
        unseen_persons=frozenset(_column(builder, UNSEEN, "participant_id")),
    )


def _read_classes(builder: Builder, name: str) -> tuple[str, ...]:
    path = builder.files.need(name, what="class ids and keys")
    rows = [row for _, row in builder.files.table(path, ("id", "key"))]
    if [number for number, _ in rows] != [str(position) for position in range(len(rows))]:
        raise DataError(f"{path}: ids are not 0, 1, 2, ... in order", "Get the file again")
    return tuple(key for _, key in rows)


def _read_rows(builder: Builder, path: Path, classes: tuple[int, int]) -> tuple[list[_Row], int]:
    """Return the rows of `path`, and how many of them have no timestamps."""
    problems, rows, blank = builder.problems, [], 0
    for line, values in builder.files.table(path, COLUMNS):
        key, person, video, start, stop, first, last, text, verb, noun = values
        with problems.at((path, line)):
            if not (int(verb) < classes[0] and int(noun) < classes[1] and min(int(verb), int(noun)) >= 0):
                wrong = f"verb {verb} of {classes[0]}, noun {noun} of {classes[1]}: no such class"
                problems.add((path, line), wrong)
                continue
            if start and stop:
                times = seconds_of_timestamp(start), seconds_of_timestamp(stop)
            else:
                times = int(first) / frame_rate(video), int(last) / frame_rate(video)
                blank += 1
            rows.append(_Row((path, line), key, person, video, times, text, f"{int(verb)}:{int(noun)}"))
    return rows, blank


def _relabelled(builder: Builder, rows: list[_Row]) -> list[_Row]:
    """Return `rows` with RULSTM's classes where they differ, if its table is there."""
    path = builder.files.find(RULSTM)
    if path is None:
        return rows
    actions = {row[0]: f"{row[4]}:{row[5]}" for _, row in builder.files.bare_table(path, 7)}
    differ = {row.key for row in rows if actions.get(row.key, row.action) != row.action}
    if differ:
        builder.notes.append(f"{len(differ)} training segments have the classes of {path.name}")
    return [replace(row, action=actions[row.key]) if row.key in differ else row for row in rows]


def _read_durations(builder: Builder) -> dict[str, float]:
    path = builder.files.find("EPIC_100_video_info.csv")
    if path is None:
        builder.notes.append("no EPIC_100_video_info.csv: segments are not checked against durations")
        return {}
    durations = {}
    for line, (video, duration) in builder.files.table(path, ("video_id", "duration")):
        with builder.problems.at((path, line)):
            durations[video] = float(duration)
    return durations


def _column(builder: Builder, name: str, column: str) -> list[str]:
    """Return the values of a file with one column, none if it is not there."""
    path = builder.files.find(name)
    return [] if path is None else [value for _, (value,) in builder.files.table(path, (column,))]


def _rare(builder: Builder, name: str, column: str) -> frozenset[int]:
    return frozenset(int(value) for value in _column(builder, name, column))


def _step(action: str, verbs: tuple[str, ...], nouns: tuple[str, ...]) -> Step:
    verb, noun = map(int, action.split(":"))
    return Step(action, f"{_spoken(verbs[verb])} {_spoken(nouns[noun])}", None, verb, noun)


def _spoken(key: str) -> str:
    """Return a class key as one would say it: "turn-on" as "turn on", "rack:drying" as "drying rack"."""
    head, *modifiers = key.split(":")
    return " ".join([*modifiers, head]).replace("-", " ")
