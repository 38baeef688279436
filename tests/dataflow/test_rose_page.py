"""What ROSE's page on uncertainty and its programs take for granted."""

import asyncio
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from rose import ParallelUQLearner, SeqUQLearner, StopReason
from rose.errors import BindingError, ConfigurationError, NotANumberError, RunFailedError, UnknownStateError
from rose.learner import TaskConfig
from rose.loop.state import IterationState
from rose.metrics import MODEL_ACCURACY, PREDICTIVE_ENTROPY
from rose.uq import UQLearnerConfig
from tests.programs import classifier, dataflow, lines, teach

SCRIPT = "import os, sys; open(os.path.basename(sys.argv[0]) + '.log', 'a').write('ran\\n'); print({})\n"


def test_its_blocks_run_as_a_program(tmp_path):
    pytest.importorskip("radical.asyncflow")
    for name, printed in (
        ("simulation", "'simulated'"),
        ("training", "'trained'"),
        ("predict", "'predicted'"),
        ("check_uq", "1.5"),
        ("active_learn", "'picked 10'"),
        ("check_accuracy", "0.8"),
    ):
        (tmp_path / f"{name}.py").write_text(SCRIPT.format(printed))
    program = Path(__file__).with_name("rose_page.py")
    done = subprocess.run([sys.executable, program], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "prediction task 'prediction' takes no **kwargs: 4 times a round it is called without" in done.stderr
    results = json.loads((tmp_path / "UQ_training_results.json").read_text())
    assert list(results) == ["UQ_learner1", "UQ_learner2"]
    for result in results.values():
        assert result["stop_reason"] == StopReason.MAX_ITER
        assert [one["uncertainty"] for one in result["iterations"]] == [1.5, 1.5]
        assert [one["selection"] for one in result["iterations"]] == ["picked 10", "picked 10"]
    ran = {path.name: len(path.read_text().splitlines()) for path in tmp_path.glob("*.log")}
    assert ran["predict.py.log"] == 2 * 2 * 2 * 2
    assert ran["check_uq.py.log"] == 2 * 2


# --- what is injected, and what is checked -----------------------------------------------------------------------


def named(*args, name=None):
    return 0.5


@pytest.mark.parametrize("takes", [lambda *args: 0.5, lambda result: 0.5, lambda result, *, epochs=1: 0.5, named])
def test_names_are_injected_only_where_they_can_be_taken(either_engine, tmp_path, takes, caplog):
    learner = dataflow(either_engine, tmp_path / "log", SeqUQLearner)
    learner.training_task(as_executable=False)(takes)
    learner.prediction_task(as_executable=False)(takes)
    learner.as_stop_criterion(MODEL_ACCURACY, threshold=0.95, as_executable=False)(takes)
    assert len(learner.run(["a", "b"], max_iter=2).iterations) == 2
    untold = [record.getMessage() for record in caplog.records if "takes no **kwargs" in record.getMessage()]
    assert len(untold) == 3


def test_one_model_needs_no_name(either_engine, tmp_path, caplog):
    learner = dataflow(either_engine, tmp_path / "log", SeqUQLearner)
    learner.prediction_task(as_executable=False)(lambda *args: 0.5)
    learner.run(["a"], max_iter=1)
    assert not caplog.records


def test_calls_that_never_happen_need_no_function_that_can_take_them(engine, tmp_path):
    learner = dataflow(engine, tmp_path / "log", SeqUQLearner)
    for register in (learner.simulation_task, learner.training_task, learner.prediction_task):
        register(as_executable=False)(lambda: 0)
    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=2, threshold=0.1, as_executable=False)(
        lambda: 0.7
    )
    result = teach(learner, ["a"], max_iter=1, skip_pre_loop=True)
    assert result.iterations[0]["uncertainty"] == 0.7
    for options in ({"max_iter": 1}, {"max_iter": 2, "skip_pre_loop": True}, {"skip_pre_loop": True}):
        with pytest.raises(BindingError, match=r"training task .* cannot be called in iteration"):
            asyncio.run(learner.teach(["a"], **options))


def test_a_pre_loop_that_is_skipped_gives_nothing_to_what_comes_first(engine, tmp_path):
    learner = dataflow(engine, tmp_path / "log", SeqUQLearner)
    learner.uncertainty_quantification("own", query_size=2, as_executable=False)(lambda predictions: 0.7)
    with pytest.raises(BindingError, match="uncertainty task '<lambda>' cannot be called in iteration 0 with 0 posi"):
        learner.run(["a"], max_iter=1, skip_pre_loop=True)


def test_a_configuration_that_ends_where_the_run_does(engine, tmp_path):
    learner = dataflow(engine, tmp_path / "log", SeqUQLearner)
    learner.simulation_task(as_executable=False)(lambda *, rate: rate)
    table = {0: TaskConfig(kwargs={"rate": 1}), 1: TaskConfig(kwargs={"rate": 2}), 7: TaskConfig(kwargs={"rat": 3})}
    config = UQLearnerConfig(simulation=table)
    assert len(teach(learner, ["a"], max_iter=2, learning_config=config).iterations) == 2
    with pytest.raises(BindingError, match=r"in iteration 2 .* missing a required .*argument: 'rate'"):
        teach(learner, ["a"], max_iter=3, learning_config=config)


# --- state -------------------------------------------------------------------------------------------------------

MINE = {"labels": [3, 1], "selection": "mine", "uq_value": "high", "criterion_values": {"mine": 1}, "holdout": 0}


def states(learner, *args, **options):
    async def main():
        return [state async for state in learner.start(*args, **options)]

    return asyncio.run(main())


@pytest.mark.parametrize("stage", ["simulation", "training", "prediction", "active_learn"])
def test_what_tasks_call_so_is_theirs(either_engine, tmp_path, stage):
    learner = dataflow(either_engine, tmp_path / "log", SeqUQLearner)
    learner._run_dir = tmp_path / "run"
    getattr(learner, f"{stage}_task")(as_executable=False)(lambda *args, **kwargs: MINE)
    first = states(learner, ["a"], max_iter=2)
    assert all(state.get(key) == value for state in first for key, value in MINE.items())
    assert first[0].labels == [3, 1]
    again = states(learner, ["a"], max_iter=2)
    assert [state.state for state in again] == [state.state for state in first]
    learner.register_state("labels", "registered outside")
    assert first[0].to_dict()["labels"] == [3, 1]


def test_the_labels_of_a_dataflow_are_not_known_unless_a_task_tells(engine, tmp_path):
    (state,) = states(dataflow(engine, tmp_path / "log", SeqUQLearner), ["a"], max_iter=1)
    assert state.uq_value == 0.7
    assert state.criterion_values == [0.5]
    assert state.selection == [1, 2]
    with pytest.raises(UnknownStateError, match="labels"):
        _ = state.labels


def test_the_labels_of_a_pool_are_its_own_unless_the_user_registers_some(engine):
    learner = classifier(engine, kind=SeqUQLearner)
    assert states(learner, ["a", "b"], max_iter=1)[0].labels == 6
    learner.register_state("labels", "mine")
    assert states(learner, ["a", "b"], max_iter=1)[0].labels == "mine"


def test_callbacks_are_told_of_every_value_in_the_drivers_thread(either_engine, tmp_path):
    learner = dataflow(either_engine, tmp_path / "log", SeqUQLearner)
    told, threads = [], set()

    def callback(key, value):
        told.append((key, value))
        threads.add(threading.get_ident())

    learner.on_state_update(callback)

    @learner.simulation_task()
    def simulation(*args, **kwargs):  # a command: the function itself runs in another thread of the driver
        learner.register_state("from the driver", 1)
        return "true"

    @learner.training_task(as_executable=False)
    def training(*args, **kwargs):
        learner.register_state("from a worker", 2)
        return {"from a result": np.float32(0.5)}

    @learner.as_stop_criterion(MODEL_ACCURACY, threshold=0.9, as_executable=False)
    def accuracy(*args, **kwargs):
        return {"metric_value": 0.8}

    def loop():
        return threads == {threading.get_ident()}

    async def main():
        return [(state, loop()) async for state in learner.start(["a"], max_iter=2)]

    seen = asyncio.run(main())
    assert all(in_loop for _, in_loop in seen)
    one_round = [
        ("from the driver", 1),
        ("from a worker", 2),
        ("from a result", 0.5),
        ("metric_value", 0.8),
        ("uq_value", 0.7),
        ("criterion_values", [0.8]),
        ("selection", [1, 2]),
    ]
    assert told == one_round * 2
    assert dict(one_round).items() <= seen[1][0].state.items()


def test_a_pools_callbacks_are_told_too_and_again_when_it_is_resumed(engine, tmp_path):
    def told():
        learner, values = classifier(engine, kind=SeqUQLearner), []
        learner._run_dir = tmp_path / "run"
        learner.on_state_update(lambda key, value: values.append(key))
        teach(learner, ["a", "b"], max_iter=2)
        return values

    first = told()
    assert first == ["uq_value", "selection", "labels", "holdout"] * 2
    assert told() == first


@pytest.mark.parametrize("key", ["registered", "returned", "uq_value"])
def test_what_a_callback_raises_ends_the_workflow(either_engine, tmp_path, key):
    learner = dataflow(either_engine, tmp_path / "log", criterion=None)

    @learner.active_learn_task(as_executable=False)
    def active_learn(*args, **kwargs):
        learner.register_state("registered", 1)
        return {"returned": 2}

    def callback(name, value):
        if name == key:
            raise LookupError("no such file")

    learner.on_state_update(callback)
    with pytest.raises(RunFailedError, match="no such file") as caught:
        learner.run(["x"], ["a"], max_iter=2)
    assert isinstance(caught.value.errors["x"], LookupError)
    assert caught.value.errors["x"].__notes__ == [f"raised by an on_state_update callback that was told of {key!r}"]


def test_callbacks_that_cannot_be():
    for callback in (3, None, asyncio.sleep):
        with pytest.raises(ConfigurationError, match="on_state_update takes a plain function"):
            ParallelUQLearner(2).on_state_update(callback)


def test_outside_a_run_callbacks_are_told_at_once():
    learner, told = ParallelUQLearner(2), []
    learner.on_state_update(lambda *what: told.append(what))
    learner.register_state("a", 1)
    assert told == [("a", 1)]
    assert learner.get_state("a") == 1


def test_what_a_utility_task_registers_is_everyones(either_engine, tmp_path):
    learner, told = dataflow(either_engine, tmp_path / "log", SeqUQLearner), []
    learner.on_state_update(lambda *what: told.append(what))

    @learner.utility_task(as_executable=False)
    def prepare():
        learner.register_state("prepared", 5)

    async def main():
        await prepare()
        return [state async for state in learner.start(["a"], max_iter=1)]

    (state,) = asyncio.run(main())
    assert told[0] == ("prepared", 5)
    assert state.prepared == 5


# --- query sizes, ends and numbers -------------------------------------------------------------------------------


def test_a_query_size_of_0_means_nothing_without_a_pool(either_engine, tmp_path, caplog):
    learner = dataflow(either_engine, tmp_path / "log", SeqUQLearner)
    learner.uncertainty_quantification("own", query_size=0, as_executable=False)(lambda *args: 0.7)
    with caplog.at_level(logging.WARNING):
        assert learner.run(["a"], max_iter=2).iterations[1]["uncertainty"] == 0.7
    assert [record.getMessage()[:31] for record in caplog.records] == ["query_size=0 means nothing: wit"]


@pytest.mark.parametrize("last", [{"max_iter": 1}, {"max_iter": 1, "max_time": 1e-9}, {"max_time": 1e-9}])
def test_what_is_met_in_the_last_round_is_why_it_ends(engine, tmp_path, last):
    for name, options, reason in (
        ("certain", {"uncertainty": 0.05, "accuracy": 0.5}, StopReason.CERTAIN_ENOUGH),
        ("met", {"uncertainty": 0.7, "accuracy": 0.96}, StopReason.CRITERION_MET),
        ("neither", {"uncertainty": 0.7, "accuracy": 0.5}, None),
    ):
        learner = dataflow(engine, tmp_path / "log", SeqUQLearner, criterion=options["accuracy"])
        learner._run_dir = tmp_path / f"{name}"
        uncertainty = options["uncertainty"]
        learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=2, threshold=0.1, as_executable=False)(
            lambda *args, uncertainty=uncertainty: uncertainty
        )
        reason = reason or (StopReason.MAX_ITER if "max_iter" in last else StopReason.MAX_TIME)
        assert teach(learner, ["a"], **last).stop_reason == reason
        again = teach(learner, ["a"], **last)
        assert again.stop_reason == reason
        assert len(again.iterations) == 1


def scalars():
    yield "0-d", lambda: np.array(0.5)
    yield "one", lambda: np.array([[0.5]])
    yield "float32", lambda: np.float32(0.5)
    yield "list", lambda: [0.5]
    yield "dict", lambda: {"metric_value": np.array([0.5]), "uq_value": np.array([0.5])}
    for name in ("tensor", "tensor with grad", "bfloat16"):

        def tensor(name=name):
            torch = pytest.importorskip("torch")
            kind = torch.bfloat16 if name == "bfloat16" else torch.float32
            return torch.tensor([0.5], dtype=kind, requires_grad="grad" in name)

        yield name, tensor


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in scalars()])
def test_arrays_of_one_number_are_numbers(engine, tmp_path, make):
    value = make()
    learner = dataflow(engine, tmp_path / "log", SeqUQLearner)
    learner.uncertainty_quantification("own", query_size=2, as_executable=False)(lambda *args: value)
    learner.active_learn_task(as_executable=False)(lambda *args: value)
    learner.as_stop_criterion(MODEL_ACCURACY, threshold=0.95, as_executable=False)(lambda *args, **kwargs: value)
    (one,) = learner.run(["a"], max_iter=1).iterations
    assert (one["uncertainty"], one["metric"], one["criterion_values"]) == (0.5, 0.5, {"a": 0.5})
    assert isinstance(one["selection"], (float, list, dict))
    json.dumps(one)


@pytest.mark.parametrize("value", [np.array([0.5, 0.5]), np.array([]), [1, 2], 1j, 10**400, np.array("0.5")])
def test_other_arrays_are_not(engine, tmp_path, value):
    learner = dataflow(engine, tmp_path / "log", SeqUQLearner)
    learner.uncertainty_quantification("own", query_size=2, as_executable=False)(lambda *args: value)
    with pytest.raises(RunFailedError, match=r"returned .*, which is no number") as caught:
        learner.run(["a"], max_iter=1)
    assert isinstance(caught.value.__cause__, NotANumberError)


def test_what_is_chosen_may_be_a_tensor(engine, tmp_path):
    torch = pytest.importorskip("torch")
    learner = dataflow(engine, tmp_path / "log", SeqUQLearner)
    for chosen, noted in (
        (torch.tensor(3), 3),
        (torch.tensor([1, 2]), [1, 2]),
        (torch.zeros(100, 100), "Tensor of 10000 entries"),
    ):
        learner.active_learn_task(as_executable=False)(lambda *args, chosen=chosen: chosen)
        assert teach(learner, ["a"], max_iter=1).iterations[0]["selection"] == noted


# --- start, awaited ----------------------------------------------------------------------------------------------


def test_start_may_be_awaited(either_engine, tmp_path):
    async def main():
        parallel = dataflow(either_engine, tmp_path / "log")
        results = await parallel.start(["x", "y"], ["a"], max_iter=2)
        one = dataflow(either_engine, tmp_path / "log", SeqUQLearner)
        return results, await one.start(["a"], max_iter=2), one

    results, result, learner = asyncio.run(main())
    assert lines(tmp_path / "log", "active_learn") == ["active_learn 0.7"] * 6
    json.dumps([results, result])
    assert {name: len(one.iterations) for name, one in results.items()} == {"x": 2, "y": 2}
    assert (result.stop_reason, len(result.iterations)) == (StopReason.MAX_ITER, 2)
    assert learner.get_uncertainty_results() == {0: 0.7, 1: 0.7}


def test_an_iteration_that_has_begun_may_be_awaited_to_its_end(engine, tmp_path):
    async def main():
        running = dataflow(engine, tmp_path / "log", SeqUQLearner).start(["a"], max_iter=3)
        first = await anext(running)
        return first, await running

    first, result = asyncio.run(main())
    assert first.iteration == 0
    assert len(result.iterations) == 3


def test_awaited_it_raises_as_teach_does(engine, tmp_path):
    learner = dataflow(engine, tmp_path / "log")
    learner.prediction_task(as_executable=False)(lambda *args, **kwargs: 1 / 0)

    async def main():
        await learner.start(["x"], ["a"], max_iter=3)

    with pytest.raises(RunFailedError, match="division by zero"):
        asyncio.run(main())


def test_what_tasks_report_hides_no_field_of_a_state():
    taken = {"iteration": 9, "metric_value": 9.0, "should_stop": True, "learner_id": "x", "metric_history": [9.0]}
    state = IterationState(iteration=1, metric_value=0.5, state={**taken, "labels": 3})
    made = state.to_dict()
    assert made["labels"] == 3
    assert all(made[key] == getattr(state, key) != other for key, other in taken.items())
