"""Make changes as one, or not at all, and wait for another process that is making some."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_log = logging.getLogger("rose")
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


@contextlib.contextmanager
def exclusive(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what is done inside as one, while no one else can write; if it raises, it is as if nothing had been."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # after some errors SQLite has rolled back by itself
            connection.execute("ROLLBACK")
        raise


def is_busy(error: BaseException) -> bool:
    """Return whether another process that has locked the database was in the way, for as long as one waits for it."""
    return isinstance(error, sqlite3.OperationalError) and (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _BUSY


def patiently(job: Callable[[], T], database: Path, has_to_end: Callable[[], bool]) -> T:
    """Do a job, again and again while another process (a backup, an SQLite shell) has locked the database.

    That is logged, once. The job changes nothing where it raises; each try waits as long as the connection's timeout.

    Raises:
        sqlite3.OperationalError: the last one, if the other process does not end before one `has_to_end`.
    """
    told = False
    while True:
        try:
            found = job()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or has_to_end():
                raise
            if not told:
                _log.warning(
                    "%s is locked by another process (a backup? an open transaction in an SQLite shell?): waiting for "
                    "it; nothing is lost, but nothing new is recorded meanwhile",
                    database,
                )
                told = True
            continue
        if told:
            _log.warning("%s is free again", database)
        return found
