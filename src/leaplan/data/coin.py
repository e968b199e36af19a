"""COIN: 11,827 instructional videos of 180 tasks with 778 steps (Tang et al., 2019).

Read from `COIN.json` as its authors distribute it, {"database": {video: {recipe_type, annotation: [{id,
segment: [start, stop], label}], class, subset, duration, ...}}}, or from PDPP's two lists of the same
records. Step ids are the official ones less one; names come from `taxonomy.xlsx`.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from leaplan.data.building import Builder
from leaplan.data.datamodule import VideoDataModule
from leaplan.data.files import Files
from leaplan.data.protocols import protocol_of
from leaplan.errors import DataError
from leaplan.records import Annotations, Step, Vocabulary

FOLDERS = ("coin", "COIN")
SPLIT_OF = {"training": "train", "testing": "test", "train": "train", "test": "test", "validation": "val"}
Record = tuple[str, str, Any]  # place, video, record


class Coin(VideoDataModule):
    """COIN, in `coin/`. Protocols: "official" (COIN.json's `subset`) and "pdpp" (10,070 videos, 70/30)."""

    dataset = "coin"
    default_protocol = "official"
    folders = FOLDERS

    def read(self) -> Annotations:
        """Return the annotations under `protocol`; see `read_coin`."""
        return read_coin(self.root, self.protocol)


def read_coin(root: Path, protocol: str = "official") -> Annotations:
    """Return COIN's annotations.

    Raises:
        DataError: A file is missing or unreadable.
        ProblemList: Unknown tasks or steps, impossible times, videos listed twice.
    """
    protocol_of("coin", protocol)
    files = Files(root, FOLDERS)
    builder = Builder("coin", protocol, files)
    records = list(_official(files) if protocol == "official" else _pdpp(files))
    classes = _classes(builder, records)
    splits: dict[str, list[str]] = {}
    for where, video, record in records:
        with builder.problems.at(where):
            subset = record["subset" if protocol == "official" else "pdpp_split"]
            if subset not in SPLIT_OF:
                raise ValueError(f"subset {subset!r}, expected training or testing")
            if _add(builder, classes, where, video, record):
                splits.setdefault(SPLIT_OF[subset], []).append(video)
    builder.note_order()
    return builder.finish(classes.vocabulary, splits)


def _official(files: Files) -> Iterator[Record]:
    path = files.need(
        "COIN.json", what="all annotations and the official split, from the authors' annotation repository"
    )
    yield from _database(files, path)


def _pdpp(files: Files) -> Iterator[Record]:
    merged = files.find("coin_pdpp_70_30.json")
    if merged is not None:
        yield from _database(files, merged)
        return
    for name, split in (("coin_train_70.json", "train"), ("coin_test_30.json", "test")):
        path = files.need(name, what=f"PDPP's {split} records, a list of {{video: record}}")
        for position, entry in enumerate(files.json(path, list)):
            for video, record in entry.items():
                yield f"{path}, entry {position}", video, {**record, "pdpp_split": split}


def _database(files: Files, path: Path) -> Iterator[Record]:
    document = files.json(path)
    if not isinstance(document.get("database"), dict):
        raise DataError(f"{path} has no object 'database'", "Check that this is the file its name says")
    for video, record in document["database"].items():
        yield f"{path}, video {video}", video, record


@dataclass(frozen=True, slots=True)
class _Classes:
    vocabulary: Vocabulary
    task: dict[int, int]  # recipe_type to index
    step: dict[str, int]  # official step id to index


def _add(builder: Builder, classes: _Classes, where: str, video: str, record: dict[str, Any]) -> bool:
    """Add a video; return whether it is new."""
    new = video not in builder.drafts
    task = classes.task.get(record["recipe_type"])
    if task is None:
        raise ValueError(f"task {record['recipe_type']} is not in taxonomy.xlsx")
    builder.video(where, video, task, float(record["duration"]))
    if not new:
        return False
    for entry in record["annotation"]:
        step = classes.step.get(str(entry["id"]))
        if step is None:
            builder.problems.add(where, f"step id {entry['id']} is not in taxonomy.xlsx")
            continue
        start, stop = entry["segment"]
        builder.segment(where, video, (float(start), float(stop)), step, entry.get("label", ""))
    return True


def _classes(builder: Builder, records: list[Record]) -> _Classes:
    path = builder.files.find("taxonomy.xlsx")
    rows = _taxonomy(builder.files, path) if path else _occurring(builder, records)
    tasks = {row[0]: row[1] for row in rows}
    names = {row[2]: row[3] for row in rows}
    owners: dict[int, set[int]] = {}
    for task, _, step, _ in rows:
        owners.setdefault(step, set()).add(task)
    task_index = {task: index for index, task in enumerate(sorted(tasks))}
    steps = tuple(
        Step(str(step), names[step], task_index[min(owners[step])] if len(owners[step]) == 1 else None)
        for step in sorted(names)
    )
    vocabulary = Vocabulary(steps, tuple(tasks[task] for task in sorted(tasks)))
    return _Classes(vocabulary, task_index, {step.key: index for index, step in enumerate(steps)})


def _taxonomy(files: Files, path: Path) -> list[tuple[int, str, int, str]]:
    """Return (task id, task, step id, step) of each row of the sheet `target_action_mapping`."""
    from openpyxl import load_workbook

    try:
        book = load_workbook(io.BytesIO(files.bytes(path)), read_only=True)
        rows = list(book["target_action_mapping"].iter_rows(values_only=True))[1:]
        filled = [row for row in rows if row[0] is not None]
        return [(int(row[0]), str(row[1]), int(row[2]), str(row[3]).strip()) for row in filled]
    except (BadZipFile, KeyError, ValueError, TypeError, IndexError) as error:
        raise DataError(
            f"{path} has no readable sheet 'target_action_mapping' with target id, target label, "
            f"action id and action label ({error})",
            "Get the file again, or remove it: the classes are then taken from the annotations",
        ) from error


def _occurring(builder: Builder, records: list[Record]) -> list[tuple[int, str, int, str]]:
    rows = []
    for where, _, record in records:
        with builder.problems.at(where):
            task = (int(record["recipe_type"]), str(record["class"]))
            rows += [(*task, int(entry["id"]), str(entry["label"])) for entry in record["annotation"]]
    builder.notes.append(
        f"no taxonomy.xlsx: the classes are the {len({row[2] for row in rows})} steps and "
        f"{len({row[0] for row in rows})} tasks that occur, so ids differ from those of the full taxonomy"
    )
    return rows
