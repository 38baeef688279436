"""Commit in groups: whatever is put while a commit is under way is written by the next one, in one transaction.

`put` returns at once, so a busy run pays for few commits and an idle one waits for none.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from rose.store.database.sql import Insertion, Record, insertions
from rose.store.database.thread import DatabaseThread
from rose.store.records import QUEUED, RUNNING, TaskRecord

_UNNOTICED = 0.05  # seconds: the start of a task that ends sooner is not written by itself
_WAITING = 0.2  # seconds: that a task waits for a worker is not written before; most of those of a busy run go on soon
_GATHERING = 0.003  # seconds between two commits of a busy run: fewer, larger ones leave the processor to others


class _Group:
    """Hold what the next commit will write, and who waits for it."""

    def __init__(self) -> None:
        self.tasks: dict[str, TaskRecord] = {}  # only the last of each task's records is written
        self.others: dict[type, list[Record]] = {}
        self.committed = asyncio.Event()
        self.error: BaseException | None = None

    def insertions(self) -> list[Insertion]:
        kinds: list[list[Any]] = [list(self.tasks.values()), *self.others.values()]
        return [rows for records in kinds for rows in insertions(records)]


class GroupCommit:
    """Gather what a thread is to write, and tell who waits for it when it is written; belongs to an event loop.

    Args:
        thread: what writes.
    """

    def __init__(self, thread: DatabaseThread) -> None:
        self._thread = thread
        self._group: _Group | None = None
        self._starting: dict[str, TaskRecord] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._gathering: asyncio.TimerHandle | None = None  # the next commit, while more may come that it could write
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writing = False
        self._last = -1.0  # when the last commit ended, by the loop's clock

    def put(self, record: Record) -> None:
        """Have a record written by the next commit.

        Raises:
            OSError, RunLostError: if an earlier commit failed: nothing is written any more.
        """
        if not isinstance(record, TaskRecord):
            self._next().others.setdefault(type(record), []).append(record)
        elif record.state in (QUEUED, RUNNING):
            self._start(record)
        else:
            self._next().tasks[record.key] = record
            if self._starting.pop(record.key, None) is not None and not self._starting:
                self._hurry()

    async def committed(self) -> None:
        """Wait until all that was put before is on disk.

        Raises:
            OSError: if the disk refused it (full, broken).
            RunLostError: if another driver took over.
        """
        group = self._group
        if group is None:
            if self._thread.failure is not None:
                raise self._thread.failure
            if not self._writing:
                return
            group = self._next()  # what was put before is being written: an empty commit comes after it
        await group.committed.wait()
        if group.error is not None:
            raise group.error

    def close(self) -> None:
        """Write no starts of tasks any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _start(self, record: TaskRecord) -> None:
        """Write that a task waits or runs, a moment later: most of the short ones have ended by then."""
        if self._thread.failure is not None:
            if record.began is not None:  # who tells of that can do nothing; that a task was queued is refused
                return
            raise self._thread.failure
        self._starting[record.key] = record
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_UNNOTICED, self._started)

    def _started(self) -> None:
        self._timer = None
        before = {RUNNING: (now := time.time()) - _UNNOTICED / 2, QUEUED: now - _WAITING}
        older = [key for key, one in self._starting.items() if (one.began or one.queued) <= before[one.state]]
        if older and self._thread.failure is None:
            group = self._next()
            for key in older:
                group.tasks[key] = self._starting.pop(key)
        if self._starting and self._thread.failure is None:
            self._timer = asyncio.get_running_loop().call_later(_UNNOTICED, self._started)

    def _next(self) -> _Group:
        if self._thread.failure is not None:
            raise self._thread.failure
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
        """Commit at once: no short task is under way any more, so all may be waiting for this commit."""
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
            group.error = self._thread.fail(error)
            loop.call_soon(self._wrote, group)
            return

        def write() -> None:
            try:
                self._thread.patiently(lambda: self._thread.write(rows))
            except BaseException as error:
                group.error = self._thread.fail(error)
            loop.call_soon_threadsafe(self._wrote, group)

        self._thread.submit(write)

    def _wrote(self, group: _Group) -> None:
        self._writing = False
        self._last = asyncio.get_running_loop().time()
        group.committed.set()
        if self._group is not None:
            if self._thread.failure is None:
                self._commit_soon()
            else:
                self._group.error = self._thread.failure
                self._group.committed.set()
                self._group = None
