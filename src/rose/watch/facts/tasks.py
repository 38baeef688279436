"""Keep a row of plain numbers for each task of a run, however many there are."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Collection, Iterable

import numpy as np

from rose.store import TaskRecord
from rose.watch.summary import workflow_of

# What a stage's seconds are spent on, as people see it; stages of the user's are called by their own names.
ROLES = {
    "simulation": "simulate",
    "training": "train",
    "prediction": "predict",
    "holdout": "predict",
    "watched": "predict",
    "foreseen": "predict",
    "screening": "predict",
    "uncertainty": "score",
    "quality": "score",
    "criterion": "score",
    "acquisition": "score",
    "shortlist": "score",
    "active_learn": "score",
}


_NEVER = float("nan")


class Names:
    """Number names in the order in which they come.

    >>> names = Names()
    >>> names.number("a"), names.number("b"), names.number("a"), names.listed
    (0, 1, 0, ['a', 'b'])
    """

    def __init__(self) -> None:
        self.listed: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        """Return a name's number."""
        try:
            return self._numbers[name]
        except KeyError:
            self.listed.append(sys.intern(name))
            self._numbers[self.listed[-1]] = found = len(self.listed) - 1
            return found


class TaskTable:
    """Hold all tasks of the known workflows, each a row that changes in place.

    Attributes:
        keys: of each row.
        workflows, stages, workers, states: their names, to which the columns refer by number.
    """

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.workflows, self.stages, self.workers, self.states = Names(), Names(), Names(), Names()
        self.rows: dict[str, int] = {}
        self._workflow, self._stage, self._worker, self._state = array("i"), array("i"), array("i"), array("i")
        self._iteration, self._attempt = array("i"), array("i")
        self._queued, self._began, self._ended = array("d"), array("d"), array("d")

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, tasks: Iterable[TaskRecord], names: Collection[str]) -> None:
        """Take tasks as they stand; `names` are those of the workflows."""
        for task in tasks:
            worker = -1 if task.worker is None else self.workers.number(task.worker)
            began = _NEVER if task.began is None else task.began
            ended = _NEVER if task.ended is None else task.ended
            state, row = self.states.number(task.state), self.rows.get(task.key)
            if row is not None:
                self._state[row], self._worker[row], self._attempt[row] = state, worker, task.attempt
                self._queued[row], self._began[row], self._ended[row] = task.queued, began, ended
            elif self._is_new(task.key, names):
                self._state.append(state)
                self._worker.append(worker)
                self._attempt.append(task.attempt)
                self._queued.append(task.queued)
                self._began.append(began)
                self._ended.append(ended)

    def _is_new(self, key: str, names: Collection[str]) -> bool:
        """Begin a row, unless the task is of no workflow."""
        name = workflow_of(key, names)
        parts = key[len(name) + 1 :].split("/", 2) if name is not None else []
        if name is None or len(parts) < 2 or not parts[0].isdecimal():
            return False
        self.rows[key] = len(self.keys)
        self.keys.append(key)
        self._workflow.append(self.workflows.number(name))
        self._iteration.append(int(parts[0]))
        self._stage.append(self.stages.number(parts[1]))
        return True

    def seconds_of(self, key: str) -> float | None:
        """Return for how long a task ran; None: it has not ended."""
        row = self.rows.get(key)
        if row is None:
            return None
        began = self._queued[row] if np.isnan(self._began[row]) else self._began[row]
        seconds = self._ended[row] - began
        return None if np.isnan(seconds) else seconds

    def is_first(self, row: int) -> bool:
        """Return whether a row is of a workflow's first iteration."""
        return self._iteration[row] == 0

    def columns(self) -> Columns:
        """Return all rows as arrays, which are copies."""
        return Columns(
            *(np.array(one, dtype=np.int32) for one in (self._workflow, self._iteration, self._stage)),
            *(np.array(one, dtype=np.int32) for one in (self._worker, self._state, self._attempt)),
            *(np.array(one, dtype=np.float64) for one in (self._queued, self._began, self._ended)),
        )


class Columns:
    """Hold the rows of a `TaskTable` as arrays `[n]`: numbers of names (-1: none), and Unix times in s (NaN: not yet).

    `start` is when a task began, or was queued where the engine does not tell.
    """

    def __init__(
        self,
        workflow: np.ndarray,
        iteration: np.ndarray,
        stage: np.ndarray,
        worker: np.ndarray,
        state: np.ndarray,
        attempt: np.ndarray,
        queued: np.ndarray,
        began: np.ndarray,
        ended: np.ndarray,
    ) -> None:
        self.workflow, self.iteration, self.stage = workflow, iteration, stage
        self.worker, self.state, self.attempt = worker, state, attempt
        self.queued, self.began, self.ended = queued, began, ended
        self.start = np.where(np.isnan(began), queued, began)
