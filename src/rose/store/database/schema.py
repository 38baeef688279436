"""Define the journal's tables and their version, and open a run's database."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rose.errors import CorruptRunError, RunDirectoryError
from rose.store.database.failures import damaged, explained
from rose.store.database.meta import write_meta
from rose.store.database.transaction import exclusive, patiently
from rose.store.database.whole import beside, check_whole, has_log, uses_log
from rose.store.files.filesystem import check_locks, is_network
from rose.store.files.fsync import create_file
from rose.store.files.paths import DATABASE

FORMAT = 2  # of the run directory; keep a sample in tests/store/formats. 1 was of versions that were not released

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE driver (
    epoch INTEGER PRIMARY KEY, host TEXT NOT NULL, boot TEXT NOT NULL, pid INTEGER NOT NULL, born TEXT NOT NULL,
    since REAL NOT NULL, seen REAL NOT NULL, ended REAL, outcome TEXT
);
CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE, state TEXT NOT NULL, attempt INTEGER NOT NULL, queued REAL NOT NULL, began REAL,
    ended REAL, worker TEXT, error TEXT, value BLOB, file TEXT, note BLOB, output TEXT, crc INTEGER NOT NULL
);
CREATE INDEX tasks_by_file ON tasks (file) WHERE file IS NOT NULL;
CREATE TABLE labels (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    content BLOB NOT NULL UNIQUE, candidate INTEGER NOT NULL, digest BLOB NOT NULL, x BLOB,
    key TEXT NOT NULL, state TEXT NOT NULL, value BLOB, file TEXT, crc INTEGER NOT NULL
);
CREATE INDEX labels_by_file ON labels (file) WHERE file IS NOT NULL;
CREATE TABLE iterations (
    workflow TEXT NOT NULL, iteration INTEGER NOT NULL, record BLOB, note BLOB, carried TEXT NOT NULL,
    crc INTEGER NOT NULL, PRIMARY KEY (workflow, iteration)
) WITHOUT ROWID;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    crc INTEGER NOT NULL
);
CREATE TABLE orders (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, who TEXT NOT NULL, kind TEXT NOT NULL, workflow TEXT,
    body TEXT NOT NULL, state TEXT NOT NULL, answered REAL, answer TEXT, crc INTEGER NOT NULL
);
CREATE INDEX orders_by_state ON orders (state);
"""

_BUSY = 10.0  # seconds that a read or a write waits for another process's, at a time
_LOG_PAGES = 16_000  # pages of a log that SQLite itself writes back, where `checkpoint` did not do it before


def open_for_writing(
    directory: Path, durable: bool, has_to_end: Callable[[], bool] = lambda: True
) -> sqlite3.Connection:
    """Return the connection of a driver; the tables are made where there are none.

    Args:
        directory: the run directory; it exists.
        durable: whether a commit must survive a power loss.
        has_to_end: whether one does not wait any more for another process that has locked the database.

    Raises:
        RunDirectoryError: if it is of a format that this version cannot write, or files cannot be locked there.
        CorruptRunError: if the database is damaged, or its log is missing.
    """
    path = directory / DATABASE
    begun = path.exists()
    with contextlib.suppress(FileExistsError):
        os.close(create_file(path))  # by the umask; SQLite gives its other files the same rights
    try:
        check_locks(directory)
    except BaseException:
        if not begun:  # no run can be begun here: leave no empty file
            path.unlink(missing_ok=True)
        raise
    alone = not has_log(path)
    with explained(path):
        connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    try:
        with explained(path):
            patiently(lambda: _prepare(connection, directory, durable, alone), path, has_to_end)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, directory: Path, durable: bool, alone: bool) -> None:
    connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
    if not _has_tables(connection):  # made without a log, so that a database without them has lost its log
        if alone:
            check_whole(connection, directory / DATABASE)
        with exclusive(connection):
            if not _has_tables(connection):  # nobody else has made them meanwhile
                for statement in filter(str.strip, _TABLES.split(";\n")):
                    connection.execute(statement)
                write_meta(connection, "format", FORMAT)
    _check(connection, directory / DATABASE)
    if alone:
        check_whole(connection, directory / DATABASE)
    connection.execute(f"PRAGMA journal_mode={'DELETE' if is_network(directory) else 'WAL'}")
    connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")


class Snapshot(sqlite3.Connection):
    """Read by a connection that does not see what is written after it was opened."""


def is_snapshot(connection: sqlite3.Connection) -> bool:
    """Return whether a connection does not see what others write meanwhile."""
    return isinstance(connection, Snapshot)


def open_for_reading(directory: Path) -> sqlite3.Connection:
    """Return a connection that changes nothing; works while a driver writes, and on a dead run.

    Raises:
        RunDirectoryError: if there is no run, or of a format that this version cannot read.
        CorruptRunError: if the database is damaged, or its log is missing.
    """
    path = directory / DATABASE
    if not path.exists():
        inside = next((path.parent for path in sorted(directory.glob(f"*/{DATABASE}"))), None)
        hint = f"but {str(inside)!r} does: see `rose runs {directory}`" if inside else f"no {DATABASE} in it"
        raise RunDirectoryError(f"{str(directory)!r} holds no run ({hint})")
    with explained(path):
        try:
            return _open_read_only(path)
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
        # A crash cut a commit short, on a network file system or at the very start: it has to be rolled back first.
        if not _may_write(path):
            return _open_copy(path)
        with contextlib.closing(sqlite3.connect(path, timeout=_BUSY)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        return _open_read_only(path)


def _open_read_only(path: Path) -> sqlite3.Connection:
    alone = not has_log(path)
    immutable = False
    if not _may_write(path) and not beside(path, "-shm").exists() and uses_log(path):
        # The memory that a log needs cannot be made here; but no driver can be alive, for it would be there.
        if not alone:
            return _open_copy(path)
        immutable = True
    options = "mode=ro" + ("&immutable=1" if immutable else "")
    kind = Snapshot if immutable else sqlite3.Connection
    uri = f"file:{_quoted(path)}?{options}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=_BUSY, isolation_level=None, check_same_thread=False, factory=kind
    )
    try:
        if alone:
            check_whole(connection, path)
        _check(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _open_copy(path: Path) -> sqlite3.Connection:
    """Open what a dead run has recorded, in memory: what its driver left undone is done in a copy of its files."""
    with tempfile.TemporaryDirectory(prefix="rose-read-") as folder:
        for suffix in ("", "-wal", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(beside(path, suffix), Path(folder, DATABASE + suffix))
        memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False, factory=Snapshot)
        try:
            with contextlib.closing(sqlite3.connect(Path(folder, DATABASE))) as copy:
                copy.backup(memory)
            _check(memory, path)
        except BaseException:
            memory.close()
            raise
        return memory


def _may_write(path: Path) -> bool:
    """Return whether one can make files beside the database as its owner would, and not lock the owner out by them."""
    return os.access(path.parent, os.W_OK) and os.access(path, os.W_OK)


@contextlib.contextmanager
def reading(directory: Path) -> Iterator[sqlite3.Connection]:
    """Return what was committed up to now, for as long as the `with` block reads it; as `open_for_reading`.

    Raises:
        CorruptRunError: also in the block, where it meets damage.
    """
    with contextlib.closing(open_for_reading(directory)) as connection, explained(directory / DATABASE):
        connection.execute("BEGIN")
        yield connection


def holds_run(directory: Path) -> bool:
    """Return whether there is a run in this directory."""
    return (directory / DATABASE).exists()


def _has_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is not None


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the database is a run's, of a format that we know, and whole."""
    if not _has_tables(connection):
        raise CorruptRunError(f"{path} holds no journal: its tables are missing")
    row = connection.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()
    version = int(row[0]) if row else 0
    if version > FORMAT:
        raise RunDirectoryError(
            f"{path} has format {version}, and this version of ROSE knows {FORMAT}: install a newer ROSE to open it"
        )
    if version == 1:
        raise RunDirectoryError(
            f"{path} has format 1, of a version of ROSE that was not released, and cannot be opened any more: begin "
            "another run, in another run_dir, or beside it with resume='new'"
        )
    problem = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if problem != "ok" or version < 1:
        raise damaged(path, problem if problem != "ok" else f"format {version}")


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
