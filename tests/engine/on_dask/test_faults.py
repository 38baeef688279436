"""Workers that die, schedulers that die, networks that are cut: every run ends, and nothing runs twice."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import dask
import pytest

from rose.engine import DaskEngine
from rose.errors import WorkerLostError
from rose.testing import tasks
from rose.testing.engine_contract import assert_still, begun, task
from tests.engine.on_dask.clusters import Program, Proxy, programs, start_scheduler, start_worker


@pytest.fixture
def running() -> Iterator[list[Program]]:
    with programs() as list_of_them:
        yield list_of_them


def cluster(running: list[Program], folder: Path, *options: str) -> str:
    """A scheduler and one worker: the address."""
    scheduler, address = start_scheduler(folder)
    running.append(scheduler)
    running.append(start_worker(folder, address, 1, *options))
    running[-1].says("(Registered to)")
    return address


def simulate(folder: Path) -> NoReturn:
    """Count the runs, then go on for ever."""
    tasks.note(folder / "runs", str(os.getppid()))
    tasks.beat(folder / "beats")


def test_a_worker_that_dies_costs_what_it_ran_once(tmp_path: Path, running: list[Program]) -> None:
    """Its nanny starts another one at the same address, to which Dask would give the task again."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = cluster(running, tmp_path, "--nanny", "--worker-port", str(port))

    async def main() -> None:
        async with DaskEngine(address) as engine:
            run = asyncio.ensure_future(engine.run(task(simulate, tmp_path, name="simulation")))
            await begun(tmp_path / "beats")
            (dask_worker,) = (tmp_path / "runs").read_text().split()
            os.kill(int(dask_worker), signal.SIGKILL)
            with pytest.raises(WorkerLostError, match=r"Dask worker .* died while it ran") as caught:
                await run
            assert caught.value.key == "workflow/0/simulation"
            assert await engine.run(task(tasks.add, 1)) == 1  # by the worker's successor
            assert len((tmp_path / "runs").read_text().split()) == 1
            await assert_still(tmp_path / "beats")

    asyncio.run(main())


def test_a_scheduler_that_dies_ends_every_run_and_another_one_is_used(tmp_path: Path, running: list[Program]) -> None:
    address = cluster(running, tmp_path, "--no-nanny")

    async def main() -> None:
        async with DaskEngine(address) as engine:
            names = ["runs", "waits"]
            runs = [asyncio.ensure_future(engine.run(task(simulate, tmp_path, name=name))) for name in names]
            await begun(tmp_path / "beats")
            running[0].end()
            for name, end in zip(names, await asyncio.gather(*runs, return_exceptions=True), strict=True):
                assert isinstance(end, WorkerLostError)
                assert end.key == f"workflow/0/{name}"
                assert "connection to the Dask scheduler was lost" in str(end)
            await asyncio.to_thread(running[1].process.wait)
            await assert_still(tmp_path / "beats")

            scheduler, again = start_scheduler(tmp_path, port=int(address.rpartition(":")[2]))
            running.append(scheduler)
            assert again == address
            running.append(start_worker(tmp_path, address, 1, "--no-nanny"))
            assert await engine.run(task(tasks.add, 1)) == 1
        async with DaskEngine(address) as another:
            assert await another.run(task(tasks.add, 1)) == 1

    asyncio.run(main())
    assert len((tmp_path / "runs").read_text().split()) == 1


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a cluster that outlives the test."""
    with programs() as list_of_them:
        yield cluster(list_of_them, tmp_path_factory.mktemp("dask"), "--no-nanny")


@pytest.mark.parametrize("how", ["cut", "swallow"])
def test_a_network_that_is_cut_ends_every_run(tmp_path: Path, address: str, how: str) -> None:
    proxy = Proxy(address)

    async def main() -> None:
        with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
            async with DaskEngine(proxy.address, patience=1.0) as engine:
                runs = [asyncio.ensure_future(engine.run(task(simulate, tmp_path))) for _ in range(2)]
                await begun(tmp_path / "beats")
                getattr(proxy, how)()
                ends = await asyncio.gather(*runs, return_exceptions=True)
                assert all(isinstance(end, WorkerLostError) for end in ends), ends
                with pytest.raises(WorkerLostError, match="no Dask scheduler answers at tcp://127"):
                    await engine.run(task(tasks.add, 1))
        proxy.end()  # the scheduler learns of it at last
        await assert_still(tmp_path / "beats")

    asyncio.run(main())
    assert len((tmp_path / "runs").read_text().split()) == 1


def test_a_driver_that_dies_leaves_nothing_running(tmp_path: Path, running: list[Program], address: str) -> None:
    script = f"""
        import asyncio
        from pathlib import Path
        from rose.engine import DaskEngine, Task, TaskKey
        from rose.testing import tasks
        async def main():
            engine = DaskEngine({address!r})
            await engine.run(Task(TaskKey("w", 0, "s"), tasks.beat, (Path({str(tmp_path / "beats")!r}),)))
        asyncio.run(main())
    """
    driver = Program(textwrap.dedent(script), folder=tmp_path)
    running.append(driver)

    async def main() -> None:
        await begun(tmp_path / "beats")
        os.kill(driver.process.pid, signal.SIGKILL)
        await assert_still(tmp_path / "beats")
        async with DaskEngine(address) as engine:  # the slot is free again
            assert await engine.run(task(time.sleep, 0)) is None

    asyncio.run(main())
