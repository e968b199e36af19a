"""The frozen path: a backbone on features that were computed before, for users without a cluster.

Attentive probing of frozen video features is common practice (V-JEPA, arXiv 2404.08471, section 4): a learned query
pools the rows of a clip. Rows are standardised first, as the features of most networks have a few dominant channels.
"""

import torch
from torch import Tensor, nn

from leaplan.recognition.seen import Seen


class FeatureEncoder(nn.Module):
    """An attentive probe on S feature rows per clip.

    Rows are standardised, normalised, projected and told their place. With `layers` of a pre-norm transformer they
    see one another, and a learned query among them pools. Without, an MLP looks at all rows side by side.

    Shapes: N clips, S rows, D their width, C width.

    Args:
        width_in: D.
        rows: S.
        width: C, a multiple of `heads`.
        layers: Transformer layers; 0 takes the MLP.
        heads: Attention heads.
        dropout: On rows, and in the transformer or MLP.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, width_in: int, rows: int, width: int = 512, layers: int = 1, heads: int = 8, dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.width, self.rows = width, rows
        self.register_buffer("mean", torch.zeros(width_in))
        self.register_buffer("scale", torch.ones(width_in))
        self.project = nn.Sequential(nn.LayerNorm(width_in), nn.Dropout(dropout), nn.Linear(width_in, width))
        self.place = nn.Parameter(0.02 * torch.randn(rows, width))
        self.pool = _AttentivePool(width, layers, heads, dropout) if layers else _Perceptron(width, rows, dropout)

    @torch.no_grad()
    def fit(self, features: Tensor, mask: Tensor | None = None) -> None:
        """Measure mean and scale of channels on training features (..., S, D), of clips in `mask` (...) if given."""
        seen = (features if mask is None else features[mask]).flatten(0, -2).float()
        self.mean.copy_(seen.mean(0))
        self.scale.copy_(seen.std(0, unbiased=False).clamp_min(1e-6))

    def forward(self, clips: Tensor) -> Seen:
        """Return features of `clips` (N, S, D): pooled (N, C), tokens (N, S, C).

        Raises:
            ValueError: The shape does not fit.
        """
        if clips.ndim != 3 or clips.shape[1:] != (self.rows, len(self.mean)):
            raise ValueError(f"clips are {tuple(clips.shape)}, but (N, {self.rows}, {len(self.mean)}) is expected")
        tokens = self.project((clips - self.mean) / self.scale) + self.place  # (N, S, C)
        pooled, tokens = self.pool(tokens)
        return Seen(pooled, tokens)


class _AttentivePool(nn.Module):
    """Rows and a learned query in a pre-norm transformer; the query's output is what is pooled."""

    def __init__(self, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.query = nn.Parameter(0.02 * torch.randn(width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.mix = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return pooled (N, C) and tokens (N, S, C) of `tokens` (N, S, C)."""
        query = self.query.expand(tokens.shape[0], 1, -1)
        mixed = self.mix(torch.cat([query, tokens], dim=1))
        return mixed[:, 0], mixed[:, 1:]


class _Perceptron(nn.Module):
    """The mean of the rows, and a hidden layer over all rows side by side added to it; tokens stay as they are."""

    def __init__(self, width: int, rows: int, dropout: float) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.LayerNorm(rows * width), nn.Linear(rows * width, width), nn.GELU(), nn.Dropout(dropout)
        )

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return pooled (N, C) and tokens (N, S, C) of `tokens` (N, S, C)."""
        return tokens.mean(1) + self.look(tokens.flatten(1)), tokens
