"""What `labels.py` lets the learner learn: three tasks, and the small networks that learn them.

Digits: five MLPs 64-64-10, ReLU, He initialisation, full-batch Adam with learning rate 1e-2 and weight decay 1e-4, 150
steps, from scratch each round; 20 random labels, then 10 a round to 300; accuracy on 30 % held out.
Regression: Friedman-1 (10 inputs, 5 of them idle) and Hartmann-6 on 2,000 uniform candidates, without noise; five MLPs
d-64-1 of the same kind, 300 steps, on inputs scaled to [-1, 1] and standardised labels; RMSE on 2,000 held-out samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
HIDDEN, RATE, DECAY = 64, 1e-2, 1e-4


@dataclass(frozen=True)
class Problem:
    """A pool with its (hidden) labels, and a hold-out."""

    X: Array
    y: Array
    X_test: Array
    y_test: Array


def digits(seed: int) -> Problem:
    """1,257 images to choose from, 540 to test on."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(images / 16, labels, test_size=0.3, stratify=labels, random_state=seed)
    return Problem(X, y, X_test, y_test)


def regression(function: Callable[[Array], Array], inputs: int, seed: int) -> Problem:
    """Uniform candidates on the unit cube."""
    rng = np.random.default_rng([seed, inputs])
    X, X_test = rng.random((2000, inputs)), rng.random((2000, inputs))
    return Problem(X, function(X), X_test, function(X_test))


def friedman(x: Array) -> Array:
    """Friedman 1991, MARS, first benchmark function."""
    curved = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
    return np.asarray(curved + 10 * x[:, 3] + 5 * x[:, 4])


_SCALES = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_CENTRES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann(x: Array) -> Array:
    """Hartmann 1973, six inputs."""
    exponent = ((x[:, None, :] - _CENTRES) ** 2 * _SCALES).sum(axis=2)
    return np.asarray(-np.exp(-exponent) @ [1.0, 1.2, 3.0, 3.2])


def train_classifier(X: Array, y: Array, seed: int) -> list[Array]:
    """One member: weights of an MLP trained by cross-entropy on labels 0 to 9."""
    truth = np.eye(10, dtype=np.float32)[np.asarray(y, dtype=np.int64)]
    return _train(X.astype(np.float32), truth, _softmax, seed, steps=150)


def predict_classes(model: list[Array], X: Array) -> Array:
    """`[n, 10]` probabilities."""
    return _softmax(_forward(model, X.astype(np.float32))[1])


def train_regressor(X: Array, y: Array, seed: int) -> tuple[list[Array], float, float]:
    """One member: weights of an MLP trained by squares on standardised labels, and how to undo that."""
    labels = np.asarray(y, dtype=np.float64).ravel()
    mean, scale = float(labels.mean()), float(labels.std())
    truth = ((labels - mean) / scale)[:, None].astype(np.float32)
    return _train(_spread(X), truth, lambda z: z, seed, steps=300), mean, scale


def predict_values(model: tuple[list[Array], float, float], X: Array) -> Array:
    """`[n]` values."""
    weights, mean, scale = model
    return np.asarray(_forward(weights, _spread(X))[1][:, 0] * scale + mean)


def _spread(X: Array) -> Array:
    return np.asarray(2 * X - 1, dtype=np.float32)


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
