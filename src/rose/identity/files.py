"""Know what a user says that a task depends on (files, directories and programs) by their contents."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from rose.errors import ConfigurationError
from rose.identity.digest import digest_of
from rose.identity.parts import Part

_known: dict[tuple[str, int, int, int], str] = {}  # digests by path, inode, size and time of change


def find_dependency(name: str | os.PathLike[str], where: str) -> Path:
    """Return the file or directory of that name, or the program that is found on PATH.

    Raises:
        ConfigurationError: if there is none.
    """
    path = Path(os.path.expandvars(os.path.expanduser(os.fspath(name))))
    if path.exists():
        return path
    program = shutil.which(os.fspath(name)) if os.sep not in os.fspath(name) else None
    if program is None:
        raise ConfigurationError(
            f"depends_on= of {where}: there is no file or directory {os.fspath(name)!r} in {os.getcwd()!r}, and no "
            "program on PATH that is called so"
        )
    return Path(program)


def describe_dependencies(names: Iterable[str | os.PathLike[str]], where: str) -> dict[str, Part]:
    """Return what these are by their contents; of a directory, by the names and contents of all files in it.

    Raises:
        ConfigurationError: if one is missing.
        OSError: if one cannot be read.
    """
    found = {}
    for name in names:
        path = find_dependency(name, where)
        digest = _directory_digest(path) if path.is_dir() else file_digest(path)
        found[os.fspath(name)] = Part(digest)
    return found


def file_digest(path: Path) -> str:
    """Return what a file's content is; one that has not been written since is not read again by this process."""
    status = path.stat()
    key = str(path.absolute()), status.st_ino, status.st_size, status.st_mtime_ns
    if key not in _known:
        with path.open("rb") as file:
            _known[key] = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return _known[key]


def _directory_digest(directory: Path) -> str:
    parts = []
    for base, folders, files in os.walk(directory):
        folders[:] = sorted(one for one in folders if one != "__pycache__")
        for name in sorted(files):
            path = Path(base, name)
            if path.is_file():  # no socket, and no link to nothing
                parts += [path.relative_to(directory).as_posix(), file_digest(path)]
    return digest_of(*parts)
