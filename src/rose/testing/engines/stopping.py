"""Test how tasks end that do not end by themselves, and the engine with them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rose.engine import Command, Engine
from rose.errors import EngineClosedError, TaskTimeoutError
from rose.testing import tasks
from rose.testing.engines.suite import EngineTests, assert_still, begun, is_cancelled, task, with_engine


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

    @pytest.mark.parametrize("work", [tasks.beat, tasks.hold_the_gil])
    @with_engine(needs="stops_work", workers=1)
    async def test_cancelling_stops_the_work(
        self, engine: Engine, tmp_path: Path, work: Callable[[Path], None]
    ) -> None:
        file = tmp_path / "beats"
        running = asyncio.ensure_future(engine.run(task(work, file)))
        await begun(file)
        assert await is_cancelled(running)
        await assert_still(file)
        assert await engine.run(task(tasks.add, 1)) == 1

    @pytest.mark.parametrize("new_session", [False, True], ids=["in-group", "in-own-session"])
    @with_engine(needs="stops_children")
    async def test_cancelling_stops_what_the_task_started(
        self, engine: Engine, tmp_path: Path, new_session: bool
    ) -> None:
        file = tmp_path / "beats"
        running = asyncio.ensure_future(engine.run(task(tasks.beat_in_child, file, new_session)))
        await begun(file)
        assert await is_cancelled(running)
        await assert_still(file)

    @pytest.mark.parametrize("new_session", [False, True], ids=["in-group", "in-own-session"])
    @with_engine(needs="stops_children")
    async def test_what_a_task_left_behind_ends_with_the_engine(
        self, engine: Engine, tmp_path: Path, new_session: bool
    ) -> None:
        file = tmp_path / "beats"
        assert await engine.run(task(tasks.leave_beating, file, new_session)) is None
        await begun(file)
        assert await engine.run(task(tasks.add, 1)) == 1
        await engine.close()
        await assert_still(file)

    @with_engine()
    async def test_cancelling_a_command_stops_all_of_it(self, engine: Engine, tmp_path: Path) -> None:
        file = tmp_path / "beats"
        running = asyncio.ensure_future(engine.run(task(Command(tasks.beating_command(file)))))
        await begun(file)
        assert await is_cancelled(running)
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
        with pytest.raises(TaskTimeoutError, match=r"workflow/0/training: .*0\.5 s") as caught:
            await engine.run(task(tasks.beat, file, name="training", timeout=0.5))
        assert caught.value.key == "workflow/0/training"
        await assert_still(file)
        assert await engine.run(task(tasks.add, 1, timeout=30.0)) == 1

    @with_engine()
    async def test_a_timeout_is_reported(self, engine: Engine) -> None:
        with pytest.raises(TaskTimeoutError, match=r"0\.2 s"):
            await engine.run(task(time.sleep, 1, timeout=0.2))

    @with_engine()
    async def test_a_timeout_stops_a_command(self, engine: Engine, tmp_path: Path) -> None:
        file = tmp_path / "beats"
        line = "echo some words >&2; " + tasks.beating_command(file)
        with pytest.raises(TaskTimeoutError, match=r"(?s)workflow/0/stage: .*1 s.*some words"):
            await engine.run(task(Command(line), timeout=1.0))
        await assert_still(file)

    @with_engine(workers=1)
    async def test_waiting_for_a_slot_is_not_running_time(self, engine: Engine) -> None:
        await engine.run(task(tasks.add, 1))
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
        with pytest.raises(EngineClosedError, match="workflow/0/stage"):
            await engine.run(task(tasks.add, 1))
        with pytest.raises(EngineClosedError):
            await engine.share(np.zeros(3))

    @with_engine()
    async def test_an_unused_engine_closes(self, engine: Engine) -> None:
        await engine.close()

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
