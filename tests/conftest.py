"""Engines for the tests that every engine has to pass."""

from collections.abc import Callable

import hypothesis  # noqa: F401  # loaded early: Python 3.11.7 cannot compile it late in a session (gh-106905)
import pytest

from rose.engine import Engine, LocalEngine, ThreadEngine

MakeEngine = Callable[[], Engine]


@pytest.fixture(params=["local", "threads"])
def make_engine(request: pytest.FixtureRequest) -> MakeEngine:
    """Two workers, as processes and as threads."""
    kind = LocalEngine if request.param == "local" else ThreadEngine
    return lambda: kind(workers=2)
