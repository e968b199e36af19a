"""Sizes and kind of a UniFormerV2, read off the names and shapes of its weights."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from leaplan.errors import CheckpointError
from leaplan.recognition.uniformerv2 import SIZES, ClassHead, UniFormerV2


@dataclass(frozen=True)
class Layout:
    """What a network must be built with to hold some weights. Heads and frames leave no trace in them.

    Attributes:
        width: C.
        depth: Layers.
        patch: Side of a patch in pixels.
        span: Frames that the stem spans.
        relations: Local relation aggregators per layer.
        inner: Width inside them, 0 without.
        blocks: Global blocks.
        hidden: Width of their MLPs, 0 without.
        fuse: Whether there is a balance of query and class tokens.
        classes: Of the head, 0 without.
    """

    width: int
    depth: int
    patch: int
    span: int
    relations: int
    inner: int
    blocks: int
    hidden: int
    fuse: bool
    classes: int

    @property
    def kind(self) -> str:
        """ "ssv2" with local relation aggregators or a stem over several frames, else "kinetics"."""
        return "ssv2" if self.relations or self.span > 1 else "kinetics"

    @property
    def size(self) -> str:
        """Name of the size, "" where it has none."""
        ours = (self.width, self.depth, self.patch)
        return next((name for name, each in SIZES.items() if (each.width, each.depth, each.patch) == ours), "")

    def refuse_other(self, found: "Layout", where: str, partial: bool) -> None:
        """Check that weights laid out as `found` may fit this network.

        Args:
            found: Layout of a file.
            where: The file, for the message.
            partial: Whether only CLIP's part is there, which fits both kinds.

        Raises:
            CheckpointError: Of another kind or size.
        """
        if (found.width, found.depth, found.patch) != (self.width, self.depth, self.patch):
            raise CheckpointError(
                f"{where} is of size {found._sizes()}; the network is {self._sizes()}",
                f"Ask for --size {found.size} (`size: {found.size}` in a configuration)" if found.size else "",
            )
        if partial and (found.span == 1 or found.span == self.span):
            return
        if found.kind != self.kind:
            local = found.relations > 0
            what = "has local MHRA" if local else f"has a stem that spans {found.span} frame{'s' * (found.span > 1)}"
            what = what if found.kind == "ssv2" else "has no local MHRA"
            name = "an SSv2-type checkpoint" if found.kind == "ssv2" else "a Kinetics-type checkpoint"
            raise CheckpointError(
                f"{where} {what}: {name}; the network is of the other kind",
                f"Ask for --kind {found.kind} (`kind: {found.kind}` in a configuration)",
            )
        if not partial and found.blocks != self.blocks:
            raise CheckpointError(
                f"{where} has {found.blocks} global blocks, the network {self.blocks}",
                "Give as many return layers as the checkpoint has global blocks",
            )

    def expected(self, grid: tuple[int, int], kind: str = "") -> dict[str, Tensor]:
        """Return the whole state of such a network, head included, on the meta device: names and shapes alone.

        Args:
            grid: Rows and columns of its positions.
            kind: Of the stem, where weights are CLIP's.
        """
        span = {"kinetics": 1, "ssv2": 3}.get(kind, self.span)
        with shapes_only():
            network = UniFormerV2(
                self.width,
                self.depth,
                heads=1,
                patch=self.patch,
                resolution=(grid[0] * self.patch, grid[1] * self.patch),
                return_layers=range(self.depth - max(1, self.blocks), self.depth),
                relations=self.relations,
                temporal_downsample=span > 1,
                reduction=self.width / (self.inner + 0.5),  # its whole part is taken
                mlp_factor=(self.hidden or self.width) / self.width,
                fuse=self.fuse,
            )
            head = ClassHead(self.width, self.classes) if self.classes else None
        state = dict(network.state_dict())
        if head is not None:
            state |= {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
        return state

    def _sizes(self) -> str:
        sizes = f"width {self.width}, {self.depth} layers, patches of {self.patch}"
        return f"{self.size} ({sizes})" if self.size else sizes


def layout_of(state: Mapping[str, Tensor]) -> Layout:
    """Return the layout of weights under our names. `stem.weight` must be among them."""
    width, _, span, patch, _ = state["stem.weight"].shape
    return Layout(
        width=width,
        depth=_count(state, r"layers\.(\d+)\."),
        patch=patch,
        span=span,
        relations=max(_numbers(state, r"layers\.\d+\.relation_(\d)\."), default=0),
        inner=_rows(state, "layers.0.relation_1.reduce.weight"),
        blocks=_count(state, r"global_blocks\.(\d+)\."),
        hidden=_rows(state, "global_blocks.0.mlp.enter.weight"),
        fuse="balance" in state,
        classes=_rows(state, "head.linear.weight"),
    )


@contextmanager
def shapes_only() -> Iterator[None]:
    """Within it, modules have names and shapes but no values: they take no memory and next to no time."""
    with torch.device("meta"), _NotAtRandom():
        yield


class _NotAtRandom(TorchFunctionMode):
    """Leaves random initialisation out, for which the meta device would import half of torch."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.Tensor.normal_, torch.Tensor.uniform_) or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def _numbers(names: Iterable[str], pattern: str) -> set[int]:
    return {int(match[1]) for name in names if (match := re.match(pattern, name))}


def _count(names: Iterable[str], pattern: str) -> int:
    return 1 + max(_numbers(names, pattern), default=-1)


def _rows(state: Mapping[str, Tensor], name: str) -> int:
    return len(state[name]) if name in state else 0
