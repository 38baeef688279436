"""What may be given as an engine."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest

from rose.engine import ExecutorEngine, LocalEngine, ThreadEngine, as_engine
from rose.errors import ConfigurationError


def test_nothing_and_numbers_are_the_embedded_engine() -> None:
    assert isinstance(as_engine(), LocalEngine)
    three = as_engine(3)
    assert isinstance(three, LocalEngine)
    assert three.capacity().cpus == 3


def test_an_engine_is_itself() -> None:
    engine = ThreadEngine(1)
    assert as_engine(engine) is engine
    asyncio.run(engine.close())


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (True, "engine must be None"),
        (0, "workers must be a whole number from 1 on"),
        (-1, "from 1 on, or None, got -1"),
        (2.0, r"got 2\.0 \(float\)"),
        ("local", r"LocalEngine or ThreadEngine.*; got 'local' \(str\)"),
        (LocalEngine, r"give an instance, LocalEngine\(\), not the class"),
        (ThreadPoolExecutor, r"give an instance, ThreadPoolExecutor\(\), not the class"),
    ],
)
def test_anything_else_is_refused(wrong: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        as_engine(wrong)


async def create(backend: str) -> None:
    """As somebody's factory."""


def test_what_nobody_has_awaited_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"nobody has awaited: await create\(\.\.\.\)"):
        as_engine(create("local"))


def test_an_executor_is_an_engine_unless_it_has_been_shut_down(caplog: pytest.LogCaptureFixture) -> None:
    for executor in (ThreadPoolExecutor(3), ProcessPoolExecutor(3)):
        with executor, caplog.at_level(logging.INFO, "rose"):
            engine = as_engine(executor)
            assert isinstance(engine, ExecutorEngine)
            assert engine.capacity().cpus == 3
            assert caplog.messages[-1].startswith(f"tasks run on ExecutorEngine({type(executor).__name__}, workers=3")
            asyncio.run(engine.close())
        with pytest.raises(ConfigurationError, match=f"{type(executor).__name__} has been shut down"):
            as_engine(executor)


def test_the_log_names_the_engine(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "rose"):
        as_engine(2)
    assert caplog.messages == ["tasks run on LocalEngine(workers=2)"]


@pytest.mark.parametrize("options", [{"workers": True}, {"gpus": -1}, {"temp_dir": "/no/such/dir"}])
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        LocalEngine(**options)
