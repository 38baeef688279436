"""A pool's workflow: it labels, trains, predicts, scores, chooses, counts and stops by itself."""

import asyncio
import json
from collections import Counter

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rose import ParallelUQLearner, Pool, SeqUQLearner, StopReason, UQLearnerConfig
from rose.errors import RunFailedError
from rose.learner import TaskConfig
from rose.metrics import (
    F1_SCORE,
    MARGIN,
    MODEL_ACCURACY,
    MUTUAL_INFORMATION,
    PREDICTIVE_ENTROPY,
    PREDICTIVE_VARIANCE,
    ROOT_MEAN_SQUARED_ERROR_RMSE,
)
from tests.programs import blobs, classifier, regressor, teach

TWO = ["a", "b"]


def test_two_workflows_by_metric_name_learn(either_engine):
    learner = classifier(either_engine)
    learner.as_stop_criterion(MODEL_ACCURACY, threshold=2.0)
    results = learner.run(
        workflows={"entropy": PREDICTIVE_ENTROPY, "bald": MUTUAL_INFORMATION}, model_names=TWO, max_iter=4
    )
    json.dumps(results)
    for result in results.values():
        assert result.stop_reason == StopReason.MAX_ITER
        assert [i["labels"] for i in result.iterations] == [6, 10, 14, 18]
        assert [len(i["selection"]) for i in result.iterations] == [4, 4, 4, 0]
        assert all(0.5 < i["metric"] <= 1 for i in result.iterations[1:])
        assert all(i["uncertainty"] >= 0 for i in result.iterations)
        assert set(result.models) == set(TWO)
        assert len(result.indices) == len(set(result.indices)) == 18
        np.testing.assert_array_equal(result.labels, blobs()[1][result.indices])
        mean, uncertainty = result.predict(blobs()[0])
        assert mean.shape == (120, 2)
        assert uncertainty.shape == (120,)
        np.testing.assert_allclose(mean.sum(axis=1), 1)


def test_the_same_seed_gives_the_same_selections_on_every_engine_and_another_does_not(engine):
    def selections(engine, seed):
        results = classifier(engine, seed=seed).run(["x", "y"], TWO, num_predictions=2, max_iter=3)
        return {name: [i["selection"] for i in result.iterations] for name, result in results.items()}

    from rose import ThreadEngine

    first = selections(engine, 0)
    assert first == selections(ThreadEngine(3), 0) == selections(ThreadEngine(1), 0)
    assert first != selections(ThreadEngine(3), 1)


def test_each_distinct_sample_is_simulated_once_for_all_workflows(either_engine, tmp_path):
    log = str(tmp_path / "log")
    learner = classifier(either_engine)
    y = blobs()[1]

    @learner.simulation_task(as_executable=False)
    def simulate(x, index):
        import time

        time.sleep(0.02)  # long enough for the other workflows to ask while it is in flight
        with open(log, "a") as file:
            file.write(f"{index}\n")
        return int(y[index])

    results = learner.run(["x", "y", "z"], TWO, max_iter=4)
    ran = Counter((tmp_path / "log").read_text().split())
    assert set(ran.values()) == {1}
    assert {int(i) for i in ran} == {int(i) for result in results.values() for i in result.indices}


def test_equal_candidates_share_one_simulation_unless_it_asks_for_more(engine, tmp_path):
    X = np.repeat(np.linspace(0, 1, 10), 2)[:, None]

    def run(asks_for_index):
        log = tmp_path / f"log{asks_for_index}"
        path = str(log)
        learner = SeqUQLearner(engine, pool=Pool(X, initial=list(range(20))))
        body = "def simulate(x{}):\n    with open({!r}, 'a') as file: file.write('x')\n    return float(x[0])"
        space: dict = {}
        exec(body.format(", index" if asks_for_index else "", path), space)
        learner.simulation_task(as_executable=False)(space["simulate"])
        learner.models(a=Ridge(), b=Ridge(alpha=2.0))
        learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=1)
        learner.run(max_iter=1)
        return len(log.read_text())

    assert run(False) == 10
    assert run(True) == 20


def test_workflows_that_simulate_differently_share_nothing(engine, tmp_path):
    log = str(tmp_path / "log")
    learner = classifier(engine)

    @learner.simulation_task(as_executable=False)
    def simulate(index, fidelity):
        with open(log, "a") as file:
            file.write(f"{index} {fidelity}\n")
        return index % 2

    configs = {n: UQLearnerConfig(simulation=TaskConfig(kwargs={"fidelity": n})) for n in ("low", "high")}
    learner.run(["low", "high"], TWO, max_iter=1, learner_configs=configs)
    assert len((tmp_path / "log").read_text().splitlines()) == 12


def test_simulations_in_batches(either_engine):
    learner = classifier(either_engine, initial=10)
    y = blobs()[1]

    @learner.simulation_task(as_executable=False, batch=4)
    def simulate(X, index):
        assert len(X) == len(index) <= 4
        return y[index]

    result = learner.run(["w"], TWO, max_iter=2)["w"]
    np.testing.assert_array_equal(result.labels, y[result.indices])


def test_the_criterion_is_judged_before_anything_is_chosen(either_engine):
    learner = classifier(either_engine)

    @learner.as_stop_criterion("labels seen", threshold=10, operator=">=", as_executable=False)
    def seen(models, y_train):
        assert all(model.labels == len(y_train) for model in models)
        return len(y_train)

    result = learner.run(["w"], TWO)["w"]
    assert result.stop_reason == StopReason.CRITERION_MET
    assert [i["labels"] for i in result.iterations] == [6, 10]
    assert result.iterations[-1]["selection"] == []
    assert result.iterations[-1]["uncertainty"] is None
    assert {model.labels for model in result.models.values()} == {10}


def test_a_criterion_of_each_model_stops_when_all_meet_it(engine):
    learner = classifier(engine)

    @learner.as_stop_criterion("score", threshold=1, operator=">=", as_executable=False)
    def score(model, model_name, iteration):
        return iteration if model_name == "a" else 5

    result = learner.run(["w"], TWO)["w"]
    assert [i["criterion_values"] for i in result.iterations] == [{"a": 0.0, "b": 5.0}, {"a": 1.0, "b": 5.0}]
    assert [i["metric"] for i in result.iterations] == [2.5, 3.0]


@pytest.mark.parametrize(
    ("ends", "reason", "labels"),
    [
        ({"budget": 13}, StopReason.BUDGET, 13),
        ({"budget": 6}, StopReason.BUDGET, 6),
        ({"max_iter": 2}, StopReason.MAX_ITER, 10),
        ({"max_time": 1e-9}, StopReason.MAX_TIME, 6),
        ({"max_iter": 99}, StopReason.POOL_EXHAUSTED, 120),
    ],
)
def test_ends(engine, ends, reason, labels):
    result = classifier(engine).run(["w"], TWO, **ends)["w"]
    assert result.stop_reason == reason
    assert len(result.indices) == labels
    assert {model.labels for model in result.models.values()} == {labels}, "the last ensemble has seen every label"


def test_the_uncertainty_threshold_knows_which_way_a_metric_points(engine):
    for metric, certain in ((PREDICTIVE_ENTROPY, 10.0), (MARGIN, -1.0)):
        learner = classifier(engine)
        learner.uncertainty_quantification(metric, query_size=4, threshold=certain)
        result = teach(learner, ["w"], TWO, max_iter=3)["w"]
        assert result.stop_reason == StopReason.CERTAIN_ENOUGH
        assert len(result.iterations) == 1
        learner.uncertainty_quantification(metric, query_size=4, threshold=-10.0 * certain)
        assert teach(learner, ["w"], TWO, max_iter=2)["w"].stop_reason == StopReason.MAX_ITER


def test_configuration_by_workflow(engine):
    learner = classifier(engine)
    results = learner.run(
        model_names=TWO,
        max_iter=2,
        workflows={
            "few": UQLearnerConfig(query_size=1, acquisition="top_k"),
            "many": UQLearnerConfig(query_size=7, uq_metric_name=MARGIN, threshold=2.0),
        },
    )
    assert [len(r.iterations[0]["selection"]) for r in results.values()] == [1, 7]


def test_stochastic_passes_get_their_index_and_seed(engine, tmp_path):
    log = str(tmp_path / "log")
    learner = classifier(engine, holdout=False)

    @learner.prediction_task(as_executable=False)
    def predict(model, X, pass_index, seed, model_name):
        with open(log, "a") as file:
            file.write(f"{model_name} {pass_index} {seed}\n")
        return model.predict_proba(X)

    learner.run(["w"], ["a"], num_predictions=3, max_iter=1)
    wrote = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted((name, index) for name, index, _ in wrote) == [("a", "0"), ("a", "1"), ("a", "2")]
    assert len({seed for *_, seed in wrote}) == 3


def test_large_pools_are_predicted_in_blocks_with_the_same_result(engine, either_engine):
    learner = classifier(either_engine, block=16)

    @learner.prediction_task(as_executable=False)
    def predict(model, X):
        assert len(X) <= 16
        return model.predict_proba(X)

    whole = classifier(engine, block=1000).run(["w"], TWO, max_iter=3)["w"]
    blocks = learner.run(["w"], TWO, max_iter=3)["w"]
    assert [i["selection"] for i in blocks.iterations] == [i["selection"] for i in whole.iterations]


def test_members_may_warm_start_from_their_predecessors(either_engine):
    learner = classifier(either_engine)

    @learner.training_task(as_executable=False)
    def train(X, y, seed, previous_model, iteration):
        from tests.programs import Centroids

        assert (previous_model is None) == (iteration == 0)
        model = Centroids(X, y, seed)
        model.generation = 0 if previous_model is None else previous_model.generation + 1
        return model

    result = learner.run(["w"], TWO, max_iter=3)["w"]
    assert {model.generation for model in result.models.values()} == {2}


def test_own_uncertainty_and_own_choice(engine):
    learner = classifier(engine)

    @learner.uncertainty_quantification("first come", query_size=3, as_executable=False)
    def first_come(mc_preds, X):
        assert mc_preds.shape == (2, len(X), 2)
        return -np.arange(len(X), dtype=float)

    result = teach(learner, ["w"], TWO, max_iter=2, workflows=None)["w"]
    first = [i for i in range(120) if i not in classifier().pool.initial]
    learner.acquisition = "top_k"
    assert teach(learner, ["w"], TWO, max_iter=2)["w"].iterations[0]["selection"] == first[:3]
    assert result.iterations[0]["uncertainty"] == -1.0

    @learner.active_learn_task(as_executable=False)
    def last_two(scores, candidates, X, labelled, y, query_size):
        assert len(scores) == len(candidates) == len(X)
        assert len(labelled) == len(y)
        return np.argsort(scores)[:2]

    assert teach(learner, ["w"], TWO, max_iter=2)["w"].iterations[0]["selection"] == first[-1:-3:-1]


def test_registered_metrics_are_metrics(engine, request):
    from rose.scoring import METRICS
    from rose.uq import register_uq

    request.addfinalizer(lambda: METRICS.remove("least sure of class one"))

    @register_uq("least sure of class one")
    def one(scorer, mc_preds):
        return 1 - np.asarray(mc_preds)[:, :, 1].mean(axis=0)

    learner = classifier(engine)
    learner.uncertainty_quantification("least sure of class one", query_size=2)
    assert learner.run(["w"], TWO, max_iter=2)["w"].iterations[0]["uncertainty"] > 0.5


@pytest.mark.parametrize("method", ["kcenter", "lcmd", "random", "power", "badge"])
def test_acquisition_that_looks_at_more_than_scores(either_engine, method):
    learner = classifier(either_engine, features=blobs()[0])
    learner.acquisition = method
    result = learner.run(["w"], TWO, max_iter=3)["w"]
    assert len(set(result.indices)) == 14


@pytest.mark.parametrize("metric", [MODEL_ACCURACY, F1_SCORE])
def test_scikit_learn_classifiers(engine, metric):
    X, y = blobs()
    learner = ParallelUQLearner(engine, pool=Pool(X, initial=8, seed=3, holdout=blobs(60)))

    @learner.simulation_task(as_executable=False)
    def simulate(index):
        return ["left", "right"][y[index]]

    X_test, y_test = blobs(60)
    learner.pool = Pool(X, initial=8, seed=3, holdout=(X_test, np.array(["left", "right"])[y_test]))
    learner.models(forest=RandomForestClassifier(10), line=make_pipeline(StandardScaler(), LogisticRegression()))
    learner.uncertainty_quantification(MUTUAL_INFORMATION, query_size=5)
    learner.as_stop_criterion(metric, threshold=2.0)
    result = learner.run(["w"], max_iter=3)["w"]
    assert result.iterations[-1]["metric"] > 0.7
    assert set(result.labels) == {"left", "right"}
    assert result.models["forest"].random_state is not None


def test_regression_with_functions_and_with_estimators(engine):
    result = regressor(engine).run(TWO, max_iter=3)
    mean, uncertainty = result.predict(np.array([[0.5]]))
    assert mean[0] == pytest.approx(1.25, abs=0.05)
    assert uncertainty[0] >= 0
    learner = regressor(engine, holdout=(np.array([[0.0], [0.5]]), np.array([1.0, 1.25])))
    learner.models(a=GaussianProcessRegressor(alpha=1e-6, optimizer=None), b=GaussianProcessRegressor(alpha=1e-4))
    learner.as_stop_criterion(ROOT_MEAN_SQUARED_ERROR_RMSE, threshold=0.01)
    assert learner.run(max_iter=5).stop_reason == StopReason.CRITERION_MET


def test_candidates_as_a_file_and_as_objects(engine, tmp_path):
    X, y = blobs()
    np.save(tmp_path / "pool.npy", X)
    in_memory = classifier(engine).run(["w"], TWO, max_iter=3)["w"]
    learner = classifier(engine)
    learner.pool = Pool(tmp_path / "pool.npy", initial=6, seed=0)
    mapped = teach(learner, ["w"], TWO, max_iter=3)["w"]
    assert [i["selection"] for i in mapped.iterations] == [i["selection"] for i in in_memory.iterations]

    names = [f"{a:.6f},{b:.6f}" for a, b in X]
    learner.pool = Pool(names, initial=6, seed=0)

    @learner.simulation_task(as_executable=False)
    def simulate(x):
        return int(y[names.index(x)])

    @learner.training_task(as_executable=False)
    def train(X, y, seed):
        from tests.programs import Centroids

        return Centroids(np.array([[float(v) for v in x.split(",")] for x in X]), y, seed)

    @learner.prediction_task(as_executable=False)
    def predict(model, X):
        return model.predict_proba(np.array([[float(v) for v in x.split(",")] for x in X]))

    assert len(teach(learner, ["w"], TWO, max_iter=3)["w"].indices) == 14


def test_registered_state_of_pool_tasks(either_engine):
    learner = classifier(either_engine)

    @learner.as_stop_criterion("anything", threshold=2, operator=">", as_executable=False)
    def anything(models):
        learner.register_state("count", len(models))
        return 1.0

    async def main():
        states = [state async for state in learner.start(["w"], TWO, max_iter=2)]
        await learner.shutdown()
        return states

    assert [state.count for state in asyncio.run(main())] == [2, 2]


def test_a_failed_simulation_is_paid_once_and_named(either_engine, tmp_path):
    log = str(tmp_path / "log")
    learner = classifier(either_engine)

    @learner.simulation_task(as_executable=False)
    def simulate(index):
        with open(log, "a") as file:
            file.write("x")
        raise OSError("no licence")

    with pytest.raises(RunFailedError, match="no licence") as caught:
        learner.run(["x", "y"], TWO, max_iter=2)
    assert len((tmp_path / "log").read_text()) <= 6
    assert "/0/simulation/" in str(caught.value)
    assert isinstance(caught.value.__cause__.__cause__, OSError)


def test_a_simulation_that_returns_nothing_is_an_error(engine):
    learner = classifier(engine)

    @learner.simulation_task(as_executable=False)
    def simulate(x):
        pass

    with pytest.raises(RunFailedError, match="returned None"):
        learner.run(["w"], TWO, max_iter=2)


def test_labels_may_be_arrays(engine, tmp_path):
    learner = regressor(engine)

    @learner.simulation_task(as_executable=False)
    def simulate(x):
        return np.array([x[0] ** 2 + 1, 7.0])

    @learner.training_task(as_executable=False)
    def train(X, y):
        assert y.shape == (len(X), 2)
        return np.polyfit(X[:, 0], y[:, 0], deg=2)

    assert learner.run(TWO, max_iter=2).labels.shape == (8, 2)


def test_the_longest_training_of_the_last_round_starts_first(tmp_path):
    log = str(tmp_path / "log")
    learner = classifier(1, holdout=False)

    @learner.training_task(as_executable=False)
    def train(X, y, seed, model_name):
        import time

        from tests.programs import Centroids

        with open(log, "a") as file:
            file.write(f"{model_name}\n")
        time.sleep({"short": 0.0, "long": 0.4, "middle": 0.2}[model_name])
        return Centroids(X, y, seed)

    result = learner.run(["w"], ["short", "long", "middle"], max_iter=3)["w"]
    started = (tmp_path / "log").read_text().split()
    assert started[:3] == ["short", "long", "middle"], "nothing is known yet"
    assert started[6:] == ["long", "middle", "short"], "the second round was not slowed down by imports"
    assert list(result.models) == ["short", "long", "middle"]
