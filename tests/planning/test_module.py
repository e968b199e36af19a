"""The module that trains a planner: its loss, what it measures before training, how it chooses, what it saves."""

from itertools import pairwise, product
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from leaplan.data.niv import Niv
from leaplan.data.sources import Features
from leaplan.data.views import ActionClips, PlanningWindows
from leaplan.errors import CheckpointError, ConfigError
from leaplan.planning.module import PlanningModule
from leaplan.planning.network import Mixture, Planner
from leaplan.planning.plan_decoder import Answers
from leaplan.text.descriptions import PrecomputedSteps
from tests.small_niv import write_small_niv
from tests.test_cli import QUERIES, small_language

T, N, K, B = 3, 10, 2, 8


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Niv:
    root = write_small_niv(tmp_path_factory.mktemp("data"))
    return load(root)


def load(root, horizon: int = T, pool: str = "mean") -> Niv:
    data = Niv(str(root), PlanningWindows(horizon), Features("processed_data", rounding="floor", pool=pool))
    data.setup()
    return data


def build(data: Niv, network: dict | None = None, **settings) -> PlanningModule:
    """A module built for `data`; no dropout, and what it logs is kept in `module.logged`."""
    sizes = {"width": 16, "heads": 2, "layers": 1, **(network or {})}
    torch.manual_seed(0)
    module = PlanningModule(network=lambda *given: Planner(*given, **sizes), **settings)
    with TemporaryDirectory() as folder:
        module._trainer = SimpleNamespace(
            datamodule=data,
            state=SimpleNamespace(fn="fit"),
            default_root_dir=folder,
            current_epoch=0,
            ckpt_path=None,
            world_size=1,
        )
        module.configure_model()
    logged: dict[str, float] = {}
    module.log = lambda name, value, **options: logged.update({name: torch.as_tensor(value).item()})
    module.log_dict = lambda values, **options: logged.update(values)
    module.logged = logged
    return module.eval()


def batch_of(data: Niv, rows=range(B)) -> dict:
    return dict(data.windows("train").__getitems__(list(rows)))


# --- loss ----------------------------------------------------------------------------------------------------


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def smoothed_cross_entropy(logits: np.ndarray, target: int, smoothing: float) -> float:
    log_p = log_softmax(logits)
    return -(1 - smoothing) * log_p[target] - smoothing * log_p.mean()


def plan_negative_log_likelihood(logits: np.ndarray, steps: np.ndarray, log_transitions: np.ndarray) -> float:
    """-log of the true plan's share in the weight of all N^T plans, each visited."""

    def weight(plan) -> float:
        emitted = sum(logits[t, step] for t, step in enumerate(plan))
        return emitted + sum(log_transitions[a, b] for a, b in pairwise(plan))

    weights = np.array([weight(plan) for plan in product(range(N), repeat=T)])
    return float(np.log(np.exp(weights - weights.max()).sum()) + weights.max() - weight(steps))


def expected_loss(module: PlanningModule, batch: dict, settings: dict) -> float:
    """The loss written out: a sum over readers of the mean over windows."""
    smoothing, focal = settings["label_smoothing"], settings["focal"]
    with torch.no_grad():
        output = module(batch["start"], batch["goal"])
    logits, tasks = output.steps.double().numpy(), output.task.double().numpy()
    transitions = module.log_transitions.double().numpy()
    total = 0.0
    for reader in range(len(logits)):
        for window, steps in enumerate(batch["steps"].numpy()):
            each = [smoothed_cross_entropy(logits[reader, window, t], steps[t], smoothing) for t in range(T)]
            sure = [np.exp(log_softmax(logits[reader, window, t])[steps[t]]) for t in range(T)]
            loss = np.mean([(1 - p) ** focal * e for p, e in zip(sure, each, strict=True)])
            loss += settings["task_weight"] * smoothed_cross_entropy(
                tasks[reader, window], int(batch["task"][window]), smoothing
            )
            plan = plan_negative_log_likelihood(logits[reader, window], steps, transitions)
            total += (loss + settings["plan_weight"] * plan / T) / len(batch["steps"])
    return total


PLAIN = {"label_smoothing": 0.0, "focal": 0.0, "task_weight": 0.0, "plan_weight": 0.0}
LOSSES = {
    "cross-entropy": {},
    "label smoothing": {"label_smoothing": 0.2},
    "focal": {"focal": 2.0},
    "task": {"task_weight": 0.7},
    "plan": {"plan_weight": 0.5},
    "all": {"label_smoothing": 0.1, "focal": 1.0, "task_weight": 1.0, "plan_weight": 1.0},
}


@pytest.mark.parametrize("readers", [0, 2])
@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_the_one_written_out(name, readers, data):
    settings = {**PLAIN, **LOSSES[name]}
    module = build(data, {"direct_readers": readers, "direct_width": 8}, **settings)
    batch = batch_of(data)
    loss = module.training_step(batch, 0).item()
    assert loss == pytest.approx(expected_loss(module, batch, settings), rel=1e-5)
    assert module.logged["train/loss"] == pytest.approx(loss, rel=1e-6)


def test_the_loss_of_mixed_windows_is_the_mixture_of_losses(data):
    settings = {**PLAIN, **LOSSES["all"]}
    module = build(data, {"layers": 0, "direct_readers": 2, "direct_width": 8}, mixup=1.0, **settings)
    batch = batch_of(data)
    shares, order = torch.linspace(0.5, 1, B), torch.randperm(B)
    module._mixture = lambda steps: Mixture(shares, order)
    loss = module.training_step(batch, 0).item()
    expected = 0.0
    for window, share in enumerate(shares.tolist()):
        other = int(order[window])
        for weight, truth in ((share, window), (1 - share, other)):
            mixed = {
                "start": share * batch["start"][[window]] + (1 - share) * batch["start"][[other]],
                "goal": share * batch["goal"][[window]] + (1 - share) * batch["goal"][[other]],
                "steps": batch["steps"][[truth]],
                "task": batch["task"][[truth]],
            }
            expected += weight * expected_loss(module, mixed, settings) / B
    assert loss == pytest.approx(expected, rel=1e-5)


def test_a_window_keeps_at_least_half_of_itself_in_a_mixture(data):
    mixture = build(data, mixup=0.4)._mixture(torch.zeros(500, T))
    assert float(mixture.share.min()) >= 0.5
    assert float(mixture.share.max()) <= 1.0
    assert sorted(mixture.order.tolist()) == list(range(500))


def test_only_the_direct_readers_see_mixed_windows(data):
    module = build(data, {"direct_readers": 2, "direct_width": 8}, mixup=1.0)
    batch = batch_of(data)
    seen = []
    module.network.attend.states.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    module.training_step(batch, 0)
    assert torch.equal(seen[0], module.network.observe(batch["start"], batch["goal"]))


def test_a_window_without_a_task_teaches_its_steps_alone(data):
    module = build(data, **{**PLAIN, "task_weight": 1.0})
    batch = batch_of(data)
    batch["task"] = torch.full((B,), -1)
    loss = module.training_step(batch, 0).item()
    assert loss == pytest.approx(expected_loss(module, batch_of(data), PLAIN), rel=1e-5)


@pytest.mark.parametrize(
    "settings",
    [{}, {"direct_readers": 2, "direct_width": 8, "recall_share": 0.5}, {"step_queries": QUERIES}],
)
@pytest.mark.parametrize("speaks", [False, True])
def test_every_parameter_learns(settings, speaks, data):
    """A parameter that no loss reaches would stop training on several processes."""
    module = build(data, settings, language=small_language() if speaks else None).train()
    module.training_step(batch_of(data), 0).backward()
    assert [name for name, p in module.named_parameters() if p.requires_grad and p.grad is None] == []


# --- PlanLLM: both stages ------------------------------------------------------------------------------------


def test_the_first_stage_learns_from_alignment_alone(data):
    network = {"step_queries": {**QUERIES, "dropout": 0.0}, "dropout": 0.0, "feature_dropout": 0.0}
    module = build(data, network, language=small_language(), align_epochs=1).train()
    module.network.attend.alignment.sample_negatives = False
    batch = batch_of(data)
    loss = module.training_step(batch, 0)
    both = module.network.align(batch["start"], batch["goal"], module.y, batch["steps"])
    assert loss.item() == pytest.approx(both.sum().item(), rel=1e-5)
    loss.backward()
    touched = {name for name, p in module.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {".".join(name.split(".")[:3]) for name in touched} == {
        "network.attend.states",
        "network.attend.queries",
        "network.attend.alignment",
    }


def test_the_loss_of_the_second_stage_is_equation_15(data):
    weights = {"alignment_weight": 0.3, "similarity_weight": 0.7, "caption_weight": 1.1, "step_weight": 0.9}
    module = build(data, {"step_queries": QUERIES}, language=small_language(), **{**PLAIN, **weights})
    batch = batch_of(data)
    steps = batch["steps"]
    attend, loss = module.network.attend, module.training_step(batch, 0).item()
    with torch.no_grad():
        states, queries = attend.perceive(module.network.observe(batch["start"], batch["goal"]))
        contrast, match = attend.alignment(attend.queries, states, queries, module.y.mean(1)[steps], steps)
        logits, likeness = module(batch["start"], batch["goal"]).steps[0], attend.alignment.classify(queries, module.y)
        said = [caption_loss(attend.language, states[[i]], queries[[i]], steps[i].tolist()) for i in range(B)]

    def cross_entropy(scores):
        scores = log_softmax(scores.double().numpy())
        return -np.mean([scores[i, t, step] for i, plan in enumerate(steps.tolist()) for t, step in enumerate(plan)])

    expected = 0.3 * float(contrast + match) + 0.7 * cross_entropy(likeness)
    expected += 0.9 * cross_entropy(logits) + 1.1 * np.mean(said)
    assert loss == pytest.approx(expected, rel=1e-4)


def caption_loss(language, states, queries, steps: list[int]) -> float:
    """L_ASC of one window, without padding and token by token."""
    prompt, _ = language.prompt(states, queries)
    captions, total = language.captions, 0.0
    ids = captions.opening + [t for s in steps for t in (*captions.pieces[s], *captions.separator)]
    ids = ids[: -len(captions.separator)] + captions.closing
    for number, token in enumerate(ids):
        said = language.model.embed(torch.tensor([ids[:number]], dtype=torch.int64))
        logits = language.model.logits(language.model(torch.cat([prompt, said], dim=1)).hidden[0, -1])
        total -= log_softmax(logits.double().numpy())[token]
    return total / len(ids)


def test_the_caption_does_not_reach_what_the_step_decoder_reads(data):
    """The hidden states at the queries are the same whatever caption follows, and without any."""
    module = build(data, {"step_queries": QUERIES}, language=small_language())
    batch, attend = batch_of(data), module.network.attend
    with torch.no_grad():
        states, queries = attend.perceive(module.network.observe(batch["start"], batch["goal"]))
        alone = attend.language(states, queries)
        for steps in (batch["steps"], (batch["steps"] + 1) % N):
            torch.testing.assert_close(attend.language.learn(states, queries, steps)[0], alone, atol=1e-6, rtol=1e-5)


def test_a_second_stage_begins_where_the_first_ended(data, tmp_path):
    first = build(data, {"step_queries": QUERIES})
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(torch.randn_like(parameter))
    torch.save(saved(first), tmp_path / "first.ckpt")
    second = build(
        data, {"step_queries": QUERIES}, language=small_language(), aligned_from=str(tmp_path / "first.ckpt")
    )
    ours, theirs = second.state_dict(), first.state_dict()
    loaded = {name for name in ours if name in theirs and torch.equal(ours[name], theirs[name])}
    for part in ("states", "queries", "alignment"):
        names = {name for name in ours if name.startswith(f"network.attend.{part}.")}
        assert names
        assert names <= loaded
    assert "network.attend.classify.weight" not in loaded


def test_a_first_stage_of_another_horizon_or_size_is_refused(data, tmp_path):
    for name, other in (("horizon", build(load(data.root, 4), {"step_queries": QUERIES})),
                        ("size", build(data, {"step_queries": {**QUERIES, "layers": 2}}))):  # fmt: skip
        torch.save(saved(other), tmp_path / f"{name}.ckpt")
    with pytest.raises(CheckpointError, match="horizon: 4, the data has 3"):
        build(data, {"step_queries": QUERIES}, aligned_from=str(tmp_path / "horizon.ckpt"))
    with pytest.raises(CheckpointError, match=r"size\.ckpt does not fit the network: unexpected"):
        build(data, {"step_queries": QUERIES}, aligned_from=str(tmp_path / "size.ckpt"))


@pytest.mark.parametrize(("decode", "what"), [("trie", "language"), ("generate", "language"), ("retrieve", "queries")])
def test_a_decoding_that_the_planner_cannot_do_is_refused(decode, what, data):
    with pytest.raises(ConfigError, match=f"'{decode}' needs a planner trained with .*{what}"):
        build(data, decode=decode)


def test_clips_are_no_windows_to_plan(data):
    clips = Niv(str(data.root), ActionClips(), Features("processed_data", rounding="floor")).setup()
    with pytest.raises(ConfigError, match="the data are clips"):
        build(clips)


# --- what is measured before training ------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["mean", "keep"])
def test_features_are_standardised_by_the_training_windows(data, pool):
    given = load(data.root, pool=pool)
    train = given.windows("train")
    seen = build(given).network.observe(train.start, train.goal).numpy()  # (n, 2, S, D)
    for side, raw in enumerate((train.start.double().numpy(), train.goal.double().numpy())):
        mean, deviation = raw.mean((0, 1)), raw.std((0, 1))
        np.testing.assert_allclose(seen[:, side], (raw - mean) / deviation, atol=1e-4)


@pytest.mark.parametrize("smoothing", [1e-6, 0.5])
def test_transitions_are_those_of_the_training_videos(data, smoothing):
    counts = np.full((N, N), smoothing)
    for video in data.annotations.of_split("train"):
        for one, other in pairwise(video.segments):
            counts[one.step, other.step] += 1
    expected = np.log(counts / counts.sum(1, keepdims=True))
    np.testing.assert_allclose(build(data, smoothing=smoothing).log_transitions.numpy(), expected, rtol=1e-5)


def test_building_again_changes_nothing(data):
    module = build(data)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    torch.manual_seed(99)
    module.configure_model()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


# --- which checkpoint is the best ----------------------------------------------------------------------------


def selection(module: PlanningModule, data: Niv, plans: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
    """The figure that checkpoints are chosen by, in the precision it is logged in, and what it must be ordered by."""
    windows = data.windows("val")
    emissions = torch.zeros(len(windows), T, N).log_softmax(-1)
    index = torch.arange(len(windows))
    both = {"argmax": windows.steps, "viterbi": plans}
    module.on_validation_epoch_start()
    module.outcome.update(index, windows.steps, Answers(emissions, both, torch.zeros(len(windows))))
    module.on_validation_epoch_end()
    right = plans == windows.steps
    return torch.tensor(module.logged[module.monitor]), (int(right.all(1).sum()), int(right.sum()))


def test_the_best_checkpoint_has_the_largest_success_rate_and_of_equal_ones_the_largest_accuracy(data):
    module, truth = build(data), data.windows("val").steps
    rng = torch.Generator().manual_seed(0)
    wrong = (truth + 1) % N
    nearly = truth.clone()
    nearly[:, 0] = wrong[:, 0]  # two of three steps right everywhere, no plan
    single = wrong.clone()
    single[0] = truth[0]  # one plan, nothing else
    candidates = [truth, wrong, nearly, single]
    candidates += [torch.where(torch.rand(truth.shape, generator=rng) < p, truth, wrong) for p in (0.5, 0.7, 0.9) * 8]
    figures = [selection(module, data, plans) for plans in candidates]
    for value, order in figures:
        for other_value, other_order in figures:
            assert (value > other_value) == (order > other_order)
    assert figures[3][0] > figures[2][0]


# --- checkpoints ---------------------------------------------------------------------------------------------


def saved(module: PlanningModule) -> dict:
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    return checkpoint


def test_a_checkpoint_holds_no_frozen_descriptions_and_no_frozen_weights(data):
    module = build(data)
    assert module.y.shape[0] == N
    names = saved(module)["state_dict"].keys()
    assert {name for name, p in module.named_parameters() if p.requires_grad} <= names
    assert not [name for name in names if name == "y" or name.endswith(".y")]
    frozen = next(name for name, p in module.named_parameters() if p.ndim > 1)
    module.get_parameter(frozen).requires_grad_(False)
    assert saved(module)["state_dict"].keys() == names - {frozen}


def test_a_checkpoint_says_what_it_was_trained_for(data):
    said = saved(build(data))["leaplan"]
    assert said["task"] == "planning"
    identity = said["for"]
    assert (identity["horizon"], identity["seconds"], identity["feature width"]) == (T, 1, 12)
    assert identity["steps"] == [step.name for step in data.annotations.vocabulary.steps]
    assert identity["tasks"] == ["making tea", "fixing bike"]
    assert len(identity["descriptions"]) == 64


@pytest.mark.parametrize("network", [{}, {"direct_readers": 2, "direct_width": 8, "recall_share": 0.5}])
def test_a_checkpoint_read_without_unpickling_plans_as_before(network, data, tmp_path):
    module, other = build(data, network), build(data, network)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter))
    torch.save(saved(module), tmp_path / "a.ckpt")
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    other.on_load_checkpoint(checkpoint)
    other.load_state_dict(checkpoint["state_dict"])
    batch = batch_of(data)
    with torch.no_grad():
        asked = [m.network.log_emissions(batch["start"], batch["goal"], m.y)[0] for m in (module, other)]
    assert torch.equal(*asked)


def test_a_checkpoint_of_another_problem_is_refused(data, tmp_path):
    checkpoint = saved(build(data))
    with pytest.raises(CheckpointError, match="horizon: 3, the data has 4"):
        build(load(data.root, 4)).on_load_checkpoint(checkpoint)
    with pytest.raises(CheckpointError, match="seconds: 1, the data has 3"):
        build(load(data.root, pool="keep")).on_load_checkpoint(checkpoint)
    np.save(tmp_path / "y.npy", np.ones((N, 512), np.float32))
    described = build(data, descriptions=PrecomputedSteps(str(tmp_path / "y.npy")))
    with pytest.raises(CheckpointError, match="trained for something else: descriptions"):
        described.on_load_checkpoint(checkpoint)


def test_a_checkpoint_of_another_network_is_refused(data):
    checkpoint = saved(build(data))
    with pytest.raises(CheckpointError, match=r"does not fit the network: .* has shape"):
        build(data, {"width": 32}).on_load_checkpoint(checkpoint)
    with pytest.raises(CheckpointError, match="does not fit the network: missing"):
        build(data, {"direct_readers": 1}).on_load_checkpoint(checkpoint)
