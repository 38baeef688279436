"""Remember a run: its journal, its files, its labels, its events, and what it is ordered to do."""

from rose.store.database.schema import holds_run
from rose.store.events import (
    ChangesAccepted,
    DriverStarted,
    Event,
    EventLog,
    IterationDone,
    LabelCorrected,
    OrderObeyed,
    OrderRefused,
    RetryAsked,
    TaskBegan,
    TaskCancelled,
    TaskDone,
    TaskDropped,
    TaskFailed,
    TaskQueued,
    TaskRetried,
    TimedEvent,
    WorkflowStopped,
)
from rose.store.labels.by_content import Asked, Dropped, LabelStore
from rose.store.labels.files import read_labels_file, write_labels
from rose.store.labels.table import LabelTable, labels_of_run
from rose.store.labels.values import as_label, not_finite, same_label, stacked
from rose.store.labels.versions import Simulations
from rose.store.lease import TIDYING, Driver, describe_seconds
from rose.store.orders import Label, Order, PlacedOrder, Set, Stop, Withdraw, answered, place, waiting
from rose.store.reader import Changes, ReadLabel, RunReader
from rose.store.records import (
    CANCELLED,
    DONE,
    DROPPED,
    FAILED,
    QUEUED,
    RUNNING,
    IterationRecord,
    LabelRecord,
    Sample,
    TaskRecord,
    decode,
    encode,
)
from rose.store.results import Result, given
from rose.store.retrying import RETRIED, DroppedCandidate, retry
from rose.store.run import Run
from rose.store.run_dir import check_run_dir
from rose.store.tasklog import TaskLog

__all__ = [
    "CANCELLED",
    "DONE",
    "DROPPED",
    "FAILED",
    "QUEUED",
    "RETRIED",
    "RUNNING",
    "TIDYING",
    "Asked",
    "Changes",
    "ChangesAccepted",
    "Driver",
    "DriverStarted",
    "Dropped",
    "DroppedCandidate",
    "Event",
    "EventLog",
    "IterationDone",
    "IterationRecord",
    "Label",
    "LabelCorrected",
    "LabelRecord",
    "LabelStore",
    "LabelTable",
    "Order",
    "OrderObeyed",
    "OrderRefused",
    "PlacedOrder",
    "ReadLabel",
    "Result",
    "RetryAsked",
    "Run",
    "RunReader",
    "Sample",
    "Set",
    "Simulations",
    "Stop",
    "TaskBegan",
    "TaskCancelled",
    "TaskDone",
    "TaskDropped",
    "TaskFailed",
    "TaskLog",
    "TaskQueued",
    "TaskRecord",
    "TaskRetried",
    "TimedEvent",
    "Withdraw",
    "WorkflowStopped",
    "answered",
    "as_label",
    "check_run_dir",
    "decode",
    "describe_seconds",
    "encode",
    "given",
    "holds_run",
    "labels_of_run",
    "not_finite",
    "place",
    "read_labels_file",
    "retry",
    "same_label",
    "stacked",
    "waiting",
    "write_labels",
]
