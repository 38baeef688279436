"""ROSE's surface, the registry behind it, and metrics that users and packages add."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rose.errors import ConfigurationError, NotANumberError, PredictionError, UnknownMetricError
from rose.scoring import (
    METRICS,
    UQ_REGISTRY,
    Metric,
    UQScorer,
    describe,
    get_metric,
    metrics,
    register_metric,
    register_uq,
    score,
    table,
    top_k,
)
from tests.scoring.conftest import probabilities, values

P, X = probabilities(4, 20, 3), values(4, 20)
CLASSES, NUMBERS = UQScorer("classification"), UQScorer("regression")


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    before = {m.name for m in metrics()}
    yield
    for name in {m.name for m in metrics()} - before:
        METRICS.remove(name)


# --- UQScorer ----------------------------------------------------------------------------------------------------


def test_methods_are_the_metrics() -> None:
    y = np.arange(20) % 3
    assert (CLASSES.predictive_entropy(P) == score(P, "predictive_entropy")).all()
    assert (CLASSES.mutual_information(P) == score(P, "mutual_information")).all()
    assert (CLASSES.variation_ratio(P) == score(P, "variation_ratio")).all()
    assert (CLASSES.margin(P) == score(P, "margin")).all()
    assert (CLASSES.negative_log_likelihood(P, y) == score(P, "nll", y_true=y)).all()
    assert (NUMBERS.predictive_variance(X) == score(X, "variance")).all()
    assert (NUMBERS.predictive_interval_width(X, quantile=0.5) == score(X, "iqr")).all()
    assert (NUMBERS.negative_log_likelihood(X, X[0]) == score(X, "nll", y_true=X[0])).all()


def test_a_method_of_the_other_task_says_so() -> None:
    with pytest.raises(
        ConfigurationError, match="margin is a classification metric; for regression there are: predictive"
    ):
        NUMBERS.margin(X)
    with pytest.raises(ConfigurationError, match="task_type must be"):
        UQScorer("ranking")


def test_last_axes_of_length_1_are_dropped() -> None:
    assert (NUMBERS.predictive_variance(X[..., None]) == NUMBERS.predictive_variance(X)).all()
    assert (NUMBERS.predictive_variance(X[..., None, None].tolist()) == NUMBERS.predictive_variance(X)).all()
    assert (CLASSES.margin(P[..., None]) == CLASSES.margin(P)).all()
    assert (CLASSES.margin(P.tolist()) == CLASSES.margin(P)).all()
    assert (CLASSES.margin(list(P)) == CLASSES.margin(P)).all()
    assert (NUMBERS.predictive_variance([row[:, None] for row in X]) == NUMBERS.predictive_variance(X)).all()
    y = (np.arange(20) % 3)[:, None]
    assert CLASSES.negative_log_likelihood(P, y).shape == (20,)


def test_one_instance_is_one_score() -> None:
    assert NUMBERS.predictive_variance([[1.0], [3.0]]).tolist() == [1.0]
    assert CLASSES.margin(P[:, :1]).shape == (1,)


def test_shapes_of_the_other_task_are_errors() -> None:
    with pytest.raises(
        PredictionError, match=r"for classification, mc_preds must be \[S, N, C\], not of shape \(4, 20\)"
    ):
        CLASSES.margin(X)
    with pytest.raises(PredictionError, match=r"for regression, mc_preds must be \[S, N\], not of shape"):
        NUMBERS.predictive_variance(P)


def test_compute_uncertainty_gives_what_fits() -> None:
    plain = CLASSES.compute_uncertainty(P)
    assert "predictive_entropy" in plain
    assert not {"predictive_variance", "brier", "negative_log_likelihood", "total_variance"} & plain.keys()
    full = CLASSES.compute_uncertainty(P, np.arange(20) % 3)
    assert full.keys() - plain.keys() == {"brier", "negative_log_likelihood"}
    assert all(scores.shape == (20,) for scores in full.values())
    assert {"predictive_variance", "crps_ensemble"} <= NUMBERS.compute_uncertainty(X, X[0]).keys()


def test_selection_follows_the_direction() -> None:
    p = np.array([[[0.9, 0.1], [0.5, 0.5], [0.7, 0.3]]] * 2)
    for metric in (None, "predictive_entropy", "margin", "least_confidence"):
        indices, scores = CLASSES.select_top_uncertain(p, k=2, metric=metric)
        assert indices.tolist() == [1, 2]
        assert scores.shape == (2,)
    assert NUMBERS.select_top_uncertain(X, k=3)[0].tolist() == np.argsort(-X.var(axis=0))[:3].tolist()
    y = np.array([0, 1, 1])
    assert CLASSES.select_top_uncertain(p, 1, "negative_log_likelihood", y)[0].tolist() == [2]


def test_selection_checks_its_arguments() -> None:
    with pytest.raises(ConfigurationError, match=r"k=1\.5 must be an integer"):
        CLASSES.select_top_uncertain(P, k=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="k=-1 is negative"):
        CLASSES.select_top_uncertain(P, k=-1)
    assert len(CLASSES.select_top_uncertain(P, k=0)[0]) == 0
    with pytest.raises(UnknownMetricError, match="did you mean 'margin'"):
        CLASSES.select_top_uncertain(P, metric="margn")
    with pytest.raises(ConfigurationError, match="needs y_true"):
        CLASSES.select_top_uncertain(P, metric="nll")


@pytest.mark.parametrize(
    ("scorer", "mc_preds"),
    [
        (NUMBERS, np.ones((1, 5, 3))),
        (NUMBERS, np.ones((5, 1, 3))),
        (NUMBERS, [np.ones((5, 3))]),
        (NUMBERS, np.ones((1, 5, 3)).tolist()),
        (CLASSES, np.ones((1, 4, 20, 3)) / 3),
        (CLASSES, np.ones((4, 1, 20, 3)) / 3),
        (CLASSES, [np.ones((1, 20, 3)) / 3] * 4),
        (CLASSES, np.ones((1, 4, 20, 3)).tolist()),
    ],
)
def test_members_and_candidates_are_never_squeezed_away(scorer: UQScorer, mc_preds: Any) -> None:
    for call in (scorer.compute_uncertainty, scorer._validate_inputs, scorer.select_top_uncertain):
        with pytest.raises(PredictionError, match=r"of shape \(|has shape \("):
            call(mc_preds)


def test_more_than_there_are_is_all_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="k=21 is more than the 20 candidates there are") as caught:
        indices, scores = CLASSES.select_top_uncertain(P, k=21)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert sorted(indices) == list(range(20))
    assert (scores == score(P, "predictive_entropy")[indices]).all()


def test_one_member_disagrees_with_nobody() -> None:
    with pytest.warns(UserWarning, match=r"predictive_variance: one member \(S = 1\)") as caught:
        assert NUMBERS.predictive_variance(X[:1]).tolist() == [0.0] * 20
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="mutual_information: one member"):
        assert UQ_REGISTRY["mutual_information"](CLASSES, P[:1]).tolist() == [0.0] * 20
    with pytest.warns(UserWarning, match="one member"):
        indices, scores = NUMBERS.select_top_uncertain(X[:1], k=2)
    assert (indices.tolist(), scores.tolist()) == ([0, 1], [0.0, 0.0])
    with pytest.warns(UserWarning, match="mutual_information, variation_ratio, .*: one member") as caught:
        found = CLASSES.compute_uncertainty(P[:1])
    assert len(caught) == 1
    assert (found["mutual_information"] == 0.0).all()
    assert (found["total_uncertainty"] == score(P[:1], "entropy")).all()
    with pytest.raises(PredictionError, match="needs at least 2 members"):
        NUMBERS.negative_log_likelihood(X[:1], X[0])  # a likelihood of no spread is none
    with pytest.raises(PredictionError, match="needs at least 2 members"):
        score(X[:1], "variance")


def test_inputs_are_validated_into_roses_shapes() -> None:
    found, none = CLASSES._validate_inputs(P.tolist())
    assert (found == P).all()
    assert none is None
    x, y = NUMBERS._validate_inputs([row[:, None] for row in X.astype(np.float32)], [[1.0]] * 20)
    assert (x.shape, y.shape) == ((4, 20), (20,))  # type: ignore[union-attr]


def test_the_page_of_rose_on_uncertainty(capsys: pytest.CaptureFixture[str]) -> None:
    from rose.uq import UQ_REGISTRY, UQScorer, register_uq

    @register_uq("custom_uq")
    def confidence_score(self, mc_preds):  # type: ignore[no-untyped-def]
        """
        Custom classification metric: 1 - max predicted probability.
        Lower max prob = higher uncertainty.
        """
        mc_preds, _ = self._validate_inputs(mc_preds)
        mean_probs = np.mean(mc_preds, axis=0)  # [n_instances, n_classes]
        max_prob = np.max(mean_probs, axis=1)
        return 1.0 - max_prob

    scorer = UQScorer(task_type="classification")
    print("Available metrics:", list(UQ_REGISTRY.keys()))
    assert "'custom_uq'" in capsys.readouterr().out
    # As examples/active_learn/uq/check_uq.py does: members' files one after the other, each [1, N, C]
    all_preds = np.concatenate([row[None] for row in P], axis=0)
    top_idx_local, uq_metric = scorer.select_top_uncertain(all_preds, k=5, metric="custom_uq")
    expected = 1.0 - P.mean(axis=0).max(axis=1)
    assert top_idx_local.tolist() == np.argsort(-expected)[:5].tolist()
    np.testing.assert_allclose(uq_metric, expected[top_idx_local])
    np.testing.assert_allclose(scorer.compute_uncertainty(P)["custom_uq"], expected)
    np.testing.assert_allclose(UQ_REGISTRY["custom_uq"](scorer, P), expected)
    with pytest.raises(ValueError, match="no metric is called 'costum_uq'; did you mean 'custom_uq'"):
        scorer.select_top_uncertain(P, metric="costum_uq")


def test_an_unknown_metric_is_both_errors_and_travels() -> None:
    import pickle

    with pytest.raises(UnknownMetricError) as caught:
        get_metric("nothing of the kind")
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert isinstance(error, KeyError)
        assert isinstance(error, ValueError)
        assert str(error).startswith("no metric is called 'nothing of the kind'; ")


# --- users' metrics ----------------------------------------------------------------------------------------------


def test_a_registered_function_is_a_metric() -> None:
    @register_uq("midrange")
    def midrange(self: UQScorer, mc_preds: Any) -> Any:
        """Half the range."""
        assert isinstance(self, UQScorer)
        assert isinstance(mc_preds, np.ndarray)
        return np.ptp(mc_preds, axis=0) / 2

    assert UQ_REGISTRY["midrange"] is midrange
    assert get_metric("midrange").summary == "Half the range."
    expected = np.ptp(X, axis=0) / 2
    assert (score(X, "midrange") == expected).all()
    assert (score(X, ["midrange", "range"])["midrange"] == expected).all()
    assert (score(list(X), "midrange") == expected).all()
    assert (score(X[::-1], "midrange") == expected).all()
    assert top_k(X, 2, "midrange")[0].tolist() == np.argsort(-expected)[:2].tolist()
    assert "midrange" in NUMBERS.compute_uncertainty(X)


def test_the_function_sees_members_in_their_order() -> None:
    @register_uq("first_member", task="regression")
    def first_member(self: UQScorer, mc_preds: Any) -> Any:
        return mc_preds[0]

    assert (score(X[::-1], "first_member") == X[-1]).all()


def test_registration_can_say_more() -> None:
    @register_uq("confidence", task="classification", direction="lower", needs=("targets",))
    def confidence(self: UQScorer, mc_preds: Any, y_true: Any) -> Any:
        return mc_preds.mean(axis=0)[np.arange(len(y_true)), y_true]

    y = np.arange(20) % 3
    found = score(P, "confidence", y_true=y)
    assert CLASSES.select_top_uncertain(P, 3, "confidence", y)[0].tolist() == np.argsort(found)[:3].tolist()
    assert "confidence" not in NUMBERS.compute_uncertainty(X)
    assert "confidence" not in CLASSES.compute_uncertainty(P)
    assert "confidence" in CLASSES.compute_uncertainty(P, y)


def test_the_registry_is_a_live_dictionary() -> None:
    assert set(UQ_REGISTRY) == {m.name for m in metrics()}
    assert len(UQ_REGISTRY) == len(metrics())
    assert (UQ_REGISTRY["margin"](CLASSES, P) == score(P, "margin")).all()
    assert (UQ_REGISTRY["negative_log_likelihood"](CLASSES, P, np.zeros(20, int))).shape == (20,)
    assert "no such" not in UQ_REGISTRY
    UQ_REGISTRY["zero"] = lambda self, mc_preds: np.zeros(mc_preds.shape[1])
    assert (score(X, "zero") == 0.0).all()
    del UQ_REGISTRY["zero"]
    with pytest.raises(KeyError):
        UQ_REGISTRY["zero"]
    with pytest.raises(ConfigurationError, match="'margin' is a built-in metric and cannot be removed"):
        del UQ_REGISTRY["margin"]


def test_names_have_one_owner() -> None:
    for name in ("margin", "bald"):
        with pytest.raises(ConfigurationError, match=f"the name '{name}' belongs to a built-in metric"):
            register_uq(name)(lambda self, mc_preds: mc_preds[0])
    register_uq("mine")(lambda self, mc_preds: mc_preds[0])
    register_uq("mine")(lambda self, mc_preds: mc_preds[1])  # a notebook cell run twice
    assert (score(X, "mine") == X[1]).all()
    with pytest.raises(ConfigurationError, match="belongs to metric 'mine'"):
        METRICS.add("other", Metric("other", "any", "higher"), ("mine",))


def test_declarations_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="task='ranking' of metric 'm' is none of"):
        Metric("m", "ranking", "higher")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="direction='up' of metric 'm'"):
        Metric("m", "any", "up")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"needs=\['luck'\]"):
        Metric("m", "any", "higher", needs=frozenset({"luck"}))
    with pytest.raises(ConfigurationError, match=r"takes=\['luck'\]"):
        Metric("m", "any", "higher", takes=frozenset({"luck"}))
    with pytest.raises(ConfigurationError, match="must be a non-empty string"):
        METRICS.add("", Metric("", "any", "higher"))
    with pytest.raises(ConfigurationError, match="task='ranking' is none of"):
        metrics("ranking")


def test_a_blockwise_metric_sees_blocks() -> None:
    sizes: list[int] = []

    @register_metric("lead", task="classification", direction="lower", needs=("targets",))
    def lead(p: Any, y_true: Any) -> Any:
        sizes.append(p.shape[1])
        return p.mean(axis=0)[np.arange(len(y_true)), y_true]

    y = np.arange(20) % 3
    found = score(P, "lead", y_true=y, block_size=8)
    assert sizes == [8, 8, 4]
    assert (found == P.mean(axis=0)[np.arange(20), y]).all()

    @register_metric("noise", task="regression", direction="higher", needs=("variances",))
    def noise(x: Any, variances: Any) -> Any:
        return variances.max(axis=0)

    assert (score(X, "noise", variances=X**2) == (X**2).max(axis=0)).all()

    @register_metric("perhaps", task="regression", direction="higher", min_samples=2, takes=("variances",))
    def perhaps(x: Any, variances: Any) -> Any:
        return x.var(axis=0) if variances is None else variances.max(axis=0)

    assert get_metric("perhaps").smallest(True) == 1
    assert (score(X[:1], "perhaps", variances=X[:1] ** 2) == X[0] ** 2).all()
    assert (score(X, "perhaps") == X.var(axis=0)).all()
    with pytest.raises(PredictionError, match="at least 2 members or passes, or the members' own variances"):
        score(X[:1], "perhaps")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.zeros(3), r"metric 'odd' must return shape \(20,\), not \(3,\)"),
        ("?", "metric 'odd' must return numbers"),
        (None, "metric 'odd' must return"),
    ],
)
def test_what_a_metric_returns_is_checked(returned: Any, message: str) -> None:
    for register in (
        lambda: register_uq("odd")(lambda self, mc_preds: returned),
        lambda: register_metric("odd", task="regression", direction="higher")(lambda x: returned),
    ):
        register()
        with pytest.raises(PredictionError, match=message):
            score(X, "odd")


def test_a_nan_score_is_never_ranked() -> None:
    register_uq("gap")(lambda self, mc_preds: np.where(np.arange(20) == 7, np.nan, 1.0))
    with pytest.raises(NotANumberError, match="candidate 7 is NaN"):
        top_k(X, 3, "gap")


# --- finding metrics ---------------------------------------------------------------------------------------------


def test_aliases_and_objects_find_the_same() -> None:
    bald = get_metric("bald")
    assert bald is get_metric("mutual_information")
    assert bald is get_metric(bald)
    assert score(P, ["bald"]).keys() == {"bald"}
    assert score(P, [bald]).keys() == {"mutual_information"}


def test_tables_are_made_from_the_declarations() -> None:
    rows = {row["name"]: row for row in table()}
    assert rows["margin"]["more uncertain"] == "lower"
    assert rows["mutual_information"]["min S"] == "2"
    text = describe("regression")
    assert "crps_gaussian" in text
    assert "vote_entropy" not in text
    assert len({line.count(" | ") for line in text.splitlines() if "|---" not in line}) == 1


def test_rose_import_path() -> None:
    from rose.uq import uq_scorer

    assert uq_scorer.UQScorer is UQScorer
    assert uq_scorer.UQ_REGISTRY is UQ_REGISTRY


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("quantile", ["a", None, 1.5, float("nan")])
def test_a_quantile_is_a_share(quantile: Any, members: int) -> None:
    with pytest.raises(ConfigurationError, match=r"quantile=.* must lie between 0 and 1"):
        UQScorer("regression").predictive_interval_width(np.ones((members, 4)), quantile=quantile)
