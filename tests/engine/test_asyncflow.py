"""A WorkflowEngine as an engine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("radical.asyncflow")
from radical.asyncflow import LocalExecutionBackend, WorkflowEngine

from rose.engine import AsyncFlowEngine
from rose.testing import EngineContract


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


class TestOnThreads(TestOnProcesses):
    async def make_engine(self, workers: int) -> AsyncFlowEngine:
        backend = await LocalExecutionBackend(ThreadPoolExecutor(workers))
        return AsyncFlowEngine(await WorkflowEngine.create(backend, work_dir=str(self.folder)))
