"""What the methods that cover space share: coordinates of the whole pool, and where to begin."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose.acquisition.problem import Floats, Index, Problem

_BLOCK = 1 << 13


def coordinates(problem: Problem) -> NDArray[Any]:
    """`[N, D]` coordinates of the whole pool, C-contiguous: features, or the centred stacked predictions."""
    points: NDArray[Any] = np.ascontiguousarray(problem.embedding())
    return points


def known_centres(problem: Problem) -> Index:
    """What need not be covered again: the labelled candidates, and those on their way to be."""
    return np.concatenate([problem.labelled, problem.pending])


def longest(problem: Problem, points: NDArray[Any]) -> Floats:
    """`[n]` squared lengths: in centred predictions, the longest is where the ensemble disagrees most."""
    squared: Floats = np.einsum("nd,nd->n", points, points)[problem.available].astype(np.float64)
    return squared


def most_central(problem: Problem, points: NDArray[Any]) -> Floats:
    """`[n]` negative squared distances to the mean of the pool."""
    mean = points.mean(axis=0, dtype=np.float64).astype(points.dtype)
    return -squared_distances(points, problem.available, mean)


def squared_distances(points: NDArray[Any], index: Index, centre: NDArray[Any]) -> Floats:
    """`[len(index)]` squared distances of rows of `points` to one centre.

    By differences, not by inner products: those lose all digits where points lie close together far from the origin.
    """
    out = np.empty(len(index))
    for low in range(0, len(index), _BLOCK):
        difference = points[index[low : low + _BLOCK]] - centre
        out[low : low + _BLOCK] = np.einsum("nd,nd->n", difference, difference)
    return out
