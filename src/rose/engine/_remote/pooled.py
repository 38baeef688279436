"""Engines that give their tasks to a pool of somebody else's: a task on its way, from its admission to its end."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future
from functools import partial
from pathlib import Path
from typing import Any

from rose.engine._remote.hosts import FAREWELL
from rose.engine._remote.job import Job, Outcome, in_thread
from rose.engine.base import BaseEngine
from rose.engine.deadline import Deadline
from rose.engine.failures import describe, failed
from rose.engine.functions.coroutines import Interrupt
from rose.engine.protocol import Command, Task
from rose.engine.threads import GRACE, as_here, loaded, until_ended
from rose.errors import EngineClosedError, RoseError, TaskTimeoutError, WorkerTakenError


class PooledEngine(BaseEngine):
    """Admits tasks, and gives each to a pool when its turn has come. `what` is how messages call the pool."""

    def __init__(
        self, what: str, workers: int, gpus: int | Sequence[str], memory: int | None, temp_dir: str | Path | None
    ) -> None:
        super().__init__(workers, gpus, memory, temp_dir)
        self._what = what
        self._jobs: set[Job] = set()  # all that hold resources

    # --- for subclasses ------------------------------------------------------------------------------------------

    @abstractmethod
    async def _submit(self, task: Task, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        """Give the pool `function(argument)`, which blocks; both pickle if the pool crosses processes.

        Raises:
            EngineClosedError: the pool takes nothing any more.
            CapacityError: it cannot give what the task asks for.
        """

    def _settle(self, job: Job, outcome: Any) -> None:
        """Make of what the pool returned what the caller is to get."""
        if isinstance(outcome, Outcome):
            if outcome.error is not None:
                job.fail(failed(outcome.error, job.key))
            elif not job.result.done():
                job.result.set_result(outcome.result)

    def _stop(self, job: Job) -> bool:
        """Have a job stopped that the pool does not give back; whether it has begun, and will end now."""
        return job.interrupt is not None and job.interrupt.cancel()

    def _has_begun(self, job: Job) -> bool:
        """Whether it runs in a worker; what only waits there will not begin when the engine has been closed."""
        return job.future is not None and job.future.running()

    async def _hang_up(self) -> None:
        """Tell the workers that the engine closes."""

    # --- a job ---------------------------------------------------------------------------------------------------

    async def _admit(self, task: Task, number: int = 0) -> Job:
        """Wait for the task's resources, which the job holds until `_end`."""
        request = await self._acquire(task)
        job = Job(task, request, asyncio.get_running_loop().create_future(), number)
        self._jobs.add(job)
        return job

    def _end(self, job: Job) -> None:
        self._jobs.discard(job)
        if job.deadline is not None:
            job.deadline.cancel()
        self._slots.release(job.request)

    async def _run_in_thread(self, task: Task) -> Any:
        """Run a function in a thread of the pool, which is in this process."""
        job = await self._admit(task)
        job.interrupt = Interrupt()
        try:
            call = (task.call, loaded(task.args), loaded(dict(task.kwargs)), job.interrupt)
        except BaseException:
            self._end(job)
            raise
        return await self._follow(job, as_here(in_thread), call)

    async def _follow(self, job: Job, function: Callable[[Any], Any], argument: Any) -> Any:
        """Give a job to the pool, and wait for what comes of it."""
        loop = asyncio.get_running_loop()
        job.work = loop.create_task(self._work(job, function, argument))
        timeout = job.task.timeout
        if timeout is not None and not self.capabilities.enforces_timeout and not isinstance(job.task.call, Command):
            job.deadline = Deadline(loop, timeout, partial(self._overrun, job, timeout))
        try:
            return await job.result
        except asyncio.CancelledError:
            if not job.result.cancelled():
                job.result.exception()  # it came too late to be raised
            await self._cancel(job)
            raise

    def _overrun(self, job: Job, timeout: float) -> None:
        cancelled = job.interrupt is not None and job.interrupt.cancel()
        what = "and was cancelled" if cancelled else f"(in {self._what} nothing can stop it: it goes on)"
        job.fail(TaskTimeoutError(f"ran longer than its timeout of {timeout:g} s {what}", job.key))

    async def _work(self, job: Job, function: Callable[[Any], Any], argument: Any) -> None:
        """Owns the job from its submission to its end in the pool, also when its caller has gone."""
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
        except (Exception, KeyboardInterrupt, SystemExit) as error:  # the latter are the worker's, not ours
            job.fail(self._lost(job, error))
        finally:
            self._end(job)
        self._settle(job, outcome)

    def _lost(self, job: Job, cause: BaseException) -> WorkerTakenError:
        if isinstance(cause, BrokenExecutor):
            text = f"{self._what} is dead, and what it ran is lost ({describe(cause)}); make a new one"
        else:
            text = f"{self._what} did not run it: {describe(cause)}"
        error = WorkerTakenError(text, job.key)
        error.__cause__ = cause
        return error

    async def _cancel(self, job: Job) -> None:
        """The caller has gone: withdraw the job, or stop it and wait for its end; where neither can be, it goes on."""
        ends = self._stop(job)
        if job.withdraw() or not ends:
            return
        assert job.work is not None
        await asyncio.wait([job.work], timeout=None if job.interrupt is None else GRACE)

    # --- ends ----------------------------------------------------------------------------------------------------

    async def _close_functions(self) -> None:
        jobs = list(self._jobs)
        for job in jobs:
            job.fail(EngineClosedError(f"task {job.key}: the engine was closed before it ended"))
            if not job.withdraw() and job.interrupt is not None:
                job.interrupt.cancel()
        begun = {job.work: job.key for job in jobs if job.work is not None and self._has_begun(job)}
        await self._hang_up()
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
