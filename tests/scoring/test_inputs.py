"""What predictions may be, and what is said when they are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose.errors import ConfigurationError, PredictionError, UnknownMetricError
from rose.scoring import check_predictions, score
from rose.scoring.blocks import each_block, thread_count
from tests.scoring.conftest import probabilities, values

P = probabilities(3, 6, 4)
X = values(3, 6)


@pytest.mark.parametrize(
    ("mc_preds", "message"),
    [
        (0.5, r"must be \[S, N\] or \[S, N, C\], not of shape \(\)"),
        (np.zeros(3), r"not of shape \(3,\)"),
        (np.zeros((2, 2, 2, 2)), r"not of shape \(2, 2, 2, 2\)"),
        (np.zeros((0, 5, 2)), "holds no member: S = 0"),
        ([], r"not of shape \(0,\)"),
        (np.zeros((2, 5, 0)), "C > 0"),
        (np.zeros((2, 5, 2), dtype=complex), "dtype complex128"),
        (np.zeros((2, 5, 2), dtype=np.longdouble), "use float16, float32 or float64"),
        (np.zeros((2, 5, 2), dtype=bool), "dtype bool"),
        ([["a", "b"]], "dtype <U1"),
        ([[0.1, 0.2], [0.1]], "is no array"),
        ([P[0], P[1, :5]], r"member 1 has shape \(5, 4\), but member 0 has \(6, 4\)"),
        ("one.npy", "is one path; give a list of S paths"),
        (["nowhere.npy"], "cannot read predictions from 'nowhere.npy'"),
    ],
)
def test_unusable_predictions(mc_preds: Any, message: str) -> None:
    with pytest.raises(PredictionError, match=message):
        score(mc_preds, "predictive_entropy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((1, 2, 3, np.nan), "member 1, candidate 2, column 3: the prediction is nan, not a finite number"),
        ((2, 0, 1, np.inf), "member 2, candidate 0, column 1: the prediction is inf, not a finite number"),
        ((0, 5, 0, -0.25), r"member 0, candidate 5, column 0: the prediction is -0.25, outside \[0, 1\]"),
        ((1, 1, 1, 7.0), r"is 7.0, outside \[0, 1\] \(are these logits\? apply softmax\)"),
    ],
)
def test_a_wrong_probability_is_named(path: str, change: tuple[int, int, int, float], message: str) -> None:
    p = P.copy()
    p[change[:3]] = change[3]
    for call in (lambda: score(p, "margin"), lambda: check_predictions(p, "classification")):
        with pytest.raises(PredictionError, match=message):
            call()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_that_do_not_sum_to_one_are_named(path: str, dtype: Any) -> None:
    check_predictions(P.astype(dtype), "classification")
    p = P.astype(dtype)
    p[1, 4] *= 0.9
    with pytest.raises(PredictionError, match=r"member 1, candidate 4: probabilities sum to 0.\d+, not 1"):
        check_predictions(p, "classification")
    with pytest.raises(PredictionError, match=r"member 1, candidate 4: probabilities sum to 0.\d+, not 1"):
        score(p, "margin")
    assert score(p, "margin", check=False).shape == (6,)


def test_softmax_in_a_narrow_type_passes(path: str) -> None:
    logits = np.random.default_rng(0).normal(size=(4, 500, 1000)).astype(np.float32)
    e = np.exp(logits)
    check_predictions(e / e.sum(axis=2, keepdims=True), "classification")
    half = (e / e.sum(axis=2, keepdims=True)).astype(np.float16)
    score(half, "margin")


def test_values_may_be_anything_finite() -> None:
    check_predictions(X * 1e6, "regression")
    with pytest.raises(PredictionError, match="member 0, candidate 1: the prediction is nan"):
        check_predictions([[1.0, np.nan]], "regression")
    check_predictions([[1.0, np.nan]], "regression", nan="omit")
    with pytest.raises(PredictionError, match="is inf"):
        check_predictions([[1.0, np.inf]], "regression", nan="omit")
    with pytest.raises(ConfigurationError, match="task='ranking'"):
        check_predictions(X, "ranking")


def test_shapes_are_held_against_the_task() -> None:
    with pytest.raises(PredictionError, match=r"classification needs probabilities \[S, N, C\], not shape \(3, 6\)"):
        score(X, "margin")
    with pytest.raises(PredictionError, match="declare reduction="):
        score(P, "variance")


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        ("nll", {}, "negative_log_likelihood needs y_true"),
        ("brier", {"y_true": [0, 1]}, r"y_true must have shape \(6,\), not \(2,\)"),
        ("brier", {"y_true": [0, 1, 2, 3, 4, 0]}, "class numbers from 0 to 3"),
        ("brier", {"y_true": [0, 1, 2, 3, -1, 0]}, "class numbers from 0 to 3"),
        ("brier", {"y_true": [0.5] * 6}, "class numbers from 0 to 3"),
        ("margin", {"nan": "drop"}, "nan='drop' must be 'raise' or 'omit'"),
        ("margin", {"level": 1.0}, "level=1.0 must lie between 0 and 1"),
        ("margin", {"level": "a"}, "level='a' must lie between 0 and 1"),
        ("margin", {"level": None}, "level=None must lie between 0 and 1"),
        ("margin", {"block_size": "a"}, "block_size='a' must be a whole number"),
        ("margin", {"threads": 0}, "threads=0 must be 1 or more"),
        ("margin", {"block_size": 0}, "block_size=0 must be a whole number of 1 or more"),
        ("variance", {"reduction": "median"}, "reduction='median' is none of mean, max, sum, norm"),
        (["margin", "variance"], {}, "metrics of different task types in one call"),
    ],
)
def test_options_that_cannot_be(metric: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        score(P, metric, **options)


def test_variances_are_held_against_the_values() -> None:
    with pytest.raises(ConfigurationError, match="total_variance needs variances"):
        score(X, "total_variance")
    with pytest.raises(PredictionError, match=r"variances have shape \(3, 5\), but mc_preds \(3, 6\)"):
        score(X, "total_variance", variances=np.ones((3, 5)))
    bad = np.ones((3, 6))
    for value in (-1.0, np.nan, np.inf):
        bad[2, 4] = value
        with pytest.raises(PredictionError, match="member 2, candidate 4: the variance is"):
            score(X, "total_variance", variances=bad)


def test_an_unknown_metric_has_a_near_miss() -> None:
    with pytest.raises(UnknownMetricError, match="did you mean 'predictive_entropy'"):
        score(P, "predictiv_entropy")
    with pytest.raises(KeyError):
        score(P, "nothing of the kind")


def test_missing_members_leave_enough() -> None:
    x = X.copy()
    x[:2, 3] = np.nan
    with pytest.raises(PredictionError, match="candidate 3: 1 of 3 members are not NaN, but 2 are needed"):
        score(x, "variance", nan="omit")
    x[2, 3] = np.nan
    with pytest.raises(PredictionError, match="candidate 3: 0 of 3 members"):
        score(x, "crps", y_true=np.zeros(6), nan="omit")


def test_missing_members_are_dropped_with_their_variance(path: str) -> None:
    x, v = values(4, 9), np.ones((4, 9))
    x[1, 3], v[2, 5] = np.nan, np.nan
    found = score(x, "total_variance", variances=v, nan="omit")
    assert found[3] == pytest.approx(1.0 + x[[0, 2, 3], 3].var())
    assert found[5] == pytest.approx(1.0 + x[[0, 1, 3], 5].var())


def test_whole_numbers_and_lists_count_as_values() -> None:
    assert score([[1, 2], [3, 2]], "variance").tolist() == [1.0, 0.0]
    assert score([np.array([1, 2]), np.array([3.0, 2.0], dtype=np.float32)], "variance").tolist() == [1.0, 0.0]


def test_a_file_that_is_no_array_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_text("not an array")
    with pytest.raises(PredictionError, match="cannot read predictions from"):
        score([tmp_path / "a.npy"], "margin")
    np.save(tmp_path / "b.npy", np.asfortranarray(P[0]))
    with pytest.raises(PredictionError, match=r"is not one C-ordered \.npy array"):
        score([tmp_path / "b.npy"], "margin")


def test_threads_follow_what_they_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert thread_count(None) == 1
    assert thread_count(5) == 5


@pytest.mark.parametrize("threads", [1, 4])
def test_the_first_failing_block_is_reported(threads: int) -> None:
    def work(low: int, high: int) -> None:
        if low >= 30:
            raise ValueError(f"block {low}")

    with pytest.raises(ValueError, match="block 30"):
        each_block(1000, 10, threads, work)
