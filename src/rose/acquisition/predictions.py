"""Stacked predictions, read by rows: an array `[S, N]` or `[S, N, C]`, or a list of S arrays that is never stacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rose.errors import PredictionError

_BLOCK = 4096  # rows centred at a time: the float64 temporary stays in the cache


def as_floats(array: NDArray[Any]) -> NDArray[Any]:
    """float32 and float64 stay; float16 becomes float32, which has room for sums; anything else float64."""
    if array.dtype in (np.float32, np.float64):
        return array
    return array.astype(np.float32 if array.dtype == np.float16 else np.float64)


@dataclass(frozen=True)
class Predictions:
    """S predictions of N candidates: member `s` is `[N]` values or `[N, C]` probabilities.

    >>> p = Predictions.of([[0.0, 1.0, 2.0], [0.0, 3.0, 2.0]])
    >>> p.members, p.candidates, p.classes
    (2, 3, None)
    >>> p.centred(np.array([1]))  # member minus mean, over sqrt(S): the inner product is the predictive covariance
    array([[-0.70710678,  0.70710678]])
    """

    arrays: Sequence[NDArray[Any]]
    candidates: int
    classes: int | None

    @classmethod
    def of(cls, mc_preds: ArrayLike | Sequence[ArrayLike]) -> Predictions:
        """Wrap an array or a list of arrays; nothing is copied.

        Raises:
            PredictionError: if it is not `[S, N]` or `[S, N, C]` with S >= 1, or the members' shapes differ.
        """
        rows: Any = mc_preds if isinstance(mc_preds, np.ndarray | list | tuple) else np.asarray(mc_preds)
        arrays = [np.asarray(member) for member in rows]
        shapes = sorted({a.shape for a in arrays})
        if len(shapes) != 1 or len(shapes[0]) not in (1, 2):
            raise PredictionError(
                "mc_preds must be [S, N] values or [S, N, C] probabilities (an array, or a list of S arrays of one "
                f"shape), not {len(arrays)} members of shapes {shapes}"
            )
        shape = shapes[0]
        return cls(arrays, shape[0], shape[1] if len(shape) == 2 else None)

    @property
    def members(self) -> int:
        """S: members times stochastic passes."""
        return len(self.arrays)

    def rows(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """The predictions of some candidates, `[S, n]` or `[S, n, C]`, float32 or float64.

        Raises:
            PredictionError: if one of them is NaN or infinite.
        """
        rows = np.stack([as_floats(a[index]) for a in self.arrays])
        finite = np.isfinite(rows)
        if not finite.all():
            bad = np.argwhere(~finite)[0]
            raise PredictionError(
                f"mc_preds: member {bad[0]} predicts {rows[tuple(bad)]} for candidate {index[bad[1]]}"
            )
        return rows

    def probabilities(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Rows `[S, n, C]` that are distributions.

        Raises:
            PredictionError: if one is negative or does not sum to 1 (within 1e-3, or 1e-2 for float16).
        """
        rows = self.rows(index)
        slack = 1e-2 if self.arrays[0].dtype == np.float16 else 1e-3
        off = (np.abs(rows.sum(axis=-1) - 1.0) > slack) | (rows < -slack).any(axis=-1)
        if off.any():
            s, n = np.argwhere(off)[0]
            raise PredictionError(
                f"mc_preds: member {s} gives candidate {index[n]} {rows[s, n]}, which are no probabilities"
            )
        clipped: NDArray[Any] = np.maximum(rows, 0.0)
        return clipped

    def mean(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """The ensemble's mean probabilities `[n, C]`, in float64."""
        out = np.empty((len(index), self.classes or 1))
        for start in range(0, len(index), _BLOCK):
            block = slice(start, start + _BLOCK)
            out[block] = self.probabilities(index[block]).mean(axis=0, dtype=np.float64)
        return out

    def centred(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Each member's deviation from the mean, `[n, S]` or `[n, S * C]`, divided by sqrt(S).

        Two candidates' inner product is then their predictive covariance under the ensemble (summed over classes),
        so distances are small between candidates whose labels would teach the ensemble the same.
        """
        width = self.members * (self.classes or 1)
        out: NDArray[Any] | None = None
        for start in range(0, len(index), _BLOCK):
            rows = self.rows(index[start : start + _BLOCK])
            if out is None:
                out = np.empty((len(index), width), rows.dtype)
            deviation = (rows - rows.mean(axis=0, dtype=np.float64)) / np.sqrt(self.members)
            out[start : start + rows.shape[1]] = np.moveaxis(deviation, 0, 1).reshape(rows.shape[1], width)
        return np.empty((0, width)) if out is None else out
