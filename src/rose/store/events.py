"""Describe the events of a run: what the journal stores, and what those who watch are told as it happens."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

_log = logging.getLogger("rose")


@dataclass(frozen=True, slots=True)
class TaskQueued:
    """Tell that a task was given to the engine."""

    key: str


@dataclass(frozen=True, slots=True)
class TaskBegan:
    """Tell that a task began, on a worker (`HOST:PID`; None: it is not known which)."""

    key: str
    worker: str | None


@dataclass(frozen=True, slots=True)
class TaskDone:
    """Tell that a task gave its result after so many `seconds` (waiting counts where an engine cannot tell)."""

    key: str
    seconds: float


@dataclass(frozen=True, slots=True)
class TaskCancelled:
    """Tell that a task was stopped because no one needs it any more."""

    key: str
    seconds: float


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """Tell that a task gave no result: it failed."""

    key: str
    seconds: float
    error: str


@dataclass(frozen=True, slots=True)
class TaskRetried:
    """Tell that an attempt failed, and the task runs again: `attempt` (the first is 1) of at most 1 + `retries`.

    `of_place` says that what was to run it failed, not the task itself.
    """

    key: str
    attempt: int
    retries: int
    error: str
    of_place: bool = False


@dataclass(frozen=True, slots=True)
class TaskDropped:
    """Tell that a task failed, and the run goes on without what it would have given, by its policy."""

    key: str
    error: str


@dataclass(frozen=True, slots=True)
class IterationDone:
    """Tell that a workflow finished an iteration.

    Attributes:
        workflow, iteration: which.
        labels: how many it holds; None: they are the user's files.
        metric_name, metric_value, uncertainty: what it came to.
        criterion_values: the criterion's value of each model.
        selection: what was chosen to be simulated next, in plain JSON.
        holdout: how good the ensemble is on a pool's hold-out.
        dropped: candidates that could not be simulated.
        failed_members: models that could not be trained.
        stopping, statement: what rules of `stop_when` have measured, and what one of them has found, in a sentence.
    """

    workflow: str
    iteration: int
    labels: int | None = None
    metric_name: str | None = None
    metric_value: float | None = None
    uncertainty: float | None = None
    criterion_values: Mapping[str, float] | None = None
    selection: Any = None
    holdout: Mapping[str, float | None] | None = None
    dropped: Sequence[int] = ()
    failed_members: Sequence[str] = ()
    stopping: Mapping[str, Any] | None = None
    statement: str | None = None


@dataclass(frozen=True, slots=True)
class WorkflowStopped:
    """Tell that a workflow ended; `reason` is a `StopReason`, `error` the text of what went wrong."""

    workflow: str
    reason: str
    error: str | None


@dataclass(frozen=True, slots=True)
class DriverStarted:
    """Tell that a driver has begun, or goes on with, these workflows."""

    epoch: int
    workflows: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ChangesAccepted:
    """Tell that a run, or an iteration of a workflow, goes on with other settings than it had; `names` says which."""

    names: Sequence[str]
    workflow: str | None = None
    iteration: int | None = None


@dataclass(frozen=True, slots=True)
class LabelCorrected:
    """Tell that another label took the place of a recorded one, of a candidate that a `task` had simulated."""

    candidate: int
    task: str
    recorded: Any
    given: Any


@dataclass(frozen=True, slots=True)
class RetryAsked:
    """Tell that somebody asked for dropped candidates to be tried again; `tasks` are those that had failed."""

    candidates: Sequence[int]
    tasks: Sequence[str]


@dataclass(frozen=True, slots=True)
class OrderObeyed:
    """Tell that the driver did what somebody had ordered (`orders`); `text` says what that came to."""

    order: int
    who: str
    what: str
    workflow: str | None
    text: str


@dataclass(frozen=True, slots=True)
class OrderRefused:
    """Tell that the driver did not do what somebody had ordered; `text` says why."""

    order: int
    who: str
    what: str
    workflow: str | None
    text: str


TaskEvent = TaskQueued | TaskBegan | TaskDone | TaskCancelled | TaskFailed | TaskRetried | TaskDropped
Event = (
    TaskEvent
    | IterationDone
    | WorkflowStopped
    | DriverStarted
    | ChangesAccepted
    | LabelCorrected
    | RetryAsked
    | OrderObeyed
    | OrderRefused
)
Reader = Callable[[Event], None]

_KINDS: dict[str, type] = {kind.__name__: kind for kind in get_args(Event)}
_OF_ROWS = (TaskQueued, TaskBegan, TaskDone, TaskCancelled, TaskFailed)  # what the task's own row says


class TimedEvent(NamedTuple):
    """Hold an event, and when it happened (Unix time in seconds)."""

    time: float
    event: Event


def is_stored(event: Event) -> bool:
    """Return whether the journal keeps an event by itself: what a task's row says, it does not."""
    return not isinstance(event, _OF_ROWS)


def event_to_json(event: Event) -> str:
    """Return an event's fields in JSON.

    >>> event_to_json(TaskDropped("a/0/training/mlp", "no licence"))
    '{"key": "a/0/training/mlp", "error": "no licence"}'
    """
    return json.dumps({field.name: getattr(event, field.name) for field in dataclasses.fields(event)})


def event_from_json(kind: str, body: str) -> Event | None:
    """Return the event of that class; None if this version knows none of it.

    Fields that this version does not know are left out, and those that are not there are None, or their defaults.
    """
    found = _KINDS.get(kind)
    if found is None:
        return None
    said = json.loads(body)
    fields = {}
    for field in dataclasses.fields(found):
        fields[field.name] = said.get(field.name, None if field.default is dataclasses.MISSING else field.default)
    event: Event = found(**fields)
    return event


class EventLog:
    """Hand every event to its readers, in order.

    A reader that fails is dropped, with a warning: a run never depends on who watches it.

    >>> log, seen = EventLog(), []
    >>> log.subscribe(seen.append)
    >>> log.append(TaskQueued("a/0/training/mlp"))
    >>> seen
    [TaskQueued(key='a/0/training/mlp')]
    """

    def __init__(self) -> None:
        self._readers: list[Reader] = []

    @property
    def watched(self) -> bool:
        """Return whether anyone reads: where no one does, per-task events need not be made."""
        return bool(self._readers or EVERYWHERE._readers)

    def subscribe(self, reader: Reader) -> None:
        """Call `reader` with every event from now on."""
        self._readers.append(reader)

    def unsubscribe(self, reader: Reader) -> None:
        """Stop calling `reader`; one that was dropped or never subscribed is fine."""
        if reader in self._readers:
            self._readers.remove(reader)

    def append(self, event: Event) -> None:
        """Add an event."""
        if isinstance(event, TaskFailed):
            _log.warning("task %s failed after %.3g s: %s", event.key, event.seconds, event.error)
        elif isinstance(event, TaskRetried):
            _log.warning("task %s failed, attempt %d; it runs again: %s", event.key, event.attempt, event.error)
        elif isinstance(event, TaskDropped):
            _log.warning("the run goes on without task %s: %s", event.key, event.error)
        elif isinstance(event, (IterationDone, WorkflowStopped)):
            _log.info("%s", event)
        for reader in (*self._readers, *EVERYWHERE._readers):
            try:
                reader(event)
            except Exception:
                _log.warning("an event reader failed and is dropped", exc_info=True)
                for log in (self, EVERYWHERE):
                    log.unsubscribe(reader)


EVERYWHERE = EventLog()  # its readers are handed the events of all logs of this process
