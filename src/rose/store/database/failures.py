"""Make SQLite's errors ours: the disk refused, another process was in the way, or the database is damaged."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from rose.errors import CorruptRunError, RunDirectoryError, remedy
from rose.store.database.transaction import is_busy
from rose.store.files.filesystem import check_locks

_REFUSED = {  # SQLite's primary result codes, and what the operating system would have said
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_CANTOPEN: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
}
_LOCKING = (
    sqlite3.SQLITE_IOERR_LOCK,
    sqlite3.SQLITE_IOERR_UNLOCK,
    sqlite3.SQLITE_IOERR_RDLOCK,
    sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK,
    sqlite3.SQLITE_IOERR_SHMLOCK,
)


@contextlib.contextmanager
def explained(database: Path) -> Iterator[None]:
    """Raise what SQLite raises as what it means for the run whose journal is this database.

    Raises:
        OSError: if the disk refused (full, broken, read-only), with its errno.
        RunDirectoryError: if another process holds it, or its file system cannot lock files.
        CorruptRunError: if it is damaged.
    """
    try:
        yield
    except (sqlite3.DatabaseError, ValueError) as error:
        meaning = explain(error, database)
        if meaning is error:
            raise
        raise meaning from error


def explain(error: BaseException, database: Path) -> BaseException:
    """Return what an error met in reading or writing a run's database means; others are returned as they are."""
    if isinstance(error, (OSError, sqlite3.ProgrammingError)) or not isinstance(
        error, (sqlite3.DatabaseError, ValueError)
    ):
        return error
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF  # its primary code
    meaning: BaseException
    locking = _locking(error, database)
    if locking is not None:
        meaning = locking
    elif code == sqlite3.SQLITE_CANTOPEN and (lack := _out_of_files()) is not None:
        meaning = OSError(errno.EMFILE, f"{database} cannot be opened: {lack.strerror} ({remedy(lack)})")
    elif code in _REFUSED:
        name = getattr(error, "sqlite_errorname", "")
        meaning = OSError(_REFUSED[code], f"the disk refused to serve {database}: {error} ({name}); what it held stays")
    elif is_busy(error):
        meaning = RunDirectoryError(f"{database} is locked by another process: {error}")
    else:
        meaning = damaged(database, str(error))
    meaning.__cause__ = error
    return meaning


def _locking(error: BaseException, database: Path) -> RunDirectoryError | None:
    """Return the error for a file system without locks, if SQLite means that: it calls some of their errors busy."""
    if not is_busy(error) and getattr(error, "sqlite_errorcode", 0) not in _LOCKING:
        return None
    try:
        check_locks(database.parent)
    except RunDirectoryError as found:
        return found
    except OSError:  # no file can be made there: it is not known
        return None
    return None


def _out_of_files() -> OSError | None:
    """Return the error for a process that may open no more files, if it is one: SQLite does not tell."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error if error.errno == errno.EMFILE else None
    return None


def damaged(database: Path, what: str) -> CorruptRunError:
    """Return the error for a database that is not as it was written."""
    return CorruptRunError(
        f"{database} is damaged ({what}). Results that were files are in objects/ beside it; `sqlite3 {database} "
        ".recover` may save the rest; or start another run with the labels you have"
    )
