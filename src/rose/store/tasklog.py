"""Tell what becomes of tasks as it happens: one call each records it and tells those who watch."""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Callable

from rose.store.events import (
    Event,
    EventLog,
    TaskBegan,
    TaskCancelled,
    TaskDone,
    TaskDropped,
    TaskFailed,
    TaskQueued,
)
from rose.store.records import DONE, DROPPED, FAILED, QUEUED, RUNNING, TaskRecord


class TaskLog:
    """Tell those who watch of tasks and events, and record nothing: for tasks outside of a run. A `Run` records.

    Args:
        events: who watches.
    """

    def __init__(self, events: EventLog | None = None) -> None:
        self.events = events or EventLog()
        self.log: Callable[[Event], object] = lambda event: None  # is told of what is emitted, which is new

    def emit(self, event: Event) -> None:
        """Record an event, and tell of it."""
        self.log(event)
        self.events.append(event)

    def queued(self, key: str, attempt: int = 1, output: str | None = None, tells: bool = True) -> TaskRecord:
        """Record that a task is given to the engine; its record is what the other methods take.

        Args:
            key: the task's.
            attempt: how often it was given to one, with this time.
            output: where what it prints goes, relative to the run directory.
            tells: whether the engine tells when it begins; of one that does not, it counts as running.
        """
        state = QUEUED if tells else RUNNING
        record = TaskRecord(key, state, attempt, time.time(), None, None, None, None, None, None, None, output)
        self._put(record)
        if self.events.watched:
            self.events.append(TaskQueued(key))
        return record

    def began(self, record: TaskRecord, worker: str | None) -> TaskRecord:
        """Record that a task has begun, on a worker (`HOST:PID`); returns its record from now on."""
        key, _, attempt, queued, *_, output = record  # `_replace` takes longer, and there may be many
        record = TaskRecord(key, RUNNING, attempt, queued, time.time(), None, worker, None, None, None, None, output)
        self._put(record)
        if self.events.watched:
            self.events.append(TaskBegan(record.key, worker))
        return record

    def started(self, key: str, attempt: int = 1, output: str | None = None) -> TaskRecord:
        """Record that a task of this process itself begins; returns its record."""
        return self.began(self.queued(key, attempt, output), f"{socket.gethostname()}:{os.getpid()}")

    def ended(self, record: TaskRecord, state: str, error: BaseException | None = None) -> TaskRecord:
        """Record that a task has ended, now or when its record says; returns its record."""
        text = None if error is None else "".join(traceback.format_exception(error))
        record = record._replace(state=state, ended=record.ended or time.time(), error=text)
        self._put(record)
        if state == DROPPED or self.events.watched:
            self._tell(record, getattr(error, "message", str(error)))
        return record

    def _tell(self, record: TaskRecord, message: str = "") -> None:
        """Tell of a task's end."""
        key, seconds = record.key, record.seconds or 0.0
        if record.state == DROPPED:
            self.emit(TaskDropped(key, message))
        elif record.state == FAILED:
            self.events.append(TaskFailed(key, seconds, message))
        else:
            self.events.append(TaskDone(key, seconds) if record.state == DONE else TaskCancelled(key, seconds))

    def _put(self, record: TaskRecord) -> None:
        """Do nothing: outside of a run, tasks are recorded nowhere."""
