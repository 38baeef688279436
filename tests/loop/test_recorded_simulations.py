"""What is recorded is not simulated again, whatever the candidates and the configuration are made of."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from rose import ParallelUQLearner, Pool, UQLearnerConfig
from rose.engine import ThreadEngine
from rose.errors import NoIdentityError
from rose.learner import LearnerConfig, TaskConfig
from rose.loop.identity import describe_config, describe_estimator
from rose.metrics import PREDICTIVE_VARIANCE
from rose.store import labels_of_run
from tests.loop import objects_program as program

ROOT = Path(__file__).parents[2]


def simulated(log: Path) -> list[str]:
    """The candidates that were simulated, in order."""
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []


def test_models_as_arguments_are_the_same_in_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in (1, 2):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": f"{ROOT / 'src'}"}
        arguments = [program.__file__, "run", "log", str(seed)]
        subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=environment, check=True, capture_output=True)
        assert len(simulated(tmp_path / "log")) == 3 + 2 * seed
        assert len(labels_of_run(tmp_path / "run")) == 3 + 2 * seed
    # In this process, which has another seed, nothing is new; elsewhere every task would have had the seed that it had.
    program.run(Path("run"), Path("log"), 2)
    program.run(Path("other"), Path("again"), 2)
    assert (tmp_path / "again").read_text() == (tmp_path / "log").read_text()


class Solver:
    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def __deepcopy__(self, memo: Any) -> Solver:
        return self


def learner(X: Any, run_dir: Path | None = None) -> tuple[ParallelUQLearner, list[Any]]:
    seen: list[Any] = []
    made = ParallelUQLearner(ThreadEngine(1), pool=Pool(X, initial=3), run_dir=run_dir)

    @made.simulation_task(as_executable=False)
    def simulate(x: Any, solver: Any = None) -> float:
        seen.append(x)
        return float(len(seen))

    made.training_task(as_executable=False)(lambda X, y, seed, note=None: seed % 7)
    made.prediction_task(as_executable=False)(lambda model, X: np.arange(len(X)) * model)
    made.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=2)
    return made, seen


def configured(**stages: Any) -> dict[str, UQLearnerConfig]:
    return {"w": UQLearnerConfig(**{name: TaskConfig(kwargs=kwargs) for name, kwargs in stages.items()})}


def test_what_nothing_identifies_is_refused_before_the_first_simulation(caplog: pytest.LogCaptureFixture) -> None:
    made, seen = learner(np.arange(9.0))
    lock = Solver(threading.Lock())
    later = UQLearnerConfig(simulation={0: TaskConfig(), 2: TaskConfig(kwargs={"solver": lock})})
    message = r"'w'(\])?: simulation: kwargs\['solver'\](\.handle|\['file'\]), a (lock|TextIOWrapper), has no value"
    for configs in (
        configured(simulation={"solver": lock}),
        {"w": later},
        configured(simulation={"solver": {"file": sys.__stdout__}}),  # this cannot even be copied
    ):
        with pytest.raises(NoIdentityError, match=message):
            made.run(["w"], ["a", "b"], max_iter=1, learner_configs=configs)
    assert not seen
    for X in ([1.0, {"a": [threading.Lock()]}], np.array([1, threading.Lock(), 2], dtype=object)):
        with pytest.raises(NoIdentityError, match=r"X\[1\].*, a lock, has no value"):
            Pool(X, initial=1)
    pandas = pytest.importorskip("pandas")
    with pytest.raises(NoIdentityError, match=r"X\[1\]\['cell'\]\.handle, a lock"):
        Pool(pandas.DataFrame({"cell": [1, lock]}), initial=1)
    made.run(["w"], ["a", "b"], max_iter=1, learner_configs=configured(training={"note": lock}))
    assert "changes of this will not be noticed: workflow 'w': training: kwargs['note'].handle, a lock" in caplog.text


def test_equal_candidates_are_simulated_once(tmp_path: Path) -> None:
    equal: list[list[Any]] = [
        [{"a": 1, "b": {"x", "y"}}, {"b": {"y", "x"}, "a": 1.0}],
        [("fast", "fast"), ("".join(["fa", "st"]), "fast")],
        [np.asfortranarray(np.eye(2) * 3), np.eye(2, dtype=">f8") * 3],
    ]
    X = [one for pair in equal for one in pair]
    made, seen = learner(X)
    result = made.run(["w"], ["a", "b"], max_iter=3)["w"]
    assert len(seen) == 3
    assert len(result.labels) == 6


def test_a_change_that_no_type_shows_is_a_change() -> None:
    def of(value: Any) -> str:
        return describe_config(LearnerConfig(simulation=TaskConfig(kwargs={"params": value})), 0)

    long = np.arange(5000.0)
    assert of(program.P()) == of(program.P(T=300)) != of(program.P(T=310))
    assert of({"a": 1, "b": {2}}) == of({"b": {2.0}, "a": 1.0})
    assert of(Ridge(alpha=long)) != of(Ridge(alpha=np.where(long == 2500, 0, long)))
    assert describe_estimator(Ridge(alpha=long)) != describe_estimator(Ridge(alpha=np.where(long == 2500, 0, long)))
    assert describe_estimator(Ridge(alpha=1)) == describe_estimator(Ridge(alpha=np.float64(1)))
    functions = [
        lambda x: x,
        lambda x: x + 1,
    ]
    assert of(functions[0]) != of(functions[1])
