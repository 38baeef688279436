"""What is the Dask engine's own: what may be given, where tasks go, what is shipped, workers that come and go."""

from __future__ import annotations

import asyncio
import contextlib
import decimal
import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client, LocalCluster, Status
from sklearn.datasets import load_digits

from rose import ParallelUQLearner, Pool
from rose.engine import Command, DaskEngine, Resources, as_engine
from rose.errors import CapacityError, ConfigurationError, WorkerLostError
from rose.metrics import MUTUAL_INFORMATION, PREDICTIVE_ENTROPY
from rose.testing import tasks
from rose.testing.engine_contract import is_cancelled, task
from rose.testing.engines.suite import most_at_once
from tests.engine.on_dask.clusters import Program, Proxy, local_cluster, programs, start_scheduler, start_worker


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Program]]:
    """A scheduler and two workers with two threads each."""
    folder = tmp_path_factory.mktemp("dask")
    with programs() as list_of_them:
        list_of_them.append(start_scheduler(folder)[0])
        address = list_of_them[0].says(r"Scheduler at:\s+(tcp://\S+)")
        for name in "ab":
            list_of_them.append(start_worker(folder, address, 2, "--no-nanny", "--name", name))
        for worker in list_of_them[1:]:
            worker.says("(Registered to)")
        yield list_of_them


@pytest.fixture
def address(running: list[Program]) -> str:
    return running[0].says(r"Scheduler at:\s+(tcp://\S+)")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A directory that workers do not see: for them this path leads to their own."""
    monkeypatch.chdir(tmp_path)
    return "/proc/self/cwd"


def hosts(address: str) -> list[int]:
    """How many drivers each worker serves."""

    def drivers(dask_worker: Any) -> int:
        host = dask_worker.plugins.get("rose-host")
        return len(host.drivers) if host is not None else 0

    with Client(address, set_as_default=False) as client:
        return list(client.run(drivers).values())


# --- what may be given ---------------------------------------------------------------------------------------------


def test_a_synchronous_client_stays_open_and_is_not_needed(address: str) -> None:
    async def main(engine: DaskEngine) -> int:
        return await engine.run(task(tasks.add, 1))

    with Client(address, set_as_default=False) as client:
        engine = as_engine(client)
        assert isinstance(engine, DaskEngine)
        assert engine.capacity().cpus == 4
        assert asyncio.run(main(engine)) == 1
        assert client.submit(abs, -2).result() == 2
    assert asyncio.run(main(engine)) == 1  # in another event loop, and the client is closed
    asyncio.run(engine.close())
    assert hosts(address) == [0, 0]


def test_all_in_one_event_loop() -> None:
    """An asynchronous client, whose scheduler and worker run in this very loop and process."""

    async def main() -> None:
        options = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": ":0"}
        async with LocalCluster(asynchronous=True, **options) as cluster, Client(cluster, asynchronous=True) as client:
            for given in (client, cluster):
                async with as_engine(given) as engine:
                    assert engine.capacity().cpus == 2
                    assert await engine.run(task(os.getpid)) != os.getpid()
                    assert await is_cancelled(asyncio.ensure_future(engine.run(task(time.sleep, 60))))
                    with pytest.raises(CapacityError, match=r"asks for 3 cpus \(the engine has 2\)"):
                        await engine.run(task(tasks.add, 1, resources=Resources(cpus=3)))
            assert await client.submit(abs, -2) == 2

    asyncio.run(main())


@pytest.mark.parametrize(
    ("wrong", "text"),
    [("tcp://127.0.0.1:9", "no Dask scheduler answers at tcp://127.0.0.1:9"), ("nonsense://x", "no Dask scheduler")],
)
def test_an_address_where_nobody_answers(wrong: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        DaskEngine(wrong, patience=0.3)


def test_what_is_no_cluster_or_not_connected(address: str) -> None:
    with Client(address, set_as_default=False) as client:
        pass
    with pytest.raises(ConfigurationError, match="not connected: it has been closed"):
        as_engine(client)
    with pytest.raises(ConfigurationError, match=r"DaskEngine wants .* got 7"):
        DaskEngine(7)
    with pytest.raises(ConfigurationError, match="workers must be a list"):
        DaskEngine(address, workers="a")


def test_an_engine_that_is_forgotten_leaves_the_workers(address: str) -> None:
    async def main() -> None:
        engine = DaskEngine(address)
        await engine.run(task(tasks.add, 1))
        assert hosts(address) == [1, 1]

    asyncio.run(main())
    gc.collect()
    deadline = time.monotonic() + 10
    while hosts(address) != [0, 0]:
        assert time.monotonic() < deadline, "the workers still serve it"
        time.sleep(0.05)


# --- where tasks go ------------------------------------------------------------------------------------------------


def test_children_of_its_workers_have_what_the_driver_has_set(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def initialize() -> None:
        os.environ["INITIALIZED"] = "yes"

    def seen() -> tuple[str, int, str | None]:
        return sys.argv[-1], decimal.getcontext().prec, os.environ.get("INITIALIZED")

    def fail() -> None:
        raise ValueError("there is no licence")

    async def main() -> None:
        async with DaskEngine(address, initializer=initialize) as engine:
            assert await engine.run(task(seen)) == ("--of-the-driver", 11, "yes")
        async with DaskEngine(address, initializer=fail) as engine:
            with pytest.raises(WorkerLostError, match="could not start: ValueError: there is no licence"):
                await engine.run(task(seen))

    monkeypatch.setattr(sys, "argv", ["program", "--of-the-driver"])
    with decimal.localcontext() as context:
        context.prec = 11
        asyncio.run(main())


def test_a_task_has_its_cpus_on_one_worker(address: str, tmp_path: Path) -> None:
    def note_where(folder: Path, name: str) -> int:
        tasks.occupy(folder, name, 0.1)
        return os.getppid()  # the Dask worker

    async def main() -> None:
        async with DaskEngine(address) as engine:
            assert engine.capacity().cpus == 4
            with pytest.raises(CapacityError, match=r"workflow/0/stage asks for 3 cpus \(the engine has 2\)"):
                await engine.run(task(tasks.add, 1, resources=Resources(cpus=3)))
            memory = 10**15
            with pytest.raises(CapacityError, match=r"bytes of memory .* the limit is the largest worker's"):
                await engine.run(task(Command("true"), resources=Resources(memory=memory)))
            cpus = {str(index): 1 + (index % 3 == 0) for index in range(12)}
            runs = [
                engine.run(task(note_where, tmp_path, name, resources=Resources(cpus=count)))
                for name, count in cpus.items()
            ]
            where = dict(zip(cpus, await asyncio.gather(*runs), strict=True))
            assert len(set(where.values())) == 2
            for worker in set(where.values()):
                there = {name: cpus[name] for name in cpus if where[name] == worker}
                assert most_at_once(tmp_path, there) == 2

    asyncio.run(main())


def test_only_some_of_the_workers(address: str) -> None:
    async def main() -> None:
        async with DaskEngine(address, workers=["b"]) as engine:
            assert engine.capacity().cpus == 2
            parents = await asyncio.gather(*[engine.run(task(os.getppid)) for _ in range(8)])
            assert len(set(parents)) == 1

    asyncio.run(main())


def test_short_tasks_travel_together_and_a_long_one_among_them_holds_up_none(address: str) -> None:
    """A stage whose tasks took microseconds has one that takes long: the others' results are there before it ends."""

    async def main() -> None:
        async with DaskEngine(address, workers=["a"]) as engine:
            told: list[str] = []
            await asyncio.gather(*[engine.run(task(time.sleep, 0), told.append) for _ in range(100)])
            assert len(told) == 100
            runs = [asyncio.ensure_future(engine.run(task(time.sleep, 60 if i == 3 else 0))) for i in range(100)]
            await asyncio.wait([run for i, run in enumerate(runs) if i != 3])
            assert not runs[3].done()
            assert await is_cancelled(runs[3])

    asyncio.run(main())


def test_workers_that_join_later(tmp_path: Path, elsewhere: str) -> None:
    """Tasks wait for the first worker; one that joins after a value was shared has it too."""

    async def main() -> None:
        with programs() as started:
            scheduler, address = start_scheduler(tmp_path)
            started.append(scheduler)
            async with DaskEngine(address, temp_dir=elsewhere) as engine:
                assert engine.capacity().cpus == 0
                ref = await engine.share(np.ones(200_000))
                waiting = asyncio.ensure_future(engine.run(task(np.sum, ref)))
                cancelled = asyncio.ensure_future(engine.run(task(tasks.note, tmp_path / "never", "x")))
                await asyncio.sleep(0.1)
                assert await is_cancelled(cancelled)
                started.append(start_worker(tmp_path, address, 1, "--no-nanny"))
                assert await waiting == 200_000
                blocker = asyncio.ensure_future(engine.run(task(time.sleep, 60)))
                started.append(start_worker(tmp_path, address, 1, "--no-nanny"))
                assert await engine.run(task(np.sum, ref)) == 200_000
                assert await is_cancelled(blocker)
        assert not (tmp_path / "never").exists()

    asyncio.run(main())


def test_a_task_that_its_worker_never_had_goes_to_another_one() -> None:
    """It was sent to a worker that took no more tasks and died: nothing has begun, so nothing is lost."""

    def pause(dask_worker: Any) -> int:
        dask_worker.status = Status.paused
        return os.getpid()

    def knows_of_the_pause(dask_scheduler: Any) -> bool:
        return all(worker.status == Status.paused for worker in dask_scheduler.workers.values())

    def waits_for_its_worker(dask_scheduler: Any) -> bool:
        return bool(dask_scheduler.unrunnable)

    async def main(cluster: LocalCluster) -> None:
        async with DaskEngine(cluster) as engine:
            assert await engine.run(task(tasks.add, 1)) == 1
            async with Client(cluster.scheduler_address, asynchronous=True, set_as_default=False) as client:
                (worker,) = (await client.run(pause)).values()
                while not await client.run_on_scheduler(knows_of_the_pause):  # noqa: ASYNC110 (Dask does not tell)
                    await asyncio.sleep(0.02)
                run = asyncio.ensure_future(engine.run(task(tasks.add, 2)))
                while not await client.run_on_scheduler(waits_for_its_worker):  # noqa: ASYNC110 (Dask does not tell)
                    await asyncio.sleep(0.02)
            os.kill(worker, signal.SIGKILL)
            assert await run == 2

    with local_cluster(1, memory_limit=0) as cluster:
        asyncio.run(main(cluster))


def test_an_adaptive_cluster_at_rest_begins_to_work(tmp_path: Path) -> None:
    async def main(cluster: LocalCluster) -> None:
        async with DaskEngine(cluster) as engine:
            assert engine.capacity().cpus == 0
            assert await asyncio.gather(*[engine.run(task(tasks.add, index)) for index in range(3)]) == [0, 1, 2]

    with local_cluster(1, workers=0) as cluster:
        cluster.adapt(minimum=0, maximum=2, interval="100ms")
        asyncio.run(main(cluster))


# --- what is shipped -----------------------------------------------------------------------------------------------

POOL = np.random.default_rng(0).random((80, 12_500))  # 8 MB


@contextlib.contextmanager
def proxied(address: str) -> Iterator[Proxy]:
    proxy = Proxy(address)
    try:
        yield proxy
    finally:
        proxy.end()


def test_a_pool_is_shipped_once(address: str, elsewhere: str, running: list[Program]) -> None:
    """Eight predictions on two workers that do not see our files: the pool leaves the driver once."""

    async def main(proxy: Proxy) -> None:
        async with DaskEngine(proxy.address, temp_dir=elsewhere) as engine:
            ref = await engine.share(POOL)
            sums = await asyncio.gather(*[engine.run(task(np.sum, ref)) for _ in range(8)])
            assert sums == [POOL.sum()] * 8
            assert POOL.nbytes < proxy.sent < 1.1 * POOL.nbytes
            assert len(copies()) == 2
            await engine.release(ref)
            assert copies() == []
            with Client(address, set_as_default=False) as client:
                assert not [key for key in client.run_on_scheduler(keys) if "rose_shared" in key]

    def keys(dask_scheduler: Any) -> list[str]:
        return [str(key) for key in dask_scheduler.tasks]

    def copies() -> list[Path]:
        def found(dask_worker: Any) -> list[str]:
            return [str(path) for path in Path(dask_worker.local_directory).glob("rose-*/*/*.npy")]

        with Client(address, set_as_default=False) as client:
            return [Path(path) for paths in client.run(found).values() for path in paths]

    with proxied(address) as proxy:
        asyncio.run(main(proxy))


def test_where_files_are_seen_no_array_is_sent(address: str, tmp_path: Path) -> None:
    """Shared values, arguments and results go by way of files, and those are gone in the end."""

    async def main(proxy: Proxy) -> None:
        async with DaskEngine(proxy.address, temp_dir=tmp_path) as engine:
            ref = await engine.share(POOL)
            back = await engine.run(task(np.add, ref, POOL))
            np.testing.assert_array_equal(back, POOL + POOL)
            assert proxy.sent < 100_000

    with proxied(address) as proxy:
        asyncio.run(main(proxy))
    assert list(tmp_path.iterdir()) == []


def test_a_memory_mapped_array_of_the_users_is_copied(address: str, tmp_path: Path, elsewhere: str) -> None:
    """Who knows whether the workers see that file."""
    np.save(tmp_path / "pool.npy", POOL)
    mapped = np.load(tmp_path / "pool.npy", mmap_mode="r")

    async def main() -> None:
        async with DaskEngine(address, temp_dir=elsewhere) as engine:
            ref = await engine.share(mapped)
            os.unlink(tmp_path / "pool.npy")
            assert await engine.run(task(np.sum, ref)) == POOL.sum()
            assert await engine.run(task(np.sum, mapped)) == POOL.sum()

    asyncio.run(main())


# --- in a run ------------------------------------------------------------------------------------------------------


def selections(engine: Any, times: int = 1) -> dict[str, list[int]]:
    """What two small workflows on digits choose to label, the last time that they are run.

    Its functions travel by value, so workers need not import this module.
    """
    images, labels = load_digits(return_X_y=True)
    X, labels = images[:300] / 16.0, labels[:300]
    learner = ParallelUQLearner(engine, pool=Pool(X, initial=20, seed=0), acquisition="top_k")

    @learner.simulation_task(as_executable=False)
    def simulate(index: int) -> int:
        return int(labels[index])

    @learner.training_task(as_executable=False)
    def mean_images(X: Any, y: Any, seed: int) -> Any:
        chosen = np.random.default_rng(seed).random(len(X)) < 0.5
        of_digit = [chosen & (y == digit) for digit in range(10)]
        return np.array([X[of].mean(0) if of.any() else X.mean(0) for of in of_digit])

    @learner.prediction_task(as_executable=False)
    def nearness(model: Any, X: Any) -> Any:
        likely = np.exp(-((X[:, None] - model) ** 2).sum(2))
        return likely / likely.sum(1, keepdims=True)

    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=5)
    workflows = {"entropy": PREDICTIVE_ENTROPY, "bald": MUTUAL_INFORMATION}
    for _ in range(times):
        results = learner.run(workflows=workflows, model_names=["a", "b", "c"], max_iter=3)
    return {name: [int(index) for index in result.indices] for name, result in results.items()}


def test_digits_on_dask_are_the_same_as_here(address: str) -> None:
    with Client(address, set_as_default=False) as client:
        on_dask = selections(client, times=2)
    assert on_dask == selections(2)
    assert {len(set(chosen)) for chosen in on_dask.values()} == {30}
    assert on_dask["bald"] != on_dask["entropy"]
