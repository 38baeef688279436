"""Functions in threads of this process: for tests, and for light tasks that need no protection."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rose.engine.base import BaseEngine
from rose.engine.coroutines import finished
from rose.engine.deadline import Deadline
from rose.engine.failures import failed
from rose.engine.protocol import Capabilities, Command, Ref, Task
from rose.engine.shown import showing
from rose.errors import ConfigurationError, EngineClosedError, TaskTimeoutError

_log = logging.getLogger("rose")


@dataclass(eq=False, slots=True)
class MemoryRef:
    """A shared value of a `ThreadEngine`: the value itself."""

    value: Any
    released: bool = False

    @classmethod
    def of(cls, value: Any) -> MemoryRef:
        """Share a value; arrays become read-only, the original stays as it is."""
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, numpy.ndarray):
            value = value.view()
            value.setflags(write=False)
        return cls(value)

    @staticmethod
    def free(ref: object) -> None:
        """Forget the value.

        Raises:
            ConfigurationError: if it is no such Ref, or was released before.
        """
        if not isinstance(ref, MemoryRef) or ref.released:
            raise ConfigurationError("release: this Ref is another engine's, or was released before")
        ref.released = True
        ref.value = None

    def load(self) -> Any:
        """The value; arrays are read-only."""
        if self.released:
            raise ConfigurationError("a Ref is used that its engine has released")
        return self.value


class ThreadEngine(BaseEngine):
    """Runs functions in threads, and commands as `LocalEngine` does.

    Nothing can stop a thread: when its caller is cancelled or the task's timeout is over, the caller goes on, and the
    function keeps its slot until it ends; `close` waits for it. Tasks share memory, environment and gpus with the
    driver and each other. Its capabilities say what holds for functions; commands are stopped, limited and given their
    gpus.

    >>> import asyncio
    >>> from rose.engine import Task, TaskKey, ThreadEngine
    >>> async def main():
    ...     async with ThreadEngine(workers=2) as engine:
    ...         return await engine.run(Task(TaskKey("demo", 0, "simulation"), lambda x: x**2, (7,)))
    >>> asyncio.run(main())
    49
    """

    capabilities = Capabilities(
        stops_work=False,
        stops_children=False,
        enforces_timeout=False,
        survives_crash=False,
        limits_threads=False,
        isolates_memory=False,
        limits_memory=False,
        assigns_gpus=False,
    )

    def __init__(
        self,
        workers: int | None = None,
        *,
        gpus: int = 0,
        memory: int | None = None,
        temp_dir: str | Path | None = None,
    ) -> None:
        super().__init__(workers, gpus, memory, temp_dir)
        self._threads = ThreadPoolExecutor(self.capacity().cpus, thread_name_prefix="rose-task")
        self._running: dict[Future[Any], tuple[asyncio.Future[Any], str]] = {}  # with their keys

    async def _run_function(self, task: Task) -> Any:
        request = await self._acquire(task)
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Any] = loop.create_future()
        try:
            assert not isinstance(task.call, Command)
            call = partial(task.call, *loaded(task.args), **loaded(dict(task.kwargs)))
            work = self._threads.submit(_call, call)
        except BaseException:
            self._slots.release(request)
            raise
        self._running[work] = result, str(task.key)

        def ended(_: Future[Any]) -> None:
            loop.call_soon_threadsafe(settle)

        def settle() -> None:
            del self._running[work]
            self._slots.release(request)
            if not result.done():
                _settle(result, work, str(task.key))

        work.add_done_callback(ended)
        deadline = None
        if task.timeout is not None:
            text = f"ran longer than its timeout of {task.timeout:g} s (a thread cannot be stopped: it goes on)"
            deadline = Deadline(loop, task.timeout, partial(_fail, result, TaskTimeoutError(text, str(task.key))))
        try:
            return await result
        finally:
            if deadline is not None:
                deadline.cancel()

    async def _store(self, value: Any) -> Ref:
        return MemoryRef.of(value)

    async def _forget(self, ref: Ref) -> None:
        MemoryRef.free(ref)

    async def _close_functions(self) -> None:
        for result, _ in self._running.values():
            _fail(result, EngineClosedError("the engine was closed before the task ended"))
        if self._running:
            _log.warning(
                "waiting for %d functions that run in threads (%s): nothing can stop them",
                len(self._running),
                ", ".join(sorted({key for _, key in self._running.values()})[:3]),
            )
            await asyncio.gather(*map(asyncio.wrap_future, self._running), return_exceptions=True)
        self._threads.shutdown(wait=False)

    @property
    def _is_busy(self) -> bool:
        return bool(self._running)


def _call(call: Callable[[], Any]) -> Any:
    with showing():
        return finished(call())


def _settle(result: asyncio.Future[Any], work: Future[Any], key: str) -> None:
    cause = work.exception()
    if cause is None:
        result.set_result(work.result())
        return
    result.set_exception(failed(cause, key))


def _fail(result: asyncio.Future[Any], error: Exception) -> None:
    if not result.done():
        result.set_exception(error)


def loaded(value: Any) -> Any:
    """The arguments with their Refs replaced, also those inside lists, tuples and dicts."""
    kind = type(value)
    if kind is MemoryRef:
        return value.load()
    if kind is list or kind is tuple:
        return kind(loaded(part) for part in value)
    if kind is dict:
        return {key: loaded(part) for key, part in value.items()}
    return value
