"""Best-first search for one window's likeliest plans. Plain Python: who scores the steps is not its business."""

from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray

Steps = tuple[int, ...]


class PlanSearch:
    """Which beginning of a plan to expand next, and what is the best that was found.

    A plan's log-probability only falls as steps are added. So a beginning that is no likelier than a whole plan
    already found cannot lead to a likelier one, and when all are like that the best plan is proven. The first
    expansions descend greedily, which gives a whole plan to measure others by.

    Args:
        horizon: T.
        alternatives: A, how many plans are wanted.
        budget: Expansions; the greedy descent takes T of them, also where the budget is less.
    """

    def __init__(self, horizon: int, alternatives: int, budget: int) -> None:
        self.horizon, self.alternatives, self.budget = horizon, alternatives, budget
        self.expansions = 0
        self.found: list[tuple[float, Steps]] = []  # (-log-probability, plan), best first
        self._open: list[tuple[float, Steps, int]] = []  # heap of (-log-probability, parent, rank among siblings)
        self._children: dict[Steps, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        self._next: tuple[float, Steps] = (0.0, ())

    def next(self) -> Steps | None:
        """Return the steps to expand, or None when the search is over."""
        if self.found:
            if self.expansions >= self.budget or self._proven(self.alternatives):
                return None
            self._next = self._pop()
        return self._next[1]

    def expand(self, order: NDArray[np.int64], scores: NDArray[np.float64]) -> None:
        """Take the log-probabilities (N,) of all steps that may follow, best first; `order` are their ids."""
        so_far, steps = self._next
        self.expansions += 1
        totals = so_far + scores
        if len(steps) + 1 == self.horizon:
            ends = zip(order[: self.alternatives].tolist(), totals[: self.alternatives].tolist(), strict=True)
            self.found = sorted([*self.found, *((-total, (*steps, label)) for label, total in ends)])
            del self.found[self.alternatives :]
            return
        self._children[steps] = order, totals
        if self.found:
            self._push(steps, 0)
        else:  # descend
            self._push(steps, 1)
            self._next = float(totals[0]), (*steps, int(order[0]))

    def _push(self, parent: Steps, rank: int) -> None:
        """Open a child of `parent`; its less likely siblings stay out until it is taken."""
        totals = self._children[parent][1]
        if rank < len(totals):
            heappush(self._open, (-float(totals[rank]), parent, rank))

    def _pop(self) -> tuple[float, Steps]:
        negative, parent, rank = heappop(self._open)
        self._push(parent, rank + 1)
        return -negative, (*parent, int(self._children[parent][0][rank]))

    @property
    def certain(self) -> bool:
        """Whether no plan is likelier than the best that was found."""
        return self._proven(1)

    def _proven(self, plans: int) -> bool:
        """Whether nothing open can be better than the `plans` best that were found."""
        if not self._open:
            return True
        return len(self.found) >= plans and -self._open[0][0] <= -self.found[plans - 1][0]
