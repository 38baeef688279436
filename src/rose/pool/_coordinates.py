"""Tell where candidates lie near each other: in the pool's features, else in what the candidates themselves are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rose.arrays import as_numbers
from rose.errors import ConfigurationError
from rose.pool.candidates.taking import take

NARROW = 64  # columns: in more of them (images, descriptors), distances of candidates say little of their labels

_SAMPLED = 1000  # candidates that tell how widely each coordinate varies


@dataclass(frozen=True)
class Coordinates:
    """Hold the coordinates of a pool's candidates.

    Attributes:
        source: the features `[N, F]`, or the candidates.
        width: F, how many coordinates a candidate has.
        centre, scale: `[F]`, what is taken off each coordinate, and what it is then divided by; None: nothing is.
    """

    source: Any
    width: int
    centre: np.ndarray | None = None
    scale: np.ndarray | None = None

    @property
    def narrow(self) -> bool:
        """Return whether there are so few coordinates that distances mean something without the user's word."""
        return self.width <= NARROW

    def of(self, indices: np.ndarray) -> np.ndarray:
        """Return `[n, F]` coordinates of the candidates at these indices; a missing one (NaN) lies in the middle."""
        rows = take(self.source, indices)
        if self.centre is None or self.scale is None:
            return np.asarray(rows)
        return np.asarray(np.nan_to_num((_flat(rows) - self.centre) / self.scale, copy=False))


def given_coordinates(features: np.ndarray | None) -> Coordinates | None:
    """Return the features that the user gave, as they are."""
    return None if features is None else Coordinates(features, features.shape[1])


def own_coordinates(source: Any, size: int) -> Coordinates | None:
    """Return `size` candidates as coordinates of unit variance; None where they are no arrays of numbers of one shape.

    >>> own = own_coordinates(np.array([[0.0, 100.0], [2.0, 300.0]]), 2)
    >>> own.of(np.array([0]))
    array([[-1., -1.]])
    """
    sampled = np.unique(np.linspace(0, size - 1, _SAMPLED).astype(np.int64))
    try:
        rows = _flat(take(source, sampled))
    except ConfigurationError:
        return None
    some = np.ma.masked_invalid(rows)
    centre, scale = some.mean(axis=0).filled(0.0), some.std(axis=0).filled(0.0)
    width = rows.shape[1]
    return Coordinates(source, width, centre, np.where(scale > 0.0, scale, 1.0)) if width else None


def _flat(rows: Any) -> np.ndarray:
    numbers = as_numbers(rows, "X")
    return np.asarray(numbers.reshape(len(numbers), -1), dtype=np.float64)
