"""What a run remembers: its journal, its files, its labels, its events."""

from rose.store.events import (
    Event,
    EventLog,
    IterationDone,
    TaskCancelled,
    TaskDone,
    TaskDropped,
    TaskFailed,
    TaskQueued,
    TaskRetried,
    WorkflowStopped,
)
from rose.store.labels.by_content import Asked, Dropped, LabelStore
from rose.store.labels.files import read_labels_file, write_labels
from rose.store.labels.table import LabelTable, labels_of_run
from rose.store.labels.values import as_label, not_finite, same_label, stacked
from rose.store.labels.versions import Simulations
from rose.store.records import (
    CANCELLED,
    DONE,
    DROPPED,
    FAILED,
    RUNNING,
    LabelRecord,
    Sample,
    TaskRecord,
    decode,
    encode,
)
from rose.store.results import Result, given
from rose.store.retrying import RETRIED, DroppedCandidate, retry
from rose.store.run import Run, check_run_dir

__all__ = [
    "CANCELLED",
    "DONE",
    "DROPPED",
    "FAILED",
    "RETRIED",
    "RUNNING",
    "Asked",
    "Dropped",
    "DroppedCandidate",
    "Event",
    "EventLog",
    "IterationDone",
    "LabelRecord",
    "LabelStore",
    "LabelTable",
    "Result",
    "Run",
    "Sample",
    "Simulations",
    "TaskCancelled",
    "TaskDone",
    "TaskDropped",
    "TaskFailed",
    "TaskQueued",
    "TaskRecord",
    "TaskRetried",
    "WorkflowStopped",
    "as_label",
    "check_run_dir",
    "decode",
    "encode",
    "given",
    "labels_of_run",
    "not_finite",
    "read_labels_file",
    "retry",
    "same_label",
    "stacked",
    "write_labels",
]
