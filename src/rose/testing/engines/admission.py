"""Test when tasks begin, and what they share: slots, gpus and threads."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rose.engine import Command, CommandOutput, Engine, Resources
from rose.errors import CapacityError, ConfigurationError
from rose.testing import tasks
from rose.testing.engines.suite import EngineTests, fails, is_cancelled, most_at_once, task, with_engine

_VISIBLE = "echo $CUDA_VISIBLE_DEVICES"


class AdmissionContract(EngineTests):
    """Hold a part of `EngineContract`."""

    # --- when a task begins ----------------------------------------------------------------------------------------

    @pytest.mark.parametrize("call", [tasks.whereabouts, Command("echo $(uname -n):$$")], ids=["function", "command"])
    @with_engine(workers=1, needs="tells_start")
    async def test_says_when_a_task_really_begins_and_where(
        self, engine: Engine, tmp_path: Path, call: Callable[[], str] | Command
    ) -> None:
        told: list[tuple[str, str]] = []

        def start(name: str, work: Callable[..., Any] | Command, *args: Any, cpus: int = 1) -> asyncio.Future[Any]:
            wanted = task(work, *args, name=name, resources=Resources(cpus=cpus))
            return asyncio.ensure_future(engine.run(wanted, lambda worker: told.append((name, worker))))

        gate = tmp_path / "gate"
        first = start("first", tasks.whereabouts_after, gate)
        second, third = start("second", call), start("third", call)
        refused = start("refused", call, cpus=2)
        while not told:  # noqa: ASYNC110 (another process begins)
            await asyncio.sleep(0.01)
        await asyncio.wait([refused])
        assert isinstance(refused.exception(), CapacityError)
        assert await is_cancelled(third)
        assert [name for name, _ in told] == ["first"]
        gate.touch()
        assert ("first", await first) == told[0]
        output = await second
        assert told[1:] == [("second", output.stdout.strip() if isinstance(output, CommandOutput) else output)]

    @with_engine(needs="tells_start")
    async def test_says_once_that_a_task_begins_and_before_it_has_ended(self, engine: Engine) -> None:
        told: list[int] = []

        async def run(number: int) -> bool:
            before = number in told
            await engine.run(task(tasks.add, number), lambda _: told.append(number))
            return not before and told.count(number) == 1

        assert all(await asyncio.gather(*[run(number) for number in range(200)]))
        assert sorted(told) == list(range(200))

    @with_engine()
    async def test_an_engine_that_cannot_tell_does_not(self, engine: Engine) -> None:
        told: list[str] = []
        assert await engine.run(task(tasks.add, 1), told.append) == 1
        assert bool(told) is engine.capabilities.tells_start

    # --- slots -----------------------------------------------------------------------------------------------------

    @with_engine()
    async def test_capacity_is_kept_by_functions_and_commands_together(self, engine: Engine, tmp_path: Path) -> None:
        work = []
        for index in range(8):
            cpus = 2 if index == 5 else 1
            work.append(
                task(tasks.occupy, tmp_path, str(index), 0.1, resources=Resources(cpus=cpus))
                if index % 2
                else task(Command(tasks.occupying_command(tmp_path, str(index), 0.1)))
            )
        await asyncio.gather(*[engine.run(each) for each in work])
        cpus_of = {str(index): each.resources.cpus for index, each in enumerate(work)}
        assert most_at_once(tmp_path, cpus_of) <= 2

    @with_engine()
    async def test_all_cpus_are_used(self, engine: Engine, tmp_path: Path) -> None:
        await asyncio.gather(*[engine.run(task(tasks.add, 1)) for _ in range(2)])  # started
        await asyncio.gather(*[engine.run(task(tasks.occupy, tmp_path, str(i), 0.4)) for i in range(4)])
        assert most_at_once(tmp_path, dict.fromkeys("0123", 1)) == 2

    @with_engine()
    async def test_what_never_fits_is_refused_at_once(self, engine: Engine) -> None:
        running = asyncio.ensure_future(engine.run(task(time.sleep, 0.2)))
        await asyncio.sleep(0)
        large = engine.run(task(tasks.add, 1, resources=Resources(cpus=3)))
        await fails(large, CapacityError, r"workflow/0/stage asks for 3 cpus \(the engine has 2\)")
        large = engine.run(task(Command("true"), resources=Resources(gpus=engine.capacity().gpus + 1)))
        await fails(large, CapacityError, "gpus")
        for wrong in (Resources(cpus=0), Resources(gpus=-1)):
            await fails(engine.run(task(tasks.add, 1, resources=wrong)), ConfigurationError, "at least 1 cpu")
        await fails(engine.run(task(tasks.add, 1, timeout=0.0)), ConfigurationError, "timeout")
        assert not running.done()
        await running

    @with_engine(workers=1)
    async def test_a_workflow_is_served_in_order(self, engine: Engine, tmp_path: Path) -> None:
        file = tmp_path / "order"
        await asyncio.gather(*[engine.run(task(tasks.note, file, str(index))) for index in range(200)])
        assert file.read_text().split() == [str(index) for index in range(200)]

    @with_engine(workers=1)
    async def test_workflows_take_turns(self, engine: Engine, tmp_path: Path) -> None:
        file = tmp_path / "order"

        def note_slowly(text: str) -> None:
            time.sleep(0.02)
            tasks.note(file, text)

        await engine.run(task(tasks.add, 1))
        many = [engine.run(task(note_slowly, "many", workflow="many")) for _ in range(20)]
        few = [engine.run(task(note_slowly, "few", workflow="few")) for _ in range(3)]
        await asyncio.gather(*many, *few)
        # A task may be under way, and one be sent ahead of its turn; the 3 do not wait for the 20.
        assert "few" not in file.read_text().split()[10:]

    # --- gpus ------------------------------------------------------------------------------------------------------

    @with_engine(workers=3, needs="assigns_gpus", gpus=2)
    async def test_each_task_sees_gpus_of_its_own(self, engine: Engine, tmp_path: Path) -> None:
        one, both = Resources(gpus=1), Resources(gpus=2)
        seen = await asyncio.gather(
            *[engine.run(task(tasks.visible_gpus, tmp_path, str(i), resources=one)) for i in range(4)],
            *[engine.run(task(Command(_VISIBLE), resources=one)) for _ in range(2)],
            engine.run(task(tasks.visible_gpus, tmp_path, "all", resources=both)),
        )
        singles = [each.stdout.strip() if isinstance(each, CommandOutput) else each for each in seen[:-1]]
        assert len(set(singles)) == 2
        assert sorted(seen[-1].split(",")) == sorted(set(singles))
        for gpu in set(singles):
            users = {str(i): 1 for i in range(4) if singles[i] == gpu} | {"all": 1}
            assert most_at_once(tmp_path, users) == 1
        assert await engine.run(task(os.getenv, "CUDA_VISIBLE_DEVICES")) == ""
        assert (await engine.run(task(Command(_VISIBLE)))).stdout.strip() == ""

    # --- threads ---------------------------------------------------------------------------------------------------

    @with_engine(needs="limits_threads")
    async def test_a_tasks_cpus_limit_its_threads(self, engine: Engine) -> None:
        for cpus in (1, 2, 1):
            told, libraries = await engine.run(task(tasks.thread_limits, resources=Resources(cpus=cpus)))
            assert told == str(cpus)
            assert libraries
            assert set(libraries) <= set(range(1, cpus + 1))
            assert max(libraries) == min(cpus, os.cpu_count() or 1)
