"""Task records, many in one row of the journal: those of one stage of one round that were committed together.

A row each would cost a busy run twice the time, most of it in binding and inserting. Of a task's records the last one
counts: rows are added, and rewritten only to forget a file. `records` is JSON, for any SQLite shell to read; the values
and notes, which are pickles, lie one after the other in `data`, and `records` has their lengths in their places.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

from rose.errors import CorruptRunError
from rose.store.records import TaskRecord, checksum

COLUMNS: tuple[str, ...] = ("batch", "file", "records", "data", "crc")
_Row = tuple[str, str | None, str, bytes, int]

_MOST, _LARGEST = 256, 128 * 1024  # records in one row, and bytes, unless it is one record
_BATCH = re.compile(r".*?/\d+/[^/]*", re.DOTALL)


def batch_of(key: str) -> str:
    """The name of the rows in which a task's records are: its workflow, iteration and stage.

    Any beginning of the key that ends before a slash would do, for those are where `read_tasks` looks.

    >>> batch_of("bald/3/prediction/mlp/17"), batch_of("bald/3/round")
    ('bald/3/prediction', 'bald/3/round')
    """
    found = _BATCH.match(key)
    return found[0] if found else key


def rows(records: Iterable[TaskRecord]) -> Iterator[_Row]:
    """Records as rows; one that refers to a file has a row of its own."""
    together: defaultdict[str, list[TaskRecord]] = defaultdict(list)
    sizes: defaultdict[str, int] = defaultdict(int)
    for record in records:
        name = batch_of(record.key)
        if record.file is not None:
            yield _row(name, [record])
            continue
        size = len(record.value or b"") + len(record.note or b"") + len(record.error or "")
        if len(together[name]) == _MOST or (together[name] and sizes[name] + size > _LARGEST):
            yield _row(name, together.pop(name))
            sizes[name] = 0
        together[name].append(record)
        sizes[name] += size
    for name, some in together.items():
        yield _row(name, some)


def read_tasks(connection: sqlite3.Connection, prefix: str = "") -> Iterator[TaskRecord]:
    """The records of the tasks whose keys begin so: stage after stage, in each in the order of their keys.

    Raises:
        CorruptRunError: if one is damaged.
    """
    for _, batch in groupby(_rows(connection, prefix), key=lambda row: row[1]):
        last = {record.key: record for _, *row in batch for record in _records(*row)}
        for key in sorted(last):
            if key.startswith(prefix):
                yield last[key]


def read_task(connection: sqlite3.Connection, key: str) -> TaskRecord | None:
    """The record of one task.

    Raises:
        CorruptRunError: if it, or one beside it, is damaged.
    """
    return next((record for record in read_tasks(connection, key) if record.key == key), None)


def forget_files(connection: sqlite3.Connection, prefix: str, spent: Callable[[str], bool]) -> set[str]:
    """Forget results that are files, of the tasks whose keys begin so and are `spent`; inside a transaction.

    Returns:
        The names of the files.
    """
    forgotten: set[str] = set()
    for seq, *row in list(_rows(connection, prefix, "file IS NOT NULL")):
        (record,) = _records(*row)
        if record.key.startswith(prefix) and spent(record.key):
            forgotten.add(row[1])
            changed = _row(row[0], [record._replace(file=None)])
            connection.execute(f"UPDATE tasks SET ({','.join(COLUMNS)}) = (?,?,?,?,?) WHERE seq = ?", (*changed, seq))
    return forgotten


def _row(name: str, records: list[TaskRecord]) -> _Row:
    data: list[bytes] = []
    fields = []
    for key, state, started, ended, attempts, value, file, note, error, output in records:
        sizes = [None if pickled is None else len(pickled) for pickled in (value, note)]
        data += filter(None, (value, note))
        fields.append((key, state, started, ended, attempts, sizes[0], file, sizes[1], error, output))
    row = (name, records[0].file, json.dumps(fields), b"".join(data))
    return *row, checksum(row)


def _rows(connection: sqlite3.Connection, prefix: str, condition: str = "TRUE") -> Iterator[Any]:
    """The rows, with their numbers, in which there may be tasks whose keys begin so: by name, the oldest first."""
    parts = prefix.split("/")
    shorter = ["/".join(parts[:n]) for n in range(1, len(parts))]
    beyond = prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else chr(0x10FFFF)
    ranges = [("batch = ?", (name,)) for name in shorter] + [("batch >= ? AND batch < ?", (prefix, beyond))]
    for where, values in ranges:
        sql = f"SELECT seq,{','.join(COLUMNS)} FROM tasks WHERE {where} AND {condition} ORDER BY batch, seq"
        for row in connection.execute(sql, values):  # noqa: UP028 (`yield from` would close the cursor, perhaps too late)
            yield row


def _records(name: str, file: str | None, text: str, data: bytes, crc: int) -> list[TaskRecord]:
    if checksum((name, file, text, data)) != crc:
        raise CorruptRunError(f"the journal's record of tasks {name} is damaged: its checksum does not match")
    records, at = [], 0
    for key, state, started, ended, attempts, value_size, kept, note_size, error, output in json.loads(text):
        value = note = None
        if value_size is not None:
            value, at = data[at : at + value_size], at + value_size
        if note_size is not None:
            note, at = data[at : at + note_size], at + note_size
        records.append(TaskRecord(key, state, started, ended, attempts, value, kept, note, error, output))
    return records
