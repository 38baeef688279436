"""Among equals the seed draws: fairly, repeatably, and whatever the order in which a pool lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rose.acquisition import acquire, tie_keys
from rose.errors import ConfigurationError
from tests.acquisition.conftest import use_plain
from tests.acquisition.test_contract import BUILT_IN, COMPILED

pytestmark = pytest.mark.filterwarnings(
    "ignore::rose.acquisition.SaturatedBatchWarning",
    "ignore:the (scores|features) of all",  # equals are meant here; `test_degenerate` has what is said of them
)


def equals(n: int) -> dict[str, Any]:
    """Candidates that nothing tells apart: copies of one, on which the members disagree."""
    copies = np.repeat([[[0.75, 0.25]], [[0.25, 0.75]], [[0.5, 0.5]]], n, axis=1)
    return {"scores": np.zeros(n), "features": np.ones((n, 3)), "mc_preds": copies}


@pytest.mark.parametrize("method", [*BUILT_IN, *(f"plain {name}" for name in COMPILED)])
def test_equals_are_equally_likely(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if method.startswith("plain "):
        use_plain(monkeypatch)
    method = method.removeprefix("plain ")
    batches = [acquire(k=2, method=method, seed=seed, **equals(5)) for seed in range(100)]
    times = np.bincount(np.concatenate(batches), minlength=5)  # 40 of each, standard deviation 5
    firsts = np.bincount([batch[0] for batch in batches], minlength=5)  # 20 of each, standard deviation 4
    assert (np.abs(times - 40) < 20).all()
    assert (np.abs(firsts - 20) < 16).all()


@pytest.mark.parametrize("method", BUILT_IN)
def test_without_features_too(method: str) -> None:
    question = equals(50)
    if method != "badge":
        question.pop("features")
    assert len({tuple(acquire(k=3, method=method, seed=seed, **question)) for seed in range(20)}) > 15


def test_a_pool_sorted_by_class_is_not_learnt_class_by_class() -> None:
    ratio = np.repeat([0.5, 0.0], [300, 100])  # votes split evenly on the first three of four classes
    chosen = acquire(ratio, 60, method="top_k")
    assert (np.bincount(chosen // 100, minlength=4)[:3] > 8).all()
    assert (chosen < 300).all()


def coarse(rng: np.random.Generator, n: int) -> dict[str, Any]:
    """Whole numbers, few of them: sums are exact in any order, and equals are the rule."""
    p = rng.integers(0, 3, size=(4, n))
    role = rng.choice(3, size=n, p=[0.7, 0.2, 0.1])
    return {
        "scores": rng.integers(0, 3, size=n) / 2,
        "features": rng.integers(0, 3, size=(n, 2)).astype(np.float32),
        "mc_preds": np.stack([p, 2 - p], axis=2) / 2,
        "labelled": role == 1,
        "pending": role == 2,
        "k": 6,
    }


def moved(question: dict[str, Any], order: NDArray[np.int64]) -> dict[str, Any]:
    axis = {"mc_preds": 1, "k": None}
    return {
        name: value if name == "k" else np.take(value, order, axis.get(name, 0)) for name, value in question.items()
    }


@pytest.mark.parametrize("method", BUILT_IN)
@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_the_pool_does_not_matter(arithmetic: str, method: str, seed: int) -> None:
    question = coarse(np.random.default_rng(seed), 60)
    usual = acquire(method=method, seed=seed, **question)
    order = np.random.default_rng(seed + 99).permutation(60)
    again = acquire(method=method, seed=seed, ids=order, **moved(question, order))
    assert order[again].tolist() == usual.tolist()


def test_part_of_a_pool_settles_ties_as_the_whole() -> None:
    whole = acquire(np.zeros(1000), 5, method="top_k", seed=3)
    part = np.union1d(whole, np.arange(200, 400))
    assert part[acquire(np.zeros(len(part)), 5, method="top_k", seed=3, ids=part)].tolist() == whole.tolist()
    keys = tie_keys(3, np.arange(1000))
    assert np.argsort(keys)[:5].tolist() == whole.tolist()
    assert tie_keys(3, part).tolist() == keys[part].tolist()


def test_keys_are_distinct_and_depend_on_seed_and_id_alone() -> None:
    ids = np.arange(-1000, 100_000)
    keys = tie_keys(0, ids)
    assert keys.dtype == np.uint64
    assert len(np.unique(keys)) == len(ids)
    assert tie_keys(np.int64(0), ids[::-1]).tolist() == keys[::-1].tolist()
    assert not (tie_keys(1, ids) == keys).any()
    assert tie_keys(np.random.default_rng(0), [5]) == tie_keys(np.random.SeedSequence(0), [5]) == tie_keys(0, [5])
    generator = np.random.default_rng(0)
    assert tie_keys(generator, [5]) != tie_keys(generator, [5])  # a generator is drawn from
    assert tie_keys(0, []).tolist() == []


def test_the_keys_of_neighbours_have_nothing_in_common() -> None:
    steps = np.diff(np.argsort(tie_keys(7, np.arange(10_000))))
    assert abs(np.corrcoef(steps[:-1], steps[1:])[0, 1] + 0.5) < 0.03  # of a random order's steps
    share = [np.mean(tie_keys(seed, [0, 1]).argmin()) for seed in range(1000)]
    assert abs(np.mean(share) - 0.5) < 0.07


def test_keys_that_share_their_first_bits_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = np.array([7, 5, 6, 4, 1 << 40], dtype=np.uint64)
    monkeypatch.setattr("rose.acquisition.choose.candidate_keys", lambda *_: keys)
    assert acquire(np.zeros(5), 4, method="top_k").tolist() == [3, 1, 2, 0]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0, 1, 2], "scores has 4, ids has 3"),
        ([0, 1, 2, 1], "those of 1 and 3 are the same"),
        ([0.0, 1.0, 2.0, 3.0], "ids must be whole numbers that tell candidates apart"),
        (["a", "b", "c", "d"], "ids must be whole numbers"),
        (np.zeros((4, 1), int), r"not int64 of shape \(4, 1\)"),
        (5, "ids must be whole numbers"),
    ],
)
def test_ids_are_checked(ids: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        acquire(np.zeros(4), 1, method="top_k", ids=ids)
