"""Keep files in folders of their own in an engine's directory, which go when nobody needs them any more."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil

from rose.engine.processes.scratch import Scratch


class Folders:
    """Keep the folders of one engine; `paths` are of the files that tasks may use."""

    def __init__(self, scratch: Scratch) -> None:
        self.paths: set[str] = set()
        self.scratch = scratch
        self._numbers = itertools.count()

    def new(self) -> str:
        """Return where the next file is to be: not made yet."""
        return os.path.join(self.scratch.folder, f"ref-{next(self._numbers)}")

    def forget(self, path: str) -> None:
        """Remove the folder of a file that is not needed any more; of a closed engine it is gone already."""
        self.paths.discard(path)
        with contextlib.suppress(RuntimeError):
            self.scratch.threads.submit(shutil.rmtree, os.path.dirname(path), True)
