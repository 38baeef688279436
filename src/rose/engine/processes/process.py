"""Start a child process in a session of its own, whose end the event loop sees."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from rose.engine.processes._reaper import kill_group
from rose.engine.processes.kernel import hear_of_children, open_pidfd

UNKNOWN = 1 << 16  # the exit code of a process of which somebody else has collected it


def worker_name(pid: int) -> str:
    """Return the name of a process of this machine, as `on_start` gives it."""
    return f"{socket.gethostname()}:{pid}"


class Child:
    """Hold a started process and its group (`pid` is both). Made in a helper thread: starting one takes milliseconds.

    The session of its own makes Ctrl-C in the terminal pass it by, and lets one signal reach all that it started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        pass_fds: tuple[int, ...] = (),
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        stdout: IO[bytes] | int | None = None,
        stderr: IO[bytes] | int | None = None,
    ) -> None:
        hear_of_children()
        self.popen = subprocess.Popen(
            argv,
            env=env,
            cwd=cwd,
            pass_fds=pass_fds,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        self.pid = self.popen.pid
        try:
            self._pidfd = open_pidfd(self.pid)
        except ProcessLookupError:  # it has ended, and somebody else has collected it
            self._pidfd = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_exit: Callable[[], None] | None = None
        self._waiter: threading.Thread | None = None

    def watch(self, loop: asyncio.AbstractEventLoop, on_exit: Callable[[], None]) -> None:
        """Call `on_exit` in the loop when the process has ended; it is not reaped yet, so its pid is still its own."""
        self._loop, self._on_exit = loop, on_exit
        if self._pidfd >= 0:
            loop.add_reader(self._pidfd, on_exit)
        elif self._waiter is None:
            self._waiter = threading.Thread(target=self._wait, name=f"rose-wait-{self.pid}", daemon=True)
            self._waiter.start()

    def unwatch(self) -> None:
        """Stop watching."""
        if self._pidfd >= 0 and self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._pidfd)
        self._loop = self._on_exit = None

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and to all in its group."""
        if self.popen.returncode is not None:  # reaped: the number may belong to others by now
            return
        if number == signal.SIGKILL:
            kill_group(self.pid)
            return
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def wait(self) -> None:
        """Wait for its end, without reaping. Blocks."""
        with contextlib.suppress(ChildProcessError):  # somebody else has collected it: it has ended, too
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def reap(self) -> int:
        """Kill the rest of its group, collect the process, which has ended or ends now, and return its exit code."""
        self.unwatch()
        self.signal_group(signal.SIGKILL)
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:  # Popen would say 0
            code = UNKNOWN
        self.popen.returncode = code
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        return code

    def _wait(self) -> None:
        """Wait in a thread, without reaping, and tell the loop: where the system has no pidfd."""
        self.wait()
        loop, on_exit = self._loop, self._on_exit
        if loop is not None and on_exit is not None and not loop.is_closed():
            loop.call_soon_threadsafe(on_exit)


def describe_exit(code: int) -> str:
    """Put an exit code into words.

    >>> describe_exit(-9), describe_exit(3)
    ('killed by SIGKILL', 'exit code 3')
    """
    if code == UNKNOWN:
        return (
            "an exit code that something else in the driver's process has collected: a handler of SIGCHLD, or a "
            "thread, that waits for every child"
        )
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
