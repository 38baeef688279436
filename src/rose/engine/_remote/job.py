"""Follow a task that is given to a host: how it is packed, and what is made of the reply."""

from __future__ import annotations

import asyncio
from collections.abc import Container
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from rose.engine._remote.host_protocol import RAISED, REFUSED, STOPPED, UNREACHABLE, Reply, ref_of
from rose.engine._remote.remote_task import RemoteTask, absolute, unpack_error
from rose.engine.deadline import Deadline
from rose.engine.functions.coroutines import Interrupt
from rose.engine.local.initializer import Initializer
from rose.engine.local.task_codec import pack_task, unpack_reply
from rose.engine.protocol import Command, OnStart, Task
from rose.engine.shipping.serialization import Packed
from rose.engine.shipping.shared_store import SharedStore
from rose.engine.slots import SlotRequest
from rose.errors import EngineClosedError, WorkerTakenError


@dataclass(eq=False, slots=True)
class RemoteJob:
    """Hold a task on its way: `result` is what its caller awaits, `request` holds its resources."""

    task: Task
    number: int  # of its order
    result: asyncio.Future[Any]
    request: SlotRequest
    on_start: OnStart | None
    packed: Packed = field(default_factory=lambda: Packed(b"", []))

    @property
    def key(self) -> str:
        """Return the task's key as text."""
        return str(self.task.key)

    def begin(self, worker: str) -> None:
        """Tell that the task has begun, once and before its end; reports of it may come twice."""
        on_start, self.on_start = self.on_start, None
        if on_start is not None and not self.result.done():
            on_start(worker)

    def fail(self, error: Exception) -> None:
        """End with an error, unless it has ended."""
        if not self.result.done():
            self.result.set_exception(error)


@dataclass(eq=False, slots=True)
class PoolJob(RemoteJob):
    """Hold a task in a pool; `future` is the pool's own."""

    prefix: str | None = None  # how its files are called
    future: Future[Any] | None = None
    work: asyncio.Task[None] | None = None  # from its submission to its end in the pool
    deadline: Deadline | None = None
    interrupt: Interrupt | None = None  # of a function in a thread of this process; None: it is an order for a host
    line: object = None  # to the host that has begun it
    ended: bool = False  # the host says so
    refused: bool = False  # it is not to begin any more

    @property
    def has_begun(self) -> bool:
        """Return whether it runs in a worker; what only waits there will not begin when the engine has been closed."""
        if self.interrupt is None:
            return self.line is not None
        return self.future is not None and self.future.running()

    def withdraw(self) -> bool:
        """Take the job back from the pool; return whether that could be done."""
        try:
            return self.future is not None and self.future.cancel()
        except NotImplementedError:  # some pools' futures cannot
            return False


def taken(text: str, key: str, cause: BaseException | None) -> WorkerTakenError:
    """Return the error of a task that was taken from its worker."""
    error = WorkerTakenError(text, key)
    error.__cause__ = cause
    return error


class UsedRefs:
    """Hold which shared values may be used, and note those that are."""

    def __init__(self, allowed: Container[str]) -> None:
        self.paths: list[str] = []
        self._allowed = allowed

    def __contains__(self, path: object) -> bool:
        if path not in self._allowed:
            return False
        self.paths.append(str(path))
        return True


def pack(
    job: RemoteJob, shared_store: SharedStore, prefix: str | None, initializer: Initializer | None, remap: bool = False
) -> tuple[RemoteTask, list[int]]:
    """Pack a job's task: what travels, and the numbers of the shared values that it reads.

    Its large arrays become files that begin with `prefix` (None: all of it is sent): they are in `job.packed`, and must
    be written before it is sent.

    Raises:
        UnpicklableError, ConfigurationError: see `pack_task`.
    """
    task = job.task
    if isinstance(task.call, Command):
        return RemoteTask(task.key, absolute(task.call), task.resources, task.timeout), []
    used = UsedRefs(shared_store.paths)
    job.packed = pack_task(task, prefix, used, remap=remap, shipper=shared_store.main, initializer=initializer)
    results = None if prefix is None else f"{prefix}result-"
    remote = RemoteTask(task.key, job.packed.body, task.resources, task.timeout, results)
    return remote, [ref_of(path) for path in used.paths]


def settle(job: RemoteJob, reply: Reply, refused: str, stopped: str) -> None:
    """End a job as its host says; `refused` and `stopped` are what to say of the worker where it was not run."""
    if reply.worker:
        job.begin(reply.worker)
    if reply.status == RAISED:
        error = unpack_error(reply.body)
        job.fail(WorkerTakenError(stopped, job.key) if isinstance(error, EngineClosedError) else error)
    elif reply.status in (REFUSED, STOPPED):
        text = f"{refused}; it is not run a second time unasked" if reply.status == REFUSED else stopped
        job.fail(WorkerTakenError(text, job.key))
    elif reply.status == UNREACHABLE:
        job.fail(WorkerTakenError(f"{reply.body.decode()} (say address=)", job.key))
    else:
        unpack_reply(job.task, reply.status, memoryview(reply.body), job.result)
