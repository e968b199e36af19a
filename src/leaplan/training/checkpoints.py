"""Checkpoints: trainable weights only, read without unpickling, checked before they are used."""

import json
import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from leaplan.errors import CheckpointError

ADAPTER_FOLDER, ADAPTER_FILE = "adapter", "adapter_model.safetensors"
TRAIN_AGAIN = "Train again with --overwrite, or choose another --name"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint written by leaplan, or of the `model.safetensors` of an exported model.

    Raises:
        CheckpointError: Missing, damaged, or written by another program.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist", "Train first:  leaplan fit --config ...")
    try:
        exported = path.suffix == ".safetensors"
        content = _exported(path) if exported else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes its parser raise anything
        raise CheckpointError(f"{path} is damaged or not a checkpoint ({_reason(error)})", TRAIN_AGAIN) from error
    ours = isinstance(content, dict) and all(isinstance(content.get(k), dict) for k in ("leaplan", "state_dict"))
    if not ours:
        raise CheckpointError(f"{path} was not written by leaplan", "Use a checkpoint of `leaplan fit`")
    return dict(content)


def _exported(path: Path) -> dict[str, Any]:
    """Return the content of an exported model; weights of adapters are those of `peft`'s file beside it."""
    with safe_open(path, "pt") as file:
        about = json.loads((file.metadata() or {}).get("leaplan", "null"))
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
    if isinstance(about, dict) and "adapter" in about:
        with safe_open(path.parent / ADAPTER_FOLDER / ADAPTER_FILE, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                ours = re.sub(r"\.(lora_[AB])\.weight$", r".\1.default.weight", name)
                state[f"{about['adapter']}{ours}"] = file.get_tensor(name)
    return {"leaplan": about, "state_dict": state}


def trainable_state(module: nn.Module) -> dict[str, Tensor]:
    """Return the weights of `module` that learn, and its buffers: a frozen 7B base is not copied into each file."""
    named = module.named_parameters(remove_duplicate=False)  # an output layer may share its weight with embeddings
    kept = {name for name, parameter in named if parameter.requires_grad}
    kept |= {name for name, _ in module.named_buffers(remove_duplicate=False)}
    return {name: tensor for name, tensor in module.state_dict().items() if name in kept}


def load_part(module: nn.Module, path: Path, prefixes: tuple[str, ...], expected: Mapping[str, Any]) -> None:
    """Load the weights under `prefixes` from the checkpoint of another run, strictly.

    Args:
        module: What is loaded into.
        path: The checkpoint.
        prefixes: Names of submodules.
        expected: What the other run must have been trained for; see `refuse_other`.

    Raises:
        CheckpointError: Missing, damaged, trained for something else, or of another network.
    """
    content = read_checkpoint(path)
    refuse_other(content["leaplan"].get("for", {}), expected, str(path))
    dots = tuple(f"{prefix}." for prefix in prefixes)
    state = {name: tensor for name, tensor in content["state_dict"].items() if name.startswith(dots)}
    wanted = {name: tensor for name, tensor in trainable_state(module).items() if name.startswith(dots)}
    refuse_difference(state, wanted, str(path))
    module.load_state_dict(state, strict=False)


def refuse_misfit(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Check that `state` holds exactly what `trainable_state(module)` would.

    Raises:
        CheckpointError: Lists missing and unexpected keys, and shapes that differ.
    """
    refuse_difference(state, trainable_state(module), where)


def refuse_difference(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> None:
    """Check that both hold the same names with the same shapes.

    Raises:
        CheckpointError: Lists missing and unexpected keys, and shapes that differ.
    """
    lines = [f"missing {name}" for name in _first(expected.keys() - state.keys())]
    lines += [f"unexpected {name}" for name in _first(state.keys() - expected.keys())]
    lines += [
        f"{name} has shape {tuple(state[name].shape)}, the network {tuple(expected[name].shape)}"
        for name in _first(expected.keys() & state.keys())
        if state[name].shape != expected[name].shape and expected[name].numel()  # what is empty takes any size
    ]
    if lines:
        raise CheckpointError(f"{where} does not fit the network: " + "; ".join(lines[:8]), TRAIN_AGAIN)


def refuse_other(found: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> None:
    """Check that a checkpoint was trained for the same problem.

    Args:
        found: What the checkpoint says, such as its horizon and its step names.
        expected: What the data says, with the same keys.
        where: The checkpoint, for the message.

    Raises:
        CheckpointError: Names each key that differs with both values.
    """
    lines = [
        f"{key}: {_short(found.get(key), value)}, the data has {_short(value, found.get(key))}"
        for key, value in expected.items()
        if found.get(key) != value
    ]
    if lines:
        raise CheckpointError(
            f"{where} was trained for something else: " + "; ".join(lines),
            "Use the checkpoint with its own data and settings, or train again with another --name",
        )


def _reason(error: Exception) -> str:
    """Return the first line of an error; torch's advice to unpickle regardless is not passed on."""
    if isinstance(error, pickle.UnpicklingError):
        return "it holds objects that are never unpickled"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _first(names: Iterable[str], count: int = 4) -> list[str]:
    return sorted(names)[:count]


def _short(value: Any, other: Any) -> str:
    """Return `value` as text; of a long list only its length and the first entry that `other` differs in."""
    if not isinstance(value, list):
        return repr(value)
    others = other if isinstance(other, list) else []
    differing = next((v for v, o in zip(value, others, strict=False) if v != o), None)
    return f"{len(value)} entries" + (f" ('{differing}', ...)" if differing is not None else "")
