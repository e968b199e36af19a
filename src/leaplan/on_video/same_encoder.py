"""Which encoder made the features that a planner was trained on: the same one is to look at new videos."""

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from leaplan.errors import ConfigError, DataError
from leaplan.extract_features import ENCODERS, build_encoder
from leaplan.video.extraction.folder import SETTINGS_FILE, differences
from leaplan.video.extraction.worker import Stored, settings_of
from leaplan.video.seconds import SecondsEncoder

SAY_ENCODER = "Say what made them:  --encoder NAME [--weights FILE] [--set KEY=VALUE]"


class Given(NamedTuple):
    """What the user says of the encoder, as `leaplan extract-features` takes it; "" and {} leave it to the features."""

    encoder: str = ""
    weights: str = ""
    settings: Mapping[str, Any] = {}
    device: str = "cpu"


@dataclass(frozen=True)
class Eyes:
    """An encoder, and how its rows are read and kept.

    Args:
        encoder: Frames to rows.
        dtype: That arrays are kept in.
        reader: Of videos.
        settings: All that decides the numbers, as `features.json` has it.
    """

    encoder: SecondsEncoder
    dtype: Stored = "float32"
    reader: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)


def eyes_like(folder: Path, given: Given, default: str = "") -> Eyes:
    """Return the encoder that made the features in `folder`, as its `features.json` or the user says.

    Args:
        folder: Features that a planner was trained on.
        given: Where the folder does not tell; what it tells must agree.
        default: Encoder of a folder without `features.json`, "" for none.

    Raises:
        ConfigError: Neither tells, weights are not given, or what is given would make other features.
    """
    recorded = _recorded(folder)
    if recorded is None:
        if not (given.encoder or default):
            raise ConfigError(f"{folder} has no {SETTINGS_FILE} that tells what made the features there", SAY_ENCODER)
        encoder = build_encoder(given.encoder or default, _arguments(given, {}))
        return Eyes(encoder, settings=settings_of(encoder, "float32", "auto"))
    made = recorded["encoder"]
    name, known = (given.encoder, {}) if given.encoder else _encoder_of(made, folder)
    wanted = _arguments(given, known)
    loads = {"weights", "pretrained", "allow_random"} & wanted.keys()
    if "weights_sha256" in made and not loads:
        what = f"the weights of {made['name']}, which made the features in {folder}, are not given"
        raise ConfigError(what, f"Give the file (content {made['weights_sha256'][:12]}...):  --weights FILE")
    encoder = build_encoder(name, wanted)
    reader = "auto" if recorded["frames_by"] == "exact" else str(recorded["frames_by"])
    dtype: Stored = "float16" if recorded["dtype"] == "float16" else "float32"
    settings = json.loads(json.dumps(settings_of(encoder, dtype, reader)))  # tuples become lists, as they are read
    others = differences(recorded, settings)
    if others:
        told = "; ".join(line.replace(" asked for", " here") for line in others)
        raise ConfigError(f"the features in {folder} were made otherwise: {told}", "Give the encoder that made them")
    return Eyes(encoder, dtype, reader, settings)


def _recorded(folder: Path) -> dict[str, Any] | None:
    """Return the settings in `features.json`, None without one."""
    path = folder / SETTINGS_FILE
    if not path.is_file():
        return None
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))["settings"]
        return {**settings, "encoder": dict(settings["encoder"]), "frames_by": settings["frames_by"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "Extract the features again:  leaplan extract-features --overwrite"
        raise DataError(f"{path} cannot be read as settings of features ({error})", hint) from error


def _encoder_of(made: Mapping[str, Any], folder: Path) -> tuple[str, dict[str, Any]]:
    """Return name and arguments of the encoder whose settings are `made`."""
    name = str(made["name"])
    if name in ENCODERS:
        module, builder = ENCODERS[name]
        taken = inspect.signature(getattr(import_module(module), builder)).parameters
        return name, {key: value for key, value in made.items() if key in taken}
    if {"mean", "deviation", "weights_sha256"} <= made.keys():  # an image encoder of timm goes by its model's name
        return "timm", {"model": name, "frames": made["frames"], "precision": made["precision"]}
    raise ConfigError(f"the features in {folder} were made by {name}, which is no encoder of leaplan", SAY_ENCODER)


def _arguments(given: Given, known: Mapping[str, Any]) -> dict[str, Any]:
    weights = {"weights": str(Path(given.weights).expanduser())} if given.weights else {}
    return {**known, "device": given.device, **weights, **given.settings}
