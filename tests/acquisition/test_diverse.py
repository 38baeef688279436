"""Prefilter, cluster, one of each cluster."""

from __future__ import annotations

import numpy as np
import pytest

from rose.acquisition import acquire
from rose.acquisition.methods.kmeans import _spread_seeds, kmeans
from rose.errors import ConfigurationError

RNG = np.random.default_rng(0)
CENTRES = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0], [100.0, 100.0]])
BLOBS = np.repeat(CENTRES, 10, axis=0) + RNG.normal(size=(40, 2))


@pytest.mark.parametrize("seed", range(10))
def test_one_of_each_blob(seed: int) -> None:
    chosen = acquire(np.ones(40), 4, features=BLOBS, seed=seed)
    assert sorted(chosen // 10) == [0, 1, 2, 3]


def test_only_the_most_uncertain_are_clustered() -> None:
    scores = np.where(np.arange(40) < 20, 1.0, 0.1)  # blobs 2 and 3 are certain
    assert (acquire(scores, 2, features=BLOBS, beta=10) < 20).all()
    assert (acquire(-scores, 2, features=BLOBS, beta=10, direction="lower") < 20).all()


@pytest.mark.parametrize("seed", range(10))
def test_pending_candidates_answer_for_their_cluster(seed: int) -> None:
    chosen = acquire(np.ones(40), 2, features=BLOBS, seed=seed, beta=20, pending=[4, 25])
    assert sorted(chosen // 10) == [1, 3]


def test_copies_of_what_is_pending_come_last() -> None:
    x = np.zeros((6, 1))
    x[4] = 1.0
    assert acquire([0.9, 0.8, 0.7, 0.6, 0.1, 0.0], 2, features=x, pending=[5]).tolist() == [4, 0]


def test_most_uncertain_first() -> None:
    scores = np.linspace(0.5, 1, 40)
    chosen = acquire(scores, 4, features=BLOBS)
    assert chosen.tolist() == sorted(chosen, reverse=True)


def test_without_features_it_clusters_what_members_disagree_on() -> None:
    # Members differ in one of two directions; features would be needed to tell candidates apart otherwise
    kind = np.arange(40) % 2
    base = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.1, 0.9], [0.8, 0.2]]])
    chosen = acquire(np.ones(40), 2, mc_preds=base[:, kind] + 0.0)
    assert sorted(kind[chosen]) == [0, 1]


def test_beta_one_is_top_k() -> None:
    scores = RNG.random(40)
    assert acquire(scores, 5, features=BLOBS, beta=1).tolist() == acquire(scores, 5, method="top_k").tolist()


def test_fewer_distinct_candidates_than_k_fill_up_by_score() -> None:
    x = np.zeros((10, 2))
    x[7] = 1.0
    scores = np.arange(10.0)
    assert acquire(scores, 4, features=x, beta=10).tolist() == [9, 7, 8, 6]  # one of each cluster first


def test_cost_counts_in_the_prefilter() -> None:
    cost = np.where(np.arange(40) < 10, 1.0, 1000.0)
    assert (acquire(np.ones(40), 2, features=BLOBS, cost=cost, beta=5) < 10).all()


def test_beta_below_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"beta=0.5 must be 1 or more"):
        acquire(np.ones(40), 2, features=BLOBS, beta=0.5)


def test_weights_pull_centres() -> None:
    x, weights = np.array([[0.0], [1.0]]), np.array([3.0, 1.0])
    cluster, distance = kmeans(x, 1, weights, np.random.default_rng(0))
    assert cluster.tolist() == [0, 0]
    assert distance == pytest.approx([1 / 16, 9 / 16])


def test_kmeans_beats_its_own_seeds_and_restarts_help() -> None:
    x, weights = RNG.normal(size=(300, 3)), np.ones(300)
    once = kmeans(x, 20, weights, np.random.default_rng(1))[1].sum()
    often = kmeans(x, 20, weights, np.random.default_rng(1), restarts=8)[1].sum()
    assert often <= once
    # no worse than scikit-learn's by more than a bad start can make it
    cluster = pytest.importorskip("sklearn.cluster")
    assert often < 1.05 * cluster.KMeans(20, n_init=8, random_state=0).fit(x).inertia_


def test_kmeans_starts_where_there_is_weight() -> None:
    x, weights = RNG.normal(size=(40, 2)), (np.arange(40) < 8).astype(float)
    for seed in range(20):
        seeds = _spread_seeds(x, 6, weights, np.random.default_rng(seed), np.empty((0, 3)))
        assert all((x[:8] == centre).all(axis=1).any() for centre in seeds)


def test_kmeans_with_weightless_points() -> None:
    x = np.array([[0.0], [1.0], [5.0]])
    cluster, _ = kmeans(x, 3, np.array([1.0, 0.0, 0.0]), np.random.default_rng(0))
    assert len(set(cluster.tolist())) == 3
