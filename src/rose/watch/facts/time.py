"""Say where the time of a run went: by stage, by worker, along the critical path, and per label."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rose.watch.facts.tasks import ROLES, Columns, TaskTable

EXACT = 1_500  # tasks that a Gantt chart shows one by one; of more, it shows what workers were mostly busy with
SLOTS = 400  # of time, in such a chart
LANES = 48  # workers that are shown
_GLITCH = 0.05  # of the time of a worker in which it seems to run more tasks than it can
STEPS = 12  # of the critical path that are listed: the longest


@dataclass(frozen=True)
class StageTime:
    """Sum up one stage's tasks, in seconds: on a worker, and waiting for one (in the first, if the engine is mute)."""

    stage: str
    role: str
    tasks: int
    running: float
    waiting: float
    longest: float
    longest_key: str


@dataclass(frozen=True)
class Bar:
    """Hold a stretch of a worker's time, in seconds since the run began; `key`: of the task, where it is one."""

    lane: int
    role: str
    start: float
    end: float
    key: str | None = None
    failed: bool = False


@dataclass(frozen=True)
class Gantt:
    """Hold what workers did. `hidden` workers are not among the lanes; `exact`: each bar is a task."""

    lanes: Sequence[str]
    hidden: int
    end: float
    bars: Sequence[Bar]
    exact: bool


@dataclass(frozen=True)
class Step:
    """Hold a task of the critical path: how long it waited for what came before, for a worker, and ran, in seconds."""

    key: str
    role: str
    driver: float
    waiting: float
    running: float


@dataclass(frozen=True)
class CriticalPath:
    """Hold the chain of tasks, each released by the end of the one before, that the run's end waited for.

    Attributes:
        workflow: whose.
        tasks: how many there are.
        seconds: from its beginning to its end.
        by_role: the seconds of it by what was done; "wait" is for a worker, "driver" between tasks.
        longest: its longest steps.
    """

    workflow: str
    tasks: int
    seconds: float
    by_role: dict[str, float]
    longest: Sequence[Step]


@dataclass(frozen=True)
class Time:
    """Hold where the time went, in seconds.

    Attributes:
        worked: for how long drivers drove the run.
        workers: how many a driver had, at most.
        busy: the share of their time in which they ran tasks; None: the engine does not say where tasks run.
        stages: by stage, the longest first.
        gantt: what each worker did; None as `busy`.
        path: the critical path; None: no task has ended.
        simulated, labels: seconds of simulation, and labels they gave.
        all_running: seconds of all tasks.
    """

    worked: float
    workers: int
    busy: float | None
    stages: Sequence[StageTime]
    gantt: Gantt | None
    path: CriticalPath | None
    simulated: float
    labels: int
    all_running: float

    @property
    def by_role(self) -> dict[str, float]:
        """Return the seconds of all tasks by what was done, the most first; workers that did nothing are last."""
        found: dict[str, float] = {}
        for stage in self.stages:
            found[stage.role] = found.get(stage.role, 0.0) + stage.running
        ordered = dict(sorted(found.items(), key=lambda item: -item[1]))
        return ordered if self.busy is None else ordered | {"idle": self.all_running * (1 / self.busy - 1)}

    @property
    def waiting(self) -> float:
        """Return the seconds that tasks waited for a worker, in all."""
        return sum(stage.waiting for stage in self.stages)

    @property
    def cost_per_label(self) -> float | None:
        """Return the mean seconds of simulation behind a label."""
        return self.simulated / self.labels if self.labels else None


def time_of(
    table: TaskTable,
    worked: float,
    begun: float,
    simulation_labels: int,
    driven: Sequence[tuple[float, float]] = (),
    slots: int = 1,
) -> Time:
    """Return where the time went, as it stands.

    Args:
        table: of the tasks.
        worked, begun: for how long drivers drove the run, and since when.
        simulation_labels: labels that simulations gave.
        driven: from when to when each driver did.
        slots: tasks that the engine runs at once.
    """
    columns = table.columns()
    ended = np.flatnonzero(~np.isnan(columns.ended))
    stages = _stages(table, columns, ended)
    running = columns.ended - columns.start
    placed = ended[columns.worker[ended] >= 0]
    threads = slots if len(table.workers.listed) <= len(driven) else 1  # of a process: there is one a driver
    columns.worker, names = _lanes(table, columns, placed, threads)
    begun = (
        min(begun, float(columns.start[placed].min())) if len(placed) else begun
    )  # clocks of several machines differ
    workers, there = _there(columns, placed, driven or [(begun, begun + worked)])
    busy = min(float(running[placed].sum()) / there, 1.0) if there > 0 else None
    return Time(
        worked=worked,
        workers=workers,
        busy=busy or None,
        stages=stages,
        gantt=_gantt(table, columns, placed, begun, names) if len(placed) else None,
        path=_critical_path(table, columns, ended) if len(ended) else None,
        simulated=sum(stage.running for stage in stages if stage.role == "simulate"),
        labels=simulation_labels,
        all_running=float(running[ended].sum()),
    )


def role_of(stage: str) -> str:
    """Return what a stage's time is spent on."""
    return ROLES.get(stage, stage)


def _stages(table: TaskTable, columns: Columns, ended: np.ndarray) -> list[StageTime]:
    found = []
    running = columns.ended - columns.start
    waiting = np.nan_to_num(columns.began - columns.queued)
    for number, stage in enumerate(table.stages.listed):
        rows = ended[columns.stage[ended] == number]
        if len(rows):
            longest = rows[np.argmax(running[rows])]
            sums = float(running[rows].sum()), float(np.maximum(waiting[rows], 0).sum()), float(running[longest])
            found.append(StageTime(stage, role_of(stage), len(rows), *sums, table.keys[longest]))
    return sorted(found, key=lambda one: -one.running)


def _lanes(table: TaskTable, columns: Columns, placed: np.ndarray, threads: int) -> tuple[np.ndarray, list[str]]:
    """Return which lane each task ran in (-1: none yet), and their names: a process with threads is several workers."""
    lanes, names = np.full(len(columns.worker), -1), list[str]()
    rows = placed[np.lexsort((columns.start[placed], columns.worker[placed]))]
    ends_at = np.searchsorted(columns.worker[rows], np.arange(len(table.workers.listed)), side="right")
    for number, of_one in enumerate(np.split(rows, ends_at)[:-1]):
        name, start, end = table.workers.listed[number], columns.start[of_one], columns.ended[of_one]
        count = min(_at_once(start, end), threads)
        free = [(-np.inf, len(names) + place) for place in range(count)]  # when each lane's last task ends
        if count == 1:
            lanes[of_one] = len(names)
        else:
            for row, ends in zip(of_one.tolist(), end.tolist(), strict=True):
                lanes[row] = free[0][1]
                heapq.heapreplace(free, (ends, free[0][1]))
        names += [name, *(f"{name} ({place})" for place in range(2, count + 1))]
    return lanes, names


def _there(columns: Columns, placed: np.ndarray, driven: Sequence[tuple[float, float]]) -> tuple[int, float]:
    """Return how many workers a driver had, at most, and for how many seconds they were there, in all."""
    most, seconds = 0, 0.0
    for since, until in driven:
        own = placed[(columns.ended[placed] >= since) & (columns.start[placed] <= until)]
        count = len(np.unique(columns.worker[own]))
        most, seconds = max(most, count), seconds + count * (until - since)
    return most, seconds


def _at_once(start: np.ndarray, end: np.ndarray) -> int:
    """Return how many tasks ran at once, 1 or more; not counting what a driver that hears late makes of them."""
    times = np.concatenate([end, start])
    order = np.argsort(times, kind="stable")
    running = np.cumsum(np.repeat([-1, 1], len(start))[order])[:-1]
    spent = np.bincount(np.maximum(running, 0), np.diff(times[order]))
    at_least = np.cumsum(spent[::-1])[::-1]  # seconds in which so many ran, or more
    return max(int(np.count_nonzero(at_least[1:] > _GLITCH * at_least[1:2])), 1)


def _gantt(table: TaskTable, columns: Columns, placed: np.ndarray, begun: float, names: Sequence[str]) -> Gantt:
    used = np.bincount(columns.worker[placed], columns.ended[placed] - columns.start[placed], len(names))
    shown = np.sort(np.argsort(-used, kind="stable")[:LANES])
    lanes = np.full(len(used), -1)
    lanes[shown] = np.arange(len(shown))
    rows = placed[lanes[columns.worker[placed]] >= 0]
    exact = len(rows) <= EXACT
    end = float(columns.ended[placed].max() - begun)
    draw = _tasks if exact else _stretches
    return Gantt(
        [names[number] for number in shown],
        len(used) - len(shown),
        end,
        draw(table, columns, rows, lanes, begun, end),
        exact,
    )


def _tasks(
    table: TaskTable, columns: Columns, rows: np.ndarray, lanes: np.ndarray, begun: float, end: float
) -> list[Bar]:
    failed = {n for n, state in enumerate(table.states.listed) if state in ("failed", "dropped")}
    return [
        Bar(
            int(lanes[columns.worker[row]]),
            role_of(table.stages.listed[columns.stage[row]]),
            float(columns.start[row] - begun),
            float(columns.ended[row] - begun),
            table.keys[row],
            int(columns.state[row]) in failed,
        )
        for row in rows
    ]


def _stretches(
    table: TaskTable, columns: Columns, rows: np.ndarray, lanes: np.ndarray, begun: float, end: float
) -> list[Bar]:
    """Return, for each worker and slot of time, the role that took most of it, if any was busy; like ones joined."""
    roles = list(dict.fromkeys(role_of(stage) for stage in table.stages.listed))
    role = np.array([roles.index(role_of(stage)) for stage in table.stages.listed])[columns.stage[rows]]
    lane, width = lanes[columns.worker[rows]], end / SLOTS
    start = np.clip((columns.start[rows] - begun) / width, 0, SLOTS - 1e-9)
    stop = np.clip((columns.ended[rows] - begun) / width, start, SLOTS - 1e-9)
    spent = np.zeros((int(lanes.max()) + 1, SLOTS + 1, len(roles)))
    first, last = start.astype(int), stop.astype(int)
    inside = first == last
    np.add.at(spent, (lane, first, role), np.where(inside, stop - start, first + 1 - start))
    apart = ~inside
    np.add.at(spent, (lane[apart], last[apart], role[apart]), (stop - last)[apart])
    whole = np.zeros_like(spent)  # slots between the first and the last: a running sum of beginnings and ends
    long = last - first > 1
    np.add.at(whole, (lane[long], first[long] + 1, role[long]), 1.0)
    np.add.at(whole, (lane[long], last[long], role[long]), -1.0)
    spent += np.cumsum(whole, axis=1)
    return _joined(spent[:, :SLOTS], roles, width)


def _joined(spent: np.ndarray, roles: Sequence[str], width: float) -> list[Bar]:
    bars = []
    most = np.where(spent.sum(axis=2) >= 0.05, spent.argmax(axis=2), -1)
    for lane, kinds in enumerate(most):
        edges = np.concatenate([[0], np.flatnonzero(np.diff(kinds)) + 1, [len(kinds)]])
        for start, end in pairwise(edges.tolist()):
            if kinds[start] >= 0:
                bars.append(Bar(lane, roles[kinds[start]], float(start * width), float(end * width)))
    return bars


def _critical_path(table: TaskTable, columns: Columns, ended: np.ndarray) -> CriticalPath:
    last = ended[np.argmax(columns.ended[ended])]
    workflow = columns.workflow[last]
    own = ended[columns.workflow[ended] == workflow]
    own = own[np.argsort(columns.ended[own], kind="stable")]
    ends = columns.ended[own]
    chain: list[int] = []
    at = len(own)
    while at > 0:  # who ended last before this one was asked for released it
        if chain:
            at = min(at, int(np.searchsorted(ends, float(columns.queued[chain[-1]]), side="right")))
        at -= 1
        if at >= 0:
            chain.append(int(own[at]))
    steps = []
    before = float(columns.queued[chain[-1]])
    for row in reversed(chain):
        waits = float(columns.start[row] - columns.queued[row])
        runs = float(columns.ended[row] - columns.start[row])
        role = role_of(table.stages.listed[columns.stage[row]])
        steps.append(Step(table.keys[row], role, max(float(columns.queued[row]) - before, 0.0), waits, runs))
        before = float(columns.ended[row])
    by_role: dict[str, float] = {}
    for step in steps:
        for name, seconds in ((step.role, step.running), ("wait", step.waiting), ("driver", step.driver)):
            by_role[name] = by_role.get(name, 0.0) + seconds
    longest = sorted(steps, key=lambda step: -(step.waiting + step.running + step.driver))[:STEPS]
    total = before - float(columns.queued[chain[-1]])
    return CriticalPath(table.workflows.listed[workflow], len(steps), total, by_role, longest)
