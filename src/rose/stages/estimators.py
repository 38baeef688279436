"""Make training and prediction stages of scikit-learn estimators."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rose.errors import ConfigurationError
from rose.stages.kinds import PREDICTION, TRAINING
from rose.stages.stage import Registered, Stage

_SEEDS = ("random_state", "random_seed")  # what estimators call it, in the order in which it is looked for
_ZEROS = ("sklearn.tree", "sklearn.ensemble._forest", "sklearn.neighbors")
_CODED = ("xgboost",)  # libraries whose classifiers take the labels 0 to C - 1 only


class FitEstimator:
    """Train by fitting a fresh clone of the estimator of that name."""

    def __init__(self, estimators: Mapping[str, Any]) -> None:
        self.estimators = dict(estimators)

    def __call__(self, X: Any, y: Any, model_name: str, seed: int) -> Any:
        """Fit; every seed of the estimator and of its parts becomes the task's.

        Labels of one class only are learned by a `DummyClassifier`: most classifiers refuse them.

        Raises:
            ConfigurationError: if no estimator has this name.
        """
        if model_name not in self.estimators:
            raise ConfigurationError(f"no estimator is called {model_name!r}; there are: {', '.join(self.estimators)}")
        estimator = seeded(unfitted(self.estimators[model_name]), seed)
        if isinstance(y, np.ndarray) and y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if not classifies(estimator) or not isinstance(y, np.ndarray) or y.ndim != 1:
            return estimator.fit(X, y)
        return _fit_classes(estimator, X, y)


def _fit_classes(estimator: Any, X: Any, y: np.ndarray) -> Any:
    """Fit a classifier, so that it says what its columns are, to labels `[n]` of any kind."""
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) == 1:
        from sklearn.dummy import DummyClassifier

        return DummyClassifier(strategy="prior").fit(np.zeros((len(codes), 1)), y)
    from rose.stages._coded import CodedClassifier  # scikit-learn is slow to import

    if _takes_codes(estimator) and not np.array_equal(classes, np.arange(len(classes))):
        return CodedClassifier(estimator.fit(X, codes), classes)
    fitted = estimator.fit(X, y)
    return fitted if hasattr(fitted, "classes_") else CodedClassifier(fitted, classes)


def unfitted(estimator: Any) -> Any:
    """Return a fresh copy of an estimator: scikit-learn's clone, or its own copy where that is refused (CatBoost).

    Raises:
        ConfigurationError: if there is neither.
    """
    from sklearn.base import clone

    try:
        return clone(estimator)
    except (RuntimeError, TypeError) as error:
        if hasattr(estimator, "copy"):
            return estimator.copy()
        raise ConfigurationError(
            f"{type(estimator).__name__} cannot be cloned, and each round fits a fresh one: its __init__ must keep its "
            f"arguments as they are ({error})"
        ) from error


def classifies(estimator: Any) -> bool:
    """Return whether an estimator is a classifier: it says so, or has probabilities."""
    from sklearn.base import is_classifier

    if has_members(estimator) and hasattr(estimator, "task"):  # which may be open until it is fitted
        return bool(getattr(estimator, "task_", estimator.task) == "classification")
    return bool(is_classifier(estimator)) or hasattr(estimator, "predict_proba")


def seeded(estimator: Any, seed: int) -> Any:
    """Give an estimator and all its parts a seed, also where `get_params()` does not show that there is one (CatBoost).

    >>> from sklearn.ensemble import RandomForestClassifier
    >>> seeded(RandomForestClassifier(), 3).random_state
    3
    """
    parts = [("", estimator)]
    parts += [(f"{name}__", part) for name, part in estimator.get_params(deep=True).items() if _is_estimator(part)]
    for prefix, part in parts:
        name = _seed_of(part)
        if name is not None:
            estimator.set_params(**{prefix + name: seed})
    return estimator


def _seed_of(estimator: Any) -> str | None:
    shown = estimator.get_params(deep=False)
    taken = inspect.signature(type(estimator)).parameters
    return next((name for known in (shown, taken) for name in _SEEDS if name in known), None)


def _is_estimator(part: Any) -> bool:
    return hasattr(part, "get_params") and hasattr(part, "set_params") and not isinstance(part, type)


class Members(NamedTuple):
    """Hold what the members of one model say of the same samples.

    Attributes:
        values: `[S, n, C]` probabilities, or `[S, n]` or `[S, n, D]` values.
        variances: the members' own, of the same shape, where they know them.
    """

    values: np.ndarray
    variances: np.ndarray | None = None


def has_members(estimator: Any) -> bool:
    """Return whether an estimator is an ensemble whose members predict one by one, by `predict_members`."""
    return hasattr(estimator, "predict_members")


def predict_estimator(model: Any, X: Any) -> np.ndarray | Members:
    """Return `[n, C]` probabilities of a classifier, in the order of its `classes_`; `[n]` values of a regressor.

    Of an ensemble, what each of its members says.
    """
    if has_members(model):
        told = model.predict_members(X)
        return Members(np.asarray(told[0] if isinstance(told, tuple) else told))
    return np.asarray(model.predict_proba(X) if classifies(model) else model.predict(X))


def predict_with_variance(model: Any, X: Any) -> tuple[np.ndarray, np.ndarray] | Members:
    """Return mean and variance of a regressor that knows how sure it is, `[n]` each; of an ensemble, of each member."""
    if has_members(model):
        values, variances = model.predict_members(X)
        return Members(np.asarray(values), np.asarray(variances))
    mean, std = model.predict(X, return_std=True)
    return np.asarray(mean), np.square(std)


def knows_variances(estimators: Mapping[str, Any]) -> bool:
    """Return whether all of these are regressors whose `predict` takes `return_std`, as Gaussian processes do.

    >>> from sklearn.linear_model import BayesianRidge, Ridge
    >>> knows_variances({"a": BayesianRidge()}), knows_variances({"a": BayesianRidge(), "b": Ridge()})
    (True, False)
    """
    last = [_last_step(estimator) for estimator in estimators.values()]
    return all("return_std" in inspect.signature(one.predict).parameters for one in last if hasattr(one, "predict"))


def named(unnamed: Sequence[Any], estimators: Mapping[str, Any]) -> dict[str, Any]:
    """Return estimators by name: those without are called after their classes; if there are none, Auto is there.

    Raises:
        ConfigurationError: if two would have the same name.

    >>> from sklearn.linear_model import Ridge
    >>> named([Ridge()], {"soft": Ridge(10.0)})
    {'ridge': Ridge(), 'soft': Ridge(alpha=10.0)}
    """
    if not unnamed and not estimators:
        from rose.surrogates import Auto  # scikit-learn is slow to import

        return {"auto": Auto()}
    found = {(one if isinstance(one, type) else type(one)).__name__.lower(): one for one in unnamed}
    if len(found) < len(unnamed) or found.keys() & estimators.keys():
        raise ConfigurationError(
            "models(): two have the same name; name them, as in models(a=Trees(), b=Trees(extra=True))"
        )
    return {**found, **estimators}


def estimator_stages(estimators: Mapping[str, Any]) -> tuple[Stage, Stage]:
    """Return the training and prediction stages of these estimators.

    Raises:
        ConfigurationError: if one cannot be fitted, is a classifier without probabilities, or both kinds are mixed.
    """
    if not estimators:
        raise ConfigurationError("models() wants estimators by name, as in models(forest=RandomForestClassifier())")
    for name, estimator in estimators.items():
        if isinstance(estimator, type):
            raise ConfigurationError(f"model {name!r} is a class: give an estimator, {estimator.__name__}()")
        if not hasattr(estimator, "fit") or not hasattr(estimator, "get_params"):
            raise ConfigurationError(f"model {name!r} is no scikit-learn estimator: {estimator!r}")
        unfitted(estimator)
    predict: Any = predict_estimator
    if estimator_task(estimators) == "regression" and knows_variances(estimators):
        predict = predict_with_variance
    training = Stage(TRAINING.name, FitEstimator(estimators), as_executable=False)
    return training, Stage(PREDICTION.name, predict, as_executable=False)


def undecided(estimators: Mapping[str, Any]) -> list[str]:
    """Return the names of those that do either task, and are not told which (`task=None`)."""
    return [name for name, one in estimators.items() if has_members(one) and getattr(one, "task", "") is None]


def decided(registered: Registered, task: str | None) -> Registered:
    """Return what is registered, with the task of those estimators that do either.

    Raises:
        ConfigurationError: if there are such, and the task is not known.
    """
    names = undecided(registered.estimators)
    if not names:
        return registered
    if task is None:
        raise ConfigurationError(
            f"model {names[0]!r}: nothing says whether labels are classes or values. Name a metric that does, such as "
            "predictive_entropy or predictive_variance, or say it: models(Auto(task='regression'))"
        )
    estimators = {
        name: unfitted(one).set_params(task=task) if name in names else one
        for name, one in registered.estimators.items()
    }
    training, prediction = estimator_stages(estimators)
    own = registered.stages[PREDICTION.name]
    stages = {**registered.stages, TRAINING.name: replace(registered.stages[TRAINING.name], func=training.func)}
    if is_of_estimators(own):
        stages[PREDICTION.name] = replace(own, func=prediction.func)
    return replace(registered, stages=stages, estimators=estimators, task_type=estimator_task(estimators))


def member_count(estimators: Mapping[str, Any]) -> int:
    """Return how many predictions of a candidate these give in one pass, at least."""
    return sum(max(2, int(getattr(one, "members", 2))) if has_members(one) else 1 for one in estimators.values())


def is_of_estimators(stage: Stage | None) -> bool:
    """Return whether a stage is one of `estimator_stages`, not a function of the user's."""
    functions = (predict_estimator, predict_with_variance)
    return stage is not None and (isinstance(stage.func, FitEstimator) or stage.func in functions)


def gives_variances(stage: Stage) -> bool | None:
    """Return whether predictions come with variances; None: a function of the user's, nobody knows yet."""
    return stage.func is predict_with_variance if is_of_estimators(stage) else None


def estimator_task(estimators: Mapping[str, Any]) -> str | None:
    """Return "classification" or "regression", whichever they are for; None: that is not decided.

    Raises:
        ConfigurationError: if a classifier gives no probabilities, or both kinds are mixed.
    """
    either = undecided(estimators)
    if either and len(either) == len(estimators):
        return None
    estimators = {name: one for name, one in estimators.items() if name not in either}
    classifiers = {name for name, estimator in estimators.items() if classifies(estimator)}
    if classifiers and classifiers != set(estimators):
        others = ", ".join(sorted(set(estimators) - classifiers))
        raise ConfigurationError(
            f"models: {', '.join(sorted(classifiers))} classify but {others} do not; members must predict alike"
        )
    for name in classifiers:
        stacks = getattr(estimators[name], "final_estimator", "") is None  # has probabilities when it is fitted
        if not hasattr(estimators[name], "predict_proba") and not stacks:
            soft = "voting='soft'" if hasattr(estimators[name], "voting") else "probability=True where it has that"
            raise ConfigurationError(
                f"model {name!r}: {estimators[name]!r} gives no probabilities (no predict_proba); set {soft}, or wrap "
                "it in CalibratedClassifierCV"
            )
    return "classification" if classifiers else "regression"


def _last_step(estimator: Any) -> Any:
    """Return what predicts: the last step of a pipeline, else the estimator itself."""
    steps = getattr(estimator, "steps", None)  # of a pipeline; other estimators call a number so
    return _last_step(steps[-1][1]) if steps and isinstance(steps, (list, tuple)) else estimator


def _takes_codes(estimator: Any) -> bool:
    """Return whether it, or anything in it, is of a library whose classifiers take codes only."""
    parts = [estimator, *estimator.get_params(deep=True).values()]
    kinds = (kind for part in parts if _is_estimator(part) for kind in type(part).__mro__)
    return any(kind.__module__.partition(".")[0] in _CODED for kind in kinds)


def gives_zeros(estimators: Mapping[str, Any]) -> bool:
    """Return whether one of these is known to give some classes a probability of exactly 0, as trees do."""
    modules = (type(_last_step(estimator)).__module__ for estimator in estimators.values())
    return any(module.startswith(_ZEROS) for module in modules)


def target_widths(estimators: Mapping[str, Any]) -> tuple[bool, bool]:
    """Return whether all of these estimators learn labels that are numbers, and whether all learn vectors.

    Scikit-learn's own estimators say it; True of others, and in versions (before 1.6) that do not say it.

    >>> from sklearn.ensemble import GradientBoostingRegressor
    >>> target_widths({"a": GradientBoostingRegressor()})
    (True, False)
    """
    last = [_last_step(estimator) for estimator in estimators.values()]
    its_own = [one for one in last if type(one).__module__.startswith("sklearn.")]
    if not its_own:
        return True, True
    try:
        from sklearn.utils import get_tags  # scikit-learn is slow to import
    except ImportError:
        return True, True
    tags = [get_tags(one).target_tags for one in its_own]
    return all(tag.single_output for tag in tags), all(tag.multi_output for tag in tags)
