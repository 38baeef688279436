"""Run a function in a thread of a pool that is in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rose.engine.functions.coroutines import Interrupt
from rose.engine.threads import call_here


@dataclass(frozen=True, slots=True)
class ThreadCall:
    """Hold what a thread is to run. `tell_start` is called by the thread."""

    call: Callable[[], Any]
    interrupt: Interrupt
    tell_start: Callable[[], object] | None


@dataclass(frozen=True, slots=True)
class ThreadResult:
    """Hold what a function came to. Short to print: some back ends print what tasks return."""

    result: Any = field(default=None, repr=False)
    error: BaseException | None = field(default=None, repr=False)


def in_thread(call: ThreadCall) -> ThreadResult:
    """Run a function in this thread."""
    if call.tell_start is not None:
        with contextlib.suppress(RuntimeError):  # the driver's event loop has been closed: nobody wants to know
            call.tell_start()
    try:
        return ThreadResult(call_here(call.call, call.interrupt))
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: they end a task, not the thread
        return ThreadResult(error=error)
