"""`waits=True`: async functions that wait in the driver's event loop, for people and services, without a worker."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose import ParallelUQLearner, Pool, SeqUQLearner, TaskConfig, UQLearnerConfig
from rose.engine import Engine, ThreadEngine
from rose.errors import ConfigurationError
from rose.metrics import MODEL_ACCURACY
from rose.stages import waiting
from rose.store import DROPPED
from rose.store.database.schema import reading
from rose.store.database.sql import read_labels, read_tasks
from tests.programs import Centroids, blobs, classifier, dataflow, lines, teach

WAITS: dict[str, Any] = {"as_executable": False, "waits": True}
TWO = ["a", "b"]


def files() -> int:
    """How many files this process has open."""
    return len(os.listdir("/proc/self/fd"))


def test_thousands_wait_at_a_time_beside_one_worker(tmp_path: Path) -> None:
    X = np.linspace(-1, 1, 2_100)[:, None]
    learner = ParallelUQLearner(ThreadEngine(1), pool=Pool(X, initial=2_000, seed=0), run_dir=tmp_path / "run")
    together, buffer, begun, at_most = asyncio.Event(), np.zeros(1), Counter[int](), files() + 100

    @learner.simulation_task(**WAITS)
    async def simulate(x: Any, index: int) -> Any:
        print("asked", index)
        begun[index] += 1
        if len(begun) == 2_000:
            assert files() < at_most
            together.set()
        await together.wait()
        x *= 2
        buffer[:] = x
        return buffer

    @learner.training_task(as_executable=False)
    def train(X: Any, y: Any) -> Any:
        return np.polyfit(X[:, 0], y[:, 0], 1)

    @learner.prediction_task(as_executable=False)
    def predict(model: Any, X: Any, model_name: str) -> Any:
        return np.polyval(model, X[:, 0]) + (model_name == "a")

    learner.uncertainty_quantification("predictive_variance", query_size=3)
    results = learner.run(["one", "two"], TWO, max_iter=1)
    for name in ("one", "two"):
        labels = np.array(list(results[name].labels))[:, 0]
        np.testing.assert_array_equal(labels, 2 * X[results[name].indices, 0], "each its own, and the pool as it was")
    assert set(begun.values()) == {1}, "the two workflows share them"
    printed = {path.read_text() for path in (tmp_path / "run").rglob("stdout")}
    assert {f"asked {index}\n" for index in begun} <= printed
    assert sys.stdout.write.__self__ is sys.stdout, "the terminal is as it was"


def test_policies_hold_for_what_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    monkeypatch.setattr(waiting, "GRACE", 0.01)
    tried, learner = Counter[int](), classifier(ThreadEngine(1), kind=SeqUQLearner, holdout=False, initial=range(12))
    learner._run_dir = tmp_path / "run"
    stubborn = asyncio.Event()

    @learner.simulation_task(**WAITS, timeout=0.3, retries=1, on_failure="drop")
    async def simulate(index: int) -> Any:
        tried[index] += 1
        if index == 0:
            raise ArithmeticError("did not converge")
        if index == 1:
            await asyncio.Event().wait()
        if index == 2:
            sys.exit("no, really")
        if index == 3:
            lost = asyncio.ensure_future(asyncio.Event().wait())
            lost.cancel()
            await lost
        if index == 5 and tried[5] == 1:
            raise ConnectionError("busy")
        if index == 6:
            while not stubborn.is_set():
                try:
                    await stubborn.wait()
                except asyncio.CancelledError:
                    continue
        if index == 7:
            return None
        if index == 4:
            this = asyncio.current_task()
            assert this is not None
            this.cancel()
            await asyncio.sleep(0)
        if index == 8:
            raise GeneratorExit
        return index % 2

    async def run() -> Any:
        try:
            return await learner.teach(TWO, max_iter=1)
        finally:
            stubborn.set()

    result = asyncio.run(run())
    assert sorted(set(range(12)) - set(result.indices)) == [0, 1, 2, 3, 4, 6, 7, 8]
    assert [tried[index] for index in range(9)] == [2, 2, 2, 2, 2, 2, 2, 2, 2]
    assert "task UQLearner/0/simulation/6 goes on though it was cancelled" in caplog.text
    with reading(tmp_path / "run") as connection:
        texts = {task.key: task.error or "" for task in read_tasks(connection) if task.state == DROPPED}
        dropped = {label.candidate for label in read_labels(connection) if label.state == DROPPED}
    assert dropped == {0, 1, 2, 3, 4, 6, 7, 8}
    for index, words in enumerate(
        [
            "ArithmeticError: did not converge",
            "ran longer than its timeout of 0.3 s",
            "SystemExit: no, really",
            "CancelledError",
        ]
    ):
        assert words in texts[f"UQLearner/0/simulation/{index}"]


def test_who_holds_up_the_loop_costs_others_no_time() -> None:
    learner = classifier(ThreadEngine(1), kind=SeqUQLearner, holdout=False, initial=range(6))

    @learner.simulation_task(**WAITS, timeout=0.3)
    async def simulate(index: int) -> int:
        if index == 5:
            time.sleep(1)  # noqa: ASYNC251 - that is the fault
        await asyncio.sleep(0.01)
        return index % 2

    assert len(learner.run(TWO, max_iter=1).indices) == 6


def test_all_stages_of_a_pool_may_wait_and_tell_their_state(either_engine: Engine) -> None:
    learner = classifier(either_engine, initial=range(6))
    y, ran = blobs()[1], Counter[str]()

    def here(stage: str) -> None:
        assert threading.current_thread() is threading.main_thread()
        ran[stage] += 1

    @learner.simulation_task(**WAITS, batch=4)
    async def simulate(X: Any, index: Any) -> Any:
        await asyncio.sleep(0)
        here("simulation")
        return y[index]

    @learner.training_task(**WAITS)
    async def train(X: Any, y: Any, seed: int) -> Any:
        await asyncio.sleep(0)
        X += 0  # it is its own
        here("training")
        learner.register_state("trained_on", len(y))
        return Centroids(X, y, seed)

    @learner.uncertainty_quantification("own", query_size=3, **WAITS)
    async def score(mc_preds: Any, X: Any) -> Any:
        here("uncertainty")
        return mc_preds.std(axis=(0, 2))

    @learner.active_learn_task(**WAITS)
    async def choose(scores: Any, X: Any) -> Any:
        here("active_learn")
        return np.argsort(scores)[-3:]

    @learner.as_stop_criterion(MODEL_ACCURACY, threshold=2.0, **WAITS)
    async def judge(models: Any, X: Any, y: Any) -> float:
        here("criterion")
        return float(np.mean(models[0].predict_proba(X).argmax(axis=1) == y))

    async def states() -> list[Any]:
        return [state async for state in learner.start(["w"], TWO, max_iter=2)]

    found = asyncio.run(states())
    assert [state.trained_on for state in found] == [6, 9]
    assert ran == {"simulation": 3, "training": 4, "uncertainty": 2, "active_learn": 1, "criterion": 2}


def test_leaving_cancels_what_waits_and_waits_for_its_end() -> None:
    learner = classifier(ThreadEngine(1), kind=SeqUQLearner, holdout=False)
    waiting_for, cleaned = Counter[str](), []

    @learner.simulation_task(**WAITS)
    async def simulate(index: int, iteration: int) -> int:
        if iteration:
            waiting_for["answers"] += 1
            if waiting_for["answers"] == 4:
                learner.stop()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                cleaned.append(index)
        return index % 2

    result = learner.run(TWO, max_iter=3)
    assert (result.stop_reason, len(result.indices), len(cleaned)) == ("stopped", 6, 4)


def test_the_dataflow_waits_too(tmp_path: Path, either_engine: Engine) -> None:
    log = tmp_path / "log"
    learner = dataflow(either_engine, log, kind=SeqUQLearner)
    seen = []

    @learner.simulation_task(**WAITS)
    async def simulation(*args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        seen.append(threading.current_thread())
        return {"simulated": 1}

    @learner.prediction_task(**WAITS)
    async def prediction(*args: Any, **kwargs: Any) -> Any:
        seen.append(args)
        return [1.0]

    @learner.utility_task(**WAITS)
    async def asked(question: str) -> str:
        await asyncio.sleep(0)
        return f"{question}: yes"

    teach(learner, TWO, max_iter=1)
    assert seen[0] is threading.main_thread()
    assert sorted(seen[1:]) == [("trained a",), ("trained b",)]
    assert lines(log, "active_learn")
    assert asyncio.run(asked("good")) == "good: yes"


def test_what_cannot_wait_is_refused() -> None:
    learner = SeqUQLearner(ThreadEngine(1), pool=Pool(blobs()[0]))

    def plain(x: Any) -> int:
        return 0

    async def waits(x: Any) -> int:
        return 0

    for function, options, words in (
        (plain, WAITS, "'plain' is no async function"),
        (waits, {"waits": True}, "a command runs on the engine"),
        (waits, {**WAITS, "cpus": 2}, "cpus=2 of simulation_task: what waits in the driver takes none"),
        (waits, {**WAITS, "memory": "1GB"}, "takes none"),
        (waits, {**WAITS, "waits": "yes"}, "waits='yes' of simulation_task must be True or False"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            learner.simulation_task(**options)(function)

    learner = classifier(ThreadEngine(1), kind=SeqUQLearner, holdout=False)
    learner.simulation_task(**WAITS)(waits)
    with pytest.raises(ConfigurationError, match=r"gpus=1 of .*takes none"):
        learner.run(TWO, max_iter=1, learning_config=UQLearnerConfig(simulation=TaskConfig(gpus=1)))

    @learner.prediction_task(**WAITS)
    async def predict(model: Any, X: Any) -> Any:
        return model.predict_proba(X)

    with pytest.raises(ConfigurationError, match="with a pool, predictions are made on the engine"):
        learner.run(TWO, max_iter=1)
