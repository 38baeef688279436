"""Foresee what another label gains, from the learning curve so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_HALF = 0.5  # of the labels so far: from there on, iterations tell how the error falls
_FEW = 4  # iterations that tell it at least
LEAST = 5  # iterations without which there is no curve
_EXPONENTS = np.linspace(0.1, 3.0, 59)


def gain_per_label(curve: Sequence[tuple[float, float]], batch: int) -> float | None:
    """Return by how much each of the next labels is expected to lessen the error; None: it is too early to tell.

    A power law with a floor, `a + b n^-c` with a, b and c not below 0, is fitted by least squares in which later points
    weigh more (Pullar-Strecker et al. 2022 compare such curves).

    Args:
        curve: labels and the error with them, of each iteration.
        batch: how many labels the next iteration will have.

    >>> round(gain_per_label([(n, 1.0 + 20.0 / n) for n in (20, 30, 40, 50, 60)], 10), 4)
    0.0048
    """
    labels, errors = np.array(curve, dtype=np.float64).reshape(-1, 2).T
    if len(labels) < LEAST or not labels[0] > 0:
        return None
    weights = np.sqrt(labels / labels[-1])
    best: tuple[float, float] | None = None
    for exponent in _EXPONENTS:
        falling = (labels / labels[-1]) ** -exponent
        slope, floor = _line(falling, errors, weights)
        misfit = float(np.sum((weights * (floor + slope * falling - errors)) ** 2))
        if best is None or misfit < best[0]:
            ahead = (1.0 + batch / labels[-1]) ** -exponent
            best = misfit, float(slope * (1.0 - ahead) / batch)
    assert best is not None
    return best[1]


def _line(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return slope and intercept of the weighted least squares line, neither below 0 where no error is."""
    w = weights**2 / np.sum(weights**2)
    mean_x, mean_y = np.sum(w * x), np.sum(w * y)
    spread = np.sum(w * (x - mean_x) ** 2)
    slope = float(max(0.0, np.sum(w * (x - mean_x) * (y - mean_y)) / spread)) if spread > 0 else 0.0
    floor = float(mean_y - slope * mean_x)
    if floor < 0.0 <= y.min():
        slope, floor = float(np.sum(w * x * y) / np.sum(w * x * x)), 0.0
    return slope, floor


def still_to_gain(path: Sequence[tuple[float, float, float]], more: int) -> float | None:
    """Return by which factor the error will fall with so many `more` labels; None: it is too early to tell.

    It is taken to fall as the faster of two does, each by a power of the labels: the ensemble's own doubt (if it has
    one), and its movement, which falls by one power more than the error.

    Args:
        path: labels, movement and doubt of each iteration.
        more: how many labels are to come.

    >>> round(still_to_gain([(n, 0.1 / n, 5.0 / n) for n in (20, 30, 40, 50, 60)], 60), 2)
    2.0
    """
    labels, moved, doubt = np.array(path, dtype=np.float64).reshape(-1, 3).T
    first = min(int(np.searchsorted(labels, _HALF * labels[-1])), len(labels) - _FEW)
    if first < 0 or not labels[0] > 0:
        return None
    x = np.log(labels[first:])
    spread = np.sum((x - x.mean()) ** 2)
    if not spread > 0:
        return None
    exponents = [
        -float(np.sum((x - x.mean()) * np.log(np.maximum(one[first:], 1e-6))) / spread) - power
        for one, power in ((doubt, 0.0), (moved, 1.0))
    ]
    exponent = max(exponents)
    return float((1.0 + more / labels[-1]) ** min(max(0.0, exponent), 10.0))
