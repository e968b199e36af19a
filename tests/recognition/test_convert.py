"""`leaplan convert-weights`: what comes out computes what went in, and tells where it comes from."""

import hashlib
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import leaplan
from leaplan.errors import CheckpointError, ConfigError, DataError
from leaplan.recognition.checkpoints import load_weights, read_weights
from leaplan.recognition.convert import main
from tests.recognition.made_weights import (
    CLASSES,
    DEPTH,
    WIDTH,
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


def save_clip(path, make):
    torch.save(make(), path)
    return path


CLIPS = {
    "openai-clip": lambda: openai_clip(small()[0]),
    "timm-clip": lambda: timm_clip().state_dict(),
    "transformers-clip": lambda: transformers_clip().state_dict(),
}


@pytest.mark.parametrize("kind", ["kinetics", "ssv2"])
@pytest.mark.parametrize("save", [save_official, save_mmaction2])
def test_a_converted_file_gives_the_logits_that_its_source_gives(kind, save, tmp_path):
    source, out = save(tmp_path / "net.pyth", *small(kind)), tmp_path / "folder" / "net.safetensors"
    assert main([str(source), "--out", str(out), "--kind", kind]) == 0
    results = []
    for path in (source, out):
        network, head = other(kind)
        load_weights(network, path, class_head=head)
        results.append(logits(network, head, frames()))
    assert torch.equal(*results)


@pytest.mark.parametrize("format", CLIPS)
@pytest.mark.parametrize("kind", ["", "ssv2"])
def test_converted_clip_loads_as_clip_does(format, kind, tmp_path):
    source, out = save_clip(tmp_path / "clip.pt", CLIPS[format]), tmp_path / "clip.safetensors"
    assert main([str(source), "--out", str(out), *(["--kind", kind] if kind else [])]) == 0
    states = []
    for path in (source, out):
        network, _ = other(kind or "kinetics")
        assert load_weights(network, path).partial
        states.append(network.state_dict())
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_clip_made_for_no_kind_fits_both_and_for_one_kind_only_that(tmp_path):
    source = save_clip(tmp_path / "clip.pt", CLIPS["openai-clip"])
    main([str(source), "--out", str(tmp_path / "any.safetensors")])
    main([str(source), "--out", str(tmp_path / "motion.safetensors"), "--kind", "ssv2"])
    for kind in ("kinetics", "ssv2"):
        load_weights(other(kind)[0], tmp_path / "any.safetensors")
    with pytest.raises(CheckpointError, match="--kind ssv2"):
        load_weights(other("kinetics")[0], tmp_path / "motion.safetensors")


def test_the_record_tells_where_the_weights_come_from(tmp_path, capsys):
    source, out = save_official(tmp_path / "net.pyth", *small("ssv2")), tmp_path / "net.safetensors"
    main([str(source), "--out", str(out), "--frames", "16"])
    record = json.loads((tmp_path / "net.safetensors.json").read_text())
    with safe_open(out, "pt") as file:
        assert json.loads(file.metadata()["leaplan"]) == record
    assert record["source"] == {
        "file": "net.pyth",
        "bytes": source.stat().st_size,
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
    }
    assert record["leaplan"] == leaplan.__version__
    assert (record["format"], record["kind"], record["frames"]) == ("official", "ssv2", 16)
    assert (record["width"], record["depth"], record["grid"], record["classes"]) == (WIDTH, DEPTH, [4, 4], CLASSES)
    assert (record["channel_order"], record["stem_reversed"]) == ("rgb", True)
    assert record["parameters"] == sum(p.numel() for part in small("ssv2") for p in part.parameters())
    assert str(tmp_path) not in out.with_name("net.safetensors.json").read_text()
    assert "trained on BGR" in capsys.readouterr().out


def test_positions_can_be_made_for_another_resolution(tmp_path):
    source = save_official(tmp_path / "net.pyth", *small())
    main([str(source), "--out", str(tmp_path / "net.safetensors"), "--resolution", "48"])
    assert read_weights(tmp_path / "net.safetensors").grid == (6, 6)
    results = []
    for path in (source, tmp_path / "net.safetensors"):
        network, head = other(resolution=48)
        load_weights(network, path, class_head=head)
        results.append(logits(network, head, frames(side=48)))
    assert torch.equal(*results)


def test_a_converted_file_can_be_converted_again(tmp_path):
    source = save_official(tmp_path / "net.pyth", *small("ssv2"))
    main([str(source), "--out", str(tmp_path / "a.safetensors")])
    main([str(tmp_path / "a.safetensors"), "--out", str(tmp_path / "b.safetensors")])
    a, b = (read_weights(tmp_path / name) for name in ("a.safetensors", "b.safetensors"))
    assert all(torch.equal(tensor, b.state[name]) for name, tensor in a.state.items())  # not turned round twice
    assert b.record["converted_from"] == json.loads((tmp_path / "a.safetensors.json").read_text())


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (["--kind", "ssv2"], CheckpointError, "no local MHRA: a Kinetics-type checkpoint, not ssv2.*--kind kinetics"),
        (["--size", "b16"], CheckpointError, "of width 32 with 3 layers and patches of 8, not b16"),
        (["--resolution", "50"], ConfigError, "not a multiple of the patch, 8.*48"),
    ],
)
def test_another_kind_or_size_than_asked_for_is_named(options, error, words, tmp_path):
    source = save_official(tmp_path / "net.pyth", *small())
    with pytest.raises(error, match=f"(?s){words}"):
        main([str(source), "--out", str(tmp_path / "net.safetensors"), *options])
    assert [path.name for path in tmp_path.iterdir()] == ["net.pyth"]  # nothing was written


def test_incomplete_weights_are_not_converted(tmp_path):
    source = save_official(tmp_path / "net.pyth", *small())
    content = torch.load(source, weights_only=True)
    del content["model_state"]["backbone.transformer.dec.1.ln_3.bias"]
    torch.save(content, source)
    with pytest.raises(CheckpointError, match=r"1 missing: global_blocks\.1\.token_norm\.bias"):
        main([str(source), "--out", str(tmp_path / "net.safetensors")])


def test_nothing_is_overwritten_unasked(tmp_path):
    source, out = save_official(tmp_path / "net.pyth", *small()), tmp_path / "net.safetensors"
    main([str(source), "--out", str(out)])
    with pytest.raises(ConfigError, match="exists already"):
        main([str(source), "--out", str(out)])
    main([str(source), "--out", str(out), "--overwrite"])
    with pytest.raises(ConfigError, match="the file that is read"):
        main([str(out), "--out", str(out), "--overwrite"])
    with pytest.raises(ConfigError, match="does not end in"):
        main([str(source), "--out", str(tmp_path / "net.pt")])
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        main([str(source), "--out", str(tmp_path / "file" / "net.safetensors")])


def test_files_of_ours_that_were_tampered_with_are_refused(tmp_path):
    state = {"positions": torch.ones(2, 2), "class_token": torch.ones(2)}
    save_file(state, tmp_path / "a.safetensors", {"leaplan": "{}"})
    with pytest.raises(CheckpointError, match="lacks the first layer"):
        read_weights(tmp_path / "a.safetensors")
    save_file({**state, "stem.weight": torch.ones(2, 3, 1, 4, 4)}, tmp_path / "a.safetensors", {"leaplan": "{}"})
    with pytest.raises(CheckpointError, match="damaged record"):
        read_weights(tmp_path / "a.safetensors")
