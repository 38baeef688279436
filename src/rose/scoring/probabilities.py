"""Mean probabilities on their way into scikit-learn and MAPIE."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rose.errors import PredictionError
from rose.scoring.calibration import classified


def normalised(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows that sum to 1 in float64, too: what is checked there is stricter than rounding of a narrow type."""
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def new_probabilities(probabilities: ArrayLike, classes: int) -> NDArray[np.float64]:
    """Probabilities of new samples, `[n, C]`, checked and normalised; `n` may be 0.

    >>> new_probabilities([[0.25, 0.75]], 2)
    array([[0.25, 0.75]])

    Raises:
        PredictionError: if they are no probabilities of so many classes.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or p.shape[1] != classes:
        raise PredictionError(f"probabilities must be [n, {classes}], not of shape {p.shape}")
    return normalised(classified(p, np.zeros(len(p), dtype=np.int64))[0]) if len(p) else p
