"""What the columns of predictions mean, and what shapes predictions may have."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import (
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from rose import ParallelUQLearner, Pool, ThreadEngine
from rose.errors import ConfigurationError, PoolError, PredictionError, RunFailedError
from rose.metrics import MARGIN, MODEL_ACCURACY, MUTUAL_INFORMATION, PREDICTIVE_ENTROPY
from tests.pool.test_models import DIGIT, DIGITS, digits
from tests.programs import blobs, classifier, regressor, teach

TWO = ["a", "b"]


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
