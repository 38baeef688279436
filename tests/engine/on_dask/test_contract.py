"""The Dask engine keeps the contract: on a LocalCluster, and on a scheduler and workers that are separate programs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rose.engine import DaskEngine
from rose.testing import EngineContract
from tests.engine.on_dask.clusters import local_cluster, programs, start_scheduler, start_worker

GPUS = 2  # they need not exist


class TestLocalCluster(EngineContract):
    """One worker process, that has as many threads as a test wants cpus."""

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
            yield

    def make_engine(self, workers: int) -> DaskEngine:
        return DaskEngine(self.clusters[workers])

    def make_gpu_engine(self, workers: int, gpus: int) -> DaskEngine:
        return self.make_engine(workers)


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
            yield

    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def make_engine(self, workers: int) -> DaskEngine:
        # For the workers this path leads to their own directory.
        return DaskEngine(self.address, workers=[f"with-{workers}"], temp_dir="/proc/self/cwd")

    def make_gpu_engine(self, workers: int, gpus: int) -> DaskEngine:
        return self.make_engine(workers)
