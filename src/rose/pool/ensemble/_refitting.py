"""Make intervals without a hold-out: refit the models without each fold of what was labelled, and see how far off."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rose.errors import ConfigurationError
from rose.loop.saved.prediction import Labelled
from rose.pool.candidates.taking import take
from rose.pool.ensemble.columns import column_of_each
from rose.pool.ensemble.predictions import Predicted
from rose.pool.ensemble.truth import mean_probabilities, mean_values, member_mean, total_std
from rose.scoring.calibration.cross import CrossScores, folds_of, likelihood_ratios
from rose.scoring.calibration.holdout import ValueScores, scale
from rose.stages.estimators import FitEstimator

_FOLDS = 10
_FEATURES = 64  # of numeric candidates that are weighted at most
Predicts = Callable[[Mapping[str, Any], Any], Predicted]


def cross_intervals(
    predict: Predicts, models: Mapping[str, Any], labelled: Labelled, X: Any, predicted: Predicted, level: float
) -> dict[str, Any]:
    """Return intervals or label sets of samples by CV+, as what a `Prediction` is made of.

    Args:
        predict: predicts samples with models.
        models: estimators, which are refitted ten times.
        labelled: the pool, what of it was labelled, and the labels.
        X: the samples.
        predicted: what the models say of them.
        level: between 0 and 1.

    Raises:
        ConfigurationError: if the models cannot be refitted, or so few labels cannot promise the level.
    """
    known, y = take(labelled.pool, labelled.indices), np.asarray(labelled.labels)
    classify = predicted.task == "classification"
    names = _names(predicted) if classify else []
    columns = column_of_each(y, names, len(names), "the labelled set")[0] if classify else None
    folds = folds_of(len(y), _FOLDS, 0, columns)
    held, new = [], []
    for fold in range(folds.max() + 1):
        rest, out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        refitted = _refitted(models, take(known, rest), y[rest], fold)
        held.append((out, predict(refitted, take(known, out))))
        new.append(predict(refitted, X))
    weights, own = _weights(labelled.pool, known, X)
    if columns is None:
        return {"level": level, **_intervals(held, new, y, folds, weights, own, level)}
    scores = np.empty(len(y))
    for out, one in held:
        scores[out] = 1.0 - _spread(one, names)[np.arange(len(out)), columns[out]]
    sets = CrossScores(scores, folds, weights).sets(level, [_spread(one, names) for one in new], own)
    return {"level": level, "sets": sets}


def _intervals(
    held: Sequence[tuple[np.ndarray, Predicted]],
    new: Sequence[Predicted],
    y: np.ndarray,
    folds: np.ndarray,
    weights: np.ndarray | None,
    own: np.ndarray | None,
    level: float,
) -> dict[str, np.ndarray]:
    """Return `lower` and `upper` ends, each output by itself."""
    truth, mean, std = (np.empty((len(y), *y.shape[1:])) for _ in range(3))
    for out, one in held:
        (truth[out], mean[out]), std[out] = mean_values(one, y[out]), total_std(one)
    errors = ValueScores.of(truth, mean, std)
    means = [member_mean(one) for one in new]
    shape, columns = means[0].shape, (len(means[0]), -1)
    units = [scale(total_std(one).reshape(columns), errors.floor) for one in new]
    means = [one.reshape(columns) for one in means]
    ends = [
        CrossScores(errors.scores[:, d], folds, weights).intervals(
            level, [one[:, d] for one in means], [one[:, d] for one in units], own
        )
        for d in range(errors.scores.shape[1])
    ]
    lower, upper = (np.stack([pair[side] for pair in ends], axis=1).reshape(shape) for side in (0, 1))
    return {"lower": lower, "upper": upper}


def _refitted(models: Mapping[str, Any], X: Any, y: np.ndarray, fold: int) -> dict[str, Any]:
    fit = FitEstimator(models)
    try:
        return {name: fit(X, y, name, fold * len(models) + place) for place, name in enumerate(models)}
    except Exception as error:
        raise ConfigurationError(
            "without a hold-out, models are cross-validated: they must be estimators with fit(X, y), but one cannot be "
            f"refitted ({type(error).__name__}: {error}). Give the pool a hold-out, Pool(holdout=(X, y)), or "
            "calibration=(X, y): samples that no model has learned from, drawn at random"
        ) from error


def _names(predicted: Predicted) -> list[Any]:
    return predicted.classes or list(range(mean_probabilities(predicted).shape[1]))


def _spread(predicted: Predicted, names: list[Any]) -> np.ndarray:
    """Return mean probabilities by the columns of all classes: models that lack some of them say 0."""
    found = np.zeros((len(predicted.ordered[0]), len(names)))
    found[:, [names.index(name) for name in _names(predicted)]] = mean_probabilities(predicted)
    return found


def _weights(pool: Any, known: Any, X: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return how much likelier samples are in the pool than among the labelled, where features can tell."""
    arrays = [one if isinstance(one, np.ndarray) else None for one in (known, pool, X)]
    known, pool, X = arrays
    numeric = all(one is not None and one.ndim == 2 and one.dtype.kind in "fiub" for one in arrays)
    if numeric and known.shape[1] <= _FEATURES and all(np.isfinite(one).all() for one in (known, pool, X)):
        return likelihood_ratios(known, pool, X)
    warnings.warn(
        "what was labelled was chosen, and is no sample of the pool: from candidates that are no table of at most "
        f"{_FEATURES} numbers nothing tells how to weight it, so intervals may hold the truth more or less often",
        stacklevel=6,
    )
    return None, None
