"""Run `async def` tasks where no event loop runs: in a worker process, or in a worker thread."""

from __future__ import annotations

import inspect
import threading
import weakref
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine, Iterable, Iterator


class Interrupt:
    """Cancel the coroutine that a call in another thread came to; a function that is no coroutine takes no notice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = False
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def cancel(self) -> bool:
        """Cancel it, now or as soon as it begins; return whether it runs, and was told."""
        with self._lock:
            self._wanted = True
            if self._running is None:
                return False
            loop, task = self._running
            loop.call_soon_threadsafe(task.cancel)
            return True

    def begin(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        """Take note that there is something to cancel, until `end`."""
        with self._lock:
            self._running = loop, task
            if self._wanted:
                task.cancel()

    def end(self) -> None:
        """Take note that the coroutine has ended."""
        with self._lock:
            self._running = None


@contextmanager
def interruptible(interrupt: Interrupt) -> Iterator[None]:
    """Let another thread cancel the coroutines that are run to their end in the block."""
    _of_thread.interrupt = interrupt
    try:
        yield
    finally:
        _of_thread.interrupt = None


def finished(result: Any) -> Any:
    """Return what a call came to: the result of a coroutine, run to its end here; anything else as it is.

    >>> async def answer():
    ...     return 42
    >>> finished(answer())
    42
    """
    return _kept_loop().run(result, getattr(_of_thread, "interrupt", None)) if inspect.iscoroutine(result) else result


class _Loop:
    """Keep an event loop for the next task: making one costs ten times what a small task does."""

    def __init__(self) -> None:
        import asyncio  # here, since most workers never need it, and all would start later

        self._asyncio = asyncio
        self._loop = asyncio.new_event_loop()
        self._begun: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._begin = partial(_begin, self._begun)
        self._loop.set_task_factory(self._begin)

    def run(self, coroutine: Coroutine[Any, Any, Any], interrupt: Interrupt | None = None) -> Any:
        """Run it to its end, and what it has started and left behind to theirs: no task outlives its caller."""
        task = self._loop.create_task(coroutine)
        if interrupt is not None:
            interrupt.begin(self._loop, task)
        try:
            return self._loop.run_until_complete(task)
        finally:
            if interrupt is not None:
                interrupt.end()
            left = {task for task in self._left() if not task.done()}
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(_ends(left))
            if getattr(self._loop, "_asyncgens", True):  # a private set; on loops without it, do it always
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    def _left(self) -> Iterable[asyncio.Task[Any]]:
        if self._loop.get_task_factory() is self._begin:
            return self._begun  # `all_tasks` would look through those of all loops: thousands in a driver
        self._loop.set_task_factory(self._begin)  # the task had set one of its own
        return self._asyncio.all_tasks(self._loop)

    def __del__(self) -> None:
        self._loop.close()


def _begin(
    begun: weakref.WeakSet[asyncio.Task[Any]], loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
) -> asyncio.Task[Any]:
    import asyncio

    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    begun.add(task)
    return task


async def _ends(tasks: set[asyncio.Task[Any]]) -> None:
    import asyncio

    await asyncio.gather(*tasks, return_exceptions=True)


_of_thread = threading.local()


def _kept_loop() -> _Loop:
    loop: _Loop | None = getattr(_of_thread, "loop", None)
    if loop is None:
        loop = _of_thread.loop = _Loop()
    return loop
