"""Options of stages: what they may be, how a model or a configuration changes them, and the command they make."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rose import LearnerConfig, ParallelUQLearner, Pool, SeqUQLearner, TaskConfig, UQLearnerConfig
from rose.engine import LocalEngine, Task, TaskKey
from rose.errors import CapacityError, ConfigurationError
from rose.stages.commands import launch, working_directory
from rose.stages.config import stage_for
from rose.stages.options import make_stage

FUNCTION: dict[str, Any] = {"as_executable": False}


def line(*args: Any, **kwargs: Any) -> str:
    return "true"


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("training", {"retries": -1}, "retries=-1 of training_task must be a whole number of 0"),
        ("training", {"retries": True}, "retries=True"),
        ("training", {"retry_delay": float("nan")}, "retry_delay=nan of training_task must be 0 or more seconds"),
        ("training", {"on_failure": "ignore"}, "on_failure='ignore' of training_task; known: drop, raise"),
        ("prediction", {"on_failure": "drop"}, "only simulation and training tasks can be done without"),
        ("simulation", {"min_members": 2}, "min_members= of simulation_task: only training tasks"),
        ("training", {"min_members": 2, "on_failure": "raise"}, "on_failure='raise' allows none"),
        ("training", {"max_failed_simulations": 2}, "only simulation tasks"),
        ("simulation", {"max_failed_simulations": 1.5}, "a count .* or a share between 0 and 1"),
        ("simulation", {"per_model": {"a": {"cpus": 2}}}, "only training and prediction tasks"),
        ("training", {"per_model": {"a": 2}}, "must be {model name: {option: value}}"),
        ("training", {"per_model": {"a": {"cpu": 2}}}, r"per_model\['a'\] of .* no option 'cpu'; did you mean"),
        ("training", {"per_model": {"a": {"cpus": 0}}}, r"cpus=0 of per_model\['a'\]"),
        ("training", {"per_model": {"a": {"ranks": 2}}, **FUNCTION}, "a function runs in one process"),
        ("training", {"ranks": 2, **FUNCTION}, "ranks= of training_task starts a command under MPI"),
        ("training", {"launcher": "srun {command}", **FUNCTION}, "launcher= of"),
        ("training", {"cwd": "work", **FUNCTION}, "cwd= of"),
        ("training", {"launcher": "srun -n {rank} {command}"}, "unknown placeholder {rank}; did you mean 'ranks'"),
        ("training", {"launcher": "srun -n {ranks}"}, "has no {command}"),
        ("training", {"launcher": "srun {ranks"}, "launcher='srun {ranks' of training_task"),
        ("training", {"cwd": "work/{modle}"}, "unknown placeholder {modle}; did you mean 'model'"),
        ("simulation", {"cwd": "work/{model}"}, "simulation tasks have no model"),
        ("training", {"cwd": "work/{iteration:03}"}, "placeholders take no format"),
        ("training", {"cwd": Path("work")}, "must be a text"),
        ("training", {"memory": "0GB"}, "memory='0GB'"),
    ],
)
def test_options_that_cannot_be(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_stage(kind, line, options)


def test_configurations_that_cannot_be() -> None:
    for options, message in (
        ({"cpus": 0}, "cpus=0 of TaskConfig must be a whole number"),
        ({"memory": "much"}, "memory='much'"),
        ({"per_model": {"a": {"kwargs": {}}}}, r"per_model\['a'\] of TaskConfig has no option 'kwargs'"),
    ):
        with pytest.raises(ValueError, match=message):
            TaskConfig(**options)
        schedule = SeqUQLearner(2).create_adaptive_schedule("training", lambda i, options=options: options)
        with pytest.raises(ConfigurationError, match=r"param_schedule\(3\): .*" + message):
            schedule[3]
    with pytest.raises(ConfigurationError, match="training task 'line' in iteration 0 starts a command"):
        stage_for(make_stage("training", line, FUNCTION), LearnerConfig(training=TaskConfig(ranks=2)), 0)


def test_the_configuration_wins_and_in_it_the_model() -> None:
    stage = make_stage("training", line, {"cpus": 2, "timeout": 60.0, "per_model": {"cnn": {"gpus": 1, "cpus": 4}}})
    config = UQLearnerConfig(
        training={-1: TaskConfig(retries=2, per_model={"mlp": {"memory": "1GB"}}), 5: TaskConfig(cpus=1, timeout=9.0)}
    )
    for iteration, model, cpus, gpus, memory, retries, timeout in (
        (0, "cnn", 4, 1, None, 2, 60.0),
        (0, "mlp", 2, 0, 10**9, 2, 60.0),
        (5, "cnn", 1, 1, None, 0, 9.0),
        (5, "mlp", 1, 0, None, 0, 9.0),
    ):
        own = stage_for(stage, config, iteration, model)
        resources = own.resources
        assert (resources.cpus, resources.gpus, resources.memory) == (cpus, gpus, memory)
        assert (own.retries, own.timeout) == (retries, timeout)
    assert stage_for(stage, UQLearnerConfig(), 0, "mlp") is stage


def test_ranks_multiply_the_cpus() -> None:
    stage = make_stage("training", line, {"ranks": 4, "cpus": 2, "per_model": {"cnn": {"ranks": 1}}})
    assert stage.resources.cpus == 8
    assert stage_for(stage, LearnerConfig(), 0, "cnn").resources.cpus == 2
    assert stage_for(stage, LearnerConfig(training=TaskConfig(cpus=3)), 0).resources.cpus == 12


def test_a_quorum_means_that_failures_are_dropped() -> None:
    assert make_stage("training", line, {"min_members": 2}).on_failure == "drop"
    simulation = make_stage("simulation", line, {"retries": 1})
    assert simulation.on_failure == "raise"
    config = LearnerConfig(simulation=TaskConfig(max_failed_simulations=0.1))
    assert stage_for(simulation, config, 0).on_failure == "drop"


# --- before anything runs ----------------------------------------------------------------------------------------


def flow(**training: Any) -> ParallelUQLearner:
    learner = ParallelUQLearner(2)
    for register, options in (
        (learner.simulation_task, {}),
        (learner.training_task, training),
        (learner.prediction_task, {}),
        (learner.active_learn_task, {}),
    ):
        register(**options)(line)
    return learner


def refused(learner: ParallelUQLearner, config: UQLearnerConfig | None = None) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        asyncio.run(learner.teach(["w"], ["mlp", "cnn"], learner_configs={"w": config}, max_iter=1))
    return caught.value


def test_models_and_capacity_are_checked_with_all_that_changes_them() -> None:
    assert "unknown model 'cmm'; known: cnn, mlp" in str(refused(flow(per_model={"cmm": {"cpus": 2}})))
    assert "min_members=3, but there are 2 models" in str(refused(flow(min_members=3)))
    error = refused(flow(per_model={"cnn": {"cpus": 3}}))
    assert isinstance(error, CapacityError)
    assert "training task 'line', model 'cnn' asks for cpus=3; the engine has 2" in str(error)
    for config, where in (
        (UQLearnerConfig(prediction=TaskConfig(ranks=3)), "workflow 'w', prediction task 'line' asks for cpus=3"),
        (UQLearnerConfig(training={4: TaskConfig(gpus=1)}), "'w', training task 'line', iteration 4 asks for gpus=1"),
        (UQLearnerConfig(training=TaskConfig(per_model={"x": {}})), "workflow 'w', training .* unknown model 'x'"),
        (UQLearnerConfig(simulation=TaskConfig(per_model={"mlp": {}})), "only training and prediction tasks"),
        (UQLearnerConfig(active_learn=TaskConfig(on_failure="drop")), "only simulation and training tasks"),
    ):
        with pytest.raises(ConfigurationError, match=where):
            raise refused(flow(), config)


def test_a_pools_commands_work_apart() -> None:
    learner = ParallelUQLearner(2, pool=Pool([[0.0], [1.0], [2.0]], initial=2))
    learner.simulation_task(cwd="work/{workflow}/{iteration}")(lambda workdir: "true")
    learner.training_task(as_executable=False)(lambda X, y: 0)
    learner.prediction_task(as_executable=False)(lambda X: 0)
    learner.uncertainty_quantification("predictive_variance", query_size=1)
    assert "lacks {index}" in str(refused(learner))


# --- commands ----------------------------------------------------------------------------------------------------

KEY = TaskKey("bald", 3, "training", "mlp")


def test_a_launcher_is_put_before_the_command() -> None:
    plain = make_stage("training", line, {"cpus": 2})
    assert launch(plain, KEY, "./a && ./b").line == "./a && ./b"
    mpi = make_stage(
        "training", line, {"ranks": 4, "cpus": 2, "gpus": 1, "launcher": "srun -n{ranks} -c{cpus} -G{gpus} {command}"}
    )
    command = launch(mpi, KEY, "./train '{x}; y' > log 2>&1 | tail")
    assert command.line == "srun -n4 -c2 -G1 ./train '{x}; y' > log 2>&1 | tail"
    assert command.env["OMP_NUM_THREADS"] == "2"
    for several in ("./a && ./b", "./a; ./b", "./a\n./b", "./a & ./b", "./a || ./b"):
        with pytest.raises(ConfigurationError, match="bald/3/training/mlp: the launcher of training task 'line'"):
            launch(mpi, KEY, several)


def test_working_directories_are_safe_and_distinct() -> None:
    stage = make_stage("prediction", line, {"cwd": "work/{workflow}/{iteration}/{stage}/{model}/{index}"})
    names = ["a/b", "a_b", "..", "a b", "ä", "%", "a%2Fb"]
    found = {working_directory(stage, TaskKey(name, 0, "prediction", "m", 1), Path("/run")) for name in names}
    assert len(found) == len(names)
    assert all(
        str(path).startswith("/run/work/") and ".." not in path.parts and len(path.parts) == 8 for path in found if path
    )
    assert working_directory(make_stage("prediction", line, {}), KEY, Path("/run")) is None
    away = make_stage("training", line, {"cwd": "/scratch/{model}"})
    assert working_directory(away, KEY, Path("/run")) == Path("/scratch/mlp")


# A launcher as mpiexec is one: it starts so many processes, which know their number.
LAUNCHER = """
import os, subprocess, sys
ranks = [subprocess.Popen(sys.argv[2:], env=os.environ | {"RANK": str(i)}) for i in range(int(sys.argv[1]))]
sys.exit(max(rank.wait() for rank in ranks))
"""


def test_ranks_run(tmp_path: Path) -> None:
    (tmp_path / "launch.py").write_text(LAUNCHER)
    options = {"ranks": 3, "launcher": f"{sys.executable} {tmp_path}/launch.py {{ranks}} {{command}}", "cwd": "{model}"}
    stage = make_stage("training", line, options)
    command = launch(stage, KEY, """sh -c 'echo $OMP_NUM_THREADS > $RANK'""", working_directory(stage, KEY, tmp_path))

    async def main() -> None:
        async with LocalEngine(3) as engine:
            await engine.run(Task(KEY, command, resources=stage.resources))

    asyncio.run(main())
    assert {path.name: path.read_text() for path in (tmp_path / "mlp").iterdir()} == dict.fromkeys("012", "1\n")


def test_a_dataflow_gives_each_model_its_options(tmp_path: Path) -> None:
    (tmp_path / "launch.py").write_text(LAUNCHER)
    learner = ParallelUQLearner(3, run_dir=tmp_path / "run")
    learner.simulation_task(line)
    learner.prediction_task(line)
    learner.active_learn_task(line)
    learner.training_task(
        launcher=f"{sys.executable} {tmp_path}/launch.py {{ranks}} {{command}}",
        cwd="fits/{workflow}/{iteration}/{model}",
        per_model={"cnn": {"ranks": 2}},
    )(lambda *args, **kwargs: "sh -c 'echo $OMP_NUM_THREADS > $RANK'")
    config = UQLearnerConfig(training={1: TaskConfig(cpus=3, per_model={"cnn": {"cpus": 1}})})
    asyncio.run(learner.teach(["w"], ["mlp", "cnn"], learner_configs={"w": config}, max_iter=2))
    fits = tmp_path / "run" / "fits" / "w"
    assert {str(path.relative_to(fits)): path.read_text() for path in fits.rglob("?") if path.is_file()} == {
        "0/mlp/0": "1\n",
        "0/cnn/0": "1\n",
        "0/cnn/1": "1\n",
        "1/mlp/0": "3\n",
        "1/cnn/0": "1\n",
        "1/cnn/1": "1\n",
    }


def test_a_pools_commands_work_where_their_template_says(tmp_path: Path) -> None:
    learner = SeqUQLearner(2, pool=Pool(np.arange(4.0)[:, None], initial=2, seed=0), run_dir=tmp_path)
    learner.simulation_task(cwd="labels/{workflow}/{iteration}/{index}", collect="y.json")(
        lambda x, workdir: f"echo {x[0]} > {workdir}/y.json"
    )
    learner.training_task(as_executable=False)(lambda X, y: float(np.mean(y)))
    learner.prediction_task(as_executable=False)(lambda model, X: X[:, 0] * model)
    learner.uncertainty_quantification("predictive_variance", query_size=1)
    result = learner.run(model_names=["a", "b"], max_iter=2)
    labelled = sorted(int(path.parent.name) for path in (tmp_path / "labels").rglob("y.json"))
    assert labelled == sorted(result.indices)
