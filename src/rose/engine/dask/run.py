"""A task on its way to a Dask worker."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from distributed import Future

from rose.engine._remote.job import Used
from rose.engine._remote.remote_task import Errand, absolute
from rose.engine.dask.message import Facts, Message
from rose.engine.dask.placement import PlacedRequest
from rose.engine.local.initializer import Initializer
from rose.engine.local.task_codec import pack_task
from rose.engine.protocol import Command, Task
from rose.engine.shipping.serialization import Packed
from rose.engine.shipping.shared_store import SharedStore

BODY_MAX = 512 * 1024  # bytes of a pickled task that go through Dask's scheduler with the graph; more goes as data


class Run(PlacedRequest):
    """A task on its way: `future` ends with its result."""

    __slots__ = ("future", "number", "packed", "reply", "sent_as", "work")

    def __init__(self, task: Task, start: Any, future: asyncio.Future[Any], number: int) -> None:
        super().__init__(task, start)
        self.future = future
        self.number = number
        self.packed = Packed(b"", [])
        self.sent_as: Any = None  # Dask's key, once it has been given to Dask
        self.work: asyncio.Task[None] | None = None  # sends it, and waits for its reply, if it has one of its own
        self.reply: Future | None = None  # Dask's future for that reply

    @property
    def key(self) -> str:
        """The task's key as text."""
        return str(self.task.key)

    def recall(self) -> None:
        """It has not begun where it was sent: end what was done for it there."""
        if self.work is not None:
            self.work.cancel()
        if self.reply is not None:
            self.reply.release()
        self.work = self.reply = self.sent_as = None

    def fail(self, error: Exception) -> None:
        """End with an error, unless it has ended."""
        if not self.future.done():
            self.future.set_exception(error)


def pack(
    run: Run,
    facts: Facts,
    driver: str,
    settled: int,
    shared_store: SharedStore,
    folder: str,
    initializer: Initializer | None = None,
) -> tuple[Message, list[str]]:
    """The message for a run, and the paths of the shared values that its worker must be brought first.

    What becomes files is in `run.packed`, and must be written before the message is sent.

    Raises:
        UnpicklableError, ConfigurationError: see `pack_task`.
    """
    task = run.task
    if isinstance(task.call, Command):
        errand = Errand(task.key, absolute(task.call), task.resources, task.timeout)
        return Message(facts.host, driver, run.number, settled, errand), []
    used = Used(shared_store.paths)
    prefix = os.path.join(folder, f"task-{driver}-{run.number}-") if facts.sees_files else None
    run.packed = pack_task(task, prefix, used, remap=False, shipper=shared_store.main, initializer=initializer)
    results = None if prefix is None else f"{prefix}result-"
    errand = Errand(task.key, run.packed.body, task.resources, task.timeout, results)
    return Message(facts.host, driver, run.number, settled, errand), [] if facts.sees_files else used.paths


def is_long(errand: Errand) -> bool:
    """Whether it is to be sent as data."""
    return isinstance(errand.call, bytes) and len(errand.call) > BODY_MAX
