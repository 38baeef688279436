"""Hold how far off predictions of a hold-out were, which makes intervals and label sets of new ones at any level.

What is exchangeable with what: the promise holds for new samples that come from where the hold-out came from, drawn
alike. A hold-out (or audit labels) drawn at random from the pool speaks of the pool; one drawn from elsewhere speaks of
there. What active learning chose to label is a sample of neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rose.errors import ConfigurationError
from rose.scoring.calibration.quantiles import Floats, check_level, conformal_quantile, least_samples

_NOISE = 1e-10  # of the largest prediction: a spread below is rounding, and scales nothing
_FOLDS = 5
_NUMBERS = 1 << 15  # that are kept of a hold-out's scores
_SAMPLES = 100, 2048  # that are kept at least and at most


@dataclass(frozen=True)
class ValueScores:
    """Hold the errors of values, in units of their uncertainty.

    Attributes:
        scores: `[n, D]`, |y - mean| / scale, where scale = std + floor.
        floor: `[D]`, the median std of these samples; 0: all are of one scale, 1, as where members always agree.
    """

    scores: Floats
    floor: Floats

    @classmethod
    def of(cls, truth: Floats, mean: Floats, std: Floats) -> ValueScores:
        """Measure true values against means and standard deviations, `[n]` or `[n, D]` each."""
        truth, mean, std = (np.asarray(one, dtype=np.float64).reshape(len(truth), -1) for one in (truth, mean, std))
        floor = np.median(std, axis=0)
        floor = np.where(floor > 0.0, floor, std.mean(axis=0))  # most agree, some do not
        floor = np.where(floor > _NOISE * np.abs(mean).max(axis=0), floor, 0.0)
        return cls(np.abs(truth - mean) / scale(std, floor), floor)

    def intervals(self, level: float, mean: Floats, std: Floats) -> tuple[Floats, Floats]:
        """Return lower and upper ends, of the shape of `mean`, `[m]` or `[m, D]`; each output is covered by itself.

        Raises:
            ConfigurationError: if so few samples cannot promise the level.
        """
        check_level(level, len(self.scores), "calibrated by the hold-out: ")
        columns = (len(mean), -1) if len(mean) else (0, self.scores.shape[1])
        half = conformal_quantile(self.scores, level) * scale(std.reshape(columns), self.floor)
        half = half.reshape(mean.shape)
        return mean - half, mean + half

    def quality(self, level: float, std: Floats) -> dict[str, Floats]:
        """Return `coverage` and mean `width` of each output, `[D]`; NaN where there are too few samples for the level.

        The share covered is cross-validated: each fifth by intervals that the others calibrate. The width is of
        intervals that all calibrate, at samples with those standard deviations.
        """
        widths = 2.0 * conformal_quantile(self.scores, level) * scale(std, self.floor).mean(axis=0)
        inside = [self.scores[fold] <= conformal_quantile(self.scores[rest], level) for fold, rest in _folds(self)]
        few = np.full(self.scores.shape[1], np.nan)
        enough = bool(inside) and _least_rest(len(self.scores)) >= least_samples(level)
        covered = np.concatenate(inside).mean(axis=0) if enough else few
        return {"coverage": covered, "width": np.where(np.isfinite(widths), widths, np.nan)}

    def plain(self) -> dict[str, Any]:
        """Return it as plain arrays of at most some hundred KB; of many samples, some."""
        some = _kept(*self.scores.shape)
        return {"scores": self.scores[some].astype(np.float32), "floor": self.floor}


@dataclass(frozen=True)
class ClassScores:
    """Hold how improbable the true classes seemed.

    Attributes:
        scores: `[n]`, 1 - p of the true class.
        labels: `[n]`, the columns of the true classes.
    """

    scores: Floats
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, probabilities: Floats, labels: NDArray[np.int64]) -> ClassScores:
        """Measure mean probabilities `[n, C]` against the true classes' columns `[n]`."""
        return cls(1.0 - probabilities[np.arange(len(labels)), labels], labels)

    def sets(self, level: float, probabilities: Floats, by_class: bool = False) -> NDArray[np.bool_]:
        """Tell which classes belong to each sample's set, `[m, C]`, for mean probabilities `[m, C]`.

        Args:
            level: the share of samples whose set holds their class.
            probabilities: of the new samples.
            by_class: whether that share holds of each class by itself (Mondrian), not only of all: a class of which
                the hold-out has too few samples for the level is then in every set.

        Raises:
            ConfigurationError: if so few samples cannot promise the level.
        """
        check_level(level, len(self.scores), "calibrated by the hold-out: ")
        return np.asarray(1.0 - probabilities <= self._bounds(level, probabilities.shape[1], by_class))

    def _bounds(self, level: float, classes: int, by_class: bool) -> Floats:
        if not by_class:
            return np.full(classes, conformal_quantile(self.scores, level))
        return np.array([conformal_quantile(self.scores[self.labels == one], level) for one in range(classes)])

    def quality(self, level: float, probabilities: Floats) -> dict[str, float]:
        """Return `coverage` and mean `size` of the sets of those samples; NaN where they are too few for the level.

        The share covered is cross-validated: each fifth by sets that the others calibrate.
        """
        bound = conformal_quantile(self.scores, level)
        inside = [self.scores[fold] <= conformal_quantile(self.scores[rest], level) for fold, rest in _folds(self)]
        enough = bool(inside) and _least_rest(len(self.scores)) >= least_samples(level)
        size = float(np.mean(np.sum(1.0 - probabilities <= bound, axis=1))) if np.isfinite(bound) else np.nan
        return {"coverage": float(np.concatenate(inside).mean()) if enough else np.nan, "size": size}

    def plain(self) -> dict[str, Any]:
        """Return it as plain arrays of at most some KB; of many samples, some."""
        some = _kept(len(self.scores), 1)
        return {"scores": self.scores[some].astype(np.float32), "labels": self.labels[some].astype(np.int32)}


Scores = ValueScores | ClassScores


def scores_of(plain: Mapping[str, Any]) -> Scores:
    """Return scores that were kept as plain arrays."""
    scores = np.asarray(plain["scores"], dtype=np.float64)
    if "labels" in plain:
        return ClassScores(scores, np.asarray(plain["labels"], dtype=np.int64))
    return ValueScores(scores, np.asarray(plain["floor"], dtype=np.float64))


def interval_score(truth: object, lower: object, upper: object, level: float) -> Floats:
    """Return the interval score of each sample: its width, and what it misses by, times 2 / (1 - level). Low is good.

    Reference: Winkler 1972; Gneiting & Raftery 2007, Strictly Proper Scoring Rules, Prediction, and Estimation.

    Raises:
        ConfigurationError: if the shapes differ, or the level is none.

    >>> interval_score([0.0, 3.0], [-1.0, -1.0], [1.0, 1.0], level=0.9).round(1)
    array([ 2., 42.])
    """
    y, low, high = (np.asarray(one, dtype=np.float64) for one in (truth, lower, upper))
    if not y.shape == low.shape == high.shape:
        raise ConfigurationError(f"truth {y.shape}, lower {low.shape} and upper {high.shape} must be of one shape")
    missed = np.maximum(low - y, 0.0) + np.maximum(y - high, 0.0)
    return np.asarray(high - low + 2.0 / (1.0 - check_level(level)) * missed)


def scale(std: Floats, floor: Floats) -> Floats:
    """Return the units in which errors are measured, of the shape of `std` `[n, D]`; see `ValueScores`."""
    return np.where(floor > 0.0, std + floor, 1.0)


def _folds(scores: Scores) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return fifths of the samples, each with the rest, the same ones always."""
    n = len(scores.scores)
    order = np.random.default_rng(0).permutation(n)
    parts = np.array_split(order, min(_FOLDS, n))
    return [(part, np.setdiff1d(order, part)) for part in parts] if n > 1 else []


def _least_rest(n: int) -> int:
    return n - -(-n // _FOLDS)


def _kept(samples: int, outputs: int) -> NDArray[np.int64]:
    """Return which samples are kept, evenly: a hold-out may be sorted."""
    most = int(np.clip(_NUMBERS // outputs, *_SAMPLES))
    return np.unique(np.linspace(0, samples - 1, min(samples, most)).astype(np.int64))
