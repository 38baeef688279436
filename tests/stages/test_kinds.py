"""A stage kind is a row: one of a user's own is configured, run, recorded and resumed as ROSE's are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rose import LearnerConfig, SeqUQLearner, TaskConfig, UQLearnerConfig
from rose.dataflow.plan import DataflowPlan
from rose.dataflow.uq import UQLoop
from rose.engine import ThreadEngine
from rose.errors import BindingError, ConfigurationError, RunFailedError
from rose.loop.limits import Ending
from rose.loop.protocol import Outcome, Plan, RunRequest
from rose.stages.kinds import KINDS, Kind, register_kind
from rose.stages.runner import Runner

WEATHER = Kind("weather", upstream=0, droppable=True, injects=("--iteration",), options=("per_model",))


class ExploringLoop(UQLoop):
    """Play the weather before all else."""

    async def play(self, iteration: int, config: LearnerConfig, ending: Ending) -> Outcome:
        seen = await self.call("weather", iteration, config, (), {"--iteration": iteration})
        return replace(await super().play(iteration, config, ending), selection=str(seen).strip())


class ExploringPlan(DataflowPlan):
    def make_loop(self, name: str, runner: Runner) -> ExploringLoop:
        return ExploringLoop(name, self.request.stages[name], self.request, runner)


class ExploringLearner(SeqUQLearner):
    def planned(self, request: RunRequest) -> Plan:
        return ExploringPlan(request)


@pytest.fixture(autouse=True)
def own_kinds() -> Iterator[None]:
    there = dict(KINDS)
    KINDS.pop("weather", None)
    yield
    KINDS.clear()
    KINDS.update(there)


def learner_for(run_dir: Path | None, log: Path, command: bool) -> ExploringLearner:
    """Return a learner whose tasks are noted in `log`; its weather fails in iteration 1 while there is `cold`."""
    cold = log.with_name("cold")

    def note(*args: Any, **kwargs: Any) -> str:
        with log.open("a") as file:
            file.write("other\n")
        return "0.5"

    def look(*args: Any, temperature: int = 0, **kwargs: Any) -> Any:
        iteration = kwargs["--iteration"]
        if command:
            answer = f"if test {iteration} = 1 -a -e {cold}; then false; else echo {temperature}; fi"
            return f"echo look {iteration} >> {log}; {answer}"
        with log.open("a") as file:
            file.write(f"look {iteration}\n")
        if iteration == 1 and cold.exists():
            raise ValueError("too cold")
        return temperature

    learner = ExploringLearner(ThreadEngine(2), run_dir=run_dir)
    weather_task = learner.register_decorator("weather", WEATHER)
    assert weather_task is learner.weather_task  # type: ignore[attr-defined]
    weather_task(as_executable=command, retries=1)(look)
    for register in (
        learner.simulation_task,
        learner.training_task,
        learner.prediction_task,
        learner.active_learn_task,
    ):
        register(as_executable=False)(note)
    return learner


@pytest.mark.parametrize("command", [False, True])
def test_a_kind_of_ones_own_is_durable(command: bool, tmp_path: Path) -> None:
    log, run = tmp_path / "log", tmp_path / "run"

    def teach() -> Any:
        learner = learner_for(run, log, command)
        config = UQLearnerConfig(weather={0: TaskConfig(kwargs={"temperature": 300}), -1: TaskConfig(retries=0)})
        return asyncio.run(learner.teach(["a"], max_iter=2, learning_config=config))

    (tmp_path / "cold").touch()
    with pytest.raises(RunFailedError, match="weather"):
        teach()
    (tmp_path / "cold").unlink()
    before = log.read_text().split("\n")
    assert (before.count("look 0"), before.count("look 1"), before.count("other")) == (1, 1, 4)
    result = teach()
    assert [one["selection"] for one in result.iterations] == ["300", "0"]
    after = log.read_text().split("\n")
    assert (after.count("look 0"), after.count("look 1"), after.count("other")) == (1, 2, 8)
    assert [one["selection"] for one in teach().iterations] == ["300", "0"]
    assert log.read_text().split("\n") == after, "what is recorded ran again"


def test_it_is_checked_as_others_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no stage or setting is called 'weather'"):
        UQLearnerConfig(weather=TaskConfig())
    learner = learner_for(None, tmp_path / "log", command=False)
    with pytest.raises(ConfigurationError, match="'wether'; did you mean 'weather'"):
        UQLearnerConfig(wether=TaskConfig())
    config = UQLearnerConfig(weather=TaskConfig(cpus=2))
    with pytest.raises(ConfigurationError, match="'wether'; did you mean 'weather'"):
        config.wether = TaskConfig()
    for value, message in (({-2: TaskConfig()}, "weather: iterations are"), (3, "weather: Input should be")):
        with pytest.raises(ConfigurationError, match=message):
            UQLearnerConfig(weather=value)
    for options, message in (({"batch": 3}, "only simulation tasks"), ({"cpu": 3}, "did you mean 'cpus'")):
        with pytest.raises(ConfigurationError, match=message):
            learner.register_decorator("weather")(**options)(print)
    learner.register_decorator("weather")(as_executable=False)(lambda: 3)
    config = UQLearnerConfig(weather=TaskConfig(args=(1,)))
    with pytest.raises(BindingError, match="weather task '<lambda>' cannot be called"):
        asyncio.run(learner.teach(["a"], max_iter=1, learning_config=config))


def test_names_that_mean_something_else() -> None:
    learner = SeqUQLearner(ThreadEngine(1))
    assert learner.register_decorator("simulation") == learner.simulation_task
    for name in (
        "round",
        "two words",
        "_hidden",
        "shortlist",
        "threshold",
        "acquisition",
        "copy",
        "model_fields",
        "class",
    ):
        with pytest.raises(ConfigurationError, match="kind of stage"):
            learner.register_decorator(name)
    with pytest.raises(ConfigurationError, match="'training' means something else"):
        register_kind(Kind("training"))
    with pytest.raises(ConfigurationError, match="was given the kind 'weather'"):
        learner.register_decorator("tides", WEATHER)
    with pytest.raises(ConfigurationError, match=r"takes a rose.stages.kinds.Kind, got 'tides'"):
        learner.register_decorator("tides", "tides")  # type: ignore[arg-type]
    learner.register_decorator("tides", Kind("tides", upstream=2))
    learner.register_decorator("tides")
    assert KINDS["tides"].upstream == 2
