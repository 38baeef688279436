"""With a hold-out, every iteration says how good the ensemble and its uncertainty are; members may tell their own."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

import rose
from rose import Pool, UQLearnerConfig
from rose.errors import ConfigurationError, RunFailedError
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
            "risk_coverage_area", "set_coverage_90", "set_size_90",
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
    assert measures["coverage_90_1"] == pytest.approx(0.9, abs=0.15)
    assert measures["interval_width_90"] == pytest.approx(
        (measures["interval_width_90_0"] + measures["interval_width_90_1"]) / 2
    )
    assert measures["r2_1"] == pytest.approx(sk.r2_score(t[:, 1], mean[:, 1]))
    assert len(pickle.dumps(found)) < 16 * 1024, "it lies in the journal itself"
    flat = holdout_quality(np.ones(60), None, None, Predicted({"a": [v[0, :, 0]]}, "regression", None))
    assert flat["measures"]["r2"] is None, "all true values are the same"


def test_intervals_hold_wherever_the_result_is(engine, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 1))
    y = X[:, 0] ** 2 + 1 + rng.normal(scale=0.1, size=300)
    made = regressor(engine, holdout=(X[:100], y[:100]))
    with pytest.raises(ConfigurationError, match=r"level=2 must lie between 0 and 1"):
        made.run(TWO, max_iter=1).predict(X, 2)
    made = regressor(engine, tmp_path / "run", holdout=(X[:100], y[:100]))
    result = made.run(TWO, max_iter=2)
    found = result.predict(X[100:], 0.9)
    inside = (found.lower <= y[100:]) & (y[100:] <= found.upper)
    assert 0.8 < inside.mean() < 0.98
    assert found.level == 0.9
    assert result.predict(X).lower is None
    quality = result.iterations[-1]["holdout"]
    assert quality["coverage_90"] == pytest.approx(0.9, abs=0.06)
    assert quality["interval_width_90"] == pytest.approx(np.mean(found.upper - found.lower), rel=0.1)
    resumed = regressor(engine, tmp_path / "run", holdout=(X[:100], y[:100])).run(TWO, max_iter=2)
    saved = rose.load(result.save(tmp_path / "saved"))
    for other in (rose.load(tmp_path / "run"), resumed, saved, pickle.loads(pickle.dumps(result))):
        np.testing.assert_allclose(other.predict(X[100:], level=0.9).lower, found.lower, rtol=1e-6)
    assert "conformal intervals at 90 % are" in Path(resumed.report().save(tmp_path / "report.html")).read_text()
    given = result.predict(X[100:], 0.9, calibration=(X[:100], y[:100]))
    np.testing.assert_allclose(given.upper, found.upper, rtol=1e-5)
    for wrong, told in ((X, "a pair"), ((X, y[:5]), "300 samples need as many labels")):
        with pytest.raises(ConfigurationError, match=told):
            result.predict(X, 0.9, calibration=wrong)
    with pytest.raises(ConfigurationError, match=r"by the hold-out: 100 samples cannot promise level=0\.999"):
        result.predict(X, 0.999)
    with pytest.raises(ConfigurationError, match="predicts values, not classes"):
        result.predict(X, 0.9, by_class=True)
    with pytest.raises(ConfigurationError, match=r"level=0.9: nothing tells .* Pool\(holdout=\(X, y\)\)"):
        regressor(engine).run(TWO, max_iter=1).predict(X, 0.9)


def test_label_sets_hold_the_label(engine):
    result = classifier(engine).run(["w"], TWO, max_iter=2)["w"]
    X, y = blobs(400)
    found, each = result.predict(X, 0.8), result.predict(X, 0.8, by_class=True)
    assert 0.7 < found.sets[np.arange(400), y].mean() < 0.95
    assert min(each.sets[y == one, one].mean() for one in (0, 1)) > 0.65
    assert found.label_sets[0] == np.flatnonzero(found.sets[0]).tolist()
    assert result.iterations[-1]["holdout"]["set_size_90"] > 0


@pytest.mark.parametrize("classify", [False, True])
def test_without_a_hold_out_what_was_labelled_is_cross_validated(engine, classify):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (400, 2))
    y = X @ [1.0, 2.0] + rng.normal(scale=0.2, size=400)
    y = np.where(y > 0, "up", "down") if classify else y
    learner = rose.SeqUQLearner(
        engine, pool=Pool(X, labels=dict(enumerate(y[:60].tolist())), initial=np.arange(60), seed=0)
    )
    learner.models(a=LogisticRegression(C=1.0), b=LogisticRegression(C=9.0)) if classify else learner.models(
        a=Ridge(), b=Ridge(9.0)
    )
    learner.simulation_task(as_executable=False)(lambda index: y[index])
    learner.uncertainty_quantification("predictive_entropy" if classify else PREDICTIVE_VARIANCE, query_size=1)
    result = learner.run(max_iter=1)
    found = result.predict(X[60:], 0.9, pool=X)
    if classify:
        place = np.array([found.classes.index(one) for one in y[60:]])
        assert 0.82 < found.sets[np.arange(340), place].mean() < 0.97
    else:
        assert 0.82 < np.mean((found.lower <= y[60:]) & (y[60:] <= found.upper)) < 0.97


def test_models_that_cannot_be_refitted_are_told(engine):
    result = regressor(engine, initial=10).run(TWO, max_iter=1)
    X = np.linspace(-1, 1, 80)[:, None]
    with pytest.raises(ConfigurationError, match=r"must be estimators with fit.* Give the pool a hold-out"):
        result.predict(X, 0.9, pool=X)
