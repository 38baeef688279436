"""Learn classes with one Gaussian process: least squares on classes, its values turned into probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from rose.errors import ConfigurationError
from rose.surrogates._classes import Classes
from rose.surrogates._inputs import Box, Floats, as_rows, at_most, check_members, seed_of
from rose.surrogates._process import fit_process, thirds_left_out

_TEMPERATURES = np.geomspace(0.03, 3.0, 30)
_NOISE = 1e-3  # of a class's 0 or 1, at least
_MANY = 20  # inputs above which all have the same length


class ProcessClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Learn classes from `[n, F]` numbers: a Gaussian process for rows of 0 and 1 with one kernel for all classes.

    Draws of the process are turned into probabilities by softmax at the temperature that makes the labels likeliest
    when a third of them at a time is left out.

    Args:
        members: how many draws of the posterior `predict_members` gives.
        most: labels beyond this number are left out, by the seed.
        random_state: the seed; None: 0.

    Reference: Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, sections 5.4.2 and 6.5.

    Example:
        >>> X = np.linspace(0, 1, 40)[:, None]
        >>> model = ProcessClassifier().fit(X, np.where(X[:, 0] > 0.5, "hot", "cold"))
        >>> model.predict([[0.1], [0.9]]).tolist()
        ['cold', 'hot']
    """

    def __init__(self, members: int = 32, most: int = 2000, random_state: Any = None) -> None:
        self.members = members
        self.most = most
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> ProcessClassifier:
        """Learn.

        Raises:
            ConfigurationError: if the samples are no finite numbers, or there are not as many labels.
        """
        rows, seed = as_rows(X), seed_of(self.random_state)
        check_members(self.members, 2)
        known = Classes.of(y, len(rows))
        self.classes_ = known.names
        rows, ones = at_most(self.most, seed, rows, known.ones)
        self.n_features_in_, self.box_ = rows.shape[1], Box.of(rows)
        self.centre_ = ones.mean(axis=0)
        alike = rows.shape[1] > _MANY
        self.process_ = fit_process(self._rows(rows), ones - self.centre_, ("matern",), 0, seed, alike, _NOISE)
        self._temper(ones, *thirds_left_out(self.process_, ("matern",), seed, alike, _NOISE))
        return self

    def _temper(self, ones: Floats, mean: Floats, variance: Floats) -> None:
        """Choose the temperature by thirds of the labels, and foresee labels by it."""
        drawn = np.random.default_rng(0).standard_normal((16, *mean.shape))

        def told(mean: Floats, variance: Floats, temperature: float) -> Floats:
            latent = mean + self.centre_ + np.sqrt(np.maximum(variance - _NOISE, 0.0))[:, None] * drawn
            return np.asarray(_softmax(latent / temperature).mean(axis=0))

        if np.isnan(mean).any():  # too few labels to tell
            self.temperature_, self._held = 0.3, (np.full(mean.shape, np.nan),) * 2
            return
        losses = [_loss(ones, told(mean, variance, at)) for at in _TEMPERATURES]
        self.temperature_ = float(_TEMPERATURES[int(np.argmin(losses))])
        strict = told(mean, variance, self.temperature_)
        self._held = strict, told(*self.process_.one_left_out(), self.temperature_)

    def predict_members(self, X: Any) -> np.ndarray:
        """Return probabilities of draws of the posterior, `[S, n, C]` float32."""
        if len(self.classes_) == 1:
            return np.ones((self.members, len(as_rows(X)), 1), dtype=np.float32)
        drawn = self.process_.paths(self._rows(as_rows(X)), self.members)
        return _softmax((drawn + self.centre_) / self.temperature_).astype(np.float32)

    def predict_proba(self, X: Any) -> Floats:
        """Return probabilities, `[n, C]` in the order of `classes_`."""
        mean = self.predict_members(X).mean(axis=0, dtype=np.float64)
        return np.asarray(mean / mean.sum(axis=1, keepdims=True))

    def predict(self, X: Any) -> Any:
        """Return the likeliest classes, `[n]`."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def left_out(self) -> list[Floats]:
        """Return the probabilities of labels by two thirds of the others, and by all others, `[n, C]` each."""
        return list(self._held)

    def _rows(self, rows: Floats) -> Floats:
        if rows.shape[1] != self.n_features_in_:
            raise ConfigurationError(f"X has {rows.shape[1]} features, but {self.n_features_in_} were learned from")
        return self.box_(rows)


def _loss(ones: Floats, told: Floats) -> float:
    """Return the negative log likelihood of labels, and of half a label that is of any class and anywhere beside.

    Without that, labels that are all foreseen would make it as sure as it can be.
    """
    told = told + 1e-12
    return float(-np.sum(np.log(np.sum(ones * told, axis=1))) - 0.5 * np.mean(np.log(told)))


def _softmax(values: np.ndarray) -> np.ndarray:
    """Return `exp(values)` divided by its sum over the last axis."""
    shifted = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
