"""maxdet against explicit determinants, badge against explicit gradient embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rose.acquisition import acquire, tie_keys
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
