"""List what went wrong: tasks without a result, attempts that failed, candidates and members that were dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rose.store import TaskRecord, TaskRetried

LISTED = 100  # of each kind
TRACEBACK = 6_000  # characters of an error that are shown: its end says what was wrong


@dataclass(frozen=True)
class Failure:
    """Hold a task that gave no result: `error` is the end of its traceback, `gist` the line that says most."""

    key: str
    state: str
    attempt: int
    worker: str | None
    ended: float | None
    gist: str
    error: str


@dataclass(frozen=True)
class Retry:
    """Hold an attempt that failed and was repeated; `of_place`: what was to run it failed, not the task."""

    time: float
    key: str
    attempt: int
    of_place: bool
    gist: str


@dataclass(frozen=True)
class Failures:
    """Hold what went wrong; of each kind the latest, and how many there are in all.

    Attributes:
        tasks, task_count: that failed or were dropped.
        retries, retry_count: attempts that were repeated.
        dropped: candidates that could not be simulated.
        members: models that could not be trained, with the workflow and the iteration.
        kinds: how many tasks and attempts failed for the same reason, the most frequent first.
    """

    tasks: Sequence[Failure]
    task_count: int
    retries: Sequence[Retry]
    retry_count: int
    dropped: Sequence[int]
    members: Sequence[tuple[str, int, str]]
    kinds: Sequence[tuple[str, int]]

    def __bool__(self) -> bool:
        return bool(self.task_count or self.retry_count or self.dropped or self.members)


def failure_of(task: TaskRecord, gist: str) -> Failure:
    """Return what is shown of a task that failed."""
    error = task.error or ""
    shown = error if len(error) <= TRACEBACK else f"[{len(error) - TRACEBACK} characters]\n{error[-TRACEBACK:]}"
    return Failure(task.key, task.state, task.attempt, task.worker, task.ended, gist, shown)


def retry_of(time: float, event: TaskRetried, gist: str) -> Retry:
    """Return what is shown of an attempt that failed."""
    return Retry(time, event.key, event.attempt, event.of_place, gist)
