"""Conformal intervals and sets hold the truth as often as they say."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from rose.errors import ConfigurationError, MissingPackageError, PredictionError
from rose.scoring.calibration.conformal import conformal_intervals, conformal_sets
from rose.scoring.calibration.holdout import interval_score

RNG = np.random.default_rng(0)
HOLD, NEW = slice(0, 1000), slice(1000, 21000)
STD = RNG.gamma(2.0, size=21000)
MEAN = RNG.normal(size=21000)
Y = MEAN + STD * RNG.standard_t(3, size=21000)  # heavier tails than the ensemble's Gaussian
Z = RNG.normal(size=(21000, 5))
P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
LABELS = (P.cumsum(axis=1) > RNG.random((21000, 1))).argmax(axis=1)
SURE = np.exp(3 * Z) / np.exp(3 * Z).sum(axis=1, keepdims=True)  # overconfident


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
@pytest.mark.parametrize("scaled", [False, True])
def test_intervals_cover_what_they_promise(level: float, scaled: bool) -> None:
    def parts(at: slice) -> tuple[Any, ...]:
        return (MEAN[at], STD[at]) if scaled else (MEAN[at],)

    intervals = conformal_intervals(Y[HOLD], *parts(HOLD), level=level)
    lower, upper = intervals(*parts(NEW))
    # The share covered given one hold-out of 1,000 is beta-distributed around the level: 4 deviations.
    assert np.mean((lower <= Y[NEW]) & (Y[NEW] <= upper)) == pytest.approx(level, abs=4 * (level / 4000) ** 0.5)
    np.testing.assert_allclose((upper + lower) / 2, MEAN[NEW], atol=1e-9)
    width = (upper - lower) / (STD[NEW] + np.median(STD[HOLD]) if scaled else 1.0)
    np.testing.assert_allclose(width, width[0])


def test_the_width_is_the_order_statistic() -> None:
    floor = np.median(STD[HOLD])
    residuals = np.sort(np.abs(Y[HOLD] - MEAN[HOLD]) / (STD[HOLD] + floor))
    lower, upper = conformal_intervals(Y[HOLD], MEAN[HOLD], STD[HOLD], level=0.9)([0.0], [2.0])
    assert upper[0] == pytest.approx((2.0 + floor) * residuals[int(np.ceil(1001 * 0.9)) - 1])
    assert lower[0] == -upper[0]


def test_the_gaussian_interval_covers_less() -> None:
    """What conformal prediction is for: the ensemble's own interval of 95 % is too narrow for heavy tails."""
    assert np.mean(np.abs(Y[NEW] - MEAN[NEW]) <= 1.96 * STD[NEW]) < 0.9


@pytest.mark.parametrize("method", ["lac", "aps", "raps", "top_k"])
def test_sets_cover_what_they_promise(method: Any) -> None:
    at = np.arange(4000)
    sets = conformal_sets(SURE[HOLD], LABELS[HOLD], level=0.9, method=method)(SURE[NEW][:4000])
    assert sets.shape == (4000, 5)
    covered = sets[at, LABELS[NEW][:4000]].mean()
    assert covered > 0.9 - 4 * (0.9 * 0.1 / 1000) ** 0.5
    if method == "lac":  # the others include the class that crosses the bound, and so cover more
        assert covered < 0.9 + 4 * (0.9 * 0.1 / 1000) ** 0.5


def test_a_class_that_the_hold_out_lacks() -> None:
    seen = LABELS[HOLD] != 3
    sets = conformal_sets(SURE[HOLD][seen], LABELS[HOLD][seen], level=0.9)(SURE[NEW])
    known = LABELS[NEW] != 3
    assert sets[known, LABELS[NEW][known]].mean() > 0.88


def drawn(n: int, classes: list[int], of: int, seed: int = 0) -> tuple[Any, Any]:
    """Probabilities of `of` classes, and labels drawn from them, of which only `classes` occur."""
    rng = np.random.default_rng(seed)
    p = np.zeros((n, of))
    p[:, classes] = rng.dirichlet(np.ones(len(classes)), n)
    labels = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    p = 0.9 * p + 0.1 / of  # all classes are thought possible
    return p, labels


@pytest.mark.parametrize("method", ["lac", "aps", "raps", "top_k"])
@pytest.mark.parametrize(("classes", "of"), [([0, 1], 2), ([0, 1], 5), ([1, 3], 4), ([2], 5), ([1], 2), ([0], 1)])
def test_few_classes_and_classes_that_do_not_occur(method: Any, classes: list[int], of: int) -> None:
    p, labels = drawn(4000, classes, of)
    new, truth = drawn(4000, classes, of, seed=1)
    sets = conformal_sets(p, labels, level=0.9, method=method)(new)
    assert sets.shape == (4000, of)
    assert sets[np.arange(4000), truth].mean() > 0.9 - 4 * (0.9 * 0.1 / 4000) ** 0.5 - 4 * (0.09 / 4000) ** 0.5
    if method == "aps" and of == 2:
        assert 1.0 < sets.sum(axis=1).mean() < 2.0 or len(classes) == 1  # they say something
    again = conformal_sets(p, labels, level=0.9, method=method)(new)
    assert (sets == again).all()


def test_raps_says_what_it_needs() -> None:
    p, labels = drawn(200, [0, 1, 2], 3)
    with pytest.raises(ConfigurationError, match=r"'raps' sets a fifth .* aside: 16 samples .* at least 19 there"):
        conformal_sets(p[:80], labels[:80], method="raps")
    labels[labels == 1] = 0
    labels[5] = 1
    with pytest.raises(ConfigurationError, match="at least twice, but there is one of class 1: leave it out"):
        conformal_sets(p, labels, method="raps")
    assert conformal_sets(p, labels, method="aps")(p).shape == (200, 3)
    many = np.full((100, 50), 0.02)
    with pytest.raises(ConfigurationError, match="must hold each of the 50 classes: give at least 250 samples"):
        conformal_sets(many, np.arange(100) % 50, level=0.9, method="raps")


def test_uncertainties_that_say_nothing() -> None:
    """Where members agree by chance, the floor holds; where they always agree, all intervals are equally wide."""
    std = STD[HOLD].copy()
    std[7] = 0.0
    lower, upper = conformal_intervals(Y[HOLD], MEAN[HOLD], std)([0.0], [0.0])
    assert 0 < upper[0] - lower[0] < 100
    plain = conformal_intervals(Y[HOLD], MEAN[HOLD])([0.0])
    for same in (0.0, 3.0, 1e-15):
        same_width = conformal_intervals(Y[HOLD], MEAN[HOLD], np.full(1000, same))([0.0], [same])
        np.testing.assert_allclose(same_width, plain)


def test_intervals_by_class_hold_of_each() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(4000) < 0.1).astype(int)  # one in ten, which the models mostly miss
    p = np.clip(rng.normal(0.2 + 0.2 * labels, 0.1), 0.01, 0.99)
    p = np.stack([1 - p, p], axis=1)
    for by_class, least, most in ((False, 0.0, 0.7), (True, 0.85, 0.95)):
        sets = conformal_sets(p[:2000], labels[:2000], level=0.9, by_class=by_class)(p[2000:])
        assert least < sets[labels[2000:] == 1, 1].mean() < most
    few = np.r_[np.zeros(50, int), np.ones(5, int)]
    assert conformal_sets(p[:55], few, level=0.9, by_class=True)(p)[:, 1].all(), "5 samples promise nothing"


def test_scaled_intervals_are_narrower_where_the_uncertainty_tells() -> None:
    scaled = conformal_intervals(Y[HOLD], MEAN[HOLD], STD[HOLD], level=0.9)(MEAN[NEW], STD[NEW])
    plain = conformal_intervals(Y[HOLD], MEAN[HOLD], level=0.9)(MEAN[NEW])
    assert interval_score(Y[NEW], *scaled, 0.9).mean() < 0.95 * interval_score(Y[NEW], *plain, 0.9).mean()


@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_intervals_do_not_depend_on_the_unit(unit: float) -> None:
    lower, upper = conformal_intervals(Y[HOLD], MEAN[HOLD], STD[HOLD])(MEAN[NEW], STD[NEW])
    scaled = conformal_intervals(unit * Y[HOLD], unit * MEAN[HOLD], unit * STD[HOLD])(unit * MEAN[NEW], unit * STD[NEW])
    np.testing.assert_allclose(scaled[0] / unit, lower, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scaled[1] / unit, upper, rtol=1e-6, atol=1e-6)


def test_probabilities_of_a_narrow_type_and_no_samples() -> None:
    sets = conformal_sets(SURE[HOLD].astype(np.float16), LABELS[HOLD], level=0.9)
    assert sets(SURE[NEW][:10].astype(np.float16)).shape == (10, 5)
    assert sets(np.empty((0, 5))).shape == (0, 5)
    assert conformal_intervals(Y[HOLD], MEAN[HOLD])([])[0].shape == (0,)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: conformal_intervals(Y[:8], MEAN[:8], level=0.9), ConfigurationError, "8 samples .* at least 9"),
        (lambda: conformal_sets(P[:18], LABELS[:18]), ConfigurationError, "18 samples .* at least 19"),
        (lambda: conformal_intervals(Y[:50], MEAN[:50], level=1.0), ConfigurationError, "between 0 and 1"),
        (
            lambda: conformal_intervals(Y[:50], MEAN[:49]),
            ConfigurationError,
            r"targets must have shape \(49,\), not \(50,\)",
        ),
        (lambda: conformal_intervals(Y[:50], MEAN[:50], STD[:49]), ConfigurationError, r"uncertainties \(49,\)"),
        (lambda: conformal_intervals(Y[:50], P[:50]), PredictionError, r"means must be \[n\]"),
        (lambda: conformal_intervals(Y[:50], np.full(50, np.nan)), PredictionError, "means must be finite"),
        (lambda: conformal_intervals(np.full(50, np.inf), MEAN[:50]), ConfigurationError, "targets must be finite"),
        (lambda: conformal_intervals(Y[:50], MEAN[:50], -STD[:50]), PredictionError, "not negative"),
        (lambda: conformal_intervals(Y[:50], MEAN[:50])(MEAN[:5], STD[:5]), ConfigurationError, "made with none"),
        (lambda: conformal_intervals(Y[:50], MEAN[:50], STD[:50])(MEAN[:5]), ConfigurationError, "made with one"),
        (lambda: conformal_sets(P[:50], LABELS[:50], method="x"), ConfigurationError, "method='x' is none of"),  # type: ignore[arg-type]
        (lambda: conformal_sets(P[:50], LABELS[:50], method="aps", by_class=True), ConfigurationError, "goes with"),
        (lambda: conformal_sets(P[:50], LABELS[:50])(P[:5, :4]), PredictionError, r"must be \[n, 5\]"),
        (lambda: conformal_sets(P[:50], LABELS[:50])(P[:5] * 2), PredictionError, "no set of probabilities"),
    ],
)
def test_what_cannot_be(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_without_mapie_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mapie", "mapie.classification"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match=r"needs MAPIE .*: pip install 'rose-uq\[conformal\]'") as caught:
        conformal_sets(P[:50], LABELS[:50], method="aps")
    assert isinstance(caught.value, ImportError)
    assert conformal_sets(P[:50], LABELS[:50])(P).shape == P.shape, "what needs a quantile only needs no package"


def test_an_old_mapie_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    monkeypatch.setitem(sys.modules, "mapie.classification", types.ModuleType("mapie.classification"))
    with pytest.raises(MissingPackageError, match=r"needs MAPIE 1\.0 or newer"):
        conformal_sets(P[:50], LABELS[:50], method="aps")


@pytest.mark.parametrize("level", ["a", None, 0.0, 1.0, float("nan")])
def test_a_level_that_is_none_is_named(level):
    with pytest.raises(ConfigurationError, match=r"level=.* must lie between 0 and 1"):
        conformal_intervals(np.arange(50.0), np.zeros(50), level=level)
