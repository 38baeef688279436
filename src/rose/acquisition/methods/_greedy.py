"""Keep the books of a greedy choice, one candidate after the other: who is still open, and gain per unit of cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rose.acquisition.problem import Floats, Index, Problem


@dataclass
class Greedy:
    """Hold the picks so far, as positions into `problem.available`, and who may come next."""

    open: NDArray[np.bool_]
    wanted: int
    picks: list[int]
    cost: Floats | None
    left: float

    @classmethod
    def of(cls, problem: Problem) -> Greedy:
        """Return a choice that has taken nothing yet."""
        cost = None if problem.cost is None else problem.cost[problem.available]
        left = np.inf if problem.budget is None else problem.budget
        start = np.ones(len(problem.available), dtype=bool) if cost is None else cost <= left
        return cls(start, problem.k, [], cost, left)

    @property
    def done(self) -> bool:
        """Tell whether the batch is full, or nobody is left who fits the budget."""
        return len(self.picks) >= self.wanted or not self.open.any()

    def best(self, gain: Floats, rounding: float = 0.0) -> int:
        """Return the open position with the largest gain per unit of cost; the lowest of equals."""
        return self.first(gain if self.cost is None else gain / self.cost, rounding)

    def first(self, keys: Floats, rounding: float = 0.0) -> int:
        """Return the open position with the largest key, whatever it costs; the lowest of equals."""
        return first_of_largest(np.where(self.open, keys, -np.inf), rounding)

    def take(self, position: int) -> None:
        """Add to the batch; close what no longer fits the budget."""
        self.picks.append(position)
        self.open[position] = False
        if self.cost is not None:
            self.left -= float(self.cost[position])
            self.open &= self.cost <= self.left

    def result(self, problem: Problem) -> Index:
        """Return the picks as indices into the pool."""
        return problem.available[np.array(self.picks, dtype=np.int64)]


def first_of_largest(keys: Floats, rounding: float = 0.0) -> int:
    """Return the position of the largest key; the lowest of those that are less by no more than this part of it.

    >>> first_of_largest(np.array([1.0, 3.0 - 1e-12, 3.0]), 1e-9), first_of_largest(np.array([1.0, 3.0 - 1e-12, 3.0]))
    (1, 2)
    """
    if not rounding:
        return int(np.argmax(keys))
    largest = float(keys.max())
    return int(np.argmax(keys >= largest - rounding * abs(largest)))
