"""A WorkflowEngine as an engine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("radical.asyncflow")
from radical.asyncflow import LocalExecutionBackend, WorkflowEngine

from rose.engine import AsyncFlowEngine, Capacity, Command, Resources, as_engine
from rose.errors import ConfigurationError, EngineClosedError, TaskFailedError, WorkerLostError
from rose.testing import EngineContract, tasks
from rose.testing.engine_contract import assert_still, begun, is_cancelled, task

PROGRAM = Path(__file__).with_name("rose_style.py")


class Kept(ProcessPoolExecutor):
    """A pool that serves one WorkflowEngine after the other: each would shut it down."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass

    def really_shutdown(self) -> None:
        super().shutdown()


class TestOnProcesses(EngineContract):
    executor: Kept
    folder: Path

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def pool(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        cls.executor, cls.folder = Kept(2), tmp_path_factory.mktemp("flow")
        yield
        cls.executor.really_shutdown()

    async def make_engine(self, workers: int) -> AsyncFlowEngine:
        return AsyncFlowEngine(await self.flow(), workers)

    async def make_gpu_engine(self, workers: int, gpus: int) -> AsyncFlowEngine:
        return AsyncFlowEngine(await self.flow(), workers, gpus=gpus)

    async def flow(self) -> Any:
        return await WorkflowEngine.create(await LocalExecutionBackend(self.executor), work_dir=str(self.folder))


Body = Callable[[Any, AsyncFlowEngine], Awaitable[None]]


def drive(folder: Path, executor: Executor, body: Body, **options: Any) -> None:
    """Run a test's body with a WorkflowEngine and ours on it, which is closed in the end."""

    async def main() -> None:
        flow = await WorkflowEngine.create(await LocalExecutionBackend(executor), work_dir=str(folder))
        async with asyncio.timeout(50), AsyncFlowEngine(flow, **options) as engine:
            await body(flow, engine)
        with pytest.raises(RuntimeError, match=r"after shutdown|not usable anymore"):
            executor.submit(abs, 1)

    asyncio.run(main())


# --- ROSE's programs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", ["processes functions", "threads functions", "rhapsody functions"])
def test_a_program_in_roses_style_runs_unchanged(tmp_path: Path, arguments: str) -> None:
    if "rhapsody" in arguments:
        pytest.importorskip("rhapsody")
    command = [sys.executable, "-W", "error", str(PROGRAM), *arguments.split()]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert (ended.returncode, ended.stderr) == (0, "")
    results = json.loads((tmp_path / "UQ_training_results.json").read_text())
    assert {name: result["metric_history"] for name, result in results.items()} == {"UQ1": [0.5] * 2, "UQ2": [0.5] * 2}
    expected = dict.fromkeys(["simulation", "active_learn", "uncertainty"], 2) | {"criterion": 4}
    for model in ("CNN", "MLP"):
        expected |= dict.fromkeys([f"training-{model}", f"prediction-{model}-0", f"prediction-{model}-1"], 2)
    for name in ("UQ1", "UQ2"):
        assert Counter((tmp_path / f"{name}.log").read_text().split()) == expected


# --- next to AsyncFlow's own scheduling ------------------------------------------------------------------------------


def test_tasks_need_no_turn_of_asyncflows_loop_and_leave_nothing_in_it(tmp_path: Path) -> None:
    async def body(flow: Any, engine: AsyncFlowEngine) -> None:
        flow._run_task.cancel()  # the loop that wakes up once a second: it stands still
        value = 0
        for _ in range(20):
            value = await engine.run(task(tasks.add, value, second=1))  # each waits for the one before
        assert value == 20
        assert not flow.components
        assert not flow.dependencies
        assert not flow.backend.tasks

    drive(tmp_path, ThreadPoolExecutor(2), body)


def test_the_users_own_tasks_run_beside(tmp_path: Path) -> None:
    async def body(flow: Any, engine: AsyncFlowEngine) -> None:
        @flow.function_task
        async def doubled(value: int) -> int:
            return 2 * value

        @flow.executable_task
        async def hello() -> str:
            return "echo hello"

        second = AsyncFlowEngine(flow)
        chained = doubled(doubled(3))
        ours = [engine.run(task(tasks.add, 1)), second.run(task(tasks.add, 2))]
        assert await asyncio.gather(chained, hello(), *ours) == [12, "hello\n", 1, 2]

    drive(tmp_path, ThreadPoolExecutor(2), body)


# --- ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["shutdown", "ctrl-c"])
def test_a_workflow_engine_that_is_shut_down_ends_our_tasks(tmp_path: Path, how: str) -> None:
    async def body(flow: Any, engine: AsyncFlowEngine) -> None:
        files = [tmp_path / "function", tmp_path / "command"]
        calls = [task(tasks.beat, files[0]), task(Command(tasks.beating_command(files[1])))]
        running = [asyncio.ensure_future(engine.run(each)) for each in calls]
        for file in files:
            await begun(file)
        if how == "shutdown":
            await flow.shutdown()
        else:
            os.kill(os.getpid(), signal.SIGINT)  # the WorkflowEngine's handler shuts it down
        for each in running:
            with pytest.raises(
                EngineClosedError, match="workflow/0/stage: the WorkflowEngine on LocalExecutionBackend"
            ):
                await each
        for file in files:
            await assert_still(file)
        with pytest.raises(EngineClosedError, match="has been shut down"):
            await engine.run(task(tasks.add, 1))

    drive(tmp_path, ProcessPoolExecutor(2), body)


def test_a_dead_pool_is_named(tmp_path: Path) -> None:
    async def body(flow: Any, engine: AsyncFlowEngine) -> None:
        running = asyncio.ensure_future(engine.run(task(time.sleep, 60)))
        await engine.run(task(tasks.add, 1))
        for worker in flow.backend.executor._processes:
            os.kill(worker, signal.SIGKILL)
        with pytest.raises(WorkerLostError, match=r"workflow/0/stage: WorkflowEngine on LocalExecutionBackend is dead"):
            await running

    drive(tmp_path, ProcessPoolExecutor(2), body)


def test_functions_in_threads_share_memory_and_cannot_be_stopped(tmp_path: Path) -> None:
    async def body(flow: Any, engine: AsyncFlowEngine) -> None:
        assert not engine.capabilities.isolates_memory
        values: list[int] = []
        await engine.run(task(lambda: values.append(1)))
        assert await engine.run(task(tasks.add_later, 1, second=2)) == 3
        ref = await engine.share(values)
        assert await engine.run(task(len, ref)) == 1
        with pytest.raises(TaskFailedError, match="SystemExit: 3"):
            await engine.run(task(sys.exit, 3))
        running = asyncio.ensure_future(engine.run(task(tasks.occupy, tmp_path, "goes-on", 0.5)))
        await asyncio.sleep(0.2)
        running.cancel()
        await asyncio.wait([running])

    drive(tmp_path, ThreadPoolExecutor(1), body)
    assert (tmp_path / "goes-on").exists()


def test_children_of_threads_can_be_asked_for(tmp_path: Path) -> None:
    async def body(flow: Any, engine: AsyncFlowEngine) -> None:
        assert engine.capabilities.stops_work
        with pytest.raises(WorkerLostError, match="SIGKILL"):
            await engine.run(task(tasks.die))

    drive(tmp_path, ThreadPoolExecutor(1), body, killable=True)


# --- what cannot work ------------------------------------------------------------------------------------------------


def test_what_is_no_workflow_engine_that_runs_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(ConfigurationError, match=r"nobody has awaited: await WorkflowEngine.create\(\.\.\.\)"):
            as_engine(WorkflowEngine.create(None))
        with pytest.raises(ConfigurationError, match="give an instance"):
            as_engine(WorkflowEngine)
        backend = await LocalExecutionBackend(ThreadPoolExecutor(1))
        with pytest.raises(ConfigurationError, match=r"LocalExecutionBackend is a back end: give await WorkflowEngine"):
            as_engine(backend)
        dry = await WorkflowEngine.create(dry_run=True, work_dir=str(tmp_path))
        with pytest.raises(ConfigurationError, match="dry-run mode"):
            as_engine(dry)
        await dry.shutdown()
        flow = await WorkflowEngine.create(backend, work_dir=str(tmp_path))
        assert isinstance(as_engine(flow), AsyncFlowEngine)
        await flow.shutdown()
        with pytest.raises(ConfigurationError, match="has been shut down"):
            as_engine(flow)

    asyncio.run(main())


def test_a_workflow_engine_works_in_its_own_event_loop_only(tmp_path: Path) -> None:
    async def make() -> Any:
        return await WorkflowEngine.create(await LocalExecutionBackend(ThreadPoolExecutor(1)), work_dir=str(tmp_path))

    engine = AsyncFlowEngine(asyncio.run(make()))
    with pytest.raises(ConfigurationError, match=r"another event loop.*await learner.teach"):
        asyncio.run(engine.run(task(tasks.add, 1)))


# --- back ends that run command lines only ---------------------------------------------------------------------------


class RadicalExecutionBackend(LocalExecutionBackend):  # type: ignore[misc]
    """A stand-in for a pilot that is not in Raptor mode: it has no functions, and is told what a task needs."""

    resources: ClassVar[dict[str, Any]] = {"resource": "local.localhost", "cores": 3, "gpus": 1}
    raptor_mode = False

    async def _execute_function(self, task: dict[str, Any]) -> Any:
        raise RuntimeError("Raptor mode not enabled")

    async def submit_tasks(self, tasks: list[dict[str, Any]]) -> Any:
        self.asked = [task["task_backend_specific_kwargs"] for task in tasks]
        return await super().submit_tasks(tasks)


def test_functions_and_commands_on_a_pilot(tmp_path: Path) -> None:
    async def main() -> None:
        backend = await RadicalExecutionBackend(ThreadPoolExecutor(1))
        del backend.executor
        flow = await WorkflowEngine.create(backend, work_dir=str(tmp_path))
        engine = AsyncFlowEngine(flow)
        assert engine.capacity() == Capacity(cpus=3, gpus=1)
        wanted = Resources(cpus=2, gpus=1, memory=300_000_000)
        assert await engine.run(task(tasks.add, "a", second="b", resources=wanted)) == "ab"
        assert backend.asked[0] | {"mem_per_rank": 0} == {
            "ranks": 1,
            "cores_per_rank": 2,
            "gpus_per_rank": 1,
            "mem_per_rank": 0,
        }
        told: list[str] = []
        assert [await engine.run(task(tasks.whereabouts), told.append)] == told
        ref = await engine.share(list(range(10)))
        failing = engine.run(task(tasks.fail, ValueError, "no convergence"))
        running = asyncio.ensure_future(engine.run(task(tasks.beat, tmp_path / "beats")))
        printed, total, failed = await asyncio.gather(
            engine.run(task(Command("echo here"))), engine.run(task(sum, ref)), failing, return_exceptions=True
        )
        assert (printed.stdout, total, str(failed)[-26:]) == ("here\n", 45, "ValueError: no convergence")
        await begun(tmp_path / "beats")
        assert await is_cancelled(running)
        await assert_still(tmp_path / "beats")
        backend.executor = ThreadPoolExecutor(1)
        await engine.close()

    asyncio.run(main())
