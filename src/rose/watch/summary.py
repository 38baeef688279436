"""Fold what a run's reader gives into how the run stands: also while it runs and after it died."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from rose.errors import RunDirectoryError
from rose.store import (
    DONE,
    DROPPED,
    FAILED,
    QUEUED,
    RUNNING,
    TIDYING,
    Changes,
    Driver,
    DriverStarted,
    Event,
    IterationDone,
    ReadLabel,
    RunReader,
    Simulations,
    TaskRecord,
    TaskRetried,
    WorkflowStopped,
)

# running: its driver lives. finished, failed (a workflow did), stopped (by the user), preempted (SIGTERM) and
# interrupted (Ctrl-C, `break`, an error outside its workflows): its driver has said so. crashed: its driver is gone
# without a word. silent: its driver gives no sign of life, but may be stopped, or on another machine.
State = Literal["running", "finished", "failed", "stopped", "preempted", "interrupted", "crashed", "silent"]


@dataclass
class WorkflowSummary:
    """Describe one workflow.

    Attributes:
        name: its name.
        iteration: the last that is complete; None: there is none.
        labels: how many it held after that; None: they are the user's files.
        arrived: how many labels its own simulations have given since.
        metric_name, metric, uncertainty: of that iteration; without a stop criterion, the first of the hold-out's.
        statement: what a rule of `stop_when` found in it, by which it ended.
        stopped: why it has ended (a `StopReason`); None: it has not.
        error: the text of the error that ended it.
        tasks: how many of its tasks are queued, running, done, failed, cancelled and dropped.
        retries: how often one of its tasks was run again after a failure.
    """

    name: str
    iteration: int | None = None
    labels: int | None = None
    arrived: int = 0
    metric_name: str | None = None
    metric: float | None = None
    uncertainty: float | None = None
    statement: str | None = None
    stopped: str | None = None
    error: str | None = None
    tasks: Counter[str] = field(default_factory=Counter)
    retries: int = 0


@dataclass
class StageSummary:
    """Sum up where the time of one stage's tasks went, in seconds, over all that have begun or ended.

    Attributes:
        tasks: how many.
        queued: waiting for a worker, where the engine tells.
        running: on a worker; waiting is in it where the engine does not tell.
    """

    tasks: int = 0
    queued: float = 0.0
    running: float = 0.0


@dataclass(frozen=True)
class RunSummary:
    """Describe a run as it stood when it was looked at; times are Unix times in seconds.

    Attributes:
        path: its directory.
        state: see `State`.
        begun: when its first driver began.
        seen: when it was last heard of.
        worked: for how many seconds drivers have driven it, in all.
        driver: the last driver that wrote it.
        drivers: how many there have been: 1 and one for each time it was resumed.
        workflows: all that were ever part of it, in the order in which they came.
        running: its tasks that run, oldest first; of a run whose driver is gone, those that did.
        queued: its tasks that wait for a worker, likewise.
        failed: its tasks that failed, or were dropped, latest first.
        labels: how many samples are labelled in all.
        stages: where the time went, by stage.
    """

    path: Path
    state: State
    begun: float
    seen: float
    worked: float
    driver: Driver
    drivers: int
    workflows: Sequence[WorkflowSummary]
    running: Sequence[TaskRecord]
    queued: Sequence[TaskRecord]
    failed: Sequence[TaskRecord]
    labels: int
    stages: Mapping[str, StageSummary]


def summarize(directory: Path, *, tasks: bool = True) -> RunSummary:
    """Return how the run in `directory` stands; without `tasks`, where they are not asked for, at once.

    Raises:
        RunDirectoryError: if there is none, or of another format.
        CorruptRunError: if what it recorded is damaged.
    """
    with RunReader(directory) as reader:
        fold = Fold(reader.path)
        fold.add(reader.since(tasks=tasks))
        return fold.summary()


class Fold:
    """Fold all changes up to now into what is known of a run: give each to `add`, in order.

    Args:
        path: the run directory, as the summary calls it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._workflows: dict[str, WorkflowSummary] = {}
        self._tasks: dict[str, TaskRecord] = {}
        self._unfinished: dict[str, TaskRecord] = {}  # those that are open, or gave no result
        self._labels: dict[bytes, ReadLabel] = {}
        self._labelled = 0  # how many of them are of the run's simulation as it is now
        self._arrived: dict[str, dict[int, list[ReadLabel]]] = {}  # by the workflow and iteration that simulated them
        self._completed: dict[str, float] = {}  # when each workflow completed an iteration last
        self._stages: dict[str, StageSummary] = {}
        self._began: list[int] = []  # epochs of drivers that had workflows
        self._drivers: Sequence[Driver] = ()
        self._simulations: Simulations | None = None

    def add(self, changes: Changes) -> None:
        """Take the next changes of the run."""
        for time, event in changes.events:
            self._take(event)
            if isinstance(event, IterationDone):
                self._completed[event.workflow] = time
        for task in changes.tasks:
            self._replace(task)
        for label in changes.labels:
            self._labels[label.content] = label
            name = workflow_of(label.task, self._workflows)
            if name is not None and label.state == DONE:
                iteration = int(label.task[len(name) + 1 :].partition("/")[0])
                self._arrived.setdefault(name, {}).setdefault(iteration, []).append(label)
        self._drivers = [driver for driver in changes.drivers if driver.outcome != TIDYING]
        if changes.labels or changes.simulations != self._simulations:
            self._simulations = changes.simulations
            self._labelled = sum(label.state == DONE and self._is_current(label) for label in self._labels.values())

    def summary(self) -> RunSummary:
        """Return how the run stands.

        Raises:
            RunDirectoryError: if no driver has begun yet.
        """
        last = self._last()
        stale = {key for key, task in self._unfinished.items() if _is_open(task) and task.queued < last.since}
        unfinished = [task for key, task in self._unfinished.items() if key not in stale]
        return RunSummary(
            path=self._path,
            state=_state(last),
            begun=self._drivers[0].since,
            seen=max(driver.seen for driver in self._drivers),
            worked=sum((driver.ended or driver.seen) - driver.since for driver in self._drivers),
            driver=last,
            drivers=len(self._began),
            workflows=[self._counted(workflow, stale) for workflow in self._workflows.values()],
            running=sorted((t for t in unfinished if t.state == RUNNING), key=lambda task: task.began or task.queued),
            queued=sorted((t for t in unfinished if t.state == QUEUED), key=lambda task: task.queued),
            failed=sorted((t for t in unfinished if not _is_open(t)), key=lambda task: -(task.ended or 0)),
            labels=self._labelled,
            stages={name: stage for name, stage in self._stages.items() if stage.tasks},
        )

    def _take(self, event: Event) -> None:
        match event:
            case DriverStarted():  # workflows that go on have not ended
                self._began.append(event.epoch)
                for name in event.workflows:
                    workflow = self._workflow(name)
                    workflow.stopped = workflow.error = None
            case IterationDone():
                workflow = self._workflow(event.workflow)
                workflow.iteration, workflow.labels = event.iteration, event.labels
                workflow.metric_name, workflow.metric = event.metric_name, event.metric_value
                if event.metric_name is None and event.holdout:
                    workflow.metric_name, workflow.metric = next(iter(event.holdout.items()))
                workflow.uncertainty, workflow.statement = event.uncertainty, event.statement
            case WorkflowStopped():
                workflow = self._workflow(event.workflow)
                workflow.stopped, workflow.error = event.reason, event.error
            case TaskRetried() if (owner := workflow_of(event.key, self._workflows)) is not None:
                self._workflows[owner].retries += 1

    def _workflow(self, name: str) -> WorkflowSummary:
        return self._workflows.setdefault(name, WorkflowSummary(name))

    def _replace(self, task: TaskRecord) -> None:
        """Count a task as it stands, in place of what it was."""
        name = workflow_of(task.key, self._workflows)
        if name is None:
            return
        before = self._tasks.get(task.key)
        if before is not None:
            self._count(name, before, -1)
        self._tasks[task.key] = task
        self._count(name, task, 1)
        self._unfinished.pop(task.key, None)
        if task.state in (QUEUED, RUNNING, FAILED, DROPPED):
            self._unfinished[task.key] = task

    def _count(self, name: str, task: TaskRecord, sign: int) -> None:
        self._workflows[name].tasks[task.state] += sign
        called = task.key[len(name) + 1 :].split("/", 2)[1]
        stage = self._stages.get(called)
        if stage is None:
            stage = self._stages[called] = StageSummary()
        if task.began is not None:
            stage.queued += sign * (task.began - task.queued)
        if task.seconds is not None:
            stage.tasks += sign
            stage.running += sign * task.seconds

    def _counted(self, workflow: WorkflowSummary, stale: Collection[str]) -> WorkflowSummary:
        """Return a workflow without tasks that are stale, and with the labels that have come."""
        tasks = Counter(workflow.tasks)
        for key in stale:
            if workflow_of(key, self._workflows) == workflow.name:
                tasks[self._tasks[key].state] -= 1
        since = -1 if workflow.iteration is None else workflow.iteration
        later = [labels for iteration, labels in self._arrived.get(workflow.name, {}).items() if iteration > since]
        new = sum(self._is_new(label, workflow.name) for labels in later for label in labels)
        return replace(workflow, tasks=+tasks, arrived=new)

    def _is_new(self, label: ReadLabel, workflow: str) -> bool:
        """Return whether a label is not of an iteration that was played before and then forgotten."""
        task = self._tasks.get(label.task)
        ended = None if task is None else task.ended
        return self._is_current(label) and (ended is None or ended >= self._completed.get(workflow, 0.0))

    def _is_current(self, label: ReadLabel) -> bool:
        """Return whether a label is of the run's simulation as it is now."""
        simulations = self._simulations
        return simulations is None or simulations.of(label.number) == simulations.current

    def _last(self) -> Driver:
        """Return the last driver that has, or had, workflows."""
        if not self._drivers:
            raise RunDirectoryError(f"the run in {str(self._path)!r} has not begun: its driver died before it could")
        if self._drivers[-1].ended is None:
            return self._drivers[-1]
        # One that was refused (a changed configuration, no room on the engine) says nothing of the run.
        had = (driver for driver in reversed(self._drivers) if driver.epoch in self._began)
        return next(had, self._drivers[-1])


def _is_open(task: TaskRecord) -> bool:
    return task.state in (QUEUED, RUNNING)


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


def workflow_of(key: str, names: Collection[str]) -> str | None:
    """Return the workflow that a task belongs to; names may hold slashes.

    >>> workflow_of("a/b/0/training/mlp", ["a", "a/b"])
    'a/b'
    """
    found, end = None, key.find("/")
    while end > 0:
        if key[:end] in names:
            found = key[:end]
        end = key.find("/", end + 1)
    return found


_SHOWN = ("key", "state", "attempt", "queued", "began", "ended", "worker", "error")


def task_to_dict(task: TaskRecord) -> dict[str, Any]:
    """Return a task in plain JSON."""
    return {name: getattr(task, name) for name in _SHOWN}


def to_dict(summary: RunSummary) -> dict[str, Any]:
    """Return a summary in plain JSON."""
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
        "running": [task_to_dict(task) for task in summary.running],
        "queued": [task_to_dict(task) for task in summary.queued],
        "failed": [task_to_dict(task) for task in summary.failed],
        "stages": {name: vars(stage) for name, stage in summary.stages.items()},
    }
