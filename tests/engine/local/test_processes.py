"""Nothing of ours outlives the engine or its driver."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import psutil
import pytest

from rose.engine import Command, LocalEngine, Task, TaskKey, ThreadEngine
from rose.errors import EngineClosedError

KEY = TaskKey("w", 0, "s")

# Workers that are idle and busy, commands with grandchildren, children in sessions of their own, a shared array.
BUSY = """
    import asyncio, signal, subprocess, time
    import numpy as np
    from rose.engine import Command, LocalEngine, Task, TaskKey

    KEY = TaskKey("w", 0, "s")

    def start_child(session):
        subprocess.run(["sh", "-c", "trap '' TERM; sleep 100; sleep 100"], start_new_session=session)

    async def main():
        engine = LocalEngine(5)
        await engine.share(np.zeros(300_000))
        await asyncio.gather(*[engine.run(Task(KEY, time.sleep, (0.2,))) for _ in range(5)])
        work = [Command("sleep 100 & sleep 100"), lambda: time.sleep(99)]
        work += [lambda: start_child(False), lambda: start_child(True)]
        running = [asyncio.ensure_future(engine.run(Task(KEY, call))) for call in work]
        await asyncio.sleep(0.5)
        print("busy", flush=True)
        {end}

    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_driver_leaves_nothing(driver: Any, number: int) -> None:
    with driver.running(BUSY.format(end="await asyncio.gather(*running)")) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "busy\n"
        assert len(driver.left()) >= 8
        os.kill(process.pid, number)
        assert process.wait(10) != 0
    assert driver.all_gone()


@pytest.mark.parametrize(
    "end",
    ["await engine.close()", "return", "raise SystemExit(0)", "import os; os._exit(0)"],
    ids=["closed", "forgotten", "exit", "hard-exit"],
)
def test_however_the_driver_ends_nothing_is_left(driver: Any, end: str) -> None:
    with driver.running(BUSY.format(end=end), "-W", "error") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "busy\n"
        output = process.stdout.read()
        assert process.wait(10) == 0
    assert driver.all_gone()
    if end == "return":  # asyncio.run cancels what is left
        assert output == ""


def test_needs_no_main_guard_and_knows_the_scripts_functions(driver: Any) -> None:
    code = """
        import asyncio
        from dataclasses import dataclass
        from rose.engine import LocalEngine, Task, TaskKey

        FACTOR = 2

        @dataclass
        class Answer:
            value: int

        def double(x):
            return Answer(FACTOR * x)

        async def main():
            async with LocalEngine(2) as engine:
                answer = await engine.run(Task(TaskKey("w", 0, "s"), double, (21,)))
                print(answer, isinstance(answer, Answer))

        asyncio.run(main())
    """
    with driver.running(code, "-W", "error") as process:
        output, _ = process.communicate(timeout=30)
        assert output == "Answer(value=42) True\n"
    assert driver.all_gone()


def test_what_a_task_prints_is_seen(driver: Any) -> None:
    code = """
        import asyncio, os
        from rose.engine import LocalEngine, Task, TaskKey

        async def main():
            async with LocalEngine(1) as engine:
                await engine.run(Task(TaskKey("w", 0, "s"), print, ("hello from a worker",)))

        asyncio.run(main())
    """
    with driver.running(code) as process:
        output, _ = process.communicate(timeout=30)
        assert output == "hello from a worker\n"


def test_a_fork_of_the_driver_ends_without_harm(driver: Any) -> None:
    code = """
        import asyncio, os, sys, warnings
        from rose.engine import LocalEngine, Task, TaskKey

        async def main():
            engine = LocalEngine(1)
            task = Task(TaskKey("w", 0, "s"), os.getpid)
            worker = await engine.run(task)
            return engine, task, worker

        engine, task, worker = asyncio.run(main())
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)  # so says 3.12
        if os.fork() == 0:
            sys.exit(0)  # runs the exit handlers
        os.wait()

        async def again():
            print(await engine.run(task) == worker)
            await engine.close()

        asyncio.run(again())
    """
    with driver.running(code) as process:
        output, _ = process.communicate(timeout=30)
        assert output == "True\n"
    assert driver.all_gone()


def test_an_engine_that_is_garbage_takes_its_workers_along(tmp_path: Path) -> None:
    async def main() -> int:
        engine = LocalEngine(1, temp_dir=tmp_path)
        pid = await engine.run(Task(KEY, os.getpid))
        assert isinstance(pid, int)
        return pid

    pid = asyncio.run(main())
    gc.collect()
    assert not psutil.pid_exists(pid)
    assert not list(tmp_path.iterdir())


def test_a_killed_reaper_is_no_harm(tmp_path: Path) -> None:
    async def main() -> None:
        engine = LocalEngine(2, temp_dir=tmp_path)
        pid = await engine.run(Task(KEY, os.getpid))
        (reaper,) = [p for p in psutil.Process().children() if "reaper.py" in " ".join(p.cmdline())]
        reaper.kill()
        await asyncio.sleep(0.1)
        assert (await engine.run(Task(KEY, Command("echo a")))).stdout == "a\n"
        await engine.close()
        assert not psutil.pid_exists(pid)

    asyncio.run(main())
    assert not list(tmp_path.iterdir())


def test_a_command_that_is_cancelled_twice_ends_too(tmp_path: Path) -> None:
    async def main() -> None:
        wrong: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
        async with LocalEngine(1, temp_dir=tmp_path) as engine:
            stubborn = Command("sh -c 'trap \"\" TERM; sleep 60; sleep 60'")
            running = asyncio.ensure_future(engine.run(Task(KEY, stubborn)))
            await asyncio.sleep(0.2)
            for _ in range(2):
                running.cancel()
                await asyncio.sleep(0.05)
            assert running.cancelled()
            assert (await engine.run(Task(KEY, Command("echo a")))).stdout == "a\n"
            await asyncio.sleep(0.6)  # it is killed half a second after the first cancellation
        assert wrong == []

    asyncio.run(main())
    assert not list(tmp_path.iterdir())


def test_the_directory_is_private_and_empty_when_nothing_runs(tmp_path: Path) -> None:
    import numpy as np

    async def main() -> None:
        async with LocalEngine(2, temp_dir=tmp_path) as engine:
            for _ in range(5):
                await engine.run(Task(KEY, lambda x: (x, x + 1), (np.ones(300_000),)))
                await engine.run(Task(KEY, lambda x: x + x, ("x" * 500_000,)))
                await engine.run(Task(KEY, Command("echo out; echo err >&2")))
            with pytest.raises(asyncio.CancelledError):
                await cancelled_soon(engine.run(Task(KEY, lambda x: __import__("time").sleep(60), (np.ones(300_000),))))
            await asyncio.sleep(0.3)  # a helper thread removes the files
            mode, files = inspect_only_folder(tmp_path)
            assert mode == 0o700
            assert files == []

    asyncio.run(main())
    assert not list(tmp_path.iterdir())


def test_a_thousand_tasks_leak_no_descriptors(tmp_path: Path) -> None:
    import numpy as np

    async def main() -> None:
        async with LocalEngine(2, temp_dir=tmp_path) as engine:
            tasks = [Task(KEY, os.getpid)] * 700 + [Task(KEY, Command("true"))] * 200
            tasks += [Task(KEY, lambda x: x + 1, (np.ones(200_000),))] * 100
            await asyncio.gather(*[engine.run(task) for task in tasks[::20]])
            await asyncio.sleep(0.1)  # asyncio itself holds the last results until we wait for something else
            gc.collect()
            before = psutil.Process().num_fds()
            await asyncio.gather(*[engine.run(task) for task in tasks])
            await asyncio.sleep(0.1)
            gc.collect()
            assert psutil.Process().num_fds() <= before + 2

    before = psutil.Process().num_fds()
    asyncio.run(main())
    assert psutil.Process().num_fds() <= before


def test_many_kept_results_do_not_use_up_the_descriptors() -> None:
    import numpy as np

    async def main() -> None:
        async with LocalEngine(2) as engine:
            before = psutil.Process().num_fds()
            kept = await asyncio.gather(*[engine.run(Task(KEY, np.ones, (150_000,))) for _ in range(400)])
            assert psutil.Process().num_fds() <= before + 300
            assert all(result.sum() == 150_000 for result in kept)

    asyncio.run(main())


def test_another_event_loop_may_use_an_idle_engine() -> None:
    engine = LocalEngine(2)
    first = asyncio.run(engine.run(Task(KEY, os.getpid)))
    second = asyncio.run(engine.run(Task(KEY, os.getpid)))
    assert first == second
    asyncio.run(engine.close())
    with pytest.raises(EngineClosedError):
        asyncio.run(engine.run(Task(KEY, os.getpid)))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a task is torn away with its loop
def test_an_engine_whose_loop_was_torn_away_can_be_closed(tmp_path: Path) -> None:
    engine = LocalEngine(2, temp_dir=tmp_path)
    loop = asyncio.new_event_loop()

    async def main(engine: LocalEngine) -> asyncio.Future[object]:
        running = asyncio.ensure_future(engine.run(Task(KEY, Command("sleep 60"))))
        await asyncio.sleep(0.3)
        return running

    running = loop.run_until_complete(main(engine))
    loop.close()
    asyncio.run(engine.close())
    assert not list(tmp_path.iterdir())
    del engine
    running._log_destroy_pending = False  # type: ignore[attr-defined]
    del running
    gc.collect()


@pytest.mark.parametrize("make", [LocalEngine, ThreadEngine])
def test_engines_are_not_kept_alive_by_their_own_parts(make: type[LocalEngine] | type[ThreadEngine]) -> None:
    async def main() -> weakref.ref[object]:
        engine = make(1)
        await engine.run(Task(KEY, Command("true")))
        await engine.run(Task(KEY, os.getpid))
        await engine.close()
        return weakref.ref(engine)

    reference = asyncio.run(main())
    gc.collect()
    assert reference() is None


def test_nothing_is_started_before_it_is_needed(tmp_path: Path) -> None:
    before = len(psutil.Process().children())
    engine = LocalEngine(4, temp_dir=tmp_path)
    assert len(psutil.Process().children()) == before
    assert not list(tmp_path.iterdir())
    asyncio.run(engine.close())


def test_importing_the_engine_is_cheap() -> None:
    heavy = "('asyncio', 'numpy', 'cloudpickle', 'subprocess')"
    code = f"import sys, rose.engine; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"


def inspect_only_folder(parent: Path) -> tuple[int, list[Path]]:
    (folder,) = parent.iterdir()
    return folder.stat().st_mode & 0o777, [path for path in folder.rglob("*") if path.is_file()]


async def cancelled_soon(work: object) -> None:
    running = asyncio.ensure_future(work)  # type: ignore[arg-type]
    await asyncio.sleep(0.4)
    running.cancel()
    await running
