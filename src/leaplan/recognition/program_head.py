"""Which action program a clip shows: K slots, each a sub-action `verb(A, B)` with its conditions (LEAP).

LEAP (arXiv 2312.00055) says that a program head predicts sub-actions and their pre- and post-conditions from the
video network, not how. Ours asks the network's tokens with one learned query per slot.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

STOP = 0  # verb class of a slot behind the program's end
NOTHING, OUTSIDE = 0, 1  # object classes: no argument; an object outside the vocabulary


class ProgramLogits(NamedTuple):
    """Programs of W windows of N clips: K slots, Cv verbs, Co objects, P conditions."""

    verb: Tensor  # (N, W, K, Cv)
    first: Tensor  # (N, W, K, Co), A
    second: Tensor  # (N, W, K, Co), B
    before: Tensor  # (N, W, K, P), pre-conditions
    after: Tensor  # (N, W, K, P), post-conditions


class ProgramHead(nn.Module):
    """K slot queries decode a program from the tokens of a clip.

    A small pre-norm transformer decoder: the slots see one another and the tokens, projected to the head's width.
    Linear layers, shared by the slots, then give the logits.

    Shapes: L tokens, C their width, K slots, Cv verbs, Co objects, P conditions; leading dimensions are free.

    Args:
        width: C.
        slots: K.
        verbs: Cv; class 0 is "stop".
        objects: Co; class 0 is "none", class 1 "other".
        conditions: P.
        inner: Width of the head, a multiple of `heads`.
        layers: Decoder layers.
        heads: Attention heads.
        dropout: In the decoder.
    """

    def __init__(
        self,
        width: int,
        slots: int,
        verbs: int,
        objects: int,
        conditions: int,
        inner: int = 256,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.slots = nn.Parameter(torch.randn(slots, inner) / inner**0.5)
        self.project = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, inner), nn.LayerNorm(inner))
        layer = nn.TransformerDecoderLayer(
            inner, heads, 4 * inner, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.decode = nn.TransformerDecoder(layer, layers, norm=nn.LayerNorm(inner))
        self.verb = nn.Linear(inner, verbs)
        self.first, self.second = nn.Linear(inner, objects), nn.Linear(inner, objects)
        self.before, self.after = nn.Linear(inner, conditions), nn.Linear(inner, conditions)
        self._apart()

    def _apart(self) -> None:
        """Draw each layer's weights anew: the decoder copies its first layer."""
        for parameter in self.decode.layers.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, tokens: Tensor) -> ProgramLogits:
        """Return logits (..., K, classes) from `tokens` (..., L, C); their order does not matter."""
        lead = tokens.shape[:-2]
        memory = self.project(tokens.flatten(0, -3))  # (M, L, inner)
        slots = self.decode(self.slots.expand(memory.shape[0], -1, -1), memory)  # (M, K, inner)
        return ProgramLogits(
            *(
                layer(slots).unflatten(0, lead)
                for layer in (self.verb, self.first, self.second, self.before, self.after)
            )
        )


def lengths(verb: Tensor) -> Tensor:
    """Return the number (...) of slots before the first "stop" of verb classes (..., K)."""
    return (verb != STOP).long().cumprod(-1).sum(-1)
