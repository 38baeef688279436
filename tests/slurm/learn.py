"""A user's program for a Slurm machine: `learn.py FOLDER ENGINE [HOLD [ITERATIONS]]`.

Each simulation that has ended is a line of FOLDER/simulated: its sample, the node and the job step. All but the first
HOLD of them wait for a file FOLDER/go. When all is done there is FOLDER/result.json.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from rose import LocalEngine, ParallelUQLearner, Pool
from rose.engine import ExecutorEngine
from rose.metrics import PREDICTIVE_VARIANCE


def engine(kind: str, stack: ExitStack) -> Any:
    """What the user gives to the learner; what he opens is closed by the stack."""
    if kind == "local":
        return LocalEngine(1)
    if kind == "dask":
        from dask_jobqueue import SLURMCluster

        cluster = SLURMCluster(
            cores=1,
            processes=1,
            memory="500MB",
            walltime="00:05:00",
            interface="lo",
            python=sys.executable,
            scheduler_options={"dashboard": False},
        )
        stack.enter_context(cluster).scale(jobs=2)
        return cluster
    import executorlib

    if kind == "steps":  # a job step, and a Python, for each task
        return stack.enter_context(executorlib.SlurmJobExecutor(max_cores=4))
    if kind == "workers":  # job steps that stay
        return stack.enter_context(executorlib.SlurmJobExecutor(max_workers=2, block_allocation=True))
    main = {"partition": "main"}  # pysqa's template wants one
    if kind == "jobs":  # a job, and files, for each task
        executor = executorlib.SlurmClusterExecutor(resource_dict=main)
        return ExecutorEngine(stack.enter_context(executor), workers=4)
    executor = executorlib.SlurmClusterExecutor(max_workers=2, block_allocation=True, resource_dict=main)
    return stack.enter_context(executor)  # jobs that stay


def main(folder: Path, kind: str, hold: int = 1_000_000, iterations: int = 2) -> None:
    """Learn a curve from 6 of 40 points."""
    X = np.linspace(0, 1, 40)[:, None]
    log, go = folder / "simulated", folder / "go"
    with ExitStack() as stack:
        pool = Pool(X, initial=4, seed=0)
        learner = ParallelUQLearner(engine(kind, stack), pool=pool, run_dir=folder / "run")

        @learner.simulation_task(as_executable=False, retries=3)
        def simulate(x):
            while log.exists() and len(log.read_text().splitlines()) >= hold and not go.exists():
                time.sleep(0.05)
            with log.open("a") as file:
                file.write(f"{x[0]:.6f} {socket.gethostname()} {os.environ.get('SLURM_STEP_ID')}\n")
            return float(np.sin(6 * x[0]))

        @learner.training_task(as_executable=False)
        def fit(X, y, model_name):
            """A line; without scikit-learn, whose import would be most of what these processes do."""
            A = np.hstack([X, np.ones_like(X)])
            return np.linalg.solve(A.T @ A + {"plain": 1e-3, "stiff": 1.0}[model_name] * np.eye(2), A.T @ y)

        @learner.prediction_task(as_executable=False)
        def predict(model, X):
            return X[:, 0] * model[0] + model[1]

        learner.uncertainty_quantification(PREDICTIVE_VARIANCE, query_size=2)
        [result] = learner.run(["curve"], ["plain", "stiff"], max_iter=iterations).values()
    found = {"indices": result.indices.tolist(), "labels": result.labels.tolist(), "stop": str(result.stop_reason)}
    (folder / "result.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
