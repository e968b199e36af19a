"""The parity recipe of S3D: the weights and inputs of the golden numbers."""

import json

import numpy as np
import torch

from tests.reference.hashed import u, weight


def cases(shared):
    """What the recipe's JSON file tells, and its arrays."""
    golden = json.loads((shared / "golden" / "s3d_parity.json").read_text())
    return golden, np.load(shared / "golden" / "s3d_parity.npz")


def key_list(shared):
    """Official names and shapes, in order."""
    lines = [line.split("\t") for line in (shared / "golden" / "s3d_keys.txt").read_text().splitlines() if "\t" in line]
    sides = [(name, shape.strip("()").split(",")) for name, shape, *_ in lines if not name.startswith("#")]
    return [(name, tuple(int(side) for side in shape if side.strip())) for name, shape in sides]


def recipe_weight(name, shape):
    """The weight of that official name and shape: as for UniFormerV2, but convolutions are 1.8 times as large."""
    if name == "text_module.word_embd.weight":
        return u(name, int(np.prod(shape))).reshape(shape).astype(np.float32)
    if len(shape) == 5:
        values = 1.8 * u(name, int(np.prod(shape))).reshape(shape) * np.sqrt(3 / np.prod(shape[1:]))
        return values.astype(np.float32)
    return weight(name, shape)


def recipe_state(network):
    """The recipe's weights for all names of `network`."""
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return {name: torch.from_numpy(recipe_weight(name, shape)) for name, shape in shapes.items()}


def recipe_clips(case, shape):
    """The recipe's input, in 0..1."""
    return torch.from_numpy(((u(f"input/{case}", int(np.prod(shape))) + 1) / 2).astype(np.float32)).view(shape)
