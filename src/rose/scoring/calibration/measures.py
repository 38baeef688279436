"""Measure whether the uncertainty is any good: predictions and true labels in, figures and curves out.

Classification takes mean probabilities `[n, C]` and labels `[n]` (the column of the true class); regression takes means
and standard deviations `[n]` and targets `[n]`; ranking takes any errors and any uncertainties `[n]`.

>>> p, y = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]], [0, 0, 1, 0]
>>> round(expected_calibration_error(p, y, bins=2), 6)  # says 75 %, is right in 75 %
0.0

Arrays may be anything that `rose.arrays` takes. Probabilities may be off by the rounding of what they were computed in;
those that were rounded by hand (to three decimals, say) are divided by their sums with `normalise=True`.

All raise `PredictionError` for predictions that are none (NaN, no probabilities, negative deviations) and
`ConfigurationError` for arrays that do not fit each other, or no samples: of nothing, nothing can be said.

These figures measure; they do not mend. `rose.scoring.calibration.temperature` mends overconfident probabilities, and
`rose.scoring.calibration.conformal` gives intervals and label sets with guaranteed coverage.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rose.arrays import as_numbers, as_vector
from rose.errors import ConfigurationError, PredictionError
from rose.scoring._truth import class_numbers
from rose.scoring.probabilities import mean_probabilities

Floats = NDArray[np.float64]
Binning = Literal["uniform", "quantile"]


@dataclass(frozen=True)
class ReliabilityCurve:
    """Set what was claimed against what came true, one entry for each bin that is not empty, all `[b]`."""

    confidence: Floats
    accuracy: Floats
    count: NDArray[np.int64]


@dataclass(frozen=True)
class BrierDecomposition:
    """Split the Brier score exactly: brier = reliability - resolution + uncertainty + within_bins.

    Attributes:
        brier: the mean squared distance from the true class, summed over classes: from 0 to 2.
        reliability: how far claims are from frequencies; 0 is perfect.
        resolution: how far frequencies differ between claims; larger is better.
        uncertainty: what the classes' frequencies alone would cost.
        within_bins: what comes of putting unlike claims into one bin; 0 where all claims of a bin are equal.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float


@dataclass(frozen=True)
class RiskCoverageCurve:
    """Hold the mean error over the most certain predictions, `risk [n]`, by the share that they are, `coverage [n]`.

    Attributes:
        area: the mean risk over all coverages; smaller is better.
        best_area: the area if predictions were ranked by their true errors, which none can beat.
    """

    coverage: Floats
    risk: Floats
    area: float
    best_area: float


def reliability_curve(
    probabilities: object, labels: object, bins: int = 15, binning: Binning = "uniform", *, normalise: bool = False
) -> ReliabilityCurve:
    """Compare accuracy with confidence (the largest probability), bin by bin.

    Args:
        probabilities: mean predictions `[n, C]`.
        labels: the true classes' columns `[n]`.
        bins: how many; "uniform" ones are equally wide on [0, 1], "quantile" ones equally full.
        binning: which of the two.
        normalise: divide probabilities by their sums, which must be within 5 % of 1.

    Reference: DeGroot & Fienberg 1983; Guo, Pleiss, Sun & Weinberger 2017, On Calibration of Modern Neural Networks.

    >>> curve = reliability_curve([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]], [0, 1, 1], bins=2)
    >>> curve.confidence.round(2), curve.accuracy.round(2), curve.count
    (array([0.8]), array([0.67]), array([3]))
    """
    p, y = classified(probabilities, labels, normalise)
    confidence = p.max(axis=1)
    groups = _bins(confidence, bins, binning)
    count, (claimed, correct) = _means(groups, confidence, p.argmax(axis=1) == y)
    return ReliabilityCurve(claimed, correct, count)


def expected_calibration_error(
    probabilities: object, labels: object, bins: int = 15, binning: Binning = "uniform", *, normalise: bool = False
) -> float:
    """Return the mean distance between confidence and accuracy: from 0 (calibrated) to 1.

    Formula: sum_b n_b / n |accuracy_b - confidence_b|. Depends on the bins, and is biased upwards where they hold few
    samples: compare only equal n and bins.

    Reference: Naeini, Cooper & Hauskrecht 2015; Guo et al. 2017.
    """
    curve = reliability_curve(probabilities, labels, bins, binning, normalise=normalise)
    return float(np.average(np.abs(curve.accuracy - curve.confidence), weights=curve.count))


def brier_decomposition(
    probabilities: object, labels: object, bins: int = 15, binning: Binning = "uniform", *, normalise: bool = False
) -> BrierDecomposition:
    """Return the Brier score in three parts that mean something, and one that the bins bring in; summed over classes.

    Reference: Murphy 1973; for binned forecasts, Stephenson, Coelho & Jolliffe 2008.

    >>> parts = brier_decomposition([[1.0, 0.0], [0.0, 1.0]], [0, 1])
    >>> parts.brier, parts.reliability, parts.resolution, parts.uncertainty
    (0.0, 0.0, 0.5, 0.5)
    """
    p, y = classified(probabilities, labels, normalise)
    truth = np.eye(p.shape[1])[y]
    reliability = resolution = uncertainty = 0.0
    for column, happened in zip(p.T, truth.T, strict=True):
        base = float(happened.mean())
        count, (claimed, frequency) = _means(_bins(column, bins, binning), column, happened)
        reliability += float(np.average((claimed - frequency) ** 2, weights=count))
        resolution += float(np.average((frequency - base) ** 2, weights=count))
        uncertainty += base * (1.0 - base)
    brier = float(((p - truth) ** 2).sum(axis=1).mean())
    return BrierDecomposition(
        brier, reliability, resolution, uncertainty, brier - (reliability - resolution + uncertainty)
    )


def coverage(targets: object, mean: object, std: object, levels: object) -> Floats:
    """Return the share of targets within the central Gaussian interval of each level, the shape of `levels`.

    Calibrated predictions give back the levels. A standard deviation of 0 covers an exact hit, at any level.

    Reference: Kuleshov, Fenner & Ermon 2018, Accurate Uncertainties for Deep Learning Using Calibrated Regression.

    >>> coverage([0.0, 1.0, 3.0], mean=[0, 0, 0], std=[1, 1, 1], levels=[0.5, 0.95])
    array([0.33333333, 0.66666667])
    """
    at = as_numbers(levels, "levels").astype(np.float64)
    if not ((at >= 0) & (at <= 1)).all():
        raise ConfigurationError(f"levels must be from 0 to 1, not {at.min()} to {at.max()}")
    needed = np.sort(_needed_levels(targets, mean, std))
    return np.asarray(np.searchsorted(needed, at, side="right") / len(needed))


def miscalibration_area(targets: object, mean: object, std: object) -> float:
    """Return the area between the curve of `coverage` over the levels and the diagonal: from 0 (calibrated) to 1/2.

    Exact for the given samples: the curve is a staircase.

    Reference: Kuleshov et al. 2018; Tran et al. 2020, Methods for comparing uncertainty quantifications.

    >>> miscalibration_area([0.0], mean=[0.0], std=[1.0])  # covered at any level
    0.5
    """
    needed = np.sort(_needed_levels(targets, mean, std))
    edges = np.concatenate([[0.0], needed, [1.0]])
    height = np.arange(len(needed) + 1) / len(needed)  # of the stair between two edges
    # The integral of |h - p| is (p - h)|p - h| / 2, with no case for a diagonal that crosses the stair
    upper, lower = edges[1:] - height, edges[:-1] - height
    return float((upper * np.abs(upper) - lower * np.abs(lower)).sum() / 2)


def sharpness(std: object) -> float:
    """Return the root mean square of the predicted standard deviations: small is good, if calibrated.

    Reference: Gneiting, Balabdaoui & Raftery 2007, Probabilistic forecasts, calibration and sharpness.

    >>> sharpness([3.0, 4.0]) == 12.5**0.5
    True
    """
    return float(np.sqrt(np.mean(_deviations(std) ** 2)))


def error_correlation(errors: object, uncertainty: object) -> float:
    """Return Spearman's rank correlation of errors with uncertainty: 1 if the more uncertain is always the more wrong.

    NaN where it is not defined: fewer than two samples, or all errors (or all uncertainties) equal. Ties share a rank.

    Args:
        errors: `[n]` of any kind: absolute or squared errors, 0 and 1 for right and wrong, negative log-likelihood.
        uncertainty: `[n]`, higher meaning more uncertain (negate a margin).

    >>> error_correlation([0.1, 0.2, 0.9], [1.0, 2.0, 30.0])
    1.0
    """
    a, b = (_ranks(x) for x in _paired(errors, uncertainty))
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(np.clip(a @ b / scale, -1.0, 1.0)) if scale > 0 else math.nan


def risk_coverage_curve(errors: object, uncertainty: object) -> RiskCoverageCurve:
    """Return how wrong one would be in answering only the most certain share of the questions.

    Equal uncertainties cannot be told apart: each counts with their mean error.

    Reference: El-Yaniv & Wiener 2010; Geifman & El-Yaniv 2017, Selective Classification for Deep Neural Networks.

    >>> curve = risk_coverage_curve([0.0, 1.0, 0.0, 1.0], [0.1, 0.9, 0.2, 0.8])
    >>> curve.coverage, curve.risk.round(2), curve.area == curve.best_area
    (array([0.25, 0.5 , 0.75, 1.  ]), array([0.  , 0.  , 0.33, 0.5 ]), True)
    """
    wrong, unsure = _paired(errors, uncertainty)
    values, group = np.unique(unsure, return_inverse=True)
    shared = np.bincount(group, weights=wrong, minlength=len(values)) / np.bincount(group, minlength=len(values))
    n = np.arange(1, len(wrong) + 1)
    risk = np.cumsum(shared[np.sort(group)]) / n
    best = np.cumsum(np.sort(wrong)) / n
    return RiskCoverageCurve(n / len(n), risk, float(risk.mean()), float(best.mean()))


def classified(
    probabilities: object, labels: object, normalise: bool = False
) -> tuple[Floats, NDArray[np.int64]]:  # fmt: skip
    """Return mean probabilities `[n, C]` and labels `[n]`, checked.

    Raises:
        PredictionError: for what are no probabilities.
        ConfigurationError: for labels that are no columns of theirs, or no samples.
    """
    p = mean_probabilities(probabilities, normalise)
    if not len(p):
        raise ConfigurationError("there are no predictions; give at least one")
    return p, class_numbers(labels, len(p), p.shape[1], "labels").astype(np.int64)


def _bins(values: Floats, bins: int, binning: Binning) -> NDArray[np.int64]:
    """Return the bin of each value in [0, 1]; a value on an edge belongs to the upper bin, 1 to the last."""
    if bins < 1 or binning not in ("uniform", "quantile"):
        raise ConfigurationError(f"bins={bins!r}, binning={binning!r}: say how many, and 'uniform' or 'quantile'")
    inner = np.arange(1, bins) / bins
    edges = inner if binning == "uniform" else np.quantile(values, inner)
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def _means(groups: NDArray[np.int64], *values: NDArray[np.generic]) -> tuple[NDArray[np.int64], list[Floats]]:
    """Return how many there are in each bin that is not empty, and their mean values."""
    count = np.bincount(groups)
    full = count > 0
    return count[full], [np.bincount(groups, weights=v)[full] / count[full] for v in values]


def _deviations(std: object) -> Floats:
    s = as_vector(std, "standard deviations", PredictionError).astype(np.float64)
    if s.ndim != 1 or not len(s):
        raise ConfigurationError(f"standard deviations must be [n] with n >= 1, not of shape {s.shape}")
    if not (np.isfinite(s) & (s >= 0)).all():
        raise PredictionError("standard deviations must be finite and not negative")
    return s


def _needed_levels(targets: object, mean: object, std: object) -> Floats:
    """Return the level `[n]` at which each target comes to lie within its interval: erf(|y - mean| / (std sqrt 2))."""
    y = as_vector(targets, "targets").astype(np.float64)
    m, s = as_vector(mean, "means", PredictionError).astype(np.float64), _deviations(std)
    if not y.shape == m.shape == s.shape:
        raise ConfigurationError(f"targets {y.shape}, means {m.shape}, standard deviations {s.shape}: all must be [n]")
    if not np.isfinite(m).all() or np.isnan(y).any():
        raise PredictionError("means must be finite, and no target NaN")
    off = np.abs(y - m)
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.where(off > 0, off / s, 0.0)  # an exact hit is covered however sure the prediction was
    return np.array([math.erf(z / math.sqrt(2.0)) for z in away.tolist()])


def _paired(errors: object, uncertainty: object) -> tuple[Floats, Floats]:
    e, u = (as_vector(x, name).astype(np.float64) for x, name in ((errors, "errors"), (uncertainty, "uncertainty")))
    if e.ndim != 1 or e.shape != u.shape or not len(e):
        raise ConfigurationError(f"errors {e.shape} and uncertainty {u.shape} must both be [n], n >= 1")
    if np.isnan(e).any() or np.isnan(u).any():
        raise ConfigurationError("errors and uncertainty must not be NaN")
    return e, u


def _ranks(values: Floats) -> Floats:
    """Return the ranks 1, 2, ..., n; equal values share their mean rank."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[group])
