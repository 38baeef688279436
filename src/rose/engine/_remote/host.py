"""In a worker of somebody else's: runs orders on a local engine of its own, so that they can be stopped and timed out.

The host keeps a connection to the driver, and asks it before it begins a task: one that was cancelled while it waited
for a worker, or that the pool would run a second time, is not run. When the connection or the driver ends, so does
everything that the host has started.
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
import tarfile
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any, TypeVar

from rose.engine._remote.host_protocol import (
    CALL,
    DROP,
    END,
    FETCH,
    GO,
    MESSAGE,
    NUMBER,
    RAISED,
    REFUSED,
    START,
    STOP,
    UNREACHABLE,
    Driver,
    Order,
    Reply,
)
from rose.engine._remote.remote_task import Surroundings, as_task, pack_error, run_here
from rose.engine.failures import describe
from rose.engine.local import LocalEngine
from rose.engine.local.worker_protocol import RESULT
from rose.engine.processes.kernel import open_pidfd
from rose.engine.protocol import Command, CommandOutput
from rose.engine.shipping.main_module import borrowed
from rose.errors import RoseError

logger = logging.getLogger(__name__)

MANY = 1_000_000  # cpus of a host's engine: the driver and the pool say how many tasks run at a time
PATIENCE = 30.0  # seconds for the driver to take a connection
DEATH = 1.0  # seconds from the end of a connection to that of the driver, if that is the reason

T = TypeVar("T")
_homes: dict[Driver, Home] = {}
_lock = threading.Lock()


def host(message: bytes) -> Reply:
    """Run one pickled order; blocks until it has ended. This is what an engine gives to somebody else's workers."""
    order: Order = pickle.loads(message)
    with _lock:
        home = _homes.get(order.driver)
        if home is None or home.over:
            home = _homes[order.driver] = Home(order.driver)
    return home.run(order)


def _forget_after_fork() -> None:
    """The threads of the process that was forked are not in its child."""
    global _lock
    _lock = threading.Lock()
    _homes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


class NotWanted(Exception):
    """The driver does not want the order to be run."""


class Home:
    """What one process has for one driver: a connection, and the engines behind it, in a thread of their own."""

    def __init__(self, driver: Driver) -> None:
        self.over = False
        self._driver = driver
        self._loop = asyncio.new_event_loop()
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._writer: asyncio.StreamWriter | None = None
        self._answers: dict[int, asyncio.Future[None]] = {}  # to the question whether an order may be run
        self._running: dict[int, asyncio.Task[Any]] = {}
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
        call = order.errand.call
        try:
            if not order.here or isinstance(call, Command):
                return self._await(self._run(order))
            surroundings = self._await(self._admit(order))
        except (NotWanted, CancelledError, KeyboardInterrupt):  # Ctrl-C in a terminal reaches a pool's workers
            return Reply(REFUSED, b"")
        except OSError as error:
            place = f"{self._driver.address}:{self._driver.port}"
            text = f"its worker on {socket.gethostname()} cannot reach the driver at {place}: {describe(error)}"
            return Reply(UNREACHABLE, text.encode())
        try:
            with borrowed():
                return Reply(*run_here(call, order.errand.prefix, False, surroundings))
        finally:
            with contextlib.suppress(NotWanted):  # the driver has gone meanwhile
                self._await(self._say(END, order.number))

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
        left = asyncio.all_tasks() - {_current_task()}
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
        self._writer.write(CALL + self._driver.secret)
        self._connected.set_result(None)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, number = MESSAGE.unpack(await reader.readexactly(MESSAGE.size))
                self._hear(kind, number)

    def _hear(self, kind: bytes, number: int) -> None:
        if kind == STOP:
            if number in self._running:
                self._running[number].cancel()
        elif kind == DROP:
            self._drop(number)
        elif (answer := self._answers.pop(number, None)) is not None and not answer.done():
            if kind == GO:
                answer.set_result(None)
            else:
                answer.set_exception(NotWanted())

    async def _say(self, kind: bytes, number: int) -> None:
        assert self._writer is not None
        self._writer.write(MESSAGE.pack(kind, number))

    async def _run(self, order: Order) -> Reply:
        """Run an order on an engine of ours."""
        surroundings = await self._admit(order)
        errand = (
            order.errand if order.gpus else replace(order.errand, resources=replace(order.errand.resources, gpus=0))
        )
        self._running[order.number] = _current_task()
        try:
            result = await self._engine(order.gpus).run(as_task(errand, surroundings))
        except asyncio.CancelledError:
            return Reply(REFUSED, b"")
        except RoseError as error:
            return Reply(RAISED, pack_error(error))
        finally:
            del self._running[order.number]
            await self._say(END, order.number)
        return Reply(RESULT, pickle.dumps(result)) if isinstance(result, CommandOutput) else Reply(*result)

    async def _admit(self, order: Order) -> Surroundings:
        """Ask the driver whether the order is to be run, and get what it reads.

        Raises:
            NotWanted: it is not.
            OSError: the driver cannot be reached.
        """
        number = order.number
        self._running[number] = _current_task()
        try:
            await asyncio.shield(self._connected)
            answer = self._answers[number] = self._loop.create_future()
            await self._say(START, number)
            await answer
            places = {self._driver.place(ref): await self._copy(ref) for ref in self._missing(order.refs)}
        except asyncio.CancelledError:
            raise self._unreachable or NotWanted from None
        finally:
            self._answers.pop(number, None)
            del self._running[number]
        return replace(order.surroundings, places=places)

    def _engine(self, gpus: str | None) -> LocalEngine:
        engine = self._engines.get(gpus)
        if engine is None:
            names = [] if gpus is None else gpus.split(",") if gpus else ["none"]
            engine = self._engines[gpus] = LocalEngine(MANY, gpus=names)
        return engine

    # --- shared values of another machine ------------------------------------------------------------------------

    def _missing(self, refs: Sequence[int]) -> list[int]:
        """Those that are not to be seen from here: another machine, and no file system in common."""
        return [ref for ref in refs if ref in self._copies or not os.path.isdir(self._driver.place(ref))]

    async def _copy(self, ref: int) -> str:
        """Where the copy of a shared value is; made once."""
        copying = self._copies.get(ref)
        if copying is None or (copying.done() and (copying.cancelled() or copying.exception() is not None)):
            copying = self._copies[ref] = self._loop.create_task(self._fetch(ref))
        return await asyncio.shield(copying)

    async def _fetch(self, ref: int) -> str:
        engine = self._engine(None)

        def fetch() -> str:
            here = os.path.join(engine.private_folder(), f"copy-{ref}")
            with (
                socket.create_connection((self._driver.address, self._driver.port), PATIENCE) as connection,
                connection.makefile("rb") as stream,
            ):
                connection.sendall(FETCH + self._driver.secret + NUMBER.pack(ref))
                with tarfile.open(fileobj=stream, mode="r|") as archive:
                    archive.extractall(here, filter="data")
            return here

        return await asyncio.to_thread(fetch)

    def _drop(self, ref: int) -> None:
        copying = self._copies.pop(ref, None)
        if copying is not None and copying.done() and not copying.cancelled() and copying.exception() is None:
            self._loop.run_in_executor(None, shutil.rmtree, copying.result(), True)


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _is_worker_of(driver: Driver) -> bool:
    parent = multiprocessing.parent_process()
    return parent is not None and parent.pid == driver.pid
