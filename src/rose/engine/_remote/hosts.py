"""The driver's lines to the hosts of its tasks: who may begin, who is to stop, whose host has died."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import secrets
import socket
import tarfile
from collections.abc import Callable

from rose.engine._remote.host_protocol import (
    CALL,
    DROP,
    END,
    FETCH,
    GO,
    MESSAGE,
    NO,
    NUMBER,
    SECRET,
    START,
    STOP,
    Driver,
)
from rose.engine.processes.scratch import Scratch

logger = logging.getLogger(__name__)

GRACE = 2.0  # seconds that a pool has to say what became of a host whose line has ended
FAREWELL = 10.0  # seconds that hosts have to end what they run when the engine closes


class _Line:
    """A connection from a host."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.received = bytearray()
        self.known = False  # it has said the secret


class _Expected:
    """An order that has been sent."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self.lost = lost
        self.line: _Line | None = None  # where it has begun
        self.ended = False
        self.refused = False


class Hosts:
    """All hosts of one engine. They call the driver; nothing that they send is ever unpickled.

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
        self._driver: Driver | None = None
        self._lines: set[_Line] = set()
        self._expected: dict[int, _Expected] = {}
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

    def driver(self) -> Driver:
        """Where hosts find us: from now on they can call."""
        if self._driver is None:
            assert self._loop is not None
            near = self._address is None
            self._listening = socket.create_server(("127.0.0.1" if near else "", 0), backlog=1024)
            self._listening.setblocking(False)
            self._loop.add_reader(self._listening, self._accept)
            self._driver = Driver(
                address=self._address or "127.0.0.1",
                port=self._listening.getsockname()[1],
                secret=secrets.token_bytes(SECRET),
                folder=self._scratch.folder,
                pid=os.getpid() if near else None,
            )
        return self._driver

    def expect(self, number: int, lost: Callable[[], None]) -> None:
        """An order is sent; `lost` is called if its host dies over it and the pool does not tell."""
        self._expected[number] = _Expected(lost)

    def forget(self, number: int) -> None:
        """The pool has returned the order."""
        self._expected.pop(number, None)

    def stop(self, number: int) -> bool:
        """Stop an order, or have it refused when it begins; whether it had begun."""
        expected = self._expected.get(number)
        if expected is None:
            return False
        expected.refused = True
        if expected.line is None:
            return False
        self._say(expected.line, STOP, number)
        return True

    def has_begun(self, number: int) -> bool:
        """Whether a host has begun an order."""
        expected = self._expected.get(number)
        return expected is not None and expected.line is not None

    def drop(self, ref: int) -> None:
        """A shared value is not needed any more."""
        for line in list(self._lines):
            self._say(line, DROP, ref)

    def hang_up(self) -> None:
        """No order begins from now on, and all hosts end what they do; not waiting for it."""
        self._close_listening()
        for line in list(self._lines):
            try:
                line.connection.shutdown(socket.SHUT_WR)
            except OSError:
                self._lost(line)

    async def close(self) -> None:
        """The same, and wait for their ends."""
        self.hang_up()
        if self._lines:
            self._all_gone = asyncio.get_running_loop().create_future()
            _, pending = await asyncio.wait([self._all_gone], timeout=FAREWELL)
            if pending:
                logger.warning("%d workers have not ended what they ran within %g s", len(self._lines), FAREWELL)
        self.abandon()

    def abandon(self) -> None:
        """End it without an event loop."""
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
        if not line.known and not self._introduced(line):
            return
        while len(line.received) >= MESSAGE.size:
            kind, number = MESSAGE.unpack_from(line.received)
            del line.received[: MESSAGE.size]
            self._hear(line, kind, number)

    def _introduced(self, line: _Line) -> bool:
        """Whether it is a host of ours that will go on talking."""
        kind = bytes(line.received[:1])
        wanted = 1 + SECRET + (NUMBER.size if kind == FETCH else 0)
        if len(line.received) < wanted:
            return False
        words = bytes(line.received[:wanted])
        del line.received[:wanted]
        assert self._driver is not None
        if kind not in (CALL, FETCH) or not hmac.compare_digest(words[1 : 1 + SECRET], self._driver.secret):
            logger.warning("a stranger has called an engine's port")
            self._close(line)
            return False
        line.known = True
        if kind == FETCH:
            self._forget_line(line)
            self.fetched += 1
            (ref,) = NUMBER.unpack(words[1 + SECRET :])
            self._scratch.threads.submit(_send_folder, line.connection, self._driver.place(ref))
            return False
        return True

    def _hear(self, line: _Line, kind: bytes, number: int) -> None:
        expected = self._expected.get(number)
        if kind == START:
            begins = expected is not None and expected.line is None and not expected.refused
            if begins:
                assert expected is not None
                expected.line = line
            self._say(line, GO if begins else NO, number)
        elif kind == END and expected is not None and expected.line is line:
            expected.ended = True

    def _say(self, line: _Line, kind: bytes, number: int) -> None:
        try:
            line.connection.sendall(MESSAGE.pack(kind, number))
        except OSError:  # a host that does not read 100,000 messages has gone as well
            self._lost(line)

    def _lost(self, line: _Line) -> None:
        self._close(line)
        assert self._loop is not None
        for expected in self._expected.values():
            if expected.line is line and not expected.ended:
                self._loop.call_later(GRACE, expected.lost)

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


def _send_folder(connection: socket.socket, folder: str) -> None:
    """Send a shared value's files as one archive. Blocks."""
    with connection:
        connection.setblocking(True)
        try:
            with connection.makefile("wb") as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
                archive.add(folder, arcname=".")
        except OSError as error:  # released, or the host has gone: it sees an archive that ends too early
            logger.debug("a shared value could not be sent: %s", error)
