"""Hold an ensemble's mean predictions against the truth: what quality is measured by, and intervals are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from rose.errors import ConfigurationError, PredictionError
from rose.loop.saved.prediction import Asked
from rose.pool.ensemble.columns import column_of_each
from rose.pool.ensemble.passes import means, variances
from rose.pool.ensemble.predictions import Predicted
from rose.scoring.calibration.holdout import ClassScores, Scores, ValueScores
from rose.scoring.calibration.quantiles import check_level


def member_mean(predicted: Predicted) -> np.ndarray:
    """Return the members' mean, float64."""
    return np.asarray(np.mean(means(predicted.ordered), axis=0, dtype=np.float64))


def mean_probabilities(predicted: Predicted) -> np.ndarray:
    """Return the members' mean, `[n, C]` float64, with rows that sum to 1 to the last digits."""
    mean = np.maximum(member_mean(predicted), 0.0)
    return np.asarray(mean / mean.sum(axis=1, keepdims=True))


def mean_values(predicted: Predicted, y_test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the true values of the hold-out and the members' mean, float64, both `[n]` or `[n, D]`.

    Raises:
        PredictionError: if labels are no numbers, or of another shape.
    """
    mean = member_mean(predicted)
    if y_test.dtype.kind not in "fiub":
        raise PredictionError(f"the hold-out's labels are {y_test.dtype}, but the ensemble predicts numbers")
    if y_test.shape != mean.shape:
        raise PredictionError(
            f"the hold-out's labels are {list(y_test.shape)}, but as values (regression, which the metric is for) the "
            f"predictions are {list(mean.shape)}"
        )
    if not np.isfinite(y_test).all():
        raise PredictionError("the hold-out's labels are not all finite numbers")
    return y_test.astype(np.float64), mean


def true_columns(predicted: Predicted, y_test: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[object]]:
    """Return mean probabilities `[n, C]`, the true classes' columns `[n]`, and the names of the C columns.

    Classes that no member has seen are the last columns, of probability 0.

    Raises:
        PredictionError: if labels and classes cannot be compared.
    """
    probabilities = mean_probabilities(predicted)
    labels, names = column_of_each(y_test, predicted.classes, probabilities.shape[1], "the hold-out")
    unseen = np.zeros((len(labels), len(names) - probabilities.shape[1]))
    return np.concatenate([probabilities, unseen], axis=1), labels, names


def total_std(predicted: Predicted) -> np.ndarray:
    """Return by how much the ensemble says that it may be off: its members' disagreement and their own variances."""
    spread = np.var(means(predicted.ordered), axis=0, dtype=np.float64)
    own = variances(predicted.ordered)
    return np.asarray(np.sqrt(spread + (0.0 if own is None else np.mean(own, axis=0, dtype=np.float64))))


def scores_against(y_test: np.ndarray, predicted: Predicted) -> Scores:
    """Return how far off predictions of a hold-out were, which makes intervals and label sets of others.

    Raises:
        PredictionError: if labels and predictions cannot be compared.
    """
    if predicted.task == "classification":
        probabilities, labels, _ = true_columns(predicted, y_test)
        return ClassScores.of(probabilities, labels)
    truth, mean = mean_values(predicted, y_test)
    return ValueScores.of(truth, mean, total_std(predicted))


def intervals(asked: Asked, predicted: Predicted, scores: Scores) -> dict[str, Any]:
    """Return intervals or label sets of samples, as what a `Prediction` is made of.

    Raises:
        ConfigurationError: if the level cannot be promised by so few samples, or classes are asked for of values.
    """
    level = check_level(asked.level)
    if isinstance(scores, ClassScores):
        return {"level": level, "sets": scores.sets(level, mean_probabilities(predicted), asked.by_class)}
    if asked.by_class:
        raise ConfigurationError("by_class=True: the ensemble predicts values, not classes")
    mean = member_mean(predicted)
    lower, upper = scores.intervals(level, mean, total_std(predicted))
    return {"level": level, "lower": lower, "upper": upper}
