"""Keep the worker processes of a pool: those there are, those with nothing to do, and what is heard of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial

from rose.engine.local.interpreter import current
from rose.engine.local.worker_handle import WorkerHandle
from rose.engine.processes.scratch import Scratch


class Workers:
    """Keep all workers whose process may exist. Its methods are called in the event loop and never block.

    Args:
        scratch: what ends them with the engine.
        most: as many as there may be.
        replied: called when one has sent something.
        exited: called when its process has ended, by us or by itself; it is neither watched nor counted any more.
        not_started: called with the reason when there was no process to be had for one.
    """

    def __init__(
        self,
        scratch: Scratch,
        most: int,
        replied: Callable[[WorkerHandle], None],
        exited: Callable[[WorkerHandle], None],
        not_started: Callable[[WorkerHandle, BaseException], None],
    ) -> None:
        self._scratch = scratch
        self._most = most
        self._replied, self._has_exited, self._not_started = replied, exited, not_started
        self._loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment]  # `bind` comes before all else
        self._all: set[WorkerHandle] = set()
        self._free: list[WorkerHandle] = []  # those with nothing to do

    def __iter__(self) -> Iterator[WorkerHandle]:
        return iter(list(self._all))

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, worker: object) -> bool:
        return worker in self._all

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch the workers in this event loop from now on."""
        for worker in self._all:
            self._unwatch(worker)
        self._loop = loop
        for worker in self._all:
            self._scratch.tell(loop, worker.starting, partial(self._started, worker, loop))

    def get(self, gpus: str | None) -> WorkerHandle:
        """Return a free worker that sees these gpus: the last used one, as its caches are warm, or a new one.

        Raises:
            OSError: if none can be made: no directory, no more open files.
        """
        fitting = [worker for worker in reversed(self._free) if worker.gpus == gpus]
        if fitting:
            found = next((worker for worker in fitting if worker.ready), fitting[0])
            self._free.remove(found)
            return found
        if self._free and len(self._all) >= self._most:
            self._free.pop(0).kill()  # it sees other gpus than are needed: it makes room
        worker = WorkerHandle(self._scratch, gpus, current())
        self._all.add(worker)
        worker.starting = self._scratch.in_thread(self._loop, worker.start, partial(self._started, worker, self._loop))
        return worker

    def set_free(self, worker: WorkerHandle) -> None:
        """Take note that a worker may have nothing to do."""
        if worker.is_free and worker in self._all and worker not in self._free:
            self._free.append(worker)

    def kill(self, worker: WorkerHandle) -> None:
        """End a worker, and all that it started; `exited` follows."""
        worker.kill()
        if worker in self._free:
            self._free.remove(worker)

    def abandon(self) -> None:
        """Free what this process holds of its workers, without an event loop; the scratch ends the processes."""
        for worker in self._all:
            self._unwatch(worker)
            worker.close_sockets()

    def _started(self, worker: WorkerHandle, loop: asyncio.AbstractEventLoop, error: BaseException | None) -> None:
        if loop is not self._loop:  # another one has been told, too
            return
        if error is not None:
            worker.killed = True
            self._forget(worker)
            self._not_started(worker, error)
            return
        assert worker.child is not None
        self._loop.add_reader(worker.driver_end, self._replied, worker)
        worker.child.watch(self._loop, partial(self._exited, worker))
        if worker.killed:
            worker.kill()

    def _exited(self, worker: WorkerHandle) -> None:
        self._unwatch(worker)
        self._forget(worker)
        self._has_exited(worker)

    def _forget(self, worker: WorkerHandle) -> None:
        self._all.discard(worker)
        if worker in self._free:
            self._free.remove(worker)

    def _unwatch(self, worker: WorkerHandle) -> None:
        if worker.child is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(worker.driver_end)
            worker.child.unwatch()
