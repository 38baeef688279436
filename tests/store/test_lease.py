"""One driver at a time, by epoch; the dead are told from the living."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rose.errors import CorruptRunError, RunLockedError, RunLostError
from rose.store import Run, lease
from rose.store.database import schema
from rose.store.database.schema import open_for_writing
from rose.store.files.paths import DATABASE
from rose.store.journal import Journal
from rose.store.lease import Driver, last_driver
from rose.store.records import QUEUED, RUNNING, EventRecord, TaskRecord

EVENT = EventRecord(1.0, "DriverStarted", "{}")
WAITING = TaskRecord("w/0/training/m", QUEUED, 1, 1.0)


def alter(directory: Path, **columns: Any) -> None:
    """Change what is recorded of the last driver."""
    with closing(sqlite3.connect(directory / DATABASE)) as connection:
        for name, value in columns.items():
            connection.execute(f"UPDATE driver SET {name} = ? WHERE epoch = (SELECT max(epoch) FROM driver)", (value,))
        connection.commit()


def driver_of(directory: Path) -> Driver:
    """The last driver."""
    with closing(sqlite3.connect(directory / DATABASE)) as connection:
        driver = last_driver(connection)
    assert driver is not None
    return driver


def taken(directory: Path) -> int:
    """The epoch under which another driver takes the directory, for a moment."""
    with closing(open_for_writing(directory, durable=True)) as connection:
        epoch = lease.take(connection, directory)
    lease.let_go(directory, epoch)
    return epoch


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    """A journal that is open."""
    found = Journal.open(tmp_path)
    yield found
    asyncio.run(found.close("finished"))


def test_a_living_driver_is_named(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(
        RunLockedError, match=rf"process {os.getpid()} on .*, started \d+ s ago \(last seen \d+ s ago\)"
    ):
        taken(tmp_path)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """One need not wait long for a sign of life."""
    monkeypatch.setattr(lease, "BEAT", 0.02)
    monkeypatch.setattr(lease, "SILENCE", 0.1)


ELSEWHERE = {"boot": "another machine", "host": "elsewhere"}  # simulated: what its driver would have recorded
DAY = 86400.0


@pytest.mark.parametrize(
    "columns",
    [
        {"ended": time.time()},
        {"seen": time.time() - 2 * lease.SILENCE},  # stopped
        {"seen": time.time() + DAY},  # ... when the clock was wrong
        {"pid": 2**22 + 1},  # there is no such process
        {"born": "1"},  # another process has its number now
        ELSEWHERE,
        {**ELSEWHERE, "seen": time.time() - DAY},
        {**ELSEWHERE, "seen": time.time() + DAY},
    ],
)
def test_the_dead_are_replaced(columns: dict[str, Any], short: None, tmp_path: Path) -> None:
    taken(tmp_path)
    alter(tmp_path, pid=os.getpid(), born=lease._born(os.getpid()))
    lease._held.add(lease._lease_of(tmp_path, 1))
    alter(tmp_path, **columns)
    assert taken(tmp_path) == 2
    lease.let_go(tmp_path, 1)


def test_the_dead_of_this_machine_are_replaced_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    taken(tmp_path)
    alter(tmp_path, pid=2**22 + 1, seen=time.time() + DAY)
    assert taken(tmp_path) == 2
    assert not caplog.messages, "nobody was waited for"


@pytest.mark.parametrize("skew", [-DAY, -60.0, 0.0, 60.0, DAY])
def test_clocks_of_two_machines_are_not_compared(
    skew: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The other machine is simulated: a thread that gives signs of life by a clock that is wrong."""
    monkeypatch.setattr(lease, "BEAT", 0.02)
    taken(tmp_path)
    alter(tmp_path, **ELSEWHERE)
    dead = threading.Event()

    def live() -> None:
        while not dead.is_set():
            alter(tmp_path, seen=time.time() + skew)
            dead.wait(lease.BEAT)

    living = threading.Thread(target=live)
    living.start()
    try:
        with pytest.raises(RunLockedError, match=r"is being written by process .* on elsewhere"):
            taken(tmp_path)
    finally:
        dead.set()
        living.join()
    assert "it is replaced if it gives no sign of life for 30 s" in caplog.text


def test_waiting_for_a_sign_of_life_can_be_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken(tmp_path)
    alter(tmp_path, **ELSEWHERE)

    async def main() -> None:
        waits, loop = asyncio.Event(), asyncio.get_running_loop()
        monkeypatch.setattr(lease._log, "warning", lambda *_: loop.call_soon_threadsafe(waits.set))
        opening = asyncio.create_task(Run.open(tmp_path))
        await waits.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    asyncio.run(main())
    assert driver_of(tmp_path).epoch == 1


def test_a_zombie_is_dead(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    try:
        taken(tmp_path)
        alter(tmp_path, pid=child.pid, born=lease._born(child.pid))
        assert driver_of(tmp_path).alive
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not driver_of(tmp_path).alive
    finally:
        child.communicate()


def test_a_replaced_driver_writes_nothing_more(journal: Journal, tmp_path: Path) -> None:
    alter(tmp_path, pid=2**22 + 1)  # as if it were dead
    assert taken(tmp_path) == 2

    async def write() -> None:
        told = asyncio.Event()
        journal.on_failure(told.set)
        journal.put(EVENT)
        with pytest.raises(RunLostError, match="was taken over by process"):
            await journal.committed()
        await told.wait()
        with pytest.raises(RunLostError):
            journal.put(EVENT)
        with pytest.raises(RunLostError):
            journal.put(WAITING)
        journal.put(WAITING._replace(state=RUNNING, began=2.0))  # told by an engine, which can do nothing about it
        with pytest.raises(RunLostError):
            await journal.note("identity", {})

    asyncio.run(write())
    assert isinstance(journal.failure, RunLostError)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (0,)


def test_a_driver_that_does_nothing_notices_that_it_was_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.02)

    async def main() -> None:
        journal = await asyncio.to_thread(Journal.open, tmp_path)
        told = asyncio.Event()
        journal.on_failure(told.set)
        await asyncio.to_thread(alter, tmp_path, pid=2**22 + 1)  # as if it were dead
        await asyncio.to_thread(taken, tmp_path)
        await told.wait()
        await journal.close("finished")

    asyncio.run(main())


def test_a_commit_that_does_not_end_is_somebodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_BUSY", 0.05)
    taken(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(RunLockedError, match=f"is locked by a commit of process {os.getpid()} .* does not end"):
            taken(tmp_path)


def test_a_process_is_not_locked_out_by_its_own_past(tmp_path: Path) -> None:
    """A driver whose disk was full could not say that it ended."""

    async def fail() -> None:
        journal = await asyncio.to_thread(Journal.open, tmp_path)

        def refuse() -> None:
            journal._thread.fail(OSError("full"))

        await journal.run(refuse)
        await journal.close("finished")

    asyncio.run(fail())
    assert driver_of(tmp_path).ended is None
    assert taken(tmp_path) == 2


def test_a_damaged_driver_is_no_driver(tmp_path: Path) -> None:
    taken(tmp_path)
    alter(tmp_path, seen="yesterday")
    with pytest.raises(CorruptRunError, match="record of driver 1 is damaged"):
        taken(tmp_path)
