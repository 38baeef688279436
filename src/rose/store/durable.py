"""Files and directories that survive a power loss."""

from __future__ import annotations

import os
from pathlib import Path


def make_directory(path: Path, durable: bool = True) -> None:
    """Make a directory and its parents where there are none, on the disk itself if `durable`. Blocks.

    Raises:
        OSError: if the disk refuses.
    """
    if path.is_dir():
        return
    make_directory(path.parent, durable)
    path.mkdir(exist_ok=True)
    if durable:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make what was created, renamed or removed in a directory survive a power loss. Blocks."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """Make all files below a directory survive a power loss, as a program has left them. Blocks."""
    for folder, _, names in os.walk(path):
        for name in names:
            file = Path(folder, name)
            if file.is_file() and not file.is_symlink():  # no sockets, no pipes
                _sync(file, os.O_RDONLY)
        sync_directory(Path(folder))
