"""Weights that others trained, read without unpickling, renamed, checked and loaded strictly."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from leaplan.errors import CheckpointError
from leaplan.recognition.key_maps import FORMATS, MMACTION2, OFFICIAL, KeyMap, find_format
from leaplan.recognition.layout import Layout, layout_of
from leaplan.recognition.uniformerv2 import ClassHead, UniFormerV2, resized_positions
from leaplan.video.weights import read_content

METADATA = "leaplan"  # entry in the metadata of our own files: the provenance record, as JSON
NOT_IN_CLIP = ("query", "balance", "global_blocks.", "head.")  # and the local relation aggregators
WRAPPERS = ("model_state", "state_dict", "model")
KNOWN = "Known are " + ", ".join(each.name for each in FORMATS) + " and files written by `leaplan convert-weights`"


@dataclass(frozen=True)
class Weights:
    """Weights of a file, under our names.

    Attributes:
        path: The file.
        format: Name of the key map that was used, "leaplan" for our own files.
        state: Our names and the tensors as in the file; those of the head begin with `head.`.
        unknown: Names in the file that have no place in the network.
        partial: Whether only CLIP's part of the network is there.
        channel_order: Of the frames that the weights were trained on, "rgb" or "bgr".
        grid: Rows and columns of the positions.
        record: Provenance, of our own files.
        note: What the user should know about the format.
    """

    path: Path
    format: str
    state: dict[str, Tensor]
    unknown: tuple[str, ...]
    partial: bool
    channel_order: str
    grid: tuple[int, int]
    record: Mapping[str, Any]
    note: str = ""

    @property
    def layout(self) -> Layout:
        """Sizes and kind, read off names and shapes."""
        return layout_of(self.state)

    def without_tensors(self) -> "Weights":
        """Return the same without what takes memory."""
        return replace(self, state={})


def load_weights(
    network: UniFormerV2,
    path: Path,
    *,
    class_head: ClassHead | None = None,
    head: str = "keep",
    rows: Sequence[int] | None = None,
    channel_order: str = "",
) -> Weights:
    """Load the weights in `path`, of any known format, into `network` and return what was read.

    The network then takes RGB whatever it was trained on: for weights trained on BGR, the channels of the stem are
    reversed. Positions are interpolated where the resolution differs. CLIP's weights fill their part of the network;
    its stem looks at the middle frame of its span, the rest stays as it is.

    Args:
        network: What is loaded into.
        path: .pyth, .pth, .pt or .safetensors.
        class_head: Its weights are loaded too; without one, the file's head is left out.
        head: "keep" the file's head, or "new": load its LayerNorm, and leave the linear layer as it is.
        rows: With "keep": the row of the file's head for each of our classes.
        channel_order: "rgb" or "bgr", what the weights were trained on; "" for what is known of the format: BGR for
            official SSv2 weights (frames decoded by OpenCV), else RGB.

    Raises:
        CheckpointError: Missing, damaged, of an unknown format, of another kind or size, or not an exact fit; lists
            missing and unexpected keys, and shapes that differ.
        ValueError: Another `head` or `channel_order`.
    """
    weights = read_weights(path)
    expected = dict(network.state_dict())
    if class_head is not None:
        expected |= {f"head.{name}": tensor for name, tensor in class_head.state_dict().items()}
    state = fitted(weights, expected, network.grid, head=head, rows=rows, channel_order=channel_order)
    names = {name for name in state if name.startswith("head.")}
    network.load_state_dict({name: tensor for name, tensor in state.items() if name not in names}, strict=False)
    if class_head is not None:
        class_head.load_state_dict({name.removeprefix("head."): state[name] for name in names}, strict=False)
    return weights


def read_weights(path: Path) -> Weights:
    """Return the weights in a file of any known format, under our names, shaped as ours.

    Raises:
        CheckpointError: Missing, damaged, TorchScript, or of no known format.
    """
    content, metadata = read_content(path)
    if METADATA in metadata:
        return _ours(path, content, metadata[METADATA])
    state = _state_dict(path, content)
    found = find_format(state)
    if found is None:
        raise CheckpointError(f"{path} is of no known format; its keys begin with {_first(state)}", _hint(state))
    translated, unknown = found.translate(state)
    shaped = {name: _shaped(name, tensor) for name, tensor in translated.items()}
    _refuse_stemless(path, shaped)
    return Weights(
        path=path,
        format=found.name,
        state=shaped,
        unknown=tuple(unknown),
        partial=found.partial,
        channel_order=_trained_on(found, layout_of(shaped)),
        grid=_square(path, len(shaped["positions"]) - 1),
        record={},
        note=found.note,
    )


def fitted(
    weights: Weights,
    expected: Mapping[str, Tensor],
    grid: tuple[int, int],
    *,
    head: str = "keep",
    rows: Sequence[int] | None = None,
    channel_order: str = "",
) -> dict[str, Tensor]:
    """Return the state that makes a network with the names and shapes of `expected` compute what `weights` do.

    Args:
        weights: What was read.
        expected: State of the network, its head under `head.`; may be on the meta device.
        grid: Rows and columns of its positions.
        head, rows, channel_order: See `load_weights`.

    Raises:
        CheckpointError: Of another kind or size, or not an exact fit.
    """
    if head not in ("keep", "new") or channel_order not in ("", "rgb", "bgr"):
        raise ValueError(f"head '{head}' is not keep or new, or channel order '{channel_order}' not rgb or bgr")
    layout_of(expected).refuse_other(weights.layout, str(weights.path), weights.partial)
    state = dict(weights.state)
    state["positions"] = resized_positions(state["positions"].float(), weights.grid, grid)
    if weights.partial:
        state["stem.weight"] = inflated(state["stem.weight"], expected["stem.weight"].shape[2])
    if (channel_order or weights.channel_order) == "bgr":
        state["stem.weight"] = state["stem.weight"].flip(1)
    absent = _head(weights.path, state, expected, head, rows)
    if weights.partial:
        absent |= {n for n in expected if n.startswith(NOT_IN_CLIP) or ".relation_" in n} - state.keys()
    _refuse_difference(weights, state, {name: each for name, each in expected.items() if name not in absent})
    return state


def inflated(stem: Tensor, span: int) -> Tensor:
    """Return the kernel (C, 3, span, P, P) that sees the middle frame as `stem` (C, 3, 1, P, P) sees an image."""
    if stem.shape[2] == span:
        return stem
    kernel = stem.new_zeros(*stem.shape[:2], span, *stem.shape[3:])
    kernel[:, :, span // 2] = stem[:, :, stem.shape[2] // 2]
    return kernel


def _head(
    path: Path, state: dict[str, Tensor], expected: Mapping[str, Tensor], head: str, rows: Sequence[int] | None
) -> set[str]:
    """Bring the head in `state` into shape, and return the names that may stay as they are in the network."""
    wanted = {name for name in expected if name.startswith("head.")}
    there = {name for name in state if name.startswith("head.")}
    dropped = there if not wanted else {name for name in there if name.startswith("head.linear.") and head == "new"}
    for name in dropped:
        del state[name]
    if not wanted or head == "new":
        return wanted - state.keys()
    if not there:
        raise CheckpointError(f"{path} has no head that could be kept", 'Take a new one: head="new"')
    classes, ours = len(state["head.linear.weight"]), len(expected["head.linear.weight"])
    if rows is not None:
        if len(rows) != ours or not all(0 <= row < classes for row in rows):
            raise CheckpointError(
                f"the label map has {len(rows)} rows up to {max(rows, default=-1)}; the head of {path} has {classes} "
                f"classes, the network {ours}",
                "Give a row of the file's head, from 0, for each class of the network",
            )
        for name in ("head.linear.weight", "head.linear.bias"):
            state[name] = state[name][list(rows)]
    elif classes != ours:
        raise CheckpointError(
            f"the head of {path} has {classes} classes, the network {ours}",
            'Take a new head: head="new"; or give the row of each of your classes',
        )
    return set()


def _refuse_difference(weights: Weights, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    unexpected = [*weights.unknown, *sorted(state.keys() - expected.keys())]
    missing = sorted(expected.keys() - state.keys())
    shapes = [
        f"{name}: {tuple(state[name].shape)} in the file, {tuple(expected[name].shape)} in the network"
        for name in sorted(state.keys() & expected.keys())
        if state[name].shape != expected[name].shape
    ]
    listed = {"missing": missing, "unexpected": unexpected, "other shapes": shapes}
    lines = [f"\n  {len(each)} {what}: {_first(each, 6)}" for what, each in listed.items() if each]
    if not lines:
        return
    hint = "Give the sizes that it was trained with"
    if missing == ["balance"]:
        hint = "This is a variant with a frozen CLIP network: build the network with fuse=False"
    raise CheckpointError(f"{weights.path} ({weights.format}) does not fit the network:" + "".join(lines), hint)


def _state_dict(path: Path, content: Any) -> dict[str, Tensor]:
    """Return the tensors by name, taken out of what trainers wrap them in."""
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not weights by name", KNOWN)
    tensors = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    for name, each in tensors.items():
        if each.layout != torch.strided or each.is_meta or each.is_quantized or each.is_complex():
            raise CheckpointError(f"{path}: {name} is quantised, sparse, complex or without content", KNOWN)
    return tensors


def _ours(path: Path, state: dict[str, Tensor], metadata: str) -> Weights:
    _refuse_stemless(path, state)
    try:
        record = json.loads(metadata)
        (rows, columns), partial = record["grid"], bool(record["partial"])
        sides = all(type(side) is int and side > 0 for side in (rows, columns))
        if not sides or rows * columns != len(state["positions"]) - 1:
            raise ValueError(f"a grid of {rows} x {columns}, but {len(state['positions']) - 1} positions")
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} has a damaged record of its weights ({error!r})", "Convert it again") from error
    return Weights(path, "leaplan", state, (), partial, "rgb", (rows, columns), record)


def _shaped(name: str, tensor: Tensor) -> Tensor:
    """Return the tensor in float32, with as many axes as ours."""
    tensor = tensor.float() if tensor.is_floating_point() else tensor
    if name == "class_token":
        return tensor.flatten()
    if name == "positions":
        return tensor.flatten(0, -2) if tensor.ndim > 2 else tensor
    if name == "stem.weight" and tensor.ndim == 4:  # of images
        return tensor.unsqueeze(2)
    return tensor


def _refuse_stemless(path: Path, state: Mapping[str, Tensor]) -> None:
    axes = {"class_token": 1, "positions": 2, "stem.weight": 5}
    if absent := axes.keys() - state.keys():
        raise CheckpointError(f"{path} lacks the first layer: {', '.join(sorted(absent))} missing", KNOWN)
    for name, count in axes.items():
        if state[name].ndim != count:
            raise CheckpointError(f"{path}: {name} has shape {tuple(state[name].shape)}, not {count} axes", KNOWN)


def _trained_on(format: KeyMap, layout: Layout) -> str:
    """Return the channel order. The official code decodes SSv2's frames with OpenCV and never turns BGR round."""
    return "bgr" if format in (OFFICIAL, MMACTION2) and layout.kind == "ssv2" else "rgb"


def _square(path: Path, patches: int) -> tuple[int, int]:
    side = math.isqrt(max(0, patches))
    if side * side != patches:
        raise CheckpointError(f"{path} has positions of {patches} patches, which is no square", KNOWN)
    return side, side


def _first(names: Iterable[str], count: int = 3) -> str:
    names = list(names)
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def _hint(state: Iterable[str]) -> str:
    names = set(state)
    if "patch_embed.proj.weight" in names:
        return "It is a vision transformer of timm, but not of CLIP: take vit_base_patch16_clip_quickgelu_224.openai"
    return KNOWN
