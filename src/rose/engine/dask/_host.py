"""Host tasks in Dask workers: an engine there runs orders in children of the worker, which can be killed.

The functions here run in the worker, on its event loop: `run_order`, `keep`, ... as Dask tasks, others by `Client.run`.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import shutil
import socket
import sys
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker

from rose.engine._remote.host import Host, receive_folder
from rose.engine._remote.host_protocol import REFUSED, Order, Reply, place_of
from rose.engine._remote.remote_task import Surroundings
from rose.engine.local import LocalEngine

logger = logging.getLogger(__name__)

NAME = "rose-host"
STARTS = "rose-starts"  # the topic of Dask's events by which drivers are told that tasks have begun
PATIENCE = 0.05  # seconds for which replies of short tasks wait for each other


@dataclass(frozen=True, slots=True)
class Greeting:
    """Hold what a driver tells a worker when they meet."""

    driver: str  # the id of its connection
    lease: str  # the Dask key that is there as long as the driver is
    folder: str  # the driver's directory
    token: str  # a file in it
    secret: str  # what that file holds
    surroundings: Surroundings


@dataclass(frozen=True, slots=True)
class Facts:
    """Hold what a worker answers."""

    host: str  # the host's id: another one, at the same address, may not run what is sent to this one
    machine: str
    python: tuple[int, int]
    sees_files: bool  # it reads and writes the driver's directory
    gpus: tuple[str, ...]  # as CUDA names them


def gpus_of(resources: dict[str, float]) -> int:
    """Return how many gpus a Dask worker declares: `dask worker --resources "GPU=2"`."""
    return int(sum(amount for name, amount in resources.items() if name.upper() in ("GPU", "GPUS")))


# --- what drivers call ---------------------------------------------------------------------------------------------


async def open_host(greeting: Greeting, dask_worker: Worker) -> Facts:
    """Meet a driver: make the host if there is none yet, and say what this worker is."""
    plugin = dask_worker.plugins.get(NAME)
    if not isinstance(plugin, HostPlugin):
        plugin = HostPlugin(dask_worker)
        await dask_worker.plugin_add(plugin, name=NAME)
    return await plugin.admit(greeting)


async def run_order(host: str, driver: str, order: Order, call: bytes | None = None) -> Reply:
    """Run an order, as a Dask task. `call` is the function where that is too long for a message."""
    found = _host(get_worker(), driver, host)
    if found is None:
        return Reply(REFUSED)
    if call is not None:
        order = replace(order, task=replace(order.task, call=call))
    return await found.run(order, found.surroundings)


async def run_together(host: str, driver: str, orders: list[Order]) -> dict[int, Reply]:
    """Run several short orders as one Dask task; the replies of those that are not over in a moment come later."""
    found = _host(get_worker(), driver, host)
    return {order.number: Reply(REFUSED) for order in orders} if found is None else await found.run_together(orders)


async def run_rest(driver: str, number: int) -> Reply:
    """Return the reply of an order that was run with others, as a Dask task."""
    found = _host(get_worker(), driver)
    work = None if found is None else found.rest.pop(number, None)
    return Reply(REFUSED) if work is None else await work


async def keep(driver: str, ref: int, archive: bytes) -> None:
    """Keep a shared value's files in this worker's directory, as a Dask task."""
    found = _host(get_worker(), driver)
    if found is not None:
        await asyncio.to_thread(receive_folder, io.BytesIO(archive), place_of(found.folder, ref))


async def drop(driver: str, ref: int, dask_worker: Worker) -> None:
    """Remove the files of a shared value."""
    found = _host(dask_worker, driver)
    if found is not None:
        await asyncio.to_thread(shutil.rmtree, place_of(found.folder, ref), ignore_errors=True)


async def stop(driver: str, numbers: list[int], dask_worker: Worker) -> None:
    """Stop orders, and return when they have ended; those that have not come yet will not begin."""
    found = _host(dask_worker, driver)
    if found is not None:
        await _ended(found.stop(numbers))
        for number in numbers:
            found.rest.pop(number, None)


async def leave(driver: str, dask_worker: Worker) -> None:
    """Stop what runs for a driver that has done, and remove what is kept for it."""
    plugin = dask_worker.plugins.get(NAME)
    if isinstance(plugin, HostPlugin):
        await plugin.dismiss(driver)


def _host(worker: Worker, driver: str, plugin_id: str | None = None) -> DaskHost | None:
    plugin = worker.plugins.get(NAME)
    if not isinstance(plugin, HostPlugin) or plugin_id not in (None, plugin.id):
        return None
    return plugin.drivers.get(driver)


# --- what lives in the worker --------------------------------------------------------------------------------------


class HostPlugin(WorkerPlugin):  # type: ignore[misc]
    """Keep one Dask worker's engine, shared by all drivers that use the worker, so that together they do not exceed it.

    It ends with the last driver. That a driver has died it learns from Dask, which then releases the driver's lease.
    """

    name = NAME

    def __init__(self, worker: Worker) -> None:
        self.id = uuid.uuid4().hex
        self.drivers: dict[str, DaskHost] = {}
        self._worker = worker
        self._engine: LocalEngine | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def admit(self, greeting: Greeting) -> Facts:
        """Let a driver use this worker."""
        sees_files = await asyncio.to_thread(_sees, greeting)
        if greeting.lease not in self._worker.data:
            raise RuntimeError("the driver has gone already")
        if self._engine is None:
            self._engine = self._make_engine()
        self.drivers[greeting.driver] = DaskHost(greeting, self._engine, self._worker, sees_files)
        gpus = tuple(self._engine.gpu_names)
        return Facts(self.id, socket.gethostname(), sys.version_info[:2], sees_files, gpus)

    async def dismiss(self, driver: str) -> None:
        """End what runs for a driver: it does not use this worker any more."""
        host = self.drivers.pop(driver, None)
        if host is None:
            return
        await host.end()
        if not self.drivers:
            await self._close_engine()

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """Hear from Dask, whenever one of its keys changes its state on this worker."""
        if start == "memory" and finish == "released":
            for driver, host in self.drivers.items():
                if host.lease == key:
                    task = asyncio.get_running_loop().create_task(self._lease_ended(driver, key))
                    self._ending.add(task)
                    task.add_done_callback(self._ending.discard)

    async def teardown(self, worker: Worker) -> None:
        """End everything: the worker closes."""
        for driver in list(self.drivers):
            await self.dismiss(driver)
        await self._close_engine()

    async def _lease_ended(self, driver: str, key: str) -> None:
        """End what runs for a driver that has gone; unless somebody had Dask move its keys to another worker."""
        try:
            moved = (await self._worker.scheduler.who_has(keys=[key])).get(key)
        except OSError:  # the scheduler has gone too
            moved = None
        if not moved:
            logger.info("the driver %s has gone: what runs for it is stopped", driver)
            await self.dismiss(driver)

    def _make_engine(self) -> LocalEngine:
        worker = self._worker
        state, memory = worker.state, worker.memory_manager.memory_limit
        gpus = gpus_of(state.total_resources)
        return LocalEngine(state.nthreads, gpus=gpus, memory=memory, temp_dir=worker.local_directory)

    async def _close_engine(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()


class DaskHost(Host):
    """Keep one driver's tasks and files on this worker."""

    def __init__(self, greeting: Greeting, engine: LocalEngine, worker: Worker, sees_files: bool) -> None:
        super().__init__(lambda _: engine, self._began)
        self.lease = greeting.lease
        self.folder = os.path.join(worker.local_directory, f"rose-{greeting.driver}")  # of what is kept for it here
        self.rest: dict[int, asyncio.Task[Reply]] = {}  # those whose replies are to be asked for
        given = greeting.surroundings
        cwd = given.cwd if given.cwd is not None and os.path.isdir(given.cwd) else None
        self.surroundings = replace(given, cwd=cwd, places={} if sees_files else {greeting.folder: self.folder})
        self._driver = greeting.driver
        self._cpus = engine.capacity().cpus
        self._worker = worker
        self._starts: list[tuple[int, str]] = []  # to be told

    async def run_together(self, orders: list[Order]) -> dict[int, Reply]:
        """Run several orders, and reply after PATIENCE at the latest."""
        loop = asyncio.get_running_loop()
        began = monotonic()
        works = {order.number: loop.create_task(self.run(order, self.surroundings)) for order in orders}
        try:
            await asyncio.wait(works.values(), timeout=PATIENCE)
        except asyncio.CancelledError:  # the worker closes
            await _ended(works.values(), cancel=True)
            raise
        self.rest.update((number, work) for number, work in works.items() if not work.done())
        # About how long each of them took, without the wait for the others.
        seconds = (monotonic() - began) * min(len(orders), self._cpus) / len(orders)
        return {number: replace(work.result(), seconds=seconds) for number, work in works.items() if work.done()}

    async def end(self) -> None:
        """Stop everything, and remove all that is kept."""
        await _ended(self.stop_all())
        await _ended(self.rest.values(), cancel=True)
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    def _began(self, number: int, worker: str) -> None:
        if not self._starts:
            asyncio.get_running_loop().call_soon(self._tell_starts)
        self._starts.append((number, worker))

    def _tell_starts(self) -> None:
        starts, self._starts = self._starts, []
        self._worker.log_event(STARTS, {"driver": self._driver, "starts": starts})


async def _ended(works: Any, cancel: bool = False) -> None:
    """Wait for the ends of what has been cancelled, or is now."""
    works = list(works)
    for work in works if cancel else ():
        work.cancel()
    if works:
        await asyncio.wait(works)


def _sees(greeting: Greeting) -> bool:
    """Return whether the driver's directory is here too, and may be written to. Blocks."""
    try:
        return Path(greeting.token).read_text() == greeting.secret and os.access(greeting.folder, os.W_OK)
    except OSError:
        return False
