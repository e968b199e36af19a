"""Weights that others trained: read without unpickling, loaded only if they fit exactly, and told apart by content."""

import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from leaplan.errors import CheckpointError

AGAIN = "Download it again and compare its checksum"
SHOWN = 6  # names in a message


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a .pth, .pt or .safetensors file by name.

    A state dict under the key `state_dict` is taken out, and `module.` before every name is left out: both are how
    trainers save it.

    Raises:
        CheckpointError: Missing, damaged, pickled objects, or not weights by name.
    """
    content, _ = read_content(path)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(each, Tensor) for each in content.values()):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not weights by name", "Save a state dict")
    if not content:
        raise CheckpointError(f"{path} holds no weights", AGAIN)
    wrapped = all(str(name).startswith("module.") for name in content)
    return {str(name).removeprefix("module.") if wrapped else str(name): each for name, each in content.items()}


def read_content(path: Path) -> tuple[Any, dict[str, str]]:
    """Return what is in a .pth, .pt or .safetensors file, nothing unpickled but tensors, and the latter's metadata.

    Raises:
        CheckpointError: Missing, damaged, TorchScript, or pickled objects.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist", "Give the file of weights that you downloaded or converted")
    return _safetensors(path) if path.suffix == ".safetensors" else (_pickled(path), {})


def load_exactly(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load `state`, which was read from `path`, into `network`.

    Raises:
        CheckpointError: Names are missing or too many, or shapes differ; all are told at once.
    """
    expected = network.state_dict()
    shapes = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    listed = {
        "missing": [name for name in expected if name not in state],
        "too many": [name for name in state if name not in expected],
        "of another shape": shapes,
    }
    lines = [f"\n  - {len(names)} {what}: {_first(names)}" for what, names in listed.items() if names]
    if lines:
        title = f"{path} does not fit {type(network).__name__}, {len(expected)} tensors"
        raise CheckpointError(f"{title}:{''.join(lines)}", "Give the file that was made for this network")
    network.load_state_dict(dict(state))


def content_hash(network: nn.Module) -> str:
    """Return the SHA-256 of all weights and buffers, by name, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error})", "Download or convert it again") from error


def _pickled(path: Path) -> Any:
    """Return what torch.save wrote, if it is made of tensors and plain values."""
    zipped = zipfile.is_zipfile(path)
    if zipped and _is_torchscript(path):
        raise CheckpointError(
            f"{path} is a TorchScript program, as OpenAI distributes CLIP; leaplan reads weights, not programs",
            f"""Save its weights:  python -c "import torch; m = torch.jit.load('{path.name}', map_location='cpu'); """
            f"""torch.save(m.state_dict(), '{path.stem}_state.pt')\"""",
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # a damaged file makes its parser raise anything
        if "Unsupported" in str(error) or "WeightsUnpickler" in str(error):
            why = "it holds objects that are never unpickled"
            hint = "Save its state dict alone, with the program that wrote it:  torch.save(model.state_dict(), ...)"
        else:
            why, hint = "it is damaged or no file of weights", AGAIN
        raise CheckpointError(f"{path} cannot be read: {why}", hint) from error


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _first(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
