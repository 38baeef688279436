"""What the methods that cover space share: coordinates of the whole pool, and where to begin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose.acquisition.problem import Floats, Index, Problem

_BLOCK = 1 << 13
_MODERATE = (1e-9, 1e15)  # largest coordinates whose squares float32 holds to the digits that matter


def coordinates(problem: Problem) -> NDArray[Any]:
    """`[N, D]` coordinates of the whole pool, C-contiguous: features, or the centred stacked predictions.

    In float32, very large or small ones (densities of 1e20, masses of 1e-27) come multiplied by a power of two, lest
    their squares be infinite or 0: who is farther than whom stays the same.
    """
    points: NDArray[Any] = np.ascontiguousarray(problem.embedding())
    if points.dtype != np.float32 or points.size == 0:
        return points
    peak = max(float(points.max()), -float(points.min()))
    if peak == 0 or _MODERATE[0] <= peak <= _MODERATE[1]:
        return points
    scaled: NDArray[Any] = np.ldexp(points, -math.frexp(peak)[1])
    return scaled


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
