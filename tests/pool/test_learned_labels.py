"""Which labels models can learn, and how a hold-out and a criterion judge them."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    GradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rose import Pool, StopReason, ThreadEngine, UQLearnerConfig
from rose.errors import ConfigurationError, PoolError, RunFailedError
from rose.metrics import MARGIN, MODEL_ACCURACY, PREDICTIVE_VARIANCE
from tests.pool.test_models import DIGIT, DIGITS, digits, line, warned
from tests.programs import blobs, classifier, teach

TWO = ["a", "b"]


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


def test_xgboost_inside_others_learns_any_labels():
    xgboost = pytest.importorskip("xgboost")
    learner = digits(ThreadEngine(2), sort=False, names=DIGIT % 3 + 1, initial=30)
    inner = xgboost.XGBClassifier(n_estimators=2, n_jobs=1)
    learner.models(a=CalibratedClassifierCV(inner, cv=2), b=GridSearchCV(inner, {"max_depth": [1, 2]}, cv=2))
    learner.uncertainty_quantification(MARGIN, query_size=5)
    result = learner.run(max_iter=1)
    assert result.models["a"].classes_.tolist() == [1, 2, 3]


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


def test_a_criterion_may_ask_for_one_model_and_all(engine):
    learner = classifier(engine)

    @learner.as_stop_criterion("seen", threshold=0, operator="<", as_executable=False)
    def seen(model, models, model_name):
        return float(any(model.centres is not one.centres for one in models) + len(models))

    assert learner.run(["w"], TWO, max_iter=1)["w"].iterations[0]["criterion_values"] == {"a": 3.0, "b": 3.0}
