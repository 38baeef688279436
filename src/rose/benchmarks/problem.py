"""Describe a problem: candidates whose labels are known, and samples to judge on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Problem:
    """Hold the candidates of a problem with their labels, and a test set drawn from the same source.

    Attributes:
        name: what `load` calls it.
        task: "classification" or "regression".
        X, y: the candidates `[N, F]` in the units of the field, and the labels `[N]` that a simulation would give.
        X_test, y_test: samples outside the pool, `[M, F]` and `[M]`.
        source: who posed it, and when.

    Example:
        >>> from rose.benchmarks import load
        >>> problem = load("branin")
        >>> problem.X.shape, problem.task
        ((1000, 2), 'regression')
        >>> bool(problem.simulate(0) == problem.y[0])
        True
    """

    name: str
    task: str
    X: Array
    y: Array
    X_test: Array
    y_test: Array
    source: str

    def simulate(self, index: int) -> Any:
        """Return the label of a candidate, as a simulation task that takes `index` would."""
        return self.y[index].item()

    @property
    def holdout(self) -> tuple[Array, Array]:
        """Return the test set as `Pool(holdout=...)` takes it."""
        return self.X_test, self.y_test


def split(name: str, task: str, source: str, X: Array, y: Array, n: int, seed: int) -> Problem:
    """Divide labelled samples by the seed: `n` candidates, 7 tenths of all at most, and the rest to test."""
    order = np.random.default_rng([seed, 1]).permutation(len(X))
    count = min(n, len(X) * 7 // 10)
    mine, rest = order[:count], order[count:]
    return Problem(name, task, X[mine], y[mine], X[rest], y[rest], source)
