"""ROSE's active learners: what travels where, how a run ends, and what it gives."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rose.active_learning import ParallelActiveLearner, SequentialActiveLearner
from rose.engine import ThreadEngine
from rose.errors import ChangedRunError, ConfigurationError, RunFailedError
from rose.stages.config import LearnerConfig, TaskConfig
from tests.learners.playing import Play, Stages

ACTIVE = "simulation", "training", "active_learn"


@pytest.mark.parametrize("command", [False, True], ids=["functions", "commands"])
def test_what_travels_where(play: Play, stages: Stages, command: bool) -> None:
    async def program(engine: Any) -> None:
        learner = SequentialActiveLearner(engine)
        stages.register(learner, *ACTIVE, command=command)
        stages.criterion(learner, 0.1, 0.5, 0.95, command=command)
        states = [state async for state in learner.start()]
        assert [(s.iteration, s.metric_value, s.should_stop, s.learner_id) for s in states] == [
            (0, 0.1, False, None),
            (1, 0.5, False, None),
            (2, 0.95, True, None),
        ]
        assert stages.given("simulation") == [[[], {}], [["active_learn-0"], {}], [["active_learn-1"], {}]]
        assert stages.given("training") == [[[f"simulation-{i}"], {}] for i in range(3)]
        assert stages.given("active_learn") == [[[f"simulation-{i}", f"training-{i}"], {}] for i in range(3)]
        assert stages.given("criterion") == [[[], {}]] * 3
        assert learner.get_metric_results() == learner.metric_values_per_iteration == {0: 0.1, 1: 0.5, 2: 0.95}
        assert learner.get_current_state() is states[-1]
        assert learner.learner_results["SequentialActiveLearner"].stop_reason == "criterion_met"

    play(program)


@pytest.mark.parametrize(
    ("skipped", "calls"),
    [
        (
            {"skip_pre_loop": True},
            [("active_learn", [[], []]), ("simulation", ["active_learn-0"]), ("training", ["simulation-0"])],
        ),
        (
            {"skip_simulation_step": True},
            [("training", []), ("active_learn", ["training-0"]), ("training", ["active_learn-0"])],
        ),
        (
            {"skip_pre_loop": True, "skip_simulation_step": True},
            [("active_learn", []), ("training", ["active_learn-0"])],
        ),
    ],
    ids=["pre-loop", "simulation", "both"],
)
def test_what_is_skipped(stages: Stages, skipped: Any, calls: Any) -> None:
    async def main() -> None:
        learner = SequentialActiveLearner(ThreadEngine(1))
        stages.register(learner, *ACTIVE)
        await learner.start(max_iter=2, **skipped)

    asyncio.run(main())
    kinds = [json.loads(line)[:2] for line in Path(stages.log).read_text().splitlines()]
    assert kinds[: len(calls)] == [list(call) for call in calls]
    assert len(kinds) == len(calls) + 1  # the second choice; nothing that nobody uses


def test_configurations_and_state(play: Play, stages: Stages) -> None:
    async def program(engine: Any) -> None:
        learner = SequentialActiveLearner(engine)
        stages.register(learner, *ACTIVE, training=lambda i: {"loss": i, "first": i} if not i else {"loss": i})
        assert (learner.get_current_state(), learner.get_max_iterations(), learner.learner_id) == (None, None, None)
        config = LearnerConfig(
            training={0: TaskConfig(kwargs={"rate": 0.1}), -1: TaskConfig(kwargs={"rate": 0.2})},
            active_learn=TaskConfig(args=("own",)),
        )
        async for state in learner.start(3, initial_config=config):
            assert learner.get_current_state() is state
            assert state.loss == state.iteration
            assert ("first" in state.state) == (state.iteration == 0)
            if state.iteration == 1:
                learner.set_next_config(LearnerConfig(simulation=TaskConfig(kwargs={"n": 5})))
        assert learner.get_max_iterations() == 3
        assert [named for _, named in stages.given("training")] == [{"rate": 0.1}, {"rate": 0.2}, {}]
        assert [named for _, named in stages.given("simulation")] == [{}, {}, {"n": 5}]
        assert [args[:-1] for args, _ in stages.given("active_learn")] == [
            ["own", "simulation-0"],
            ["own", "simulation-1"],
            ["simulation-2"],
        ]

    play(program)


def test_what_teach_gives(stages: Stages) -> None:
    async def main() -> None:
        learner = SequentialActiveLearner(ThreadEngine(1))
        stages.register(learner, *ACTIVE, training={"loss": 0.5})
        stages.criterion(learner, 0.5)
        state = await learner.teach(max_iter=2, learner_config=LearnerConfig())
        assert (state.metric_value, state.iteration, state.loss, state.get("loss")) == (0.5, 1, 0.5, 0.5)
        assert json.loads(json.dumps(state))["stop_reason"] == state.stop_reason == "max_iter_reached"
        assert [one["metric"] for one in state.iterations] == [0.5, 0.5]
        with pytest.raises(AttributeError, match="los"):
            _ = state.lost
        assert (await learner.start(max_iter=1)).metric_value == 0.5
        assert learner.is_stopped is False

    asyncio.run(main())


def test_leaving_and_stopping_end_everything(play: Play, stages: Stages) -> None:
    async def program(engine: Any) -> None:
        learner = ParallelActiveLearner(engine)
        stages.register(learner, *ACTIVE)
        states = learner.start(max_iter=400)
        async for state in states:
            if state.iteration == 1:
                break
        await states.aclose()
        assert {one.stop_reason for one in learner.learner_results.values()} == {"stopped"}
        before = len(stages.given("simulation"))
        await asyncio.sleep(0.05)
        assert len(stages.given("simulation")) == before < 20
        async for _ in learner.start(max_iter=400):
            learner.stop()
        assert learner.is_stopped
        assert {one.stop_reason for one in learner.learner_results.values()} == {"stopped"}

    play(program)


def test_workflows_side_by_side(play: Play, stages: Stages) -> None:
    async def program(engine: Any) -> None:
        learner = ParallelActiveLearner(engine)
        stages.register(learner, *ACTIVE)
        stages.criterion(learner, 0.5)
        configs = [LearnerConfig(training=TaskConfig(kwargs={"rate": 1})), None]
        async for state in learner.start(2, max_iter=2, learner_configs=configs):
            if state.iteration == 0:
                new = {0: "first", 1: "second"}[state.learner_id]
                learner.set_next_config(LearnerConfig(training=TaskConfig(kwargs={"new": new})), state.learner_id)
        assert learner.get_metric_results() == {"learner-0": {0: 0.5, 1: 0.5}, "learner-1": {0: 0.5, 1: 0.5}}
        rates = [named for _, named in stages.given("training")]
        assert sorted(map(str, rates)) == ["{'new': 'first'}", "{'new': 'second'}", "{'rate': 1}", "{}"]
        states = await learner.teach(3, max_iter=1)
        assert [(state.learner_id, state.iteration, state.metric_value) for state in states] == [
            (0, 0, 0.5),
            (1, 0, 0.5),
            (2, 0, 0.5),
        ]
        assert states[2].metric_value == 0.5
        assert learner.get_current_state(2) is states[2].state

    play(program)


def test_when_one_fails_the_results_of_all_are_kept(stages: Stages) -> None:
    async def main() -> None:
        learner = ParallelActiveLearner(ThreadEngine(2))
        stages.register(learner, "simulation", "training")

        @learner.active_learn_task(as_executable=False)
        def choose(*given: Any, who: int) -> int:
            if who == 0:
                raise ValueError("bad data")
            return who

        configs = [LearnerConfig(active_learn=TaskConfig(kwargs={"who": i})) for i in range(2)]
        with pytest.raises(RunFailedError, match="bad data") as failed:
            await learner.teach(max_iter=2, learner_configs=configs)
        assert [result.stop_reason for result in failed.value.results.values()] == ["error", "max_iter_reached"]
        assert choose(who=3) == 3  # a plain function, as in ROSE

    asyncio.run(main())


def test_what_is_missing_is_said_in_roses_words() -> None:
    learner, side_by_side = SequentialActiveLearner(2), ParallelActiveLearner(2)
    learner.training_task(as_executable=False)(lambda *given: 1)
    messages = {
        "Simulation function must be set when not using simulation pool!": {"max_iter": 1},
        "Training and Active Learning functions must be set!": {"max_iter": 1, "skip_simulation_step": True},
    }
    for message, told in messages.items():
        with pytest.raises(ValueError, match=f"^{message}"):
            learner.start(**told)
    for kind in ("simulation", "active_learn"):
        getattr(learner, f"{kind}_task")(as_executable=False)(lambda *given: 1)
    with pytest.raises(ValueError, match=r"^Either max_iter > 0 or criterion_function must be provided"):
        learner.start()
    with pytest.raises(ValueError, match=r"^For single learner, use SequentialActiveLearner"):
        side_by_side.start(1, max_iter=1)
    with pytest.raises(ValueError, match=r"^learner_configs length must match parallel_learners"):
        side_by_side.start(3, max_iter=1, learner_configs=[None])
    with pytest.raises(ConfigurationError, match="give one of them"):
        learner.teach(1, initial_config=LearnerConfig(), learner_config=LearnerConfig())
    learner.training_task(as_executable=False, on_failure="drop")(lambda *given: 1)
    with pytest.raises(ConfigurationError, match="there is one model"):
        learner.start(1)
    learner.uncertainty_quantification("own", as_executable=False)(lambda: 1)
    with pytest.raises(ConfigurationError, match="scores nothing"):
        learner.start(1)


def test_a_subclass_has_a_say(stages: Stages) -> None:
    class Own(SequentialActiveLearner):
        def _check_stop_criterion(self, stop_task_result: Any) -> tuple[bool, float]:
            return stop_task_result > 2, 10 * stop_task_result

    async def main() -> None:
        learner = Own(ThreadEngine(1))
        stages.register(learner, *ACTIVE)
        stages.criterion(learner, 1, 2, 3, threshold=99)
        assert (await learner.teach()).metric_history == [10, 20, 30]
        seen = []
        submit = learner._register_task
        learner._register_task = lambda task, deps=None: (  # type: ignore[method-assign]
            seen.append((task["func"].__name__, deps)) or submit(task, deps)  # type: ignore[func-returns-value]
        )
        await learner.teach(max_iter=1, skip_simulation_step=True)
        assert seen == [("task", ()), ("task", ("training-3",)), ("task", ())]

    asyncio.run(main())


def test_calling_a_stage_submits_it(play: Play, stages: Stages) -> None:
    async def program(engine: Any) -> None:
        learner = SequentialActiveLearner(engine)
        stages.register(learner, *ACTIVE)

        @learner.training_task(as_executable=False)
        def train(given: Any) -> Any:
            return [given]

        @learner.utility_task
        def shout(text: str) -> str:
            return f"echo {text}!"

        check = learner.as_stop_criterion("model_accuracy", 0.9, as_executable=False)(lambda value=0.5: value)
        future = train(train(1))
        assert not future.done()
        assert await future == [[1]]
        assert await check(0.95) == (True, 0.95)
        async for state in learner.start(max_iter=2):
            assert await train(state.metric_value) == [0.5]
            assert (await shout("well")).strip() == "well!"
        assert learner.get_metric_results() == {0: 0.5, 1: 0.5}
        await learner.shutdown()

    play(program)


PROGRAM = """
import os, signal, sys
from pathlib import Path
import numpy as np
from rose.al import SequentialActiveLearner

learner = SequentialActiveLearner(2, run_dir="run")

def note(kind, *what):
    with open("log", "a") as file:
        file.write(" ".join(map(str, (kind, *what))) + chr(10))

@learner.simulation_task(as_executable=False)
def simulate(chosen=None):
    note("simulate", 0 if chosen is None else int(chosen.sum()))
    return np.ones(3000) if chosen is None else chosen + 1

@learner.training_task
def train(seen):
    return f"echo train {int(seen.sum())} >> log; echo {int(seen.sum())}"

@learner.active_learn_task(as_executable=False)
def choose(seen, trained):
    note("choose", trained.strip())
    return seen * 2

def killed(state):
    if Path("stop").read_text() == f"after {state.iteration}":
        os.kill(os.getpid(), signal.SIGKILL)

@learner.as_stop_criterion("model_accuracy", 1e9, as_executable=False)
def accuracy():
    if Path("stop").read_text() == "within" and Path("log").read_text().count("choose") == 2:
        os.kill(int(Path("pid").read_text()), signal.SIGKILL)
        signal.pause()
    return 0.5

async def main():
    Path("pid").write_text(str(os.getpid()))
    async for state in learner.start(max_iter=int(sys.argv[1])):
        killed(state)
    print(state.iteration, state.metric_history)

import asyncio
asyncio.run(main())
"""


def test_a_program_that_is_killed_goes_on(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    for stop, last, code in (
        ("within", "3", -signal.SIGKILL),  # the second iteration
        ("after 2", "3", -signal.SIGKILL),
        ("never", "4", 0),  # one more than it was to have
    ):
        (tmp_path / "stop").write_text(stop)
        ran = subprocess.run(
            [sys.executable, "program.py", last], cwd=tmp_path, check=False, capture_output=True, text=True
        )
        assert ran.returncode == code, ran.stderr
    assert ran.stdout.strip() == "3 [0.5, 0.5, 0.5, 0.5]"
    sums = [3000, 9000, 21000, 45000]
    expected = [
        [f"simulate {2 * before}", f"train {now}", f"choose {now}"]
        for before, now in zip([0, *sums], sums, strict=False)
    ]
    assert (tmp_path / "log").read_text().splitlines() == [line for lines in expected for line in lines]


def test_what_a_run_was_begun_with_is_compared(tmp_path: Path, stages: Stages) -> None:
    async def main(**options: Any) -> None:
        learner = SequentialActiveLearner(ThreadEngine(1), run_dir=tmp_path / "run")
        stages.register(learner, *ACTIVE)
        await learner.teach(max_iter=1, **options)

    asyncio.run(main())
    with pytest.raises(ChangedRunError, match="skip_simulation_step was False, and is True"):
        asyncio.run(main(skip_simulation_step=True))
