"""Each dataset in the layout of its authors becomes the same records; bad files are told all at once."""

import gzip
import json
from pathlib import Path

import pytest

from leaplan.data.captaincook4d import read_captaincook4d
from leaplan.data.coin import read_coin
from leaplan.data.crosstask import read_crosstask
from leaplan.data.epic_kitchens import read_epic_kitchens
from leaplan.data.niv import read_niv
from leaplan.errors import DataError, ProblemList
from leaplan.records import Annotations, Step, Video


def video(annotations: Annotations, name: str) -> Video:
    return next(video for video in annotations.videos if video.id == name)


def times(annotations: Annotations, name: str) -> list[tuple[float, float, int]]:
    return [(s.start, s.stop, s.step) for s in video(annotations, name).segments]


def problems(read, *arguments) -> str:
    with pytest.raises(ProblemList) as caught:
        read(*arguments)
    return "\n".join(caught.value.problems)


# --- CrossTask ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["base", "pdpp"])
def test_crosstask_is_read_from_its_release(crosstask: Path, protocol: str):
    annotations = read_crosstask(crosstask, protocol)
    assert times(annotations, "a_b") == [(0.5, 2.0, 0), (3.0, 4.5, 1), (2.5, 2.9, 1)]  # file order
    assert annotations.vocabulary.tasks == ("Make Tea", "Make Soup")
    assert annotations.vocabulary.steps[2] == Step("22_1", "pour water", 1)
    assert [(v.id, v.split, v.task) for v in annotations.videos] == [
        ("a_b", "train", 0),
        ("c", "train", 0),
        ("d", "test", 1),
    ]
    assert "1 videos list their steps in another order than they begin; the order is kept" in annotations.notes
    assert any(f"not those published as '{protocol}'" in note for note in annotations.notes)


def test_crosstask_is_the_same_from_the_folder_itself_and_merged(crosstask: Path, merged_csv):
    release = crosstask / "crosstask_release"
    expected = read_crosstask(crosstask, "pdpp")
    assert read_crosstask(release, "pdpp") == expected
    merged_csv(
        release / "annotations",
        release / "annotations_all.csv",
        "task,video,step,start,end",
        lambda path: path.stem.split("_", 1),
    )
    for path in (release / "annotations").iterdir():
        path.unlink()
    (release / "annotations").rmdir()
    merged = read_crosstask(crosstask, "pdpp")
    assert (merged.videos, merged.vocabulary) == (expected.videos, expected.vocabulary)


def test_crosstask_merges_steps_of_one_name(crosstask: Path):
    steps = read_crosstask(crosstask, "pdpp", merged=True).vocabulary.steps
    assert [(step.name, step.task) for step in steps] == [("pour water", None), ("add tea", 0), ("stir", 1)]


def test_crosstask_follows_published_numbers_by_position(crosstask: Path, write):
    release = crosstask / "crosstask_release"
    actions = {
        "Make Soup_stir": 1,
        "Make Tea_pour water": 2,
        "Make Tea_add tea": 3,
        "Make Soup_pour water": 4,
    }
    document = {"action_idx": actions, "task_idx": {"Make Soup": 0, "Make Tea": 1}}
    write(crosstask / "schema_text" / "crosstask_idices.json", document)
    annotations = read_crosstask(crosstask, "pdpp")
    assert [step.key for step in annotations.vocabulary.steps] == ["22_2", "11_1", "11_2", "22_1"]
    assert annotations.vocabulary.tasks == ("Make Soup", "Make Tea")
    classes = {
        "11": {"step_name": {"0": "pour watr", "1": "add tea"}, "steps": {"pour watr": 3, "add tea": 1}},
        "22": {"step_name": {"0": "pour water", "1": "stir"}, "steps": {"pour water": 3, "stir": 2}},
    }
    write(release / "cls_step.json", classes)
    merged = read_crosstask(crosstask, "pdpp", merged=True)
    assert [(s.key, s.name) for s in merged.vocabulary.steps] == [
        ("1", "add tea"),
        ("2", "stir"),
        ("3", "pour water"),
    ]
    del document["action_idx"]["Make Soup_stir"]
    write(crosstask / "schema_text" / "crosstask_idices.json", document)
    assert "crosstask_idices.json: no field 'Make Soup_stir'" in problems(read_crosstask, crosstask, "pdpp")


def test_crosstask_lists_windows_under_p3iv(crosstask: Path, write):
    path = crosstask / "splits" / "p3iv_crosstask_t3_datasplit.json"
    window = ["11", "c", [1, 2, 1], [[1, 2], [2, 3], [4, 5]], [0, 3]]
    other = ["11", "c", [2, 1, 2], [[2, 3], [4, 5], [6, 7]], [1, 4]]
    write(path, {"train": [window], "test": [other]})
    with pytest.warns(UserWarning, match="1 of 1 test videos are also training videos"):
        annotations = read_crosstask(crosstask, "p3iv")
    assert annotations.windows is not None
    assert {s: [(w.video, w.first, w.horizon) for w in ws] for s, ws in annotations.windows.items()} == {
        "train": [("c", 0, 3)],
        "test": [("c", 1, 3)],
    }
    assert video(annotations, "c").split == "train"
    assert any("1 of 1 test videos" in note for note in annotations.notes)


@pytest.mark.parametrize(
    ("window", "message"),
    [
        (["11", "c", [1, 2, 1], [[1, 2], [2, 3], [4, 6]], [0, 3]], "times .* are not those annotated"),
        (["11", "c", [1, 2, 1], [[1, 2], [2, 3], [4, 5]], [2, 5]], "3 steps are listed, 2 annotated"),
        (["11", "x", [1, 2, 1], [[1, 2], [2, 3], [4, 5]], [0, 3]], "video x"),
        (["11", "c", [1, 2, 2], [[1, 2], [2, 3], [4, 5]], [0, 3]], "stands for a step that is 1 elsewhere"),
        (["11", "c"], "malformed"),
    ],
)
def test_p3iv_windows_are_held_against_the_annotations(crosstask: Path, write, window, message):
    write(crosstask / "splits" / "p3iv_crosstask_t3_datasplit.json", {"train": [window], "test": []})
    with pytest.raises(ProblemList, match=message):
        read_crosstask(crosstask, "p3iv")


def test_crosstask_tells_all_that_is_wrong_at_once(crosstask: Path, write):
    release = crosstask / "crosstask_release"
    write(
        release / "annotations" / "11_c.csv",
        "3,1.0,2.0\n1,5.0,2.0\n1,nan,2.0\n1,-1,2.0\none,1,2\n1,1,2\n1,1,2\n",
    )
    write(release / "annotations" / "99_e.csv", "1,1.0,2.0\n")
    write(release / "annotations" / "22_a_b.csv", "1,1.0,2.0\n")
    write(crosstask / "splits" / "pdpp_crosstask_test_list.json", [{"vid": "zz"}, {"vid": "c"}, {}])
    text = problems(read_crosstask, crosstask, "pdpp")
    for line in (
        "11_c.csv, line 1: step 3 of task 11, which has steps 1 to 2",
        "11_c.csv, line 2: starts at 5.0 s, but stops at 2.0 s",
        "11_c.csv, line 3: times nan to 2.0 are not finite",
        "11_c.csv, line 4: starts at -1.0 s, before the video",
        "11_c.csv, line 5: malformed",
        "11_c.csv, line 7: segment of the same step and times occurs twice",
        "99_e.csv, line 1: task '99' is not in tasks_primary.txt",
        "22_a_b.csv, line 1: video a_b is annotated under two tasks",
        "split 'test': video zz has no annotations",
        "split 'test': video c is listed also in 'train'",
        "entry 2: no field 'vid'",
    ):
        assert line in text


def test_crosstask_needs_three_columns_and_whole_tasks(crosstask: Path, write):
    release = crosstask / "crosstask_release"
    path = release / "annotations" / "11_c.csv"
    write(path, "1,1.0,2.0\n1,1.0\n")
    with pytest.raises(DataError, match=r"11_c\.csv, line 2: 2 columns, expected 3"):
        read_crosstask(crosstask, "pdpp")
    write(release / "tasks_primary.txt", "11\nMake Tea\nhttp://a\n3\npour water,add tea\n")
    with pytest.raises(DataError, match=r"tasks_primary\.txt, task 1: expected 5 lines"):
        read_crosstask(crosstask, "pdpp")


def test_an_unknown_protocol_is_answered_by_the_nearest(crosstask: Path):
    with pytest.raises(DataError, match="no protocol 'bace'; it has base, pdpp, p3iv") as caught:
        read_crosstask(crosstask, "bace")
    assert caught.value.hint == "Set --data.protocol base"


# --- COIN --------------------------------------------------------------------------------------------


def test_coin_is_read_from_its_json_with_the_official_subset(coin: Path):
    annotations = read_coin(coin, "official")
    assert [(v.id, v.split, v.task, v.duration) for v in annotations.videos] == [
        ("v1", "train", 0, 20.0),
        ("v2", "train", 1, 20.0),
        ("v3", "test", 0, 20.0),
    ]
    assert times(annotations, "v1") == [(1.0, 4.0, 0), (5.0, 9.0, 2)]
    assert times(annotations, "v2") == [(2.0, 20.5, 1)]  # half a second after the end is forgiven
    assert annotations.vocabulary.steps[1] == Step("2", "rinse", 1)
    assert video(annotations, "v1").segments[1].text == "pour"


def test_coin_pdpp_is_the_same_from_two_lists_and_merged(coin: Path, write):
    database = json.loads((coin / "coin" / "COIN.json").read_text())["database"]
    write(coin / "coin" / "coin_train_70.json", [{"v3": database["v3"]}])
    write(coin / "coin" / "coin_test_30.json", [{"v1": database["v1"]}])
    lists = read_coin(coin, "pdpp")
    assert [(v.id, v.split) for v in lists.videos] == [("v3", "train"), ("v1", "test")]
    merged = {"v3": {**database["v3"], "pdpp_split": "train"}, "v1": {**database["v1"], "pdpp_split": "test"}}
    path = coin / "coin" / "coin_pdpp_70_30.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"database": merged}).encode()))
    assert read_coin(coin, "pdpp").videos == lists.videos


def test_coin_without_taxonomy_takes_its_classes_from_the_annotations(coin: Path):
    (coin / "coin" / "taxonomy.xlsx").unlink()
    annotations = read_coin(coin, "official")
    assert [step.name for step in annotations.vocabulary.steps] == ["boil", "rinse", "pour"]
    assert annotations.vocabulary.tasks == ("MakeTea", "WashCar")
    assert any("no taxonomy.xlsx" in note for note in annotations.notes)


def test_coin_tells_all_that_is_wrong_at_once(coin: Path, write):
    database = json.loads((coin / "coin" / "COIN.json").read_text())["database"]
    database["v1"]["annotation"][0]["id"] = "777"
    database["v1"]["annotation"][1]["segment"] = [5.0, 30.0]
    database["v2"]["recipe_type"] = 7
    database["v3"]["subset"] = "other"
    database["v4"] = {"recipe_type": 0, "subset": "training"}
    database["v5"] = {**database["v3"], "subset": "training", "duration": -1.0}
    write(coin / "coin" / "COIN.json", {"database": database})
    text = problems(read_coin, coin, "official")
    for line in (
        "video v1: step id 777 is not in taxonomy.xlsx",
        "video v1: stops at 30.0 s, but the video lasts 20.0 s",
        "video v2: malformed (task 7 is not in taxonomy.xlsx)",
        "video v3: malformed (subset 'other', expected training or testing)",
        "video v4: no field 'duration'",
        "video v5: video v5 lasts -1.0 s",
    ):
        assert line in text


def test_coin_needs_a_database_and_a_readable_taxonomy(coin: Path, write):
    (coin / "coin" / "taxonomy.xlsx").write_bytes(b"not a workbook")
    with pytest.raises(DataError, match=r"taxonomy\.xlsx has no readable sheet"):
        read_coin(coin, "official")
    write(coin / "coin" / "COIN.json", {"videos": {}})
    with pytest.raises(DataError, match=r"COIN\.json has no object 'database'"):
        read_coin(coin, "official")


# --- NIV ---------------------------------------------------------------------------------------------


def test_niv_is_read_from_its_json_files(niv: Path):
    annotations = read_niv(niv, "schema")
    assert times(annotations, "tire_01") == [(1.5, 3.0, 0), (3.0, 5.25, 1), (6.0, 6.01, 2)]
    assert [(v.id, v.split) for v in annotations.videos] == [
        ("tire_01", "train"),
        ("tire_02", "train"),
        ("tire_03", "test"),
    ]
    assert annotations.notes[:2] == (
        "1 steps are annotated as instants and last 0.01 s here",
        "1 videos list their steps in another order than they begin; the order is kept",
    )


def test_niv_json_equals_niv_csv_files_and_the_merged_one(niv: Path, merged_csv):
    expected = read_niv(niv, "pdpp")
    assert [v.split for v in expected.videos] == ["train", "test", "train"]
    for name in ("niv_train.json", "niv_valid.json"):
        (niv / "niv" / name).unlink()
    assert read_niv(niv, "pdpp").videos == expected.videos
    folder = niv / "niv" / "csvs"
    merged_csv(folder, niv / "niv" / "csvs_all.csv", "video,c0,c1,c2", lambda path: [path.stem])
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert read_niv(niv, "pdpp").videos == expected.videos


def test_niv_p3iv_numbers_actions_its_own_way(niv: Path):
    windows = read_niv(niv, "p3iv").windows
    assert windows is not None
    assert [(w.video, w.first) for w in windows["train"]] == [("tire_01", 0)]


def test_niv_tells_all_that_is_wrong_at_once(niv: Path, write):
    document = json.loads((niv / "niv" / "niv_valid.json").read_text())
    document["tire_03"]["steps"][0]["action"] = "dance"
    document["tire_03"]["steps"][1]["end"] = 1.0
    document["tire_01"] = document["tire_03"]
    document["tire_04"] = {}
    write(niv / "niv" / "niv_valid.json", document)
    text = problems(read_niv, niv, "schema")
    for line in (
        "video tire_03: action 'dance' is not in niv_action_idx.json",
        "video tire_03: starts at 4.0 s, but stops at 1.0 s",
        "video tire_04: no field 'steps'",
        "split 'test': video tire_01 is listed also in 'train'",
    ):
        assert line in text


# --- EPIC-KITCHENS -----------------------------------------------------------------------------------


def test_epic_is_read_from_its_repository(epic: Path):
    annotations = read_epic_kitchens(epic)
    assert times(annotations, "P01_01") == [(1.25, 2.0, 0), (61.5, 62.0, 3)]  # sorted by start
    assert times(annotations, "P02_101") == [(2.0, 3.0, 1)]  # blank timestamps: frames at 50 per second
    assert annotations.vocabulary.verbs == ("take", "turn-on")
    assert annotations.vocabulary.steps[3] == Step("1:1", "turn on drying rack", None, 1, 1)
    assert annotations.vocabulary.tasks == ()
    assert [(v.id, v.split, v.person, v.task, v.duration) for v in annotations.videos] == [
        ("P01_01", "train", "P01", None, 90.5),
        ("P02_101", "train", "P02", None, None),
        ("P03_02", "test", "P03", None, None),
    ]
    assert video(annotations, "P01_01").segments[0].id == "P01_01_1"
    assert video(annotations, "P01_01").segments[0].text == "do P01_01_1"
    assert any("official validation set" in note for note in annotations.notes)


def test_epic_tells_all_that_is_wrong_at_once(epic: Path):
    path = epic / "epic-kitchens-100-annotations" / "EPIC_100_train.csv"
    header, *_ = path.read_text().splitlines()
    row = "P01_01_0,P01,P01_01,,{},{},1,2,text,v,{},n,{},[],[]"
    rows = [
        row.format("00:00:01.00", "00:00:02.00", 2, 0),
        row.format("00:00:01.00", "00:00:02.00", 0, 0),
        row.format("00:00:03.00", "00:00:04.00", 0, 0),
        row.format("00:00:05.00", "00:00:04.00", 0, 0),
        row.format("00:00:05.00", "00:02:04.00", 0, 0),
        row.format("later", "00:02:04.00", 0, 0),
    ]
    path.write_text("\n".join([header, *rows]) + "\n")
    text = problems(read_epic_kitchens, epic)
    for line in (
        "line 2: verb 2 of 2, noun 0 of 2: no such class",
        "line 4: segment P01_01_0 occurs twice",
        "line 5: starts at 5.0 s, but stops at 4.0 s",
        "line 6: stops at 124.0 s, but the video lasts 90.5 s",
        "line 7: malformed",
    ):
        assert line in text
    path.write_text(header.replace("verb_class", "verbs") + "\n")
    with pytest.raises(DataError, match="line 1: no column 'verb_class'"):
        read_epic_kitchens(epic)


# --- CaptainCook4D -----------------------------------------------------------------------------------


def test_captaincook4d_is_read_from_its_repository(captaincook4d: Path):
    annotations = read_captaincook4d(captaincook4d)
    assert times(annotations, "1_2") == [(1.0, 3.0, 0), (10.0, 12.0, 3)]  # sorted; the missing step dropped
    first, last = video(annotations, "1_2").segments
    assert (first.id, last.id, first.has_error, last.has_error) == ("1_2:1", "1_2:0", False, True)
    assert [(step.key, step.name, step.task) for step in annotations.vocabulary.steps] == [
        ("4", "Pour milk", None),
        ("5", "then stir", 0),
        ("7", "Cut bread", 1),
        ("9", "Add 1 egg", 0),
    ]
    assert annotations.vocabulary.tasks == ("Recipe 1", "Recipe 2")
    assert [(v.id, v.split, v.task, v.duration, v.person) for v in annotations.videos] == [
        ("1_2", "train", 0, 12.5, "3"),
        ("1_3", "val", 0, 12.5, "3"),
        ("2_1", "test", 1, 12.5, "3"),
    ]


def test_captaincook4d_lies_as_well_in_one_folder_and_without_durations(captaincook4d: Path):
    expected = read_captaincook4d(captaincook4d)
    folder = captaincook4d / "captaincook4d"
    for path in list(folder.rglob("*.*")):
        path.rename(folder / path.name)
    assert read_captaincook4d(folder).videos == expected.videos
    (folder / "video_information.csv").unlink()
    annotations = read_captaincook4d(folder)
    assert {v.duration for v in annotations.videos} == {None}
    assert any("no video_information.csv" in note for note in annotations.notes)


def test_captaincook4d_probes_are_tested_on_the_official_val_and_test_together(captaincook4d: Path):
    annotations = read_captaincook4d(captaincook4d, "recordings-probe")
    assert [(v.id, v.split) for v in annotations.videos] == [("1_2", "train"), ("1_3", "test"), ("2_1", "test")]
    assert [v.segments for v in annotations.videos] == [v.segments for v in read_captaincook4d(captaincook4d).videos]


def test_captaincook4d_tells_all_that_is_wrong_at_once(captaincook4d: Path, write):
    folder = captaincook4d / "captaincook4d"
    path = folder / "annotation_json" / "complete_step_annotations.json"
    document = json.loads(path.read_text())
    document["1_2"]["steps"][0]["step_id"] = 77
    document["1_2"]["steps"][1]["end_time"] = 99.0
    document["1_3"]["steps"][0]["end_time"] = -1
    del document["2_1"]["person_id"]
    write(path, document)
    write(
        folder / "data_splits" / "recordings_data_split_combined.json",
        {"train": ["1_2"], "val": [], "test": ["8_8"]},
    )
    text = problems(read_captaincook4d, captaincook4d)
    for line in (
        "step id 77 is not in step_idx_description.json",
        "recording 1_2, step 1: stops at 99.0 s, but the video lasts 12.5 s",
        "recording 1_3, step 0: starts at 1.0 s, but stops at -1.0 s",
        "recording 2_1: no field 'person_id'",
        "split 'test': video 8_8 has no annotations",
    ):
        assert line in text
    write(folder / "data_splits" / "recordings_data_split_combined.json", {"train": []})
    assert "no field 'val'" in problems(read_captaincook4d, captaincook4d)
