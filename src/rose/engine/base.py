"""Give our own engines what they share: admission, commands, one event loop at a time, opening and closing."""

from __future__ import annotations

import asyncio
import logging
import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rose.cpus import usable_cpus
from rose.engine.failures import of_place
from rose.engine.processes.command import CommandRunner
from rose.engine.processes.scratch import Scratch
from rose.engine.protocol import Capabilities, Capacity, Command, CommandOutput, OnStart, Ref, Task
from rose.engine.shipping.program import submitted
from rose.engine.slots import SlotRequest, Slots
from rose.errors import ConfigurationError, EngineClosedError, RoseError
from rose.paths import expanded

logger = logging.getLogger(__name__)

LAST = 10.0  # seconds that a thread has to close its engine when the program ends


class BaseEngine(ABC):
    """Admit functions and run commands; a subclass runs the functions and keeps shared values.

    An engine may be made anywhere and belongs to the event loop that uses it; when nothing runs, another loop may.
    """

    capabilities: Capabilities

    def __init__(
        self, workers: int | None, gpus: int | Sequence[str], memory: int | None, temp_dir: str | Path | None
    ) -> None:
        cpus = usable_cpus()
        if workers is not None:
            if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
                raise ConfigurationError(f"workers must be a whole number from 1 on, or None, got {workers!r}")
            cpus = workers
        names = _gpu_names(gpus)
        temp_dir = None if temp_dir is None else expanded(temp_dir, "temp_dir")
        if temp_dir is not None and not temp_dir.is_dir():
            raise ConfigurationError(f"temp_dir is no directory: {temp_dir}")
        self._slots = Slots(Capacity(cpus, len(names), memory), names)
        self._gpu_names = names
        self._scratch = Scratch(temp_dir)
        self._commands = CommandRunner(self._scratch)
        self._waiting: dict[SlotRequest, asyncio.Future[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Future[None] | None = None
        self._closed = False
        self._abandoning = [self._scratch.abandon]
        self._finalizer = weakref.finalize(self, _abandon, weakref.ref(self), self._abandoning)

    def capacity(self) -> Capacity:
        """Return what there is in all."""
        return self._slots.capacity

    @property
    def gpu_names(self) -> list[str]:
        """Return its gpus as CUDA_VISIBLE_DEVICES names them."""
        return self._gpu_names

    def private_folder(self) -> str:
        """Return a directory that is removed when the engine ends, come what may. Blocks for milliseconds at first."""
        self._scratch.ensure_reaper()
        return self._scratch.folder

    async def run(self, task: Task, on_start: OnStart | None = None) -> Any:
        """Wait for the task's resources, run it, and return its result; see `Engine.run`."""
        self._enter(f"task {task.key}: ")
        self._slots.check(task)
        submitted()
        told: list[str] = []  # the worker, once; not empty any more when nothing more is to be told

        def tell(worker: str) -> None:
            if on_start is not None and not told:
                told.append(worker)
                on_start(worker)

        begins = None if on_start is None else tell
        try:
            if isinstance(task.call, Command):
                return await self._run_command(task, begins)
            return await self._run_function(task, begins)
        except OSError as error:
            if isinstance(error, RoseError):
                raise
            raise of_place("the engine could not run it", error, str(task.key)) from error
        finally:
            told.append("")

    async def share(self, value: Any) -> Ref:
        """Store a value once, for many tasks; they get it read-only and must not change it."""
        self._enter("share: ")
        return await self._store(value)

    async def release(self, ref: Ref) -> None:
        """Free what `share` stored; the Ref must not be used again."""
        self._enter("release: ")
        await self._forget(ref)

    async def close(self) -> None:
        """End all tasks (their callers get EngineClosedError), processes and files. May be called twice."""
        if self._closing is not None:
            await asyncio.shield(self._closing)
            return
        if not self._closed:
            loop = asyncio.get_running_loop()
            if self._loop is not None and self._loop.is_closed() and self._has_tasks:
                self._closed = True
                self._finalizer()  # what runs belongs to a loop that is gone: only the hard way is left
                return
            if loop is not self._loop:
                self._bind(loop)
            self._closed = True
            self._closing = loop.create_future()
            try:
                self._refuse_waiting()
                await asyncio.gather(self._close_functions(), self._commands.close())
                await self._scratch.close()
                self._finalizer.detach()
            finally:
                self._closing.set_result(None)
                self._closing = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        capacity = self.capacity()
        gpus = f", gpus={capacity.gpus}" if capacity.gpus else ""
        memory = "" if capacity.memory is None else f", memory={capacity.memory}"
        return f"{type(self).__name__}(workers={capacity.cpus}{gpus}{memory})"

    # --- for subclasses ------------------------------------------------------------------------------------------

    @abstractmethod
    async def _run_function(self, task: Task, on_start: OnStart | None) -> Any:
        """Run a function task; have the event loop call `on_start` with the worker's name when it begins."""

    @abstractmethod
    async def _store(self, value: Any) -> Ref: ...

    @abstractmethod
    async def _forget(self, ref: Ref) -> None: ...

    @abstractmethod
    async def _close_functions(self) -> None: ...

    @property
    @abstractmethod
    def _is_busy(self) -> bool: ...

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve this event loop from now on."""
        if self._loop is not None and self._has_tasks:
            raise ConfigurationError("the engine has tasks in another event loop; an engine serves one loop at a time")
        self._loop = loop

    def _abandon_first(self, action: Callable[[], None]) -> None:
        """Have `action`, which must not refer to the engine, done first if the engine is never closed."""
        self._abandoning.insert(0, action)

    # --- inside --------------------------------------------------------------------------------------------------

    @property
    def _has_tasks(self) -> bool:
        return self._is_busy or self._commands.is_busy or bool(self._waiting)

    def _enter(self, who: str) -> None:
        if self._closed:
            raise EngineClosedError(f"{who}the engine has been closed")
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._bind(loop)

    async def _acquire(self, task: Task) -> SlotRequest:
        """Wait for the task's resources; the caller must release the request in the end."""
        loop = asyncio.get_running_loop()
        granted: asyncio.Future[None] = loop.create_future()

        def grant(request: SlotRequest) -> None:
            if granted.done():
                self._slots.release(request)
            else:
                granted.set_result(None)

        request = SlotRequest(task, grant)
        request.plain = False
        self._waiting[request] = granted
        self._slots.submit(request)
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                self._slots.withdraw(request)
            else:  # granted in the moment of the cancellation
                self._slots.release(request)
            raise
        finally:
            del self._waiting[request]
        return request

    async def _run_command(self, task: Task, on_start: OnStart | None) -> CommandOutput:
        request = await self._acquire(task)
        try:
            return await self._commands.run(task, self._slots.visible_gpus(request), on_start)
        finally:
            self._slots.release(request)

    def _refuse_waiting(self) -> None:
        for request, granted in self._waiting.items():
            self._slots.withdraw(request)
            if not granted.done():
                error = f"task {request.task.key}: the engine was closed before it began"
                granted.set_exception(EngineClosedError(error))


def _abandon(engine: weakref.ref[BaseEngine], actions: list[Callable[[], None]]) -> None:
    """End what nobody closed: an engine that was forgotten, or all that are left when the program ends."""
    left = engine()
    loop = None if left is None else left._loop
    if left is not None and loop is not None and left._scratch.is_own and _runs_elsewhere(loop):
        # The program ends over a thread that still works with it, and only that thread may touch it.
        closing = asyncio.run_coroutine_threadsafe(left.close(), loop)
        try:
            closing.result(LAST)
            return
        except (Exception, CancelledError) as error:  # its loop has ended meanwhile, or hangs: the hard way
            logger.debug("an engine was not closed by its own thread: %r", error)
    if left is not None:
        left._closed = True  # who closes it after this has nothing to wait for
    for action in actions:
        action()


def _runs_elsewhere(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether an event loop is running in another thread of this process."""
    try:
        return asyncio.get_running_loop() is not loop and loop.is_running()
    except RuntimeError:
        return loop.is_running()


def _gpu_names(gpus: int | Sequence[str]) -> list[str]:
    """Return the gpus as CUDA names them: those named, or so many of those that this process may see itself."""
    if isinstance(gpus, (list, tuple)) and all(isinstance(name, str) and name for name in gpus):
        return list(gpus)
    if isinstance(gpus, bool) or not isinstance(gpus, int) or gpus < 0:
        raise ConfigurationError(f"gpus must be a whole number from 0 on, or a list of CUDA's names, got {gpus!r}")
    if not gpus:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(number) for number in range(gpus)] if visible is None else [n for n in visible.split(",") if n]
    if len(names) < gpus:
        raise ConfigurationError(f"gpus={gpus}, but CUDA_VISIBLE_DEVICES={visible} lets this process see {len(names)}")
    return names[:gpus]
