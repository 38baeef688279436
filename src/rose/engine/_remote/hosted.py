"""Engines whose tasks are hosted by workers of somebody else's: commands, and functions in children of the workers."""

from __future__ import annotations

import asyncio
import itertools
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from glob import escape, iglob
from pathlib import Path
from typing import Any

from rose.engine._remote.executor_traits import CAPABILITIES, Where
from rose.engine._remote.host import host
from rose.engine._remote.host_protocol import RAISED, REFUSED, UNREACHABLE, Order, Reply
from rose.engine._remote.hosts import Hosts
from rose.engine._remote.job import Job, Used
from rose.engine._remote.pooled import PooledEngine
from rose.engine._remote.remote_task import Errand, Surroundings, absolute, unpack_error
from rose.engine.local.initializer import checked_initializer
from rose.engine.local.interpreter import current
from rose.engine.local.task_codec import pack_task, unpack_reply
from rose.engine.local.worker_protocol import RESULT
from rose.engine.protocol import Command, CommandOutput, OnStart, Ref, Task
from rose.engine.shipping.serialization import Packed
from rose.engine.shipping.shared_store import SharedStore
from rose.engine.threads import MemoryRef
from rose.errors import CapacityError, ConfigurationError, WorkerTakenError


class HostedEngine(PooledEngine):
    """Gives orders to a pool, whose workers run them by `host`; or functions, to threads of this process.

    Args:
        what: how messages call the pool.
        where: where functions run.
        gpus_by_pool: whether the pool itself gives each task its gpus.
        address: the name by which the pool's workers find this machine; None: they are on it.
        initializer: called once in each child of a worker.
    """

    def __init__(
        self,
        what: str,
        where: Where,
        *,
        workers: int,
        gpus: int | Sequence[str],
        gpus_by_pool: bool,
        memory: int | None,
        address: str | None,
        temp_dir: str | Path | None,
        initializer: Callable[[], object] | None = None,
    ) -> None:
        if initializer is not None and where != "child":
            raise ConfigurationError(
                f"initializer: functions run in the {where}s of {what} itself, which ROSE does not start: give the "
                "pool an initializer of its own, or killable=True"
            )
        self._initializer = checked_initializer(initializer)
        self._interpreter: bytes | None = None
        self._assigns_gpus = where == "child" and address is None and not gpus_by_pool
        if isinstance(gpus, int) and not self._assigns_gpus:
            gpus = [str(number) for number in range(gpus)]  # of other machines: only how many counts
        super().__init__(what, workers, gpus, memory, temp_dir)
        self.capabilities = replace(CAPABILITIES[where], assigns_gpus=self._assigns_gpus)
        self._where: Where = where
        self._near = address is None
        self._shared = SharedStore(self._scratch, remap=self._near)
        self._hosts = Hosts(self._scratch, address)
        self._guarded = False
        self._numbers = itertools.count(1)
        self._abandon_first(self._hosts.abandon)

    def __repr__(self) -> str:
        capacity = self.capacity()
        gpus = f", gpus={capacity.gpus}" if capacity.gpus else ""
        places = {"child": "children of its workers", "worker": "its workers", "thread": "its threads"}
        return f"{type(self).__name__}({self._what}, workers={capacity.cpus}{gpus}; functions in {places[self._where]})"

    def _check_given(self, task: Task) -> None:
        """Refuse what the pool's workers cannot give to a task.

        Raises:
            CapacityError: naming what.
        """
        wanted = task.resources
        if not self._near and wanted.cpus > 1:
            raise CapacityError(
                f"task {task.key} asks for {wanted.cpus} cpus: nobody can tell {self._what} to give a task more than "
                "one worker, or what a worker has; ask for 1 cpu"
            )
        if not self._near and wanted.gpus:
            raise CapacityError(f"task {task.key} asks for {wanted.gpus} gpus, which {self._what} cannot be asked for")

    # --- functions and commands ----------------------------------------------------------------------------------

    async def _run_command(self, task: Task, on_start: OnStart | None) -> CommandOutput:
        self._check_given(task)
        output: CommandOutput = await self._run_hosted(task)
        return output

    async def _run_function(self, task: Task, on_start: OnStart | None) -> Any:
        self._check_given(task)
        return await (self._run_in_thread(task) if self._where == "thread" else self._run_hosted(task))

    async def _run_hosted(self, task: Task) -> Any:
        job = await self._admit(task, next(self._numbers))
        try:
            message = await self._pack(job)
            if job.result.done():  # the engine was closed meanwhile
                return await job.result
        except BaseException:
            self._end(job)
            self._sweep(job)
            raise
        self._hosts.expect(job.number, lambda: job.fail(WorkerTakenError("the worker that ran it died", job.key)))
        return await self._follow(job, host, message)

    async def _pack(self, job: Job) -> bytes:
        """The order for a job, after the files that it needs have been written."""
        task = job.task
        call: bytes | Command
        used = Used(self._shared.paths)
        if isinstance(task.call, Command):
            call = absolute(task.call)
        else:
            if self._near:
                job.prefix = os.path.join(self._scratch.folder, f"task-{job.number}-")
            main, first = self._shared.main, self._initializer
            job.packed = pack_task(task, job.prefix, used, remap=self._near, shipper=main, initializer=first)
            call = job.packed.body
        await self._prepare(job.packed)
        if job.result.done():
            return b""
        gpus = None
        if self._gpu_names and self._assigns_gpus:
            gpus = ",".join(self._gpu_names[number] for number in job.request.gpu_ids)
        path = tuple(str(entry) or os.getcwd() for entry in sys.path)
        order = Order(
            driver=self._hosts.driver(),
            number=job.number,
            errand=Errand(task.key, call, task.resources, task.timeout, job.prefix and f"{job.prefix}result-"),
            surroundings=Surroundings(path, os.getcwd() if self._near else None, interpreter=self._settings()),
            gpus=gpus,
            refs=() if self._near else [_number(path) for path in used.paths],
            here=self._where == "worker",
        )
        return pickle.dumps(order)

    def _settings(self) -> bytes | None:
        """Return what the program has set when the first task is sent, for the children of the pool's workers."""
        if self._interpreter is None and self._where == "child":
            settings = current()
            self._interpreter = pickle.dumps(settings if self._near else settings.elsewhere())
        return self._interpreter

    async def _prepare(self, packed: Packed | None) -> None:
        """Write the files that a job needs."""
        if self._guarded and (packed is None or not packed.files):
            return

        def prepare() -> None:
            self._scratch.ensure_reaper()
            if packed is not None:
                packed.write()

        await asyncio.get_running_loop().run_in_executor(self._scratch.threads, prepare)
        self._guarded = True

    # --- a job in the pool ---------------------------------------------------------------------------------------

    def _settle(self, job: Job, outcome: Any) -> None:
        super()._settle(job, outcome)
        if isinstance(outcome, Reply):
            if outcome.status == RAISED:
                job.fail(unpack_error(outcome.body))
            elif outcome.status == UNREACHABLE:
                job.fail(WorkerTakenError(f"{outcome.body.decode()} (say address=)", job.key))
            elif outcome.status == REFUSED:
                text = f"{self._what} lost it, and wanted to run it again; it is not run a second time unasked"
                job.fail(WorkerTakenError(text, job.key))
            else:
                unpack_reply(job.task, outcome.status, memoryview(outcome.body), job.result)
        if not isinstance(outcome, Reply) or outcome.status != RESULT:
            self._sweep(job)

    def _sweep(self, job: Job) -> None:
        """Remove a job's files, which nobody will load."""
        prefix = job.prefix
        if prefix is None or self._closed:
            return

        def sweep() -> None:
            for path in iglob(f"{escape(prefix)}*"):
                os.unlink(path)

        self._scratch.threads.submit(sweep)

    def _end(self, job: Job) -> None:
        super()._end(job)
        self._hosts.forget(job.number)

    def _stop(self, job: Job) -> bool:
        if not job.number:
            return super()._stop(job)
        begun = self._hosts.stop(job.number)
        return begun and (self.capabilities.stops_work or isinstance(job.task.call, Command))

    def _has_begun(self, job: Job) -> bool:
        return self._hosts.has_begun(job.number) if job.number else super()._has_begun(job)

    async def _hang_up(self) -> None:
        await self._hosts.close()

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        super()._bind(loop)
        self._hosts.bind(loop)

    # --- shared values -------------------------------------------------------------------------------------------

    async def _store(self, value: Any) -> Ref:
        if self._where == "thread":
            return MemoryRef.of(value)
        return await self._shared.store(value, lambda: self._enter("share: "))

    async def _forget(self, ref: Ref) -> None:
        if self._where == "thread":
            MemoryRef.free(ref)
            return
        removed = await self._shared.remove(ref)
        self._hosts.drop(_number(removed.path))


def _number(path: str) -> int:
    """Which shared value is kept there."""
    return int(Path(path).parent.name.removeprefix("ref-"))
