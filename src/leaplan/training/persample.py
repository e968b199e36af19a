"""The ground under the metrics: one row of numbers per sample, gathered from all processes, each once."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat


class PerSampleMetric(Metric):  # type: ignore[misc]
    """Collects rows `(sample index, columns...)` and gives them back sorted by index and without repeats.

    A metric that keeps sums cannot know that a sampler repeated samples to fill the last batch of a process.
    One that keeps rows can, and its result does not depend on who computed which row.

    Args:
        columns: Numbers per sample.
        dtype: Of a row. A float64 row holds the index as well, exactly up to 2^53.
        kwargs: Of `torchmetrics.Metric`.
    """

    full_state_update = False
    is_differentiable = False
    rows: list[Tensor] | Tensor

    def __init__(self, columns: int, dtype: torch.dtype, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.columns, self.row_dtype = columns, dtype
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def append(self, index: Tensor, columns: Tensor) -> None:
        """Add `columns` (B, C) of the samples at positions `index` (B,) of the split.

        Raises:
            ValueError: The shapes do not fit.
        """
        if index.ndim != 1 or columns.shape != (len(index), self.columns):
            raise ValueError(
                f"index is {tuple(index.shape)} and the rows {tuple(columns.shape)}, "
                f"but (B,) and (B, {self.columns}) are expected"
            )
        assert isinstance(self.rows, list)
        row = torch.cat([index[:, None].to(self.row_dtype), columns.to(self.row_dtype)], dim=1)
        self.rows.append(row.detach())

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the rows of all processes. One without samples takes part with an empty table.

        torchmetrics would send a float vector of size 0 for it, which fits neither the shape nor the type.
        """
        if isinstance(self.rows, list) and not self.rows:
            self.rows = [torch.empty(0, 1 + self.columns, dtype=self.row_dtype, device=self.device)]
        super().sync(*args, **kwargs)

    def gathered_rows(self) -> Tensor:
        """Return the unique rows of all processes. All processes call it."""
        with self.sync_context(
            dist_sync_fn=self.dist_sync_fn, should_sync=self._to_sync, should_unsync=self._should_unsync
        ):
            return self.unique_rows()

    def unique_rows(self) -> Tensor:
        """Return the rows (M, 1 + C) at hand on the CPU, ascending by index, one per sample.

        Where a sample came twice with different numbers (two batches may round differently), the
        lexicographically first row stays, whichever process it is from.
        """
        if isinstance(self.rows, list) and not self.rows:
            return torch.empty(0, 1 + self.columns, dtype=self.row_dtype)
        rows = torch.unique(dim_zero_cat(self.rows).cpu(), dim=0)  # sorted
        first = torch.ones(len(rows), dtype=torch.bool)
        first[1:] = rows[1:, 0] != rows[:-1, 0]
        return rows[first]
