"""Learn with small neural networks, each on a bootstrap of the labels: an ensemble that is one task."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from rose.surrogates._classes import Classes
from rose.surrogates._ensemble import Ensemble, predictions
from rose.surrogates._held_out import Floats, bootstraps
from rose.surrogates._inputs import Box, as_rows, as_values, check_members, moments, seed_of


class MLPs(Ensemble):
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
        check_members(self.members, 1)
        rows, seed = as_rows(X), seed_of(self.random_state)
        self.box_, self.n_features_in_ = Box.of(rows), rows.shape[1]
        if self.task == "regression":
            targets, self.vector_ = as_values(y, len(rows)), np.ndim(y) == 2
            self.centre_, self.scale_ = moments(targets)
            learned: Any = (targets - self.centre_) / np.where(self.scale_ > 0.0, self.scale_, 1.0)
            learned = learned if targets.shape[1] > 1 else learned[:, 0]
        else:
            known = Classes.of(y, len(rows))
            self.classes_, targets, learned = known.names, known.ones, known.codes
        drawn = bootstraps(len(rows), self.members, seed) if self.bootstrap else [np.arange(len(rows))] * self.members
        if self.task != "regression":
            drawn = [_with_every_class(some, learned) for some in drawn]
        inside = self._inside(rows)
        self.networks_ = [self._fit_one(inside[some], learned[some], seed + 1 + at) for at, some in enumerate(drawn)]
        self._remember(targets, self._each(rows), drawn)
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

    def _inside(self, rows: Floats) -> Floats:
        return np.asarray(self.box_(rows) * np.sqrt(12))  # of unit variance

    def _each(self, X: Any) -> Floats:
        rows = self._inside(as_rows(X))
        each = np.stack([predictions(network, rows, self.task) for network in self.networks_])
        return each * self.scale_ + self.centre_ if self.task == "regression" else each


def _with_every_class(some: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return a bootstrap in which no class is missing: the first sample of each that was is added."""
    missing = np.setdiff1d(codes, codes[some])
    firsts = [int(np.flatnonzero(codes == code)[0]) for code in missing]
    return np.concatenate([some, np.array(firsts, dtype=np.int64)])
