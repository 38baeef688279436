"""Read a run, living or dead, as it goes on: what viewers look at, and all that they may know of the store."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from rose.errors import ConfigurationError, NotPlainError
from rose.paths import expanded
from rose.store.database.failures import explained
from rose.store.database.meta import read_meta
from rose.store.database.schema import is_snapshot, open_for_reading
from rose.store.database.sql import (
    numbered_labels,
    read_events,
    read_labels,
    read_orders,
    read_task,
    read_task_changes,
    read_tasks,
)
from rose.store.database.whole import beside
from rose.store.events import TimedEvent
from rose.store.files.objects import ObjectStore
from rose.store.files.paths import DATABASE, OBJECTS, OUTPUT, STREAMS, place_in
from rose.store.labels.versions import Simulations, read_simulations
from rose.store.lease import Driver, read_drivers
from rose.store.orders import PlacedOrder, placed_order
from rose.store.records import DONE, TaskRecord
from rose.store.safe_unpickle import read_plainly

_FEW = 500  # candidates that are asked for by their numbers


class ReadLabel(NamedTuple):
    """Hold a label that has come; its value is read on request.

    Attributes:
        number: larger than that of any label before.
        candidate: the index of its candidate in the pool.
        task: the key of the task that simulated it, or "imported".
        state: done, or dropped: there is none.
        content: what identifies the sample: of two labels of the same one, the later counts.
    """

    number: int
    candidate: int
    task: str
    state: str
    content: bytes


@dataclass(frozen=True)
class Changes:
    """Hold what is new in a run since a cursor.

    Attributes:
        cursor: where this ends, for the next call: a short text.
        events: what has happened, in order.
        tasks: the tasks that have changed, as they stand, in the order of their changes; without pickled values.
        labels: the labels that have come, in order.
        orders: what was ordered; and those that were answered since come again in `events`.
        drivers: all drivers that the run has had, as they stand: the last may be alive.
        simulations: which labels are of which simulation, where the run has had several.
    """

    cursor: str
    events: Sequence[TimedEvent]
    tasks: Sequence[TaskRecord]
    labels: Sequence[ReadLabel]
    orders: Sequence[PlacedOrder]
    drivers: Sequence[Driver]
    simulations: Simulations | None


class RunReader:
    """Read the run in a directory, without changing anything there; a context manager. For one thread at a time.

    What `since` costs follows what is new. No code of the run's is executed: values are read by `value_of`, and only if
    they are plain.

    Args:
        run_dir: the run directory.

    Raises:
        RunDirectoryError: if there is no run, or of another format.
        CorruptRunError: if what it recorded is damaged.

    Example:
        with RunReader("runs/digits") as reader:
            changes = reader.since()
            while changes.drivers[-1].alive:
                time.sleep(1)
                changes = reader.since(changes.cursor)
    """

    def __init__(self, run_dir: str | Path) -> None:
        self.path = expanded(run_dir, "run_dir")
        self._file = self._identity()
        self._connection = open_for_reading(self.path)
        self._seen = self._files()

    def __enter__(self) -> RunReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the run's database."""
        self._connection.close()

    def is_current(self) -> bool:
        """Return whether the run's directory still holds what is read: it may be gone, or another run's by now."""
        return self._file is not None and self._file == self._identity()

    def since(self, cursor: str | None = None, *, tasks: bool = True) -> Changes:
        """Return what is new since a cursor; None: everything.

        Args:
            cursor: where an earlier call ended.
            tasks: False leaves out tasks, which are most of a large run: for who looks once, and at no task.

        Raises:
            ConfigurationError: if it is no cursor.
            CorruptRunError: if what was recorded is damaged.
        """
        task, event, label, order = _numbers(cursor)
        with self._reading() as connection:
            events = list(read_events(connection, event))
            (newest,) = connection.execute("SELECT max(seq) FROM events").fetchone()  # also of what a newer ROSE wrote
            read = read_task_changes(connection, task) if tasks else ()
            changed = [(number, _light(record)) for number, record in read]
            labels = [
                ReadLabel(number, one.candidate, one.key, one.state, one.content)
                for number, one in numbered_labels(connection, label)
            ]
            orders = [placed_order(record) for record in read_orders(connection, order)]
            drivers, simulations = read_drivers(connection), read_simulations(connection)
        ends = (
            changed[-1][0] if changed else task,
            max(event, newest or 0),
            labels[-1].number if labels else label,
            orders[-1].id if orders else order,
        )
        return Changes(
            cursor="-".join(map(str, ends)),
            events=[one for _, one in events],
            tasks=[record for _, record in changed],
            labels=labels,
            orders=orders,
            drivers=drivers,
            simulations=simulations,
        )

    def now(self) -> str:
        """Return the cursor of this moment: with it, `since` gives only what comes from now on."""
        with self._reading() as connection:
            last = dict(connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
        return "-".join(str(last.get(name, 0)) for name in ("tasks", "events", "labels", "orders"))

    def count_tasks(self) -> int:
        """Return how many tasks there are."""
        with self._reading() as connection:
            (count,) = connection.execute("SELECT count(*) FROM tasks").fetchone()
        return int(count)

    def task(self, key: str) -> TaskRecord | None:
        """Return one task as it stands, without pickled values."""
        with self._reading() as connection:
            record = read_task(connection, key)
        return None if record is None else _light(record)

    def tasks(self, prefix: str = "") -> list[TaskRecord]:
        """Return the tasks whose keys begin so as they stand, in the order of their keys, without pickled values."""
        with self._reading() as connection:
            return [_light(record) for record in read_tasks(connection, prefix)]

    def keys(self, prefix: str = "", most: int = -1) -> list[str]:
        """Return the tasks' keys that begin so, in order; at most so many."""
        with self._reading() as connection:
            beyond = prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else chr(0x10FFFF)
            sql = "SELECT key FROM tasks WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
            return [key for (key,) in connection.execute(sql, (prefix, beyond, most))]

    def value_of(self, key: str) -> Any:
        """Return the result of a task, if it is plain: numbers, texts, their containers, arrays.

        Raises:
            KeyError: if it has none: it gave none, its result was freed, or is labels (`labels_of`).
            NotPlainError: if code would have to run to load it.
            CorruptRunError: if it is damaged.
        """
        with self._reading() as connection:
            record = read_task(connection, key)
        if record is None or (record.value is None and record.file is None):
            raise KeyError(key)
        return read_plainly(self._objects, record.value, record.file)

    def labels_of(self, key: str) -> list[tuple[int, Callable[[], Any]]]:
        """Return the candidates that a task has labelled, with what reads their labels (as `value_of` does)."""
        with self._reading() as connection:
            found = [one for one in read_labels(connection) if one.key == key and one.state == DONE]

        def reading(value: bytes | None, file: str | None) -> Callable[[], Any]:
            return lambda: read_plainly(self._objects, value, file)

        return [(one.candidate, reading(one.value, one.file)) for one in found]

    def notes(self, prefix: str = "") -> dict[str, Any]:
        """Return what was noted of the run as a whole, in plain JSON, by the names that begin so."""
        with self._reading() as connection:
            found = connection.execute("SELECT name FROM meta")
            names = [name for (name,) in found if name.startswith(prefix)]
            return {name: read_meta(connection, name) for name in names}

    def samples(self, candidates: Collection[int]) -> dict[int, Any]:
        """Return those labelled candidates that are in the record themselves: the small ones that are plain.

        Args:
            candidates: indices in the pool.
        """
        found = {}
        few = f" AND candidate IN ({','.join(map(str, candidates))})" if len(candidates) <= _FEW else ""
        sql = f"SELECT candidate, x FROM labels WHERE x IS NOT NULL{few} ORDER BY seq"
        with self._reading() as connection:
            for candidate, x in connection.execute(sql):
                if candidate in candidates:
                    with contextlib.suppress(NotPlainError):
                        found[candidate] = read_plainly(self._objects, x, None)
        return found

    def printed(self, key: str) -> dict[str, Path]:
        """Return the files that hold what a task has printed, by stream; those that are there and not empty."""
        folder = self.path / OUTPUT / place_in(self.path, key)
        paths = {stream: folder / stream for stream in STREAMS}
        return {stream: path for stream, path in paths.items() if path.is_file() and path.stat().st_size}

    @property
    def _objects(self) -> ObjectStore:
        return ObjectStore(self.path / OBJECTS)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for one look at what is committed."""
        if is_snapshot(self._connection) and (now := self._files()) != self._seen:
            self._connection.close()
            self._connection, self._seen = open_for_reading(self.path), now
        with explained(self.path / DATABASE):
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("COMMIT")

    def _identity(self) -> tuple[int, int] | None:
        """Return which file the database is; None: there is none."""
        try:
            stat = (self.path / DATABASE).stat()
        except FileNotFoundError:
            return None
        return stat.st_dev, stat.st_ino

    def _files(self) -> list[tuple[int, int] | None]:
        """Return the state of the database's files, which changes when the database does."""
        found: list[tuple[int, int] | None] = []
        for path in (self.path / DATABASE, beside(self.path / DATABASE, "-wal")):
            try:
                stat = path.stat()
            except FileNotFoundError:
                found.append(None)
            else:
                found.append((stat.st_mtime_ns, stat.st_size))
        return found


def _light(record: TaskRecord) -> TaskRecord:
    """Return a record without its pickled values; names that many have are one text."""
    key, state, attempt, queued, began, ended, worker, error, _, file, _, output = record
    where = None if worker is None else sys.intern(worker)
    return TaskRecord(key, sys.intern(state), attempt, queued, began, ended, where, error, None, file, None, output)


def _numbers(cursor: str | None) -> tuple[int, int, int, int]:
    if cursor is None:
        return 0, 0, 0, 0
    parts = cursor.split("-") if isinstance(cursor, str) else []
    if len(parts) != 4 or not all(part.isdecimal() and len(part) < 19 for part in parts):  # SQLite has 63 bits
        raise ConfigurationError(f"{cursor!r} is no cursor: give what an earlier `since` returned, or None")
    task, event, label, order = map(int, parts)
    return task, event, label, order
