"""Measure the stop criterion on a labelled hold-out, with scikit-learn's metric of that name."""

from __future__ import annotations

import numpy as np

from rose import metrics
from rose.errors import ConfigurationError, PredictionError, near_miss
from rose.pool.ensemble.predictions import Predicted
from rose.pool.ensemble.truth import mean_values, true_columns

CLASSIFICATION = (metrics.MODEL_ACCURACY, metrics.F1_SCORE, metrics.PRECISION, metrics.RECALL)
REGRESSION = (
    metrics.MEAN_SQUARED_ERROR_MSE,
    metrics.ROOT_MEAN_SQUARED_ERROR_RMSE,
    metrics.MEAN_ABSOLUTE_ERROR_MAE,
    metrics.R2_SCORE,
)


def check_holdout_metric(name: str) -> str:
    """Return the task type of a metric that a hold-out can give: "classification" or "regression".

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


def holdout_metric(name: str, y_test: np.ndarray, predicted: Predicted) -> float:
    """Return the metric of the ensemble's mean prediction on the hold-out.

    Args:
        name: the metric; F1, precision and recall are averaged over the classes (macro), 0 where undefined.
        y_test: `[n]` labels, or `[n, D]`.
        predicted: what the members say of the hold-out.

    Raises:
        PredictionError: if the predictions do not fit the metric or the labels.
    """
    from sklearn import metrics as sk

    wanted = check_holdout_metric(name)
    if predicted.task != wanted:
        forms = "probabilities [n, C]" if wanted == "classification" else "values [n]"
        raise PredictionError(f"{name} wants {forms}, but the ensemble predicts {predicted.form}, for {predicted.task}")
    if wanted == "regression":
        functions = {
            metrics.MEAN_SQUARED_ERROR_MSE: sk.mean_squared_error,
            metrics.ROOT_MEAN_SQUARED_ERROR_RMSE: sk.root_mean_squared_error,
            metrics.MEAN_ABSOLUTE_ERROR_MAE: sk.mean_absolute_error,
            metrics.R2_SCORE: sk.r2_score,
        }
        return float(functions[name](*mean_values(predicted, y_test)))
    probabilities, truth, _ = true_columns(predicted, y_test)
    guess = probabilities.argmax(axis=1)
    if name == metrics.MODEL_ACCURACY:
        return float(sk.accuracy_score(truth, guess))
    function = {metrics.F1_SCORE: sk.f1_score, metrics.PRECISION: sk.precision_score, metrics.RECALL: sk.recall_score}
    return float(function[name](truth, guess, average="macro", zero_division=0.0))
