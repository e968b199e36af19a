"""A trained model into a folder that needs neither run nor dataset."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml
from safetensors.torch import save_file
from torch import Tensor

from leaplan.data.known import PROBLEM_FILE, write_problem
from leaplan.errors import ConfigError, UserError
from leaplan.exporting.card import model_card
from leaplan.exporting.checked import FILES_OF, WEIGHTS_FILE, is_export, refuse_strangers, write_sums
from leaplan.exporting.onnx import FILE as ONNX_FILE
from leaplan.exporting.onnx import refuse_unfit, write_onnx
from leaplan.exporting.portable import portable
from leaplan.on_video.model import Model
from leaplan.text.pretrained import WANTED, find_folder
from leaplan.training.checkpoints import ADAPTER_FOLDER
from leaplan.video.extraction.folder import SETTINGS_FILE
from leaplan.writing import write_json, write_text

LANGUAGE_FOLDER = "language_model"


def export(model: Model, folder: Path, with_base: bool = False, overwrite: bool = False, onnx: bool = False) -> str:
    """Write a model into `folder`. It is there whole, or not at all.

    model.safetensors has all that was learnt or measured on training data, transitions between steps included. A
    frozen language model is named by id and hash, and loaded from the hub, unless it is copied.

    Args:
        model: As `leaplan.load` returns it.
        folder: Must not exist yet.
        with_base: Copy a pretrained language model as well. A small one that the run trained itself always is.
        overwrite: Replace an exported model that is there.
        onnx: Write model.onnx as well, checked on test samples.

    Returns:
        What is told of model.onnx, "" without.

    Raises:
        ConfigError: The folder exists, the run uses what is only on this computer, or cannot be written as ONNX.
        CheckpointError: It uses classes that are no part of leaplan.
    """
    _refuse_existing(folder, overwrite)
    if onnx:
        refuse_unfit(model)
    settings = yaml.safe_load((model.run.folder / "config.yaml").read_text(encoding="utf-8"))
    config = portable(settings)
    refuse_strangers(config, f"{model.run.folder}/config.yaml")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as near:
        partial = Path(near) / folder.name
        partial.mkdir()
        _fill(model, partial, settings, config, with_base)
        told = write_onnx(model, partial / ONNX_FILE) if onnx else ""
        write_text(partial / "README.md", model_card(model.results, _about(model), partial, told))
        write_sums(partial)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    return told


def _refuse_existing(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not (overwrite and is_export(folder)):
        what = f"{folder} exists already"
        raise ConfigError(what, "Choose another folder, or replace an exported model with --overwrite")


def _fill(model: Model, folder: Path, settings: dict[str, Any], config: dict[str, Any], with_base: bool) -> None:
    run = model.run
    if model.task == "planning":
        _write_words(model, folder, settings, config, with_base)
    save_file(_weights(model), folder / WEIGHTS_FILE, {"format": "pt", "leaplan": json.dumps(_about(model))})
    write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False))
    write_problem(folder / PROBLEM_FILE, run.data)
    if model.results:
        write_json(folder / "results.json", model.results)
    _write_features(model, folder)


def _about(model: Model) -> dict[str, Any]:
    """Return what the weights were trained for, as checkpoints say it."""
    language = _language(model)
    adapter = {} if language is None or language.learns != "lora" else {"adapter": _prefix(model, language)}
    return {"task": model.task, "for": model.run.module.identity, **adapter}


def _weights(model: Model) -> dict[str, Tensor]:
    """Return all weights but those of a frozen language model and of adapters, which have a file of their own."""
    module, language = model.run.module, _language(model)
    state = module.state_dict()
    left_out: set[str] = set()
    if language is not None and language.learns != "full":
        prefix = _prefix(model, language)
        left_out = {f"{prefix}{name}" for name, _ in language.model.named_parameters(remove_duplicate=False)}
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items() if name not in left_out}


def _language(model: Model) -> Any:
    """Return the language model of a planner, None where it has none."""
    reader = getattr(model.network, "attend", None)
    return None if reader is None or reader.language is None else reader.language.model


def _prefix(model: Model, language: Any) -> str:
    """Return what the names of a language model's weights begin with."""
    name = next(name for name, part in model.run.module.named_modules() if part is language.model)
    return f"{name}."


def _write_words(model: Model, folder: Path, settings: dict[str, Any], config: dict[str, Any], with_base: bool) -> None:
    """Write what a planner knows in words: descriptions, prompt, adapters, and the language model where it must be."""
    np.save(folder / FILES_OF["model.descriptions.file"], model.run.module.y.cpu().numpy(), allow_pickle=False)
    arguments = settings["model"]["init_args"]
    if config["model"]["init_args"]["prompt"] != arguments["prompt"]:
        shutil.copyfile(Path(arguments["prompt"]).expanduser(), folder / FILES_OF["model.prompt"])
    language = _language(model)
    if language is None:
        return
    if language.learns == "lora":
        language.save_adapter(folder / ADAPTER_FOLDER)
        (folder / ADAPTER_FOLDER / "README.md").unlink(missing_ok=True)  # an empty form
    own, named = model.run.folder / LANGUAGE_FOLDER, arguments["language"]["init_args"].get("model")
    if own.is_dir():
        shutil.copytree(own, folder / LANGUAGE_FOLDER)
    elif with_base and named:
        _copy_base(find_folder(named), folder / LANGUAGE_FOLDER)
    elif named and Path(named).expanduser().exists():
        what = f"the language model {language.name} is a folder of this computer, which others do not have"
        raise ConfigError(what, "Copy it into the export with --with-base, if its licence lets you")


def _copy_base(base: Path, folder: Path) -> None:
    folder.mkdir()
    for pattern in WANTED:
        for path in base.glob(pattern):
            shutil.copyfile(path, folder / path.name)


def _write_features(model: Model, folder: Path) -> None:
    """Write which encoder makes the features that a planner sees, where that is known."""
    data = model.run.data
    if model.task != "planning" or not hasattr(data.source, "folder"):
        return
    there = data.folder / data.source.folder / SETTINGS_FILE
    to = folder / data.source.folder / SETTINGS_FILE
    if Path(data.source.folder).is_absolute():
        return
    if there.is_file():
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(there, to)
        return
    try:
        settings = model.eyes.settings
    except UserError:  # nobody knows: whoever loads it says --encoder
        return
    write_json(to, {"schema": 1, "sha256": "", "settings": dict(settings)})
