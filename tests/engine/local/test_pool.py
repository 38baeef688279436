"""The worker processes of the embedded engine: tasks sent ahead, crashes, caches, gpus, and all of it at random."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose.engine import Command, LocalEngine, Resources, Task, TaskKey
from rose.engine.local import worker_handle
from rose.engine.shipping import serialization
from rose.errors import (
    ConfigurationError,
    OutOfMemoryError,
    PlaceError,
    RoseError,
    TaskFailedError,
    TaskTimeoutError,
    UnpicklableError,
    WorkerLostError,
)
from rose.testing import tasks


def task(call: Any, *args: Any, name: str = "s", workflow: str = "w", **options: Any) -> Task:
    return Task(TaskKey(workflow, 0, name), call, args, **options)


def assert_idle(engine: LocalEngine) -> None:
    """Nothing is held, nothing waits."""
    slots = engine._slots
    assert slots.free_cpus == engine.capacity().cpus
    assert not slots.has_waiting
    assert slots._occupied == slots._served == {}
    assert not engine._pool._requests
    assert all(worker.is_free for worker in engine._pool._workers)


async def warm(engine: LocalEngine) -> None:
    """Until short tasks are sent ahead."""
    await asyncio.gather(*[engine.run(task(os.getpid)) for _ in range(200)])


def test_nobody_waits_behind_a_long_task() -> None:
    async def main() -> None:
        async with LocalEngine(2) as engine:
            await warm(engine)
            quick = [asyncio.ensure_future(engine.run(task(os.getpid))) for _ in range(20)]
            long = asyncio.ensure_future(engine.run(task(time.sleep, 60)))
            quick += [asyncio.ensure_future(engine.run(task(os.getpid))) for _ in range(20)]
            await asyncio.gather(*quick)
            assert not long.done()
            long.cancel()
            await asyncio.wait([long])
            assert_idle(engine)

    asyncio.run(main())


def test_cancelling_what_was_sent_ahead_leaves_the_running_task_alone() -> None:
    async def main() -> None:
        async with LocalEngine(1) as engine:
            await warm(engine)
            pid = await engine.run(task(os.getpid))
            running = asyncio.ensure_future(engine.run(task(time.sleep, 0.5)))
            ahead = [asyncio.ensure_future(engine.run(task(os.getpid))) for _ in range(5)]
            await asyncio.sleep(0)
            for each in ahead[:3]:
                each.cancel()
            await running
            assert await asyncio.gather(*ahead[3:]) == [pid, pid]
            assert all(each.cancelled() for each in ahead[:3])
            assert_idle(engine)

    asyncio.run(main())


def test_cancelling_the_running_task_does_not_cost_those_sent_ahead(tmp_path: Path) -> None:
    async def main() -> None:
        async with LocalEngine(1) as engine:
            await warm(engine)
            file = tmp_path / "ran"
            running = asyncio.ensure_future(engine.run(task(time.sleep, 60)))
            ahead = [asyncio.ensure_future(engine.run(task(tasks.note, file, str(i)))) for i in range(12)]
            await asyncio.sleep(0.002)
            running.cancel()
            await asyncio.gather(*ahead)
            assert file.read_text().split() == [str(i) for i in range(12)]
            assert running.cancelled()
            assert_idle(engine)

    asyncio.run(main())


def test_thousands_of_waiting_tasks_can_be_cancelled() -> None:
    async def main() -> None:
        async with LocalEngine(1) as engine:
            waiting = [asyncio.ensure_future(engine.run(task(time.sleep, 60))) for _ in range(5_000)]
            await asyncio.sleep(0.2)
            random.Random(0).shuffle(waiting)
            for each in waiting:
                each.cancel()
            await asyncio.wait(waiting)
            assert await engine.run(task(tasks.add, 1)) == 1
            assert_idle(engine)

    asyncio.run(main())


def test_a_worker_that_cannot_start_is_an_error_and_not_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with LocalEngine(2) as engine:
            with monkeypatch.context() as patch:
                patch.setattr(worker_handle, "_BOOT", "raise SystemExit(5)")
                with pytest.raises(WorkerLostError, match=r"before it could begin \(exit code 5\)"):
                    await engine.run(task(tasks.add, 1))
            assert await engine.run(task(tasks.add, 1)) == 1
            with monkeypatch.context() as patch:
                patch.setattr(sys, "executable", "/no/such/python")
                working = [engine.run(task(time.sleep, 0.3)) for _ in range(2)]
                ends = await asyncio.gather(*working, return_exceptions=True)
                (lost,) = [end for end in ends if end is not None]
                assert isinstance(lost, WorkerLostError)
                assert isinstance(lost.__cause__, FileNotFoundError)
            assert_idle(engine)

    asyncio.run(main())


def test_a_full_disk_is_an_error_with_the_tasks_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(self: serialization.Packed) -> None:
        raise OSError(28, "No space left on device")

    async def main() -> None:
        async with LocalEngine(1) as engine:
            with monkeypatch.context() as patch:
                patch.setattr(serialization.Packed, "write", write)
                with pytest.raises(PlaceError, match=r"w/0/s: .*temporary directory") as caught:
                    await engine.run(task(np.sum, np.ones(300_000)))
            assert isinstance(caught.value.__cause__, OSError)
            assert await engine.run(task(np.sum, np.ones(300_000))) == 300_000
            assert_idle(engine)

    asyncio.run(main())


def test_a_workers_print_of_a_result_that_is_too_large_for_a_message() -> None:
    async def main() -> None:
        async with LocalEngine(1) as engine:
            with pytest.raises(TaskFailedError, match="ValueError: xxxxx") as caught:
                await engine.run(task(tasks.fail, ValueError, "x" * 1_000_000))
            assert len(str(caught.value)) < 100_000

    asyncio.run(main())


# --- large values ------------------------------------------------------------------------------------------------


def test_a_memory_mapped_argument_is_mapped_again_and_not_copied(tmp_path: Path) -> None:
    array = np.arange(1_000_000.0).reshape(1_000, 1_000)
    np.save(tmp_path / "pool.npy", array)

    def describe(x: Any) -> tuple[bool, str, float]:
        return isinstance(x, np.memmap), str(getattr(x, "filename", "")), float(x.sum())

    async def main() -> None:
        async with LocalEngine(2) as engine:
            mapped = np.load(tmp_path / "pool.npy", mmap_mode="r")
            for part in (mapped, mapped[100:400], mapped[7:], mapped[:300].T):
                place = str(tmp_path / "pool.npy")
                assert await engine.run(task(describe, part)) == (True, place, float(part.sum()))
                ref = await engine.share(part)
                assert await engine.run(task(describe, ref)) == (True, place, float(part.sum()))
            strided = mapped[:, ::2]  # lies in the file with gaps: copied
            assert (await engine.run(task(describe, strided)))[2] == float(strided.sum())
            private = np.load(tmp_path / "pool.npy", mmap_mode="c")
            private += 1  # the file does not know of it
            assert (await engine.run(task(describe, private)))[2] == float(private.sum())

    asyncio.run(main())


def test_a_memory_mapped_result_is_a_copy(tmp_path: Path) -> None:
    def scratch(value: int) -> Any:
        array = np.lib.format.open_memmap(tmp_path / "scratch.npy", mode="w+", dtype=np.float64, shape=(200_000,))
        array[:] = value
        return array

    async def main() -> None:
        async with LocalEngine(1) as engine:
            first = await engine.run(task(scratch, 1))
            await engine.run(task(scratch, 2))
            assert (first == 1).all()

    asyncio.run(main())


def test_messages_that_fill_the_inbox() -> None:
    async def main() -> None:
        async with LocalEngine(2) as engine:
            await warm(engine)
            texts = [str(index) * 50_000 for index in range(10, 99)]
            assert await asyncio.gather(*[engine.run(task(tasks.add, text, "")) for text in texts]) == texts
            assert_idle(engine)

    asyncio.run(main())


class Counting:
    """Notes every unpickling."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        tasks.note(self.file, "loaded")


def test_a_shared_object_is_loaded_once_in_each_worker(tmp_path: Path) -> None:
    file = tmp_path / "loads"

    async def main() -> None:
        async with LocalEngine(2) as engine:
            ref = await engine.share(Counting(file))
            await asyncio.gather(*[engine.run(task(lambda x: time.sleep(0.01), ref)) for _ in range(20)])

    asyncio.run(main())
    assert len(file.read_text().split()) <= 2


def test_what_cannot_be_shared_or_found_is_named() -> None:
    async def main() -> None:
        async with LocalEngine(1) as engine, LocalEngine(1) as other:
            with pytest.raises(UnpicklableError, match=r"the value to share\['a'\] \(a lock\)"):
                await engine.share({"a": threading.Lock()})
            ref = await other.share(np.ones(3))
            with pytest.raises(ConfigurationError, match="another engine"):
                await engine.run(task(np.sum, ref))
            with pytest.raises(ConfigurationError, match="another engine"):
                await engine.release(ref)

    asyncio.run(main())


# --- gpus and memory ---------------------------------------------------------------------------------------------


def visible() -> str | None:
    time.sleep(0.1)
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_gpus_are_assigned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7")

    async def main() -> None:
        async with LocalEngine(3, gpus=2) as engine:
            one, both = Resources(gpus=1), Resources(gpus=2)
            assert sorted(await asyncio.gather(*[engine.run(task(visible, resources=one)) for _ in range(2)])) == [
                "4",
                "GPU-7",
            ]
            assert await engine.run(task(visible, resources=both)) == "4,GPU-7"
            assert await engine.run(task(visible)) == ""
            output = await engine.run(task(Command("echo $CUDA_VISIBLE_DEVICES"), resources=both))
            assert output.stdout == "4,GPU-7\n"
            assert_idle(engine)

    asyncio.run(main())


def test_without_gpus_the_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")

    async def main() -> None:
        async with LocalEngine(1) as engine:
            assert await engine.run(task(visible)) == "4"

    asyncio.run(main())
    with pytest.raises(ConfigurationError, match="CUDA_VISIBLE_DEVICES=4 lets this process see 1"):
        LocalEngine(1, gpus=2)


# --- one engine, several loops -----------------------------------------------------------------------------------


def test_two_loops_at_a_time_are_refused() -> None:
    engine = LocalEngine(1)

    def elsewhere() -> Exception | None:
        try:
            asyncio.run(engine.run(task(tasks.add, 1)))
        except RoseError as error:
            return error
        return None

    async def main() -> None:
        running = asyncio.ensure_future(engine.run(task(time.sleep, 0.5)))
        await asyncio.sleep(0.1)
        error = await asyncio.to_thread(elsewhere)
        assert isinstance(error, ConfigurationError)
        assert "another event loop" in str(error)
        await running
        await engine.close()

    asyncio.run(main())


# --- everything at once ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(int(os.environ.get("ROSE_TEST_SEEDS", "2"))))
def test_anything_may_happen_at_any_time(seed: int) -> None:
    rng = random.Random(seed)

    async def one(engine: LocalEngine, index: int) -> None:
        kind = rng.choice(
            ["quick"] * 12 + ["array", "long", "die", "late", "cancel", "cancel", "command", "fail", "wide", "greedy"]
        )
        workflow = rng.choice("abc")
        await asyncio.sleep(rng.random() * 0.5)
        match kind:
            case "quick":
                assert await engine.run(task(tasks.add, index, workflow=workflow)) == index
            case "array":
                result = await engine.run(task(tasks.add, np.full(100_000, index), workflow=workflow))
                assert (result == index).all()
            case "long":
                assert await engine.run(task(tasks.occupy_quietly, 0.05, index, workflow=workflow)) == index
            case "wide":
                wide = task(tasks.add, index, workflow=workflow, resources=Resources(cpus=3))
                assert await engine.run(wide) == index
            case "die":
                with pytest.raises(WorkerLostError, match=f"{workflow}/0/n{index}:"):
                    await engine.run(task(tasks.die, workflow=workflow, name=f"n{index}"))
            case "greedy":
                greedy = task(bytearray, 10**9, workflow=workflow, name=f"n{index}", resources=Resources(memory=10**8))
                with pytest.raises(OutOfMemoryError, match=f"{workflow}/0/n{index}:"):
                    await engine.run(greedy)
            case "late":
                with pytest.raises(TaskTimeoutError, match=f"{workflow}/0/n{index}:"):
                    await engine.run(task(time.sleep, 60, workflow=workflow, name=f"n{index}", timeout=0.02))
            case "cancel":
                call = rng.choice([time.sleep, tasks.add, Command("sleep 60")])
                work = task(call) if isinstance(call, Command) else task(call, 60)
                running = asyncio.ensure_future(engine.run(work))
                await asyncio.sleep(rng.random() * 0.2)
                running.cancel()
                await asyncio.wait([running])
            case "command":
                assert (await engine.run(task(Command(f"echo {index}"), workflow=workflow))).stdout == f"{index}\n"
            case "fail":
                with pytest.raises(TaskFailedError, match=f"ValueError: {index}$"):
                    await engine.run(task(tasks.fail, ValueError, str(index), workflow=workflow))

    async def main() -> None:
        async with LocalEngine(3) as engine:
            async with asyncio.timeout(50), asyncio.TaskGroup() as group:
                for index in range(120):
                    group.create_task(one(engine, index))
            assert_idle(engine)

    asyncio.run(main())


def test_a_worker_that_was_held_up_is_used_again() -> None:
    """Between two of its tasks, so that what was sent ahead is taken back: it must not idle for ever after."""

    async def main() -> int:
        async with LocalEngine(2) as engine:
            pids = set(await asyncio.gather(*(engine.run(_task(os.getpid)) for _ in range(200))))
            for _ in range(8):
                burst = asyncio.gather(*(engine.run(_task(os.getpid)) for _ in range(2000)))
                await asyncio.sleep(0.005)
                held_up = next(iter(pids))
                os.kill(held_up, signal.SIGSTOP)
                await asyncio.sleep(0.05)
                os.kill(held_up, signal.SIGCONT)
                pids |= set(await burst)
            return len(pids)

    assert asyncio.run(main()) == 2


def test_the_next_event_loop_gets_a_worker_that_the_last_one_did_not_see_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    start, first_starts, second_may_start = worker_handle.WorkerHandle.start, iter([True, False]), threading.Event()

    def start_in_turn(worker: worker_handle.WorkerHandle) -> None:
        if not next(first_starts):
            second_may_start.wait(30)
        start(worker)

    def meet(mine: str, other: str) -> int:
        (tmp_path / mine).touch()
        while not (tmp_path / other).exists():
            time.sleep(0.01)
        return os.getpid()

    async def apart() -> list[int]:
        return await asyncio.gather(*(engine.run(_task(os.getpid)) for _ in range(2)))

    async def together() -> list[int]:
        asyncio.get_running_loop().call_later(0.1, second_may_start.set)
        return await asyncio.gather(engine.run(task(meet, "a", "b")), engine.run(task(meet, "b", "a")))

    monkeypatch.setattr(worker_handle.WorkerHandle, "start", start_in_turn)
    engine = LocalEngine(2)
    first, again = asyncio.run(apart()), asyncio.run(together())
    assert first[0] == first[1] in again
    assert again[0] != again[1]
    asyncio.run(engine.close())


def _task(call: Any) -> Task:
    return Task(TaskKey("w", 0, "s"), call)
