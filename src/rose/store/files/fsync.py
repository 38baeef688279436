"""Write files and directories that survive a power loss, and that all may read whom the umask lets."""

from __future__ import annotations

import errno
import logging
import os
import uuid
from pathlib import Path

_log = logging.getLogger("rose")

# What file systems say that cannot sync a directory (CIFS, some of FUSE), or have nothing to do for it.
_UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EISDIR)
_told: set[int] = set()  # devices of which that has been said


def create_file(path: Path) -> int:
    """Make a new file with the rights that umask (or the directory's ACL) gives; return its descriptor. Blocks.

    `tempfile` would make one that only its owner can read.

    Raises:
        FileExistsError: if there is one.
        OSError: if the disk refuses.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def create_aside(folder: Path, prefix: str) -> tuple[int, Path]:
    """Make a file of a new name, to be renamed when it is whole; return its descriptor and path. Blocks.

    Raises:
        OSError: if the disk refuses.
    """
    path = folder / f"{prefix}{uuid.uuid4().hex}"
    return create_file(path), path


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
    """Make what was created, renamed or removed in a directory survive a power loss. Blocks.

    Where the file system cannot do that, it is logged, once.

    Raises:
        OSError: if the disk refuses.
    """
    try:
        _sync(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        device = os.stat(path).st_dev
        if device not in _told:
            _told.add(device)
            _log.warning(
                "%s cannot be synced (%s): files that are new there survive a crash of the program, but perhaps not "
                "one of the machine",
                path,
                error.strerror,
            )


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
