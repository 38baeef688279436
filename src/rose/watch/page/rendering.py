"""Render what is known of a run as the fragments of its page, each an element with an id.

How the run stands is rendered at each look. What takes longer (curves, time, the map of the pool) follows when
something has come of which it tells, and takes a fiftieth of the time at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import htpy as h

from rose.errors import RunDirectoryError
from rose.store import (
    Changes,
    IterationDone,
    OrderObeyed,
    OrderRefused,
    PlacedOrder,
    RunReader,
    TaskRecord,
)
from rose.watch.facts import Facts
from rose.watch.facts.curves import Curve, measures
from rose.watch.facts.repeats import drawn
from rose.watch.fragments.answer import answer_section
from rose.watch.fragments.calibration import calibration_section
from rose.watch.fragments.curves import curves_section, data_script, uncertainty_section
from rose.watch.fragments.failures import failures_section
from rose.watch.fragments.links import Links
from rose.watch.fragments.paired import paired_section
from rose.watch.fragments.provenance import provenance_section
from rose.watch.fragments.selection import selection_section
from rose.watch.fragments.tables import Cell, safe, table
from rose.watch.fragments.time import time_section
from rose.watch.page._layout import TaskLinks, since, task_link
from rose.watch.page.followed import Fragments
from rose.watch.summary import RunSummary
from rose.watch.terminal import number

SHOWN = 50  # tasks of a kind, and orders; the list of tasks has all
_SHARE = 50  # what takes long waits so many times as long before it is rendered again

_GOOD = {"running", "finished"}
_LAST = ("orders", "provenance")  # what comes at the end of the page
_OF_TASKS = ("answer", "workflows", "running", "queued", "failures", "time")


class RunRendering:
    """Fold a run's changes into its page's fragments, in the order in which they are shown.

    Args:
        reader: of the run.
    """

    def __init__(self, reader: RunReader) -> None:
        self._facts = Facts(reader)
        self._orders: dict[int, PlacedOrder] = {}
        self._answers: dict[int, tuple[str, str]] = {}
        self._slow: dict[str, str] = {}
        self._due = 0.0  # when what takes long may be rendered again (`time.monotonic`)
        self._state = ""
        self._news = self._iterated = True  # what has come since something was rendered
        self._charts: Any = None  # which curves are drawn

    def add(self, changes: Changes) -> None:
        """Take the next changes."""
        self._facts.update(changes)
        self._orders |= {order.id: order for order in changes.orders}
        for _, event in changes.events:
            if isinstance(event, (OrderObeyed, OrderRefused)):
                self._answers[event.order] = ("done" if isinstance(event, OrderObeyed) else "refused", event.text)
        self._news |= bool(changes.events or changes.tasks)
        self._iterated |= any(isinstance(event, IterationDone) for _, event in changes.events)

    def outline(self, changes: Changes, tasks: int) -> Fragments:
        """Return what can be shown before the tasks are read, and in the places of the rest that they are."""
        self.add(changes)
        waiting = h.p[f"reading {tasks:,} tasks"]
        return {
            name: str(h.section(id=name)[waiting]) if name in _OF_TASKS else html
            for name, html in self.fragments().items()
        }

    def fragments(self) -> Fragments:
        """Return the fragments as they are now."""
        try:
            summary = self._facts.summary()
        except RunDirectoryError as error:  # no driver has begun
            return {"state": str(h.section("#state", role="status")[h.p[safe(error)]])}
        ended = summary.state != self._state
        if ended or (self._news and time.monotonic() >= self._due):
            began = time.monotonic()
            self._slow |= self._rendered(summary)
            self._news, self._state = False, summary.state
            self._due = time.monotonic() + _SHARE * (time.monotonic() - began)
        first = {name: html for name, html in self._slow.items() if name not in _LAST}
        return {
            "state": str(_state(summary)),
            "answer": first.pop("answer"),
            "workflows": str(_workflows(summary)),
            **{name: first.pop(name) for name in ("curves", "curve-data", "comparison") if name in first},
            "running": str(_open("running", "Running", summary.running, lambda task: task.began or task.queued)),
            "queued": str(_open("queued", "Waiting for a worker", summary.queued, lambda task: task.queued)),
            "failures": first.pop("failures"),
            **first,
            "orders": str(self._ordered()),
            **{name: self._slow[name] for name in _LAST if name in self._slow},
        }

    def curves(self) -> list[Curve]:
        """Return the curves of the workflows as they are now, copied."""
        return [replace(curve, points=list(curve.points)) for curve in self._facts.curves()]

    def _rendered(self, summary: RunSummary) -> dict[str, str]:
        """Return what takes longer; of that which only iterations change, only what they did."""
        facts, links = self._facts, TaskLinks()
        spent, curves, groups = facts.time(), facts.curves(), facts.groups()
        found: dict[str, Any] = {
            "answer": answer_section(facts.answer(spent), curves, spent),
            "failures": failures_section(facts.failures(), summary.begun, links),
            "time": time_section(spent, links),
            "provenance": provenance_section(facts.provenance(), str(facts.reader.path)),
        }
        if self._iterated:
            self._iterated = False
            found |= self._curves(curves, groups, links)
            found["comparison"] = paired_section(facts.paired())
            numbers = {curve.workflow: number for number, of_one in enumerate(groups.values()) for curve in of_one}
            found["selection"] = selection_section(facts.pool_map(), facts.gallery(), numbers)
            found["calibration"] = calibration_section(facts.calibrations(), numbers, list(groups), links)
        return {name: str(element) for name, element in found.items()}

    def _curves(self, curves: Sequence[Curve], groups: Mapping[str, Sequence[Curve]], links: Links) -> dict[str, Any]:
        """Return the curves; where the page shows the same ones, only what they are drawn from."""
        known = measures(curves)
        found: dict[str, Any] = {"curve-data": data_script(drawn(groups, [*known, "uncertainty"]))}
        shown = (list(groups), known, [bool(curve.points) for curve in curves])
        if shown != self._charts:
            self._charts = shown
            found["curves"] = curves_section(curves, groups, links, data=False)
            found["uncertainty"] = uncertainty_section(curves, groups)
        return found

    def _ordered(self) -> h.Element:
        rows: list[list[Cell]] = []
        for order in sorted(self._orders.values(), key=lambda one: -one.id)[:SHOWN]:
            state, text = self._answers.get(order.id, (order.state, order.answer or ""))
            told = vars(order.order) if order.order is not None else {}
            what = ", ".join(f"{name}={value}" for name, value in told.items() if value is not None)
            rows.append([since(order.time), order.who, order.kind, what, state, text])
        return h.section("#orders")[
            h.h2["Orders"],
            table(("placed", "by", "what", "", "state", "answer"), rows, "orders")
            if rows
            else h.p["Nothing was ordered."],
        ]


def _state(summary: RunSummary) -> h.Element:
    driver = summary.driver
    kind = "good" if summary.state in _GOOD else "bad"
    said = {
        "running": "last sign of life ",
        "crashed": "its driver is gone; the same command goes on with it. Last sign of life ",
        "silent": "its driver gives no sign of life (stopped? dead? cut off?). Last sign of life ",
    }.get(summary.state, "")
    return h.section("#state", role="status")[
        h.p[
            h.strong(class_=f"state {kind}")[summary.state],
            f" {said}",
            since(summary.seen),
            f" (process {driver.pid} on {safe(driver.host)})",
        ],
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
    return h.section("#workflows")[h.h2["Workflows"], table(headings, rows, "workflows")]


def _open(name: str, title: str, tasks: Sequence[TaskRecord], begin: Callable[[TaskRecord], float]) -> h.Element:
    rows: list[list[Cell]] = [[task_link(task.key), since(begin(task)), task.worker or ""] for task in tasks[:SHOWN]]
    return h.section(id=name)[
        h.h2[f"{title} ({len(tasks)})"],
        table(("task", "since", "worker"), rows, title) if rows else h.p["None."],
    ]


def _shown(value: int | None) -> str:
    return "" if value is None else str(value)
