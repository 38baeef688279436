"""Calibration figures against closed forms, independent implementations and their defining identities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from rose.errors import ConfigurationError, PredictionError
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

SEEDS = st.integers(0, 2**32 - 1)


def classified(seed: int, n: int = 200, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.5), size=n)
    return p, np.array([rng.choice(classes, p=row) for row in p])


def test_calibrated_by_construction() -> None:
    # each claim of 3/4 comes true three times out of four, each claim of 1 always
    p = np.array([[0.75, 0.25]] * 4 + [[0.0, 1.0]] * 2)
    y = np.array([0, 0, 0, 1, 1, 1])
    curve = reliability_curve(p, y, bins=10)
    assert_allclose(curve.confidence, [0.75, 1.0])
    assert_allclose(curve.accuracy, [0.75, 1.0])
    assert curve.count.tolist() == [4, 2]
    assert expected_calibration_error(p, y, bins=10) == 0.0
    assert brier_decomposition(p, y).reliability == 0.0


def test_always_wrong_and_sure_of_it() -> None:
    p = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert expected_calibration_error(p, [1, 1]) == 1.0
    assert brier_decomposition(p, [1, 1]).brier == 2.0


@pytest.mark.parametrize("bins", [1, 3, 15])
def test_calibration_error_by_loops(bins: int) -> None:
    p, y = classified(0)
    confidence, correct = p.max(axis=1), p.argmax(axis=1) == y
    expected = 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = (confidence >= low) & ((confidence < high) | (b == bins - 1))
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(p, y, bins) == pytest.approx(expected, abs=1e-12)


def test_reliability_curve_as_in_sklearn() -> None:
    sklearn = pytest.importorskip("sklearn.calibration")
    p, y = classified(1, classes=2)
    top, correct = p.max(axis=1), p.argmax(axis=1) == y
    frequency, claimed = sklearn.calibration_curve(correct, top, n_bins=10)
    curve = reliability_curve(p, y, bins=10)
    assert_allclose(curve.accuracy, frequency)
    assert_allclose(curve.confidence, claimed)


def test_quantile_bins_are_equally_full() -> None:
    p, y = classified(2, n=1000)
    count = reliability_curve(p, y, bins=10, binning="quantile").count
    assert len(count) == 10
    assert count.max() - count.min() <= 2
    same = reliability_curve([[0.5, 0.5]] * 5, [0] * 5, bins=10, binning="quantile")
    assert same.count.tolist() == [5]


@given(SEEDS, st.integers(1, 40), st.integers(1, 5), st.integers(1, 20), st.sampled_from(["uniform", "quantile"]))
def test_brier_parts_add_up(seed: int, n: int, classes: int, bins: int, binning: Any) -> None:
    p, y = classified(seed, n, classes)
    parts = brier_decomposition(p, y, bins, binning)
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins
    assert parts.brier == pytest.approx(total, abs=1e-12)
    assert parts.brier == pytest.approx(((p - np.eye(classes)[y]) ** 2).sum() / n)
    assert min(parts.reliability, parts.resolution, parts.uncertainty) >= 0
    assert parts.resolution <= parts.uncertainty + 1e-12


@given(SEEDS)
def test_nothing_is_left_within_bins_of_equal_claims(seed: int) -> None:
    rng = np.random.default_rng(seed)
    claims = rng.choice([0.05, 0.35, 0.75], size=50)  # one to a bin
    p = np.column_stack([claims, 1 - claims])
    assert brier_decomposition(p, rng.integers(0, 2, 50), bins=10).within_bins == pytest.approx(0.0, abs=1e-12)


def test_coverage_of_calibrated_predictions_is_the_level() -> None:
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=20_000), rng.uniform(0.1, 3, size=20_000)
    y = rng.normal(mean, std)
    levels = np.linspace(0, 1, 11)
    assert_allclose(coverage(y, mean, std, levels), levels, atol=0.015)
    assert miscalibration_area(y, mean, std) < 0.01
    # half the spread: within +-z claimed, +-z/2 true
    assert coverage(y, mean, std / 2, 0.95) == pytest.approx(math.erf(1.96 / 2 / math.sqrt(2)), abs=0.015)
    assert miscalibration_area(y, mean, std / 2) > 0.1


def test_coverage_at_the_ends_and_without_spread() -> None:
    assert coverage([1.0, 2.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.5, 1.0]).tolist() == [0.5, 0.5, 1.0]
    assert coverage([np.inf], [0.0], [1.0], 0.99) == 0.0


@given(SEEDS, st.integers(1, 50))
def test_area_is_the_integral_of_the_curve(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    y, std = rng.normal(size=n) * 2, rng.uniform(0.5, 2, size=n)
    levels = (np.arange(20_000) + 0.5) / 20_000
    integral = np.abs(coverage(y, np.zeros(n), std, levels) - levels).mean()
    assert miscalibration_area(y, np.zeros(n), std) == pytest.approx(integral, abs=2e-4)


def test_area_at_its_extremes() -> None:
    assert miscalibration_area([0.0, 0.0], [0.0, 0.0], [1.0, 1.0]) == 0.5
    assert miscalibration_area([1e9], [0.0], [1.0]) == 0.5
    assert miscalibration_area([5.0], [0.0], [0.0]) == 0.5


@given(SEEDS, st.integers(2, 40), st.integers(1, 6))
def test_correlation_as_in_scipy(seed: int, n: int, values: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(seed)
    errors, uncertainty = rng.integers(0, values + 1, size=(2, n)).astype(float)
    found = error_correlation(errors, uncertainty)
    if len(set(errors)) == 1 or len(set(uncertainty)) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(stats.spearmanr(errors, uncertainty).statistic, abs=1e-12)


def test_correlation_where_it_is_not_defined() -> None:
    assert math.isnan(error_correlation([1.0], [1.0]))
    assert math.isnan(error_correlation([1.0, 1.0], [1.0, 2.0]))
    assert error_correlation([1.0, 2.0], [2.0, 1.0]) == -1.0
    assert error_correlation([1.0, 2.0, 3.0], [0.0, 1.0, np.inf]) == 1.0


@given(SEEDS, st.integers(1, 30), st.integers(1, 5))
def test_risk_is_the_mean_over_all_ways_to_break_ties(seed: int, n: int, values: int) -> None:
    rng = np.random.default_rng(seed)
    errors, uncertainty = rng.random(n), rng.integers(0, values, size=n).astype(float)
    curve = risk_coverage_curve(errors, uncertainty)
    again = risk_coverage_curve(errors[::-1], uncertainty[::-1])
    assert_allclose(curve.risk, again.risk)  # the order of samples says nothing
    assert curve.coverage[-1] == 1.0
    assert curve.risk[-1] == pytest.approx(errors.mean())
    assert curve.best_area <= curve.area + 1e-12
    assert risk_coverage_curve(errors, errors).area == pytest.approx(curve.best_area)
    assert_allclose(risk_coverage_curve(errors, np.zeros(n)).risk, errors.mean())


def test_sharpness() -> None:
    assert sharpness([2.0, 2.0]) == 2.0
    assert sharpness([0.0]) == 0.0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: expected_calibration_error([[0.5, 0.6]], [0]), PredictionError, "prediction 0, .* no set of probab"),
        (lambda: expected_calibration_error([[0.5, np.nan]], [0]), PredictionError, "no set of probabilities"),
        (lambda: expected_calibration_error([[1.5, -0.5]], [0]), PredictionError, "no set of probabilities"),
        (lambda: expected_calibration_error([[[0.5, 0.5]]], [0]), PredictionError, "average over members first"),
        (lambda: expected_calibration_error(np.empty((0, 2)), []), ConfigurationError, "at least one"),
        (
            lambda: expected_calibration_error([[0.5, 0.5]], [0, 1]),
            ConfigurationError,
            r"labels must have shape \(1,\), not \(2,\)",
        ),
        (
            lambda: expected_calibration_error([[0.5, 0.5]], [2]),
            ConfigurationError,
            "class numbers from 0 to 1, the columns of the true classes",
        ),
        (lambda: expected_calibration_error([[0.5, 0.5]], ["a"]), ConfigurationError, "columns of the true classes"),
        (lambda: expected_calibration_error([[0.5, 0.5]], [0], bins=0), ConfigurationError, "say how many"),
        (lambda: brier_decomposition([[0.5, 0.5]], [0], binning="x"), ConfigurationError, "'uniform' or 'quantile'"),  # type: ignore[arg-type]
        (lambda: coverage([0.0], [0.0], [-1.0], 0.5), PredictionError, "finite and not negative"),
        (lambda: coverage([0.0], [np.nan], [1.0], 0.5), PredictionError, "means must be finite"),
        (lambda: coverage([0.0], [0.0], [1.0], 1.5), ConfigurationError, "levels must be from 0 to 1"),
        (lambda: coverage([0.0, 1.0], [0.0], [1.0], 0.5), ConfigurationError, r"targets \(2,\)"),
        (lambda: sharpness([]), ConfigurationError, "n >= 1"),
        (lambda: sharpness([np.inf]), PredictionError, "finite"),
        (lambda: error_correlation([np.nan], [0.0]), ConfigurationError, "must not be NaN"),
        (lambda: risk_coverage_curve([], []), ConfigurationError, "n >= 1"),
        (lambda: risk_coverage_curve([1.0], [1.0, 2.0]), ConfigurationError, r"errors \(1,\)"),
    ],
)
def test_what_cannot_be_judged(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
