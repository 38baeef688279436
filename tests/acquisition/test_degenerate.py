"""Questions that hardly are any: members, scores or features that say nothing. No failure, and not in silence."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest

from rose.acquisition import Acquisition, Predictions, Problem, SaturatedBatchWarning, acquire, get_acquisition
from rose.errors import ConfigurationError, PredictionError
from tests.acquisition.conftest import drawn
from tests.acquisition.test_contract import BUILT_IN

N = 12
RNG = np.random.default_rng(0)
ONE = RNG.dirichlet(np.ones(3), size=(1, N))
ALIKE = np.repeat(ONE, 3, axis=0)
SCORES = np.arange(N) / N
X = RNG.normal(size=(N, 2))
DISTANCES = ["diverse", "exploring", "facility_location", "kcenter", "lcmd", "maxdet"]


@pytest.mark.parametrize("predictions", [ONE, ONE[:, :, 0]])
@pytest.mark.parametrize("method", DISTANCES)
def test_one_member_is_no_ensemble(method: str, predictions: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"'{method}' .* at least 2, not 1: .* give features .the candidates"):
        acquire(SCORES, 2, mc_preds=predictions, method=method)
    with_features = acquire(SCORES, 4, mc_preds=predictions, features=X, method=method, labelled=[0])
    assert with_features.tolist() == acquire(SCORES, 4, features=X, method=method, labelled=[0]).tolist()


def test_a_repeated_member_is_no_second_one() -> None:
    thirds = np.array([0.1, 0.7, 1 / 3])[:, None] * np.ones(3)  # whose mean is not exactly what was averaged
    assert not Predictions.of(list(thirds.T)).centred(np.arange(3)).any()


@pytest.mark.parametrize("kind", [ALIKE, ALIKE[:, :, 0], ALIKE.astype(np.float32), list(ALIKE)])
@pytest.mark.parametrize("method", DISTANCES)
def test_members_that_predict_alike(method: str, kind: Any) -> None:
    with pytest.warns(
        UserWarning, match=r"all members predict alike: .* by the score, .* Give members .* features"
    ) as w:
        chosen = acquire(SCORES, 4, mc_preds=kind, method=method, labelled=[11])
    assert chosen.tolist() == [10, 9, 8, 7]
    assert len(w) == 1
    assert w[0].filename == __file__
    with pytest.warns(UserWarning, match="all members predict alike"):
        assert acquire(np.ones(N), 4, mc_preds=kind, method=method, seed=5).tolist() == drawn(N, 5)[:4]
    assert acquire(SCORES, N, mc_preds=kind, method=method).tolist() == list(range(N))[::-1]  # nobody is left out


@pytest.mark.parametrize("method", ["kcenter", "lcmd", "maxdet", "batchbald"])
def test_alike_and_without_scores(method: str) -> None:
    with pytest.warns(UserWarning, match="and goes by the seed"):
        assert acquire(ALIKE, 3, method=method, seed=2).tolist() == drawn(N, 2)[:3]


def test_alike_where_it_matters() -> None:
    some = ALIKE.copy()
    some[0, 3] = some[0, 4]
    with pytest.warns(UserWarning, match="all members predict alike"):
        acquire(some, 2, method="kcenter", labelled=[3])
    acquire(some, 2, method="kcenter")
    acquire(SCORES, 2, mc_preds=ALIKE, method="kcenter", features=X)  # looks at the features
    with pytest.warns(UserWarning, match=r"goes by the features, then by the seed. Give members[^,]*, .*models?\)$"):
        chosen = acquire(ALIKE, 3, method="maxdet", features=X)
    assert chosen.tolist() == acquire(features=X, k=3, method="maxdet").tolist()


def test_alike_but_no_probabilities() -> None:
    with pytest.raises(PredictionError, match=r"member 0 gives candidate 0 .* no probabilities"):
        acquire(np.full((2, 4, 2), 0.6), 2, method="batchbald")
    with pytest.raises(PredictionError, match="member 0 predicts nan for candidate 3"):
        acquire(np.where(np.arange(N)[None, :, None] == 3, np.nan, ALIKE), 2, method="kcenter")


SAY_NOTHING: dict[str, list[Any]] = {
    "scores": [np.zeros(N), np.full(N, 0.7), np.full(N, -1.0), np.full(N, 5e-324), np.full(N, 1e300)],
    "features": [None, np.zeros((N, 2), np.float32), np.ones((N, 2))],
    "mc_preds": [ALIKE, np.full((2, N, 2), 0.5), RNG.dirichlet(np.ones(3), size=(3, N))],
    "k": [1, 4, N - 2],
    "more": [{}, {"direction": "lower"}, {"labelled": [0], "pending": [1]}, {"cost": 2.0, "budget": 30.0}],
}


@pytest.mark.parametrize("method", BUILT_IN)
@pytest.mark.filterwarnings("ignore::rose.acquisition.SaturatedBatchWarning")
def test_whatever_says_nothing_is_no_failure(method: str) -> None:
    for scores, features, preds, k, more in itertools.product(*SAY_NOTHING.values()):
        if method == "badge" and features is None:
            continue
        chosen = acquire(scores, k, mc_preds=preds, features=features, method=method, warn=False, **more)
        assert len(set(chosen.tolist())) == k


@pytest.mark.parametrize("method", BUILT_IN)
@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_a_range_of_one_value_is_that_of_equal_scores(method: str, direction: Any) -> None:
    question: dict[str, Any] = {"mc_preds": RNG.dirichlet([1, 1], (3, N)), "features": X, "direction": direction}
    for value in (0.0, 2.5):
        chosen = acquire(np.full(N, value), 3, method=method, range=(value, value), warn=False, **question)
        assert len(set(chosen.tolist())) == 3
    with pytest.raises(ConfigurationError, match="one value, and the scores differ"):
        acquire(SCORES, 3, method=method, range=(0.0, 0.0), **question)
    with pytest.raises(ConfigurationError, match="must be the lowest and the highest"):
        acquire(SCORES, 3, method=method, range=(np.inf, np.inf), **question)


@pytest.mark.parametrize("method", ["top_k", "power", "softmax", "softrank"])
def test_equal_scores_are_mentioned(method: str) -> None:
    with pytest.warns(UserWarning, match=f"the scores of all {N} candidates are equal: '{method}' goes by the seed"):
        first = acquire(np.full(N, 0.3), 2, method=method)
    np.testing.assert_array_equal(acquire(np.full(N, 0.3), 2, method=method, warn=False), first)
    acquire(SCORES, 2, method=method)
    acquire(np.full(N, 0.3), N, method=method)


@pytest.mark.parametrize("method", [*DISTANCES, "badge"])
def test_equal_features_are_mentioned(method: str) -> None:
    x = np.ones((N, 2))
    x[3] = 2.0
    preds = RNG.dirichlet([1, 1], (2, N)) if method == "badge" else None
    acquire(SCORES, 2, mc_preds=preds, features=x, method=method)
    with pytest.warns(UserWarning, match=f"the features of all {N - 1} candidates are equal: they tell '{method}' no"):
        acquire(SCORES, 2, mc_preds=preds, features=x, method=method, labelled=[3])


@pytest.mark.parametrize("method", BUILT_IN)
def test_infinite_scores_do_where_only_ranks_count(method: str) -> None:
    scores = np.where(np.arange(N) == 4, np.inf, SCORES)
    question: dict[str, Any] = {"mc_preds": RNG.dirichlet([1, 1], (3, N)), "features": X, "method": method}
    if get_acquisition(method).ranks_only:
        assert len(acquire(scores, 3, **question)) == 3
    else:
        with pytest.raises(
            ConfigurationError, match=r'candidate 4 is infinite.*"mutual_information".*acquisition="top_k"'
        ):
            acquire(scores, 3, **question)


@pytest.mark.parametrize("method", ["power", "diverse", "facility_location", "softmax"])
def test_scores_too_large_to_be_added_up(method: str) -> None:
    with pytest.raises(ConfigurationError, match="so large that sums overflow; rescale them"):
        acquire([-1.7e308, 1.7e308, 0.0], 1, method=method, features=[[0.0], [1.0], [2.0]])


def test_few_predictions_are_withheld_where_features_serve() -> None:
    seen: list[Problem] = []

    def mine(problem: Problem) -> Any:
        seen.append(problem)
        return problem.available[: problem.k]

    method = Acquisition("mine", mine, needs=("mc_preds|features",), min_samples=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        acquire(RNG.random((2, N)), 1, method=method, features=X)
        acquire(RNG.random((3, N)), 1, method=method, features=X)
    assert [problem.predictions is None for problem in seen] == [True, False]
    with pytest.raises(ConfigurationError, match=r"'mine' .* at least 3, not 2"):
        acquire(RNG.random((2, N)), 1, method=method)


def test_a_function_is_told_instead_of_a_warning() -> None:
    told: list[str] = []
    acquire(np.full(N, 0.3), 2, method="top_k", warn=told.append)
    acquire(SCORES, 2, mc_preds=ALIKE, method="batchbald", warn=told.append)
    certain = np.eye(2)[[[0] * N, [1] * N]]  # two members that disagree for certain: one label tells all
    acquire(mc_preds=certain, k=3, method="batchbald", warn=told.append)
    assert [text.split(" ")[0] for text in told] == ["the", "all", "after"]
    acquire(mc_preds=certain, k=3, method="batchbald", warn=False)
    with pytest.warns(SaturatedBatchWarning, match="after 1 picks") as caught:
        acquire(mc_preds=certain, k=3, method="batchbald")
    assert caught[0].filename == __file__
