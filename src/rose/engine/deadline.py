"""Count deadlines in seconds for which this process itself ran: a job that is suspended as a whole does not overrun.

Nothing tells a process for how long it was stopped (SIGSTOP, a frozen cgroup, a batch system's suspension): a thread
that wants to wake up every now and then, and wakes up late, has noticed it. It sleeps while there are no deadlines.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from time import monotonic

TICK = 0.5  # seconds
_LATE = 0.5  # seconds by which a thread of a busy process may be late


class _Clock:
    """Count for how long this process was suspended, as far as anyone wanted to know."""

    def __init__(self) -> None:
        self._wanted = 0
        self._lost = 0.0
        self._ticked = 0.0
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None

    def lost(self) -> float:
        """Return the seconds up to now for which this process was suspended."""
        with self._condition:
            self._look()
            return self._lost

    def want(self) -> None:
        """Count suspensions from now on, for one deadline more."""
        with self._condition:
            self._wanted += 1
            if self._wanted == 1:
                self._ticked = monotonic()
                if self._thread is None:
                    self._thread = threading.Thread(target=self._tick, name="rose-clock", daemon=True)
                    self._thread.start()
                self._condition.notify()

    def leave(self) -> None:
        """Take note that one deadline less needs the count."""
        with self._condition:
            self._look()
            self._wanted -= 1

    def _look(self) -> None:
        now = monotonic()
        if self._wanted and now - self._ticked > TICK + _LATE:
            self._lost += now - self._ticked - TICK
        self._ticked = now

    def _tick(self) -> None:
        with self._condition:
            while True:
                self._condition.wait(TICK if self._wanted else None)
                self._look()


_clock = _Clock()


def _forget_after_fork() -> None:
    """Begin anew: the thread of the process that was forked is not in its child."""
    global _clock
    _clock = _Clock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


class Deadline:
    """Call `overrun` in the event loop when this process has run for so many seconds, unless it is cancelled."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, overrun: Callable[[], object]) -> None:
        self._loop = loop
        self._overrun = overrun
        self._clock: _Clock | None = _clock
        _clock.want()
        self._lost = _clock.lost()
        self._at = loop.time() + seconds
        self._timer = loop.call_at(self._at, self._due)

    def cancel(self) -> None:
        """Stop counting: the deadline does not matter any more."""
        self._timer.cancel()
        clock, self._clock = self._clock, None
        if clock is not None:
            clock.leave()

    def _due(self) -> None:
        if self._clock is None:
            return
        before, self._lost = self._lost, self._clock.lost()
        late = self._loop.time() - self._at  # the loop was busy: what it was to do for the task was held up as well
        more = max(self._lost - before, late if late > _LATE else 0.0)
        if more > 0:
            self._at = self._loop.time() + more
            self._timer = self._loop.call_at(self._at, self._due)
            return
        self.cancel()
        self._overrun()


@contextlib.asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Limit a block as `asyncio.timeout` does, in seconds for which this process ran.

    Raises:
        TimeoutError: if the block takes longer.
    """
    async with asyncio.timeout(None) as timeout:
        loop = asyncio.get_running_loop()
        deadline = Deadline(loop, seconds, lambda: timeout.reschedule(loop.time()))
        try:
            yield
        finally:
            deadline.cancel()
