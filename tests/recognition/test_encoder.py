"""The encoder takes frames as they come from a video, and begins with anybody's weights."""

import pytest
import torch

from leaplan.errors import CheckpointError, ConfigError
from leaplan.recognition.blocks import DropPath
from leaplan.recognition.convert import main as convert
from leaplan.recognition.encoder import UniFormerV2Encoder, normalised
from leaplan.recognition.layout import shapes_only
from tests.recognition.made_weights import DEPTH, HEADS, PATCH, SIDE, WIDTH, save_official, small

SMALL = {"resolution": SIDE, "patch": PATCH, "width": WIDTH, "depth": DEPTH, "heads": HEADS, "blocks": 2, "frames": 4}


def clips(count=2, frames=4, height=SIDE, width=SIDE):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, frames, height, width), dtype=torch.uint8, generator=generator)


def test_values_are_normalised_as_the_official_code_does():
    values = torch.arange(256, dtype=torch.uint8)
    expected = (values.double() / 255 - 0.45) / 0.225
    assert torch.allclose(normalised(values).double(), expected, atol=1e-6)
    floats = values.float()
    assert torch.equal(normalised(floats), normalised(values))
    assert torch.equal(floats, values.float())  # the caller's tensor is left as it was


@pytest.mark.parametrize("kind", ["kinetics", "ssv2"])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (72, 96)])
def test_the_tiny_network_takes_small_clips(kind, height, width):
    encoder = UniFormerV2Encoder("tiny", kind, resolution=(height, width)).eval()
    with torch.no_grad():
        seen = encoder(clips(2, 8, height, width))
    frames = 8 if kind == "kinetics" else 4
    assert seen.pooled.shape == (2, encoder.width)
    assert seen.tokens.shape == (2, frames * (1 + height * width // 64), encoder.width)
    assert sum(parameter.numel() for parameter in encoder.parameters()) < 2e6


def test_official_weights_see_the_channels_that_they_were_trained_on(tmp_path):
    for kind, turned in (("kinetics", False), ("ssv2", True)):
        network, head = small(kind)
        path = save_official(tmp_path / f"{kind}.pyth", network, head)
        encoder = UniFormerV2Encoder("tiny", kind, weights=str(path), **SMALL).eval()
        assert encoder.loaded.format == "official"
        assert not encoder.loaded.state
        trained_on = normalised(clips().flip(1) if turned else clips())
        with torch.no_grad():
            assert torch.allclose(encoder(clips()).pooled, network(trained_on).pooled, atol=1e-5)
        for order in ("rgb", "bgr"):
            encoder = UniFormerV2Encoder("tiny", kind, weights=str(path), channel_order=order, **SMALL).eval()
            trained_on = normalised(clips().flip(1) if order == "bgr" else clips())
            with torch.no_grad():
                assert torch.allclose(encoder(clips()).pooled, network(trained_on).pooled, atol=1e-5)


def test_converted_weights_see_what_their_source_sees(tmp_path):
    path = save_official(tmp_path / "net.pyth", *small("ssv2"))
    convert([str(path), "--out", str(tmp_path / "net.safetensors")])
    encoders = [
        UniFormerV2Encoder("tiny", "ssv2", weights=str(tmp_path / name), **SMALL).eval()
        for name in ("net.pyth", "net.safetensors")
    ]
    with torch.no_grad():
        assert torch.equal(*(encoder(clips()).pooled for encoder in encoders))


def test_the_published_sizes_have_their_official_numbers():
    for size, kind, blocks, depth, width in (("b16", "ssv2", 8, 12, 768), ("l14", "kinetics", 4, 24, 1024)):
        with shapes_only():
            encoder = UniFormerV2Encoder(size, kind)
        assert encoder.width == width
        assert encoder.network.return_layers == list(range(depth - blocks, depth))


def test_drop_path_is_that_of_the_recipe_unless_given():
    def last(**options):
        with shapes_only():
            network = UniFormerV2Encoder(depth=2, blocks=2, **options).network
        paths = [part[-1].drop_path for part in (network.layers, network.global_blocks)]
        assert all(isinstance(path, DropPath) for path in paths)
        return [path.probability for path in paths]

    assert last(size="b16", kind="ssv2") == [0.2, 0.4]
    assert last(size="b16", kind="kinetics") == [0, 0]
    assert last(size="tiny", kind="ssv2") == [0, 0]
    assert last(size="b16", kind="ssv2", drop_path=0.1, global_drop_path=0.0) == [0.1, 0]


def test_weights_of_the_other_kind_are_named(tmp_path):
    path = save_official(tmp_path / "net.pyth", *small("ssv2"))
    with pytest.raises(CheckpointError, match=r"(?s)SSv2-type.*--kind ssv2"):
        UniFormerV2Encoder("tiny", "kinetics", weights=str(path), **SMALL)
    with pytest.raises(CheckpointError, match="width 32, 3 layers, patches of 8; the network is width 32, 2 layers"):
        UniFormerV2Encoder("tiny", "ssv2", weights=str(path), **{**SMALL, "depth": 2})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": "b32"}, "size 'b32' is not one of tiny, b16, l14"),
        ({"kind": "k400"}, "kind 'k400'"),
        ({"channel_order": "grb"}, "channel_order"),
        ({"kind": "ssv2", "frames": 7}, "7 frames are odd"),
        ({"resolution": 100}, "not a multiple of the patch"),
        ({"width": 50}, "not a multiple of heads"),
    ],
)
def test_what_cannot_be_built_is_named(options, words):
    with pytest.raises(ConfigError, match=words):
        UniFormerV2Encoder(**options)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kinetics", "ssv2"])
def test_the_tiny_network_learns_from_scratch_what_its_kind_is_for(kind):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)

    def squares(count):
        clips = torch.randint(60, 120, (count, 3, 8, 32, 32), dtype=torch.uint8, generator=generator)
        labels = torch.randint(0, 4, (count,), generator=generator)
        for clip, label in zip(clips, labels.tolist(), strict=True):
            row, column = torch.randint(8, 19, (2,), generator=generator).tolist()
            for time in range(8):
                left = column + (2 * time - 8) * (1 if label % 2 else -1)
                clip[0 if label < 2 else 2, time, row : row + 5, left : left + 5] = 230
        return clips, labels

    clips, labels = squares(320)
    encoder = UniFormerV2Encoder("tiny", kind, resolution=32)
    head = torch.nn.Linear(encoder.width, 4)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], 1e-3)
    encoder.train()
    for _ in range(5 if kind == "ssv2" else 2):
        for batch in torch.randperm(len(clips)).split(16):
            loss = torch.nn.functional.cross_entropy(head(encoder(clips[batch]).pooled), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    clips, labels = squares(100)
    with torch.no_grad():
        guesses = head(encoder.eval()(clips).pooled).argmax(1)
    assert (guesses // 2 == labels // 2).float().mean() > 0.95  # colours
    if kind == "ssv2":
        assert (guesses == labels).float().mean() > 0.9  # and directions
