"""The stop criterion on a labelled hold-out, with scikit-learn's metric of that name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rose import metrics
from rose.errors import ConfigurationError, PredictionError, near_miss

CLASSIFICATION = (metrics.MODEL_ACCURACY, metrics.F1_SCORE, metrics.PRECISION, metrics.RECALL)
REGRESSION = (
    metrics.MEAN_SQUARED_ERROR_MSE,
    metrics.ROOT_MEAN_SQUARED_ERROR_RMSE,
    metrics.MEAN_ABSOLUTE_ERROR_MAE,
    metrics.R2_SCORE,
)


def check_holdout_metric(name: str) -> str:
    """The task type of a metric that a hold-out can give: "classification" or "regression".

    Raises:
        ConfigurationError: if it can not.
    """
    if name in CLASSIFICATION:
        return "classification"
    if name in REGRESSION:
        return "regression"
    known = (*CLASSIFICATION, *REGRESSION)
    raise ConfigurationError(
        f"as_stop_criterion({name!r}) decorates no function, and a hold-out gives only {', '.join(known)} "
        f"({near_miss(name, known)}); decorate a function that computes it"
    )


def holdout_metric(name: str, y_test: np.ndarray, classes: Sequence[Any] | None, *passes: np.ndarray) -> float:
    """The metric of the ensemble's mean prediction on the hold-out.

    Args:
        name: the metric; F1, precision and recall are averaged over the classes (macro), 0 where undefined.
        y_test: `[n]` labels.
        classes: the label of each column of the probabilities; None: 0, 1, 2, ...
        *passes: `[n, C]` probabilities or `[n]` values, one array for each member and stochastic pass.

    Raises:
        PredictionError: if the predictions do not fit the metric or the labels.
    """
    from sklearn import metrics as sk

    mean = np.mean([np.asarray(one, dtype=np.float64) for one in passes], axis=0)
    wanted = 2 if name in CLASSIFICATION else 1
    if name in CLASSIFICATION and mean.ndim != wanted:
        raise PredictionError(
            f"{name} wants probabilities [n, C], but the ensemble predicts an array of shape {mean.shape}"
        )
    if len(mean) != len(y_test):
        raise PredictionError(f"the hold-out has {len(y_test)} samples, the ensemble predicted {len(mean)}")
    if name in REGRESSION:
        truth = y_test.reshape(len(y_test), -1)
        return _regression(name, truth, mean.reshape(truth.shape))
    predicted = _labels(mean, y_test, classes)
    if name == metrics.MODEL_ACCURACY:
        return float(sk.accuracy_score(y_test, predicted))
    function = {metrics.F1_SCORE: sk.f1_score, metrics.PRECISION: sk.precision_score, metrics.RECALL: sk.recall_score}
    return float(function[name](y_test, predicted, average="macro", zero_division=0.0))


def _regression(name: str, truth: np.ndarray, mean: np.ndarray) -> float:
    from sklearn import metrics as sk

    functions = {
        metrics.MEAN_SQUARED_ERROR_MSE: sk.mean_squared_error,
        metrics.ROOT_MEAN_SQUARED_ERROR_RMSE: sk.root_mean_squared_error,
        metrics.MEAN_ABSOLUTE_ERROR_MAE: sk.mean_absolute_error,
        metrics.R2_SCORE: sk.r2_score,
    }
    return float(functions[name](truth, mean))


def _labels(mean: np.ndarray, y_test: np.ndarray, classes: Sequence[Any] | None) -> np.ndarray:
    columns = np.arange(mean.shape[1]) if classes is None else np.asarray(classes)
    if len(columns) != mean.shape[1]:
        raise PredictionError(f"the models have {len(columns)} classes_ but predict {mean.shape[1]} columns")
    if classes is None and not np.isin(y_test, columns).all():
        strange = y_test[~np.isin(y_test, columns)][0]
        raise PredictionError(
            f"the hold-out has the label {strange!r}, but {mean.shape[1]} columns of probabilities stand for labels 0 "
            f"to {mean.shape[1] - 1}; give the models a `classes_` attribute that names their columns"
        )
    predicted: np.ndarray = columns[np.argmax(mean, axis=1)]
    return predicted
