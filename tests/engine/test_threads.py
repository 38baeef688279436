"""Functions and coroutines in threads of this process: what they return is the caller's, and coroutines end."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque, namedtuple
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rose.engine import ExecutorEngine, Task, TaskKey, ThreadEngine
from rose.errors import EngineClosedError, TaskTimeoutError

KEY = TaskKey("w", 0, "s")
Make = Callable[[], Any]


@pytest.fixture(params=["threads", "executor"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    if request.param == "threads":
        yield lambda: ThreadEngine(1)
    else:
        with ThreadPoolExecutor(1) as pool:
            yield lambda: ExecutorEngine(pool)


@dataclass(frozen=True)
class Energy:
    forces: Any


Pair = namedtuple("Pair", "first second")
FORMS: list[Callable[[Any], Any]] = [
    lambda buffer: buffer,
    lambda buffer: buffer[1:],
    lambda buffer: [buffer, (buffer,)],
    lambda buffer: {"forces": [buffer]},
    lambda buffer: OrderedDict(forces=deque([buffer])),
    lambda buffer: Pair(buffer, 1),
    lambda buffer: Energy(buffer),
    lambda buffer: SimpleNamespace(forces=buffer),
    lambda buffer: np.array([buffer, None], dtype=object),
    lambda buffer: np.ma.masked_array(buffer, [False, True, False], copy=False),
    lambda buffer: pytest.importorskip("pandas").DataFrame(buffer, copy=False),
]


def test_a_task_may_go_on_with_the_buffer_that_it_returned(make: Make) -> None:
    buffer, several = np.zeros(3), [0.0]

    def fill(value: float, form: Callable[[Any], Any]) -> Any:
        buffer[:] = value
        return form(buffer)

    async def fill_later(value: float) -> Any:
        buffer[:] = value
        several[0] = value
        return several

    async def main() -> None:
        async with make() as engine:
            for form in FORMS:
                kept = [await engine.run(Task(KEY, fill, (value, form))) for value in (1.0, 2.0, 3.0)]
                for value, result in zip((1.0, 2.0, 3.0), kept, strict=True):
                    assert repr(result) == repr(form(np.full(3, value)))
                    assert type(result) is type(form(buffer))
            kept = [await engine.run(Task(KEY, fill_later, (value,))) for value in (1.0, 2.0)]
            assert kept == [[1.0], [2.0]]
            model = object()
            assert await engine.run(Task(KEY, lambda: model)) is model

    asyncio.run(main())


def test_a_result_that_holds_itself_is_copied_too() -> None:
    ring: list[Any] = [1]
    ring.append(ring)

    async def main() -> Any:
        async with ThreadEngine(1) as engine:
            return await engine.run(Task(KEY, lambda: ring))

    copied = asyncio.run(main())
    assert copied is not ring
    assert copied[1] is copied


class Waiting:
    """A coroutine that waits for ever, and says when it has begun and has been cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = False
        self._loop = asyncio.get_running_loop()

    async def wait(self) -> None:
        self._loop.call_soon_threadsafe(self.begun.set)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # it may take its time
            self.cancelled = True
            raise


def test_a_coroutine_ends_with_its_caller_its_timeout_and_the_engine(make: Make) -> None:
    async def main() -> None:
        engine = make()
        one = Waiting()
        running = asyncio.ensure_future(engine.run(Task(KEY, one.wait)))
        await one.begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert one.cancelled

        two = Waiting()
        with pytest.raises(TaskTimeoutError, match="was cancelled"):
            await engine.run(Task(KEY, two.wait, timeout=0.05))
        assert await engine.run(Task(KEY, lambda: "free")) == "free"
        assert two.cancelled

        three = Waiting()
        running = asyncio.ensure_future(engine.run(Task(KEY, three.wait)))
        await three.begun.wait()
        await engine.close()
        with pytest.raises(EngineClosedError):
            await running
        assert three.cancelled

    asyncio.run(main())
