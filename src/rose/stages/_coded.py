"""Have classifiers that learned other labels than the user's be asked, and answer, in the user's."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class CodedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Answer for a fitted classifier whose columns stand for `classes`; all else is the classifier's own."""

    def __init__(self, estimator: Any, classes: np.ndarray) -> None:
        self.estimator = estimator
        self.classes = classes

    @property
    def classes_(self) -> np.ndarray:
        """Return the label of each column."""
        return self.classes

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return `[n, C]` probabilities, in the order of `classes_`."""
        return np.asarray(self.estimator.predict_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return `[n]` labels."""
        return np.asarray(self.classes[self.predict_proba(X).argmax(axis=1)])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "estimator":  # copy and pickle ask before there is one
            raise AttributeError(name)
        return getattr(self.estimator, name)
