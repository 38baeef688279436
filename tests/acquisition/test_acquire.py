"""The front door: what is accepted, and what an error says."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from rose.acquisition import acquire
from rose.errors import ConfigurationError, PredictionError, UnknownAcquisitionError

SCORES = np.array([0.1, 0.9, 0.5, 0.7])
PROBABILITIES = np.random.default_rng(0).dirichlet([1, 1], size=(3, 4))


def test_scores_are_told_from_predictions_by_their_axes() -> None:
    assert acquire(SCORES, 2, method="top_k").tolist() == [1, 3]
    assert acquire(SCORES.tolist(), 2, method="top_k").tolist() == [1, 3]
    assert len(acquire(PROBABILITIES, 2, method="kcenter")) == 2
    assert len(acquire(list(PROBABILITIES), 2, method="kcenter")) == 2
    assert len(acquire(PROBABILITIES[:, :, 0], 2, method="kcenter")) == 2  # [S, N] values


def test_returns_int64_most_wanted_first() -> None:
    chosen = acquire(SCORES, 3, method="top_k", direction="lower")
    assert chosen.dtype == np.int64
    assert chosen.tolist() == [0, 2, 3]


@pytest.mark.parametrize("mask", [False, True])
def test_labelled_and_pending_as_indices_or_masks(mask: bool) -> None:
    labelled: Any = [1]
    pending: Any = np.array([3], dtype=np.uint8)
    if mask:
        labelled, pending = np.arange(4) == 1, np.arange(4) == 3
    assert acquire(SCORES, 2, method="top_k", labelled=labelled, pending=pending).tolist() == [2, 0]


def test_nothing_asked_nothing_given() -> None:
    assert acquire(SCORES, 0, method="power").dtype == np.int64
    assert acquire(SCORES, 0, method="power").tolist() == []
    assert acquire([], 0, method="top_k").tolist() == []
    assert acquire(np.empty((2, 0, 3)), 0, method="kcenter").tolist() == []


def test_all_may_be_chosen() -> None:
    assert sorted(acquire(SCORES, 4, method="power")) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 5}, "k=5, but only 4 candidates"),
        ({"k": 3, "labelled": [0], "pending": [1]}, "k=3, but only 2 candidates"),
        ({"k": -1}, "k=-1 is negative"),
        ({"k": 1.5}, "k=1.5 is no whole number"),
        ({"k": True}, "say how many"),
        ({}, "say how many"),
        ({"k": 1, "labelled": [4]}, r"labelled holds index 4; there are 4 candidates"),
        ({"k": 1, "pending": [-1]}, r"pending holds index -1"),
        ({"k": 1, "labelled": [0.5]}, "labelled must be a list of indices or a mask"),
        ({"k": 1, "labelled": [True]}, r"labelled is a mask of shape \(1,\)"),
        ({"k": 1, "direction": "up"}, "say 'higher' or 'lower'"),
        ({"k": 1, "features": np.zeros((3, 2))}, "scores has 4, features has 3"),
        ({"k": 1, "mc_preds": np.zeros((3, 5))}, "scores has 4, mc_preds has 5"),
        ({"k": 1, "features": np.array(["a"] * 4)}, "features must be"),
        ({"k": 1, "cost": [1, 1, 0, 1]}, "cost of candidate 2 is 0.0"),
        ({"k": 1, "cost": [1, 1, np.nan, 1]}, "cost of candidate 2 is nan"),
        ({"k": 1, "budget": 3.0}, "budget= needs cost="),
        ({"k": 1, "cost": 1.0, "budget": -1.0}, "budget=-1.0 must be 0 or more"),
        ({"k": 1, "cost": np.ones((4, 2))}, r"cost must be one number a candidate, \[N\], not of shape \(4, 2\)"),
        ({"k": 1, "cost": "dear"}, "cost must be real numbers"),
        ({"k": 1, "cost": 1.0, "budget": "all"}, "budget='all' must be 0 or more"),
        ({"k": 1, "features": np.ones((4, 0))}, "have no columns"),
        ({"k": 1, "seed": None}, "seed=None must be a whole number of 0 or more"),
        ({"k": 1, "seed": -1}, "seed=-1 must be"),
        ({"k": 1, "seed": "a"}, "seed='a' must be"),
        ({"k": 1, "range": (1.0, 0.0)}, r"range=\(1.0, 0.0\) must be the lowest and the highest"),
        ({"k": 1, "range": (0.0, 1.0, 2.0)}, "must be the lowest and the highest"),
        ({"k": 1, "scores": np.ones(4, complex)}, "scores must be real numbers, not complex128"),
        ({"k": 1, "scores": ["a", "b"]}, "scores must be real numbers"),
        ({"k": 1, "scores": np.array([1.0, "b"], object)}, "scores must be numbers; there are others"),
        ({"k": 1, "beta": 3}, "'top_k' has no option 'beta'"),
    ],
)
def test_what_cannot_work_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        acquire(**{"scores": SCORES, "method": "top_k", **arguments})


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("power", {"beta": "3"}, "beta='3' must be a positive number"),
        ("softmax", {"beta": True}, "beta=True must be a positive number"),
        ("diverse", {"beta": np.inf}, "beta=inf must be 1 or more"),
        ("diverse", {"beta": np.nan}, "beta=nan must be 1 or more"),
        ("diverse", {"restarts": 0}, "restarts=0 must be 1 or more, a whole number"),
        ("facility_location", {"beta": 0.5}, "beta=0.5 must be 1 or more"),
        ("facility_location", {"width": 0}, "width=0 must be a positive number"),
        ("maxdet", {"noise": "loud"}, "noise='loud' must be a positive number"),
        ("maxdet", {"noise": 0.0}, "noise=0.0 must be a positive number"),
        ("batchbald", {"configurations": 1.5}, "configurations=1.5 must be 1 or more, a whole number"),
        ("batchbald", {"configurations": 0}, "configurations=0 must be 1 or more"),
    ],
)
def test_options_are_checked(method: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        acquire(SCORES, 2, mc_preds=PROBABILITIES, features=np.arange(4.0)[:, None], method=method, **options)


def test_missing_inputs_are_named() -> None:
    with pytest.raises(ConfigurationError, match="'top_k' needs scores"):
        acquire(PROBABILITIES, 1, method="top_k")
    with pytest.raises(ConfigurationError, match=r"'diverse' needs features or mc_preds \('top_k'"):
        acquire(SCORES, 1)
    with pytest.raises(ConfigurationError, match="how many candidates there are"):
        acquire(k=1, method="random")
    with pytest.raises(ConfigurationError, match="given twice"):
        acquire(PROBABILITIES, 1, mc_preds=PROBABILITIES, method="kcenter")
    with pytest.raises(ConfigurationError, match="4 axes"):
        acquire(np.zeros((1, 1, 1, 1)), 1, method="kcenter")


def test_predictions_of_differing_shapes_are_refused() -> None:
    with pytest.raises(PredictionError, match=r"\(3,\), \(4,\)"):
        acquire([np.zeros(3), np.zeros(4)], 1, method="kcenter")


def test_nan_scores_are_refused_unless_they_do_not_matter() -> None:
    scores = [0.1, np.nan, 0.5]
    with pytest.raises(ConfigurationError, match=r"scores of 1 candidates are NaN, the first is 1"):
        acquire(scores, 1, method="top_k")
    assert acquire(scores, 1, method="top_k", labelled=[1]).tolist() == [2]


def test_infinite_scores_have_ranks_but_no_size() -> None:
    scores = [0.1, np.inf, -np.inf]
    assert acquire(scores, 3, method="top_k").tolist() == [1, 0, 2]
    assert len(acquire(scores, 3, method="softrank")) == 3
    with pytest.raises(ConfigurationError, match="score of candidate 1 is infinite"):
        acquire(scores, 1, method="power")


@pytest.mark.parametrize("method", ["kcenter", "lcmd", "maxdet"])
def test_features_and_predictions_must_be_finite(method: str) -> None:
    with pytest.raises(ConfigurationError, match="features of candidate 1 are not finite"):
        acquire(features=[[0.0], [np.nan], [1.0]], k=1, method=method)
    with pytest.raises(PredictionError, match="member 0 predicts inf for candidate 1"):
        acquire([[0.0, np.inf], [1.0, 1.0]], 1, method=method)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 1e20, 1e35])
@pytest.mark.parametrize("method", ["kcenter", "lcmd", "maxdet", "badge", "diverse", "exploring", "facility_location"])
def test_units_change_nothing(method: str, scale: float) -> None:
    rng = np.random.default_rng(0)
    x, p = rng.normal(size=(40, 3)), rng.dirichlet(np.ones(3), size=(4, 40))
    question: dict[str, Any] = {"k": 5, "method": method, "labelled": [0, 1], "scores": rng.random(40)}
    if method == "badge":
        question["mc_preds"] = p
    usual = acquire(features=x.astype(np.float32), **question)
    assert acquire(features=(x * scale).astype(np.float32), **question).tolist() == usual.tolist()


def test_squares_that_overflow_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="so large that distances overflow; rescale them"):
        acquire(features=1e200 * np.arange(8.0).reshape(4, 2), k=1, method="kcenter")


def test_scores_outside_their_declared_range() -> None:
    with pytest.raises(ConfigurationError, match=r"0.1 to 0.9, outside range=\(0, 0.5\)"):
        acquire(SCORES, 1, method="power", range=(0.0, 0.5))


def test_unknown_method_offers_near_misses() -> None:
    with pytest.raises(UnknownAcquisitionError, match="did you mean 'kcenter'"):
        acquire(SCORES, 1, method="k-centre")
    with pytest.raises(KeyError):
        acquire(SCORES, 1, method="zzz")


def test_features_may_be_images() -> None:
    images = np.zeros((3, 2, 2))
    images[2] = 1
    assert acquire(features=images, k=1, method="kcenter", labelled=[0]).tolist() == [2]


def test_seed_may_be_a_sequence_or_a_generator() -> None:
    sequence = np.random.SeedSequence(5)
    generator = np.random.default_rng(np.random.SeedSequence(5))
    assert np.array_equal(
        acquire(SCORES, 3, method="random", seed=sequence), acquire(SCORES, 3, method="random", seed=generator)
    )


def test_importing_needs_neither_numba_nor_sklearn() -> None:
    code = (
        "import sys, rose.acquisition; print([m for m in ('numba', 'sklearn', 'scipy', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
