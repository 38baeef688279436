"""A job that is suspended as a whole, and goes on later: nothing has overrun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, sys, time
from pathlib import Path
from rose.engine import Command, LocalEngine, Task, TaskKey, ThreadEngine
from rose.errors import TaskTimeoutError

here, key = Path(sys.argv[1]), TaskKey("w", 0, "s")

def work(name):
    (here / name).touch()
    for _ in range(10):  # a sleep would end while the process is stopped
        time.sleep(0.1)
    return name

async def main():
    async with LocalEngine(2) as local, ThreadEngine(1) as threads:
        command = "touch command; for i in 0 1 2 3 4 5 6 7 8 9; do sleep 0.1; done"
        ends = await asyncio.gather(
            local.run(Task(key, work, ("local",), timeout=2.0)),
            local.run(Task(key, Command(command, cwd=here), timeout=2.0)),
            threads.run(Task(key, work, ("threads",), timeout=2.0)),
        )
        assert ends[::2] == ["local", "threads"], ends
        for engine in (local, threads):
            try:
                await engine.run(Task(key, time.sleep, (1,), timeout=0.1))
            except TaskTimeoutError:
                continue
            raise AssertionError("what overruns by itself is stopped as before")

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_timeout_does_not_count_what_the_job_was_stopped_for(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as driver:
        try:
            end = time.monotonic() + 60
            while not all((tmp_path / name).exists() for name in ("local", "command", "threads")):
                assert driver.poll() is None, "the program has ended before its tasks began"
                assert time.monotonic() < end, "the three tasks have not begun within a minute"
                time.sleep(0.01)
            stopped = [driver.pid]
            for pid in stopped:
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    stopped += map(int, (thread / "children").read_text().split())
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(2.5)  # the fault itself
            for pid in reversed(stopped):
                os.kill(pid, signal.SIGCONT)
            assert driver.stderr is not None
            said = driver.stderr.read()
            assert driver.wait(30) == 0, said
        finally:
            driver.kill()
