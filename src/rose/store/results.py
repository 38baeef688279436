"""A recorded result, read from the disk only if someone asks for it."""

from __future__ import annotations

import asyncio
from typing import Any

from rose.errors import CorruptRunError
from rose.store.objects import ObjectStore
from rose.store.records import decode

_NOT_READ = object()


class Result:
    """What a task gave: at hand, or recorded as `value` (pickled) or `file` (a name in the object store)."""

    def __init__(
        self, objects: ObjectStore | None, value: bytes | None = None, file: str | None = None, given: Any = _NOT_READ
    ) -> None:
        self._objects = objects
        self._value = value
        self._file = file
        self._given = given

    @property
    def at_hand(self) -> bool:
        """Whether it needs no reading."""
        return self._given is not _NOT_READ

    def load(self) -> Any:
        """The result itself. Blocks where it has to be read.

        Raises:
            CorruptRunError: if what was recorded is damaged, or was freed.
        """
        if not self.at_hand:
            if self._value is not None:
                self._given = decode(self._value)
            elif self._file is not None and self._objects is not None:
                self._given = self._objects.get(self._file)
            else:
                raise CorruptRunError("this result was freed: only the last models and all labels are kept")
        return self._given

    async def get(self) -> Any:
        """The result itself, read in a thread where it is a file."""
        if self.at_hand or self._file is None:
            return self.load()
        return await asyncio.to_thread(self.load)


def given(value: Any) -> Result:
    """A result that is at hand."""
    return Result(None, given=value)
