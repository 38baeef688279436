"""Find out what a file system can do: share memory between processes, lock files, tell letters by their case."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import uuid
from pathlib import Path

from rose.errors import RunDirectoryError
from rose.store.files.fsync import create_file

# A write-ahead log needs memory that all processes share, which a file system that several machines see does not give.
# So those that are known to be one machine's have one, and all others, however they are called, are taken to be shared.
_ONE_MACHINES = (
    "aufs",
    "bcachefs",
    "btrfs",
    "ecryptfs",
    "erofs",
    "exfat",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "fuse.fuse-overlayfs",
    "fuse.overlayfs",
    "fuseblk",
    "hfs",
    "hfsplus",
    "iso9660",
    "jfs",
    "jffs2",
    "msdos",
    "nilfs2",
    "ntfs",
    "ntfs3",
    "overlay",
    "ramfs",
    "reiserfs",
    "rootfs",
    "squashfs",
    "tmpfs",
    "ubifs",
    "udf",
    "vfat",
    "xfs",
    "zfs",
)
_ESCAPED = re.compile(r"\\([0-7]{3})")


def mount_of(directory: Path) -> tuple[str, str]:
    """Return the type of the file system that a directory is on, and where that is mounted; empty: it is not known."""
    try:
        mounts = os.fsdecode(Path("/proc/mounts").read_bytes()).split("\n")[:-1]
    except OSError:
        return "", ""
    best, kind = "", ""
    path = str(directory.resolve())
    for line in mounts:
        fields = line.split(" ")
        point = _ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[1])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind, best


def is_network(directory: Path) -> bool:
    """Whether several machines may see what is in a directory, as far as /proc/mounts tells."""
    kind, _ = mount_of(directory)
    return bool(kind) and kind not in _ONE_MACHINES


def check_locks(directory: Path) -> None:
    """Check that files in a directory can be locked, by locking one.

    Raises:
        RunDirectoryError: if they cannot: SQLite would say that another process locks the database.
        OSError: if no file can be made there.
    """
    # Another file than the database: closing it would release the locks that this process has on it.
    probe = directory / f".rose-lock-{uuid.uuid4().hex}"
    descriptor = create_file(probe)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        kind, point = mount_of(directory)
        where = f"its file system ({kind}, mounted on {point})" if kind else "its file system"
        raise RunDirectoryError(
            f"files in {str(directory)!r} cannot be locked: {where} says {os.strerror(error.errno or errno.EIO)!r} "
            f"({errno.errorcode.get(error.errno or 0, error.errno)}); without locks two programs could write one run: "
            "choose a run_dir elsewhere, or have it mounted with locks (NFS: not `nolock`, with rpc.statd; Lustre: "
            "`flock`)"
        ) from error
    finally:
        os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):
            probe.unlink()


def ignores_case(file: Path) -> bool:
    """Whether `a` and `A` are one file beside this one, which exists and has letters in its name."""
    other = file.with_name(file.name.swapcase())
    try:
        return os.path.samefile(file, other)
    except OSError:
        return False
