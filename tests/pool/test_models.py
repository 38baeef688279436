"""What a model may be: estimators of every kind, members that saw other classes, one member, members that are alike."""

import logging

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from rose import Pool, SeqUQLearner, StopReason, ThreadEngine
from rose.errors import ConfigurationError
from rose.metrics import MARGIN, MUTUAL_INFORMATION, PREDICTIVE_ENTROPY, PREDICTIVE_VARIANCE
from tests.programs import teach

DIGITS, DIGIT = load_digits(return_X_y=True)


def digits(engine, count=120, sort=True, names=DIGIT, holdout=True, **pool):
    """Handwritten digits, sorted by class unless told otherwise."""
    order = np.argsort(DIGIT[:count], kind="stable") if sort else np.arange(count)
    X, y = DIGITS[:count][order] / 16, names[:count][order]
    test = (DIGITS[count : count + 100] / 16, names[count : count + 100]) if holdout else None
    learner = SeqUQLearner(engine, pool=Pool(X, **{"initial": 20, "seed": 0, "holdout": test, **pool}))

    @learner.simulation_task(as_executable=False)
    def simulate(index):
        return y[index]

    return learner


def line(engine, **pool):
    """A function of one number."""
    X = np.linspace(0, 10, 2000)[:, None]
    learner = SeqUQLearner(engine, pool=Pool(X, **{"initial": 5, "seed": 0, **pool}))

    @learner.simulation_task(as_executable=False)
    def simulate(x):
        return float(np.sin(x[0]))

    return learner


def warned(caplog):
    return [r.getMessage() for r in caplog.records if r.name == "rose" and r.levelno >= logging.WARNING]


# --- scores that say nothing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "block"),
    [("diverse", 30), ("top_k", 30), ("lcmd", 65536), ("kcenter", 30), ("maxdet", 30), ("power", 65536),
     ("facility_location", 65536), ("batchbald", 30)],
)  # fmt: skip
def test_members_that_predict_alike_are_named_once_and_never_fail(engine, caplog, method, block):
    def run():
        learner = digits(engine, block=block)
        learner.models(a=LogisticRegression(C=0.1, max_iter=200), b=LogisticRegression(C=0.1, max_iter=200))
        learner.uncertainty_quantification(MUTUAL_INFORMATION, query_size=4, threshold=0.01)
        learner.acquisition = method
        return teach(learner, max_iter=3)

    result = run()
    assert result.stop_reason == StopReason.MAX_ITER, "an uncertainty of 0 is no certainty where members are alike"
    assert [i["uncertainty"] for i in result.iterations] == [0.0, 0.0, 0.0]
    assert len([text for text in warned(caplog) if "all members predict alike" in text]) == 1
    chosen = [index for i in result.iterations for index in i["selection"]]
    assert sorted(chosen) != list(range(min(chosen), min(chosen) + len(chosen)))
    assert max(chosen) > 60, "drawn from the whole pool, though it is sorted"
    assert [i["selection"] for i in run().iterations] == [i["selection"] for i in result.iterations]


@pytest.mark.parametrize("make", [
    lambda: KNeighborsClassifier(3),
    lambda: HistGradientBoostingClassifier(max_iter=3),
    lambda: pytest.importorskip("xgboost").XGBClassifier(n_estimators=3, n_jobs=1),
    lambda: pytest.importorskip("lightgbm").LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1),
])  # fmt: skip
def test_estimators_that_draw_nothing_go_on_by_the_seed(caplog, make):
    learner = digits(ThreadEngine(2), holdout=False)  # libraries are imported once
    learner.models(a=make(), b=make())
    learner.uncertainty_quantification("bald", query_size=4)
    result = learner.run(max_iter=2)
    assert max(result.iterations[0]["selection"]) > 20
    assert any("all members predict alike" in text for text in warned(caplog))


@pytest.mark.parametrize("block", [65536, 17])
def test_ties_at_the_border_of_a_batch_are_drawn_by_the_seed(engine, block):
    def spread(seed):
        learner = digits(engine, 200, seed=seed, block=block, holdout=False)
        learner.models(a=KNeighborsClassifier(1), b=DecisionTreeClassifier())
        learner.uncertainty_quantification("variation_ratio", query_size=20)
        learner.acquisition = "top_k"
        return learner.run(max_iter=2).iterations[0]["selection"]

    chosen = spread(0)
    assert spread(0) == chosen
    assert set(spread(1)) != set(chosen)
    assert len({DIGIT[:200][np.argsort(DIGIT[:200], kind="stable")][i] for i in chosen}) > 5


def test_whole_and_in_parts_settle_ties_alike(engine):
    def chosen(block):
        learner = digits(engine, 200, block=block, holdout=False)
        learner.models(a=KNeighborsClassifier(1), b=DecisionTreeClassifier())
        learner.uncertainty_quantification("variation_ratio", query_size=20)
        learner.acquisition = "top_k"
        return learner.run(max_iter=2).iterations[0]["selection"]

    assert chosen(65536) == chosen(17) == chosen(50)


def test_seeds_that_parameters_do_not_show_are_set():
    catboost = pytest.importorskip("catboost")
    learner = digits(ThreadEngine(2), 60, holdout=False)
    options = {"iterations": 3, "depth": 2, "verbose": False, "allow_writing_files": False, "thread_count": 1}
    learner.models(
        a=catboost.CatBoostClassifier(**options),
        b=make_pipeline(
            StandardScaler(), catboost.CatBoostClassifier(bootstrap_type="Bernoulli", subsample=0.5, **options)
        ),
    )
    learner.uncertainty_quantification(MUTUAL_INFORMATION, query_size=3)
    result = learner.run(max_iter=1)
    a, b = result.models["a"], result.models["b"][-1]
    assert a.get_params()["random_seed" if "random_seed" in a.get_params() else "random_state"] not in (None, 0)
    assert {"random_seed", "random_state"} & set(b.get_params())


# --- one class so far ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [65536, 30])
def test_one_class_so_far_goes_on_by_the_seed(engine, caplog, block):
    learner = digits(engine, initial=[0, 1, 2], block=block)
    learner.models(a=LogisticRegression(max_iter=100), b=RandomForestClassifier(5))
    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=4, threshold=0.01)
    result = learner.run(max_iter=4)
    assert result.iterations[0]["uncertainty"] is None
    assert result.iterations[0]["holdout"]["brier"] > 0.5
    assert len(result.iterations) == 4
    assert len(set(result.labels.tolist())) > 2
    assert len([text for text in warned(caplog) if "one class" in text]) == 1


def test_own_training_that_refuses_one_class_is_passed_over(engine, caplog, tmp_path):
    def run():
        learner = digits(engine, initial=[0, 1, 2])
        learner._run_dir = tmp_path / "run"

        @learner.training_task(as_executable=False)
        def train(X, y):
            return LogisticRegression(max_iter=100).fit(X, y)

        @learner.prediction_task(as_executable=False)
        def predict(model, X):
            return model.predict_proba(X)

        learner.uncertainty_quantification(MARGIN, query_size=4)
        return learner.run(["a"], max_iter=3)

    result = run()
    assert result.iterations[0]["metric"] is None
    assert len(result.iterations[0]["selection"]) == 4
    assert result.iterations[2]["uncertainty"] is not None
    assert any("no ensemble could be trained on one class" in text for text in warned(caplog))
    assert run().iterations == result.iterations


def test_a_pool_of_one_class_ends(engine):
    learner = digits(engine, 30, names=np.full(len(DIGIT), "only"), initial=5)
    learner.models(a=LogisticRegression(), b=LogisticRegression())
    learner.uncertainty_quantification(query_size=10)
    result = learner.run(max_iter=9)
    assert result.stop_reason == StopReason.POOL_EXHAUSTED
    assert result.predict(DIGITS[:2]).classes == ["only"]


# --- one member, and members with variances --------------------------------------------------------------------------


@pytest.mark.parametrize("block", [65536, 50])
@pytest.mark.parametrize("method", ["diverse", "lcmd", "kcenter", "facility_location"])
def test_one_gaussian_process_spreads_its_batch(engine, method, block):
    learner = line(engine, initial=[0, 1, 2, 3, 4], block=block)
    learner.models(gp=GaussianProcessRegressor(optimizer=None))
    learner.uncertainty_quantification(query_size=3)
    learner.acquisition = method
    result = learner.run(max_iter=2)
    x = np.sort(learner.pool.X[result.iterations[0]["selection"], 0])
    assert np.diff(x).min() > 0.5, x
    _, uncertainty = result.predict(learner.pool.X)
    np.testing.assert_allclose(uncertainty, result.models["gp"].predict(learner.pool.X, return_std=True)[1] ** 2)


@pytest.mark.parametrize("metric", ["total_variance", PREDICTIVE_VARIANCE, "total_uncertainty"])
def test_variances_of_estimators_are_theirs(engine, metric):
    learner = line(engine, holdout=(np.array([[0.5], [9.5]]), np.sin([0.5, 9.5])))
    learner.models(gp=make_pipeline(StandardScaler(), GaussianProcessRegressor(optimizer=None)))
    learner.uncertainty_quantification(metric, query_size=3)
    result = learner.run(max_iter=2)
    assert result.iterations[0]["uncertainty"] > 0
    assert result.iterations[0]["holdout"]["sharpness"] > 0
    both = line(engine)
    both.models(gp=GaussianProcessRegressor(), ridge=BayesianRidge())
    both.uncertainty_quantification("mixture_entropy", query_size=3)
    assert len(both.run(max_iter=2).iterations) == 2


def test_an_estimator_may_call_a_number_steps():
    from rose.surrogates import MLPs

    learner = SeqUQLearner(pool=Pool(np.zeros((4, 2)), initial=2))
    learner.models(networks=MLPs())  # whose steps of learning are no pipeline's
    assert set(learner.estimators) == {"networks"}


def test_a_surrogate_of_classes_alone_classifies():
    from rose.stages.estimators import estimator_task
    from rose.surrogates.process_classifier import ProcessClassifier

    assert estimator_task({"process": ProcessClassifier()}) == "classification"  # it has no task to say


def test_what_one_member_cannot_do_is_said_before_anything_runs(engine):
    words = SeqUQLearner(engine, pool=Pool(["CCO", "CCC", "CCN", "COC"] * 5, initial=[0, 1]))

    @words.simulation_task(as_executable=False)
    def simulate(x):
        raise AssertionError("nothing runs")

    words.models(a=make_pipeline(LinearRegression()))
    words.uncertainty_quantification("total_variance", query_size=2)
    with pytest.raises(ConfigurationError, match=r"total_variance needs the members' own variances.*return_std"):
        words.run(max_iter=2)
    words.models(a=BayesianRidge())
    with pytest.raises(ConfigurationError, match=r"'alc' .*add members.*features"):
        words.run(max_iter=2)
    one = line(engine)
    one.models(gp=GaussianProcessRegressor())
    one.uncertainty_quantification(query_size=2)
    for method, words_of_it in (
        ("badge", "for classification"),
        ("batchbald", "for c"),
    ):
        one.acquisition = method
        with pytest.raises(ConfigurationError, match=f"'{method}' .*{words_of_it}"):
            one.run(max_iter=2)


def test_models_and_a_prediction_task_of_your_own_go_together(engine):
    learner = digits(engine, sort=False)
    learner.uncertainty_quantification(MUTUAL_INFORMATION, query_size=5)

    @learner.prediction_task(as_executable=False)
    def predict(model, X, pass_index):
        return model.estimators_[pass_index].predict_proba(X)

    learner.models(forest=RandomForestClassifier(4))
    result = teach(learner, num_predictions=4, max_iter=2)
    assert list(result.models) == ["forest"]
    assert result.iterations[0]["uncertainty"] > 0
    learner.models(forest=RandomForestClassifier(4), other=RandomForestClassifier(4))
    assert list(teach(learner, num_predictions=2, max_iter=1).models) == ["forest", "other"]


class Unfaithful(LogisticRegression):
    """It cannot be cloned, for it does not keep what it is given."""

    def __init__(self, C=1.0):
        super().__init__(C=float(C) + 1.0)


def test_estimators_that_cannot_be_used_are_told_at_once(engine):
    learner = digits(engine)
    with pytest.raises(ConfigurationError, match="Unfaithful cannot be cloned"):
        learner.models(a=Unfaithful())
    with pytest.raises(ConfigurationError, match=r"model 'a' is a class: give an estimator, LogisticRegression\(\)"):
        learner.models(a=LogisticRegression)
    with pytest.raises(ConfigurationError, match="is no scikit-learn estimator"):
        learner.models([LogisticRegression()])
    with pytest.raises(ConfigurationError, match="set voting='soft'"):
        learner.models(a=VotingClassifier([("one", LogisticRegression())]))
    learner.models(a=StackingClassifier([("one", LogisticRegression())]), b=RandomForestClassifier(3))
    learner.uncertainty_quantification("epkl", query_size=2)
    with pytest.raises(ConfigurationError, match=r"epkl is infinite where .*mutual_information"):
        learner.run(max_iter=1)
