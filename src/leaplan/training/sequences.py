"""Sequences of ids compared, a batch at once: rows (B, L) int64 of ids from 0, the shorter ones padded with `PAD`."""

import torch
from torch import Tensor

PAD = -1


def edit_distance(ours: Tensor, theirs: Tensor) -> Tensor:
    """Return the Levenshtein distance (B,) of rows (B, K) and (B, L), one row of the table per id of ours.

    Within a row, D[j] = min_{k <= j} (best[k] + j - k): a running minimum in place of a recursion.
    """
    batch, width = theirs.shape
    columns = torch.arange(width + 1, device=theirs.device)
    table = [columns.expand(batch, -1)]
    for own in ours.unbind(1):  # (B,)
        above = table[-1]
        substitute = above[:, :-1] + (own[:, None] != theirs)
        best = torch.cat([above[:, :1] + 1, torch.minimum(substitute, above[:, 1:] + 1)], dim=1)
        table.append((best - columns).cummin(1).values + columns)
    rows = torch.arange(batch, device=theirs.device)
    return torch.stack(table, 1)[rows, (ours >= 0).sum(1), (theirs >= 0).sum(1)]


def set_sizes(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sizes (B,) of the intersection and the union of the sets of ids of two rows."""
    new, new_too = _first_occurrence(ours), _first_occurrence(theirs)
    intersection = ((ours[:, :, None] == theirs[:, None, :]).any(2) & new).sum(1)
    return intersection, new.sum(1) + new_too.sum(1) - intersection


def _first_occurrence(rows: Tensor) -> Tensor:
    """Return (B, L) True where an id occurs for the first time in its row."""
    same = rows[:, :, None] == rows[:, None, :]
    return (rows >= 0) & ~same.tril(diagonal=-1).any(2)
