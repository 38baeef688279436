"""scikit-learn estimators as training and prediction tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rose.errors import ConfigurationError
from rose.workflow.stages import Stage


class FitEstimator:
    """A training function that fits a fresh clone of the estimator of that name."""

    def __init__(self, estimators: Mapping[str, Any]) -> None:
        self.estimators = dict(estimators)

    def __call__(self, X: Any, y: Any, model_name: str, seed: int) -> Any:
        """Fit; every `random_state` of the estimator and of its parts becomes the task's seed.

        Raises:
            ConfigurationError: if no estimator has this name.
        """
        from sklearn.base import clone

        if model_name not in self.estimators:
            raise ConfigurationError(f"no estimator is called {model_name!r}; there are: {', '.join(self.estimators)}")
        estimator = clone(self.estimators[model_name])
        random = [name for name in estimator.get_params() if name.rpartition("__")[2] == "random_state"]
        estimator.set_params(**dict.fromkeys(random, seed))
        return estimator.fit(X, y)


def predict_estimator(model: Any, X: Any) -> np.ndarray:
    """`[n, C]` probabilities of a classifier, in the order of its `classes_`; `[n]` values of a regressor."""
    from sklearn.base import is_classifier

    return np.asarray(model.predict_proba(X) if is_classifier(model) else model.predict(X))


def estimator_stages(estimators: Mapping[str, Any]) -> tuple[Stage, Stage]:
    """The training and prediction stages of these estimators.

    Raises:
        ConfigurationError: if one cannot be fitted, is a classifier without probabilities, or both kinds are mixed.
    """
    if not estimators:
        raise ConfigurationError("models() wants estimators by name, as in models(forest=RandomForestClassifier())")
    for name, estimator in estimators.items():
        if not hasattr(estimator, "fit") or not hasattr(estimator, "get_params"):
            raise ConfigurationError(f"model {name!r} is no scikit-learn estimator: {estimator!r}")
    estimator_task(estimators)
    training = Stage("training", FitEstimator(estimators), as_executable=False)
    return training, Stage("prediction", predict_estimator, as_executable=False)


def estimator_task(estimators: Mapping[str, Any]) -> str:
    """Whether they are for "classification" or "regression".

    Raises:
        ConfigurationError: if a classifier gives no probabilities, or both kinds are mixed.
    """
    from sklearn.base import is_classifier

    classifiers = {name for name, estimator in estimators.items() if is_classifier(estimator)}
    if classifiers and classifiers != set(estimators):
        others = ", ".join(sorted(set(estimators) - classifiers))
        raise ConfigurationError(
            f"models: {', '.join(sorted(classifiers))} classify but {others} do not; members must predict alike"
        )
    for name in classifiers:
        if not hasattr(estimators[name], "predict_proba"):
            raise ConfigurationError(
                f"model {name!r}: {estimators[name]!r} gives no probabilities (no predict_proba); "
                "set probability=True where it has that, or wrap it in CalibratedClassifierCV"
            )
    return "classification" if classifiers else "regression"
