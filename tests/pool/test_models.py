"""What a model may be: estimators of every kind, members that saw other classes, one member, members that are alike."""

import logging
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from rose import ParallelUQLearner, Pool, SeqUQLearner, StopReason, ThreadEngine, UQLearnerConfig
from rose.errors import ConfigurationError, PoolError, PredictionError, RunFailedError
from rose.metrics import MARGIN, MODEL_ACCURACY, MUTUAL_INFORMATION, PREDICTIVE_ENTROPY, PREDICTIVE_VARIANCE
from tests.programs import blobs, classifier, regressor, teach

TWO = ["a", "b"]
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


# --- columns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "block", "method"), [(0, 65536, "diverse"), (1, 40, "diverse"), (2, 40, "lcmd")])
def test_members_that_saw_other_classes_are_aligned(engine, seed, block, method):
    learner = digits(engine, sort=False, seed=seed, initial=20, block=block)

    @learner.training_task(as_executable=False)
    def train(X, y, seed):
        rows = np.random.default_rng(seed).integers(0, len(y), len(y) // 2)
        return DecisionTreeClassifier(random_state=seed).fit(X[rows], y[rows])

    @learner.prediction_task(as_executable=False)
    def predict(model, X):
        return model.predict_proba(X)

    learner.acquisition = method
    learner.uncertainty_quantification(MUTUAL_INFORMATION, query_size=5)
    learner.as_stop_criterion(MODEL_ACCURACY, threshold=1.1)
    result = learner.run(TWO, max_iter=2)
    X_test = learner.pool.holdout[0]
    found = result.predict(X_test)
    seen = sorted({int(label) for model in result.models.values() for label in model.classes_})
    assert found.classes == seen
    expected = np.zeros((100, len(seen)))
    for model in result.models.values():
        expected[:, np.searchsorted(seen, model.classes_)] += model.predict_proba(X_test) / 2
    mean, uncertainty = found
    np.testing.assert_allclose(mean, expected)
    assert uncertainty.max() <= np.log(2) + 1e-9
    truth = learner.pool.holdout[1]
    accuracy = np.mean(np.array(seen)[expected.argmax(axis=1)] == truth)
    assert result.iterations[-1]["metric"] == pytest.approx(accuracy)


def test_columns_may_be_declared_and_are_handed_on(engine):
    learner = digits(engine, sort=False, holdout=False)

    @learner.training_task(as_executable=False)
    def train(X, y, model_name):
        mine = {"even": y % 2 == 0, "odd": y % 2 == 1, "all": y >= 0}[model_name]
        model = RandomForestClassifier(5, random_state=0).fit(X[mine], y[mine])
        return {"forest": model}

    @learner.prediction_task(as_executable=False)
    def predict(model, X):
        return model["forest"].predict_proba(X)

    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=5)
    with pytest.raises(RunFailedError, match=r"'even' has \[n, 5\] without names, 'all'.*classes="):
        teach(learner, ["even", "all"], max_iter=2)

    @learner.prediction_task(as_executable=False, classes=range(10))
    def padded(model, X):
        out = np.zeros((len(X), 10))
        out[:, model["forest"].classes_] = model["forest"].predict_proba(X)
        return out

    @learner.active_learn_task(as_executable=False)
    def choose(classes, mc_preds, candidates):
        assert classes == list(range(10))
        assert mc_preds.shape == (2, len(candidates), 10)
        return [0, 1]

    result = learner.run(["even", "odd"], max_iter=2)
    assert result.predict(DIGITS[:3] / 16).classes == list(range(10))


def test_where_nothing_says_what_columns_mean_and_members_differ_it_is_an_error(engine):
    learner = classifier(engine, holdout=False)

    @learner.prediction_task(as_executable=False)
    def predict(model, X, model_name):
        return np.full((len(X), 3 if model_name == "a" else 2), 1 / 3 if model_name == "a" else 1 / 2)

    with pytest.raises(RunFailedError, match=r"'a' has \[n, 3\] without names, 'b' has \[n, 2\]"):
        teach(learner, ["w"], TWO, max_iter=2)
    tested = classifier(engine)
    tested.prediction_task(as_executable=False, classes=["no", "yes"])(lambda model, X: model.predict_proba(X))
    with pytest.raises(PoolError, match=r"holdout: its label 0 is none of the declared classes, \('no', 'yes'\)"):
        tested.run(["w"], TWO, max_iter=1)
    with pytest.raises(ConfigurationError, match=r"classes=.* must be the labels"):
        learner.prediction_task(as_executable=False, classes="ab")(lambda model: 1)
    with pytest.raises(ConfigurationError, match="each once"):
        learner.prediction_task(as_executable=False, classes=[1, 1])(lambda model: 1)
    with pytest.raises(ConfigurationError, match="only prediction tasks take it"):
        learner.training_task(as_executable=False, classes=[0, 1])(lambda X: 1)


@pytest.mark.parametrize("columns", [lambda p: p[:, 1], lambda p: p[:, 1:]])
def test_a_single_column_is_the_second_class(engine, columns):
    learner = classifier(engine)

    @learner.prediction_task(as_executable=False)
    def predict(model, X):
        return columns(model.predict_proba(X))

    both = classifier(engine)
    one = teach(learner, ["w"], TWO, max_iter=2)["w"]
    two = teach(both, ["w"], TWO, max_iter=2)["w"]
    assert [i["selection"] for i in one.iterations] == [i["selection"] for i in two.iterations]
    assert one.iterations[-1]["holdout"] == pytest.approx(two.iterations[-1]["holdout"])
    assert one.predict(blobs(7)[0]).mean.shape == (7, 2)


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
    with pytest.raises(ConfigurationError, match=r"'diverse' .*add members.*features"):
        words.run(max_iter=2)
    one = line(engine)
    one.models(gp=GaussianProcessRegressor())
    one.uncertainty_quantification(query_size=2)
    for method, words_of_it in (
        ("maxdet", "add members.*features"),
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


# --- labels ----------------------------------------------------------------------------------------------------------


def test_xgboost_learns_any_labels():
    xgboost = pytest.importorskip("xgboost")
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])[DIGIT]
    learner = digits(ThreadEngine(2), sort=False, names=names, initial=12)
    learner.models(
        a=xgboost.XGBClassifier(n_estimators=5, n_jobs=1),
        b=make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=5, n_jobs=1, subsample=0.5)),
    )
    learner.uncertainty_quantification(MARGIN, query_size=5)
    learner.as_stop_criterion(MODEL_ACCURACY, threshold=0.99)
    result = learner.run(max_iter=2)
    assert result.iterations[-1]["metric"] > 0.2
    assert set(result.models["a"].predict(DIGITS[:50] / 16)) <= set(names)


@pytest.mark.parametrize("known", [False, True])
def test_labels_that_can_never_match_the_holdout_are_told_at_the_first(engine, known):
    names = DIGIT.astype(str)
    given = {"labels": {0: "0"}, "initial": [1, 2]} if known else {}
    learner = digits(engine, sort=False, **given)

    @learner.simulation_task(as_executable=False)
    def simulate(index):
        return names[index]

    learner.models(a=LogisticRegression(), b=RandomForestClassifier())
    learner.uncertainty_quantification(MARGIN, query_size=5)
    error = PoolError if known else RunFailedError
    with pytest.raises(
        error, match=r"the label of candidate \d+, '.', and those of the hold-out, such as \d, are never"
    ):
        learner.run(max_iter=2)


def test_labels_without_names_that_are_no_columns_are_an_error(engine):
    learner = classifier(engine, holdout=False)
    learner.pool = Pool(blobs()[0], initial=6, holdout=(blobs(60)[0], blobs(60)[1] + 1))

    @learner.training_task(as_executable=False)
    def train(X, y):
        return None

    @learner.prediction_task(as_executable=False)
    def predict(X):
        return np.full((len(X), 2), 0.5)

    with pytest.raises(RunFailedError, match=r"the hold-out has 2, but 2 columns .* stand for the labels 0 to 1; say"):
        learner.run(["w"], TWO, max_iter=1)


def test_what_the_models_cannot_learn_is_told_at_the_first_label(engine):
    learner = line(engine)
    learner.models(a=LogisticRegression(), b=LogisticRegression())
    learner.uncertainty_quantification(MARGIN, query_size=2)
    with pytest.raises(
        RunFailedError, match=r"the label of candidate \d+, .* is for regression, but the models do class"
    ):
        learner.run(max_iter=1)
    learner.pool = Pool(np.zeros((9, 1)), initial=3, holdout=(np.zeros((2, 1)), [0.5, 1.5]))
    with pytest.raises(PoolError, match=r"holdout: its labels, such as 0.5, are for regression"):
        learner.run(max_iter=1)


@pytest.mark.parametrize("where", ["label", "holdout", "given"])
def test_vectors_need_a_reduction_before_anything_is_trained(engine, where):
    pair = np.ones((2, 2))
    given = {
        "label": {},
        "holdout": {"holdout": (np.zeros((2, 1)), pair)},
        "given": {"labels": {0: [1.0, 2.0]}, "initial": [1]},
    }[where]
    learner = line(engine, **given)

    @learner.simulation_task(as_executable=False)
    def simulate(x):
        assert where == "label"
        return np.array([x[0], 2 * x[0]])

    learner.models(a=LinearRegression(), b=KNeighborsRegressorOf3())
    learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=2)
    error = RunFailedError if where == "label" else PoolError
    with pytest.raises(error, match=r"vector.*predictive_variance: say how.*reduction="):
        learner.run(max_iter=1)


def KNeighborsRegressorOf3():
    from sklearn.neighbors import KNeighborsRegressor

    return KNeighborsRegressor(3)


# --- criterion -------------------------------------------------------------------------------------------------------


def test_a_criterion_is_given_the_holdout(engine):
    learner = classifier(engine)

    @learner.as_stop_criterion("seen", threshold=0, operator="<", as_executable=False)
    def seen(models, X, y, X_test, y_test, X_train, y_train):
        assert len(X) == len(y) == 60
        assert np.array_equal(X, X_test)
        assert np.array_equal(y, y_test)
        assert len(X_train) == len(y_train) == 6
        assert set(y_train.tolist()) <= {0, 1}
        return 1.0

    assert learner.run(["w"], TWO, max_iter=1)["w"].iterations[0]["metric"] == 1.0
    without = classifier(engine, holdout=False)

    @without.as_stop_criterion("seen", threshold=0, operator="<", as_executable=False)
    def fitted(model, X, y, X_train):
        assert np.array_equal(X, X_train)
        return float(len(y))

    assert without.run(["w"], TWO, max_iter=1)["w"].iterations[0]["metric"] == 6.0

    @without.as_stop_criterion("seen", threshold=0, operator="<", as_executable=False)
    def missing(model, X_test):
        return 1.0

    with pytest.raises(ConfigurationError, match="'X_test', which nothing provides"):
        without.run(["w"], TWO, max_iter=1)


@pytest.mark.parametrize("ends", [{"max_iter": 2}, {"budget": 10}])
def test_a_threshold_that_is_met_in_the_last_round_is_the_reason(engine, ends, tmp_path):
    learner = classifier(engine)
    learner._run_dir = tmp_path
    config = UQLearnerConfig(threshold={0: 1e-9, 1: 100.0})
    result = teach(learner, workflows={"w": config}, model_names=TWO, **ends)["w"]
    assert result.stop_reason == StopReason.CERTAIN_ENOUGH
    again = teach(learner, workflows={"w": config}, model_names=TWO, **ends)["w"]
    assert again.stop_reason == StopReason.CERTAIN_ENOUGH


# --- shapes ----------------------------------------------------------------------------------------------------------


def test_regressors_with_one_column(engine):
    learner = regressor(engine, holdout=(np.array([[0.0], [0.5]]), np.array([[1.0], [1.25]])))

    @learner.prediction_task(as_executable=False)
    def predict(model, X):
        return np.polyval(model, X)

    result = learner.run(TWO, max_iter=2)
    assert result.iterations[0]["holdout"]["coverage_95"] is not None
    assert result.predict(np.zeros((3, 1))).mean.shape == (3,)


@pytest.mark.parametrize("kind", ["gradients", "bfloat16", "float16", "frame", "list"])
def test_predictions_of_other_libraries(kind):
    learner = classifier(ThreadEngine(2))  # libraries are imported once

    @learner.prediction_task(as_executable=False)
    def predict(model, X):
        p = model.predict_proba(X)
        if kind == "list":
            return p.tolist()
        if kind == "float16":
            return p.astype(np.float16)
        if kind == "frame":
            import pandas

            return pandas.DataFrame(p)
        import torch

        logits = torch.log(torch.tensor(p, requires_grad=True))
        return torch.softmax(logits.to(torch.bfloat16) if kind == "bfloat16" else logits, dim=1)

    pytest.importorskip({"frame": "pandas", "gradients": "torch", "bfloat16": "torch"}.get(kind, "numpy"))
    result = learner.run(["w"], TWO, max_iter=2)["w"]
    assert result.predict(blobs(5)[0]).mean.shape == (5, 2)


def test_a_prediction_of_something_else_is_named(engine):
    learner = classifier(engine)

    @learner.prediction_task(as_executable=False)
    def predict(model, X):
        return np.array(["a"] * len(X))

    with pytest.raises(RunFailedError, match=r"model 'a', iteration 0.*of <U1, not of numbers") as caught:
        learner.run(["w"], TWO, max_iter=1)
    assert isinstance(caught.value.errors["w"], PredictionError)


def test_a_metric_needs_not_be_named(engine):
    learner = regressor(engine)
    learner.uncertainty_quantification(query_size=2)
    result = learner.run(TWO, max_iter=2)
    assert result.iterations[0]["uncertainty"] > 0
    both = ParallelUQLearner(engine, pool=Pool(blobs()[0], initial=8))
    both.stages["simulation"] = classifier(engine).stages["simulation"]
    both.models(a=RandomForestClassifier(5), b=LogisticRegression())
    both.uncertainty_quantification(query_size=2)
    assert both.run(["w"], max_iter=2)["w"].iterations[0]["uncertainty"] > 0


# --- found by looking for more of each kind --------------------------------------------------------------------------


class Silent(ClassifierMixin, BaseEstimator):
    """A classifier with probabilities that does not say what its columns are."""

    def __init__(self, depth=1):
        self.depth = depth

    def fit(self, X, y):
        self.tree = DecisionTreeClassifier(max_depth=self.depth, random_state=0).fit(X, y)
        return self

    def predict_proba(self, X):
        return self.tree.predict_proba(X)


class Unfaithful(LogisticRegression):
    """It cannot be cloned, for it does not keep what it is given."""

    def __init__(self, C=1.0):
        super().__init__(C=float(C) + 1.0)


def test_a_named_member_does_not_speak_for_a_nameless_one(engine):
    learner = digits(engine, sort=False, holdout=False)

    @learner.training_task(as_executable=False)
    def train(X, y, model_name):
        model = LogisticRegression(max_iter=50).fit(X[y != 3], y[y != 3])
        return model if model_name == "named" else {"model": model}

    @learner.prediction_task(as_executable=False)
    def predict(model, X):
        return (model["model"] if isinstance(model, dict) else model).predict_proba(X)

    learner.uncertainty_quantification(MARGIN, query_size=5)
    with pytest.raises(RunFailedError, match=r"'nameless' has \[n, \d+\] without names; say what the columns are"):
        teach(learner, ["named", "nameless"], max_iter=2)
    assert learner.prediction_task(as_executable=False, classes=np.arange(3))(predict) is predict
    with pytest.raises(RunFailedError, match=r"3 columns are declared, classes=\(0, 1, 2\), but \d+ are predicted"):
        learner.run(["named", "nameless"], max_iter=2)


def test_a_classifier_without_classes_gets_those_it_was_fitted_to(engine):
    learner = digits(engine, sort=False)
    learner.models(a=Silent(2), b=Silent(4))
    learner.uncertainty_quantification(MARGIN, query_size=5)
    result = learner.run(max_iter=2)
    assert set(result.predict(DIGITS[:5] / 16).classes) <= set(range(10))
    assert 0.0 <= result.models["b"].score(DIGITS[:50] / 16, DIGIT[:50]) <= 1.0
    assert result.models["b"].tree.get_depth() == 4


def test_xgboost_inside_others_learns_any_labels():
    xgboost = pytest.importorskip("xgboost")
    learner = digits(ThreadEngine(2), sort=False, names=DIGIT % 3 + 1, initial=30)
    inner = xgboost.XGBClassifier(n_estimators=2, n_jobs=1)
    learner.models(a=CalibratedClassifierCV(inner, cv=2), b=GridSearchCV(inner, {"max_depth": [1, 2]}, cv=2))
    learner.uncertainty_quantification(MARGIN, query_size=5)
    result = learner.run(max_iter=1)
    assert result.models["a"].classes_.tolist() == [1, 2, 3]


def test_estimators_that_cannot_be_used_are_told_at_once(engine):
    learner = digits(engine)
    with pytest.raises(ConfigurationError, match="Unfaithful cannot be cloned"):
        learner.models(a=Unfaithful())
    with pytest.raises(ConfigurationError, match=r"model 'a' is a class: give an estimator, LogisticRegression\(\)"):
        learner.models(a=LogisticRegression)
    with pytest.raises(ConfigurationError, match="by name"):
        learner.models([LogisticRegression()])
    with pytest.raises(ConfigurationError, match="set voting='soft'"):
        learner.models(a=VotingClassifier([("one", LogisticRegression())]))
    learner.models(a=StackingClassifier([("one", LogisticRegression())]), b=RandomForestClassifier(3))
    learner.uncertainty_quantification("epkl", query_size=2)
    with pytest.raises(ConfigurationError, match=r"epkl is infinite where .*mutual_information"):
        learner.run(max_iter=1)


@pytest.mark.parametrize("label", [{"a": 1}, 1j, [1.0, 2.0], Decimal(1), Fraction(1, 2), "later a text"])
def test_labels_that_estimators_cannot_learn_are_told_at_the_first(engine, label):
    learner = digits(engine, sort=False, holdout=False)

    @learner.simulation_task(as_executable=False)
    def simulate(index):
        return int(index % 2) if label == "later a text" and index < 60 else label

    learner.models(a=LogisticRegression(), b=RandomForestClassifier(3))
    learner.uncertainty_quantification(MARGIN, query_size=5)
    with pytest.raises(RunFailedError, match=r"the label of candidate \d+, .* is (nothing that these|of another kind)"):
        learner.run(max_iter=1)


@pytest.mark.parametrize(("wide", "model"), [
    (True, GradientBoostingRegressor()), (False, MultiOutputRegressor(LinearRegression())),
])  # fmt: skip
def test_labels_of_another_width_than_a_model_learns_are_told_at_the_first(engine, wide, model):
    learner = line(engine)

    @learner.simulation_task(as_executable=False)
    def simulate(x):
        return [x[0], 1.0] if wide else float(x[0])

    learner.models(a=LinearRegression(), b=model)
    learner.uncertainty_quantification(query_size=2, reduction="mean")
    with pytest.raises(RunFailedError, match="is nothing that these models learn: one of them wants"):
        learner.run(max_iter=1)


def test_a_holdout_of_other_classes_is_told_once(engine, caplog):
    learner = digits(engine, sort=False, names=DIGIT)
    learner.pool.holdout = (learner.pool.holdout[0], learner.pool.holdout[1] + 20)
    learner.models(a=LogisticRegression(max_iter=50), b=RandomForestClassifier(3))
    learner.uncertainty_quantification(MARGIN, query_size=5)
    learner.run(max_iter=3)
    assert len([text for text in warned(caplog) if "none of the hold-out's labels" in text]) == 1


@pytest.mark.parametrize("block", [65536, 40])
def test_rounded_probabilities_are_divided_by_their_sums(engine, block):
    learner = classifier(engine, block=block)

    def rounded(model, X):
        return model.predict_proba(X).round(3) * 0.999

    learner.prediction_task(as_executable=False)(rounded)
    with pytest.raises(RunFailedError, match="normalise=True"):
        teach(learner, ["w"], TWO, max_iter=2)
    learner.prediction_task(as_executable=False, normalise=True)(rounded)
    result = teach(learner, ["w"], TWO, max_iter=2)["w"]
    np.testing.assert_allclose(result.predict(blobs(9)[0]).mean.sum(axis=1), 1.0)
    with pytest.raises(PoolError, match="X holds no samples"):
        result.predict(blobs(9)[0][:0])
    assert result.predict(blobs(9)[0].tolist()).mean.shape == (9, 2)
    with pytest.raises(ConfigurationError, match="normalise='yes' of prediction_task must be True or False"):
        learner.prediction_task(as_executable=False, normalise="yes")(rounded)


def test_a_criterion_may_ask_for_one_model_and_all(engine):
    learner = classifier(engine)

    @learner.as_stop_criterion("seen", threshold=0, operator="<", as_executable=False)
    def seen(model, models, model_name):
        return float(any(model.centres is not one.centres for one in models) + len(models))

    assert learner.run(["w"], TWO, max_iter=1)["w"].iterations[0]["criterion_values"] == {"a": 3.0, "b": 3.0}
