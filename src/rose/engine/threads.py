"""Run functions in threads of this process: for tests, and for light tasks that need no protection."""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import logging
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from rose.engine.base import BaseEngine
from rose.engine.deadline import Deadline
from rose.engine.failures import failed
from rose.engine.functions.copies import apart
from rose.engine.functions.coroutines import Interrupt, finished, interruptible
from rose.engine.functions.printing import showing
from rose.engine.processes.process import worker_name
from rose.engine.protocol import Capabilities, Command, OnStart, Ref, Task
from rose.errors import ConfigurationError, EngineClosedError, TaskTimeoutError

T = TypeVar("T")

_log = logging.getLogger("rose")

GRACE = 0.5  # seconds that a coroutine has to end when it is cancelled, before nobody waits for it


@dataclass(eq=False, slots=True)
class MemoryRef:
    """Hold a shared value of a `ThreadEngine`: the value itself."""

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
        """Return the value; arrays are read-only."""
        if self.released:
            raise ConfigurationError("a Ref is used that its engine has released")
        return self.value


@dataclass(eq=False, slots=True)
class _Running:
    """Hold a function in a thread."""

    key: str
    result: asyncio.Future[Any]  # what its caller awaits
    ended: asyncio.Future[None]
    interrupt: Interrupt


class ThreadEngine(BaseEngine):
    """Run functions in threads, and commands as `LocalEngine` does.

    An `async def` function is cancelled when its caller is, or its timeout is over. Nothing can stop another one: its
    caller goes on, and the function keeps its slot until it ends; `close` waits for it. Results are copies, as a task
    may go on with its own arrays; models and other objects are handed on as they are. Tasks share memory, environment
    and gpus with the driver and each other. Its capabilities say what holds for functions; commands are stopped,
    limited and given their gpus.

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
        tells_start=True,
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
        self._running: set[_Running] = set()

    async def _run_function(self, task: Task, on_start: OnStart | None) -> Any:
        request = await self._acquire(task)
        loop = asyncio.get_running_loop()
        job = _Running(str(task.key), loop.create_future(), loop.create_future(), Interrupt())
        try:
            assert not isinstance(task.call, Command)
            call = partial(task.call, *loaded(task.args), **loaded(dict(task.kwargs)))
            if on_start is not None:
                loop.call_soon(on_start, worker_name(os.getpid()))  # a granted slot is a free thread
            work = self._threads.submit(as_here(call_here), call, job.interrupt)
        except BaseException:
            self._slots.release(request)
            raise
        self._running.add(job)

        def ended(_: Future[Any]) -> None:
            loop.call_soon_threadsafe(settle)

        def settle() -> None:
            self._running.remove(job)
            self._slots.release(request)
            job.ended.set_result(None)
            if not job.result.done():
                _settle(job.result, work, job.key)

        work.add_done_callback(ended)
        deadline = None
        if task.timeout is not None:
            deadline = Deadline(loop, task.timeout, partial(_overrun, job, task.timeout))
        try:
            return await job.result
        except asyncio.CancelledError:
            if job.interrupt.cancel():
                await asyncio.wait([job.ended], timeout=GRACE)
            raise
        finally:
            if deadline is not None:
                deadline.cancel()

    async def _store(self, value: Any) -> Ref:
        return MemoryRef.of(value)

    async def _forget(self, ref: Ref) -> None:
        MemoryRef.free(ref)

    async def _close_functions(self) -> None:
        for job in self._running:
            _fail(job.result, EngineClosedError("the engine was closed before the task ended"))
            job.interrupt.cancel()
        await until_ended({job.ended: job.key for job in self._running})
        self._threads.shutdown(wait=False)

    @property
    def _is_busy(self) -> bool:
        return bool(self._running)


async def until_ended(running: Mapping[Any, str]) -> None:
    """Wait for the ends (futures) of functions in threads; if that takes a while, say for which (by their keys)."""
    if not running:
        return
    _, left = await asyncio.wait(running, timeout=GRACE)
    if left:
        _log.warning(
            "waiting for %d functions that run in threads (%s): nothing can stop them. A second signal (Ctrl-C, "
            "SIGTERM), or kill -9, ends the process at once, which is safe: what has been recorded is on disk",
            len(left),
            ", ".join(sorted({running[end] for end in left})[:3]),
        )
        await asyncio.wait(left)


def as_here(function: Callable[..., T]) -> Callable[..., T]:
    """Return a function for another thread, where it finds what is set in this one (`decimal`, NumPy's error state)."""
    context = contextvars.copy_context()
    context.run(lambda: decimal.setcontext(decimal.getcontext().copy()))  # what it sets is its own
    return partial(context.run, function)


def call_here(call: Callable[[], Any], interrupt: Interrupt) -> Any:
    """Run a task's function in this thread; what it returns is made the driver's own."""
    with showing(), interruptible(interrupt):
        return apart(finished(call()))


def _overrun(job: _Running, timeout: float) -> None:
    what = "and was cancelled" if job.interrupt.cancel() else "(a thread cannot be stopped: it goes on)"
    _fail(job.result, TaskTimeoutError(f"ran longer than its timeout of {timeout:g} s {what}", job.key))


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
    """Return the arguments with their Refs replaced, also those inside lists, tuples and dicts."""
    kind = type(value)
    if kind is MemoryRef:
        return value.load()
    if kind is list or kind is tuple:
        return kind(loaded(part) for part in value)
    if kind is dict:
        return {key: loaded(part) for key, part in value.items()}
    return value
