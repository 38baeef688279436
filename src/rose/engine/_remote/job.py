"""A task in a pool of somebody else's, as the driver sees it, and what a function in a thread of it came to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from rose.engine.deadline import Deadline
from rose.engine.functions.copies import apart
from rose.engine.functions.coroutines import Interrupt, finished, interruptible
from rose.engine.functions.printing import showing
from rose.engine.protocol import Task
from rose.engine.shipping.serialization import Packed
from rose.engine.slots import SlotRequest


@dataclass(eq=False, slots=True)
class Job:
    """A task in the pool: `result` is what its caller awaits, `future` the pool's own."""

    task: Task
    request: SlotRequest
    result: asyncio.Future[Any]
    number: int = 0  # of its order; 0: it is not hosted
    packed: Packed | None = None
    prefix: str | None = None
    future: Future[Any] | None = None
    work: asyncio.Task[None] | None = None  # from its submission to its end in the pool
    deadline: Deadline | None = None
    interrupt: Interrupt | None = None  # of a function in a thread of this process

    @property
    def key(self) -> str:
        """The task's key as text."""
        return str(self.task.key)

    def withdraw(self) -> bool:
        """Take it back from the pool; whether that could be done."""
        try:
            return self.future is not None and self.future.cancel()
        except NotImplementedError:  # some pools' futures cannot
            return False

    def fail(self, error: Exception) -> None:
        """End with an error, unless it has ended."""
        if not self.result.done():
            self.result.set_exception(error)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a function in a thread came to. Short to print: some back ends print what tasks return."""

    result: Any = field(default=None, repr=False)
    error: BaseException | None = field(default=None, repr=False)


def in_thread(call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], Interrupt]) -> Outcome:
    """Run a function in this thread."""
    function, args, kwargs, interrupt = call
    try:
        with showing(), interruptible(interrupt):
            return Outcome(apart(finished(function(*args, **kwargs))))
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: they end a task, not the thread
        return Outcome(error=error)


class Used:
    """Shared values that may be used; it notes those that are."""

    def __init__(self, allowed: Container[str]) -> None:
        self.paths: list[str] = []
        self._allowed = allowed

    def __contains__(self, path: object) -> bool:
        if path not in self._allowed:
            return False
        self.paths.append(str(path))
        return True
