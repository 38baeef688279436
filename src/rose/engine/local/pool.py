"""Give tasks to worker processes: who gets which task, what comes back, and what happens when one dies."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import pickle
from functools import partial

from rose.engine.deadline import Deadline
from rose.engine.failures import describe, of_place, unpack_failure
from rose.engine.local._prefetch import EARLY_DEPTH, Prefetch
from rose.engine.local._workers import Workers
from rose.engine.local.initializer import Initializer
from rose.engine.local.task_codec import broken, pack_task, unpack_reply
from rose.engine.local.worker_handle import FunctionRequest, WorkerHandle
from rose.engine.local.worker_protocol import BROKEN, BUFFER, OUT_OF_MEMORY, READY, REPLY, TASK
from rose.engine.processes.memory import refused, worker_lost
from rose.engine.processes.scratch import Scratch
from rose.engine.protocol import OnStart, Task
from rose.engine.shipping.shared_store import SharedStore
from rose.engine.slots import Slots
from rose.errors import (
    EngineClosedError,
    RoseError,
    TaskTimeoutError,
    WorkerTakenError,
)

logger = logging.getLogger(__name__)


class WorkerPool:
    """Run function requests in worker processes, as many at a time as `slots` admits.

    All its methods are called in the event loop and never block: the scratch's threads start processes and write
    arrays. A worker's inbox is the kernel's, so what a worker has not begun can be taken back at any time, and a dead
    worker's requests are exactly the one that it had begun.
    """

    def __init__(
        self,
        slots: Slots,
        scratch: Scratch,
        shared_store: SharedStore,
        initializer: Initializer | None = None,
    ) -> None:
        self._initializer = initializer
        self._slots = slots
        self._scratch = scratch
        self._shared = shared_store
        self._loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment]  # `bind` comes before all else
        self._numbers = itertools.count(1)
        self._requests: set[FunctionRequest] = set()  # all that have not ended
        self._workers = Workers(scratch, slots.capacity.cpus, self._readable, self._exited, self._not_started)
        self._emptied: asyncio.Future[None] | None = None  # `close` waits for it
        self._buffer = bytearray(BUFFER)
        self._content = memoryview(self._buffer)
        self._prefetch = Prefetch(slots, self._workers, self._pack)

    # --- for the engine ------------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Return whether there are requests. Without any, processes may still start or end."""
        return bool(self._requests)

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work in this event loop from now on. Not while busy."""
        self._prefetch.stop()
        self._loop = loop
        self._workers.bind(loop)

    async def run(self, task: Task, on_start: OnStart | None) -> object:
        """Run one task; cancelling the caller ends it."""
        request = FunctionRequest(task, self._start, self._loop.create_future(), next(self._numbers), on_start)
        self._requests.add(request)
        self._slots.submit(request)
        try:
            return await request.future
        except asyncio.CancelledError:
            await self._cancel(request)
            raise

    async def close(self) -> None:
        """End all requests with EngineClosedError, and all workers."""
        for request in list(self._requests):
            request.fail(EngineClosedError(f"task {request.task.key}: the engine was closed before it ended"))
            if not request.future.cancelled():
                request.future.exception()  # its caller may have gone with another error
            if request.worker is None and request.written is None:
                self._slots.withdraw(request)
                self._end(request)
        for worker in self._workers:
            self._kill(worker)
        self._prefetch.stop()
        if self._workers or self._requests:
            self._emptied = self._loop.create_future()
            await self._emptied

    def abandon(self) -> None:
        """End without an event loop: free what this process holds of its workers."""
        self._workers.abandon()

    # --- giving requests to workers ----------------------------------------------------------------------------------

    def _start(self, request: FunctionRequest) -> None:
        """Find a worker for a request that has been granted its resources."""
        if request.future.done():  # its caller has gone, or the engine closes
            self._end(request)
            self._slots.release(request)
            return
        try:
            worker = self._workers.get(self._slots.visible_gpus(request))
        except OSError as error:
            self._finish(request, of_place("no worker process could be made for it", error, str(request.task.key)))
            return
        self._give(request, worker)

    def _give(self, request: FunctionRequest, worker: WorkerHandle) -> None:
        """Send a request to a free worker, after its large arrays, if any, have been written."""
        if not self._pack(request):
            self._workers.set_free(worker)
        elif request.packed is not None and request.written is None:
            worker.reserved = True
            request.written = self._loop.create_future()
            self._scratch.in_thread(self._loop, request.packed.write, partial(self._written, request, worker))
        else:
            self._send(request, worker)

    def _pack(self, request: FunctionRequest) -> bool:
        """Pickle the task; if that cannot be done the request ends."""
        if request.message:
            return True
        try:
            prefix = os.path.join(self._scratch.folder, f"task-{request.number}-")
            packed = pack_task(
                request.task, prefix, self._shared.paths, shipper=self._shared.main, initializer=self._initializer
            )
        except RoseError as error:
            self._finish(request, error)
            return False
        except OSError as error:
            self._finish(request, of_place("it could not be packed", error, str(request.task.key)))
            return False
        request.packed, request.holds = packed if packed.files else None, packed.holds
        wanted = request.task.resources
        request.message = TASK.pack(request.number, wanted.cpus, wanted.memory or 0) + packed.body
        return True

    def _written(self, request: FunctionRequest, worker: WorkerHandle, error: BaseException | None) -> None:
        worker.reserved = False
        assert request.written is not None
        request.written.set_result(None)
        if error is not None:
            text = "its arguments could not be written to the temporary directory"
            request.fail(of_place(text, error, str(request.task.key)))
        if request.future.done():
            self._workers.set_free(worker)
            self._finish(request, None)
        elif worker.killed or worker not in self._workers:  # it died meanwhile
            self._start(request)
        else:
            self._send(request, worker)

    def _send(self, request: FunctionRequest, worker: WorkerHandle) -> None:
        request.kills = self._scratch.killer.kills()
        worker.send(request)
        if worker.ready:
            self._begin(worker)

    def _begin(self, worker: WorkerHandle) -> None:
        """Take note that the first of a worker's requests runs from now on."""
        request = worker.requests[0]
        worker.since = self._loop.time()
        request.kills = self._scratch.killer.kills()
        if request.on_start is not None and not request.future.done():
            self._loop.call_soon(request.on_start, worker.name)
        if request.task.timeout is not None:
            request.deadline = Deadline(self._loop, request.task.timeout, partial(self._overrun, request))

    # --- what comes back -----------------------------------------------------------------------------------------

    def _readable(self, worker: WorkerHandle) -> None:
        """Take a worker's replies; not without end, other workers wait too."""
        for _ in range(EARLY_DEPTH + 2):  # a dead worker cannot have left more
            try:
                size = worker.driver_end.recv_into(self._buffer)
            except BlockingIOError:
                return
            self._reply(worker, size)
            if not worker.requests:
                return

    def _reply(self, worker: WorkerHandle, size: int) -> None:
        number, seconds, status = REPLY.unpack_from(self._buffer)
        if status == READY:
            worker.ready = True
            if worker.requests:
                self._begin(worker)
            return
        if status == BROKEN and not worker.ready:
            worker.broken = unpack_failure(self._content[REPLY.size : size], "")
            return
        request = worker.requests[0]
        assert request.number == number, f"worker answered task {number} instead of {request.number}"
        if status == OUT_OF_MEMORY:  # its libraries may be left in any state
            self._stop(request, refused(request.task, *pickle.loads(self._content[REPLY.size : size])))
            return
        worker.requests.popleft()
        worker.last_seconds = seconds
        # First the worker gets something to do, then the result is loaded.
        if worker.requests:
            self._slots.take_over(request, worker.requests[0])
            self._begin(worker)
        else:
            self._workers.set_free(worker)
            self._slots.release(request)
        self._prefetch.send_ahead(worker, self._loop)
        if worker.is_free and not self._slots.has_waiting:
            self._prefetch.relieve_others()
        unpack_reply(request.task, status, self._content[REPLY.size : size], request.future)
        self._end(request)

    # --- ends ----------------------------------------------------------------------------------------------------

    def _finish(self, request: FunctionRequest, error: Exception | None) -> None:
        """End a request without a reply; what it held is free."""
        if error is not None:
            request.fail(error)
        self._end(request)
        self._slots.release(request)

    def _end(self, request: FunctionRequest) -> None:
        self._requests.discard(request)
        if request.deadline is not None:
            request.deadline.cancel()
        if request.packed is not None:
            request.packed.discard()
        self._check_emptied()

    def _overrun(self, request: FunctionRequest) -> None:
        text = f"ran longer than its timeout of {request.task.timeout:g} s and was stopped"
        self._stop(request, TaskTimeoutError(text, str(request.task.key)))

    def _stop(self, request: FunctionRequest, error: Exception) -> None:
        """End a running request's worker; when that has ended, the request ends with this error."""
        assert request.worker is not None
        if not request.worker.killed:
            request.error = error
            self._kill(request.worker)

    async def _cancel(self, request: FunctionRequest) -> None:
        """End the request of a caller that has gone, and wait until the work has ended."""
        if request not in self._requests:
            return
        worker = request.worker
        if worker is not None:
            taken = worker.take_back()
            if request in taken:
                taken.remove(request)
                self._prefetch.requeue(taken)
                self._workers.set_free(worker)
                self._finish(request, None)
                return
            self._prefetch.requeue(taken)
            self._kill(worker)
            ended = self._loop.create_future()
            worker.ended.append(ended)
            await ended
        elif request.written is not None:
            await asyncio.shield(request.written)
        else:
            self._slots.withdraw(request)
            self._end(request)

    def _kill(self, worker: WorkerHandle) -> None:
        """End a worker. What it has not begun goes to others."""
        if worker.killed:
            return
        self._prefetch.requeue(worker.take_back())
        self._workers.kill(worker)
        self._slots.fill()

    def _not_started(self, worker: WorkerHandle, error: BaseException) -> None:
        """Fail what was to run in a worker for which no process could be started."""
        for request in worker.take_back():
            lost = WorkerTakenError(
                f"no worker process could be started for it: {describe(error)}", str(request.task.key)
            )
            lost.__cause__ = error
            self._finish(request, lost)
        worker.close_sockets()
        self._check_emptied()
        worker.tell_ended()

    def _exited(self, worker: WorkerHandle) -> None:
        """Fail what a worker had begun whose process has ended; the rest goes to others."""
        was_killed, worker.killed = worker.killed, True
        if worker.requests:
            self._readable(worker)
        waiting = worker.take_back()
        lost = list(worker.requests)
        exit_code = worker.bury()
        if self._emptied is None:
            self._scratch.in_thread(self._loop, worker.remove_folder, _log)
        if not worker.ready and not was_killed:  # it could not start, and the next one would not either
            lost, waiting = lost + waiting, []
        self._prefetch.requeue(waiting)
        for request in lost:
            error = request.error
            if error is None and worker.broken is not None:
                error = broken(request.task, worker.broken)
            if error is None:
                error = worker_lost(request.task, worker.ready, exit_code, self._scratch.killer, request.kills)
            self._finish(request, error)
        self._slots.fill()
        self._check_emptied()
        worker.tell_ended()

    def _check_emptied(self) -> None:
        if self._emptied is not None and not self._emptied.done() and not self._workers and not self._requests:
            self._emptied.set_result(None)


def _log(error: BaseException | None) -> None:
    if error is not None:
        logger.warning("the files of a worker that ended could not be removed: %s", error)
