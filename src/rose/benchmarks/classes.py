"""Make classification problems: data that scikit-learn packages, its generators, and simulators that pass or fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Made = tuple[Any, Any, str]  # X [n, F], y [n], source

_FAILS = 0.8  # the share of a simulator's outcomes that are no failure


def _packaged(name: str) -> Callable[[int, int], Made]:
    def load(n: int, seed: int) -> Made:
        from sklearn import datasets  # slow to import

        data = getattr(datasets, f"load_{name}")()
        X = data.data / 16 if name == "digits" else data.data
        return X, data.target, f"scikit-learn's load_{name}; UCI Machine Learning Repository"

    return load


def _generated(name: str, **options: Any) -> Callable[[int, int], Made]:
    def make(n: int, seed: int) -> Made:
        from sklearn import datasets  # slow to import

        X, y = getattr(datasets, f"make_{name}")(n_samples=2 * n, random_state=seed, **options)
        return X, y, f"scikit-learn's make_{name}"

    return make


def _hypercube(n: int, seed: int, weights: list[float] | None = None) -> Made:
    from sklearn.datasets import make_classification  # slow to import

    classes = 4 if weights is None else len(weights)
    X, y = make_classification(
        2 * n, 12, n_informative=5, n_redundant=3, n_classes=classes, weights=weights, class_sep=1.2, random_state=seed
    )
    return X, y, "scikit-learn's make_classification, after Guyon 2003, NIPS feature selection challenge"


def _imbalanced(n: int, seed: int) -> Made:
    return _hypercube(n, seed, [0.85, 0.1, 0.05])


def _checkerboard(n: int, seed: int) -> Made:
    rng = np.random.default_rng([seed, 4])
    X = rng.random((2 * n, 2)) * 4
    return X, np.floor(X).sum(axis=1).astype(np.int64) % 2, "a board of four by four fields"


def _spirals(n: int, seed: int) -> Made:
    rng = np.random.default_rng([seed, 5])
    arm = rng.integers(3, size=2 * n)
    along = np.sqrt(rng.random(2 * n)) * 3 * np.pi / 2 + 0.5
    angle = along + arm * 2 * np.pi / 3
    X = along[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]) + rng.normal(0, 0.25, (2 * n, 2))
    return X, arm, "three spirals, after Lang and Witbrock 1988, Connectionist Models Summer School"


def _fails(name: str) -> Callable[[int, int], Made]:
    def make(n: int, seed: int) -> Made:
        from rose.benchmarks.simulators import simulated

        X, value, X_test, value_test, source = simulated(name, n, seed)
        values = np.concatenate([value, value_test])
        high = values > np.quantile(values, _FAILS)
        return np.concatenate([X, X_test]), high.astype(np.int64), f"{source}; whether it is among its highest fifth"

    return make


CLASSES: dict[str, Callable[[int, int], Made]] = {
    "digits": _packaged("digits"),
    "wine": _packaged("wine"),
    "breast_cancer": _packaged("breast_cancer"),
    "iris": _packaged("iris"),
    "moons": _generated("moons", noise=0.25),
    "circles": _generated("circles", noise=0.12, factor=0.5),
    "quantiles": _generated("gaussian_quantiles", n_features=5, n_classes=3),
    "hypercube": _hypercube,
    "imbalanced": _imbalanced,
    "checkerboard": _checkerboard,
    "spirals": _spirals,
    "borehole_high": _fails("borehole"),
    "hartmann_high": _fails("hartmann_6"),
}
