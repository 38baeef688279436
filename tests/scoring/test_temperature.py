"""Temperature scaling against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from rose.errors import ConfigurationError, PredictionError
from rose.scoring.calibration import expected_calibration_error
from rose.scoring.calibration.temperature import temperature_scaling
from tests.scoring.conftest import probabilities

P = probabilities(1, 6000, 4, seed=3)[0]
LABELS = (P.cumsum(axis=1) > np.random.default_rng(1).random((6000, 1))).argmax(axis=1)
SURE = P**3 / (P**3).sum(axis=1, keepdims=True)  # what a temperature of 3 mends
HOLD, NEW = slice(0, 3000), slice(3000, 6000)


def likelihood(p: np.ndarray, labels: np.ndarray) -> float:
    return float(-np.log(np.maximum(p[np.arange(len(labels)), labels], 1e-300)).mean())


def test_the_temperature_is_found_and_lowers_the_negative_log_likelihood() -> None:
    calibrate = temperature_scaling(SURE[HOLD], LABELS[HOLD])
    assert calibrate.temperature == pytest.approx(3.0, rel=0.1)
    mended = calibrate(SURE[NEW])
    assert likelihood(mended, LABELS[NEW]) < 0.7 * likelihood(SURE[NEW], LABELS[NEW])
    assert expected_calibration_error(mended, LABELS[NEW]) < 0.03 < expected_calibration_error(SURE[NEW], LABELS[NEW])
    assert (mended.argmax(axis=1) == SURE[NEW].argmax(axis=1)).all()


def test_it_is_the_power_that_the_formula_says() -> None:
    calibrate = temperature_scaling(SURE[HOLD], LABELS[HOLD])
    p = np.array([[0.7, 0.2, 0.1, 0.0]])
    power = p ** (1 / calibrate.temperature)
    np.testing.assert_allclose(calibrate(p)[:, :3], (power / power.sum())[:, :3], atol=1e-4)


def test_no_other_temperature_is_better_on_the_hold_out() -> None:
    calibrate = temperature_scaling(SURE[HOLD], LABELS[HOLD])
    best = likelihood(calibrate(SURE[HOLD]), LABELS[HOLD])
    for factor in (0.9, 1.1):
        power = SURE[HOLD] ** (1 / (factor * calibrate.temperature))
        assert likelihood(power / power.sum(axis=1, keepdims=True), LABELS[HOLD]) > best


def test_two_classes_missing_classes_and_narrow_types() -> None:
    two = temperature_scaling(np.tile([[0.9, 0.1]], (100, 1)), [0] * 75 + [1] * 25)
    np.testing.assert_allclose(two([[0.9, 0.1], [0.1, 0.9]]), [[0.75, 0.25], [0.25, 0.75]], atol=1e-5)
    seen = LABELS[HOLD] != 2
    with_less = temperature_scaling(SURE[HOLD][seen], LABELS[HOLD][seen])
    assert with_less(SURE[NEW]).shape == (3000, 4)
    assert temperature_scaling(SURE[HOLD].astype(np.float16), LABELS[HOLD]).temperature == pytest.approx(3.0, rel=0.2)
    assert two(np.empty((0, 2))).shape == (0, 2)


def test_what_cannot_be() -> None:
    with pytest.raises(ConfigurationError, match="at least two classes"):
        temperature_scaling(np.ones((5, 1)), np.zeros(5, dtype=int))
    with pytest.raises(PredictionError, match="no set of probabilities"):
        temperature_scaling(2 * P, LABELS)
    calibrate = temperature_scaling(SURE[HOLD], LABELS[HOLD])
    with pytest.raises(PredictionError, match=r"must be \[n, 4\]"):
        calibrate(SURE[:, :3])


def test_it_is_applied_only_where_it_helps() -> None:
    honest = temperature_scaling(P[:60], LABELS[:60])
    assert honest.gain < 0.05
    assert not honest.helps
    assert honest.temperature == 1.0 != honest.fitted
    np.testing.assert_allclose(honest(P), P, atol=1e-12)


@pytest.mark.parametrize(
    ("p", "labels", "bound"),
    [
        (np.tile([[0.6, 0.4], [0.3, 0.7]], (50, 1)), [0, 1] * 50, "e\\^-10: each label of the hold-out is the most"),
        (np.tile([[0.6, 0.3, 0.1]], (50, 1)), [0] * 50, "e\\^-10"),
        (np.tile([[0.9, 0.1]], (100, 1)), [0] * 40 + [1] * 60, "e\\^10: predictions tell no more"),
    ],
)
def test_a_temperature_that_ran_to_its_bound_says_so(p: np.ndarray, labels: list[int], bound: str) -> None:
    with pytest.warns(UserWarning, match=f"the temperature .* ran to its bound {bound}") as caught:
        calibrate = temperature_scaling(p, labels)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert calibrate.at_bound
    assert np.isfinite(calibrate.temperature)
    assert np.isfinite(calibrate(p)).all()


def test_a_temperature_within_its_bounds_says_nothing() -> None:
    assert not temperature_scaling(SURE[HOLD], LABELS[HOLD]).at_bound
