"""Learn with small neural networks, each on a bootstrap of the labels: an ensemble that is one task."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from rose.errors import ConfigurationError
from rose.surrogates._classes import Classes
from rose.surrogates._held_out import Floats, beside, bootstraps, left_out_moments
from rose.surrogates._inputs import Box, as_rows, as_values, seed_of


class MLPs(BaseEstimator):  # type: ignore[misc]
    """Learn values or classes with several networks of one hidden layer, on standardised inputs and outputs.

    Args:
        members: how many networks.
        hidden: units of the hidden layer.
        alpha: weight decay.
        steps: of L-BFGS, at most.
        bootstrap: whether each network sees a bootstrap of the samples; without, only its weights are its own.
        task: "regression" or "classification".
        random_state: the seed; None: 0.

    Example:
        >>> X = np.linspace(0, 1, 40)[:, None]
        >>> nets = MLPs(members=3).fit(X, X[:, 0] ** 2)
        >>> bool(abs(nets.predict([[0.5]])[0] - 0.25) < 0.05)
        True
    """

    def __init__(
        self,
        members: int = 6,
        hidden: int = 32,
        alpha: float = 1e-2,
        steps: int = 100,
        bootstrap: bool = True,
        task: str = "regression",
        random_state: Any = None,
    ) -> None:
        self.members = members
        self.hidden = hidden
        self.alpha = alpha
        self.steps = steps
        self.bootstrap = bootstrap
        self.task = task
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> MLPs:
        """Learn.

        Raises:
            ConfigurationError: if the samples are no finite numbers, or there are no members.
        """
        if isinstance(self.members, bool) or not isinstance(self.members, (int, np.integer)) or self.members < 1:
            raise ConfigurationError(f"members={self.members!r} must be a whole number of 1 or more networks")
        rows, seed = as_rows(X), seed_of(self.random_state)
        self.box_, self.n_features_in_ = Box.of(rows), rows.shape[1]
        rows = self.box_(rows) * np.sqrt(12)
        if self.task == "regression":
            values, self.vector_ = as_values(y, len(rows)), np.ndim(y) == 2
            self.centre_, spread = values.mean(axis=0), values.std(axis=0)
            varies = spread > 1e-12 * np.maximum(np.abs(self.centre_), 1e-300)
            self.scale_ = np.where(varies, spread, 0.0)
            self._targets = (values - self.centre_) / np.where(varies, spread, 1.0)
            learned: Any = self._targets if self._targets.shape[1] > 1 else self._targets[:, 0]
        else:
            known = Classes.of(y, len(rows))
            self.classes_, self._targets, learned = known.names, known.ones, known.codes
        drawn = bootstraps(len(rows), self.members, seed) if self.bootstrap else [np.arange(len(rows))] * self.members
        if self.task != "regression":
            drawn = [_with_every_class(some, learned) for some in drawn]
        self.networks_ = [self._fit_one(rows[some], learned[some], seed + 1 + at) for at, some in enumerate(drawn)]
        mean, spread, count = left_out_moments(np.stack([self._of(one, rows) for one in self.networks_]), drawn)
        self._held = mean, spread, beside(self._targets, mean, spread, count)
        return self

    def _fit_one(self, rows: Floats, learned: Any, seed: int) -> Any:
        from sklearn.dummy import DummyClassifier
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        if self.task != "regression" and len(self.classes_) == 1:
            return DummyClassifier(strategy="prior").fit(rows, learned)
        kind = MLPRegressor if self.task == "regression" else MLPClassifier
        network = kind(
            hidden_layer_sizes=(self.hidden,),
            solver="lbfgs",
            activation="tanh",
            alpha=self.alpha,
            max_iter=self.steps,
            random_state=seed,
        )
        with warnings.catch_warnings():  # to stop early is meant: it keeps the weights small
            warnings.filterwarnings("ignore", message="lbfgs failed to converge")
            return network.fit(rows, learned)

    def _of(self, network: Any, rows: Floats) -> Floats:
        told = network.predict(rows) if self.task == "regression" else network.predict_proba(rows)
        return np.asarray(told, dtype=np.float64).reshape(len(rows), -1)

    def _each(self, X: Any) -> Floats:
        rows = self.box_(as_rows(X)) * np.sqrt(12)
        each = np.stack([self._of(network, rows) for network in self.networks_])
        return each * self.scale_ + self.centre_ if self.task == "regression" else each

    def predict_members(self, X: Any) -> Any:
        """Return probabilities `[S, n, C]`; or values and their own variances, `[S, n]` or `[S, n, D]` each."""
        found = self._each(X)
        if self.task != "regression":
            return found.astype(np.float32)
        noise = np.broadcast_to(self._held[2] * self.scale_**2, found.shape)
        return (found, noise) if self.vector_ else (found[:, :, 0], noise[:, :, 0])

    def predict_proba(self, X: Any) -> Floats:
        """Return probabilities, `[n, C]` in the order of `classes_`."""
        return np.asarray(self._each(X).mean(axis=0))

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return classes, or values; with `return_std` also the standard deviations of a label."""
        found = self._each(X)
        if self.task != "regression":
            return self.classes_[found.mean(axis=0).argmax(axis=1)]
        mean, std = found.mean(axis=0), np.sqrt(found.var(axis=0) + self._held[2] * self.scale_**2)
        mean, std = (mean, std) if self.vector_ else (mean[:, 0], std[:, 0])
        return (mean, std) if return_std else mean

    def left_out(self) -> list[tuple[Floats, Floats]] | list[Floats]:
        """Return what networks say of labels that they have not seen: means and variances `[n, D]`, or probabilities.

        NaN where all have.
        """
        mean, variance = self._held[0], self._held[1] + self._held[2]
        if self.task != "regression":
            return [mean]
        return [(mean * self.scale_ + self.centre_, variance * self.scale_**2)]


def _with_every_class(some: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return a bootstrap in which no class is missing: the first sample of each that was is added."""
    missing = np.setdiff1d(codes, codes[some])
    firsts = [int(np.flatnonzero(codes == code)[0]) for code in missing]
    return np.concatenate([some, np.array(firsts, dtype=np.int64)])
