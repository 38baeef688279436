"""What a run remembers: its events, its labels, its directory."""

from rose.store.events import (
    Event,
    EventLog,
    IterationDone,
    TaskCancelled,
    TaskDone,
    TaskFailed,
    TaskQueued,
    WorkflowStopped,
)
from rose.store.labels import LabelStore
from rose.store.run import RunDirectory

__all__ = [
    "Event",
    "EventLog",
    "IterationDone",
    "LabelStore",
    "RunDirectory",
    "TaskCancelled",
    "TaskDone",
    "TaskFailed",
    "TaskQueued",
    "WorkflowStopped",
]
