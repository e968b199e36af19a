"""The parity recipe of UniFormerV2: the networks, weights and inputs of the golden numbers."""

import json

import numpy as np
import torch

from leaplan.recognition.key_maps import OFFICIAL
from leaplan.recognition.uniformerv2 import ClassHead, UniFormerV2
from tests.reference.hashed import u, weight


def cases(shared):
    """Cases by name, and their arrays."""
    golden = json.loads((shared / "golden" / "uniformerv2_parity.json").read_text())
    return golden, np.load(shared / "golden" / "uniformerv2_parity.npz")


def key_lists(shared):
    """The three lists of official names with shapes: B/16 Kinetics, B/16 SSv2, L/14 Kinetics."""
    lists, text = [], (shared / "golden" / "uniformerv2_b16_keys.txt").read_text()
    for line in text.splitlines():
        if line.startswith("## ") and "entries" in line:
            lists.append({})
        elif "\t" in line and not line.startswith("#"):
            name, shape, _ = line.split("\t")
            lists[-1][name] = tuple(int(side) for side in shape.strip("()").split(",") if side.strip())
    return lists


def network_of(config, dropouts=True):
    """UniFormerV2 and its head with the official constructor's arguments."""
    local = 0 if config["no_lmhra"] else 1 + config["double_lmhra"]
    network = UniFormerV2(
        width=config["width"],
        depth=config["layers"],
        heads=config["heads"],
        patch=config["patch_size"],
        resolution=config["input_resolution"],
        return_layers=config["return_list"],
        relations=local,
        temporal_downsample=config["temporal_downsample"],
        reduction=config.get("dw_reduction", 1.5),
        global_heads=config["n_head"],
        mlp_factor=config.get("mlp_factor", 4.0),
        mlp_dropout=config["mlp_dropout"] if dropouts else 0.0,
    )
    return network, ClassHead(config["width"], config["num_classes"], dropout=0.5 if dropouts else 0.0)


def official_state(network, head):
    """The recipe's weights under their official names."""
    state = {**network.state_dict(), **{f"head.{name}": tensor for name, tensor in head.state_dict().items()}}
    theirs = {OFFICIAL.theirs(name): tensor.shape for name, tensor in state.items()}
    return {name: torch.from_numpy(weight(name, tuple(shape))) for name, shape in theirs.items()}


def built(name, case, dropouts=True):
    """Network and head with the recipe's weights, and the recipe's input."""
    network, head = network_of(case["config"], dropouts)
    state, _ = OFFICIAL.translate(official_state(network, head))
    network.load_state_dict({n: tensor for n, tensor in state.items() if not n.startswith("head.")})
    head.load_state_dict({n.removeprefix("head."): tensor for n, tensor in state.items() if n.startswith("head.")})
    shape = case["input_shape"]
    frames = torch.from_numpy(u(f"input/{name}", int(np.prod(shape))).astype(np.float32)).view(shape)
    return network, head, frames
