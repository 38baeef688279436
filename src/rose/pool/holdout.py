"""Measure the stop criterion on a labelled hold-out, with scikit-learn's metric of that name."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rose import metrics
from rose.errors import ConfigurationError, PredictionError, near_miss
from rose.pool.ensemble.columns import column_of_each
from rose.pool.ensemble.passes import means, variances
from rose.pool.ensemble.predictions import Predicted
from rose.pool.scoring_rule import score_passes
from rose.scoring import Metric
from rose.scoring.calibration import (
    brier_decomposition,
    coverage,
    error_correlation,
    expected_calibration_error,
    miscalibration_area,
    risk_coverage_curve,
    sharpness,
)
from rose.stages.stage import Reduction

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
    mean = mean_probabilities(predicted)
    truth, _ = column_of_each(y_test, predicted.classes, mean.shape[1], "the hold-out")
    guess = mean.argmax(axis=1)
    if name == metrics.MODEL_ACCURACY:
        return float(sk.accuracy_score(truth, guess))
    function = {metrics.F1_SCORE: sk.f1_score, metrics.PRECISION: sk.precision_score, metrics.RECALL: sk.recall_score}
    return float(function[name](truth, guess, average="macro", zero_division=0.0))


def mean_probabilities(predicted: Predicted) -> np.ndarray:
    """Return the members' mean, `[n, C]` float64, with rows that sum to 1 to the last digits."""
    mean = np.mean(means(predicted.ordered), axis=0, dtype=np.float64)
    mean = np.maximum(mean, 0.0)
    return np.asarray(mean / mean.sum(axis=1, keepdims=True))


def mean_values(predicted: Predicted, y_test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the true values of the hold-out and the members' mean, float64, both `[n]` or `[n, D]`.

    Raises:
        PredictionError: if labels are no numbers, or of another shape.
    """
    mean = np.asarray(np.mean(means(predicted.ordered), axis=0, dtype=np.float64))
    if y_test.dtype.kind not in "fiub":
        raise PredictionError(f"the hold-out's labels are {y_test.dtype}, but the ensemble predicts numbers")
    if y_test.shape != mean.shape:
        raise PredictionError(
            f"the hold-out's labels are {list(y_test.shape)}, but as values (regression, which the metric is for) the "
            f"predictions are {list(mean.shape)}"
        )
    return y_test.astype(np.float64), mean


def holdout_quality(
    y_test: np.ndarray, metric: Metric | None, reduction: Reduction | None, predicted: Predicted
) -> dict[str, float | None]:
    """Measure the calibration of the mean prediction, and whether the uncertainty ranks the errors.

    Classification: `brier`, `expected_calibration_error`. Regression with one output: `coverage_95`,
    `miscalibration_area`, `sharpness`, under a Gaussian with the ensemble's total variance. Both:
    `error_uncertainty_correlation`, `risk_coverage_area`, by the workflow's own metric. None where not defined.

    Args:
        y_test: `[n]` labels, or `[n, D]`.
        metric: what scores the candidates, or None where a function of the user's does.
        reduction: how scores of several outputs become one.
        predicted: what the members say of the hold-out.

    Raises:
        PredictionError: if labels and predictions cannot be compared.
    """
    found: dict[str, float | None] = {}
    if predicted.task == "classification":
        probabilities = mean_probabilities(predicted)
        labels, names = column_of_each(y_test, predicted.classes, probabilities.shape[1], "the hold-out")
        unseen = np.zeros((len(labels), len(names) - probabilities.shape[1]))
        probabilities = np.concatenate([probabilities, unseen], axis=1)
        found["brier"] = brier_decomposition(probabilities, labels).brier
        found["expected_calibration_error"] = expected_calibration_error(probabilities, labels)
        errors = (probabilities.argmax(axis=1) != labels).astype(np.float64)
    else:
        truth, mean = mean_values(predicted, y_test)
        errors = np.abs(truth - mean).reshape(len(truth), -1).mean(axis=1)
        if mean.ndim == 1:
            found |= _spread(truth, mean, predicted)
    if metric is not None:
        unsure = score_passes(predicted.ordered, metric, reduction) * (1.0 if metric.direction == "higher" else -1.0)
        found["error_uncertainty_correlation"] = error_correlation(errors, unsure)
        found["risk_coverage_area"] = risk_coverage_curve(errors, unsure).area
    return {name: None if value is None or math.isnan(value) else value for name, value in found.items()}


def _spread(truth: np.ndarray, mean: np.ndarray, predicted: Predicted) -> dict[str, float | None]:
    """Measure whether the errors are as large as the ensemble says.

    It says it by its members' disagreement and by their own variances.
    """
    stacked: Sequence[np.ndarray] = means(predicted.ordered)
    own = variances(predicted.ordered)
    spread = np.var(stacked, axis=0, dtype=np.float64)
    std = np.sqrt(spread + (0.0 if own is None else np.mean(own, axis=0, dtype=np.float64)))
    return {
        "coverage_95": float(coverage(truth, mean, std, 0.95)),
        "miscalibration_area": miscalibration_area(truth, mean, std),
        "sharpness": sharpness(std),
    }
