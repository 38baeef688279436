"""The run's memory: every task, label and event, committed in groups by a thread of its own.

`put` returns at once. Whatever was put while a commit was under way is written by the next one, in one transaction
(group commit), so a busy run pays for few commits and an idle one waits for none.
"""

from __future__ import annotations

import asyncio
import json
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from rose.store import lease
from rose.store.database.batches import forget_files, read_tasks
from rose.store.database.failures import explain, explained
from rose.store.database.meta import read_meta, write_meta
from rose.store.database.schema import open_for_writing
from rose.store.database.sql import Insertion, Record, insertions, is_used, read_labels
from rose.store.database.transaction import patiently
from rose.store.database.whole import checkpoint
from rose.store.labels.versions import (
    Simulations,
    current_labels,
    forget_rounds,
    last_label,
    read_simulations,
    write_simulations,
)
from rose.store.paths import DATABASE
from rose.store.records import RUNNING, EventRecord, LabelRecord, TaskRecord

T = TypeVar("T")

_UNNOTICED = 0.05  # seconds: the start of a task that ends sooner is not written by itself
_LOGGED = 4000  # pages in the log, about, after which they are brought into the database: 16 MB
_PAGE = 4096  # bytes
_BROKEN_OFF = ("interrupted", "preempted")  # outcomes of runs that have to end soon
_GATHERING = 0.003  # seconds between two commits of a busy run: fewer, larger ones leave the processor to others


class _Group:
    """What the next commit will write, and who waits for it."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskRecord] = {}  # only the last of each task's records is written
        self.labels: list[LabelRecord] = []
        self.events: list[EventRecord] = []
        self.committed = asyncio.Event()
        self.error: BaseException | None = None

    def insertions(self) -> list[Insertion]:
        return [*insertions([*self.tasks.values()]), *insertions(self.labels), *insertions(self.events)]


class Journal:
    """The journal of one run, open for writing by this process, the run's only driver.

    Make it with `Journal.open`, in a thread: it touches the disk.
    """

    def __init__(self, directory: Path, connection: sqlite3.Connection, epoch: int) -> None:
        self.directory = directory
        self.epoch = epoch
        self._connection = connection
        self._group: _Group | None = None
        self._starting: dict[str, TaskRecord] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._gathering: asyncio.TimerHandle | None = None  # the next commit, while more may come that it could write
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writing = False
        self._last = -1.0  # when the last commit ended, by the loop's clock
        self._logged = 0  # pages in the log, about
        self._has_to_end = threading.Event()  # whether commits do not wait any more for who has locked the database
        self._renewed = -lease.BEAT  # when the last sign of life was given, or found fresh
        self._failure: BaseException | None = None
        self._tell: Callable[[], object] | None = None
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="rose-journal", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, directory: Path, durable: bool = True, given_up: threading.Event | None = None) -> Journal:
        """Become the driver of the run in `directory`; a new one is begun where there is none.

        Blocks: as long as it takes to see that a driver on another machine is dead, or another process holds the
        database, but no longer than until it is `given_up`.

        Raises:
            RunLockedError: if another driver writes it.
            RunDirectoryError, CorruptRunError: if it cannot be used.
        """
        given_up = given_up or threading.Event()
        connection = open_for_writing(directory, durable, given_up.is_set)
        try:
            with explained(directory / DATABASE):
                epoch = lease.take(connection, directory, given_up)
                try:
                    checkpoint(connection, lambda: lease.driving(connection, epoch, directory))
                except BaseException:
                    lease.let_go(directory, epoch)
                    raise
            return cls(directory, connection, epoch)
        except BaseException:
            connection.close()
            raise

    @property
    def failure(self) -> BaseException | None:
        """Why nothing that is put is written any more: a commit failed, or another driver has taken over."""
        return self._failure

    def on_failure(self, callback: Callable[[], None]) -> None:
        """Have `callback` called in this event loop when there is a `failure`."""
        loop = asyncio.get_running_loop()
        self._tell = lambda: loop.call_soon_threadsafe(callback)
        if self._failure is not None:
            callback()

    # --- writing -------------------------------------------------------------------------------------------------

    def put(self, record: Record) -> None:
        """Have a record written by the next commit.

        Raises:
            OSError, RunLostError: if an earlier commit failed: nothing is written any more.
        """
        if isinstance(record, TaskRecord):
            if record.state == RUNNING:
                self._start(record)
                return
            self._next().tasks[record.key] = record
            if self._starting.pop(record.key, None) is not None and not self._starting:
                self._hurry()
        elif isinstance(record, LabelRecord):
            self._next().labels.append(record)
        else:
            self._next().events.append(record)

    def event(
        self,
        kind: str,
        workflow: str | None = None,
        iteration: int | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> None:
        """Have an event written by the next commit; `body` is plain JSON."""
        self.put(EventRecord(time.time(), kind, workflow, iteration, json.dumps(body or {})))

    async def committed(self) -> None:
        """Wait until all that was put before is on disk.

        Raises:
            OSError: if the disk refused it (full, broken).
            RunLostError: if another driver took over.
        """
        group = self._group
        if group is None:
            if self._failure is not None:
                raise self._failure
            if not self._writing:
                return
            group = self._next()  # what was put before is being written: an empty commit comes after it
        await group.committed.wait()
        if group.error is not None:
            raise group.error

    def _start(self, record: TaskRecord) -> None:
        """Write that a task has begun, a moment later: most of the short ones have ended by then."""
        if self._failure is not None:
            raise self._failure
        self._starting[record.key] = record
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_UNNOTICED, self._started)

    def _started(self) -> None:
        self._timer = None
        before = time.time() - _UNNOTICED / 2
        older = [key for key, record in self._starting.items() if record.started <= before]
        if older and self._failure is None:
            group = self._next()
            for key in older:
                group.tasks[key] = self._starting.pop(key)
        if self._starting and self._failure is None:
            self._timer = asyncio.get_running_loop().call_later(_UNNOTICED, self._started)

    def _next(self) -> _Group:
        if self._failure is not None:
            raise self._failure
        if self._group is None:
            self._group = _Group()
            self._loop = asyncio.get_running_loop()
            if not self._writing:  # at the end of this turn of the loop, with all that it brings
                self._commit_soon()
        return self._group

    def _commit_soon(self) -> None:
        assert self._loop is not None
        wait = self._last + _GATHERING - self._loop.time()
        if wait > 0 and self._starting:
            self._gathering = self._loop.call_later(wait, self._commit)
        else:
            self._loop.call_soon(self._commit)

    def _hurry(self) -> None:
        """No short task is under way any more, so nothing is left to gather: all may be waiting for this commit."""
        if self._gathering is not None and self._loop is not None:
            self._gathering.cancel()
            self._gathering = None
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        self._gathering = None
        group, self._group = self._group, None
        if group is None:
            return
        self._writing = True
        loop = self._loop
        assert loop is not None
        try:
            rows = group.insertions()  # made here: two threads would only hinder each other
        except Exception as error:
            group.error = self._fail(error)
            loop.call_soon(self._wrote, group)
            return

        def write() -> None:
            try:
                self._patiently(lambda: self._write(rows))
            except BaseException as error:
                group.error = self._fail(error)
            loop.call_soon_threadsafe(self._wrote, group)

        self._jobs.put(write)

    def _wrote(self, group: _Group) -> None:
        self._writing = False
        self._last = asyncio.get_running_loop().time()
        group.committed.set()
        if self._group is not None:
            if self._failure is None:
                self._commit_soon()
            else:
                self._group.error = self._failure
                self._group.committed.set()
                self._group = None

    def _write(self, rows: Sequence[Insertion]) -> None:
        """One transaction, in the journal's thread."""
        fresh = time.monotonic() - self._renewed < lease.BEAT / 2
        if len(rows) == 1 and fresh and rows[0].write_alone(self._connection, self.epoch):
            self._count(rows)
            return
        with self._transaction():  # if another driver has taken over, it says so
            for some in rows:
                some.write(self._connection)
        self._count(rows)

    def _count(self, rows: Sequence[Insertion]) -> None:
        """Keep the log short; counted roughly, for a file of fixed length does not say."""
        self._logged += 4 + sum(some.bytes for some in rows) // _PAGE
        if self._logged > _LOGGED:
            self._logged = 0
            checkpoint(self._connection, self._transaction)

    def _patiently(self, job: Callable[[], T]) -> T:
        return patiently(job, self.directory / DATABASE, self._has_to_end.is_set)

    def _transaction(self) -> AbstractContextManager[None]:
        self._renewed = time.monotonic()
        return lease.driving(self._connection, self.epoch, self.directory)

    # --- reading -------------------------------------------------------------------------------------------------

    async def tasks(self, prefix: str) -> dict[str, TaskRecord]:
        """The records of the tasks whose keys begin so, by key.

        Raises:
            CorruptRunError: if one is damaged.
        """
        return await self.run(lambda: {record.key: record for record in read_tasks(self._connection, prefix)})

    async def labels(self) -> list[LabelRecord]:
        """All labels, in the order in which they came.

        Raises:
            CorruptRunError: if one is damaged.
        """
        return await self.run(lambda: list(read_labels(self._connection)))

    async def current_labels(self) -> list[LabelRecord]:
        """The labels of the run's simulation as it is now, without those of earlier ones (`versions`).

        Raises:
            CorruptRunError: if one is damaged.
        """
        return await self.run(lambda: current_labels(self._connection))

    async def simulations(self) -> Simulations | None:
        """The simulations that the run has labelled with; None where there is no other than `meta("simulation")`."""
        return await self.run(lambda: read_simulations(self._connection))

    async def start_over(self, simulations: Simulations, code: str, identity: str, notes: Mapping[str, Any]) -> str:
        """Go on with another simulation, and with no round played, in one transaction.

        Args:
            simulations: those so far.
            code: the digest of what the simulation is now; one that it was before is found again, with its labels.
            identity: what the labels of a new one are to be known by.
            notes: what else is noted with it, by name.

        Returns:
            What the labels of the simulation are known by.
        """

        def write() -> str:
            with self._transaction():
                now = simulations.changed(code, identity, last_label(self._connection))
                forget_rounds(self._connection)
                write_simulations(self._connection, now)
                own = now.known[now.current][0]
                for name, value in {**notes, "simulation": own}.items():
                    write_meta(self._connection, name, value)
            return own

        return await self.run(write)

    async def forget_rounds(self, workflow: str, since: int) -> None:
        """Have a workflow's rounds from one on played again."""

        def forget() -> None:
            with self._transaction():
                forget_rounds(self._connection, workflow, since)

        await self.run(forget)

    async def meta(self, name: str) -> Any:
        """What was noted under that name, or None."""
        return await self.run(lambda: read_meta(self._connection, name))

    async def note(self, name: str, value: Any) -> None:
        """Note something, in plain JSON, under a name."""

        def write() -> None:
            with self._transaction():
                write_meta(self._connection, name, value)

        await self.run(write)

    async def free(self, prefixes: Mapping[str, str | None], remove: Callable[[str], object]) -> None:
        """Forget results that are files, and have the files removed that nothing refers to any more.

        Args:
            prefixes: which: of the tasks whose keys begin so, but of those whose keys begin as the value says.
            remove: removes a file; called in the journal's thread, where no other commit can come in between.
        """

        def free() -> None:
            names: set[str] = set()
            with self._transaction():
                for prefix, but in prefixes.items():
                    names |= forget_files(self._connection, prefix, partial(_is_spent, but))
            if names:
                with self._transaction():  # what was forgotten is on disk; and no one can have taken over
                    for name in sorted(names):
                        if not is_used(self._connection, name):
                            remove(name)

        await self.run(free)

    async def run(self, job: Callable[[], T]) -> T:
        """Run a function in the journal's thread, between two commits."""
        future: Future[T] = Future()

        def call() -> None:
            try:
                future.set_result(self._patiently(job))
            except BaseException as error:
                future.set_exception(explain(error, self.directory / DATABASE))

        self._jobs.put(call)
        return await asyncio.wrap_future(future)

    # --- the end -------------------------------------------------------------------------------------------------

    async def close(self, outcome: str) -> None:
        """Commit what is left, say how the run ended, and close. A journal that failed is closed as it is.

        Who has locked the database is waited for, except by a run that is broken off: its time may be short.
        """
        if self._timer is not None:
            self._timer.cancel()
        if outcome in _BROKEN_OFF:
            self._has_to_end.set()
        try:
            if self._failure is None:
                await self.committed()

                def end() -> None:
                    with self._transaction():
                        lease.end(self._connection, self.epoch, outcome)

                await self.run(end)
        finally:
            self._has_to_end.set()
            self._jobs.put(None)
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _work(self) -> None:
        """The journal's thread: jobs, and signs of life between them."""
        while True:
            try:
                job = self._jobs.get(timeout=lease.BEAT)
            except queue.Empty:
                job = self._beat
            if job is None:
                break
            job()
        self._connection.close()
        lease.let_go(self.directory, self.epoch)

    def _beat(self) -> None:
        def beat() -> None:
            with self._transaction():
                pass

        try:
            self._patiently(beat)
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> BaseException:
        """From now on nothing is written."""
        self._failure = explain(error, self.directory / DATABASE)
        if self._tell is not None:
            self._tell()
        return self._failure


def _is_spent(but: str | None, key: str) -> bool:
    return but is None or not key.startswith(but)
