"""ROSE's streaming learner: windows, who waits, how a stream ends, and what a program that is killed is given."""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rose.active_learning import StreamingActiveLearner
from rose.cli import main
from rose.engine import ThreadEngine
from rose.errors import ConfigurationError, RunFailedError
from rose.stages.config import LearnerConfig, TaskConfig
from tests.learners.playing import Play, Stages


async def numbers(*items: int, error: Exception | None = None) -> AsyncIterator[int]:
    for item in items:
        yield item
    if error is not None:
        raise error


@pytest.mark.parametrize("command", [False, True], ids=["functions", "commands"])
def test_windows_of_a_source(play: Play, stages: Stages, command: bool) -> None:
    async def program(engine: Any) -> None:
        learner = StreamingActiveLearner(engine, batch_size=2, sources=numbers(*range(5)))
        stages.register(learner, "training", "active_learn", command=command)
        stages.criterion(learner, 0.5, 0.95, 0.5, command=command)
        ready: list[tuple[str, Any]] = []

        async def publish(state: Any) -> None:
            await asyncio.sleep(0)
            ready.append(("async", state.iteration))

        learner.on_model_ready(publish)
        learner.on_model_ready(lambda state: ready.append(("plain", state.metric_value)))
        learner.set_next_config(LearnerConfig(training=TaskConfig(args=("own",), kwargs={"rate": 1})))
        states = []
        async for state in learner.start():
            states.append((state.iteration, state.window_size, state.metric_value, state.should_stop))
            learner.set_next_config(LearnerConfig())
            assert ready == [("async", 1), ("plain", 0.95)][: 2 * state.iteration]
        assert states == [(0, 2, 0.5, False), (1, 2, 0.95, True), (2, 1, 0.5, False)]
        assert stages.given("training") == [
            [[[0, 1], "own"], {"rate": 1}],
            [[[2, 3], "active_learn-0"], {}],
            [[[4], "active_learn-1"], {}],
        ]
        assert stages.given("active_learn") == [[[f"training-{i}"], {}] for i in range(3)]
        assert stages.given("criterion") == [[[], {}]] * 3
        assert learner.learner_results["StreamingActiveLearner"].stop_reason == "stream_exhausted"
        assert await learner.training_task(as_executable=False)(lambda: 7)() == 7
        await learner.shutdown()

    play(program)


def learner_of(stages: Stages, **options: Any) -> StreamingActiveLearner:
    learner = StreamingActiveLearner(ThreadEngine(1), **options)
    stages.register(learner, "training", "active_learn")
    return learner


def test_who_feeds_waits_for_room(stages: Stages, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        learner = learner_of(stages, batch_size=2)
        for item in range(5):
            await learner.feed(item)  # before the run there is room for all
        fed: list[int] = []

        async def feeding() -> None:
            for item in range(5, 20):
                await learner.feed(item)
                fed.append(item)

        feeders = []
        async for state in learner.start():
            feeders = feeders or [asyncio.create_task(feeding())]
            taken = 2 * (state.iteration + 1)
            assert 5 + len(fed) <= max(taken + 2, 5)  # no more than a window waits
            if state.iteration == 4:
                learner.stop()
        await feeders[0]  # that nobody learns from it any more ends no program
        assert learner.is_stopped
        assert learner.learner_results["StreamingActiveLearner"].stop_reason == "stopped"

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert caplog.text.count("nobody learns from what is fed") == 1
    assert [args[0] for args, _ in stages.given("training")] == [[i, i + 1] for i in range(0, 10, 2)]


def test_a_window_that_waits_long_enough_is_not_full(stages: Stages) -> None:
    async def main() -> None:
        learner = learner_of(stages, batch_size=100, max_wait=0.01)
        await learner.feed(1)
        async for state in learner.start():
            if state.iteration == 1:
                break
            await learner.feed(2)
            await learner.feed(3)

    asyncio.run(main())
    assert [args[0] for args, _ in stages.given("training")] == [[1], [2, 3]]


def test_the_newest_make_the_window(stages: Stages) -> None:
    async def main() -> None:
        learner = learner_of(stages, batch_size=2, conflate=True)
        for item in range(5):
            await learner.feed(item)
        async for state in learner.start():
            if state.iteration == 1:
                break
            for item in range(5, 50):
                await learner.feed(item)

    asyncio.run(main())
    assert [args[0] for args, _ in stages.given("training")] == [[3, 4], [48, 49]]


def test_a_source_that_never_waits_lets_others_run(stages: Stages) -> None:
    async def endless() -> AsyncIterator[int]:
        for item in itertools.count():
            yield item

    async def main() -> None:
        learner = learner_of(stages, batch_size=3, conflate=True, sources=endless())
        async for state in learner.start():
            if state.iteration == 2:
                break

    asyncio.run(main())
    windows = [args[0] for args, _ in stages.given("training")]
    assert all(window == list(range(window[0], window[0] + 3)) for window in windows)
    assert windows == sorted(windows)


def test_what_a_source_raises_ends_it_after_what_came_before(stages: Stages) -> None:
    closed: list[str] = []

    async def endless() -> AsyncIterator[int]:
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            closed.append("endless")

    async def main() -> None:
        learner = learner_of(stages, batch_size=2)
        learner.attach_source(endless())
        learner.attach_source(numbers(1, 2, 3, error=OSError("the detector is gone")))
        with pytest.raises(RunFailedError, match=r"a source of the stream raised OSError: the detector is gone"):
            await learner.start()
        assert closed == ["endless"]
        result = learner.learner_results["StreamingActiveLearner"]
        assert (result.stop_reason, result.window_size) == ("error", 1)
        learner.attach_source(numbers(4, 5))  # another run of the same learner
        assert (await learner.start()).stop_reason == "stream_exhausted"

    asyncio.run(main())
    assert [args[0] for args, _ in stages.given("training")] == [[1, 2], [3], [4, 5]]


def test_leaving_ends_sources_that_wait(stages: Stages) -> None:
    closed: list[int] = []

    async def counting() -> AsyncIterator[int]:
        try:
            for item in range(1000):
                yield item
        except GeneratorExit:
            closed.append(item)
            raise

    async def main() -> None:
        learner = learner_of(stages)
        states = learner.start()
        learner.attach_source(counting())
        async for _ in states:
            learner.attach_source(numbers(1))  # while it runs
            break
        await states.aclose()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others

    asyncio.run(main())
    assert closed
    assert closed[0] < 10


def test_what_a_callback_raises_ends_the_run(stages: Stages) -> None:
    def publish(state: Any) -> None:
        raise OSError("no place to publish")

    async def main() -> None:
        learner = learner_of(stages, sources=[numbers(1, 2)])
        stages.criterion(learner, 0.95)
        learner.on_model_ready(publish)
        with pytest.raises(RunFailedError, match="no place to publish"):
            await learner.start()

    asyncio.run(main())


def test_what_cannot_be(stages: Stages) -> None:
    learner = StreamingActiveLearner(2)
    with pytest.raises(ValueError, match=r"^Training and Active Learning functions must be set!"):
        learner.start()
    stages.register(learner, "simulation", "training", "active_learn")
    with pytest.raises(ConfigurationError, match="nothing would call it; register it with utility_task"):
        learner.start()
    with pytest.raises(ConfigurationError, match="a source is an async iterator"):
        learner.attach_source([1, 2])  # type: ignore[arg-type]
    for wrong in ({"batch_size": 0}, {"max_wait": -1}, {"sources": 3}):
        with pytest.raises(ConfigurationError, match=r"batch_size|max_wait|source"):
            StreamingActiveLearner(2, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="on_model_ready takes a function"):
        learner.on_model_ready(3)  # type: ignore[arg-type]


PROGRAM = """
import asyncio, os, signal, sys
from pathlib import Path
from rose.al import StreamingActiveLearner

learner = StreamingActiveLearner(2, batch_size=2, run_dir="run")

@learner.training_task(as_executable=False)
def train(window, chosen=()):
    with open("log", "a") as file:
        file.write(f"train {window} {list(chosen)}" + chr(10))
    return window

@learner.active_learn_task(as_executable=False)
def choose(window):
    if window == [2, 3] and not Path("killed").exists():
        Path("killed").touch()
        os.kill(int(Path("pid").read_text()), signal.SIGKILL)
        signal.pause()
    return [sum(window)]

async def source(first):
    for item in range(first, 6):
        yield item

async def main():
    Path("pid").write_text(str(os.getpid()))
    learner.attach_source(source(int(sys.argv[1])))
    print([(state.iteration, state.window_size) async for state in learner.start()])

asyncio.run(main())
"""


def test_a_program_that_is_killed_goes_on_within_its_window(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    for first, code in ((0, -signal.SIGKILL), (4, 0)):
        command = [sys.executable, "program.py", str(first)]
        ran = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
        assert ran.returncode == code, ran.stderr
    assert ran.stdout.strip() == "[(0, 2), (1, 2), (2, 2)]"
    assert (tmp_path / "log").read_text().splitlines() == [
        "train [0, 1] []",
        "train [2, 3] [1]",
        "train [4, 5] [5]",
    ]
    main(["status", str(tmp_path / "run")])
    assert "stream_exhausted" in capsys.readouterr().out
