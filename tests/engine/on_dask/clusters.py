"""Dask clusters for the tests: in processes of this one's, and as separate programs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

from distributed import LocalCluster


def local_cluster(threads: int, workers: int = 1, **options: Any) -> LocalCluster:
    """Workers as processes, with nannies."""
    return LocalCluster(
        n_workers=workers,
        threads_per_worker=threads,
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
        silence_logs=logging.CRITICAL,
        **options,
    )


class Program:
    """A program of its own: a scheduler, a worker, a driver."""

    def __init__(self, code: str, *arguments: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._heard = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def says(self, pattern: str, within: float = 30.0) -> str:
        """Wait until it has said something like it: the first group."""

        def found() -> re.Match[str] | None:
            return next((match for line in self.lines if (match := re.search(pattern, line))), None)

        with self._heard:
            match = self._heard.wait_for(found, within)
        assert match, f"nothing like {pattern!r} in:\n" + "".join(self.lines)
        return match[1]

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()
        self._listener.join()
        assert self.process.stdin is not None
        self.process.stdin.close()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._heard:
                self.lines.append(line)
                self._heard.notify_all()
        self.process.stdout.close()


@contextlib.contextmanager
def programs() -> Iterator[list[Program]]:
    """A list of programs, which are killed in the end."""
    running: list[Program] = []
    try:
        yield running
    finally:
        for program in running:
            program.end()


# It ends with the tests, also when those are killed: then its standard input ends.
_COMMAND = """
import os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
sys.argv[0] = "dask"
from distributed.cli.dask_{0} import main
main()
"""


def start_scheduler(folder: Path, port: int = 0) -> tuple[Program, str]:
    """A scheduler, and its address."""
    options = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-show"]
    program = Program(_COMMAND.format("scheduler"), *options, folder=folder)
    return program, program.says(r"Scheduler at:\s+(tcp://\S+)")


def start_worker(folder: Path, address: str, threads: int, *options: str) -> Program:
    """A worker, which joins soon."""
    arguments = [address, "--nthreads", str(threads), "--no-dashboard", "--local-directory", str(folder), *options]
    return Program(_COMMAND.format("worker"), *arguments, folder=folder)


class Proxy:
    """A network between a driver and a scheduler: it counts what passes, and can be cut."""

    def __init__(self, address: str) -> None:
        host, _, port = address.removeprefix("tcp://").partition(":")
        self._target = (host, int(port))
        self.sent = 0  # bytes from the driver
        self._swallows = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._server = self._do(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Close all connections, and accept no more."""
        self._do(self._close())

    def swallow(self) -> None:
        """From now on nothing arrives, and nobody is told."""
        self._swallows = True

    def end(self) -> None:
        """Cut, and end."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _close(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        if self._pumps:
            await asyncio.wait(self._pumps)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(*self._target)
        self._writers |= {writer, there[1]}
        for source, sink, counts in ((reader, there[1], True), (there[0], writer, False)):
            pump = self._loop.create_task(self._pump(source, sink, counts))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                self.sent += len(data) * counts
                if not self._swallows:
                    sink.write(data)
                    await sink.drain()
        sink.transport.abort()
