"""Weights of others load strictly and compute what they did; what does not fit is named."""

import json

import pytest
import torch
from safetensors.torch import save_file

from leaplan.errors import CheckpointError
from leaplan.recognition.checkpoints import inflated, load_weights, read_weights
from leaplan.recognition.key_maps import FORMATS, OFFICIAL, find_format
from leaplan.recognition.uniformerv2 import resized_positions
from tests.recognition.made_weights import (
    CLASSES,
    DEPTH,
    SIDE,
    frames,
    logits,
    openai_clip,
    other,
    save_mmaction2,
    save_official,
    small,
    timm_clip,
    transformers_clip,
)

FRESH = ("query", "balance", "global_blocks.", "relation_")


def still(network):
    """What CLIP's weights do not reach."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items() if any(f in name for f in FRESH)}


@pytest.mark.parametrize("kind", ["kinetics", "ssv2"])
@pytest.mark.parametrize(("prefix", "wrapper"), [("backbone.", "model_state"), ("", ""), ("", "model_state")])
def test_official_files_give_the_logits_that_they_gave(kind, prefix, wrapper, tmp_path):
    network, head = small(kind)
    path = save_official(tmp_path / "net.pyth", network, head, prefix, wrapper)
    mine, my_head = other(kind)
    weights = load_weights(mine, path, class_head=my_head, channel_order="rgb")
    assert weights.format == "official"
    assert torch.equal(logits(mine, my_head, frames()), logits(network, head, frames()))


@pytest.mark.parametrize("kind", ["kinetics", "ssv2"])
def test_mmaction2_files_give_the_logits_that_they_gave(kind, tmp_path):
    network, head = small(kind)
    path = save_mmaction2(tmp_path / "net.pth", network, head)
    mine, my_head = other(kind)
    weights = load_weights(mine, path, class_head=my_head, channel_order="rgb")
    assert weights.format == "mmaction2"
    assert "order" in weights.note
    assert torch.equal(logits(mine, my_head, frames()), logits(network, head, frames()))


@pytest.mark.parametrize(("kind", "turned"), [("kinetics", False), ("ssv2", True)])
def test_networks_trained_on_bgr_see_the_same_in_rgb(kind, turned, tmp_path):
    network, head = small(kind)
    path = save_official(tmp_path / "net.pyth", network, head)
    mine, my_head = other(kind)
    load_weights(mine, path, class_head=my_head)
    trained_on = frames().flip(1) if turned else frames()
    assert torch.allclose(logits(mine, my_head, frames()), logits(network, head, trained_on), atol=1e-5)


def test_timm_clip_gives_the_tokens_that_it_gave(tmp_path):
    clip = timm_clip()
    save_file(clip.state_dict(), tmp_path / "clip.safetensors")
    network, _ = other("kinetics")
    before = still(network)
    assert load_weights(network, tmp_path / "clip.safetensors").format == "timm-clip"
    images = frames()[:, :, 0]
    with torch.no_grad():
        expected = clip.norm_pre(clip._pos_embed(clip.patch_embed(images)))
        for block in clip.blocks:
            expected = block(expected)
        assert torch.allclose(network(images[:, :, None]).tokens, expected, atol=2e-6)
    assert all(torch.equal(tensor, before[name]) for name, tensor in still(network).items())


@pytest.mark.parametrize("prefix", ["", "vision_model."])
def test_transformers_clip_gives_the_tokens_that_it_gave(prefix, tmp_path):
    clip = transformers_clip()
    state = {prefix + name.removeprefix("vision_model."): tensor for name, tensor in clip.state_dict().items()}
    if prefix:
        state |= {"text_model.final_layer_norm.weight": torch.ones(3), "logit_scale": torch.tensor(1.0)}
    torch.save(state, tmp_path / "clip.pt")
    network, _ = other("kinetics")
    assert load_weights(network, tmp_path / "clip.pt").format == "transformers-clip"
    images = frames()[:, :, 0]
    with torch.no_grad():
        expected = clip(images).last_hidden_state
        assert torch.allclose(network(images[:, :, None]).tokens, expected, atol=2e-6)


@pytest.mark.parametrize("bare", [False, True])
def test_openai_clip_fills_its_part_of_both_kinds(bare, tmp_path):
    source, _ = small("kinetics")
    state = openai_clip(source)
    if bare:  # the extract that the official code starts from
        state = {
            n.removeprefix("visual."): t for n, t in state.items() if n.startswith("visual.") and "ln_post" not in n
        }
    torch.save(state, tmp_path / "clip.pt")
    for kind in ("kinetics", "ssv2"):
        network, _ = other(kind)
        before = still(network)
        weights = load_weights(network, tmp_path / "clip.pt")
        assert (weights.format, weights.partial) == ("openai-clip", True)
        loaded = network.state_dict()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in before.items())
        for name, tensor in source.state_dict().items():
            if name not in before and name != "stem.weight":
                assert torch.equal(loaded[name], tensor.half().float()), name


def test_an_inflated_stem_looks_at_every_second_frame_as_at_an_image(tmp_path):
    source, _ = small("kinetics")
    torch.save(openai_clip(source), tmp_path / "clip.pt")
    image, video = other("kinetics")[0], other("ssv2")[0]
    for network in (image, video):
        load_weights(network, tmp_path / "clip.pt")
    with torch.no_grad():
        assert torch.allclose(video.stem(frames())[0], image.stem(frames()[:, :, ::2])[0], atol=1e-6)
    assert inflated(image.stem.weight, 1) is image.stem.weight


def test_positions_are_interpolated_where_the_resolution_differs(tmp_path):
    network, head = small()
    path = save_official(tmp_path / "net.pyth", network, head)
    mine, _ = other(resolution=(24, 48))
    load_weights(mine, path)
    assert torch.equal(mine.positions, resized_positions(network.positions, (4, 4), (3, 6)))


def test_a_new_head_keeps_only_the_norm(tmp_path):
    network, head = small()
    path = save_official(tmp_path / "net.pyth", network, head)
    mine, my_head = other(classes=3)
    linear = my_head.linear.weight.clone()
    load_weights(mine, path, class_head=my_head, head="new")
    assert torch.equal(my_head.norm.weight, head.norm.weight)
    assert torch.equal(my_head.linear.weight, linear)


def test_a_label_map_selects_rows_of_the_head(tmp_path):
    network, head = small()
    path = save_official(tmp_path / "net.pyth", network, head)
    mine, my_head = other(classes=3)
    load_weights(mine, path, class_head=my_head, rows=[4, 0, 4])
    expected = logits(network, head, frames())[:, [4, 0, 4]]
    assert torch.allclose(logits(mine, my_head, frames()), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("made", "asked", "options", "words"),
    [
        ({"kind": "ssv2"}, {"kind": "kinetics"}, {}, "has local MHRA: an SSv2-type checkpoint.*--kind ssv2"),
        ({"kind": "kinetics"}, {"kind": "ssv2"}, {}, "no local MHRA: a Kinetics-type.*--kind kinetics"),
        ({"depth": 4}, {}, {}, "width 32, 4 layers, patches of 8; the network is width 32, 3 layers"),
        ({"blocks": 3}, {}, {}, "has 3 global blocks, the network 2"),
        ({"fuse": False}, {}, {}, "1 missing: balance.*fuse=False"),
        ({"mlp_factor": 2.0}, {}, {}, "other shapes: global_blocks.0.mlp.enter.bias"),
        ({}, {"classes": 5}, {}, "has 7 classes, the network 5.*new"),
        ({}, {"classes": 2}, {"rows": [0, 7]}, "label map.*up to 7"),
    ],
)
def test_weights_of_another_kind_or_size_are_named(made, asked, options, words, tmp_path):
    path = save_official(tmp_path / "net.pyth", *small(**made))
    mine, my_head = other(**asked)
    before = {name: tensor.clone() for name, tensor in mine.state_dict().items()}
    with pytest.raises(CheckpointError, match=f"(?s){words}"):
        load_weights(mine, path, class_head=my_head, **options)
    assert all(torch.equal(tensor, before[name]) for name, tensor in mine.state_dict().items())


def test_missing_and_unexpected_keys_are_both_listed(tmp_path):
    path = save_official(tmp_path / "net.pyth", *small())
    content = torch.load(path, weights_only=True)
    del content["model_state"]["backbone.transformer.resblocks.1.ln_2.weight"]
    content["model_state"]["backbone.transformer.extra"] = torch.ones(2)
    torch.save(content, path)
    with pytest.raises(CheckpointError) as raised:
        load_weights(other()[0], path)
    assert "1 missing: layers.1.mlp.norm.weight" in raised.value.what
    assert "1 unexpected: backbone.transformer.extra" in raised.value.what


def test_clip_without_one_of_its_layers_is_refused(tmp_path):
    state = transformers_clip().state_dict()
    name = next(name for name in state if name.endswith("encoder.layers.1.self_attn.k_proj.weight"))
    del state[name]
    torch.save(state, tmp_path / "clip.pt")
    with pytest.raises(CheckpointError, match=r"layers\.1\.attention\.inputs\.weight: \(64, 32\) in the file"):
        load_weights(other()[0], tmp_path / "clip.pt")


def test_clip_has_no_head_to_keep(tmp_path):
    torch.save(openai_clip(small()[0]), tmp_path / "clip.pt")
    mine, my_head = other()
    with pytest.raises(CheckpointError, match='head="new"'):
        load_weights(mine, tmp_path / "clip.pt", class_head=my_head)
    load_weights(mine, tmp_path / "clip.pt", class_head=my_head, head="new")


class Evil:
    def __reduce__(self):
        return (print, ("unpickled",))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_files_that_are_no_weights_are_refused_without_running_them(tmp_path, capsys):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "jit.pt")
    torch.save({"state_dict": {"a": Evil()}}, tmp_path / "evil.pth")
    torch.save({"a": torch.ones(1)}, tmp_path / "unknown.pth")
    torch.save({"patch_embed.proj.weight": torch.ones(1)}, tmp_path / "vit.pth")
    torch.save([1], tmp_path / "list.pth")
    (tmp_path / "cut.pyth").write_bytes(save_official(tmp_path / "a.pyth", *small()).read_bytes()[:5000])
    (tmp_path / "cut.safetensors").write_bytes(b"\x08\x00\x00")
    for name, words in {
        "jit.pt": "TorchScript.*torch.jit.load",
        "evil.pth": "never unpickled",
        "unknown.pth": "no known format.*Known are",
        "vit.pth": "not of CLIP",
        "list.pth": "holds a list",
        "cut.pyth": "damaged",
        "cut.safetensors": "damaged",
        "absent.pyth": "does not exist",
    }.items():
        with pytest.raises(CheckpointError, match=f"(?s){words}"):
            read_weights(tmp_path / name)
    assert "unpickled" not in capsys.readouterr().out


def test_each_format_is_told_from_the_others(tmp_path):
    timm, transformers = timm_clip().state_dict(), transformers_clip().state_dict()
    official = torch.load(save_official(tmp_path / "a", *small()), weights_only=True)["model_state"]
    mmaction = torch.load(save_mmaction2(tmp_path / "b", *small()), weights_only=True)["state_dict"]
    states = {"official": official, "mmaction2": mmaction, "openai-clip": openai_clip(small()[0])}
    states |= {"timm-clip": timm, "transformers-clip": transformers}
    assert {name: find_format(state).name for name, state in states.items()} == {name: name for name in states}
    assert states.keys() == {each.name for each in FORMATS}


def test_the_map_goes_there_and_back():
    network, head = small("ssv2")
    names = [*network.state_dict(), *(f"head.{name}" for name in head.state_dict())]
    assert [OFFICIAL.ours(OFFICIAL.theirs(name)) for name in names] == names
    assert OFFICIAL.ours("transformer.resblocks.1.unheard.weight") is None


def test_what_was_read_tells_its_sizes(tmp_path):
    layout = read_weights(save_official(tmp_path / "a.pyth", *small("ssv2"))).layout
    assert (layout.depth, layout.patch, layout.span, layout.relations) == (DEPTH, 8, 3, 2)
    assert (layout.blocks, layout.classes, layout.kind, layout.size) == (2, CLASSES, "ssv2", "")
    assert layout.expected((SIDE // 8, SIDE // 8)).keys() == read_weights(tmp_path / "a.pyth").state.keys()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda name, tensor: tensor[0] if "positional" in name else tensor, "positions has shape"),
        (lambda name, tensor: tensor[:0] if "positional" in name else tensor, "which is no square"),
        (lambda name, tensor: tensor.flatten(1) if "conv1" in name else tensor, "stem.weight has shape"),
        (lambda name, tensor: tensor.to("meta"), "without content"),
        (lambda name, tensor: tensor.to(torch.complex64), "complex"),
    ],
)
def test_tensors_that_are_no_weights_are_named(change, words, tmp_path):
    path = save_official(tmp_path / "net.pyth", *small())
    state = torch.load(path, weights_only=True)["model_state"]
    torch.save({name: change(name, tensor) for name, tensor in state.items()}, path)
    with pytest.raises(CheckpointError, match=words):
        read_weights(path)


@pytest.mark.parametrize("grid", [[3, 3], [-4, -4], ["4", "4"], [2.5, 6.4], [16]])
def test_a_record_that_does_not_fit_its_weights_is_damaged(grid, tmp_path):
    state = {"class_token": torch.zeros(3), "positions": torch.zeros(17, 3), "stem.weight": torch.zeros(3, 3, 1, 8, 8)}
    save_file(state, tmp_path / "net.safetensors", {"leaplan": json.dumps({"grid": grid, "partial": True})})
    with pytest.raises(CheckpointError, match="damaged record"):
        read_weights(tmp_path / "net.safetensors")
