"""`rose task`: one task of a run, with what it printed and how it failed."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from rose.errors import CorruptRunError, NotPlainError, UnknownTaskError, did_you_mean
from rose.store.database.batches import read_task, read_tasks
from rose.store.database.schema import reading
from rose.store.database.sql import read_labels
from rose.store.lease import describe_seconds
from rose.store.objects import ObjectStore
from rose.store.paths import OBJECTS, OUTPUT, STREAMS, place_in
from rose.store.records import DROPPED, FAILED, RUNNING, TaskRecord
from rose.store.safe_unpickle import read_plainly
from rose.store.summary import is_round
from rose.watch.terminal import clean, one_line, table

SHOWN_BYTES = 64 * 1024  # of each file with what a task printed: the last ones
_COMPARED = 5_000  # keys that are compared to find a near miss
_TIME = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class TaskView:
    """What is known of a task.

    Attributes:
        record: what the journal holds.
        printed: what it printed, by stream, and the file in which that is; nothing where it printed nothing.
        value: its result in short; None: it has none, or it was freed.
    """

    record: TaskRecord
    printed: dict[str, tuple[str, Path]]
    value: str | None


def view_task(directory: Path, key: str) -> TaskView:
    """Look at one task.

    Raises:
        UnknownTaskError: naming near misses.
        RunDirectoryError, CorruptRunError: if it is no run, or damaged.
    """
    with reading(directory) as connection:
        record = read_task(connection, key)
        if record is None:
            raise _unknown(connection, directory, key)
        value = _value(connection, directory, record)
    return TaskView(record, _printed(directory, key), value)


def task_text(view: TaskView) -> str:
    """All of it, to be read."""
    record = view.record
    lines = [f"{record.key}: {record.state}" + (f", attempt {record.attempts}" if record.attempts > 1 else "")]
    lines.append(f"started  {time.strftime(_TIME, time.localtime(record.started))}")
    if record.ended is not None:
        took = describe_seconds(record.ended - record.started) if record.ended - record.started >= 10 else None
        took = took or f"{max(record.ended - record.started, 0):.3g} s"
        lines.append(f"ended    {time.strftime(_TIME, time.localtime(record.ended))}, after {took}")
    if view.value is not None:
        lines.append(f"result   {view.value}")
    for stream, (text, path) in view.printed.items():
        lines += ["", f"--- {stream} ({path})", text.rstrip("\n")]
    if record.error:
        lines += ["", "--- error", record.error.rstrip("\n")]
    return clean("\n".join(lines))


def task_json(view: TaskView) -> dict[str, Any]:
    """The same in plain JSON."""
    record = view.record
    return {
        "key": record.key,
        "state": record.state,
        "started": record.started,
        "ended": record.ended,
        "attempts": record.attempts,
        "error": record.error,
        "result": view.value,
        **{stream: view.printed[stream][0] if stream in view.printed else None for stream in STREAMS},
    }


def list_tasks(directory: Path, prefix: str = "", everything: bool = False) -> list[TaskRecord]:
    """The tasks whose keys begin so: those that failed or were dropped, or all.

    Raises:
        RunDirectoryError, CorruptRunError: if it is no run, or damaged.
    """
    with reading(directory) as connection:
        return [
            record
            for record in read_tasks(connection, prefix)
            if (everything or record.state in (FAILED, DROPPED)) and not is_round(record.key)
        ]


def tasks_text(records: Sequence[TaskRecord]) -> str:
    """One line a task."""
    now = time.time()
    rows = []
    for record in records:
        end = record.ended if record.ended is not None or record.state != RUNNING else now
        seconds = "" if end is None else f"{end - record.started:.3g} s"
        rows.append((record.key, record.state, seconds, gist(record.error, record.key)))
    return table(("task", "state", "took", ""), rows)


def tasks_json(records: Sequence[TaskRecord]) -> list[dict[str, Any]]:
    """The same in plain JSON."""
    fields = ("key", "state", "started", "ended", "attempts", "error")
    return [{name: getattr(record, name) for name in fields} for record in records]


def gist(error: str | None, key: str) -> str:
    r"""The line of a traceback that says what was wrong.

    >>> gist("Traceback ...\n  in f\nTaskFailedError: task w/0/training/a: OSError: no licence", "w/0/training/a")
    'OSError: no licence'
    """
    lines = (error or "").strip().splitlines()
    found = next((line for line in reversed(lines) if line[:1].strip() and ": " in line), "".join(lines[-1:]))
    return one_line(found.rpartition(f"task {key}: ")[2])


def _printed(directory: Path, key: str) -> dict[str, tuple[str, Path]]:
    folder = directory / OUTPUT / place_in(directory, key)
    found = {}
    for stream in STREAMS:
        path = folder / stream
        if path.is_file() and (size := path.stat().st_size):
            with path.open("rb") as file:
                file.seek(max(0, size - SHOWN_BYTES))
                text = file.read(SHOWN_BYTES).decode(errors="replace")
            before = f"[{size - SHOWN_BYTES} bytes before this are in the file]\n" if size > SHOWN_BYTES else ""
            found[stream] = (before + text, path)
    return found


def _value(connection: sqlite3.Connection, directory: Path, record: TaskRecord) -> str | None:
    objects = ObjectStore(directory / OBJECTS)
    if record.value is not None or record.file is not None:
        return _described(objects, record.value, record.file)
    labels = islice((label for label in read_labels(connection) if label.key == record.key), 6)
    found = [f"candidate {label.candidate}: {_described(objects, label.value, label.file)}" for label in labels]
    return "; ".join(found[:5] + (["..."] if len(found) > 5 else [])) or None


def _described(objects: ObjectStore, value: bytes | None, file: str | None) -> str:
    """A result in short."""
    try:
        found = read_plainly(objects, value, file)
    except NotPlainError as error:
        return f"a {error.args[0]} (not loaded: that would run its code)"
    except CorruptRunError as error:
        return f"damaged: {error}"
    if isinstance(found, np.ndarray) and found.size > 8:
        first = np.array2string(found.ravel()[:4], precision=4, separator=", ").strip("[]")
        return f"{found.dtype} array {list(found.shape)}: {first}, ..."
    return one_line(repr(found), 500)


def _unknown(connection: sqlite3.Connection, directory: Path, key: str) -> UnknownTaskError:
    near = key.rpartition("/")[0]
    while True:
        tasks = (record.key for record in read_tasks(connection, near) if not is_round(record.key))
        known = list(islice(tasks, _COMPARED))
        if known or not near:
            break
        near = near.rpartition("/")[0]
    where = os.fspath(directory)
    if not known:
        return UnknownTaskError(f"no task {key!r} in {where!r}: it has recorded none yet")
    hint = did_you_mean(key, known) or f"there are {', '.join(map(repr, known[:5]))}" + (", ..." if known[5:] else "")
    return UnknownTaskError(f"no task {key!r} in {where!r}: {hint} (`rose task {where} --all` lists them)")
