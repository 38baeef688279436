"""What every method promises: no duplicates, nothing labelled or pending, the same answer to the same question."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rose.acquisition import acquire, acquisitions, get_acquisition

BUILT_IN = [
    "badge", "batchbald", "diverse", "facility_location", "kcenter", "lcmd", "maxdet", "power", "random", "softmax",
    "softrank", "top_k",
]  # fmt: skip
# Saturation is the rule with three members, likeness frequent, and neither is what these tests are about
pytestmark = [
    pytest.mark.filterwarnings("ignore:the (scores|features) of all"),  # `test_degenerate` is about that
    pytest.mark.filterwarnings("ignore::rose.acquisition.SaturatedBatchWarning"),
    pytest.mark.filterwarnings("ignore:all members predict alike"),
]
RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    """Inputs for any method, with duplicated rows, constant scores and tight counts among them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 30))
    values = draw(st.integers(1, 4))  # few distinct values: duplicates and ties are the rule
    role = rng.choice(3, size=n, p=[0.6, 0.2, 0.2])
    weights = rng.integers(1, values + 1, size=(3, n, 4)).astype(float)
    return {
        "scores": rng.integers(0, values, size=n) / values,
        "mc_preds": weights / weights.sum(axis=2, keepdims=True),
        "features": rng.integers(0, values, size=(n, 3)).astype(draw(st.sampled_from([np.float32, np.float64, int]))),
        "labelled": np.flatnonzero(role == 1),
        "pending": np.flatnonzero(role == 2),
        "k": draw(st.integers(0, int((role == 0).sum()))),
        "direction": draw(st.sampled_from(["higher", "lower"])),
        "seed": draw(st.integers(0, 1000)),
    }


def test_the_list_is_complete() -> None:
    assert set(BUILT_IN) <= set(acquisitions())


@pytest.mark.parametrize("method", BUILT_IN)
@given(question=questions())
@RELAXED
def test_full_batches_without_duplicates(arithmetic: str, method: str, question: dict[str, Any]) -> None:
    before = {name: np.copy(value) for name, value in question.items()}
    chosen = acquire(method=method, **question)
    assert len(chosen) == question["k"]
    assert len(set(chosen.tolist())) == len(chosen)
    assert not np.isin(chosen, np.concatenate([question["labelled"], question["pending"]])).any()
    assert np.array_equal(chosen, acquire(method=method, **question))
    assert all(np.array_equal(before[name], question[name]) for name in question)  # inputs are not written to


@pytest.mark.parametrize("method", BUILT_IN)
@given(question=questions(), budget=st.floats(0, 20), seed=st.integers(0, 1000))
@RELAXED
def test_budgets_hold_and_are_used(method: str, question: dict[str, Any], budget: float, seed: int) -> None:
    cost = np.random.default_rng(seed).choice([0.5, 1.0, 7.0], size=len(question["scores"]))
    chosen = acquire(method=method, cost=cost, budget=budget, **question)
    assert cost[chosen].sum() <= budget
    assert len(set(chosen.tolist())) == len(chosen)
    if len(chosen) < question["k"]:  # no one left out was affordable
        left = np.setdiff1d(np.arange(len(cost)), np.concatenate([chosen, question["labelled"], question["pending"]]))
        assert (cost[left] > budget - cost[chosen].sum()).all()


@pytest.mark.parametrize("method", BUILT_IN)
@given(question=questions())
@RELAXED
def test_equal_costs_change_nothing(method: str, question: dict[str, Any]) -> None:
    free, paid = acquire(method=method, **question), acquire(method=method, cost=1.0, **question)
    if method in ("kcenter", "lcmd", "batchbald"):  # costs take them through the plain definition, in float64
        assert len(free) == len(paid)
    else:
        assert np.array_equal(free, paid)


@pytest.mark.parametrize("method", ["top_k", "kcenter", "lcmd", "maxdet", "batchbald"])
@pytest.mark.parametrize("seed", range(5))
def test_renumbering_the_pool_renumbers_the_choice(arithmetic: str, method: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert not get_acquisition(method).stochastic or method == "batchbald"  # exact while there are few outcomes
    n = 60
    order = rng.permutation(n)
    scores, features = rng.random(n), rng.normal(size=(n, 5)).astype(np.float32)
    preds = rng.dirichlet(np.ones(3), size=(8, n)) ** 2
    preds /= preds.sum(axis=2, keepdims=True)
    place = np.argsort(order)  # where each candidate has gone
    first = acquire(scores, 4, method=method, features=features, mc_preds=preds, labelled=[3, 7], pending=[9])
    again = acquire(
        scores[order], 4, method=method, features=features[order], mc_preds=preds[:, order],
        labelled=place[[3, 7]], pending=place[[9]],
    )  # fmt: skip
    assert place[first].tolist() == again.tolist()


@pytest.mark.parametrize("method", BUILT_IN)
def test_one_candidate(arithmetic: str, method: str) -> None:
    chosen = acquire([0.0], 1, method=method, mc_preds=np.full((2, 1, 2), 0.5), features=np.zeros((1, 3)))
    assert chosen.tolist() == [0]


@pytest.mark.parametrize("method", [m for m in BUILT_IN if get_acquisition(m).stochastic and m != "batchbald"])
def test_the_seed_matters(method: str) -> None:
    rng = np.random.default_rng(0)
    question: dict[str, Any] = {
        "scores": rng.random(200), "features": rng.normal(size=(200, 5)), "mc_preds": rng.dirichlet([1, 1], (3, 200)),
    }  # fmt: skip
    batches = {tuple(acquire(k=5, method=method, seed=seed, **question)) for seed in range(5)}
    assert len(batches) > 1
