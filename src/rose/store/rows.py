"""The journal's rows as records, checked, for drivers and viewers alike."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from rose.errors import CorruptRunError
from rose.store.records import EventRecord, LabelRecord, TaskRecord, checksum


def read_tasks(connection: sqlite3.Connection, prefix: str = "", condition: str = "") -> Iterator[TaskRecord]:
    """The records of the tasks whose keys begin so, in the order of their keys."""
    columns = ",".join(TaskRecord._fields)
    beyond = prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else chr(0x10FFFF)
    sql = f"SELECT {columns}, crc FROM tasks WHERE key >= ? AND key < ? {condition} ORDER BY key"
    for row in connection.execute(sql, (prefix, beyond)):
        yield TaskRecord(*_sound(row, "task", row[0]))


def read_task(connection: sqlite3.Connection, key: str) -> TaskRecord | None:
    """The record of one task."""
    columns = ",".join(TaskRecord._fields)
    row = connection.execute(f"SELECT {columns}, crc FROM tasks WHERE key = ?", (key,)).fetchone()
    return TaskRecord(*_sound(row, "task", key)) if row else None


def read_labels(connection: sqlite3.Connection) -> Iterator[LabelRecord]:
    """All labels, in the order in which they came."""
    for row in connection.execute(f"SELECT {','.join(LabelRecord._fields)}, crc FROM labels ORDER BY seq"):
        yield LabelRecord(*_sound(row, "label of candidate", row[1]))


def read_events(connection: sqlite3.Connection, after: int = 0) -> Iterator[tuple[int, EventRecord]]:
    """The events with a number above `after`, with their numbers."""
    columns = ",".join(EventRecord._fields)
    for number, *row in connection.execute(
        f"SELECT seq, {columns}, crc FROM events WHERE seq > ? ORDER BY seq", (after,)
    ):
        yield number, EventRecord(*_sound(row, "event", number))


def is_used(connection: sqlite3.Connection, name: str) -> bool:
    """Whether any record refers to that file."""
    tables = ("tasks", "labels")
    return any(connection.execute(f"SELECT 1 FROM {table} WHERE file = ?", (name,)).fetchone() for table in tables)


def _sound(row: Sequence[Any], what: str, name: object) -> Sequence[Any]:
    """The row without its checksum, if that is right."""
    *fields, crc = row
    if checksum(tuple(fields)) != crc:
        raise CorruptRunError(f"the journal's record of {what} {name} is damaged: its checksum does not match")
    return fields
