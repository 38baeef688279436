"""BatchBALD against enumeration of all outcomes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from rose.acquisition import SaturatedBatchWarning, acquire
from rose.acquisition.compiled import kernels, workers
from rose.acquisition.methods.joint import Joint, conditional_entropies, entropy
from rose.errors import ConfigurationError, PredictionError

Probabilities = NDArray[np.float64]


def predictions(seed: int, members: int = 6, n: int = 8, classes: int = 3, sharp: float = 2.0) -> Probabilities:
    p = np.exp(sharp * np.random.default_rng(seed).normal(size=(members, n, classes)))
    return np.asarray(p / p.sum(axis=2, keepdims=True))


def joint_information(p: Probabilities, batch: list[int]) -> float:
    """I(y_batch; member) = H(y_batch) - mean_k sum_i H(y_i | k), outcome by outcome."""
    total = 0.0
    for outcome in itertools.product(range(p.shape[2]), repeat=len(batch)):
        probability = np.mean(np.prod([p[:, i, y] for i, y in zip(batch, outcome, strict=True)], axis=0))
        total -= probability * np.log(probability) if probability > 0 else 0.0
    return float(total - sum(entropy(p[:, i]).mean() for i in batch))


def greedy(p: Probabilities, k: int, batch: list[int]) -> list[int]:
    start = len(batch)
    for _ in range(k):
        left = [i for i in range(p.shape[1]) if i not in batch]
        batch = [*batch, max(left, key=lambda i: joint_information(p, [*batch, i]))]
    return batch[start:]


@pytest.mark.parametrize("seed", range(6))
def test_picks_as_by_enumeration(arithmetic: str, seed: int) -> None:
    p = predictions(seed, members=12)
    assert acquire(p, 4, method="batchbald").tolist() == greedy(p, 4, [])


def test_pending_counts_as_chosen(arithmetic: str) -> None:
    p = predictions(3, members=12)
    p[:, 1] = p[:, 0]  # a twin of what is pending
    assert acquire(p, 3, method="batchbald", pending=[0]).tolist() == greedy(p, 3, [0])


def test_information_is_exact_then_close() -> None:
    p = predictions(1, members=12)
    batch = [4, 2, 7, 0, 1]  # 243 outcomes
    exact, sampled = (Joint(12, 3, most, np.random.default_rng(0)) for most in (243, 60))
    for place, index in enumerate(batch):
        exact.add(p[:, index])
        sampled.add(p[:, index])
        assert exact.information == pytest.approx(joint_information(p, batch[: place + 1]), abs=1e-12)
    assert sampled.information == pytest.approx(exact.information, abs=0.15)
    assert sampled.information != exact.information


def test_sampling_is_unbiased() -> None:
    p = predictions(2, members=5)
    truth = joint_information(p, [0, 1, 2])
    found = []
    for seed in range(40):
        joint = Joint(5, 3, 100, np.random.default_rng(seed))
        joint._exact = False
        for index in (0, 1, 2):
            joint.add(p[:, index])
        found.append(joint.information)
    assert np.mean(found) == pytest.approx(truth, abs=4 * np.std(found) / np.sqrt(40))


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 7), st.integers(1, 600), st.integers(1, 70))
def test_kernel_computes_the_definition(seed: int, members: int, classes: int, outcomes: int, n: int) -> None:
    compiled = kernels()
    if compiled is None:
        pytest.skip("numba is not installed")
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(classes, 0.1), size=(n, members)).transpose(0, 2, 1)  # many zeros and ones
    posterior, mass = rng.dirichlet(np.full(members, 0.2), size=outcomes), rng.dirichlet(np.ones(outcomes))
    out = np.empty(n)
    compiled.conditional_entropies(
        np.ascontiguousarray(rows, np.float32), np.ascontiguousarray(posterior.T, np.float32),
        mass.astype(np.float32), 0, n, out,
    )  # fmt: skip
    assert_allclose(out, conditional_entropies(rows, posterior, mass), atol=2e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_coarse_view_is_an_upper_bound(seed: int) -> None:
    p = predictions(seed, members=10, n=50)
    joint = Joint(10, 3, 200, np.random.default_rng(seed))
    for index in range(5):
        joint.add(p[:, index])
    rows = np.ascontiguousarray(p.transpose(1, 2, 0), dtype=np.float32)
    with workers() as run:
        fine, coarse = (joint.conditional_entropies(rows, run, coarse=c) for c in (False, True))
    assert (coarse >= fine - 1e-5).all()
    assert coarse.mean() < 1.1 * fine.mean() + 0.1  # and not an idle one


def test_a_big_pool_goes_through_all_blocks(arithmetic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    p = predictions(0, members=20, n=5000, classes=4, sharp=1.0)
    kept = acquire(p, 4, method="batchbald", configurations=64)
    monkeypatch.setattr("rose.acquisition.methods.batchbald._KEEP", 0)
    assert acquire(list(p), 4, method="batchbald", configurations=64).tolist() == kept.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_bounds_spare_work_and_change_nothing(arithmetic: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    p = predictions(seed, members=20, n=300, classes=4, sharp=1.0)
    choices = []
    for look in (1, 300):  # one candidate between two looks at the bound; all of them before the first look
        monkeypatch.setattr("rose.acquisition.methods.batchbald._LOOK", look)
        choices.append(acquire(p, 5, method="batchbald", configurations=100).tolist())
    assert choices[0] == choices[1]


def test_repeated_questions_are_not_repeated() -> None:
    # top-k mutual information takes both copies of the best question, BatchBALD the second-best question
    sure = np.array([0.99, 0.01])
    p = np.array(
        [[sure, sure, sure], [sure, sure, 1 - sure], [1 - sure, 1 - sure, sure], [1 - sure, 1 - sure, 1 - sure]]
    )
    assert sorted(acquire(p, 2, method="batchbald").tolist()) == [0, 2]


def test_warns_once_as_members_run_out() -> None:
    p = predictions(0, members=3, n=20, sharp=6.0)
    with pytest.warns(
        SaturatedBatchWarning, match=r"after \d picks the batch tells .* of the at most 1.10 nats"
    ) as seen:
        acquire(p, 10, method="batchbald")
    assert len(seen) == 1
    acquire(p, 1, method="batchbald")  # nothing comes after it: no warning


@pytest.mark.parametrize(
    ("given", "options", "error", "message"),
    [
        (np.zeros((3, 4)), {}, ConfigurationError, "needs .S, N, C. probabilities; for regression use 'maxdet'"),
        (np.full((1, 4, 2), 0.5), {}, ConfigurationError, "needs at least 2, not 1: add members"),
        (np.full((2, 4, 2), 0.6), {}, PredictionError, "member 0 gives candidate 0 .* no probabilities"),
    ],
)
def test_what_cannot_work_is_refused(given: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        acquire(given, 2, method="batchbald", **options)
