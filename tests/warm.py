"""An engine that stays warm: workers that have imported everything serve one test after the other.

How engines start and end is what `tests/engine` and `tests/loop/test_endings.py` are about; they make their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from rose.engine import Engine, LocalEngine, ThreadEngine


class WarmEngine(LocalEngine):
    """`run` closes the engine that it was given; this one stays open for the next test."""

    async def close(self) -> None:
        """Does nothing."""

    async def end(self) -> None:
        """Close."""
        await super().close()

    def holds_nothing(self) -> bool:
        """Whether all that was shared has been released."""
        return not self._shared.paths


_running: list[WarmEngine] = []  # one, or none


def cool() -> None:
    """End the warm engine, for tests that count the processes of this one."""
    while _running:
        asyncio.run(_running.pop().end())


@pytest.fixture(scope="session")
def warmth() -> Iterator[None]:
    """End the warm engine after the last test."""
    yield
    cool()


@pytest.fixture
def engine(warmth: None) -> Iterator[WarmEngine]:
    """Two worker processes that all tests share; a run must leave them as they were."""
    if not _running:
        _running.append(WarmEngine(2))
    yield _running[0]
    assert _running[0].holds_nothing(), "the run has not released what it shared"


@pytest.fixture(params=["local", "threads"])
def either_engine(request: pytest.FixtureRequest) -> Engine:
    """The warm engine, then two threads, for what must not depend on the engine."""
    if request.param == "threads":
        return ThreadEngine(workers=2)
    engine: Engine = request.getfixturevalue("engine")
    return engine
