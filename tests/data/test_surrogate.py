"""Surrogates stand in for vision: repeatable, as noisy as told, and never without saying what they are."""

import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from leaplan.data.crosstask import CrossTask
from leaplan.data.niv import Niv
from leaplan.data.surrogate import WARNING, SurrogateFeatures
from leaplan.data.views import PlanningWindows
from leaplan.errors import ConfigError, DataError
from leaplan.text import descriptions
from leaplan.text.descriptions import DescribedSteps, PrecomputedSteps
from leaplan.text.encoder import NgramEncoder
from tests.data import made
from tests.small_niv import write_small_niv

FILE = "schema_text/y.npz"
SCHEMA = "schema_text/schema_clip_vitl14_text_features.npz"


def write_sentences(root: Path, steps: int = 10, sentences: int = 6, width: int = 8) -> np.ndarray:
    """Write random embeddings as `root/schema_text/y.npz`, half precision as the released ones."""
    y = np.random.default_rng(1).normal(2, 1, (steps, sentences, width)).astype(np.float16)
    (root / "schema_text").mkdir(exist_ok=True)
    np.savez(
        root / FILE, state=y, odd=y[:, :5], flat=y[:, 0], nan=np.full_like(y, np.nan), whole=np.ones((10, 2, 4), int)
    )
    return y.astype(np.float64)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = write_small_niv(tmp_path_factory.mktemp("data"))
    write_sentences(folder)
    return folder


def module(root: Path, horizon: int = 3, **settings) -> Niv:
    source = SurrogateFeatures(**{"file": FILE, "key": "state", "noise": 0.5, **settings})
    return Niv(str(root), PlanningWindows(horizon), source, validation=0.2)


def test_without_noise_an_observation_is_the_mean_of_its_sentences(root):
    y = write_sentences(root)
    data = module(root, noise=0)
    data.setup()
    for split in ("train", "val", "test"):
        tensors = data.windows(split)
        assert tensors.start.shape == (len(tensors), 1, 8)
        for row, window in enumerate(tensors.windows):
            before, after = y[window.steps[0], :3].mean(0), y[window.steps[-1], 3:].mean(0)
            np.testing.assert_allclose(tensors.start[row, 0], before / np.linalg.norm(before), atol=1e-6)
            np.testing.assert_allclose(tensors.goal[row, 0], after / np.linalg.norm(after), atol=1e-6)


HASH = """
import hashlib, pathlib, sys
from leaplan.data.surrogate import SurrogateFeatures
from leaplan.data.views import PlanningWindows
from tests.data import made

given, source = made.annotations(made.video("v", [3, 1, 0, 2, 3])), SurrogateFeatures("schema_text/y.npz", "state")
source.restrict(given, pathlib.Path(sys.argv[1]) / "made")
_, start, goal = source.observe(PlanningWindows(3)(given, "train"), pathlib.Path(sys.argv[1]))
print(hashlib.sha256(start.numpy().tobytes() + goal.numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_observations_are_the_same_in_another_process(tmp_path, monkeypatch, capsys):
    write_sentences(tmp_path, steps=9)
    monkeypatch.setattr(sys, "argv", ["", str(tmp_path)])
    exec(HASH, {})
    command = [sys.executable, "-c", HASH, str(tmp_path)]
    environment = {"PYTHONHASHSEED": "5", "PYTHONPATH": str(Path(__file__).parents[2])}
    other = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert other.stdout == capsys.readouterr().out != ""


def observed_segments(data: Niv) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    data.setup()
    starts, goals = {}, {}
    for split in ("train", "val", "test"):
        tensors = data.windows(split)
        for row, window in enumerate(tensors.windows):
            starts[window.segments[0]] = tensors.start[row]
            goals[window.segments[-1]] = tensors.goal[row]
    return starts, goals


def test_a_segment_looks_the_same_in_every_window_and_split(root):
    starts, goals = observed_segments(module(root, 3))
    other = module(root, 4)
    other.validation = 0.4
    more_starts, more_goals = observed_segments(other)
    for seen, again in ((starts, more_starts), (goals, more_goals)):
        common = seen.keys() & again.keys()
        assert len(common) > 20
        assert all(torch.equal(seen[key], again[key]) for key in common)


def test_steps_between_the_first_and_the_last_do_not_show(root):
    data = module(root)
    windows = PlanningWindows(3)(data.official, "train")
    others = [replace(w, steps=(w.steps[0], (w.steps[1] + 1) % 10, w.steps[2])) for w in windows]
    (_, start, goal), (_, start_2, goal_2) = (data.source.observe(given, data.folder) for given in (windows, others))
    assert torch.equal(start, start_2)
    assert torch.equal(goal, goal_2)


def noise_of(tmp_path: Path, noise: float, seed: int = 7) -> np.ndarray:
    """The noise on 600 starts and as many goals (1200, 64) of segments of 9 steps."""
    write_sentences(tmp_path, steps=9, width=64)
    chance = np.random.default_rng(2)
    given = made.annotations(*(made.video(f"v{i}", chance.integers(9, size=6).tolist()) for i in range(100)))
    both = []
    for strength in (noise, 0.0):
        source = SurrogateFeatures(FILE, "state", strength, seed=seed)
        source.restrict(given, tmp_path / "made")
        _, start, goal = source.observe(PlanningWindows(1)(given, "train"), tmp_path / "made")
        both.append(torch.cat([start, goal])[:, 0].double().numpy())
    np.testing.assert_allclose(np.linalg.norm(both[1], axis=1), 1, atol=1e-6)
    return both[0] - both[1]


@pytest.mark.parametrize("strength", [0.25, 1.0, 4.0])
def test_noise_is_as_long_as_told_where_the_signal_has_length_one(tmp_path, strength):
    noise = noise_of(tmp_path, strength)
    assert np.sqrt((noise**2).sum(1).mean()) == pytest.approx(strength, rel=0.02)
    assert np.abs(noise.mean(0)).max() < 5 * strength / 8 / np.sqrt(len(noise))  # each of 64 numbers around zero
    assert np.abs(noise / strength * 8).max() < 6  # as Gaussian noise, none far out
    cosines = np.corrcoef(noise)[np.triu_indices(len(noise), 1)]
    assert cosines.std() == pytest.approx(1 / 8, rel=0.05)  # segments and sides are independent
    assert np.abs(cosines).max() < 0.8


def test_another_seed_is_other_noise(tmp_path):
    one, other = noise_of(tmp_path, 1.0), noise_of(tmp_path, 1.0, seed=8)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02


def test_a_projection_keeps_equal_steps_equal_and_changes_the_width(root):
    whole, narrow = module(root, noise=0), module(root, noise=0, width=200)
    for data in (whole, narrow):
        data.setup()
    assert narrow.problem.width == 200
    a, b = (data.windows("train").start[:, 0] for data in (whole, narrow))
    torch.testing.assert_close(b.norm(dim=1), torch.ones(len(b)))
    assert (a @ a.T - b @ b.T).abs().max() < 0.3  # random projections nearly keep angles
    again = module(root, noise=0, width=200)
    again.setup()
    assert torch.equal(again.windows("train").start[:, 0], b)


def test_results_say_that_observations_are_surrogates(root):
    data = module(root)
    data.setup()
    assert data.source.describe()["name"] == "surrogate of step descriptions"
    assert WARNING in data.facts()["notes"]
    assert "say nothing about vision" in WARNING
    assert data.facts()["samples"] == {"train": 48, "val": 12, "test": 30}


def test_single_steps_are_observed_too(root):
    data = module(root, noise=0)
    data.setup()
    singles = data.single_steps()
    y = write_sentences(root)
    after = y[singles.own.numpy(), 3:].mean(1)
    np.testing.assert_allclose(singles.goal[:, 0], after / np.linalg.norm(after, axis=1, keepdims=True), atol=1e-6)


def test_the_file_lies_beside_the_dataset_or_inside_it(root, tmp_path):
    assert module(root / "niv").official.videos == module(root).official.videos  # --root names the dataset itself
    own = write_small_niv(tmp_path)
    write_sentences(own / "niv")
    assert module(own).official
    with pytest.raises(DataError, match=r"absent\.npz is neither in .*niv nor beside it"):
        module(own, file="absent.npz").setup()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("other", r"no array \['other'\]"),
        ("odd", r"shape \(10, 5, 8\), but niv has 10 steps"),
        ("flat", r"shape \(10, 8\), but niv has 10 steps"),
        ("nan", "'nan', is not of finite numbers"),
        ("whole", "'whole', is not of finite numbers"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(root, key, message):
    with pytest.raises(DataError, match=message):
        module(root, key=key).setup()


def test_an_array_of_another_vocabulary_is_refused(tmp_path):
    write_sentences(write_small_niv(tmp_path), steps=9)
    with pytest.raises(DataError, match=r"shape \(9, 6, 8\), but niv has 10 steps"):
        module(tmp_path).setup()


def test_settings_without_meaning_are_refused():
    for settings in ({"noise": -0.1}, {"noise": float("nan")}, {"noise": float("inf")}, {"width": 0}):
        with pytest.raises(ConfigError, match=next(iter(settings))):
            SurrogateFeatures(FILE, "state", **settings)


# --- real annotations and texts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "key", "horizon", "train", "test"),
    [
        (Niv, "niv_state", 3, 691, 333),
        (Niv, "niv_state", 4, 589, 288),
        pytest.param(CrossTask, "crosstask_state", 3, 12293, 2030, marks=pytest.mark.slow),
    ],
)
def test_real_windows_are_all_observed(shared, dataset, key, horizon, train, test):
    data = dataset(str(shared / "data"), PlanningWindows(horizon), SurrogateFeatures(SCHEMA, key))
    data.setup()
    samples = data.facts()["samples"]
    assert samples["train"] + samples["val"] == train
    assert samples["test"] == test
    assert data.problem.width == 768


@pytest.mark.parametrize(
    ("dataset", "name", "pairs"), [(Niv, "niv", 39), pytest.param(CrossTask, "crosstask", 106, marks=pytest.mark.slow)]
)
def test_released_rows_are_in_the_order_of_our_vocabulary(shared, tmp_path, monkeypatch, dataset, name, pairs):
    monkeypatch.setattr(descriptions, "CACHE", tmp_path)
    source = SurrogateFeatures(SCHEMA, f"{name}_state")
    vocabulary = dataset(str(shared / "data"), PlanningWindows(3), source).official.vocabulary
    file = str(shared / f"data/schema_text/descriptors_{name}.json")
    codes, texts = (
        DescribedSteps(file, encoder).embed(vocabulary).reshape(len(vocabulary.steps) * 6, -1).astype(np.float64)
        for encoder in (CodeOfSentence(), NgramEncoder(1024))
    )
    rows = PrecomputedSteps(str(shared / "data" / SCHEMA), f"{name}_state").embed(vocabulary)
    rows = rows.reshape(-1, 768).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    same_text, same_row = (np.triu(x, 1) for x in (codes == codes.T, rows @ rows.T > 0.9999))
    assert (same_text == same_row).all()  # sentences that several steps share have equal rows, and no others have
    assert same_text.sum() == pairs
    assert own_row_found(texts, rows, len(vocabulary.steps)) > 0.85
    assert own_row_found(texts, np.roll(rows, 6, axis=0), len(vocabulary.steps)) < 0.5


class CodeOfSentence:
    """Each sentence its own number."""

    identity = "code of sentence"

    def encode(self, sentences):
        return np.array([[zlib.crc32(sentence.encode()) % 2**24] for sentence in sentences], np.float32)


def own_row_found(texts: np.ndarray, rows: np.ndarray, steps: int) -> float:
    """How often a step's row is the nearest to what a ridge regression on other steps' words makes of its texts."""
    step = np.repeat(np.arange(steps), 6)
    found = 0
    for part in range(5):
        rest, held = step % 5 != part, step % 5 == part
        mean = rows[rest].mean(0)
        kernel = texts[rest] @ texts[rest].T + 0.3 * np.eye(rest.sum())
        guess = texts[held] @ texts[rest].T @ np.linalg.solve(kernel, rows[rest] - mean)
        a, b = (x.reshape(-1, 6, rows.shape[1]).mean(1) for x in (guess, rows[held] - mean))
        nearness = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
        found += int((nearness.argmax(1) == np.arange(len(a))).sum())
    return found / steps
