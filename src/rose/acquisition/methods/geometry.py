"""Share what the methods that cover space need: coordinates of the whole pool, and where to begin."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose.acquisition.problem import Floats, Index, Problem

_BLOCK = 1 << 13  # rows looked at a time,
_CELLS = 1 << 20  # fewer where a row is long
_MODERATE = (1e-9, 1e15)  # largest coordinates whose squares float32 holds to the digits that matter


@dataclass(frozen=True)
class Walk:
    """Order the candidates as they lie in memory: to pass over them in the drawn order takes far longer.

    `rows` are their indices, ascending; `places` says where each stands in the drawn order.

    >>> Walk.over(np.array([4, 1, 3]), 6)
    Walk(rows=array([1, 3, 4]), places=array([1, 2, 0]))
    """

    rows: Index
    places: Index

    @classmethod
    def over(cls, candidates: Index, size: int) -> Walk:
        """Order the candidates of a pool of that size."""
        place = np.full(size, -1)
        place[candidates] = np.arange(len(candidates))
        rows = np.flatnonzero(place >= 0)
        return cls(rows, place[rows])

    def drawn(self, values: Floats) -> Floats:
        """Return what was computed in memory's order in the drawn order."""
        out = np.empty_like(values)
        out[self.places] = values
        return out


def blocks(index: Index, width: int) -> Iterator[slice]:
    """Yield slices of an index, of as many rows of that width as fit a cache."""
    rows = min(_BLOCK, max(1, _CELLS // max(1, width)))
    return (slice(low, low + rows) for low in range(0, len(index), rows))


def coordinates(problem: Problem) -> NDArray[Any]:
    """Return `[N, D]` coordinates of the whole pool, C-contiguous: features, or the centred stacked predictions.

    In float32, very large or small ones (densities of 1e20, masses of 1e-27) come multiplied by a power of two, lest
    their squares be infinite or 0: who is farther than whom stays the same.
    """
    points: NDArray[Any] = np.ascontiguousarray(problem.embedding())
    if points.dtype == np.float32 and points.size:
        peak = max(float(points.max()), -float(points.min()))
        if peak and not _MODERATE[0] <= peak <= _MODERATE[1]:
            points = np.ldexp(points, -math.frexp(peak)[1])
    points = points.view()
    points.flags.writeable = False  # all of them: numba compiles anew for what cannot be written to
    return points


def known_centres(problem: Problem) -> Index:
    """Return what need not be covered again: the labelled candidates, and those that are being labelled."""
    return np.concatenate([problem.labelled, problem.pending])


def longest(problem: Problem, points: NDArray[Any]) -> Floats:
    """Return `[n]` squared lengths: in centred predictions, the longest is where the ensemble disagrees most."""
    squared: Floats = np.einsum("nd,nd->n", points, points)[problem.available].astype(np.float64)
    return squared


def most_central(problem: Problem, points: NDArray[Any]) -> Floats:
    """Return `[n]` negative squared distances to the mean of the pool."""
    mean = points.mean(axis=0, dtype=np.float64).astype(points.dtype)
    return -squared_distances(points, problem.available, mean)


def squared_distances(points: NDArray[Any], index: Index, centre: NDArray[Any]) -> Floats:
    """Return `[len(index)]` squared distances of rows of `points` to one centre.

    By differences, not by inner products: those lose all digits where points lie close together far from the origin.
    """
    out = np.empty(len(index))
    for block in blocks(index, points.shape[1]):
        difference = points[index[block]] - centre
        out[block] = np.einsum("nd,nd->n", difference, difference)
    return out


def project(points: NDArray[Any], index: Index, direction: Floats) -> Floats:
    """Return `[len(index)]` inner products with one vector, in float64 and without a copy of the points."""
    out = np.empty(len(index))
    for block in blocks(index, points.shape[1]):
        out[block] = points[index[block]].astype(np.float64) @ direction
    return out
