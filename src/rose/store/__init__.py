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
from rose.store.label_files import read_labels_file, write_labels
from rose.store.label_table import LabelTable, labels_of_run
from rose.store.label_values import as_label, not_finite, same_label, stacked
from rose.store.labels import Dropped, LabelStore
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
from rose.store.versions import Simulations

__all__ = [
    "CANCELLED",
    "DONE",
    "DROPPED",
    "FAILED",
    "RETRIED",
    "RUNNING",
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
