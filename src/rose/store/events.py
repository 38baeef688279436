"""The run's events: one typed, append-only stream that logs, progress, report and page read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

_log = logging.getLogger("rose")


@dataclass(frozen=True, slots=True)
class TaskQueued:
    """A task was given to the engine."""

    key: str


@dataclass(frozen=True, slots=True)
class TaskDone:
    """A task gave its result, `seconds` after it was queued."""

    key: str
    seconds: float


@dataclass(frozen=True, slots=True)
class TaskCancelled:
    """A task was stopped because no one needs it any more."""

    key: str
    seconds: float


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A task gave no result: it failed."""

    key: str
    seconds: float
    error: str


@dataclass(frozen=True, slots=True)
class TaskRetried:
    """A task failed, and runs again: `attempt` (the first is 1) of at most 1 + `retries`."""

    key: str
    attempt: int
    retries: int
    error: str


@dataclass(frozen=True, slots=True)
class TaskDropped:
    """A task failed, and the run goes on without what it would have given, by its policy."""

    key: str
    error: str


@dataclass(frozen=True, slots=True)
class IterationDone:
    """A workflow finished an iteration. `labels` is None where the labels are the user's files."""

    workflow: str
    iteration: int
    labels: int | None
    metric_name: str | None
    metric_value: float | None
    uncertainty: float | None


@dataclass(frozen=True, slots=True)
class WorkflowStopped:
    """A workflow ended; `reason` is a `StopReason`, `error` the text of what went wrong."""

    workflow: str
    reason: str
    error: str | None


Event = TaskQueued | TaskDone | TaskCancelled | TaskFailed | TaskRetried | TaskDropped | IterationDone | WorkflowStopped
Reader = Callable[[Event], None]


class EventLog:
    """Hands every event to its readers, in order. A reader that fails is dropped, with a warning: a run never
    depends on who watches it.

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
        """Whether anyone reads: where no one does, per-task events need not be made."""
        return bool(self._readers)

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
        for reader in tuple(self._readers):
            try:
                reader(event)
            except Exception:
                _log.warning("an event reader failed and is dropped", exc_info=True)
                self.unsubscribe(reader)
