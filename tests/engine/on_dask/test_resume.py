"""Whole runs on Dask while something breaks: they complete, or end cleanly and resume; nothing recorded runs again."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from sklearn.datasets import load_digits

from rose import ParallelUQLearner, Pool, TaskConfig, UQLearnerConfig
from rose.engine import DaskEngine, ThreadEngine
from rose.errors import RunFailedError
from rose.metrics import MUTUAL_INFORMATION, PREDICTIVE_ENTROPY
from rose.store.database.schema import reading
from rose.store.database.sql import read_labels
from rose.testing import tasks
from rose.testing.engine_contract import begun
from tests.engine.on_dask.clusters import Program, Proxy, programs, start_scheduler, start_worker

BEFORE = 14  # simulations that end before one is held: 12 are the first ones, so the first round is over


@pytest.fixture
def running() -> Iterator[list[Program]]:
    with programs() as list_of_them:
        yield list_of_them


async def learned(engine: Any, folder: Path, run_dir: Path | None = None) -> dict[str, list[list[int]]]:
    """What two workflows chose. While `folder/hold` is there, a simulation after the first ones does not end."""
    images, digits = load_digits(return_X_y=True)
    learner = ParallelUQLearner(engine, pool=Pool(images[:300] / 16, initial=12, seed=0), run_dir=run_dir)

    @learner.simulation_task(as_executable=False, retries=1)
    def simulate(index: int) -> int:
        tasks.note(folder / "simulated", str(index))
        if (folder / "hold").exists() and len((folder / "simulated").read_text().split()) > BEFORE:
            tasks.note(folder / "parent", str(os.getppid()))
            tasks.note(folder / "held", str(index))
            time.sleep(60)
        return int(digits[index])

    @learner.training_task(as_executable=False)
    def mean_images(X: Any, y: Any, seed: int) -> Any:
        chosen = np.random.default_rng(seed).random(len(X)) < 0.5
        of_digit = [chosen & (y == digit) for digit in range(10)]
        return np.array([X[of].mean(0) if of.any() else X.mean(0) for of in of_digit])

    @learner.prediction_task(as_executable=False)
    def nearness(model: Any, X: Any) -> Any:
        likely = np.exp(-((X[:, None] - model) ** 2).sum(2))
        return likely / likely.sum(1, keepdims=True)

    learner.uncertainty_quantification(PREDICTIVE_ENTROPY, query_size=4)
    again = TaskConfig(retries=1)
    metrics = {"entropy": PREDICTIVE_ENTROPY, "bald": MUTUAL_INFORMATION}
    workflows = {
        name: UQLearnerConfig(uq_metric_name=metric, training=again, prediction=again)
        for name, metric in metrics.items()
    }
    try:
        results = await learner.teach(workflows=workflows, model_names=["a", "b"], max_iter=3)
    finally:
        await learner.shutdown()
    return {name: [list(i["selection"]) for i in result.iterations] for name, result in results.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[int]]]:
    return asyncio.run(learned(ThreadEngine(2), tmp_path_factory.mktemp("calm")))


def recorded(run_dir: Path) -> set[int]:
    with reading(run_dir) as connection:
        return {record.candidate for record in read_labels(connection)}


def simulated(folder: Path) -> Counter[int]:
    return Counter(map(int, (folder / "simulated").read_text().split()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the simulations note that they run; one of them is to be held."""
    place = tmp_path / "disturbed"
    place.mkdir()
    (place / "hold").touch()
    return place


def cluster(running: list[Program], folder: Path, *options: str, port: int = 0) -> str:
    scheduler, address = start_scheduler(folder, port)
    running.append(scheduler)
    running.append(start_worker(folder, address, 2, *options))
    running[-1].says("(Registered to)")
    return address


async def on_dask(address: str, folder: Path, run_dir: Path, **options: Any) -> dict[str, list[list[int]]]:
    async with DaskEngine(address, **options) as engine:
        return await learned(engine, folder, run_dir)


def test_a_worker_is_killed_and_the_run_completes(
    tmp_path: Path, folder: Path, running: list[Program], undisturbed: Any
) -> None:
    address = cluster(running, folder, "--nanny")

    async def main() -> dict[str, list[list[int]]]:
        run = asyncio.ensure_future(on_dask(address, folder, tmp_path / "run"))
        await begun(folder / "held")
        known = recorded(tmp_path / "run")
        (folder / "hold").unlink()
        os.kill(int((folder / "parent").read_text().split()[0]), signal.SIGKILL)
        found = await run
        assert all(simulated(folder)[index] == 1 for index in known)
        return found

    assert asyncio.run(main()) == undisturbed
    again = simulated(folder)
    assert set(again.values()) == {1, 2}  # what was in flight, once more


@pytest.mark.parametrize("what", ["scheduler", "network"])
def test_what_is_between_breaks_and_the_run_resumes(
    tmp_path: Path, folder: Path, running: list[Program], undisturbed: Any, what: str
) -> None:
    address = cluster(running, folder, "--no-nanny")
    proxy = Proxy(address) if what == "network" else None

    async def broken() -> None:
        there = address if proxy is None else proxy.address
        with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
            run = asyncio.ensure_future(on_dask(there, folder, tmp_path / "run", patience=1.0))
            await begun(folder / "held")
            (folder / "hold").unlink()
            if proxy is None:
                running[0].end()
            else:
                proxy.cut()
            with pytest.raises(RunFailedError, match="no Dask scheduler answers"):
                await run

    asyncio.run(broken())
    if proxy is not None:
        proxy.end()
    known = recorded(tmp_path / "run")
    before = simulated(folder)
    assert len(known) >= 12
    if what == "scheduler":
        running[1].end()
        assert cluster(running, folder, "--no-nanny", port=int(address.rpartition(":")[2])) == address

    assert asyncio.run(on_dask(address, folder, tmp_path / "run")) == undisturbed
    after = simulated(folder)
    assert all(before[index] == after[index] == 1 for index in known)
    assert max(after.values()) <= 3  # in flight, its one retry, and the resumed run
