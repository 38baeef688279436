"""Learn with trees: one forest, whose trees are the members."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from rose.errors import ConfigurationError
from rose.surrogates._classes import Classes
from rose.surrogates._held_out import Floats, beside, left_out_moments
from rose.surrogates._inputs import Box, as_rows, as_values, seed_of


class Trees(BaseEstimator):  # type: ignore[misc]
    """Learn values or classes with a forest, each of whose members is the mean of some of its trees.

    Whether it classifies is decided by `task`. Each tree sees a bootstrap of the samples: what it says of the others
    tells by how much the forest is off.

    Args:
        trees: how many there are.
        members: into how many groups of trees they are divided; several, since one tree alone says little.
        extra: whether thresholds are drawn instead of sought (extremely randomised trees: Geurts et al. 2006).
        task: "regression" or "classification".
        random_state: the seed; None: 0.

    Example:
        >>> X = np.linspace(0, 1, 40)[:, None]
        >>> forest = Trees(trees=32, task="classification").fit(X, np.where(X[:, 0] > 0.5, "hot", "cold"))
        >>> forest.predict([[0.1], [0.9]]).tolist()
        ['cold', 'hot']
        >>> forest.predict_members([[0.1], [0.9]]).shape
        (16, 2, 2)
    """

    def __init__(
        self,
        trees: int = 96,
        members: int = 16,
        extra: bool = False,
        task: str = "regression",
        random_state: Any = None,
    ) -> None:
        self.trees = trees
        self.members = members
        self.extra = extra
        self.task = task
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Trees:
        """Learn.

        Raises:
            ConfigurationError: if the samples are no finite numbers, or there are fewer trees than members.
        """
        from sklearn import ensemble

        if not 2 <= self.members <= self.trees:
            raise ConfigurationError(f"members={self.members} must be from 2 to the number of trees, {self.trees}")
        rows = as_rows(X)
        self.box_ = Box.of(rows)  # trees cut single precision: what is far from 0 would be alike
        rows = self.box_(rows)
        name = ("ExtraTrees" if self.extra else "RandomForest") + (
            "Regressor" if self.task == "regression" else "Classifier"
        )
        self.n_features_in_ = rows.shape[1]
        options: dict[str, Any] = {
            "n_estimators": self.trees,
            "bootstrap": True,
            "random_state": seed_of(self.random_state),
        }
        if self.task == "regression":
            self._targets, self.vector_ = as_values(y, len(rows)), np.ndim(y) == 2
            learned: Any = self._targets if self._targets.shape[1] > 1 else self._targets[:, 0]
            options["max_features"] = 0.5 if rows.shape[1] > 2 else 1.0
        else:
            known = Classes.of(y, len(rows))
            self.classes_, self._targets, learned = known.names, known.ones, known.codes
        self.forest_ = getattr(ensemble, name)(**options).fit(rows, learned)
        self._held = self._left_out(rows)
        return self

    def _left_out(self, rows: Floats) -> tuple[Floats, Floats, Floats]:
        """Return what trees that have not seen a sample say of it: means, variances of groups, and the own noise."""
        each = np.stack([self._of_tree(tree, rows) for tree in self.forest_.estimators_])
        mean, spread, count = left_out_moments(each, self.forest_.estimators_samples_)
        spread /= max(1.0, self.trees / self.members)  # groups differ by less than their trees do
        return mean, spread, beside(self._targets, mean, spread, count)

    def _of_tree(self, tree: Any, rows: Floats) -> Floats:
        told = tree.predict(rows) if self.task == "regression" else tree.predict_proba(rows)
        return np.asarray(told, dtype=np.float64).reshape(len(rows), -1)

    def _groups(self, X: Any) -> Floats:
        rows = self.box_(as_rows(X))
        trees = np.array_split(np.array(self.forest_.estimators_, dtype=object), self.members)
        return np.stack([np.mean([self._of_tree(tree, rows) for tree in group], axis=0) for group in trees])

    def predict_members(self, X: Any) -> Any:
        """Return probabilities `[S, n, C]`; or values and their own variances, `[S, n]` or `[S, n, D]` each."""
        found = self._groups(X)
        if self.task != "regression":
            return found.astype(np.float32)
        noise = np.broadcast_to(self._held[2], found.shape)
        return (found, noise) if self.vector_ else (found[:, :, 0], noise[:, :, 0])

    def predict_proba(self, X: Any) -> Floats:
        """Return probabilities, `[n, C]` in the order of `classes_`."""
        return np.asarray(self._groups(X).mean(axis=0))

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return classes, or values; with `return_std` also the standard deviations of a label."""
        found = self._groups(X)
        if self.task != "regression":
            return self.classes_[found.mean(axis=0).argmax(axis=1)]
        mean, std = found.mean(axis=0), np.sqrt(found.var(axis=0) + self._held[2])
        mean, std = (mean, std) if self.vector_ else (mean[:, 0], std[:, 0])
        return (mean, std) if return_std else mean

    def left_out(self) -> list[tuple[Floats, Floats]] | list[Floats]:
        """Return what trees say of labels that they have not seen: means and variances `[n, D]`, or probabilities."""
        if self.task == "regression":
            return [(self._held[0], self._held[1] + self._held[2])]
        return [self._held[0]]
