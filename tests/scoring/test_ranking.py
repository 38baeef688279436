"""Ranking: stable, by declared direction, with a `k` that is checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose.errors import ConfigurationError, NotANumberError
from rose.scoring import get_metric, most_uncertain, top_k
from rose.scoring.ranking import Leaders


@given(scores=st.lists(st.integers(-3, 3), min_size=1, max_size=40), data=st.data())
def test_ties_keep_the_lower_index_first(scores: list[int], data: st.DataObject) -> None:
    k = data.draw(st.integers(0, len(scores)))
    for direction, sign in (("higher", -1), ("lower", 1)):
        expected = sorted(range(len(scores)), key=lambda i: (sign * scores[i], i))[:k]
        assert most_uncertain(scores, k, direction).tolist() == expected


@given(st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=30), min_size=1, max_size=20), st.data())
def test_leaders_do_not_depend_on_the_order_of_blocks(blocks: list[list[int]], data: st.DataObject) -> None:
    scores = np.array([s for b in blocks for s in b], dtype=float)
    k = data.draw(st.integers(0, len(scores)))
    leaders = Leaders(k, "higher")
    starts = np.cumsum([0, *map(len, blocks)])
    for i in data.draw(st.permutations(range(len(blocks)))):
        leaders.offer(int(starts[i]), np.array(blocks[i], dtype=float))
    indices, found = leaders.result()
    assert indices.tolist() == most_uncertain(scores, k).tolist()
    assert found.tolist() == scores[indices].tolist()


def test_many_blocks_are_settled_on_the_way() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 50, 100_000).astype(float)
    leaders = Leaders(10, "lower")
    for low in range(0, 100_000, 1000):
        leaders.offer(low, scores[low : low + 1000])
        assert len(leaders._keys) <= 2 * 10 + 1024
    assert leaders.result()[0].tolist() == most_uncertain(scores, 10, "lower").tolist()


@pytest.mark.parametrize(
    ("k", "message"),
    [(-1, "k=-1 is negative"), (4, "k=4 is more than the 3 candidates"), (1.5, "k=1.5 must be an integer")],
)
def test_a_k_that_cannot_be(k: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        most_uncertain([1.0, 2.0, 3.0], k)
    with pytest.raises(ValueError, match=message):
        top_k([[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]], k, "variance")


def test_nothing_asked_nothing_given() -> None:
    assert most_uncertain([1.0], 0).tolist() == []
    indices, scores = top_k([[1.0, 2.0], [2.0, 2.0]], 0, "variance")
    assert indices.dtype == np.intp
    assert (len(indices), len(scores)) == (0, 0)
    assert most_uncertain([], 0).tolist() == []


def test_scores_that_have_no_rank() -> None:
    with pytest.raises(NotANumberError, match="the score of candidate 1 is NaN"):
        most_uncertain([1.0, np.nan], 1)
    with pytest.raises(ConfigurationError, match="one number per candidate"):
        most_uncertain([[1.0, 2.0]], 1)
    with pytest.raises(ConfigurationError, match="direction='up'"):
        most_uncertain([1.0], 1, "up")


def test_infinite_scores_rank_first() -> None:
    assert most_uncertain([1.0, np.inf, np.inf], 2).tolist() == [1, 2]


def test_a_metric_orders_by_its_direction() -> None:
    assert get_metric("margin").order([0.9, 0.1, 0.5]).tolist() == [1, 2, 0]
    assert get_metric("entropy").order([0.9, 0.1, 0.5]).tolist() == [0, 2, 1]
