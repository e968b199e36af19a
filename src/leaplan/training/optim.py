"""Optimiser and schedule that both papers' recipes are written in."""

import math
from collections.abc import Iterable, Mapping

from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from leaplan.errors import refused_settings


def adamw(
    modules: Iterable[nn.Module],
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
    others: Mapping[nn.Module, float] | None = None,
) -> AdamW:
    """Return AdamW over all trainable parameters; biases, norms and other vectors get no weight decay.

    Args:
        modules: Whose parameters are trained.
        learning_rate: Of all parameters but those of `others`.
        weight_decay, betas: Of AdamW.
        others: Modules inside `modules` with a learning rate of their own.

    Raises:
        ConfigError: A rate or decay below 0.
    """
    rates = {p: rate for module, rate in (others or {}).items() for p in module.parameters()}
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter in dict.fromkeys(p for module in modules for p in module.parameters() if p.requires_grad):
        key = (rates.get(parameter, learning_rate), parameter.ndim > 1)
        groups.setdefault(key, []).append(parameter)
    with refused_settings("the optimiser"):
        return AdamW(
            [
                {"params": parameters, "lr": rate, "weight_decay": weight_decay if matrix else 0.0}
                for (rate, matrix), parameters in sorted(groups.items(), key=lambda item: item[0], reverse=True)
            ],
            lr=learning_rate,
            betas=betas,
            fused=True,
        )


def warmup_cosine(optimizer: Optimizer, steps: int, warmup: int = 0, first: int = 0) -> LambdaLR:
    """Return a schedule: linear over `warmup` steps, then a half cosine to zero at `steps`.

    Where training has two stages, each goes through this of its own: the first over its `first` steps, the second
    over the rest.
    """

    def factor(step: int) -> float:
        begin, end = (0, first) if step < first else (first, steps)
        if step - begin < warmup:
            return (step - begin + 1) / warmup
        progress = min(1.0, (step - begin - warmup) / max(1, end - begin - warmup))
        return 0.5 * (1.0 + math.cos(math.pi * progress))

    return LambdaLR(optimizer, factor)
