"""Reinforcement learners: how results travel, what they come to, several side by side, and a record that is resumed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from rose import LearnerConfig, StopReason, TaskConfig
from rose.engine import ThreadEngine
from rose.errors import BindingError, ChangedRunError, CommandFailedError, ConfigurationError, RunFailedError
from rose.reinforcement_learning.reinforcement_learner import (
    ParallelReinforcementLearner,
    ReinforcementLearner,
    SequentialReinforcementLearner,
)

Run = Callable[..., Any]


@pytest.fixture
def run(play: Callable[..., Any]) -> Run:
    """Run a program with a learner, on one engine after the other: `run(class, program)`."""

    def run(kind: type, program: Callable[[Any], Awaitable[Any]], **options: Any) -> Any:
        async def main(engine: Any) -> Any:
            learner = kind(engine, **options)
            try:
                return await program(learner)
            finally:
                await learner.shutdown()

        return play(main)

    return run


def register(learner: Any, log: Path | None = None, *, rewards: tuple[float, ...] | None = (10, 50, 210)) -> Any:
    """Register functions that return what they are given, which becomes state; `log` has a line for each that runs."""

    def note(name: str, *about: Any) -> int:
        if log is None:
            return 0
        with log.open("a") as file:
            file.write(" ".join(map(str, (name, *about))) + "\n")
        return log.read_text().count(name) - 1

    @learner.environment_task(as_executable=False)
    def environment(*args: Any, **kwargs: Any) -> dict[str, Any]:
        note("environment")
        return {"environment": [*args, kwargs]}

    @learner.update_task(as_executable=False)
    async def update(*args: Any, **kwargs: Any) -> dict[str, Any]:
        note("update")
        return {"update": [*args, kwargs]}

    if rewards is not None:

        @learner.as_stop_criterion("reward", threshold=200, operator=">", as_executable=False)
        def reward(*args: Any, **kwargs: Any) -> dict[str, Any]:
            count = note("reward", kwargs.get("agent", ""))
            return {"metric_value": rewards[min(count, len(rewards) - 1)], "judged": list(args)}

    return learner


async def states_of(states: Any) -> list[Any]:
    return [state async for state in states]


def lines(log: Path) -> list[str]:
    return log.read_text().split("\n")[:-1] if log.exists() else []


def test_they_are_found_where_rose_has_them() -> None:
    import rose.rl.experience
    import rose.rl.reinforcement_learner

    canonical = sys.modules["rose.reinforcement_learning"]
    assert rose.rl is canonical is rose.reinforcement_learning
    assert rose.rl.experience is sys.modules["rose.reinforcement_learning.experience"]
    assert (
        rose.reinforcement_learner
        is rose.rl.reinforcement_learner
        is sys.modules["rose.reinforcement_learning.reinforcement_learner"]
    )
    assert all(getattr(rose.rl, name).__name__ == name for name in rose.rl.__all__)
    assert set(rose.rl.__all__) <= set(dir(rose.rl))
    with pytest.raises(AttributeError, match="no attribute 'Experiense'"):
        _ = rose.rl.Experiense


def test_results_travel_from_stage_to_stage(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def program(learner: Any) -> Any:
        return await states_of(register(learner, log).start())

    states = run(SequentialReinforcementLearner, program)
    assert [state.environment for state in states] == [[{}], [10.0, {}], [50.0, {}]]
    assert [state.update for state in states] == [[{"environment": state.environment}, {}] for state in states]
    assert [state.judged[0]["update"] for state in states] == [state.update for state in states]
    assert [(state.iteration, state.metric_value, state.should_stop) for state in states] == [
        (0, 10, False),
        (1, 50, False),
        (2, 210, True),
    ]
    assert lines(log) == ["environment", "update", "reward "] * 3


def test_a_program_of_commands(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def program(learner: Any) -> Any:
        @learner.environment_task
        async def environment(*args: Any, task_description: Any = {"shell": True}) -> str:  # noqa: B006 - as ROSE's
            return f"echo environment {sum(args)} >> {log}; echo {int(3 * sum(args) + 1)}"

        @learner.update_task()
        def update(experience: str, **kwargs: Any) -> str:
            told = f"{experience.strip()} lr={kwargs['--lr']}"
            return f"echo update {told} >> {log}; echo {experience.strip()}"

        @learner.as_stop_criterion(metric_name="MODEL_REWARD", threshold=12, operator=">")
        async def check(*args: Any) -> str:
            return f"echo so it is; echo {args[0]}"

        return await learner.learn(learner_config=LearnerConfig(update=TaskConfig(kwargs={"--lr": 2})))

    result = run(SequentialReinforcementLearner, program)
    assert (result.metric_value, result.iteration, result.should_stop, result.stop_reason) == (
        13,
        2,
        True,
        StopReason.CRITERION_MET,
    )
    environments = ["environment 0", "environment 1.0", "environment 4.0"]
    assert lines(log)[::2] == environments
    assert lines(log)[1::2] == ["update 1 lr=2", "update 4 lr=2", "update 13 lr=2"]
    json.dumps(result)


@pytest.mark.parametrize(
    ("skips", "ran"),
    [
        ({"skip_pre_loop": True}, ["reward()", "environment(1)", "update(E)", "reward(U)"]),
        ({"skip_environment_step": True}, ["update()", "reward(U)", "update(1)", "reward(U)"]),
        ({"skip_simulation_step": True, "skip_pre_loop": True}, ["reward()", "update(1)", "reward(U)"]),
    ],
)
def test_what_may_be_left_out(skips: dict[str, bool], ran: list[str]) -> None:
    learner, seen = SequentialReinforcementLearner(ThreadEngine(1)), []

    def stage(name: str, result: Any) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            seen.append(f"{name}({', '.join(map(str, args))})")
            return result

        return call

    learner.environment_task(as_executable=False)(stage("environment", "E"))
    learner.update_task(as_executable=False)(stage("update", "U"))
    learner.as_stop_criterion("reward", 5, ">", as_executable=False)(stage("reward", 1))
    result = learner.run(max_iter=2, **skips)
    assert [text.replace("1.0", "1") for text in seen] == ran
    assert learner.get_metric_results() == {0: 1.0, 1: 1.0}
    assert (result.stop_reason, learner.get_max_iterations()) == (StopReason.MAX_ITER, 2)
    assert learner.get_current_state().iteration == 1  # type: ignore[union-attr]


def test_without_a_criterion_there_is_no_value_to_tell() -> None:
    learner = register(SequentialReinforcementLearner(ThreadEngine(1)), rewards=None)
    learner.environment_task(as_executable=False)(lambda: {"environment": [1]})
    result = learner.run(2)
    assert (result.metric_value, result.iteration, len(result.iterations)) == (None, 1, 2)
    assert learner.get_metric_results() == {}


def test_each_iteration_has_its_configuration(run: Run, tmp_path: Path) -> None:
    async def program(learner: Any) -> Any:
        register(learner, tmp_path / "log", rewards=(1,))
        config = LearnerConfig(
            environment=TaskConfig(args=("first",), kwargs={"episodes": 3}),
            update={1: TaskConfig(kwargs={"lr": 1}), -1: TaskConfig(kwargs={"lr": 2})},
            criterion=TaskConfig(kwargs={"agent": "a"}),
        )
        seen = []
        async for state in learner.start(max_iter=3, initial_config=config):
            seen.append((state.environment, state.update[1], state.current_config.update is not None))
            if state.iteration == 1:
                learner.set_next_config(LearnerConfig())
        return seen

    assert run(SequentialReinforcementLearner, program) == [
        (["first", {"episodes": 3}], {"lr": 2}, True),
        (["first", 1.0, {"episodes": 3}], {"lr": 1}, True),
        ([1.0, {}], {}, False),
    ]


def test_leaving_the_iteration_ends_everything(tmp_path: Path) -> None:
    log = tmp_path / "log"

    class Tracker:
        def __init__(self) -> None:
            self.told: list[Any] = []

        def on_start(self, manifest: Any) -> None:
            self.told.append((manifest.learner_type, sorted(manifest.tasks), manifest.criterion.metric_name))

        def on_iteration(self, state: Any) -> None:
            self.told.append(state.iteration)

        def on_stop(self, final_state: Any, reason: str) -> None:
            self.told.append((final_state.iteration, reason))

    async def main(leave: bool) -> list[Any]:
        learner, tracker = register(SequentialReinforcementLearner(ThreadEngine(2)), log), Tracker()
        learner.add_tracker(tracker)
        async for _ in learner.start(max_iter=9):
            if leave:
                break
        await learner.shutdown()
        return tracker.told

    start = ("SequentialReinforcementLearner", ["environment", "update"], "reward")
    assert asyncio.run(main(True)) == [start, 0, (0, "stopped")]
    assert lines(log) == ["environment", "update", "reward "]
    log.unlink()
    assert asyncio.run(main(False)) == [start, 0, 1, 2, (2, "criterion_met")]


def test_a_failing_task_is_raised_with_its_key(run: Run) -> None:
    async def program(learner: Any) -> None:
        register(learner)
        learner.environment_task(lambda *args: "echo no such world >&2; exit 3")
        await learner.learn(max_iter=1)

    with pytest.raises(RunFailedError) as caught:
        run(SequentialReinforcementLearner, program)
    error = caught.value.__cause__
    assert isinstance(error, CommandFailedError)
    assert (error.key, error.exit_code) == ("SequentialReinforcementLearner/0/environment", 3)
    assert "no such world" in str(error)


@pytest.mark.parametrize(
    ("registered", "options", "message"),
    [
        ("", {"max_iter": 1}, "Environment function must be set unless using external experiences!"),
        ("environment", {"max_iter": 1}, "Update function must be set!"),
        ("", {"max_iter": 1, "skip_environment_step": True}, "Update function must be set!"),
        ("environment update", {}, "Either max_iter > 0 or criterion_function must be provided"),
        ("environment update", {"max_iter": -1}, "max_iter"),
        (
            "environment update",
            {"max_iter": 1, "initial_config": LearnerConfig(), "learner_config": LearnerConfig()},
            "one thing",
        ),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(registered: str, options: Any, message: str) -> None:
    learner = SequentialReinforcementLearner(1)
    for name in registered.split():
        getattr(learner, f"{name}_task")(as_executable=False)(lambda *args: None)
    with pytest.raises(ConfigurationError, match=message):
        learner.start(**options)


def test_functions_must_take_what_they_are_given() -> None:
    learner = register(SequentialReinforcementLearner(1))
    learner.environment_task(as_executable=False)(lambda: 1)
    with pytest.raises(BindingError, match=r"environment task .* in iteration 1 with 1 positional"):
        learner.start()
    learner.start(max_iter=1)
    learner.uncertainty_quantification("own", threshold=1)
    with pytest.raises(ConfigurationError, match="scores nothing"):
        learner.start()


# --- calls of one's own ------------------------------------------------------------------------------------------


def test_a_decorated_function_submits(run: Run) -> None:
    async def program(learner: Any) -> None:
        environment = learner.environment_task(as_executable=False)(lambda n: {"n": n})
        update = learner.register_decorator("update")(as_executable=False)(lambda got, more: got["n"] + more)
        check = learner.as_stop_criterion("reward", 5, ">", as_executable=False)(lambda value: value)
        future = environment(2)
        assert await update(future, more=1) == 3
        assert await check(update(environment(3), 4)) == (True, 7.0)
        assert learner.environment_function["func"](1) == {"n": 1}
        with pytest.raises(NotImplementedError):
            learner.start()

    run(ReinforcementLearner, program)
    plain = ParallelReinforcementLearner(1).environment_task(as_executable=False)(lambda n: n)
    assert plain(3) == 3


# --- several side by side ----------------------------------------------------------------------------------------


def test_several_agents_side_by_side(run: Run) -> None:
    async def program(learner: Any) -> Any:
        @learner.environment_task(as_executable=False)
        def environment(value: float = 0, seed: int = 0) -> float:
            return value + seed

        learner.update_task(as_executable=False)(lambda seen: seen + 1)
        learner.as_stop_criterion("reward", 4, ">=", as_executable=False)(float)
        configs = [None, LearnerConfig(environment=TaskConfig(kwargs={"seed": 1}))]
        states = []
        async for state in learner.start(parallel_learners=2, learner_configs=configs):
            states.append((state.learner_id, state.iteration, state.metric_value))
            if state.learner_id == 0 and state.iteration == 1:
                learner.set_next_config(configs[1], 0)
        return states, learner.get_metric_results(), await learner.learn(2, 1)

    states, metrics, learned = run(ParallelReinforcementLearner, program)
    assert [state[1:] for state in states if state[0] == 0] == [(0, 1), (1, 2), (2, 4)]
    assert metrics == {"learner-0": {0: 1, 1: 2, 2: 4}, "learner-1": {0: 2, 1: 4}}
    assert [(state.learner_id, state.metric_value) for state in learned] == [(0, 1.0), (1, 1.0)]


def test_one_that_fails_spares_the_others() -> None:
    learner = register(ParallelReinforcementLearner(ThreadEngine(2)), rewards=(1,))
    learner.update_task(as_executable=False)(lambda *args, **kwargs: 1 / kwargs["by"])
    configs = [LearnerConfig(update=TaskConfig(kwargs={"by": by})) for by in (0, 1)]
    with pytest.raises(RunFailedError, match="1 of 2 workflows failed") as caught:
        learner.run(2, max_iter=2, learner_configs=configs)
    assert [len(one.iterations) for one in caught.value.results.values()] == [0, 2]  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="For single learner, use SequentialReinforcementLearner"):
        learner.start(1)
    with pytest.raises(ConfigurationError, match="learner_configs length must match parallel_learners"):
        learner.start(2, learner_configs=[None])


# --- a record ----------------------------------------------------------------------------------------------------


def test_nothing_that_is_recorded_runs_twice(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def learned(max_iter: int, change: str = "") -> list[str]:
        log.unlink(missing_ok=True)

        async def program(learner: Any) -> Any:
            register(learner, log, rewards=(1,))
            if change:
                learner.update_task(as_executable=False)(lambda *args: change)
            return await learner.learn(max_iter=max_iter)

        result = run(SequentialReinforcementLearner, program, run_dir=tmp_path / "run")
        assert len(result.iterations) == max_iter
        return lines(log)

    once = ["environment", "update", "reward "]
    assert learned(2) == once * 2
    assert learned(2) == []
    assert learned(4) == once * 2
    with pytest.raises(ChangedRunError, match="update task"):
        learned(4, change="otherwise")


PROGRAM = """
import os, signal, sys
from rose.engine import ThreadEngine
from rose.reinforcement_learning import ExperienceBank, Experience, ParallelExperience

learner = ParallelExperience(ThreadEngine(2), run_dir="run")
learner.work_dir = "banks"

def note(*words):
    with open("log", "a") as file:
        print(*words, file=file)

@learner.environment_task(name="returned", as_executable=False)
def returned(value=0.0):
    note("returned", value)
    bank = ExperienceBank()
    bank.add(Experience(value, 0, 1.0, None, True))
    return bank

@learner.environment_task(name="saved", as_executable=False)
def saved(value=0.0):
    note("saved", value)
    bank = ExperienceBank()
    bank.add(Experience([value, value], 0, 2.0, None, True))
    bank.save("banks")

@learner.update_task(as_executable=False)
def update(path):
    rewards = [one.reward for one in ExperienceBank.load(path)]
    note("update", *rewards)
    if open("log").read().count("update") == 2 and sys.argv[1] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return sum(rewards)

@learner.as_stop_criterion("reward", 99, ">", as_executable=False)
def reward(value):
    return value

print(learner.run(max_iter=3).metric_value)
"""


def test_a_program_that_is_killed_goes_on(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "banks").mkdir()
    for argument, code in (("killed", -signal.SIGKILL), ("", 0)):
        command = [sys.executable, "program.py", argument]
        ran = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
        assert ran.returncode == code, ran.stderr
    assert sorted(lines(tmp_path / "log")) == [
        *(f"{name} {value}" for name in ("returned", "saved") for value in (0.0, 3.0, 3.0)),
        *["update 1.0 2.0"] * 4,  # the second was killed, and runs again
    ]
    assert ran.stdout.split() == ["3.0"]
    assert len(os.listdir(tmp_path / "banks")) == 4  # three of the environment's, and the merged one
