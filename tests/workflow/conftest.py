"""An engine that stays warm: workers that have imported everything serve one test after the other.

How engines start and end is what `tests/engine` and `test_endings.py` are about; they make their own.
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


@pytest.fixture(scope="package")
def warm() -> Iterator[WarmEngine]:
    """Two worker processes for all tests of this directory."""
    engine = WarmEngine(2)
    yield engine
    asyncio.run(engine.end())


@pytest.fixture
def engine(warm: WarmEngine) -> Iterator[WarmEngine]:
    """The warm engine, which a run must leave as it was."""
    yield warm
    assert warm.holds_nothing(), "the run has not released what it shared"


@pytest.fixture(params=["local", "threads"])
def either_engine(request: pytest.FixtureRequest) -> Engine:
    """The warm engine, then two threads, for what must not depend on the engine."""
    if request.param == "threads":
        return ThreadEngine(workers=2)
    engine: Engine = request.getfixturevalue("engine")
    return engine
