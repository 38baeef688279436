"""Show `rose task`: one task of a run, with what it printed and how it failed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rose.errors import CorruptRunError, NotPlainError, UnknownTaskError, did_you_mean
from rose.store import DROPPED, FAILED, QUEUED, RunReader, TaskRecord
from rose.watch.summary import task_to_dict
from rose.watch.terminal import clean, duration, one_line, table

SHOWN_BYTES = 64 * 1024  # of each file with what a task printed: the last ones
_COMPARED = 5_000  # keys that are compared to find a near miss
_TIME = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class TaskView:
    """Hold what is known of a task.

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
    with RunReader(directory) as reader:
        record = reader.task(key)
        if record is None:
            raise _unknown(reader, key)
        return TaskView(record, _printed(reader, key), _value(reader, key))


def task_text(view: TaskView) -> str:
    """Return all that is known of a task, to be read."""
    record = view.record
    lines = [f"{record.key}: {record.state}" + (f", attempt {record.attempt}" if record.attempt > 1 else "")]
    lines.append(f"queued   {_moment(record.queued)}")
    if record.began is not None:
        lines.append(f"began    {_moment(record.began)}, after {duration(record.began - record.queued)}")
    if record.ended is not None and record.seconds is not None:
        lines.append(f"ended    {_moment(record.ended)}, after {duration(record.seconds)}")
    if record.worker is not None:
        lines.append(f"worker   {record.worker}")
    if view.value is not None:
        lines.append(f"result   {view.value}")
    for stream, (text, path) in view.printed.items():
        lines += ["", f"--- {stream} ({path})", text.rstrip("\n")]
    if record.error:
        lines += ["", "--- error", record.error.rstrip("\n")]
    return clean("\n".join(lines))


def task_json(view: TaskView) -> dict[str, Any]:
    """Return a task in plain JSON, with its result and what it printed."""
    record = view.record
    return {
        **task_to_dict(record),
        "result": view.value,
        **{stream: view.printed[stream][0] if stream in view.printed else None for stream in ("stdout", "stderr")},
    }


def _moment(time_: float) -> str:
    return time.strftime(_TIME, time.localtime(time_))


def list_tasks(directory: Path, prefix: str = "", everything: bool = False) -> list[TaskRecord]:
    """Return the tasks whose keys begin so: those that failed or were dropped, or all.

    Raises:
        RunDirectoryError, CorruptRunError: if it is no run, or damaged.
    """
    with RunReader(directory) as reader:
        return [one for one in reader.tasks(prefix) if everything or one.state in (FAILED, DROPPED)]


def tasks_text(records: Sequence[TaskRecord]) -> str:
    """Return one line a task."""
    now = time.time()
    rows = []
    for record in records:
        seconds = record.seconds
        if seconds is None and record.state != QUEUED:
            seconds = now - (record.began or record.queued)
        took = "" if seconds is None else f"{seconds:.3g} s"
        rows.append((record.key, record.state, took, gist(record.error, record.key)))
    return table(("task", "state", "took", ""), rows)


def tasks_json(records: Sequence[TaskRecord]) -> list[dict[str, Any]]:
    """Return tasks in plain JSON."""
    return [task_to_dict(record) for record in records]


def gist(error: str | None, key: str) -> str:
    r"""Return the line of a traceback that says what was wrong.

    >>> gist("Traceback ...\n  in f\nTaskFailedError: task w/0/training/a: OSError: no licence", "w/0/training/a")
    'OSError: no licence'
    """
    lines = (error or "").strip().splitlines()
    found = next((line for line in reversed(lines) if line[:1].strip() and ": " in line), "".join(lines[-1:]))
    return one_line(found.rpartition(f"task {key}: ")[2])


def _printed(reader: RunReader, key: str) -> dict[str, tuple[str, Path]]:
    found = {}
    for stream, path in reader.printed(key).items():
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - SHOWN_BYTES))
            text = file.read(SHOWN_BYTES).decode(errors="replace")
        before = f"[{size - SHOWN_BYTES} bytes before this are in the file]\n" if size > SHOWN_BYTES else ""
        found[stream] = (before + text, path)
    return found


def _value(reader: RunReader, key: str) -> str | None:
    try:
        return _described(lambda: reader.value_of(key))
    except KeyError:  # it labels a pool, or has given nothing
        labels = reader.labels_of(key)
    found = [f"candidate {candidate}: {_described(read)}" for candidate, read in labels[:5]]
    return "; ".join(found + (["..."] if len(labels) > 5 else [])) or None


def _described(read: Callable[[], Any]) -> str:
    """Return a result in short."""
    try:
        found = read()
    except NotPlainError as error:
        return f"a {error.args[0]} (not loaded: that would run its code)"
    except CorruptRunError as error:
        return f"damaged: {error}"
    if isinstance(found, np.ndarray) and found.size > 8:
        first = np.array2string(found.ravel()[:4], precision=4, separator=", ").strip("[]")
        return f"{found.dtype} array {list(found.shape)}: {first}, ..."
    return one_line(repr(found), 500)


def _unknown(reader: RunReader, key: str) -> UnknownTaskError:
    near = key.rpartition("/")[0]
    while not (known := reader.keys(near, _COMPARED)) and near:
        near = near.rpartition("/")[0]
    where = os.fspath(reader.path)
    if not known:
        return UnknownTaskError(f"no task {key!r} in {where!r}: it has recorded none yet")
    hint = did_you_mean(key, known) or f"there are {', '.join(map(repr, known[:5]))}" + (", ..." if known[5:] else "")
    return UnknownTaskError(f"no task {key!r} in {where!r}: {hint} (`rose task {where} --all` lists them)")
