"""Facility location against its definition, and what it promises beyond."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from rose.acquisition import acquire
from tests.acquisition.conftest import drawn

Points = NDArray[np.float64]


def similarities(x: Points, candidates: list[int], width: float = 0.3) -> Points:
    squared = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    inside = squared[np.ix_(candidates, candidates)][np.triu_indices(len(candidates), 1)]
    return np.exp(-squared / (width * np.median(inside)))


def covered(x: Points, scores: Points, candidates: list[int], batch: list[int]) -> float:
    """sum_i u_i max_j s_ij over all candidates."""
    return float(scores[candidates] @ similarities(x, candidates)[np.ix_(candidates, batch)].max(axis=1))


def question(seed: int, n: int = 30) -> tuple[Points, Points]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)), rng.random(n)


@pytest.mark.parametrize("seed", range(8))
def test_against_the_definition(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "rose.acquisition.methods.facility._LOOK", 1 + seed % 3
    )  # lazier or not, the picks are the same
    monkeypatch.setattr("rose.acquisition.methods.facility._CELLS", 50)
    x, scores = question(seed)
    batch, candidates = [3, 8, 11], [i for i in range(30) if i not in (3, 8, 11)]
    for _ in range(6):
        left = [c for c in candidates if c not in batch]
        batch.append(max(left, key=lambda c: covered(x, scores, candidates, [*batch, c])))
    chosen = acquire(scores, 6, features=x, method="facility_location", labelled=[3, 8], pending=[11])
    assert chosen.tolist() == batch[3:]


@pytest.mark.parametrize("seed", range(4))
def test_covers_all_but_a_third_of_the_best(seed: int) -> None:
    x, scores = question(seed, n=14)
    everyone = list(range(14))
    best = max(covered(x, scores, everyone, list(batch)) for batch in combinations(everyone, 3))
    chosen = acquire(scores, 3, features=x, method="facility_location").tolist()
    assert covered(x, scores, everyone, chosen) >= (1 - 1 / np.e) * best


def test_only_the_most_uncertain_are_looked_at() -> None:
    x, scores = question(0)
    chosen = acquire(scores, 3, features=x, method="facility_location", beta=2)
    assert set(chosen) <= set(np.argsort(-scores)[:6])
    lower = acquire(-scores, 3, features=x, method="facility_location", beta=2, direction="lower", range=(-1, 0))
    assert lower.tolist() == chosen.tolist()


def test_goes_where_nothing_is_labelled_and_to_crowds_before_outliers() -> None:
    crowds = np.repeat([[0.0], [10.0], [20.0]], 8, axis=0) + np.tile(np.linspace(-0.5, 0.5, 8), 3)[:, None]
    x = np.concatenate([crowds, [[1e6]]])
    chosen = acquire(np.ones(25), 3, features=x, method="facility_location", labelled=[3])
    assert sorted(chosen[:2] // 8) == [1, 2]
    assert chosen[2] == 24


def test_copies_go_by_score() -> None:
    scores = np.array([0.1, 0.9, 0.5, 0.9])
    first, second = (i for i in drawn(4) if i in (1, 3))
    chosen = acquire(scores, 4, features=np.ones((4, 2)), method="facility_location")
    assert chosen.tolist() == [first, second, 2, 0]


def test_scores_without_any_uncertainty_still_spread() -> None:
    x = np.array([[0.0], [0.1], [5.0], [5.1]])
    chosen = acquire(np.zeros(4), 2, features=x, method="facility_location")
    assert sorted(chosen // 2) == [0, 1]


def test_coverage_per_unit_of_cost() -> None:
    x, scores = np.array([[0.0], [5.0]]), [1.0, 0.9]
    assert acquire(scores, 1, features=x, method="facility_location").tolist() == [0]
    assert acquire(scores, 1, features=x, method="facility_location", cost=[2.0, 1.0]).tolist() == [1]


def test_without_features_it_covers_disagreement() -> None:
    kind = np.arange(40) % 2
    base = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.1, 0.9], [0.8, 0.2]]])
    chosen = acquire(np.ones(40), 2, mc_preds=base[:, kind] + 0.0, method="facility_location")
    assert sorted(kind[chosen]) == [0, 1]
