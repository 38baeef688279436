"""How good the ensemble and its uncertainty are on the hold-out: recorded in every iteration that has one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

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
from rose.workflow.columns import column_of_each
from rose.workflow.holdout import mean_probabilities, mean_values
from rose.workflow.member_checks import Predicted
from rose.workflow.passes import means, variances
from rose.workflow.scoring_rule import score_passes
from rose.workflow.stages import Reduction


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
    """Whether the errors are as large as the ensemble says: members' disagreement and their own variances."""
    stacked: Sequence[np.ndarray] = means(predicted.ordered)
    own = variances(predicted.ordered)
    spread = np.var(stacked, axis=0, dtype=np.float64)
    std = np.sqrt(spread + (0.0 if own is None else np.mean(own, axis=0, dtype=np.float64)))
    return {
        "coverage_95": float(coverage(truth, mean, std, 0.95)),
        "miscalibration_area": miscalibration_area(truth, mean, std),
        "sharpness": sharpness(std),
    }
