"""Expected variance reduction: the batch is the greedy one by the definition, and nearness guards it."""

from __future__ import annotations

import numpy as np

from rose.acquisition import acquire, for_task
from rose.scoring import score

RNG = np.random.default_rng(0)
N, S = 40, 12
PREDS = RNG.normal(size=(S, N)) * RNG.gamma(2.0, size=N)


def by_definition(k: int, noise: float) -> list[int]:
    deviation = (PREDS - PREDS.mean(axis=0)) / np.sqrt(S)
    covariance = deviation.T @ deviation
    covariance /= np.trace(covariance) / N
    chosen: list[int] = []
    while len(chosen) < k:
        gain = (covariance**2).mean(axis=1) / (np.diag(covariance) + noise)
        gain[chosen] = -1.0
        chosen.append(int(np.argmax(gain)))
        column = covariance[:, chosen[-1]]
        covariance = covariance - np.outer(column, column) / (column[chosen[-1]] + noise)
    return chosen


def test_it_is_the_greedy_choice_by_the_definition() -> None:
    assert acquire(k=6, mc_preds=PREDS, method="alc").tolist() == by_definition(6, 0.01)
    assert acquire(k=1, mc_preds=PREDS, method="imse") == np.argmax(score(PREDS, "expected_variance_reduction"))


def test_members_that_are_sure_keep_nobody_from_what_is_far() -> None:
    x = np.linspace(0.0, 1.0, N)[:, None]
    sure = PREDS * (np.arange(N) < N // 2)  # of the upper half
    chosen = acquire(k=8, mc_preds=sure, features=x, method="alc", labelled=[0, 1, 2])
    assert (chosen >= N // 2).sum() >= 2


def test_one_member_goes_by_features_and_scores() -> None:
    x = np.linspace(0.0, 1.0, N)[:, None]
    spread = np.sort(acquire(np.ones(N), 4, mc_preds=PREDS[:1], features=x, method="auto", labelled=[0]))
    assert np.diff(spread).min() >= 4
    low = acquire(np.where(np.arange(N) < 20, 1.0, 1e-6), 4, features=x, method="alc", labelled=[0])
    assert (low < 20).all()
    assert for_task("auto", "classification").name == "exploring"
