"""A run's directory: given, or a temporary one that is removed at the end."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote

from rose.errors import ConfigurationError


class RunDirectory:
    """Where a run's commands work. Made when first needed; a temporary one goes with `close`.

    Args:
        path: the directory (created; it must be empty), or None for a temporary one.

    Raises:
        ConfigurationError: if `path` is a file, or a directory that holds something.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._given = None if path is None else Path(path).absolute()
        self._path: Path | None = None
        if self._given is not None and self._given.exists():
            if not self._given.is_dir():
                raise ConfigurationError(f"run_dir={str(path)!r} is a file; name a directory")
            if any(self._given.iterdir()):
                raise ConfigurationError(
                    f"run_dir={str(path)!r} is not empty: it may hold an earlier run's work; name a new directory"
                )

    @property
    def path(self) -> Path:
        """The directory itself."""
        if self._path is None:
            if self._given is None:
                self._path = Path(tempfile.mkdtemp(prefix="rose-run-"))
            else:
                self._given.mkdir(parents=True, exist_ok=True)
                self._path = self._given
        return self._path

    def workdir(self, key: str) -> Path:
        """A new working directory for the task with this key; names are made safe for the file system."""
        parts = [quote(part, safe=" =+,@") or "_" for part in key.split("/")]
        directory = self.path.joinpath(
            "work", *(part.replace(".", "%2E") if set(part) == {"."} else part for part in parts)
        )
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def close(self) -> None:
        """Remove the directory if it was a temporary one."""
        if self._given is None and self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            self._path = None
