"""NIV: 148 instructional videos of 5 tasks with 48 steps (Alayrac et al., 2016).

Read from `niv_train.json` and `niv_valid.json` as SCHEMA distributes them, {video: {task, task_id, steps:
[{action, action_id, start, end}]}}, or from one `.csv` per video (label, start, stop in seconds, no header)
in `csvs/`, or all of those in one `csvs_all.csv` with the header video,c0,c1,c2.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from leaplan.data.building import Builder
from leaplan.data.datamodule import VideoDataModule
from leaplan.data.files import Files
from leaplan.data.p3iv import Windows, read_windows, videos_of, warn_of_overlap
from leaplan.data.protocols import protocol_of
from leaplan.records import Annotations, Step, Vocabulary

FOLDERS = ("niv", "NIV")
SCHEMA = ("niv_train.json", "niv_valid.json")
PDPP = (("pdpp_niv_train70.json", "train70.json"), ("pdpp_niv_test30.json", "test30.json"))
P3IV = ("p3iv_niv_t3_datasplit.json", "niv_t3_datasplit.json")
INSTANT = 0.01  # seconds given to a step that is annotated as an instant; the precision of the JSON files
Row = tuple[str | tuple[Path, int], str, str, float, float]  # place, video, label, start, stop


class Niv(VideoDataModule):
    """NIV, in `niv/`. Protocols: "schema" (SCHEMA, PlanLLM), "pdpp" (70/30), and "p3iv" (windows; horizon 3 only)."""

    dataset = "niv"
    default_protocol = "schema"
    folders = FOLDERS

    def read(self) -> Annotations:
        """Return the annotations under `protocol`; see `read_niv`."""
        return read_niv(self.root, self.protocol)


def read_niv(root: Path, protocol: str = "schema") -> Annotations:
    """Return NIV's annotations, segments in file order. Step ids are those of `niv_action_idx.json`.

    Two steps are annotated as instants (start = stop) and are given 0.01 s.

    Raises:
        DataError: A file is missing or unreadable.
        ProblemList: Unknown labels, impossible times, split lists that do not fit.
    """
    protocol_of("niv", protocol)
    files = Files(root, FOLDERS)
    builder = Builder("niv", protocol, files)
    vocabulary = _read_vocabulary(builder)
    index = {step.name: position for position, step in enumerate(vocabulary.steps)}
    instants = []
    for where, video, label, start, stop in _rows(builder, index):
        step = index.get(label)
        if step is None:
            builder.problems.add(where, f"action {label!r} is not in niv_action_idx.json")
            continue
        task = vocabulary.steps[step].task
        if video not in builder.drafts:
            builder.video(where, video, task)
        elif builder.drafts[video].task != task:
            builder.problems.add(where, f"action {label!r} belongs to another task than the video's first")
        if start == stop:
            instants.append(video)
            stop = start + INSTANT
        builder.segment(where, video, (start, stop), step)
    if instants:
        builder.notes.append(f"{len(instants)} steps are annotated as instants and last {INSTANT} s here")
    builder.note_order()
    splits, windows = _read_splits(builder)
    return builder.finish(vocabulary, splits, windows)


def _read_vocabulary(builder: Builder) -> Vocabulary:
    path = builder.files.need("niv_action_idx.json", what="ids of tasks and actions")
    steps: dict[int, Step] = {}
    tasks: dict[int, str] = {}
    for task, record in builder.files.json(path).items():
        with builder.problems.at(f"{path}, task {task!r}"):
            tasks[record["task_id"]] = task
            for action, number in record["actions"].items():
                steps[number] = Step(str(number), action, record["task_id"])
    if sorted(steps) != list(range(len(steps))) or sorted(tasks) != list(range(len(tasks))):
        builder.problems.add(str(path), "the ids of tasks or actions are not 0, 1, ... without gaps")
    return Vocabulary(tuple(steps[i] for i in sorted(steps)), tuple(tasks[i] for i in sorted(tasks)))


def _rows(builder: Builder, index: Mapping[str, int]) -> Iterator[Row]:
    files = builder.files
    documents = [path for path in map(files.find, SCHEMA) if path]
    if len(documents) == len(SCHEMA) or builder.protocol == "schema":
        for name in SCHEMA:
            yield from _json_rows(builder, index, files.need(name, what="annotations and split of SCHEMA"))
        return
    folder = files.find_folder("csvs", "csv")
    if folder is not None:
        for path in sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")]):
            video = path.name.removesuffix(".gz").removesuffix(".csv")
            for line, (label, start, stop) in files.bare_table(path, 3):
                with builder.problems.at((path, line)):
                    yield (path, line), video, label.lower(), float(start), float(stop)
        return
    path = files.need("csvs_all.csv", what="annotations; or niv_train.json and niv_valid.json, or csvs/")
    for line, (video, label, start, stop) in files.table(path, ("video", "c0", "c1", "c2")):
        with builder.problems.at((path, line)):
            yield (path, line), video, label.lower(), float(start), float(stop)


def _json_rows(builder: Builder, index: Mapping[str, int], path: Path) -> Iterator[Row]:
    for video, record in builder.files.json(path).items():
        where = f"{path}, video {video}"
        with builder.problems.at(where):
            for step in record["steps"]:
                number, expected = step["action_id"], index.get(step["action"])
                if expected not in (None, number):
                    builder.problems.add(where, f"action {step['action']!r} has id {number}, but is {expected}")
                yield where, video, step["action"], float(step["start"]), float(step["end"])


def _read_splits(builder: Builder) -> tuple[dict[str, list[str]], Windows | None]:
    files = builder.files
    if builder.protocol == "p3iv":
        path = files.need(*P3IV, what="P3IV's window lists, as JSON instead of a pickle")
        windows = read_windows(builder, path, lambda name: name.removesuffix(".csv"))
        warn_of_overlap(builder, windows)
        return videos_of(windows), windows
    splits: dict[str, list[str]] = {}
    if builder.protocol == "schema":
        for split, name in zip(("train", "test"), SCHEMA, strict=True):
            splits[split] = list(files.json(files.need(name, what="annotations and split of SCHEMA")))
        return splits, None
    for split, names in zip(("train", "test"), PDPP, strict=True):
        path = files.need(*names, what=f"videos of split '{split}'")
        splits[split] = []
        for position, entry in enumerate(files.json(path, list)):
            with builder.problems.at(f"{path}, entry {position}"):
                splits[split].append(PurePosixPath(entry["feature"]).stem)
    return splits, None
