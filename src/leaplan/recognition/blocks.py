"""The blocks of UniFormerV2 (arXiv 2211.09552), batch-first and channels-last.

A clip is a tensor of tokens (N, T, S, C): N clips, T frames after the stem, S = 1 + h w tokens of a frame (its class
token, then its patches row by row), C channels. Convolutions see patches through views with channels last in memory,
the layout in which both oneDNN and cuDNN are fast; nothing is permuted in memory.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

SIGMOID_SLOPE = 1.702  # QuickGELU(x) = x sigmoid(1.702 x), CLIP's activation


class LocalBlock(nn.Module):
    """A block of a CLIP image network, with local relation aggregators around its attention (Eq. 4 to 7, "local").

    Args:
        width: C.
        heads: Attention heads.
        relations: 0, 1 or 2 local relation aggregators: before the attention, and after it.
        reduction: C divided by the width inside the aggregators.
        drop_path: Probability with which a clip skips a residual path, in training.
    """

    def __init__(self, width: int, heads: int, relations: int = 0, reduction: float = 1.5, drop_path: float = 0.0):
        super().__init__()
        self.relation_1 = LocalRelation(width, reduction) if relations > 0 else None
        self.norm = nn.LayerNorm(width)
        self.attention = FrameAttention(width, heads)
        self.relation_2 = LocalRelation(width, reduction) if relations > 1 else None
        self.mlp = NormedMlp(width, 4 * width)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, recompute: bool = False) -> Tensor:
        """Return tokens (N, T, S, C) from tokens (N, T, S, C).

        Args:
            tokens: As above.
            recompute: Keep less memory for the backward pass: attention and MLP are computed again there, as in the
                official code. The aggregators are not, or their BatchNorm would count a batch twice.
        """
        tokens = self._relate(tokens, self.relation_1)
        tokens = checkpoint(self._attend, tokens, use_reentrant=False) if recompute else self._attend(tokens)
        tokens = self._relate(tokens, self.relation_2)
        return checkpoint(self._think, tokens, use_reentrant=False) if recompute else self._think(tokens)

    def _relate(self, tokens: Tensor, relation: nn.Module | None) -> Tensor:
        """Add to each patch what its place was and will be; class tokens stay."""
        if relation is None:
            return tokens
        patches = tokens[:, :, 1:]  # (N, T, hw, C)
        return torch.cat([tokens[:, :, :1], patches + self.drop_path(relation(patches))], dim=2)

    def _attend(self, tokens: Tensor) -> Tensor:
        return tokens + self.drop_path(self.attention(self.norm(tokens)))

    def _think(self, tokens: Tensor) -> Tensor:
        return tokens + self.drop_path(self.mlp(tokens))


class GlobalBlock(nn.Module):
    """One query per clip looks at all tokens of a layer (UniFormerV2, "global UniBlock").

    Args:
        width: C.
        heads: Heads of the cross-attention.
        mlp_factor: Width of the MLP in units of C.
        mlp_dropout: Inside the MLP.
        drop_path: Probability with which a clip skips a residual path, in training.
    """

    def __init__(
        self, width: int, heads: int, mlp_factor: float = 4.0, mlp_dropout: float = 0.5, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.position = SpaceTimePosition(width)
        self.query_norm = nn.LayerNorm(width)
        self.token_norm = nn.LayerNorm(width)
        self.attention = QueryAttention(width, heads)
        self.mlp = NormedMlp(width, round(mlp_factor * width), mlp_dropout)
        self.drop_path = DropPath(drop_path)
        nn.init.xavier_uniform_(self.mlp.enter.weight)
        for last in (self.attention.output, self.mlp.leave):  # a new block leaves the query as it is
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, query: Tensor, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return the query (N, C) after a look at tokens (N, T, S, C).

        Args:
            query: (N, C).
            tokens: (N, T, S, C).
            grid: Rows h and columns w of patches.
        """
        memory = self.token_norm(self.position(tokens, grid)).flatten(1, 2)  # (N, T S, C)
        query = query + self.drop_path(self.attention(self.query_norm(query), memory))
        return query + self.drop_path(self.mlp(query))


class LocalRelation(nn.Module):
    """Local MHRA: each patch gathers what its place shows one frame before and after (UniFormerV2, Eq. 8).

    BatchNorm, reduction, a temporal convolution of size 3 per channel and expansion, with no activation between.
    The 1 x 1 x 1 convolutions are stored as the official code stores them and computed as matrix products.
    The expansion starts at zero, so a new aggregator changes nothing.
    """

    def __init__(self, width: int, reduction: float = 1.5) -> None:
        super().__init__()
        inner = int(width // reduction)
        self.norm = nn.BatchNorm1d(width)  # over all patches of all clips
        self.reduce = nn.Conv3d(width, inner, 1)
        self.mix = nn.Conv3d(inner, inner, (3, 1, 1), padding=(1, 0, 0), groups=inner)
        self.expand = nn.Conv3d(inner, width, 1)
        nn.init.zeros_(self.expand.weight)
        nn.init.zeros_(self.expand.bias)

    def forward(self, patches: Tensor) -> Tensor:
        """Return (N, T, hw, C), to be added to patches (N, T, hw, C)."""
        reduced = self._normalise_and_reduce(patches)  # (N, T, hw, R)
        mixed = F.conv2d(
            reduced.permute(0, 3, 1, 2), self.mix.weight[..., 0], self.mix.bias, padding=(1, 0), groups=self.mix.groups
        ).permute(0, 2, 3, 1)  # (N, T, hw, R): time is the height of an image, places its width
        return F.linear(mixed, self.expand.weight.flatten(1), self.expand.bias)

    def _normalise_and_reduce(self, patches: Tensor) -> Tensor:
        norm, weight, bias = self.norm, self.reduce.weight.flatten(1), self.reduce.bias
        if norm.training:
            normalised = norm(patches.flatten(0, 2)).view(patches.shape)
            return F.linear(normalised, weight, bias)
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)  # (C), a constant map: fold it into the next
        return F.linear(patches, weight * scale, bias + weight @ (norm.bias - norm.running_mean * scale))


class SpaceTimePosition(nn.Module):
    """A 3 x 3 x 3 convolution per channel that tells a patch where and when it is ("dpe" in the official code)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(width, width, 3, padding=1, groups=width)

    def forward(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return tokens (N, T, S, C) with positions added to the patches; class tokens stay."""
        patches = tokens[:, :, 1:]  # (N, T, hw, C)
        return torch.cat([tokens[:, :, :1], patches + self.of(patches, grid)], dim=2)

    def of(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return the positions (N, T, hw, C) of patches (N, T, hw, C).

        Computed as three 2-D convolutions, one per temporal tap: on a CPU four times faster backward than one in 3-D.
        """
        weight, bias = self.convolution.weight, self.convolution.bias
        frames = patches.shape[1]
        padded = F.pad(patches, (0, 0, 0, 0, 1, 1)).unflatten(2, grid)  # (N, 1 + T + 1, h, w, C)
        taps = [
            F.conv2d(
                padded[:, tap : tap + frames].flatten(0, 1).permute(0, 3, 1, 2),  # (N T, C, h, w)
                weight[:, :, tap],
                bias if tap == 1 else None,
                padding=1,
                groups=len(weight),
            )
            for tap in range(3)
        ]
        return (taps[0] + taps[1] + taps[2]).permute(0, 2, 3, 1).reshape(patches.shape)


class FrameAttention(nn.Module):
    """Multi-head self-attention within each frame."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.heads = heads
        self.inputs = nn.Linear(width, 3 * width)  # queries, keys, values
        self.output = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.inputs.weight)
        nn.init.zeros_(self.inputs.bias)
        nn.init.zeros_(self.output.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (N, T, S, C) from tokens (N, T, S, C)."""
        inputs = self.inputs(tokens.flatten(0, 1)).unflatten(-1, (3, self.heads, -1))  # (N T, S, 3, heads, C / heads)
        query, key, value = inputs.permute(2, 0, 3, 1, 4)  # (N T, heads, S, C / heads) each
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.output(mixed.transpose(1, 2).reshape(tokens.shape))


class QueryAttention(nn.Module):
    """Multi-head attention of a single query, in which no token is projected.

    With one query q, the order of products is free. In each head, the score of token x is
    q . (W_k x + b_k) = (W_k' q) . x + a constant that the softmax removes, and the mean of projected values is
    sum_i a_i (W_v x_i + b_v) = W_v (sum_i a_i x_i) + b_v, because the weights a sum to one. So the query is carried to
    the tokens and their mean is projected: 2 L C^2 products become 2 L C heads, for L tokens.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}")
        self.heads = heads
        self.inputs = nn.Linear(width, 3 * width)  # query, keys, values
        self.output = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.inputs.weight)
        nn.init.zeros_(self.inputs.bias)

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        """Return (N, C) from a query (N, C) and memory (N, L, C)."""
        width = query.shape[-1]
        to_query, to_key, to_value = self.inputs.weight.view(3, width, width)
        query_bias, _, value_bias = self.inputs.bias.view(3, width)  # a bias of keys shifts all scores alike
        query = F.linear(query, to_query, query_bias) * (width // self.heads) ** -0.5
        carried = torch.einsum("nhd,hdc->nhc", self._split(query), to_key.unflatten(0, (self.heads, -1)))
        weights = (carried @ memory.transpose(1, 2)).softmax(-1)  # (N, heads, L)
        mean = weights @ memory  # (N, heads, C)
        value = torch.einsum("nhc,hdc->nhd", mean, to_value.unflatten(0, (self.heads, -1))).flatten(1)
        return self.output(value + value_bias)

    def _split(self, query: Tensor) -> Tensor:
        return query.unflatten(-1, (self.heads, -1))  # (N, heads, C / heads)


class NormedMlp(nn.Module):
    """LayerNorm, linear, QuickGELU, dropout, linear.

    QuickGELU(x) = x sigmoid(s x) = SiLU(s x) / s, and SiLU is one fused kernel. The factor s = 1.702 enters through
    the vectors of the LayerNorm and of the bias, and leaves at the narrow end, so that the wide hidden layer is passed
    over once instead of three times. The weights are those of the plain form.
    """

    def __init__(self, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.enter = nn.Linear(width, hidden)
        self.dropout = nn.Dropout(dropout)
        self.leave = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (..., C) from tokens (..., C)."""
        norm, slope = self.norm, SIGMOID_SLOPE
        scaled = F.layer_norm(tokens, norm.normalized_shape, slope * norm.weight, slope * norm.bias, norm.eps)
        hidden = F.linear(scaled, self.enter.weight, slope * self.enter.bias)  # s x
        active = self.dropout(F.silu(hidden, inplace=not hidden.requires_grad))  # s QuickGELU(x)
        return F.linear(active, self.leave.weight, slope * self.leave.bias).div_(slope)


class DropPath(nn.Module):
    """Drop a residual path for whole clips, in training (stochastic depth, arXiv 1603.09382).

    A deviation from the official code, whose layout makes it drop token positions of all clips in local blocks and
    all clips at once in global ones. With a probability of 0, as in its Kinetics recipe, there is no difference.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        if not 0 <= probability < 1:
            raise ValueError(f"drop path with probability {probability} is not in [0, 1)")
        self.probability = probability

    def forward(self, path: Tensor) -> Tensor:
        """Return `path` (N, ...) with clips zeroed, and the others scaled so that the expectation stays."""
        if not self.training or self.probability == 0:
            return path
        kept = 1 - self.probability
        mask = path.new_empty(len(path), *[1] * (path.ndim - 1)).bernoulli_(kept)
        return path * mask.div_(kept)

    def extra_repr(self) -> str:
        """Return what `print(network)` shows."""
        return f"{self.probability:.3f}"
