"""A run directory: the journal, the objects it refers to, and where commands work. Opening it is resuming it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rose.errors import ConfigurationError, RunDirectoryError, UnpicklableError
from rose.store.database.schema import holds_run
from rose.store.fsync import make_directory, sync_tree
from rose.store.journal import Journal
from rose.store.labels.by_content import Dropped
from rose.store.objects import ObjectStore
from rose.store.paths import OBJECTS, OUTPUT, WORK, folds, place_of
from rose.store.records import (
    CANCELLED,
    DONE,
    DROPPED,
    FAILED,
    IMPORTED,
    INLINE_BYTES,
    RUNNING,
    LabelRecord,
    Sample,
    TaskRecord,
    encode,
    encode_small,
    is_small,
)
from rose.store.results import Result, given

_log = logging.getLogger("rose")
Resume = bool | Literal["new"]


def check_run_dir(path: str | Path | None, resume: Resume = True) -> Path | None:
    """The directory in which to run: where there is a run, `resume` says what to do. None: a temporary one.

    Raises:
        ConfigurationError: if `path` is a file, or a directory that holds something else, or `resume` is none of its
            values.
        RunDirectoryError: if there is a run and `resume` is False.
    """
    if not isinstance(resume, bool) and resume != "new":
        raise ConfigurationError(f"resume={resume!r} must be True, False or 'new'")
    if path is None:
        return None
    directory = Path(path).absolute()
    if directory.exists() and not directory.is_dir():
        raise ConfigurationError(f"run_dir={str(path)!r} is a file; name a directory")
    if resume == "new":
        number = 2
        while directory.exists() and any(directory.iterdir()):
            directory = Path(f"{Path(path).absolute()}-{number}")
            number += 1
    elif holds_run(directory):
        if not resume:
            raise RunDirectoryError(
                f"run_dir={str(path)!r} holds a run, and resume=False: name another directory, or say resume='new' to "
                "start another run beside it"
            )
    elif directory.exists() and any(directory.iterdir()):
        raise ConfigurationError(f"run_dir={str(path)!r} is not empty, and holds no run: name a new directory")
    return directory


class Run:
    """A run that this process drives. Make it with `Run.open`.

    A temporary run is removed when it is closed; its journal is not synced, and keeps no results, for no one could
    resume it.
    """

    def __init__(self, path: Path, journal: Journal, temporary: bool, keep_models: int = 1) -> None:
        self.path = path
        self.journal = journal
        self.objects = ObjectStore(path / OBJECTS, durable=not temporary)
        self.accepts_changes = False  # whether it may go on with other settings than it was begun with
        self.changed = False  # whether it does
        self.relabels = False  # whether what a changed simulation has labelled is labelled anew
        self.relearns = False  # whether what was learned in rounds that are played again does not hold any more
        self.outcome = "interrupted"  # how it ends, unless someone says so
        self.temporary = temporary
        self._keep_models = keep_models
        self._folds = folds(path)
        self._recorded: dict[str, dict[str, TaskRecord]] = {}  # what is left to replay of each workflow's round
        self._past_end: set[str] = set()  # workflows that have reached what was not recorded
        self._has_files = journal.epoch > 1  # whether any result may be a file

    @classmethod
    async def open(cls, path: Path | None, keep_models: int = 1) -> Run:
        """Open the run in `path`, or begin one there; None: a temporary one. Of each workflow, the models of so many
        rounds are kept.

        Raises:
            RunLockedError: if another driver has it.
            RunDirectoryError, CorruptRunError, OSError: if it cannot be used.
        """

        given_up = threading.Event()

        def open_journal() -> tuple[Path, Journal]:
            if path is None:
                directory = Path(tempfile.mkdtemp(prefix="rose-run-"))
            else:
                directory = path
                make_directory(directory)
            try:
                return directory, Journal.open(directory, path is not None, given_up)
            except BaseException:
                if path is None:
                    shutil.rmtree(directory, ignore_errors=True)
                raise

        opening = asyncio.ensure_future(asyncio.to_thread(open_journal))
        try:
            directory, journal = await asyncio.shield(opening)
        except asyncio.CancelledError:  # the thread goes on: what it opens has to be closed
            given_up.set()
            await asyncio.wait([opening])
            if opening.exception() is None:
                directory, journal = opening.result()
                await cls(directory, journal, temporary=path is None).close()
            raise
        return cls(directory, journal, temporary=path is None, keep_models=keep_models)

    async def close(self) -> None:
        """Commit what is left, with the run's `outcome`; a temporary directory is removed."""
        try:
            await self.journal.close(self.outcome)
        finally:
            if self.temporary:
                await asyncio.to_thread(shutil.rmtree, self.path, True)

    # --- places --------------------------------------------------------------------------------------------------

    def workdir(self, key: str) -> Path:
        """A working directory for the task with this key; names are made safe for the file system."""
        directory = self.path / WORK / place_of(key, self._folds)
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    async def keep(self, directory: Path) -> None:
        """Make what a command has left in its working directory survive a power loss, before it is recorded as done;
        a directory outside of the run is the user's."""
        if not self.temporary and directory.is_relative_to(self.path):
            await asyncio.to_thread(sync_tree, directory)

    def output(self, key: str) -> str:
        """Where a command's stdout and stderr go, relative to the run directory."""
        return str(OUTPUT / place_of(key, self._folds))

    # --- replay --------------------------------------------------------------------------------------------------

    async def round(self, workflow: str, iteration: int) -> TaskRecord | None:
        """The record of a complete round; of one that is not, what is recorded is read, for `recorded` to give.

        Beyond the recorded end this costs nothing.
        """
        if workflow in self._past_end:
            return None
        whole = round_key(workflow, iteration)
        record = (await self.journal.tasks(whole)).get(whole)
        if record is None:
            await self.recall(workflow, iteration)
        return record

    async def complete_round(self, workflow: str, iteration: int) -> TaskRecord | None:
        """The record of a complete round, without preparing to play it."""
        return await self.task(round_key(workflow, iteration))

    async def recall(self, workflow: str, iteration: int) -> None:
        """Read what is recorded of one round's tasks, for `recorded` to give."""
        found = await self.journal.tasks(prefix := round_prefix(workflow, iteration))
        if not found:
            self._past_end.add(workflow)
        usable = {key: record for key, record in found.items() if record.state in (DONE, DROPPED)}
        if self.relearns:
            usable = await self._without_learned(prefix, usable)
        if any(record.file for record in usable.values()):
            usable = await asyncio.to_thread(self._without_missing, usable)
        if usable:
            self._recorded[prefix] = usable

    async def _without_learned(self, prefix: str, records: dict[str, TaskRecord]) -> dict[str, TaskRecord]:
        """Those of simulations; of the others it is on disk that they do not count, or a later driver would mix them
        with what is learned now."""
        kept = (prefix + "simulation", prefix + "round")
        for key, record in records.items():
            if not key.startswith(kept):
                self.journal.put(record._replace(state=CANCELLED, value=None, file=None, note=None))
        await self.settled()
        return {key: record for key, record in records.items() if key.startswith(kept)}

    def has_learned(self, workflow: str, iteration: int) -> bool:
        """Whether anything but simulations is recorded of a round that is being played."""
        prefix = round_prefix(workflow, iteration)
        others = (prefix + "simulation", round_key(workflow, iteration))
        return any(not key.startswith(others) for key in self._recorded.get(prefix, ()))

    def _without_missing(self, records: dict[str, TaskRecord]) -> dict[str, TaskRecord]:
        """Those whose files are there; blocks. (Of labels, a file that is missing is an error.)"""
        there = {}
        for key, record in records.items():
            if record.file is None or record.file in self.objects:
                there[key] = record
            else:
                _log.warning("task %s runs again: %s, its result, is missing", key, self.objects.path(record.file))
        return there

    @property
    def replaying(self) -> bool:
        """Whether any round that is being played was begun before."""
        return bool(self._recorded)

    def recorded(self, workflow: str, iteration: int, key: str) -> TaskRecord | None:
        """The record of a task that has a result, or that was dropped; None: it is to be run."""
        record = self._recorded.get(round_prefix(workflow, iteration), {}).get(key)
        freed = record is not None and record.state == DONE and record.value is None and record.file is None
        return None if freed else record

    def result(self, record: TaskRecord | LabelRecord) -> Result:
        """What was recorded, unread."""
        named = f"label of candidate {record.candidate}" if isinstance(record, LabelRecord) else ""
        what = f"the {named or 'result of task ' + record.key}"
        return Result(self.objects, record.value, record.file, what=what)

    async def task(self, key: str) -> TaskRecord | None:
        """The record of one task."""
        return (await self.journal.tasks(key)).get(key)

    async def labels(self) -> dict[bytes, Result]:
        """All labels that are recorded, unread, by content; `Dropped` where there is none to come."""
        if self.temporary or self.journal.epoch == 1:
            return {}
        return {
            record.content: given(Dropped()) if record.state == DROPPED else self.result(record)
            for record in await self.journal.labels()
        }

    # --- recording -----------------------------------------------------------------------------------------------

    def started(self, key: str, attempt: int = 1, output: str | None = None) -> TaskRecord:
        """A task begins now; its record is what the other methods take."""
        record = TaskRecord(key, RUNNING, time.time(), None, attempt, None, None, None, None, output)
        if not self.temporary:
            self.journal.put(record)
        return record

    async def done(self, running: TaskRecord, value: Any, note: Any = None, early: bool = False) -> Result:
        """A task has given its result: returns when that is on disk, or perhaps `early`: then it is after `settled`."""
        if self.temporary:
            return given(value)
        data, file = (encode_small(value), None) if is_small(value) else await self._store(value, running.key)
        noted = None if note is None else encode(note)
        key, _, started, _, attempts, *_, output = running
        self.journal.put(TaskRecord(key, DONE, started, time.time(), attempts, data, file, noted, None, output))
        if not early or file is not None:
            await self.settled((file,))
        return given(value)

    async def settled(self, files: Iterable[str | None] = ()) -> None:
        """Wait until all that was given here is on disk, which now refers to these files; in a temporary run there is
        nothing to wait for."""
        if self.temporary:
            return
        await self.journal.committed()
        for file in files:
            if file is not None:
                self._has_files = True
                self.objects.unpin(file)

    async def labelled(self, running: TaskRecord, samples: Sequence[Sample], labels: Sequence[Any]) -> None:
        """A simulation has given its labels: returns when they are on disk, with the end of its task."""
        stored = [await self._store(label, running.key) for label in labels]
        self.journal.put(running._replace(state=DONE, ended=time.time()))
        for sample, (data, file) in zip(samples, stored, strict=True):
            self._label(sample, running.key, DONE, data, file)
        await self.settled([file for _, file in stored])

    async def imported(self, samples: Sequence[Sample], labels: Sequence[Any]) -> None:
        """Labels have come from elsewhere: returns when they are on disk."""
        stored = [await self._store(label, IMPORTED) for label in labels]
        for sample, (data, file) in zip(samples, stored, strict=True):
            self._label(sample, IMPORTED, DONE, data, file)
        await self.settled([file for _, file in stored])

    async def corrected(self, corrections: Sequence[tuple[LabelRecord, Any, dict[str, Any]]]) -> None:
        """Labels were wrong: others take their places; returns when that is on disk, with an event for each.

        Args:
            corrections: what was recorded, the label that is right, and what the event says, in plain JSON.
        """
        stored = [await self._store(label, IMPORTED) for _, label, _ in corrections]
        for (record, _, body), (data, file) in zip(corrections, stored, strict=True):
            self.journal.put(record._replace(key=IMPORTED, state=DONE, value=data, file=file))
            self.journal.event("label_corrected", body=body)
        self.relearns = True
        await self.settled([file for _, file in stored])

    def ended(self, running: TaskRecord, state: str, error: str | None = None) -> None:
        """A task has ended without a result: it failed, or was cancelled."""
        assert state in (FAILED, CANCELLED)
        self.journal.put(running._replace(state=state, ended=time.time(), error=error))

    async def dropped(self, running: TaskRecord, error: str, samples: Sequence[Sample] = ()) -> None:
        """A task has failed, and the run goes on without it: returns when that is on disk."""
        self.journal.put(running._replace(state=DROPPED, ended=time.time(), error=error))
        for sample in samples:
            self._label(sample, running.key, DROPPED)
        await self.settled()

    async def round_done(self, workflow: str, iteration: int, record: Any, note: Any, summary: dict[str, Any]) -> None:
        """A round is complete: returns when that is on disk, with all its results. What only the round itself needed is
        freed.

        `record` is what `round` gives on resume, `note` what belongs to it, `summary` (plain JSON) what viewers read.
        """
        key, now = round_key(workflow, iteration), time.time()
        values = (None, None) if self.temporary else (encode(record), encode(note))
        self.journal.put(TaskRecord(key, DONE, now, now, value=values[0], note=values[1]))
        self.journal.event("iteration_done", workflow, iteration, summary)
        await self.settled()
        self._recorded.pop(round_prefix(workflow, iteration), None)
        if self._has_files:
            prefix, old = round_prefix(workflow, iteration), round_prefix(workflow, iteration - self._keep_models)
            await self.journal.free({prefix: prefix + "training", old + "training": None}, self.objects.remove)

    def accept(self, names: Sequence[str], workflow: str | None = None, iteration: int | None = None) -> None:
        """Settings have changed, and that is accepted; record which."""
        self.changed = True
        self.journal.event("changes_accepted", workflow, iteration, {"names": list(names)})

    async def forget_rounds(self, workflow: str, since: int) -> None:
        """Have a workflow's rounds from one on played again; all labels stay."""
        await self.settled()
        await self.journal.forget_rounds(workflow, since)
        self._past_end.add(workflow)

    def revise(self, row: TaskRecord, record: Any) -> None:
        """Record a complete round anew, with what has been accepted since."""
        self.journal.put(row._replace(value=encode(record)))

    def _label(self, sample: Sample, key: str, state: str, value: bytes | None = None, file: str | None = None) -> None:
        kept = not self.temporary and is_small(sample.x)
        x = encode(sample.x) if kept else None
        self.journal.put(LabelRecord(sample.content, sample.candidate, sample.digest, x, key, state, value, file))

    async def _store(self, value: Any, key: str) -> tuple[bytes | None, str | None]:
        """The value as the journal keeps it: in itself, or as a file."""
        if self.temporary:
            return None, None
        if is_small(value):
            return encode_small(value), None

        def store() -> tuple[bytes | None, str | None]:
            if type(value) is np.ndarray and not value.dtype.hasobject:
                return None, self.objects.put(value)
            try:
                data = encode(value)
            except Exception as error:
                text = f"its result ({type(value).__name__}) cannot be written to the run directory: {error}"
                raise UnpicklableError(text, key) from error
            return (data, None) if len(data) <= INLINE_BYTES else (None, self.objects.put(data))

        return await asyncio.to_thread(store)


def round_prefix(workflow: str, iteration: int) -> str:
    """What the keys of a round's tasks begin with."""
    return f"{workflow}/{iteration}/"


def round_key(workflow: str, iteration: int) -> str:
    """The key under which a complete round is recorded."""
    return f"{workflow}/{iteration}/round"
