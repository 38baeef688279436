"""Give tasks to a pool of somebody else's: its workers run orders, or its threads functions."""

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
from functools import partial
from glob import escape, iglob
from pathlib import Path
from typing import Any

from rose.engine._remote.executor_traits import CAPABILITIES, Where
from rose.engine._remote.host_protocol import Order, Reply, ref_of
from rose.engine._remote.host_thread import run_order
from rose.engine._remote.hosts import FAREWELL, Hosts
from rose.engine._remote.job import PoolJob, pack, settle, taken
from rose.engine._remote.remote_task import Surroundings
from rose.engine._remote.thread_call import ThreadCall, ThreadResult, in_thread
from rose.engine.base import BaseEngine
from rose.engine.deadline import Deadline
from rose.engine.failures import describe, failed
from rose.engine.functions.coroutines import Interrupt
from rose.engine.local.initializer import checked_initializer
from rose.engine.local.interpreter import current
from rose.engine.local.worker_protocol import RESULT
from rose.engine.processes.process import worker_name
from rose.engine.protocol import Command, CommandOutput, OnStart, Ref, Task
from rose.engine.shipping.shared_store import SharedStore
from rose.engine.threads import GRACE, MemoryRef, as_here, loaded, until_ended
from rose.errors import (
    CapacityError,
    ConfigurationError,
    EngineClosedError,
    RoseError,
    TaskTimeoutError,
    WorkerTakenError,
)


class PoolEngine(BaseEngine):
    """Admit tasks, and give each to the pool when its turn has come.

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
        super().__init__(workers, gpus, memory, temp_dir)
        self.capabilities = replace(CAPABILITIES[where], assigns_gpus=self._assigns_gpus)
        self._what = what
        self._where: Where = where
        self._near = address is None
        self._shared = SharedStore(self._scratch, remap=self._near)
        self._hosts = Hosts(self._scratch, address)
        self._guarded = False
        self._numbers = itertools.count(1)
        self._jobs: set[PoolJob] = set()  # all that hold resources
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

    # --- a job ---------------------------------------------------------------------------------------------------

    async def _run_command(self, task: Task, on_start: OnStart | None) -> CommandOutput:
        output: CommandOutput = await self._run(task, on_start, None)
        return output

    async def _run_function(self, task: Task, on_start: OnStart | None) -> Any:
        return await self._run(task, on_start, Interrupt() if self._where == "thread" else None)

    async def _run(self, task: Task, on_start: OnStart | None, interrupt: Interrupt | None) -> Any:
        self._check_given(task)
        request, loop = await self._acquire(task), asyncio.get_running_loop()
        job = PoolJob(task, next(self._numbers), loop.create_future(), request, on_start, interrupt=interrupt)
        self._jobs.add(job)
        try:
            if interrupt is None:
                self._hosts.expect(job)
                job.work = loop.create_task(self._work(job, run_order, await self._order(job)))
            else:
                job.work = loop.create_task(self._work(job, as_here(in_thread), self._thread_call(job, interrupt)))
        except BaseException:
            self._end(job)
            self._sweep(job)
            raise
        if task.timeout is not None and not self.capabilities.enforces_timeout and not isinstance(task.call, Command):
            job.deadline = Deadline(loop, task.timeout, partial(self._overrun, job, task.timeout))
        try:
            return await job.result
        except asyncio.CancelledError:
            if not job.result.cancelled():
                job.result.exception()  # it came too late to be raised
            await self._cancel(job)
            raise

    def _thread_call(self, job: PoolJob, interrupt: Interrupt) -> ThreadCall:
        task, tell = job.task, None
        assert not isinstance(task.call, Command)
        if job.on_start is not None:
            tell = partial(asyncio.get_running_loop().call_soon_threadsafe, job.begin, worker_name(os.getpid()))
        call = partial(task.call, *loaded(task.args), **loaded(dict(task.kwargs)))
        return ThreadCall(call, interrupt, tell)

    async def _order(self, job: PoolJob) -> bytes:
        """Return the order for a job, after the files that it needs have been written."""
        if self._near and not isinstance(job.task.call, Command):
            job.prefix = os.path.join(self._scratch.folder, f"task-{job.number}-")
        remote, refs = pack(job, self._shared, job.prefix, self._initializer, remap=self._near)
        await self._prepare(job)
        if job.result.done():  # the engine was closed meanwhile
            return b""
        gpus = None
        if self._gpu_names and self._assigns_gpus:
            gpus = ",".join(self._gpu_names[number] for number in job.request.gpu_ids)
        if not gpus:
            remote = replace(remote, resources=replace(remote.resources, gpus=0))
        path = tuple(str(entry) or os.getcwd() for entry in sys.path)
        order = Order(
            number=job.number,
            task=remote,
            tells_start=job.on_start is not None,
            ended_below=self._hosts.ended_below,
            refs=() if self._near else refs,
            gpus=gpus,
            in_worker=self._where == "worker",
            driver=self._hosts.driver(),
            surroundings=Surroundings(path, os.getcwd() if self._near else None, interpreter=self._settings()),
        )
        return pickle.dumps(order)

    def _settings(self) -> bytes | None:
        """Return what the program has set when the first task is sent, for the children of the pool's workers."""
        if self._interpreter is None and self._where == "child":
            settings = current()
            self._interpreter = pickle.dumps(settings if self._near else settings.elsewhere())
        return self._interpreter

    async def _prepare(self, job: PoolJob) -> None:
        """Write the files that a job needs."""
        if self._guarded and not job.packed.files:
            return

        def prepare() -> None:
            self._scratch.ensure_reaper()
            job.packed.write()

        await asyncio.get_running_loop().run_in_executor(self._scratch.threads, prepare)
        self._guarded = True

    async def _work(self, job: PoolJob, function: Callable[[Any], Any], argument: Any) -> None:
        """Own the job from its submission to its end in the pool, also when its caller has gone."""
        outcome: Any = None
        try:
            if job.result.done():
                return
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
        except (Exception, KeyboardInterrupt, SystemExit) as error:  # the latter are the worker's, not ours
            job.fail(self._lost(job, error))
        finally:
            self._end(job)
            self._settle(job, outcome)

    def _settle(self, job: PoolJob, outcome: Any) -> None:
        """Make of what the pool returned what the caller is to get."""
        if isinstance(outcome, ThreadResult) and outcome.error is not None:
            job.fail(failed(outcome.error, job.key))
        elif isinstance(outcome, ThreadResult) and not job.result.done():
            job.result.set_result(outcome.result)
        elif isinstance(outcome, Reply):
            refused, stopped = f"{self._what} lost it, and wanted to run it again", f"{self._what} stopped it"
            settle(job, outcome, refused, stopped)
        if not isinstance(outcome, Reply) or outcome.status != RESULT:
            self._sweep(job)

    def _lost(self, job: PoolJob, cause: BaseException) -> WorkerTakenError:
        if isinstance(cause, BrokenExecutor):
            text = f"{self._what} is dead, and what it ran is lost ({describe(cause)}); make a new one"
        else:
            text = f"{self._what} did not run it: {describe(cause)}"
        return taken(text, job.key, cause)

    # --- ends ----------------------------------------------------------------------------------------------------

    def _end(self, job: PoolJob) -> None:
        self._jobs.discard(job)
        if job.deadline is not None:
            job.deadline.cancel()
        self._slots.release(job.request)
        self._hosts.forget(job)

    def _sweep(self, job: PoolJob) -> None:
        """Remove a job's files, which nobody will load."""
        prefix = job.prefix
        if prefix is None or self._closed:
            return

        def sweep() -> None:
            for path in iglob(f"{escape(prefix)}*"):
                os.unlink(path)

        self._scratch.threads.submit(sweep)

    def _overrun(self, job: PoolJob, timeout: float) -> None:
        cancelled = job.interrupt is not None and job.interrupt.cancel()
        what = "and was cancelled" if cancelled else f"(in {self._what} nothing can stop it: it goes on)"
        job.fail(TaskTimeoutError(f"ran longer than its timeout of {timeout:g} s {what}", job.key))

    async def _cancel(self, job: PoolJob) -> None:
        """Withdraw a job whose caller has gone, or stop it and wait for its end; where neither can be, it goes on."""
        if job.interrupt is not None:
            ends = job.interrupt.cancel()
        else:
            begun = self._hosts.stop(job)
            ends = begun and (self.capabilities.stops_work or isinstance(job.task.call, Command))
        if job.withdraw() or not ends:
            return
        assert job.work is not None
        await asyncio.wait([job.work], timeout=None if job.interrupt is None else GRACE)

    async def _close_functions(self) -> None:
        jobs = list(self._jobs)
        for job in jobs:
            job.fail(EngineClosedError(f"task {job.key}: the engine was closed before it ended"))
            if not job.withdraw() and job.interrupt is not None:
                job.interrupt.cancel()
        begun = {job.work: job.key for job in jobs if job.work is not None and job.has_begun}
        await self._hosts.close()
        if not self.capabilities.stops_work:
            await until_ended(begun)
        elif begun:
            await asyncio.wait(begun, timeout=FAREWELL)
        left = [job.work for job in jobs if job.work is not None]
        for work in left:
            work.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    @property
    def _is_busy(self) -> bool:
        return bool(self._jobs)

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
        self._hosts.drop(ref_of(removed.path))
