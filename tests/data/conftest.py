"""Datasets in miniature, in the layouts that their authors distribute, and the real ones read once."""

import csv
import json
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from leaplan.data.check import READERS
from leaplan.records import Annotations

Read = Callable[..., Annotations]


def write(path: Path, content: Any) -> Path:
    """Write text, or a JSON document, making folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture(scope="session", name="write")
def write_fixture() -> Callable[[Path, Any], Path]:
    return write


@pytest.fixture(scope="session")
def read_real(shared: Path) -> Read:
    """Read a real dataset under a protocol, once per session."""

    @cache
    def read(dataset: str, *arguments: object) -> Annotations:
        module, function = READERS[dataset]
        return getattr(import_module(module), function)(shared / "data", *arguments)

    return read


@pytest.fixture
def crosstask(tmp_path: Path) -> Path:
    """Two tasks, three steps of which one is shared, three videos."""
    root = tmp_path / "crosstask_release"
    write(
        root / "tasks_primary.txt",
        "11\nMake Tea\nhttp://a\n2\npour water,add tea\n\n22\nMake Soup\nhttp://b\n2\npour water,stir\n\n",
    )
    write(root / "annotations" / "11_a_b.csv", "1,0.5,2.0\n2,3.0,4.5\n2,2.5,2.9\n")
    write(root / "annotations" / "11_c.csv", "1,1.0,2.0\n2,2.0,3.0\n1,4.0,5.0\n2,6.0,7.0\n")
    write(root / "annotations" / "22_d.csv", "1,1.0,2.0\n2,2.0,3.0\n2,4.0,5.0\n")
    lists = {"train": ["a_b", "c"], "test": ["d"]}
    for split, flag in (("train", "False"), ("test", "True")):
        entries = [{"vid": video, "task": "11"} for video in lists[split]]
        write(tmp_path / "splits" / f"pdpp_crosstask_{split}_list.json", entries)
        write(root / f"cross_task_data_{flag}.json", [{"id": entry} for entry in entries])
    return tmp_path


@pytest.fixture
def coin(tmp_path: Path) -> Path:
    """Two tasks, three steps, three videos in COIN.json and a taxonomy."""
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.title = "target_action_mapping"
    sheet.append(["Target Id", "Target Label", "Action Id", "Action Label"])
    for row in ([0, "MakeTea", 1, "boil"], [0, "MakeTea", 3, "pour"], [1, "WashCar", 2, "rinse"]):
        sheet.append(row)
    (tmp_path / "coin").mkdir()
    book.save(tmp_path / "coin" / "taxonomy.xlsx")
    write(tmp_path / "coin" / "COIN.json", {"database": coin_database()})
    return tmp_path


def coin_database() -> dict[str, Any]:
    def record(task: int, name: str, subset: str, *steps: tuple[str, float, float, str]) -> dict[str, Any]:
        annotation = [{"id": key, "segment": [a, b], "label": label} for key, a, b, label in steps]
        return {
            "recipe_type": task,
            "class": name,
            "subset": subset,
            "duration": 20.0,
            "annotation": annotation,
        }

    boil, pour, rinse = ("1", 1.0, 4.0, "boil"), ("3", 5.0, 9.0, "pour"), ("2", 2.0, 20.5, "rinse")
    return {
        "v1": record(0, "MakeTea", "training", boil, pour),
        "v2": record(1, "WashCar", "training", rinse),
        "v3": record(0, "MakeTea", "testing", boil, pour),
    }


@pytest.fixture
def niv(tmp_path: Path) -> Path:
    """One task, three actions, three videos as JSON and as csv files."""
    root = tmp_path / "niv"
    actions = {"lift jack": 0, "turn wheel": 1, "check": 2}
    write(root / "niv_action_idx.json", {"change tire": {"task_id": 0, "actions": actions}})
    videos = {
        "tire_01": [("lift jack", 1.5, 3.0), ("turn wheel", 3.0, 5.25), ("check", 6.0, 6.0)],
        "tire_02": [("turn wheel", 1.0, 3.0), ("lift jack", 0.5, 0.9)],
        "tire_03": [("check", 1.0, 3.0), ("lift jack", 4.0, 5.0)],
    }
    for split, names in (("train", ("tire_01", "tire_02")), ("valid", ("tire_03",))):
        document = {
            name: {
                "task": "change tire",
                "task_id": 0,
                "steps": [
                    {"action": label, "action_id": actions[label], "start": start, "end": stop}
                    for label, start, stop in videos[name]
                ],
            }
            for name in names
        }
        write(root / f"niv_{split}.json", document)
    for name, rows in videos.items():
        lines = "".join(f"{label.upper()},{start},{stop}\n" for label, start, stop in rows)
        write(root / "csvs" / f"{name}.csv", lines)
    for name, split in (("train70", ("tire_01", "tire_03")), ("test30", ("tire_02",))):
        write(root / f"{name}.json", [{"feature": f"/home/x/{v}.npy", "task_id": 0} for v in split])
    entry = ["tire_01.csv", [7, 8, 9], [[1, 3], [3, 5], [6, 6]], [0, 3]]
    write(tmp_path / "splits" / "p3iv_niv_t3_datasplit.json", {"train": [entry], "test": []})
    return tmp_path


EPIC_HEADER = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,"
    "stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)


def epic_row(key: str, times: tuple[str, str], frames: tuple[int, int], verb: int, noun: int) -> str:
    video = key.rpartition("_")[0]
    row = [key, video[:3], video, "", *times, *map(str, frames), f"do {key}", "v", str(verb), "n", str(noun)]
    return ",".join([*row, f'"[{noun}, 1]"', "[]"])


@pytest.fixture
def epic(tmp_path: Path) -> Path:
    """Three verbs, two nouns, two training videos and one for validation."""
    root = tmp_path / "epic-kitchens-100-annotations"
    write(root / "EPIC_100_verb_classes.csv", "id,key,instances,category\r\n0,take,[],a\r\n1,turn-on,[],a\r\n")
    write(
        root / "EPIC_100_noun_classes.csv",
        "id,key,instances,category\r\n0,tap,[],a\r\n1,rack:drying,[],a\r\n",
    )
    write(root / "EPIC_100_video_info.csv", "video_id,duration,fps,resolution\nP01_01,90.5,60,x\n")
    train = [
        epic_row("P01_01_0", ("00:01:01.50", "00:01:02.00"), (3690, 3720), 1, 1),
        epic_row("P01_01_1", ("00:00:01.25", "00:00:02.00"), (75, 120), 0, 0),
        epic_row("P02_101_0", ("", ""), (100, 150), 0, 1),
    ]
    write(root / "EPIC_100_train.csv", "\n".join([EPIC_HEADER, *train]) + "\n")
    validation = [epic_row("P03_02_0", ("00:00:01.00", "00:00:02.00"), (60, 120), 1, 0)]
    write(root / "EPIC_100_validation.csv", "\n".join([EPIC_HEADER, *validation]) + "\n")
    return tmp_path


@pytest.fixture
def captaincook4d(tmp_path: Path) -> Path:
    """Two recipes, four steps of which one is shared, three recordings, in the repository's layout."""
    root = tmp_path / "captaincook4d"

    def step(key: int, start: float, stop: float, has_errors: bool = False) -> dict[str, Any]:
        return {
            "step_id": key,
            "start_time": start,
            "end_time": stop,
            "description": f"Mix-Mix {key}",
            "has_errors": has_errors,
        }

    def recording(key: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
        activity = int(key[0])
        return {
            "recording_id": key,
            "activity_id": activity,
            "activity_name": f"Recipe {activity}",
            "person_id": 3,
            "environment": 1,
            "steps": steps,
        }

    recordings = {
        "1_2": recording("1_2", [step(9, 10.0, 12.0, True), step(4, 1.0, 3.0), step(5, -1, -1)]),
        "1_3": recording("1_3", [step(4, 1.0, 3.0), step(9, 4.0, 5.0)]),
        "2_1": recording("2_1", [step(4, 2.0, 3.0), step(7, 4.0, 5.0)]),
    }
    names = {"9": "Add-1 egg", "4": "Pour-Pour milk", "5": "stir-then stir", "7": "Cut -Cut bread"}
    write(root / "annotation_json" / "complete_step_annotations.json", recordings)
    write(root / "annotation_json" / "step_idx_description.json", names)
    lines = ["recording_id,environment_id,person_id,duration(min),duration(sec)"]
    lines += [f"{key},1,8,0.2,12.5" for key in recordings]
    write(root / "metadata" / "video_information.csv", "\n".join(lines) + "\n")
    splits = {"train": ["1_2"], "val": ["1_3"], "test": ["2_1"]}
    write(root / "data_splits" / "recordings_data_split_combined.json", splits)
    return tmp_path


def merged_csv(folder: Path, target: Path, header: str, prefix: Callable[[Path], list[str]]) -> None:
    """Put all csv files of `folder` into one, as under shared/data."""
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        for path in sorted(folder.glob("*.csv")):
            for row in csv.reader(path.open(encoding="utf-8", newline="")):
                writer.writerow([*prefix(path), *row])


@pytest.fixture(scope="session", name="merged_csv")
def merged_csv_fixture() -> Callable[..., None]:
    return merged_csv
