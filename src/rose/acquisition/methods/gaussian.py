"""Predict variances by a Gaussian model, as one noisy label after the other comes in.

A prediction is linear in weights of variance 1, so that two rows' covariance is their inner product. With many labels
and few columns it is cheapest to keep the weights' covariance, `[D, D]`; with few labels and many columns (members
times classes), one column of covariances a label, `[n, labels]`, as a pivoted Cholesky factorisation does.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rose.acquisition.methods.geometry import blocks, project
from rose.acquisition.problem import Floats, Index


class Variances(Protocol):
    """Hold `variance [n]` of some rows' predictions, each without its label's noise."""

    variance: Floats

    def observe(self, position: int) -> None:
        """Take in a label of the row at this position."""


def variances(points: NDArray[Any], rows: Index, seen: Index, noise: float, more: int) -> Variances:
    """Return the variances of `rows` of `points [N, D]` after labels, of that noise variance, of the rows `seen`.

    Args:
        points: coordinates, or centred predictions.
        rows: `[n]` whose variances.
        seen: `[m]` what has a label already.
        noise: the variance of a label's noise.
        more: how many labels may come.

    >>> x = np.array([[2.0, 0.0], [0.0, 1.0]])
    >>> some = variances(x, np.arange(2), np.empty(0, int), 1.0, 1)
    >>> some.observe(0)
    >>> some.variance
    array([0.8, 1. ])
    """
    kind = InWeights if points.shape[1] <= len(seen) + more else InColumns
    return kind(points, rows, seen, noise, more)


class InWeights:
    """Keep the covariance of the weights, which each label updates (Sherman & Morrison 1950)."""

    def __init__(self, points: NDArray[Any], rows: Index, seen: Index, noise: float, _more: int) -> None:
        self._points, self._rows, self._noise = points, rows, noise
        labelled = points[seen].astype(np.float64)
        precision = np.eye(points.shape[1]) + labelled.T @ labelled / noise
        self._covariance = np.asarray(np.linalg.inv(precision), dtype=np.float64)
        self.variance = np.empty(len(rows))
        for block in blocks(rows, points.shape[1]):
            some = points[rows[block]].astype(np.float64)
            self.variance[block] = np.einsum("nd,nd->n", some @ self._covariance, some)

    def observe(self, position: int) -> None:
        """Take in a label."""
        direction = self._covariance @ self._points[self._rows[position]].astype(np.float64)
        shrink = 1.0 / (self._noise + self.variance[position])
        self._covariance -= shrink * np.outer(direction, direction)
        self.variance -= shrink * project(self._points, self._rows, direction) ** 2
        np.maximum(self.variance, 0.0, out=self.variance)


class InColumns:
    """Keep the prior and a column for each label: the rows' covariances are the prior's less `columns @ columns.T`."""

    def __init__(self, points: NDArray[Any], rows: Index, seen: Index, noise: float, more: int) -> None:
        self._points, self._rows, self._noise = points, rows, noise
        self._count = len(seen)
        self._columns = np.empty((len(rows), len(seen) + more), order="F")
        self.variance = np.empty(len(rows))
        labelled = points[seen].astype(np.float64)
        # By eigenvalues, where Cholesky's factors would fail for copies that have hardly any noise
        values, vectors = np.linalg.eigh(labelled @ labelled.T)
        vectors /= np.sqrt(np.maximum(values, 0.0) + noise)
        for block in blocks(rows, points.shape[1]):
            some = points[rows[block]].astype(np.float64)
            self._columns[block, : self._count] = some @ labelled.T @ vectors
            self.variance[block] = np.einsum("nd,nd->n", some, some)
        self._explain(self._columns[:, : self._count])

    def observe(self, position: int) -> None:
        """Take in a label."""
        before = self._columns[:, : self._count]
        column = project(self._points, self._rows, self._points[self._rows[position]].astype(np.float64))
        column -= before @ before[position]
        column /= np.sqrt(self._noise + self.variance[position])
        self._columns[:, self._count] = column
        self._count += 1
        self._explain(column[:, None])

    def _explain(self, columns: Floats) -> None:
        self.variance -= np.einsum("nm,nm->n", columns, columns)
        np.maximum(self.variance, 0.0, out=self.variance)
