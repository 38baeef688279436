"""Check that numbers are probabilities: range and sums, to within the rounding of what they were computed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from rose.arrays import as_numbers, probability_tolerance
from rose.errors import PredictionError

Floats = npt.NDArray[np.float64]

ROUNDED = 0.05  # how far the sums of probabilities rounded by hand, in a table say, may be from 1


def check_sums(p: npt.NDArray[Any], tolerance: float, off: float, where: Callable[[int], str]) -> None:
    """Check that `[n, C]` are probabilities; the first offence is named. NaN passes: it is someone else's business.

    Args:
        p: the numbers.
        tolerance: how far outside [0, 1] they may be.
        off: how far from 1 their sums may be.
        where: names the row of that number.

    Raises:
        PredictionError: if one is not.
    """
    outside = (p < -tolerance) | (p > 1.0 + max(tolerance, off))
    if outside.any():
        row, column = (int(i) for i in np.argwhere(outside)[0])
        raise PredictionError(
            f"{where(row)}, column {column}: the prediction is {p[row, column]}, outside [0, 1] (are these logits? "
            "apply softmax)"
        )
    sums = p.sum(axis=-1, dtype=np.float64)
    wrong = np.abs(sums - 1.0) > off
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise PredictionError(f"{where(at)}: probabilities sum to {sums[at]:.6g}, not 1{_remedy(p, sums[at], off)}")


def _remedy(p: npt.NDArray[Any], total: float, off: float) -> str:
    if p.shape[-1] == 1:
        return "; a single column P(class 1) is made two by rose.arrays.two_columns"
    if off < ROUNDED and abs(total - 1.0) <= ROUNDED:
        return "; if they were rounded, normalise=True divides them by their sum"
    return "" if off < ROUNDED else f", nor to within {ROUNDED:.0%} of it"


def below_0(rows: Iterable[npt.NDArray[Any]]) -> bool:
    """Return whether any number is below 0."""
    return any(bool((row < 0.0).any()) for row in rows)


def without_signs(p: npt.NDArray[Any], tolerance: float) -> npt.NDArray[Any]:
    """Return the probabilities with 0 for what rounding left below 0."""
    return np.where((p < 0.0) & (p >= -tolerance), p.dtype.type(0.0), p)


def divided(p: npt.NDArray[Any], tolerance: float, where: Callable[[int], str]) -> npt.NDArray[Any]:
    """Return rounded probabilities `[n, C]` divided by their sums, in their dtype; NaN stays.

    Raises:
        PredictionError: if one is below 0, or a sum is more than 5 % from 1.
    """
    check_sums(p, tolerance, ROUNDED, where)
    p = without_signs(p, tolerance)
    return np.asarray(p / p.sum(axis=-1, keepdims=True, dtype=np.float64)).astype(p.dtype)


def mean_probabilities(value: object, normalise: bool = False, classes: int | None = None) -> Floats:
    """Return mean probabilities `[n, C]` as float64, checked; `n` may be 0.

    Args:
        value: any array.
        normalise: divide them by their sums, which may then be within 5 % of 1.
        classes: how many there must be, if that is known.

    Raises:
        PredictionError: if they are no probabilities of so many classes.

    >>> mean_probabilities([[0.333, 0.666]], normalise=True).round(4)
    array([[0.3333, 0.6667]])
    """
    given, tolerance = as_numbers(value, "probabilities", PredictionError), probability_tolerance(value)
    if given.ndim != 2 or not given.shape[1] or given.shape[1] != (classes or given.shape[1]):
        raise PredictionError(
            f"probabilities must be [n, {classes or 'C'}], not of shape {given.shape}"
            + ("; average over members first" if given.ndim == 3 else "")
            + ("; P(class 1) is made two columns by rose.arrays.two_columns" if given.ndim == 1 else "")
        )
    p = given.astype(np.float64)
    unusable = ~np.isfinite(p).all(axis=1)
    if unusable.any():
        at = int(np.flatnonzero(unusable)[0])
        raise PredictionError(f"prediction {at}, {p[at]}, is no set of probabilities")
    if normalise:
        return np.asarray(divided(p, tolerance, lambda at: f"prediction {at}, {p[at]}, is no set of probabilities"))
    check_sums(p, tolerance, tolerance, lambda at: f"prediction {at}, {p[at]}, is no set of probabilities")
    return np.asarray(without_signs(p, tolerance))


def normalised(p: Floats) -> Floats:
    """Return rows that sum to 1 in float64, too: what others check is stricter than rounding of a narrow type."""
    return np.asarray(p / p.sum(axis=1, keepdims=True))
