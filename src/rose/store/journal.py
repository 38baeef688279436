"""Record a run: its tasks, labels, iterations and events, committed in groups, and read, by a thread of its own."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rose.store import lease
from rose.store.database.commits import GroupCommit
from rose.store.database.failures import explained
from rose.store.database.kept import free_results
from rose.store.database.meta import read_meta, write_meta
from rose.store.database.schema import open_for_writing
from rose.store.database.sql import (
    Record,
    is_used,
    read_iteration,
    read_labels,
    read_orders,
    read_tasks,
)
from rose.store.database.thread import DatabaseThread
from rose.store.database.whole import checkpoint
from rose.store.files.paths import DATABASE
from rose.store.labels.versions import (
    Simulations,
    current_labels,
    forget_rounds,
    last_label,
    read_simulations,
    write_simulations,
)
from rose.store.records import IterationRecord, LabelRecord, OrderRecord, TaskRecord

T = TypeVar("T")

_BROKEN_OFF = ("interrupted", "preempted")  # outcomes of runs that have to end soon


class Journal:
    """Keep the journal of one run, open for writing by this process, the run's only driver.

    Make it with `Journal.open`, in a thread: it touches the disk.
    """

    def __init__(self, directory: Path, connection: sqlite3.Connection, epoch: int) -> None:
        self.directory = directory
        self.epoch = epoch
        self._connection = connection
        self._ordered = 0  # the number of the last order that was told of
        self._thread = DatabaseThread(directory, connection, epoch)
        self._commits = GroupCommit(self._thread)

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
        """Return why nothing that is put is written any more: a commit failed, or another driver has taken over."""
        return self._thread.failure

    def on_failure(self, callback: Callable[[], None]) -> None:
        """Have `callback` called in this event loop when there is a `failure`."""
        loop = asyncio.get_running_loop()
        self._thread.tell = lambda: loop.call_soon_threadsafe(callback)
        if self.failure is not None:
            callback()

    def on_orders(self, callback: Callable[[list[OrderRecord]], None]) -> None:
        """Have `callback` called in this event loop with orders that wait: now, and within a second of new ones."""
        loop = asyncio.get_running_loop()

        def look() -> None:
            found = list(read_orders(self._connection, self._ordered, "placed"))
            if found:
                self._ordered = found[-1].seq
                loop.call_soon_threadsafe(callback, found)

        self._thread.look = look

    # --- writing -------------------------------------------------------------------------------------------------

    def put(self, record: Record) -> None:
        """Have a record written by the next commit.

        Raises:
            OSError, RunLostError: if an earlier commit failed: nothing is written any more.
        """
        self._commits.put(record)

    async def committed(self) -> None:
        """Wait until all that was put before is on disk.

        Raises:
            OSError: if the disk refused it (full, broken).
            RunLostError: if another driver took over.
        """
        await self._commits.committed()

    # --- reading -------------------------------------------------------------------------------------------------

    async def tasks(self, prefix: str) -> dict[str, TaskRecord]:
        """Return the records of the tasks whose keys begin so, by key.

        Raises:
            CorruptRunError: if one is damaged.
        """
        return await self.run(lambda: {record.key: record for record in read_tasks(self._connection, prefix)})

    async def iteration(self, workflow: str, iteration: int) -> IterationRecord | None:
        """Return the record of a complete iteration.

        Raises:
            CorruptRunError: if it is damaged.
        """
        return await self.run(lambda: read_iteration(self._connection, workflow, iteration))

    async def labels(self) -> list[LabelRecord]:
        """Return all labels, in the order in which they came.

        Raises:
            CorruptRunError: if one is damaged.
        """
        return await self.run(lambda: list(read_labels(self._connection)))

    async def current_labels(self) -> list[LabelRecord]:
        """Return the labels of the run's simulation as it is now, without those of earlier ones (`versions`).

        Raises:
            CorruptRunError: if one is damaged.
        """
        return await self.run(lambda: current_labels(self._connection))

    async def simulations(self) -> Simulations | None:
        """Return the simulations that the run has labelled with; None: there is none but `meta("simulation")`."""
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
            with self._thread.transaction():
                now = simulations.changed(code, identity, last_label(self._connection))
                forget_rounds(self._connection)
                write_simulations(self._connection, now)
                own = now.known[now.current][0]
                for name, value in {**notes, "simulation": own}.items():
                    write_meta(self._connection, name, value)
            return own

        return await self.run(write)

    async def forget_rounds(self, workflow: str, since: int) -> None:
        """Forget a workflow's rounds from one on, to be played again."""

        def forget() -> None:
            with self._thread.transaction():
                forget_rounds(self._connection, workflow, since)

        await self.run(forget)

    async def meta(self, name: str) -> Any:
        """Return what was noted under that name, or None."""
        return await self.run(lambda: read_meta(self._connection, name))

    async def note(self, name: str, value: Any) -> None:
        """Note something, in plain JSON, under a name."""

        def write() -> None:
            with self._thread.transaction():
                write_meta(self._connection, name, value)

        await self.run(write)

    async def free(self, workflow: str, iteration: int, kept: int, remove: Callable[[str], object]) -> None:
        """Forget results that are files and that nothing needs any more (see `kept`), and remove the files.

        Args:
            workflow, iteration: what is complete now.
            kept: of how many iterations what they carried is kept.
            remove: removes a file; called in the journal's thread, where no other commit can come in between.
        """

        def free() -> None:
            with self._thread.transaction():
                names = free_results(self._connection, workflow, iteration, kept)
            if names:
                with self._thread.transaction():  # by now the forgetting is on disk, and in here no one can take over
                    for name in sorted(names):
                        if not is_used(self._connection, name):
                            remove(name)

        await self.run(free)

    async def run(self, job: Callable[[], T]) -> T:
        """Run a function in the journal's thread, between two commits."""
        return await self._thread.run(job)

    # --- the end -------------------------------------------------------------------------------------------------

    async def close(self, outcome: str) -> None:
        """Commit what is left, say how the run ended, and close. A journal that failed is closed as it is.

        Who has locked the database is waited for, except by a run that is broken off: its time may be short.
        """
        self._commits.close()
        if outcome in _BROKEN_OFF:
            self._thread.has_to_end.set()
        try:
            if self.failure is None:
                await self.committed()

                def end() -> None:
                    with self._thread.transaction():
                        lease.end(self._connection, self.epoch, outcome)

                await self.run(end)
        finally:
            await self._thread.end()
