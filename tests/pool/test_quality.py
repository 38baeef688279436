"""With a hold-out, every iteration says how good the ensemble and its uncertainty are; members may tell their own."""

import json
import pickle

import numpy as np
import pytest

from rose import Pool, UQLearnerConfig
from rose.errors import RunFailedError
from rose.metrics import MARGIN, PREDICTIVE_ENTROPY, PREDICTIVE_VARIANCE
from rose.pool.ensemble.predictions import Predicted
from rose.pool.judging.quality import holdout_quality
from tests.programs import blobs, classifier, regressor, teach

TWO = ["a", "b"]


@pytest.mark.parametrize("metric", [PREDICTIVE_ENTROPY, MARGIN])
def test_classification(engine, metric):
    result = classifier(engine).run(workflows={"w": metric}, model_names=TWO, max_iter=3)["w"]
    json.dumps(result)
    for iteration in result.iterations:
        quality = iteration["holdout"]
        assert set(quality) == {
            "accuracy", "log_loss", "brier", "expected_calibration_error", "error_uncertainty_correlation",
            "risk_coverage_area",
        }  # fmt: skip
        assert 0 <= quality["brier"] <= 2
    assert result.iterations[-1]["holdout"]["error_uncertainty_correlation"] > 0, "errors are where it is unsure"


def test_a_class_that_no_one_has_seen(engine):
    learner = classifier(engine)
    X, y = blobs(60)
    learner.pool = Pool(blobs()[0], initial=6, seed=0, holdout=(X, np.where(y == 1, 7, y)))
    quality = learner.run(["w"], TWO, max_iter=1)["w"].iterations[0]["holdout"]
    assert quality["brier"] > 0.4


def test_regression_and_members_with_their_own_variance(engine):
    def learner():
        made = regressor(engine, holdout=(np.array([[0.0], [0.5], [0.7]]), np.array([1.0, 1.25, 1.49])))

        @made.prediction_task(as_executable=False)
        def predict(model, X):
            mean = np.polyval(model, X[:, 0])
            return mean, np.full(len(X), 0.04)

        return made

    for metric in ("total_variance", "mixture_entropy", "epistemic_variance", PREDICTIVE_VARIANCE):
        made = learner()
        made.uncertainty_quantification(metric, query_size=2)
        result = made.run(TWO, max_iter=2)
        quality = result.iterations[-1]["holdout"]
        assert quality["coverage_95"] == 1.0
        assert quality["sharpness"] == pytest.approx(0.2, rel=0.1)
        assert len(result.predict(np.zeros((4, 1))).uncertainty) == 4


def test_variances_are_checked_and_asked_for(engine):
    made = regressor(engine)
    made.uncertainty_quantification("total_variance", query_size=2)
    with pytest.raises(RunFailedError, match="total_variance needs variances"):
        teach(made, TWO, max_iter=2)

    @made.prediction_task(as_executable=False)
    def predict(model, X):
        return np.zeros(len(X)), np.full(len(X), -1.0)

    with pytest.raises(RunFailedError, match=r"model 'a', iteration 0.*\(mean, variance\)"):
        teach(made, TWO, max_iter=2)


def test_several_outputs_by_a_declared_reduction(engine):
    made = regressor(engine)

    @made.prediction_task(as_executable=False)
    def predict(model, X):
        values = np.polyval(model, X[:, 0])
        return np.stack([values, 2 * values], axis=1)

    made.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=2, reduction="max")
    result = made.run(TWO, max_iter=3)
    assert len(result.indices) == 9
    assert result.predict(np.zeros((4, 1))).mean.shape == (4, 2)
    with pytest.raises(ValueError, match="reduction='most'"):
        made.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=2, reduction="most")


def test_a_workflow_may_have_its_own_metric_beside(engine):
    results = classifier(engine).run(
        workflows={"a": PREDICTIVE_ENTROPY, "b": UQLearnerConfig(uq_metric_name="variation_ratio")},
        model_names=TWO,
        max_iter=2,
    )
    assert all("holdout" in iteration for result in results.values() for iteration in result.iterations)


def test_probabilities_of_a_narrow_type_have_a_quality(engine):
    made = classifier(engine)

    @made.prediction_task(as_executable=False)
    def predict(model, X):
        return model.predict_proba(X).astype(np.float16) * np.float16(0.999)

    quality = made.run(["w"], TWO, max_iter=1)["w"].iterations[0]["holdout"]
    assert 0 <= quality["brier"] <= 2


def test_measures_are_those_of_scikit_learn():
    from sklearn import metrics as sk

    rng = np.random.default_rng(0)
    p, y = rng.dirichlet(np.ones(3), (2, 60)), rng.integers(0, 3, 60)
    found = holdout_quality(y, None, None, Predicted({"a": [p[0]], "b": [p[1]]}, "classification", None))
    mean = p.mean(axis=0)
    assert found["measures"]["accuracy"] == pytest.approx(sk.accuracy_score(y, mean.argmax(axis=1)))
    assert found["measures"]["log_loss"] == pytest.approx(sk.log_loss(y, mean))
    assert found["seen"]["confusion"].tolist() == sk.confusion_matrix(y, mean.argmax(axis=1)).tolist()

    v, t = rng.normal(size=(2, 60, 2)), rng.normal(size=(60, 2))
    found = holdout_quality(t, None, None, Predicted({"a": [v[0]], "b": [v[1]]}, "regression", None))
    mean, measures = v.mean(axis=0), found["measures"]
    assert measures["rmse"] == pytest.approx(sk.root_mean_squared_error(t, mean))
    assert measures["mae"] == pytest.approx(sk.mean_absolute_error(t, mean))
    assert measures["r2"] == pytest.approx(sk.r2_score(t, mean))
    assert measures["r2_1"] == pytest.approx(sk.r2_score(t[:, 1], mean[:, 1]))
    assert len(pickle.dumps(found)) < 16 * 1024, "it lies in the journal itself"
    flat = holdout_quality(np.ones(60), None, None, Predicted({"a": [v[0, :, 0]]}, "regression", None))
    assert flat["measures"]["r2"] is None, "all true values are the same"
