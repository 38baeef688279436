"""`backend=` and `task_description` reach the back ends of a WorkflowEngine; other engines have none."""

from __future__ import annotations

import asyncio
import logging
import os
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rose import MODEL_ACCURACY, Learner, LearnerConfig, SeqUQLearner, TaskConfig
from rose.engine import Engine
from rose.errors import ConfigurationError, RunFailedError, TaskFailedError
from tests.programs import dataflow, teach


def test_tasks_run_on_the_back_end_that_they_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("radical.asyncflow")
    from radical.asyncflow import LocalExecutionBackend, WorkflowEngine

    told: list[Any] = []

    async def listening(name: str, executor: Executor) -> Any:
        backend = await LocalExecutionBackend(executor, name=name)
        submit = backend.submit_tasks

        async def submit_tasks(tasks: Any) -> Any:
            told.extend((name, task["task_backend_specific_kwargs"]) for task in tasks)
            return await submit(tasks)

        monkeypatch.setattr(backend, "submit_tasks", submit_tasks)
        return backend

    async def main() -> tuple[Any, Any]:
        here = await listening("here", ThreadPoolExecutor(2))
        there = await listening("there", ProcessPoolExecutor(1))
        flow = await WorkflowEngine.create([here, there], work_dir=str(tmp_path))
        learner = dataflow(flow, tmp_path / "log", SeqUQLearner)

        @learner.simulation_task(as_executable=False, backend="there")
        def simulate(task_description: Any = {"shell": True}) -> int:  # noqa: B006 - ROSE's programs write it so
            assert task_description == {"shell": True}  # what it says is not the function's
            return os.getpid()

        @learner.training_task(as_executable=False)
        def train(there: int, **kwargs: Any) -> tuple[int, int]:
            return os.getpid(), there

        learner.prediction_task(as_executable=False)(lambda trained, **kwargs: trained)
        learner.active_learn_task(as_executable=False)(lambda value: "echo")
        learner.training_function["kwargs"] = {"task_description": {"ranks": 2}}
        learner.uncertainty_quantification("own", threshold=0, as_executable=False)(
            lambda predicted: (os.getpid() == predicted[0][0][0]) + 2 * (os.getpid() == predicted[0][0][1])
        )
        result = await learner.teach(["a"], max_iter=1)
        learner.simulation_function["decor_kwargs"]["backend"] = "ther"
        with pytest.raises(ConfigurationError, match=r"asks for backend='ther'; did you mean 'there'"):
            await learner.teach(["a"], max_iter=1)
        assert learner.asyncflow is flow
        await learner.asyncflow.shutdown()
        return result, learner

    result, _ = asyncio.run(main())
    assert result.iterations[0]["uncertainty"] == 1.0  # trained here, simulated elsewhere
    assert told[:2] == [("there", {"shell": True}), ("here", {"ranks": 2})]
    assert {name for name, _ in told[2:]} == {"here"}


def test_a_program_over_futures_on_a_workflow_engine(tmp_path: Path) -> None:
    pytest.importorskip("radical.asyncflow")
    from radical.asyncflow import LocalExecutionBackend, WorkflowEngine

    async def main() -> None:
        flow = await WorkflowEngine.create(
            await LocalExecutionBackend(ThreadPoolExecutor(2)), work_dir=str(tmp_path / "flow")
        )
        learner = Learner(flow, run_dir=tmp_path / "run")

        @learner.simulation_task
        async def simulate(n: int) -> str:
            return f"echo {n} | tee -a {tmp_path / 'log'}"

        @learner.training_task(as_executable=False)
        async def train(texts: list[str]) -> float:
            return float(sum(int(text) for text in texts))

        check = learner.as_stop_criterion(MODEL_ACCURACY, 2, as_executable=False)(lambda value: value)
        assert await check(train([simulate(1), simulate(2)])) == (True, 3.0)
        with pytest.raises(TaskFailedError, match="invalid literal"):
            await train(["no number"])
        await learner.asyncflow.shutdown()
        await learner.shutdown()

    asyncio.run(main())
    asyncio.run(main())
    assert sorted((tmp_path / "log").read_text().split()) == ["1", "2"]


def test_other_engines_have_none(either_engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    learner = dataflow(either_engine, tmp_path / "log", SeqUQLearner)
    learner.simulation_task(as_executable=False, task_description={"shell": True})(lambda: 1)
    learner.training_task(as_executable=False, task_description={"ranks": 4})(lambda seen, **kwargs: kwargs)
    config = LearnerConfig(prediction=TaskConfig(kwargs={"task_description": {"gpus_per_rank": 1}}))
    with caplog.at_level(logging.WARNING):
        teach(learner, ["a"], max_iter=1, learning_config=config)
    assert "task_description says ['ranks'], which a" in caplog.text
    learner.training_task(as_executable=False, backend="elsewhere")(lambda *args, **kwargs: 1)
    with pytest.raises((ConfigurationError, RunFailedError), match=r"asks for backend='elsewhere'; a .* has none"):
        teach(learner, ["a"], max_iter=1)


@pytest.mark.parametrize(("option", "value"), [("backend", 3), ("task_description", "shell"), ("backed", "x")])
def test_options_that_cannot_be(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=option):
        SeqUQLearner(2).simulation_task(as_executable=False, **{option: value})(print)
