"""Methods that look at nothing but scores: top_k, random, and the stochastic ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from rose.acquisition import acquire
from rose.acquisition.problem import largest_first
from rose.errors import ConfigurationError
from tests.acquisition.conftest import drawn


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(0, 40))
def test_largest_first_is_a_stable_sort(keys: list[int], k: int) -> None:
    expected = sorted(range(len(keys)), key=lambda i: (-keys[i], i))[:k]
    assert largest_first(np.array(keys, dtype=float), k).tolist() == expected


@pytest.mark.parametrize("seed", range(5))
def test_top_k_draws_among_equals(seed: int) -> None:
    order = drawn(5, seed)
    twos, ones = [i for i in order if i % 2 == 0], [i for i in order if i % 2]
    assert acquire([2, 1, 2, 1, 2], 4, method="top_k", seed=seed).tolist() == [*twos, ones[0]]
    assert acquire([2, 1, 2, 1, 2], 2, method="top_k", direction="lower", seed=seed).tolist() == ones


def test_top_k_per_unit_of_cost() -> None:
    scores, cost = [4.0, 3.0, 2.0, 1.0], [4.0, 1.0, 1.0, 10.0]
    assert acquire(scores, 3, method="top_k", cost=cost).tolist() == [1, 2, 0]
    # lower is more uncertain: 1 - margin is what one gets for the money
    assert acquire([0.9, 0.1], 1, method="top_k", direction="lower", range=(0, 1), cost=[1, 20]).tolist() == [0]
    assert acquire([0.9, 0.1], 1, method="top_k", direction="lower", range=(0, 1), cost=[1, 2]).tolist() == [1]


def test_what_does_not_fit_the_budget_is_passed_over() -> None:
    scores, cost = [9.0, 8.0, 1.0, 0.5], [3.0, 4.0, 1.0, 1.0]
    assert acquire(scores, 3, method="top_k", cost=cost, budget=4.0).tolist() == [0, 2]
    assert acquire(scores, 3, method="top_k", cost=cost, budget=0.5).tolist() == []


def frequencies(weights: list[float], method: str, draws: int = 500, **options: object) -> np.ndarray:
    rng = np.random.default_rng(0)
    first = [acquire(weights, 1, method=method, seed=rng, **options)[0] for _ in range(draws)]
    return np.bincount(first, minlength=len(weights)) / draws


@pytest.mark.parametrize(
    ("method", "scores", "options", "expected"),
    [
        ("power", [1.0, 2.0, 5.0], {}, [1, 2, 5]),
        ("power", [1.0, 2.0, 5.0], {"beta": 2.0}, [1, 4, 25]),
        ("power", [0.9, 0.8, 0.5], {"direction": "lower", "range": (0, 1)}, [1, 2, 5]),
        ("power", [3.0, 4.0, 7.0], {"range": (2.0, np.inf)}, [1, 2, 5]),
        ("power", [-1.0, 0.0, 3.0], {}, [0, 1, 4]),
        ("power", [9.0, 8.0, 5.0], {"direction": "lower"}, [0, 1, 4]),
        ("power", [1.0, 2.0, 5.0], {"cost": [1, 2, 5]}, [1, 1, 1]),
        ("softmax", [0.0, np.log(2), np.log(5)], {}, [1, 2, 5]),
        ("softmax", [100.0, 100 + np.log(2), 100 + np.log(5)], {}, [1, 2, 5]),
        ("softmax", [0.0, -np.log(2), -np.log(5)], {"direction": "lower"}, [1, 2, 5]),
        ("softrank", [0.1, 7.0, 0.2], {}, [1 / 3, 1, 1 / 2]),
        ("softrank", [0.1, 7.0, 0.2], {"direction": "lower", "beta": 2.0}, [1, 1 / 9, 1 / 4]),
        ("random", [0.1, 7.0, 0.2], {}, [1, 1, 1]),
    ],
)
def test_drawn_in_proportion(
    method: str, scores: list[float], options: dict[str, object], expected: list[float]
) -> None:
    # 500 draws: a standard error of at most 0.022
    assert_allclose(frequencies(scores, method, **options), np.array(expected) / sum(expected), atol=0.06)


def test_no_utility_comes_last_in_random_order() -> None:
    scores = [0.0, 0.0, 1.0, 0.0]
    batches = {tuple(acquire(scores, 4, method="power", seed=s)) for s in range(50)}
    assert all(batch[0] == 2 for batch in batches)
    assert len(batches) == 6


@pytest.mark.parametrize("beta", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("method", ["power", "softmax", "softrank"])
def test_beta_is_positive(method: str, beta: float) -> None:
    with pytest.raises(ConfigurationError, match="must be a positive number"):
        acquire([1.0, 2.0], 1, method=method, beta=beta)
