"""CrossTask: 2,750 annotated instructional videos of 18 tasks with 133 steps (Zhukov et al., 2019).

Read from `crosstask_release/` as its authors distribute it: `tasks_primary.txt` and one file per video,
`annotations/{task}_{video}.csv` without header (number of the step in its task, start, stop in seconds);
or all of them in one `annotations_all.csv` with the header task,video,step,start,end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leaplan.data.building import Builder
from leaplan.data.datamodule import VideoDataModule
from leaplan.data.files import Files
from leaplan.data.p3iv import Windows, read_windows, videos_of, warn_of_overlap
from leaplan.data.protocols import protocol_of
from leaplan.errors import DataError
from leaplan.records import Annotations, Step, Vocabulary

FOLDERS = ("crosstask", "crosstask_release", "CrossTask")
BASE = (  # file names as SCHEMA distributes them, and as under shared/data
    ("cross_task_data_False.json", "schema_crosstask_cross_task_data_False.json"),
    ("cross_task_data_True.json", "schema_crosstask_cross_task_data_True.json"),
)
PDPP = (
    ("pdpp_crosstask_train_list.json", "pdpp_train_list.json", "train_list.json"),
    ("pdpp_crosstask_test_list.json", "pdpp_test_list.json", "test_list.json"),
)
P3IV = ("p3iv_crosstask_t3_datasplit.json", "crosstask_t3_datasplit.json", "p3iv_t3_datasplit.json")
Row = tuple[tuple[Path, int], str, str, str, str, str]  # (file, line), task, video, step, start, stop


class CrossTask(VideoDataModule):
    """CrossTask, in `crosstask/` or `crosstask_release/`.

    Protocols: "base" (SCHEMA, PlanLLM), "pdpp", and "p3iv", which splits windows and has horizon 3 only.

    Args:
        args, kwargs: As `VideoDataModule`.
        merged: Merge steps of the same name: 105 classes instead of 133.
    """

    dataset = "crosstask"
    default_protocol = "base"
    folders = FOLDERS

    def __init__(self, *args: Any, merged: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.merged = merged

    def read(self) -> Annotations:
        """Return the annotations under `protocol`; see `read_crosstask`."""
        return read_crosstask(self.root, self.protocol, self.merged)


def read_crosstask(root: Path, protocol: str = "base", merged: bool = False) -> Annotations:
    """Return CrossTask's annotations, segments in file order.

    Step ids are those of `crosstask_idices.json` (133) or of `cls_step.json` (105, merged), less one;
    without these files steps are numbered in the order of `tasks_primary.txt`.

    Raises:
        DataError: A file is missing or unreadable.
        ProblemList: Unknown tasks or steps, impossible times, split lists that do not fit.
    """
    protocol_of("crosstask", protocol)
    files = Files(root, FOLDERS, inside=("crosstask_release",))
    builder = Builder("crosstask", protocol, files)
    tasks = _read_tasks(files)
    numbering = _number_merged(builder, tasks) if merged else _number_all(builder, tasks)
    numbers = {task.id: len(task.steps) for task in tasks}
    for where, task, video, number, start, stop in _rows(files):
        _add(builder, numbering, numbers, (where, task, video, number, start, stop))
    builder.note_order()
    splits, windows = _read_splits(builder)
    return builder.finish(numbering.vocabulary, splits, windows)


@dataclass(frozen=True, slots=True)
class _Task:
    id: str
    name: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Numbering:
    vocabulary: Vocabulary
    task: dict[str, int]  # task id to index
    step: dict[tuple[str, int], int]  # (task id, number from 1) to index


def _read_tasks(files: Files) -> list[_Task]:
    path = files.need("tasks_primary.txt", what="tasks and their steps")
    tasks = []
    for position, block in enumerate(files.text(path).strip().split("\n\n")):
        lines = [line.strip() for line in block.strip().splitlines()]
        steps = tuple(lines[4].split(",")) if len(lines) == 5 else ()
        if len(lines) != 5 or str(len(steps)) != lines[3]:
            raise DataError(
                f"{path}, task {position + 1}: expected 5 lines (id, name, address, number of steps, "
                f"that many steps), found {lines}",
                "Get the file again",
            )
        tasks.append(_Task(lines[0], lines[1], steps))
    return tasks


def _rows(files: Files) -> Iterator[Row]:
    folder = files.find_folder("annotations")
    if folder is None:
        path = files.need("annotations_all.csv", what="annotations, or a folder annotations/ of .csv files")
        columns = ("task", "video", "step", "start", "end")
        for line, (task, video, step, start, stop) in files.table(path, columns):
            yield (path, line), task, video, step, start, stop
        return
    for path in sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")]):
        task, _, video = path.name.removesuffix(".gz").removesuffix(".csv").partition("_")
        for line, (step, start, stop) in files.bare_table(path, 3):
            yield (path, line), task, video, step, start, stop


def _add(builder: Builder, numbering: _Numbering, numbers: dict[str, int], row: Row) -> None:
    where, task, video, number, start, stop = row
    problems = builder.problems
    if task not in numbering.task:
        problems.add(where, f"task {task!r} is not in tasks_primary.txt")
        return
    if video not in builder.drafts:
        builder.video(where, video, numbering.task[task])
    elif builder.drafts[video].task != numbering.task[task]:
        problems.add(where, f"video {video} is annotated under two tasks")
    with problems.at(where):
        step = numbering.step.get((task, int(number)))
        if step is None:
            problems.add(where, f"step {number} of task {task}, which has steps 1 to {numbers[task]}")
            return
        builder.segment(where, video, (float(start), float(stop)), step)


def _number_all(builder: Builder, tasks: list[_Task]) -> _Numbering:
    """Number the steps of all tasks apart: 133 classes."""
    path = builder.files.find("crosstask_idices.json")
    pairs = [(task, number) for task in tasks for number in range(1, len(task.steps) + 1)]
    order = list(range(len(pairs)))
    task_order = {task.id: index for index, task in enumerate(tasks)}
    if path is None:
        builder.notes.append("no crosstask_idices.json: steps are numbered in the order of tasks_primary.txt")
    else:
        document = builder.files.json(path)
        with builder.problems.at(str(path)):
            order = [document["action_idx"][f"{t.name}_{t.steps[n - 1]}"] - 1 for t, n in pairs]
            task_order = {task.id: document["task_idx"][task.name] for task in tasks}
    steps = {
        index: Step(f"{task.id}_{number}", task.steps[number - 1], task_order[task.id])
        for index, (task, number) in zip(order, pairs, strict=True)
    }
    step = {(task.id, number): index for index, (task, number) in zip(order, pairs, strict=True)}
    return _numbering(builder, tasks, task_order, steps, step)


def _number_merged(builder: Builder, tasks: list[_Task]) -> _Numbering:
    """Give steps of the same name one number: 105 classes.

    `cls_step.json` misspells three names, so its steps are found by position, not by name.
    """
    path = builder.files.find("cls_step.json")
    names = list(dict.fromkeys(name for task in tasks for name in task.steps))
    step = {(task.id, number): names.index(name) for task in tasks for number, name in enumerate(task.steps, start=1)}
    task_order = {task.id: index for index, task in enumerate(tasks)}
    if path is None:
        builder.notes.append("no cls_step.json: steps are numbered in the order of tasks_primary.txt")
    else:
        document = builder.files.json(path)
        with builder.problems.at(str(path)):
            step = {
                (task, number): document[task]["steps"][document[task]["step_name"][str(number - 1)]] - 1
                for task, number in step
            }
    path = builder.files.find("activity_step.json")
    if path is not None:
        activities = builder.files.json(path)
        with builder.problems.at(str(path)):
            task_order = {task.id: activities[task.id] for task in tasks}
    steps: dict[int, Step] = {}
    for task in tasks:
        for number, name in enumerate(task.steps, start=1):
            index = step[task.id, number]
            shared = index in steps and steps[index].task != task_order[task.id]
            steps[index] = Step(str(index + 1), name, None if shared else task_order[task.id])
    return _numbering(builder, tasks, task_order, steps, step)


def _numbering(
    builder: Builder,
    tasks: list[_Task],
    task_order: dict[str, int],
    steps: dict[int, Step],
    step: dict[tuple[str, int], int],
) -> _Numbering:
    if sorted(steps) != list(range(len(steps))) or sorted(task_order.values()) != list(range(len(tasks))):
        raise DataError(
            f"crosstask in {builder.files.folder}: the ids of steps or tasks are not 1, 2, ... without gaps",
            "Get crosstask_idices.json, cls_step.json and tasks_primary.txt again; they must belong together",
        )
    names = tuple(task.name for task in sorted(tasks, key=lambda task: task_order[task.id]))
    return _Numbering(Vocabulary(tuple(steps[i] for i in range(len(steps))), names), task_order, step)


def _read_splits(builder: Builder) -> tuple[dict[str, list[str]], Windows | None]:
    files = builder.files
    if builder.protocol == "p3iv":
        path = files.need(*P3IV, what="P3IV's window lists, as JSON instead of a pickle")
        windows = read_windows(builder, path, str)
        warn_of_overlap(builder, windows)
        return videos_of(windows), windows
    splits: dict[str, list[str]] = {}
    for split, names in zip(("train", "test"), BASE if builder.protocol == "base" else PDPP, strict=True):
        path = files.need(*names, what=f"videos of split '{split}'")
        splits[split] = []
        for position, entry in enumerate(files.json(path, list)):
            with builder.problems.at(f"{path}, entry {position}"):
                splits[split].append((entry["id"] if builder.protocol == "base" else entry)["vid"])
    return splits, None
