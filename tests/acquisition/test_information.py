"""maxdet against explicit determinants, badge against explicit gradient embeddings."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from rose.acquisition import acquire, tie_keys
from rose.acquisition.methods.gaussian import InColumns, InWeights
from rose.errors import ConfigurationError


def log_det(rows: np.ndarray, noise: float) -> float:
    return float(np.linalg.slogdet(np.eye(len(rows)) + rows @ rows.T / noise)[1])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_maxdet_by_explicit_determinants(seed: int, dtype: Any) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(25, 4)).astype(dtype)
    labelled, pending, noise = [0, 4], [7], 0.3
    batch = [*labelled, *pending]
    for _ in range(8):
        left = [i for i in range(25) if i not in batch]
        batch.append(max(left, key=lambda i: log_det(x[[*batch, i]].astype(float), noise)))
    chosen = acquire(features=x, k=8, method="maxdet", labelled=labelled, pending=pending, noise=noise)
    assert chosen.tolist() == batch[3:]


def test_maxdet_of_an_ensemble_uses_its_covariance() -> None:
    rng = np.random.default_rng(0)
    p = rng.normal(size=(6, 30))
    covariance = np.cov(p, rowvar=False, bias=True)
    batch: list[int] = []
    for _ in range(5):
        left = [i for i in range(30) if i not in batch and i != 3]
        batch.append(
            max(
                left,
                key=lambda i: np.linalg.slogdet(
                    np.eye(len(batch) + 1) + covariance[np.ix_([*batch, i], [*batch, i])] / 0.1
                )[1],
            )
        )
    # what is labelled is in the ensemble already
    assert acquire(p, 5, method="maxdet", noise=0.1, labelled=[3]).tolist() == batch


def test_maxdet_does_not_repeat_itself_and_counts_costs() -> None:
    x = np.array([[3.0, 0.0], [2.99, 0.0], [0.0, 1.0]])
    assert acquire(features=x, k=2, method="maxdet").tolist() == [0, 2]
    assert acquire(features=x, k=1, method="maxdet", cost=[100.0, 1.0, 1.0]).tolist() == [1]


@pytest.mark.parametrize("seed", range(6))
def test_badge_by_explicit_embeddings(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, x = rng.dirichlet(np.ones(4), size=(3, 40)), rng.normal(size=(40, 5))
    guess = p.mean(axis=0)
    guess[np.arange(40), guess.argmax(axis=1)] -= 1
    gradients = (guess[:, :, None] * x[:, None, :]).reshape(40, -1)
    draws = np.random.default_rng(seed)
    order = np.argsort(tie_keys(draws, np.arange(40)))  # takes one number, as acquire() does
    candidates = order[order >= 2]
    batch = [int(candidates[np.argmax((gradients[candidates] ** 2).sum(axis=1))])]
    while len(batch) < 6:
        squared = ((gradients[candidates][:, None] - gradients[batch][None]) ** 2).sum(axis=2).min(axis=1)
        total = np.cumsum(squared)
        batch.append(int(candidates[np.searchsorted(total, draws.random() * total[-1], side="right")]))
    assert acquire(p, 6, method="badge", features=x, labelled=[0, 1], seed=seed).tolist() == batch


def test_badge_stays_away_from_what_is_pending() -> None:
    # candidates 0 to 8 are copies of pending 9: there is nothing to gain but from 10
    p, x = np.full((2, 11, 2), 0.5), np.ones((11, 3))
    x[10] = [1, 1, 2]
    for seed in range(5):
        assert acquire(p, 1, method="badge", features=x, pending=[9], seed=seed).tolist() == [10]


def test_badge_is_for_classification() -> None:
    with pytest.raises(ConfigurationError, match="for regression use 'maxdet' or 'lcmd'"):
        acquire(np.zeros((2, 3)), 1, method="badge", features=np.zeros((3, 1)))


def seen_and_to_come(points: Any, kind: Any) -> list[Any]:
    model = kind(points, np.arange(4, 30), np.array([0, 1, 2, 3]), 0.2, 5)
    found = [model.variance.copy()]
    for position in (3, 9, 9, 25):  # one of them twice
        model.observe(position)
        found.append(model.variance.copy())
    return found


@pytest.mark.parametrize("width", [1, 3, 40])
def test_both_ways_to_keep_variances_agree(width: int) -> None:
    points = np.random.default_rng(width).normal(size=(30, width)).astype(np.float32)
    points[3] = points[2]  # a copy among what has labels
    labels, x = [0, 1, 2, 3, 7, 13, 13, 29], points.astype(float)
    for weights, columns, n in zip(
        seen_and_to_come(points, InWeights), seen_and_to_come(points, InColumns), range(4, 9), strict=True
    ):
        gain = x[4:] @ x[labels[:n]].T
        within = np.linalg.inv(x[labels[:n]] @ x[labels[:n]].T + 0.2 * np.eye(n))
        expected = (x[4:] ** 2).sum(axis=1) - np.einsum("ni,ij,nj->n", gain, within, gain)
        np.testing.assert_allclose(weights, expected, atol=1e-9 * width)
        np.testing.assert_allclose(columns, expected, atol=1e-9 * width)


@pytest.mark.parametrize("seed", range(4))
def test_maxdet_of_many_classes_by_explicit_determinants(seed: int) -> None:
    p = np.random.default_rng(seed).dirichlet(np.ones(30), size=(5, 20))  # 150 columns: more than labels
    rows = ((p - p.mean(axis=0)) / np.sqrt(5)).transpose(1, 0, 2).reshape(20, -1)
    batch = [6, 2]
    for _ in range(6):
        left = [i for i in range(20) if i not in batch]
        batch.append(max(left, key=lambda i: log_det(rows[[*batch, i]], 0.01)))
    assert acquire(p, 6, method="maxdet", noise=0.01, pending=[6, 2]).tolist() == batch[2:]


def test_maxdet_of_ten_thousand_classes_needs_no_square_of_them() -> None:
    p = np.random.default_rng(0).random((4, 30, 10_000), dtype=np.float32)
    p /= p.sum(axis=2, keepdims=True)
    tracemalloc.start()
    try:
        chosen = acquire(p, 5, method="maxdet", pending=[0])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(set(chosen.tolist()) - {0}) == 5
    assert peak < 12 * p.nbytes  # 58 MB; [S * C, S * C] numbers would be 12.8 GB


@pytest.mark.parametrize("width", [3, 50])
def test_maxdet_with_hardly_any_noise_and_copies(width: int) -> None:
    x = np.repeat(np.random.default_rng(0).normal(size=(3, width)), 4, axis=0)
    for noise in (1e-10, 1e-3):
        chosen = acquire(features=x, k=3, method="maxdet", labelled=[0, 1], noise=noise)
        assert set(chosen[:2] // 4) == {1, 2}
    with pytest.raises(ConfigurationError, match="noise=1e-300 is lost in the rounding of the candidates' variance"):
        acquire(features=x, k=3, method="maxdet", labelled=[0, 1], noise=1e-300)
