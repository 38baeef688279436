"""AlgorithmSelector: what it gives, which algorithm is best, what fails, and what a resumed run is given."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rose import LearnerConfig, TaskConfig, ThreadEngine, UQLearnerConfig
from rose.active_learning.selector import AlgorithmSelector
from rose.errors import ConfigurationError, PlaceError, RunFailedError
from rose.tracking import TrackerBase
from tests.programs import classifier, lines


def selector(
    engine: Any,
    log: Path,
    values: Mapping[str, Sequence[float]],
    metric: str = "model_accuracy",
    threshold: float | None = 0.9,
    **options: Any,
) -> Any:
    """Compare functions of these names, which get these values of the criterion one after the other."""
    made = AlgorithmSelector(engine, **options)
    path = str(log)

    def note(*words: object) -> int:
        with open(path, "a") as file:
            file.write(" ".join(map(str, words)) + "\n")
        return sum(
            line.split()[:2] == [str(word) for word in words[:2]] for line in Path(path).read_text().splitlines()
        )

    @made.simulation_task(as_executable=False)
    def simulate(*args: Any) -> str:
        note("simulation", *args)
        return "simulated"

    @made.training_task(as_executable=False)
    async def train(*args: Any) -> str:
        note("training", *args)
        return "trained"

    for own in values:

        @made.active_learn_task(name=own, as_executable=False)
        def choose(*args: Any, own: str = own, **kwargs: Any) -> str:
            note("active_learn", own, *args, kwargs)
            return own

    if threshold is not None:

        @made.as_stop_criterion(metric, threshold, as_executable=False)
        def judge(chosen: str) -> float:
            given = values[chosen]
            return given[min(note("criterion", chosen), len(given)) - 1]

    return made


@pytest.fixture(params=["local", "threads", "asyncflow"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Any]:
    """What runs a program that is given an engine, on each of the engines."""

    def run(program: Callable[[Any], Any]) -> Any:
        if request.param == "local":
            return asyncio.run(program(request.getfixturevalue("engine")))
        if request.param == "threads":
            return asyncio.run(program(ThreadEngine(2)))
        asyncflow = pytest.importorskip("radical.asyncflow")

        async def main() -> Any:
            backend = await asyncflow.LocalExecutionBackend(ThreadPoolExecutor(2))
            flow = await asyncflow.WorkflowEngine.create(backend, work_dir=str(tmp_path / "flow"))
            try:
                return await program(flow)
            finally:
                await flow.shutdown()

        return asyncio.run(main())

    return run


def test_algorithms_are_compared_by_commands_and_functions(play: Callable[..., Any], tmp_path: Path) -> None:
    async def program(engine: Any) -> None:
        log = tmp_path / "log"
        one = selector(engine, log, {"steady": [0.2, 0.5], "quick": [0.5, 0.95]})
        assert one.get_best_algorithm() == (None, None)
        assert one.get_all_results() == {}

        @one.active_learn_task()
        async def printed(*args: Any) -> str:
            return "echo steady"  # what it prints is what the criterion is called with

        @one.active_learn_task
        async def failing(*args: Any) -> str:
            return "echo no >&2; false"

        assert list(one.active_learn_functions) == ["steady", "quick", "printed", "failing"]
        one.active_learn_functions["quick"]["kwargs"] = {"k": 3}
        configs = {"steady": LearnerConfig(active_learn={1: TaskConfig(kwargs={"k": 5})})}
        one.criterion_function["func"] = lambda chosen: {"steady": 0.5, "quick": 0.95}[chosen.strip()]
        found = await one.start(max_iter=2, algorithm_configs=configs)
        assert json.loads(json.dumps(found)) == found
        results = found["algorithm_results"]
        assert results["steady"] == results["printed"] == {"iterations": 2, "last_result": 0.5}
        assert results["quick"] == found["best_stats"] == {"iterations": 1, "last_result": 0.95}
        assert "failing/0/active_learn" in results["failing"]["error"]
        assert results["failing"]["iterations"] == 0
        assert found["best_algorithm"] == one.best_pipeline_name == "quick"
        assert one.best_pipeline_stats == found["best_stats"]
        assert one.get_best_algorithm() == ("quick", found["best_stats"])
        assert one.get_all_results() == one.algorithm_results == results
        assert found.results["quick"].stop_reason == "criterion_met"
        assert sorted(lines(log, "active_learn")) == [
            "active_learn quick simulated trained {'k': 3}",
            "active_learn steady simulated trained {'k': 5}",
            "active_learn steady simulated trained {}",
        ]
        simulations = [line.partition(" ")[2].strip() for line in lines(log, "simulation")]
        assert sorted(simulations) == ["", "", "", "", "steady", "steady"]

    play(program)


@pytest.mark.parametrize(
    ("metric", "threshold", "values", "best"),
    [
        ("model_accuracy", 0.9, {"a": [0.2], "b": [0.8], "c": [0.5]}, "b"),
        ("mean_squared_error_mse", 0.1, {"a": [0.5], "b": [0.3], "c": [0.4]}, "b"),
        ("model_accuracy", 0.9, {"a": [0.2, 0.92], "b": [0.91], "c": [0.99]}, "c"),
        ("model_accuracy", 0.9, {"a": [0.2, 0.99], "b": [0.91], "c": [0.8]}, "b"),
        ("model_accuracy", 0.9, {"a": [0.5], "b": [0.5], "c": [0.1]}, "a"),
    ],
)
def test_the_best_is_the_operators(
    metric: str, threshold: float, values: dict[str, list[float]], best: str, tmp_path: Path
) -> None:
    one = selector(ThreadEngine(2), tmp_path / "log", values, metric, threshold)
    # `start` gives a coroutine as well, which is run by itself, or put aside
    assert asyncio.run(one.start(max_iter=2))["best_algorithm"] == best

    async def aside() -> Any:
        return await asyncio.create_task(one.start(max_iter=2))

    assert asyncio.run(aside())["best_algorithm"] in values


def test_states_come_while_it_runs_and_it_can_be_stopped(tmp_path: Path) -> None:
    told: list[Any] = []

    class Tracker(TrackerBase):
        def on_start(self, manifest: Any) -> None:
            told.append((manifest.learner_type, manifest.parallel_count))

        def on_stop(self, final_state: Any, reason: str) -> None:
            told.append(str(reason))

    async def main() -> None:
        one = selector(ThreadEngine(2), tmp_path / "log", {"a": [0.1], "b": [0.2]})
        one.add_tracker(Tracker())
        states = []
        async for state in one.start(max_iter=2):
            states.append((state.learner_id, state.iteration, state.metric_value, state.metric_threshold))
            assert one.best_pipeline_name is None  # it is not over
        assert sorted(states) == [("a", 0, 0.1, 0.9), ("a", 1, 0.1, 0.9), ("b", 0, 0.2, 0.9), ("b", 1, 0.2, 0.9)]
        assert one.get_metric_results() == {"learner-a": {0: 0.1, 1: 0.1}, "learner-b": {0: 0.2, 1: 0.2}}
        assert one.best_pipeline_name == "b"
        async for state in one.start():
            if state.iteration == 2 and state.learner_id == "a":
                one.stop()
        assert one.is_stopped
        assert one.best_pipeline_name == "b"
        assert one.algorithm_results["a"] == {"iterations": 3, "last_result": 0.1}
        count = len(lines(tmp_path / "log", "simulation"))
        one.simulation_function["func"] = lambda *args: 1 / 0
        with pytest.raises(RunFailedError, match="2 of 2 workflows failed"):
            await one.start(max_iter=1)
        assert len(lines(tmp_path / "log", "simulation")) == count
        assert one.best_pipeline_name is None
        await one.shutdown()

    asyncio.run(main())
    assert told[::2] == [("AlgorithmSelector", 2)] * 3
    assert told[1::2] == ["max_iter_reached", "stopped", "error"]


def test_without_a_criterion_nothing_is_best(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = selector(ThreadEngine(2), tmp_path / "log", {"a": [], "b": []}, threshold=None)
    with caplog.at_level(logging.WARNING, "rose"):
        found = one.run(max_iter=1)
    assert "nothing says which algorithm is best" in caplog.text
    assert json.dumps(found["algorithm_results"]["a"]) == '{"iterations": 1, "last_result": null}'
    assert (found["best_algorithm"], found["best_stats"]) == (None, None)


def test_what_a_place_did_is_no_algorithms_doing(tmp_path: Path) -> None:
    one = selector(ThreadEngine(2), tmp_path / "log", {"a": [0.1]})

    @one.active_learn_task(name="b", place_retries=0)
    def lost(*args: Any) -> str:
        return "kill -9 $$"

    with pytest.raises(RunFailedError, match="1 of 2 workflows failed") as caught:
        one.run(max_iter=1)
    assert isinstance(caught.value.errors["b"], PlaceError)
    assert caught.value.results["a"].iterations[0]["metric"] == 0.1  # type: ignore[index]


def test_a_resumed_run_goes_on_with_every_algorithm(engine: Any, tmp_path: Path) -> None:
    log, values = tmp_path / "log", {"a": [0.1, 0.2, 0.3], "b": [0.1, 0.5, 0.95]}

    async def broken_off() -> None:
        async for state in selector(engine, log, values, run_dir=tmp_path / "run").start(max_iter=3):
            if state.iteration == 1:
                break

    asyncio.run(broken_off())
    found = asyncio.run(selector(engine, log, values, run_dir=tmp_path / "run").teach(max_iter=3))
    assert found["algorithm_results"]["b"] == found["best_stats"] == {"iterations": 3, "last_result": 0.95}
    before = log.read_text()
    assert len(lines(log, "simulation")) <= 7  # at most one was in flight where it broke off
    again = asyncio.run(selector(engine, log, values, run_dir=tmp_path / "run").teach(max_iter=3))
    assert again == found
    assert log.read_text() == before


def test_acquisitions_are_compared_at_equal_labels() -> None:
    kind: Any = partial(AlgorithmSelector, acquisitions={"random": "random", "greedy": "top"})
    one = classifier(ThreadEngine(2), kind=kind)

    @one.active_learn_task(as_executable=False)
    def first(query_size: int) -> Any:
        return range(query_size)

    with pytest.raises(ConfigurationError, match="nothing says which algorithm is best"):
        one.plan(max_iter=2, model_names=["m"])
    one.as_stop_criterion("model_accuracy", 1.0)
    configs = {
        "greedy": LearnerConfig(training=TaskConfig(retries=1)),
        "random": UQLearnerConfig(query_size={0: 2, -1: 4}),
    }

    async def main() -> Any:
        async for state in one.start(max_iter=3, algorithm_configs=configs, model_names=["m", "n"]):
            if state.iteration == 0:
                one.set_next_config(LearnerConfig(), learner_name=state.learner_id)
        return one.learner_results

    results = asyncio.run(main())
    assert set(results.keys()) == {"first", "random", "greedy"}
    initial, *others = (result.indices[:6].tolist() for result in results.values())
    assert others == [initial, initial]
    assert results["first"].indices[6:].tolist() == [i for i in range(20) if i not in initial][:8]
    labels = {name: [one["labels"] for one in result.iterations] for name, result in results.items()}
    assert labels == {"first": [6, 10, 14], "greedy": [6, 10, 14], "random": [6, 8, 12]}
    assert one.algorithm_results["random"]["labels"] == 12
    # 12 labels are what all have; so many had the others after their second round
    at_twelve = {name: results[name].iterations[2 if name == "random" else 1]["metric"] for name in labels}
    assert one.best_pipeline_name == max(at_twelve, key=lambda name: at_twelve[name])


def test_what_cannot_be_is_told_before_anything_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigurationError, match="acquisitions= are for a pool"):
        AlgorithmSelector(acquisitions=["top"])
    with pytest.raises(ConfigurationError, match="must be a list of names"):
        classifier(kind=partial(AlgorithmSelector, acquisitions="top"))  # type: ignore[arg-type]
    empty = AlgorithmSelector(2)
    with pytest.raises(ConfigurationError, match="at least one AL function must be set"):
        empty.start(max_iter=1)
    with pytest.raises(ConfigurationError, match="must be a text"):
        empty.active_learn_task(partial(print), as_executable=False)
    one = selector(2, tmp_path / "log", {"a": [0.1]})
    with pytest.raises(ConfigurationError, match="unknown learner 'b'"):
        one.teach(max_iter=1, algorithm_configs={"b": LearnerConfig()})
    with pytest.raises(ConfigurationError, match="are for a pool"):
        one.teach(max_iter=1, model_names=["m"])
    with pytest.raises(TypeError, match=r"AlgorithmSelector\.start"):
        one.start(max_iterations=1)
    one.active_learn_task(name="a", as_executable=False)(lambda *args: 1)
    assert "'a' is registered again" in caplog.text
