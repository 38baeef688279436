"""Store values that an engine shares: files in its directory."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable

from rose.engine.failures import of_place, unpicklable
from rose.engine.processes.scratch import Scratch
from rose.engine.protocol import Ref
from rose.engine.shipping import serialization
from rose.engine.shipping._folders import Folders
from rose.engine.shipping._shipments import Shipments
from rose.engine.shipping.serialization import FileRef
from rose.errors import ConfigurationError


class SharedStore:
    """Hold the shared values of one engine, and what its tasks need of the main module.

    `remap`: a memory-mapped array stays in its own file, and is not copied.
    """

    def __init__(self, scratch: Scratch, remap: bool = True) -> None:
        self._folders = Folders(scratch)
        self._remap = remap
        self.paths = self._folders.paths  # of the values that tasks may use
        self.main = Shipments(self._folders, remap)

    async def store(self, value: object, check_open: Callable[[], None]) -> FileRef:
        """Store a value; `check_open` raises when the engine has been closed meanwhile.

        Raises:
            UnpicklableError: naming the part of the value that does not pickle.
            PlaceError: if it cannot be written.
        """
        folder, scratch = self._folders.new(), self._folders.scratch

        def store() -> FileRef:
            scratch.ensure_reaper()
            return serialization.store(value, folder, self._remap)

        try:
            ref = await asyncio.get_running_loop().run_in_executor(scratch.threads, store)
        except Exception as error:
            check_open()  # the directory may be gone
            if isinstance(error, OSError):
                text = f"the value to share cannot be written to the engine's temporary directory {folder!r}"
                raise of_place(text, error, "") from error
            raise unpicklable("the value to share", value, error, "") from error
        check_open()
        self.paths.add(ref.path)
        return ref

    async def remove(self, ref: Ref) -> FileRef:
        """Remove what was stored.

        Raises:
            ConfigurationError: if it was not stored here, or has been removed before.
        """
        if not isinstance(ref, FileRef) or ref.path not in self.paths:
            raise ConfigurationError("release: this Ref is another engine's, or was released before")
        self.paths.discard(ref.path)
        threads = self._folders.scratch.threads
        await asyncio.get_running_loop().run_in_executor(threads, shutil.rmtree, os.path.dirname(ref.path))
        return ref
