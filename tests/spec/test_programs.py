"""Programs of ROSE's learners that are files: what their tasks are told, on every kind of engine."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rose import LocalEngine, load_spec
from rose.engine import ThreadEngine
from rose.errors import ChangedRunError, ConfigurationError, MissingPackageError, RunFailedError
from rose.learners.tracking import TRACKERS, TrackerBase, register_tracker
from rose.spec.adapters import TaskAdapterFactory
from rose.spec.builder import LearnerBuilder
from rose.spec.schema import RemoteConfig, TaskDef
from tests.learners.conftest import play  # noqa: F401  # a fixture
from tests.learners.playing import Program
from tests.plugged import fresh
from tests.spec.programs import ACTIVE, REINFORCED, UQ, T, written
from tests.spec.tasks import TRACE, seen

Play = Callable[[Program], Any]


@pytest.fixture(autouse=True)
def _trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRACE, str(tmp_path / "trace"))


def started(path: Path, engine: Any = None, **options: Any) -> tuple[list[Any], Any]:
    """What the states of a program say, and its learner."""

    async def main() -> tuple[list[Any], Any]:
        builder = LearnerBuilder(path, engine or ThreadEngine(2), **options)
        learner = builder.build()
        states = [state async for state in learner.start(**builder.arguments())]
        await learner.shutdown()
        return [(state.learner_id, state.iteration, state.metric_value, state.should_stop) for state in states], learner

    return asyncio.run(main())


def test_a_program_on_engines_of_each_kind(play: Play, tmp_path: Path) -> None:  # noqa: F811
    line = 'shell, command: "echo {rate:.2g} {iteration}"'
    path = written(tmp_path, ACTIVE.replace(f'python, function: "{T}:simulate"', line))

    async def program(engine: Any) -> None:
        own = LocalEngine(2) if isinstance(engine, LocalEngine) else engine  # the warm one's workers know no trace
        results = await load_spec(path).workflow(engine=own)
        if own is not engine:
            await own.close()
        (result,) = results.values()
        assert [one["metric"] for one in result["iterations"]] == [0.1, 0.95]
        assert seen("training") == [[[f"0.001 {i}\n"], {"rate": 1e-3}] for i in (0, 1)]
        assert seen("active_learn") == [[[f"0.001 {i}\n", "training"], {}] for i in (0, 1)]

    play(program)


def test_tasks_are_told_what_they_take(tmp_path: Path) -> None:
    text = ACTIVE + "remote: {pythonpath: [.]}\n"
    builder = LearnerBuilder(written(tmp_path, text), 1)
    config = builder.build_learner_config()
    assert config is not None
    for iteration in (0, 7, 300):
        simulation, training = (config.get_task_config(stage, iteration) for stage in ("simulation", "training"))
        assert simulation is not None
        assert simulation.kwargs == {"rate": 1e-3, "pythonpath": ["."], "iteration": iteration}
        assert training is not None
        assert training.kwargs == {"rate": 1e-3}
    assert builder.build_learner_configs() is None
    learner = builder.build()
    assert type(learner).__name__ == "SequentialActiveLearner"
    assert learner.simulation_function["as_executable"] is False
    assert learner.criterion_function["operator"] == ""  # the metric's own
    untold = text.partition("parameters")[0]
    config = LearnerBuilder(written(tmp_path, untold), 1).build_learner_config()
    assert config is not None  # there is the iteration, which one of them names
    told = config.get_task_config("criterion", 7)
    assert told is not None
    assert told.kwargs == {"iteration": 7}
    untold = untold.replace("spec.tasks:judge", "spec.tasks:choose")  # what is left takes any name, as in ROSE
    assert LearnerBuilder(written(tmp_path, untold), 1).build_learner_config() is None


PARALLEL = f"""\
learner: {{type: parallel_active_learner, max_iter: 1}}
learners:
- label: a
  simulation: {{command: "echo {{learner_id}} {{learner_label}} {{rate}} {{iteration}}"}}
  training: {{function: "{T}:train"}}
  active_learn: {{function: "{T}:choose"}}
- label: b
  simulation: {{command: "echo b"}}
  training: {{function: "{T}:predict"}}
  active_learn: {{function: "{T}:choose"}}
stop_criterion: {{metric: model_accuracy, threshold: 0.9, evaluator: {{function: "{T}:judge"}}}}
parameters: {{rate: 1e-3}}
"""


def test_parallel_learners_with_tasks_of_their_own(tmp_path: Path) -> None:
    states, _ = started(written(tmp_path, PARALLEL))
    assert sorted(states) == [(0, 0, 0.1, False), (1, 0, 0.1, False)]
    assert seen("training") == [[["0 a 0.001 0\n"], {"rate": 1e-3}]]
    told = {"learner_id": 1, "learner_label": "b", "rate": 1e-3, "pythonpath": [], "iteration": 0}
    assert seen("prediction") == [[["b\n"], told]]
    for wrong, message in (
        (
            PARALLEL.replace("- label: a", "- label: ''"),
            r"learners\[0\].simulation.command .* {learner_label} is no param",
        ),
        (PARALLEL.replace('command: "echo b"', f'function: "{T}:simulate"'), "simulation must be of one type"),
        (
            PARALLEL.replace("- label: b\n  simulation", "- label: b\n  update"),
            r"learners\[1\] .* 'b' needs a simulation",
        ),
        (PARALLEL + 'training: {command: "ls"}\n', r"training \(line 13\): tasks are those of each of the learners"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            load_spec(written(tmp_path, wrong), validate_imports=True)


@pytest.mark.parametrize("text", [ACTIVE, REINFORCED, UQ], ids=["active", "reinforcement", "uq"])
def test_several_copies_of_one_program(tmp_path: Path, text: str) -> None:
    kinds = {ACTIVE: "parallel_active_learner", REINFORCED: "ParallelReinforcementLearner", UQ: "ParallelUQLearner"}
    written_type = text.partition("type: ")[2].partition(",")[0]
    states, learner = started(written(tmp_path, text.replace(written_type, f"{kinds[text]}, parallel_learners: 2")))
    assert sorted(states) == [(0, 0, 0.1, False), (0, 1, 0.95, True), (1, 0, 0.1, False), (1, 1, 0.95, True)]
    assert type(learner).__name__ == kinds[text].title().replace("_", "") or type(learner).__name__ == kinds[text]


def test_reinforcement(tmp_path: Path) -> None:
    states, _ = started(written(tmp_path, REINFORCED))
    assert states == [(None, 0, 0.1, False), (None, 1, 0.95, True)]
    assert [told["iteration"] for _, told in seen("update")] == [0, 1]


def test_uncertainty(tmp_path: Path) -> None:
    text = UQ + f'uncertainty: {{function: "{T}:unsure", metric: mine, threshold: 0.2}}\n'
    text = text.replace("max_iter: 3", "max_iter: 1, model_names: [a, b], num_predictions: 2")
    predict = 'command: "echo {model_name} {pass_index} {iteration}"'
    _, learner = started(written(tmp_path, text.replace(f'function: "{T}:predict"', predict)))
    ((told, _),) = seen("uncertainty")
    assert told == [[[f"{model} {i} 0\n" for i in (0, 1)] for model in "ab"]]
    assert learner.get_uncertainty_results() == {0: 0.3}
    _, learner = started(written(tmp_path, text.replace("threshold: 0.2", "threshold: 0.5")))
    assert [one["stop_reason"] for one in learner.learner_results.values()] == ["uncertainty_below_threshold"]


def test_a_run_is_resumed_by_the_same_program_alone(tmp_path: Path) -> None:
    path = written(tmp_path, ACTIVE.replace("max_iter: 3", "max_iter: 1") + "run_dir: run\nworkers: 2\n")
    started(path)
    written(tmp_path, path.read_text().replace("max_iter: 1", "max_iter: 3"))
    _, learner = started(path)
    assert len(seen("training")) == 2
    assert learner.run_dir == tmp_path / "run"
    written(tmp_path, path.read_text().replace(f'python, function: "{T}:simulate"', "shell, command: ls"))
    with pytest.raises(ChangedRunError, match="simulation task has changed"):
        started(path)
    states, _ = started(path, accept_changes=True)
    assert len(states) == 2
    written(tmp_path, ACTIVE.replace("1e-3", "2") + "run_dir: run\n")
    with pytest.raises((RunFailedError, ChangedRunError)):
        started(path)
    states, learner = started(path, resume="new")
    assert learner.run_dir == tmp_path / "run-2"


def test_what_stands_beside_the_tasks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = ACTIVE.replace(f'"{T}:choose"', f'"{T}:choose", options: {{cpus: 2}}, task_description: {{ranks: 2}}')
    text = text.replace("rate: 1e-3", "raet: 1") + "tracking: {backend: json}\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        _, learner = started(written(tmp_path, text))
    assert (tmp_path / "tracking.jsonl").exists()
    stage = learner.registered().stages["active_learn"]
    assert (stage.resources.cpus, dict(stage.task_description)) == (2, {"ranks": 2})
    assert "raet" not in caplog.text  # the simulation takes any
    builder = LearnerBuilder(written(tmp_path, text.replace(f"{T}:simulate", f"{T}:choose")), 1)
    builder.build()
    assert "parameters.raet (line 9): no task takes it" in caplog.text


def test_the_tracker_of_a_file_is_told_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Tracker(TrackerBase):
        def __init__(self, experiment_name: str = "", run_name: str | None = None) -> None:
            made.append((experiment_name, run_name))

    class ClearMLTracker(TrackerBase):
        def __init__(self, project_name: str, task_name: str) -> None:
            made.append((project_name, task_name))

    module = ModuleType("rose.integrations.clearml_tracker")
    module.__dict__["ClearMLTracker"] = ClearMLTracker
    monkeypatch.setitem(sys.modules, "rose.integrations", ModuleType("rose.integrations"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with fresh(TRACKERS):
        register_tracker("own")(Tracker)
        if "clearml" not in TRACKERS:
            register_tracker("clearml")(ClearMLTracker)
        for said in ("backend: own, run_name: r", "backend: own, experiment: e", "backend: clearml, experiment: e"):
            LearnerBuilder(written(tmp_path, ACTIVE + f"tracking: {{{said}}}\n"), 1).build()
        assert made == [("ROSE-Spec", "r"), ("e", None), ("e", "e")]
        module.__dict__["ClearMLTracker"] = lambda: importlib.import_module("absent_package")
        with pytest.raises(
            MissingPackageError, match=r"tracking.backend \(line 10\): No module named 'absent_package'"
        ):
            LearnerBuilder(tmp_path / "program.yaml", 1).build()


def test_what_is_not_ours_says_so(tmp_path: Path) -> None:
    spec = load_spec(written(tmp_path, ACTIVE + "remote: {backends: [dragon], target: {kind: psij}}\n"))
    with pytest.raises(ConfigurationError, match="execution by RADICAL's services is not ours"):
        asyncio.run(spec.workflow("wss://broker", "endpoint"))


def test_the_adapters_give_what_is_registered() -> None:
    remote, make = RemoteConfig(), TaskAdapterFactory.make_closure
    shell, python = TaskDef(type="shell", command="echo {a} {{}}"), TaskDef(type="python", function="math:hypot")
    assert make(shell, remote)("an earlier result", a=1, b=2) == "echo 1 {}"
    assert make(python, remote)(3, 4) == 5
    assert (TaskAdapterFactory.as_executable(shell), TaskAdapterFactory.as_executable(python)) == (True, False)
    either = TaskAdapterFactory.make_dispatch_closure(
        "simulation", [shell, TaskDef(command="ls", type="shell")], remote
    )
    assert [either(learner_id=i, a=5) for i in (0, 1)] == ["echo 5 {}", "ls"]
