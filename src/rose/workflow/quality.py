"""How good the ensemble and its uncertainty are on the hold-out: recorded in every iteration that has one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

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
from rose.workflow.passes import Passed, means, variances
from rose.workflow.scoring_rule import score_passes
from rose.workflow.stages import Reduction


def holdout_quality(
    y_test: np.ndarray,
    classes: Sequence[Any] | None,
    metric: Metric | None,
    reduction: Reduction | None,
    *passes: Passed,
) -> dict[str, float | None]:
    """Calibration of the mean prediction, and whether the uncertainty ranks the errors.

    Classification: `brier`, `expected_calibration_error`. Regression with one output: `coverage_95`,
    `miscalibration_area`, `sharpness`, under a Gaussian with the ensemble's total variance. Both:
    `error_uncertainty_correlation`, `risk_coverage_area`, by the workflow's own metric. None where not defined.

    Args:
        y_test: `[n]` labels.
        classes: the label of each column of the probabilities; None: 0, 1, 2, ...
        metric: what scores the candidates, or None where a function of the user's does.
        reduction: how scores of several outputs become one.
        *passes: one prediction of the hold-out for each member and stochastic pass.
    """
    stacked = np.stack([np.asarray(one, dtype=np.float64) for one in means(passes)])
    mean = stacked.mean(axis=0)
    classified = mean.ndim == 2 and y_test.ndim == 1
    found: dict[str, float | None] = {}
    if classified:
        probabilities, labels = _with_all_classes(mean, y_test, classes)
        # Members were checked by the tolerance of what each was computed in; their mean is float64, which has less.
        found["brier"] = brier_decomposition(probabilities, labels, normalise=True).brier
        found["expected_calibration_error"] = expected_calibration_error(probabilities, labels, normalise=True)
        errors = (probabilities.argmax(axis=1) != labels).astype(np.float64)
    else:
        truth = y_test.reshape(mean.shape).astype(np.float64)
        errors = np.abs(truth - mean).reshape(len(truth), -1).mean(axis=1)
        if mean.ndim == 1:
            found |= _spread(truth, mean, stacked, variances(passes))
    if metric is not None:
        unsure = score_passes(passes, metric, reduction) * (1.0 if metric.direction == "higher" else -1.0)
        found["error_uncertainty_correlation"] = error_correlation(errors, unsure)
        found["risk_coverage_area"] = risk_coverage_curve(errors, unsure).area
    return {name: None if value is None or math.isnan(value) else value for name, value in found.items()}


def _spread(
    truth: np.ndarray, mean: np.ndarray, stacked: np.ndarray, own: Sequence[np.ndarray] | None
) -> dict[str, float | None]:
    """Whether the errors are as large as the ensemble says: members' disagreement and their own variances."""
    std = np.sqrt(stacked.var(axis=0) + (0.0 if own is None else np.mean(own, axis=0)))
    return {
        "coverage_95": float(coverage(truth, mean, std, 0.95)),
        "miscalibration_area": miscalibration_area(truth, mean, std),
        "sharpness": sharpness(std),
    }


def _with_all_classes(
    mean: np.ndarray, y_test: np.ndarray, classes: Sequence[Any] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with a column, of zeros, for each class that the ensemble has not seen; and labels as columns."""
    names = np.arange(mean.shape[1]) if classes is None else np.asarray(classes)
    unseen = np.setdiff1d(y_test, names)
    columns = {name: place for place, name in enumerate([*names.tolist(), *unseen.tolist()])}
    padded = np.concatenate([mean, np.zeros((len(mean), len(unseen)))], axis=1)
    return padded, np.array([columns[label] for label in y_test.tolist()])
