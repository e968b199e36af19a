"""Attention with one memory for the whole batch: projected once, never copied per sample."""

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class Attention(nn.Module):
    """Multi-head attention of queries over a memory that is either per sample or shared by the batch.

    Shapes: B samples, Q queries, S memory tokens, D width.

    Args:
        width: D, a multiple of `heads`.
        heads: Number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Return (B, Q, D) from `queries` (B, Q, D) and `memory` (B, S, D), or (S, D) shared by all."""
        shape = queries.shape
        if memory.ndim == 2:  # queries do not see one another: fold the batch into one long row of them
            queries, memory = queries.reshape(1, -1, shape[-1]), memory[None]  # (1, B*Q, D), (1, S, D)
        key, value = self.key_value(memory).chunk(2, dim=-1)
        mixed = scaled_dot_product_attention(
            self._split(self.query(queries)), self._split(key), self._split(value)
        )  # (B, heads, Q, D / heads)
        return self.output(mixed.transpose(1, 2).flatten(2)).view(shape)

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, S, D / heads)


class DecoderLayer(nn.Module):
    """Self-attention among the queries, attention to a memory, and an MLP, each on a residual path.

    Shapes: B samples, Q queries, S memory tokens, D width.

    Args:
        width: D.
        heads: Heads of both attentions.
        dropout: On each residual path.
        expansion: Width of the MLP in units of D.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, expansion: int = 2) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.among, self.across = Attention(width, heads), Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, expansion * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(expansion * width, width),
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Return (B, Q, D) from `queries` (B, Q, D) and `memory` (B, S, D), or (S, D) shared by all."""
        normed = self.norms[0](queries)
        queries = queries + self.drop(self.among(normed, normed))
        queries = queries + self.drop(self.across(self.norms[1](queries), memory))
        return queries + self.drop(self.mlp(self.norms[2](queries)))
