"""The default ensemble that `compare.py` compares with: five small networks, as they were learned before `Auto`.

Five MLPs d-64-C, ReLU, He initialisation, full-batch Adam with learning rate 1e-2 and weight decay 1e-4, from scratch
each round: 150 steps for classes, 300 for values. Inputs and values are standardised by the labels so far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

Array = NDArray[Any]
HIDDEN, RATE, DECAY = 64, 1e-2, 1e-4


class _Scaled(BaseEstimator):
    def __init__(self, random_state: int = 0) -> None:
        self.random_state = random_state

    def _inputs(self, X: Array) -> Array:
        return ((X - self.middle_) / self.scale_).astype(np.float32)

    def _fit(self, X: Array, truth: Array, link: Callable[[Array], Array], steps: int) -> None:
        scale = X.std(axis=0)
        self.middle_, self.scale_ = X.mean(axis=0), np.where(scale > 0, scale, 1.0)
        self.weights_ = _train(self._inputs(X), truth.astype(np.float32), link, self.random_state, steps)


class Classifier(ClassifierMixin, _Scaled):
    """One network that learns classes by cross-entropy."""

    def fit(self, X: Array, y: Array) -> Classifier:
        self.classes_ = np.unique(y)
        self._fit(X, y[:, None] == self.classes_, _softmax, steps=150)
        return self

    def predict_proba(self, X: Array) -> Array:
        return _softmax(_forward(self.weights_, self._inputs(X))[1])


class Regressor(RegressorMixin, _Scaled):
    """One network that learns values by squares."""

    def fit(self, X: Array, y: Array) -> Regressor:
        self.mean_, self.spread_ = float(y.mean()), float(y.std()) or 1.0
        self._fit(X, ((y - self.mean_) / self.spread_)[:, None], lambda z: z, steps=300)
        return self

    def predict(self, X: Array) -> Array:
        return np.asarray(_forward(self.weights_, self._inputs(X))[1][:, 0] * self.spread_ + self.mean_, np.float64)


def _softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _forward(weights: list[Array], X: Array) -> tuple[Array, Array]:
    into, bias, out, shift = weights
    hidden = np.maximum(X @ into + bias, 0)
    return hidden, hidden @ out + shift


def _train(X: Array, truth: Array, link: Callable[[Array], Array], seed: int, steps: int) -> list[Array]:
    """Full-batch Adam. For softmax with cross-entropy and for squares alike, the error signal is prediction - truth."""
    rng = np.random.default_rng(seed)
    inputs, outputs = X.shape[1], truth.shape[1]
    weights: list[Array] = [
        (rng.normal(size=(inputs, HIDDEN)) * np.sqrt(2 / inputs)).astype(np.float32),
        np.zeros(HIDDEN, np.float32),
        (rng.normal(size=(HIDDEN, outputs)) * np.sqrt(2 / HIDDEN)).astype(np.float32),
        np.zeros(outputs, np.float32),
    ]
    first, second = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    for step in range(1, steps + 1):
        hidden, z = _forward(weights, X)
        signal = (link(z) - truth) / len(X)
        back = (signal @ weights[2].T) * (hidden > 0)
        slopes = [X.T @ back, back.sum(axis=0), hidden.T @ signal, signal.sum(axis=0)]
        for w, slope, m, v in zip(weights, slopes, first, second, strict=True):
            slope += DECAY * w
            m += 0.1 * (slope - m)
            v += 0.001 * (slope * slope - v)
            w -= RATE * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return weights
