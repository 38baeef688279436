"""SQLite's errors as ours: whether the disk refused, another process was in the way, or the database is damaged."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from rose.errors import CorruptRunError, RunDirectoryError

_REFUSED = {  # SQLite's primary result codes, and what the operating system would have said
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_CANTOPEN: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_NOMEM: errno.ENOMEM,
}
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


@contextlib.contextmanager
def explained(database: Path) -> Iterator[None]:
    """Raise what SQLite raises as what it means for the run whose journal is this database.

    Raises:
        OSError: if the disk refused (full, broken, read-only), with its errno.
        RunDirectoryError: if another process holds it.
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
    """What an error met in reading or writing a run's database means; others are returned as they are."""
    if isinstance(error, (OSError, sqlite3.ProgrammingError)) or not isinstance(
        error, (sqlite3.DatabaseError, ValueError)
    ):
        return error
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF  # its primary code
    meaning: BaseException
    if code in _REFUSED:
        name = getattr(error, "sqlite_errorname", "")
        meaning = OSError(_REFUSED[code], f"the disk refused to serve {database}: {error} ({name}); what it held stays")
    elif code in _BUSY:
        meaning = RunDirectoryError(f"{database} is locked by another process: {error}")
    else:
        meaning = damaged(database, str(error))
    meaning.__cause__ = error
    return meaning


def damaged(database: Path, what: str) -> CorruptRunError:
    """The error for a database that is not as it was written."""
    return CorruptRunError(
        f"{database} is damaged ({what}). Results that were files are in objects/ beside it; `sqlite3 {database} "
        ".recover` may save the rest; or start another run with the labels you have"
    )
