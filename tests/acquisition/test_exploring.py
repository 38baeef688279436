"""A share of the labels goes to what is far from all that is known; the others are those of facility location."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rose.acquisition import acquire
from rose.errors import ConfigurationError

RNG = np.random.default_rng(3)
X = np.concatenate([RNG.normal(size=(60, 2)), [[30.0, 0.0], [0.0, 40.0]]])
SCORES = np.concatenate([RNG.random(60) + 0.1, [0.0, 0.0]])  # two far ones, of which the model is sure


def test_asks_far_away_even_where_the_model_is_sure() -> None:
    chosen = acquire(SCORES, 8, features=X, method="exploring", labelled=[0, 1])
    assert {60, 61} <= set(chosen.tolist())
    assert not {60, 61} & set(acquire(SCORES, 8, features=X, method="facility_location", labelled=[0, 1]).tolist())


def test_the_others_are_those_of_facility_location() -> None:
    chosen = acquire(SCORES, 8, features=X, method="exploring")
    assert chosen[:6].tolist() == acquire(SCORES, 6, features=X, method="facility_location").tolist()


@given(st.integers(1, 5), st.integers(1, 6), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_the_share_holds_over_all_labels_whatever_the_batch(k: int, rounds: int, explore: float) -> None:
    """Batches of one explore as often as large ones do: every fourth label, of however many."""
    labelled: list[int] = []
    far = 0
    for _ in range(rounds):
        now = int((len(labelled) + k) * explore) - int(len(labelled) * explore)
        asked = {"features": X, "labelled": labelled}
        batch = acquire(SCORES, k, method="exploring", explore=explore, **asked).tolist()
        assert batch[: k - now] == acquire(SCORES, k - now, method="facility_location", **asked).tolist()
        far, labelled = far + now, labelled + batch
    assert far == int(len(labelled) * explore)
    assert len(set(labelled)) == k * rounds


def test_without_features_it_is_facility_location() -> None:
    predictions = np.random.default_rng(0).dirichlet(np.ones(3), size=(5, 40))
    given_ = {"mc_preds": predictions, "k": 6}
    scores = np.random.default_rng(1).random(40)
    one = acquire(scores, method="exploring", **given_)
    assert one.tolist() == acquire(scores, method="facility_location", **given_).tolist()


def test_each_part_has_its_share_of_a_budget() -> None:
    cost = np.ones(62)
    chosen = acquire(SCORES, 20, features=X, method="exploring", cost=cost, budget=8.0, labelled=[0])
    assert len(chosen) == 8
    assert {60, 61} <= set(chosen.tolist())


def test_a_share_below_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="explore=-1 must be 0 or more"):
        acquire(SCORES, 2, features=X, method="exploring", explore=-1)
