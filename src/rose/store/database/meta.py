"""Note and read what is said of a run as a whole, in plain JSON, by name."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from rose.errors import CorruptRunError
from rose.store.records import checksum


def read_meta(connection: sqlite3.Connection, name: str) -> Any:
    """Return what was noted under that name, or None.

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
