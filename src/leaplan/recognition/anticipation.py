"""What comes next: features and programs of W windows before an action become one vector (LEAP, anticipation).

LEAP (arXiv 2312.00055) aggregates the program predictions of three clips before the action and does not tell how.
Ours is a small transformer over the windows; switches leave out the features or the programs.
"""

import torch
from torch import Tensor, nn

from leaplan.recognition.program_head import STOP, ProgramLogits, lengths

CONTEXTS = ("features", "programs", "both")


def summary_width(verbs: int, objects: int, conditions: int, tail: int) -> int:
    """Return F, the width of a program's summary by `summarise`."""
    return (1 + tail) * (verbs + 2 * objects + 2 * conditions)


def summarise(logits: ProgramLogits, tail: int = 2) -> Tensor:
    """Return what predicted programs say as plain vectors (N, W, F) of probabilities, without parameters.

    A slot is its distributions over verb, A and B and its probabilities of conditions, side by side. The summary is
    the mean slot, each slot counting as much as it is probably not "stop", and the `tail` last slots before the first
    "stop", the last one first; zeros where a program is shorter.
    """
    verb, first, second = (each.float().softmax(-1) for each in logits[:3])
    slot = torch.cat([verb, first, second, *(each.float().sigmoid() for each in logits[3:])], dim=-1)  # (N, W, K, D)
    alive = 1 - verb[..., STOP]  # (N, W, K)
    mean = (alive[..., None] * slot).sum(-2) / alive.sum(-1, keepdim=True).clamp(min=1e-6)  # (N, W, D)
    last = lengths(logits.verb.argmax(-1))[..., None] - torch.arange(1, tail + 1, device=verb.device)  # (N, W, tail)
    there = (last >= 0)[..., None]
    at = last.clamp(min=0)[..., None].expand(*last.shape, slot.shape[-1])
    ending = torch.where(there, slot.gather(-2, at), 0.0)  # (N, W, tail, D)
    return torch.cat([mean, ending.flatten(-2)], dim=-1)


class WindowAggregator(nn.Module):
    """A small pre-norm transformer over W windows; a learned query reads the result.

    A window that may not be seen is replaced by a learned vector, and no other looks at it. Where none may be seen,
    only learned vectors are left.

    Shapes: N clips, W windows, C width, F width of a program's summary.

    Args:
        width: C.
        windows: W.
        summary: F; 0 where there are no programs.
        context: What is used of a window: "features", "programs" or "both" (its features and, where there are
            programs, those).
        layers: Transformer layers.
        heads: Attention heads; C must be a multiple.
        dropout: In the transformer and on what enters it.
    """

    def __init__(
        self,
        width: int,
        windows: int,
        summary: int,
        context: str = "both",
        layers: int = 2,
        heads: int = 8,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if context not in CONTEXTS:
            raise ValueError(f"context is '{context}', not one of {', '.join(CONTEXTS)}")
        if context == "programs" and not summary:
            raise ValueError("context is 'programs', but there are no programs")
        self.drop = nn.Dropout(dropout)
        self.features = None if context == "programs" else nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.programs = None if context == "features" or not summary else nn.Linear(summary, width)
        self.hidden = nn.Parameter(0.02 * torch.randn(width))
        self.step = nn.Parameter(0.02 * torch.randn(windows, width))
        self.query = nn.Parameter(0.02 * torch.randn(width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.mix = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        for parameter in self.mix.layers.parameters():  # the encoder copies its first layer
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    @property
    def reads_programs(self) -> bool:
        """Whether summaries of programs are used."""
        return self.programs is not None

    def forward(self, pooled: Tensor, summary: Tensor | None, window_mask: Tensor) -> Tensor:
        """Return (N, C) from features `pooled` (N, W, C), summaries (N, W, F) and `window_mask` (N, W).

        What stands in windows that are False in the mask has no influence, not even if it is NaN.
        """
        told = self._told(pooled, summary, window_mask)  # (N, W, C)
        tokens = torch.where(window_mask[..., None], told, self.hidden.to(told.dtype)) + self.step
        tokens = torch.cat([self.query.expand(len(tokens), 1, -1), tokens], dim=1)  # (N, 1 + W, C)
        blind = window_mask.any(1, keepdim=True) & ~window_mask  # (N, W); nobody looks there
        unseen = torch.cat([torch.zeros_like(blind[:, :1]), blind], dim=1)
        return self.mix(tokens, src_key_padding_mask=unseen)[:, 0]

    def _told(self, pooled: Tensor, summary: Tensor | None, window_mask: Tensor) -> Tensor:
        """Return what is told of each window (N, W, C)."""
        told = []
        for layer, values in ((self.features, pooled), (self.programs, summary)):
            if layer is not None:
                if values is None:
                    raise ValueError("summaries of programs are needed, but there are none")
                told.append(layer(self.drop(torch.where(window_mask[..., None], values, 0.0))))
        unused = pooled.flatten()[:0].sum()  # 0; features that are left out get a gradient of 0, as DDP waits for one
        return torch.stack(told).sum(0) + unused
