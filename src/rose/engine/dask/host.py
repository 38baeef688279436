"""ROSE's part of a Dask worker: an embedded engine that runs tasks in children of the worker, which can be killed.

The functions here run in the worker, on its event loop: `run_task` and `keep` as Dask tasks, others by `Client.run`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import shutil
import socket
import sys
import uuid
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker

from rose.engine._remote.remote_task import Errand, Surroundings, as_task, pack_error
from rose.engine.dask.message import (
    ENGINE_ERROR,
    REFUSED,
    STOPPED,
    Facts,
    Greeting,
    Message,
    Reply,
    gpus_of,
)
from rose.engine.failures import describe
from rose.engine.local import LocalEngine
from rose.engine.local.worker_protocol import RESULT
from rose.errors import RoseError, WorkerTakenError

logger = logging.getLogger(__name__)

NAME = "rose-host"
PATIENCE = 0.05  # seconds for which replies of short tasks wait for each other


async def open_host(greeting: Greeting, dask_worker: Worker) -> Facts:
    """Meet a driver: make the host if there is none yet, and say what this worker is."""
    host = dask_worker.plugins.get(NAME)
    if not isinstance(host, Host):
        host = Host(dask_worker)
        await dask_worker.plugin_add(host, name=NAME)
    return await host.admit(greeting)


async def run_task(message: Message, body: bytes | None = None) -> Reply:
    """The Dask task: run one of ours. `body` is the call where that is too long for a message."""
    host = get_worker().plugins.get(NAME)
    if not isinstance(host, Host) or host.id != message.host or message.driver not in host.drivers:
        return REFUSED, b"", 0.0
    return await host.drivers[message.driver].run(message, body)


async def run_together(messages: list[Message]) -> dict[int, Reply]:
    """The Dask task: run several short ones of ours. The replies of those that are not over in a moment come later."""
    host = get_worker().plugins.get(NAME)
    first = messages[0]
    if not isinstance(host, Host) or host.id != first.host or first.driver not in host.drivers:
        return {message.number: (REFUSED, b"", 0.0) for message in messages}
    return await host.drivers[first.driver].run_together(messages)


async def run_rest(driver: str, number: int) -> Reply:
    """The Dask task: the reply of one that was run with others."""
    host = get_worker().plugins.get(NAME)
    if not isinstance(host, Host) or driver not in host.drivers:
        return REFUSED, b"", 0.0
    return await host.drivers[driver].rest(number)


async def stop(driver: str, numbers: list[int], dask_worker: Worker) -> None:
    """Stop tasks, and return when they have ended; those that have not come yet will not begin."""
    host = dask_worker.plugins.get(NAME)
    if isinstance(host, Host) and driver in host.drivers:
        await host.drivers[driver].stop(numbers)


async def keep(driver: str, name: str, archive: bytes) -> None:
    """The Dask task: keep a shared value's files in this worker's directory."""
    host = get_worker().plugins.get(NAME)
    if isinstance(host, Host) and driver in host.drivers:
        await asyncio.to_thread(host.drivers[driver].unpack, name, archive)


async def drop(driver: str, name: str, dask_worker: Worker) -> None:
    """Remove them."""
    host = dask_worker.plugins.get(NAME)
    if isinstance(host, Host) and driver in host.drivers:
        await asyncio.to_thread(shutil.rmtree, host.drivers[driver].place(name), ignore_errors=True)


async def leave(driver: str, dask_worker: Worker) -> None:
    """A driver has done: stop what runs for it, and remove what is kept for it."""
    host = dask_worker.plugins.get(NAME)
    if isinstance(host, Host):
        await host.dismiss(driver)


class Host(WorkerPlugin):  # type: ignore[misc]
    """One Dask worker's engine, shared by all drivers that use the worker, so that together they do not exceed it.

    It ends with the last driver. That a driver has died it learns from Dask, which then releases the driver's lease.
    """

    name = NAME

    def __init__(self, worker: Worker) -> None:
        self.id = uuid.uuid4().hex
        self.drivers: dict[str, Driver] = {}
        self._worker = worker
        self._engine: LocalEngine | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def admit(self, greeting: Greeting) -> Facts:
        """A driver begins to use this worker."""
        sees_files = await asyncio.to_thread(_sees, greeting)
        if greeting.lease not in self._worker.data:
            raise RuntimeError("the driver has gone already")
        if self._engine is None:
            self._engine = self._make_engine()
        self.drivers[greeting.driver] = Driver(greeting, self._engine, self._worker.local_directory, sees_files)
        gpus = tuple(self._engine.gpu_names)
        return Facts(self.id, socket.gethostname(), sys.version_info[:2], sees_files, gpus)

    async def dismiss(self, name: str) -> None:
        """A driver does not use this worker any more."""
        driver = self.drivers.pop(name, None)
        if driver is None:
            return
        await driver.end()
        if not self.drivers:
            await self._close_engine()

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """Dask calls this whenever one of its keys changes its state on this worker."""
        if start == "memory" and finish == "released":
            for name, driver in self.drivers.items():
                if driver.lease == key:
                    task = asyncio.get_running_loop().create_task(self._lease_ended(name, key))
                    self._ending.add(task)
                    task.add_done_callback(self._ending.discard)

    async def teardown(self, worker: Worker) -> None:
        """The worker closes."""
        for name in list(self.drivers):
            await self.dismiss(name)
        await self._close_engine()

    async def _lease_ended(self, name: str, key: str) -> None:
        """The driver has gone; or somebody had Dask move its keys to another worker."""
        try:
            moved = (await self._worker.scheduler.who_has(keys=[key])).get(key)
        except OSError:  # the scheduler has gone too
            moved = None
        if not moved:
            logger.info("the driver %s has gone: what runs for it is stopped", name)
            await self.dismiss(name)

    def _make_engine(self) -> LocalEngine:
        worker = self._worker
        state, memory = worker.state, worker.memory_manager.memory_limit
        gpus = gpus_of(state.total_resources)
        return LocalEngine(state.nthreads, gpus=gpus, memory=memory, temp_dir=worker.local_directory)

    async def _close_engine(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()


class Driver:
    """One driver's tasks and files on this worker."""

    def __init__(self, greeting: Greeting, engine: LocalEngine, directory: str, sees_files: bool) -> None:
        self.lease = greeting.lease
        self.folder = os.path.join(directory, f"rose-{greeting.driver}")  # what is kept for it, where it is not seen
        self.running: dict[int, asyncio.Task[Any]] = {}
        places = {} if sees_files else {greeting.folder: self.folder}
        cwd = greeting.cwd if os.path.isdir(greeting.cwd) else None
        self._surroundings = Surroundings(greeting.path, cwd, places, greeting.interpreter)
        self._engine = engine
        self._rest: dict[int, asyncio.Task[Reply]] = {}  # those whose replies are to be asked for
        self._settled = 0  # all numbers below have ended: who comes with one of them now is too late
        self._begun: set[int] = set()  # numbers that came
        self._stopped: set[int] = set()  # numbers that were stopped before they came

    async def run(self, message: Message, body: bytes | None) -> Reply:
        """Run a task, once: if Dask has lost the result and runs it again, it is refused."""
        number = message.number
        self._forget(message.settled)
        if number in self._begun or number < self._settled:
            return REFUSED, b"", 0.0
        self._begun.add(number)
        if number in self._stopped:
            self._stopped.discard(number)
            return STOPPED, b"", 0.0
        errand = message.errand if body is None else replace(message.errand, call=body)
        task = as_task(errand, self._surroundings)
        began = monotonic()
        work = self.running[number] = asyncio.get_running_loop().create_task(self._engine.run(task))
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:  # the worker closes
            await _cancelled([work])
            raise
        finally:
            del self.running[number]
        return (*_outcome(errand, work), monotonic() - began)

    async def run_together(self, messages: list[Message]) -> dict[int, Reply]:
        """Run several, and reply after PATIENCE at the latest."""
        loop = asyncio.get_running_loop()
        began = monotonic()
        works = {message.number: loop.create_task(self.run(message, None)) for message in messages}
        try:
            await asyncio.wait(works.values(), timeout=PATIENCE)
        except asyncio.CancelledError:  # the worker closes
            await _cancelled(works.values())
            raise
        self._rest.update((number, work) for number, work in works.items() if not work.done())
        # How long one took, without waiting for the others.
        side_by_side = min(len(messages), self._engine.capacity().cpus)
        seconds = (monotonic() - began) * side_by_side / len(messages)
        return {number: (*work.result()[:2], seconds) for number, work in works.items() if work.done()}

    async def rest(self, number: int) -> Reply:
        """The reply of one that was not over then; it is given once."""
        work = self._rest.pop(number, None)
        return (REFUSED, b"", 0.0) if work is None else await work

    async def end(self) -> None:
        """Stop everything, and remove all that is kept."""
        await self.stop(list(self.running))
        await _cancelled(self._rest.values())
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    async def stop(self, numbers: list[int]) -> None:
        """Stop tasks, and wait for their ends; remember those that have not come."""
        works = [self.running[number] for number in numbers if number in self.running]
        self._stopped.update(number for number in numbers if number not in self._begun)
        await _cancelled(works)
        for number in numbers:
            self._rest.pop(number, None)

    def place(self, name: str) -> str:
        """Where a shared value is kept."""
        return os.path.join(self.folder, name)

    def unpack(self, name: str, archive: bytes) -> None:
        """Write the files of a shared value. Blocks."""
        os.makedirs(self.place(name), mode=0o700, exist_ok=True)
        for file, content in pickle.loads(archive).items():
            Path(self.place(name), file).write_bytes(content)

    def _forget(self, settled: int) -> None:
        if settled >= self._settled + 1000:
            self._settled = settled
            self._begun = {number for number in self._begun if number >= settled}
            self._stopped = {number for number in self._stopped if number >= settled}


def _outcome(errand: Errand, work: asyncio.Task[Any]) -> tuple[int, bytes]:
    if work.cancelled():
        return STOPPED, b""
    error = work.exception()
    if isinstance(error, RoseError):
        return ENGINE_ERROR, pack_error(error)
    if error is not None:
        failed = WorkerTakenError(f"its Dask worker cannot run it: {describe(error)}", str(errand.key))
        return ENGINE_ERROR, pack_error(failed)
    result = work.result()
    return result if isinstance(errand.call, bytes) else (RESULT, pickle.dumps(result))


async def _cancelled(works: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel, and wait for the ends."""
    works = list(works)
    for work in works:
        work.cancel()
    if works:
        await asyncio.wait(works)


def _sees(greeting: Greeting) -> bool:
    """Whether the driver's directory is here too, and may be written to. Blocks."""
    token = Path(greeting.token)
    try:
        return token.read_text() == greeting.secret and os.access(greeting.folder, os.W_OK)
    except OSError:
        return False
