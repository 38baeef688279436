"""Wrap predictions that were made already as scikit-learn estimators, for what wraps an estimator.

The "features" of a sample are its predictions, and predicting hands them back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin


class GivenProbabilities(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Predict X itself as a classifier's probabilities of the classes 0 to `classes` - 1."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.classes_ = np.arange(classes)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> GivenProbabilities:
        """Do nothing: there is nothing to learn."""
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return `[n, C]`, as given."""
        return np.asarray(X)

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return `[n]`, the most probable class."""
        return np.asarray(np.asarray(X).argmax(axis=1), dtype=np.int64)
