"""Image encoders of timm (CLIP, PE-Core, DINO and a thousand more), offline unless asked otherwise."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from leaplan.errors import CheckpointError, ConfigError
from leaplan.video.weights import read_weights

SOURCES = "Give a local .safetensors file of timm, or pretrained to download"


def timm_encoder(
    name: str, weights: str | Path = "", pretrained: bool = False, allow_random: bool = False
) -> nn.Module:
    """Return the image encoder `name` without its classifier, in evaluation mode.

    Args:
        name: As in `timm.list_models()`, with the tag that tells which weights: "vit_pe_core_large_patch14_336.fb".
        weights: A local .safetensors file, as timm's models on the hub have. All of the encoder must be in it.
        pretrained: Download the weights that timm names, or take them from the hub's cache.
        allow_random: Without weights, take random ones, always the same.

    Raises:
        ConfigError: An unknown model, weights twice or not at all.
        CheckpointError: Weights that cannot be had or do not fit.
    """
    if bool(weights) + pretrained > 1:
        raise ConfigError(f"{name} is to have weights from {weights} and pretrained ones", "Give one of them")
    if not (weights or pretrained or allow_random):
        raise ConfigError(f"{name} needs weights, but none are given", SOURCES)
    _refuse_unknown(name)
    if weights:
        return _from_file(name, Path(weights).expanduser())
    if pretrained:
        return _downloaded(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _create(name)


def data_config(model: nn.Module) -> dict[str, Any]:
    """Return how timm prepares images for `model`: input_size, mean, std, interpolation, crop_pct."""
    import timm.data

    resolve: Any = timm.data.resolve_model_data_config  # type: ignore[attr-defined]
    config: dict[str, Any] = resolve(model)
    return config


def _from_file(name: str, path: Path) -> nn.Module:
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path} is not a .safetensors file", "timm's models on the hub have model.safetensors")
    state = _without_classifier(name, read_weights(path))
    try:
        model = _create(name, pretrained=True, pretrained_cfg_overlay={"state_dict": state, "num_classes": 0})
    except (RuntimeError, KeyError, ValueError) as error:  # from filters that expect other names
        lines = [line.strip() for line in str(error).splitlines()[:4]]
        what = f"{path} does not fit {name}: {' '.join(lines)[:600]}"
        raise CheckpointError(what, "Give the file that was made for this model") from error
    model.pretrained_cfg["state_dict"] = None  # it would be kept in memory
    return model


def _without_classifier(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out the classifier, which is not built."""
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name)
    named = (config.classifier if config else None) or ()
    prefixes = tuple(f"{each}." for each in ([named] if isinstance(named, str) else named))
    return {key: tensor for key, tensor in state.items() if not (prefixes and key.startswith(prefixes))}


def _downloaded(name: str) -> nn.Module:
    try:
        return _create(name, pretrained=True)
    except Exception as error:  # of the hub's client, of the network, of files
        what = f"pretrained weights of {name} cannot be had: {type(error).__name__}: {str(error).splitlines()[:1]}"
        raise CheckpointError(what, "Without a network, give a local .safetensors file") from error


def _create(name: str, **options: Any) -> nn.Module:
    import timm

    model: nn.Module = timm.create_model(name, num_classes=0, **options)
    return model.eval()


def _refuse_unknown(name: str) -> None:
    import timm

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        raise ConfigError(f"timm has no model {architecture!r}", f"Near it: {', '.join(near)}" if near else "")
    tags = [each.partition(".")[2] for each in timm.list_pretrained(architecture)]
    if tag and tag not in tags:
        raise ConfigError(f"timm has no weights {tag!r} of {architecture}", f"There are: {', '.join(tags)}")
