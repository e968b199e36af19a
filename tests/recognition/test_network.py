"""The recogniser: what reaches its logits and what cannot, windows one by one and kept."""

import inspect
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from leaplan.errors import ConfigError
from leaplan.recognition.asked_of_data import recognition_problem
from leaplan.recognition.features import FeatureEncoder
from leaplan.recognition.losses import RecogniserLoss
from leaplan.recognition.network import ProgramLogits, Recogniser, Recognition
from leaplan.recognition.seen import Seen
from leaplan.records import PlanningProblem, ProgramClasses, Vocabulary

N, W, S, D, C = 4, 3, 5, 10, 16
PROGRAMS = ProgramClasses(4, ("stop", "reach", "grasp"), ("none", "other", "cup", "pan"), ("free(right)", "hot(A)"))
SMALL = {"program_width": 16, "window_heads": 4, "dropout": 0.0, "program_dropout": 0.0, "window_dropout": 0.0}


class FrameBackbone(nn.Module):
    """Looks at frames with a batch norm, whose statistics would betray clips that may not be seen."""

    width = C

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.look = nn.Linear(3, C)

    def forward(self, clips):
        assert clips.dtype == torch.uint8
        pixels = self.norm(clips.float().mean((3, 4)).transpose(1, 2).flatten(0, 1)).view(len(clips), -1, 3)
        tokens = self.look(pixels)
        return Seen(tokens.mean(1), tokens)


def network(windows=1, context="both", programs=PROGRAMS, backbone=None, **options):
    torch.manual_seed(0)
    backbone = backbone() if backbone else FeatureEncoder(D, S, C, heads=4, dropout=0.0)
    return Recogniser(backbone, 3, 4, 5, programs, windows, context, **{**SMALL, **options})


def clips(windows=1, seed=0):
    torch.manual_seed(seed)
    mask = torch.ones(N, windows, dtype=torch.bool)
    if windows > 1:
        mask[1, 0] = mask[2, :2] = False
    return torch.randn(N, windows, S, D), mask


def tensors(recognition):
    """All logits by name."""
    classes = {name: getattr(recognition, name) for name in ("verb", "noun", "action")}
    return classes | {f"program {name}": each for name, each in recognition.program._asdict().items()}


@pytest.mark.parametrize("windows", [1, W])
def test_logits_have_the_shapes_of_the_contract(windows):
    seen = network(windows)(*clips(windows))
    assert (seen.verb.shape, seen.noun.shape, seen.action.shape) == ((N, 3), (N, 4), (N, 5))
    assert [each.shape for each in seen.program] == [(N, windows, 4, size) for size in (3, 4, 4, 2, 2)]
    assert Recognition._fields == ("verb", "noun", "action", "program")
    plain = network(windows, programs=None)(*clips(windows))
    assert plain.program is None
    assert plain.verb.shape == (N, 3)


def test_frames_are_taken_as_well():
    model = network(W, backbone=FrameBackbone)
    frames = torch.randint(256, (N, W, 3, 2, 4, 4), dtype=torch.uint8)
    assert model(frames, clips(W)[1]).noun.shape == (N, 4)


def test_nothing_but_clips_and_their_mask_enters():
    assert list(inspect.signature(Recogniser.forward).parameters) == ["self", "clips", "window_mask"]
    words = ProgramClasses(4, ("stop", "a", "b"), ("none", "other", "c", "d"), ("e(left)", "f(B)"))
    found, other = (network(W, programs=each)(*clips(W)) for each in (PROGRAMS, words))
    for name, each in tensors(found).items():
        assert torch.equal(each, tensors(other)[name]), name


def test_one_window_is_classified_from_the_backbones_features():
    model, (given, mask) = network(), clips()
    pooled = model.backbone(given[:, 0]).pooled
    expected = model.classes(pooled)
    for ours, theirs in zip(model(given, mask)[:3], expected, strict=True):
        assert torch.equal(ours, theirs)
    assert model.aggregate is None


@pytest.mark.parametrize("context", ["features", "programs", "both"])
def test_what_windows_hide_has_no_influence_on_anything(context):
    """Logits, gradients and the statistics of batch norms are equal to the last bit, whatever is hidden."""
    results = []
    for hidden in (0, 255, None):
        model = network(W, context, backbone=FrameBackbone)
        torch.manual_seed(1)
        frames, mask = torch.randint(256, (N, W, 3, 2, 4, 4), dtype=torch.uint8), clips(W)[1]
        if hidden is not None:
            frames[~mask] = hidden
        seen = tensors(model(frames, mask))
        sum(each.square().sum() for each in seen.values()).backward()
        grads = {name: each.grad for name, each in model.named_parameters()}
        results.append((seen, grads, dict(model.named_buffers())))
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            for name, each in ours.items():
                assert each is None or torch.equal(each, theirs[name]), name


def test_hidden_features_may_be_nan():
    model, (given, mask) = network(W), clips(W)
    given[~mask] = float("nan")
    seen = tensors(model(given, mask))
    sum(each.square().sum() for each in seen.values()).backward()
    assert all(each.isfinite().all() for each in seen.values())
    assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())


@pytest.mark.parametrize("windows", [1, W])
def test_a_batch_of_which_nothing_may_be_seen_is_finite_and_trains_nothing_of_the_backbone(windows):
    model = network(windows)
    given, mask = clips(windows)
    seen = tensors(model(given * float("nan"), torch.zeros_like(mask)))
    sum(each.square().sum() for each in seen.values()).backward()
    assert all(each.isfinite().all() for each in seen.values())
    for name, each in model.backbone.named_parameters():
        assert each.grad is None or not each.grad.any(), name


@pytest.mark.parametrize("context", ["features", "programs", "both"])
def test_windows_that_were_kept_give_the_logits_of_those_just_seen(context):
    model, (given, mask) = network(W, context).eval(), clips(W)
    with torch.no_grad():
        expected = model(given, mask)
        one_by_one = [model.encode(given[:, w : w + 1], mask[:, w : w + 1]).pack() for w in range(W)]
        kept = torch.cat(one_by_one, dim=1)  # (N, W, C + F)
        found = model.classify(model.unpack(kept), mask)
    assert kept.shape[-1] == C if context == "features" else kept.shape[-1] > C
    for ours, theirs in zip(found, expected[:3], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_windows_are_seen_one_by_one():
    """What is seen in a window is the same whatever surrounds it: no later window can reach back."""
    model, (given, mask) = network(W).eval(), clips(W)
    mask[:] = True
    other = given.clone()
    other[:, 2] = torch.randn(N, S, D)
    with torch.no_grad():
        first, second = model.encode(given, mask), model.encode(other, mask)
    assert torch.equal(first.pack()[:, :2], second.pack()[:, :2])


def gradient_of_classes(context):
    model, (given, mask) = network(W, context), clips(W)
    recognition = model(given, mask)
    (recognition.verb.square().sum() + recognition.action.square().sum()).backward()
    head = [each.grad for each in model.program.parameters() if each.grad is not None]
    return any(grad.any() for grad in head), model


def test_context_switches_cut_the_other_path():
    reached, _ = gradient_of_classes("features")
    assert not reached
    for context in ("programs", "both"):
        reached, _ = gradient_of_classes(context)
        assert reached
    _, model = gradient_of_classes("programs")
    given, mask = clips(W)
    seen = model.encode(given, mask)
    other = seen._replace(pooled=torch.randn_like(seen.pooled))
    for ours, theirs in zip(model.classify(seen, mask), model.classify(other, mask), strict=True):
        assert torch.equal(ours, theirs)
    model = network(W, "features")
    assert model.encode(given, mask).summary is None


@pytest.mark.parametrize("context", ["features", "programs", "both"])
def test_every_weight_gets_a_gradient_with_or_without_programs_in_the_batch(context):
    """DDP waits for all of them, on every process."""
    model, (given, mask) = network(W, context), clips(W)
    seen = model(given, mask)
    labels = torch.zeros(N, dtype=torch.long)
    criterion = RecogniserLoss()
    batch = {"verb": labels, "noun": labels, "step": labels, "window_mask": mask}
    criterion.combine(criterion(seen, batch)).total.backward()
    assert [name for name, each in model.named_parameters() if each.grad is None] == []


def test_the_program_of_a_window_depends_on_that_window_alone():
    model, (given, mask) = network(W).eval(), clips(W)
    mask[:] = True
    expected = model(given, mask).program
    given[:, 0] += 1
    for ours, theirs in zip(model(given, mask).program, expected, strict=True):
        assert torch.equal(ours[:, 1:], theirs[:, 1:])
        assert not torch.equal(ours[:, 0], theirs[:, 0])


def test_hidden_windows_have_blank_programs():
    given, mask = clips(W)
    for each in network(W)(given, mask).program:
        assert not each[~mask].any()
        assert each[mask].any()


def test_settings_that_cannot_be_are_told_with_what_to_do():
    with pytest.raises(ConfigError, match="generate-programs"):
        network(W, "programs", programs=None)
    with pytest.raises(ConfigError, match="features, programs, both"):
        network(W, "words")
    with pytest.raises(ValueError, match="1 windows, but 3 are expected"):
        network(W)(*clips(1))
    both = network(W, "both", programs=None)
    assert both(*clips(W)).verb.shape == (N, 3)


def test_half_precision_trains():
    model, (given, mask) = network(W), clips(W)
    with torch.autocast("cpu", torch.bfloat16):
        seen = tensors(model(given, mask))
        sum(each.float().square().sum() for each in seen.values()).backward()
    assert all(each.isfinite().all() for each in seen.values())


def test_program_logits_of_the_network_are_those_of_the_head():
    model, (given, mask) = network(), clips()
    tokens = model.backbone(given[:, 0]).tokens
    for ours, theirs in zip(model(given, mask).program, ProgramLogits(*model.program(tokens)), strict=True):
        assert torch.equal(ours[:, 0], theirs)


def test_windows_to_be_planned_are_no_clips():
    with pytest.raises(ConfigError, match="the data are windows to be planned"):
        recognition_problem(SimpleNamespace(problem=PlanningProblem(3, Vocabulary(()), 1, D)))
