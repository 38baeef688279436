"""ROSE's programs: stages in order, results positional, names injected, one simulation a round."""

import asyncio
import json
import sys

import pytest

from rose import ParallelUQLearner, SeqUQLearner, StopReason
from rose.errors import CommandFailedError, RunFailedError, UnknownStateError
from rose.learner import TaskConfig
from rose.metrics import MODEL_ACCURACY, PREDICTIVE_ENTROPY
from rose.uq import UQLearnerConfig
from tests.programs import dataflow, lines, teach


def test_a_rose_program_of_commands_runs_as_written(engine, tmp_path):
    from rose.uq import UQ_REGISTRY, UQScorer, register_uq  # noqa: F401
    from rose.uq.uq_active_learner import ParallelUQLearner

    script = tmp_path / "stage.py"
    script.write_text("import sys; print('working'); print(*sys.argv[1:]); print(0.8)\n")
    code_path = f"{sys.executable} {tmp_path}"

    async def main():
        learner = ParallelUQLearner(engine)

        @learner.simulation_task()
        async def simulation(*args, **kwargs):
            return f"{code_path}/stage.py --learner_name {kwargs['--learner_name']}"

        @learner.training_task
        async def training(*args, **kwargs):
            return f"{code_path}/stage.py --model_name {kwargs['--model_name']} --epochs {kwargs['--epochs']}"

        @learner.prediction_task()
        async def prediction(*args, **kwargs):
            return f"{code_path}/stage.py --model_name {kwargs['--model_name']} --iteration {kwargs['--iteration']}"

        @learner.active_learn_task()
        async def active_learn(*args, **kwargs):
            return f"{code_path}/stage.py"

        @learner.uncertainty_quantification(uq_metric_name=PREDICTIVE_ENTROPY, threshold=0.1, query_size=10)
        async def check_uq(*args, **kwargs):
            return f"{code_path}/stage.py"

        @learner.as_stop_criterion(metric_name=MODEL_ACCURACY, threshold=0.95)
        async def check_accuracy(*args, **kwargs):
            return f"{code_path}/stage.py --model_name {kwargs['--model_name']}"

        names = ["UQ_learner1", "UQ_learner2"]
        results = await learner.teach(
            learner_names=names,
            model_names=["a", "b"],
            learner_configs={
                name: UQLearnerConfig(
                    simulation=TaskConfig(kwargs={"--learner_name": name}),
                    training=TaskConfig(kwargs={"--epochs": 3}),
                )
                for name in names
            },
            max_iter=2,
            num_predictions=2,
        )
        await learner.shutdown()
        return results

    results = json.loads(json.dumps(asyncio.run(main()), indent=4))
    assert list(results) == ["UQ_learner1", "UQ_learner2"]
    for result in results.values():
        assert result["stop_reason"] == StopReason.MAX_ITER
        assert [i["metric"] for i in result["iterations"]] == [0.8, 0.8]
        assert [i["uncertainty"] for i in result["iterations"]] == [0.8, 0.8]
        assert [i["criterion_values"] for i in result["iterations"]] == [{"a": 0.8, "b": 0.8}] * 2
        assert all("working" in i["selection"] for i in result["iterations"])


def test_results_travel_positionally(either_engine, tmp_path):
    log = tmp_path / "log"
    learner = dataflow(either_engine, log)
    learner.run(["w"], ["a", "b"], num_predictions=2, max_iter=1)
    assert sorted(lines(log, "training")) == ["training a simulated", "training b simulated"]
    assert "prediction b 1 trained b" in lines(log, "prediction")
    assert lines(log, "uncertainty") == ["uncertainty [[['a', 0], ['a', 1]], [['b', 0], ['b', 1]]]"]
    assert lines(log, "active_learn") == ["active_learn 0.7"]
    assert sorted(lines(log, "criterion")) == ["criterion a [1, 2]", "criterion b [1, 2]"]


def test_one_simulation_a_round_and_workflow_and_none_after_the_last(either_engine, tmp_path):
    log = tmp_path / "log"
    dataflow(either_engine, log).run(["x", "y", "z"], ["a", "b", "c", "d"], max_iter=5)
    assert len(lines(log, "simulation")) == 3 * 5
    assert len(lines(log, "training")) == 3 * 5 * 4
    assert len(lines(log, "active_learn")) == 3 * 5


def test_every_stage_gets_its_own_configuration_and_none_is_changed(either_engine, tmp_path):
    learner = dataflow(either_engine, tmp_path / "log")
    log = str(tmp_path / "configured")

    @learner.as_stop_criterion(MODEL_ACCURACY, threshold=0.95, as_executable=False)
    def accuracy(*args, **kwargs):
        with open(log, "a") as file:
            file.write(repr(sorted(kwargs.items())) + "\n")
        return 0.0

    shared = TaskConfig(kwargs={"dir": "here"})
    config = UQLearnerConfig(simulation=shared, training=shared, prediction=shared, criterion=shared)
    before = config.model_dump()
    learner.run(["x", "y"], ["a"], max_iter=1, learner_configs={"x": config, "y": config})
    assert config.model_dump() == before
    assert (tmp_path / "configured").read_text().splitlines() == ["[('--model_name', 'a'), ('dir', 'here')]"] * 2


def test_schedules_are_by_iteration_and_lazy(engine, tmp_path):
    learner = dataflow(engine, tmp_path / "log", SeqUQLearner)
    seen = tmp_path / "seen"
    path = str(seen)

    @learner.simulation_task(as_executable=False)
    def simulation(*args, **kwargs):
        with open(path, "a") as file:
            file.write(f"{args} {kwargs['lr']}\n")

    asked = []

    def rate(iteration):
        asked.append(iteration)
        return {"args": (iteration,), "kwargs": {"lr": 0.5**iteration}}

    adaptive = learner.create_adaptive_schedule("simulation", rate)
    assert adaptive[1000].kwargs == {"lr": 0.5**1000}
    teach(learner, ["a"], max_iter=2, learning_config=UQLearnerConfig(simulation=adaptive))
    assert seen.read_text().splitlines() == ["(0,) 1.0", "(1,) 0.5"]
    assert set(asked) == {0, 1, 1000}
    seen.unlink()
    table = learner.create_iteration_schedule("simulation", {1: {"kwargs": {"lr": 2}}, -1: {"kwargs": {"lr": 3}}})
    teach(learner, ["a"], max_iter=3, learning_config=UQLearnerConfig(simulation=table))
    assert seen.read_text().splitlines() == ["() 3", "() 2", "() 3"]


def test_the_next_configuration_counts_from_the_next_round(either_engine, tmp_path):
    learner = dataflow(either_engine, tmp_path / "log", SeqUQLearner)

    @learner.active_learn_task(as_executable=False)
    def active_learn(*args, **kwargs):
        return {"lr": kwargs.get("lr")}

    async def main():
        seen = []
        async for state in learner.start(["a"], max_iter=4):
            seen.append(state.lr)
            if state.iteration == 1:
                learner.set_next_config(UQLearnerConfig(active_learn=TaskConfig(kwargs={"lr": 0.1})))
        await learner.shutdown()
        return seen

    assert asyncio.run(main()) == [None, None, 0.1, 0.1]


def test_a_model_that_meets_the_criterion_trains_no_more(either_engine, tmp_path):
    log = tmp_path / "log"
    learner = dataflow(either_engine, log, SeqUQLearner)

    @learner.as_stop_criterion(MODEL_ACCURACY, threshold=0.9, as_executable=False)
    def accuracy(*args, **kwargs):
        rounds = sum(line.startswith(f"training {kwargs['--model_name']}") for line in log.read_text().splitlines())
        return {"a": 0.95, "b": 0.5 + 0.2 * rounds}[kwargs["--model_name"]]

    result = learner.run(["a", "b"])
    assert result.stop_reason == StopReason.CRITERION_MET
    assert [line.split()[1] for line in lines(log, "training")].count("a") == 1
    assert [line.split()[1] for line in lines(log, "training")].count("b") == 2
    assert result.iterations[1]["criterion_values"] == {"b": pytest.approx(0.9)}


def test_the_uncertainty_threshold_stops_before_anything_is_chosen(engine, tmp_path):
    log = tmp_path / "log"
    learner = dataflow(engine, log, SeqUQLearner, criterion=None)

    @learner.uncertainty_quantification("my_own", query_size=2, threshold=1.0, as_executable=False)
    def uncertainty(*args, **kwargs):
        return 0.5

    result = learner.run(["a"], max_iter=5)
    assert result.stop_reason == StopReason.CERTAIN_ENOUGH
    assert len(result.iterations) == 1
    assert lines(log, "active_learn") == []


def test_skipping_the_pre_loop_begins_with_uncertainty(engine, tmp_path):
    log = tmp_path / "log"
    dataflow(engine, log, SeqUQLearner).run(["a"], max_iter=2, skip_pre_loop=True)
    assert log.read_text().split()[0] == "uncertainty"
    assert len(lines(log, "simulation")) == 1


def test_states_arrive_with_their_learner_and_what_tasks_reported(either_engine, tmp_path):
    learner = dataflow(either_engine, tmp_path / "log")

    @learner.active_learn_task(as_executable=False)
    def active_learn(*args, **kwargs):
        learner.register_state("registered", 3)
        return {"returned": [1, 2]}

    async def main():
        states = [state async for state in learner.start(["x", "y"], ["a"], max_iter=2)]
        await learner.shutdown()
        return states

    states = asyncio.run(main())
    assert {(s.learner_id, s.iteration) for s in states} == {(n, i) for n in ("x", "y") for i in (0, 1)}
    for state in states:
        assert (state.registered, state.returned, state.uq_value) == (3, [1, 2], 0.7)
        assert (state.metric_name, state.metric_value, state.metric_threshold) == (MODEL_ACCURACY, 0.5, 0.95)
        assert state.get("nothing", 7) == 7
        json.dumps(state.to_dict())
        with pytest.raises(UnknownStateError, match="did you mean 'uq_value'"):
            _ = state.uq_valu
    assert learner.get_metric_results() == {"learner-x": {0: 0.5, 1: 0.5}, "learner-y": {0: 0.5, 1: 0.5}}
    assert learner.get_uncertainty_results()["learner-y"] == {0: 0.7, 1: 0.7}


def test_a_failing_command_names_code_stderr_and_command_and_spares_the_others(engine, tmp_path):
    learner = dataflow(engine, tmp_path / "log")

    @learner.training_task()
    async def training(*args, **kwargs):
        return "echo no disk >&2; exit 7" if kwargs["--bad"] else "echo fine"

    configs = {name: UQLearnerConfig(training=TaskConfig(kwargs={"--bad": name == "bad"})) for name in ("bad", "good")}
    with pytest.raises(RunFailedError, match="1 of 2 workflows failed") as caught:
        learner.run(["bad", "good"], ["m"], max_iter=2, learner_configs=configs)
    error = caught.value.errors["bad"]
    assert isinstance(error, CommandFailedError)
    assert isinstance(caught.value.__cause__, CommandFailedError)
    assert (error.key, error.exit_code) == ("bad/0/training/m", 7)
    assert "no disk" in str(error)
    assert "exit 7" in str(error)
    results = caught.value.results
    assert results["good"].stop_reason == StopReason.MAX_ITER
    assert results["bad"].stop_reason == StopReason.ERROR
    assert "exit code 7" in results["bad"]["error"]


@pytest.mark.parametrize("value", [float("nan"), "not a number", None])
def test_a_criterion_that_is_no_number_ends_that_workflow_alone(either_engine, tmp_path, value):
    learner = dataflow(either_engine, tmp_path / "log")

    @learner.as_stop_criterion(MODEL_ACCURACY, threshold=0.95, as_executable=False)
    def accuracy(*args, **kwargs):
        return value if kwargs["bad"] else 0.5

    configs = {n: UQLearnerConfig(criterion=TaskConfig(kwargs={"bad": n == "bad"})) for n in ("bad", "good")}
    with pytest.raises(RunFailedError, match="bad/0/criterion/a") as caught:
        learner.run(["bad", "good"], ["a"], max_iter=2, learner_configs=configs)
    assert caught.value.results["bad"].stop_reason == StopReason.NOT_A_NUMBER
    assert len(caught.value.results["good"].iterations) == 2


def test_utility_tasks_run_on_the_engine(either_engine):
    engine = either_engine

    async def main():
        learner = ParallelUQLearner(engine)

        @learner.utility_task(as_executable=False)
        def double(x):
            return 2 * x

        @learner.utility_task
        async def hello(name):
            return f"echo hello {name}"

        try:
            return await double(21), await hello("world")
        finally:
            await learner.shutdown()

    assert asyncio.run(main()) == (42, "hello world\n")
