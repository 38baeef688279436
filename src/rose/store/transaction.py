"""Changes that are made as one, or not at all."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator


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
