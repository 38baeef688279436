"""Measure on the labels that some members of an ensemble have not seen, without learning anything again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def bootstraps(n: int, count: int, seed: int) -> list[NDArray[np.int64]]:
    """Draw `count` samples of `n` with replacement, as many each."""
    rng = np.random.default_rng(seed)
    return [rng.integers(n, size=n) for _ in range(count)]


def left_out_moments(predictions: Floats, drawn: Sequence[NDArray[np.int64]]) -> tuple[Floats, Floats, Floats]:
    """Return means and variances over the members that have not seen a sample, and how many these are.

    Args:
        predictions: of the samples that were learned from, `[S, n, D]`.
        drawn: which of them each member has seen.

    Returns:
        `[n, D]` means, `[n, D]` variances over members, `[n]` counts; NaN where the count is 0.
    """
    unseen = np.ones(predictions.shape[:2])
    for member, seen in enumerate(drawn):
        unseen[member, seen] = 0.0
    count = unseen.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (unseen / count)[:, :, None]
        mean = np.sum(share * predictions, axis=0)
        return mean, np.sum(share * (predictions - mean) ** 2, axis=0), count


def beside(y: Floats, mean: Floats, spread: Floats, count: Floats) -> Floats:
    """Return by how much labels `[n, D]` are off beside what members differ in: a variance `[D]`.

    It is what makes the mean square of left-out errors what they are said to be, at least 1e-12 of the labels' own.
    """
    some = count > 0
    floor = 1e-12 * np.maximum(y.var(axis=0), 1e-300)
    if some.sum() < 2:
        return np.asarray(floor)
    off = (y[some] - mean[some]) ** 2 - spread[some]
    return np.asarray(np.maximum(off.mean(axis=0), floor))
