"""Render what is known of a run as the fragments of its page, each an element with an id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import htpy as h

from rose.errors import RunDirectoryError
from rose.store import Changes, OrderObeyed, OrderRefused, PlacedOrder, TaskRecord, describe_seconds
from rose.watch.page.followed import Fragments
from rose.watch.page.layout import since, task_link
from rose.watch.summary import Fold, RunSummary
from rose.watch.task import gist
from rose.watch.terminal import number

SHOWN = 50  # tasks of a kind, and orders; the list of tasks has all

_GOOD = {"running", "finished"}


class RunRendering:
    """Fold a run's changes into its page's fragments.

    Args:
        path: the run directory.
    """

    def __init__(self, path: Path) -> None:
        self._fold = Fold(path)
        self._orders: dict[int, PlacedOrder] = {}
        self._answers: dict[int, tuple[str, str]] = {}

    def add(self, changes: Changes) -> None:
        """Take the next changes."""
        self._fold.add(changes)
        self._orders |= {order.id: order for order in changes.orders}
        for _, event in changes.events:
            if isinstance(event, (OrderObeyed, OrderRefused)):
                self._answers[event.order] = ("done" if isinstance(event, OrderObeyed) else "refused", event.text)

    def fragments(self) -> Fragments:
        """Return the fragments as they are now."""
        try:
            summary = self._fold.summary()
        except RunDirectoryError as error:  # no driver has begun
            return {"state": str(h.section("#state")[h.p[str(error)]])}
        return {
            "state": str(_state(summary)),
            "workflows": str(_workflows(summary)),
            "running": str(_open("running", "Running", summary.running, lambda task: task.began or task.queued)),
            "queued": str(_open("queued", "Waiting for a worker", summary.queued, lambda task: task.queued)),
            "failed": str(_failed(summary.failed)),
            "stages": str(_stages(summary)),
            "orders": str(self._ordered()),
        }

    def _ordered(self) -> h.Element:
        rows: list[list[h.Node]] = []
        for order in sorted(self._orders.values(), key=lambda one: -one.id)[:SHOWN]:
            state, text = self._answers.get(order.id, (order.state, order.answer or ""))
            told = vars(order.order) if order.order is not None else {}
            what = ", ".join(f"{name}={value}" for name, value in told.items() if value is not None)
            rows.append([since(order.time), order.who, order.kind, what, state, text])
        return h.section("#orders")[
            h.h2["Orders"],
            table(("placed", "by", "what", "", "state", "answer"), rows) if rows else h.p["Nothing was ordered."],
        ]


def table(headings: Sequence[str], rows: Sequence[Sequence[h.Node]]) -> h.Element:
    """Return a table that scrolls where it is too wide."""
    return h.div(".wide", tabindex="0", role="region", aria_label=" / ".join(filter(None, headings)))[
        h.table[
            h.thead[h.tr[(h.th(scope="col")[one] for one in headings)]],
            h.tbody[(h.tr[(h.td[cell] for cell in row)] for row in rows)],
        ]
    ]


def _state(summary: RunSummary) -> h.Element:
    driver = summary.driver
    kind = "good" if summary.state in _GOOD else "bad"
    said = {
        "running": "running, last sign of life ",
        "crashed": "its driver is gone; the same command goes on with it. Last sign of life ",
        "silent": "its driver gives no sign of life (stopped? dead? cut off?). Last sign of life ",
    }.get(summary.state, f"{summary.state} ")
    return h.section("#state", role="status")[
        h.p[
            h.strong(class_=f"state {kind}")[summary.state],
            f" {said}",
            since(summary.seen),
            f" (process {driver.pid} on {driver.host})",
        ],
        h.p[f"{summary.labels} labels; driven for {describe_seconds(summary.worked)}"],
    ]


def _workflows(summary: RunSummary) -> h.Element:
    rows = [
        [
            workflow.name,
            _shown(workflow.iteration),
            f"{_shown(workflow.labels)}{f'+{workflow.arrived}' if workflow.arrived else ''}",
            "" if workflow.metric is None else f"{workflow.metric_name} {number(workflow.metric)}",
            number(workflow.uncertainty),
            " ".join(f"{count} {state}" for state, count in sorted(workflow.tasks.items())),
            workflow.stopped or "goes on",
            workflow.error or "",
        ]
        for workflow in summary.workflows
    ]
    headings = ("workflow", "iteration", "labels", "metric", "uncertainty", "tasks", "end", "error")
    return h.section("#workflows")[h.h2["Workflows"], table(headings, rows)]


def _open(name: str, title: str, tasks: Sequence[TaskRecord], begin: Callable[[TaskRecord], float]) -> h.Element:
    rows: list[list[h.Node]] = [[task_link(task.key), since(begin(task)), task.worker or ""] for task in tasks[:SHOWN]]
    return h.section(id=name)[
        h.h2[f"{title} ({len(tasks)})"],
        table(("task", "for", "worker"), rows) if rows else h.p["None."],
    ]


def _failed(tasks: Sequence[TaskRecord]) -> h.Element:
    rows: list[list[h.Node]] = [[task_link(task.key), task.state, gist(task.error, task.key)] for task in tasks[:SHOWN]]
    return h.section("#failed")[
        h.h2[f"Failed and dropped ({len(tasks)})"],
        table(("task", "state", "error"), rows) if rows else h.p["None."],
    ]


def _stages(summary: RunSummary) -> h.Element:
    rows = [
        [name, str(one.tasks), f"{max(one.queued, 0):.3g} s", f"{max(one.running, 0):.3g} s"]
        for name, one in summary.stages.items()
    ]
    return h.section("#stages")[
        h.h2["Where the time went"],
        table(("stage", "tasks", "waited", "ran"), rows) if rows else h.p["No task has ended."],
    ]


def _shown(value: int | None) -> str:
    return "" if value is None else str(value)
