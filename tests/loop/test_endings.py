"""However a run ends, nothing of it is left running, and the exit code says how it ended."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from rose import StopReason
from rose.engine import ThreadEngine
from rose.store import IterationDone
from tests.programs import STAGES, classifier, dataflow, lines

TWO = ["a", "b"]

# A run that simulates for ever, in a function, in a command, and in a child that a function started.
PROGRAM = """
import asyncio, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
from rose import ParallelUQLearner

learner = ParallelUQLearner(4)

@learner.simulation_task(as_executable=False)
def simulation(*args, **kwargs):
    return 1

"""
PROGRAM += STAGES
PROGRAM += """
@learner.simulation_task({command})
def simulation(*args, **kwargs):
    {simulate}

async def main():
    {main}

{run}
"""
COMMAND = {"command": "", "simulate": "return 'sleep {marker}'"}
FUNCTION = {
    "command": "as_executable=False",
    "simulate": "subprocess.Popen(['sleep', '{marker}']); time.sleep(1000)",
}
RUN = {"main": "await learner.teach(['x', 'y'], ['a'], max_iter=2)", "run": "asyncio.run(main())"}
SYNC = {"main": "pass", "run": "learner.run(['x', 'y'], ['a'], max_iter=2)"}


def alive(marker: str) -> list[str]:
    """Processes whose command line holds the marker, or that descend from such."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command = " ".join(process.info["cmdline"] or [])
        if marker in command and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(command)
    return found


def until(condition, seconds: float = 30.0) -> None:
    """Wait for a condition; a generous limit for a hang, not a measurement."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("how", "work", "sign", "code"),
    [
        (RUN, COMMAND, signal.SIGINT, {130, -signal.SIGINT}),
        (SYNC, FUNCTION, signal.SIGINT, {130, -signal.SIGINT}),
        (RUN, FUNCTION, signal.SIGTERM, {143, -signal.SIGTERM}),
        (SYNC, COMMAND, signal.SIGTERM, {143, -signal.SIGTERM}),
    ],
    ids=["teach-command-int", "run-function-int", "teach-function-term", "run-command-term"],
)
def test_signals_end_everything(tmp_path: Path, how, work, sign, code):
    marker = f"1000.{os.getpid()}{time.monotonic_ns()}"
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(**{**work, "simulate": work["simulate"].format(marker=marker)}, **how))
    process = subprocess.Popen([sys.executable, str(program)], start_new_session=True, stderr=subprocess.PIPE)
    try:
        until(lambda: len(alive(marker)) >= 2)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(sign)
        process.wait(timeout=30)
        assert process.returncode in code
        until(lambda: not alive(marker), 10)
        until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children), 10)
    finally:
        if process.poll() is None:
            process.kill()
        assert process.stderr is not None
        process.stderr.close()


def test_break_ends_all_workflows(make_engine, tmp_path):
    log = tmp_path / "log"

    async def main():
        learner = dataflow(make_engine(), log)
        async for state in learner.start(["x", "y"], TWO, max_iter=1000):
            if state.iteration == 1:
                break
        await learner._sessions[-1].ended()
        count = len(lines(log, "simulation"))
        await asyncio.sleep(0.3)
        assert len(lines(log, "simulation")) == count
        await learner.shutdown()

    asyncio.run(main())


def test_an_exception_in_the_users_loop_ends_all_workflows(make_engine, tmp_path):
    log = tmp_path / "log"

    async def main():
        learner = dataflow(make_engine(), log)

        async def loop():
            async for _state in learner.start(["x", "y"], TWO, max_iter=1000):
                1 / 0  # noqa: B018

        with pytest.raises(ZeroDivisionError):
            await loop()
        await learner.shutdown()
        count = len(lines(log, "simulation"))
        await asyncio.sleep(0.3)
        assert len(lines(log, "simulation")) == count

    asyncio.run(main())


def test_a_workflow_waits_until_its_state_has_been_dealt_with(make_engine, tmp_path):
    log = tmp_path / "log"

    async def main():
        learner = dataflow(make_engine(), log)
        async for state in learner.start(["x"], TWO, max_iter=3):
            await asyncio.sleep(0.1)
            assert len(lines(log, "simulation")) == state.iteration + 1
        await learner.shutdown()

    asyncio.run(main())


def test_stop_from_the_loop_and_from_outside(make_engine, tmp_path):
    async def main():
        learner = dataflow(make_engine(), tmp_path / "log")
        seen = []
        async for state in learner.start(["x"], TWO, max_iter=1000):
            seen.append(state.iteration)
            if state.iteration == 2:
                learner.stop()
        assert seen == [0, 1, 2]
        assert learner.is_stopped

        @learner.simulation_task()
        async def simulation(*args, **kwargs):
            return "sleep 1000"

        running = asyncio.create_task(learner.teach(["x", "y"], TWO, max_iter=1000))
        await asyncio.sleep(0.3)
        learner.stop()
        results = await asyncio.wait_for(running, 20)
        assert {result.stop_reason for result in results.values()} == {StopReason.STOPPED}
        await learner.shutdown()

    asyncio.run(main())


def test_stop_while_a_run_begins(tmp_path):
    async def main():
        learner = dataflow(ThreadEngine(1), tmp_path / "log")
        running = asyncio.create_task(learner.teach(["x", "y"], TWO, max_iter=1000))
        await asyncio.sleep(0)  # it is opening its run directory, in a thread
        learner.stop()
        results = await running
        assert {result.stop_reason for result in results.values()} == {StopReason.STOPPED}

    asyncio.run(main())


def test_cancelling_teach_ends_the_work_first(make_engine, tmp_path):
    marker = f"1000.{os.getpid()}{time.monotonic_ns()}"
    stubborn = f"sh -c 'trap \"\" TERM; exec sleep {marker}'"  # takes half a second longer than the other to end
    commands = iter([f"sleep {marker}", stubborn])

    async def main():
        learner = dataflow(make_engine(), tmp_path / "log")

        @learner.simulation_task()
        async def simulation(*args, **kwargs):
            return next(commands)

        running = asyncio.create_task(learner.teach(["x", "y"], TWO, max_iter=2))
        await asyncio.to_thread(until, lambda: len(alive(marker)) == 2)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert alive(marker) == []
        await learner.shutdown()

    asyncio.run(main())


def test_what_was_learned_before_a_stop_is_in_the_result():
    async def main():
        learner = classifier(ThreadEngine(2))
        learned = asyncio.Event()
        learner.events.subscribe(lambda event: learned.set() if isinstance(event, IterationDone) else None)
        running = asyncio.create_task(learner.teach(["w"], TWO, max_iter=99))
        await learned.wait()
        learner.stop()
        return (await running)["w"]

    learner_result = asyncio.run(main())
    assert learner_result.stop_reason == StopReason.STOPPED
    assert len(learner_result.indices) >= 6
    assert set(learner_result.models) == set(TWO)


def test_run_inside_a_running_loop(tmp_path):
    async def notebook():
        return dataflow(2, tmp_path / "log").run(["x"], TWO, max_iter=2)

    assert len(asyncio.run(notebook())["x"].iterations) == 2


def test_the_embedded_engine_ends_with_the_run(tmp_path):
    before = set(psutil.Process().children(recursive=True))
    learner = dataflow(2, tmp_path / "log")
    learner.run(["x"], TWO, max_iter=1)
    learner.run(["x"], TWO, max_iter=1)
    until(lambda: not set(psutil.Process().children(recursive=True)) - before, 5)


def test_a_given_engine_stays_open_for_teach_and_is_closed_by_shutdown(make_engine, tmp_path):
    async def main():
        engine = make_engine()
        learner = dataflow(engine, tmp_path / "log")
        await learner.teach(["x"], TWO, max_iter=1)
        await learner.teach(["x"], TWO, max_iter=1)
        await learner.shutdown()
        await learner.shutdown()
        with pytest.raises(RuntimeError, match="closed"):
            await learner.teach(["x"], TWO, max_iter=1)

    asyncio.run(main())
