"""The journal's rows and the records they hold: written in few statements, and read checked."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rose.errors import CorruptRunError
from rose.store.records import EventRecord, LabelRecord, TaskRecord, checksum

Record = TaskRecord | LabelRecord | EventRecord

_TABLES: dict[type, tuple[str, tuple[str, ...]]] = {
    TaskRecord: ("tasks", (*TaskRecord._fields, "crc")),
    LabelRecord: ("labels", (*LabelRecord._fields, "crc")),
    EventRecord: ("events", (*EventRecord._fields, "crc")),
}
_SIZES = (256, 128, 64, 32, 16, 8, 4, 2, 1)  # rows in one statement


class Insertion(NamedTuple):
    """Rows to be written with one statement, which SQLite runs without Python's interpreter lock."""

    table: str
    columns: tuple[str, ...]
    size: int
    values: list[Any]

    def write(self, connection: sqlite3.Connection) -> None:
        """Write the rows, inside a transaction."""
        connection.execute(_sql(self.table, self.columns, self.size), self.values)

    def write_alone(self, connection: sqlite3.Connection, epoch: int) -> bool:
        """Write the rows as a transaction of their own if that driver is still the last; returns whether it is."""
        sql = _sql(self.table, self.columns, self.size, fenced=True)
        return connection.execute(sql, [*self.values, epoch]).rowcount > 0


def insertions(records: Sequence[Record]) -> Iterator[Insertion]:
    """How records of one kind are written, in place of those with the same keys."""
    if not records:
        return
    table, columns = _TABLES[type(records[0])]
    keyed = table != "events"  # writing such a row twice is writing it once, so the last one may fill a statement up
    start = 0
    while (left := len(records) - start) > 0:
        size = next(size for size in _SIZES if size <= (left * 4 / 3 if keyed else left))
        values: list[Any] = []
        for record in records[start : start + size]:
            values += record
            values.append(checksum(record))
        if left < size:
            values += values[-len(columns) :] * (size - left)
        yield Insertion(table, columns, size, values)
        start += size


@functools.cache
def _sql(table: str, columns: tuple[str, ...], size: int, fenced: bool = False) -> str:
    row = "(" + ",".join("?" * len(columns)) + ")"
    rows = f"VALUES {','.join([row] * size)}"
    if fenced:  # one statement is a transaction: the condition holds when it is committed
        rows = f"SELECT * FROM ({rows}) WHERE (SELECT max(epoch) FROM driver) = ?"
    return f"INSERT OR REPLACE INTO {table} ({','.join(columns)}) {rows}"


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
