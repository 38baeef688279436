"""Run event loops in other threads, and await what runs there."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

PATIENCE = 5.0  # seconds

logger = logging.getLogger(__name__)

T = TypeVar("T")


async def across(loop: asyncio.AbstractEventLoop, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Await `start()` in the event loop of another thread; cancelled, it is cancelled there, and waited for.

    >>> import asyncio, threading
    >>> other = asyncio.new_event_loop()
    >>> thread = threading.Thread(target=other.run_forever)
    >>> thread.start()
    >>> asyncio.run(across(other, lambda: asyncio.sleep(0.01, "from there")))
    'from there'
    >>> other.call_soon_threadsafe(other.stop) and thread.join()
    >>> other.close()

    Raises:
        RuntimeError: if that loop has been closed.
    """
    here = asyncio.get_running_loop()
    if here is loop:
        return await start()
    ended: asyncio.Future[None] = here.create_future()
    begun: list[asyncio.Task[T]] = []

    def begin() -> None:
        task = loop.create_task(start())
        begun.append(task)
        task.add_done_callback(tell)

    def tell(task: asyncio.Task[T]) -> None:
        if not task.cancelled():
            task.exception()  # it has been seen, whether anybody is left to hear of it or not
        try:
            here.call_soon_threadsafe(ended.set_result, None)
        except RuntimeError:  # the caller's loop was closed under it: nobody is left to tell
            logger.debug("an event loop was closed before what it awaited in another thread had ended")

    loop.call_soon_threadsafe(begin, context=Context())  # the caller's context variables mean nothing there
    cancelled = False
    while not ended.done():
        try:
            await asyncio.wait([ended])
        except asyncio.CancelledError:
            cancelled = True
            loop.call_soon_threadsafe(lambda: begun[0].cancel())
    if cancelled:
        raise asyncio.CancelledError
    return begun[0].result()


class LoopThread:
    """Run an event loop in a thread of its own."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    def call(self, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run `start()` there, and wait for its end. Blocks: not to be called in an event loop that has work to do."""
        return asyncio.run_coroutine_threadsafe(start(), self.loop).result()

    def end(self) -> None:
        """Cancel what still runs there, and end the thread. Blocks."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def end_after(self, start: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `start()` there and end the thread; waits a little for it, but not if it is itself what calls."""

        async def last() -> None:
            await start()
            self.loop.stop()

        asyncio.run_coroutine_threadsafe(last(), self.loop)
        if threading.current_thread() is not self._thread:
            self._thread.join(PATIENCE)

    def _live(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(asyncio.sleep(0))  # what was asked for just now begins, and is cancelled too
            while tasks := asyncio.all_tasks(self.loop):
                for task in tasks:
                    task.cancel()
                self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
