"""Every metric against closed forms and high-precision references, and at its edges."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest

from rose.errors import PredictionError
from rose.scoring import get_metric, metrics, score
from tests.scoring.conftest import probabilities, values

LN2 = math.log(2.0)
CLASSIFICATION = [m.name for m in metrics("classification") if m.needs == {"probabilities"}]
DISAGREEMENT = [m.name for m in metrics("classification") if m.smallest(False, "classification") == 2]
REGRESSION = [m.name for m in metrics("regression") if m.needs == {"values"}]


# --- classification ----------------------------------------------------------------------------------------------

SURE = [[[1.0, 0.0]], [[1.0, 0.0]]]
AGREED = [[[0.5, 0.5]], [[0.5, 0.5]]]
OPPOSED = [[[1.0, 0.0]], [[0.0, 1.0]]]


@pytest.mark.parametrize(
    ("metric", "sure", "agreed", "opposed"),
    [
        ("predictive_entropy", 0.0, LN2, LN2),
        ("expected_entropy", 0.0, LN2, 0.0),
        ("mutual_information", 0.0, 0.0, LN2),
        ("kl_to_consensus", 0.0, 0.0, LN2),
        ("jensen_shannon", 0.0, 0.0, LN2),
        ("margin", 1.0, 0.0, 0.0),
        ("least_confidence", 0.0, 0.5, 0.5),
        ("variation_ratio", 0.0, 0.0, 0.5),
        ("vote_entropy", 0.0, 0.0, LN2),
        ("expected_pairwise_kl", 0.0, 0.0, math.inf),
    ],
)
def test_closed_forms(path: str, metric: str, sure: float, agreed: float, opposed: float) -> None:
    for predictions, expected in ((SURE, sure), (AGREED, agreed), (OPPOSED, opposed)):
        assert score(predictions, metric) == pytest.approx([expected], abs=1e-15)


def reference(p: Any, y: int) -> dict[str, Any]:
    """All classification metrics of one candidate, `[S][C]`, from their textbook definitions with 40 digits."""
    p = [[mpmath.mpf(float(x)) for x in row] for row in p]
    s, c = len(p), len(p[0])
    mean = [sum(row[k] for row in p) / s for k in range(c)]

    def entropy(q: Any) -> Any:
        return -sum(x * mpmath.log(x) for x in q if x > 0)

    def divergence(q: Any, r: Any) -> Any:
        if any(b == 0 and a > 0 for a, b in zip(q, r, strict=True)):
            return mpmath.inf
        return sum(a * mpmath.log(a / b) for a, b in zip(q, r, strict=True) if a > 0)

    votes = [0] * c
    for row in p:
        votes[row.index(max(row))] += 1
    ranked = sorted(mean, reverse=True)
    return {
        "predictive_entropy": entropy(mean),
        "expected_entropy": sum(entropy(row) for row in p) / s,
        "mutual_information": entropy(mean) - sum(entropy(row) for row in p) / s,
        "kl_to_consensus": sum(divergence(row, mean) for row in p) / s,
        "jensen_shannon": entropy(mean) - sum(entropy(row) for row in p) / s,
        "margin": ranked[0] - ranked[1],
        "least_confidence": 1 - ranked[0],
        "variation_ratio": 1 - mpmath.mpf(max(votes)) / s,
        "vote_entropy": entropy([mpmath.mpf(v) / s for v in votes]),
        "expected_pairwise_kl": sum(divergence(q, r) for q in p for r in p) / s**2,
        "brier": sum((mean[k] - (k == y)) ** 2 for k in range(c)),
        "negative_log_likelihood": -mpmath.log(mean[y]),
    }


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-6), (np.float16, 1e-6)])
def test_classification_matches_40_digits(path: str, dtype: Any, tolerance: float) -> None:
    p = np.maximum(probabilities(5, 30, 4, seed=1), 1e-3)
    p = (p / p.sum(axis=2, keepdims=True)).astype(dtype)
    y = np.random.default_rng(2).integers(0, 4, 30)
    with mpmath.workdps(40):
        expected = [reference(p[:, i], y[i]) for i in range(30)]
    found = score(p, list(expected[0]), y_true=y)
    for name, scores in found.items():
        # Probabilities of a narrow type miss 1 by its rounding; what the formulas assume of the sum is then off, too.
        slack = tolerance if dtype != np.float16 or name not in ("brier", "kl_to_consensus") else 5e-3
        assert scores == pytest.approx([float(e[name]) for e in expected], abs=slack), name


def test_exact_zeros_and_ones_give_exactly_zero(path: str) -> None:
    p = np.zeros((49, 300, 10), dtype=np.float32)
    p[:, np.arange(300), np.arange(300) % 10] = 1.0
    found = score(p, CLASSIFICATION)
    for name, scores in found.items():
        assert (scores == (1.0 if name == "margin" else 0.0)).all(), name
        assert not np.signbit(scores).any(), name


def test_mutual_information_is_the_difference_of_the_entropies(path: str) -> None:
    p = np.concatenate([probabilities(7, 500, 3, np.float32), np.repeat(probabilities(1, 500, 3), 7, axis=0)], axis=1)
    found = score(p, ["mutual_information", "predictive_entropy", "expected_entropy"])
    difference = found["predictive_entropy"] - found["expected_entropy"]
    assert (found["mutual_information"] == np.maximum(difference, 0.0)).all()
    assert (found["mutual_information"] >= 0.0).all()


def test_half_precision_is_read_exactly(path: str) -> None:
    p = probabilities(6, 400, 5, np.float16)
    narrow, wide = score(p, CLASSIFICATION), score(p.astype(np.float64), CLASSIFICATION, check=False)
    for name in CLASSIFICATION:
        np.testing.assert_allclose(narrow[name], wide[name], atol=1e-6, rtol=1e-6, err_msg=name)


def test_one_class_is_a_sure_prediction(path: str) -> None:
    found = score(np.ones((3, 4, 1)), CLASSIFICATION)
    for name, scores in found.items():
        assert (scores == (1.0 if name == "margin" else 0.0)).all(), name


@pytest.mark.parametrize("metric", CLASSIFICATION)
@pytest.mark.parametrize("n", [0, 1])
def test_no_candidate_and_one(path: str, metric: str, n: int) -> None:
    assert score(probabilities(3, n, 4), metric).shape == (n,)


@pytest.mark.parametrize("metric", DISAGREEMENT)
def test_one_member_cannot_disagree(metric: str) -> None:
    with pytest.raises(PredictionError, match=f"{metric} measures disagreement and needs at least 2 members"):
        score(probabilities(1, 5, 3), metric)


def test_one_member_has_an_entropy(path: str) -> None:
    p = probabilities(1, 20, 3)
    found = score(p, ["predictive_entropy", "expected_entropy"])
    np.testing.assert_allclose(found["predictive_entropy"], found["expected_entropy"], atol=1e-14)


def test_a_members_tie_is_a_vote_for_its_first_class(path: str) -> None:
    tied = np.full((3, 400, 10), 0.1)
    assert (score(tied, "variation_ratio") == 0.0).all()
    p = np.array([[[0.4, 0.4, 0.2]], [[0.2, 0.4, 0.4]], [[0.1, 0.2, 0.7]]])  # votes: 0, 1, 2
    assert score(p, "vote_entropy") == pytest.approx([math.log(3.0)], abs=1e-15)


@pytest.mark.parametrize("classes", [2, 3, 5, 7, 10, 16, 17, 33, 100])
def test_votes_for_any_number_of_classes(path: str, classes: int) -> None:
    p = probabilities(6, 333, classes, np.float32, seed=classes)
    counts = np.array([np.bincount(p[:, i].argmax(axis=1)).max() for i in range(333)])
    assert score(p, "variation_ratio").tolist() == (1.0 - counts / 6).tolist()


def test_pairwise_divergence_is_infinite_only_where_belief_is_excluded(path: str) -> None:
    p = np.array([[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], [[0.4, 0.6, 0.0], [0.5, 0.5, 0.0]]])
    found = score(p, "expected_pairwise_kl")
    expected = (0.5 * math.log(5 / 4) + 0.5 * math.log(5 / 6) + 0.4 * math.log(4 / 5) + 0.6 * math.log(6 / 5)) / 4
    assert found[0] == pytest.approx(expected, abs=1e-15)
    assert found[1] == math.inf


# --- regression --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("members", [2, 3, 5, 8, 100, 401])
def test_regression_matches_numpy(path: str, members: int, dtype: Any) -> None:
    x = values(members, 500, dtype, seed=members)
    wide = x.astype(np.float64)
    expected = {
        "predictive_variance": wide.var(axis=0),
        "standard_deviation": wide.std(axis=0),
        "predictive_interval_width": np.percentile(wide, 97.5, axis=0) - np.percentile(wide, 2.5, axis=0),
        "interquartile_range": np.percentile(wide, 75, axis=0) - np.percentile(wide, 25, axis=0),
        "range": np.ptp(wide, axis=0),
        "coefficient_of_variation": wide.std(axis=0) / np.abs(wide.mean(axis=0)),
    }
    for name, scores in score(x, list(expected)).items():
        np.testing.assert_allclose(scores, expected[name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.99, 0.999])
def test_intervals_of_any_level(path: str, level: float) -> None:
    x = values(57, 300, np.float32)
    ends = np.percentile(x.astype(np.float64), [50 - 50 * level, 50 + 50 * level], axis=0)
    np.testing.assert_allclose(score(x, "interval_width", level=level), ends[1] - ends[0], rtol=1e-9, atol=1e-12)


def test_variance_of_large_values_in_float32(path: str) -> None:
    x = (1e8 + 1000.0 * np.random.default_rng(0).normal(size=(50, 400))).astype(np.float32)
    with mpmath.workdps(40):
        columns = [[mpmath.mpf(float(v)) for v in x[:, i]] for i in range(20)]
        expected = [float(sum((v - sum(c) / 50) ** 2 for v in c) / 50) for c in columns]
    np.testing.assert_allclose(score(x, "variance")[:20], expected, rtol=1e-12)


def test_an_outlying_first_member_costs_no_precision(path: str) -> None:
    x = np.concatenate([np.full((1, 3), -1e6), 1e6 + np.arange(9.0)[:, None] + np.zeros(3)])
    with mpmath.workdps(40):
        column = [mpmath.mpf(v) for v in x[:, 0]]
        expected = float(sum((v - sum(column) / 10) ** 2 for v in column) / 10)
    np.testing.assert_allclose(score(x, "variance"), expected, rtol=1e-13)


def test_unanimous_members_have_exactly_no_spread(path: str) -> None:
    x = np.repeat(values(1, 300, np.float32), 7, axis=0)
    for name, scores in score(x, REGRESSION).items():
        assert (scores == 0.0).all(), name


def test_coefficient_of_variation_around_zero(path: str) -> None:
    found = score(np.array([[0.0, -1.0], [0.0, 1.0]]), "cv")
    assert found.tolist() == [0.0, math.inf]


def test_law_of_total_variance(path: str) -> None:
    x, v = values(6, 200), np.random.default_rng(1).gamma(2.0, size=(6, 200))
    found = score(x, ["total_variance", "epistemic_variance", "aleatoric_variance"], variances=v)
    np.testing.assert_allclose(found["total_variance"], found["epistemic_variance"] + found["aleatoric_variance"])
    np.testing.assert_allclose(found["aleatoric_variance"], v.mean(axis=0))


def test_the_entropy_of_one_gaussian_and_of_many_equal_ones() -> None:
    v = np.array([[0.1, 1.0, 50.0]])
    exact = 0.5 * np.log(2 * np.pi * np.e * v[0])
    np.testing.assert_allclose(score(np.array([[1.0, -2.0, 3.0]]), "mixture_entropy", variances=v), exact, atol=1e-7)
    same = score(np.repeat([[1.0, -2.0, 3.0]], 4, axis=0), "mixture_entropy", variances=np.repeat(v, 4, axis=0))
    np.testing.assert_allclose(same, exact, atol=1e-7)


@pytest.mark.parametrize(
    ("means", "deviations"),
    [((0.0, 1.0), (1.0, 1.0)), ((0.0, 6.0), (1.0, 2.0)), ((0.0, 1.0, 3.0), (0.3, 1.0, 3.0)), ((0.0, 0.1), (0.02, 3.0))],
)
def test_mixture_entropy_matches_an_integral(means: tuple[float, ...], deviations: tuple[float, ...]) -> None:
    x = np.linspace(-30.0, 40.0, 700_001)
    parts = [
        np.exp(-0.5 * ((x - m) / s) ** 2) / (s * math.sqrt(2 * math.pi)) for m, s in zip(means, deviations, strict=True)
    ]
    density = np.mean(parts, axis=0)
    exact = -(x[1] - x[0]) * float(np.sum(density * np.log(np.maximum(density, 1e-300))))
    variances = np.square([deviations]).T
    assert score(np.array([means]).T, "mixture_entropy", variances=variances) == pytest.approx([exact], abs=1e-6)


def test_gaussian_likelihood(path: str) -> None:
    x, y = values(5, 100), values(1, 100, seed=9)[0]
    mean, variance = x.mean(axis=0), x.var(axis=0)
    expected = 0.5 * np.log(2 * np.pi * variance) + (y - mean) ** 2 / (2 * variance)
    np.testing.assert_allclose(score(x, "nll", y_true=y), expected, rtol=1e-9)


def test_mixture_likelihood() -> None:
    found = score([[0.0], [1.0]], "nll", y_true=[0.5], variances=[[1.0], [4.0]])
    density = (mpmath.npdf(0.5, 0, 1) + mpmath.npdf(0.5, 1, 2)) / 2
    assert found == pytest.approx([float(-mpmath.log(density))], rel=1e-14)


def test_likelihood_of_a_unanimous_ensemble_is_finite() -> None:
    assert np.isfinite(score([[1.0, 1.0], [1.0, 1.0]], "nll", y_true=[1.0, 2.0])).all()


def test_likelihood_of_one_member_needs_its_variance() -> None:
    with pytest.raises(PredictionError, match="at least 2 members"):
        score([[1.0]], "nll", y_true=[1.0])
    assert score([[1.0]], "nll", y_true=[1.0], variances=[[1.0]]) == pytest.approx([0.5 * math.log(2 * math.pi)])


def test_likelihood_of_an_excluded_class_is_infinite(path: str) -> None:
    assert score(SURE, "nll", y_true=[1])[0] == math.inf
    assert score(SURE, "nll", y_true=[0])[0] == 0.0
    assert score(SURE, "brier", y_true=[1])[0] == 2.0


def test_crps_of_an_ensemble_from_its_definition() -> None:
    x, y = values(9, 50), values(1, 50, seed=5)[0]
    pairs = np.abs(x[:, None] - x[None]).mean(axis=(0, 1))
    np.testing.assert_allclose(score(x, "crps_ensemble", y_true=y), np.abs(x - y).mean(axis=0) - pairs / 2, atol=1e-13)
    np.testing.assert_allclose(score(x[:1], "crps", y_true=y), np.abs(x[0] - y))


def test_crps_of_a_gaussian_matches_an_integral() -> None:
    x = np.array([[0.0], [2.0]])  # mean 1, variance 1

    def squared(z: Any) -> Any:
        return (mpmath.ncdf(z, 1, 1) - (1 if z >= 1.7 else 0)) ** 2

    exact = float(mpmath.quad(squared, [-12, 0, 1.7, 4, 14]))
    assert score(x, "crps_gaussian", y_true=[1.7]) == pytest.approx([exact], abs=1e-12)
    assert score([[1.0], [1.0]], "crps_gaussian", y_true=[3.0]) == pytest.approx([2.0])


def test_interval_score_adds_the_miss(path: str) -> None:
    x = np.arange(101.0)[:, None] + np.zeros(3)
    found = score(x, "interval_score", y_true=[50.0, -2.5, 107.5], level=0.9)
    assert found == pytest.approx([90.0, 90.0 + 20.0 * 7.5, 90.0 + 20.0 * 12.5])


# --- several outputs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reduction", "reduce"),
    [("mean", np.mean), ("max", np.max), ("sum", np.sum), ("norm", np.linalg.norm)],
)
def test_outputs_are_reduced_as_declared(path: str, reduction: Any, reduce: Any) -> None:
    x = np.random.default_rng(0).normal(size=(5, 40, 3))
    expected = reduce(x.var(axis=0), axis=1)
    np.testing.assert_allclose(score(x, "variance", reduction=reduction), expected, rtol=1e-9)
    np.testing.assert_allclose(score(x, "variance", reduction=reduction, block_size=7), expected, rtol=1e-9)


def test_outputs_take_targets_and_variances_of_their_shape() -> None:
    x = np.random.default_rng(0).normal(size=(5, 40, 3))
    y, v = x[0], np.abs(x) + 0.1
    each = [score(x[..., d], "nll", y_true=y[:, d], variances=v[..., d]) for d in range(3)]
    found = score(x, "nll", y_true=y, variances=v, reduction="sum")
    np.testing.assert_allclose(found, np.sum(each, axis=0))


# --- declarations ------------------------------------------------------------------------------------------------


def test_every_built_in_is_declared_in_full() -> None:
    for m in metrics():
        if m.built_in:
            assert m.summary, m.name
            assert m.formula, m.name
            assert m.reference, m.name
            assert m.direction in ("higher", "lower")
            assert m.range[0] < m.range[1]


def test_scores_stay_in_the_declared_range(path: str) -> None:
    y, v = np.zeros(200, dtype=int), np.full((6, 200), 0.3)
    for m in metrics("classification"):
        found = score(probabilities(6, 200, 4), m, y_true=y)
        assert (found >= m.range[0]).all(), m.name
        assert (found <= m.range[1]).all(), m.name
    for m in metrics("regression"):
        found = score(values(6, 200), m, y_true=y.astype(float), variances=v)
        assert (found >= m.range[0]).all(), m.name
        assert (found <= m.range[1]).all(), m.name


def test_stop_operators_follow_directions() -> None:
    assert get_metric("predictive_entropy").threshold_operator == "<"
    assert get_metric("margin").threshold_operator == ">"


# --- members' own variances, taken where they are given ----------------------------------------------------------


def test_total_uncertainty_is_entropy_or_total_variance(path: str) -> None:
    p, x = probabilities(4, 30, 3), values(4, 30)
    v = values(4, 30, seed=1) ** 2
    assert (score(p, "total_uncertainty") == score(p, "predictive_entropy")).all()
    assert (score(x, "total") == score(x, "predictive_variance")).all()
    np.testing.assert_allclose(score(x, "total", variances=v), x.var(axis=0) + v.mean(axis=0), rtol=1e-12)
    assert (score(x, "total", variances=v) == score(x, "total_variance", variances=v)).all()
    assert (score(p[:1], "total") == score(p[:1], "predictive_entropy")).all()
    outputs = np.stack([x, 2 * x], axis=2)
    np.testing.assert_allclose(score(outputs, "total", reduction="sum"), 5 * x.var(axis=0), rtol=1e-12)
    with pytest.raises(PredictionError, match="at least 2 members or passes, or the members' own variances"):
        score(x[:1], "total")


def test_a_single_member_has_its_own_variance(path: str) -> None:
    x, v = values(1, 30), values(1, 30, seed=1) ** 2
    for metric in ("predictive_variance", "total_uncertainty", "total_variance"):
        assert (score(x, metric, variances=v) == v[0]).all(), metric
    assert (score(x, "standard_deviation", variances=v) == np.sqrt(v[0])).all()
    several = values(3, 30)
    assert (score(several, "variance", variances=several**2) == score(several, "variance")).all()
    with pytest.raises(PredictionError, match="at least 2 members or passes, or the members' own variances"):
        score(x, "variance")
    with pytest.raises(PredictionError, match="at least 2 members or passes; mc_preds"):
        score(x, "range", variances=v)


def test_a_candidate_left_with_one_member_is_not_compared_by_another_measure() -> None:
    x, v = values(3, 5), np.ones((3, 5))
    x[:2, 3] = np.nan
    with pytest.raises(PredictionError, match="candidate 3: 1 of 3 members are not NaN, but 2 are needed"):
        score(x, "variance", variances=v, nan="omit")
    assert score(x, "total", variances=v, nan="omit")[3] == 1.0


def test_what_is_smallest_depends_on_what_is_given() -> None:
    assert [get_metric("variance").smallest(given) for given in (False, True)] == [2, 1]
    assert [get_metric("total").smallest(given) for given in (False, True)] == [2, 1]
    assert get_metric("total").smallest(False, "classification") == 1
    assert get_metric("nll").smallest(False, "classification") == 1
    assert [get_metric("range").smallest(given) for given in (False, True)] == [2, 2]
    assert get_metric("bald").smallest(True, "classification") == 2


def test_members_that_exclude_what_others_think_possible_are_infinitely_far_apart() -> None:
    p = np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]]])
    assert score(p, "expected_pairwise_kl").tolist() == [np.inf, 0.0]
