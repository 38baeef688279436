"""How a run stands, from what it has recorded: for people who look at it, while it runs and after it died."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rose.errors import RunDirectoryError
from rose.store.database.batches import read_tasks
from rose.store.database.schema import reading
from rose.store.database.sql import read_events
from rose.store.labels.versions import count_labels
from rose.store.lease import Driver, read_drivers
from rose.store.records import DROPPED, FAILED, RUNNING, EventRecord

# running: its driver lives. finished, failed (a workflow did), stopped (by the user), preempted (SIGTERM) and
# interrupted (Ctrl-C, `break`, an error outside its workflows): its driver has said so. crashed: its driver is gone
# without a word. silent: its driver gives no sign of life, but may be stopped, or on another machine.
State = Literal["running", "finished", "failed", "stopped", "preempted", "interrupted", "crashed", "silent"]

TIDYING = "tidying"  # the outcome of a driver that only removes what is not needed


@dataclass
class WorkflowSummary:
    """One workflow.

    Attributes:
        name: its name.
        iteration: the last that is complete; None: there is none.
        labels: how many it holds; None: they are the user's files.
        metric_name, metric, uncertainty: of that iteration.
        stopped: why it has ended (a `StopReason`); None: it has not.
        error: the text of the error that ended it.
        tasks: how many of its tasks are running, done, failed, cancelled and dropped.
        retries: how often one of its tasks was run again after a failure.
    """

    name: str
    iteration: int | None = None
    labels: int | None = None
    metric_name: str | None = None
    metric: float | None = None
    uncertainty: float | None = None
    stopped: str | None = None
    error: str | None = None
    tasks: Counter[str] = field(default_factory=Counter)
    retries: int = 0


@dataclass(frozen=True)
class UnfinishedTask:
    """A task that runs, or ran when its driver died, or that gave no result. Times are Unix times in seconds."""

    key: str
    state: str
    started: float
    ended: float | None
    attempts: int
    error: str | None


@dataclass(frozen=True)
class RunSummary:
    """A run as it stood when it was looked at. Times are Unix times in seconds.

    Attributes:
        path: its directory.
        state: see `State`.
        begun: when its first driver began.
        seen: when it was last heard of.
        worked: for how many seconds drivers have driven it, in all.
        driver: the last driver that wrote it.
        drivers: how many there have been: 1 and one for each time it was resumed.
        workflows: all that were ever part of it, in the order in which they came.
        running: its tasks that run or wait for a worker, oldest first; of a run whose driver is gone, those that did.
        failed: its tasks that failed, or were dropped, latest first.
        labels: how many samples are labelled in all.
    """

    path: Path
    state: State
    begun: float
    seen: float
    worked: float
    driver: Driver
    drivers: int
    workflows: Sequence[WorkflowSummary]
    running: Sequence[UnfinishedTask]
    failed: Sequence[UnfinishedTask]
    labels: int


def summarize(directory: Path) -> RunSummary:
    """How the run in `directory` stands.

    Raises:
        RunDirectoryError: if there is none, or of another format.
        CorruptRunError: if what it recorded is damaged.
    """
    with reading(directory) as connection:
        drivers = read_drivers(connection)
        events = [event for _, event in read_events(connection)]
        workflows = _workflows(events)
        last = _last(drivers, events, directory)
        unfinished = _count_tasks(connection, workflows, last.since)
        labels = count_labels(connection)
    return RunSummary(
        path=directory,
        state=_state(last),
        begun=drivers[0].since,
        seen=max(driver.seen for driver in drivers),
        worked=sum((d.ended or d.seen) - d.since for d in drivers if d.outcome != TIDYING),
        driver=last,
        drivers=sum(event.kind == "driver_started" for event in events),
        workflows=list(workflows.values()),
        running=sorted((task for task in unfinished if task.state == RUNNING), key=lambda task: task.started),
        failed=sorted(
            (task for task in unfinished if task.state in (FAILED, DROPPED)), key=lambda task: -(task.ended or 0)
        ),
        labels=labels,
    )


def _last(drivers: Sequence[Driver], events: Iterable[EventRecord], directory: Path) -> Driver:
    """The last driver that has, or had, workflows."""
    drivers = [driver for driver in drivers if driver.outcome != TIDYING]
    if not drivers:
        raise RunDirectoryError(f"the run in {str(directory)!r} has not begun: its driver died before it could")
    if drivers[-1].ended is None:
        return drivers[-1]
    # One that was refused (a changed configuration, no room on the engine) says nothing of the run.
    began = {json.loads(event.body).get("epoch") for event in events if event.kind == "driver_started"}
    return next((driver for driver in reversed(drivers) if driver.epoch in began), drivers[-1])


def _state(driver: Driver) -> State:
    if driver.alive:
        return "running"
    if driver.ended is None:
        return "silent" if driver.exists or driver.is_elsewhere else "crashed"
    known: Mapping[str | None, State] = {
        "finished": "finished",
        "failed": "failed",
        "stopped": "stopped",
        "preempted": "preempted",
    }
    return known.get(driver.outcome, "interrupted")


def _workflows(events: Iterable[EventRecord]) -> dict[str, WorkflowSummary]:
    """What the events tell of each workflow."""
    workflows: dict[str, WorkflowSummary] = {}
    for event in events:
        body = json.loads(event.body)  # what another version did not record is not known, and no error
        if event.kind == "driver_started":  # those that go on have not ended
            for name in body.get("workflows", ()):
                workflow = workflows.setdefault(name, WorkflowSummary(name))
                workflow.stopped = workflow.error = None
        if event.workflow is None:
            continue
        workflow = workflows.setdefault(event.workflow, WorkflowSummary(event.workflow))
        if event.kind == "iteration_done":
            workflow.iteration, workflow.labels = event.iteration, body.get("labels")
            workflow.metric_name, workflow.metric = body.get("metric_name"), body.get("metric")
            workflow.uncertainty = body.get("uncertainty")
        elif event.kind == "workflow_stopped":
            workflow.stopped, workflow.error = body.get("reason"), body.get("error")
        elif event.kind == "task_retried":
            workflow.retries += 1
    return workflows


def _count_tasks(
    connection: sqlite3.Connection, workflows: Mapping[str, WorkflowSummary], since: float
) -> list[UnfinishedTask]:
    """Count each workflow's tasks; those without a result are returned. What a driver before `since` had in hand is
    not running."""
    unfinished = []
    for task in read_tasks(connection):
        name = workflow_of(task.key, workflows)
        if name is None or is_round(task.key) or (task.state == RUNNING and task.started < since):
            continue
        workflows[name].tasks[task.state] += 1
        if task.state in (RUNNING, FAILED, DROPPED):
            unfinished.append(UnfinishedTask(task.key, task.state, task.started, task.ended, task.attempts, task.error))
    return unfinished


def workflow_of(key: str, names: Iterable[str]) -> str | None:
    """The workflow that a task belongs to; names may hold slashes.

    >>> workflow_of("a/b/0/training/mlp", ["a", "a/b"])
    'a/b'
    """
    first = key.partition("/")[0]
    found = [name for name in names if name.partition("/")[0] == first and key.startswith(name + "/")]
    return max(found, key=len, default=None)


def is_round(key: str) -> bool:
    """Whether this is no task, but the record of a whole round.

    >>> is_round("bald/3/round"), is_round("bald/3/training/round")
    (True, False)
    """
    rest, _, last = key.rpartition("/")
    return last == "round" and rest.rpartition("/")[2].isdecimal()


def to_dict(summary: RunSummary) -> dict[str, Any]:
    """A summary in plain JSON."""
    driver = summary.driver
    return {
        "run": str(summary.path),
        "state": summary.state,
        "begun": summary.begun,
        "seen": summary.seen,
        "worked": summary.worked,
        "labels": summary.labels,
        "driver": {
            "host": driver.host,
            "pid": driver.pid,
            "since": driver.since,
            "seen": driver.seen,
            "ended": driver.ended,
            "alive": driver.alive,
            "count": summary.drivers,
        },
        "workflows": [vars(workflow) | {"tasks": dict(workflow.tasks)} for workflow in summary.workflows],
        "running": [vars(task) for task in summary.running],
        "failed": [vars(task) for task in summary.failed],
    }
