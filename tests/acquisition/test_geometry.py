"""k-center and LCMD against straightforward re-implementations, and the kernels against the plain definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rose.acquisition import acquire
from tests.acquisition.conftest import drawn, use_plain

Points = NDArray[Any]


def kcenter_by_matrix(x: Points, candidates: list[int], centres: list[int], k: int) -> list[int]:
    distance = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    chosen: list[int] = []
    for _ in range(k):
        left = [c for c in candidates if c not in chosen]
        chosen.append(max(left, key=lambda c: distance[c, centres + chosen].min()))  # the first of equals
    return chosen


def lcmd_by_lists(x: Points, candidates: list[int], centres: list[int], k: int) -> list[int]:
    centres, chosen = list(centres), []
    for _ in range(k):
        clusters: dict[int, list[tuple[float, int]]] = {}
        for c in candidates:
            if c not in chosen:
                distances = [float(((x[c] - x[z]) ** 2).sum()) for z in centres]
                clusters.setdefault(int(np.argmin(distances)), []).append((min(distances), c))
        largest = max(clusters, key=lambda z: (sum(d for d, _ in clusters[z]), -z))
        chosen.append(max(clusters[largest], key=lambda member: member[0])[1])
        centres.append(chosen[-1])
    return chosen


REFERENCES = {"kcenter": kcenter_by_matrix, "lcmd": lcmd_by_lists}


@pytest.mark.parametrize("method", REFERENCES)
@pytest.mark.parametrize("seed", range(8))
def test_against_a_straightforward_implementation(arithmetic: str, method: str, seed: int) -> None:
    # whole numbers: distances are exact, so that ties are ties everywhere
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, size=(40, 3)).astype(np.float32)
    order = drawn(40, seed)
    labelled, pending = [i for i in order if i in (2, 5, 11)], [i for i in order if i in (0, 30)]
    candidates = [i for i in order if i not in labelled + pending]
    chosen = acquire(features=x, k=12, method=method, labelled=labelled, pending=pending, seed=seed)
    assert chosen.tolist() == REFERENCES[method](x, candidates, labelled + pending, 12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(1, 40), st.integers(0, 5), st.integers(1, 30))
@pytest.mark.parametrize("method", REFERENCES)
def test_kernels_choose_as_the_definition(method: str, seed: int, n: int, width: int, known: int, k: int) -> None:
    pytest.importorskip("numba")
    rng = np.random.default_rng(seed)
    x = rng.integers(-4, 5, size=(n + known, width)).astype(rng.choice([np.float32, np.float64]))
    question: dict[str, Any] = {"features": x, "k": min(k, n), "method": method, "labelled": np.arange(known)}
    fast = acquire(**question)
    with pytest.MonkeyPatch.context() as patch:
        use_plain(patch)
        assert np.array_equal(fast, acquire(**question))


@pytest.mark.parametrize("method", REFERENCES)
def test_many_blocks_of_rows(method: str, arithmetic: str) -> None:
    # The farthest of 40,000 lies in the last block; the others' turn comes as the seed draws
    x = np.zeros((40_000, 2), dtype=np.float32)
    x[[39_999, 17, 20_000]] = [[9, 0], [0, 5], [0, 5]]
    for seed in range(4):
        order = drawn(40_000, seed)
        second, third = (next(i for i in order if i in those) for those in ({17, 20_000}, set(range(1, 39_999))))
        chosen = acquire(features=x, k=3, method=method, labelled=[0], seed=seed)
        assert chosen.tolist() == [39_999, second, third if third != second else next(i for i in order if i != third)]


def test_kcenter_halves_the_radius_as_promised(arithmetic: str) -> None:
    # Gonzalez 1985: at most twice the best radius. Four tight blobs, four centres: the best radius is a blob's.
    rng = np.random.default_rng(0)
    blobs = np.repeat([[0, 0], [50, 0], [0, 50], [50, 50]], 25, axis=0) + rng.uniform(-1, 1, size=(100, 2))
    chosen = acquire(features=blobs, k=4, method="kcenter")
    assert sorted(chosen // 25) == [0, 1, 2, 3]


def test_lcmd_prefers_the_crowd_to_the_outlier() -> None:
    crowd = np.column_stack([np.full(50, 10.0), np.linspace(0, 4, 50)])  # radius 2 around its centre, much in it
    x = np.concatenate([[[0.0, 0.0], [10.0, 2.0]], [[0.0, 3.0]], crowd])  # two labelled, a lone outlier, the crowd
    assert acquire(features=x, k=1, method="kcenter", labelled=[0, 1]).tolist() == [2]
    assert acquire(features=x, k=1, method="lcmd", labelled=[0, 1])[0] > 2


def test_where_to_begin(arithmetic: str) -> None:
    x = np.array([[1.0], [2.0], [9.0], [4.0]])
    assert acquire(features=x, k=1, method="kcenter").tolist() == [3]  # the mean is 4
    assert acquire(features=x, k=1, method="lcmd").tolist() == [2]  # the longest
    for method in REFERENCES:
        assert acquire([0, 1, 0, 0], 1, features=x, method=method).tolist() == [1]  # the most uncertain
        assert acquire([0, 1, 1, 1], 1, features=x, method=method, direction="lower").tolist() == [0]
    predictions = np.array([[0.0, 1.0, 5.0], [0.1, 3.0, 5.1]])  # disagreement 0.1, 2, 0.1
    for method in REFERENCES:
        assert acquire(predictions, 1, method=method).tolist() == [1]


def test_distances_are_between_centred_predictions(arithmetic: str) -> None:
    # Candidates 0 and 2 differ in the mean alone: labelling one teaches the ensemble the other
    predictions = [[0.0, 3.0, 100.0], [1.0, 1.0, 101.0]]
    for method in REFERENCES:
        assert acquire(predictions, 1, method=method, labelled=[0]).tolist() == [1]


def test_predictions_far_from_zero_keep_their_digits() -> None:
    noise = np.array([[0.0, 8.0, 16.0], [8.0, 8.0, -8.0]], dtype=np.float32)
    near = acquire(noise, 2, method="lcmd")
    assert np.array_equal(near, acquire(noise + np.float32(1e8), 2, method="lcmd"))


@pytest.mark.parametrize("method", REFERENCES)
def test_distance_per_unit_of_cost(method: str) -> None:
    x, cost = np.array([[0.0], [2.0], [3.0]]), [1.0, 1.0, 4.0]
    assert acquire(features=x, k=1, method=method, labelled=[0], cost=cost).tolist() == [1]
    assert acquire(features=x, k=1, method=method, labelled=[0]).tolist() == [2]
