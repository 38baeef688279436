"""Test how tasks end that do not end by themselves, what a failure costs, and how the engine ends."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rose.engine import Command, Engine, Resources
from rose.errors import (
    CommandFailedError,
    EngineClosedError,
    OutOfMemoryError,
    PlaceError,
    TaskError,
    TaskTimeoutError,
    WorkerLostError,
)
from rose.testing import tasks
from rose.testing.engines.suite import EngineTests, assert_still, begun, fails, is_cancelled, task, with_engine


class StoppingContract(EngineTests):
    """Hold a part of `EngineContract`."""

    # --- cancellation and timeouts ---------------------------------------------------------------------------------

    @with_engine(workers=1)
    async def test_a_task_cancelled_while_it_waits_never_runs(self, engine: Engine, tmp_path: Path) -> None:
        file = tmp_path / "order"
        first = asyncio.ensure_future(engine.run(task(time.sleep, 0.3)))
        waiting = [asyncio.ensure_future(engine.run(task(tasks.note, file, str(i)))) for i in range(4)]
        command = asyncio.ensure_future(engine.run(task(Command(f"echo c >> {file}"))))
        await asyncio.sleep(0.1)
        for cancelled in (waiting[0], waiting[2], command):
            assert await is_cancelled(cancelled)
        await asyncio.gather(first, waiting[1], waiting[3])
        assert file.read_text().split() == ["1", "3"]

    @with_engine(needs="stops_work", workers=1)
    async def test_cancelling_stops_the_work(self, engine: Engine, tmp_path: Path) -> None:
        for work in (tasks.beat, tasks.hold_the_gil):
            file = tmp_path / work.__name__
            running = asyncio.ensure_future(engine.run(task(work, file)))
            await begun(file)
            assert await is_cancelled(running)
            await assert_still(file)
            assert await engine.run(task(tasks.add, 1)) == 1

    @pytest.mark.parametrize("new_session", [False, True], ids=["in-group", "in-own-session"])
    @with_engine(needs="stops_children")
    async def test_what_a_task_starts_ends_with_it_or_the_engine(
        self, engine: Engine, tmp_path: Path, new_session: bool
    ) -> None:
        file, left = tmp_path / "beats", tmp_path / "left"
        assert await engine.run(task(tasks.leave_beating, left, new_session)) is None
        running = asyncio.ensure_future(engine.run(task(tasks.beat_in_child, file, new_session)))
        await begun(file)
        await begun(left)
        assert await is_cancelled(running)
        await assert_still(file)
        await engine.close()
        await assert_still(left)

    @with_engine()
    async def test_a_command_is_stopped_with_all_that_it_started(self, engine: Engine, tmp_path: Path) -> None:
        file = tmp_path / "beats"
        running = asyncio.ensure_future(engine.run(task(Command(tasks.beating_command(file)))))
        await begun(file)
        assert await is_cancelled(running)
        await assert_still(file)
        line = "echo some words >&2; " + tasks.beating_command(file)
        late = engine.run(task(Command(line), timeout=1.0))
        await fails(late, TaskTimeoutError, r"(?s)workflow/0/stage: .*1 s.*some words")
        await assert_still(file)

    @with_engine(needs="stops_work")
    async def test_cancelling_right_after_the_start(self, engine: Engine) -> None:
        for call in (Command("sleep 60"), time.sleep):
            for turns in range(12):
                work = task(call, 60) if callable(call) else task(call)
                running = asyncio.ensure_future(engine.run(work))
                for _ in range(turns):
                    await asyncio.sleep(0.001)
                assert await is_cancelled(running)
            assert await engine.run(task(tasks.add, 1)) == 1

    @with_engine(needs="enforces_timeout", workers=1)
    async def test_a_timeout_stops_a_function(self, engine: Engine, tmp_path: Path) -> None:
        file = tmp_path / "beats"
        running = engine.run(task(tasks.beat, file, name="training", timeout=0.5))
        error = await fails(running, TaskTimeoutError, r"workflow/0/training: .*0\.5 s")
        assert error.key == "workflow/0/training"
        await assert_still(file)
        assert await engine.run(task(tasks.add, 1, timeout=30.0)) == 1

    @with_engine(workers=1)
    async def test_a_timeout_is_reported_and_waiting_for_a_slot_is_no_running_time(self, engine: Engine) -> None:
        await fails(engine.run(task(time.sleep, 0.4, timeout=0.2)), TaskTimeoutError, r"0\.2 s")
        work = [task(time.sleep, 0.3, timeout=1.0) for _ in range(5)]
        await asyncio.gather(*[engine.run(each) for each in work])

    # --- the event loop and the end --------------------------------------------------------------------------------

    @with_engine()
    async def test_the_event_loop_goes_on(self, engine: Engine) -> None:
        gaps: list[float] = []

        async def tick() -> None:
            while True:
                began = time.monotonic()
                await asyncio.sleep(0.005)
                gaps.append(time.monotonic() - began)

        ticking = asyncio.ensure_future(tick())
        ref = await engine.share(np.zeros(5_000_000))
        work = [task(time.sleep, 1.0), task(Command("sleep 1")), task(np.sum, ref), task(tasks.add, 1)]
        await asyncio.gather(*[engine.run(each) for each in work])
        await is_cancelled(ticking)
        # A hang is meant, not a busy machine: whoever waits in the loop for the sleepers takes a second.
        assert max(gaps) < 0.7

    @with_engine()
    async def test_a_closed_engine_refuses(self, engine: Engine) -> None:
        assert await engine.run(task(tasks.add, 1)) == 1
        await engine.close()
        await engine.close()
        await fails(engine.run(task(tasks.add, 1)), EngineClosedError, "workflow/0/stage")
        await fails(engine.share(np.zeros(3)), EngineClosedError)

    @with_engine()
    async def test_closing_ends_what_runs_and_what_waits(self, engine: Engine, tmp_path: Path) -> None:
        file = tmp_path / "beats"
        calls = [task(Command(tasks.beating_command(file))), task(time.sleep, 0.5), task(time.sleep, 0.5)]
        pending = [asyncio.ensure_future(engine.run(each)) for each in (*calls, task(Command("sleep 60")))]
        await begun(file)
        await engine.close()
        ends = await asyncio.gather(*pending, return_exceptions=True)
        assert all(end is None or isinstance(end, (EngineClosedError, asyncio.CancelledError)) for end in ends), ends
        assert isinstance(ends[0], (EngineClosedError, asyncio.CancelledError))
        await assert_still(file)

    # --- crashes, failing places, too little memory ------------------------------------------------------------------

    @with_engine(needs="survives_crash")
    async def test_a_killed_worker_costs_its_one_task(self, engine: Engine) -> None:
        work = [engine.run(task(tasks.die if i == 40 else tasks.add, *([] if i == 40 else [i]), name=f"s{i}"))
                for i in range(100)]  # fmt: skip
        results = await asyncio.gather(*work, return_exceptions=True)
        lost = results.pop(40)
        assert isinstance(lost, WorkerLostError)
        assert lost.key == "workflow/0/s40"
        assert "SIGKILL" in str(lost)
        assert results == [i for i in range(100) if i != 40]
        assert await engine.run(task(tasks.add, 1)) == 1

    @with_engine()
    async def test_what_the_place_does_is_not_the_tasks_failure(self, engine: Engine) -> None:
        """Raise `PlaceError`, with the cause, for a full disk or a program that is not there, and for nothing else."""
        full = await fails(
            engine.run(task(tasks.fail_as_a_full_disk)), PlaceError, r"workflow/0/stage: .*No space left"
        )
        assert isinstance(full.__cause__, OSError)
        for line in ("no-such-program", "sh -c 'kill -TERM $$'", "sh -c 'no-such-program'"):
            command = await fails(engine.run(task(Command(line))), PlaceError, "workflow/0/stage: ")
            assert isinstance(command, CommandFailedError)
        for own in (task(tasks.fail, ValueError), task(tasks.fail, OSError), task(Command("exit 3"))):
            assert not isinstance(await fails(engine.run(own), TaskError), PlaceError)

    @with_engine(needs="survives_crash")
    async def test_a_worker_that_was_ended_is_told_from_one_that_crashed(self, engine: Engine) -> None:
        """Blame who violates memory, and not who is sent a signal."""
        for number, of_place in ((signal.SIGTERM, True), (signal.SIGKILL, True), (signal.SIGSEGV, False)):
            lost = await fails(engine.run(task(tasks.end_by, number)), WorkerLostError)
            assert isinstance(lost, PlaceError) is of_place

    @with_engine(workers=1, needs="survives_crash")
    async def test_what_cannot_be_shown_is_no_failure(self, engine: Engine) -> None:
        """Go on, in a task and what it starts, be the reader of the output gone or the disk of the log full."""
        for nowhere in ("pipe", "/dev/full"):
            assert await engine.run(task(tasks.print_to_nobody, nowhere)) == "went on"
        assert await engine.run(task(tasks.print_to_nobody, "pipe")) == "went on"
        assert await engine.run(task(tasks.echo)) == 0

    @with_engine(needs="limits_memory")
    async def test_a_function_that_takes_too_much_memory_is_stopped(self, engine: Engine) -> None:
        other = asyncio.ensure_future(engine.run(task(tasks.occupy_quietly, 1.0, "other")))
        little = Resources(memory=200_000_000)
        running = engine.run(task(tasks.take_memory, 500_000_000, name="training", resources=little))
        error = await fails(running, OutOfMemoryError, r"workflow/0/training: .*200 MB")
        assert isinstance(error, MemoryError)
        assert error.key == "workflow/0/training"
        assert await engine.run(task(tasks.take_memory, 50_000_000, resources=little)) == 50_000_000
        assert await engine.run(task(tasks.take_memory, 500_000_000)) == 500_000_000
        assert await other == "other"

    @with_engine(needs="limits_memory")
    async def test_a_command_that_takes_too_much_memory_is_stopped(self, engine: Engine) -> None:
        little = Resources(memory=200_000_000)
        line = f"{sys.executable} -c 'print(len(bytearray({{}})))'"
        for further in ("", " | cat; exit 1"):  # itself; a child
            running = engine.run(task(Command(line.format(500_000_000) + further), resources=little))
            await fails(running, OutOfMemoryError, r"workflow/0/stage: .*200 MB")
        output = await engine.run(task(Command(line.format(50_000_000)), resources=little))
        assert output.stdout == "50000000\n"
