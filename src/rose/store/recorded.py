"""Read what a run has learned, living or dead: its iterations, its labels and its models, the values on request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rose.errors import RunDirectoryError
from rose.store.database.meta import read_meta
from rose.store.database.schema import reading
from rose.store.database.sql import read_events, read_iterations, read_task
from rose.store.events import DriverStarted, Event, IterationDone, WorkflowStopped
from rose.store.files.objects import ObjectStore
from rose.store.files.paths import OBJECTS
from rose.store.labels.versions import labels_by_simulation
from rose.store.records import DONE, IterationRecord, LabelRecord, TaskRecord
from rose.store.results import Result, later

OF_DRIVER = "driver "  # what the notes of drivers are called by, before their numbers

_TOLD = (DriverStarted, IterationDone, WorkflowStopped)


@dataclass(frozen=True)
class RecordedRun:
    """Hold what a run has recorded of its workflows.

    Attributes:
        path: the run directory.
        iterations: by workflow, its complete iterations in order.
        events: how workflows began, went on and stopped, in order.
        labels: by what identifies a sample (`LabelRecord.content`), its label, where it has one.
        carried: by key, the tasks whose results the last iterations carry on: models, and what was collected of them.
        settings: by workflow, how the last driver that had it configured it.
    """

    path: Path
    iterations: Mapping[str, Sequence[IterationRecord]]
    events: Sequence[Event]
    labels: Mapping[bytes, LabelRecord]
    carried: Mapping[str, TaskRecord]
    settings: Mapping[str, Mapping[str, Any]]

    def result(self, record: TaskRecord | LabelRecord, what: str) -> Result:
        """Return a result, unread; errors call it `what`."""
        return Result(self._objects, record.value, record.file, what=what)

    def model(self, record: TaskRecord, what: str) -> Result:
        """Return a model, unread, as `result`.

        Raises, when it is read:
            RunDirectoryError: if the run has gone on, and has freed it.
        """
        result = self.result(record, what)

        def read() -> Any:
            if record.file is not None and record.file not in self._objects:
                raise RunDirectoryError(
                    f"{what} is not there any more: the run has gone on with newer ones; load it again"
                )
            return result.load()

        return later(read, result)

    @property
    def _objects(self) -> ObjectStore:
        return ObjectStore(self.path / OBJECTS)


def read_recorded(directory: Path) -> RecordedRun:
    """Read what a run has recorded of its workflows; no code of the run's is executed, and no value read.

    Raises:
        RunDirectoryError, CorruptRunError: if it is no run, or damaged.
    """
    iterations: dict[str, list[IterationRecord]] = {}
    with reading(directory) as connection:
        events = [timed.event for _, timed in read_events(connection) if isinstance(timed.event, _TOLD)]
        for one in read_iterations(connection):
            iterations.setdefault(one.workflow, []).append(one)
        keys = [key for several in iterations.values() for key in json.loads(several[-1].carried)]
        carried = {key: record for key in keys if (record := read_task(connection, key)) is not None}
        every_label, _ = labels_by_simulation(connection)
        labels = {record.content: record for _, record in every_label if record.state == DONE}
        settings = workflow_settings(
            read_meta(connection, f"{OF_DRIVER}{event.epoch}") for event in events if isinstance(event, DriverStarted)
        )
    return RecordedRun(directory, iterations, events, labels, carried, settings)


def workflow_settings(notes: Iterable[Mapping[str, Any] | None]) -> dict[str, Mapping[str, Any]]:
    """Return the settings of each workflow, from what drivers have noted of themselves, in order."""
    settings: dict[str, Mapping[str, Any]] = {}
    for told in notes:
        settings |= (told or {}).get("workflows", {})
    return settings
