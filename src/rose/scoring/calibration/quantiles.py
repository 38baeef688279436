"""Find how far predictions have to be widened: conformal quantiles, exact for any number of samples."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from rose.errors import ConfigurationError

Floats = NDArray[np.float64]


def least_samples(level: float) -> int:
    """Return how many samples it takes to promise a level: with n, at most n / (n + 1) can be.

    >>> least_samples(0.9), least_samples(0.95), least_samples(0.5)
    (9, 19, 1)
    """
    return max(1, math.ceil(level / (1.0 - level) - 1e-9))


def check_level(level: object, samples: int | None = None, why: str = "") -> float:
    """Return the level, checked; `samples`, if given, must be enough for it, and `why` goes before the message.

    Raises:
        ConfigurationError: if it is not between 0 and 1, or cannot be promised by so few samples.
    """
    if not isinstance(level, Real) or not 0.0 < float(level) < 1.0:
        raise ConfigurationError(f"level={level!r} must lie between 0 and 1")
    least = least_samples(float(level))
    if samples is not None and samples < least:
        there = " there" if why else ""
        raise ConfigurationError(f"{why}{samples} samples cannot promise level={level:g}: give at least {least}{there}")
    return float(level)


def conformal_quantile(scores: Floats, level: float) -> Floats:
    """Return the ceil((n + 1) level)-th smallest of scores `[n, ...]`, infinite where n is less than that.

    A new score from where these come from is at most that with probability `level` or more (and, without ties, less
    than 1 / (n + 1) more).

    >>> conformal_quantile(np.arange(1.0, 10.0), 0.9), conformal_quantile(np.arange(1.0, 9.0), 0.9)
    (array(9.), array(inf))
    """
    n = len(scores)
    place = math.ceil((n + 1) * level - 1e-9)
    if place > n:
        return np.full(scores.shape[1:], np.inf)
    return np.asarray(np.partition(scores, place - 1, axis=0)[place - 1])


def weighted_quantile(values: Floats, weights: Floats, own: Floats, level: float) -> Floats:
    """Return the least value at which the weights of `values` up to it come to `level` of all, per column.

    Args:
        values: `[n, m]`: n scores, seen from each of m new samples.
        weights: `[n]`, how much likelier such a sample is among the new ones than among those.
        own: `[m]`, the same of the new samples, whose own score, unknown, counts as infinite.
        level: between 0 and 1.

    Reference: Tibshirani, Barber, Candes & Ramdas 2019, Conformal Prediction under Covariate Shift.

    >>> weighted_quantile(np.arange(1.0, 10.0)[:, None], np.ones(9), np.ones(1), 0.9)  # alike: as without weights
    array([9.])
    """
    order = np.argsort(values, axis=0)
    sums = np.cumsum(weights[order], axis=0)
    needed = level * (sums[-1] + own) * (1.0 - 1e-12)
    place = np.sum(sums < needed, axis=0)
    sorted_values = np.vstack([np.take_along_axis(values, order, axis=0), np.full(values.shape[1], np.inf)])
    return np.asarray(np.take_along_axis(sorted_values, place[None], axis=0)[0])
