"""Signals end the driver, and the driver alone; whoever it waits for, a second one ends it at once."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.programs import STAGES

PROGRAM = """
import asyncio, multiprocessing, os, signal, sys, time, warnings
warnings.filterwarnings("ignore", category=DeprecationWarning)  # of forks, where there are threads
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
from rose import ParallelUQLearner
from rose.engine import ThreadEngine

fork = multiprocessing.get_context("fork")
learner = ParallelUQLearner(ThreadEngine(2))

"""
PROGRAM += STAGES

FORKS = """
@learner.simulation_task(as_executable=False)
def simulation(*args, **kwargs):
    with fork.Pool(2) as pool:  # whose end is a SIGTERM to each of its processes
        return pool.map(abs, range(3))

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, sys.exit, "the driver has a SIGHUP")
    async for _ in learner.start(["x"], ["a"], max_iter=2):
        for number in signal.SIGTERM, signal.SIGHUP:
            process = fork.Process(target=time.sleep, args=(100,))
            process.start()
            os.kill(process.pid, number)
            process.join()
            assert process.exitcode == -number, process.exitcode
    await learner.shutdown()

asyncio.run(main())
print("finished")
"""


def run(tmp_path: Path, code: str) -> subprocess.Popen[str]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM + textwrap.dedent(code))
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, str(program)], stdout=pipe, stderr=pipe, text=True, start_new_session=True, cwd=tmp_path
    )


def test_what_a_driver_forks_has_no_handlers_of_its(tmp_path: Path) -> None:
    process = run(tmp_path, FORKS)
    try:
        output, errors = process.communicate(timeout=60)
    finally:
        os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
    assert (process.returncode, output) == (0, "finished\n"), errors


ENDLESS = """
@learner.simulation_task(as_executable=False)
{function}

async def main():
    await learner.teach(["x"], ["a"], max_iter=2)

async def with_engine():
    async with learner._given:
        await main()

asyncio.run(with_engine())
"""
FUNCTION = """
def simulation(*args, **kwargs):
    print("begun", flush=True)
    time.sleep(1000)
"""
COROUTINE = """
async def simulation(*args, **kwargs):
    print("begun", flush=True)
    try:
        await asyncio.sleep(1000)
    finally:
        print("cleaned up", flush=True)
"""


def test_a_coroutine_in_a_thread_is_cancelled(tmp_path: Path) -> None:
    number = signal.SIGTERM
    process = run(tmp_path, ENDLESS.format(function=COROUTINE))
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        output, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode in (128 + number, -number), errors
    assert output == "cleaned up\n"


def test_a_second_signal_does_not_wait_for_a_thread(tmp_path: Path) -> None:
    number = signal.SIGINT
    process = run(tmp_path, ENDLESS.format(function=FUNCTION))
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        said = process.stderr.readline()
        assert "x/0/simulation" in said, said
        assert "kill -9" in said, said
        process.send_signal(number)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode in (128 + number, -number)
