"""Handle a driver's signals: the first ends its sessions in order, a second one the process at once.

The handlers are the driver's alone. A process that it forks (`multiprocessing`, a pool's worker, a task of a
`ThreadEngine`) inherits them, and the pipe by which signals wake the event loop: what would end the child would go
unheard in it, and end the driver. So each child begins with the handlers that the driver had before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from types import FrameType
from typing import Any

_log = logging.getLogger("rose")

PREEMPTED = 128 + signal.SIGTERM  # the exit code of a process that SIGTERM ended
ONE = 0.2  # seconds: `timeout`, and batch systems, send a signal to the process and to its group; that is one signal

_ENDS = {signal.SIGTERM, signal.SIGINT} | ({signal.SIGHUP} if hasattr(signal, "SIGHUP") else set())

_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None


@dataclass(eq=False)
class Ending:
    """End one session on SIGTERM: `came` says whether it was that."""

    loop: asyncio.AbstractEventLoop
    supervisor: asyncio.Task[Any] | None
    came: bool = False

    def order(self) -> None:
        """Cancel what the session does, which ends everything of ours and commits what is in hand."""
        self.came = True
        self.loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        _log.info(
            "SIGTERM: ending what runs; what is recorded is kept. A second signal, or kill -9, ends the process at "
            "once, and loses no more than what runs"
        )
        if self.supervisor is not None:
            self.supervisor.cancel()


@dataclass
class _Driver:
    """Hold what is kept of the process while sessions run in its main thread."""

    sessions: list[Ending] = field(default_factory=list)
    before: dict[int, _Handler] = field(default_factory=dict)  # the handlers that ours stand in for
    unblocked: set[int] = field(default_factory=set)  # whoever started the program had blocked them
    pid: int = 0
    first: float | None = None  # when the first signal came
    hooked: bool = False  # forks are prepared for


_driver = _Driver()
_masks = threading.local()  # of a thread that forks


@contextlib.contextmanager
def ending_on_signals() -> Iterator[Ending]:
    """End the session on SIGTERM (a batch system that wants its nodes back), then exit with code 143.

    SIGINT does what it did before. A second signal, of either kind, ends the process at once. Only where the process
    has no handler of its own, in the main thread. SIGTERM is heard even if the parent had blocked it; ignored signals
    (nohup, a shell's background jobs) stay ignored.
    """
    ending = Ending(asyncio.get_running_loop(), asyncio.current_task())
    if threading.current_thread() is not threading.main_thread():
        yield ending
        return
    if not _driver.sessions:
        _install()
    _driver.sessions.append(ending)
    try:
        yield ending
    finally:
        _driver.sessions.remove(ending)
        if not _driver.sessions:
            _uninstall()
        if ending.came:
            raise SystemExit(PREEMPTED)


def _install() -> None:
    if signal.SIGINT not in _driver.before:
        _driver.first = None
    _driver.pid = os.getpid()
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        _take(signal.SIGTERM)
    if _is_of_asyncio(signal.getsignal(signal.SIGINT)):
        _take(signal.SIGINT)
    if not _driver.hooked and hasattr(os, "register_at_fork"):
        _driver.hooked = True
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)


def _is_of_asyncio(handler: object) -> bool:
    """Return whether a signal's handler is that of `asyncio.run`, which cancels the main task."""
    return isinstance(getattr(getattr(handler, "func", None), "__self__", None), asyncio.Runner)


def _take(number: signal.Signals) -> None:
    _driver.before[number] = signal.signal(number, _handle)
    if hasattr(signal, "pthread_sigmask") and number in signal.pthread_sigmask(signal.SIG_UNBLOCK, {number}):
        _driver.unblocked.add(number)


def _uninstall() -> None:
    if _driver.unblocked:
        signal.pthread_sigmask(signal.SIG_BLOCK, _driver.unblocked)
        _driver.unblocked = set()
    _give_back(signal.SIGTERM)
    if _driver.first is None:
        _give_back(signal.SIGINT)
    else:  # the program ends: it may yet wait for what it has in threads, until its main task is done
        keywords = getattr(_driver.before.get(signal.SIGINT), "keywords", {})
        if "main_task" in keywords:
            keywords["main_task"].add_done_callback(lambda _: _give_back(signal.SIGINT))


def _give_back(number: int) -> None:
    before = _driver.before.pop(number, None)
    if before is not None and signal.getsignal(number) is _handle:
        signal.signal(number, before)


def _handle(number: int, frame: FrameType | None) -> None:
    if os.getpid() != _driver.pid:  # a child that was forked without Python's knowing
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    now = monotonic()
    if _driver.first is None:
        _driver.first = now
    elif now - _driver.first < ONE:
        return
    else:
        _end_at_once(number)
    if number == signal.SIGTERM:
        for ending in _driver.sessions:
            ending.order()
    else:
        before = _driver.before[number]
        assert callable(before)
        before(number, frame)


def _end_at_once(number: int) -> None:
    """End as the signal itself would have ended the process; the reapers of engines end what these have started."""
    if number == signal.SIGTERM:
        os._exit(PREEMPTED)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _before_fork() -> None:
    """Block signals until a child that is just being made has handlers of its own."""
    _masks.before = None
    if _driver.sessions or _driver.before:
        _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)


def _after_fork() -> None:
    before, _masks.before = _masks.before, None
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_child() -> None:
    if _driver.sessions or _driver.before:
        signal.set_wakeup_fd(-1)  # of the driver's event loop
        for number in _ENDS:
            handler = signal.getsignal(number)
            # The latter stands for a callback of the event loop: the user's, or AsyncFlow's.
            if handler is _handle or getattr(handler, "__name__", "") == "_sighandler_noop":
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        _driver.sessions, _driver.before, _driver.unblocked = [], {}, set()
    _after_fork()
