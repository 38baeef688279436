"""The worker processes: who gets which task, what comes back, and what happens when one dies."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import pickle
from collections.abc import Iterable
from functools import partial

from rose.engine.deadline import Deadline
from rose.engine.failures import describe, of_place, unpack_failure
from rose.engine.local.initializer import Initializer
from rose.engine.local.interpreter import current
from rose.engine.local.task_codec import broken, pack_task, unpack_reply
from rose.engine.local.worker_handle import Job, Worker
from rose.engine.local.worker_protocol import BROKEN, BUFFER, OUT_OF_MEMORY, READY, REPLY, TASK
from rose.engine.processes.memory import refused, worker_lost
from rose.engine.processes.scratch import Custody
from rose.engine.protocol import OnStart, Task
from rose.engine.shipping.shared_store import Shelf
from rose.engine.slots import Slots
from rose.errors import (
    EngineClosedError,
    RoseError,
    TaskTimeoutError,
    WorkerTakenError,
)

logger = logging.getLogger(__name__)

EARLY_DEPTH = 8  # tasks that a worker is sent ahead at most, so that short ones do not wait for a round trip each
SHORT = 0.001  # seconds: a worker is sent tasks ahead only while its tasks are that short
LONG = 0.01  # seconds: if a task turns out to run that long, what was sent behind it is taken back


class Pool:
    """Runs function jobs in worker processes, as many at a time as `slots` admits.

    All its methods are called in the event loop and never block: the custody's threads start processes and write
    arrays. A worker's inbox is the kernel's, so what a worker has not begun can be taken back at any time, and a dead
    worker's jobs are exactly the one that it had begun.
    """

    def __init__(
        self,
        slots: Slots,
        custody: Custody,
        shelf: Shelf,
        gpu_names: list[str],
        initializer: Initializer | None = None,
    ) -> None:
        self._initializer = initializer
        self._slots = slots
        self._custody = custody
        self._shelf = shelf
        self._gpu_names = gpu_names
        self._loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment]  # `bind` comes before all else
        self._numbers = itertools.count(1)
        self._jobs: set[Job] = set()  # all that have not ended
        self._workers: set[Worker] = set()  # all whose process may exist
        self._free: list[Worker] = []  # those with nothing to do
        self._emptied: asyncio.Future[None] | None = None  # `close` waits for it
        self._buffer = bytearray(BUFFER)
        self._content = memoryview(self._buffer)
        self._look_again: asyncio.TimerHandle | None = None

    # --- for the engine ------------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether there are jobs. Without any, processes may still be starting or ending: another loop will be told."""
        return bool(self._jobs)

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work in this event loop from now on. Not while busy."""
        for worker in self._workers:
            self._unwatch(worker)
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None
        self._loop = loop
        for worker in self._workers:
            self._custody.tell(loop, worker.starting, partial(self._started, worker, loop))

    async def run(self, task: Task, on_start: OnStart | None = None) -> object:
        """Run one task; cancelling the caller ends it."""
        job = Job(task, self._start, self._loop.create_future(), next(self._numbers), on_start)
        self._jobs.add(job)
        self._slots.submit(job)
        try:
            return await job.future
        except asyncio.CancelledError:
            await self._cancel(job)
            raise

    async def close(self) -> None:
        """End all jobs with EngineClosedError, and all workers."""
        for job in list(self._jobs):
            job.fail(EngineClosedError(f"task {job.task.key}: the engine was closed before it ended"))
            if not job.future.cancelled():
                job.future.exception()  # its caller may have gone with another error
            if job.worker is None and job.written is None:
                self._slots.withdraw(job)
                self._end(job)
        for worker in list(self._workers):
            self._kill(worker)
        if self._look_again is not None:
            self._look_again.cancel()
        if self._workers or self._jobs:
            self._emptied = self._loop.create_future()
            await self._emptied

    def abandon(self) -> None:
        """Without an event loop: free what this process holds of its workers, which the custody ends."""
        for worker in self._workers:
            self._unwatch(worker)
            worker.close_sockets()

    # --- giving jobs to workers ----------------------------------------------------------------------------------

    def _start(self, job: Job) -> None:
        """The job has been granted its resources: find it a worker."""
        if job.future.done():  # its caller has gone, or the engine closes
            self._end(job)
            self._slots.release(job)
            return
        gpus = ",".join(self._gpu_names[number] for number in job.gpu_ids) if self._gpu_names else None
        try:
            worker = self._free_worker(gpus) or self._hire(gpus)
        except OSError as error:  # no directory, no more open files
            self._finish(job, of_place("no worker process could be made for it", error, str(job.task.key)))
            return
        self._give(job, worker)

    def _free_worker(self, gpus: str | None) -> Worker | None:
        found: Worker | None = None
        for worker in reversed(self._free):  # the last used one's caches are warm
            if worker.gpus == gpus and (found is None or worker.ready):
                found = worker
                if worker.ready:
                    break
        if found is not None:
            self._free.remove(found)
        elif self._free and len(self._workers) >= self._slots.capacity.cpus:
            self._kill(self._free[0])  # it sees other gpus than are needed: it makes room
        return found

    def _hire(self, gpus: str | None) -> Worker:
        worker = Worker(self._custody, gpus, current())
        self._workers.add(worker)
        started = partial(self._started, worker, self._loop)
        worker.starting = self._custody.in_thread(self._loop, worker.start, started)
        return worker

    def _started(self, worker: Worker, loop: asyncio.AbstractEventLoop, error: BaseException | None) -> None:
        if loop is not self._loop:  # another one has been told, too
            return
        if error is None:
            self._watch(worker)
            if worker.killed:
                worker.kill()
            return
        worker.killed = True
        self._forget(worker)
        for job in worker.take_back():
            text = f"no worker process could be started for it: {describe(error)}"
            lost = WorkerTakenError(text, str(job.task.key))
            lost.__cause__ = error
            self._finish(job, lost)
        worker.close_sockets()
        worker.tell_ended()

    def _give(self, job: Job, worker: Worker) -> None:
        """Send a job to a free worker, after its large arrays, if any, have been written."""
        if not self._pack(job):
            self._set_free(worker)
        elif job.packed is not None and job.written is None:
            worker.reserved = True
            job.written = self._loop.create_future()
            self._custody.in_thread(self._loop, job.packed.write, partial(self._written, job, worker))
        else:
            self._send(job, worker)

    def _pack(self, job: Job) -> bool:
        """Pickle the task; if that cannot be done the job ends."""
        if job.message:
            return True
        try:
            prefix = os.path.join(self._custody.folder, f"task-{job.number}-")
            packed = pack_task(
                job.task, prefix, self._shelf.paths, shipper=self._shelf.main, initializer=self._initializer
            )
        except RoseError as error:
            self._finish(job, error)
            return False
        except OSError as error:
            self._finish(job, of_place("it could not be packed", error, str(job.task.key)))
            return False
        job.packed, job.holds = packed if packed.files else None, packed.holds
        wanted = job.task.resources
        job.message = TASK.pack(job.number, wanted.cpus, wanted.memory or 0) + packed.body
        return True

    def _written(self, job: Job, worker: Worker, error: BaseException | None) -> None:
        worker.reserved = False
        assert job.written is not None
        job.written.set_result(None)
        if error is not None:
            text = "its arguments could not be written to the temporary directory"
            job.fail(of_place(text, error, str(job.task.key)))
        if job.future.done():
            self._set_free(worker)
            self._finish(job, None)
        elif worker.killed or worker not in self._workers:  # it died meanwhile
            self._start(job)
        else:
            self._send(job, worker)

    def _send(self, job: Job, worker: Worker) -> None:
        job.kills = self._custody.killer.kills()
        worker.send(job)
        if worker.ready:
            self._begin(worker)

    def _begin(self, worker: Worker) -> None:
        """The first of a worker's jobs runs from now on."""
        job = worker.jobs[0]
        worker.since = self._loop.time()
        job.kills = self._custody.killer.kills()
        if job.on_start is not None and worker.name and not job.future.done():
            self._loop.call_soon(job.on_start, worker.name)
        if job.task.timeout is not None:
            job.deadline = Deadline(self._loop, job.task.timeout, partial(self._overrun, job))

    # --- sending short jobs ahead --------------------------------------------------------------------------------

    def _send_ahead(self, worker: Worker) -> None:
        """Fill the inbox of a worker whose jobs are short, if no slot is free and jobs wait."""
        while (
            self._slots.has_waiting
            and not self._slots.free_cpus
            and 0 < len(worker.jobs) <= EARLY_DEPTH
            and worker.last_seconds < SHORT
            and worker.jobs[0].plain
            and not worker.killed
        ):
            job = self._slots.next_early()
            if job is None:
                return
            assert isinstance(job, Job)
            if not self._pack(job):
                continue
            if job.packed is not None or not worker.send(job):  # it has files to write first, or the inbox is full
                job.plain = False
                self._slots.requeue(job)
                return
            if self._look_again is None:
                self._look_again = self._loop.call_later(LONG, self._rescue_waiting)

    def _rescue_waiting(self) -> None:
        """Nobody waits behind a job that turned out to be long."""
        self._look_again = None
        now = self._loop.time()
        for worker in self._workers:
            if len(worker.jobs) > 1:
                if now - worker.since > LONG:
                    self._requeue(worker.take_back())
                    self._set_free(worker)  # it may just have ended what it ran, and have nothing left
                elif self._look_again is None:
                    self._look_again = self._loop.call_later(LONG, self._rescue_waiting)
        self._slots.fill()

    def _relieve_others(self) -> None:
        """A worker has nothing to do: it gets what waits in another's inbox."""
        for other in self._workers:
            if len(other.jobs) > 1 or (other.jobs and not other.ready):
                taken = other.take_back()
                if taken:
                    self._requeue(taken)
                    self._set_free(other)
                    self._slots.fill()
                    return

    def _requeue(self, jobs: Iterable[Job]) -> None:
        for job in reversed(list(jobs)):
            self._slots.requeue(job)

    # --- what comes back -----------------------------------------------------------------------------------------

    def _readable(self, worker: Worker) -> None:
        """Take a worker's replies; not without end, other workers wait too."""
        for _ in range(EARLY_DEPTH + 2):  # all that a dead one can have left
            try:
                size = worker.driver_end.recv_into(self._buffer)
            except BlockingIOError:
                return
            self._reply(worker, size)
            if not worker.jobs:
                return

    def _reply(self, worker: Worker, size: int) -> None:
        number, seconds, status = REPLY.unpack_from(self._buffer)
        if status == READY:
            worker.ready = True
            if worker.jobs:
                self._begin(worker)
            return
        if status == BROKEN and not worker.ready:
            worker.broken = unpack_failure(self._content[REPLY.size : size], "")
            return
        job = worker.jobs[0]
        assert job.number == number, f"worker answered task {number} instead of {job.number}"
        if status == OUT_OF_MEMORY:  # who knows in what state its libraries are
            self._stop(job, refused(job.task, *pickle.loads(self._content[REPLY.size : size])))
            return
        worker.jobs.popleft()
        worker.last_seconds = seconds
        # First the worker gets something to do, then the result is loaded.
        if worker.jobs:
            self._slots.take_over(job, worker.jobs[0])
            self._begin(worker)
        else:
            self._set_free(worker)
            self._slots.release(job)
        self._send_ahead(worker)
        if worker.is_free and not self._slots.has_waiting:
            self._relieve_others()
        unpack_reply(job.task, status, self._content[REPLY.size : size], job.future)
        self._end(job)

    # --- ends ----------------------------------------------------------------------------------------------------

    def _finish(self, job: Job, error: Exception | None) -> None:
        """A job ends without a reply; what it held is free."""
        if error is not None:
            job.fail(error)
        self._end(job)
        self._slots.release(job)

    def _end(self, job: Job) -> None:
        self._jobs.discard(job)
        if job.deadline is not None:
            job.deadline.cancel()
        if job.packed is not None:
            job.packed.discard()
        self._check_emptied()

    def _set_free(self, worker: Worker) -> None:
        if worker.is_free and worker in self._workers and worker not in self._free:
            self._free.append(worker)

    def _overrun(self, job: Job) -> None:
        text = f"ran longer than its timeout of {job.task.timeout:g} s and was stopped"
        self._stop(job, TaskTimeoutError(text, str(job.task.key)))

    def _stop(self, job: Job, error: Exception) -> None:
        """End a running job's worker; when that has ended, the job ends with this error."""
        assert job.worker is not None
        if not job.worker.killed:
            job.error = error
            self._kill(job.worker)

    async def _cancel(self, job: Job) -> None:
        """The caller has gone: end its job, and wait until the work has ended."""
        if job not in self._jobs:
            return
        worker = job.worker
        if worker is not None:
            taken = worker.take_back()
            if job in taken:
                taken.remove(job)
                self._requeue(taken)
                self._set_free(worker)
                self._finish(job, None)
                return
            self._requeue(taken)
            self._kill(worker)
            ended = self._loop.create_future()
            worker.ended.append(ended)
            await ended
        elif job.written is not None:
            await asyncio.shield(job.written)
        else:
            self._slots.withdraw(job)
            self._end(job)

    def _kill(self, worker: Worker) -> None:
        """End a worker. What it has not begun goes to others."""
        if worker.killed:
            return
        self._requeue(worker.take_back())
        worker.kill()
        if worker in self._free:
            self._free.remove(worker)
        self._slots.fill()

    def _exited(self, worker: Worker) -> None:
        """A worker's process has ended, by us or by itself."""
        was_killed, worker.killed = worker.killed, True
        self._unwatch(worker)
        self._forget(worker)
        if worker.jobs:
            self._readable(worker)
        waiting = worker.take_back()
        lost = list(worker.jobs)
        exit_code = worker.bury()
        if self._emptied is None:
            self._custody.in_thread(self._loop, worker.remove_folder, _log)
        if not worker.ready and not was_killed:  # it could not start, and the next one would not either
            lost, waiting = lost + waiting, []
        self._requeue(waiting)
        for job in lost:
            error = job.error
            if error is None and worker.broken is not None:
                error = broken(job.task, worker.broken)
            if error is None:
                error = worker_lost(job.task, worker.ready, exit_code, self._custody.killer, job.kills)
            self._finish(job, error)
        self._slots.fill()
        worker.tell_ended()

    def _forget(self, worker: Worker) -> None:
        self._workers.discard(worker)
        if worker in self._free:
            self._free.remove(worker)
        self._check_emptied()

    def _check_emptied(self) -> None:
        if self._emptied is not None and not self._emptied.done() and not self._workers and not self._jobs:
            self._emptied.set_result(None)

    def _watch(self, worker: Worker) -> None:
        if worker.child is not None:
            self._loop.add_reader(worker.driver_end, self._readable, worker)
            worker.child.watch(self._loop, partial(self._exited, worker))

    def _unwatch(self, worker: Worker) -> None:
        if worker.child is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(worker.driver_end)
            worker.child.unwatch()


def _log(error: BaseException | None) -> None:
    if error is not None:
        logger.warning("the files of a worker that ended could not be removed: %s", error)
