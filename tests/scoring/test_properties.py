"""What holds for every metric, whatever the predictions: properties searched by Hypothesis, over both paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rose.scoring import Metric, metrics, score, top_k
from tests.scoring.conftest import probabilities, values

# The `path` fixture patches a constant once for all examples, which is what is meant.
RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

# Of each candidate by itself; what is of all candidates together has tests of its own.
CLASSIFICATION = [m for m in metrics("classification") if m.built_in and m.kind != "whole"]
REGRESSION = [m for m in metrics("regression") if m.built_in and m.kind != "whole"]


@st.composite
def stacked_probabilities(draw: st.DrawFn) -> Any:
    shape = draw(st.tuples(st.integers(2, 6), st.integers(1, 12), st.integers(1, 6)))
    raw = draw(arrays(np.float64, shape, elements=st.one_of(st.just(0.0), st.floats(1e-6, 1.0))))
    raw[..., 0] += (raw.sum(axis=2) == 0.0) * 1.0
    return raw / raw.sum(axis=2, keepdims=True)


@st.composite
def stacked_values(draw: st.DrawFn) -> Any:
    shape = draw(st.tuples(st.integers(2, 12), st.integers(1, 12)))
    return draw(arrays(np.float64, shape, elements=st.floats(-1e6, 1e6)))


def everything(mc_preds: Any, task: str, order: Any = slice(None), **options: Any) -> dict[str, Any]:
    """All metrics of a task, with targets and variances that follow the candidates' order."""
    n = mc_preds[0].shape[0] if isinstance(mc_preds, list) else mc_preds.shape[1]
    if task == "classification":
        return score(mc_preds, CLASSIFICATION, y_true=np.zeros(n, dtype=int)[order], **options)
    return score(mc_preds, [m for m in REGRESSION if "variances" not in m.needs], y_true=np.zeros(n)[order], **options)


@RELAXED
@given(p=stacked_probabilities(), data=st.data())
def test_members_have_no_order(path: str, p: Any, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(p))))
    before, after = everything(p, "classification"), everything(p[order], "classification")
    for name in before:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-9, atol=1e-12, err_msg=name)


@RELAXED
@given(x=stacked_values(), data=st.data())
def test_members_have_no_order_in_regression(path: str, x: Any, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(x))))
    before, after = everything(x, "regression"), everything(x[order], "regression")
    scale = float(np.abs(x).max()) + 1.0
    for name in set(before) - {"coefficient_of_variation", "negative_log_likelihood"}:  # they divide by what may be 0
        np.testing.assert_allclose(after[name], before[name], rtol=1e-7, atol=1e-7 * scale, err_msg=name)


@RELAXED
@given(p=stacked_probabilities(), data=st.data())
def test_a_candidates_score_does_not_depend_on_its_neighbours(path: str, p: Any, data: st.DataObject) -> None:
    order = np.array(data.draw(st.permutations(range(p.shape[1]))))
    before, after = everything(p, "classification"), everything(p[:, order], "classification")
    for name in before:
        assert (after[name] == before[name][order]).all(), name


@RELAXED
@given(x=stacked_values(), data=st.data())
def test_the_same_in_regression(path: str, x: Any, data: st.DataObject) -> None:
    order = np.array(data.draw(st.permutations(range(x.shape[1]))))
    before, after = everything(x, "regression"), everything(x[:, order], "regression")
    for name in before:
        assert (after[name] == before[name][order]).all(), name


@RELAXED
@given(p=stacked_probabilities())
def test_information_is_part_of_the_entropy(path: str, p: Any) -> None:
    found = score(p, ["mutual_information", "predictive_entropy", "vote_entropy", "expected_pairwise_kl"])
    assert (found["mutual_information"] <= found["predictive_entropy"]).all()
    assert (found["mutual_information"] <= found["expected_pairwise_kl"] + 1e-12).all()
    assert (found["predictive_entropy"] <= np.log(p.shape[2]) + 1e-12).all()
    assert (found["vote_entropy"] <= np.log(min(p.shape[0], p.shape[2])) + 1e-12).all()


@pytest.mark.parametrize("metric", metrics("classification"), ids=lambda m: m.name)
@RELAXED
@given(members=st.integers(2, 9), classes=st.integers(2, 12))
def test_a_sure_candidate_never_outranks_a_uniform_one(path: str, metric: Metric, members: int, classes: int) -> None:
    p = np.full((members, 2, classes), 1.0 / classes)
    p[:, 0] = np.eye(classes)[0]
    scores = score(p, metric, y_true=[0, 0])
    first = metric.order(scores)[0]
    assert first == 1 or scores[0] == scores[1], "the sure candidate was ranked first"
    if metric.direction == "higher":
        assert scores[0] <= scores[1]


@pytest.mark.parametrize("metric", metrics("regression"), ids=lambda m: m.name)
@RELAXED
@given(spread=st.floats(0.01, 100.0), members=st.integers(2, 9))
def test_an_agreed_candidate_never_outranks_a_disputed_one(
    path: str, metric: Metric, spread: float, members: int
) -> None:  # fmt: skip
    x = np.zeros((members, 2))
    x[:, 1] = np.linspace(-spread, spread, members)
    v = np.full((members, 2), 1e-3)
    scores = score(x, metric, y_true=[0.0, 0.0], variances=v)
    assert scores[0] <= scores[1]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_blocks_threads_and_containers_change_no_bit(path: str, task: str, dtype: Any, tmp_path: Path) -> None:
    x = probabilities(5, 2000, 7, dtype) if task == "classification" else values(9, 5000, dtype)
    expected = everything(x, task)
    files = [tmp_path / f"{i}.npy" for i in range(len(x))]
    for file, row in zip(files, x, strict=True):
        np.save(file, row)
    np.save(tmp_path / "all.npy", x)
    ways: dict[str, tuple[Any, dict[str, Any]]] = {
        "one at a time": (x[:, :50], {"block_size": 1}),
        "blocks of 7": (x, {"block_size": 7}),
        "blocks of 999, 3 threads": (x, {"block_size": 999, "threads": 3}),
        "one block": (x, {"block_size": 10**9}),
        "a list of arrays": (list(x), {}),
        "a memory map": (np.load(tmp_path / "all.npy", mmap_mode="r"), {}),
        "members apart in memory": (np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0), {}),
        "big-endian": (x.astype(x.dtype.newbyteorder(">")), {}),
    }
    for way, (given_as, options) in ways.items():
        for name, scores in everything(given_as, task, **options).items():
            assert (scores == expected[name][: len(scores)]).all(), (way, name)
    targets: Any = {"y_true": np.zeros(x.shape[1], dtype=int)}
    for name in expected:
        assert (score(files, name, **targets) == expected[name]).all(), name
        assert (score([str(f) for f in files], name, block_size=333, **targets) == expected[name]).all(), name


@pytest.mark.parametrize("k", [0, 1, 10, 700])
@pytest.mark.parametrize("metric", ["bald", "margin", "variation_ratio"])
def test_top_k_is_the_head_of_the_whole_ranking(path: str, metric: str, k: int) -> None:
    p = probabilities(4, 700, 3, np.float32)
    p[:, 100:600] = p[:, :1]  # many ties
    scores = score(p, metric)
    for options in ({}, {"block_size": 13}, {"block_size": 64, "threads": 3}):
        indices, found = top_k(p, k, metric, **options)  # type: ignore[arg-type]
        sign = -1.0 if metric == "margin" else 1.0
        expected = np.lexsort((np.arange(700), -sign * scores))[:k]
        assert indices.tolist() == expected.tolist()
        assert found.tolist() == scores[expected].tolist()
