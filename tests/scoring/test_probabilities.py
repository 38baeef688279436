"""One tolerance for probabilities, by what they were computed in; and those that were rounded by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rose.arrays import probability_tolerance, two_columns
from rose.errors import ConfigurationError, PredictionError
from rose.scoring import METRICS, UQScorer, check_predictions, metrics, register_metric, register_uq, score, top_k
from rose.scoring.calibration import brier_decomposition, expected_calibration_error, reliability_curve
from rose.scoring.calibration.conformal import conformal_sets
from rose.scoring.calibration.temperature import temperature_scaling
from tests.scoring.conftest import probabilities
from tests.scoring.test_device import far  # noqa: F401  # a fixture

P = probabilities(4, 40, 3)
PLAIN = [m for m in metrics("classification") if "targets" not in m.needs]


def below_0(p: Any, by: float) -> Any:
    """The same with a number in the first member of each second candidate that is so far below 0."""
    p = p.copy()
    p[0, ::2] = [1.0 + by, -by, 0.0]
    return p


@pytest.mark.parametrize(("dtype", "by"), [(np.float16, 5e-3), (np.float32, 1e-8), (np.float32, 9e-5), (float, 1e-8)])
def test_what_rounding_leaves_below_0_counts_as_0(path: str, dtype: Any, by: float) -> None:
    p = below_0(P.astype(dtype), by)
    check_predictions(p, "classification")
    found, expected = score(p, PLAIN), score(np.maximum(p, 0), PLAIN, check=False)
    for name in found:
        assert (found[name] == expected[name]).all(), name
    assert top_k(p, 3, "bald")[0].tolist() == top_k(np.maximum(p, 0), 3, "bald", check=False)[0].tolist()


@pytest.mark.parametrize(("dtype", "by"), [(np.float16, 2e-2), (np.float32, 2e-4), (float, 2e-5)])
def test_what_no_rounding_explains_is_refused(path: str, dtype: Any, by: float) -> None:
    for p in (below_0(P.astype(dtype), by), P.astype(dtype) * dtype(1 + by)):
        for call in (lambda p=p: check_predictions(p, "classification"), lambda p=p: score(p, "margin")):
            with pytest.raises(PredictionError, match=r"outside \[0, 1\]|probabilities sum to"):
                call()
        with pytest.raises(PredictionError, match=r"prediction \d+, .*, is no set of probabilities"):
            expected_calibration_error(p[0], np.zeros(40, int))


def test_a_large_block_is_mended_in_pieces_that_change_no_bit(path: str) -> None:
    p = probabilities(20, 30_000, 10, np.float32)
    p[3, 12345] = 0.0
    p[3, 12345, :2] = [1.0, -1e-6]
    found, expected = score(p, "bald", threads=1), score(np.maximum(p, 0), "bald", threads=1)
    assert (found == expected).all()


def test_a_softmax_in_bfloat16_passes() -> None:
    torch = pytest.importorskip("torch")
    soft = torch.softmax(torch.randn(4, 60, 10, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16), dim=-1)
    assert (np.abs(soft.float().numpy().sum(axis=-1) - 1) > 1e-4).any()  # which float32 would not allow
    for given in (soft, list(soft), soft.requires_grad_()):
        check_predictions(given, "classification")
        assert score(given, "entropy").shape == (40 + 20,)
        assert UQScorer("classification").margin(given).shape == (60,)
    labels = np.arange(60) % 10
    assert 0 <= expected_calibration_error(soft[0], labels) <= 1
    assert temperature_scaling(soft[0], labels)(soft[1]).shape == (60, 10)
    with pytest.raises(PredictionError, match="probabilities sum to"):
        score(soft.detach().float(), "entropy")


def test_the_tolerance_follows_the_dtype() -> None:
    assert probability_tolerance(P.astype(">f4")) == probability_tolerance(np.float32(1)) == 1e-4
    assert probability_tolerance([P[0], P[1].astype(np.float16)]) == 1e-2
    assert probability_tolerance([]) == probability_tolerance([[0.5, 0.5]]) == probability_tolerance(P) == 1e-5
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": np.ones(3, np.float32), "dtype": np.ones(3)})
    assert probability_tolerance(table) == probability_tolerance(table["a"]) == 1e-4


def test_there_too(far: Any) -> None:  # noqa: F811
    p = below_0(P, 1e-8)
    np.testing.assert_allclose(score(far(p), "bald"), score(p, "bald"), atol=1e-14)
    with pytest.raises(PredictionError, match=r"member 0, candidate 0, column 0: .* outside \[0, 1\]"):
        score(far(below_0(P, 1e-3)), "bald")
    table = P.round(3)
    np.testing.assert_allclose(
        score(far(table), "bald", normalise=True), score(table, "bald", normalise=True), atol=1e-14
    )
    table[2, 7] = [0.5, 0.4, 0.0]
    with pytest.raises(PredictionError, match=r"member 2, candidate 7: probabilities sum to 0\.9"):
        score(far(table), "bald", normalise=True)


def test_users_metrics_see_nothing_below_0() -> None:
    @register_metric("logs", task="classification", direction="lower")
    def logs(p: Any) -> Any:
        assert (p >= 0).all()
        return np.zeros(p.shape[1])

    @register_uq("all_logs", task="classification")
    def all_logs(self: Any, p: Any) -> Any:
        assert (p >= 0).all()
        return np.zeros(p.shape[1])

    try:
        score(below_0(P, 1e-8), ["logs", "all_logs"])
    finally:
        METRICS.remove("logs")
        METRICS.remove("all_logs")


# --- rounded by hand ---------------------------------------------------------------------------------------------


def test_tables_of_three_decimals_are_normalised(path: str) -> None:
    table = probabilities(4, 200, 3).round(3)
    exact = table / table.sum(axis=2, keepdims=True)
    with pytest.raises(PredictionError, match=r"sum to (1.001|0.999), not 1; if they were rounded, normalise=True"):
        score(table, "entropy")
    for given in (table, list(table), table.tolist()):
        found = score(given, PLAIN, normalise=True)
        for name, scores in score(exact, PLAIN).items():
            assert (found[name] == scores).all(), name
    check_predictions(table, "classification", normalise=True)
    assert top_k(table, 5, "bald", normalise=True)[0].tolist() == top_k(exact, 5, "bald")[0].tolist()
    single = score(table.astype(np.float32), "entropy", normalise=True)
    np.testing.assert_allclose(single, score(exact, "entropy"), atol=1e-5)


def test_a_users_metric_sees_them_normalised() -> None:
    register_uq("first_column", task="classification")(lambda self, p: p[0, :, 0])
    try:
        table = probabilities(4, 200, 3).round(3)
        exact = table / table.sum(axis=2, keepdims=True)
        assert (score(table, "first_column", normalise=True) == exact[0, :, 0]).all()
    finally:
        METRICS.remove("first_column")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.5, 0.44, 0.0], "member 1, candidate 2: probabilities sum to 0.94, not 1, nor to within 5% of it"),
        ([0.5, 0.56, 0.0], "member 1, candidate 2: probabilities sum to 1.06, not 1, nor"),
        ([1.01, -0.01, 0.0], r"member 1, candidate 2, column 1: the prediction is -0.01, outside \[0, 1\]"),
        ([np.nan, 0.5, 0.5], "member 1, candidate 2, column 0: the prediction is nan"),
    ],
)
def test_what_cannot_be_normalised(row: list[float], message: str) -> None:
    p = P.copy()
    p[1, 2] = row
    for call in (
        lambda: score(p, "margin", normalise=True),
        lambda: top_k(p, 2, "margin", normalise=True),
        lambda: check_predictions(p, "classification", normalise=True),
    ):
        with pytest.raises(PredictionError, match=message):
            call()
    if np.isnan(row).any():
        assert np.isfinite(score(p, "margin", normalise=True, nan="omit")).all()


def test_values_have_no_sum() -> None:
    for call in (
        lambda: score([[1.0, 2.0], [2.0, 3.0]], "variance", normalise=True),
        lambda: check_predictions([[1.0, 2.0]], "regression", normalise=True),
    ):
        with pytest.raises(ConfigurationError, match="normalise=True divides probabilities by their sum"):
            call()


def test_calibration_of_rounded_tables() -> None:
    p = probabilities(1, 300, 4, seed=2)[0]
    labels = (p.cumsum(axis=1) > np.random.default_rng(0).random((300, 1))).argmax(axis=1)
    table = p.round(3)
    exact = table / table.sum(axis=1, keepdims=True)
    for function in (reliability_curve, expected_calibration_error, brier_decomposition, temperature_scaling):
        with pytest.raises(PredictionError, match=r"no set of probabilities: .* if they were rounded, normalise=True"):
            function(table, labels)  # type: ignore[operator]
    assert brier_decomposition(table, labels, normalise=True) == brier_decomposition(exact, labels)
    assert expected_calibration_error(table, labels, normalise=True) == expected_calibration_error(exact, labels)
    calibrate = temperature_scaling(table, labels, normalise=True)
    assert (calibrate(table) == temperature_scaling(exact, labels)(exact)).all()
    sets = conformal_sets(table, labels, level=0.9, normalise=True)
    assert (sets(table) == conformal_sets(exact, labels, level=0.9)(exact)).all()


# --- one column --------------------------------------------------------------------------------------------------


def test_one_column_is_made_two() -> None:
    p = np.array([[0.25, 1.0, 0.0], [0.5, 0.75, 0.5]])
    both = np.stack([1 - p, p], axis=-1)
    assert (two_columns(p[..., None]) == both).all()
    assert (two_columns(p[0]) == both[0]).all()
    assert (two_columns(p[0][:, None].tolist()) == both[0]).all()
    assert two_columns(p.astype(np.float32)[..., None]).dtype == np.float32
    assert two_columns(np.float32([1.0 + 1e-6, -1e-6])).tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert two_columns([]).shape == (0, 2)
    assert score(two_columns(p[..., None]), "margin").tolist() == [0.25, 0.75, 0.5]
    with pytest.raises(PredictionError, match=r"not of shape \(2, 3\); for stacked \[S, n\] give probabilities"):
        two_columns(p)
    with pytest.raises(PredictionError, match=r"probabilities\[1\] is 1.5, outside \[0, 1\] .*sigmoid"):
        two_columns([0.5, 1.5])
    with pytest.raises(ConfigurationError, match=r"y\[0\] is nan"):
        two_columns([np.nan], "y", ConfigurationError)


def test_one_column_where_two_are_needed_says_how() -> None:
    p = np.array([[0.25, 1.0, 0.0], [0.5, 0.75, 0.5]])
    for call in (
        lambda: score(p, "entropy"),
        lambda: top_k(p, 1, "entropy"),
        lambda: check_predictions(p, "classification"),
        lambda: UQScorer("classification").margin(p),
    ):
        with pytest.raises(
            PredictionError, match=r"if they are P\(class 1\), .*rose.arrays.two_columns\(p\[\.\.\., None"
        ):
            call()
    with pytest.raises(PredictionError, match=r"sum to 0.25, not 1; a single column P\(class 1\) is made two by"):
        score(p[..., None], "entropy")
    with pytest.raises(PredictionError, match="two_columns"):
        expected_calibration_error(p[0], [0, 1, 1])
