"""S3D computes what the published module computes, forward, backward and in training, and loads only what fits."""

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from leaplan.errors import CheckpointError, DataError
from leaplan.video.s3d import S3D, load_s3d, max_pool, space_to_depth
from leaplan.video.s3d_text import Dictionary, SentenceEmbedding
from tests.reference.hashed import u
from tests.video.s3d_golden import cases, key_list, recipe_clips, recipe_state, recipe_weight

CASES = ("v16x64", "v32x112", "v12x72x104_b2")
GATES = ("gating", "mixed_3b.gating_b0", "mixed_5c.gating_b3")


@pytest.fixture(scope="module")
def golden(shared):
    return cases(shared)


@pytest.fixture(scope="module")
def network():
    network = S3D().eval()
    network.load_state_dict(recipe_state(network))
    return network


@pytest.fixture(scope="module")
def small_sentences():
    """The sentence branch of a dictionary of 22 words: the first 23 rows of the recipe's table."""
    branch = SentenceEmbedding(rows=23)
    for name, tensor in branch.state_dict().items():
        tensor.copy_(torch.from_numpy(recipe_weight(f"text_module.{name}", tuple(tensor.shape))))
    return branch


def clips_of(golden, case):
    return recipe_clips(case, golden[0]["cases"][case]["input_shape"])


def recorded(network, stages):
    """Maps (N, C, T, H, W) of stages and gates (N, C), filled by a forward pass; and what stops the recording."""
    seen = {}
    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda module, inputs, out, name=name: seen.__setitem__(name, out.permute(0, 4, 1, 2, 3))
        )
        for name in stages
    ]
    hooks += [
        network.get_submodule(f"{name}.fc").register_forward_hook(
            lambda module, inputs, out, name=name: seen.__setitem__(f"{name}.weights", out.sigmoid())
        )
        for name in GATES
    ]
    return seen, hooks


def assert_samples(stage, values):
    """Check shape, norm and eight values against what the golden file tells of a stage."""
    assert list(values.shape) == stage["shape"]
    exact = values.double()
    told = [stage[name] for name in ("mean", "std", "l2")]
    found = [exact.mean(), exact.std(unbiased=False), exact.norm()]
    np.testing.assert_allclose(found, told, rtol=1e-4)
    places = np.arange(8) * 2654435761 % values.numel()
    np.testing.assert_allclose(values.flatten()[places], stage["samples"], atol=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_embeddings_maps_gates_and_all_stages_are_the_published_ones(case, golden, network):
    told, arrays = golden[0]["cases"][case], golden[1]
    seen, hooks = recorded(network, told["stages"])
    with torch.inference_mode():
        out = network(clips_of(golden, case))
    for hook in hooks:
        hook.remove()
    np.testing.assert_allclose(out.video_embedding, arrays[f"{case}|video_embedding"], atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(out.mixed_5c, arrays[f"{case}|mixed_5c_pooled"], atol=2e-4, rtol=1e-4)
    np.testing.assert_allclose(seen["mixed_5c"], arrays[f"{case}|mixed_5c_map"], atol=1e-3)
    for name in GATES:
        np.testing.assert_allclose(seen[f"{name}.weights"], arrays[f"{case}|{name}.weights"], atol=1e-5)
    for name, stage in told["stages"].items():
        assert_samples(stage, seen[name])


def test_gradients_are_the_published_ones(golden, network):
    told, arrays = golden[0]["cases"]["v16x64"]["eval_grad_l2"], golden[1]
    direction = torch.from_numpy(u("input/v16x64/R", 512).astype(np.float32))
    total = (network(clips_of(golden, "v16x64")).video_embedding * direction).sum()
    parameters = dict(network.named_parameters())
    gradients = dict(zip(parameters, torch.autograd.grad(total, list(parameters.values())), strict=True))
    assert gradients.keys() == told.keys()
    found = [gradients[name].double().norm() for name in told]
    np.testing.assert_allclose(found, list(told.values()), rtol=1e-3)
    first = torch.from_numpy(arrays["v16x64|grad|conv1.conv1.weight"])
    assert (gradients["conv1.conv1.weight"] - first).norm() < 1e-3 * first.norm()


def test_training_normalises_by_the_batch_and_moves_the_running_statistics(golden, network):
    trained = copy.deepcopy(network).train()
    with torch.no_grad():
        out = trained(clips_of(golden, "v12x72x104_b2"))
    wanted = golden[1]["v12x72x104_b2|train|video_embedding"]
    np.testing.assert_allclose(out.video_embedding, wanted, atol=5e-4, rtol=1e-4)
    after = golden[0]["cases"]["v12x72x104_b2"]["train_mode_after_one_forward"]
    state = trained.state_dict()
    found = [state[name].double().norm() for name in after["bn_running_l2"]]
    np.testing.assert_allclose(found, list(after["bn_running_l2"].values()), rtol=1e-4)
    counted = {int(state[name]) for name in state if name.endswith("num_batches_tracked")}
    assert counted == {after["num_batches_tracked"]}


def test_sentences_are_tokenised_and_embedded_as_published(golden, network, small_sentences):
    told, arrays = golden[0]["text"], golden[1]
    words = Dictionary(told["dictionary"])(told["sentences"])
    assert words.tolist() == told["token_ids"]
    with torch.inference_mode():
        sentences = small_sentences(words)
        videos = torch.from_numpy(arrays["v12x72x104_b2|video_embedding"])
        np.testing.assert_allclose(sentences, arrays["text|text_embedding"], atol=1e-5)
        similar = arrays["text|similarity_with_v12x72x104_b2"]
        np.testing.assert_allclose(sentences @ videos.T, similar, atol=1e-3)


def test_names_shapes_and_counts_are_those_of_the_official_file(shared):
    whole = S3D(text=True)
    assert [(name, tuple(tensor.shape)) for name, tensor in whole.state_dict().items()] == key_list(shared)
    text = sum(parameter.numel() for parameter in whole.text_module.parameters())
    video = sum(parameter.numel() for parameter in whole.parameters()) - text
    assert (video, text) == (9_670_800, 21_540_536)


@pytest.mark.slow
def test_multiplications_are_as_many_as_the_reference_tells():
    with torch.device("meta"):
        network, clips = S3D(), torch.empty(1, 3, 32, 224, 224)
    counts = []
    for mode in (True, False):  # in evaluation, places that would be dropped are not computed
        with FlopCounterMode(display=False) as counter:
            network.train(mode)(clips)
        counts.append(counter.get_total_flops() / 2e9)
    assert counts[0] == pytest.approx(37.10, abs=0.005)
    assert counts[1] == pytest.approx(36.30, abs=0.01)


# --- Shapes


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [((3, 3), (1, 1), 1), ((3, 3), (2, 2), 0), ((2, 2), (2, 2), 0)]
)
def test_pooling_in_two_steps_is_pooling_at_once(kernel, stride, padding):
    maps = torch.randn(2, 5, 6, 7, 4, generator=torch.Generator().manual_seed(0))
    at_once = torch.nn.functional.max_pool3d(
        maps.permute(0, 4, 1, 2, 3), (kernel[0], kernel[1], kernel[1]), stride[0], padding, ceil_mode=True
    )
    assert torch.equal(max_pool(maps, kernel, stride, padding), at_once.permute(0, 2, 3, 4, 1))


def test_cells_have_the_colour_as_their_fastest_index():
    clips = torch.arange(3 * 4 * 6 * 8, dtype=torch.float32).view(1, 3, 4, 6, 8)
    cells = space_to_depth(clips)
    assert cells.shape == (1, 2, 3, 4, 24)
    assert cells[0, 1, 2, 3, ((1 * 2 + 0) * 2 + 1) * 3 + 2] == clips[0, 2, 2 + 1, 4 + 0, 6 + 1]


@pytest.mark.parametrize(
    "clips",
    [
        torch.zeros(1, 3, 16, 64, 63),
        torch.zeros(1, 3, 15, 64, 64),
        torch.zeros(1, 16, 3, 64, 64),
        torch.zeros(3, 16, 64, 64),
        torch.zeros(1, 3, 16, 64, 64, dtype=torch.uint8),
    ],
)
def test_other_clips_are_refused(clips, network):
    with pytest.raises(ValueError, match="clips"):
        network(clips)


# --- Files


@pytest.fixture(scope="module")
def official(network, small_sentences):
    """A state dict as in the official file, but with a small table of words."""
    sentences = {f"text_module.{name}": tensor for name, tensor in small_sentences.state_dict().items()}
    return {**network.state_dict(), **sentences}


def is_equal(loaded, network):
    wanted = network.state_dict()
    return not loaded.training and all(torch.equal(tensor, wanted[n]) for n, tensor in loaded.state_dict().items())


def test_the_official_file_is_loaded_with_or_without_what_trainers_add(tmp_path, network, official):
    video = network.state_dict()
    torch.save(official, tmp_path / "s3d_howto100m.pth")
    torch.save(video, tmp_path / "video_only.pth")
    torch.save({"state_dict": {f"module.{name}": each for name, each in video.items()}}, tmp_path / "trainer.pth")
    save_file(video, tmp_path / "s3d.safetensors")
    for name in ("s3d_howto100m.pth", "video_only.pth", "trainer.pth", "s3d.safetensors"):
        assert is_equal(load_s3d(tmp_path / name), network)


@pytest.mark.slow
def test_the_sentence_branch_is_loaded_when_asked_for(tmp_path):
    with torch.device("meta"):
        whole = S3D(text=True)
    whole = whole.to_empty(device="cpu")
    for tensor in whole.state_dict().values():
        tensor.fill_(0.5)
    torch.save(whole.state_dict(), tmp_path / "whole.pth")
    assert is_equal(load_s3d(tmp_path / "whole.pth", text=True), whole)


@pytest.mark.slow
def test_a_sentence_branch_that_is_absent_or_of_another_size_is_told(tmp_path, network, official):
    torch.save(network.state_dict(), tmp_path / "video_only.pth")
    with pytest.raises(CheckpointError, match="5 missing: text_module"):
        load_s3d(tmp_path / "video_only.pth", text=True)
    torch.save(official, tmp_path / "small.pth")
    with pytest.raises(CheckpointError, match=r"word_embd.weight \(23, 300\) instead of \(66250, 300\)"):
        load_s3d(tmp_path / "small.pth", text=True)


def test_all_that_does_not_fit_is_told_in_one_message(tmp_path, network):
    state = network.state_dict()
    for name in ("fc.bias", "gating.fc.bias"):
        del state[name]
    state |= {"head.weight": torch.zeros(2), "fc.weight": torch.zeros(400, 1024)}
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(CheckpointError) as told:
        load_s3d(tmp_path / "other.pth")
    message = str(told.value)
    assert "2 missing: gating.fc.bias, fc.bias" in message
    assert "1 too many: head.weight" in message
    assert "1 of another shape: fc.weight (400, 1024) instead of (512, 1024)" in message


def test_files_that_are_no_weights_are_refused_without_running_them(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        load_s3d(tmp_path / "absent.pth")
    for name in ("broken.pth", "broken.safetensors"):
        (tmp_path / name).write_bytes(b"not weights")
        with pytest.raises(CheckpointError, match=name):
            load_s3d(tmp_path / name)
    torch.save({"network": pytest.approx(1)}, tmp_path / "program.pth")
    with pytest.raises(CheckpointError, match="never unpickled"):
        load_s3d(tmp_path / "program.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="list, not weights by name"):
        load_s3d(tmp_path / "list.pth")


def test_a_dictionary_is_an_array_of_words_and_is_never_unpickled(tmp_path):
    np.save(tmp_path / "s3d_dict.npy", np.array(["open", "door"]))
    assert Dictionary.read(tmp_path / "s3d_dict.npy")(["The door's open door"]).tolist()[0][:3] == [1, 2, 0]
    np.save(tmp_path / "objects.npy", np.array(["open", "door"], dtype=object))
    with pytest.raises(DataError, match="never unpickled"):
        Dictionary.read(tmp_path / "objects.npy")
    np.save(tmp_path / "numbers.npy", np.zeros((2, 3)))
    with pytest.raises(DataError, match="row of words"):
        Dictionary.read(tmp_path / "numbers.npy")
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY")
    for name, told in (("broken.npy", "cannot be read"), ("absent.npy", "does not exist")):
        with pytest.raises(DataError, match=told):
            Dictionary.read(tmp_path / name)
