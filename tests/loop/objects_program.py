"""A run over objects, as a program: RUN LOG ITERATIONS [STOP]."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from rose import ParallelUQLearner, Pool, UQLearnerConfig
from rose.engine import ThreadEngine
from rose.learner import TaskConfig
from rose.metrics import PREDICTIVE_VARIANCE


class P(BaseModel):
    T: float = 300.0
    P: float = 1.0
    s: str = "fast"


OBJECTS = [{"x": float(i), "set": frozenset("abc"[: i % 3])} for i in range(40)]
LOG, STOP = [Path()], [10**9]


def simulate(x: Any, params: P, seed: int) -> float:
    with LOG[0].open("a") as file:
        file.write(f"{x['x']} {seed}\n")
    if len(LOG[0].read_text().splitlines()) > STOP[0]:
        os._exit(3)
    return float(x["x"] ** 2 + params.T)


def train(X: Any, y: Any, seed: int) -> float:
    return float(np.random.default_rng(seed).normal())


def predict(model: float, X: Any) -> np.ndarray:
    return np.array([x["x"] for x in X]) * model


def run(directory: Path, log: Path, iterations: int, **pool: Any) -> Any:
    LOG[0] = log
    given = pool.pop("X", OBJECTS)
    learner = ParallelUQLearner(
        ThreadEngine(1), pool=Pool(given, **(pool or {"initial": 5})), run_dir=directory, acquisition="top"
    )
    learner.simulation_task(as_executable=False)(simulate)
    learner.training_task(as_executable=False)(train)
    learner.prediction_task(as_executable=False)(predict)
    learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=2)
    config = UQLearnerConfig(simulation=TaskConfig(kwargs={"params": P(T=310.0, P=2.0, s="slow")}))
    return learner.run(["w"], ["a", "b"], max_iter=iterations, learner_configs={"w": config})["w"]


if __name__ == "__main__":
    STOP[0] = int(sys.argv[4]) if len(sys.argv) > 4 else STOP[0]
    result = run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    print(len(result.labels))
