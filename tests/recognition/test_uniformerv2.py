"""UniFormerV2 computes what the official code computes, forward, backward and in training."""

import numpy as np
import pytest
import torch

from leaplan.recognition.blocks import DropPath, FrameAttention, LocalBlock, NormedMlp, QueryAttention
from leaplan.recognition.key_maps import OFFICIAL
from leaplan.recognition.layout import shapes_only
from leaplan.recognition.uniformerv2 import RELATIONS, SIZES, ClassHead, UniFormerV2, resized_positions
from tests.recognition.uniformerv2_golden import built, cases, key_lists
from tests.reference.hashed import u

TINY = ("tiny_global_only", "tiny_full_local", "tiny_single_local_mlp2")
B16 = ("b16_8x224_k400", "b16_8x224_ssv2style")


def small(relations=2, resolution=32, **options):
    torch.manual_seed(0)
    return UniFormerV2(
        32, 3, 4, 8, resolution, [1, 2], relations, temporal_downsample=relations > 0, mlp_dropout=0.0, **options
    )


def stirred(network):
    """Away from the zeros that hide half of the network at the beginning."""
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return network


def frames_of(count=2, frames=4, height=32, width=32, seed=2):
    return torch.randn(count, 3, frames, height, width, generator=torch.Generator().manual_seed(seed))


def recorded(network):
    """Outputs by official name and layout, filled by a forward pass."""
    seen = {}

    def channels_first(tensor, grid):  # (N, T, hw, C) to (N, C, T, h, w)
        return tensor.unflatten(2, grid).permute(0, 4, 1, 2, 3)

    def keep(name, turn):
        return lambda module, inputs, output: seen.__setitem__(name, turn(output))

    grid = network.grid
    network.stem.register_forward_hook(keep("conv1 [N,C,T,h,w]", lambda out: channels_first(*out)))
    network.stem_norm.register_forward_hook(keep("ln_pre [N*T,1+hw,C]", lambda out: out.flatten(0, 1)))
    for i, layer in enumerate(network.layers):
        layer.register_forward_hook(keep(f"resblocks.{i} [1+hw,N*T,C]", lambda out: out.flatten(0, 1).transpose(0, 1)))
        for j, relation in ((1, layer.relation_1), (2, layer.relation_2)):
            if relation is not None:
                name = f"resblocks.{i}.lmhra{j} [N,C,T,h,w]"
                relation.register_forward_hook(keep(name, lambda out: channels_first(out, grid)))
    for i, block in enumerate(network.global_blocks):
        block.register_forward_hook(keep(f"dec.{i} [1,N,C]", lambda out: out[None]))
        block.position.register_forward_hook(
            lambda module, inputs, output, i=i: seen.__setitem__(
                f"dpe.{i} [N,C,T,h,w]", channels_first((output - inputs[0])[:, :, 1:], grid)
            )
        )
    return seen


@pytest.fixture(scope="module")
def golden(shared):
    return cases(shared)


def test_the_recipe_gives_the_numbers_that_it_says(golden):
    for name, values in golden[0]["meta"]["recipe"]["hash_checks"].items():
        assert np.allclose(u(name, len(values)), values, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", TINY)
def test_logits_and_everything_before_them_are_the_official_ones(name, golden):
    case, arrays = golden[0]["cases"][name], golden[1]
    network, head, frames = built(name, case)
    assert np.allclose(frames, arrays[f"{name}|input"], atol=1e-7)
    seen = recorded(network.eval())
    with torch.no_grad():
        pooled, tokens = network(frames)
        seen["fused (input of proj) [N,C]"] = pooled
        seen["proj.0 [N,C]"] = head.eval().norm(pooled)
        logits = head(pooled)
    assert np.abs(logits.numpy() - arrays[f"{name}|logits"]).max() <= 5e-6
    stored = {key.split("|")[2]: arrays[key] for key in arrays.files if key.startswith(f"{name}|eval|")}
    assert stored.keys() == seen.keys()
    for key, values in stored.items():
        assert seen[key].shape == values.shape, key
        assert np.abs(seen[key].numpy() - values).max() <= 5e-6 * max(1, np.abs(values).max()), key
    last = seen[f"resblocks.{len(network.layers) - 1} [1+hw,N*T,C]"]  # tokens are the last layer's
    assert torch.equal(tokens, last.transpose(0, 1).reshape(tokens.shape))


@pytest.mark.parametrize("name", TINY)
def test_gradients_are_the_official_ones(name, golden):
    case, arrays = golden[0]["cases"][name], golden[1]
    network, head, frames = built(name, case)
    logits = head.eval()(network.eval()(frames).pooled)
    loss = golden_loss(name, logits)
    assert loss.item() == pytest.approx(case["eval_grad"]["loss"], abs=5e-6)
    loss.backward()
    found = gradients(network, head)
    stored = {key.split("|")[2]: arrays[key] for key in arrays.files if key.startswith(f"{name}|eval_grad|")}
    assert stored.keys() == found.keys()
    for key, values in stored.items():
        assert np.abs(found[key] - values).max() <= 2e-5 * max(1, np.abs(values).max()), key


@pytest.mark.parametrize("name", TINY)
def test_a_training_step_without_drops_is_the_official_one(name, golden):
    case, arrays = golden[0]["cases"][name], golden[1]
    network, head, frames = built(name, case, dropouts=False)
    logits = head.train()(network.train()(frames).pooled)
    assert np.abs(logits.detach().numpy() - arrays[f"{name}|train_nodrop|logits"]).max() <= 5e-6
    buffers = {OFFICIAL.theirs(n): buffer.numpy() for n, buffer in network.named_buffers() if "running" in n}
    stored = {key.split("|")[2]: arrays[key] for key in arrays.files if key.startswith(f"{name}|train_nodrop|tr")}
    assert stored.keys() == buffers.keys()
    for key, values in stored.items():
        assert np.abs(buffers[key] - values).max() <= 5e-6, key
    (
        logits * torch.from_numpy(u(f"input/{name}/R", logits.numel()).astype(np.float32)).view_as(logits)
    ).sum().backward()
    for key, gradient in gradients(network, head).items():
        norm = case["train_nodrop"]["grad_l2"][key]
        assert np.linalg.norm(gradient) == pytest.approx(norm, rel=1e-4, abs=1e-4), key


@pytest.mark.slow
@pytest.mark.parametrize("name", B16)
def test_the_published_size_gives_the_official_logits(name, golden):
    case, arrays = golden[0]["cases"][name], golden[1]
    network, head, frames = built(name, case)
    seen = recorded(network.eval())
    with torch.inference_mode():
        pooled = network(frames).pooled
        logits = head.eval()(pooled)
    assert np.abs(logits.numpy() - arrays[f"{name}|logits"]).max() <= 2e-5
    assert logits.topk(5).indices.tolist() == case["top5"] or logits[0].topk(5).indices.tolist() == case["top5"]
    for i in range(len(network.global_blocks)):
        assert np.abs(seen[f"dec.{i} [1,N,C]"].numpy() - arrays[f"{name}|eval|dec.{i} [1,N,C]"]).max() <= 2e-5
    assert np.abs(pooled.numpy() - arrays[f"{name}|eval|fused (input of proj) [N,C]"]).max() <= 2e-5


@pytest.mark.parametrize(
    ("number", "size", "kind", "classes", "count"),
    [
        (0, "b16", "kinetics", 400, 114_552_208),
        (1, "b16", "ssv2", 174, 162_992_814),
        (2, "l14", "kinetics", 400, 354_099_600),
    ],
)
def test_names_and_shapes_are_the_official_ones_after_the_map_in_both_directions(
    number, size, kind, classes, count, shared
):
    official = key_lists(shared)[number]
    named = SIZES[size]
    with shapes_only():
        network = UniFormerV2(
            named.width, named.depth, named.heads, named.patch, 224,
            range(named.depth - named.blocks[kind], named.depth), RELATIONS[kind], kind == "ssv2",
        )  # fmt: skip
        head = ClassHead(named.width, classes)
    ours = {**network.state_dict(), **{f"head.{name}": tensor for name, tensor in head.state_dict().items()}}
    assert {OFFICIAL.theirs(name): tuple(tensor.shape) for name, tensor in ours.items()} == official
    assert {OFFICIAL.ours(name) for name in official} == ours.keys()
    assert sum(each.numel() for part in (network, head) for each in part.parameters()) == count


def test_positions_of_the_trained_size_are_used_to_the_bit():
    network = small()
    assert resized_positions(network.positions, (4, 4), (4, 4)) is network.positions


def test_positions_of_another_size_vary_as_the_trained_ones_do():
    rows = torch.linspace(0, 1, 8)[:, None].expand(8, 8).reshape(-1, 1)
    positions = torch.cat([torch.full((1, 1), 7.0), rows])  # brighter downwards
    resized = resized_positions(positions, (8, 8), (4, 12))
    assert resized.shape == (1 + 48, 1)
    assert resized[0] == 7
    image = resized[1:].view(4, 12)
    assert torch.allclose(image, image[:, :1].expand(4, 12), atol=1e-6)
    assert torch.allclose(image[:, 0], torch.tensor([0.5, 2.5, 4.5, 6.5]) / 7, atol=0.02)


@pytest.mark.parametrize("relations", [0, 2])
def test_frames_need_not_be_square_nor_of_the_trained_size(relations):
    network = stirred(small(relations, resolution=(24, 40))).eval()
    with torch.no_grad():
        assert network(frames_of(height=24, width=40)).tokens.shape == (2, (4 // (1 + (relations > 0))) * 16, 32)
        assert network(frames_of(height=40, width=16)).tokens.shape == (2, (4 // (1 + (relations > 0))) * 11, 32)


@pytest.mark.parametrize("relations", [0, 2])
def test_clips_do_not_see_one_another(relations):
    network = stirred(small(relations)).eval()
    frames = frames_of(3)
    with torch.no_grad():
        whole, alone = network(frames), network(frames[1:2])
    assert torch.allclose(whole.pooled[1:2], alone.pooled, atol=1e-5)
    assert torch.allclose(whole.tokens[1:2], alone.tokens, atol=1e-5)


def test_only_the_motion_kind_carries_tokens_across_frames():
    frames = frames_of(1, 8)
    changed = frames.clone()
    changed[:, :, 6:] += 1
    for relations, apart in ((0, True), (2, False)):
        network = stirred(small(relations)).eval()
        with torch.no_grad():
            a, b = network(frames).tokens, network(changed).tokens
        assert torch.equal(a[:, : 17 * 1], b[:, : 17 * 1]) is apart


def test_one_query_attends_as_the_plain_order_of_products_does():
    torch.manual_seed(0)
    attention = QueryAttention(24, 3).double()
    torch.nn.init.normal_(attention.inputs.bias)
    plain = torch.nn.MultiheadAttention(24, 3, batch_first=True).double()
    plain.load_state_dict(
        {
            "in_proj_weight": attention.inputs.weight,
            "in_proj_bias": attention.inputs.bias,
            "out_proj.weight": attention.output.weight,
            "out_proj.bias": attention.output.bias,
        }
    )
    query, memory = torch.randn(2, 24, dtype=torch.double), torch.randn(2, 9, 24, dtype=torch.double)
    expected = plain(query[:, None], memory, memory)[0][:, 0]
    assert torch.allclose(attention(query, memory), expected, atol=1e-12)


def test_the_fused_activation_is_quickgelu():
    torch.manual_seed(0)
    mlp, tokens = NormedMlp(8, 16).double(), torch.randn(5, 8, dtype=torch.double)
    hidden = mlp.enter(mlp.norm(tokens))
    assert torch.allclose(mlp(tokens), mlp.leave(hidden * torch.sigmoid(1.702 * hidden)), atol=1e-12)


def test_drop_path_keeps_or_drops_whole_clips_and_the_expectation():
    torch.manual_seed(0)
    path = DropPath(0.25).train()
    ones = torch.ones(4000, 2, 3, 5)
    dropped = path(ones)
    first = dropped[:, 0, 0, 0]
    assert torch.equal(dropped, first[:, None, None, None].expand_as(dropped))  # a clip is of one piece
    assert sorted(set(first.tolist())) == pytest.approx([0, 1 / 0.75])
    assert first.mean().item() == pytest.approx(1, abs=0.03)
    assert path.eval()(ones) is ones


def test_a_dropped_clip_leaves_a_layer_as_it_came():
    torch.manual_seed(0)
    layer = stirred(LocalBlock(16, 2, relations=2, drop_path=0.5)).train()
    tokens = torch.randn(64, 2, 5, 16)
    out = layer(tokens)
    same = (out == tokens).flatten(1).all(1)
    assert 0 < same.sum() < 20  # one in sixteen skips all four paths


def test_drop_path_rises_from_none_to_its_full_value():
    rates = [layer.drop_path.probability for layer in small(drop_path=0.2).layers]
    assert rates == pytest.approx([0, 0.1, 0.2])
    assert [b.drop_path.probability for b in small(global_drop_path=0.4).global_blocks] == pytest.approx([0, 0.4])


def test_checkpointing_changes_neither_gradients_nor_batch_norm():
    frames, results = frames_of(), []
    for checkpointing in (0, 2):
        network = stirred(small(checkpointing=checkpointing, drop_path=0.3)).train()
        torch.manual_seed(5)
        network(frames).pooled.square().sum().backward()
        gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
        results.append((gradients, dict(network.named_buffers())))
    for plain, saving in zip(*results, strict=True):
        assert plain.keys() == saving.keys()
        assert all(torch.equal(plain[name], saving[name]) for name in plain)


def test_a_new_network_starts_as_its_clip_part():
    network = small().eval()  # aggregators and global blocks are new
    with torch.no_grad():
        pooled, tokens = network(frames_of())
    classes = tokens.unflatten(1, (2, 17))[:, :, 0].mean(1)
    assert torch.allclose(pooled, 0.5 * classes, atol=1e-6)  # balance 0, query 0


def test_every_weight_is_trained():
    network = stirred(small()).train()
    network(frames_of()).pooled.square().sum().backward()
    assert not [name for name, each in network.named_parameters() if each.grad is None or not each.grad.any()]


def test_the_frozen_variant_returns_the_query():
    network = stirred(small(fuse=False)).eval()
    queries = []
    network.global_blocks[-1].register_forward_hook(lambda module, inputs, output: queries.append(output))
    with torch.no_grad():
        assert torch.equal(network(frames_of()).pooled, queries[0])


def test_bfloat16_autocast_stays_near():
    network, frames = stirred(small()).eval(), frames_of()
    with torch.no_grad():
        exact = network(frames).pooled
        with torch.autocast("cpu", torch.bfloat16):
            near = network(frames).pooled
    assert torch.nn.functional.cosine_similarity(exact, near.float()).min() > 0.999


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: small(resolution=30), "not a multiple of the patch"),
        (lambda: small()(frames_of(height=30)), "cannot be cut"),
        (lambda: small()(frames_of(frames=5)), "even number"),
        (lambda: UniFormerV2(32, 2, 4, 8, 32, [2]), "return|layers"),
        (lambda: UniFormerV2(32, 2, 4, 8, 32, []), "layers"),
        (lambda: FrameAttention(32, 5), "multiple of heads"),
        (lambda: QueryAttention(32, 5), "multiple of heads"),
        (lambda: DropPath(1.0), "probability"),
    ],
)
def test_sizes_that_do_not_fit_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def golden_loss(name, logits):
    return (logits * torch.from_numpy(u(f"input/{name}/R", logits.numel())).float().view_as(logits)).sum()


def gradients(network, head):
    named = [*network.named_parameters(), *((f"head.{n}", p) for n, p in head.named_parameters())]
    return {OFFICIAL.theirs(name): parameter.grad.numpy() for name, parameter in named}
