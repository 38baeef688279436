"""What an engine's `share` has stored: values as files in its directory."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
from collections.abc import Callable

from rose.engine.failures import of_place, unpicklable
from rose.engine.processes.scratch import Custody
from rose.engine.protocol import Ref
from rose.engine.shipping import serialization as transfer
from rose.engine.shipping.shipments import Shipments
from rose.errors import ConfigurationError


class Shelf:
    """The shared values of one engine. `remap`: a memory-mapped array stays in its own file, and is not copied."""

    def __init__(self, custody: Custody, remap: bool = True) -> None:
        self.paths: set[str] = set()  # of what may be used
        self._custody = custody
        self._remap = remap
        self._numbers = itertools.count()
        self.main = Shipments(self)

    @property
    def remap(self) -> bool:
        """Whether memory-mapped arrays stay in their own files."""
        return self._remap

    def new_folder(self) -> str:
        """Where the next value is to be: not made yet."""
        return os.path.join(self._custody.folder, f"ref-{next(self._numbers)}")

    def forget(self, path: str) -> None:
        """Remove the folder of a file that is not needed any more; of a closed engine it is gone already."""
        self.paths.discard(path)
        with contextlib.suppress(RuntimeError):
            self._custody.threads.submit(shutil.rmtree, os.path.dirname(path), True)

    def guard(self) -> None:
        """See `Custody.guard`."""
        self._custody.guard()

    async def store(self, value: object, check_open: Callable[[], None]) -> transfer.FileRef:
        """Store a value; `check_open` raises when the engine has been closed meanwhile.

        Raises:
            UnpicklableError: naming the part of the value that does not pickle.
            PlaceError: if it cannot be written.
        """
        folder = self.new_folder()

        def store() -> transfer.FileRef:
            self._custody.guard()
            return transfer.store(value, folder, self._remap)

        try:
            ref = await asyncio.get_running_loop().run_in_executor(self._custody.threads, store)
        except Exception as error:
            check_open()  # the directory may be gone
            if isinstance(error, OSError):
                text = f"the value to share cannot be written to the engine's temporary directory {folder!r}"
                raise of_place(text, error, "") from error
            raise unpicklable("the value to share", value, error, "") from error
        check_open()
        self.paths.add(ref.path)
        return ref

    async def remove(self, ref: Ref) -> transfer.FileRef:
        """Remove what was stored.

        Raises:
            ConfigurationError: if it was not stored here, or has been removed before.
        """
        if not isinstance(ref, transfer.FileRef) or ref.path not in self.paths:
            raise ConfigurationError("release: this Ref is another engine's, or was released before")
        self.paths.discard(ref.path)
        folder = os.path.dirname(ref.path)
        await asyncio.get_running_loop().run_in_executor(self._custody.threads, shutil.rmtree, folder)
        return ref
