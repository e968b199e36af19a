"""CaptainCook4D: 384 egocentric recordings of 24 recipes, many with induced mistakes (Peddi et al., 2024).

Read from the official annotation repository: `annotation_json/complete_step_annotations.json`,
`annotation_json/step_idx_description.json`, `metadata/video_information.csv` and `data_splits/`; the same
files may also lie side by side in one folder.
"""

import re
from pathlib import Path
from typing import Any

from leaplan.data.building import Builder
from leaplan.data.datamodule import VideoDataModule
from leaplan.data.files import Files
from leaplan.data.protocols import protocol_of
from leaplan.records import Annotations, Step, Vocabulary

FOLDERS = ("captaincook4d", "CaptainCook4D")
REPOSITORY = ("annotation_json", "metadata", "data_splits")
INSIDE = (*REPOSITORY, *(f"annotations/{name}" for name in REPOSITORY))
MISSING = -1  # start and stop of a step that was left out on purpose
SPLITS = ("train", "val", "test")


class CaptainCook4D(VideoDataModule):
    """CaptainCook4D, in `captaincook4d/` or its annotation repository. It has a validation part of its own.

    Protocols: "recordings", "person" and "environment"; with "-normal" only recordings without induced mistakes, with
    "-probe" tested on the official val and test together, as linear probes are: validation is then carved from train.
    """

    dataset = "captaincook4d"
    default_protocol = "recordings"
    folders = FOLDERS

    def read(self) -> Annotations:
        """Return the annotations under `protocol`; see `read_captaincook4d`."""
        return read_captaincook4d(self.root, self.protocol)


def read_captaincook4d(root: Path, protocol: str = "recordings") -> Annotations:
    """Return CaptainCook4D's annotations, segments sorted by start, steps that were left out dropped.

    Step classes are all step ids of the annotations, ascending. The person is the annotations' one: it is
    what the split "person" keeps apart, while `video_information.csv` differs in 19 recordings.

    Raises:
        DataError: A file is missing or unreadable.
        ProblemList: Unknown steps, impossible times, split lists that do not fit.
    """
    protocol_of("captaincook4d", protocol)
    files = Files(root, FOLDERS, INSIDE)
    builder = Builder("captaincook4d", protocol, files)
    path = files.need("complete_step_annotations.json", what="steps of all recordings")
    recordings: dict[str, Any] = files.json(path)
    names = files.json(files.need("step_idx_description.json", what="step ids and their texts"))
    vocabulary, tasks, steps = _classes(builder, path, recordings, names)
    durations = _read_durations(builder)
    dropped = 0
    for video, record in recordings.items():
        where = f"{path}, recording {video}"
        with builder.problems.at(where):
            task = tasks[record["activity_id"]]
            builder.video(where, video, task, durations.get(video), str(record["person_id"]))
            for position, entry in enumerate(record["steps"]):
                times = float(entry["start_time"]), float(entry["end_time"])
                if times == (MISSING, MISSING):
                    dropped += 1
                elif entry["step_id"] in steps:
                    builder.segment(
                        f"{where}, step {position}",
                        video,
                        times,
                        steps[entry["step_id"]],
                        entry["description"],
                        entry.get("has_errors"),
                        key=f"{video}:{position}",
                    )
    builder.sort()
    if dropped:
        builder.notes.append(f"{dropped} steps were left out by the person filmed and are dropped")
    return builder.finish(vocabulary, _read_splits(builder))


def _classes(
    builder: Builder, path: Path, recordings: dict[str, Any], names: dict[str, str]
) -> tuple[Vocabulary, dict[int, int], dict[int, int]]:
    """Return the vocabulary, and from activity and step ids to their indices."""
    activities: dict[int, str] = {}
    owners: dict[int, set[int]] = {}
    for video, record in recordings.items():
        with builder.problems.at(f"{path}, recording {video}"):
            activities[record["activity_id"]] = record["activity_name"]
            for entry in record["steps"]:
                owners.setdefault(entry["step_id"], set()).add(record["activity_id"])
    for unknown in sorted(key for key in owners if str(key) not in names):
        builder.problems.add(str(path), f"step id {unknown} is not in step_idx_description.json")
    keys = sorted(key for key in owners if str(key) in names)
    tasks = {activity: index for index, activity in enumerate(sorted(activities))}
    steps = tuple(
        Step(
            str(key),
            _spoken(names[str(key)]),
            tasks[next(iter(owners[key]))] if len(owners[key]) == 1 else None,
        )
        for key in keys
    )
    vocabulary = Vocabulary(steps, tuple(activities[activity] for activity in sorted(activities)))
    return vocabulary, tasks, {key: index for index, key in enumerate(keys)}


def _read_durations(builder: Builder) -> dict[str, float]:
    path = builder.files.find("video_information.csv")
    if path is None:
        builder.notes.append("no video_information.csv: segments are not checked against durations")
        return {}
    durations = {}
    for line, (video, seconds) in builder.files.table(path, ("recording_id", "duration(sec)")):
        with builder.problems.at((path, line)):
            durations[video] = float(seconds)
    return durations


def _read_splits(builder: Builder) -> dict[str, list[str]]:
    what, _, variant = builder.protocol.partition("-")
    kind = "normal" if variant == "normal" else "combined"
    path = builder.files.need(f"{what}_data_split_{kind}.json", what=f"recordings of each split by {what}")
    lists = builder.files.json(path)
    with builder.problems.at(str(path)):
        splits = {split: list(lists[split]) for split in SPLITS}
        if variant == "probe":
            splits["test"] = splits.pop("val") + splits["test"]
        return splits
    return {}


def _spoken(text: str) -> str:
    """Return a step's text without its leading tag: "Coat -Coat a ramekin cup" as "Coat a ramekin cup".

    The tag is the step's verb and is kept where the text does not say it: "Add-1 pinch of salt" becomes
    "Add 1 pinch of salt".
    """
    tag, _, rest = (part.strip() for part in text.partition("-"))
    if not rest:
        return tag
    said = re.match(r"[a-z]", rest[:1], re.IGNORECASE) is not None and not rest.lower().startswith("a ")
    return rest if said else f"{tag} {rest}"
