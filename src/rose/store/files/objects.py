"""Store large results as files, named by their content's digest: written aside, synced, renamed; checked when read.

The same content is stored once. A file that exists under its final name is whole.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rose import portable
from rose.errors import CorruptRunError, MissingDefinitionError, NotPlainError, OtherPythonError
from rose.store.files.fsync import create_aside, make_directory, sync_directory

_CHUNK = 1 << 20  # bytes


class ObjectStore:
    """Keep the directory of a run's arrays (.npy) and other objects (.pkl).

    Args:
        root: the directory; made when first needed.
        durable: whether what is stored must survive a power loss (files are synced to the disk).
    """

    def __init__(self, root: Path, durable: bool = True) -> None:
        self.root = root
        self._durable = durable
        self._lock = threading.Lock()
        self._pinned: Counter[str] = Counter()  # objects that the journal is about to refer to

    def put(self, content: np.ndarray | bytes) -> str:
        """Store an array, or an object that is pickled already, and return its name, pinned. Blocks; from any thread.

        Raises:
            OSError: if the disk refuses; nothing is left under a final name then.
        """
        with self._lock:  # another thread must not find a directory before it is synced
            make_directory(self.root, self._durable)
        descriptor, aside = create_aside(self.root, "aside-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                writer = _Hashing(file)
                if isinstance(content, bytes):
                    writer.write(content)
                else:
                    np.lib.format.write_array(writer, content, allow_pickle=False)
                file.flush()
                if self._durable:
                    os.fsync(file.fileno())
            name = writer.digest + (".pkl" if isinstance(content, bytes) else ".npy")
            path = self.path(name)
            with self._lock:
                make_directory(path.parent, self._durable)
                os.replace(aside, path)
                self._pinned[name] += 1
        except BaseException as error:
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(aside)  # a failed write or sync does not say of what
            aside.unlink(missing_ok=True)
            raise
        if self._durable:
            sync_directory(path.parent)
        return name

    def unpin(self, name: str) -> None:
        """Let an object go that the journal refers to now."""
        with self._lock:
            self._pinned[name] -= 1
            if not self._pinned[name]:
                del self._pinned[name]

    def get(self, name: str, load: Callable[[BinaryIO], Any] = portable.load) -> Any:
        """Return the value of that name. Blocks. `load` is what unpickles it, where it is no array.

        Raises:
            NotPlainError, MissingDefinitionError, OtherPythonError: if `load` does.
            CorruptRunError: if the file is not there, or is not what was written.
        """
        path = self.path(name)
        try:
            with path.open("rb") as file:
                if _digest(file) != path.stem:
                    raise CorruptRunError(
                        f"{path} is damaged: its content does not match its name; put a sound copy there, or, "
                        "in a run directory, remove it: on resume, a task whose result is missing runs again (a "
                        "label's cannot)"
                    )
                file.seek(0)
                if path.suffix == ".npy":
                    return np.load(file, allow_pickle=False)
                return load(file)
        except FileNotFoundError:
            raise CorruptRunError(
                f"{path} is missing: what is in {str(self.root.parent)!r} refers to it, so it was removed by hand; "
                "put it back"
            ) from None
        except (CorruptRunError, NotPlainError, MissingDefinitionError, OtherPythonError, OSError):
            raise
        except Exception as error:
            raise CorruptRunError(
                f"{path} is whole, but cannot be read: {type(error).__name__}: {error} (was a class moved or renamed?)"
            ) from error

    def path(self, name: str) -> Path:
        """Return where the object of that name is, or would be."""
        return self.root / name[:2] / name

    def __contains__(self, name: str) -> bool:
        return self.path(name).exists()

    def remove(self, name: str) -> int:
        """Remove one object, unless it is pinned: then someone is about to refer to it. Returns the bytes freed."""
        path = self.path(name)
        with self._lock:
            if name in self._pinned:
                return 0
            try:
                size = path.stat().st_size
                path.unlink()
            except FileNotFoundError:
                return 0
            return size

    def names(self) -> Iterator[str]:
        """Return the names of all objects."""
        for path in self.root.glob("??/*"):
            yield path.name

    def leftovers(self) -> Iterator[Path]:
        """Return what writes that never ended left; where no driver runs, nobody needs it."""
        yield from self.root.glob("aside-*")


class _Hashing:
    """Write to a file, and hash what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = _new_hash()

    def write(self, data: Any) -> int:
        self._hash.update(data)
        return self._file.write(data)

    @property
    def digest(self) -> str:
        return str(self._hash.hexdigest())


def _new_hash() -> Any:
    return hashlib.blake2b(digest_size=20)


def _digest(file: BinaryIO) -> str:
    hasher = _new_hash()
    while chunk := file.read(_CHUNK):
        hasher.update(chunk)
    return str(hasher.hexdigest())
