"""Learn with trees: one forest, whose trees are the members."""

from __future__ import annotations

from typing import Any

import numpy as np

from rose.errors import ConfigurationError
from rose.surrogates._classes import Classes
from rose.surrogates._ensemble import Ensemble, predictions
from rose.surrogates._held_out import Floats
from rose.surrogates._inputs import Box, as_rows, as_values, seed_of


class Trees(Ensemble):
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
        kind = "Regressor" if self.task == "regression" else "Classifier"
        name, seed = ("ExtraTrees" if self.extra else "RandomForest") + kind, seed_of(self.random_state)
        self.n_features_in_ = rows.shape[1]
        options: dict[str, Any] = {"n_estimators": self.trees, "bootstrap": True, "random_state": seed}
        if self.task == "regression":
            targets, self.vector_ = as_values(y, len(rows)), np.ndim(y) == 2
            learned: Any = targets if targets.shape[1] > 1 else targets[:, 0]
            options["max_features"] = 0.5 if rows.shape[1] > 2 else 1.0
        else:
            known = Classes.of(y, len(rows))
            self.classes_, targets, learned = known.names, known.ones, known.codes
        self.forest_ = getattr(ensemble, name)(**options).fit(rows, learned)
        each = np.stack([predictions(tree, rows, self.task) for tree in self.forest_.estimators_])
        self._remember(targets, each, self.forest_.estimators_samples_, max(1.0, self.trees / self.members))
        return self

    def _each(self, X: Any) -> Floats:
        rows = self.box_(as_rows(X))
        trees = np.array_split(np.array(self.forest_.estimators_, dtype=object), self.members)
        return np.stack([np.mean([predictions(tree, rows, self.task) for tree in of], axis=0) for of in trees])
