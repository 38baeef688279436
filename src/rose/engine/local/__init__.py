"""Run functions in worker processes and commands in subprocesses of this machine: the embedded engine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rose.engine.base import BaseEngine
from rose.engine.local.initializer import checked_initializer
from rose.engine.local.pool import WorkerPool
from rose.engine.processes.memory import ENFORCED
from rose.engine.protocol import Capabilities, OnStart, Ref, Task
from rose.engine.shipping.shared_store import SharedStore
from rose.errors import ConfigurationError


class LocalEngine(BaseEngine):
    """Run functions in worker processes and commands as subprocesses, without a server or a `__main__` guard.

    `workers` is how many cpus it may occupy (None: all that this process may use), `gpus` how many gpus
    (or which: CUDA's names), and `memory`
    how many bytes (None: not counted); what tasks ask for is kept within them. A function that takes more memory than
    its task asked for, or a process of a command that does, is stopped (on Linux, see `rose.engine.processes.memory`).

    Large arrays and shared values are files in a private directory inside `temp_dir` (None: the system's, see TMPDIR).
    Tasks are sent with cloudpickle, so lambdas, closures and a notebook's functions work; arguments must not be changed
    until `run` returns.

    A worker begins with what the driver's program has at that moment: `sys.argv`, `sys.path`, Python's options, the
    environment, the working directory, recursion limit, locale, filters of warnings, levels of loggers and handlers
    that print or append to a file, decimal's context, `np.seterr`, and what multiprocessing's spawn passes on. For the
    rest, `initializer` is called once in each worker; if it raises, tasks end with WorkerLostError and its cause.

    >>> import asyncio
    >>> from rose.engine import LocalEngine, Task, TaskKey
    >>> async def main():
    ...     async with LocalEngine(workers=2) as engine:
    ...         return await engine.run(Task(TaskKey("demo", 0, "simulation"), lambda x: x**2, (7,)))
    >>> asyncio.run(main())
    49
    """

    capabilities = Capabilities(
        stops_work=True,
        stops_children=True,
        enforces_timeout=True,
        survives_crash=True,
        limits_threads=True,
        isolates_memory=True,
        limits_memory=ENFORCED,
        assigns_gpus=True,
        tells_start=True,
    )

    def __init__(
        self,
        workers: int | None = None,
        *,
        gpus: int | Sequence[str] = 0,
        memory: int | None = None,
        temp_dir: str | Path | None = None,
        initializer: Callable[[], object] | None = None,
    ) -> None:
        if sys.platform == "win32":
            raise ConfigurationError("LocalEngine needs process groups, which Windows lacks; use WSL or ThreadEngine")
        super().__init__(workers, gpus, memory, temp_dir)
        self._shared = SharedStore(self._scratch)
        self._pool = WorkerPool(self._slots, self._scratch, self._shared, checked_initializer(initializer))
        self._abandon_first(self._pool.abandon)

    async def _run_function(self, task: Task, on_start: OnStart | None) -> Any:
        return await self._pool.run(task, on_start)

    async def _store(self, value: Any) -> Ref:
        return await self._shared.store(value, lambda: self._enter("share: "))

    async def _forget(self, ref: Ref) -> None:
        await self._shared.remove(ref)

    async def _close_functions(self) -> None:
        await self._pool.close()

    @property
    def _is_busy(self) -> bool:
        return self._pool.is_busy

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        super()._bind(loop)
        self._pool.bind(loop)
