"""Hold a recorded result, read from the disk only if someone asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

from rose.errors import (
    CorruptRunError,
    MissingDefinitionError,
    OtherPythonError,
    RunDirectoryError,
    UnpicklableError,
)
from rose.store.files.objects import ObjectStore
from rose.store.records import INLINE_BYTES, decode, encode, encode_small, is_small

_NOT_READ = object()


class Result:
    """Hold what a task gave: at hand, or recorded as `value` (pickled) or `file` (a name in the object store).

    `what` is how errors call it.
    """

    def __init__(
        self,
        objects: ObjectStore | None,
        value: bytes | None = None,
        file: str | None = None,
        given: Any = _NOT_READ,
        what: str = "a recorded result",
    ) -> None:
        self._objects = objects
        self._value = value
        self._file = file
        self._given = given
        self._what = what

    def __reduce__(self) -> tuple[Any, ...]:
        """Become, pickled, a result that is at hand: where it was recorded may not be there then."""
        return given, (self.load(),)

    @property
    def at_hand(self) -> bool:
        """Return whether it needs no reading."""
        return self._given is not _NOT_READ

    def load(self) -> Any:
        """Return the result itself. Blocks where it has to be read.

        Raises:
            CorruptRunError: if what was recorded is damaged, or was freed.
            MissingDefinitionError: if it needs a class or function that the script does not define any more.
            OtherPythonError: if it holds code of another Python.
        """
        if not self.at_hand:
            try:
                self._given = self._read()
            except (MissingDefinitionError, OtherPythonError) as error:
                raise unreadable(error, self._what) from None
        return self._given

    def _read(self) -> Any:
        if self._value is not None:
            return decode(self._value)
        if self._file is not None and self._objects is not None:
            return self._objects.get(self._file)
        raise CorruptRunError("this result was freed: only the last models and all labels are kept")

    async def get(self) -> Any:
        """Return the result itself, read in a thread where it is a file."""
        if self.at_hand or self._file is None:
            return self.load()
        return await asyncio.to_thread(self.load)

    def copied_to(self, objects: ObjectStore) -> str:
        """Store it in another store of objects, and return its name there. Blocks.

        What was pickled is copied as it is: no code runs, and what it needs need not be here.
        """
        if self._value is not None:
            return objects.put(self._value)
        if self._file is not None and self._objects is not None and self._file.endswith(".pkl"):
            return objects.put(self._objects.path(self._file).read_bytes())
        value = self.load()
        plain = type(value) is np.ndarray and not value.dtype.hasobject
        return objects.put(value if plain else encode(value))


class _Later(Result):
    def __init__(self, read: Callable[[], Any], of: Result | None) -> None:
        super().__init__(None)
        self._read_it = read
        self._of = of

    def load(self) -> Any:
        if not self.at_hand:
            self._given = self._read_it()
        return self._given

    def copied_to(self, objects: ObjectStore) -> str:
        return super().copied_to(objects) if self._of is None else self._of.copied_to(objects)


def given(value: Any) -> Result:
    """Return a result that is at hand."""
    return Result(None, given=value)


def later(read: Callable[[], Any], of: Result | None = None) -> Result:
    """Return a result that `read` gives when it is asked for; `of` is what is copied in its place."""
    return _Later(read, of)


async def store_result(objects: ObjectStore, value: Any, key: str) -> tuple[bytes | None, str | None]:
    """Return a result as the journal keeps it: pickled in itself, or as the name of a file, which is written.

    Raises:
        UnpicklableError: if it cannot be, naming the task's key.
        OSError: if the disk refuses.
    """
    if is_small(value):
        return encode_small(value), None

    def store() -> tuple[bytes | None, str | None]:
        if type(value) is np.ndarray and not value.dtype.hasobject:
            return None, objects.put(value)
        try:
            data = encode(value)
        except Exception as error:
            text = f"its result ({type(value).__name__}) cannot be written to the run directory: {error}"
            raise UnpicklableError(text, key) from error
        return (data, None) if len(data) <= INLINE_BYTES else (None, objects.put(data))

    return await asyncio.to_thread(store)


def unreadable(error: RunDirectoryError, what: str) -> RunDirectoryError:
    """Return the error of a value that cannot be read here, naming it and, where it is its Python, the ways out."""
    if not isinstance(error, OtherPythonError):
        return type(error)(f"{what} cannot be read: {error}")
    return OtherPythonError(
        f"{what} cannot be read: {error}; go on with that Python, or begin another run with the labels of this one, "
        "Pool(..., labels=run_dir), which trains its models anew"
    )
