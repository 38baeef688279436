"""Test what a crash, a failing place and too little memory cost."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from rose.engine import Command, Engine, Resources
from rose.errors import CommandFailedError, OutOfMemoryError, PlaceError, TaskError, WorkerLostError
from rose.testing import tasks
from rose.testing.engines.suite import EngineTests, task, with_engine


class FaultsContract(EngineTests):
    """Hold a part of `EngineContract`."""

    # --- crashes ---------------------------------------------------------------------------------------------------

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

    # --- memory ----------------------------------------------------------------------------------------------------

    @with_engine()
    async def test_what_the_place_does_is_not_the_tasks_failure(self, engine: Engine) -> None:
        """Raise `PlaceError`, with the cause, for a full disk or a program that is not there, and for nothing else."""
        with pytest.raises(PlaceError, match=r"workflow/0/stage: .*No space left") as full:
            await engine.run(task(tasks.fail_as_a_full_disk))
        assert isinstance(full.value.__cause__, OSError)
        for line in ("no-such-program", "sh -c 'kill -TERM $$'", "sh -c 'no-such-program'"):
            with pytest.raises(PlaceError, match="workflow/0/stage: ") as command:
                await engine.run(task(Command(line)))
            assert isinstance(command.value, CommandFailedError)
        for own in (task(tasks.fail, ValueError), task(tasks.fail, OSError), task(Command("exit 3"))):
            with pytest.raises(TaskError) as failed:
                await engine.run(own)
            assert not isinstance(failed.value, PlaceError)

    @with_engine(needs="survives_crash")
    async def test_a_worker_that_was_ended_is_told_from_one_that_crashed(self, engine: Engine) -> None:
        """Blame who violates memory, and not who is sent a signal."""
        for number, of_place in ((signal.SIGTERM, True), (signal.SIGKILL, True), (signal.SIGSEGV, False)):
            with pytest.raises(WorkerLostError) as lost:
                await engine.run(task(tasks.end_by, number))
            assert isinstance(lost.value, PlaceError) is of_place

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
        with pytest.raises(OutOfMemoryError, match=r"workflow/0/training: .*200 MB") as caught:
            await engine.run(task(tasks.take_memory, 500_000_000, name="training", resources=little))
        assert isinstance(caught.value, MemoryError)
        assert caught.value.key == "workflow/0/training"
        assert await engine.run(task(tasks.take_memory, 50_000_000, resources=little)) == 50_000_000
        assert await engine.run(task(tasks.take_memory, 500_000_000)) == 500_000_000
        assert await other == "other"

    @pytest.mark.parametrize("in_child", [False, True], ids=["itself", "a-child"])
    @with_engine(needs="limits_memory")
    async def test_a_command_that_takes_too_much_memory_is_stopped(self, engine: Engine, in_child: bool) -> None:
        little = Resources(memory=200_000_000)
        line = f"{sys.executable} -c 'print(len(bytearray({{}})))'" + (" | cat; exit 1" if in_child else "")
        with pytest.raises(OutOfMemoryError, match=r"workflow/0/stage: .*200 MB"):
            await engine.run(task(Command(line.format(500_000_000)), resources=little))
        output = await engine.run(task(Command(line.format(50_000_000).split(";")[0]), resources=little))
        assert output.stdout == "50000000\n"
