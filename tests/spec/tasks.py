"""What the programs of these tests name: they note what they were called with."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

TRACE = "ROSE_TEST_TRACE"


def _seen(stage: str, args: Any, kwargs: Any) -> str:
    with Path(os.environ[TRACE]).open("a") as file:
        file.write(json.dumps([stage, args, kwargs]) + "\n")
    return stage


def seen(stage: str) -> list[Any]:
    """The arguments of each call of a stage so far."""
    path = Path(os.environ[TRACE])
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [[args, kwargs] for name, args, kwargs in lines if name == stage]


def simulate(*args: Any, **told: Any) -> str:
    return _seen("simulation", args, told)


def train(simulated: Any = None, *, rate: float = 0.0) -> str:
    """Takes one parameter alone, and not the iteration."""
    return _seen("training", [simulated], {"rate": rate})


async def predict(*args: Any, **told: Any) -> str:
    return _seen("prediction", args, told)


def choose(*args: Any) -> str:
    return _seen("active_learn", args, {})


def unsure(*args: Any, **told: Any) -> float:
    _seen("uncertainty", args, told)
    return 0.3


def act(*args: Any, **told: Any) -> str:
    return _seen("environment", args, told)


def update(*args: Any, **told: Any) -> str:
    return _seen("update", args, told)


def judge(*args: Any, iteration: int = 0) -> float:
    return [0.1, 0.95][min(iteration, 1)]


# --- pools -----------------------------------------------------------------------------------------------------------


def candidates() -> np.ndarray:
    return np.linspace(0.0, 1.0, 40)[:, None]


def heldout() -> tuple[np.ndarray, np.ndarray]:
    X = np.linspace(0.0, 1.0, 7)[:, None]
    return X, X[:, 0]


def label(x: np.ndarray, offset: float = 0.0) -> float:
    return float(x[0] + offset)


def fit(X: np.ndarray, y: np.ndarray, seed: int) -> float:
    return float(np.mean(y)) + seed % 7


def guess(model: float, X: np.ndarray) -> np.ndarray:
    return model + X[:, 0]
