"""Plans read by likeness to what training showed: kernel ridge regression, solved once in closed form."""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot


class SingleSteps(Protocol):
    """Single steps of the training videos with what stands before and after them. m steps.

    A step's own start and stop are the same two moments that a window's first start and last stop are, so each
    step of a training video teaches how its boundaries look, also where no window begins or ends.
    """

    start: Tensor  # (m, S, D)
    goal: Tensor  # (m, S, D)
    before: Tensor  # (m,) step before, N at the beginning of a video
    own: Tensor  # (m,)
    after: Tensor  # (m,) step after, N at the end of a video


class RecallReader(nn.Module):
    """Score plans by kernel ridge regression on stored training windows, and their ends on stored single steps.

    Shapes: n training windows, m training steps, B windows, F = S D observed numbers per side, T steps, N classes.

    Args:
        horizon, classes: T, N.
        reach: γ of the kernels exp(-γ |x - x'|² / mean |x - x'|²).
        ridge: Regularisation of the regression on windows.
        sharpness: Factor that turns regression scores into logits.
        boundary_weight: Weight of the regression on single steps for the first and the last step; 0 leaves it out.
        boundary_reach, boundary_ridge: γ and regularisation of that regression.
        shared_boundaries: Let starts and goals teach one another: the goal of a step looks like the start of the
            next. Not for features that average over the whole step.
    """

    def __init__(
        self,
        horizon: int,
        classes: int,
        reach: float = 0.6,
        ridge: float = 0.2,
        sharpness: float = 16.0,
        boundary_weight: float = 0.5,
        boundary_reach: float = 1.0,
        boundary_ridge: float = 0.3,
        shared_boundaries: bool = True,
    ) -> None:
        super().__init__()
        self.horizon, self.classes = horizon, classes
        self.sharpness, self.boundary_weight, self.shared_boundaries = sharpness, boundary_weight, shared_boundaries
        self.windows = KernelRegression(2, reach, ridge)
        self.ends = nn.ModuleList(KernelRegression(1, boundary_reach, boundary_ridge, constant=0.05) for _ in range(2))

    def fit(self, seen: Tensor, steps: Tensor, singles: SingleSteps | None, single_seen: Tensor | None) -> None:
        """Solve the regressions.

        Args:
            seen: (n, 2, F), observations of the training windows.
            steps: (n, T), their plans.
            singles: Steps of the training videos; None leaves them out.
            single_seen: (m, 2, F), their observations.
        """
        self.windows.fit(seen, one_hot(steps, self.classes).flatten(1))
        if singles is None or single_seen is None or not self.boundary_weight:
            return
        start, goal = single_seen[:, :1], single_seen[:, 1:]  # (m, 1, F)
        if self.shared_boundaries:  # a start stands before its step, a goal after it
            both = torch.cat([start, goal])  # (2 m, 1, F)
            self.ends[0].fit(both, self._known(torch.cat([singles.own, singles.after])))
            self.ends[1].fit(both, self._known(torch.cat([singles.before, singles.own])))
        else:
            self.ends[0].fit(start, self._known(singles.own))
            self.ends[1].fit(goal, self._known(singles.own))

    def _known(self, steps: Tensor) -> Tensor:
        """Return (m, N), one-hot; zeros at the beginning and the end of a video, where the id is N."""
        return one_hot(steps, self.classes + 1)[:, : self.classes]

    def forward(self, seen: Tensor) -> Tensor:
        """Return logits (B, T, N) from observations (B, 2, F)."""
        scores = self.windows(seen).unflatten(-1, (self.horizon, self.classes))  # (B, T, N)
        if self.boundary_weight and len(self.ends[0].support):
            ends = torch.zeros_like(scores)
            ends[:, 0] = self.ends[0](seen[:, :1])
            ends[:, -1] += self.ends[1](seen[:, 1:])
            scores = scores + self.boundary_weight * ends
        return self.sharpness * scores


class KernelRegression(nn.Module):
    """Ridge regression in the space of a Gaussian kernel, or of a sum and product of two.

    Shapes: n stored rows, B rows asked for, P parts of a row, each compared on its own, F numbers per part.

    Args:
        parts: P, 1 or 2. Two kernels k, l are joined as k + l + k l: either part alone may be alike, or both.
        reach: γ of exp(-γ |x - x'|² / mean |x - x'|²).
        ridge: Added to the diagonal.
        constant: Added to the kernel: an intercept.
    """

    support: Tensor
    weight: Tensor
    spread: Tensor

    def __init__(self, parts: int, reach: float, ridge: float, constant: float = 0.0) -> None:
        super().__init__()
        self.parts, self.reach, self.ridge, self.constant = parts, reach, ridge, constant
        self.register_buffer("support", torch.zeros(0, parts, 1))  # (n, P, F)
        self.register_buffer("weight", torch.zeros(0, 1))  # (n, outputs)
        self.register_buffer("spread", torch.ones(parts))  # mean squared distance of each part

    def fit(self, seen: Tensor, target: Tensor) -> None:
        """Store rows `seen` (n, P, F) and solve for their `target` (n, outputs)."""
        self.support = seen.clone()
        self.spread = torch.stack([_squared_distances(part, part).mean() for part in seen.unbind(1)])
        kernel = self._kernel(seen).double()
        kernel.diagonal().add_(self.ridge)
        self.weight = torch.linalg.solve(kernel, target.double()).float()

    def _kernel(self, seen: Tensor) -> Tensor:
        parts = [
            torch.exp(-self.reach * _squared_distances(seen[:, p], self.support[:, p]) / self.spread[p])
            for p in range(self.parts)
        ]
        joined = parts[0] if self.parts == 1 else parts[0] + parts[1] + parts[0] * parts[1]
        return joined + self.constant

    def forward(self, seen: Tensor) -> Tensor:
        """Return predictions (B, outputs) for rows (B, P, F)."""
        return self._kernel(seen) @ self.weight

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *rest: object) -> None:
        """Take the sizes of the stored rows from the checkpoint."""
        for name in ("support", "weight"):
            if f"{prefix}{name}" in state:
                setattr(self, name, torch.empty_like(state[f"{prefix}{name}"]))
        super()._load_from_state_dict(state, prefix, *rest)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return |a_i - b_j|² (A, B) of rows (A, F) and (B, F)."""
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp_min(0)
