"""Engines to play a program of ROSE's style on: one of ours, and a WorkflowEngine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from rose.engine import Engine
from tests.learners.playing import Play, Program, Stages


@pytest.fixture
def stages(tmp_path: Path) -> Stages:
    """Return stages whose log is empty."""
    return Stages(tmp_path / "log")


@pytest.fixture(params=["local", "workflow"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Play:
    """Return what runs a program with an engine: the warm one, and ROSE's own."""
    local: Engine | None = None
    if request.param == "local":
        local = request.getfixturevalue("engine")
    else:
        pytest.importorskip("radical.asyncflow")

    @asynccontextmanager
    async def opened() -> AsyncIterator[Any]:
        if local is not None:
            yield local
            return
        from radical.asyncflow import LocalExecutionBackend, WorkflowEngine

        backend = await LocalExecutionBackend(ThreadPoolExecutor(2))
        flow = await WorkflowEngine.create(backend, work_dir=str(tmp_path / "flow"))
        yield flow
        await flow.shutdown()

    def play(program: Program) -> Any:
        async def main() -> Any:
            async with opened() as opened_engine:
                return await program(opened_engine)

        return asyncio.run(main())

    return play
