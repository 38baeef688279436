"""Engines whose tasks run in workers of somebody else's: what they have in common."""

from __future__ import annotations

import asyncio
import itertools
import os
import pickle
import sys
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future
from dataclasses import replace
from glob import escape, iglob
from pathlib import Path
from typing import Any

from rose.engine.base import BaseEngine
from rose.engine.errand import Errand, Surroundings, absolute, unpack_error
from rose.engine.executor_facts import CAPABILITIES, Where
from rose.engine.failures import describe
from rose.engine.host import host
from rose.engine.hosts import FAREWELL, Hosts
from rose.engine.job import Job, Outcome, Used, in_thread
from rose.engine.order import RAISED, REFUSED, UNREACHABLE, Order, Reply
from rose.engine.parcel import pack_task, unpack_reply
from rose.engine.protocol import Command, CommandOutput, Ref, Task
from rose.engine.shelf import Shelf
from rose.engine.threads import MemoryRef, loaded
from rose.engine.transfer import Packed
from rose.engine.wire import RESULT
from rose.errors import (
    CapacityError,
    EngineClosedError,
    RoseError,
    TaskError,
    TaskFailedError,
    TaskTimeoutError,
    WorkerLostError,
)


class HostedEngine(BaseEngine):
    """Admits tasks, and gives each to a pool when its turn has come; a subclass knows how to give.

    Args:
        what: how messages call the pool.
        where: where functions run.
        gpus_by_pool: whether the pool itself gives each task its gpus.
        address: the name by which the pool's workers find this machine; None: they are on it.
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
    ) -> None:
        self._assigns_gpus = where == "child" and address is None and not gpus_by_pool
        if isinstance(gpus, int) and not self._assigns_gpus:
            gpus = [str(number) for number in range(gpus)]  # of other machines: only how many counts
        super().__init__(workers, gpus, memory, temp_dir)
        self.capabilities = replace(CAPABILITIES[where], assigns_gpus=self._assigns_gpus)
        self._what = what
        self._where: Where = where
        self._near = address is None
        self._shelf = Shelf(self._custody, remap=self._near)
        self._hosts = Hosts(lambda: self._custody.folder, self._custody.threads, address)
        self._guarded = False
        self._jobs: set[Job] = set()
        self._numbers = itertools.count(1)
        self._abandon_first(self._hosts.abandon)

    def __repr__(self) -> str:
        capacity = self.capacity()
        gpus = f", gpus={capacity.gpus}" if capacity.gpus else ""
        places = {"child": "children of its workers", "worker": "its workers", "thread": "its threads"}
        return f"{type(self).__name__}({self._what}, workers={capacity.cpus}{gpus}; functions in {places[self._where]})"

    # --- for subclasses ------------------------------------------------------------------------------------------

    @abstractmethod
    async def _submit(self, task: Task, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Give the pool `function(argument)`, which blocks; both pickle if the pool crosses processes.

        Raises:
            EngineClosedError: the pool takes nothing any more.
            CapacityError: it cannot give what the task asks for.
        """

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

    async def _run_command(self, task: Task) -> CommandOutput:
        self._check_given(task)
        output: CommandOutput = await self._run_hosted(task)
        return output

    async def _run_function(self, task: Task) -> Any:
        self._check_given(task)
        return await (self._run_in_thread(task) if self._where == "thread" else self._run_hosted(task))

    async def _run_hosted(self, task: Task) -> Any:
        job = Job(task, await self._acquire(task), self._new_future(), number=next(self._numbers))
        try:
            message = await self._pack(job)
        except BaseException:
            self._slots.release(job.request)
            raise
        self._hosts.expect(job.number, lambda: job.fail(WorkerLostError("the worker that ran it died", job.key)))
        return await self._follow(job, host, message)

    async def _run_in_thread(self, task: Task) -> Any:
        job = Job(task, await self._acquire(task), self._new_future())
        try:
            call = (task.call, loaded(task.args), loaded(dict(task.kwargs)))
        except BaseException:
            self._slots.release(job.request)
            raise
        return await self._follow(job, in_thread, call)

    def _new_future(self) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    async def _pack(self, job: Job) -> bytes:
        """The order for a job, after the files that it needs have been written."""
        task = job.task
        call: bytes | Command
        used = Used(self._shelf.paths)
        if isinstance(task.call, Command):
            call = absolute(task.call)
        else:
            if self._near:
                job.prefix = os.path.join(self._custody.folder, f"task-{job.number}-")
            job.packed = pack_task(task, job.prefix, used, remap=self._near)
            call = job.packed.body
        await self._prepare(job.packed)
        errand = Errand(task.key, call, task.resources, task.timeout, job.prefix and f"{job.prefix}result-")
        gpus = None
        if self._gpu_names and self._assigns_gpus:
            gpus = ",".join(self._gpu_names[number] for number in job.request.gpu_ids)
        path = tuple(str(entry) or os.getcwd() for entry in sys.path)
        here = self._where == "worker"
        order = Order(
            driver=self._hosts.driver(),
            number=job.number,
            errand=errand,
            surroundings=Surroundings(path, os.getcwd() if self._near else None),
            gpus=gpus,
            refs=() if self._near else [int(Path(path).parent.name.removeprefix("ref-")) for path in used.paths],
            here=here,
        )
        return pickle.dumps(order)

    async def _prepare(self, packed: Packed | None) -> None:
        """Write the files that a job needs."""
        if self._guarded and (packed is None or not packed.files):
            return

        def prepare() -> None:
            self._custody.guard()
            if packed is not None:
                packed.write()

        await asyncio.get_running_loop().run_in_executor(self._custody.threads, prepare)
        self._guarded = True

    # --- a job in the pool ---------------------------------------------------------------------------------------

    async def _follow(self, job: Job, function: Callable[[Any], Any], argument: Any) -> Any:
        loop = asyncio.get_running_loop()
        self._jobs.add(job)
        job.work = loop.create_task(self._work(job, function, argument))
        timeout = job.task.timeout
        if timeout is not None and not self.capabilities.enforces_timeout and not isinstance(job.task.call, Command):
            text = f"ran longer than its timeout of {timeout:g} s (in {self._what} nothing can stop it: it goes on)"
            job.deadline = loop.call_later(timeout, job.fail, TaskTimeoutError(text, job.key))
        try:
            return await job.result
        except asyncio.CancelledError:
            await self._cancel(job)
            raise

    async def _work(self, job: Job, function: Callable[[Any], Any], argument: Any) -> None:
        """Holds the job's resources from its submission to its end in the pool, also when its caller has gone."""
        outcome: Any = None
        try:
            job.future = await self._submit(job.task, function, argument)
            if job.result.done():
                job.withdraw()
            outcome = await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            job.fail(EngineClosedError(f"task {job.key}: {self._what} has been shut down, or has withdrawn it"))
            if job.future is None or not job.future.cancelled():
                raise
        except RoseError as error:
            job.fail(error)
        except Exception as error:
            job.fail(self._lost(job, error))
        finally:
            self._end(job)
        self._settle(job, outcome)

    def _end(self, job: Job) -> None:
        self._jobs.discard(job)
        self._hosts.forget(job.number)
        if job.deadline is not None:
            job.deadline.cancel()
        self._slots.release(job.request)

    def _settle(self, job: Job, outcome: Any) -> None:
        """Make of what the pool returned what the caller is to get."""
        if isinstance(outcome, Outcome):
            if outcome.error is not None:
                error: TaskError = TaskFailedError(describe(outcome.error), job.key)
                error.__cause__ = outcome.error
                job.fail(error)
            elif not job.result.done():
                job.result.set_result(outcome.result)
            return
        status = outcome.status if isinstance(outcome, Reply) else REFUSED
        if isinstance(outcome, Reply):
            if status == RAISED:
                job.fail(unpack_error(outcome.body))
            elif status == UNREACHABLE:
                job.fail(WorkerLostError(f"{outcome.body.decode()} (say address=)", job.key))
            elif status == REFUSED:
                text = f"{self._what} lost it, and wanted to run it again; it is not run a second time unasked"
                job.fail(WorkerLostError(text, job.key))
            else:
                unpack_reply(job.task, status, memoryview(outcome.body), job.result)
        if job.prefix is not None and status != RESULT:
            self._custody.threads.submit(_sweep, job.prefix)

    def _lost(self, job: Job, cause: Exception) -> WorkerLostError:
        if isinstance(cause, BrokenExecutor):
            text = f"{self._what} is dead, and what it ran is lost ({describe(cause)}); make a new one"
        else:
            text = f"{self._what} did not run it: {describe(cause)}"
        error = WorkerLostError(text, job.key)
        error.__cause__ = cause
        return error

    async def _cancel(self, job: Job) -> None:
        """The caller has gone: withdraw the job, or stop it and wait for its end; where neither can be, it goes on."""
        begun = bool(job.number) and self._hosts.stop(job.number)
        if job.withdraw() or not begun or not self._stops(job):
            return
        assert job.work is not None
        await asyncio.wait([job.work])

    def _stops(self, job: Job) -> bool:
        return self.capabilities.stops_work or isinstance(job.task.call, Command)

    # --- shared values -------------------------------------------------------------------------------------------

    async def _store(self, value: Any) -> Ref:
        if self._where == "thread":
            return MemoryRef.of(value)
        return await self._shelf.store(value, lambda: self._enter("share: "))

    async def _forget(self, ref: Ref) -> None:
        if self._where == "thread":
            MemoryRef.free(ref)
            return
        removed = await self._shelf.remove(ref)
        self._hosts.drop(int(Path(removed.path).parent.name.removeprefix("ref-")))

    # --- ends ----------------------------------------------------------------------------------------------------

    async def _close_functions(self) -> None:
        jobs = list(self._jobs)
        for job in jobs:
            job.fail(EngineClosedError(f"task {job.key}: the engine was closed before it ended"))
            job.withdraw()
        begun = [job.work for job in jobs if job.work is not None and self._has_begun(job)]
        await self._hosts.close()
        if begun:
            await asyncio.wait(begun, timeout=FAREWELL if self.capabilities.stops_work else None)
        left = [job.work for job in jobs if job.work is not None]
        for work in left:
            work.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _has_begun(self, job: Job) -> bool:
        """Whether it runs in a worker; those that only wait there for their turn will find that nobody wants them."""
        if job.number:
            return self._hosts.has_begun(job.number)
        return job.future is None or job.future.running()

    @property
    def _is_busy(self) -> bool:
        return bool(self._jobs)

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        super()._bind(loop)
        self._hosts.bind(loop)


def _sweep(prefix: str) -> None:
    """Remove the files that nobody will load. Blocks."""
    for path in iglob(f"{escape(prefix)}*"):
        os.unlink(path)
