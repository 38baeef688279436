"""The same scores as SciPy's, scikit-activeml's and properscoring's, where those are right: on predictions that are
neither exactly 0 nor 1 (they clip, or give NaN there). `make bench-scoring` holds baal's to ours too."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from rose.acquisition import acquire
from rose.scoring import score
from tests.scoring.conftest import probabilities, values

S, N, C = 7, 200, 5
SEEDS = (0, 1, 2)


class Peer:
    """A library that is imported when it is asked for something: that takes seconds."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, function: str) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they warn of at import is theirs
            return getattr(importlib.import_module(self._name), function)


properscoring, activeml = Peer("properscoring"), Peer("skactiveml.pool")


def inner(seed: int) -> Any:
    """Probabilities away from 0 and 1."""
    p = probabilities(S, N, C, seed=seed) + 1e-3
    return p / p.sum(axis=-1, keepdims=True)


def votes(p: Any) -> Any:
    """`[N, S]`: each member's class."""
    return p.argmax(axis=-1).T


def mode_count(p: Any) -> Any:
    return stats.mode(votes(p), axis=1).count


def two_members(p: Any) -> Any:
    """SciPy's distance is between two distributions, and a square root."""
    return jensenshannon(p[0], p[1], axis=1) ** 2


CLASSIFICATION: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "entropy: SciPy": ("predictive_entropy", lambda p: stats.entropy(p.mean(axis=0), axis=-1)),
    "entropy: scikit-activeml": (
        "predictive_entropy",
        lambda p: activeml.uncertainty_scores(p.mean(axis=0), method="entropy"),
    ),
    "expected entropy: SciPy": ("expected_entropy", lambda p: stats.entropy(p, axis=-1).mean(axis=0)),
    "margin: scikit-activeml": (
        "margin",
        lambda p: 1 - activeml.uncertainty_scores(p.mean(axis=0), method="margin_sampling"),
    ),
    "least confidence: scikit-activeml": (
        "least_confidence",
        lambda p: activeml.uncertainty_scores(p.mean(axis=0), method="least_confident"),
    ),
    "variation ratio: scikit-activeml": ("variation_ratio", lambda p: activeml.variation_ratios(votes(p))),
    "variation ratio: SciPy": ("variation_ratio", lambda p: 1 - mode_count(p) / S),
    "vote entropy: scikit-activeml": ("vote_entropy", lambda p: activeml.vote_entropy(votes(p), np.arange(C))),
    "consensus KL: scikit-activeml": ("kl_to_consensus", lambda p: activeml.average_kl_divergence(p.copy())),
    "mutual information: SciPy": (
        "mutual_information",
        lambda p: stats.entropy(p, p.mean(axis=0), axis=-1).mean(axis=0),
    ),
    "mutual information: scikit-activeml": (
        "mutual_information",
        lambda p: activeml.batch_bald(p.copy(), batch_size=1, random_state=0)[0],
    ),
    "expected pairwise KL: SciPy": (
        "expected_pairwise_kl",
        lambda p: stats.entropy(p[:, None], p[None, :], axis=-1).mean(axis=(0, 1)),
    ),
}

REGRESSION: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "variance: SciPy": ("predictive_variance", lambda x: stats.moment(x, 2)),
    "standard deviation: SciPy": ("standard_deviation", lambda x: stats.tstd(x, ddof=0)),
    "95 % interval: SciPy": ("predictive_interval_width", lambda x: stats.iqr(x, axis=0, rng=(2.5, 97.5))),
    "interquartile range: SciPy": ("interquartile_range", lambda x: stats.iqr(x, axis=0)),
    "coefficient of variation: SciPy": ("coefficient_of_variation", lambda x: np.abs(stats.variation(x, axis=0))),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("case", CLASSIFICATION)
def test_classification(path: str, case: str, seed: int) -> None:
    metric, theirs = CLASSIFICATION[case]
    p = inner(seed)
    np.testing.assert_allclose(score(p, metric), theirs(p), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_jensen_shannon_of_two(path: str, seed: int) -> None:
    p = inner(seed)[:2]
    np.testing.assert_allclose(score(p, "jensen_shannon"), two_members(p), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("case", REGRESSION)
def test_regression(path: str, case: str, seed: int) -> None:
    metric, theirs = REGRESSION[case]
    x = values(S, N, seed=seed)
    np.testing.assert_allclose(score(x, metric), theirs(x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_with_targets(path: str, seed: int) -> None:
    x, p = values(S, N, seed=seed), inner(seed)
    rng = np.random.default_rng(seed)
    y, label = rng.normal(size=N), rng.integers(C, size=N)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    ours = score(x, ["crps_ensemble", "crps_gaussian", "negative_log_likelihood"], y_true=y)
    np.testing.assert_allclose(ours["crps_ensemble"], properscoring.crps_ensemble(y, x.T), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        ours["crps_gaussian"], properscoring.crps_gaussian(y, mean, deviation), rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(
        ours["negative_log_likelihood"], -stats.norm.logpdf(y, mean, np.maximum(deviation, 1e-4)), rtol=1e-9
    )
    one_class = properscoring.brier_score((label[:, None] == np.arange(C)).astype(float), p.mean(axis=0))
    np.testing.assert_allclose(score(p, "brier", y_true=label), one_class.sum(axis=1), rtol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_batchbald_begins_like_theirs(seed: int) -> None:
    """The first three picks, whose joint information both compute exactly."""
    p = inner(seed)[:, :40]
    theirs: list[int] = []
    utilities = activeml.batch_bald(p.copy(), batch_size=3, n_MC_samples=10_000, random_state=seed)
    for row in utilities:
        row = row.copy()
        row[theirs] = -np.inf
        theirs.append(int(np.nanargmax(row)))
    assert acquire(p, k=3, method="batchbald", seed=seed).tolist() == theirs
