"""Write the journal's records as rows, in few statements, and read them checked."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from rose.errors import CorruptRunError
from rose.store.events import TimedEvent, event_from_json
from rose.store.records import EventRecord, IterationRecord, LabelRecord, OrderRecord, TaskRecord, checksum

Record = TaskRecord | LabelRecord | IterationRecord | EventRecord | OrderRecord

_TABLES: dict[type, str] = {
    TaskRecord: "tasks",
    LabelRecord: "labels",
    IterationRecord: "iterations",
    EventRecord: "events",
    OrderRecord: "orders",
}
_MOST = 64  # rows in one statement, or half of that, and so on: SQLite keeps each prepared, with what it last wrote
_TASK = f"{','.join(TaskRecord._fields)},crc"


class Insertion(NamedTuple):
    """Hold rows to be written with one statement, which SQLite runs without Python's interpreter lock."""

    table: str
    columns: tuple[str, ...]
    size: int  # rows in the statement; those at its end that are all NULL are not written
    values: list[Any]

    @property
    def bytes(self) -> int:
        """Return about how many bytes its values take."""
        return 8 * len(self.values) + sum(len(value) for value in self.values if isinstance(value, (str, bytes)))

    def write(self, connection: sqlite3.Connection) -> None:
        """Write the rows, inside a transaction."""
        connection.execute(_sql(self.table, self.columns, self.size), self.values)

    def write_alone(self, connection: sqlite3.Connection, epoch: int) -> bool:
        """Write the rows as a transaction of their own if that driver is still the last; returns whether it is."""
        sql = _sql(self.table, self.columns, self.size, fenced=True)
        return connection.execute(sql, [*self.values, epoch]).rowcount > 0


def insertions(records: Sequence[Record]) -> Iterator[Insertion]:
    """Return how records of one kind are written, in place of those of the same task, sample, iteration or order."""
    if not records:
        return
    columns = (*records[0]._fields, "crc")
    for start in range(0, len(records), _MOST):
        some = records[start : start + _MOST]
        size = 1 << (len(some) - 1).bit_length()
        values: list[Any] = []
        for record in some:
            values += record
            values.append(checksum(record))
        values += [None] * len(columns) * (size - len(some))
        yield Insertion(_TABLES[type(records[0])], columns, size, values)


def write(connection: sqlite3.Connection, records: Iterable[Record]) -> None:
    """Write records of one kind, inside a transaction."""
    for rows in insertions([*records]):
        rows.write(connection)


@functools.cache
def _sql(table: str, columns: tuple[str, ...], size: int, fenced: bool = False) -> str:
    row = "(" + ",".join("?" * len(columns)) + ")"
    rows = f"SELECT * FROM (VALUES {','.join([row] * size)}) WHERE column1 IS NOT NULL"
    if fenced:  # one statement is a transaction: the condition holds when it is committed
        rows += " AND (SELECT max(epoch) FROM driver) = ?"
    return f"INSERT OR REPLACE INTO {table} ({','.join(columns)}) {rows}"


def read_tasks(connection: sqlite3.Connection, prefix: str = "", condition: str = "TRUE") -> Iterator[TaskRecord]:
    """Return the records of the tasks whose keys begin so, in the order of their keys.

    Raises:
        CorruptRunError: if one is damaged.
    """
    beyond = prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else chr(0x10FFFF)
    sql = f"SELECT {_TASK} FROM tasks WHERE key >= ? AND key < ? AND {condition} ORDER BY key"
    for row in connection.execute(sql, (prefix, beyond)):
        yield TaskRecord(*_sound(row, "task", row[0]))


def read_task(connection: sqlite3.Connection, key: str) -> TaskRecord | None:
    """Return the record of one task.

    Raises:
        CorruptRunError: if it is damaged.
    """
    row = connection.execute(f"SELECT {_TASK} FROM tasks WHERE key = ?", (key,)).fetchone()
    return None if row is None else TaskRecord(*_sound(row, "task", key))


def read_task_changes(connection: sqlite3.Connection, after: int) -> Iterator[tuple[int, TaskRecord]]:
    """Return the tasks that changed after that change, with the numbers of their last changes, in that order."""
    for number, *row in connection.execute(f"SELECT seq,{_TASK} FROM tasks WHERE seq > ? ORDER BY seq", (after,)):
        yield number, TaskRecord(*_sound(row, "task", row[0]))


def forget_files(connection: sqlite3.Connection, prefix: str, spent: Callable[[str], bool]) -> set[str]:
    """Forget results that are files, of the tasks whose keys begin so and are `spent`; inside a transaction.

    Returns:
        The names of the files.
    """
    found = [record for record in read_tasks(connection, prefix, "file IS NOT NULL") if spent(record.key)]
    write(connection, (record._replace(file=None) for record in found))
    return {str(record.file) for record in found}


def read_labels(connection: sqlite3.Connection) -> Iterator[LabelRecord]:
    """Return all labels, in the order in which they came."""
    return (record for _, record in numbered_labels(connection))


def numbered_labels(connection: sqlite3.Connection, after: int = 0) -> Iterator[tuple[int, LabelRecord]]:
    """Return the labels with a number above `after`, in the order in which they came, with their numbers."""
    sql = f"SELECT seq,{','.join(LabelRecord._fields)},crc FROM labels WHERE seq > ? ORDER BY seq"
    for number, *row in connection.execute(sql, (after,)):
        yield number, LabelRecord(*_sound(row, "label of candidate", row[1]))


def read_iteration(connection: sqlite3.Connection, workflow: str, iteration: int) -> IterationRecord | None:
    """Return the record of a complete iteration.

    Raises:
        CorruptRunError: if it is damaged.
    """
    return next(read_iterations(connection, "workflow = ? AND iteration = ?", (workflow, iteration)), None)


def read_iterations(
    connection: sqlite3.Connection, where: str = "TRUE", values: tuple[Any, ...] = ()
) -> Iterator[IterationRecord]:
    """Return the records of complete iterations, those of a workflow in their order."""
    columns = ",".join(IterationRecord._fields)
    sql = f"SELECT {columns},crc FROM iterations WHERE {where} ORDER BY workflow, iteration"
    for row in connection.execute(sql, values):
        yield IterationRecord(*_sound(row, "iteration", f"{row[0]}/{row[1]}"))


def read_events(connection: sqlite3.Connection, after: int = 0) -> Iterator[tuple[int, TimedEvent]]:
    """Return the events with a number above `after`, with their numbers; those of newer versions are left out."""
    columns = ",".join(EventRecord._fields)
    sql = f"SELECT seq,{columns},crc FROM events WHERE seq > ? ORDER BY seq"
    for number, *row in connection.execute(sql, (after,)):
        time, kind, body = _sound(row, "event", number)
        event = event_from_json(kind, body)
        if event is not None:
            yield number, TimedEvent(time, event)


def read_orders(connection: sqlite3.Connection, after: int = 0, state: str | None = None) -> Iterator[OrderRecord]:
    """Return the orders with a number above `after`, or those of them that are in one state."""
    columns = ",".join(OrderRecord._fields)
    sql = f"SELECT {columns},crc FROM orders WHERE seq > ? AND state = coalesce(?, state) ORDER BY seq"
    for row in connection.execute(sql, (after, state)):
        yield OrderRecord(*_sound(row, "order", row[0]))


def is_used(connection: sqlite3.Connection, name: str) -> bool:
    """Return whether any record refers to that file."""
    tables = ("tasks", "labels")
    return any(connection.execute(f"SELECT 1 FROM {table} WHERE file = ?", (name,)).fetchone() for table in tables)


def _sound(row: Sequence[Any], what: str, name: object) -> Sequence[Any]:
    """Return the row without its checksum, if that is right."""
    *fields, crc = row
    if checksum(fields) != crc:
        raise CorruptRunError(f"the journal's record of {what} {name} is damaged: its checksum does not match")
    return fields
