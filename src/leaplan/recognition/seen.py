"""What a backbone sees in a clip."""

from typing import NamedTuple

from torch import Tensor


class Seen(NamedTuple):
    """Features of N clips, of width C."""

    pooled: Tensor  # (N, C)
    tokens: Tensor  # (N, L, C), for a program decoder to look at
