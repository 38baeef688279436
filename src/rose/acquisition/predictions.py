"""Read stacked predictions by rows: an array `[S, N]` or `[S, N, C]`, or a list of S arrays that is never stacked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rose.arrays import as_array, as_numbers, probability_tolerance
from rose.errors import PredictionError

_BLOCK = 4096  # rows looked at a time: the float64 temporary stays in the cache,
_CELLS = 1 << 20  # and small where a row is long
_FEW = 32  # rows that tell members apart, as a rule


def as_floats(array: NDArray[Any]) -> NDArray[Any]:
    """Return float32 and float64 as they are, float16 as float32, which has room for sums, anything else as float64."""
    if array.dtype in (np.float32, np.float64):
        return array
    return array.astype(np.float32 if array.dtype == np.float16 else np.float64)


@dataclass(frozen=True)
class Predictions:
    """Hold S predictions of N candidates: member `s` is `[N]` values or `[N, C]` probabilities, right to `tolerance`.

    >>> p = Predictions.of([[0.0, 1.0, 2.0], [0.0, 3.0, 2.0]])
    >>> p.members, p.candidates, p.classes
    (2, 3, None)
    >>> p.centred(np.array([1]))  # member minus mean, over sqrt(S): the inner product is the predictive covariance
    array([[-0.70710678,  0.70710678]])
    """

    arrays: Sequence[NDArray[Any]]
    candidates: int
    classes: int | None
    tolerance: float = 1e-5

    @classmethod
    def of(cls, mc_preds: ArrayLike | Sequence[ArrayLike]) -> Predictions:
        """Wrap an array or a list of arrays, of any library (`rose.arrays`); what is in memory is not copied.

        Raises:
            PredictionError: if it is not `[S, N]` or `[S, N, C]` with S >= 1, the members' shapes differ, or they are
                no real numbers.
        """
        members: Any = mc_preds
        if not isinstance(mc_preds, list | tuple):
            members = np.asarray(as_array(mc_preds, "mc_preds", PredictionError))
            members = list(members) if members.ndim else [members]
        arrays = [np.asarray(as_numbers(a, f"mc_preds[{s}]", PredictionError)) for s, a in enumerate(members)]
        shapes = sorted({a.shape for a in arrays})
        if len(shapes) != 1 or len(shapes[0]) not in (1, 2):
            raise PredictionError(
                "mc_preds must be [S, N] values or [S, N, C] probabilities (an array, or a list of S arrays of one "
                f"shape), not {len(arrays)} members of shapes {shapes}"
            )
        shape = shapes[0]
        given = [mc_preds, *members, *arrays]
        return cls(arrays, shape[0], shape[1] if len(shape) == 2 else None, max(map(probability_tolerance, given)))

    @property
    def members(self) -> int:
        """Return S: members times stochastic passes."""
        return len(self.arrays)

    @property
    def task(self) -> str:
        """Return "classification" for probabilities, "regression" for values."""
        return "regression" if self.classes is None else "classification"

    def rows(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Return the predictions of some candidates, `[S, n]` or `[S, n, C]`, float32 or float64.

        Raises:
            PredictionError: if one of them is NaN or infinite.
        """
        rows = np.stack([as_floats(a[index]) for a in self.arrays])
        finite = np.isfinite(rows)
        if not finite.all():
            bad = min(np.argwhere(~finite).tolist(), key=lambda at: (index[at[1]], at[0]))
            raise PredictionError(
                f"mc_preds: member {bad[0]} predicts {rows[tuple(bad)]} for candidate {index[bad[1]]}"
            )
        return rows

    def probabilities(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Return rows `[S, n, C]` that are distributions.

        Raises:
            PredictionError: if one is below 0 or above 1 or does not sum to 1, by more than the rounding of what they
                were computed in (`rose.arrays.probability_tolerance`).
        """
        rows, slack = self.rows(index), self.tolerance
        off = np.abs(rows.sum(axis=-1, dtype=np.float64) - 1.0) > slack
        off |= ((rows < -slack) | (rows > 1 + slack)).any(axis=-1)
        if off.any():
            s, n = min(np.argwhere(off).tolist(), key=lambda at: (index[at[1]], at[0]))
            raise PredictionError(
                f"mc_preds: member {s} gives candidate {index[n]} {rows[s, n]}, which are no probabilities"
            )
        clipped: NDArray[Any] = np.clip(rows, 0.0, 1.0)
        return clipped

    def alike(self, index: NDArray[np.int64]) -> bool:
        """Tell whether all members predict exactly alike for these candidates; stop looking at the first who differ."""
        for block in (slice(_FEW), *self._blocks(index)):
            rows = self.rows(index[block])
            if (rows != rows[:1]).any():
                return False
        return True

    def mean(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the ensemble's mean probabilities `[n, C]`, in float64."""
        out = np.empty((len(index), self.classes or 1))
        for block in self._blocks(index):
            out[block] = self.probabilities(index[block]).mean(axis=0, dtype=np.float64)
        return out

    def centred(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Return each member's deviation from the mean, `[n, S]` or `[n, S * C]`, divided by sqrt(S).

        Two candidates' inner product is then their predictive covariance under the ensemble (summed over classes),
        so distances are small between candidates whose labels would teach the ensemble the same.
        """
        width = self.members * (self.classes or 1)
        out: NDArray[Any] | None = None
        for block in self._blocks(index):
            rows = self.rows(index[block])
            if out is None:
                out = np.empty((len(index), width), rows.dtype)
            deviation = rows - rows[0].astype(np.float64)  # exactly 0 where members agree, as the mean is not
            deviation -= deviation.mean(axis=0)
            out[block] = np.moveaxis(deviation / np.sqrt(self.members), 0, 1).reshape(rows.shape[1], width)
        return np.empty((0, width)) if out is None else out

    def _blocks(self, index: NDArray[np.int64]) -> Iterator[slice]:
        rows = min(_BLOCK, max(1, _CELLS // (self.members * (self.classes or 1))))
        return (slice(start, start + rows) for start in range(0, len(index), rows))
