"""What is simulated first: spread over the pool, by the seed, whatever the scale of the candidates."""

from __future__ import annotations

import numpy as np
import pytest

from rose import Pool
from rose.errors import PoolError
from rose.pool.start import STARTS

RNG = np.random.default_rng(0)
X = RNG.random((400, 2)) * [1.0, 1e6]


@pytest.mark.parametrize("start", STARTS)
def test_first_candidates_are_distinct_and_the_seeds(start: str) -> None:
    first = Pool(X, initial=16, start=start).initial
    assert len(set(first.tolist())) == 16
    assert first.tolist() == Pool(X, initial=16, start=start).initial.tolist()
    assert Pool(np.repeat(X[:2], 10, axis=0), initial=20, start=start).initial.shape == (20,)
    given = Pool(X, initial=16, start=start, labels={7: 0.5, 9: 0.25}).initial
    assert given[:2].tolist() == [7, 9]
    assert len(set(given.tolist())) == 16


@pytest.mark.parametrize("start", ["maximin", "lhs", "stratified"])
def test_they_spread(start: str) -> None:
    def worst(first: np.ndarray) -> float:
        scaled = X / [1.0, 1e6]
        return float(np.linalg.norm(scaled[:, None] - scaled[first], axis=2).min(axis=1).max())

    drawn = [worst(Pool(X, initial=16, start="random", seed=seed).initial) for seed in range(5)]
    assert worst(Pool(X, initial=16, start=start).initial) < np.mean(drawn)
    assert Pool(X, initial=16).start == "stratified"


def test_objects_start_at_random_and_large_pools_are_sampled() -> None:
    assert Pool(["CCO", "CCC", "CCN"], initial=2).start == "random"
    assert Pool(RNG.random((9, 65)), initial=2).start == "random"
    with pytest.raises(PoolError, match=r"start='lhs' .*these are no numbers: give Pool\(features="):
        Pool(["CCO", "CCC"], initial=1, start="lhs")
    with pytest.raises(PoolError, match="did you mean 'maximin'"):
        Pool(X, start="maximim")
    large = np.arange(1_000_000, dtype=np.float32)[:, None]
    assert np.diff(np.sort(Pool(large, initial=5).initial)).min() > 100_000
