"""Each mistake gets one clear error, before anything expensive runs."""

import math

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron

from rose import LearnerConfig, ParallelUQLearner, Pool, SeqUQLearner, TaskConfig, UQLearnerConfig
from rose.errors import (
    BindingError,
    CapacityError,
    ConfigurationError,
    PoolError,
    PredictionError,
    RoseError,
    RunFailedError,
    UnknownAcquisitionError,
    UnknownMetricError,
    UnpicklableError,
)
from rose.metrics import MEAN_SQUARED_ERROR_MSE, MODEL_ACCURACY, MUTUAL_INFORMATION, PREDICTIVE_VARIANCE
from tests.programs import blobs, classifier, dataflow, teach

TWO = ["a", "b"]
X, Y = blobs()


@pytest.fixture
def flow(tmp_path):
    """A learner of ROSE's dataflow whose tasks would write to `tmp_path/log`."""
    yield dataflow(2, tmp_path / "log", criterion=None)
    assert not (tmp_path / "log").exists(), "something ran"


@pytest.fixture
def pooled(tmp_path):
    """A learner with a pool whose simulation would write to `tmp_path/log`."""
    learner, log = classifier(2), str(tmp_path / "log")

    @learner.simulation_task(as_executable=False)
    def simulate(index):
        open(log, "w").close()
        return 0

    yield learner
    assert not (tmp_path / "log").exists(), "something ran"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "nothing would end the run: give max_iter"),
        ({"max_iter": -1}, "max_iter=-1 must be a whole number of 0 or more"),
        ({"max_iter": 1.5}, "max_iter=1.5"),
        ({"max_iter": 1, "learner_names": []}, "learner_names is empty"),
        ({"max_iter": 1, "learner_names": "x"}, "learner_names='x' must be a list"),
        ({"max_iter": 1, "learner_names": ["x", "x"]}, "'x' more than once"),
        ({"max_iter": 1, "learner_names": ["x", ""]}, "holds ''; a name is"),
        ({"max_iter": 1, "model_names": []}, "model_names is empty"),
        ({"max_iter": 1, "model_names": ["a", "b", "a"]}, "model_names holds 'a' more than once"),
        ({"max_iter": 1, "learner_names": ["x/0", "x"]}, "holds 'x' and 'x/0', which the keys of tasks cannot tell"),
        ({"max_iter": 1, "model_names": [3]}, "model_names holds 3"),
        ({"max_iter": 1, "num_predictions": 0}, "num_predictions=0"),
        ({"max_iter": 1, "learner_configs": {"wat": None}}, "unknown learner 'wat'.*did you mean 'what'"),
        ({"max_iter": 1, "learner_configs": {"x": {"training": {}}}}, r"learner_configs\['x'\] must be a UQLearner"),
        ({"max_iter": 1, "learner_configs": {"x": UQLearnerConfig(query_size=3)}}, "'x': query_size= needs a pool"),
        ({"max_iter": 1, "budget": 10}, "budget= counts the labels of a pool"),
        ({"max_iter": 1, "max_time": math.nan}, "max_time=nan"),
    ],
)
def test_arguments(flow, arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        flow.run(**{"learner_names": ["x", "what"], "model_names": TWO, **arguments})


def test_errors_come_when_start_is_called_not_later(flow):
    with pytest.raises(ConfigurationError, match="nothing would end"):
        flow.start(["x"], TWO)


@pytest.mark.parametrize("missing", ["simulation", "training", "prediction", "active_learn"])
def test_a_missing_stage(flow, missing):
    del flow.stages[missing]
    with pytest.raises(ConfigurationError, match=f"no {missing} stage is registered.*@learner.{missing}_task"):
        flow.run(["x"], TWO, max_iter=1)


def test_a_rule_or_criterion_without_function_or_pool(flow):
    flow.as_stop_criterion(MODEL_ACCURACY, threshold=0.9)
    with pytest.raises(ConfigurationError, match="as_stop_criterion decorates no function"):
        flow.run(["x"], TWO, max_iter=1)


@pytest.mark.parametrize(
    ("asks", "config"),
    [
        (lambda: 1, None),
        (lambda **kwargs: 1, None),
        (lambda simulated, more: 1, None),
        (lambda simulated: 1, TaskConfig(kwargs={"epochs": 3})),
        (lambda simulated: 1, TaskConfig(args=(3,))),
        (lambda *args, epochs: 1, {0: TaskConfig(kwargs={"epochs": 3})}),  # and what in iteration 1?
        (lambda *args, epochs: 1, {1: TaskConfig(kwargs={"epochs": 3}), -1: TaskConfig()}),
        (max, None),
    ],
)
def test_a_dataflow_function_that_cannot_take_its_calls(flow, asks, config):
    flow.training_task(as_executable=False)(asks)
    configs = {"x": UQLearnerConfig(training=config)}
    message = "training task '(<lambda>|max)' (cannot be called in iteration [01] with|does not say what it takes)"
    with pytest.raises(BindingError, match=message):
        flow.run(["x"], TWO, max_iter=2, learner_configs=configs)


def test_decorator_options(flow):
    with pytest.raises(ConfigurationError, match=r"no option 'cpu'; did you mean 'cpus'"):
        flow.training_task(cpu=2)(print)
    with pytest.raises(ConfigurationError, match="cpus=0"):
        flow.training_task(cpus=0)(print)
    with pytest.raises(ConfigurationError, match="batch= of training_task: only simulation"):
        flow.training_task(batch=3)(print)
    with pytest.raises(ConfigurationError, match="timeout=-1"):
        flow.training_task(timeout=-1)(print)
    with pytest.raises(ConfigurationError, match="memory='lots'"):
        flow.training_task(memory="lots")(print)
    with pytest.raises(ConfigurationError, match="collect= of simulation_task"):
        flow.simulation_task(as_executable=False, collect="x.npy")(print)


@pytest.mark.parametrize("query_size", [-1, 1.5, 0.1, math.nan, math.inf, True, "5", None, [5], {0: 5}, 5j])
def test_query_size(flow, query_size):
    with pytest.raises(ConfigurationError, match=r"query_size=.* of uncertainty_quantification must be a whole number"):
        flow.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=query_size, threshold=1.0)
    with pytest.raises(ConfigurationError, match=r"by iteration .* UQLearnerConfig, \{0: \.\.\., "):
        flow.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size={0: 5}, threshold=1.0)


@pytest.mark.parametrize("threshold", ["a", "1", 1j, True, [0.5], {0: 0.5}, np.zeros(2)])
def test_a_threshold_is_a_number(flow, threshold):
    with pytest.raises(ConfigurationError, match="of uncertainty_quantification must be a number"):
        flow.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=1, threshold=threshold)
    with pytest.raises(ConfigurationError, match="of as_stop_criterion must be a number"):
        flow.as_stop_criterion(MODEL_ACCURACY, threshold=threshold)
    with pytest.raises(ConfigurationError, match="threshold"):
        UQLearnerConfig(threshold={0: threshold})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"query_size": {0: 0}}, "query_size=0 of iteration 0 must be a whole number of 1 or more"),
        ({"query_size": {0: 5, -1: 1.5}}, "query_size=1.5 of iteration -1"),
        ({"query_size": {3: None}}, "query_size=None of iteration 3"),
        ({"query_size": {-2: 5}}, "iterations are 0, 1, 2, ... or -1 for the others; got -2"),
        ({"query_size": {"0": 5}}, "got '0'"),
        ({"query_size": {}}, "query_size: it is empty"),
        ({"query_size": math.inf}, "query_size=inf of a workflow must be a whole number"),
        ({"query_size": "5"}, "query_size='5'"),
        ({"threshold": {0: math.nan}}, "threshold of iteration 0 is NaN"),
        ({"threshold": math.nan}, "is NaN"),
        ({"threshold": 10**400}, "must be a number"),
    ],
)
def test_settings_by_iteration_that_cannot_be(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        UQLearnerConfig(**settings)


def test_settings_are_checked_for_all_iterations_at_the_start(pooled):
    for config, message in (
        (UQLearnerConfig(query_size={0: 5, 7: 115}), "query_size=115 is more than the pool has"),
        (UQLearnerConfig(threshold={0: 0.1}), "nothing would end the run"),  # ... if it is not met in iteration 0
    ):
        with pytest.raises(ConfigurationError, match=message):
            pooled.run(["w"], TWO, learner_configs={"w": config}, budget=None if config.threshold else 50)
    spoilt = UQLearnerConfig(query_size={0: 5, 3: 4})
    spoilt.query_size[3] = 0
    with pytest.raises(ConfigurationError, match="query_size=0 of a learner with a pool, iteration 3,"):
        pooled.run(["w"], TWO, learner_configs={"w": spoilt}, max_iter=1)


def test_a_query_size_of_0_needs_that_there_is_no_pool(pooled):
    pooled.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=0)
    with pytest.raises(ConfigurationError, match="query_size=0 of a learner with a pool"):
        pooled.run(["w"], TWO, max_iter=1)


def test_thresholds_and_operators(flow):
    with pytest.raises(ConfigurationError, match="threshold of uncertainty_quantification is NaN"):
        flow.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=1, threshold=math.nan)
    with pytest.raises(ConfigurationError, match="threshold of as_stop_criterion is NaN"):
        flow.as_stop_criterion(MODEL_ACCURACY, threshold=math.nan)
    with pytest.raises(ConfigurationError, match="must be a number"):
        flow.as_stop_criterion(MODEL_ACCURACY, threshold="high")
    with pytest.raises(ConfigurationError, match=r"'model_acuracy' is no known metric.*'model_accuracy'.*operator"):
        flow.as_stop_criterion("model_acuracy", threshold=0.9)
    with pytest.raises(ConfigurationError, match="operator='=>' is no comparison"):
        flow.as_stop_criterion("mine", threshold=0.9, operator="=>")


def test_schedules():
    with pytest.raises(ConfigurationError, match="unknown keys"):
        SeqUQLearner(2).create_iteration_schedule("training", {0: {"kwarg": {}}})
    with pytest.raises(ConfigurationError, match="must be a function"):
        SeqUQLearner(2).create_adaptive_schedule("training", 3)
    with pytest.raises(ValueError, match="-1 for the default"):
        UQLearnerConfig(training={-2: TaskConfig()})
    with pytest.raises(ConfigurationError, match="no stage 'trainig'"):
        LearnerConfig().get_task_config("trainig", 0)


def test_engines_and_pools_of_the_wrong_kind(tmp_path):
    for engine in (0, True, "dask"):
        with pytest.raises(RoseError):
            ParallelUQLearner(engine).run(["x"], TWO, max_iter=1)
    with pytest.raises(ConfigurationError, match=r"must be a rose.Pool.*Pool\(X"):
        ParallelUQLearner(pool=X)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="is a file"):
        ParallelUQLearner(run_dir=tmp_path / "file")
    with pytest.raises(ConfigurationError, match="is not empty"):
        ParallelUQLearner(run_dir=tmp_path)


def test_more_than_the_engine_has(flow):
    @flow.training_task(as_executable=False, cpus=3)
    def training(*args, **kwargs):
        return 1

    with pytest.raises(CapacityError, match="training task 'training' asks for cpus=3; the engine has 2"):
        flow.run(["x"], TWO, max_iter=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pool([]), "no candidates"),
        (lambda: Pool(np.array([[0.0], [np.nan]]), initial=1), r"X\[1\] holds NaN or inf"),
        (lambda: Pool([1.0, math.inf], initial=1), r"X\[1\] is not finite"),
        (lambda: Pool(X, initial=0), "initial=0 must be from 1 to the number of candidates, 120"),
        (lambda: Pool(X, initial=121), "initial=121"),
        (lambda: Pool(X, initial=[1, 1]), "distinct"),
        (lambda: Pool(X, initial=[-1]), "from 0 to 119"),
        (lambda: Pool(X, initial="some"), "initial='some'"),
        (lambda: Pool("nowhere.npy"), "no file 'nowhere.npy'"),
        (lambda: Pool(X, seed=-1), "seed=-1"),
        (lambda: Pool(X, holdout=X), "holdout must be a pair"),
        (lambda: Pool(X, holdout=(X, Y[:3])), "120 and 3 rows"),
        (lambda: Pool(X, features=X[:5]), r"features must be \[120, F\]"),
        (lambda: Pool(3), "must be an array"),
    ],
)
def test_pools(make, message):
    with pytest.raises(PoolError, match=message):
        make()


@pytest.mark.parametrize(
    ("asks", "message"),
    [
        (lambda x, fidelity: 0, "'fidelity', which nothing provides.*there is: index, iteration, seed, workflow, x"),
        (lambda X: 0, "'X', which nothing provides; did you mean 'x'"),
        (lambda x, /: 0, "positional-only"),
    ],
)
def test_a_task_that_asks_for_what_nothing_provides(pooled, asks, message):
    pooled.simulation_task(as_executable=False)(asks)
    with pytest.raises(BindingError, match=message):
        pooled.run(["w"], TWO, max_iter=1)


def test_configuration_that_no_task_takes(pooled):
    config = UQLearnerConfig(simulation=TaskConfig(kwargs={"indx": 1}))
    with pytest.raises(BindingError, match=r"configured with 'indx', which it does not take.*'index'"):
        pooled.run(["w"], TWO, max_iter=1, learner_configs={"w": config})
    config = UQLearnerConfig(simulation=TaskConfig(args=(1,)))
    with pytest.raises(BindingError, match="configure kwargs, not args"):
        pooled.run(["w"], TWO, max_iter=1, learner_configs={"w": config})


def test_metrics_and_acquisitions(pooled):
    with pytest.raises(UnknownMetricError, match="did you mean 'mutual_information'"):
        pooled.run(workflows={"w": "mutual_informaton"}, model_names=TWO, max_iter=1)
    with pytest.raises(ConfigurationError, match=r"mutual_information measures disagreement.*1 model x 1 pass"):
        pooled.run(workflows={"w": MUTUAL_INFORMATION}, model_names=["a"], max_iter=1)
    with pytest.raises(UnknownAcquisitionError, match="did you mean 'diverse'"):
        pooled.run(workflows={"w": UQLearnerConfig(acquisition="diverze")}, model_names=TWO, max_iter=1)
    with pytest.raises(TypeError, match=r"ParallelUQLearner.run\(\) got an unexpected keyword argument 'max_iters'"):
        pooled.run(["w"], TWO, max_iters=1)
    with pytest.raises(ConfigurationError, match="needs the true labels"):
        pooled.run(workflows={"w": "negative_log_likelihood"}, model_names=TWO, max_iter=1)
    with pytest.raises(ConfigurationError, match="query_size=115 is more than the pool has"):
        pooled.run(workflows={"w": UQLearnerConfig(query_size=115)}, model_names=TWO, max_iter=1)
    with pytest.raises(ConfigurationError, match=r"workflows\['w'\] must be a metric name"):
        pooled.run(workflows={"w": 3}, model_names=TWO, max_iter=1)
    with pytest.raises(ConfigurationError, match="nothing would end the run"):
        pooled.run(["w"], TWO)
    with pytest.raises(ConfigurationError, match="budget=3 labels does not pay for the 6 initial"):
        pooled.run(["w"], TWO, budget=3)
    with pytest.raises(ConfigurationError, match="model_names is missing"):
        pooled.run(["w"], max_iter=1)
    pooled.rule = None
    with pytest.raises(ConfigurationError, match="no uncertainty rule"):
        pooled.run(["w"], TWO, max_iter=1)


def test_the_holdout_criterion(pooled):
    pooled.as_stop_criterion("labeling_cost", threshold=1)
    with pytest.raises(ConfigurationError, match="a hold-out gives only model_accuracy"):
        pooled.run(["w"], TWO, max_iter=1)
    pooled.as_stop_criterion(MODEL_ACCURACY, threshold=1)
    pooled.pool = Pool(X)
    with pytest.raises(ConfigurationError, match=r"Pool\(X, holdout=\(X_test, y_test\)\)"):
        pooled.run(["w"], TWO, max_iter=1)


def test_estimators(pooled):
    with pytest.raises(ConfigurationError, match="'a' is no scikit-learn estimator"):
        pooled.models(a=3)
    with pytest.raises(ConfigurationError, match="gives no probabilities"):
        pooled.models(a=Perceptron())
    with pytest.raises(ConfigurationError, match="a classify but b do not"):
        pooled.models(a=LogisticRegression(), b=LinearRegression())
    pooled.models(a=RandomForestClassifier(), b=LogisticRegression())
    with pytest.raises(ConfigurationError, match=r"model_names holds 'c'; models\(\) has a, b"):
        pooled.run(["w"], ["a", "c"], max_iter=1)
    with pytest.raises(ConfigurationError, match="predictive_variance is a regression metric, but the models do class"):
        pooled.run(workflows={"w": PREDICTIVE_VARIANCE}, max_iter=1)
    pooled.as_stop_criterion(MEAN_SQUARED_ERROR_MSE, threshold=1)
    with pytest.raises(ConfigurationError, match="mean_squared_error_mse is a regression metric, but the models do"):
        pooled.run(["w"], max_iter=1)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p[:-1], r"predicted an array of shape \(119, 2\) for 120 samples"),
        (lambda p: p * 2, r"outside \[0, 1\]"),
        (lambda p: p * 0.9, "sum"),
        (lambda p: p * np.nan, "NaN|nan|finite"),
        (lambda p: p[:, 0], "shape|axes|dimension"),
    ],
)
def test_wrong_predictions_name_the_model_and_the_iteration(engine, spoil, message):
    learner = classifier(engine, holdout=False)

    @learner.prediction_task(as_executable=False)
    def predict(model, X, model_name, iteration):
        good = model.predict_proba(X)
        return spoil(good) if model_name == "b" and len(X) == 120 else good

    with pytest.raises(RunFailedError, match=message) as caught:
        learner.run(["w"], TWO, max_iter=2)
    error = caught.value.errors["w"]
    assert isinstance(error, PredictionError)
    assert "model 'b', iteration 0" in str(error)
    assert caught.value.results["w"].iterations == []
    assert len(caught.value.results["w"].indices) == 6


def test_a_metric_of_the_other_task_type_found_in_the_predictions(engine):
    learner = classifier(engine)
    with pytest.raises(RunFailedError, match=r"regression|values"):
        learner.run(workflows={"w": PREDICTIVE_VARIANCE}, model_names=TWO, max_iter=2)


def test_results_that_cannot_travel(engine):
    learner = classifier(engine)

    @learner.training_task(as_executable=False)
    def train(X, y):
        return (i for i in range(3))

    with pytest.raises(RunFailedError) as caught:
        learner.run(["w"], TWO, max_iter=1)
    error = caught.value.errors["w"]
    assert isinstance(error, UnpicklableError)
    assert "w/0/training/" in error.key


def test_own_scores_are_checked(engine):
    learner = classifier(engine)

    @learner.uncertainty_quantification("own", query_size=2, as_executable=False)
    def own(mc_preds):
        return np.full(mc_preds.shape[1], np.nan)

    with pytest.raises(RunFailedError, match="score of candidate 0 is NaN"):
        teach(learner, ["w"], TWO, max_iter=2)

    @learner.uncertainty_quantification("own", query_size=2, as_executable=False)
    def short(mc_preds):
        return np.zeros(3)

    with pytest.raises(RunFailedError, match=r"must return one score a candidate, \[114\]"):
        teach(learner, ["w"], TWO, max_iter=2)


def test_misspelt_names_of_results_and_of_stages(engine):
    learner = classifier(engine)
    results = learner.run(["bald"], TWO, max_iter=1)
    with pytest.raises(KeyError, match="did you mean 'bald'"):
        results["bld"]
    with pytest.raises(AttributeError, match="trainig_task"):
        learner.trainig_task(print)
