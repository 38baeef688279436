"""Run a coroutine for callers who are not async, inside a running event loop (a notebook) too."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


def run_synchronously(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run the coroutine to its end. Ctrl-C cancels it, waits for its clean-up, and raises KeyboardInterrupt.

    A second Ctrl-C does not wait: it ends a program; a notebook goes on, with the clean-up in the background.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(make())
    return _in_thread(make)


def _in_thread(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on a loop of its own in another thread, while this thread (and its loop) waits."""
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = Future()
    result: Future[T] = Future()

    async def main() -> T:
        task = asyncio.ensure_future(make())
        begun.set_result((asyncio.get_running_loop(), task))
        return await task

    def work() -> None:
        try:
            result.set_result(asyncio.run(main()))
        except BaseException as error:  # whatever it is, the waiting thread raises it
            result.set_exception(error)

    # In this thread's context, which holds NumPy's and decimal's settings.
    thread = threading.Thread(target=copy_context().run, args=(work,), name="rose-run")
    thread.start()
    try:
        got = result.result()
    except KeyboardInterrupt:
        if result.done():  # the coroutine's own
            thread.join()
            raise
        loop, task = begun.result()
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    except BaseException:
        thread.join()
        raise
    thread.join()
    return got
