"""Any executor as an engine."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import psutil
import pytest

from rose.engine import Command, ExecutorEngine, Resources
from rose.errors import (
    CapacityError,
    ConfigurationError,
    EngineClosedError,
    TaskFailedError,
    TaskTimeoutError,
    WorkerLostError,
)
from rose.testing import EngineContract, tasks
from rose.testing.engine_contract import assert_still, begun, is_cancelled, task

if TYPE_CHECKING:
    from tests.engine.conftest import Driver


class TestInThreads(EngineContract):
    """One pool for all tests: an engine leaves it as it found it."""

    executor: ThreadPoolExecutor

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def pool(cls) -> Iterator[None]:
        with ThreadPoolExecutor(2) as cls.executor:
            yield

    def make_engine(self, workers: int) -> ExecutorEngine:
        return ExecutorEngine(self.executor, workers)


class TestInChildrenOfPoolWorkers(EngineContract):
    """What depends on how an executor is given its tasks; the whole contract runs on the workers of a WorkflowEngine,
    which are the same."""

    KEPT: ClassVar[set[str]] = {
        "test_declares_what_it_is",
        "test_returns_what_the_function_returns",
        "test_says_when_a_task_really_begins_and_where",
        "test_says_once_that_a_task_begins_and_before_it_has_ended",
        "test_an_exception_is_the_cause_of_a_named_error",
        "test_shares_an_array",
        "test_capacity_is_kept_by_functions_and_commands_together",
        "test_all_cpus_are_used",
        "test_a_task_cancelled_while_it_waits_never_runs",
        "test_cancelling_stops_the_work",
        "test_cancelling_a_command_stops_all_of_it",
        "test_cancelling_right_after_the_start",
        "test_a_timeout_stops_a_function",
        "test_a_killed_worker_costs_its_one_task",
        "test_a_function_that_takes_too_much_memory_is_stopped",
        "test_each_task_sees_gpus_of_its_own",
        "test_a_command_may_use_shell_syntax_environment_and_directory",
        "test_the_event_loop_goes_on",
        "test_a_closed_engine_refuses",
        "test_closing_ends_what_runs_and_what_waits",
    }
    executor: ProcessPoolExecutor

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def pool(cls) -> Iterator[None]:
        with ProcessPoolExecutor(2) as cls.executor:
            yield

    def make_engine(self, workers: int) -> ExecutorEngine:
        return ExecutorEngine(self.executor, workers)

    def make_gpu_engine(self, workers: int, gpus: int) -> ExecutorEngine:
        return ExecutorEngine(self.executor, 2, gpus=gpus)


for _name in [name for name in dir(EngineContract) if name.startswith("test_")]:
    if _name not in TestInChildrenOfPoolWorkers.KEPT:
        setattr(TestInChildrenOfPoolWorkers, _name, None)


def drive(executor: Executor, body: Callable[[ExecutorEngine], Any], **options: Any) -> None:
    """Run a test's body with an engine on the executor, and shut both down."""

    async def main() -> None:
        async with asyncio.timeout(50), ExecutorEngine(executor, **options) as engine:
            await body(engine)

    with executor:
        asyncio.run(main())


# --- a pool that dies, or goes on with others' work ------------------------------------------------------------------


def test_a_dead_pool_is_named() -> None:
    async def body(engine: ExecutorEngine) -> None:
        workers = list(engine._executor._processes)  # type: ignore[attr-defined]
        assert workers == []
        running = asyncio.ensure_future(engine.run(task(time.sleep, 60)))
        await engine.run(task(tasks.add, 1))
        for worker in engine._executor._processes:  # type: ignore[attr-defined]
            os.kill(worker, signal.SIGKILL)
        with pytest.raises(WorkerLostError, match=r"workflow/0/stage: ProcessPoolExecutor is dead.*make a new one"):
            await running
        with pytest.raises(WorkerLostError, match="is dead"):
            await engine.run(task(tasks.add, 1))

    drive(ProcessPoolExecutor(2), body)


def test_a_task_that_is_cancelled_behind_others_work_never_runs(tmp_path: Path) -> None:
    async def body(engine: ExecutorEngine) -> None:
        await engine.run(task(tasks.add, 1))
        others = [engine._executor.submit(time.sleep, 0.5) for _ in range(2)]  # the pool takes one ahead
        waiting = [asyncio.ensure_future(engine.run(each)) for each in (
            task(tasks.note, tmp_path / "function", "ran"),
            task(Command(f"touch {tmp_path}/command")),
        )]  # fmt: skip
        await asyncio.sleep(0.1)
        for each in waiting:
            assert await is_cancelled(each)
        await asyncio.gather(*map(asyncio.wrap_future, others))
        assert await engine.run(task(tasks.add, 1)) == 1

    drive(ProcessPoolExecutor(1), body, workers=2)
    assert list(tmp_path.iterdir()) == []


class Repeating(ThreadPoolExecutor):
    """Runs all that it is given twice, as some pools do when they have lost a worker."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        def twice() -> Any:
            function(*args, **kwargs)
            return function(*args, **kwargs)

        return super().submit(twice)


def test_a_pool_cannot_run_a_task_twice(tmp_path: Path) -> None:
    async def body(engine: ExecutorEngine) -> None:
        file = tmp_path / "runs"
        with pytest.raises(WorkerLostError, match="not run a second time"):
            await engine.run(task(tasks.note, file, "once"))
        assert file.read_text() == "once\n"

    drive(Repeating(1), body, killable=True)


def test_an_executor_that_is_shut_down_takes_no_tasks() -> None:
    async def body(engine: ExecutorEngine) -> None:
        engine._executor.shutdown()
        with pytest.raises(EngineClosedError, match=r"workflow/0/stage: ThreadPoolExecutor takes no more tasks"):
            await engine.run(task(tasks.add, 1))

    drive(ThreadPoolExecutor(1), body)


def test_an_engine_that_nobody_closes_leaves_nothing(driver: Driver) -> None:
    code = """
        import asyncio, gc, time
        from concurrent.futures import ProcessPoolExecutor
        from rose.engine import Command, ExecutorEngine, Task, TaskKey

        async def use(pool):
            engine = ExecutorEngine(pool)
            print(await engine.run(Task(TaskKey("w", 0, "s"), abs, (-1,))), flush=True)

        with ProcessPoolExecutor(1) as pool:
            asyncio.run(use(pool))
            gc.collect()
            print("forgotten", flush=True)
            time.sleep(60)
    """
    with driver.running(code) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["1\n", "forgotten\n"]
        ours = [p for p in driver.left() if "rose" in " ".join(p.cmdline()) and p.pid != process.pid]
        psutil.wait_procs(ours, timeout=10)
        assert not [p for p in ours if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        assert not list(driver.temp.iterdir())


def test_an_engine_that_a_thread_still_uses_when_the_program_ends(driver: Driver) -> None:
    """So ends each host in a worker that runs one task: its thread closes the engine, whoever comes first."""
    code = """
        import asyncio, atexit, threading

        def late():  # registered first, it comes after ROSE's own
            asyncio.run_coroutine_threadsafe(engine.close(), loop).result(10)
            print("closed", flush=True)

        atexit.register(late)
        from rose.engine import LocalEngine, Task, TaskKey

        engine, loop = LocalEngine(1), asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        task = Task(TaskKey("w", 0, "s"), abs, (-1,))
        print(asyncio.run_coroutine_threadsafe(engine.run(task), loop).result(30), flush=True)
    """
    with driver.running(code) as process:
        assert process.stdout is not None
        assert process.stdout.read() == "1\nclosed\n"
        assert process.wait() == 0
        assert driver.all_gone(within=10)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_nothing_survives_a_driver_that_is_killed(driver: Driver, method: str) -> None:
    code = f"""
        import asyncio, multiprocessing, sys, time
        from concurrent.futures import ProcessPoolExecutor
        from rose.engine import Command, ExecutorEngine, Task, TaskKey

        async def main():
            engine = ExecutorEngine(ProcessPoolExecutor(2, multiprocessing.get_context({method!r})))
            run = lambda *call: asyncio.ensure_future(engine.run(Task(TaskKey("w", 0, "s"), call[0], call[1:])))
            await asyncio.gather(run(abs, 1), run(abs, 2))
            work = [run(time.sleep, 60), run(Command("sleep 60"))]
            await asyncio.sleep(0.3)
            print("running", flush=True)
            await asyncio.gather(*work)

        if __name__ == "__main__":
            asyncio.run(main())
    """
    with driver.running(code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.kill()
        process.wait()
        assert driver.all_gone(within=10)


# --- functions in the workers themselves -----------------------------------------------------------------------------

loaded: dict[str, int] = {}


def load_model(value: int) -> None:
    loaded["model"] = value


def use_model() -> int:
    return loaded["model"]


def test_what_an_initializer_left_is_there(tmp_path: Path) -> None:
    async def body(engine: ExecutorEngine) -> None:
        assert not engine.capabilities.stops_work
        assert await engine.run(task(use_model)) == 7
        told: list[str] = []
        assert [await engine.run(task(tasks.whereabouts), told.append)] == told
        array = np.ones(300_000)
        assert (await engine.run(task(tasks.add, array, second=array)) == 2).all()
        ref = await engine.share(array)
        assert await engine.run(task(np.sum, ref)) == 300_000
        with pytest.raises(TaskFailedError, match="ValueError: no convergence"):
            await engine.run(task(tasks.fail, ValueError, "no convergence"))
        with pytest.raises(TaskTimeoutError, match=r"0\.1 s \(in ProcessPoolExecutor nothing can stop it"):
            await engine.run(task(tasks.occupy, tmp_path, "overrun", 0.5, timeout=0.1))
        assert await engine.run(task(tasks.add, 1)) == 1  # after the other one: there is one slot
        assert (tmp_path / "overrun").exists()
        command = asyncio.ensure_future(engine.run(task(Command(tasks.beating_command(tmp_path / "beats")))))
        await begun(tmp_path / "beats")
        assert await is_cancelled(command)
        await assert_still(tmp_path / "beats")

    drive(ProcessPoolExecutor(1, get_context("fork"), load_model, (7,)), body)


# --- workers on other machines ---------------------------------------------------------------------------------------


def test_workers_elsewhere_get_all_by_value_and_what_is_shared_once(tmp_path: Path) -> None:
    """As far as the loopback goes. For the workers /proc/self/cwd, the driver's directory, is another place."""

    async def body(engine: ExecutorEngine) -> None:
        assert engine.capabilities.stops_work
        told: list[str] = []
        assert [await engine.run(task(tasks.whereabouts), told.append)] == told
        array = np.arange(300_000.0)
        assert (await engine.run(task(tasks.add, array, second=1)) == array + 1).all()
        ref, model = await engine.share(array), await engine.share(tasks.Model(array))
        sent = engine._hosts.fetched
        for _ in range(4):
            assert await engine.run(task(np.sum, ref)) == array.sum()
            assert await engine.run(task(tasks.predictions, [model])) == [array.sum()]
            assert not await engine.run(task(tasks.is_writeable, ref))
        assert engine._hosts.fetched == sent + 2
        await engine.release(ref)
        with pytest.raises(ConfigurationError, match="released"):
            await engine.run(task(np.sum, ref))
        with pytest.raises(TaskTimeoutError):
            await engine.run(task(time.sleep, 60, timeout=0.2))
        for much in (Resources(cpus=2), Resources(gpus=1)):
            with pytest.raises(CapacityError, match="workflow/0/stage asks for"):
                await engine.run(task(tasks.add, 1, resources=much))

    pool = ProcessPoolExecutor(1, get_context("fork"), os.chdir, (tmp_path,))
    drive(pool, body, workers=2, killable=True, address="127.0.0.1", temp_dir="/proc/self/cwd")


def test_a_worker_that_cannot_reach_the_driver_says_so() -> None:
    async def body(engine: ExecutorEngine) -> None:
        with pytest.raises(
            WorkerLostError, match=r"cannot reach the driver at driver\.invalid:\d+: .*\(say address=\)"
        ):
            await engine.run(task(tasks.add, 1))

    drive(ProcessPoolExecutor(1), body, address="driver.invalid")


# --- others' executors -----------------------------------------------------------------------------------------------


def test_executorlib(caplog: pytest.LogCaptureFixture) -> None:
    async def body(engine: ExecutorEngine) -> None:
        assert await engine.run(task(tasks.add, 1, second=2)) == 3
        told, _ = await engine.run(task(tasks.thread_limits, resources=Resources(cpus=2)))
        assert told == "2"
        with pytest.raises(TaskTimeoutError):
            await engine.run(task(time.sleep, 60, timeout=0.2))
        assert (await engine.run(task(Command("echo here")))).stdout == "here\n"

    executorlib = pytest.importorskip("executorlib")
    drive(executorlib.SingleNodeExecutor(max_workers=2), body)
    assert "starts a Python, on Slurm a job step or a job, for each task" in caplog.text


class Nameless(Executor):
    """Says nothing of itself."""


@pytest.mark.parametrize(
    ("executor", "text"),
    [
        (Nameless(), "Nameless does not say how many workers it has.*workers=8"),
        ("pool", r"must be a concurrent.futures.Executor, got 'pool'"),
    ],
)
def test_what_is_no_pool_is_refused(executor: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        ExecutorEngine(executor)
