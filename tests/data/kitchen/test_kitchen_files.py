"""The kitchen's folder: same bytes whoever makes it, whole files, continued after a kill."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

import leaplan
from leaplan.data.kitchen import ensure_kitchen
from leaplan.data.kitchen.cast import cast
from leaplan.data.kitchen.files import ANNOTATIONS, MARKER
from leaplan.data.kitchen.simulate import FRAME_RATE, simulate
from leaplan.errors import DataError
from leaplan.video.color_layout import ColorLayout

VIDEOS = 3
MAKE = (
    "import sys; from pathlib import Path; from leaplan.data.kitchen import ensure_kitchen; "
    f"ensure_kitchen(Path(sys.argv[1]), videos={VIDEOS}, workers=int(sys.argv[2]))"
)


def annotation_bytes(folder: Path) -> dict[str, bytes]:
    paths = [folder / ANNOTATIONS, folder / MARKER, *(folder / "evidence").iterdir()]
    return {path.name: path.read_bytes() for path in paths}


def start(root: Path, workers: int, hash_seed: str = "0") -> subprocess.Popen:
    source = str(Path(leaplan.__file__).parents[1])
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": source}
    return subprocess.Popen([sys.executable, "-c", MAKE, str(root), str(workers)], env=environment)


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory):
    return ensure_kitchen(tmp_path_factory.mktemp("kitchen"), videos=VIDEOS, workers=1)


@pytest.fixture(scope="module")
def annotations(kitchen):
    return json.loads((kitchen / ANNOTATIONS).read_text())


@pytest.mark.slow
def test_annotation_bytes_depend_neither_on_workers_nor_on_hash_seed(kitchen, tmp_path):
    assert start(tmp_path, workers=2, hash_seed="123").wait() == 0
    assert annotation_bytes(tmp_path / kitchen.name) == annotation_bytes(kitchen)


def test_a_killed_kitchen_is_continued_to_the_same_bytes(kitchen, tmp_path):
    process, folder = start(tmp_path, workers=1), tmp_path / kitchen.name
    while not list(folder.glob("features/*.npy")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / MARKER).exists()
    made = {path: path.stat().st_mtime_ns for path in folder.glob("features/*.npy")}
    ensure_kitchen(tmp_path, videos=VIDEOS, workers=1)
    assert annotation_bytes(folder) == annotation_bytes(kitchen)
    assert all(path.stat().st_mtime_ns == then for path, then in made.items()), "what was whole is kept"
    assert not list(folder.rglob("*.partial"))


@pytest.mark.slow
def test_two_processes_at_once_make_one_kitchen(kitchen, tmp_path):
    both = [start(tmp_path, workers=1) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert annotation_bytes(tmp_path / kitchen.name) == annotation_bytes(kitchen)


def test_a_complete_kitchen_is_not_touched(kitchen):
    before = {path: path.stat().st_mtime_ns for path in kitchen.rglob("*")}
    calls = []
    again = ensure_kitchen(kitchen.parent, videos=VIDEOS, progress=lambda *call: calls.append(call))
    assert again == kitchen
    assert not calls
    assert before == {path: path.stat().st_mtime_ns for path in kitchen.rglob("*")}


@pytest.mark.slow
def test_a_changed_or_missing_file_is_made_again(kitchen):
    whole, calls = annotation_bytes(kitchen), []
    evidence, film = sorted((kitchen / "evidence").iterdir())[0], sorted((kitchen / "videos").iterdir())[1]
    evidence.write_text("{}")
    film.unlink()
    ensure_kitchen(kitchen.parent, videos=VIDEOS, workers=1, progress=lambda *call: calls.append(call))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert film.is_file()
    assert annotation_bytes(kitchen) == whole


def test_films_have_the_promised_frames(kitchen, annotations):
    for video in annotations["videos"]:
        with av.open(str(kitchen / "videos" / f"{video['id']}.mp4")) as container:
            frames = [(frame.time, frame.width, frame.height) for frame in container.decode(video=0)]
        assert len(frames) == round(video["duration"] * FRAME_RATE)
        assert frames[-1] == (pytest.approx(video["duration"] - 1 / FRAME_RATE), 160, 120)


def test_features_are_finite_and_have_a_row_per_second(kitchen, annotations):
    for video in annotations["videos"]:
        features = np.load(kitchen / "features" / f"{video['id']}.npy", allow_pickle=False)
        assert features.dtype == np.float32
        assert features.shape == (int(np.ceil(video["duration"] - 1e-9)), ColorLayout().width)
        assert np.isfinite(features).all()
        assert features.std(axis=0).max() > 0.01


def test_features_are_those_of_the_decoded_film(kitchen, annotations):
    name = annotations["videos"][0]["id"]
    seen = ColorLayout().per_second(kitchen / "videos" / f"{name}.mp4")
    np.testing.assert_array_equal(seen, np.load(kitchen / "features" / f"{name}.npy"))


def test_evidence_lies_within_the_video_and_the_frame(kitchen, annotations):
    for video in annotations["videos"]:
        evidence = json.loads((kitchen / "evidence" / f"{video['id']}.json").read_text())
        assert [program["segment"] for program in evidence["programs"]] == [s["id"] for s in video["segments"]]
        for span in (*evidence["sounds"], *evidence["contacts"]):
            assert 0 <= span["start"] < span["stop"] <= video["duration"]
        assert len(evidence["narrations"]) == len(video["segments"])
        assert evidence["sounds"]
        assert evidence["contacts"]
        boxes = [box for sample in evidence["boxes"] for box in sample["boxes"].values()]
        assert all(0 <= left < right <= 160 and 0 <= top < bottom <= 120 for left, top, right, bottom in boxes)
        assert len(evidence["camera"]) == len(evidence["boxes"]) == -(-round(video["duration"] * 10) // 5)


def test_a_held_object_is_boxed_at_the_hand_that_holds_it(kitchen, annotations):
    for video in annotations["videos"]:
        evidence = json.loads((kitchen / "evidence" / f"{video['id']}.json").read_text())
        for sample in evidence["boxes"]:
            for contact in evidence["contacts"]:
                within = contact["start"] + 0.2 < sample["time"] < contact["stop"] - 0.2
                hand, thing = (sample["boxes"].get(n) for n in (f"{contact['hand']} hand", contact["object"]))
                if within and hand and thing and contact["object"] not in ("stove", "tap", "kettle"):
                    gap = max(thing[0] - hand[2], hand[0] - thing[2], thing[1] - hand[3], hand[1] - thing[3])
                    assert gap <= 4, (video["id"], sample["time"], contact)


def test_the_simulation_is_what_is_annotated(kitchen, annotations):
    for role, video in zip(cast(7, VIDEOS), annotations["videos"], strict=True):
        assert [p.step for p in simulate(role).performances] == [s["step"] for s in video["segments"]]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_that_cannot_be_written_is_told(tmp_path, workers):
    (tmp_path / "taken").write_text("")
    with pytest.raises(DataError, match="cannot be written") as caught:
        ensure_kitchen(tmp_path / "taken", videos=VIDEOS, workers=workers)
    assert "80 MB" in caught.value.hint


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_where_a_folder_must_be_is_told(tmp_path, workers):
    folder = tmp_path / f"kitchen-v1-seed7-{VIDEOS}"
    folder.mkdir()
    (folder / "evidence").write_text("a file where a folder must be")
    with pytest.raises(DataError, match="cannot be written"):
        ensure_kitchen(tmp_path, videos=VIDEOS, workers=workers)


def test_a_full_disk_is_told_and_leaves_no_half_file(tmp_path, monkeypatch):
    def fill_up(frames, path):
        path.write_bytes(b"half a film")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("leaplan.data.kitchen.worker.write_film", fill_up)
    with pytest.raises(DataError, match="No space left"):
        ensure_kitchen(tmp_path, videos=VIDEOS, workers=1)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]


@pytest.mark.slow
def test_a_tenth_of_the_kitchen_is_smaller_than_8_megabytes(tmp_path):
    folder = ensure_kitchen(tmp_path, videos=24)
    assert len(list((folder / "videos").iterdir())) == 24
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 8e6
