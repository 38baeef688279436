"""The Dask engine keeps the contract: on a LocalCluster, and on a scheduler and workers that are separate programs."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rose.engine import DaskEngine
from rose.testing import EngineContract, tasks
from rose.testing.engine_contract import task
from tests.engine.on_dask.clusters import local_cluster, programs, start_scheduler, start_worker

GPUS = 2  # they need not exist


@contextlib.contextmanager
def warmed(*addresses: Any) -> Iterator[None]:
    """Keep a driver on each cluster: without any, its workers end the children that the next test would start anew."""
    engines = [DaskEngine(address) for address in addresses]

    async def visit() -> None:
        await asyncio.gather(*[engine.run(task(tasks.add, 1)) for engine in engines])

    async def leave() -> None:
        await asyncio.gather(*[engine.close() for engine in engines])

    asyncio.run(visit())
    try:
        yield
    finally:
        asyncio.run(leave())


class TestLocalCluster(EngineContract):
    """One worker process, that has as many threads as a test wants cpus.

    Here what depends on nannies and on files that both sides see; `make long` runs the whole contract here too.
    """

    KEPT: ClassVar[set[str]] = {
        "test_declares_what_it_is",
        "test_returns_what_the_function_returns",
        "test_says_when_a_task_really_begins_and_where",
        "test_arrays_travel_unchanged",
        "test_shares_an_array_until_it_is_released",
        "test_shares_objects_also_inside_lists_and_dicts",
        "test_a_commands_output_is_kept_where_it_is_wanted",
        "test_cancelling_stops_the_work",
        "test_a_killed_worker_costs_its_one_task",
        "test_a_worker_that_was_ended_is_told_from_one_that_crashed",
        "test_a_function_that_takes_too_much_memory_is_stopped",
        "test_closing_ends_what_runs_and_what_waits",
    }
    clusters: ClassVar[dict[int, Any]] = {}

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _clusters(cls) -> Iterator[None]:
        with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
            started = pool.map(
                lambda threads: local_cluster(threads, resources={"GPU": GPUS * (threads == 3)}), (1, 2, 3)
            )
            for threads, cluster in zip((1, 2, 3), started, strict=True):
                cls.clusters[threads] = stack.enter_context(cluster)
            stack.enter_context(warmed(*cls.clusters.values()))
            yield

    def make_engine(self, workers: int) -> DaskEngine:
        return DaskEngine(self.clusters[workers])

    def make_gpu_engine(self, workers: int, gpus: int) -> DaskEngine:
        return self.make_engine(workers)


for _name in [name for name in dir(EngineContract) if name.startswith("test_")]:
    if _name not in TestLocalCluster.KEPT and not os.environ.get("ROSE_LONG"):
        setattr(TestLocalCluster, _name, None)


class TestPrograms(EngineContract):
    """A scheduler and workers that were started from the command line, without nannies, and do not see our files."""

    address: ClassVar[str]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _programs(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        folder = tmp_path_factory.mktemp("dask")
        with programs() as running:
            scheduler, cls.address = start_scheduler(folder)
            running.append(scheduler)
            for threads in (1, 2, 3):
                gpus = f"GPU={GPUS * (threads == 3)}"
                options = ["--no-nanny", "--name", f"with-{threads}", "--resources", gpus]
                running.append(start_worker(folder, cls.address, threads, *options))
            for worker in running[1:]:
                worker.says("(Registered to)")
            with warmed(cls.address):
                yield

    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def make_engine(self, workers: int) -> DaskEngine:
        # For the workers this path leads to their own directory.
        return DaskEngine(self.address, workers=[f"with-{workers}"], temp_dir="/proc/self/cwd")

    def make_gpu_engine(self, workers: int, gpus: int) -> DaskEngine:
        return self.make_engine(workers)
