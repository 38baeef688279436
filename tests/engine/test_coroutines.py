"""`async def` tasks: an event loop is kept for the next one, and nothing of the last one stays."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rose.engine.functions.coroutines import finished


def test_results_and_errors() -> None:
    async def fails() -> None:
        raise OSError("disk")

    assert finished(3) == 3
    assert finished(asyncio.sleep(0, "slept")) == "slept"
    with pytest.raises(OSError, match="disk"):
        finished(fails())


def test_what_a_task_leaves_behind_is_ended() -> None:
    ends: list[str] = []

    async def forgotten() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ends.append("task")

    async def numbers():  # type: ignore[no-untyped-def]
        try:
            yield 1
            yield 2
        finally:
            ends.append("generator")

    kept = []

    async def careless() -> int:
        kept.append(asyncio.ensure_future(forgotten()))
        kept.append(numbers())
        await asyncio.sleep(0)
        return await anext(kept[1])

    assert finished(careless()) == 1
    assert sorted(ends) == ["generator", "task"]
    assert finished(asyncio.sleep(0, "again")) == "again"


def test_so_is_what_a_task_leaves_behind_that_makes_tasks_in_its_own_way() -> None:
    cancelled: list[bool] = []

    async def forgotten() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            cancelled.append(True)

    kept = []

    async def careless() -> None:
        asyncio.get_running_loop().set_task_factory(lambda loop, coroutine, **_: asyncio.Task(coroutine, loop=loop))
        kept.append(asyncio.ensure_future(forgotten()))
        await asyncio.sleep(0)

    for times in (1, 2):
        finished(careless())
        assert cancelled == [True] * times
        assert all(task.done() for task in kept)


def test_each_thread_has_its_own_loop_and_closes_it() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def note() -> None:
        loops.append(asyncio.get_running_loop())

    def twice() -> None:
        finished(note())
        finished(note())

    threads = [threading.Thread(target=twice) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, loops))) == 2
    assert all(loop.is_closed() for loop in loops)
