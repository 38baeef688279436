"""Say what can be said of a run, in plain values, from nothing but its record; costs follow what is new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rose.store import (
    DONE,
    DROPPED,
    FAILED,
    Changes,
    ChangesAccepted,
    Driver,
    DriverStarted,
    Event,
    IterationDone,
    LabelCorrected,
    OrderObeyed,
    OrderRefused,
    RetryAsked,
    TaskRetried,
)
from rose.watch.facts import calibration as _calibration
from rose.watch.facts import failures as _failures
from rose.watch.facts import provenance as _provenance
from rose.watch.facts import selection as _selection
from rose.watch.facts import time as _time
from rose.watch.facts.answer import Answer, answer
from rose.watch.facts.calibration import Calibration
from rose.watch.facts.curves import Curve, operator_of
from rose.watch.facts.failures import Failures, Retry
from rose.watch.facts.paired import Paired, paired
from rose.watch.facts.provenance import Provenance
from rose.watch.facts.remembered import Record
from rose.watch.facts.repeats import repeats
from rose.watch.facts.selection import Image, PoolMap
from rose.watch.facts.tasks import TaskTable
from rose.watch.facts.time import Time
from rose.watch.facts.worth import Worth, worth
from rose.watch.summary import Fold, RunSummary
from rose.watch.task import gist

__all__ = ["Answer", "Calibration", "Curve", "Facts", "Failures", "Image", "PoolMap", "Provenance", "Time", "Worth"]

_MAP, _INITIAL = "pool map", "initial"  # what notes are called by


class Facts:
    """Follow a run: give what is new to `update`, in order, and ask.

    Args:
        reader: of the run; it is asked for values that are shown, and for notes.

    Example:
        with RunReader("runs/digits") as reader:
            facts = Facts(reader)
            facts.update(reader.since())
            print(facts.answer().saved)
    """

    def __init__(self, reader: Record) -> None:
        self.reader = reader
        self.table = TaskTable()
        self.cursor: str | None = None
        self._fold = Fold(reader.path)
        self._curves: dict[str, Curve] = {}
        self._drivers: Sequence[Driver] = ()
        self._cost: dict[int, float] = {}  # seconds of simulation behind the label of a candidate
        self._first: set[int] = set()  # candidates that a first iteration has simulated
        self._simulated = 0
        self._failed: dict[str, _failures.Failure] = {}
        self._retries: list[Retry] = []
        self._retry_count = 0
        self._happened: list[tuple[float, str]] = []
        self._notes: dict[str, Any] = {}
        self._noted: tuple[int, str | None] | None = None  # when they were read

    def update(self, changes: Changes | None = None) -> None:
        """Take what is new; None: what has come since the last time."""
        if changes is None:
            changes = self.reader.since(self.cursor)
        self.cursor = changes.cursor
        self._drivers = changes.drivers
        for _, event in changes.events:
            if isinstance(event, DriverStarted):
                for name in event.workflows:
                    self._curves.setdefault(name, Curve(name))
        self._fold.add(changes)
        self.table.add(changes.tasks, self._curves)
        for task in changes.tasks:
            if task.state in (FAILED, DROPPED):
                self._failed.pop(task.key, None)
                self._failed[task.key] = _failures.failure_of(task, gist(task.error, task.key))
            elif task.state == DONE:
                self._failed.pop(task.key, None)
        self._take_labels(changes)
        for time, event in changes.events:
            self._take(time, event)

    def _take_labels(self, changes: Changes) -> None:
        by_task: dict[str, list[int]] = {}  # those of one task are committed together
        for label in changes.labels:
            if label.state == DONE:
                by_task.setdefault(label.task, []).append(label.candidate)
        for key, candidates in by_task.items():
            spent = self.table.seconds_of(key)
            self._simulated += 0 if spent is None else len(candidates)
            self._cost |= dict.fromkeys(candidates, (spent or 0.0) / len(candidates))
            row = self.table.rows.get(key)
            if row is None or self.table.is_first(row):
                self._first.update(candidates)

    def _take(self, time: float, event: Event) -> None:
        match event:
            case IterationDone():
                curve = self._curves.setdefault(event.workflow, Curve(event.workflow))
                curve.add(event, self._worked(time), self._paid(curve, event.iteration))
            case TaskRetried():
                self._retry_count += 1
                self._retries.append(_failures.retry_of(time, event, gist(event.error, event.key)))
                del self._retries[: -_failures.LISTED]
            case ChangesAccepted():
                self._happened.append((time, f"other settings were accepted: {', '.join(event.names)}{_where(event)}"))
            case LabelCorrected():
                self._happened.append((time, f"the label of candidate {event.candidate} was corrected"))
            case RetryAsked():
                self._happened.append((time, f"{len(event.candidates)} dropped candidates are to be tried again"))
            case OrderObeyed() | OrderRefused():
                verb = "obeyed" if isinstance(event, OrderObeyed) else "refused"
                self._happened.append((time, f"{event.who} ordered {event.what}{_where(event)}: {verb}, {event.text}"))

    def _paid(self, curve: Curve, iteration: int) -> float:
        """Return the seconds of simulation of what a workflow held after an iteration."""
        for before in reversed(curve.points):
            if before.iteration < iteration:
                return before.cost + sum(self._cost.get(candidate, 0.0) for candidate in before.chosen)
        return sum(self._cost.get(candidate, 0.0) for candidate in self._first)

    def _worked(self, time: float) -> float:
        """Return for how long drivers had driven the run at that time."""
        return sum(min(time, driver.ended or time) - driver.since for driver in self._drivers if driver.since <= time)

    def notes(self) -> dict[str, Any]:
        """Return the run's notes, read again when another driver has come; until there is a map, with what is new."""
        now = (len(self._drivers), None if _MAP in self._notes else self.cursor)
        if self._noted != now:
            self._notes, self._noted = self.reader.notes(), now
        return self._notes

    # --- what is asked for ----------------------------------------------------------------------------------------

    def summary(self) -> RunSummary:
        """Return how the run stands.

        Raises:
            RunDirectoryError: if no driver has begun yet.
        """
        return self._fold.summary()

    def curves(self) -> list[Curve]:
        """Return the iterations of all workflows."""
        workflows = self.provenance().workflows
        for name, curve in self._curves.items():
            curve.operator = operator_of(workflows.get(name, {}))
        return list(self._curves.values())

    def groups(self) -> dict[str, list[Curve]]:
        """Return the workflows by name, those that repeat the same with other seeds together."""
        return repeats(self.curves(), self.provenance().workflows)

    def paired(self) -> Paired | None:
        """Return by how much ways to choose differ, where the run compares some by seeds."""
        return paired(self.groups(), self.provenance())

    def time(self) -> Time:
        """Return where the time went."""
        summary = self.summary()
        driven = [(one.since, one.ended or one.seen) for one in self._drivers]
        slots = self.provenance().last.get("workers", 1)
        return _time.time_of(self.table, summary.worked, summary.begun, self._simulated, driven, slots)

    def answer(self, spent: Time | None = None) -> Answer:
        """Return the three answers; `spent` is `time()`, where it is at hand."""
        pool = self.notes().get(_MAP) or {}
        return answer(self.summary(), self.groups(), spent or self.time(), self.provenance(), pool.get("count"))

    def worth(self) -> list[Worth]:
        """Return what each workflow saved against each control, best first."""
        return worth(self.groups(), self.provenance())

    def provenance(self) -> Provenance:
        """Return how the run came to be."""
        return _provenance.provenance(self.notes(), self._drivers, self._happened)

    def failures(self) -> Failures:
        """Return what went wrong."""
        kinds: dict[str, int] = {}
        for reason in [*(one.gist for one in self._failed.values()), *(one.gist for one in self._retries)]:
            kinds[reason] = kinds.get(reason, 0) + 1
        points = [(curve.workflow, point) for curve in self.curves() for point in curve.points]
        return Failures(
            tasks=list(self._failed.values())[: -_failures.LISTED - 1 : -1],
            task_count=len(self._failed),
            retries=self._retries[::-1],
            retry_count=self._retry_count,
            dropped=sorted({candidate for _, point in points for candidate in point.dropped}),
            members=[(name, point.iteration, model) for name, point in points for model in point.failed_members],
            kinds=sorted(kinds.items(), key=lambda item: -item[1])[:10],
        )

    def calibrations(self) -> list[Calibration]:
        """Return what the last ensembles know of what they do not know, of workflows of which it is recorded."""
        found = (_calibration.calibration(self.reader, curve) for curve in self.curves())
        return [one for one in found if one is not None]

    def pool_map(self) -> PoolMap | None:
        """Return where candidates lie, where that is recorded."""
        notes = self.notes()
        initial = notes.get(_INITIAL)
        first = initial[2] if isinstance(initial, list) and len(initial) > 2 else sorted(self._first)
        return _selection.pool_map(self.reader, notes.get(_MAP) or {}, self.curves(), first)

    def gallery(self) -> dict[str, list[Image]]:
        """Return what was chosen, by workflow, where candidates are images."""
        return _selection.gallery(self.reader, self.curves())


def _where(event: ChangesAccepted | OrderObeyed | OrderRefused) -> str:
    return "" if event.workflow is None else f" ({event.workflow})"
