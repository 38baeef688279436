"""A model that workers load: they import no more for it than NumPy."""

from __future__ import annotations

import numpy as np


class Centroids:
    """A tiny probabilistic classifier: soft distances to the classes' means, jittered by the seed."""

    def __init__(self, X: np.ndarray, y: np.ndarray, seed: int) -> None:
        jitter = np.random.default_rng(seed).normal(scale=0.3, size=(2, X.shape[1]))
        self.classes_ = np.array([0, 1])
        self.centres = np.stack([X[y == c].mean(axis=0) if (y == c).any() else X.mean(axis=0) for c in (0, 1)]) + jitter
        self.labels = len(y)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        near = np.exp(-((X[:, None] - self.centres) ** 2).sum(axis=2))
        return (near + 1e-9) / (near + 1e-9).sum(axis=1, keepdims=True)
