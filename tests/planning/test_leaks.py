"""Nothing but the two observations reaches a plan: not what lies between them, not the truth, not other splits.

Each test perturbs what must not matter and compares exactly, then perturbs what must matter.
"""

import gzip
import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from leaplan.__main__ import main
from leaplan.data.captaincook4d import CaptainCook4D
from leaplan.data.datamodule import VideoDataModule
from leaplan.data.niv import Niv
from leaplan.data.sources import Features, SegmentFeatures
from leaplan.data.views import PlanningWindows
from leaplan.planning.freeform import Writing
from leaplan.planning.module import PlanningModule
from leaplan.planning.network import Planner
from leaplan.planning.plan_decoder import Answers
from tests.small_niv import write_small_niv
from tests.test_cli import QUERIES, experiment, small_language, whole

HORIZON = 5  # the small dataset's videos have five steps, so each is one window
EVERYTHING = {  # every part that a planner may have, switched on
    "width": 16,
    "heads": 2,
    "layers": 1,
    "direct_readers": 2,
    "direct_width": 16,
    "recall_share": 0.5,
    "suppress_places": 1.0,
    "step_queries": QUERIES,
}
DECODINGS = ["argmax", "viterbi", "generate", "trie", "retrieve"]


class Asked(NamedTuple):
    """What a planner says of a split."""

    sample_id: list[str]
    steps: Tensor
    answers: Answers


def build(data: VideoDataModule, seed: int = 0) -> PlanningModule:
    """A planner built for `data` as the trainer builds it, with every weight moved off its initial value."""

    def network(*sizes):
        return Planner(*sizes, **EVERYTHING)

    torch.manual_seed(seed)
    module = PlanningModule(network=network, language=small_language(), decode=DECODINGS, writing=Writing(budget=1))
    with TemporaryDirectory() as folder:
        module._trainer = trainer_of(data, folder)
        module.configure_model()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module.eval()


def trainer_of(data: VideoDataModule, folder: str = "") -> SimpleNamespace:
    """As much of a trainer as building and predicting ask for."""
    return SimpleNamespace(
        datamodule=data, default_root_dir=folder, state=SimpleNamespace(fn="predict"), ckpt_path=None
    )


@torch.no_grad()
def ask(module: PlanningModule, data: VideoDataModule, keep: set[str] | None = None) -> Asked:
    """Plan the test windows through the module's own step."""
    module._trainer = trainer_of(data)
    module.on_predict_epoch_start()
    said = []
    module.outcome.update = lambda *given: said.append(given)
    windows = data.windows("test")
    rows = [i for i, w in enumerate(windows.windows) if keep is None or w.sample_id in keep]
    batch = windows.__getitems__(rows)
    module.predict_step(batch, 0)
    ((_, steps, answers),) = said
    return Asked(batch["sample_id"], steps, answers)


def assert_same_answers(one: Asked, other: Asked) -> None:
    assert one.sample_id == other.sample_id
    assert list(one.answers.plans) == DECODINGS
    for name, ours, theirs in zip(Answers._fields, one.answers, other.answers, strict=True):
        for key in DECODINGS if name == "plans" else [...]:
            assert torch.equal(ours[key], theirs[key]), f"{name} {key}"


# --- the small dataset ---------------------------------------------------------------------------------------


def load(root: Path, horizon: int = HORIZON) -> Niv:
    source = Features("processed_data", rounding="floor")
    data = Niv(str(root), PlanningWindows(horizon), source, validation=0.2)
    data.setup()
    return data


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_small_niv(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def clean(root) -> Niv:
    return load(root)


@pytest.fixture(scope="module")
def planner(clean) -> PlanningModule:
    return build(clean)


@pytest.fixture
def copy(root, tmp_path) -> Path:
    return Path(shutil.copytree(root, tmp_path / "data"))


def test_every_video_has_one_window(clean):
    assert {len(v.segments) for v in clean.annotations.videos} == {HORIZON}


def change_features(root: Path, data: Niv, split: str, rows) -> None:
    """Replace the rows `rows(start second, goal second, seconds)` of the split's videos by noise."""
    rng = np.random.default_rng(9)
    for window in data.windows(split).windows:
        path = root / "niv" / "processed_data" / f"{window.video}.npy"
        array = np.load(path)
        chosen = rows(int(window.start_time), int(window.goal_time), len(array))
        array[chosen] = rng.normal(0, 50, (len(chosen), array.shape[1]))
        np.save(path, array)


def between(start: int, goal: int, seconds: int) -> list[int]:
    """Rows strictly between the observed seconds start - 1 to start + 1 and goal - 1 to goal + 1."""
    return list(range(start + 2, goal - 1))


def test_plan_ignores_everything_between_start_and_goal(copy, clean, planner):
    change_features(copy, clean, "test", between)
    assert_same_answers(ask(planner, load(copy)), ask(planner, clean))


def test_plan_ignores_everything_before_start_and_after_goal(copy, clean, planner):
    change_features(copy, clean, "test", lambda a, b, n: [*range(a - 1), *range(b + 2, n)])
    assert_same_answers(ask(planner, load(copy)), ask(planner, clean))


@pytest.mark.parametrize("second", [-1, 0, 1])
@pytest.mark.parametrize("side", ["start", "goal"])
def test_plan_sees_each_observed_second(side, second, copy, clean, planner):
    change_features(copy, clean, "test", lambda a, b, n: [(a if side == "start" else b) + second])
    changed, before = ask(planner, load(copy)), ask(planner, clean)
    assert (changed.answers.log_emissions != before.answers.log_emissions).flatten(1).any(1).all()


def relabel(path: Path, change) -> None:
    """Let `change(record, index)` rewrite the labels of each video of a list; times stay."""
    index = json.loads((path.parent / "niv_action_idx.json").read_text())
    content = json.loads(path.read_text())
    for record in content.values():
        change(record, index)
    path.write_text(json.dumps(content))


def other_steps(record, index) -> None:
    """Every action becomes the next one of its task."""
    names = list(index[record["task"]]["actions"])
    for step in record["steps"]:
        name = names[(names.index(step["action"]) + 1) % len(names)]
        step.update(action=name, action_id=index[record["task"]]["actions"][name])


def other_task(record, index) -> None:
    """Every action becomes the one at its place in the other task, and the task becomes that."""
    (task,) = set(index) - {record["task"]}
    old, new = list(index[record["task"]]["actions"]), list(index[task]["actions"])
    for step in record["steps"]:
        name = new[old.index(step["action"])]
        step.update(action=name, action_id=index[task]["actions"][name])
    record.update(task=task, task_id=index[task]["task_id"])


@pytest.mark.parametrize("change", [other_steps, other_task])
def test_plan_ignores_the_true_steps_and_the_true_task(change, copy, clean, planner):
    relabel(copy / "niv" / "niv_valid.json", change)
    data = load(copy)
    changed, before = ask(planner, data), ask(planner, clean)
    assert not (changed.steps == before.steps).any()
    if change is other_task:
        assert not (data.windows("test").task == clean.windows("test").task).any()
    assert_same_answers(changed, before)


def test_a_planner_is_built_from_training_data_alone(copy, clean):
    """Transitions, feature statistics and everything stored are equal when all of val and test is another."""
    validation = {w.video for w in clean.windows("val").windows}
    for split in ("val", "test"):
        change_features(copy, clean, split, lambda a, b, n: list(range(n)))
    relabel(copy / "niv" / "niv_valid.json", other_task)
    path = copy / "niv" / "niv_train.json"
    content, index = json.loads(path.read_text()), json.loads((copy / "niv" / "niv_action_idx.json").read_text())
    for video in validation:
        other_steps(content[video], index)
    path.write_text(json.dumps(content))
    changed = load(copy)
    assert {w.video for w in changed.windows("val").windows} == validation
    assert not torch.equal(changed.windows("val").steps, clean.windows("val").steps)
    assert changed.training_sequences() == clean.training_sequences()
    states = [build(data).state_dict() for data in (clean, changed)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_planner_is_built_from_all_training_videos(copy, clean):
    change_features(copy, clean, "train", lambda a, b, n: list(range(n)))
    states = [build(data).state_dict() for data in (clean, load(copy))]
    assert not all(torch.equal(states[0][name], states[1][name]) for name in states[0])


# --- the small dataset, through the command line -------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory, root) -> Path:
    """The experiment of a finished run."""
    folder = tmp_path_factory.mktemp("trained")
    config = experiment(folder, root, epochs=4, horizon=HORIZON, **whole(folder / "cache"))
    assert main(["fit", "--config", str(config)]) == 0
    return config


def rewritten(trained: Path, verb: str, root: Path, tmp_path: Path) -> list[dict]:
    """The predictions of the same checkpoint on other data."""
    best = trained.parent / "runs" / "small" / "checkpoints" / "best.ckpt"
    options = ["--root", str(root), "--runs", str(tmp_path / "runs"), "--ckpt_path", str(best)]
    assert main([verb, "--config", str(trained), *options]) == 0
    return lines_of(tmp_path / "runs" / "small")


def lines_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "predictions" / "test.jsonl").read_text().splitlines()]


def spoil_between(root: Path, clean: Niv) -> None:
    change_features(root, clean, "test", between)


def spoil_steps(root: Path, clean: Niv) -> None:
    relabel(root / "niv" / "niv_valid.json", other_steps)


def spoil_task(root: Path, clean: Niv) -> None:
    relabel(root / "niv" / "niv_valid.json", other_task)


@pytest.mark.parametrize("verb", ["test", "predict"])
@pytest.mark.parametrize("spoil", [spoil_between, spoil_steps, spoil_task])
def test_a_checkpoint_writes_the_same_plans_whatever_the_truth(verb, spoil, trained, copy, clean, tmp_path):
    spoil(copy, clean)
    before, after = lines_of(trained.parent / "runs" / "small"), rewritten(trained, verb, copy, tmp_path)
    assert (after != before) == (spoil is not spoil_between)  # the file tells the truth beside the plans
    for one, other in zip(after, before, strict=True):
        assert one["sample_id"] == other["sample_id"]
        for key in ("plans", "top_5", "log_probability", "sentence", "probability", "alternatives"):
            assert one[key] == other[key]


def test_a_checkpoint_writes_other_plans_for_other_observations(trained, copy, clean, tmp_path):
    change_features(copy, clean, "test", lambda a, b, n: [b])
    after = rewritten(trained, "predict", copy, tmp_path)
    assert [line["log_probability"] for line in after] != [
        line["log_probability"] for line in lines_of(trained.parent / "runs" / "small")
    ]


# --- real features -------------------------------------------------------------------------------------------

ARCHIVE = "pe_core_step_windows.npz"


def load_kitchens(root: Path, horizon: int) -> CaptainCook4D:
    data = CaptainCook4D(str(root), PlanningWindows(horizon), SegmentFeatures(ARCHIVE))
    data.setup()
    return data


@pytest.fixture(scope="module")
def kitchens(shared) -> CaptainCook4D:
    return load_kitchens(shared / "data", horizon=3)


@pytest.fixture(scope="module")
def built(kitchens) -> PlanningModule:
    """A planner of the real features."""
    return build(kitchens)


@pytest.fixture(scope="module")
def answered(built, kitchens) -> Asked:
    """What it says of all test windows."""
    return ask(built, kitchens)


def one_window_per_video(data: CaptainCook4D) -> set[str]:
    """The second window of each test video: segments lie before, between and after what it observes."""
    windows = data.windows("test").windows
    return {w.sample_id for w in windows if w.sample_id.partition(":")[2].startswith("1+")}


def changed_archive(shared: Path, folder: Path, change=None) -> Path:
    """A copy of the dataset of which `change(arrays)`, if given, has edited the features."""
    target = folder / "captaincook4d"
    target.mkdir()
    for path in (shared / "data" / "captaincook4d").iterdir():
        if path.name != ARCHIVE or change is None:
            (target / path.name).symlink_to(path)
    if change is not None:
        with np.load(shared / "data" / "captaincook4d" / ARCHIVE) as archive:
            arrays = dict(archive)
        change(arrays)
        np.savez(target / ARCHIVE, **arrays)
    return folder


def places(data: CaptainCook4D, arrays) -> dict[str, int]:
    """Segment id to its row of the archive."""
    row = {(str(v), int(s), round(float(t), 2)): i for i, (v, s, t) in enumerate(keys_of(arrays))}
    steps = data.annotations.vocabulary.steps
    return {
        segment.id: row[video.id, int(steps[segment.step].key), round(segment.start, 2)]
        for video in data.annotations.videos
        for segment in video.segments
    }


def keys_of(arrays):
    return zip(arrays["video_id"], arrays["step_id"], arrays["start"], strict=True)


def test_plan_of_a_real_video_ignores_everything_but_start_and_goal(built, kitchens, shared, tmp_path):
    chosen = one_window_per_video(kitchens)
    assert len(chosen) > 10
    before = ask(built, kitchens, chosen)

    def spoil(arrays):
        features = arrays["feats"].astype(np.float32)
        where = places(kitchens, arrays)
        noise = np.random.default_rng(0).normal(0, 3, features.shape).astype(np.float32)
        for window in kitchens.windows("test").windows:
            if window.sample_id in chosen:
                kept = features[where[window.segments[0]], 1:4], features[where[window.segments[-1]], 6:9]
                kept = [rows.copy() for rows in kept]
                video = arrays["video_id"] == window.video
                features[video] = noise[video]  # all other segments, and all other seconds of these two
                features[where[window.segments[0]], 1:4], features[where[window.segments[-1]], 6:9] = kept
        arrays["feats"] = features

    changed = load_kitchens(changed_archive(shared, tmp_path, spoil), kitchens.view.horizon)
    assert_same_answers(ask(built, changed, chosen), before)
    others = {w.sample_id for w in kitchens.windows("test").windows} - chosen
    assert not torch.equal(
        ask(built, changed, others).answers.log_emissions, ask(built, kitchens, others).answers.log_emissions
    )


def test_plan_of_a_real_video_ignores_its_true_steps(built, answered, kitchens, shared, tmp_path):
    """Each test video's step labels are rotated by one place, in the annotations and in the archive."""
    videos = {video.id for video in kitchens.annotations.of_split("test")}
    path = shared / "data" / "captaincook4d" / "complete_step_annotations.json.gz"
    document = json.loads(gzip.decompress(path.read_bytes()))
    new: dict[tuple[str, int, float], int] = {}
    for name in videos:
        steps = [s for s in document[name]["steps"] if s["start_time"] >= 0]
        labels = [s["step_id"] for s in steps]
        for step, label in zip(steps, labels[1:] + labels[:1], strict=True):
            new[name, step["step_id"], round(float(step["start_time"]), 2)] = label
            step["step_id"] = label

    def spoil(arrays):
        arrays["step_id"] = np.array(
            [new.get((str(v), int(s), round(float(t), 2)), int(s)) for v, s, t in keys_of(arrays)]
        )

    root = changed_archive(shared, tmp_path, spoil)
    (root / "captaincook4d" / path.name).unlink()
    (root / "captaincook4d" / path.name).write_bytes(gzip.compress(json.dumps(document).encode(), 1))
    data = load_kitchens(root, kitchens.view.horizon)
    after = ask(built, data)
    assert (after.steps != answered.steps).any(1).float().mean() > 0.9
    assert_same_answers(after, answered)
    again = build(data).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in built.state_dict().items())


def test_plan_of_a_real_video_ignores_its_true_task(built, answered, kitchens, shared, tmp_path):
    """Each test recording is given the next recipe that occurs among the recordings with features."""
    path = shared / "data" / "captaincook4d" / "complete_step_annotations.json.gz"
    document = json.loads(gzip.decompress(path.read_bytes()))
    recipes = {document[video.id]["activity_id"]: video.id for video in kitchens.annotations.videos}
    order = sorted(recipes)
    for video in kitchens.annotations.of_split("test"):
        other = order[(order.index(document[video.id]["activity_id"]) + 1) % len(order)]
        document[video.id]["activity_id"] = other
        document[video.id]["activity_name"] = document[recipes[other]]["activity_name"]
    root = changed_archive(shared, tmp_path)
    (root / "captaincook4d" / path.name).unlink()
    (root / "captaincook4d" / path.name).write_bytes(gzip.compress(json.dumps(document).encode(), 1))
    data = load_kitchens(root, kitchens.view.horizon)
    assert (data.windows("test").task != kitchens.windows("test").task).all()
    assert_same_answers(ask(built, data), answered)
