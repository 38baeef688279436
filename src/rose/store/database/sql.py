"""The journal's rows and the records they hold: written in few statements, and read checked (tasks: `batches`)."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

from rose.errors import CorruptRunError
from rose.store.database import batches
from rose.store.records import EventRecord, LabelRecord, TaskRecord, checksum

Record = TaskRecord | LabelRecord | EventRecord

_ROW_EACH: dict[type, tuple[str, tuple[str, ...]]] = {
    LabelRecord: ("labels", (*LabelRecord._fields, "crc")),
    EventRecord: ("events", (*EventRecord._fields, "crc")),
}
_MOST = 64  # rows in one statement, or half of that, and so on: SQLite keeps each prepared, with what it last wrote


class Insertion(NamedTuple):
    """Rows to be written with one statement, which SQLite runs without Python's interpreter lock."""

    table: str
    columns: tuple[str, ...]
    size: int  # with rows of nothing, which are not written
    values: list[Any]

    @property
    def bytes(self) -> int:
        """How many there are in it, about."""
        return 8 * len(self.values) + sum(len(value) for value in self.values if isinstance(value, (str, bytes)))

    def write(self, connection: sqlite3.Connection) -> None:
        """Write the rows, inside a transaction."""
        connection.execute(_sql(self.table, self.columns, self.size), self.values)

    def write_alone(self, connection: sqlite3.Connection, epoch: int) -> bool:
        """Write the rows as a transaction of their own if that driver is still the last; returns whether it is."""
        sql = _sql(self.table, self.columns, self.size, fenced=True)
        return connection.execute(sql, [*self.values, epoch]).rowcount > 0


def insertions(records: Sequence[Record]) -> Iterator[Insertion]:
    """How records of one kind are written; labels in place of those of the same samples."""
    if not records:
        return
    rows: list[tuple[Any, ...]]
    if isinstance(records[0], TaskRecord):
        table, columns = "tasks", batches.COLUMNS
        rows = [*batches.rows(cast(Sequence[TaskRecord], records))]
    else:
        table, columns = _ROW_EACH[type(records[0])]
        rows = [(*record, checksum(record)) for record in records]
    for start in range(0, len(rows), _MOST):
        some = rows[start : start + _MOST]
        size = 1 << (len(some) - 1).bit_length()
        values = [field for row in some for field in row] + [None] * len(columns) * (size - len(some))
        yield Insertion(table, columns, size, values)


@functools.cache
def _sql(table: str, columns: tuple[str, ...], size: int, fenced: bool = False) -> str:
    row = "(" + ",".join("?" * len(columns)) + ")"
    rows = f"SELECT * FROM (VALUES {','.join([row] * size)}) WHERE column1 IS NOT NULL"
    if fenced:  # one statement is a transaction: the condition holds when it is committed
        rows += " AND (SELECT max(epoch) FROM driver) = ?"
    return f"INSERT OR REPLACE INTO {table} ({','.join(columns)}) {rows}"


def read_labels(connection: sqlite3.Connection) -> Iterator[LabelRecord]:
    """All labels, in the order in which they came."""
    return (record for _, record in numbered_labels(connection))


def numbered_labels(connection: sqlite3.Connection) -> Iterator[tuple[int, LabelRecord]]:
    """All labels, in the order in which they came, with numbers that only grow."""
    for number, *row in connection.execute(
        f"SELECT seq, {','.join(LabelRecord._fields)}, crc FROM labels ORDER BY seq"
    ):
        yield number, LabelRecord(*_sound(row, "label of candidate", row[1]))


def read_events(connection: sqlite3.Connection, after: int = 0) -> Iterator[tuple[int, EventRecord]]:
    """The events with a number above `after`, with their numbers."""
    columns = ",".join(EventRecord._fields)
    for number, *row in connection.execute(
        f"SELECT seq, {columns}, crc FROM events WHERE seq > ? ORDER BY seq", (after,)
    ):
        yield number, EventRecord(*_sound(row, "event", number))


def is_used(connection: sqlite3.Connection, name: str) -> bool:
    """Whether any record refers to that file; one that a later one took the place of counts too (`rose gc` knows)."""
    tables = ("tasks", "labels")
    return any(connection.execute(f"SELECT 1 FROM {table} WHERE file = ?", (name,)).fetchone() for table in tables)


def _sound(row: Sequence[Any], what: str, name: object) -> Sequence[Any]:
    """The row without its checksum, if that is right."""
    *fields, crc = row
    if checksum(tuple(fields)) != crc:
        raise CorruptRunError(f"the journal's record of {what} {name} is damaged: its checksum does not match")
    return fields
