"""A script, of whose classes candidates, arguments, labels and models are; a driver runs it as its `__main__`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from rose import ParallelUQLearner, Pool, TaskConfig, UQLearnerConfig
from rose.metrics import PREDICTIVE_ENTROPY
from tests.torture.harness.scenarios import MODELS, Model, Scenario, note, points


class Phase(Enum):
    """What a simulation finds."""

    SOLID = "solid"
    LIQUID = "liquid"


@dataclass(frozen=True)
class Point:
    """A candidate: in another order of its texts for each hash seed."""

    place: tuple[float, ...]
    kinds: frozenset[str]


@dataclass
class Solver:
    """Part of the settings."""

    names: set[str]
    phases: frozenset[Phase]
    file: Path


class Settings(BaseModel):
    """What simulations are configured with."""

    T: float = 300.0
    solver: Solver
    s: str = "fast"


class Surrogate(Model):
    """A model of the script's own class."""

    def __init__(self, X: list[Point], y: list[Phase], seed: int, weight: int) -> None:
        super().__init__(places(X), np.array([int(phase is Phase.LIQUID) for phase in y]), seed, weight)


def places(X: list[Point]) -> np.ndarray:
    """Where candidates are, `[n, 2]`."""
    return np.array([point.place for point in X])


def learner(scenario: Scenario, engine: Any, more: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A learner, and the arguments with which to run it."""
    X, y = points(scenario.candidates)
    candidates = [Point(tuple(x), frozenset("abcdefg"[: 2 + i % 5])) for i, x in enumerate(X.tolist())]
    made = ParallelUQLearner(engine, pool=Pool(candidates, initial=6, seed=0), acquisition="top", **more)
    weight = scenario.model_bytes

    @made.simulation_task(as_executable=False)
    def simulate(x: Point, index: int, settings: Settings) -> Phase:
        note("simulated", index)
        assert isinstance(x, Point)
        assert {phase is Phase.LIQUID for phase in settings.solver.phases} == {True, False}
        return Phase.LIQUID if y[index] else Phase.SOLID

    @made.training_task(as_executable=False)
    def train(X: Any, y: Any, seed: int) -> Surrogate:
        return Surrogate(X, y, seed, weight)

    @made.prediction_task(as_executable=False)
    def predict(model: Surrogate, X: Any) -> Any:
        assert isinstance(model, Surrogate)
        return model.predict(places(X))

    made.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=4)
    solver = Solver(set("abcdefgh"), frozenset(Phase), Path("some/where"))
    config = UQLearnerConfig(simulation=TaskConfig(kwargs={"settings": Settings(T=310.0, solver=solver)}))
    arguments = {"learner_names": ["x", "y"], "model_names": list(MODELS), "max_iter": scenario.rounds}
    return made, {**arguments, "learner_configs": {"x": config, "y": config}}
