"""Encoders give what their networks give, a row per clip, and say all that decides the numbers."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from leaplan.errors import CheckpointError, ConfigError
from leaplan.video.color_layout import ColorLayout
from leaplan.video.seconds import ColorSeconds, S3DSeconds, TimmSeconds
from leaplan.video.weights import content_hash
from tests.video.test_color_layout import film


def noise(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def s3d():
    return S3DSeconds(frames=8, rate=2.5, size=32, short_side=36, allow_random=True)


@pytest.fixture(scope="module")
def tiny():
    return TimmSeconds("test_vit", frames=2, allow_random=True)


# --- S3D


def test_a_row_of_s3d_is_the_video_embedding_of_its_clip(s3d):
    clips = noise(3, 8, 3, 32, 32)
    rows = s3d.encode(clips)
    assert (rows.shape, rows.dtype) == ((3, s3d.width), torch.float32)
    with torch.inference_mode():
        at_once = s3d.network(clips.permute(0, 2, 1, 3, 4) / 255).video_embedding
    assert torch.allclose(rows, at_once, atol=1e-5)
    assert torch.equal(s3d.encode(clips[1:2]), rows[1:2])  # to the last bit, whatever else is in the batch


@pytest.mark.parametrize(("rate", "moved"), [(4.0, 4), (4.0, 3), (2.5, 4), (3.0, 3), (6.0, 6), (8.0, 8)])
def test_what_clips_share_with_the_one_before_changes_no_row(rate, moved):
    encoder = S3DSeconds(frames=8, rate=rate, size=32, short_side=36, allow_random=True)
    film = noise(8 + 4 * moved, 3, 32, 32)
    clips = torch.stack([film[moved * second : moved * second + 8] for second in range(5)])
    clips[3, -1] += 1  # a clip that is not what follows
    assert torch.allclose(encoder.encode(clips), torch.cat([encoder.encode(clip[None]) for clip in clips]), atol=1e-6)


def test_s3d_shares_the_first_layers_among_clips_a_second_apart(monkeypatch):
    encoder, steps = S3DSeconds(frames=8, rate=4.0, size=32, short_side=36, allow_random=True), []
    early = encoder.network.early
    monkeypatch.setattr(encoder.network, "early", lambda cells: steps.append(cells.shape[1]) or early(cells))
    film = noise(16, 3, 32, 32)
    encoder.encode(torch.stack([film[:8], film[4:12], film[8:], film[:8]]))
    assert steps == [4, 3, 3, 4]  # of two frames each; the last step of a clip saw nothing after it


def test_s3d_says_all_that_decides_its_numbers(tmp_path, s3d):
    save_file(s3d.network.state_dict(), tmp_path / "s3d.safetensors")
    loaded = S3DSeconds(tmp_path / "s3d.safetensors", frames=8, rate=2.5, size=32, short_side=36)
    assert loaded.settings() == s3d.settings() == json.loads(json.dumps(s3d.settings()))
    assert loaded.settings()["weights_sha256"] == content_hash(loaded.network)
    others = [
        S3DSeconds(frames=16, rate=5, size=32, short_side=36, allow_random=True),
        S3DSeconds(frames=8, rate=2.5, size=32, short_side=36, allow_random=True, precision="bf16"),
    ]
    assert all(other.settings() != s3d.settings() for other in others)


def test_the_content_hash_tells_weights_apart_by_name_and_value():
    one, other = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    other.load_state_dict(one.state_dict())
    assert content_hash(one) == content_hash(other) != content_hash(torch.nn.Sequential(one))
    with torch.no_grad():
        other.bias[1] += 1e-6
    assert content_hash(one) != content_hash(other)


def test_s3d_by_default_looks_at_the_clips_it_was_trained_on():
    encoder = S3DSeconds(allow_random=True)
    settings = (encoder.frames, encoder.rate, encoder.size, encoder.short_side, encoder.width)
    assert settings == (32, 10.0, 224, 256, 512)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"allow_random": False}, "needs weights"),
        ({"frames": 15}, "must be even"),
        ({"size": 223}, "must be even"),
        ({"size": 300}, "cannot be cut out"),
        ({"rate": 0.0}, "must be positive"),
        ({"precision": "int4"}, "not one of fp32, bf16, fp16"),
    ],
)
def test_settings_of_s3d_that_do_not_fit_are_refused(options, told):
    with pytest.raises(ConfigError, match=told):
        S3DSeconds(**{"allow_random": True, **options})


def test_a_file_of_other_weights_is_named(tmp_path):
    save_file({"fc.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"other\.safetensors does not fit S3D"):
        S3DSeconds(tmp_path / "other.safetensors")


@pytest.mark.parametrize("clips", [noise(1, 7, 3, 32, 32), noise(1, 8, 32, 32, 3), noise(1, 8, 3, 32, 32).float()])
def test_clips_of_another_kind_are_refused(clips, s3d):
    with pytest.raises(ValueError, match=r"uint8 \(N, 8, 3, 32, 32\) is expected"):
        s3d.encode(clips)


# --- timm


def test_a_row_of_timm_is_the_mean_of_its_own_pooled_outputs(tiny):
    import timm
    from timm.data import create_transform, resolve_model_data_config
    from torchvision.transforms.functional import to_pil_image

    clips = noise(2, 2, 3, 160, 160)
    rows = tiny.encode(clips)
    model = timm.create_model("test_vit", num_classes=0).eval()
    model.load_state_dict(tiny.network.state_dict())
    prepare = create_transform(**resolve_model_data_config(model))
    prepare.transforms = [each for each in prepare.transforms if type(each).__name__ not in ("Resize", "CenterCrop")]
    with torch.inference_mode():
        for clip, row in zip(clips, rows, strict=True):
            direct = model(torch.stack([prepare(to_pil_image(frame)) for frame in clip])).mean(0)
            assert torch.allclose(row, direct, atol=1e-5)


def test_timm_looks_as_its_model_was_trained(tiny):
    assert (tiny.width, tiny.frames, tiny.rate) == (64, 2, 2.0)
    assert (tiny.size, tiny.short_side, tiny.interpolation) == (160, 168, "bicubic")  # crop_pct 0.95
    assert tiny.settings() == json.loads(json.dumps(tiny.settings()))
    assert tiny.settings()["mean"] == [0.5, 0.5, 0.5]


def test_random_weights_are_the_same_in_every_process_and_leave_the_random_numbers_alone(tiny):
    before = torch.random.get_rng_state()
    again = TimmSeconds("test_vit", frames=2, allow_random=True)
    assert again.settings() == tiny.settings()
    assert torch.equal(before, torch.random.get_rng_state())


def test_timm_takes_a_local_file_with_or_without_its_classifier(tmp_path, tiny):
    state = tiny.network.state_dict()
    save_file(state, tmp_path / "encoder.safetensors")
    save_file(
        {**state, "head.weight": torch.zeros(1000, 64), "head.bias": torch.zeros(1000)}, tmp_path / "m.safetensors"
    )
    for name in ("encoder.safetensors", "m.safetensors"):
        assert TimmSeconds("test_vit", tmp_path / name).sha256 == tiny.sha256


def test_a_file_that_lacks_weights_of_timm_or_has_others_is_refused(tmp_path, tiny):
    state = tiny.network.state_dict()
    del state["norm.weight"]
    save_file(state, tmp_path / "less.safetensors")
    with pytest.raises(CheckpointError, match=r"less\.safetensors does not fit test_vit: .*norm\.weight"):
        TimmSeconds("test_vit", tmp_path / "less.safetensors")
    with pytest.raises(CheckpointError, match="does not fit test_resnet"):
        TimmSeconds("test_resnet", tmp_path / "less.safetensors")
    with pytest.raises(CheckpointError, match=r"not a \.safetensors file"):
        TimmSeconds("test_vit", tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("model", "options", "told"),
    [
        ("test_vit", {}, "needs weights"),
        ("test_vti", {"allow_random": True}, "no model 'test_vti'"),
        ("test_vit.mine", {"allow_random": True}, "no weights 'mine'"),
        ("test_vit", {"weights": "x.safetensors", "pretrained": True}, "Give one of them"),
    ],
)
def test_models_without_a_name_or_weights_are_refused(model, options, told):
    with pytest.raises(ConfigError, match=told):
        TimmSeconds(model, **options)


def test_pretrained_weights_that_cannot_be_had_are_told(monkeypatch):
    def offline(*args, **options):
        raise OSError("no network")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", offline)
    with pytest.raises(CheckpointError, match="cannot be had: OSError"):
        TimmSeconds("test_vit", pretrained=True)


# --- Colours


def test_colours_of_a_film_are_those_that_the_kitchen_stores(tmp_path):
    frames = noise(20, 30, 40, 3).numpy().repeat(4, axis=1).repeat(4, axis=2)
    path = film(tmp_path / "film.mp4", frames)
    import av

    with av.open(str(path)) as container:
        seen = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    clips = torch.from_numpy(seen).permute(0, 3, 1, 2).unflatten(0, (2, 10))
    encoder = ColorSeconds()
    rows = encoder.encode(clips)
    assert rows.shape == (2, encoder.width)
    np.testing.assert_array_equal(rows, ColorLayout().per_second(path))
    assert encoder.settings() == json.loads(json.dumps(encoder.settings()))
