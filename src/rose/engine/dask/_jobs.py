"""Keep the tasks of one connection that have not ended: those that wait for a worker, and those that one was given."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from distributed import Future

from rose.engine._remote.job import RemoteJob
from rose.engine.dask._adaptive import AdaptiveDemand
from rose.engine.dask._connection import Connection
from rose.engine.dask.placement import Place, PlacedRequest, Placement
from rose.engine.protocol import OnStart, Task


@dataclass(eq=False, slots=True)
class DaskJob(RemoteJob):
    """Hold a task on its way to a Dask worker, which is its request's place."""

    sent_as: Any = None  # Dask's key, once it has been given to Dask
    work: asyncio.Task[None] | None = None  # sends it, and waits for its reply, if it has one of its own
    reply: Future | None = None  # Dask's future for that reply

    @property
    def place(self) -> Place | None:
        """Return where it was granted its resources; None: it waits."""
        assert isinstance(self.request, PlacedRequest)
        return self.request.place

    def recall(self) -> None:
        """End what was done for it where it was sent."""
        if self.work is not None and self.work is not asyncio.current_task():
            self.work.cancel()
        if self.reply is not None:
            self.reply.release()
        self.work = self.reply = self.sent_as = None


class Jobs:
    """Keep jobs by number, and the admission of them to workers; `placement` knows the workers."""

    def __init__(self, connection: Connection) -> None:
        self.placement = Placement()
        self._connection = connection
        self._demand = AdaptiveDemand(connection, self.placement)
        self._jobs: dict[int, DaskJob] = {}  # all that have not ended, the oldest first
        self._numbers = itertools.count()

    def make(self, task: Task, on_start: OnStart | None, send: Callable[[DaskJob], None]) -> DaskJob:
        """Return a new job, which `send` will give to its place."""
        request = PlacedRequest(task, lambda _: send(job))
        job = DaskJob(task, next(self._numbers), self._connection.loop.create_future(), request, on_start)
        self._jobs[job.number] = job
        return job

    def submit(self, job: DaskJob) -> None:
        """Have a job wait for a place."""
        self.placement.submit(job.request)
        self._demand.changed()

    @property
    def ended_below(self) -> int:
        """Return the lowest number of a job that has not ended."""
        return next(iter(self._jobs))

    def has(self, job: DaskJob) -> bool:
        """Return whether a job has not ended."""
        return job.number in self._jobs

    def begin(self, number: int, worker: str) -> None:
        """Note that a job has begun, if it has not ended meanwhile."""
        job = self._jobs.get(number)
        if job is not None:
            job.begin(worker)

    def end(self, job: DaskJob) -> None:
        """Free what a job held that was given to a worker."""
        if self._jobs.pop(job.number, None) is not None:
            self._recall(job)
            self.placement.release(job.request)
            self._demand.changed()

    def withdraw(self, job: DaskJob) -> None:
        """Forget a job that waits."""
        self._jobs.pop(job.number, None)
        self.placement.withdraw(job.request)
        self._demand.changed()

    def send_elsewhere(self, job: DaskJob) -> None:
        """Have a job wait again, which has not begun where it was sent."""
        self._recall(job)
        self.placement.requeue(job.request)
        assert isinstance(job.request, PlacedRequest)
        job.request.place = None

    def fail_all(self, make_error: Callable[[str], Exception]) -> list[DaskJob]:
        """End all with an error, which is made of the task's key; what they hold stays theirs."""
        jobs = list(self._jobs.values())
        for job in jobs:
            job.fail(make_error(job.key))
        return jobs

    def close(self) -> None:
        """Show Dask no more what waits."""
        self._demand.close()

    def _recall(self, job: DaskJob) -> None:
        job.recall()
        if job.packed.files:
            self._connection.in_thread(job.packed.discard)
