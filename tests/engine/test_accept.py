"""What may be given as an engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rose.engine import LocalEngine, ThreadEngine, as_engine
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
        ("local", r"LocalEngine or ThreadEngine; got 'local' \(str\)"),
        (LocalEngine, r"give an instance, LocalEngine\(\), not the class"),
    ],
)
def test_anything_else_is_refused(wrong: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        as_engine(wrong)


@pytest.mark.parametrize("options", [{"workers": True}, {"gpus": -1}, {"temp_dir": "/no/such/dir"}])
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        LocalEngine(**options)
