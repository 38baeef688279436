"""Directories whose entries survive a power loss."""

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
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
