"""Send short tasks ahead into the inbox of a busy worker, so that they do not wait for a round trip each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from rose.engine.local._workers import Workers
from rose.engine.local.worker_handle import FunctionRequest, WorkerHandle
from rose.engine.slots import Slots

EARLY_DEPTH = 8  # tasks that a worker is sent ahead at most
SHORT = 0.001  # seconds: a worker is sent tasks ahead only while its tasks are that short
LONG = 0.01  # seconds: if a task turns out to run that long, what was sent behind it is taken back


class Prefetch:
    """Fill inboxes, and take back what would wait there. `pack` makes a request's message; False: it has ended."""

    def __init__(self, slots: Slots, workers: Workers, pack: Callable[[FunctionRequest], bool]) -> None:
        self._slots = slots
        self._workers = workers
        self._pack = pack
        self._look_again: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        """Stop looking for requests that wait behind a long task."""
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None

    def send_ahead(self, worker: WorkerHandle, loop: asyncio.AbstractEventLoop) -> None:
        """Fill the inbox of a worker whose tasks are short, if no slot is free and requests wait."""
        while (
            self._slots.has_waiting
            and not self._slots.free_cpus
            and 0 < len(worker.requests) <= EARLY_DEPTH
            and worker.last_seconds < SHORT
            and worker.requests[0].plain
            and not worker.killed
        ):
            request = self._slots.next_early()
            if request is None:
                return
            assert isinstance(request, FunctionRequest)
            if not self._pack(request):
                continue
            if request.packed is not None or not worker.send(request):  # it has files to write, or the inbox is full
                request.plain = False
                self._slots.requeue(request)
                return
            if self._look_again is None:
                self._look_again = loop.call_later(LONG, self._rescue_waiting, loop)

    def relieve_others(self) -> None:
        """Give a worker that has nothing to do what waits in another's inbox."""
        for other in self._workers:
            if len(other.requests) > 1 or (other.requests and not other.ready):
                taken = other.take_back()
                if taken:
                    self.requeue(taken)
                    self._workers.set_free(other)
                    self._slots.fill()
                    return

    def requeue(self, requests: Iterable[FunctionRequest]) -> None:
        """Queue requests again that were taken back, in their order."""
        for request in reversed(list(requests)):
            self._slots.requeue(request)

    def _rescue_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take back what waits behind a task that turned out to be long."""
        self._look_again = None
        for worker in self._workers:
            if len(worker.requests) > 1:
                if loop.time() - worker.since > LONG:
                    self.requeue(worker.take_back())
                    self._workers.set_free(worker)  # it may just have ended what it ran, and have nothing left
                elif self._look_again is None:
                    self._look_again = loop.call_later(LONG, self._rescue_waiting, loop)
        self._slots.fill()
