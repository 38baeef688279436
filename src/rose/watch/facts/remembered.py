"""Stand in for the record of a run that had no directory: what its results remember, without times and tasks."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from rose.store import Changes, Driver, DriverStarted, IterationDone, TimedEvent, WorkflowStopped
from rose.store.recorded import OF_DRIVER

_TOLD = ("labels", "uncertainty", "selection", "holdout", "dropped", "failed_members", "stopping", "statement")


class Record(Protocol):
    """Describe what facts are read from: a `RunReader`, or what stands in for one."""

    path: Path

    def since(self, cursor: str | None = None) -> Changes:
        """Return what is new since a cursor."""
        ...

    def notes(self, prefix: str = "") -> dict[str, Any]:
        """Return what was noted of the run as a whole."""
        ...

    def samples(self, candidates: Collection[int]) -> dict[int, Any]:
        """Return those labelled candidates that are in the record."""
        ...

    def value_of(self, key: str) -> Any:
        """Return the result of a task, if it is plain."""
        ...


class Remembered:
    """Give what results hold as if it were read.

    Args:
        results: by workflow, its history: `iterations`, `stop_reason`, `error`; and `metric_name` and `settings`, where
            it has them.
    """

    def __init__(self, results: Mapping[str, Mapping[str, Any]]) -> None:
        self.path = Path("a run without a directory")
        self._results = results

    def since(self, cursor: str | None = None) -> Changes:
        """Return all of it once."""
        events: list[Any] = [DriverStarted(1, list(self._results.keys()))]
        for name, result in self._results.items():
            for one in result["iterations"]:
                told = {field: one[field] for field in _TOLD if one.get(field) is not None}
                metric = {"metric_name": result.get("metric_name"), "metric_value": one.get("metric")}
                events.append(IterationDone(name, one["iteration"], **metric, **told))
            if result["stop_reason"] is not None:
                events.append(WorkflowStopped(name, result["stop_reason"], result["error"]))
        now = time.time()
        driver = Driver(1, "", "", 0, "", now, now, now, "finished")
        timed = [TimedEvent(now, event) for event in events] if cursor is None else []
        return Changes("0-0-0-0", timed, [], [], [], [driver], None)

    def notes(self, prefix: str = "") -> dict[str, Any]:
        """Return how the workflows were configured, as far as the results know."""
        return {f"{OF_DRIVER}1": {"workflows": {name: one.get("settings", {}) for name, one in self._results.items()}}}

    def samples(self, candidates: Collection[int]) -> dict[int, Any]:
        """Return nothing."""
        return {}

    def value_of(self, key: str) -> Any:
        """Raise a KeyError: no result of a task is kept."""
        raise KeyError(key)
