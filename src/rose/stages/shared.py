"""Ship a value that many tasks take to the engine once; what a task is given of it becomes its own.

Values that many tasks take are read-only there, or the same object for all of them (see `Engine.share`). Torch warns of
read-only arrays, and code that works in place cannot use them: `private` gives a task what it may change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from rose.engine import Engine, Ref
from rose.engine.shipping.array_files import mapped_again
from rose.stages.reporting import Note, class_names

if TYPE_CHECKING:  # workers import this file for `private`, and need no record
    from rose.store import Result


class Shared:
    """Hold a value, at hand or recorded, and its place on the engine, taken when the first task needs it."""

    def __init__(self, engine: Engine, result: Result, note: Note | None = None) -> None:
        self._engine = engine
        self._result = result
        self._note = note
        self._ref: Ref | None = None
        self._shipping = asyncio.Lock()

    @property
    def value(self) -> Any:
        """Return the value itself; blocks where it has to be read (`get` does not)."""
        return self._result.load()

    @property
    def result(self) -> Result:
        """Return the value, perhaps unread."""
        return self._result

    async def get(self) -> Any:
        """Return the value itself."""
        return await self._result.get()

    async def ref(self) -> Ref:
        """Return what tasks take for it; shipped at the first call."""
        async with self._shipping:
            if self._ref is None:
                self._ref = await self._engine.share(await self._result.get())
            return self._ref

    async def classes(self) -> list[Any] | None:
        """Return the label of each column of a model's probabilities, where it says them."""
        return class_names(await self.get()) if self._note is None else self._note.classes

    async def release(self) -> None:
        """Free its place on the engine; no task may ask for it again."""
        ref, self._ref = self._ref, None
        if ref is not None:
            await self._engine.release(ref)


def private(value: Any) -> Any:
    """Return a value of which arrays, also in lists, tuples and dicts, and tables are this caller's alone.

    A memory-mapped array is mapped again, copy-on-write: nothing is read or copied before it is needed. Other objects,
    such as models, stay what they are.

    >>> shared = np.zeros(3)
    >>> shared.setflags(write=False)
    >>> mine = private([shared, "text"])
    >>> mine[0] += 1
    >>> mine, shared
    ([array([1., 1., 1.]), 'text'], array([0., 0., 0.]))
    """
    if isinstance(value, np.ndarray):
        again = mapped_again(value)
        mine = np.array(value) if again is None else again
        for place, entry in np.ndenumerate(value) if value.dtype == object else ():
            mine[place] = private(entry)
        return mine
    kind = type(value)
    if kind is list or kind is tuple:
        return kind(map(private, value))
    if kind is dict:
        return {key: private(entry) for key, entry in value.items()}
    if hasattr(value, "iloc"):  # a table or a column of pandas
        return value.copy()
    return value


def own(value: Any) -> Any:
    """Return a task's argument as `private` does; a writable array of numbers is the task's own already."""
    mine = isinstance(value, np.ndarray) and value.flags.writeable and value.dtype != object
    return value if mine else private(value)


def with_own(func: Callable[..., Any], /, **arguments: Any) -> Any:
    """Call a function with arguments that are its own; of an async one, this gives the coroutine."""
    return func(**{name: own(value) for name, value in arguments.items()})
