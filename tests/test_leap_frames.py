"""LEAP on decoded frames, from the command line: blind to the future, honest about broken films, never off its path."""

import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from leaplan.__main__ import main
from leaplan.data import frame_clips
from leaplan.data.frames import Frames
from leaplan.data.niv import read_niv
from leaplan.data.splits import carve_validation
from leaplan.data.views import ActionClips, AnticipationClips, Window
from leaplan.errors import DataError
from leaplan.records import Segment, Video
from tests.data.made import annotations
from tests.small_leap import write_programs
from tests.test_leap import run_of, scores_of
from tests.video.made_videos import make_audio_only

RATE, SIZE = 10, 32  # frames per second, pixels
TASKS = {"making tea": ["boil water", "add leaves", "pour water"], "fixing bike": ["lift bike", "patch tube"]}
SLOW = partial(pytest.param, marks=pytest.mark.slow)
LOSSLESS = {"qp": "0", "g": "15", "bf": "2", "preset": "ultrafast"}  # x264: what is decoded is what was encoded
NETWORK = {
    **{"size": "tiny", "kind": "kinetics", "resolution": SIZE, "patch": 16, "width": 32, "depth": 1, "heads": 2},
    **{"blocks": 1, "mlp_dropout": 0.0, "drop_path": 0.0, "global_drop_path": 0.0},
}


# --- films -------------------------------------------------------------------------------------------------------


def write_films(root: Path, train: int = 6, test: int = 2, hidden: Mapping[str, float] | None = None) -> Path:
    """Write NIV's lists of so many videos, and a film of each whose colours tell the step; return `root`.

    Args:
        root: Folder of the dataset's folder.
        train, test: Videos.
        hidden: Video to seconds: all that is shown from then on is noise.
    """
    rng = np.random.default_rng(4)
    folder = root / "niv"
    (folder / "videos").mkdir(parents=True)
    names = [name for steps in TASKS.values() for name in steps]
    index = {
        task: {"task_id": number, "actions": {name: names.index(name) for name in steps}}
        for number, (task, steps) in enumerate(TASKS.items())
    }
    (folder / "niv_action_idx.json").write_text(json.dumps(index))
    looks = rng.integers(20, 236, (len(names) + 1, 4, 4, 3)).repeat(SIZE // 4, 1).repeat(SIZE // 4, 2)
    for part, count in (("train", train), ("valid", test)):
        entries = {}
        for number in range(count):
            task, name = list(TASKS)[number % 2], f"{part}_{number}"
            steps, shown = _steps(rng, task, names)
            pictures = (looks[shown] + rng.integers(-10, 11, (len(shown), SIZE, SIZE, 3))).astype(np.uint8)
            first = math.ceil((hidden or {}).get(name, len(shown)) * RATE - 1e-9)  # frame k is shown from k / F on
            pictures[first:] = np.random.default_rng(number).integers(0, 256, pictures[first:].shape)
            entries[name] = {"task": task, "task_id": number % 2, "steps": steps}
            write_film(folder / "videos" / f"{name}.mp4", pictures)
        (folder / f"niv_{part}.json").write_text(json.dumps(entries))
    return root


def _steps(rng: np.random.Generator, task: str, names: list[str]) -> tuple[list[dict], list[int]]:
    """Return four steps of a film and, by frame, the step that is shown, -1 for none."""
    steps, shown, clock = [], [-1] * 14, 1.4
    for _ in range(4):
        name, frames = TASKS[task][rng.integers(len(TASKS[task]))], int(rng.integers(9, 16))
        stop = round(clock + frames / RATE, 2)
        steps.append({"action": name, "action_id": names.index(name), "start": round(clock + 0.03, 2), "end": stop})
        shown += [names.index(name)] * frames
        clock = stop
    return steps, [*shown, *[-1] * 5]


def write_film(path: Path, pictures: np.ndarray) -> None:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options=LOSSLESS)
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv444p"
        for picture in pictures:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode())


def every_frame(path: Path) -> np.ndarray:
    """Return all frames of a film (n, H, W, 3), decoded in order."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def write_pictures(root: Path) -> None:
    """Write every film as a folder of numbered pictures too: by EPIC's rule, picture n is shown from n / F on."""
    for path in (root / "niv" / "videos").glob("*.mp4"):
        folder = root / "niv" / "frames" / path.stem
        folder.mkdir(parents=True)
        for number, frame in enumerate(every_frame(path)):
            Image.fromarray(frame).save(folder / f"frame_{number:010d}.bmp")


# --- experiments -------------------------------------------------------------------------------------------------


def experiment(folder: Path, root: Path, anticipate: bool = False, epochs: int = 2, **backbone: object) -> Path:
    """Write an experiment on the films below `root` and return its file; runs lie beside it."""
    view: dict[str, object] = {"class_path": "leaplan.data.views.ActionClips"}
    if anticipate:
        windows = {"gap": 1.0, "context": 2, "window_frames": 16, "frame_rate": float(RATE)}
        view = {"class_path": "leaplan.data.views.AnticipationClips", "init_args": windows}
    looking = {"folder": "videos", "frames": 2, "size": SIZE}
    data = {
        "view": view,
        "source": {"class_path": "leaplan.data.frames.Frames", "init_args": looking},
        "validation": 0.34,
        "programs": {"file": str(write_programs(folder, root)), "slots": 4},
    }
    model = {
        "backbone": {"class_path": "leaplan.recognition.backbones.UniFormerV2", "init_args": {**NETWORK, **backbone}},
        **{"learning_rate": 0.01, "dropout": 0.0, "program_width": 16, "program_layers": 1, "window_layers": 1},
        **{"program_dropout": 0.0, "window_dropout": 0.0},
    }
    content = {
        "name": "small",
        "runs": str(folder / "runs"),
        "root": str(root),
        "seed_everything": 5,
        "threads": 1,
        "batch_size": 4,
        "save_every": 1,
        "data": {"class_path": "leaplan.data.niv.Niv", "init_args": data},
        "model": {"class_path": "leaplan.recognition.module.RecognitionModule", "init_args": model},
        "trainer": {"accelerator": "cpu", "devices": 1, "max_epochs": epochs},
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def epochs_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def weights_of(run: Path, name: str = "best") -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_films(tmp_path_factory.mktemp("films"))


@pytest.fixture
def copied(root, tmp_path) -> Path:
    """A copy of the films, to be spoilt."""
    return Path(shutil.copytree(root, tmp_path / "copied"))


# --- the future --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def anticipated(tmp_path_factory, root) -> Path:
    """The experiment of a finished anticipation run."""
    config = experiment(tmp_path_factory.mktemp("anticipate"), root, anticipate=True)
    assert main(["fit", "--config", str(config)]) == 0
    return config


@pytest.fixture(scope="module")
def changed(tmp_path_factory, root) -> Path:
    """The films with noise for all that is shown from a second before the third segment of each test video on."""
    starts = {video.id: video.segments[2].start for video in read_niv(root).of_split("test")}
    other = write_films(tmp_path_factory.mktemp("changed"), hidden={name: start - 1 for name, start in starts.items()})
    for name, start in starts.items():
        before, after = (every_frame(each / "niv" / "videos" / f"{name}.mp4") for each in (root, other))
        same = (before == after).all((1, 2, 3))
        assert same.tolist() == [k / RATE < start - 1 for k in range(len(before))]  # equal to the last bit, or changed
    for each in (root, other):
        write_pictures(each)
    return other


@pytest.mark.parametrize("folder", ["videos", SLOW("frames")])
def test_nothing_after_the_gap_changes_what_is_anticipated(anticipated, root, changed, tmp_path, folder):
    run = run_of(anticipated)
    options = ["--ckpt_path", str(run / "checkpoints" / "best.ckpt"), "--runs", str(tmp_path)]
    options += ["--data.source.folder", folder]
    for name, films in (("before", root), ("after", changed)):
        assert main(["test", "--config", str(run / "config.yaml"), "--root", str(films), "--name", name, *options]) == 0
    before, after = scores_of(tmp_path / "before"), scores_of(tmp_path / "after")
    blind = {segment.id for video in read_niv(root).of_split("test") for segment in video.segments[:3]}
    same = np.isin(before["sample_id"], sorted(blind))
    assert (same.sum(), (~same).sum()) == (6, 2)
    assert np.array_equal(before["action"][same], after["action"][same])
    assert (np.abs(before["action"][~same] - after["action"][~same]).max(1) > 1e-6).all()  # these do see the change


class Cheating(AnticipationClips):
    """A view that looks at the segment that is to be anticipated."""

    def _clip(self, video, segment):
        clip = super()._clip(video, segment)
        return replace(clip, windows=(None, Window(segment.start, segment.stop)))


def test_a_view_that_looks_at_the_future_ends_the_run(anticipated, tmp_path):
    command = ["fit", "--config", str(anticipated), "--runs", str(tmp_path)]
    with pytest.raises(ValueError, match=r"would see frame \d+, but nothing from [\d.]+ s on may be"):
        main([*command, "--data.view", "tests.test_leap_frames.Cheating", "--data.workers", "0"])


def test_the_reader_itself_refuses_to_show_the_future(root, monkeypatch):
    """A view is not even asked: what looks for frames is made to look too late."""
    given = read_niv(root)
    source = Frames(frames=2, size=SIZE)
    kept = source.restrict(given, root / "niv")
    clips = source.clips(AnticipationClips(context=1, window_frames=16, frame_rate=RATE)(kept, "test"), root, False)
    late = max(range(len(clips)), key=lambda i: clips.listed[i].latest)
    monkeypatch.setattr(frame_clips, "frame_times", lambda numbers, rate, latest: np.array([latest]))
    with pytest.raises(DataError, match=r"asked for the frame at .* s of .*, but nothing from .* s on may be"):
        clips[late]


# --- broken films ------------------------------------------------------------------------------------------------


BREAK = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "only sound": lambda path: make_audio_only(path),
}


@pytest.mark.parametrize("workers", [0, SLOW(1)])
def test_training_goes_on_without_broken_films_and_tells(root, copied, tmp_path, capsys, workers):
    films = carve_validation(read_niv(root), 0.34, 7).of_split("train")
    for video, spoil in zip(films[:3], BREAK.values(), strict=True):
        spoil(copied / "niv" / "videos" / f"{video.id}.mp4")
    config = experiment(tmp_path, copied)
    assert main(["fit", "--config", str(config), "--data.workers", str(workers), "--final", "none"]) == 0
    assert "3 broken videos so far, listed in" in capsys.readouterr().out
    listed = dict(line.split("\t") for line in (run_of(config) / "broken_videos.txt").read_text().splitlines())
    assert listed.keys() == {video.id for video in films[:3]}
    assert all(f"{name}.mp4" in reason for name, reason in listed.items())
    lost = sum(len(video.segments) for video in films[:3])
    assert [float(row["train/broken_clips"]) for row in epochs_of(run_of(config))] == [lost, lost]


@pytest.mark.parametrize(
    ("workers", "kind"),
    [(1, "truncated"), *(SLOW(*each) for each in product((0, 1), BREAK) if each != (1, "truncated"))],
)
def test_a_broken_film_in_evaluation_is_one_message_with_file_and_next_command(
    anticipated, root, copied, tmp_path, capfd, kind, workers
):
    path = copied / "niv" / "videos" / f"{read_niv(root).of_split('test')[1].id}.mp4"
    BREAK[kind](path)
    options = ["--root", str(copied), "--runs", str(tmp_path), "--data.workers", str(workers)]
    best = run_of(anticipated) / "checkpoints" / "best.ckpt"
    assert main(["test", "--config", str(run_of(anticipated) / "config.yaml"), *options, "--ckpt_path", str(best)]) == 2
    said = capfd.readouterr().err
    assert said.startswith("leaplan: clip ")
    assert str(path) in said
    assert "--data.source.missing skip" in said
    assert "Traceback" not in said
    assert len(said.splitlines()) == 3  # what, and two ways on


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_film_of_the_validation_part_ends_training_with_one_message(copied, tmp_path, capfd, workers):
    film = carve_validation(read_niv(copied), 0.34, 7).of_split("val")[0].id
    BREAK["empty"](copied / "niv" / "videos" / f"{film}.mp4")
    config = experiment(tmp_path, copied, epochs=1)
    assert main(["fit", "--config", str(config), "--data.workers", str(workers)]) == 2
    said = capfd.readouterr().err
    assert f"{film}.mp4 is empty (0 bytes)" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_missing_film_is_told_before_anything_is_trained(copied, tmp_path, capsys):
    film = read_niv(copied).of_split("train")[0].id
    (copied / "niv" / "videos" / f"{film}.mp4").unlink()
    config = experiment(tmp_path, copied)
    assert main(["fit", "--config", str(config)]) == 2
    said = capsys.readouterr().err
    assert f"no file for video {film}" in said
    assert "--data.source.missing skip" in said


def test_training_on_broken_films_alone_is_refused(copied, tmp_path, capsys):
    for video in read_niv(copied).of_split("train"):
        (copied / "niv" / "videos" / f"{video.id}.mp4").write_bytes(b"")
    assert main(["fit", "--config", str(experiment(tmp_path, copied))]) == 2
    assert "none of 4 videos tried can be decoded" in capsys.readouterr().err


# --- cut off, and continued --------------------------------------------------------------------------------------


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
CLIPS = {"cached": ["--data.source.cache", "clips"], "decoded in a worker": ["--data.workers", "1"]}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CLIPS)
def test_training_on_frames_killed_within_an_epoch_continues_to_the_same_run(tmp_path, kind):
    root = write_films(tmp_path / "films", train=12)
    BREAK["empty"](root / "niv" / "videos" / f"{carve_validation(read_niv(root), 0.34, 7).of_split('train')[0].id}.mp4")
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        shutil.copytree(root, tmp_path / name / "films")  # each with a cache of its own
    runs = []
    for name in ("whole", "killed"):
        config = experiment(tmp_path / name, tmp_path / name / "films", epochs=6)
        arguments = ["fit", "--config", str(config), *CLIPS[kind]]
        if name == "killed":
            kill_within_an_epoch([sys.executable, "-m", "leaplan", *arguments], run_of(config))
        assert main(arguments) == 0
        runs.append(run_of(config))
    whole, killed = runs
    assert (killed / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    for name in ("best", "last"):
        ours, theirs = weights_of(whole, name), weights_of(killed, name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert scores_of(whole).keys() == scores_of(killed).keys()
    assert all(np.array_equal(scores_of(whole)[key], scores_of(killed)[key]) for key in scores_of(whole))


def kill_within_an_epoch(command: list[str], run: Path) -> None:
    """Start a run, wait for the checkpoint of its second epoch, and kill it while it is busy with the third."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT, start_new_session=True
    )
    last, deadline, written = run / "checkpoints" / "last.ckpt", time.monotonic() + 150, set()
    while len(written) < 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        if last.is_file():
            written.add(last.stat().st_mtime_ns)
        time.sleep(0.002)
    time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)  # its workers as well
    process.communicate()
    assert not (run / "results.json").exists()
    assert torch.load(last, weights_only=True)["epoch"] < 5


@pytest.mark.slow
def test_a_run_killed_after_its_last_epoch_is_evaluated_without_training_again(root, tmp_path):
    config = experiment(tmp_path, root, epochs=2)
    command = ["fit", "--config", str(config), "--save_every", "5"]  # no fifth epoch will come
    assert main([*command, "--final", "none"]) == 0
    before = weights_of(run_of(config)), (run_of(config) / "metrics.csv").read_bytes()
    assert main(command) == 0
    assert (run_of(config) / "results.json").is_file()
    assert (run_of(config) / "metrics.csv").read_bytes() == before[1]
    after = weights_of(run_of(config))
    assert all(torch.equal(before[0][name], after[name]) for name in after)


# --- real frames -------------------------------------------------------------------------------------------------


@pytest.fixture
def open_door(shared, tmp_path) -> Path:
    """A folder with the first 100 frames of P01_01, as pictures and as a film, 30 of them a second."""
    real = shared / "data" / "video"
    for kind in ("pictures", "film"):
        (tmp_path / kind).mkdir()
    (tmp_path / "pictures" / "P01_01").symlink_to(real / "epic_P01_01_frames")
    (tmp_path / "film" / "P01_01.mp4").symlink_to(real / "epic_P01_01_open_door.mp4")
    return tmp_path


OPEN_DOOR = Segment("P01_01_0", 0.14, 3.37, 0, "open door")  # as EPIC-KITCHENS-100 has it


@pytest.mark.parametrize("kind", ["pictures", "film"])
def test_a_clip_of_real_frames_shows_those_of_the_official_rule(open_door, shared, kind):
    first, last = int(OPEN_DOOR.start * 30), {"pictures": 100, "film": 99}[kind]  # the film begins with picture 1
    part = (last - first) / 4
    numbers = [first + round(part * i) + int(part / 2) for i in range(4)]
    shown = frames_of(ActionClips(), open_door, OPEN_DOOR, kind)
    assert np.array_equal(shown, decoded(shared / "data" / "video", kind, numbers))


@pytest.mark.parametrize("kind", ["pictures", "film"])
def test_before_a_real_segment_the_last_frame_is_the_one_that_begins_before_the_gap(open_door, shared, kind):
    later = replace(OPEN_DOOR, start=3.0, stop=3.2)
    view = AnticipationClips(gap=1.0, context=1, window_frames=60)
    shown = frames_of(view, open_door, later, kind)
    assert np.array_equal(shown, decoded(shared / "data" / "video", kind, [14, 29, 44, 59]))  # 60 begins at 2.0 s


def frames_of(view, folder: Path, segment: Segment, kind: str) -> np.ndarray:
    """Return what is seen of the clip of a segment (4, H, W, 3)."""
    given = annotations(Video("P01_01", 0, None, "train", (segment,), frame_rate=30.0))
    source = Frames(folder=kind, frames=4, size=(256, 456))
    clips = source.clips(view(source.restrict(given, folder), "train"), folder, False)
    return clips[0]["clips"][0, 0].permute(1, 2, 3, 0).numpy()


def decoded(folder: Path, kind: str, numbers: list[int]) -> np.ndarray:
    """Return frames (n, H, W, 3): files by their number, or of all that the film holds those shown at their time."""
    if kind == "pictures":
        paths = [folder / "epic_P01_01_frames" / f"P01_01_frame_{number:010d}.jpg" for number in numbers]
        return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
    with av.open(str(folder / "epic_P01_01_open_door.mp4")) as container:
        frames = [
            (frame.pts * frame.time_base, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)
        ]
    return np.stack([[picture for seconds, picture in frames if seconds <= (n + 0.5) / 30][-1] for n in numbers])
