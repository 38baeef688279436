"""Predict as the members of an ensemble do, and tell what they have foreseen of labels that they had not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from rose.surrogates._held_out import Floats, beside, left_out_moments


class Ensemble(BaseEstimator):  # type: ignore[misc]
    """Predict by what each member says, which an heir tells by `_each` and, when it is fitted, by `_remember`.

    Whether it classifies is decided by `task`. Once it is fitted it has `classes_`, or else `vector_`: whether labels
    are vectors.
    """

    task: str
    classes_: NDArray[Any]
    vector_: bool

    def _each(self, X: Any) -> Floats:
        """Return what members say, `[S, n, C]` or `[S, n, D]`, in the labels' units."""
        raise NotImplementedError

    def _remember(self, targets: Floats, each: Floats, drawn: Sequence[Any], together: float = 1.0) -> None:
        """Keep what was said of samples by those that had not seen them.

        Args:
            targets: the labels, `[n, D]`, or rows of 0 and 1.
            each: what each said of all samples.
            drawn: the samples that each has seen.
            together: how many of these make a member, whose spread is so much less.
        """
        mean, spread, count = left_out_moments(each, drawn)
        self._held = mean, spread / together, beside(targets, mean, spread / together, count)

    def predict_members(self, X: Any) -> Any:
        """Return probabilities `[S, n, C]`; or values and their own variances, `[S, n]` or `[S, n, D]` each."""
        found = self._each(X)
        if self.task != "regression":
            return found.astype(np.float32)
        noise = np.broadcast_to(self._held[2], found.shape)
        return (found, noise) if self.vector_ else (found[:, :, 0], noise[:, :, 0])

    def predict_proba(self, X: Any) -> Floats:
        """Return probabilities, `[n, C]` in the order of `classes_`."""
        return np.asarray(self._each(X).mean(axis=0))

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return classes, or values; with `return_std` also the standard deviations of a label."""
        found = self._each(X)
        if self.task != "regression":
            return self.classes_[found.mean(axis=0).argmax(axis=1)]
        mean, std = found.mean(axis=0), np.sqrt(found.var(axis=0) + self._held[2])
        mean, std = (mean, std) if self.vector_ else (mean[:, 0], std[:, 0])
        return (mean, std) if return_std else mean

    def left_out(self) -> list[tuple[Floats, Floats]] | list[Floats]:
        """Return what members say of labels that they have not seen: means and variances `[n, D]`, or probabilities.

        NaN where all have.
        """
        if self.task == "regression":
            return [(self._held[0], self._held[1] + self._held[2])]
        return [self._held[0]]


def predictions(model: Any, rows: Floats, task: str) -> Floats:
    """Return what a model of scikit-learn says, `[n, C]` probabilities or `[n, D]` values."""
    told = model.predict(rows) if task == "regression" else model.predict_proba(rows)
    return np.asarray(told, dtype=np.float64).reshape(len(rows), -1)
