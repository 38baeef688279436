"""Measure how good an ensemble is on a labelled hold-out, and how well it knows what it does not know."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rose.pool.ensemble.predictions import Predicted
from rose.pool.ensemble.truth import mean_values, total_std, true_columns
from rose.pool.scoring_rule import score_passes
from rose.scoring import Metric
from rose.scoring.calibration import (
    brier_decomposition,
    coverage,
    error_correlation,
    expected_calibration_error,
    miscalibration_area,
    reliability_curve,
    risk_coverage_curve,
    sharpness,
)
from rose.scoring.calibration.holdout import ClassScores, Scores, ValueScores
from rose.stages.stage import Reduction

_SAMPLES = 200  # of the hold-out, whose predictions are recorded to be looked at
_OUTPUTS = 4  # of vectors, the same
_CLASSES = 20  # above which how often they are confused is not recorded
_NAMED = 8  # outputs, above which only their means are measured
_LEVELS = np.linspace(0.05, 0.95, 19)
_LEVEL = 0.9  # of the conformal intervals and sets that are measured


def holdout_quality(
    y_test: np.ndarray, metric: Metric | None, reduction: Reduction | None, predicted: Predicted
) -> dict[str, Any]:
    """Measure the mean prediction, its calibration, and whether the uncertainty ranks the errors.

    Classification: `accuracy`, `log_loss`, `brier`, `expected_calibration_error`. Regression: `rmse`, `mae`, `r2`, of
    several outputs their means over them and (up to 8) each, as `rmse_0`; with one output, under a Gaussian with the
    ensemble's total variance, `coverage_95`, `miscalibration_area`, `sharpness`. Both:
    `error_uncertainty_correlation`, `risk_coverage_area`, by the workflow's own metric. None where not defined.

    Of conformal intervals at 90 %: `coverage_90`, `interval_width_90`, of several outputs their means over them and
    (up to 8) each; of label sets `set_coverage_90`, `set_size_90`. The shares covered are cross-validated within the
    hold-out (each fifth by intervals that the others calibrate), and None where it has too few samples for the level.

    Args:
        y_test: `[n]` labels, or `[n, D]`.
        metric: what scores the candidates, or None where a function of the user's does.
        reduction: how scores of several outputs become one.
        predicted: what the members say of the hold-out.

    Returns:
        `measures`: all that by name. `seen`: what viewers draw, in plain arrays of at most some KB: the task, some
        samples' truth and predictions, and the calibration curve. `conformal`: what makes intervals or label sets at
        any level, see `rose.scoring.calibration.holdout.scores_of`.

    Raises:
        PredictionError: if labels and predictions cannot be compared.
    """
    measure = _classified if predicted.task == "classification" else _valued
    found, seen, errors, scores = measure(y_test, predicted)
    some = _some(len(errors))
    if metric is not None:
        unsure = score_passes(predicted.ordered, metric, reduction) * (1.0 if metric.direction == "higher" else -1.0)
        found["error_uncertainty_correlation"] = error_correlation(errors, unsure)
        found["risk_coverage_area"] = risk_coverage_curve(errors, unsure).area
        seen |= {"unsure": unsure[some].astype(np.float32), "error": errors[some].astype(np.float32)}
    measures = {name: None if value is None or math.isnan(value) else value for name, value in found.items()}
    return {"measures": measures, "seen": {"task": predicted.task, **seen}, "conformal": scores.plain()}


# measures, what is drawn, errors `[n]`, and how far off predictions were
_Found = tuple[dict[str, float | None], dict[str, Any], np.ndarray, Scores]


def _classified(y_test: np.ndarray, predicted: Predicted) -> _Found:
    probabilities, labels, names = true_columns(predicted, y_test)
    guess = probabilities.argmax(axis=1)
    errors = (guess != labels).astype(np.float64)
    true = probabilities[np.arange(len(labels)), labels]
    curve = reliability_curve(probabilities, labels)
    seen: dict[str, Any] = {"claimed": curve.confidence, "found": curve.accuracy, "counts": curve.count}
    if len(names) <= _CLASSES:
        confusion = np.zeros((len(names), len(names)), np.int32)
        np.add.at(confusion, (labels, guess), 1)
        seen |= {"confusion": confusion, "classes": [str(name)[:40] for name in names]}
    measures: dict[str, float | None] = {
        "accuracy": float(1.0 - errors.mean()),
        "log_loss": float(-np.log(np.maximum(true, np.finfo(np.float64).eps)).mean()),  # finite, as scikit-learn's is
        "brier": brier_decomposition(probabilities, labels).brier,
        "expected_calibration_error": expected_calibration_error(probabilities, labels),
    }
    scores = ClassScores.of(probabilities, labels)
    sets = scores.quality(_LEVEL, probabilities)
    measures |= {"set_coverage_90": sets["coverage"], "set_size_90": sets["size"]}
    return measures, seen, errors, scores


def _valued(y_test: np.ndarray, predicted: Predicted) -> _Found:
    truth, mean = mean_values(predicted, y_test)
    columns = [one.reshape(len(truth), -1) for one in (truth, mean)]
    off = columns[0] - columns[1]
    spread = np.sum((columns[0] - columns[0].mean(axis=0)) ** 2, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):  # where all true values are the same, R2 says nothing
        r2 = np.where(spread > 0, 1.0 - np.sum(off**2, axis=0) / spread, np.nan)
    each = {"rmse": np.sqrt(np.mean(off**2, axis=0)), "mae": np.abs(off).mean(axis=0), "r2": r2}
    std = total_std(predicted)
    scores = ValueScores.of(truth, mean, std)
    intervals = scores.quality(_LEVEL, std.reshape(off.shape))
    each |= {"coverage_90": intervals["coverage"], "interval_width_90": intervals["width"]}
    measures: dict[str, float | None] = {name: float(values.mean()) for name, values in each.items()}
    if 1 < off.shape[1] <= _NAMED:
        measures |= {f"{name}_{i}": float(value) for name, values in each.items() for i, value in enumerate(values)}
    if mean.ndim == 1:
        measures |= {
            "coverage_95": float(coverage(truth, mean, std, 0.95)),
            "miscalibration_area": miscalibration_area(truth, mean, std),
            "sharpness": sharpness(std),
        }
    some, shown = _some(len(truth)), slice(_OUTPUTS)
    inside = coverage(truth.ravel(), mean.ravel(), std.ravel(), _LEVELS)
    seen: dict[str, Any] = {"claimed": _LEVELS, "found": inside, "counts": np.full(len(_LEVELS), truth.size)}
    for name, values in (("truth", columns[0]), ("mean", columns[1]), ("std", std.reshape(len(truth), -1))):
        seen[name] = values[some, shown].astype(np.float32)
    return measures, seen, np.asarray(np.abs(off).mean(axis=1)), scores


def _some(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, _SAMPLES)).astype(np.int64))
