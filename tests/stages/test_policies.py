"""What a run does about tasks that fail: retried, dropped, counted, or raised; and that resuming remembers it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose import ParallelUQLearner, SeqUQLearner, StopReason
from rose.engine import Command, Task, TaskKey, ThreadEngine
from rose.errors import (
    CommandFailedError,
    ConfigurationError,
    EnsembleError,
    OutOfMemoryError,
    RunFailedError,
    TaskFailedError,
    TaskTimeoutError,
    WorkerLostError,
)
from rose.stages import _attempts
from rose.store import DONE, DROPPED, FAILED, RunReader, TaskDropped
from rose.store.database.schema import reading
from rose.store.database.sql import read_events, read_labels, read_tasks
from rose.testing.tasks import take_memory
from tests.centroids import Centroids
from tests.programs import blobs, classifier, dataflow
from tests.stages.faults import note, tried

TWO = ["a", "b"]
FUNCTION: dict[str, Any] = {"as_executable": False}


def fragile(engine: Any, log: Path, fails: Callable[[int], bool], run_dir: Path | None = None, **options: Any) -> Any:
    """A pool whose simulations fail for some candidates; each says in `log` that it ran."""
    learner = classifier(engine, kind=SeqUQLearner, holdout=False, initial=10)
    learner._run_dir = run_dir
    y = blobs()[1]

    @learner.simulation_task(**{**FUNCTION, "on_failure": "drop", **options})
    def simulate(index: int) -> int:
        note(log, index)
        if fails(index):
            raise ArithmeticError("did not converge")
        return int(y[index])

    learner.uncertainty_quantification("predictive_entropy", query_size=10)
    return learner


@pytest.mark.parametrize("percent", [1, 10, 50])
def test_failing_simulations_are_dropped_and_not_asked_again(percent: int, tmp_path: Path) -> None:
    def fails(index: int) -> bool:
        return index * 37 % 100 < percent

    def run(directory: str, log: str, rounds: int) -> Any:
        learner = fragile(ThreadEngine(2), tmp_path / log, fails, tmp_path / directory, max_failed_simulations=0.7)
        return learner.run(TWO, max_iter=rounds)

    whole = run("whole", "whole.log", 6)
    assert whole.stop_reason == StopReason.MAX_ITER
    asked = {int(index) for index in tried(tmp_path / "whole.log")}
    assert set(whole.indices) == {index for index in asked if not fails(index)}
    assert sorted(index for i in whole.iterations for index in i.get("dropped", [])) == sorted(filter(fails, asked))
    assert set(tried(tmp_path / "whole.log").values()) == {1}

    run("parts", "parts.log", 3)
    parts = run("parts", "parts.log", 6)
    assert parts == whole
    assert tried(tmp_path / "parts.log") == tried(tmp_path / "whole.log"), "what failed is remembered"
    with reading(tmp_path / "parts") as connection:
        dropped = [label.candidate for label in read_labels(connection) if label.state == DROPPED]
        events = [one for _, (_, one) in read_events(connection) if isinstance(one, TaskDropped)]
    assert sorted(dropped) == sorted(filter(fails, asked))
    assert len(events) == len(dropped)


def test_a_failure_that_is_held_back_took_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = 0.1
    monkeypatch.setattr(_attempts, "_HOLD_BEFORE_DROPPING", hold)
    learner = fragile(ThreadEngine(2), tmp_path / "log", lambda index: index % 3 == 0, tmp_path / "run")
    learner.run(TWO, max_iter=1)
    with RunReader(tmp_path / "run") as reader:
        told = {event.key: at for at, event in reader.since().events if isinstance(event, TaskDropped)}
        assert told
        for key, at in told.items():
            task = reader.task(key)
            assert task is not None
            assert task.ended is not None
            assert at - task.ended >= hold * 0.9


@pytest.mark.parametrize(
    ("fails", "options", "labels"),
    [
        (lambda index: True, {}, 0),
        (lambda index: True, {"max_failed_simulations": 1000}, 0),
        (lambda index: index % 2 == 0, {"max_failed_simulations": 3}, None),
        (lambda index: index % 2 == 0, {"max_failed_simulations": 0.2}, None),
    ],
    ids=["all", "all-with-limit", "count", "share"],
)
def test_too_many_failures_stop_the_workflow(fails: Any, options: Any, labels: int | None, tmp_path: Path) -> None:
    log = tmp_path / "log"
    for _ in range(2):  # the second time nothing runs any more
        result = fragile(ThreadEngine(2), log, fails, tmp_path / "run", **options).run(TWO, max_iter=50)
        assert result.stop_reason == StopReason.SIMULATIONS_FAILED
        assert len(result.iterations) <= 2
        assert set(tried(log).values()) == {1}
        assert labels is None or (len(result.indices) == labels and len(tried(log)) == 10)


def test_without_the_policy_a_failure_ends_the_run_and_resuming_tries_again(tmp_path: Path) -> None:
    log, repaired = tmp_path / "log", tmp_path / "repaired"

    def run() -> Any:
        fails = lambda index: not repaired.exists() and index % 2 == 1  # noqa: E731
        return fragile(ThreadEngine(2), log, fails, tmp_path / "run", on_failure="raise").run(TWO, max_iter=2)

    with pytest.raises(RunFailedError, match="ArithmeticError: did not converge") as failed:
        run()
    assert isinstance(failed.value.errors["UQLearner"], TaskFailedError)
    with reading(tmp_path / "run") as connection:
        states = {task.key.rpartition("/")[2]: task.state for task in read_tasks(connection, "UQLearner/0/simulation")}
    assert FAILED in states.values()
    before = tried(log)
    repaired.touch()
    assert run().stop_reason == StopReason.MAX_ITER
    after = tried(log)
    assert all(after[index] == before[index] for index, state in states.items() if state == DONE)


def test_retries_are_counted_and_recorded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    seen: list[Any] = []

    def fails(index: int) -> bool:
        return tried(log)[str(index)] < (3 if index % 3 else 4)

    learner = fragile(ThreadEngine(2), log, fails, tmp_path / "run", retries=2, retry_delay=0.01)
    learner.events.subscribe(seen.append)
    result = learner.run(TWO, max_iter=1)
    assert set(tried(log).values()) == {3}, "the first attempt, and two more"
    assert all(index % 3 for index in result.indices)
    assert all(index % 3 == 0 for index in result.iterations[0]["dropped"])
    assert Counter(type(event).__name__ for event in seen)["TaskRetried"] == 20
    with reading(tmp_path / "run") as connection:
        tasks = list(read_tasks(connection, "UQLearner/0/simulation"))
        events = Counter(type(event).__name__ for _, (_, event) in read_events(connection))
    assert {task.attempt for task in tasks} == {3}
    assert all("did not converge" in (task.error or "") for task in tasks if task.state == DROPPED)
    assert events["TaskRetried"] == 20


def leave_child() -> int:
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    return 1


ENDS: dict[str, tuple[Callable[[], Any], type[Exception]]] = {
    "raises": (lambda: 1 / 0, TaskFailedError),
    "hangs": (lambda: time.sleep(1000), TaskTimeoutError),
    "dies": (lambda: os.kill(os.getpid(), signal.SIGSEGV), WorkerLostError),
    "eats": (lambda: take_memory(600_000_000), OutOfMemoryError),
}
COMMANDS: dict[str, tuple[str, type[Exception]]] = {
    "fails": ("sh -c 'echo no licence >&2; exit 3'", CommandFailedError),
    "hangs": ("sleep 1000", TaskTimeoutError),
    "dies": ("sh -c 'kill -SEGV $$'", CommandFailedError),
}


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux")
@pytest.mark.parametrize("commands", [False, True])
def test_ends_are_told_apart_and_the_run_goes_on(commands: bool, engine: Any, tmp_path: Path) -> None:
    learner = classifier(engine, kind=SeqUQLearner, holdout=False, initial=list(range(20, 30)))
    learner._run_dir = tmp_path / "run"
    y, kinds = blobs()[1], list(COMMANDS) if commands else ["raises", "dies", "eats"]
    options = {"on_failure": "drop", "memory": "300MB", **({"timeout": 3} if commands else {})}

    if commands:

        @learner.simulation_task(**options)
        def simulate(index: int) -> str:
            kind = dict(enumerate(kinds, 20)).get(index)
            return COMMANDS[kind][0] if kind else f"echo {y[index]}"

    else:

        @learner.simulation_task(**FUNCTION, **options)
        def simulate(index: int) -> int:
            kind = dict(enumerate(kinds, 20)).get(index)
            if kind:
                ENDS[kind][0]()
            return int(y[index]) * leave_child()

    result = learner.run(TWO, max_iter=2)
    assert result.stop_reason == StopReason.MAX_ITER
    assert result.iterations[0]["dropped"] == list(range(20, 20 + len(kinds)))
    with reading(tmp_path / "run") as connection:
        errors = {task.key: task.error for task in read_tasks(connection) if task.state == DROPPED}
    for index, kind in enumerate(kinds, 20):
        error = (COMMANDS if commands else ENDS)[kind][1]
        assert f"rose.errors.{error.__name__}: task UQLearner/0/simulation/{index}: " in str(
            errors[f"UQLearner/0/simulation/{index}"]
        )
    if commands:
        assert "no licence" in str(errors["UQLearner/0/simulation/20"])
        assert (tmp_path / "run/output/UQLearner/0/simulation/20/stderr").read_text() == "no licence\n"


def test_all_slots_are_back_after_workers_were_killed(engine: Any, tmp_path: Path) -> None:
    """At least a fifth of all tasks, of every kind, kill their worker at the first attempt."""
    log = tmp_path / "log"
    learner = classifier(engine, kind=SeqUQLearner, holdout=False, initial=6)

    def perhaps_die(*what: object) -> None:
        name = "-".join(map(str, what))
        note(log, name)
        if sum(name.encode()) % 3 == 0 and tried(log)[name] == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    y = blobs()[1]

    @learner.simulation_task(**FUNCTION, retries=1)
    def simulate(index: int) -> int:
        perhaps_die("simulation", index)
        return int(y[index])

    @learner.training_task(**FUNCTION, retries=1)
    def train(X: Any, y: Any, seed: int, model_name: str, iteration: int) -> Centroids:
        perhaps_die("training", model_name, iteration)
        return Centroids(X, y, seed)

    @learner.prediction_task(**FUNCTION, retries=1)
    def predict(model: Centroids, X: Any, model_name: str, iteration: int) -> np.ndarray:
        perhaps_die("prediction", model_name, iteration)
        return model.predict_proba(X)

    result = learner.run(TWO, max_iter=3)
    assert result.stop_reason == StopReason.MAX_ITER
    counts = tried(log)
    hit = [name for name, count in counts.items() if count == 2]
    assert sum(counts.values()) == len(counts) + len(hit)
    assert {name.partition("-")[0] for name in hit} == {"simulation", "training", "prediction"}
    assert len(hit) >= len(counts) / 5

    async def both() -> None:
        """Two tasks that wait for each other."""
        key, meet = TaskKey("w", 0, "s"), "touch {0}; while [ ! -e {1} ]; do sleep 0.01; done"
        places = (tmp_path / "one", tmp_path / "two")
        lines = [meet.format(*places), meet.format(*reversed(places))]
        await asyncio.gather(*[engine.run(Task(key, Command(line))) for line in lines])

    asyncio.run(both())


@pytest.mark.parametrize("kind", ["pool", "dataflow"])
def test_a_quorum_of_members(kind: str, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def run(rounds: int, least: int = 2) -> Any:
        if kind == "pool":
            learner = classifier(ThreadEngine(2), holdout=False)
        else:
            learner = dataflow(ThreadEngine(2), tmp_path / "flow.log")
        learner._run_dir = tmp_path / f"run-{least}"

        def train(model: str, result: Any) -> Any:
            note(log, model)
            if model == "bad" or (model == "b" and least == 3):
                raise ArithmeticError("diverged")
            return result

        if kind == "pool":

            @learner.training_task(**FUNCTION, min_members=least, retries=1)
            def training(X: Any, y: Any, seed: int, model_name: str) -> Any:
                return train(model_name, Centroids(X, y, seed))

        else:

            @learner.training_task(**FUNCTION, min_members=least, retries=1)
            def training(*args: Any, **kwargs: Any) -> Any:
                return train(kwargs["--model_name"], "trained")

        return learner.run(["w"], ["a", "bad", "b"], max_iter=rounds)["w"]

    result = run(2)
    assert [i["failed_members"] for i in result.iterations] == [["bad"]] * 2
    assert tried(log) == {"a": 2, "b": 2, "bad": 4}
    assert kind == "dataflow" or set(result.models) == {"a", "b"}
    assert [i["failed_members"] for i in run(3).iterations] == [["bad"]] * 3
    trained = tried(log)
    assert (trained["a"], trained["bad"]) == (3, 6), "what is recorded is not trained again"
    with pytest.raises(RunFailedError, match="1 of 3 members trained, and min_members=3") as failed:
        run(1, least=3)
    assert isinstance(failed.value.errors["w"], EnsembleError)
    assert isinstance(failed.value.errors["w"].__cause__, TaskFailedError)


def test_a_dataflow_has_no_candidates_to_drop(tmp_path: Path) -> None:
    learner = dataflow(ThreadEngine(2), tmp_path / "log")
    learner.simulation_task(**FUNCTION, on_failure="drop")(lambda *args, **kwargs: 1)
    with pytest.raises(ConfigurationError, match="no candidates to drop"):
        learner.run(["w"], ["a"], max_iter=1)


def test_the_class_says_how_a_task_ended(engine: Any) -> None:
    """Where the policy is to raise, the error of the workflow is the task's."""
    for kind, (end, error) in ENDS.items():
        learner = ParallelUQLearner(engine)
        options = {**FUNCTION, "timeout": 1} if kind == "hangs" else {**FUNCTION, "memory": "300MB"}
        learner.simulation_task(**options)(lambda *args, end=end, **kwargs: end())
        for register in (learner.training_task, learner.prediction_task, learner.active_learn_task):
            register(**FUNCTION)(lambda *args, **kwargs: 1)
        with pytest.raises(RunFailedError, match="task w/0/simulation") as failed:
            learner.run(["w"], ["a"], max_iter=1)
        assert type(failed.value.errors["w"]) is error
