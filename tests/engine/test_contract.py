"""Our engines keep the contract that we ship."""

from __future__ import annotations

from rose.engine import LocalEngine, ThreadEngine
from rose.testing import EngineContract


class TestLocalEngine(EngineContract):
    def make_engine(self, workers: int) -> LocalEngine:
        return LocalEngine(workers)

    def make_gpu_engine(self, workers: int, gpus: int) -> LocalEngine:
        return LocalEngine(workers, gpus=gpus)


class TestThreadEngine(EngineContract):
    def make_engine(self, workers: int) -> ThreadEngine:
        return ThreadEngine(workers)
