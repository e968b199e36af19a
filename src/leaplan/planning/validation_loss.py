"""L_MIM of held-out windows, in the batches of training: whatever the number of processes, the same windows meet."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from leaplan.planning.asked_of_data import SplitWindows
    from leaplan.planning.module import PlanningModule


def alignment_loss(module: "PlanningModule", windows: "SplitWindows") -> Tensor:
    """Return the mean of L_MIM (Eq. 8), a scalar, over `windows`, a split in memory. All processes call it.

    The negatives of a window are those of its batch, so the loss depends on the batches. These are as large as what
    all processes train on at once, and each process takes some of them whole.
    """
    assert module.network is not None
    trainer: Any = module.trainer
    together = module.data.batch_size * trainer.world_size
    sums = torch.zeros(2, device=module.device)  # of losses times windows, and of windows
    with torch.no_grad(), trainer.precision_plugin.forward_context():
        for rows in torch.arange(len(windows)).split(together)[trainer.global_rank :: trainer.world_size]:
            given = (windows.start, windows.goal, windows.steps)
            start, goal, steps = (each[rows].to(module.device) for each in given)
            loss = module.network.align(start, goal, module.y, steps).sum().float()
            sums += torch.stack([loss, torch.ones_like(loss)]) * len(rows)
    total, count = trainer.strategy.reduce(sums, reduce_op="sum")
    return total / count
