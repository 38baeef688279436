"""The contract of `rose.engine.Engine` as tests."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose.engine import Capabilities, Capacity, Command, CommandOutput, Engine, Resources, Task, TaskKey
from rose.errors import (
    CapacityError,
    CommandFailedError,
    ConfigurationError,
    EngineClosedError,
    OutOfMemoryError,
    PlaceError,
    TaskError,
    TaskFailedError,
    TaskTimeoutError,
    UnpicklableError,
    WorkerLostError,
)
from rose.testing import tasks
from rose.testing.main_contract import MainModuleContract

_VISIBLE = "echo $CUDA_VISIBLE_DEVICES"
LIMIT = 50.0  # seconds that a test may take before it counts as hanging


def task(
    call: Callable[..., Any] | Command,
    *args: Any,
    name: str = "stage",
    workflow: str = "workflow",
    resources: Resources | None = None,
    timeout: float | None = None,
    **kwargs: Any,
) -> Task:
    """A task with a key made of `workflow` and `name`."""
    return Task(TaskKey(workflow, 0, name), call, args, kwargs, resources or Resources(), timeout)


class EngineContract(MainModuleContract):
    """What every engine keeps. A subclass named `Test...` gives `make_engine`; see `rose.testing`."""

    def make_engine(self, workers: int) -> Engine | Awaitable[Engine]:
        """A new engine with so many cpus, not yet used. Called outside an event loop; an `async def` goes on in one."""
        raise NotImplementedError

    def make_gpu_engine(self, workers: int, gpus: int) -> Engine | Awaitable[Engine]:
        """The same with so many gpus (they need not exist), for engines that say they assign them."""
        raise NotImplementedError(f"{type(self).__name__} assigns gpus, so it must give make_gpu_engine")

    def drive(
        self, body: Callable[[Engine], Awaitable[None]], workers: int = 2, needs: str = "", gpus: int = 0
    ) -> None:
        """Run a test's body with an engine, which is closed at the end; skip it if the engine cannot do it."""
        made = self.make_engine(workers)

        async def main() -> None:
            engine = await in_the_end(made)
            try:
                if gpus and engine.capabilities.assigns_gpus:
                    await engine.close()
                    engine = await in_the_end(self.make_gpu_engine(workers, gpus))
                if needs and not getattr(engine.capabilities, needs):
                    pytest.skip(f"capability {needs!r} declared absent")
                async with asyncio.timeout(LIMIT):
                    await body(engine)
            finally:
                await engine.close()

        asyncio.run(main())

    # --- results and errors --------------------------------------------------------------------------------------

    def test_declares_what_it_is(self) -> None:
        async def body(engine: Engine) -> None:
            assert isinstance(engine, Engine)
            assert isinstance(engine.capabilities, Capabilities)
            assert engine.capacity() == Capacity(cpus=2, gpus=engine.capacity().gpus, memory=engine.capacity().memory)

        self.drive(body)

    def test_returns_what_the_function_returns(self) -> None:
        async def body(engine: Engine) -> None:
            assert await engine.run(task(tasks.add, 1, second=2)) == 3
            assert await engine.run(task(tasks.add_later, [1], second=[2])) == [1, 2]
            assert await engine.run(task(tasks.add, "a", second="b")) == "ab"

        self.drive(body)

    def test_runs_lambdas_and_closures(self) -> None:
        async def body(engine: Engine) -> None:
            offset = 10
            results = await asyncio.gather(*[engine.run(task(lambda x: x + offset, x)) for x in range(50)])
            assert results == list(range(10, 60))

        self.drive(body)

    def test_closures_are_seen_as_they_are_now(self) -> None:
        async def body(engine: Engine) -> None:
            offset = 10

            def shifted(x: int) -> int:
                return x + offset

            assert await engine.run(task(shifted, 1)) == 11
            offset = 20
            assert await engine.run(task(shifted, 1)) == 21

        self.drive(body)

    def test_returns_instances_of_local_classes(self) -> None:
        async def body(engine: Engine) -> None:
            class Local:
                value = 3

            assert isinstance(await engine.run(task(Local)), Local)

        self.drive(body)

    def test_an_exception_is_the_cause_of_a_named_error(self) -> None:
        async def body(engine: Engine) -> None:
            with pytest.raises(TaskFailedError, match="ValueError: no convergence") as caught:
                await engine.run(task(tasks.fail, ValueError, "no convergence", name="training"))
            assert caught.value.key == "workflow/0/training"
            assert type(caught.value.__cause__) is ValueError
            assert await engine.run(task(tasks.add, 1)) == 1

        self.drive(body)

    @pytest.mark.parametrize("error", [tasks.Moody, tasks.Stubborn])
    def test_an_exception_that_cannot_travel_is_reported(self, error: type[Exception]) -> None:
        async def body(engine: Engine) -> None:
            with pytest.raises(TaskFailedError, match=f"{error.__name__}: .*rain") as caught:
                await engine.run(task(tasks.fail, error, *["rain"] * (2 if error is tasks.Moody else 1)))
            assert "rain" in str(caught.value.__cause__)

        self.drive(body)

    def test_sys_exit_ends_the_task_only(self) -> None:
        async def body(engine: Engine) -> None:
            with pytest.raises(TaskFailedError, match="SystemExit: 3"):
                await engine.run(task(sys.exit, 3))
            assert await engine.run(task(tasks.add, 1)) == 1

        self.drive(body)

    def test_an_unpicklable_argument_is_named(self) -> None:
        async def body(engine: Engine) -> None:
            with pytest.raises(UnpicklableError, match=r"argument 'second'\['tool'\] \(a lock\)") as caught:
                await engine.run(task(tasks.add, 1, second={"tool": threading.Lock()}, name="training"))
            assert caught.value.key == "workflow/0/training"
            with pytest.raises(UnpicklableError, match="argument 0"):
                await engine.run(task(tasks.add, threading.Lock()))
            lock = threading.Lock()
            with pytest.raises(UnpicklableError, match=r"the function .*'lock'"):
                await engine.run(task(lambda: lock))

        self.drive(body, needs="isolates_memory")

    def test_an_unpicklable_result_is_named(self) -> None:
        async def body(engine: Engine) -> None:
            with pytest.raises(UnpicklableError, match=r"the result\['tool'\] \(a lock\)") as caught:
                await engine.run(task(lambda: {"tool": threading.Lock()}, name="training"))
            assert caught.value.key == "workflow/0/training"

        self.drive(body, needs="isolates_memory")

    def test_a_task_cannot_change_the_drivers_objects(self) -> None:
        async def body(engine: Engine) -> None:
            values = [1, 2]
            assert await engine.run(task(tasks.change, values)) == [1, 2, 99]
            assert values == [1, 2]

        self.drive(body, needs="isolates_memory")

    # --- large values --------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "array",
        [
            np.arange(500_000, dtype=np.float32).reshape(1_000, 500),
            np.asfortranarray(np.arange(500_000.0).reshape(1_000, 500)),
            np.arange(1_000_000)[::2],
            np.zeros((0, 5)),
            np.array(7.5),
            np.array([{"a": 1}, None], dtype=object),
            np.zeros(100_000, dtype=[("x", "f8"), ("n", "i4")]),
        ],
        ids=["c-order", "f-order", "strided", "empty", "scalar", "objects", "structured"],
    )
    def test_arrays_travel_unchanged(self, array: Any) -> None:
        async def body(engine: Engine) -> None:
            back = await engine.run(task(lambda values: values["it"], {"it": array}))
            assert type(back) is np.ndarray
            assert back.dtype == array.dtype
            np.testing.assert_array_equal(back, array)

        self.drive(body)

    def test_a_task_may_change_its_own_array_and_the_driver_a_result(self) -> None:
        async def body(engine: Engine) -> None:
            array = np.ones(300_000)
            result = await engine.run(task(lambda x: x.__iadd__(1), array))
            assert (result == 2).all()
            assert (array == 1).all()
            result += 1
            assert (result == 3).all()

        self.drive(body, needs="isolates_memory")

    def test_a_long_text_travels(self) -> None:
        async def body(engine: Engine) -> None:
            text = "x" * 3_000_000
            assert await engine.run(task(tasks.add, text, second="y")) == text + "y"

        self.drive(body)

    def test_shares_an_array(self) -> None:
        async def body(engine: Engine) -> None:
            for array in (np.arange(300_000.0), np.arange(3.0)):
                ref = await engine.share(array)
                np.testing.assert_array_equal(ref.load(), array)
                sums = await asyncio.gather(*[engine.run(task(np.sum, ref)) for _ in range(10)])
                assert sums == [array.sum()] * 10
                assert await engine.run(task(tasks.is_writeable, ref)) is False
                assert not ref.load().flags.writeable
                await engine.release(ref)

        self.drive(body)

    def test_shares_objects_also_inside_lists_and_dicts(self) -> None:
        async def body(engine: Engine) -> None:
            refs = [await engine.share(tasks.Model(np.full(100_000, value))) for value in (1.0, 2.0)]
            expected = [100_000.0, 200_000.0]
            assert ref_loaded(refs[0]) == expected[0]
            for _ in range(3):
                assert await engine.run(task(tasks.predictions, refs)) == expected
                named = dict(zip("ab", refs, strict=True))
                assert await engine.run(task(tasks.predictions, models=named)) == dict(zip("ab", expected, strict=True))

        def ref_loaded(ref: Any) -> float:
            return float(ref.load().predict())

        self.drive(body)

    def test_a_released_ref_is_refused(self) -> None:
        async def body(engine: Engine) -> None:
            ref = await engine.share(np.arange(300_000.0))
            await engine.release(ref)
            with pytest.raises(ConfigurationError, match="released"):
                await engine.run(task(np.sum, ref))
            with pytest.raises(ConfigurationError, match="released"):
                await engine.release(ref)
            assert await engine.run(task(tasks.add, 1)) == 1

        self.drive(body)

    # --- when a task begins --------------------------------------------------------------------------------------

    @pytest.mark.parametrize("call", [tasks.whereabouts, Command("echo $(uname -n):$$")], ids=["function", "command"])
    def test_says_when_a_task_really_begins_and_where(self, tmp_path: Path, call: Callable[[], str] | Command) -> None:
        async def body(engine: Engine) -> None:
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

        self.drive(body, workers=1, needs="tells_start")

    def test_says_once_that_a_task_begins_and_before_it_has_ended(self) -> None:
        async def body(engine: Engine) -> None:
            told: list[int] = []

            async def run(number: int) -> bool:
                before = number in told
                await engine.run(task(tasks.add, number), lambda _: told.append(number))
                return not before and told.count(number) == 1

            assert all(await asyncio.gather(*[run(number) for number in range(200)]))
            assert sorted(told) == list(range(200))

        self.drive(body, needs="tells_start")

    def test_an_engine_that_cannot_tell_does_not(self) -> None:
        async def body(engine: Engine) -> None:
            told: list[str] = []
            assert await engine.run(task(tasks.add, 1), told.append) == 1
            assert bool(told) is engine.capabilities.tells_start

        self.drive(body)

    # --- slots ---------------------------------------------------------------------------------------------------

    def test_capacity_is_kept_by_functions_and_commands_together(self, tmp_path: Path) -> None:
        async def body(engine: Engine) -> None:
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

        self.drive(body)

    def test_all_cpus_are_used(self, tmp_path: Path) -> None:
        async def body(engine: Engine) -> None:
            await asyncio.gather(*[engine.run(task(tasks.add, 1)) for _ in range(2)])  # started
            await asyncio.gather(*[engine.run(task(tasks.occupy, tmp_path, str(i), 0.4)) for i in range(4)])
            assert most_at_once(tmp_path, dict.fromkeys("0123", 1)) == 2

        self.drive(body)

    def test_what_never_fits_is_refused_at_once(self) -> None:
        async def body(engine: Engine) -> None:
            running = asyncio.ensure_future(engine.run(task(time.sleep, 0.2)))
            await asyncio.sleep(0)
            with pytest.raises(CapacityError, match=r"workflow/0/stage asks for 3 cpus \(the engine has 2\)"):
                await engine.run(task(tasks.add, 1, resources=Resources(cpus=3)))
            with pytest.raises(CapacityError, match="gpus"):
                await engine.run(task(Command("true"), resources=Resources(gpus=engine.capacity().gpus + 1)))
            assert not running.done()
            await running

        self.drive(body)

    @pytest.mark.parametrize("wrong", [{"resources": Resources(cpus=0)}, {"resources": Resources(gpus=-1)}])
    def test_meaningless_resources_are_refused(self, wrong: Mapping[str, Any]) -> None:
        async def body(engine: Engine) -> None:
            with pytest.raises(ConfigurationError, match="at least 1 cpu"):
                await engine.run(task(tasks.add, 1, **wrong))
            with pytest.raises(ConfigurationError, match="timeout"):
                await engine.run(task(tasks.add, 1, timeout=0.0))

        self.drive(body)

    def test_a_workflow_is_served_in_order(self, tmp_path: Path) -> None:
        async def body(engine: Engine) -> None:
            file = tmp_path / "order"
            await asyncio.gather(*[engine.run(task(tasks.note, file, str(index))) for index in range(200)])
            assert file.read_text().split() == [str(index) for index in range(200)]

        self.drive(body, workers=1)

    def test_workflows_take_turns(self, tmp_path: Path) -> None:
        async def body(engine: Engine) -> None:
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

        self.drive(body, workers=1)

    # --- cancellation and timeouts -------------------------------------------------------------------------------

    def test_a_task_cancelled_while_it_waits_never_runs(self, tmp_path: Path) -> None:
        async def body(engine: Engine) -> None:
            file = tmp_path / "order"
            first = asyncio.ensure_future(engine.run(task(time.sleep, 0.3)))
            waiting = [asyncio.ensure_future(engine.run(task(tasks.note, file, str(i)))) for i in range(4)]
            command = asyncio.ensure_future(engine.run(task(Command(f"echo c >> {file}"))))
            await asyncio.sleep(0.1)
            for cancelled in (waiting[0], waiting[2], command):
                assert await is_cancelled(cancelled)
            await asyncio.gather(first, waiting[1], waiting[3])
            assert file.read_text().split() == ["1", "3"]

        self.drive(body, workers=1)

    def test_cancelling_stops_the_work(self, tmp_path: Path) -> None:
        async def body(engine: Engine) -> None:
            file = tmp_path / "beats"
            running = asyncio.ensure_future(engine.run(task(tasks.beat, file)))
            await begun(file)
            assert await is_cancelled(running)
            await assert_still(file)
            assert await engine.run(task(tasks.add, 1)) == 1

        self.drive(body, needs="stops_work", workers=1)

    def test_cancelling_stops_work_that_holds_the_gil(self, tmp_path: Path) -> None:
        async def body(engine: Engine) -> None:
            file = tmp_path / "begun"
            running = asyncio.ensure_future(engine.run(task(tasks.hold_the_gil, file)))
            await begun(file)
            assert await is_cancelled(running)
            assert await engine.run(task(tasks.add, 1)) == 1

        self.drive(body, needs="stops_work", workers=1)

    @pytest.mark.parametrize("new_session", [False, True], ids=["in-group", "in-own-session"])
    def test_cancelling_stops_what_the_task_started(self, tmp_path: Path, new_session: bool) -> None:
        async def body(engine: Engine) -> None:
            file = tmp_path / "beats"
            running = asyncio.ensure_future(engine.run(task(tasks.beat_in_child, file, new_session)))
            await begun(file)
            assert await is_cancelled(running)
            await assert_still(file)

        self.drive(body, needs="stops_children")

    @pytest.mark.parametrize("new_session", [False, True], ids=["in-group", "in-own-session"])
    def test_what_a_task_left_behind_ends_with_the_engine(self, tmp_path: Path, new_session: bool) -> None:
        async def body(engine: Engine) -> None:
            file = tmp_path / "beats"
            assert await engine.run(task(tasks.leave_beating, file, new_session)) is None
            await begun(file)
            assert await engine.run(task(tasks.add, 1)) == 1
            await engine.close()
            await assert_still(file)

        self.drive(body, needs="stops_children")

    def test_cancelling_a_command_stops_all_of_it(self, tmp_path: Path) -> None:
        async def body(engine: Engine) -> None:
            file = tmp_path / "beats"
            running = asyncio.ensure_future(engine.run(task(Command(tasks.beating_command(file)))))
            await begun(file)
            assert await is_cancelled(running)
            await assert_still(file)

        self.drive(body)

    def test_cancelling_right_after_the_start(self) -> None:
        async def body(engine: Engine) -> None:
            for call in (Command("sleep 60"), time.sleep):
                for turns in range(12):
                    work = task(call, 60) if callable(call) else task(call)
                    running = asyncio.ensure_future(engine.run(work))
                    for _ in range(turns):
                        await asyncio.sleep(0.001)
                    assert await is_cancelled(running)
                assert await engine.run(task(tasks.add, 1)) == 1

        self.drive(body, needs="stops_work")

    def test_a_timeout_stops_a_function(self, tmp_path: Path) -> None:
        async def body(engine: Engine) -> None:
            file = tmp_path / "beats"
            with pytest.raises(TaskTimeoutError, match=r"workflow/0/training: .*0\.5 s") as caught:
                await engine.run(task(tasks.beat, file, name="training", timeout=0.5))
            assert caught.value.key == "workflow/0/training"
            await assert_still(file)
            assert await engine.run(task(tasks.add, 1, timeout=30.0)) == 1

        self.drive(body, needs="enforces_timeout", workers=1)

    def test_a_timeout_is_reported(self) -> None:
        async def body(engine: Engine) -> None:
            with pytest.raises(TaskTimeoutError, match=r"0\.2 s"):
                await engine.run(task(time.sleep, 1, timeout=0.2))

        self.drive(body)

    def test_a_timeout_stops_a_command(self, tmp_path: Path) -> None:
        async def body(engine: Engine) -> None:
            file = tmp_path / "beats"
            line = "echo some words >&2; " + tasks.beating_command(file)
            with pytest.raises(TaskTimeoutError, match=r"(?s)workflow/0/stage: .*1 s.*some words"):
                await engine.run(task(Command(line), timeout=1.0))
            await assert_still(file)

        self.drive(body)

    def test_waiting_for_a_slot_is_not_running_time(self) -> None:
        async def body(engine: Engine) -> None:
            await engine.run(task(tasks.add, 1))
            work = [task(time.sleep, 0.3, timeout=1.0) for _ in range(5)]
            await asyncio.gather(*[engine.run(each) for each in work])

        self.drive(body, workers=1)

    # --- crashes -------------------------------------------------------------------------------------------------

    def test_a_killed_worker_costs_its_one_task(self) -> None:
        async def body(engine: Engine) -> None:
            work = [engine.run(task(tasks.die if i == 40 else tasks.add, *([] if i == 40 else [i]), name=f"s{i}"))
                    for i in range(100)]  # fmt: skip
            results = await asyncio.gather(*work, return_exceptions=True)
            lost = results.pop(40)
            assert isinstance(lost, WorkerLostError)
            assert lost.key == "workflow/0/s40"
            assert "SIGKILL" in str(lost)
            assert results == [i for i in range(100) if i != 40]
            assert await engine.run(task(tasks.add, 1)) == 1

        self.drive(body, needs="survives_crash")

    # --- memory --------------------------------------------------------------------------------------------------

    def test_what_the_place_does_is_not_the_tasks_failure(self) -> None:
        """A full disk, a program that is not there: `PlaceError`, with the cause; other failures are none."""

        async def body(engine: Engine) -> None:
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

        self.drive(body)

    def test_a_worker_that_was_ended_is_told_from_one_that_crashed(self) -> None:
        """Who is sent a signal is not to blame, and who violates memory is."""

        async def body(engine: Engine) -> None:
            for number, of_place in ((signal.SIGTERM, True), (signal.SIGKILL, True), (signal.SIGSEGV, False)):
                with pytest.raises(WorkerLostError) as lost:
                    await engine.run(task(tasks.end_by, number))
                assert isinstance(lost.value, PlaceError) is of_place

        self.drive(body, needs="survives_crash")

    def test_what_cannot_be_shown_is_no_failure(self) -> None:
        """Neither for a task nor for what it starts, be the reader of the output gone or the disk of the log full."""

        async def body(engine: Engine) -> None:
            for nowhere in ("pipe", "/dev/full"):
                assert await engine.run(task(tasks.print_to_nobody, nowhere)) == "went on"
            assert await engine.run(task(tasks.print_to_nobody, "pipe")) == "went on"
            assert await engine.run(task(tasks.echo)) == 0

        self.drive(body, workers=1, needs="survives_crash")

    def test_a_function_that_takes_too_much_memory_is_stopped(self) -> None:
        async def body(engine: Engine) -> None:
            other = asyncio.ensure_future(engine.run(task(tasks.occupy_quietly, 1.0, "other")))
            little = Resources(memory=200_000_000)
            with pytest.raises(OutOfMemoryError, match=r"workflow/0/training: .*200 MB") as caught:
                await engine.run(task(tasks.take_memory, 500_000_000, name="training", resources=little))
            assert isinstance(caught.value, MemoryError)
            assert caught.value.key == "workflow/0/training"
            assert await engine.run(task(tasks.take_memory, 50_000_000, resources=little)) == 50_000_000
            assert await engine.run(task(tasks.take_memory, 500_000_000)) == 500_000_000
            assert await other == "other"

        self.drive(body, needs="limits_memory")

    @pytest.mark.parametrize("in_child", [False, True], ids=["itself", "a-child"])
    def test_a_command_that_takes_too_much_memory_is_stopped(self, in_child: bool) -> None:
        async def body(engine: Engine) -> None:
            little = Resources(memory=200_000_000)
            line = f"{sys.executable} -c 'print(len(bytearray({{}})))'" + (" | cat; exit 1" if in_child else "")
            with pytest.raises(OutOfMemoryError, match=r"workflow/0/stage: .*200 MB"):
                await engine.run(task(Command(line.format(500_000_000)), resources=little))
            output = await engine.run(task(Command(line.format(50_000_000).split(";")[0]), resources=little))
            assert output.stdout == "50000000\n"

        self.drive(body, needs="limits_memory")

    # --- gpus ----------------------------------------------------------------------------------------------------

    def test_each_task_sees_gpus_of_its_own(self, tmp_path: Path) -> None:
        async def body(engine: Engine) -> None:
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

        self.drive(body, workers=3, needs="assigns_gpus", gpus=2)

    # --- threads -------------------------------------------------------------------------------------------------

    def test_a_tasks_cpus_limit_its_threads(self) -> None:
        async def body(engine: Engine) -> None:
            for cpus in (1, 2, 1):
                told, libraries = await engine.run(task(tasks.thread_limits, resources=Resources(cpus=cpus)))
                assert told == str(cpus)
                assert libraries
                assert set(libraries) <= set(range(1, cpus + 1))
                assert max(libraries) == min(cpus, os.cpu_count() or 1)

        self.drive(body, needs="limits_threads")

    # --- commands ------------------------------------------------------------------------------------------------

    def test_a_command_gives_its_output(self) -> None:
        async def body(engine: Engine) -> None:
            output = await engine.run(task(Command("""sh -c 'echo "two words"; echo aside >&2'""")))
            assert isinstance(output, CommandOutput)
            assert (output.stdout, output.stderr) == ("two words\n", "aside\n")
            assert output.seconds > 0

        self.drive(body)

    def test_a_command_may_use_shell_syntax_environment_and_directory(self, tmp_path: Path) -> None:
        async def body(engine: Engine) -> None:
            command = Command(
                "pwd && echo $COLOUR | tr a-z A-Z > out.txt", cwd=tmp_path / "a" / "b", env={"COLOUR": "red"}
            )
            output = await engine.run(task(command))
            assert output.stdout == f"{tmp_path}/a/b\n"
            assert (tmp_path / "a" / "b" / "out.txt").read_text() == "RED\n"

        self.drive(body)

    def test_a_commands_cpus_limit_its_threads(self) -> None:
        async def body(engine: Engine) -> None:
            output = await engine.run(task(Command("echo $OMP_NUM_THREADS"), resources=Resources(cpus=2)))
            assert output.stdout == "2\n"

        self.drive(body)

    def test_a_failing_command_says_why(self) -> None:
        async def body(engine: Engine) -> None:
            line = "sh -c 'echo cannot open mesh >&2; exit 3'"
            with pytest.raises(
                CommandFailedError, match=r"(?s)simulation: .*exit code 3: .*cannot open mesh"
            ) as caught:
                await engine.run(task(Command(line), name="simulation"))
            error = caught.value
            assert (error.key, error.exit_code, error.command) == ("workflow/0/simulation", 3, line)
            assert error.stderr == "cannot open mesh\n"

        self.drive(body)

    @pytest.mark.parametrize(
        ("line", "code", "text"),
        [
            ("no-such-program --help", 127, "'no-such-program' not found"),
            ("sh -c 'kill -9 $$'", -9, "killed by SIGKILL"),
            ("/", 126, "not executable"),
        ],
    )
    def test_a_command_that_cannot_run(self, line: str, code: int, text: str) -> None:
        async def body(engine: Engine) -> None:
            with pytest.raises(CommandFailedError, match=text) as caught:
                await engine.run(task(Command(line)))
            assert caught.value.exit_code == code

        self.drive(body)

    def test_a_commands_environment_must_be_text(self) -> None:
        async def body(engine: Engine) -> None:
            wrong: Any = {"SEED": 1}
            with pytest.raises(CommandFailedError, match=r"(?s)workflow/0/stage: .*env"):
                await engine.run(task(Command("true", env=wrong)))

        self.drive(body)

    @pytest.mark.parametrize("line", ["", "  ", "echo 'half"])
    def test_a_command_line_that_is_none(self, line: str) -> None:
        async def body(engine: Engine) -> None:
            with pytest.raises(ConfigurationError, match="command line"):
                await engine.run(task(Command(line)))

        self.drive(body)

    def test_a_grandchild_does_not_hold_up_its_command(self) -> None:
        async def body(engine: Engine) -> None:
            output = await engine.run(task(Command("sleep 100 & echo done")))
            assert output.stdout == "done\n"

        self.drive(body)

    def test_much_output_is_bounded(self) -> None:
        async def body(engine: Engine) -> None:
            output = await engine.run(task(Command("yes 12345678 | head -c 20000000; echo; echo 0.5")))
            assert output.stdout.endswith("\n0.5\n")
            assert len(output.stdout) < 10_000_000

        self.drive(body)

    def test_a_commands_output_is_kept_where_it_is_wanted(self, tmp_path: Path) -> None:
        async def body(engine: Engine) -> None:
            out, err = tmp_path / "logs" / "out.txt", tmp_path / "logs" / "err.txt"
            for line, timeout, error in (
                ("echo fine; echo aside >&2", None, None),
                ("echo fine; echo aside >&2; exit 3", None, CommandFailedError),
                ("echo fine; echo aside >&2; sleep 60", 0.5, TaskTimeoutError),
            ):
                running = engine.run(task(Command(line, stdout=out, stderr=err), timeout=timeout))
                if error is None:
                    output = await running
                    assert (output.stdout, output.stderr) == ("fine\n", "aside\n")
                else:
                    with pytest.raises(error, match=r"(?s)workflow/0/stage: .*aside"):
                        await running
                assert (out.read_text(), err.read_text()) == ("fine\n", "aside\n")
                out.unlink()
            both = tmp_path / "both.txt"
            await engine.run(task(Command("echo one; echo two >&2; echo three", stdout=both, stderr=both)))
            assert both.read_text() == "one\ntwo\nthree\n"
            with pytest.raises(CommandFailedError, match=r"workflow/0/stage: .*both\.txt"):
                await engine.run(task(Command("true", stdout=both / "below.txt")))

        self.drive(body)

    # --- the event loop and the end ------------------------------------------------------------------------------

    def test_the_event_loop_goes_on(self) -> None:
        async def body(engine: Engine) -> None:
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

        self.drive(body)

    def test_a_closed_engine_refuses(self) -> None:
        async def body(engine: Engine) -> None:
            assert await engine.run(task(tasks.add, 1)) == 1
            await engine.close()
            await engine.close()
            with pytest.raises(EngineClosedError, match="workflow/0/stage"):
                await engine.run(task(tasks.add, 1))
            with pytest.raises(EngineClosedError):
                await engine.share(np.zeros(3))

        self.drive(body)

    def test_an_unused_engine_closes(self) -> None:
        async def body(engine: Engine) -> None:
            await engine.close()

        self.drive(body)

    def test_closing_ends_what_runs_and_what_waits(self, tmp_path: Path) -> None:
        async def body(engine: Engine) -> None:
            file = tmp_path / "beats"
            calls = [task(Command(tasks.beating_command(file))), task(time.sleep, 0.5), task(time.sleep, 0.5)]
            pending = [asyncio.ensure_future(engine.run(each)) for each in (*calls, task(Command("sleep 60")))]
            await begun(file)
            await engine.close()
            ends = await asyncio.gather(*pending, return_exceptions=True)
            assert all(end is None or isinstance(end, (EngineClosedError, asyncio.CancelledError)) for end in ends), (
                ends
            )
            assert isinstance(ends[0], (EngineClosedError, asyncio.CancelledError))
            await assert_still(file)

        self.drive(body)


async def in_the_end(made: Engine | Awaitable[Engine]) -> Engine:
    """The engine that was made, at once or later."""
    return await made if isinstance(made, Awaitable) else made


async def begun(file: Path) -> None:
    """Wait until a task has written its first sign."""
    while not size(file):  # noqa: ASYNC110 (another process writes it: there is nothing to await)
        await asyncio.sleep(0.01)


async def is_cancelled(running: asyncio.Future[Any]) -> bool:
    """Cancel, and wait for the end of it."""
    running.cancel()
    await asyncio.wait([running])
    return running.cancelled()


async def assert_still(file: Path) -> None:
    """Nobody writes to the file any more."""
    await asyncio.sleep(0.2)  # what left its group is killed in the next moment
    before = size(file)
    await asyncio.sleep(0.3)
    assert size(file) == before, "the work goes on"


def size(file: Path) -> int:
    """In bytes; 0 if there is none."""
    return file.stat().st_size if file.exists() else 0


def most_at_once(folder: Path, cpus_of: Mapping[str, int]) -> int:
    """The most cpus that were occupied at any time."""
    changes = []
    for name, cpus in cpus_of.items():
        began, ended = (folder / name).read_text().split()
        changes += [(float(began), cpus), (float(ended), -cpus)]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most
