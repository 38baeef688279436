"""`async def` tasks where no event loop runs: in a worker process, or in a worker thread."""

from __future__ import annotations

import inspect
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine


def finished(result: Any) -> Any:
    """What a call came to: the result of a coroutine, run to its end here; anything else as it is.

    >>> async def answer():
    ...     return 42
    >>> finished(answer())
    42
    """
    return _kept_loop().run(result) if inspect.iscoroutine(result) else result


class _Loop:
    """An event loop that is kept for the next task: making one costs ten times what a small task does."""

    def __init__(self) -> None:
        import asyncio  # here, since most workers never need it, and all would start later

        self._asyncio = asyncio
        self._loop = asyncio.new_event_loop()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run it to its end, and what it has started and left behind to theirs: no task outlives its caller."""
        try:
            return self._loop.run_until_complete(coroutine)
        finally:
            left = self._asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(_ends(left))
            if getattr(self._loop, "_asyncgens", True):  # where it cannot be told, better once too often
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    def __del__(self) -> None:
        self._loop.close()


async def _ends(tasks: set[asyncio.Task[Any]]) -> None:
    import asyncio

    await asyncio.gather(*tasks, return_exceptions=True)


_of_thread = threading.local()


def _kept_loop() -> _Loop:
    loop: _Loop | None = getattr(_of_thread, "loop", None)
    if loop is None:
        loop = _of_thread.loop = _Loop()
    return loop
