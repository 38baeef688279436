"""Show `rose status`: how a run stands, at a glance."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rose.store import RunReader, TaskRecord, describe_seconds
from rose.store.recorded import OF_DRIVER
from rose.watch.facts.worth import Worth, worth_of
from rose.watch.summary import Fold, RunSummary, WorkflowSummary
from rose.watch.task import gist
from rose.watch.terminal import clean, duration, number, one_line, table

SHOWN = 10  # running tasks, and failures

WELL, NOT_WELL = 0, 3  # exit codes of `rose status`: it runs or has finished, all workflows for a good reason; or not
_BAD_ENDS = ("simulations_failed", "not_a_number", "error")  # values of StopReason


def exit_code(summary: RunSummary) -> int:
    """Return what `rose status` ends with, for scripts."""
    bad = any(workflow.stopped in _BAD_ENDS for workflow in summary.workflows)
    return WELL if summary.state in ("running", "finished") and not bad else NOT_WELL


def look(directory: Path) -> tuple[RunSummary, list[Worth]]:
    """Return how the run in a directory stands, and what was saved against its controls.

    Raises:
        RunDirectoryError: if there is none, or of another format.
        CorruptRunError: if what it recorded is damaged.
    """
    with RunReader(directory) as reader:
        fold, changes = Fold(reader.path), reader.since()
        fold.add(changes)
        return fold.summary(), worth_of(changes, reader.notes(OF_DRIVER))


def status_text(summary: RunSummary, shown: int = SHOWN, worth: Sequence[Worth] = ()) -> str:
    """Return a run's state, its workflows, what they saved, what runs, what failed, and where the time went."""
    now = time.time()
    parts = [clean(f"{summary.path}: {_state(summary, now)}"), _workflows(summary)]
    parts += [clean(f"{one.name}: {one.statement}") for one in summary.workflows if one.statement]
    if worth:
        parts.append("\n".join(clean(sentence) for one in worth for sentence in one.sentences()))
    if summary.running:
        # An engine may not tell when a task begins: then it may wait.
        told = all(task.began is not None for task in summary.running)
        verb = "running" if told else "open: running, or waiting for a worker"
        parts.append(
            _open(summary.running, verb if summary.state == "running" else "in hand when it ended", now, shown)
        )
    if summary.queued:
        alive = summary.state == "running"
        parts.append(_open(summary.queued, "waiting for a worker" if alive else "waiting when it ended", now, shown))
    if summary.failed:
        rows = [(task.key, task.state, gist(task.error, task.key)) for task in summary.failed[:shown]]
        heading = f"{_count(summary.failed, 'task')} without a result (more: rose task {summary.path} TASK)"
        parts.append(f"{clean(heading)}\n" + table(("task", "", "error"), rows))
    if summary.stages:
        stages = [(n, str(one.tasks), duration(one.queued), duration(one.running)) for n, one in summary.stages.items()]
        parts.append("where the time went\n" + table(("stage", "tasks", "queued", "running"), stages))
    return "\n\n".join(parts)


def state_line(summary: RunSummary) -> str:
    """Return a run's state in a line that stays the same while nothing happens."""
    resumed = f", resumed {_times(summary)}" if summary.drivers > 1 else ""
    return clean(f"{summary.path}: {summary.state}, process {summary.driver.pid} on {summary.driver.host}{resumed}")


def workflow_lines(summary: RunSummary) -> list[str]:
    """Return a line for each workflow, for logs and pipes."""
    lines = []
    for workflow in summary.workflows:
        labels = number(workflow.labels) + (f"+{workflow.arrived}" if workflow.arrived else "")
        parts = [
            "" if workflow.iteration is None else f"iteration {workflow.iteration}",
            f"{labels} labels" if labels else "",
            _metric(workflow),
            "" if workflow.uncertainty is None else f"uncertainty {number(workflow.uncertainty)}",
            *(f"{workflow.tasks[state]} {state}" for state in ("failed", "dropped") if workflow.tasks[state]),
            f"{workflow.retries} retried" if workflow.retries else "",
            _end(workflow, summary),
        ]
        lines.append(f"{one_line(workflow.name)}: {', '.join(filter(None, parts))}")
    return lines


def _open(tasks: Sequence[TaskRecord], verb: str, now: float, shown: int) -> str:
    """Return the first of some tasks that have not ended, with how long they have run or waited."""
    rows = [
        (describe_seconds(now - (task.began or task.queued)), task.key, task.worker or "", _attempt(task))
        for task in tasks[:shown]
    ]
    return f"{_count(tasks, 'task')} {verb}\n" + table(("age", "task", "worker", ""), rows)


def _state(summary: RunSummary, now: float) -> str:
    driver = summary.driver
    process = f"process {driver.pid} on {driver.host}"
    seen = describe_seconds(now - driver.seen)
    resumed = f", resumed {_times(summary)}" if summary.drivers > 1 else ""
    took = duration(summary.worked)
    if summary.state == "running":
        return f"running for {describe_seconds(now - driver.since)}, {process}, last seen {seen} ago{resumed}"
    if summary.state == "crashed":
        return f"crashed: {process} is gone, last seen {seen} ago{resumed}; the same command goes on with it"
    if summary.state == "silent":
        clocks = "; or the clocks of its machine and this one differ" if driver.is_elsewhere else ""
        return f"silent: {process} gave no sign of life for {seen} (stopped? dead? cut off?{clocks}){resumed}"
    again = "" if summary.state == "finished" else "; the same command goes on with it"
    return f"{summary.state} {seen} ago after {took}, {process}{resumed}{again}"


def _times(summary: RunSummary) -> str:
    return "once" if summary.drivers == 2 else f"{summary.drivers - 1} times"


def _workflows(summary: RunSummary) -> str:
    if not summary.workflows:
        return "no workflow has begun"
    headings = [
        "workflow",
        "iteration",
        "labels",
        "metric",
        "uncertainty",
        "waiting",
        "running",
        "done",
        "failed",
        "state",
    ]
    rows = [_row(workflow, summary) for workflow in summary.workflows]
    more = {
        "dropped": [workflow.tasks["dropped"] for workflow in summary.workflows],
        "retries": [workflow.retries for workflow in summary.workflows],
    }
    for name, counts in more.items():
        if any(counts):
            headings.insert(-1, name)
            for row, count in zip(rows, counts, strict=True):
                row.insert(-1, str(count))
    return table(headings, rows)


def _row(workflow: WorkflowSummary, summary: RunSummary) -> list[str]:
    tasks = [str(workflow.tasks[state]) for state in ("queued", "running", "done", "failed")]
    labels = number(workflow.labels) + (f"+{workflow.arrived}" if workflow.arrived else "")
    shown = (number(workflow.iteration), labels, _metric(workflow), number(workflow.uncertainty))
    return [workflow.name, *shown, *tasks, _end(workflow, summary)]


def _metric(workflow: WorkflowSummary) -> str:
    return "" if workflow.metric is None else f"{workflow.metric_name or ''} {number(workflow.metric)}".strip()


def _end(workflow: WorkflowSummary, summary: RunSummary) -> str:
    reason = workflow.stopped
    if reason is None or (reason == "stopped" and summary.state != "running"):  # the run's own state says more
        return summary.state
    return reason if workflow.error is None else f"{reason}: {one_line(workflow.error)}"


def _attempt(task: TaskRecord) -> str:
    return f"attempt {task.attempt}" if task.attempt > 1 else ""


def _count(tasks: Sequence[TaskRecord], what: str) -> str:
    return f"{len(tasks)} {what}" + ("" if len(tasks) == 1 else "s")
