"""Small learners of every kind for the drivers that are killed, each task of which says in a ledger that it ran."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rose import ParallelUQLearner, Pool
from rose.metrics import MARGIN, MODEL_ACCURACY, PREDICTIVE_ENTROPY

LEDGER = "ROSE_TORTURE"  # names a driver's ledger, in all that it starts
MODELS = ("a", "b")
POOL_WORKFLOWS = {"entropy": PREDICTIVE_ENTROPY, "margin": MARGIN}


@dataclass(frozen=True)
class Scenario:
    """What a driver runs. Results above 16 KiB are files, and smaller ones are kept in the journal itself.

    Attributes:
        kind: "pool", "dataflow", or "script", whose classes are those of a `__main__`.
        commands: whether stages are command lines.
        candidates: size of the pool; from 1,100 on, predictions are files.
        model_bytes: what each model weighs.
        label_floats: length of a label (0: a whole number).
        rounds: how many are played.
        holdout: whether the pool has one.
        block: candidates that are predicted at a time; fewer than there are: the pool is screened part by part.
        waits: whether simulations are async functions that wait in the driver's event loop.
        seconds: how long a simulation sleeps; a command ignores SIGTERM then.
        turned: whether simulations find the other class.
        sick: every so many-th candidate fails, until there is a file `repaired` beside the ledger; 0: none.
        options: of the simulation stage.
    """

    kind: str = "pool"
    commands: bool = False
    candidates: int = 60
    model_bytes: int = 100
    label_floats: int = 0
    rounds: int = 3
    holdout: bool = False
    block: int | None = None
    waits: bool = False
    seconds: float = 0.0
    turned: bool = False
    sick: int = 0
    options: Mapping[str, Any] = ()  # type: ignore[assignment]

    def to_json(self) -> dict[str, Any]:
        """As a job for another process carries it."""
        return {**asdict(self), "options": dict(self.options)}


SCENARIOS = {
    "pool": Scenario(holdout=True),
    "pool-files": Scenario(candidates=1200, model_bytes=20_000, label_floats=2100, rounds=4),
    "pool-screened": Scenario(candidates=1200, block=300, model_bytes=20_000),
    "pool-waits": Scenario(waits=True, seconds=0.01),
    "pool-commands": Scenario(commands=True, rounds=2),
    "script": Scenario("script", model_bytes=20_000),
    "dataflow": Scenario("dataflow", rounds=4, model_bytes=20_000),
    "dataflow-commands": Scenario("dataflow", commands=True),
}


def note(*words: object) -> None:
    """Append a line to the ledger of this driver: in one write, so that a process that is killed leaves it whole."""
    descriptor = os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
    finally:
        os.close(descriptor)


def points(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping clouds in the plane, and which cloud each point is of."""
    rng = np.random.default_rng(n)
    y = np.arange(n) % 2
    return rng.normal(size=(n, 2)) + 1.5 * y[:, None], y


class Model:
    """A tiny probabilistic classifier, made as heavy as wanted: by its seed, so that no two models are the same."""

    def __init__(self, X: np.ndarray, y: np.ndarray, seed: int, weight: int) -> None:
        rng = np.random.default_rng(seed)
        y = np.asarray(y)
        y = y[:, 0] if y.ndim > 1 else y
        means = [X[y == c].mean(axis=0) if (y == c).any() else X.mean(axis=0) for c in (0, 1)]
        self.centres = np.stack(means) + rng.normal(scale=0.3, size=(2, 2))
        self.classes_ = np.array([0, 1])
        self.ballast = rng.bytes(weight)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """`[n, 2]` probabilities."""
        near = np.exp(-((X[:, None] - self.centres) ** 2).sum(axis=2)) + 1e-9
        return near / near.sum(axis=1, keepdims=True)


def build(scenario: Scenario, engine: Any, **learner: Any) -> tuple[Any, dict[str, Any]]:
    """A learner, and the arguments with which to run it."""
    make = {
        ("pool", False): _pool,
        ("pool", True): _pool_commands,
        ("dataflow", False): _dataflow,
        ("dataflow", True): _dataflow_commands,
        ("script", False): _script,
    }[scenario.kind, scenario.commands]
    return make(scenario, engine, learner)


def _pool(scenario: Scenario, engine: Any, more: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    X, y = points(scenario.candidates)
    blocks = {} if scenario.block is None else {"block": scenario.block}
    pool = Pool(X, initial=6, seed=0, holdout=points(50) if scenario.holdout else None, **blocks)
    learner = ParallelUQLearner(engine, pool=pool, acquisition="top", **more)
    y = 1 - y if scenario.turned else y
    length, weight, seconds = scenario.label_floats, scenario.model_bytes, scenario.seconds
    sick = scenario.sick

    @learner.simulation_task(as_executable=False, **dict(scenario.options))
    def simulate(index: int) -> Any:
        note("simulated", index)
        time.sleep(seconds)
        if sick and index % sick == 0 and not Path(os.environ[LEDGER]).with_name("repaired").exists():
            raise ArithmeticError("did not converge")
        return np.full(length, float(y[index])) + np.arange(length) * index if length else int(y[index])

    if scenario.waits:

        @learner.simulation_task(as_executable=False, waits=True, **dict(scenario.options))
        async def answer(index: int) -> Any:
            note("simulated", index)
            await asyncio.sleep(seconds)
            return int(y[index])

    @learner.training_task(as_executable=False)
    def train(X: Any, y: Any, seed: int) -> Model:
        return Model(X, y, seed, weight)

    @learner.prediction_task(as_executable=False)
    def predict(model: Model, X: Any) -> Any:
        return model.predict(X)

    @learner.as_stop_criterion(MODEL_ACCURACY, threshold=2.0, as_executable=False)
    def accuracy(model: Model, X: Any) -> float:
        return float(model.predict(X)[:, 1].mean())

    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=4)
    return learner, {"workflows": POOL_WORKFLOWS, "model_names": list(MODELS), "max_iter": scenario.rounds}


def _script(scenario: Scenario, engine: Any, more: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    program = types.ModuleType("__main__")
    program.__file__ = str(Path(__file__).with_name("script.py"))
    sys.modules["__main__"] = program
    exec(compile(Path(program.__file__).read_text(), program.__file__, "exec"), vars(program))
    made: tuple[Any, dict[str, Any]] = program.learner(scenario, engine, more)
    return made


_PROGRAM = """
import json, math, sys
def mean(rows): return [sum(column) / len(rows) for column in zip(*rows)]
def near(x, c): return math.exp(-sum((a - b) ** 2 for a, b in zip(x, c))) + 1e-9
given = json.load(open('given.json'))
X = given['X']
if sys.argv[1] == 'train':
    by = [[x for x, y in zip(X, given['y']) if y == c] or X for c in (0, 1)]
    json.dump(list(map(mean, by)), open('centres.json', 'w'))
else:
    centres = json.load(open(sys.argv[2] + '/centres.json'))
    preds = [[near(x, c) for c in centres] for x in X]
    json.dump([[p / sum(row) for p in row] for row in preds], open('preds.json', 'w'))
"""


def _pool_commands(scenario: Scenario, engine: Any, more: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    X, y = points(scenario.candidates)
    learner = ParallelUQLearner(engine, pool=Pool(X, initial=6, seed=0), acquisition="top", **more)
    program = Path(more["run_dir"]).with_name("program.py")
    program.write_text(_PROGRAM)

    @learner.simulation_task(collect="label.txt", **dict(scenario.options))
    def simulate(index: int, workdir: Path) -> str:
        stubborn = f"trap '' TERM; sleep {scenario.seconds}; " if scenario.seconds else ""
        return f"echo simulated {index} >> ${LEDGER}; {stubborn}echo {y[index]} > label.txt"

    @learner.training_task
    def train(X: Any, y: Any, workdir: Path) -> str:
        (workdir / "given.json").write_text(json.dumps({"X": X.tolist(), "y": y.tolist()}))
        return f"{sys.executable} -S -E {program} train"

    @learner.prediction_task(collect="preds.json")
    def predict(model: Path, X: Any, workdir: Path) -> str:
        (workdir / "given.json").write_text(json.dumps({"X": X.tolist()}))
        return f"{sys.executable} -S -E {program} predict {model}"

    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=4)
    return learner, {"workflows": POOL_WORKFLOWS, "model_names": ["a"], "max_iter": scenario.rounds}


def _dataflow(scenario: Scenario, engine: Any, more: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    learner = ParallelUQLearner(engine, **more)
    weight = scenario.model_bytes

    @learner.simulation_task(as_executable=False, **dict(scenario.options))
    def simulation(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return {"samples": 10}

    @learner.training_task(as_executable=False)
    def training(simulated: Any, **kwargs: Any) -> Model:
        X, y = points(20)
        return Model(X, y, ord(kwargs["--model_name"]) + simulated["samples"], weight)

    @learner.prediction_task(as_executable=False)
    def prediction(model: Model, **kwargs: Any) -> Any:
        return model.predict(points(40)[0])[:, 0] + kwargs["--iteration"]

    @learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=2, as_executable=False)
    def uncertainty(predicted: Any, **kwargs: Any) -> float:
        return float(np.mean(predicted))

    @learner.active_learn_task(as_executable=False)
    def active_learn(value: float, **kwargs: Any) -> list[int]:
        return [int(value * 1e6) % 97, 2]

    @learner.as_stop_criterion(MODEL_ACCURACY, threshold=0.95, as_executable=False)
    def accuracy(chosen: list[int], **kwargs: Any) -> float:
        return sum(chosen) / 1000 + ord(kwargs["--model_name"]) / 1e4

    return learner, _dataflow_arguments(scenario)


def _dataflow_commands(scenario: Scenario, engine: Any, more: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    learner = ParallelUQLearner(engine, **more)

    @learner.simulation_task()
    async def simulation(*args: Any, **kwargs: Any) -> str:
        return "echo 10"

    @learner.training_task()
    async def training(simulated: str, **kwargs: Any) -> str:
        return f"echo {int(simulated) + ord(kwargs['--model_name'])}"

    @learner.prediction_task()
    async def prediction(trained: str, **kwargs: Any) -> str:
        return f"echo {int(trained) + kwargs['--iteration']}"

    @learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=2)
    async def uncertainty(predicted: Any, **kwargs: Any) -> str:
        return f"echo working; echo {sum(int(one) for passes in predicted for one in passes)}"

    @learner.active_learn_task()
    async def active_learn(value: str, **kwargs: Any) -> str:
        return f"echo chose {value.split()[-1]}"

    return learner, _dataflow_arguments(scenario)


def _dataflow_arguments(scenario: Scenario) -> dict[str, Any]:
    names = {"learner_names": ["x", "y"], "model_names": list(MODELS)}
    return {**names, "num_predictions": 2, "max_iter": scenario.rounds}
