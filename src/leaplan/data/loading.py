"""Preloaded windows and their order: a batch is one gather, an epoch is a function of its number."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from leaplan.data.views import PlanningWindow
from leaplan.errors import UserError


class Batch(TypedDict):
    """A batch of planning windows. B windows, S seconds, D feature width, T steps."""

    index: Tensor  # (B,) int64, position in the split
    sample_id: list[str]
    start: Tensor  # (B, S, D)
    goal: Tensor  # (B, S, D)
    steps: Tensor  # (B, T) int64
    task: Tensor  # (B,) int64, -1 where there are no tasks


@dataclass(slots=True)
class SingleSteps:
    """The steps of whole training videos, each with its own observation. m steps."""

    start: Tensor  # (m, S, D)
    goal: Tensor  # (m, S, D)
    before: Tensor  # (m,) step before in the video, N at its beginning
    own: Tensor  # (m,)
    after: Tensor  # (m,) step after in the video, N at its end


class WindowTensors(Dataset[Batch]):
    """All windows of a split in a few tensors.

    Args:
        windows: M windows.
        start, goal: Observations (M, S, D).
        plans_seen: Step sequences that occur in training.
    """

    def __init__(
        self,
        windows: Sequence[PlanningWindow],
        start: Tensor,
        goal: Tensor,
        plans_seen: set[tuple[int, ...]],
    ) -> None:
        self.windows = list(windows)
        self.start, self.goal = start, goal  # (M, S, D)
        self.steps = torch.tensor([window.steps for window in windows], dtype=torch.int64)  # (M, T)
        self.task = torch.tensor([window.task for window in windows], dtype=torch.int64)  # (M,)
        names = {video: position for position, video in enumerate(dict.fromkeys(w.video for w in windows))}
        self.video = torch.tensor([names[window.video] for window in windows], dtype=torch.int64)  # (M,)
        self.seen_in_training = torch.tensor([window.steps in plans_seen for window in windows])  # (M,)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> Batch:
        """Gather a batch. The data loader calls this with all indices of the batch at once."""
        rows = torch.as_tensor(indices, dtype=torch.int64)
        return Batch(
            index=rows,
            sample_id=[self.windows[i].sample_id for i in indices],
            start=self.start[rows],
            goal=self.goal[rows],
            steps=self.steps[rows],
            task=self.task[rows],
        )


class RankSampler(Sampler[int | tuple[int, int]]):
    """Every `processes`-th sample from `rank` on; shuffled by (seed, epoch), or in order and unpadded.

    Training gives each process equally many samples (the last few of an epoch's order are left out), so
    that no process waits for another. Evaluation gives every sample exactly once over all processes; only
    where there are fewer samples than processes, one is repeated, which metrics count once.

    Args:
        samples, rank, processes: Of the split, and of the run.
        shuffle_seed: None keeps the order.
        numbered: Training samples come as (epoch, position), for what is drawn at random in each epoch.
    """

    def __init__(
        self,
        samples: int,
        rank: int = 0,
        processes: int = 1,
        shuffle_seed: int | None = None,
        numbered: bool = False,
    ) -> None:
        self.samples, self.rank, self.processes = samples, rank, processes
        self.shuffle_seed, self.numbered = shuffle_seed, numbered
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch, also after a resume."""
        self.epoch = epoch

    def __len__(self) -> int:
        if self.shuffle_seed is None:
            return len(self._in_order())
        return self.samples // self.processes if self.samples >= self.processes else 1

    def __iter__(self) -> Iterator[int | tuple[int, int]]:
        if self.shuffle_seed is None:
            return iter(self._in_order())
        generator = torch.Generator().manual_seed(self.shuffle_seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.samples, generator=generator).tolist()
        mine = [order[i % self.samples] for i in range(self.rank, self.processes * len(self), self.processes)]
        return iter([(self.epoch, each) for each in mine] if self.numbered else mine)

    def _in_order(self) -> range:
        return range(self.rank % max(1, self.samples), self.samples, self.processes)  # never empty: nobody may idle


class BatchLoader(DataLoader[Batch]):
    """A data loader that raises a `UserError` of its workers as it is.

    Torch would make its message a traceback, as text.

    Args:
        dataset: Gathers batches with `__getitems__`; nothing is collated.
        settings: As of `DataLoader`.
    """

    def __init__(self, dataset: Dataset[Any], **settings: Any) -> None:
        super().__init__(_Gathering(dataset), **{**settings, "collate_fn": _as_gathered})

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, _Mistake):
                raise UserError(batch.what, batch.hint)
            yield batch


class _Mistake(NamedTuple):
    """A `UserError` on its way from a worker: not all kinds can be pickled."""

    what: str
    hint: str


class _Gathering(Dataset[Any]):
    """Batches of a dataset; in a worker also what the user must be told instead of one."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(cast(Any, self.dataset))

    def __getitems__(self, keys: list[Any]) -> Any:
        try:
            return cast(Any, self.dataset).__getitems__(keys)
        except UserError as error:
            if get_worker_info() is None:
                raise
            return _Mistake(error.what, error.hint)


def _as_gathered(batch: Any) -> Any:
    """Return the batch that the dataset gathered."""
    return batch
