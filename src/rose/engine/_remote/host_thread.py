"""Host tasks in a worker of a pool that runs functions, and carries nothing else: such a host calls the driver.

It keeps a connection to the driver, and asks it before it begins a task: one that was cancelled while it
waited for a worker, or that the pool would run a second time, is not run. When the connection or the driver ends, so
does everything that the host has started.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import pickle
import select
import shutil
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any, TypeVar

from rose.engine._remote import host_protocol as wire
from rose.engine._remote.host import Host, receive_folder
from rose.engine._remote.host_protocol import REFUSED, UNREACHABLE, DriverAddress, Order, Reply, place_of
from rose.engine._remote.remote_task import Surroundings, run_here
from rose.engine.failures import describe
from rose.engine.local import LocalEngine
from rose.engine.processes.kernel import open_pidfd
from rose.engine.processes.process import worker_name
from rose.engine.protocol import Command
from rose.engine.shipping.main_module import borrowed

logger = logging.getLogger(__name__)

MANY = 1_000_000  # cpus of a host's engine: the driver and the pool say how many tasks run at a time
PATIENCE = 30.0  # seconds for the driver to take a connection
DEATH = 1.0  # seconds from the end of a connection to that of the driver, if that is the reason

T = TypeVar("T")
_threads: dict[DriverAddress, HostThread] = {}
_lock = threading.Lock()


def run_order(message: bytes) -> Reply:
    """Run one pickled order; blocks until it has ended. This is what an engine gives to somebody else's workers."""
    order: Order = pickle.loads(message)
    assert order.driver is not None
    with _lock:
        thread = _threads.get(order.driver)
        if thread is None or thread.over:
            thread = _threads[order.driver] = HostThread(order.driver)
    return thread.run(order)


def _forget_after_fork() -> None:
    """Forget the threads of the process that was forked: they are not in its child."""
    global _lock
    _lock = threading.Lock()
    _threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


class NotWanted(Exception):
    """Say that the driver does not want the order to be run."""


class HostThread:
    """Hold what one process has for one driver: a connection, and the engines behind it, in a thread of their own."""

    def __init__(self, driver: DriverAddress) -> None:
        self.over = False
        self._driver = driver
        self._loop = asyncio.new_event_loop()
        self._host = Host(self._engine, self._tell_start)
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._writer: asyncio.StreamWriter | None = None
        self._answers: dict[int, asyncio.Future[None]] = {}  # to the question whether an order may be run
        self._engines: dict[str | None, LocalEngine] = {}  # by CUDA_VISIBLE_DEVICES
        self._copies: dict[int, asyncio.Task[str]] = {}  # of shared values that are on the driver's machine
        self._unreachable: OSError | None = None
        self._accepting = threading.Lock()
        self._pidfd: int | None = None  # tells of the driver's death, as a fork of it may hold the connection open
        if driver.pid is not None and driver.pid != os.getpid():
            try:
                pidfd = open_pidfd(driver.pid)
            except ProcessLookupError:
                self.over = True
                return
            self._pidfd = pidfd if pidfd >= 0 else None
        threading.Thread(target=self._live, name="rose-host", daemon=True).start()

    def run(self, order: Order) -> Reply:
        """Run an order to its end, or not at all."""
        task = order.task
        try:
            if isinstance(task.call, Command) or not order.in_worker:
                return self._await(self._run(order))
            surroundings = self._await(self._admit(order))
        except (NotWanted, CancelledError, KeyboardInterrupt):  # Ctrl-C in a terminal reaches a pool's workers
            return Reply(REFUSED)
        except OSError as error:
            place = f"{self._driver.address}:{self._driver.port}"
            text = f"its worker on {socket.gethostname()} cannot reach the driver at {place}: {describe(error)}"
            return Reply(UNREACHABLE, text.encode())
        worker = worker_name(os.getpid()) if order.tells_start else ""
        if worker:
            self._loop.call_soon_threadsafe(self._tell_start, order.number, worker)
        try:
            with borrowed():
                return Reply(*run_here(task.call, task.prefix, False, surroundings), worker)
        finally:
            with contextlib.suppress(NotWanted):  # the driver has gone meanwhile
                self._await(self._end(order.number))

    # --- between the threads -------------------------------------------------------------------------------------

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        with self._accepting:
            if self.over:
                work.close()
                raise self._unreachable or NotWanted
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _live(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self.over = True
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        if self._pidfd is not None:
            gone = bool(select.select([self._pidfd], [], [], DEATH)[0])
            os.close(self._pidfd)
            if gone and _is_worker_of(self._driver):
                os._exit(1)  # a worker of a pool whose master is dead waits for ever

    # --- in the event loop ---------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Hear the driver until it hangs up or dies; then end everything."""
        listening = asyncio.ensure_future(self._listen())
        if self._pidfd is not None:
            self._loop.add_reader(self._pidfd, listening.cancel)
        await asyncio.wait([listening])
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
        with self._accepting:
            self.over = True
        await asyncio.sleep(0)  # what was accepted before is a task now
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        closing = [engine.close() for engine in self._engines.values()]
        for result in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(result, BaseException):  # those who still wait for this thread must not wait for ever
                logger.error("the engine of a host did not close: %s", describe(result), exc_info=result)
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.write_eof()  # a fork of this process may hold the connection open
            self._writer.close()

    async def _listen(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                reader, self._writer = await asyncio.open_connection(self._driver.address, self._driver.port)
        except OSError as error:
            self._unreachable = error
            return
        self._writer.write(self._introduction(wire.CALL))
        self._connected.set_result(None)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, number, _ = wire.MESSAGE.unpack(await reader.readexactly(wire.MESSAGE.size))
                self._hear(kind, number)

    def _introduction(self, kind: bytes, ref: int = 0) -> bytes:
        return wire.INTRODUCTION.pack(kind, self._driver.secret, ref, socket.gethostname().encode())

    def _hear(self, kind: bytes, number: int) -> None:
        if kind == wire.STOP:
            self._host.stop([number])  # also one that still has to fetch what it reads
        elif kind == wire.DROP:
            copying = self._copies.pop(number, None)
            if copying is not None and copying.done() and not _has_failed(copying):
                self._loop.run_in_executor(None, shutil.rmtree, copying.result(), True)
        elif (answer := self._answers.pop(number, None)) is not None and not answer.done():
            if kind == wire.GO:
                answer.set_result(None)
            else:
                answer.set_exception(NotWanted())

    def _say(self, kind: bytes, number: int, pid: int = 0) -> None:
        assert self._writer is not None
        self._writer.write(wire.MESSAGE.pack(kind, number, pid))

    def _tell_start(self, number: int, worker: str) -> None:
        self._say(wire.BEGAN, number, int(worker.rpartition(":")[2]))

    async def _end(self, number: int) -> None:
        self._say(wire.END, number)

    async def _run(self, order: Order) -> Reply:
        """Run an order on an engine of ours."""
        surroundings = await self._admit(order)
        try:
            return await self._host.run(order, surroundings)
        finally:
            self._say(wire.END, order.number)

    async def _admit(self, order: Order) -> Surroundings:
        """Ask the driver whether the order is to be run, and get what it reads.

        Raises:
            NotWanted: it is not.
            OSError: the driver cannot be reached.
        """
        number, folder = order.number, self._driver.folder
        try:
            await asyncio.shield(self._connected)
            answer = self._answers[number] = self._loop.create_future()
            self._say(wire.START, number)
            await answer
            places = {place_of(folder, ref): await self._copy(ref) for ref in order.refs if self._is_missing(ref)}
        except asyncio.CancelledError:
            raise self._unreachable or NotWanted from None
        finally:
            self._answers.pop(number, None)
        return replace(order.surroundings, places=places)

    def _engine(self, gpus: str | None) -> LocalEngine:
        engine = self._engines.get(gpus)
        if engine is None:
            names = [] if gpus is None else gpus.split(",") if gpus else ["none"]
            engine = self._engines[gpus] = LocalEngine(MANY, gpus=names)
        return engine

    def _is_missing(self, ref: int) -> bool:
        """Return whether a shared value is not to be seen from here: another machine, and no file system in common."""
        return ref in self._copies or not os.path.isdir(place_of(self._driver.folder, ref))

    async def _copy(self, ref: int) -> str:
        """Return where the copy of a shared value is; it is made once."""
        copying = self._copies.get(ref)
        if copying is None or _has_failed(copying):
            copying = self._copies[ref] = self._loop.create_task(self._fetch(ref))
        return await asyncio.shield(copying)

    async def _fetch(self, ref: int) -> str:
        engine, driver = self._engine(None), (self._driver.address, self._driver.port)

        def fetch() -> str:
            here = os.path.join(engine.private_folder(), f"copy-{ref}")
            with socket.create_connection(driver, PATIENCE) as connection, connection.makefile("rb") as stream:
                connection.sendall(self._introduction(wire.FETCH, ref))
                receive_folder(stream, here)
            return here

        return await asyncio.to_thread(fetch)


def _has_failed(work: asyncio.Task[Any]) -> bool:
    return work.done() and (work.cancelled() or work.exception() is not None)


def _is_worker_of(driver: DriverAddress) -> bool:
    parent = multiprocessing.parent_process()
    return parent is not None and parent.pid == driver.pid
