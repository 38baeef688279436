"""Keep the driver's lines to the hosts of its tasks: who may begin, who is to stop, whose host has died."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import secrets
import socket

from rose.engine._remote import host_protocol as wire
from rose.engine._remote.host import send_folder
from rose.engine._remote.host_protocol import DriverAddress, place_of
from rose.engine._remote.job import PoolJob
from rose.engine.processes.scratch import Scratch
from rose.errors import WorkerTakenError

logger = logging.getLogger(__name__)

GRACE = 2.0  # seconds that a pool has to say what became of a host whose line has ended
FAREWELL = 10.0  # seconds that hosts have to end what they run when the engine closes


class _Line:
    """Hold a connection from a host."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = bytearray()
        self.machine = ""  # the host's, once it has said the secret


class Hosts:
    """Keep the lines to all hosts of one engine. They call the driver; nothing that they send is ever unpickled.

    Args:
        scratch: of the engine's directory, with its shared values.
        address: the name by which the hosts find the driver's machine; None: they are on it.
    """

    def __init__(self, scratch: Scratch, address: str | None) -> None:
        self._scratch = scratch
        self._address = address
        self.fetched = 0  # how often a shared value has been sent
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listening: socket.socket | None = None
        self._driver: DriverAddress | None = None
        self._lines: set[_Line] = set()
        self._expected: dict[int, PoolJob] = {}
        self._all_gone: asyncio.Future[None] | None = None

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listen in this event loop from now on."""
        if self._listening is not None:
            self._unwatch(self._listening)
            loop.add_reader(self._listening, self._accept)
        for line in self._lines:
            self._unwatch(line.connection)
            loop.add_reader(line.connection, self._readable, line)
        self._loop = loop

    def driver(self) -> DriverAddress:
        """Return where hosts find us: from now on they can call."""
        if self._driver is None:
            assert self._loop is not None
            near = self._address is None
            self._listening = socket.create_server(("127.0.0.1" if near else "", 0), backlog=1024)
            self._listening.setblocking(False)
            self._loop.add_reader(self._listening, self._accept)
            self._driver = DriverAddress(
                address=self._address or "127.0.0.1",
                port=self._listening.getsockname()[1],
                secret=secrets.token_bytes(32),
                folder=self._scratch.folder,
                pid=os.getpid() if near else None,
            )
        return self._driver

    @property
    def ended_below(self) -> int:
        """Return the lowest number of an order that has not ended."""
        return next(iter(self._expected))

    def expect(self, job: PoolJob) -> None:
        """Let a job's order begin, which will be sent. Called in the order of their numbers."""
        self._expected[job.number] = job

    def forget(self, job: PoolJob) -> None:
        """Forget an order: the pool has returned it."""
        self._expected.pop(job.number, None)

    def stop(self, job: PoolJob) -> bool:
        """Stop an order, or have it refused when it begins; return whether it had begun."""
        job.refused = True
        if isinstance(job.line, _Line):
            self._say(job.line, wire.STOP, job.number)
        return job.line is not None

    def drop(self, ref: int) -> None:
        """Tell all hosts that a shared value is not needed any more."""
        for line in list(self._lines):
            self._say(line, wire.DROP, ref)

    def hang_up(self) -> None:
        """Let no order begin from now on, and have all hosts end what they do, without waiting for it."""
        self._close_listening()
        for line in list(self._lines):
            try:
                line.connection.shutdown(socket.SHUT_WR)
            except OSError:
                self._lost(line)

    async def close(self) -> None:
        """Hang up, and wait for the ends of the hosts."""
        self.hang_up()
        if self._lines:
            self._all_gone = asyncio.get_running_loop().create_future()
            _, pending = await asyncio.wait([self._all_gone], timeout=FAREWELL)
            if pending:
                logger.warning("%d workers have not ended what they ran within %g s", len(self._lines), FAREWELL)
        self.abandon()

    def abandon(self) -> None:
        """End the lines to all hosts without an event loop."""
        self._close_listening()
        for line in list(self._lines):
            self._close(line)

    # --- inside --------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        assert self._listening is not None
        assert self._loop is not None
        try:
            connection, _ = self._listening.accept()
        except OSError:  # it has gone again
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = _Line(connection)
        self._lines.add(line)
        self._loop.add_reader(connection, self._readable, line)

    def _readable(self, line: _Line) -> None:
        try:
            data = line.connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost(line)
            return
        line.received += data
        if not line.machine and (len(line.received) < wire.INTRODUCTION.size or not self._introduced(line)):
            return
        while len(line.received) >= wire.MESSAGE.size:
            message = wire.MESSAGE.unpack_from(line.received)
            del line.received[: wire.MESSAGE.size]
            self._hear(line, *message)

    def _introduced(self, line: _Line) -> bool:
        """Return whether it is a host of ours that will go on talking."""
        kind, secret, ref, machine = wire.INTRODUCTION.unpack_from(line.received)
        del line.received[: wire.INTRODUCTION.size]
        assert self._driver is not None
        if kind not in (wire.CALL, wire.FETCH) or not hmac.compare_digest(secret, self._driver.secret):
            logger.warning("a stranger has called an engine's port")
            self._close(line)
        elif kind == wire.FETCH:
            self._forget_line(line)
            self.fetched += 1
            self._scratch.threads.submit(_send, line.connection, place_of(self._driver.folder, ref))
        else:
            line.machine = machine.rstrip(b"\0").decode(errors="replace") or "?"
        return bool(line.machine)

    def _hear(self, line: _Line, kind: bytes, number: int, pid: int) -> None:
        job = self._expected.get(number)
        if kind == wire.START:
            if job is None or job.line is not None or job.refused:
                self._say(line, wire.NO, number)
            else:
                job.line = line
                self._say(line, wire.GO, number)
        elif job is not None and job.line is line:
            if kind == wire.BEGAN:
                job.begin(f"{line.machine}:{pid}")
            elif kind == wire.END:
                job.ended = True

    def _say(self, line: _Line, kind: bytes, number: int) -> None:
        try:
            line.connection.sendall(wire.MESSAGE.pack(kind, number, 0))
        except OSError:  # a host that does not read 100,000 messages has gone as well
            self._lost(line)

    def _lost(self, line: _Line) -> None:
        self._close(line)
        assert self._loop is not None
        for job in self._expected.values():
            if job.line is line and not job.ended:
                error = WorkerTakenError("the worker that ran it died", job.key)
                self._loop.call_later(GRACE, job.fail, error)

    def _close(self, line: _Line) -> None:
        self._forget_line(line)
        line.connection.close()

    def _forget_line(self, line: _Line) -> None:
        self._lines.discard(line)
        self._unwatch(line.connection)
        if not self._lines and self._all_gone is not None and not self._all_gone.done():
            self._all_gone.set_result(None)

    def _unwatch(self, one: socket.socket) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(one)

    def _close_listening(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            self._unwatch(listening)
            try:
                listening.shutdown(socket.SHUT_RDWR)  # forks of this process hold it open
            except OSError:
                logger.debug("this system does not shut listening sockets down")
            listening.close()


def _send(connection: socket.socket, folder: str) -> None:
    """Send a shared value's files. Blocks."""
    with connection:
        connection.setblocking(True)
        try:
            with connection.makefile("wb") as stream:
                send_folder(folder, stream)
        except OSError as error:  # released, or the host has gone: it sees an archive that ends too early
            logger.debug("a shared value could not be sent: %s", error)
