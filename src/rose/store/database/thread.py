"""Write and read a driver's database in one thread: jobs one after the other, signs of life between them."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar, cast

from rose.store import lease
from rose.store.database.failures import explain
from rose.store.database.sql import Insertion
from rose.store.database.transaction import is_busy, patiently
from rose.store.database.whole import checkpoint
from rose.store.files.paths import DATABASE

T = TypeVar("T")

LISTENS = 0.5  # seconds after which it is seen whether other processes have written
_LOGGED = 4000  # pages in the log, about, after which they are brought into the database: 16 MB
_PAGE = 4096  # bytes


class DatabaseThread:
    """Own the connection of a driver, from its lease on; begins at once.

    Args:
        directory: the run directory.
        connection: the driver's.
        epoch: under which it is the driver.
    """

    def __init__(self, directory: Path, connection: sqlite3.Connection, epoch: int) -> None:
        self.connection = connection
        self.has_to_end = threading.Event()  # whether jobs do not wait any more for who has locked the database
        self.failure: BaseException | None = None  # why nothing is written any more
        self.tell: Callable[[], object] | None = None  # called when there is a failure, here
        self.look: Callable[[], object] | None = None  # called when another process may have written, here
        self._directory = directory
        self._epoch = epoch
        self._logged = 0  # pages in the log, about
        self._renewed = -lease.BEAT  # when the last sign of life was given, or found fresh
        self._looked = -LISTENS
        self._version = -1  # of the database, as other processes have written it
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="rose-journal", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Have a function called in the thread, which raises nothing."""
        self._jobs.put(job)

    async def run(self, job: Callable[[], T]) -> T:
        """Run a function in the thread, between two commits."""
        future: Future[T] = Future()

        def call() -> None:
            done: T | None = None
            failed: BaseException | None = None
            try:
                done = self.patiently(job)
            except BaseException as error:
                failed = explain(error, self._directory / DATABASE)
            if not future.set_running_or_notify_cancel():  # whoever waited was cancelled: nobody is to be told
                return
            if failed is None:
                future.set_result(cast(T, done))
            else:
                future.set_exception(failed)

        self._jobs.put(call)
        return await asyncio.wrap_future(future)

    async def end(self) -> None:
        """Do what was submitted, and close the connection."""
        self.has_to_end.set()
        self._jobs.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    # --- in the thread -------------------------------------------------------------------------------------------

    def patiently(self, job: Callable[[], T]) -> T:
        """Do a job, again while another process has locked the database; in the thread."""
        return patiently(job, self._directory / DATABASE, self.has_to_end.is_set)

    def transaction(self) -> AbstractContextManager[None]:
        """Commit what is done inside as one; raise if another driver has taken over. In the thread."""
        self._renewed = time.monotonic()
        return lease.driving(self.connection, self._epoch, self._directory)

    def write(self, rows: Sequence[Insertion]) -> None:
        """Write rows as one transaction; in the thread."""
        fresh = time.monotonic() - self._renewed < lease.BEAT / 2
        if not (len(rows) == 1 and fresh and rows[0].write_alone(self.connection, self._epoch)):
            with self.transaction():
                for some in rows:
                    some.write(self.connection)
        # Keep the log short; counted roughly, for a file of fixed length does not say.
        self._logged += 4 + sum(some.bytes for some in rows) // _PAGE
        if self._logged > _LOGGED:
            self._logged = 0
            checkpoint(self.connection, self.transaction)

    def fail(self, error: BaseException) -> BaseException:
        """Stop writing, from now on; returns what the error means."""
        self.failure = explain(error, self._directory / DATABASE)
        if self.tell is not None:
            self.tell()
        return self.failure

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=min(lease.BEAT, LISTENS))
            except queue.Empty:
                if time.monotonic() - self._renewed >= lease.BEAT:
                    self._beat()
            else:
                if job is None:
                    break
                job()
            if self.look is not None and time.monotonic() - self._looked >= LISTENS:
                self._listen(self.look)
        self.connection.close()
        lease.let_go(self._directory, self._epoch)

    def _beat(self) -> None:
        def beat() -> None:
            with self.transaction():
                pass

        try:
            self.patiently(beat)
        except BaseException as error:
            self.fail(error)

    def _listen(self, look: Callable[[], object]) -> None:
        """See whether others have written: a look at the database's header costs microseconds."""
        self._looked = time.monotonic()
        if self.failure is not None:
            return
        (timeout,) = self.connection.execute("PRAGMA busy_timeout").fetchone()
        self.connection.execute("PRAGMA busy_timeout = 0")  # wait for no lock: look again later
        try:
            (version,) = self.connection.execute("PRAGMA data_version").fetchone()
            if version != self._version:
                look()
                self._version = version
        except BaseException as error:
            if not is_busy(error):
                self.fail(error)
        finally:
            self.connection.execute(f"PRAGMA busy_timeout = {timeout}")
