"""From a video to a plan: `predict`'s plan, blind to all between start and goal, honest about what does not fit."""

import json
import shlex
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import leaplan
from leaplan.__main__ import main
from leaplan.data import synthetic
from leaplan.data.kitchen import ensure_kitchen
from leaplan.data.niv import read_niv
from leaplan.data.sources import Features
from leaplan.errors import CheckpointError, ConfigError, DataError, UserError
from leaplan.on_video.model import Model, refuse_horizon
from leaplan.on_video.observing import Images, Moments
from leaplan.on_video.opened_run import open_run
from leaplan.on_video.picture_strip import draw_strip
from leaplan.on_video.planned import Looked, ask
from leaplan.on_video.readable import clock, percent, seconds_of
from leaplan.on_video.same_encoder import Eyes, Given, eyes_like
from leaplan.video.reader import GuardedReader
from leaplan.video.seconds import ColorSeconds
from tests.test_cli import experiment
from tests.test_leap_frames import write_films

SOURCE = Features(start_seconds=(-1, 0, 1), goal_seconds=(-1, 0, 1))


def extract(videos: Path, out: Path) -> None:
    command = ["extract-features", "--videos", str(videos), "--out", str(out), "--encoder", "color_layout", "--quiet"]
    assert main(command) == 0


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Films of a tiny dataset, and features that `extract-features` made of them."""
    root = write_films(tmp_path_factory.mktemp("films"))
    extract(root / "niv" / "videos", root / "niv" / "processed_data")
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory, root) -> Path:
    """A finished run on these features, with predictions."""
    folder = tmp_path_factory.mktemp("planner")
    config = experiment(folder, root, epochs=1)
    settings = yaml.safe_load(config.read_text())
    settings["data"]["init_args"]["validation"] = 0.34
    config.write_text(yaml.safe_dump(settings))
    assert main(["fit", "--config", str(config)]) == 0  # its plans of the test split are those of `predict`
    return folder / "runs" / "small"


@pytest.fixture(scope="module")
def opened(run):
    return open_run(run)


@pytest.fixture(scope="module")
def eyes(opened) -> Eyes:
    return eyes_like(opened.data.folder / opened.data.source.folder, Given())


def predictions(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "predictions" / "test.jsonl").read_text().splitlines()]


def window_times(root: Path, sample_id: str) -> tuple[float, float]:
    """Return start and goal of a window of the tiny dataset."""
    video, _, window = sample_id.rpartition(":")
    first, horizon = map(int, window.split("+"))
    segments = next(each for each in read_niv(root).videos if each.id == video).segments
    return segments[first].start, segments[first + horizon - 1].stop


def refuse_difference(answer: dict, expected: dict) -> None:
    """Check that an answer as JSON is what a line of predictions says."""
    assert answer["plans"] == expected["plans"]
    assert answer["steps"] == expected["plans"]["viterbi"]
    assert answer["probability"] == pytest.approx(expected["probability"], abs=1e-5)
    assert [each["plan"] for each in answer["alternatives"]] == [each["plan"] for each in expected["alternatives"]]
    found, wanted = ([each["probability"] for each in side["alternatives"]] for side in (answer, expected))
    assert found == pytest.approx(wanted, abs=1e-5)
    assert [[each["step"] for each in step] for step in answer["likely_steps"]] == expected["top_5"]


# --- the same plan as `predict` ----------------------------------------------------------------------------------


def test_the_plan_of_a_window_is_that_of_predict(opened, eyes, root, run):
    lines = predictions(run)
    assert len(lines) == 4
    for line in lines:
        ends = Moments(root / "niv" / "videos" / f"{line['video']}.mp4", *window_times(root, line["sample_id"]))
        seen = ends.see(eyes, opened.data.source)
        planned = ask(opened, *seen, 5, Looked(ends.names, ends.as_json(), "color_layout"))
        refuse_difference(planned.as_json(), line)


def test_the_verb_writes_text_json_and_a_strip(run, root, tmp_path, capsys):
    line = predictions(run)[0]
    start, goal = window_times(root, line["sample_id"])
    video = root / "niv" / "videos" / f"{line['video']}.mp4"
    command = ["plan", str(video), "--start", str(start), "--goal", f"0:{goal:05.2f}", "--steps", "3"]
    command += ["--checkpoint", str(run / "checkpoints" / "best.ckpt")]
    before = (run / "predictions" / "test.jsonl").stat().st_mtime_ns
    assert main([*command, "--json", str(tmp_path / "plan.json"), "--strip", str(tmp_path / "plan.png")]) == 0
    said = capsys.readouterr().out
    answer = json.loads((tmp_path / "plan.json").read_text())
    assert all(name in said for name in answer["step_names"])
    assert "probability" in said
    refuse_difference(answer, line)
    assert_schema(answer)
    with Image.open(tmp_path / "plan.png") as strip:
        assert strip.size[0] > 2 * strip.size[1]
    assert (run / "predictions" / "test.jsonl").stat().st_mtime_ns == before  # the run is left as it was


def assert_schema(answer: dict) -> None:
    """What other programs rely on: a key that goes, or changes its kind, raises the schema's number."""
    kinds = {key: type(value).__name__ for key, value in answer.items()}
    assert kinds == {
        **{"schema": "int", "leaplan": "str", "run": "str", "video": "str", "start": "dict", "goal": "dict"},
        **{"encoder": "str", "horizon": "int", "decoding": "str", "steps": "list", "step_names": "list"},
        **{"probability": "float", "plans": "dict", "alternatives": "list", "likely_steps": "list"},
        "sentence": "NoneType",
    }
    assert answer["schema"] == 1
    assert answer["start"].keys() == {"seconds"}
    assert {key for each in answer["alternatives"] for key in each} == {"plan", "step_names", "probability"}
    assert {key for step in answer["likely_steps"] for each in step for key in each} == {"step", "name", "probability"}


def road(readme: Path) -> list[list[str]]:
    """Return the commands of the first block under "From raw video", without "leaplan"."""
    block = readme.read_text(encoding="utf-8").split("## From raw video")[1].split("```")[1]
    return [shlex.split(line.replace("~", str(Path.home())))[1:] for line in block.strip().splitlines()]


@pytest.mark.slow
def test_the_readme_leads_from_films_to_the_plan_that_predict_makes(tmp_path, repository, monkeypatch):
    """Its commands as they stand, in a kitchen of 12 films: features, their check, training, a plan."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(repository / "configs")
    *before, plan = road(repository / "README.md")
    folder = Path(plan[1]).parents[1]
    ensure_kitchen(tmp_path / "small", seed=7, videos=12).rename(make_parents(folder))
    monkeypatch.setattr(synthetic, "make_kitchen", lambda *_: folder)
    for command in before:
        assert main(command) == 0
    opened = open_run(Path(plan[plan.index("--checkpoint") + 1]))
    lines, segments = predictions(opened.folder), {v.id: v.segments for v in opened.data.annotations.videos}
    assert len(lines) > 4
    eyes = eyes_like(opened.data.folder / opened.data.source.folder, Given())
    for line in lines:
        first = int(line["sample_id"].rpartition(":")[2].split("+")[0])
        times = segments[line["video"]][first].start, segments[line["video"]][first + 2].stop
        film = folder / "videos" / f"{line['video']}.mp4"
        ends = Moments(film, *times)
        planned = ask(opened, *ends.see(eyes, opened.data.source), 5, Looked(ends.names, ends.as_json(), ""))
        refuse_difference(planned.as_json(), line)
    told = {"plan": str(film), "--start": str(times[0]), "--goal": str(times[1])}  # of the last window
    assert main([told.get(before, word) for before, word in pairwise(["", *plan])]) == 0
    refuse_difference(json.loads(Path(plan[plan.index("--json") + 1]).read_text()), line)


def make_parents(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    return path


# --- what is seen ------------------------------------------------------------------------------------------------


def write_lossless(path: Path, pictures: np.ndarray) -> Path:
    """Write a film in which every frame is a key frame, 10 of them a second, without loss."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=10, options={"qp": "0", "g": "1", "bf": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = pictures.shape[2], pictures.shape[1], "yuv444p"
        for picture in pictures:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode())
    return path


def noise(frames: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, 24, 32, 3)).astype(np.uint8)


def test_nothing_but_the_seconds_around_start_and_goal_counts(tmp_path):
    eyes, film, other = Eyes(ColorSeconds()), noise(300, 1), noise(300, 2)
    seen = np.zeros(300, bool)
    seen[30:60] = seen[230:260] = True  # seconds 3 to 5 and 23 to 25
    changed = np.where(seen[:, None, None, None], film, other)
    videos = [write_lossless(tmp_path / f"{name}.mp4", each) for name, each in (("film", film), ("changed", changed))]
    first, second = (Moments(video, 4.2, 24.3).see(eyes, SOURCE) for video in videos)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    outside = Moments(videos[1], 5.0, 22.0).see(eyes, SOURCE)
    assert not torch.equal(Moments(videos[0], 5.0, 22.0).see(eyes, SOURCE)[1], outside[1])  # the change can be seen


def test_only_the_seconds_that_are_looked_at_are_decoded(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(GuardedReader, "frames_at", recording(GuardedReader.frames_at, asked))
    video = write_lossless(tmp_path / "film.mp4", noise(300, 1))
    Moments(video, 4.2, 24.3).see(Eyes(ColorSeconds()), SOURCE)
    assert sorted({int(time) for time in asked}) == [3, 4, 5, 23, 24, 25]
    asked.clear()
    Moments(video, 0.0, 30.0).see(Eyes(ColorSeconds()), SOURCE)
    assert sorted({int(time) for time in asked}) == [0, 1, 29]


def recording(method, asked):
    def frames_at(self, times):
        asked.extend(times)
        return method(self, times)

    return frames_at


def test_two_images_plan_like_a_film_that_shows_nothing_else(opened, tmp_path):
    stills = noise(2, 3)
    video = write_lossless(tmp_path / "stills.mp4", stills.repeat(60, axis=0))
    film, eyes = Moments(video, 2.0, 9.0), Eyes(ColorSeconds())
    paths = [tmp_path / "start.png", tmp_path / "goal.png"]
    for path, picture in zip(paths, film.pictures(eyes), strict=True):
        Image.fromarray(picture).save(path)
    images = Images(*paths)
    seen, shown = film.see(eyes, opened.data.source), images.see(eyes, opened.data.source)
    assert torch.equal(seen[0], shown[0])
    assert torch.equal(seen[1], shown[1])
    assert images.names == ("start.png", "goal.png")
    assert images.as_json()["goal"] == {"image": str(paths[1])}


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["film.mp4", "--start", "0:70", "--goal", "2:00"], "start '0:70' is no time: minutes and seconds end at 59"),
        (["film.mp4", "--start=-3", "--goal", "2:00"], "start '-3' is no time"),
        (["film.mp4", "--start", "nan", "--goal", "2:00"], "start 'nan' is no time"),
        (["film.mp4", "--start", "2:00", "--goal", "120"], "start 2:00 is not before goal 120"),
        (["--start", "now.jpg", "--goal", "then.jpg"], "start now.jpg is no image: there is no such file"),
        (["film.mp4", "--start", "1", "--goal", "2", "--strip", "plan.gif"], "its name ends in '.gif'"),
        (["film.mp4", "--start", "1", "--goal", "2"], "nowhere is no run: it has no config.yaml"),
    ],
)
def test_a_wrong_question_is_answered_before_anything_is_read(words, message, tmp_path, capsys):
    try:
        code = main(["plan", *words, "--checkpoint", str(tmp_path / "nowhere")])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert message in capsys.readouterr().err


def test_another_horizon_than_the_run_s_is_refused(opened):
    with pytest.raises(ConfigError, match=r"4 steps are asked for, but small plans 3 steps\n  Say --steps 3"):
        refuse_horizon(opened, 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--goal", "9:00"], "the goal at 9:00 is beyond"),
        (["--set", "frames=5"], "were made otherwise: encoder.frames: 10 there, 5 here"),
        (["--encoder", "rainbow"], "there is no encoder 'rainbow'"),
        (["--root", "/dev/null/nowhere"], "dataset that it was trained on, which is not at hand"),
        (["--device", "cuda:77"], "device cuda:77"),
    ],
)
def test_more_that_does_not_fit_the_run_is_refused(run, root, words, message, capsys):
    video = str(root / "niv" / "videos" / "valid_0.mp4")
    assert main(["plan", video, "--start", "1", "--goal", "4", "--checkpoint", str(run), *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_a_run_of_another_task_is_refused(opened):
    with pytest.raises(ConfigError, match=r"small was trained for planning, but .* recognition .*\n.*leaplan plan"):
        Model(opened).recognise("film.mp4")


def test_a_goal_beyond_the_film_is_refused(tmp_path):
    video = write_lossless(tmp_path / "film.mp4", noise(30, 1))
    with pytest.raises(DataError, match=r"the goal at 0:03\.2 is beyond .*, which ends at 0:03"):
        Moments(video, 1.0, 3.2).see(Eyes(ColorSeconds()), SOURCE)


def test_a_file_that_is_no_image_is_refused(tmp_path):
    path = tmp_path / "words.jpg"
    path.write_text("no image")
    with pytest.raises(DataError, match=r"words\.jpg cannot be read as an image"):
        Images(path, path).see(Eyes(ColorSeconds()), SOURCE)


# --- which encoder -----------------------------------------------------------------------------------------------


def recorded(folder: Path, **encoder) -> Path:
    """Write the settings of features that another encoder made."""
    settings = {"encoder": encoder, "dtype": "float16", "frames_by": "exact", "rows_per_second": 1, "rows": ""}
    (folder / "features.json").write_text(json.dumps({"schema": 1, "sha256": "", "settings": settings}))
    return folder


def test_features_of_unknown_origin_need_an_encoder(tmp_path):
    with pytest.raises(ConfigError, match=r"has no features\.json .*\n.*--encoder NAME"):
        eyes_like(tmp_path, Given())
    assert eyes_like(tmp_path, Given("color_layout", settings={"frames": 2})).encoder.frames == 2
    assert eyes_like(tmp_path, Given(), "color_layout").encoder.width == 516


def test_weights_are_asked_for_by_their_content(tmp_path):
    made = {"name": "s3d", "width": 512, "frames": 32, "rate": 10.0, "weights_sha256": "f0a1b2c3d4e5f6"}
    with pytest.raises(ConfigError, match=r"the weights of s3d, .* are not given\n.*f0a1b2c3d4e5\.\.\.\):  --weights"):
        eyes_like(recorded(tmp_path, **made), Given())


def test_features_of_a_foreign_encoder_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="were made by rainbow, which is no encoder of leaplan"):
        eyes_like(recorded(tmp_path, name="rainbow"), Given())


def test_damaged_settings_are_told(tmp_path):
    (tmp_path / "features.json").write_text("{")
    with pytest.raises(DataError, match=r"features\.json cannot be read as settings of features"):
        eyes_like(tmp_path, Given())


# --- from Python -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(opened):
    return Model(opened)


def test_a_plan_from_a_film_is_that_of_predict_and_has_a_picture(model, run, root):
    line = predictions(run)[0]
    start, goal = window_times(root, line["sample_id"])
    planned = model.plan(start, f"0:{goal:05.2f}", root / "niv" / "videos" / f"{line['video']}.mp4")
    refuse_difference(planned.as_json(), line)
    assert planned._repr_jpeg_().startswith(b"\xff\xd8")
    assert all(name in repr(planned) for name in planned.named(planned.steps))


def test_features_of_the_data_plan_as_their_film_does(model, run):
    windows = model.run.data.windows("test")
    for number, line in enumerate(predictions(run)[:2]):
        planned = model.plan(windows.start[number], windows.goal[number].numpy())
        refuse_difference(planned.as_json(), line)
    assert planned._repr_jpeg_() is None
    with pytest.raises(ConfigError, match="a plan from features has no picture"):
        planned.picture()


def test_pictures_in_files_in_memory_and_of_pillow_plan_alike(model, tmp_path):
    pictures = noise(2, 3)
    paths = [tmp_path / "start.png", tmp_path / "goal.png"]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path)
    plans = [model.plan(*ends) for ends in (paths, map(str, paths), pictures, map(Image.fromarray, pictures))]
    assert len({plan.alternatives for plan in plans}) == 1
    assert plans[2].as_json()["start"] == {"image": None}


@pytest.mark.parametrize(
    ("start", "goal", "video", "message"),
    [
        (1, 2, None, "start 1 is a time, but there is no video"),
        (2, 1, "film.mp4", "start 2 is not before goal 1"),
        (-1.0, 2, "film.mp4", "start -1.0 is no time"),
        (torch.zeros(1, 516), np.zeros((8, 8, 3), np.uint8), None, "one of start and goal is features"),
        (torch.zeros(1, 9), torch.zeros(1, 9), None, "features gives 1 x 9 numbers"),
        (np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8), None, "is no picture"),
    ],
)
def test_what_is_no_start_or_no_goal_is_refused(model, start, goal, video, message):
    with pytest.raises(UserError, match=message):
        model.plan(start, goal, video)


def test_a_model_says_what_it_is(model):
    assert repr(model) == "<leaplan model small: planning of 5 step classes, horizon 3>"
    assert model.results["run"] == "small"
    assert isinstance(model.network, torch.nn.Module)
    with pytest.raises(CheckpointError, match="is no run"):
        leaplan.load(model.run.folder / "nowhere")


# --- words and pictures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12", 12), ("12.5", 12.5), (".5", 0.5), ("3:40", 220), ("75:00", 4500), ("1:02:03.5", 3723.5)],
)
def test_times_are_read_as_people_write_them(text, seconds):
    assert seconds_of(text) == seconds
    assert seconds_of(clock(seconds)) == seconds


def test_probabilities_are_written_as_people_read_them():
    assert [percent(p) for p in (0.0, 0.001, 0.614, 1.0)] == ["0 %", "< 1 %", "61 %", "100 %"]


@pytest.mark.parametrize("shape", [(90, 160, 3), (160, 90, 3), (8, 900, 3), (1, 1, 3)])
def test_a_strip_holds_pictures_of_any_shape_and_long_steps(opened, eyes, shape):
    start = torch.zeros(1, opened.module.problem.seconds, opened.module.problem.width)
    planned = ask(opened, start, start, 1, Looked(("a" * 90, "0:12"), {"video": None}, ""))
    labels = tuple(f"{name} {'very long ' * 20}{'x' * 80}" for name in planned.labels)
    object.__setattr__(planned, "labels", labels)
    picture = np.zeros(shape, np.uint8)
    strip = draw_strip(picture, picture, planned)
    assert strip.size[0] < 4000
    assert strip.size[1] < 2000
