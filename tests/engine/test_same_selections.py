"""The digits, learned on each engine with the same seed: the same selections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from rose import ParallelUQLearner, Pool
from rose.metrics import MUTUAL_INFORMATION, PREDICTIVE_ENTROPY


@asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[Any]:
    """What a user gives as an engine."""
    if kind == "local":
        yield 1
    elif kind == "executor":
        with ProcessPoolExecutor(1) as executor:
            yield executor
    else:
        asyncflow = pytest.importorskip("radical.asyncflow")
        backend = await asyncflow.LocalExecutionBackend(ProcessPoolExecutor(1))
        yield await asyncflow.WorkflowEngine.create(backend, work_dir=str(folder))


async def selections(kind: str, folder: Path) -> dict[str, list[list[int]]]:
    """What each workflow chose, round by round."""
    images, digits = load_digits(return_X_y=True)
    async with opened(kind, folder) as engine:
        learner = ParallelUQLearner(engine, pool=Pool(images[:200] / 16, initial=20, seed=0))

        @learner.simulation_task(as_executable=False)
        def simulate(index: int) -> int:
            return int(digits[index])

        learner.models(a=LogisticRegression(C=0.1, max_iter=50), b=GaussianNB())
        learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=10)
        metrics = {"entropy": PREDICTIVE_ENTROPY, "bald": MUTUAL_INFORMATION}
        results = await learner.teach(workflows=metrics, max_iter=2)
        await learner.shutdown()
    return {name: [list(i["selection"]) for i in result.iterations] for name, result in results.items()}


def test_the_digits_on_every_engine(tmp_path: Path) -> None:
    expected = asyncio.run(selections("local", tmp_path))
    assert all(len(chosen) == 10 for chosen in expected["entropy"][:1])
    for kind in ("executor", "asyncflow"):  # Dask: on_dask/test_cluster.py
        assert asyncio.run(selections(kind, tmp_path)) == expected, kind
