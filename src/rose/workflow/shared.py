"""A value that many tasks take: shipped to the engine once, when the first of them needs it."""

from __future__ import annotations

import asyncio
from typing import Any

from rose.engine import Engine, Ref
from rose.store import Result
from rose.workflow.reporting import Note, class_names


class Shared:
    """A value, at hand or recorded, and its place on the engine."""

    def __init__(self, engine: Engine, result: Result, note: Note | None = None) -> None:
        self._engine = engine
        self._result = result
        self._note = note
        self._ref: Ref | None = None
        self._shipping = asyncio.Lock()

    @property
    def value(self) -> Any:
        """The value itself; blocks where it has to be read (`get` does not)."""
        return self._result.load()

    @property
    def result(self) -> Result:
        """The value, perhaps unread."""
        return self._result

    async def get(self) -> Any:
        """The value itself."""
        return await self._result.get()

    async def ref(self) -> Ref:
        """What tasks take for it; shipped at the first call."""
        async with self._shipping:
            if self._ref is None:
                self._ref = await self._engine.share(await self._result.get())
            return self._ref

    async def classes(self) -> list[Any] | None:
        """The label of each column of a model's probabilities, where it says them."""
        return class_names(await self.get()) if self._note is None else self._note.classes

    async def release(self) -> None:
        """Free its place on the engine; no task may ask for it again."""
        ref, self._ref = self._ref, None
        if ref is not None:
            await self._engine.release(ref)
