"""Print which of ROSE's modules one iteration over a pool enters, above `engine/` and `store/`.

    python benchmarks/modules_entered.py

Counted by a profiler in every thread, from the first state to the second: what is only set up once is not in it. These
are the files that who wants to follow an iteration has to read; acquisition and scoring, on the floor of engine and
store, are counted apart.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import rose
from rose import ParallelUQLearner, Pool, ThreadEngine
from rose.metrics import MODEL_ACCURACY, PREDICTIVE_ENTROPY

BAR = 20
SOURCE = Path(rose.__file__).parent
ABOVE = ("stages/", "loop/", "pool/", "dataflow/", "learners/", "watch/", "cli/")


def small_learner() -> ParallelUQLearner:
    """Make a classifier of two models over fifty points, in functions, on threads."""
    X = np.random.default_rng(0).normal(size=(50, 2))
    learner = ParallelUQLearner(ThreadEngine(2), pool=Pool(X, initial=10, seed=0))

    @learner.simulation_task(as_executable=False)
    def simulate(x: Any) -> int:
        return int(x[0] > 0)

    @learner.training_task(as_executable=False)
    def train(X: Any, y: Any) -> Any:
        return float(np.mean(y))

    @learner.prediction_task(as_executable=False)
    def predict(model: float, X: Any) -> Any:
        sure = 1 / (1 + np.exp(-X[:, 0] - model))
        return np.stack([1 - sure, sure], axis=1)

    @learner.as_stop_criterion(MODEL_ACCURACY, threshold=2.0, as_executable=False)
    def accuracy(model: float) -> float:
        return model

    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=5)
    return learner


async def entered() -> set[str]:
    """Run three iterations, and return the files that the second one enters, from the package's folder on."""
    found: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            found.add(frame.f_code.co_filename)

    learner, states = small_learner(), 0
    threading.setprofile(note)  # of threads to come
    sys.setprofile(note)
    async for _ in learner.start(["one"], ["a", "b"], max_iter=3):
        states += 1
        if states == 2:
            break
        found.clear()
    sys.setprofile(None)
    threading.setprofile(None)
    await learner.shutdown()
    return {str(Path(name).relative_to(SOURCE)) for name in found if SOURCE in Path(name).parents}


def main() -> None:
    files = sorted(asyncio.run(entered()))
    above = [name for name in files if name.startswith(ABOVE)]
    print(f"one iteration over a pool enters {len(above)} modules above engine/ and store/ (bar: {BAR}):")
    print(*above, sep="\n")
    for room in ("acquisition", "scoring", "engine", "store"):
        print(f"and {sum(name.startswith(f'{room}/') for name in files)} of {room}/")


if __name__ == "__main__":
    main()
