"""Programs of one's own over futures: what calls give, what they wait for, and what a resumed program is given."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rose import MODEL_ACCURACY, Learner, LearnerConfig, TaskConfig
from rose.engine import Engine, ThreadEngine
from rose.errors import ChangedRunError, ConfigurationError, TaskError, TaskFailedError


def play(program: Callable[[Learner], Awaitable[Any]], engine: Any, **options: Any) -> Any:
    """Run a program with a learner, which is shut down in the end."""

    async def main() -> Any:
        learner = Learner(engine, **options)
        try:
            return await program(learner)
        finally:
            await learner.shutdown()

    return asyncio.run(main())


class Pair(NamedTuple):
    first: Any
    second: Any


def test_a_call_submits_and_gives_a_future(either_engine: Engine) -> None:
    async def program(learner: Learner) -> None:
        @learner.simulation_task(as_executable=False)
        def simulate(n: int, *, scale: int = 1) -> int:
            return n * scale

        @learner.training_task(as_executable=False)
        async def train(*given: Any, **named: Any) -> Any:
            return given, named

        @learner.utility_task
        async def tell(text: Any) -> str:
            return f"echo told {text}"

        one, two = simulate(1), simulate(2, scale=3)
        assert (one.id, two.id, one.done()) == ("Learner/0/simulation/0", "Learner/0/simulation/1", False)
        done, _ = await asyncio.wait([one, two])
        assert done == {one, two}
        assert one.exception() is None
        given, named = await train(one, [two, {"deep": (one, 5)}], Pair(two, 3), data=two, plain=7)
        assert given == (1, [6, {"deep": (1, 5)}], Pair(6, 3))
        assert named == {"data": 6, "plain": 7}
        assert isinstance(given[2], Pair)
        assert (await tell(simulate(4))).strip() == "told 4"
        assert await asyncio.gather(*[simulate(n) for n in range(3)]) == [0, 1, 2]

    play(program, either_engine)


def test_a_commands_function_is_called_with_results(either_engine: Engine) -> None:
    async def program(learner: Learner) -> None:
        @learner.simulation_task
        async def simulate(n: int) -> str:
            return f"echo {n}"

        @learner.active_learn_task
        def choose(simulations: list[str], *, model: str) -> str:
            return f"echo {'+'.join(text.strip() for text in simulations)} of {model}"

        texts = [simulate(n) for n in (1, 2)]
        assert (await choose(texts, model=simulate(3))).split() == ["1+2", "of", "3"]

    play(program, either_engine)


def test_an_awaited_criterion_says_whether_to_stop(either_engine: Engine) -> None:
    async def program(learner: Learner) -> None:
        @learner.training_task(as_executable=False)
        def train(accuracy: float) -> float:
            return accuracy

        @learner.as_stop_criterion(MODEL_ACCURACY, threshold=0.9)
        async def accuracy(value: float) -> str:
            return f"echo so and so; echo {value}"

        assert await accuracy(train(0.5)) == (False, 0.5)
        assert await accuracy(0.95) == (True, 0.95)
        assert learner.metric_values_per_iteration == learner.get_metric_results() == {0: 0.5, 1: 0.95}
        assert learner.iteration == 2
        assert not learner.is_stopped
        learner.stop()
        assert learner.is_stopped

    play(program, either_engine)


def test_a_subclass_has_a_say() -> None:
    class Own(Learner):
        def compare_metric(self, metric_name: str, metric_value: float, threshold: float, operator: str = "") -> bool:
            return metric_name == "own" and metric_value > 3

        async def teach(self) -> Any:  # type: ignore[override]
            return await self.check(4)

    async def main() -> None:
        learner = Own(ThreadEngine(1))
        learner.check = learner.as_stop_criterion("own", 99, "<", as_executable=False)(float)  # type: ignore[attr-defined]
        assert await learner.teach() == (True, 4.0)
        await learner.shutdown()

    asyncio.run(main())


def test_a_failure_is_told_to_all_who_depend_on_it(either_engine: Engine) -> None:
    async def program(learner: Learner) -> None:
        @learner.simulation_task(as_executable=False)
        def simulate(n: int) -> float:
            return 1 / n

        failing = simulate(0)
        waiting = simulate([failing])
        with pytest.raises(TaskFailedError, match="division by zero") as caught:
            await waiting
        assert caught.value.key == "Learner/0/simulation/0"
        assert isinstance(failing.exception(), TaskFailedError)

    play(program, either_engine)


def test_futures_are_cancelled_alone_and_all_at_the_end(engine: Engine) -> None:
    held: list[Any] = []

    async def program(learner: Learner) -> None:
        begun = asyncio.Event()

        @learner.simulation_task(as_executable=False, waits=True)
        async def simulate(n: int = 0) -> None:
            begun.set()
            await asyncio.Event().wait()

        one, left = simulate(1), simulate(2)
        waiting, other = simulate(one), simulate(left)
        await begun.wait()
        other.cancel()
        await asyncio.wait([other])
        assert other.cancelled()
        assert not left.done()
        assert one.cancel()
        with pytest.raises(TaskError, match=r"waits for Learner/0/simulation/0, which was cancelled"):
            await waiting
        held.append(left)

    play(program, engine)
    assert held[0].cancelled()


def test_without_submitting_functions_stay_what_they_are() -> None:
    learner = Learner(2, register_and_submit=False)

    @learner.training_task(as_executable=False)
    def train(x: int) -> int:
        return x + 1

    assert train(1) == 2
    submits = Learner(2)
    submits.training_task(as_executable=False)(train)
    with pytest.raises(ConfigurationError, match=r"training/0 was asked for where no event loop runs"):
        submits.training_task(as_executable=False)(train)(1)


def test_a_registered_task_is_a_dict_to_copy_and_to_change(either_engine: Engine) -> None:
    async def program(learner: Learner) -> None:
        @learner.simulation_task(as_executable=False)
        def simulate(*args: int, **kwargs: int) -> Any:
            return args, kwargs

        copied = learner.simulation_function.copy()
        copied["kwargs"] = {"a": 1}
        future = learner._register_task(copied, deps=(simulate(5), 6))
        assert (await future) == ((((5,), {}), 6), {"a": 1})
        assert future.id == "Learner/0/simulation/1"
        assert learner.simulation_function["kwargs"] == {}
        learner.simulation_function["kwargs"] = {"b": 2}
        assert await simulate(1, c=3) == ((1,), {"b": 2, "c": 3})

        seen = []
        config = LearnerConfig(simulation={1: TaskConfig(args=(7,))})
        tasks = [learner._get_iteration_task_config(copied, config, "simulation", i) for i in (0, 1)]
        assert [(task["args"], task["kwargs"]) for task in tasks] == [((), {"a": 1}), ((7,), {})]
        submit = learner._register_task

        def hook(task: dict[str, Any], deps: Any = None) -> Any:
            seen.append((task["func"].__name__, task["args"], task["kwargs"]))
            task["kwargs"] = {**task["kwargs"], "hooked": 1}
            return submit(task, deps)

        learner._register_task = hook  # type: ignore[method-assign]
        assert await simulate(2) == ((2,), {"b": 2, "hooked": 1})
        assert seen == [("simulate", (2,), {"b": 2})]

    play(program, either_engine)


def test_what_tasks_register_is_state_and_trackers_follow(either_engine: Engine) -> None:
    told: list[Any] = []

    class Tracker:
        def on_start(self, manifest: Any) -> None:
            told.append(sorted(manifest.tasks))

        def on_iteration(self, state: Any) -> None:
            told.append((state.iteration, state.metric_value, state.metric_history, state.get("depth")))

        def on_stop(self, final_state: Any, reason: str) -> None:
            told.append((final_state.iteration, reason))

    async def program(learner: Learner) -> None:
        learner.add_tracker(Tracker())
        registered: list[Any] = []
        learner.on_state_update(lambda *what: registered.append(what))

        @learner.training_task(as_executable=False)
        def train(depth: int) -> int:
            learner.register_state("depth", depth)
            return depth

        check = learner.as_stop_criterion(MODEL_ACCURACY, threshold=2, as_executable=False)(float)
        for depth in (1, 2):
            await check(train(depth))
        assert registered == [("depth", 1), ("depth", 2)]
        assert learner.get_all_state()["depth"] == 2
        learner.clear_state()
        assert learner.get_all_state() == {}

    play(program, either_engine)
    assert told == [["training"], (0, 1.0, [1.0], 1), (1, 2.0, [1.0, 2.0], 2), (1, "criterion_met")]


# --- a record ----------------------------------------------------------------------------------------------------


class Recorded:
    """A program that notes what really runs, in a run directory."""

    def __init__(self, folder: Path, engine: Any) -> None:
        self.run_dir, self.log, self.engine = folder / "run", folder / "log", engine

    def play(self, order: tuple[int, ...] = (1, 2), names: bool = False, factor: int = 2, **options: Any) -> Any:
        self.log.unlink(missing_ok=True)
        log = str(self.log)

        def note(text: str) -> None:
            with open(log, "a") as file:
                file.write(text + "\n")

        async def program(learner: Learner) -> Any:
            @learner.simulation_task
            async def simulate(n: int) -> str:
                note(f"simulate {n}")
                return f"echo {n}"

            @learner.training_task(as_executable=False)
            def train(data: list[str], data_of: int) -> dict[str, int]:
                note(f"train {data_of}")
                learner.register_state(f"trained {data_of}", True)  # two at once: a name of its own for each
                return {"sum": factor * sum(int(text) for text in data)}

            @learner.as_stop_criterion("sum", 0, ">", as_executable=False)
            def check(model: dict[str, int]) -> dict[str, int]:
                note("check")
                return model

            texts = [simulate(n, key=f"n={n}") if names else simulate(n) for n in order]
            first, second = [train(texts, data_of=n) for n in (1, 2)]
            result = [await check(first), await second]
            return result, dict(learner.get_all_state())

        engine = ThreadEngine(2) if isinstance(self.engine, ThreadEngine) else self.engine
        return play(program, engine, run_dir=self.run_dir, **options)

    def ran(self) -> list[str]:
        return sorted(self.log.read_text().split("\n")[:-1]) if self.log.exists() else []


@pytest.fixture
def recorded(tmp_path: Path, either_engine: Engine) -> Recorded:
    return Recorded(tmp_path, either_engine)


def test_a_program_that_is_started_again_is_given_what_was_recorded(recorded: Recorded) -> None:
    first = recorded.play()
    assert first[0] == [(True, 6.0), {"sum": 6}]
    assert recorded.ran() == ["check", "simulate 1", "simulate 2", "train 1", "train 2"]
    assert recorded.play() == first
    assert recorded.ran() == []


def test_a_program_that_goes_on_further_runs_what_is_new(recorded: Recorded) -> None:
    recorded.play()
    assert recorded.play((1, 2, 3), accept_changes=True)[0] == [(True, 12.0), {"sum": 12}]
    assert recorded.ran() == ["check", "simulate 3", "train 1", "train 2"]
    recorded.play((1, 2, 3))
    assert recorded.ran() == []


def test_a_program_that_asks_in_another_order_is_told_so(recorded: Recorded) -> None:
    recorded.play()
    with pytest.raises(ChangedRunError, match=r"task Learner/0/simulation/. is recorded: .* asks in another order"):
        recorded.play((2, 1))
    assert recorded.ran() == []
    assert recorded.play((2, 1), accept_changes=True)[0] == [(True, 6.0), {"sum": 6}]
    assert recorded.ran() == ["simulate 1", "simulate 2", "train 1", "train 2"]  # the check is asked the same


def test_calls_with_names_may_come_in_any_order(recorded: Recorded) -> None:
    recorded.play(names=True)
    with pytest.raises(
        ChangedRunError, match=r"task Learner/0/training/. is recorded: it was asked of training task 'tr"
    ):
        recorded.play((2, 1), names=True)
    assert recorded.ran() == []
    rows = json.dumps(sorted(str(path) for path in recorded.run_dir.rglob("stdout")))
    assert "n=1" in rows or "n%3D1" in rows


def test_a_program_that_is_killed_goes_on(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    for last, code in ((2, -signal.SIGKILL), (9, 0)):
        ran = subprocess.run(
            [sys.executable, program, str(last)], cwd=tmp_path, check=False, capture_output=True, text=True
        )
        assert ran.returncode == code, ran.stderr
    assert (tmp_path / "log").read_text().split() == ["0", "1", "2", "3"]
    assert ran.stdout.split() == ["6"]


PROGRAM = """
import asyncio, os, signal, sys
from rose import Learner

learner = Learner(2, run_dir="run")

@learner.simulation_task
def simulate(n, before=None):
    return f"echo {n} >> log; echo {n}"

@learner.training_task(as_executable=False)
def train(results):
    return sum(map(int, results))

async def main():
    results = []
    for n in range(4):
        results.append(simulate(n, *results[-1:]))
        await results[-1]
        if n == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
    print(await train(results))
    await learner.shutdown()

asyncio.run(main())
"""


def test_a_changed_function_is_noticed(recorded: Recorded) -> None:
    recorded.play()
    with pytest.raises(ChangedRunError, match=r"training task 'train' has changed"):
        recorded.play(factor=3)
    recorded.play(factor=3, accept_changes=True)


def test_a_program_of_several_event_loops_is_one_program(tmp_path: Path) -> None:
    learner = Learner(2, run_dir=tmp_path / "run")
    simulate = learner.simulation_task(as_executable=False)(lambda n: n)

    async def one(n: int) -> tuple[str, int]:
        future = simulate(n)
        return future.id, await future

    assert [asyncio.run(one(n)) for n in (1, 2)] == [("Learner/0/simulation/0", 1), ("Learner/0/simulation/1", 2)]
    asyncio.run(learner.shutdown())
    assert asyncio.run(one(1)) == ("Learner/0/simulation/0", 1)  # another start of the program
    with pytest.raises(ChangedRunError, match="simulation/1 is recorded"):
        asyncio.run(one(3))
    asyncio.run(learner.shutdown())


@pytest.mark.parametrize("key", ["", 3, "17"])
def test_names_that_cannot_be(key: Any) -> None:
    async def program(learner: Learner) -> None:
        simulate = learner.simulation_task(as_executable=False)(lambda: 1)
        with pytest.raises(ConfigurationError, match=r"key=.* of simulation task .* must be a text, and no number"):
            simulate(key=key)
        assert await simulate(key="a") == 1
        with pytest.raises(ConfigurationError, match=r"key='a' .* was asked for before"):
            simulate(key="a")
        own = learner.training_task(as_executable=False)(lambda key: key)
        assert await own(key="the function's own") == "the function's own"

    play(program, ThreadEngine(1))
