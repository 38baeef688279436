"""A run directory from its opening to its end: what is kept, what is freed, and what is said when it cannot be."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose.errors import CorruptRunError, RunDirectoryError, UnpicklableError
from rose.store import DONE, IterationDone, Run
from rose.store.database import schema
from rose.store.database.schema import DATABASE, reading
from rose.store.database.sql import read_tasks
from rose.store.files.objects import ObjectStore

LARGE = np.arange(5000.0)


def objects(run: Run) -> set[str]:
    """The names of the files that are there."""
    return set(run.objects.names())


async def round_of(run: Run, workflow: str, iteration: int, value: Any) -> None:
    """A round with a model and a prediction of the same value."""
    for stage in ("training/m", "prediction/m/0"):
        await run.done(run.started(f"{workflow}/{iteration}/{stage}"), value)
    await run.round_done(IterationDone(workflow, iteration), {}, {}, [f"{workflow}/{iteration}/training/m"])


def test_what_another_workflow_needs_is_not_freed(tmp_path: Path) -> None:
    """Equal results are one file."""

    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        await run.done(run.started("b/0/prediction/m/0"), LARGE)
        await round_of(run, "a", 0, LARGE)
        await round_of(run, "a", 1, LARGE + 1)
        assert len(objects(run)) == 2
        record = await run.task("b/0/prediction/m/0")
        assert record is not None
        np.testing.assert_array_equal(await run.result(record).get(), LARGE)
        await run.round_done(IterationDone("b", 0), {}, {})
        assert len(objects(run)) == 1, "only the last model is left"
        await run.close()

    asyncio.run(main())


def test_what_iterations_carry_is_kept_as_long_as_it_is_carried(tmp_path: Path) -> None:
    """Of whatever stage: the loop says which results are needed, and the store names none."""

    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        carried = [["w/0/policy"], ["w/0/policy", "w/1/buffer"], ["w/1/buffer"], []]
        for iteration, keys in enumerate(carried):
            for number, stage in enumerate(("policy", "buffer", "training/m")):
                await run.done(run.started(f"w/{iteration}/{stage}"), LARGE + number + 10 * iteration)
            await run.round_done(IterationDone("w", iteration), {}, {}, keys)
            there = {key for key, record in (await run.journal.tasks("w/")).items() if record.file is not None}
            assert there == set(keys)
            assert len(objects(run)) == len(there)
        await run.close()

    asyncio.run(main())


def test_a_result_that_is_just_stored_is_not_freed(tmp_path: Path) -> None:
    """Its file is there before its record: a round that frees the same content meanwhile must leave it."""

    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        await run.done(run.started("a/0/prediction/m/0"), LARGE)
        storing = [run.done(run.started(f"b/0/prediction/m/{index}"), LARGE) for index in range(20)]
        await asyncio.gather(*storing[:10], run.round_done(IterationDone("a", 0), {}, {}), *storing[10:])
        for index in range(20):
            record = await run.task(f"b/0/prediction/m/{index}")
            assert record is not None
            np.testing.assert_array_equal(await run.result(record).get(), LARGE)
        await run.close()

    asyncio.run(main())


@pytest.mark.parametrize("size", [10, 5000])
@pytest.mark.parametrize("network", [False, True])
def test_results_come_back_as_they_were(size: int, network: bool, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(schema, "is_network", lambda directory: network)
    values = {
        "array": np.arange(size, dtype=np.float32).reshape(2, -1),
        "fortran": np.asfortranarray(np.ones((2, size))),
        "strings": np.array(["a" * 10, "ü"] * size),
        "objects": np.array([{"a": 1}, None] * size, dtype=object),
        "masked": np.ma.masked_array(np.arange(size), np.arange(size) % 2),  # type: ignore[no-untyped-call]
        "text": "ü" * size,
        "bytes": bytes(size),
        "nested": {"a": [1, (2.5, None)], "b": list(range(size))},
        "function": lambda x: x + size,
        "scalar": np.float64(size),
    }

    async def write() -> None:
        run = await Run.open(tmp_path / "run")
        for name, value in values.items():
            await run.done(run.started(f"w/0/training/{name}"), value)
        await run.close()

    async def read() -> dict[str, Any]:
        run = await Run.open(tmp_path / "run")
        await run.round("w", 0)
        found = {}
        for name in values:
            record = run.recorded("w", 0, f"w/0/training/{name}")
            assert record is not None
            assert record.state == DONE
            found[name] = await run.result(record).get()
        await run.close()
        return found

    asyncio.run(write())
    found = asyncio.run(read())
    assert (tmp_path / "run" / f"{DATABASE}-wal").exists() is False
    assert found.pop("function")(1) == values.pop("function")(1)  # type: ignore[operator]
    for name, value in values.items():
        assert type(found[name]) is type(value), name
        np.testing.assert_array_equal(found[name], value)


def test_a_result_that_cannot_be_written(tmp_path: Path) -> None:
    class Stubborn:
        def __reduce__(self) -> Any:
            raise TypeError("I do not travel")

    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        with pytest.raises(UnpicklableError, match=r"task w/0/training/m: its result \(Stubborn\) cannot be written"):
            await run.done(run.started("w/0/training/m"), Stubborn())
        await run.close()

    asyncio.run(main())


@pytest.mark.parametrize("key", [object(), "half a pair: \ud800"])
def test_a_record_that_cannot_be_written_ends_the_run_and_hangs_nobody(tmp_path: Path, key: Any) -> None:
    """In the loop, where rows are made, as in the journal's thread, which writes them."""

    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        await run.done(run.started("a/0/before"), 1)
        with pytest.raises((TypeError, ValueError)):
            await asyncio.wait_for(run.done(run.started(key), 2), 10)
        with pytest.raises((TypeError, ValueError)):
            await run.done(run.started("a/0/after"), 3)
        await run.close()

    asyncio.run(main())
    with reading(tmp_path / "run") as connection:
        assert [task.key for task in read_tasks(connection)] == ["a/0/before"]


async def _unflushed(path: Path) -> None:
    run = await Run.open(path)
    for index in range(100):
        await run.done(run.started(f"a/0/prediction/m/{index}"), index, unflushed=True)
    await run.done(run.started("a/0/prediction/m/large"), LARGE, unflushed=True)
    await run.flushed()
    os._exit(0)


def test_what_came_unflushed_is_there_once_it_is_settled(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        asyncio.run(_unflushed(tmp_path / "run"))
    os.waitpid(child, 0)
    with reading(tmp_path / "run") as connection:
        assert [task.state for task in read_tasks(connection, "a/0/prediction/")] == [DONE] * 101


def test_a_missing_result_of_a_task_is_computed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        await run.done(run.started("w/0/training/m"), LARGE)
        await run.close()
        (name,) = objects(run)
        run.objects.path(name).unlink()
        run = await Run.open(tmp_path / "run")
        await run.round("w", 0)
        assert run.recorded("w", 0, "w/0/training/m") is None
        await run.close()

    asyncio.run(main())
    assert "task w/0/training/m runs again" in caplog.text


def test_cancelling_the_opening_leaves_nothing_open(tmp_path: Path) -> None:
    async def main() -> None:
        opening = asyncio.create_task(Run.open(tmp_path / "run"))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        run = await Run.open(tmp_path / "run")  # it is not locked
        await run.close()

    asyncio.run(main())


def test_what_commands_leave_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")) or sync(file))

    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        workdir = run.workdir("w/0/training/m")
        (workdir / "deep").mkdir()
        (workdir / "deep" / "model.bin").write_bytes(b"model")
        os.mkfifo(workdir / "pipe")
        (workdir / "broken").symlink_to("nowhere")
        (tmp_path / "mine").mkdir()
        for directory in (workdir, tmp_path / "mine"):
            await run.keep(directory)
        assert {str(workdir), str(workdir / "deep"), str(workdir / "deep" / "model.bin")} <= set(synced)
        assert str(tmp_path / "mine") not in synced
        await run.close()

    asyncio.run(main())


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="holds no run"):
        schema.open_for_reading(tmp_path)
    (tmp_path / DATABASE).write_bytes(os.urandom(5000))
    for opening in (lambda: schema.open_for_reading(tmp_path), lambda: asyncio.run(Run.open(tmp_path))):
        with pytest.raises(CorruptRunError, match=r"is damaged .*file is not a database"):
            opening()
    (tmp_path / DATABASE).unlink()
    sqlite3.connect(tmp_path / DATABASE).execute("CREATE TABLE other (x)").connection.close()
    with pytest.raises(CorruptRunError, match="its tables are missing"):
        schema.open_for_reading(tmp_path)


def test_a_dead_run_is_read_where_one_cannot_write(tmp_path: Path) -> None:
    """Nothing is made or changed there."""

    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        await run.done(run.started("w/0/training/m"), 1)
        await run.close()

    asyncio.run(main())
    (tmp_path / "run").chmod(0o500)
    try:
        with reading(tmp_path / "run") as connection:
            assert [task.key for task in read_tasks(connection)] == ["w/0/training/m"]
    finally:
        (tmp_path / "run").chmod(0o700)
    assert not ObjectStore(tmp_path / "run" / "objects").root.exists()


def test_a_read_that_is_given_up_in_the_middle_hangs_no_other(tmp_path: Path) -> None:
    async def main() -> None:
        run = await Run.open(tmp_path / "run")
        begun, go_on = threading.Event(), threading.Event()
        reading = asyncio.create_task(run.journal.run(lambda: (begun.set(), go_on.wait())))
        await asyncio.to_thread(begun.wait)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        go_on.set()
        async with asyncio.timeout(30):
            assert await run.round("w", 0) is None
            await run.close()

    asyncio.run(main())
