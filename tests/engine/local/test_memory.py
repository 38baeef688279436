"""What a task may take of memory, and how its end for want of it is told from other ends."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rose.engine import Command, LocalEngine, Resources, Task, TaskKey, ThreadEngine
from rose.engine.processes import memory
from rose.errors import (
    CommandFailedError,
    CommandPlaceError,
    MemoryExhaustedError,
    OutOfMemoryError,
    TaskError,
    TaskFailedError,
    WorkerTakenError,
)
from rose.testing import tasks

LITTLE = Resources(memory=200_000_000)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory limits and the killer's count are Linux's")


def task(call: Any, *args: Any, resources: Resources = LITTLE) -> Task:
    return Task(TaskKey("w", 0, "s"), call, args, resources=resources)


def ends(*works: Task) -> list[Any]:
    """The results or errors of tasks that run one after the other, on one worker; the pool must be fine after each."""

    async def main() -> list[Any]:
        found: list[Any] = []
        async with LocalEngine(1) as engine:
            for work in works:
                try:
                    found.append(await engine.run(work))
                except TaskError as error:
                    found.append(error)
                assert await engine.run(task(tasks.add, 1)) == 1
        return found

    return asyncio.run(main())


def new_in_cpp() -> None:
    """C++'s operator new, uncaught as in a library that does not expect it to fail."""
    new = ctypes.CDLL("libstdc++.so.6")._Znwm
    new.argtypes = [ctypes.c_size_t]
    new(500_000_000)


def wrapped() -> None:
    try:
        tasks.take_memory(500_000_000)
    except MemoryError as error:
        raise RuntimeError("the solver failed") from error


def with_less() -> str:
    try:
        tasks.take_memory(500_000_000)
    except MemoryError:
        return "did with less"
    return "not limited"


def in_child() -> int:
    line = [sys.executable, "-c", "bytearray(500_000_000)"]
    return subprocess.run(line, stderr=subprocess.DEVNULL).returncode


def test_however_a_function_is_refused_memory_it_is_named_so() -> None:
    aborted, caused, result, child, limited = ends(
        task(new_in_cpp), task(wrapped), task(with_less), task(in_child), task(tasks.take_memory, 400_000_000)
    )
    assert type(aborted) is OutOfMemoryError
    assert "SIGABRT" in str(aborted)
    assert type(caused) is OutOfMemoryError
    assert str(caused.__cause__) == "the solver failed"
    assert result == "did with less"  # a refusal that the function expects is its own matter
    assert child == 1
    assert type(limited) is OutOfMemoryError  # still, after all of the above


def test_without_a_limit_a_memory_error_is_the_functions_own() -> None:
    (error,) = ends(task(tasks.fail, MemoryError, "no mesh", resources=Resources()))
    assert type(error) is TaskFailedError
    assert type(error.__cause__) is MemoryError


def test_an_argument_counts() -> None:
    import numpy as np

    tight = Resources(memory=40_000_000)
    loaded, error = ends(task(np.sum, np.ones(1_000_000)), task(np.sum, np.ones(8_000_000), resources=tight))
    assert loaded == 1_000_000
    assert type(error) is OutOfMemoryError


def test_a_thread_engines_commands_are_limited_too() -> None:
    async def main() -> None:
        async with ThreadEngine(1) as engine:
            with pytest.raises(OutOfMemoryError, match="200 MB"):
                await engine.run(task(Command(f"{sys.executable} -c 'bytearray(500_000_000)'")))

    asyncio.run(main())


def test_a_limited_command_is_found_as_any_other(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexit 5\n")
    program.chmod(0o755)
    here, missing = ends(task(Command("./program", cwd=tmp_path)), task(Command("no-such-program")))
    assert here.exit_code == 5
    assert missing.exit_code == 127
    assert "not found on the PATH" in str(missing)


# --- the kernel's killer -----------------------------------------------------------------------------------------
# The kernel counts, then kills. Here the task itself does both, with a file in the place of the cgroup's: to have the
# kernel do it takes a cgroup of one's own, which tests cannot expect.


def killed_by_the_kernel(counts: Path) -> None:
    counts.write_text("oom 1\noom_kill 1\n")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "memory.events"
    file.write_text("oom 0\noom_kill 0\n")
    monkeypatch.setattr(memory, "counter", lambda: file)
    return file


def test_a_worker_that_the_kernel_killed_is_told_from_others(counts: Path) -> None:
    before, kernels, after = ends(task(tasks.die), task(killed_by_the_kernel, counts), task(tasks.die))
    assert type(before) is type(after) is WorkerTakenError
    assert type(kernels) is MemoryExhaustedError
    assert "out-of-memory killer" in str(kernels)


@pytest.mark.parametrize(
    ("line", "otherwise"),
    [("kill -9 $$", CommandPlaceError), ("sh -c 'kill -9 $$'; exit $?", CommandFailedError)],
    ids=["itself", "a-child"],
)
def test_a_command_that_the_kernel_killed_is_told_from_others(counts: Path, line: str, otherwise: type) -> None:
    mine, kernels = ends(task(Command(line)), task(Command(f"echo oom_kill 1 > {counts}; {line}")))
    assert type(mine) is otherwise
    assert type(kernels) is MemoryExhaustedError
    assert "out-of-memory killer" in str(kernels)


def test_where_the_kernel_counts(tmp_path: Path) -> None:
    groups, own = tmp_path / "groups", tmp_path / "own"
    (groups / "a" / "b").mkdir(parents=True)
    (groups / "memory" / "c").mkdir(parents=True)
    file = groups / "a" / "b" / "memory.events"
    file.touch()
    own.write_text("0::/a/b\n")
    assert memory.counter(groups, own) == file
    own.write_text("4:cpu:/x\n3:memory:/c\n0::/\n")  # version 1, with the other mounted beside it
    file = groups / "memory" / "c" / "memory.oom_control"
    file.touch()
    assert memory.counter(groups, own) == file
    own.write_text("0::/seen/from/outside/a/container\n")
    (groups / "memory.events").touch()
    assert memory.counter(groups, own) == groups / "memory.events"
    own.write_text("0::/\n")
    (groups / "memory.events").unlink()
    assert memory.counter(groups, own) == Path("/proc/vmstat")
