"""Any executor as an engine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from rose.engine import ExecutorEngine
from rose.testing import EngineContract


class TestInChildrenOfPoolWorkers(EngineContract):
    """One pool for all tests: an engine leaves it as it found it."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def pool(cls) -> Iterator[None]:
        with ProcessPoolExecutor(2) as cls.executor:
            yield

    executor: ProcessPoolExecutor

    def make_engine(self, workers: int) -> ExecutorEngine:
        return ExecutorEngine(self.executor, workers)

    def make_gpu_engine(self, workers: int, gpus: int) -> ExecutorEngine:
        return ExecutorEngine(ProcessPoolExecutor(workers), gpus=gpus)


class TestInThreads(EngineContract):
    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def pool(cls) -> Iterator[None]:
        with ThreadPoolExecutor(2) as cls.executor:
            yield

    executor: ThreadPoolExecutor

    def make_engine(self, workers: int) -> ExecutorEngine:
        return ExecutorEngine(self.executor, workers)
