"""Drive a run directory: the journal, the objects it refers to, where commands work. Opening it is resuming it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from rose.store._inbox import OrderInbox
from rose.store.database.kept import carried_to_json
from rose.store.events import (
    ChangesAccepted,
    Event,
    EventLog,
    IterationDone,
    LabelCorrected,
    event_to_json,
    is_stored,
)
from rose.store.files.fsync import sync_tree
from rose.store.files.objects import ObjectStore
from rose.store.files.paths import OBJECTS, OUTPUT, WORK, folds, place_of
from rose.store.journal import Journal
from rose.store.labels.by_content import Dropped
from rose.store.orders import PlacedOrder
from rose.store.records import (
    CANCELLED,
    DONE,
    DROPPED,
    IMPORTED,
    EventRecord,
    IterationRecord,
    LabelRecord,
    Sample,
    TaskRecord,
    encode,
    encode_small,
    is_small,
)
from rose.store.results import Result, given, store_result
from rose.store.run_dir import close_journal, open_journal
from rose.store.tasklog import TaskLog

_log = logging.getLogger("rose")


class Run(TaskLog):
    """Keep a run that this process drives. Make it with `Run.open`.

    A temporary run is removed when it is closed; its journal is not synced, and keeps no results, for no one could
    resume it.
    """

    def __init__(
        self, path: Path, journal: Journal, temporary: bool, keep_models: int = 1, events: EventLog | None = None
    ) -> None:
        super().__init__(events)
        self.path = path
        self.journal = journal
        self.objects = ObjectStore(path / OBJECTS, durable=not temporary)
        self.accepts_changes = False  # whether it may go on with other settings than it was begun with
        self.changed = False  # whether it does
        self.relabels = False  # whether what a changed simulation has labelled is labelled anew
        self.outcome = "interrupted"  # how it ends, unless someone says so
        self.temporary = temporary
        self._keep_models = keep_models
        self._folds = folds(path)
        self._recorded: dict[str, dict[str, TaskRecord]] = {}  # what is left to replay of each workflow's round
        self._past_end: set[str] = set()  # workflows that have reached what was not recorded
        self._holds: Callable[[str], bool] | None = None  # which tasks of rounds that are played again still count
        self._has_files = journal.epoch > 1  # whether any result may be a file
        self._orders = OrderInbox(journal, self.emit)

    @classmethod
    async def open(cls, path: Path | None, keep_models: int = 1, events: EventLog | None = None) -> Run:
        """Open the run in `path`, or begin one there; None: a temporary one.

        Args:
            path: the run directory.
            keep_models: of how many iterations of each workflow the results that they carry on are kept.
            events: who watches.

        Raises:
            RunLockedError: if another driver has it.
            RunDirectoryError, CorruptRunError, OSError: if it cannot be used.
        """
        directory, journal = await open_journal(path)
        return cls(directory, journal, path is None, keep_models, events)

    async def close(self) -> None:
        """Commit what is left, with the run's `outcome`; a temporary directory is removed."""
        await close_journal(self.path, self.journal, self.outcome, self.temporary)

    # --- places --------------------------------------------------------------------------------------------------

    def workdir(self, key: str) -> Path:
        """Return a working directory for the task with this key; names are made safe for the file system."""
        directory = self.path / WORK / place_of(key, self._folds)
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    async def keep(self, directory: Path) -> None:
        """Make what a command has left in its working directory survive a power loss, before it is recorded as done.

        A directory outside of the run is the user's.
        """
        if not self.temporary and directory.is_relative_to(self.path):
            await asyncio.to_thread(sync_tree, directory)

    def output(self, key: str) -> str:
        """Return where a command's stdout and stderr go, relative to the run directory."""
        return str(OUTPUT / place_of(key, self._folds))

    # --- replay --------------------------------------------------------------------------------------------------

    async def round(self, workflow: str, iteration: int) -> IterationRecord | None:
        """Return the record of a complete round; of one that is not, what is recorded is read, for `recorded` to give.

        Beyond the recorded end this costs nothing.
        """
        if workflow in self._past_end:
            return None
        record = await self.complete_round(workflow, iteration)
        if record is None:
            await self.recall(workflow, iteration)
        return record

    async def complete_round(self, workflow: str, iteration: int) -> IterationRecord | None:
        """Return the record of a complete round, without preparing to play it."""
        return await self.journal.iteration(workflow, iteration)

    async def recall(self, workflow: str, iteration: int) -> None:
        """Read what is recorded of one round's tasks, for `recorded` to give."""
        found = await self.journal.tasks(prefix := round_prefix(workflow, iteration))
        if not found:
            self._past_end.add(workflow)
        usable = {key: record for key, record in found.items() if record.state in (DONE, DROPPED)}
        if self._holds is not None:
            usable = await self._only_what_holds(prefix, usable, self._holds)
        if any(record.file for record in usable.values()):
            usable = await asyncio.to_thread(self._without_missing, usable)
        self._recorded.pop(prefix, None)
        if usable:
            self._recorded[prefix] = usable

    def relearn(self, holds: Callable[[str], bool]) -> None:
        """Discount what was learned in rounds that are played again.

        Args:
            holds: tells which tasks' results still count, by what follows the iteration in their keys ("simulation/7").
        """
        self._holds = holds

    async def _only_what_holds(
        self, prefix: str, records: dict[str, TaskRecord], holds: Callable[[str], bool]
    ) -> dict[str, TaskRecord]:
        """Return the records that count, and record that the others do not, for a later driver would take them."""
        kept = {key: record for key, record in records.items() if holds(key.removeprefix(prefix))}
        for key, record in records.items():
            if key not in kept:
                self.journal.put(record._replace(state=CANCELLED, value=None, file=None, note=None))
        await self.flushed()
        return kept

    def has_recorded(self, workflow: str, iteration: int, but: Callable[[str], bool]) -> bool:
        """Return whether any task of a round that is being played is recorded, but those told so (as in `relearn`)."""
        prefix = round_prefix(workflow, iteration)
        return any(not but(key.removeprefix(prefix)) for key in self._recorded.get(prefix, ()))

    def _without_missing(self, records: dict[str, TaskRecord]) -> dict[str, TaskRecord]:
        """Return those records whose files are there; blocks. For labels, a file that is missing is an error."""
        there = {}
        for key, record in records.items():
            if record.file is None or record.file in self.objects:
                there[key] = record
            else:
                _log.warning("task %s runs again: %s, its result, is missing", key, self.objects.path(record.file))
        return there

    @property
    def replaying(self) -> bool:
        """Return whether any round that is being played was begun before."""
        return bool(self._recorded)

    def recorded(self, workflow: str, iteration: int, key: str) -> TaskRecord | None:
        """Return the record of a task that has a result, or that was dropped; None: it is to be run."""
        record = self._recorded.get(round_prefix(workflow, iteration), {}).get(key)
        freed = record is not None and record.state == DONE and record.value is None and record.file is None
        return None if freed else record

    def result(self, record: TaskRecord | LabelRecord) -> Result:
        """Return what was recorded, unread."""
        named = f"label of candidate {record.candidate}" if isinstance(record, LabelRecord) else ""
        what = f"the {named or 'result of task ' + record.key}"
        return Result(self.objects, record.value, record.file, what=what)

    async def task(self, key: str) -> TaskRecord | None:
        """Return the record of one task."""
        return (await self.journal.tasks(key)).get(key)

    async def labels(self) -> dict[bytes, Result]:
        """Return all labels that are recorded, unread, by content; `Dropped` where there is none to come."""
        if self.temporary or self.journal.epoch == 1:
            return {}
        return {
            record.content: given(Dropped()) if record.state == DROPPED else self.result(record)
            for record in await self.journal.labels()
        }

    # --- recording -----------------------------------------------------------------------------------------------

    def emit(self, event: Event) -> None:
        """Record an event, and tell of it. What is recorded already is told of again by `events` alone."""
        if is_stored(event) and not self.temporary and self.journal.failure is None:
            self.journal.put(EventRecord(time.time(), type(event).__name__, event_to_json(event)))
        super().emit(event)

    def _put(self, record: TaskRecord) -> None:
        if not self.temporary:
            self.journal.put(record)

    async def done(self, running: TaskRecord, value: Any, note: Any = None, unflushed: bool = False) -> Result:
        """Record a task's result; returns when that is on disk, or perhaps `unflushed`: then it is after `flushed`."""
        key, _, attempt, queued, began, _, worker, *_, output = running
        ended, data, file, noted = time.time(), None, None, None
        if not self.temporary:
            data, file = (encode_small(value), None) if is_small(value) else await self._store(value, key)
            noted = None if note is None else encode(note)
        done = TaskRecord(key, DONE, attempt, queued, began, ended, worker, None, data, file, noted, output)
        self._put(done)
        if self.events.watched:
            self._tell(done)
        if self.temporary:
            return given(value)
        if not unflushed or file is not None:
            await self.flushed((file,))
        return given(value)

    async def flushed(self, files: Iterable[str | None] = ()) -> None:
        """Wait until all that was given here is on disk, which now refers to these files.

        In a temporary run there is nothing to wait for.
        """
        if self.temporary:
            return
        await self.journal.committed()
        for file in files:
            if file is not None:
                self._has_files = True
                self.objects.unpin(file)

    async def labelled(self, running: TaskRecord, samples: Sequence[Sample], labels: Sequence[Any]) -> None:
        """Record a simulation's labels, with the end of its task; returns when they are on disk."""
        stored = [await self._store(label, running.key) for label in labels]
        self.ended(running, DONE)
        for sample, (data, file) in zip(samples, stored, strict=True):
            self._label(sample, running.key, DONE, data, file)
        await self.flushed([file for _, file in stored])

    async def imported(self, samples: Sequence[Sample], labels: Sequence[Any]) -> None:
        """Record labels that have come from elsewhere; returns when they are on disk."""
        stored = [await self._store(label, IMPORTED) for label in labels]
        for sample, (data, file) in zip(samples, stored, strict=True):
            self._label(sample, IMPORTED, DONE, data, file)
        await self.flushed([file for _, file in stored])

    async def corrected(
        self, corrections: Sequence[tuple[LabelRecord, Any, LabelCorrected]], holds: Callable[[str], bool]
    ) -> None:
        """Put other labels in the places of wrong ones; returns when that is on disk, with an event for each.

        Args:
            corrections: what was recorded, the label that is right, and the event.
            holds: which tasks do not depend on them, as in `relearn`.
        """
        stored = [await self._store(label, IMPORTED) for _, label, _ in corrections]
        for (record, _, event), (data, file) in zip(corrections, stored, strict=True):
            self.journal.put(record._replace(key=IMPORTED, state=DONE, value=data, file=file))
            self.emit(event)
        self.relearn(holds)
        await self.flushed([file for _, file in stored])

    async def dropped(self, running: TaskRecord, error: BaseException, samples: Sequence[Sample] = ()) -> None:
        """Record that a task failed, and that the run goes on without it; returns when that is on disk."""
        self.ended(running, DROPPED, error)
        for sample in samples:
            self._label(sample, running.key, DROPPED)
        await self.flushed()

    async def round_done(self, done: IterationDone, record: Any, note: Any, carried: Collection[str] = ()) -> None:
        """Record that a round is complete; returns when that is on disk, with all its results.

        Args:
            done: which, and what viewers read of it.
            record: what `round` gives on resume.
            note: what belongs to it.
            carried: the keys of the tasks, of this round or earlier ones, whose results are needed after it. Files of
                the round's other tasks are freed, and what it is that only rounds before the last ones carried.
        """
        workflow, iteration = done.workflow, done.iteration
        if not self.temporary:
            keys = carried_to_json(carried)
            self.journal.put(IterationRecord(workflow, iteration, encode(record), encode(note), keys))
        self.emit(done)
        await self.flushed()
        self._recorded.pop(round_prefix(workflow, iteration), None)
        if self._has_files:
            await self.journal.free(workflow, iteration, self._keep_models, self.objects.remove)

    def accept(self, names: Sequence[str], workflow: str | None = None, iteration: int | None = None) -> None:
        """Record that settings have changed, and that this is accepted."""
        self.changed = True
        self.emit(ChangesAccepted(list(names), workflow, iteration))

    async def forget_rounds(self, workflow: str, since: int) -> None:
        """Forget a workflow's rounds from one on, to be played again; all labels stay."""
        await self.flushed()
        await self.journal.forget_rounds(workflow, since)
        self._past_end.add(workflow)

    def revise(self, row: IterationRecord, record: Any) -> None:
        """Record a complete round anew, with what has been accepted since."""
        self.journal.put(row._replace(record=encode(record)))

    def on_orders(self, callback: Callable[[PlacedOrder], object]) -> None:
        """Have `callback` called in this event loop with each order that waits, within a second; it is to `answer`."""
        if not self.temporary:
            self._orders.listen(callback)

    def answer(self, order: int, obeyed: bool, text: str) -> None:
        """Record what became of an order, by its number, with when and in words."""
        self._orders.answer(order, obeyed, text)

    # --- inside --------------------------------------------------------------------------------------------------

    def _label(self, sample: Sample, key: str, state: str, value: bytes | None = None, file: str | None = None) -> None:
        kept = not self.temporary and is_small(sample.x)
        x = encode(sample.x) if kept else None
        self.journal.put(LabelRecord(sample.content, sample.candidate, sample.digest, x, key, state, value, file))

    async def _store(self, value: Any, key: str) -> tuple[bytes | None, str | None]:
        return (None, None) if self.temporary else await store_result(self.objects, value, key)


def round_prefix(workflow: str, iteration: int) -> str:
    """Return what the keys of a round's tasks begin with."""
    return f"{workflow}/{iteration}/"
