"""The journal's tables, their version, and how a run's database is opened."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rose.errors import CorruptRunError, RunDirectoryError
from rose.store.failures import damaged, explained
from rose.store.places import DATABASE
from rose.store.records import checksum
from rose.store.transaction import exclusive

FORMAT = 1  # of the run directory; raise it with a conversion in `_convert`, and keep a sample in tests/store/formats

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE driver (
    epoch INTEGER PRIMARY KEY, host TEXT NOT NULL, boot TEXT NOT NULL, pid INTEGER NOT NULL, born TEXT NOT NULL,
    since REAL NOT NULL, seen REAL NOT NULL, ended REAL, outcome TEXT
);
CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY,
    batch TEXT NOT NULL, file TEXT, records TEXT NOT NULL, data BLOB NOT NULL, crc INTEGER NOT NULL
);
CREATE INDEX tasks_by_batch ON tasks (batch);
CREATE INDEX tasks_by_file ON tasks (file) WHERE file IS NOT NULL;
CREATE TABLE labels (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    content BLOB NOT NULL UNIQUE, candidate INTEGER NOT NULL, digest BLOB NOT NULL, x BLOB,
    key TEXT NOT NULL, state TEXT NOT NULL, value BLOB, file TEXT, crc INTEGER NOT NULL
);
CREATE INDEX labels_by_file ON labels (file) WHERE file IS NOT NULL;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, kind TEXT NOT NULL, workflow TEXT, iteration INTEGER,
    body TEXT NOT NULL, crc INTEGER NOT NULL
);
"""

_BUSY = 10.0  # seconds that a write waits for another process's
# A write-ahead log needs memory that all processes share, which network file systems do not give.
_NETWORK = (
    "nfs",
    "cifs",
    "smb",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "afs",
    "fuse.",
    "9p",
    "glusterfs",
    "pvfs",
    "orangefs",
)


def open_for_writing(directory: Path, durable: bool) -> sqlite3.Connection:
    """The connection of a driver; the tables are made where there are none.

    Args:
        directory: the run directory; it exists.
        durable: whether a commit must survive a power loss.

    Raises:
        RunDirectoryError: if it is of a format that this version cannot write.
        CorruptRunError: if the database is damaged.
    """
    path = directory / DATABASE
    with explained(path):
        connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    try:
        with explained(path):
            mode = "DELETE" if is_network(directory) else "WAL"
            connection.execute(f"PRAGMA journal_mode={mode}")
            connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
            connection.execute("PRAGMA wal_autocheckpoint=4000")  # pages: at most 16 MB of log
            if not _has_tables(connection):
                with exclusive(connection):
                    if not _has_tables(connection):  # still
                        for statement in filter(str.strip, _TABLES.split(";\n")):
                            connection.execute(statement)
                        write_meta(connection, "format", FORMAT)
            _check(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_reading(directory: Path) -> sqlite3.Connection:
    """A connection that changes nothing; works while a driver writes, and on a dead run.

    Raises:
        RunDirectoryError: if there is no run, or of a format that this version cannot read.
        CorruptRunError: if the database is damaged.
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
        with contextlib.closing(sqlite3.connect(path, timeout=_BUSY)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        return _open_read_only(path)


def _open_read_only(path: Path) -> sqlite3.Connection:
    log = path.with_name(path.name + "-wal")
    immutable = not os.access(path.parent, os.W_OK) and not log.exists()
    options = "mode=ro" + ("&immutable=1" if immutable else "")
    connection = sqlite3.connect(f"file:{_quoted(path)}?{options}", uri=True, timeout=_BUSY, isolation_level=None)
    try:
        _check(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def reading(directory: Path) -> Iterator[sqlite3.Connection]:
    """What was committed up to now, for as long as the `with` block reads it; as `open_for_reading`.

    Raises:
        CorruptRunError: also in the block, where it meets damage.
    """
    with contextlib.closing(open_for_reading(directory)) as connection, explained(directory / DATABASE):
        connection.execute("BEGIN")
        yield connection


def holds_run(directory: Path) -> bool:
    """Whether there is a run in this directory."""
    return (directory / DATABASE).exists()


def is_network(directory: Path) -> bool:
    """Whether a directory is on a network file system, as far as /proc/mounts tells."""
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return False
    best, kind = "", ""
    path = str(directory.resolve())
    for line in mounts:
        fields = line.split()
        point = fields[1].replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind.startswith(_NETWORK) and kind != "fuse.overlayfs"


def read_meta(connection: sqlite3.Connection, name: str) -> Any:
    """What was noted under that name, or None.

    Raises:
        CorruptRunError: if it is damaged.
    """
    row = connection.execute("SELECT value, crc FROM meta WHERE name = ?", (name,)).fetchone()
    if row is None:
        return None
    if checksum((name, row[0])) != row[1]:
        raise CorruptRunError(f"the journal's note {name!r} is damaged: its checksum does not match")
    return json.loads(row[0])


def write_meta(connection: sqlite3.Connection, name: str, value: Any) -> None:
    """Note something, in plain JSON, under a name; inside a transaction."""
    text = json.dumps(value)
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", (name, text, checksum((name, text))))


def _has_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is not None


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """That the database is a run's, of a format that we know, and whole."""
    if not _has_tables(connection):
        raise CorruptRunError(f"{path} holds no journal: its tables are missing")
    row = connection.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()
    version = int(row[0]) if row else 0
    if version > FORMAT:
        raise RunDirectoryError(
            f"{path} has format {version}, and this version of ROSE knows {FORMAT}: install a newer ROSE to open it"
        )
    problem = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if problem != "ok" or version < 1:
        raise damaged(path, problem if problem != "ok" else f"format {version}")


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
