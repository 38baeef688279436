"""Tell whether a database has its log, `journal.sqlite-wal`: copies may lack it, and it holds a crashed run's end.

A database without its log is a sound one, only older. So before a driver writes to the log, the database itself notes
that more follows there, and the first thing in the log is that nothing does: who reads both sees the second note, also
when SQLite has brought the log into the database, and who has lost the log sees the first.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rose.errors import CorruptRunError
from rose.store.database.meta import read_meta, write_meta

_NOTE = "more in the log since"  # when (Unix time), or None


def checkpoint(connection: sqlite3.Connection, transaction: Callable[[], AbstractContextManager[None]]) -> None:
    """Bring the log into the database, which notes that what comes now is in the log; nothing where there is none.

    Args:
        connection: the driver's.
        transaction: makes what is done inside one commit.
    """
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        return
    with transaction():
        write_meta(connection, _NOTE, time.time())
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    with transaction():
        write_meta(connection, _NOTE, None)


def check_whole(connection: sqlite3.Connection, database: Path) -> None:
    """Check that a database that was found without a log needs none.

    Raises:
        CorruptRunError: if it does.
    """
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
        return  # no run was begun in it
    since = read_meta(connection, _NOTE)
    if since is None or has_log(database):
        return
    log = beside(database, "-wal")
    raise CorruptRunError(
        f"{log} is missing: its run was copied, or restored, without it, and what was recorded last is only there "
        f"(it ends on {time.ctime(since)}). Copy {log.name} too, from where the run was. If it is lost, "
        f"`echo > {log}` goes on without what it held: simulations that it had recorded run again"
    )


def has_log(database: Path) -> bool:
    """Return whether there is a log that holds anything."""
    try:
        return beside(database, "-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def uses_log(database: Path) -> bool:
    """Return whether the last driver wrote a log; in a database without one a commit is made in the database itself.

    Not for a database that this process may have open: closing the file here would release its locks.
    """
    with database.open("rb") as file:
        return file.read(20)[18:19] == b"\x02"


def beside(database: Path, suffix: str) -> Path:
    """Return one of the files that SQLite makes beside a database."""
    return database.with_name(database.name + suffix)
