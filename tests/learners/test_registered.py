"""What ROSE's programs touch of a learner: registered functions as dicts, hooks, state, names, and what teach gives."""

from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

import pytest

import rose
from rose import IterationState, Learner, LearnerConfig, ParallelUQLearner, SeqUQLearner, TaskConfig
from rose.engine import Engine
from rose.errors import ConfigurationError, UnknownStateError
from rose.metrics import LearningMetrics
from rose.uq.uq_learner import UQLearner
from tests.programs import classifier, dataflow, lines, teach


def states(learner: Any, *args: Any, **options: Any) -> list[IterationState]:
    async def main() -> list[IterationState]:
        return [state async for state in learner.start(*args, **options)]

    return asyncio.run(main())


# --- dicts -------------------------------------------------------------------------------------------------------


def test_registered_functions_are_dicts_in_roses_form(tmp_path: Path) -> None:
    learner = dataflow(2, tmp_path / "log", SeqUQLearner)

    @learner.simulation_task(as_executable=False, cpus=2, log_params={"a": 1})
    def simulate() -> None: ...

    assert learner.simulation_function == {
        "func": simulate, "args": (), "kwargs": {}, "decor_kwargs": {"cpus": 2}, "log_params": {"a": 1},
        "as_executable": False,
    }  # fmt: skip
    told = {name: learner.criterion_function[name] for name in ("metric_name", "threshold", "operator")}
    assert told == {"metric_name": "model_accuracy", "threshold": 0.95, "operator": ""}
    assert learner.uncertainty_function["query_size"] == 2
    learner.register_decorator("weather_in_dicts")
    assert (learner.weather_in_dicts_function, SeqUQLearner(2).training_function) == ({}, {})


def test_what_is_changed_in_a_dict_counts(either_engine: Engine, tmp_path: Path) -> None:
    learner = dataflow(either_engine, log := tmp_path / "log", SeqUQLearner)
    learner.simulation_function["func"] = lambda: "echo replaced"
    learner.simulation_function["as_executable"] = True
    training = learner.training_function.copy()
    training["args"], training["kwargs"] = (7,), {"--epochs": 3}
    learner.training_function = training
    learner.criterion_function["threshold"], learner.criterion_function["operator"] = 0.6, "<"
    learner.uncertainty_function["threshold"] = None
    result = teach(learner, ["a"], max_iter=2)
    assert result.stop_reason == "criterion_met"
    assert lines(log, "training") == ["training a 7 replaced"]
    del learner.prediction_function["func"]
    with pytest.raises(ConfigurationError, match=r"the prediction task is described by .*, which has no 'func'"):
        learner.plan(["a"], max_iter=1)


def test_arguments_of_a_dict_stand_where_the_configuration_says_none(engine: Engine, tmp_path: Path) -> None:
    learner = dataflow(engine, tmp_path / "log", SeqUQLearner)
    learner.simulation_task(as_executable=False)(lambda **kwargs: kwargs)
    learner.simulation_function["kwargs"] = {"rate": 1}
    for said, expected in (
        (None, [1, 1]),
        (TaskConfig(cpus=1), [1, 1]),
        (TaskConfig(kwargs={"rate": 2}), [2, 2]),
        ({1: TaskConfig(kwargs={"rate": 3})}, [1, 3]),
        (learner.create_adaptive_schedule("simulation", lambda i: {"kwargs": {"rate": 5 + i}}), [5, 6]),
    ):
        found = states(learner, ["a"], max_iter=2, learning_config=LearnerConfig(simulation=said))
        assert [state.rate for state in found] == expected


# --- a hook that sees every task ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [True, False])
def test_a_hook_sees_every_task_and_may_change_it(either_engine: Engine, tmp_path: Path, command: bool) -> None:
    learner = dataflow(either_engine, log := tmp_path / "log", SeqUQLearner)
    learner._run_dir = tmp_path / "run"
    if command:
        learner.simulation_task(lambda **kwargs: f"echo rate {kwargs.get('rate')}")
    else:
        learner.simulation_task(as_executable=False)(lambda **kwargs: f"rate {kwargs.get('rate')}\n")
    seen: list[Any] = []
    submit = learner._register_task

    def hook(task: dict[str, Any], deps: Any = None) -> Any:
        seen.append((task["as_executable"], deps, task["kwargs"]))
        assert set(task) >= {"func", "args", "kwargs", "decor_kwargs", "as_executable"}
        task["decor_kwargs"]["retries"] = 1
        if not deps:
            task["kwargs"]["rate"] = 4
        future = submit(task, deps=deps)
        assert not future.done()
        return future

    learner._register_task = hook
    result = teach(learner, ["a"], max_iter=1)
    assert [deps for _, deps, _ in seen] == [
        (), ("rate 4\n",), ("trained a",), ([[["a", 0]]],), (0.7,), ([1, 2],),
    ]  # fmt: skip
    assert [as_executable for as_executable, _, _ in seen] == [command] + [False] * 5
    assert lines(log, "training") == ["training a rate 4"]
    seen.clear()
    assert teach(learner, ["a"], max_iter=1) == result
    assert seen == []


def test_a_hook_may_give_what_it_likes_and_ask_for_other_tasks(engine: Engine, tmp_path: Path) -> None:
    class Hooked(SeqUQLearner):
        def _register_task(self, task_obj: Any, deps: Any = None) -> Any:
            async def own() -> Any:
                first = await parent(self.utility_function)
                return 0.99 if task_obj["func"].__name__ == "accuracy" else (await future, first)[0]

            parent = super()._register_task
            future = parent(task_obj, deps)
            return asyncio.ensure_future(own())

    learner = dataflow(engine, tmp_path / "log", Hooked)
    learner.utility_function = {"func": lambda: 1, "as_executable": False}

    async def main() -> Any:
        try:
            return await learner.teach(["a"], max_iter=2)
        finally:
            await learner.shutdown()

    assert asyncio.run(main()).stop_reason == "criterion_met"


def test_a_hook_sees_a_pools_tasks(engine: Engine) -> None:
    learner, kinds = classifier(engine, kind=SeqUQLearner), []
    submit = learner._register_task

    def hook(task: dict[str, Any], deps: Any = None) -> Any:
        kinds.append(learner._kind_of(task))
        return submit(task, deps)

    plain = teach(classifier(engine, kind=SeqUQLearner), ["a"], max_iter=2)
    learner._register_task = hook
    assert teach(learner, ["a"], max_iter=2) == plain
    assert {kind: kinds.count(kind) for kind in kinds}["simulation"] == 6 + 4
    assert {"training", "prediction"} <= set(kinds)


def test_a_task_of_its_own_is_submitted(either_engine: Engine, tmp_path: Path) -> None:
    async def main() -> Any:
        learner = dataflow(either_engine, tmp_path / "log", SeqUQLearner)
        task = learner.prediction_function.copy()
        task["kwargs"] = {"--model_name": "a", "--iteration": 3}
        future = learner._register_task(task)
        assert not future.done()
        return await future, await learner.shutdown("whatever", wait=True)

    assert asyncio.run(main())[0] == ["a", 3]


# --- what a subclass overrides --------------------------------------------------------------------------------------


class Own(SeqUQLearner):
    """Every hook that ROSE documents, noted."""

    def __init__(self, engine: Any) -> None:
        super().__init__(engine)
        self.called: list[Any] = []

    def register_state(self, key: str, value: Any) -> None:
        self.called.append(("register_state", key))
        super().register_state(f"my_{key}", value)

    def compare_metric(self, metric_name: str, metric_value: float, threshold: float, operator: str = "") -> bool:
        self.called.append(("compare_metric", metric_name, metric_value, threshold, operator))
        return super().compare_metric(metric_name, metric_value, threshold, operator)

    def _check_uncertainty(self, uncertainty_task_result: Any) -> tuple[bool, float]:
        self.called.append(("_check_uncertainty", uncertainty_task_result))
        return super()._check_uncertainty(uncertainty_task_result)

    def _check_stop_criterion(self, stop_task_result: Any) -> tuple[bool, float]:
        self.called.append(("_check_stop_criterion", stop_task_result))
        return stop_task_result > 0.4, super()._check_stop_criterion(stop_task_result)[1] + 1

    def build_iteration_state(self, iteration: int, *args: Any, **kwargs: Any) -> IterationState:
        made = super().build_iteration_state(iteration, *args, **kwargs)
        made.state["mine"] = iteration
        return made


def test_overridden_hooks_are_called(either_engine: Engine, tmp_path: Path) -> None:
    learner = dataflow(either_engine, tmp_path / "log", Own)

    @learner.simulation_task(as_executable=False)
    def simulate() -> dict[str, int]:
        return {"seen": 3}

    (state,) = states(learner, ["a"], max_iter=2)
    assert learner.called == [
        ("register_state", "seen"),
        ("_check_uncertainty", 0.7),
        ("compare_metric", "predictive_entropy", 0.7, 0.1, "<"),
        ("_check_stop_criterion", 0.5),
        ("compare_metric", "model_accuracy", 0.5, 0.95, ">="),
        *(("register_state", key) for key in ("uq_value", "criterion_values", "selection")),
    ]
    assert (state.my_seen, state.mine, state.metric_value, state.should_stop) == (3, 0, 1.5, True)


def test_a_pool_judges_by_itself_and_says_so(engine: Engine) -> None:
    with pytest.raises(ConfigurationError, match=r"methods of its own to judge by \(compare, criterion, uncertainty\)"):
        classifier(
            engine, kind=type("Own", (SeqUQLearner,), dict(vars(Own)) | {"__init__": SeqUQLearner.__init__})
        ).plan(["a"])


def test_workflows_may_be_made_one_by_one(engine: Engine, tmp_path: Path) -> None:
    class Each(ParallelUQLearner):
        def _create_sequential_learner(self, learner_name: str) -> SeqUQLearner:
            made = super()._create_sequential_learner(learner_name)
            made.criterion_function["threshold"] = 0.4 if learner_name == "x" else 0.9
            return made

    results = teach(dataflow(engine, tmp_path / "log", Each), ["x", "y"], ["a"], max_iter=1)
    assert [result.stop_reason for result in results.values()] == ["criterion_met", "max_iter_reached"]


# --- state -------------------------------------------------------------------------------------------------------


def test_state_is_read_and_forgotten(engine: Engine, tmp_path: Path) -> None:
    learner, told = dataflow(engine, tmp_path / "log", SeqUQLearner), []

    def callback(key: str, value: Any) -> None:
        told.append(key)

    learner.on_state_update(callback)
    learner.register_state("a", 1)
    assert learner.get_all_state() == {"a": 1}
    learner.remove_state_callback(callback)
    learner.remove_state_callback(callback)
    (state,) = states(learner, ["m"], max_iter=1)
    assert told == ["a"]
    assert learner.get_all_state() == state.state
    assert (learner.get_state("uq_value"), learner.get_state("b", 2)) == (0.7, 2)
    made = learner.build_iteration_state(3, metric_value=0.9, should_stop=True)
    assert (made.iteration, made.metric_value, made.metric_name, made.uq_value) == (3, 0.9, "model_accuracy", 0.7)
    assert made.metric_history == [0.5]
    learner.clear_state()
    assert learner.get_all_state() == {}
    with pytest.raises(UnknownStateError):
        _ = learner.build_iteration_state(3).uq_value


def test_metrics_are_compared_by_their_own_operator_or_the_given_one() -> None:
    learner = SeqUQLearner(2)
    assert learner.compare_metric("model_accuracy", 0.95, 0.95)
    assert not learner.compare_metric("mean_squared_error_mse", 2, 1)
    assert learner.compare_metric("mean_squared_error_mse", 2, 1, ">")
    assert learner.compare_metric("own", 1, 1, "=")
    with pytest.raises(ConfigurationError, match="'own' is no known metric"):
        learner.compare_metric("own", 1, 1)


# --- names -------------------------------------------------------------------------------------------------------


def test_workflows_may_be_numbered(either_engine: Engine, tmp_path: Path) -> None:
    learner = dataflow(either_engine, log := tmp_path / "log")
    configs = {1: LearnerConfig(simulation=TaskConfig(kwargs={"--learner_name": "one"}))}
    found = states(learner, learner_names=[0, 1], model_names=["a"], max_iter=1, learner_configs=configs)
    assert sorted(state.learner_id for state in found) == [0, 1]
    assert sorted(lines(log, "simulation")) == ["simulation None", "simulation one"]
    assert learner.metric_values_per_iteration == {"learner-0": {0: 0.5}, "learner-1": {0: 0.5}}
    assert learner.uncertainty_values_per_iteration["learner-1"] == {0: 0.7}
    assert list(learner.learner_results.keys()) == ["0", "1"]
    assert learner.learner_results[1]["workflow"] == "1"
    learner.set_next_config(LearnerConfig(), 1)
    with pytest.raises(ConfigurationError, match="unknown learner '7'"):
        learner.set_next_config(LearnerConfig(), 7)
    with pytest.raises(ConfigurationError, match="more than once"):
        learner.plan([0, "0"], ["a"], max_iter=1)


def test_a_parallel_learner_is_a_sequential_one() -> None:
    learner = ParallelUQLearner(2)
    assert isinstance(learner, SeqUQLearner)
    assert isinstance(learner, UQLearner)
    assert isinstance(learner, rose.Learner)
    assert not isinstance(learner, type("Own", (rose.Learner,), {}))
    assert learner.asyncflow is learner
    assert ParallelUQLearner(asyncflow=3)._given == 3
    with pytest.raises(ConfigurationError, match="are one thing"):
        SeqUQLearner(2, asyncflow=3)
    assert (learner.register_and_submit, learner.iteration) == (False, 0)


def test_metrics_are_names_of_rose_too() -> None:
    names: dict[str, Any] = {}
    exec("from rose import MODEL_ACCURACY, Learner, PREDICTIVE_ENTROPY; from rose.metrics import *", names)
    assert (names["MODEL_ACCURACY"], names["MEAN_SQUARED_ERROR_MSE"]) == ("model_accuracy", "mean_squared_error_mse")
    assert LearningMetrics.MODEL_ACCURACY.value == rose.MODEL_ACCURACY == "model_accuracy"
    assert LearningMetrics("f1_score") is LearningMetrics.F1_SCORE
    assert (LearningMetrics.get_operator("model_accuracy"), LearningMetrics.get_operator("own")) == (">=", None)
    assert LearningMetrics.is_supported_metric("predictive_entropy")
    assert LearningMetrics.OPERATORS.value["f1_score"] == ">"
    with pytest.raises(AttributeError, match="no attribute 'NO_METRIC'"):
        _ = rose.NO_METRIC  # type: ignore[attr-defined]


# --- what teach gives ----------------------------------------------------------------------------------------------


def test_results_are_iterated_as_roses_list_and_dumped_as_json(engine: Engine, tmp_path: Path) -> None:
    results = teach(dataflow(engine, tmp_path / "log"), ["x", "y"], ["a", "b"], max_iter=2)
    assert [(s.learner_id, s.iteration, s.metric_value, s.uq_value) for s in results] == [
        ("x", 1, 0.5, 0.7),
        ("y", 1, 0.5, 0.7),
    ]
    assert results[0].learner_id == "x"
    assert results[-1].learner_id == "y"
    assert len(results) == 2
    assert list(results.keys()) == list(dict(results)) == list({**results}) == ["x", "y"]
    assert "x" in results
    for dumped in (json.dumps(results), json.dumps(results, indent=2), json.dumps(copy.deepcopy(results))):
        assert json.loads(dumped)["y"]["stop_reason"] == "max_iter_reached"
    with pytest.raises(KeyError, match="no workflow 'z'"):
        _ = results["z"]


def test_one_workflows_result_is_iterated_as_roses_list(engine: Engine, tmp_path: Path) -> None:
    result = teach(dataflow(engine, tmp_path / "log", SeqUQLearner), ["a", "b"], max_iter=2)
    one = {"uq": 0.7, "criterion": [0.5, 0.5]}
    assert [*result] == [{"iterations": 0, **one}, {"iterations": 1, **one}]
    assert result[1]["iterations"] == 1
    assert json.loads(json.dumps(result))["iterations"][0]["metric"] == 0.5
    assert set(result.keys()) == {"workflow", "stop_reason", "error", "iterations"}
    with pytest.raises(KeyError, match="no entry 'uq'"):
        _ = result["uq"]


def test_what_is_taken_out_of_the_stages_stays_out(tmp_path: Path) -> None:
    learner = dataflow(2, tmp_path / "log", SeqUQLearner)
    del learner.stages["training"]
    learner.rule = learner.criterion = None
    with pytest.raises(ConfigurationError, match="no training stage is registered"):
        learner.plan(["a"], max_iter=1)
    assert (learner.registered().rule, learner.registered().criterion) == (None, None)
    learner.training_function["kwargs"] = {"a": 1}  # arguments alone register nothing
    assert "training" not in learner.registered().stages
    learner.training_function = {**learner.training_function, "decor_kwargs": {"cpus": 2}}
    assert learner.registered().stages["training"].resources.cpus == 2


@pytest.mark.parametrize("made", [Learner, SeqUQLearner])
def test_arguments_of_wrong_types_are_named(made: Any) -> None:
    learner = made(2)
    for ask, what in (
        (lambda: made(2, run_dir=3), r"run_dir=3 must be a path"),
        (lambda: learner.training_task(as_executable="False")(len), r"as_executable='False' of training_task must be"),
        (lambda: learner.as_stop_criterion(3, 1, "<")(len), r"metric_name=3 of as_stop_criterion must be a text"),
        (lambda: learner.set_next_config("fast"), r"set_next_config must be a \w+, got str"),
        (lambda: learner._register_task(3), r"is described by 3, which has no 'func'"),
        (lambda: learner._register_task({}), r"is described by {}, which has no 'func'"),
    ):
        with pytest.raises(ConfigurationError, match=what):
            ask()
    if made is Learner:
        with pytest.raises(ConfigurationError, match="Learner has no loop to start"):
            learner.start()
