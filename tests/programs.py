"""Small learners that the tests decorate further."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np

from rose import ParallelUQLearner, Pool, SeqUQLearner
from rose.metrics import MODEL_ACCURACY, PREDICTIVE_ENTROPY, PREDICTIVE_VARIANCE
from tests.centroids import Centroids

# The stages, but for simulations, of a program that is run in a process of its own.
STAGES = """
@learner.training_task(as_executable=False)
def training(*args, **kwargs):
    return 1

@learner.prediction_task(as_executable=False)
def prediction(*args, **kwargs):
    return 1

@learner.active_learn_task(as_executable=False)
def active_learn(*args, **kwargs):
    return 1
"""


def dataflow(engine: Any, log: Path, kind: type = ParallelUQLearner, criterion: float | None = 0.5) -> Any:
    """ROSE's dataflow with functions; every task appends a line to `log`."""
    learner = kind(engine)
    path = str(log)

    def note(*words: object) -> None:
        with open(path, "a") as file:
            file.write(" ".join(map(str, words)) + "\n")

    @learner.simulation_task(as_executable=False)
    async def simulation(*args, **kwargs):
        note("simulation", kwargs.get("--learner_name"))
        return "simulated"

    @learner.training_task(as_executable=False)
    async def training(*args, **kwargs):
        note("training", kwargs["--model_name"], *args)
        return f"trained {kwargs['--model_name']}"

    @learner.prediction_task(as_executable=False)
    def prediction(*args, **kwargs):
        note("prediction", kwargs["--model_name"], kwargs["--iteration"], *args)
        return [kwargs["--model_name"], kwargs["--iteration"]]

    @learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=2, threshold=0.1, as_executable=False)
    def uncertainty(*args, **kwargs):
        note("uncertainty", *args)
        return 0.7

    @learner.active_learn_task(as_executable=False)
    def active_learn(*args, **kwargs):
        note("active_learn", *args)
        return [1, 2]

    if criterion is not None:

        @learner.as_stop_criterion(MODEL_ACCURACY, threshold=0.95, as_executable=False)
        def accuracy(*args, **kwargs):
            note("criterion", kwargs["--model_name"], *args)
            return criterion

    return learner


def lines(log: Path, kind: str) -> list[str]:
    """What tasks of one kind wrote."""
    return [line for line in log.read_text().splitlines() if line.startswith(kind)]


def teach(learner: Any, *args: Any, **options: Any) -> Any:
    """As `learner.run`, but leaving the engine open for another time."""
    return asyncio.run(learner.teach(*args, **options))


def blobs(n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Two overlapping clouds in the plane, and which cloud each point is of."""
    rng = np.random.default_rng(5)
    y = np.arange(n) % 2
    return rng.normal(size=(n, 2)) + 1.5 * y[:, None], y


def classifier(engine: Any = None, *, kind: type = ParallelUQLearner, holdout: bool = True, **pool: Any) -> Any:
    """A pool of 120 points of two clouds, with its own train and predict functions."""
    X, y = blobs()
    pool = {"initial": 6, "seed": 0, **pool}
    learner = kind(engine, pool=Pool(X, holdout=blobs(60) if holdout else None, **pool))

    @learner.simulation_task(as_executable=False)
    def simulate(index):
        return int(y[index])

    @learner.training_task(as_executable=False)
    def train(X, y, seed):
        return Centroids(X, y, seed)

    @learner.prediction_task(as_executable=False)
    def predict(model, X):
        return model.predict_proba(X)

    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=4)
    return learner


def regressor(engine: Any = None, run_dir: Any = None, **pool: Any) -> Any:
    """A pool of 80 points on a line, labelled by a function with a closed form, learned by jittered parabolas."""
    X = np.linspace(-1, 1, 80)[:, None]
    learner = SeqUQLearner(engine, pool=Pool(X, **{"initial": 5, "seed": 1, **pool}), run_dir=run_dir)

    @learner.simulation_task(as_executable=False)
    def simulate(x):
        return float(x[0] ** 2 + 1)

    @learner.training_task(as_executable=False)
    def train(X, y, seed):
        rng = np.random.default_rng(seed)
        return np.polyfit(X[:, 0], y + rng.normal(scale=0.01, size=len(y)), deg=2)

    @learner.prediction_task(as_executable=False)
    def predict(model, X):
        return np.polyval(model, X[:, 0])

    learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=3)
    return learner
