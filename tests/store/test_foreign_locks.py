"""Another process that has locked the database (a backup, an SQLite shell with a transaction) is waited for."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rose.errors import RunDirectoryError
from rose.store import Run
from rose.store.database import schema
from rose.store.database.schema import reading
from rose.store.database.sql import read_tasks
from rose.store.files.paths import DATABASE


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite waits for a moment instead of seconds, each time."""
    monkeypatch.setattr(schema, "_BUSY", 0.02)


@contextmanager
def locked(run: Path, how: str) -> Iterator[sqlite3.Connection]:
    """Another program's transaction, which lasts."""
    connection = sqlite3.connect(run / DATABASE, isolation_level=None)
    try:
        for statement in how.split(";"):
            connection.execute(statement).fetchall()
        yield connection
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    finally:
        connection.close()


class _Told(logging.Handler):
    """Tells a loop of what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.loop = asyncio.get_running_loop()
        self.waits = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self.loop.call_soon_threadsafe(self.waits.set)


@contextmanager
def told() -> Iterator[_Told]:
    handler = _Told()
    logging.getLogger("rose").addHandler(handler)
    try:
        yield handler
    finally:
        logging.getLogger("rose").removeHandler(handler)


LOCKS = [
    pytest.param(False, "BEGIN IMMEDIATE", id="log"),
    pytest.param(True, "BEGIN IMMEDIATE", id="rollback"),
    pytest.param(True, "BEGIN; SELECT * FROM meta", id="rollback-read"),  # it keeps a commit from its end
    pytest.param(True, "BEGIN EXCLUSIVE", id="rollback-exclusive"),
]


@pytest.mark.parametrize(("network", "how"), LOCKS)
def test_a_run_waits_for_who_has_locked_its_database(
    network: bool, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "is_network", lambda directory: network)

    async def main() -> list[str]:
        run = await Run.open(tmp_path / "run")
        with told() as log:
            with locked(tmp_path / "run", how):
                recording = asyncio.create_task(run.done(run.started("w/0/training/m"), 1))
                await log.waits.wait()
                assert not recording.done()
            await recording
            run.outcome = "finished"
            await run.close()
        return log.texts

    waiting, free = asyncio.run(main())
    assert f"{DATABASE} is locked by another process" in waiting
    assert "nothing is lost" in waiting
    assert free.endswith("is free again")
    with reading(tmp_path / "run") as connection:
        assert [task.state for task in read_tasks(connection)] == ["done"]


@pytest.mark.parametrize(("network", "how"), [LOCKS[0], LOCKS[3]])
def test_a_run_begins_when_the_lock_is_gone(
    network: bool, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "is_network", lambda directory: network)

    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        await run.close()
        with told() as log:
            with locked(tmp_path / "run", how):
                opening = asyncio.create_task(Run.open(tmp_path / "run"))
                await log.waits.wait()
            await (await opening).close()
            assert "waiting for it" in log.texts[0]
            with locked(tmp_path / "run", how):
                opening = asyncio.create_task(Run.open(tmp_path / "run"))
                log.waits.clear()
                await log.waits.wait()
                opening.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await opening

    asyncio.run(main())


def test_a_run_that_is_broken_off_does_not_wait(tmp_path: Path) -> None:
    """A batch system gives it seconds."""

    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        with locked(tmp_path / "run", "BEGIN IMMEDIATE"):
            run.outcome = "preempted"
            with pytest.raises(RunDirectoryError, match="is locked by another process"):
                await run.close()

    asyncio.run(main())
