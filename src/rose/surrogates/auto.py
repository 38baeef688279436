"""Weigh surrogates by what they say of labels that were left out, so that nobody has to choose."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from rose.errors import ConfigurationError
from rose.surrogates._classes import Classes
from rose.surrogates._inputs import Floats, as_rows, as_values, check_members, seed_of
from rose.surrogates.gaussian_process import GaussianProcess
from rose.surrogates.mlps import MLPs
from rose.surrogates.process_classifier import ProcessClassifier
from rose.surrogates.trees import Trees

_log = logging.getLogger(__name__)

_LEAST = 0.1  # a weight below which a surrogate is left out
_TASKS = ("regression", "classification")


class Auto(BaseEstimator):  # type: ignore[misc]
    """Learn with a Gaussian process, trees and networks, each weighed by how well it foresees labels not seen.

    The weights make the labels likeliest that were left out, under the weighed mean of what the surrogates say of them
    (stacking of predictive distributions: Yao, Vehtari, Simpson & Gelman 2018, Bayesian Analysis). Trees and networks
    leave labels out anyway, by bootstrap; the process is fitted three times more. The weights are found anew in every
    fit, as labels come.

    Args:
        task: "regression" or "classification"; None: labels that are floats are values, others are classes.
        members: how many predictions `predict_members` gives, shared out by weight.
        random_state: the seed of all of them; None: 0.

    Attributes:
        weights_: of the surrogates, by name, after `fit`; those that were left out are 0.
        losses_: the mean negative log density (or probability) of left-out labels, by name, in nats.
        surrogates_: those that predict, by name.

    Example:
        >>> X = np.linspace(0, 1, 30)[:, None]
        >>> model = Auto().fit(X, np.sin(6 * X[:, 0]))
        >>> max(model.weights_, key=model.weights_.get)
        'process'
    """

    def __init__(self, task: str | None = None, members: int = 64, random_state: Any = None) -> None:
        self.task = task
        self.members = members
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Auto:
        """Learn, and weigh.

        Raises:
            ConfigurationError: if samples or labels are no finite numbers, or the task is none.
        """
        if self.task not in (None, *_TASKS):
            raise ConfigurationError(f"task={self.task!r} is none of {', '.join(map(repr, _TASKS))}")
        check_members(self.members, 8)
        rows, seed = as_rows(X), seed_of(self.random_state)
        self.task_ = self.task or ("regression" if np.asarray(y).dtype.kind == "f" else "classification")
        self.n_features_in_, self.vector_ = rows.shape[1], self.task_ == "regression" and np.ndim(y) == 2
        fitted = {name: one.fit(rows, y) for name, one in self._made(seed, len(rows)).items()}
        if self.task_ == "regression":
            density = _densities(fitted, as_values(y, len(rows)))
        else:
            known = Classes.of(y, len(rows))
            self.classes_ = known.names
            density = _probabilities(fitted, known)
        self.losses_ = {name: float(-np.mean(one)) for name, one in zip(fitted, density, strict=True)}
        weights = _stacked(density)
        weights = np.where(weights < _LEAST, 0.0, weights)
        self.weights_ = {name: float(w) for name, w in zip(fitted, weights / weights.sum(), strict=True)}
        self.surrogates_ = {name: one for name, one in fitted.items() if self.weights_[name] > 0.0}
        told = ", ".join(f"{name} {self.weights_[name]:.2f} ({self.losses_[name]:.3g} nats)" for name in fitted)
        _log.info("%d labels: weights (loss on labels left out): %s", len(rows), told)
        return self

    def _made(self, seed: int, n: int) -> dict[str, Any]:
        if self.task_ == "regression":
            return {
                "process": GaussianProcess(random_state=seed),
                "trees": Trees(random_state=seed),
                "networks": MLPs(random_state=seed),
            }
        return {
            "process": ProcessClassifier(random_state=seed),
            "trees": Trees(task="classification", random_state=seed),
            "networks": MLPs(task="classification", random_state=seed),
        }

    def predict_members(self, X: Any) -> Any:
        """Return probabilities `[S, n, C]`; or values and their own variances, `[S, n]` or `[S, n, D]` each.

        Each surrogate has as many of the `S` as its weight says.
        """
        told = [_some(one.predict_members(X), self._count(name)) for name, one in self.surrogates_.items()]
        if self.task_ != "regression":
            return np.concatenate(told)
        return tuple(np.concatenate(part) for part in zip(*told, strict=True))

    def _count(self, name: str) -> int:
        return max(2, round(self.members * self.weights_[name]))

    def predict_proba(self, X: Any) -> Floats:
        """Return probabilities, `[n, C]` in the order of `classes_`."""
        told = [self.weights_[name] * one.predict_proba(X) for name, one in self.surrogates_.items()]
        return np.asarray(np.sum(told, axis=0))

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return classes, or values; with `return_std` also the standard deviations of a label."""
        if self.task_ != "regression":
            return self.classes_[self.predict_proba(X).argmax(axis=1)]
        told = [(self.weights_[name], *one.predict(X, return_std=True)) for name, one in self.surrogates_.items()]
        mean = np.sum([weight * m for weight, m, _ in told], axis=0)
        if not return_std:
            return mean
        return mean, np.sqrt(np.sum([w * (s**2 + (m - mean) ** 2) for w, m, s in told], axis=0))


def _some(told: Any, count: int) -> Any:
    """Return `count` members of `[S, ...]`, spread evenly over them, with the mean and variance of all of them."""
    if isinstance(told, tuple):
        values, noise = told
        chosen = values[np.arange(count) * len(values) // count]
        off = chosen - chosen.mean(axis=0)
        have, want = off.std(axis=0), values.std(axis=0)
        off *= np.where(have > 0.0, want / np.where(have > 0.0, have, 1.0), 0.0)
        return values.mean(axis=0) + off, np.broadcast_to(noise[:1], chosen.shape)
    chosen = told[np.arange(count) * len(told) // count]
    shifted = np.maximum(chosen + (told.mean(axis=0) - chosen.mean(axis=0)), 0.0)
    return (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)


def _densities(fitted: dict[str, Any], y: Floats) -> Floats:
    """Return log densities of labels that were left out, `[K, n]`, of normal distributions, summed over outputs."""
    spread = y.std(axis=0)
    scale = np.where(spread > 0.0, spread, 1.0)

    def density(mean: Floats, variance: Floats) -> Floats:
        off, variance = (y - mean) / scale, np.maximum(variance / scale**2, 1e-14)
        # Errors that are larger than was claimed widen all that a surrogate says.
        known = np.isfinite(off).all(axis=1)
        factor = np.maximum(1.0, np.mean((off**2 / variance)[known], axis=0)) if known.any() else 1.0
        variance = variance * factor
        return np.asarray(-0.5 * np.sum(np.log(2 * np.pi * variance) + off**2 / variance, axis=1))

    return _known([[density(*told) for told in one.left_out()] for one in fitted.values()])


def _probabilities(fitted: dict[str, Any], known: Classes) -> Floats:
    """Return the log probabilities of classes that were left out, `[K, n]`."""
    rows = np.arange(len(known.codes))
    return _known(
        [[np.log(np.maximum(told[rows, known.codes], 1e-3)) for told in one.left_out()] for one in fitted.values()]
    )


def _known(told: list[list[Floats]]) -> Floats:
    """Return the log densities of each surrogate where all say something; where there are none, nothing is known.

    What is said in several ways counts by its mean: labels left out one by one flatter, by thirds it is the contrary.
    """
    density = np.array([np.mean(one, axis=0) for one in told])
    some = np.isfinite(density).all(axis=0)
    return density[:, some] if some.any() else np.zeros((len(density), 1))


def _stacked(density: Floats) -> Floats:
    """Return the weights `[K]` under which the mixture's likelihood is largest, by expectation maximisation.

    A prior of one label that each surrogate foresees alike keeps few labels from deciding everything.
    """
    shifted = np.exp(density - density.max(axis=0))
    weights = np.full(len(density), 1.0 / len(density))
    for _ in range(200):
        share = weights[:, None] * shifted
        weights = (np.sum(share / share.sum(axis=0), axis=1) + 1.0 / len(density)) / (density.shape[1] + 1.0)
    return np.asarray(weights)
