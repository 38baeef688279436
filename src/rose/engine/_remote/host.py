"""Run orders in a worker of somebody else's, on an engine of ours: each once, and so that it can be stopped."""

from __future__ import annotations

import asyncio
import pickle
import tarfile
from collections.abc import Callable, Iterable
from time import monotonic
from typing import IO, Any

from rose.engine._remote.host_protocol import RAISED, REFUSED, STOPPED, Order, Reply
from rose.engine._remote.remote_task import RemoteTask, Surroundings, as_task, pack_error
from rose.engine.failures import describe
from rose.engine.local import LocalEngine
from rose.engine.local.worker_protocol import RESULT
from rose.errors import RoseError, WorkerTakenError

_KEPT = 1000  # numbers by which what has ended below is late, so that it is not looked for at each order


class Host:
    """Run what one worker runs for one driver. All methods are called in one event loop.

    Args:
        engine: gives the engine that runs tasks with some CUDA_VISIBLE_DEVICES (None: left alone).
        tell_start: is called with an order's number and the name of its process, if the driver wants to know.
    """

    def __init__(self, engine: Callable[[str | None], LocalEngine], tell_start: Callable[[int, str], None]) -> None:
        self._engine = engine
        self._tell_start = tell_start
        self._running: dict[int, asyncio.Task[Any]] = {}
        self._ended_below = 0  # who comes with a lower number is too late
        self._begun: set[int] = set()  # numbers that came
        self._stopped: set[int] = set()  # numbers that were stopped before they came

    async def run(self, order: Order, surroundings: Surroundings) -> Reply:
        """Run an order to its end; if its pool has lost the result and runs it again, it is refused."""
        number = order.number
        self._forget(order.ended_below)
        if number in self._begun or number < self._ended_below:
            return Reply(REFUSED)
        self._begun.add(number)
        if number in self._stopped:
            self._stopped.discard(number)
            return Reply(STOPPED)
        worker = ""

        def started(name: str) -> None:
            nonlocal worker
            worker = name
            self._tell_start(number, name)

        began = monotonic()
        running = self._engine(order.gpus).run(
            as_task(order.task, surroundings), started if order.tells_start else None
        )
        work = self._running[number] = asyncio.get_running_loop().create_task(running)
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:  # the worker closes, or the driver has gone
            work.cancel()
            await asyncio.wait([work])
            raise
        finally:
            del self._running[number]
        return Reply(*_outcome(order.task, work), worker, monotonic() - began)

    def stop(self, numbers: Iterable[int]) -> list[asyncio.Task[Any]]:
        """Stop orders, also those that have not come; return what still has to end."""
        works = []
        for number in numbers:
            if number not in self._begun:
                self._stopped.add(number)
            elif number in self._running:
                works.append(self._running[number])
                self._running[number].cancel()
        return works

    def stop_all(self) -> list[asyncio.Task[Any]]:
        """Stop all that runs; return what still has to end."""
        return self.stop(list(self._running))

    def _forget(self, ended_below: int) -> None:
        if ended_below >= self._ended_below + _KEPT:
            self._ended_below = ended_below
            self._begun = {number for number in self._begun if number >= ended_below}
            self._stopped = {number for number in self._stopped if number >= ended_below}


def _outcome(task: RemoteTask, work: asyncio.Task[Any]) -> tuple[int, bytes]:
    if work.cancelled():
        return STOPPED, b""
    error = work.exception()
    if isinstance(error, RoseError):
        return RAISED, pack_error(error)
    if error is not None:
        failed = WorkerTakenError(f"its worker cannot run it: {describe(error)}", str(task.key))
        return RAISED, pack_error(failed)
    result = work.result()
    return result if isinstance(task.call, bytes) else (RESULT, pickle.dumps(result))


def send_folder(folder: str, stream: IO[bytes]) -> None:
    """Write the files of a shared value as one archive. Blocks."""
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        archive.add(folder, arcname=".")


def receive_folder(stream: IO[bytes], here: str) -> None:
    """Write the files that `send_folder` has sent. Blocks."""
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        archive.extractall(here, filter="data")
